#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/export.h"
#include "proto/wire/codec.h"

static struct msg_recording_meta meta = {.session_id = "alice-1",
	.type = CHANNEL_TYPE_PTY,
	.target = "mi-1",
	.target_name = "db \"1\"",
	.term = "xterm",
	.cols = 100,
	.rows = 30,
	.start = 1700000000123456};

static struct event
text(enum event_type type, int64_t time, int stream, const char *bytes)
{
	return (struct event){.type = type,
		.time = time,
		.stream = (uint8_t)stream,
		.bytes = (const uint8_t *)bytes,
		.len = strlen(bytes)};
}

static struct event
out(const char *bytes)
{
	return text(EVENT_DATA, 0, STREAM_OUT, bytes);
}

static const char *
run(enum export_format format, bool typed, const struct event *events, size_t n)
{
	static struct buf b;

	buf_fini(&b);
	buf_init(&b, 1 << 20);
	struct export *e = export_new(format, &meta, typed, &b);
	cr_assert(e != NULL);
	for (size_t i = 0; i < n; i++)
		cr_assert(eq(int, export_event(e, &events[i], &b), 0));
	cr_assert(eq(int, export_end(e, &b), 0));
	export_free(e);
	return buf_str(&b);
}

#define RUN(format, typed, ...)                           \
	run(format, typed, (struct event[]){__VA_ARGS__}, \
		sizeof((struct event[]){__VA_ARGS__}) / sizeof(struct event))

static void
same(const char *got, const char *want)
{
	cr_assert(strcmp(got, want) == 0, "\n got: %s\nwant: %s", got, want);
}

Test(export, knows_its_formats)
{
	cr_assert(eq(int, export_format("cast"), EXPORT_CAST));
	cr_assert(eq(int, export_format("json"), EXPORT_JSON));
	cr_assert(eq(int, export_format("gif"), -1));
}

#define HEAD                                                                           \
	"{\"version\": 2, \"width\": 100, \"height\": 30, \"timestamp\": 1700000000, " \
	"\"title\": \"alice-1 on db \\\"1\\\"\", \"env\": {\"TERM\": \"xterm\"}}\n"

Test(export, cast_has_output_input_and_sizes)
{
	struct event resize = {.type = EVENT_RESIZE, .time = 3000000, .cols = 80, .rows = 24};

	same(RUN(EXPORT_CAST, false, out("$ "), text(EVENT_DATA, 1500000, STREAM_IN, "ls\r"),
		     text(EVENT_DATA, 2000000, STREAM_ERR, "\033[1m"), resize,
		     text(EVENT_DATA, 1, STREAM_OUT, "late")),
		HEAD "[0.000000, \"o\", \"$ \"]\n"
		     "[1.500000, \"i\", \"ls\\r\"]\n"
		     "[2.000000, \"o\", \"\\u001b[1m\"]\n"
		     "[3.000000, \"r\", \"80x24\"]\n"
		     "[3.000000, \"o\", \"late\"]\n");
}

Test(export, cast_puts_cut_characters_together)
{
	same(RUN(EXPORT_CAST, false, out("a\xe6\xbc"), text(EVENT_DATA, 0, STREAM_ERR, "e\xc3"),
		     out("\xa2z\xff"), out("\xf0\x9f")),
		HEAD "[0.000000, \"o\", \"a\"]\n"
		     "[0.000000, \"o\", \"e\"]\n"
		     "[0.000000, \"o\", \"\xe6\xbc\xa2z\xef\xbf\xbd\"]\n"
		     "[0.000000, \"o\", \"\xef\xbf\xbd\"]\n"
		     "[0.000000, \"o\", \"\xef\xbf\xbd\"]\n");
}

Test(export, cast_marks_what_is_hidden)
{
	struct event hidden = {.type = EVENT_HIDDEN,
		.time = 1,
		.hidden = 7,
		.bytes = (const uint8_t *)"sealed",
		.len = 6};

	same(RUN(EXPORT_CAST, false, hidden, text(EVENT_NOTE, 2, 0, "detached")),
		HEAD "[0.000001, \"m\", \"7 bytes typed, not shown\"]\n"
		     "[0.000002, \"m\", \"detached\"]\n");
}

