#include "node/monitor/request.h"

#include <sys/socket.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/holder/protocol.h"
#include "proto/base/err.h"

static struct monitor_request
good(void)
{
	return (struct monitor_request){
		.magic = REQUEST_MAGIC,
		.version = REQUEST_VERSION,
		.kind = REQUEST_EXEC,
		.run_as = "hawser",
		.session_id = "alice@example.com-0123456789abcdef0",
		.document = "AWS-StartNonInteractiveCommand",
		.term = "xterm-256color",
		.lang = "de_DE.UTF-8@euro",
		.colorterm = "truecolor",
		.command_len = 4,
	};
}

static int
check(const struct monitor_request *r, const char **why)
{
	char message[sizeof(*r) + 4];
	struct monitor_request got;
	const char *command;

	memcpy(message, r, sizeof(*r));
	memcpy(message + sizeof(*r), "true", 4);
	return request_parse(&got, &command, message, sizeof(message), why);
}

Test(request, a_good_one_is_taken_whole)
{
	struct monitor_request r = good();
	const char *why;

	cr_assert_eq(check(&r, &why), 0);
}

Test(request, every_truncation_and_extension_is_refused)
{
	struct monitor_request r = good(), got;
	const char *command, *why;
	char *message = malloc(sizeof(r) + 5);

	memcpy(message, &r, sizeof(r));
	memcpy(message + sizeof(r), "true!", 5);
	for (size_t n = 0; n < sizeof(r) + 6; n++) {
		if (n == sizeof(r) + 4)
			continue;
		char *exact = malloc(n ? n : 1); /* a read beyond is seen by the sanitizer */
		memcpy(exact, message, n < sizeof(r) + 5 ? n : sizeof(r) + 5);
		cr_assert_eq(request_parse(&got, &command, exact, n, &why), HW_EVALIDATION, "%zu",
			n);
		free(exact);
	}
	free(message);
}

Test(request, no_byte_can_be_spoilt_unseen)
{
	const char *why;

	/* All but the command's bytes, the id and the size of the terminal mean something exact. */
	for (size_t i = 0; i < sizeof(struct monitor_request); i++) {
		struct monitor_request r = good();
		if (i >= offsetof(struct monitor_request, id) &&
			i < offsetof(struct monitor_request, run_as))
			continue;
		((uint8_t *)&r)[i] ^= 0x80;
		cr_assert_eq(check(&r, &why), HW_EVALIDATION, "byte %zu", i);
	}
}

Test(request, names_that_mean_more_than_a_name_are_refused)
{
	static const char *const bad[] = {"../x", "a/b", ".hidden", "", "a b", "a\nb"};
	struct monitor_request r;
	const char *why;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		r = good();
		memset(r.session_id, 0, sizeof(r.session_id));
		strcpy(r.session_id, bad[i]);
		cr_assert_eq(check(&r, &why), HW_EVALIDATION, "%s", bad[i]);
		cr_assert_str_eq(why, "session_id");
	}
	r = good();
	strcpy(r.term, "$(x)");
	cr_assert_eq(check(&r, &why), HW_EVALIDATION);
	cr_assert_str_eq(why, "term");
	r = good();
	strcpy(r.document, "AWS*");
	cr_assert_eq(check(&r, &why), HW_EVALIDATION);
	cr_assert_str_eq(why, "document");
	r = good();
	r.command_len = 0;
	cr_assert_eq(check(&r, &why), HW_EVALIDATION);
	r = good();
	r.run_as[10] = 'x'; /* behind the end */
	cr_assert_eq(check(&r, &why), HW_EVALIDATION);
	cr_assert_str_eq(why, "run_as");
}

/* --- scripts -------------------------------------------------------------------------------- */

struct script {
	struct monitor_request r;
	char directory[64], environment[64], text[64];
};

static struct script
good_script(void)
{
	struct script s = {
		.r = {.magic = REQUEST_MAGIC,
			.version = REQUEST_VERSION,
			.kind = REQUEST_SCRIPT,
			.session_id = "~01234567-89ab-cdef-0123-456789abcdef.000",
			.document = "AWS-RunShellScript",
			.command_len = 4,
			.directory_len = 5,
			.environment_len = 8,
			.seconds = 3600},
		.directory = "/tmp",
		.environment = "A=b\0C_1=",
		.text = "true",
	};

	return s;
}

static const char *
check_script(const struct script *s)
{
	size_t n = sizeof(s->r) + s->r.directory_len + s->r.environment_len + s->r.command_len;
	char *message = calloc(1, n); /* a read beyond is seen by the sanitizer */
	struct monitor_request got;
	const char *command, *why = NULL;

	memcpy(message, &s->r, sizeof(s->r));
	memcpy(message + sizeof(s->r), s->directory, s->r.directory_len);
	memcpy(message + sizeof(s->r) + s->r.directory_len, s->environment, s->r.environment_len);
	memcpy(message + n - s->r.command_len, s->text, s->r.command_len);
	if (request_parse(&got, &command, message, n, &why) == 0) {
		why = NULL;
		cr_assert_eq(memcmp(command, s->text, s->r.command_len), 0);
		cr_assert_eq(memcmp(request_environment(&got, command), s->environment,
				     s->r.environment_len),
			0);
		if (s->r.directory_len > 0)
			cr_assert_str_eq(request_directory(&got, command), s->directory);
		else
			cr_assert_null(request_directory(&got, command));
	}
	free(message);
	return why;
}

