#include "client/typed.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "proto/wire/codec.h"

static void
data(struct typed *t, struct buf *out, int64_t seconds, const char *text)
{
	struct event ev = {.type = EVENT_DATA,
		.time = seconds * 1000000,
		.stream = STREAM_IN,
		.bytes = (const uint8_t *)text,
		.len = strlen(text)};

	typed_event(t, &ev, out);
}

static void
hidden(struct typed *t, struct buf *out, int64_t seconds, uint32_t n)
{
	struct event ev = {
		.type = EVENT_HIDDEN, .time = seconds * 1000000, .stream = STREAM_IN, .hidden = n};

	typed_event(t, &ev, out);
}

Test(typed, lines_have_the_time_of_their_first_key)
{
	struct typed t;
	struct buf out;

	typed_init(&t);
	buf_init(&out, 4096);
	data(&t, &out, 1, "l");
	data(&t, &out, 2, "s\r");
	data(&t, &out, 65, "\003");
	data(&t, &out, 66, "\r\r");
	typed_end(&t, &out);
	cr_assert_str_eq(buf_str(&out), "00:00:01  ls\n00:01:05  ^C\n00:01:06  \n");
	buf_fini(&out);
	typed_fini(&t);
}

Test(typed, what_was_hidden_is_counted)
{
	struct typed t;
	struct buf out;

	typed_init(&t);
	buf_init(&out, 4096);
	data(&t, &out, 1, "sudo ls\r");
	hidden(&t, &out, 3, 1);
	hidden(&t, &out, 4, 8);
	data(&t, &out, 9, "id\033[A");
	typed_end(&t, &out);
	cr_assert_str_eq(buf_str(&out),
		"00:00:01  sudo ls\n00:00:03  [9 hidden]\n00:00:09  id^[[A\n");
	buf_fini(&out);
	typed_fini(&t);
}

static void
author(struct typed *t, struct buf *out, uint32_t index, const char *principal)
{
	const struct msg_recording_author who = {.principal = principal};
	struct buf b;

	buf_init(&b, 1000);
	cr_assert(eq(int, msg_encode(&b, MSG_ROW(recording_author), &who, NULL), 0));
	const struct event ev = {
		.type = EVENT_AUTHOR, .author = index, .bytes = buf_data(&b), .len = b.len};
	typed_event(t, &ev, out);
	buf_fini(&b);
}

Test(typed, others_than_the_owner_are_named)
{
	struct typed t;
	struct buf out;

	typed_init(&t);
	buf_init(&out, 4096);
	data(&t, &out, 1, "l");
	author(&t, &out, 1, "arn:aws:iam::0:user/bob");
	data(&t, &out, 2, "s\r");
	hidden(&t, &out, 3, 4);
	author(&t, &out, 0, "arn:aws:iam::0:user/ann");
	data(&t, &out, 4, "id\r");
	author(&t, &out, 2, "user/\033[2Jx");
	data(&t, &out, 5, "\r");
	typed_end(&t, &out);
	cr_assert_null(strchr(buf_str(&out), '\033'));
	cr_assert_not_null(
		strstr(buf_str(&out),
			"00:00:01  l\n00:00:02  [bob] s\n00:00:03  [bob] [4 hidden]\n00:00:04  id\n"),
		"%s", buf_str(&out));
	buf_fini(&out);
	typed_fini(&t);
}

Test(typed, output_is_none_of_it)
{
	struct typed t;
	struct buf out;
	struct event ev = {
		.type = EVENT_DATA, .stream = STREAM_OUT, .bytes = (const uint8_t *)"x", .len = 1};

	typed_init(&t);
	buf_init(&out, 4096);
	typed_event(&t, &ev, &out);
	typed_end(&t, &out);
	cr_assert(eq(sz, out.len, 0));
	buf_fini(&out);
	typed_fini(&t);
}