Test(export, text_is_what_stood_in_the_lines)
{
	same(RUN(EXPORT_TEXT, false, out("\033[1mhello\033[0m\r\n")), "hello\n");
	same(RUN(EXPORT_TEXT, false, out("helo\blo\r\n")), "hello\n");
	same(RUN(EXPORT_TEXT, false, out("abc\b\b\b\033[Kxy")), "xy\n");
	same(RUN(EXPORT_TEXT, false, out("10%\r20%\r100%\r\ndone\r\n")), "100%\ndone\n");
	same(RUN(EXPORT_TEXT, false, out("longer line\rshort\033[K\r\n")), "short\n");
	same(RUN(EXPORT_TEXT, false, out("\033]0;title\aprompt$ \r\n\r\n")), "prompt$ \n\n");
	same(RUN(EXPORT_TEXT, false, out("abef\b\b\033[2@cd\r\n")), "abcdef\n");
	same(RUN(EXPORT_TEXT, false, out("abXXcd\b\b\b\b\033[2P\r\n")), "abcd\n");
	same(RUN(EXPORT_TEXT, false, out("a\tb\nno cr\n")), "a\tb\nno cr\n");
}

Test(export, text_keeps_what_a_screen_program_wrote)
{
	same(RUN(EXPORT_TEXT, false, out("\033[2J\033[Hfirst\033[2;1Hsecond\033[?1049l$ ")),
		"first\nsecond$ \n");
}

Test(export, text_goes_over_events)
{
	same(RUN(EXPORT_TEXT, false, out("h\xc3"), out("\xa9"), out("l\033"), out("[1mlo\r"),
		     text(EVENT_DATA, 0, STREAM_IN, "typed"), out("\n")),
		"h\xc3\xa9llo\n");
}

Test(export, typed_text_is_what_keys_sent)
{
	struct event hidden = {.type = EVENT_HIDDEN, .hidden = 7};

	same(RUN(EXPORT_TEXT, true, text(EVENT_DATA, 0, STREAM_IN, "lsx\177 -l\r"), out("output"),
		     text(EVENT_DATA, 0, STREAM_IN, "su\r"), hidden,
		     text(EVENT_DATA, 0, STREAM_IN, "\r\033[Aid\r")),
		"ls -l\nsu\n[7 not shown]\nid\n");
}

Test(export, raw_is_exact)
{
	same(RUN(EXPORT_RAW, false, out("a\033]x"), text(EVENT_DATA, 0, STREAM_IN, "typed"),
		     text(EVENT_DATA, 0, STREAM_ERR, "\xff")),
		"a\033]x\xff");
	same(RUN(EXPORT_RAW, true, out("a"), text(EVENT_DATA, 0, STREAM_IN, "typed")), "typed");
}

Test(export, json_has_everything)
{
	struct msg_close close = {.exited = true, .exit_status = 3};
	struct event hidden = {.type = EVENT_HIDDEN,
		.time = 1,
		.offset = 4,
		.hidden = 7,
		.bytes = (const uint8_t *)"abc",
		.len = 3};
	struct event end = {.type = EVENT_CLOSE, .time = 2000000};
	struct buf b;

	buf_init(&b, 1000);
	cr_assert(eq(int, msg_encode(&b, MSG_ROW(close), &close, NULL), 0));
	end.bytes = buf_data(&b);
	end.len = b.len;
	const char *got = RUN(EXPORT_JSON, false, out("hi"), hidden, end);
	cr_assert(strncmp(got, "{\"type\": \"meta\", \"meta\": {\"SessionId\":", 38) == 0, "%s",
		got);
	same(strchr(got, '\n') + 1,
		"{\"time\": 0.000000, \"type\": \"data\", \"stream\": \"out\", \"author\": 0, "
		"\"offset\": 0, \"bytes\": \"aGk=\"}\n"
		"{\"time\": 0.000001, \"type\": \"hidden\", \"stream\": \"in\", \"author\": 0, "
		"\"offset\": 4, \"hidden\": 7, \"sealed\": \"YWJj\"}\n"
		"{\"time\": 2.000000, \"type\": \"close\", \"close\": "
		"{\"Exited\":true,\"ExitStatus\":3}}\n");
	buf_fini(&b);
}

/* --- others that typed, and screens ----------------------------------------------------------- */

static struct event
author(struct buf *b, uint32_t index, const char *principal)
{
	const struct msg_recording_author who = {
		.principal = principal, .source = "192.0.2.1", .base = 2};

	buf_init(b, 1000);
	cr_assert(eq(int, msg_encode(b, MSG_ROW(recording_author), &who, NULL), 0));
	return (struct event){.type = EVENT_AUTHOR,
		.author = index,
		.offset = 2,
		.bytes = buf_data(b),
		.len = b->len};
}

