#include "proto/base/log.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOV_23 INT64_C(1795454456123000) /* 2026-11-23T17:20:56.123Z */
#define HEAD   "2026-11-23T17:20:56.123Z "

/* A subject whose last line can be looked at. */
struct subject {
	struct log_ctx log;
	struct log_sink sink;
	struct fake_clock clock;
	char line[8192];
	int lines;
};

static void
keep_line(void *arg, enum log_level level, const char *line)
{
	struct subject *s = arg;

	(void)level;
	snprintf(s->line, sizeof(s->line), "%s", line);
	s->lines++;
	errno = EBADF;
}

static void
subject_init(struct subject *s)
{
	memset(s, 0, sizeof(*s));
	fake_clock_init(&s->clock, NOV_23);
	s->sink = (struct log_sink){
		.level = LOG_LEVEL_INFO, .clock = &s->clock.clock, .write = keep_line, .arg = s};
	log_ctx_init(&s->log, &s->sink);
}

Test(log, a_line_has_time_level_event_tags_and_pairs)
{
	struct subject s;

	subject_init(&s);
	log_ctx_tag(&s.log, "node", "mi-0f");
	log_ctx_tag(&s.log, "user", "alice");
	log_warn(&s, "session.stalled", "queued=%d", 65536);
	cr_assert_str_eq(s.line, HEAD "warn session.stalled node=mi-0f user=alice queued=65536");
}

Test(log, nothing_follows_an_event_that_has_nothing)
{
	struct subject s;

	subject_init(&s);
	log_info(&s, "relay.ready", "%s", "");
	cr_assert_str_eq(s.line, HEAD "info relay.ready");
}

Test(log, below_its_level_a_sink_is_quiet)
{
	struct subject s;

	subject_init(&s);
	log_debug(&s, "x", "a=%d", 1);
	cr_assert(eq(int, s.lines, 0));
	log_error(&s, "x", "a=%d", 1);
	cr_assert(eq(int, s.lines, 1));
}

Test(log, a_subject_without_a_sink_is_silent)
{
	struct subject s;

	subject_init(&s);
	log_ctx_init(&s.log, NULL);
	log_error(&s, "x", "a=%d", 1);
	log_ctx_child(&s.log, NULL, "k", "v");
	log_error(&s, "x", "a=%d", 1);
	cr_assert(eq(int, s.lines, 0));
}

Test(log, a_child_has_its_parents_tags_and_its_own)
{
	struct subject parent, child;

	subject_init(&parent);
	log_ctx_tag(&parent.log, "node", "n1");
	log_ctx_child(&child.log, &parent.log, "session", "two words");
	log_info(&child, "x", "%s", "");
	cr_assert_str_eq(parent.line, HEAD "info x node=n1 session=\"two words\"");
	cr_assert_str_eq(parent.log.tags, "node=n1");
}

