#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "audit/recording.h"

static bool
same(const struct event *a, const struct event *b)
{
	return a->type == b->type && a->time == b->time && a->stream == b->stream &&
		a->author == b->author && a->offset == b->offset && a->hidden == b->hidden &&
		a->cols == b->cols && a->rows == b->rows && a->len == b->len &&
		(a->len == 0 || memcmp(a->bytes, b->bytes, a->len) == 0);
}

static const struct event samples[] = {
	{.type = EVENT_DATA		   },
	{		  .type = EVENT_DATA,
		.time = 1,
		.stream = 255,
		.author = UINT32_MAX,
		.offset = UINT64_MAX,
		.bytes = (const uint8_t *)"abc",
		.len = 3},
	{				  .type = EVENT_HIDDEN,									       .time = INT64_MAX,.hidden = UINT32_MAX, .offset = 127},
	{.type = EVENT_AUTHOR,.author = 3,.offset = 9, .bytes = (const uint8_t *)"who", .len = 3},
	{					.type = EVENT_SCREEN,
		.stream = 1,
		.offset = 70000,
		.hidden = 12,
		.bytes = (const uint8_t *)"screen",
		.len = 6},
	{.type = EVENT_RESIZE,												   .time = 128,.cols = 65535, .rows = 0},
	{					      .type = EVENT_CLOSE,												    .time = 16384,.bytes = (const uint8_t *)"\0", .len = 1},
};
#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

Test(event, comes_back_as_it_was)
{
	for (size_t i = 0; i < SAMPLES; i++) {
		struct event got;
		struct buf b;
		size_t used;
		buf_init(&b, 1000);
		cr_assert(eq(int, event_encode(&b, &samples[i]), 0));
		cr_assert(eq(int, event_decode(&got, buf_data(&b), b.len, &used), 0));
		cr_assert(eq(sz, used, b.len));
		cr_assert(same(&got, &samples[i]));
		cr_assert(le(sz, b.len - samples[i].len, EVENT_HEAD_MAX));
		for (size_t n = 0; n < b.len; n++)
			cr_assert(eq(int, event_decode(&got, buf_data(&b), n, &used), HW_ECORRUPT));
		buf_fini(&b);
	}
}

Test(event, has_one_encoding)
{
	static const struct {
		const char *bytes;
		size_t n;
	} bad[] = {
		{"\0\0\0",					 3 }, /* no such type */
		{"\x0a\0\0",				       3 },
		 {"\x01\x40\0",					3 }, /* no such field */
		{"\x01\0\x80\0",				   4 }, /* a number with a zero group at its end */
		{"\x01\x01\0\0",				   4 }, /* a stream of zero is left out */
		{"\x01\x20\0\0",				   4 }, /* so are no bytes */
		{"\x01\x20\0\x05"
		 "abcd",			  8 },
		{"\x01\x02\0\xff\xff\xff\xff\x1f",		   8 }, /* an author beyond 32 bits */
		{"\x01\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* a time beyond 63 */
	};
	struct event got;
	size_t used;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(eq(int, event_decode(&got, bad[i].bytes, bad[i].n, &used), HW_ECORRUPT),
			"%zu", i);
}

Test(event, a_negative_time_is_the_start)
{
	const struct event ev = {.type = EVENT_NOTE, .time = -5};
	struct event got;
	struct buf b;
	size_t used;

	buf_init(&b, 100);
	event_encode(&b, &ev);
	cr_assert(eq(int, event_decode(&got, buf_data(&b), b.len, &used), 0));
	cr_assert(eq(i64, got.time, 0));
	buf_fini(&b);
}
