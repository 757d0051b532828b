#include "proto/base/arena.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdint.h>
#include <string.h>

Test(arena, memory_is_zeroed_aligned_and_apart)
{
	struct arena *a = arena_new(1 << 20);

	for (size_t n = 1; n < 300; n++) {
		unsigned char *p = arena_alloc(a, n);
		cr_assert(eq(sz, (uintptr_t)p % 16, 0));
		for (size_t i = 0; i < n; i++)
			cr_assert(eq(int, p[i], 0));
		memset(p, 0xff, n);
	}
	arena_free(a);
}

Test(arena, what_is_larger_than_a_block_fits_too)
{
	struct arena *a = arena_new(1 << 20);
	char *small = arena_strdup(a, "small");
	char *big = arena_alloc(a, 100000);
	memset(big, 'x', 100000);
	char *after = arena_strdup(a, "after");

	cr_assert_str_eq(small, "small");
	cr_assert_str_eq(after, "after");
	arena_free(a);
}

Test(arena, hands_out_its_cap_and_not_a_byte_more)
{
	struct arena *a = arena_new(100);

	cr_assert(ne(ptr, arena_alloc(a, 60), NULL));
	cr_assert(zero(ptr, arena_alloc(a, 41)));
	cr_assert(ne(ptr, arena_alloc(a, 40), NULL));
	cr_assert(zero(ptr, arena_strdup(a, "")));
	cr_assert(eq(sz, arena_used(a), 100));
	arena_free(a);
}

Test(arena, absurd_sizes_are_refused)
{
	struct arena *a = arena_new(SIZE_MAX);

	cr_assert(zero(ptr, arena_alloc(a, SIZE_MAX)));
	cr_assert(zero(ptr, arena_array(a, SIZE_MAX / 2, 3)));
	cr_assert(zero(ptr, arena_strndup(a, "x", SIZE_MAX)));
	arena_free(a);
}

Test(arena, copies_are_its_own)
{
	struct arena *a = arena_new(1000);
	char text[] = "abc";
	char *whole = arena_strdup(a, text), *part = arena_strndup(a, text, 2);
	void *bytes = arena_dup(a, text, 3);
	char *print = arena_printf(a, "%s-%d", text, 7);

	memset(text, 'x', 3);
	cr_assert_str_eq(whole, "abc");
	cr_assert_str_eq(part, "ab");
	cr_assert(zero(int, memcmp(bytes, "abc", 3)));
	cr_assert_str_eq(print, "abc-7");
	arena_free(a);
}

Test(arena, freeing_nothing_is_fine)
{
	arena_free(NULL);
}

Test(arena, what_is_released_can_be_had_again_and_is_zeroed)
{
	struct arena *a = arena_new(20000);

	struct arena_mark empty = arena_mark(a);
	char *kept = arena_strdup(a, "kept");
	struct arena_mark mark = arena_mark(a);
	for (int round = 0; round < 100; round++) {
		char *small = arena_alloc(a, 100), *big = arena_alloc(a, 15000);
		cr_assert(ne(ptr, small, NULL));
		cr_assert(ne(ptr, big, NULL));
		for (int i = 0; i < 100; i++)
			cr_assert(eq(int, small[i], 0));
		memset(small, 'x', 100);
		memset(big, 'x', 15000);
		arena_release(a, &mark);
		cr_assert(eq(sz, arena_used(a), 5));
	}
	cr_assert_str_eq(kept, "kept");
	arena_release(a, &mark); /* with nothing since */
	cr_assert_str_eq(kept, "kept");
	arena_release(a, &empty);
	cr_assert(eq(sz, arena_used(a), 0));
	memset(arena_bytes(a, 50), 'x', 50);
	memset(arena_bytes(a, 9000), 'x', 9000);
	char *after = arena_alloc(a, 5000);
	for (int i = 0; i < 5000; i++)
		cr_assert(eq(int, after[i], 0));
	arena_release(a, &empty);
	cr_assert_str_eq(arena_strdup(a, "anew"), "anew");
	arena_free(a);
}
