#include "node/monitor/request.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/err.h"

static bool
all_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != '\0')
			return false;
	return true;
}

/* Ends in the array, has nothing after its end, and only bytes of `set`. */
static bool
text_ok(const char *text, size_t room, const char *set)
{
	size_t len = strnlen(text, room);

	return len < room && all_zero(text + len, room - len) && strspn(text, set) == len;
}

/* A script's alone, and none behind a gap. */
static bool
within_ok(const struct monitor_request *r)
{
	for (size_t i = 0; i < REQUEST_WITHIN_MAX; i++)
		if (!text_ok(r->within[i], sizeof(r->within[i]), REQUEST_LETTERS "_.:/-") ||
			(r->within[i][0] != '\0' &&
				(r->kind != REQUEST_SCRIPT ||
					(i > 0 && r->within[i - 1][0] == '\0'))))
			return false;
	return true;
}

/* It becomes a file's name. */
static bool
session_ok(const struct monitor_request *r)
{
	if (!text_ok(r->session_id, sizeof(r->session_id), REQUEST_LETTERS "_.@+=~-") ||
		r->session_id[0] == '\0' || r->session_id[0] == '.')
		return false;
	/* The mark is there once, at the beginning, or not at all. */
	const char *mark = strrchr(r->session_id, REQUEST_SCRIPT_MARK);
	return mark == (r->kind == REQUEST_SCRIPT ? r->session_id : NULL);
}

static bool
lengths_ok(const struct monitor_request *r)
{
	if (r->kind != REQUEST_SCRIPT)
		return r->directory_len == 0 && r->environment_len == 0 &&
			r->directory_optional == 0;
	return r->directory_optional <= (r->directory_len > 0) &&
		r->directory_len <= REQUEST_DIRECTORY_MAX &&
		r->environment_len <= REQUEST_ENVIRONMENT_MAX;
}

static bool
seconds_ok(const struct monitor_request *r)
{
	return r->kind == REQUEST_SCRIPT ? r->seconds > 0 && r->seconds <= REQUEST_SECONDS_MAX
					 : r->seconds == 0;
}

static const char *
wrong_field(const struct monitor_request *r)
{
	if (r->magic != REQUEST_MAGIC || r->version != REQUEST_VERSION)
		return "not a request of this version";
	if (r->kind < REQUEST_PTY || r->kind > REQUEST_SCRIPT)
		return "kind";
	if (!text_ok(r->run_as, sizeof(r->run_as), REQUEST_LETTERS "_.@+=-") || r->run_as[0] == '-')
		return "run_as";
	if (!session_ok(r))
		return "session_id";
	if (!text_ok(r->document, sizeof(r->document), REQUEST_LETTERS "_.:/-"))
		return "document";
	if (!within_ok(r))
		return "within";
	if (!text_ok(r->term, sizeof(r->term), REQUEST_LETTERS "_.+-"))
		return "term";
	if (!text_ok(r->lang, sizeof(r->lang), REQUEST_LETTERS "_.@+-"))
		return "lang";
	if (!text_ok(r->colorterm, sizeof(r->colorterm), REQUEST_LETTERS "_.+-"))
		return "colorterm";
	if (!all_zero(r->zero, sizeof(r->zero)) || !all_zero(r->zero2, sizeof(r->zero2)))
		return "zero";
	if (r->command_len > REQUEST_COMMAND_MAX ||
		((r->kind == REQUEST_EXEC || r->kind == REQUEST_SCRIPT) && r->command_len == 0) ||
		(r->kind == REQUEST_FORWARD && r->command_len != 0))
		return "command_len";
	if (!lengths_ok(r))
		return "lengths";
	if (!seconds_ok(r))
		return "seconds";
	return NULL;
}

/* A path from the root, or nothing; what of it is the command's own is followed by the rest. */
static bool
directory_ok(const char *p, size_t n, size_t work)
{
	static const char rest[] = REQUEST_DOWNLOADS;

	if (n > 0 && (n < 2 || p[0] != '/' || memchr(p, '\0', n) != p + n - 1))
		return false;
	return work == 0 || (work < n && strncmp(p + work, rest, sizeof(rest) - 1) == 0);
}

static bool
variable_ok(const char *s)
{
	size_t n = strspn(s, REQUEST_LETTERS "_");

	return n > 0 && (s[0] < '0' || s[0] > '9') && s[n] == '=';
}

static bool
environment_ok(const char *p, size_t n)
{
	size_t count = 0;

	if (n > 0 && p[n - 1] != '\0')
		return false;
	for (const char *s = p; s < p + n; s += strlen(s) + 1)
		if (++count > REQUEST_VARIABLES_MAX || !variable_ok(s))
			return false;
	return true;
}

int
request_parse(struct monitor_request *ret, const char **command, const void *p, size_t n,
	const char **why)
{
	struct monitor_request r;
	const char *bytes = (const char *)p + sizeof(r);

	*why = "length";
	if (n < sizeof(r))
		return HW_EVALIDATION;
	memcpy(&r, p, sizeof(r));
	if ((*why = wrong_field(&r)) != NULL)
		return HW_EVALIDATION;
	*why = "length";
	if (n - sizeof(r) != (size_t)r.command_len + r.directory_len + r.environment_len)
		return HW_EVALIDATION;
	*why = "directory";
	if (!directory_ok(bytes, r.directory_len, r.work_len))
		return HW_EVALIDATION;
	bytes += r.directory_len;
	*why = "environment";
	if (!environment_ok(bytes, r.environment_len))
		return HW_EVALIDATION;
	bytes += r.environment_len;
	*why = "command";
	if (memchr(bytes, '\0', r.command_len) != NULL)
		return HW_EVALIDATION;
	*ret = r;
	*command = bytes;
	return 0;
}

int
reply_parse(struct monitor_reply *ret, const void *p, size_t n)
{
	struct monitor_reply r;

	if (n != sizeof(r))
		return HW_EVALIDATION;
	memcpy(&r, p, sizeof(r));
	if (r.magic != REQUEST_MAGIC || r.version != REQUEST_VERSION || r.zero != 0 || r.code > 0 ||
		(r.code == 0 && (r.pid == 1 || r.pid > INT32_MAX)) ||
		!text_ok(r.run_as, sizeof(r.run_as), REQUEST_LETTERS "_.@+=-") ||
		memchr(r.text, '\0', sizeof(r.text)) == NULL)
		return HW_EVALIDATION;
	*ret = r;
	return 0;
}

union one_fd {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int
reply_send(int fd, const struct monitor_reply *reply, int passed)
{
	union one_fd control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (void *)reply, .iov_len = sizeof(*reply)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (passed >= 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &passed, sizeof(int));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(*reply) ? 0 : -1;
}

static int
passed_fd(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fd = -1;

	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

int
reply_receive(struct monitor_reply *ret, int *passed, int fd)
{
	union one_fd control;
	char bytes[sizeof(*ret) + 1];
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		/* In all of its room there would be a second one, which nobody closes. */
		.msg_controllen = CMSG_LEN(sizeof(int))};

	*passed = -1;
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	if (n <= 0)
		return HW_EIO;
	*passed = passed_fd(&m);
	int r = reply_parse(ret, bytes, (size_t)n);
	if (r < 0 && *passed >= 0) {
		close(*passed);
		*passed = -1;
	}
	return r;
}