Test(request, a_script_is_taken_whole)
{
	struct script s = good_script();

	s.r.environment_len = 9;
	cr_assert_null(check_script(&s));
	s.r.directory_len = s.r.environment_len = 0;
	cr_assert_null(check_script(&s));
}

Test(request, what_a_script_cannot_have_is_refused)
{
	static const char *const directories[] = {"tmp", "t/mp", "\0\0\0\0"};
	static const char *const variables[] = {"=b=c=d=", "A-B=c\0\0", "1A=b\0\0\0", "Abcdefg"};
	struct script s;

	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		s = good_script();
		s.r.environment_len = 9;
		memcpy(s.directory, directories[i], 4);
		cr_assert_str_eq(check_script(&s), "directory", "%zu", i);
	}
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		s = good_script();
		memcpy(s.environment, variables[i], 8);
		cr_assert_str_eq(check_script(&s), "environment", "%zu", i);
	}
	s = good_script(); /* its last byte is none */
	cr_assert_str_eq(check_script(&s), "environment");
	s = good_script();
	s.r.environment_len = 9;
	s.r.directory_len = 4; /* the same of the directory */
	cr_assert_str_eq(check_script(&s), "directory");
	s = good_script();
	s.r.directory_len = 1;
	cr_assert_str_eq(check_script(&s), "directory");
	s = good_script();
	s.r.seconds = 0;
	cr_assert_str_eq(check_script(&s), "seconds");
	s.r.seconds = REQUEST_SECONDS_MAX + 1;
	cr_assert_str_eq(check_script(&s), "seconds");
	s = good_script();
	s.r.command_len = 0;
	cr_assert_str_eq(check_script(&s), "command_len");
}

/* So that no session can be taken for a script, nor the other way about. */
Test(request, ids_of_scripts_are_none_of_sessions)
{
	struct script s = good_script();
	struct monitor_request r = good();
	const char *why;

	s.r.environment_len = 9;
	s.r.session_id[0] = 'a';
	cr_assert_str_eq(check_script(&s), "session_id");
	s = good_script();
	s.r.environment_len = 9;
	s.r.session_id[5] = '~';
	cr_assert_str_eq(check_script(&s), "session_id");
	r.session_id[0] = REQUEST_SCRIPT_MARK;
	cr_assert_eq(check(&r, &why), HW_EVALIDATION);
	cr_assert_str_eq(why, "session_id");
	r = good();
	r.seconds = 1;
	cr_assert_eq(check(&r, &why), HW_EVALIDATION);
	cr_assert_str_eq(why, "seconds");
	r = good();
	r.directory_len = 1;
	cr_assert_eq(check(&r, &why), HW_EVALIDATION);
	cr_assert_str_eq(why, "lengths");
}

Test(holder_protocol, needs_all_of_a_message_and_no_more)
{
	struct holder_head head = {
		.type = HOLDER_DATA, .stream = HOLDER_OUT, .len = 3, .offset = 9};
	uint8_t bytes[sizeof(head) + 4];
	struct holder_msg m;
	size_t used;

	memcpy(bytes, &head, sizeof(head));
	memcpy(bytes + sizeof(head), "abcd", 4);
	for (size_t n = 0; n < sizeof(head) + 3; n++)
		cr_assert_eq(holder_parse(&m, bytes, n, &used), 1);
	cr_assert_eq(holder_parse(&m, bytes, sizeof(bytes), &used), 0);
	cr_assert_eq(used, sizeof(head) + 3);
	cr_assert_eq(memcmp(m.body, "abc", 3), 0);
	cr_assert_eq(m.head.offset, 9);
}

Test(holder_protocol, lengths_that_a_type_does_not_have_are_refused)
{
	static const struct {
		uint8_t type;
		uint32_t len;
	} bad[] = {
		{0,		    0			      },
		{HOLDER_TYPES,  0				},
		   {255,		 0				  },
		     {HOLDER_DATA,   0				    },
		{HOLDER_DATA,   HOLDER_DATA_MAX + 1		 },
		    {HOLDER_DATA,	  UINT32_MAX			    },
		       {HOLDER_CREDIT, 7				},
		{HOLDER_END,    1			      },
		 {HOLDER_RESIZE, 8				  },
		     {HOLDER_STATE,  1				     },
		{HOLDER_STATE,  HOLDER_STATE_OLD - 1	   },
		      {HOLDER_STATE,  HOLDER_STATE_OLD + 1		 },
		{HOLDER_STATE,  sizeof(struct holder_state) + 1},
		 {HOLDER_EXIT,   0				},
		{HOLDER_CLOSE,  1				}
	 };
	struct holder_msg m;
	size_t used;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct holder_head head = {.type = bad[i].type, .len = bad[i].len};
		cr_assert_eq(holder_parse(&m, &head, sizeof(head), &used), HW_EPROTO, "%zu", i);
	}
	struct holder_head stream = {.type = HOLDER_END, .stream = HOLDER_STREAMS};
	cr_assert_eq(holder_parse(&m, &stream, sizeof(stream), &used), HW_EPROTO);
	struct holder_head offset = {.type = HOLDER_END, .offset = UINT64_MAX};
	cr_assert_eq(holder_parse(&m, &offset, sizeof(offset), &used), HW_EPROTO);
}

