#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "relay/stream/stream.h"

static const char *
format(struct buf *b, const char *relay, const struct msg_ledger_entry *e)
{
	buf_init(b, 1 << 20);
	cr_assert(eq(int, syslog_format(b, relay, e), 0));
	return buf_str(b);
}

static struct msg_ledger_entry
entry(const char *kind)
{
	static const uint8_t salt[16];

	return (struct msg_ledger_entry){
		.relay = "relay",
		.sequence = 7,
		.salt = {salt, 16},
		.time = INT64_C(1700000000123456),
		.kind = kind
	    };
}

Test(syslog, a_message_is_one_of_rfc_5424)
{
	struct msg_ledger_entry e = entry("session.start");
	struct buf b;

	e.principal = "arn:aws:iam::0:user/alice";
	const char *text = format(&b, "relay", &e);
	static const char head[] =
		"<110>1 2023-11-14T22:13:20.123Z relay hawser-relay - session.start - {";
	cr_assert(eq(int, strncmp(text, head, strlen(head)), 0), "%s", text);
	cr_assert_not_null(strstr(text, "\"Principal\":\"arn:aws:iam::0:user/alice\""), "%s", text);
	cr_assert_null(strchr(text, '\n'));
	buf_fini(&b);
}

Test(syslog, what_was_denied_or_is_an_alarm_is_more_severe)
{
	struct msg_ledger_entry e = entry("decision");
	struct buf b;

	e.outcome = OUTCOME_DENIED;
	cr_assert(eq(int, strncmp(format(&b, "r", &e), "<108>1 ", 7), 0));
	buf_fini(&b);
	e = entry("alarm");
	cr_assert(eq(int, strncmp(format(&b, "r", &e), "<105>1 ", 7), 0));
	buf_fini(&b);
}

/* Nothing in an entry makes a second message of one. */
Test(syslog, hostile_texts_stay_in_their_place)
{
	struct msg_ledger_entry e = entry("a b\nc-and-a-kind-that-is-much-longer-than-that");
	struct buf b;

	e.reason = "x\n<0>1 - - - - - - forged\033[2J";
	const char *text = format(&b, "re lay\n", &e);
	cr_assert_not_null(strstr(text,
				   " re_lay_ hawser-relay - a_b_c-and-a-kind-that-is-much-lo -"),
		"%s", text);
	cr_assert_null(strchr(text, '\n'));
	cr_assert_null(strchr(text, '\033'));
	buf_fini(&b);
}

Test(syslog, settings_that_cannot_work_are_refused)
{
	static const char *const bad[] = {"", "host", "host:", ":6514"};
	struct stream_syslog *s = NULL;
	struct hw_err err = HW_ERR_INIT;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct stream_syslog_config c = {
			.address = bad[i], .relay = "r", .ca = "", .certificate = "", .key = ""};
		cr_assert(eq(int, stream_syslog_new(&s, &c, &err), HW_EVALIDATION), "%s", bad[i]);
	}
	const struct stream_syslog_config c = {.address = "h:1",
		.relay = "r",
		.ca = "/nonexistent/ca.pem",
		.certificate = "",
		.key = ""};
	cr_assert(eq(int, stream_syslog_new(&s, &c, &err), HW_ECERT));
	cr_assert_not_null(strstr(err.text, "/nonexistent/ca.pem"), "%s", err.text);
	cr_assert_null(s);
}
