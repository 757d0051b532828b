#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/wire/window.h"

#define MS     INT64_C(1000)
#define FIRST  ((uint64_t)WINDOW_FIRST)
#define LIMITS (UINT64_C(256) << 20)

/* A stream whose sender always goes as far as it may, over a way that takes `way` microseconds
 * there and back and carries `rate` bytes in one; then `n` windows of it. */
static void
flow(struct window *w, struct window_pool *pool, uint64_t *done, int64_t *now, int64_t way,
	uint64_t rate, int n)
{
	for (int i = 0; i < 4 * n; i++) {
		int64_t carried = (int64_t)(w->size / 4 / rate);
		*now += carried > way / 4 ? carried : way / 4;
		*done += w->size / 4;
		window_move(w, pool, *done, 0, *now);
	}
}

Test(window, it_grows_to_what_a_long_way_holds)
{
	struct window_pool pool = {.max = LIMITS};
	struct window w;
	uint64_t done = 0;
	int64_t now = 0;

	window_init(&w, FIRST, now);
	flow(&w, &pool, &done, &now, 80 * MS, 125, 12); /* 1 Gbit/s holds 10 MB in 80 ms */
	cr_assert(ge(u64, w.size, 10000000));
	cr_assert(le(u64, w.size, WINDOW_MAX));
	cr_assert(eq(u64, w.limit, done + w.size));
	cr_assert(eq(u64, pool.taken, w.size - FIRST));
	window_close(&w, &pool);
	cr_assert(eq(u64, pool.taken, 0));
}

Test(window, a_slow_one_holds_no_more_than_half_a_second_twice)
{
	struct window_pool pool = {.max = LIMITS};
	struct window w;
	uint64_t done = 0;
	int64_t now = 0;

	window_init(&w, FIRST, now);
	flow(&w, &pool, &done, &now, MS, 1, 12); /* 1 MB/s */
	cr_assert(le(u64, w.size, 1000000));
	window_close(&w, &pool);
}

Test(window, it_does_not_grow_while_bytes_pile_up)
{
	struct window_pool pool = {.max = LIMITS};
	struct window w;

	window_init(&w, FIRST, 0);
	for (uint64_t i = 1; i < 100; i++)
		window_move(&w, &pool, i * FIRST / 4, FIRST / 4, (int64_t)i * MS);
	cr_assert(eq(u64, w.size, FIRST));
	cr_assert(eq(u64, pool.taken, 0));
}

Test(window, it_comes_back_when_bytes_pile_up_and_no_limit_goes_back)
{
	struct window_pool pool = {.max = LIMITS};
	struct window w;
	uint64_t done = 0, limit, before;
	int64_t now = 0;

	window_init(&w, FIRST, now);
	flow(&w, &pool, &done, &now, 10 * MS, 125, 12);
	cr_assert(eq(u64, w.size, WINDOW_MAX));
	before = w.limit;
	for (int i = 0; i < 1000 && w.size > FIRST; i++) {
		done += FIRST;
		now += MS;
		limit = window_move(&w, &pool, done, 12 << 20, now);
		cr_assert(ge(u64, limit, before));
		/* what was told is held, whatever the size is now */
		cr_assert(le(u64, limit - done, FIRST + pool.taken));
		before = limit;
	}
	cr_assert(eq(u64, w.size, FIRST));
	for (; w.limit > done + FIRST; now += MS)
		window_move(&w, &pool, done += FIRST / 4, FIRST / 4, now);
	cr_assert(le(u64, pool.taken, FIRST));
	window_close(&w, &pool);
}

Test(window, a_pause_halves_it)
{
	struct window_pool pool = {.max = LIMITS};
	struct window w;
	uint64_t done = 0, size;
	int64_t now = 0;

	window_init(&w, FIRST, now);
	flow(&w, &pool, &done, &now, 10 * MS, 125, 12);
	size = w.size;
	window_move(&w, &pool, done + 1, 0, now + 10000 * MS);
	cr_assert(eq(u64, w.size, size / 2));
	window_close(&w, &pool);
}

/* Whoever stops reading, and however many they are: beyond their first windows is only the pool. */
Test(window, an_empty_pool_stops_all_that_share_it)
{
	struct window_pool all = {.max = 20 << 20};
	struct window_pool link[2] = {
		{.max = 16 << 20, .parent = &all},
		   {.max = 16 << 20, .parent = &all}
	    };
	struct window w[50];
	uint64_t done[50] = {0}, ahead = 0;
	int64_t now = 0;

	for (int i = 0; i < 50; i++)
		window_init(&w[i], FIRST, now);
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < 50; i++)
			flow(&w[i], &link[i % 2], &done[i], &now, 40, 1000000, 1);
	for (int i = 0; i < 50; i++)
		ahead += w[i].limit - done[i];
	cr_assert(le(u64, all.taken, all.max));
	cr_assert(le(u64, link[0].taken, link[0].max));
	cr_assert(eq(u64, all.taken, link[0].taken + link[1].taken));
	cr_assert(le(u64, ahead, 50 * FIRST + all.max));
	for (int i = 0; i < 50; i++)
		window_close(&w[i], &link[i % 2]);
	cr_assert(eq(u64, all.taken, 0));
	cr_assert(eq(u64, link[0].taken, 0));
}

Test(window, a_first_size_above_the_largest_stays)
{
	struct window_pool pool = {.max = LIMITS};
	struct window w;
	uint64_t done = 0, first = UINT64_C(32) << 20;
	int64_t now = 0;

	window_init(&w, first, now);
	flow(&w, &pool, &done, &now, MS, 100000, 5);
	cr_assert(eq(u64, w.size, first));
	cr_assert(eq(u64, pool.taken, 0));
}