static struct event
screen(const char *bytes, uint32_t more)
{
	struct event ev = text(EVENT_SCREEN, 0, STREAM_OUT, bytes);

	ev.offset = 9;
	ev.hidden = more;
	return ev;
}

#define IN(bytes) text(EVENT_DATA, 0, STREAM_IN, bytes)

Test(export, typed_text_says_whose_it_is)
{
	struct buf bob, ann;
	struct event a = author(&bob, 1, "arn:aws:iam::000000000000:user/bob");
	struct event b = author(&ann, 0, "arn:aws:iam::000000000000:user/ann");

	same(RUN(EXPORT_TEXT, true, IN("l"), a, IN("s\rid"), b, IN(" -u\r")),
		"l[bob] s\nid[ann]  -u\n");
	same(RUN(EXPORT_TEXT, false, a, out("shown\n"), screen("\033[Hshown", 0)), "shown\n");
	same(RUN(EXPORT_RAW, false, a, out("a"), screen("screen", 0)), "a");
	same(RUN(EXPORT_RAW, true, a, IN("a"), screen("screen", 0)), "a");
	buf_fini(&bob);
	buf_fini(&ann);
}

Test(export, an_author_that_cannot_be_read_is_nobody)
{
	const struct event bad = text(EVENT_AUTHOR, 0, STREAM_IN, "\xc1");

	same(RUN(EXPORT_TEXT, true, bad, IN("x\r")), "[?] x\n");
	same(RUN(EXPORT_CAST, false, bad), HEAD "[0.000000, \"m\", \"? types\"]\n");
}

Test(export, a_name_drives_no_terminal)
{
	struct buf b;
	struct event a = author(&b, 1, "user/\033[2Jbob");

	same(RUN(EXPORT_TEXT, true, a, IN("x\r")), "[bob] x\n");
	buf_fini(&b);
}

Test(export, cast_and_json_have_authors_and_screens)
{
	struct buf b;
	struct event a = author(&b, 1, "arn:aws:iam::000000000000:user/bob");

	same(RUN(EXPORT_CAST, false, a, screen("scr", 3), screen("een", 0)),
		HEAD "[0.000000, \"m\", \"bob types\"]\n"
		     "[0.000000, \"m\", \"the screen was shown to who came\"]\n");
	same(strchr(RUN(EXPORT_JSON, false, a, screen("scr", 3), screen("een", 0)), '\n') + 1,
		"{\"time\": 0.000000, \"type\": \"author\", \"author\": 1, \"offset\": 2, "
		"\"who\": {\"Principal\":\"arn:aws:iam::000000000000:user/bob\","
		"\"SourceAddress\":\"192.0.2.1\",\"Base\":2}}\n"
		"{\"time\": 0.000000, \"type\": \"screen\", \"offset\": 9, \"bytes\": \"c2Ny\", "
		"\"more\": 3}\n"
		"{\"time\": 0.000000, \"type\": \"screen\", \"offset\": 9, \"bytes\": \"ZWVu\", "
		"\"more\": 0}\n");
	buf_fini(&b);
}

Test(export, asciinema_plays_a_cast)
{
	char path[] = "/tmp/hawser-cast-XXXXXX", command[200], shown[200];
	struct event resize = {.type = EVENT_RESIZE, .time = 1000, .cols = 80, .rows = 24};
	struct event hidden = {.type = EVENT_HIDDEN, .time = 2000, .hidden = 7};

	if (access("/usr/bin/asciinema", X_OK) != 0 || access("/usr/bin/script", X_OK) != 0)
		cr_skip("asciinema or script is not installed");
	const char *cast = RUN(EXPORT_CAST, false, out("one "), resize, hidden,
		text(EVENT_DATA, 3000, STREAM_IN, "x"), text(EVENT_DATA, 4000, STREAM_OUT, "two"));
	FILE *f = fdopen(mkstemp(path), "w");
	fputs(cast, f);
	fclose(f);
	/* It wants a terminal, and makes itself a folder of settings. */
	snprintf(command, sizeof(command),
		"ASCIINEMA_CONFIG_HOME=%s.d script -qec 'asciinema cat %s' /dev/null </dev/null",
		path, path);
	f = popen(command, "r");
	size_t n = fread(shown, 1, sizeof(shown) - 1, f);
	shown[n] = '\0';
	int status = pclose(f);
	remove(path);
	snprintf(command, sizeof(command), "rm -rf %s.d", path);
	cr_assert(eq(int, system(command), 0));
	cr_assert(eq(int, status, 0));
	same(shown, "one two");
}
