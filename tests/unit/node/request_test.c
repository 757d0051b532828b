#include "node/monitor/request.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

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