/* What is the command's own ends where its downloads begin. */
Test(request, what_is_the_command_s_own_is_a_part_of_the_directory)
{
	static const char text[] = "/w/downloads/x\0true";
	char message[sizeof(struct monitor_request) + sizeof(text)];
	struct monitor_request r = good(), got;
	const char *command, *why;

	r.work_len = 1;
	cr_assert_eq(check(&r, &why), HW_EVALIDATION, "it is no script");
	r.kind = REQUEST_SCRIPT;
	r.seconds = 60;
	r.session_id[0] = REQUEST_SCRIPT_MARK;
	cr_assert_eq(check(&r, &why), HW_EVALIDATION, "it names no directory");
	r.directory_len = 15;
	for (uint32_t n = 0; n < 20; n++) {
		r.work_len = n == 19 ? UINT32_MAX : n;
		memcpy(message, &r, sizeof(r));
		memcpy(message + sizeof(r), text, sizeof(text) - 1);
		cr_assert_eq(request_parse(&got, &command, message, sizeof(r) + sizeof(text) - 1,
				     &why),
			n == 0 || n == 2 ? 0 : HW_EVALIDATION, "%u", (unsigned)n);
	}
}

Test(request, only_a_script_is_of_documents_within_others)
{
	struct script s = good_script();
	struct monitor_request r = good();
	const char *why;

	s.r.environment_len = 9;
	strcpy(s.r.within[0], "One");
	strcpy(s.r.within[1], "Two");
	cr_assert_null(check_script(&s));
	s.r.within[0][0] = '\0';
	cr_assert_str_eq(check_script(&s), "within", "behind the end");
	memset(s.r.within[0], 0, sizeof(s.r.within[0]));
	cr_assert_str_eq(check_script(&s), "within", "a gap");
	strcpy(s.r.within[0], "On*");
	cr_assert_str_eq(check_script(&s), "within");
	strcpy(r.within[0], "One");
	cr_assert_eq(check(&r, &why), HW_EVALIDATION);
	cr_assert_str_eq(why, "within");
}

Test(request, only_a_script_s_directory_may_be_missing)
{
	char message[sizeof(struct monitor_request) + 16];
	struct monitor_request r = good(), got;
	const char *command, *why;

	r.directory_optional = 1;
	cr_assert_eq(check(&r, &why), HW_EVALIDATION, "it is no script");
	r.kind = REQUEST_SCRIPT;
	r.seconds = 60;
	r.session_id[0] = REQUEST_SCRIPT_MARK;
	cr_assert_eq(check(&r, &why), HW_EVALIDATION, "it names no directory");
	r.directory_len = 5;
	for (int n = 0; n < 3; n++) {
		r.directory_optional = (uint8_t)n;
		memcpy(message, &r, sizeof(r));
		memcpy(message + sizeof(r), "/tmp\0true", 9);
		cr_assert_eq(request_parse(&got, &command, message, sizeof(r) + 9, &why),
			n < 2 ? 0 : HW_EVALIDATION, "%d: %s", n, why);
	}
}

/* --- answers ---------------------------------------------------------------------------------- */

static void
answer_with(int fd, const int *given, size_t n)
{
	struct monitor_reply reply = {.magic = REQUEST_MAGIC, .version = REQUEST_VERSION, .pid = 7};
	union {
		char bytes[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = {0}};
	struct iovec iov = {&reply, sizeof(reply)};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), given, n * sizeof(int));
	cr_assert_eq(sendmsg(fd, &m, MSG_NOSIGNAL), (ssize_t)sizeof(reply));
}

/* Of what comes along beside the one nothing stays open. */
Test(reply, brings_one_descriptor_and_no_more)
{
	int pair[2], pipe_fds[2], given[8], passed;
	struct monitor_reply got;
	char byte;

	for (size_t n = 1; n <= 8; n++) {
		cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
		for (size_t i = 0; i < n; i++)
			given[i] = pipe_fds[1];
		answer_with(pair[0], given, n);
		close(pipe_fds[1]);
		cr_assert_eq(reply_receive(&got, &passed, pair[1]), 0);
		cr_assert_eq(got.pid, 7);
		cr_assert_geq(passed, 0);
		close(passed);
		cr_assert_eq(read(pipe_fds[0], &byte, 1), 0, "%zu: somebody keeps one", n);
		close(pipe_fds[0]);
		close(pair[0]);
		close(pair[1]);
	}
}