Test(log, a_tag_that_does_not_fit_is_dropped_whole)
{
	struct subject s;
	char value[200];

	subject_init(&s);
	memset(value, 'v', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	log_ctx_tag(&s.log, "a", "1");
	log_ctx_tag(&s.log, "long", value);
	log_ctx_tag(&s.log, "b", "2");
	cr_assert_str_eq(s.log.tags, "a=1 b=2");
}

Test(log, no_control_byte_comes_through_raw)
{
	struct subject s;

	subject_init(&s);
	log_info(&s, "x", "v=%s", "a\nb\x1b[31m\x7f\xc2\x9b\xff\xe2\x82\xac");
	cr_assert_str_eq(s.line, HEAD "info x v=a\\x0ab\\x1b[31m\\x7f\\xc2\\x9b\\xff\xe2\x82\xac");
}

Test(log, a_long_line_ends_in_dots)
{
	struct subject s;
	char value[5000];

	subject_init(&s);
	memset(value, '\n', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	log_info(&s, "x", "v=%s", value);
	cr_assert(lt(sz, strlen(s.line), 4096));
	cr_assert_str_eq(s.line + strlen(s.line) - 7, "\\x0a...");
	memset(value, 'v', sizeof(value) - 1);
	log_info(&s, "x", "v=%s", value);
	cr_assert_str_eq(s.line + strlen(s.line) - 4, "v...");
}

/* Whoever makes a line long must not so keep out of it what it says. */
Test(log, a_long_line_with_many_tags_says_something_in_each_format)
{
	char value[5000], tag[140];
	struct subject s;

	subject_init(&s);
	memset(value, '\x01', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	memset(tag, 't', sizeof(tag));
	tag[sizeof(tag) - 1] = '\0';
	log_ctx_tag(&s.log, "tag", tag);
	for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_LOGFMT; format++) {
		s.sink.format = (enum log_format)format;
		log_info(&s, "edge.something_with_a_long_name", "v=%s", value);
		cr_assert_str_eq(s.line + strlen(s.line) - 7, "\\x01...");
	}
}

Test(log, errno_survives)
{
	struct subject s;

	subject_init(&s);
	errno = ENOENT;
	log_info(&s, "x", "a=%d", 1);
	cr_assert(eq(int, errno, ENOENT));
}

Test(log, without_a_callback_lines_go_to_stderr, .init = cr_redirect_stderr)
{
	struct subject s;

	subject_init(&s);
	s.sink.write = NULL;
	log_info(&s, "x", "a=%d", 1);
	fflush(stderr);
	cr_assert_stderr_eq_str(HEAD "info x a=1\n");
}

static void
check_escape(const char *text, size_t n, const char *want)
{
	char out[100];

	cr_assert(eq(sz, log_escape(out, sizeof(out), text, n), strlen(want)));
	cr_assert_str_eq(out, want);
}

Test(log, values_are_quoted_where_they_need_it)
{
	check_escape("plain-1.2/3", 11, "plain-1.2/3");
	check_escape("", 0, "\"\"");
	check_escape("a b", 3, "\"a b\"");
	check_escape("a=b", 3, "\"a=b\"");
	check_escape("say \"hi\" \\", 10, "\"say \\\"hi\\\" \\\\\"");
	check_escape("a\0b", 3, "\"a\\x00b\"");
	check_escape("\xe2\x82\xac", 3, "\xe2\x82\xac");
	check_escape("\xe2\x82", 2, "\"\\xe2\\x82\"");
}

Test(log, a_value_is_cut_between_its_escapes)
{
	char out[10];

	for (size_t room = 1; room <= sizeof(out); room++) {
		memset(out, 'Z', sizeof(out));
		size_t n = log_escape(out, room, "a\n\n\n", 4);
		cr_assert(lt(sz, n, room));
		cr_assert(eq(sz, strlen(out), n));
		cr_assert(n == 0 || (out[0] == '"' && out[n - 1] == '"' && n >= 2));
	}
	cr_assert_str_eq(out, "\"a\\x0a\"");
	cr_assert(eq(sz, log_escape(out, 0, "x", 1), 0));
}

Test(log, a_sentence_is_one_value_whatever_is_in_it)
{
	struct subject s;
	char longest[2000];

	subject_init(&s);
	log_info(&s, "x", "why=%s n=%d", log_value("no \"x\" user=root\n"), 1);
	cr_assert_str_eq(s.line, HEAD "info x why=\"no \\\"x\\\" user=root\\x0a\" n=1");

	memset(longest, '"', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	const char *cut = log_value(longest);
	cr_assert(lt(sz, strlen(cut), sizeof(struct log_value)));
	cr_assert_str_eq(cut + strlen(cut) - 3, "\\\"\"");
	cr_assert_str_eq(log_value(NULL), "\"\"");
}

/* --- formats --------------------------------------------------------------------------------- */

Test(log, logfmt_is_pairs_alone)
{
	struct subject s;

	subject_init(&s);
	s.sink.format = LOG_FORMAT_LOGFMT;
	log_ctx_tag(&s.log, "node", "mi-0f");
	log_warn(&s, "session.stalled", "queued=%d", 65536);
	cr_assert_str_eq(s.line,
		"time=2026-11-23T17:20:56.123Z level=warn component=session event=session.stalled"
		" node=mi-0f queued=65536");
}

Test(log, json_is_an_object_of_texts)
{
	struct subject s;

	subject_init(&s);
	s.sink.format = LOG_FORMAT_JSON;
	log_ctx_tag(&s.log, "node", "a \"b\"\\\n");
	log_info(&s, "link.up", "why=\"it said \\\"no\\\"\" n=3 and that");
	cr_assert_str_eq(s.line,
		"{\"time\":\"2026-11-23T17:20:56.123Z\",\"level\":\"info\",\"component\":\"link\","
		"\"event\":\"link.up\",\"node\":\"a \\\"b\\\"\\\\\\\\x0a\",\"why\":\"it said \\\"no\\\"\","
		"\"n\":\"3\",\"message\":\"and that\"}");
}

/* What a peer says may look like pairs: it replaces none that is there. */
Test(log, a_second_member_of_a_name_is_part_of_the_message)
{
	struct subject s;

	subject_init(&s);
	s.sink.format = LOG_FORMAT_JSON;
	log_info(&s, "link.up", "%s", "level=error time=never message=me");
	cr_assert_str_eq(s.line,
		"{\"time\":\"2026-11-23T17:20:56.123Z\",\"level\":\"info\",\"component\":\"link\","
		"\"event\":\"link.up\",\"message\":\"level=error time=never message=me\"}");
}

Test(log, json_stays_whole_when_there_is_too_much)
{
	static char much[6000];
	struct subject s;

	memset(much, '"', sizeof(much) - 1);
	subject_init(&s);
	s.sink.format = LOG_FORMAT_JSON;
	log_info(&s, "link.up", "a=1 why=%s", much);
	size_t n = strlen(s.line);
	cr_assert(n < 4096 && s.line[0] == '{' && s.line[n - 1] == '}');
	cr_assert(strstr(s.line, "\"a\":\"1\"") != NULL);
}

Test(log, formats_have_names)
{
	enum log_format format = LOG_FORMAT_TEXT;

	cr_assert(log_format_parse(&format, "json"));
	cr_assert(eq(int, format, LOG_FORMAT_JSON));
	cr_assert_str_eq(log_format_name(format), "json");
	cr_assert(not(log_format_parse(&format, "xml")));
	cr_assert(eq(int, format, LOG_FORMAT_JSON));
}
