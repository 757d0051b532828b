#include "client/typed.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

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
