#include "proto/base/buf.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

Test(buf, holds_what_was_appended)
{
	struct buf b;

	buf_init(&b, 100);
	cr_assert(zero(ptr, b.mem));
	buf_append(&b, "ab", 2);
	buf_append_str(&b, "cd");
	buf_append_byte(&b, 'e');
	buf_printf(&b, "%d", 42);
	cr_assert_str_eq(buf_str(&b), "abcde42");
	cr_assert(eq(sz, b.len, 7));
	cr_assert(not(b.failed));
	buf_fini(&b);
}

Test(buf, an_empty_one_lends_an_empty_string)
{
	struct buf b;

	buf_init(&b, 0);
	cr_assert(ne(ptr, (void *)buf_data(&b), NULL));
	cr_assert_str_eq(buf_str(&b), "");
	cr_assert(eq(int, buf_append(&b, "", 0), 0));
	buf_fini(&b);
}

Test(buf, takes_its_cap_and_not_a_byte_more)
{
	struct buf b;
	char full[1000] = {0};

	buf_init(&b, sizeof(full));
	cr_assert(eq(int, buf_append(&b, full, sizeof(full)), 0));
	cr_assert(eq(int, buf_append_byte(&b, 'x'), HW_ELIMIT));
	cr_assert(eq(int, buf_printf(&b, "x"), HW_ELIMIT));
	cr_assert(eq(sz, b.len, sizeof(full)));
	cr_assert(b.failed);
	cr_assert(ne(ptr, (void *)buf_str(&b), NULL));
	buf_reset(&b);
	cr_assert(not(b.failed));
	cr_assert(eq(sz, b.len, 0));
	buf_fini(&b);
}

Test(buf, an_append_that_does_not_fit_leaves_the_rest)
{
	struct buf b;

	buf_init(&b, 4);
	buf_append_str(&b, "abc");
	cr_assert(eq(int, buf_append_str(&b, "de"), HW_ELIMIT));
	cr_assert_str_eq(buf_str(&b), "abc");
	buf_fini(&b);
}

Test(buf, absurd_sizes_are_refused)
{
	struct buf b;

	buf_init(&b, SIZE_MAX);
	buf_append_str(&b, "x");
	cr_assert(zero(ptr, buf_reserve(&b, SIZE_MAX - 1)));
	cr_assert(zero(ptr, buf_reserve(&b, SIZE_MAX - 2)));
	cr_assert(eq(int, buf_append(&b, "y", SIZE_MAX), HW_ELIMIT));
	cr_assert_str_eq(buf_str(&b), "x");
	buf_fini(&b);
}

Test(buf, consumed_bytes_make_room)
{
	struct buf b;

	buf_init(&b, 300);
	for (int i = 0; i < 1000; i++) {
		uint8_t chunk[100];
		memset(chunk, i & 0xff, sizeof(chunk));
		cr_assert(eq(int, buf_append(&b, chunk, sizeof(chunk)), 0));
		if (b.len == 300) {
			cr_assert(eq(int, buf_data(&b)[0], (i - 2) & 0xff));
			buf_consume(&b, 100);
		}
	}
	cr_assert(le(sz, b.room, 301));
	buf_consume(&b, b.len);
	cr_assert(eq(sz, b.head, 0));
	buf_fini(&b);
}

Test(buf, reserved_bytes_count_once_committed)
{
	struct buf b;

	buf_init(&b, 10);
	memcpy(buf_reserve(&b, 8), "abcdefgh", 8);
	buf_commit(&b, 3);
	cr_assert_str_eq(buf_str(&b), "abc");
	cr_assert(zero(ptr, buf_reserve(&b, 8)));
	buf_fini(&b);
}

Test(buf, taken_bytes_are_the_takers)
{
	struct buf b;
	size_t n = 0;

	buf_init(&b, 10);
	buf_append_str(&b, "xxabc");
	buf_consume(&b, 2);
	char *text = buf_take(&b, &n);
	cr_assert_str_eq(text, "abc");
	cr_assert(eq(sz, n, 3));
	cr_assert(eq(sz, b.len, 0));
	cr_assert(zero(ptr, b.mem));
	free(text);
}

Test(buf, wiping_leaves_nothing_behind)
{
	struct buf b;

	buf_init(&b, 100);
	buf_append_str(&b, "secret");
	buf_consume(&b, 2);
	buf_wipe(&b);
	cr_assert(ge(sz, b.used, 6));
	for (size_t i = 0; i < b.used; i++)
		cr_assert(eq(int, b.mem[i], 0));
	cr_assert(eq(sz, b.len, 0));
	buf_fini(&b);
}

Test(buf, wiping_also_finds_what_was_written_and_is_not_held_any_more)
{
	static const char text[] = "a secret that was taken back";
	struct buf b;

	buf_init(&b, 100);
	buf_append_str(&b, "abc");
	memcpy(buf_reserve(&b, sizeof(text)), text, sizeof(text)); /* and never counted */
	buf_reset(&b);
	buf_append_str(&b, "x");
	buf_wipe(&b);
	for (size_t i = 0; i < 3 + sizeof(text); i++)
		cr_assert(eq(int, b.mem[i], 0));
	buf_fini(&b);
}

Test(buf, consuming_more_than_there_is_aborts, .signal = SIGABRT)
{
	struct buf b;

	buf_init(&b, 10);
	buf_append_str(&b, "abc");
	buf_consume(&b, 4);
}
