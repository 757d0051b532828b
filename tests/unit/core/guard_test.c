/* Back-off: who waits, how long, and whom that does not concern. */
#include "relay/core/guard.h"

#include <stdio.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#define S     USEC_PER_SEC
#define START (1000 * S)
#define FREE  5

static struct guard_hold hold;

static int64_t
wait_of(struct guard *g, const char *source, const char *principal, int64_t now)
{
	bool may = guard_check(g, source, principal, now, &hold);

	cr_assert(eq(int, may, hold.wait == 0));
	return hold.wait;
}

static void
fail(struct guard *g, int times, const char *source, const char *principal, int64_t now)
{
	for (int i = 0; i < times; i++)
		guard_failed(g, source, principal, now);
}

Test(guard, some_failures_are_free_and_then_the_wait_doubles_up_to_a_quarter_of_an_hour)
{
	static const int64_t waits[] = {
		0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900};
	struct guard *g = guard_new(FREE);
	int64_t now = START;

	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		cr_assert(eq(i64, wait_of(g, "192.0.2.7", NULL, now), 0));
		guard_failed(g, "192.0.2.7", NULL, now);
		cr_assert(eq(i64, wait_of(g, "192.0.2.7", NULL, now), waits[i] * S), "after %zu",
			i + 1);
		now += waits[i] * S;
	}
	guard_free(g);
}

Test(guard, a_wait_runs_down_and_asking_meanwhile_does_not_lengthen_it)
{
	struct guard *g = guard_new(FREE);

	fail(g, FREE + 3, "192.0.2.7", NULL, START);
	for (int i = 0; i < 8; i++)
		cr_assert(eq(i64, wait_of(g, "192.0.2.7", NULL, START + i * S), (8 - i) * S));
	cr_assert(eq(i64, wait_of(g, "192.0.2.7", NULL, START + 8 * S), 0));
	cr_assert(eq(u64, guard_held(g), 8));
	guard_free(g);
}

Test(guard, only_the_first_time_that_a_source_is_held_back_is_news_until_it_is_forgotten)
{
	struct guard *g = guard_new(FREE);

	fail(g, FREE, "192.0.2.7", NULL, START);
	wait_of(g, "192.0.2.7", NULL, START);
	cr_assert(hold.first);
	wait_of(g, "192.0.2.7", NULL, START);
	cr_assert(not(hold.first));
	fail(g, FREE, "192.0.2.7", NULL, START + 2 * GUARD_FORGET);
	wait_of(g, "192.0.2.7", NULL, START + 2 * GUARD_FORGET);
	cr_assert(hold.first);
	guard_free(g);
}

Test(guard, failures_are_forgotten_after_an_hour_of_quiet_and_not_before)
{
	struct guard *g = guard_new(FREE);

	fail(g, FREE + 4, "192.0.2.7", NULL, START);
	guard_failed(g, "192.0.2.7", NULL, START + GUARD_FORGET - 1);
	cr_assert(eq(i64, wait_of(g, "192.0.2.7", NULL, START + GUARD_FORGET), 32 * S - 1));
	guard_failed(g, "192.0.2.7", NULL, START + 2 * GUARD_FORGET);
	cr_assert(eq(i64, wait_of(g, "192.0.2.7", NULL, START + 2 * GUARD_FORGET), 0));
	guard_free(g);
}

Test(guard, who_owns_one_good_token_cannot_wash_failures_off_with_it)
{
	struct guard *g = guard_new(FREE);

	fail(g, FREE + 5, "192.0.2.7", NULL, START);
	guard_passed(g, "192.0.2.7", START + 40 * S);
	guard_failed(g, "192.0.2.7", NULL, START + 40 * S);
	cr_assert(eq(i64, wait_of(g, "192.0.2.7", NULL, START + 40 * S), 32 * S),
		"one success buys one guess");
	for (int i = 0; i < 100; i++)
		guard_passed(g, "192.0.2.7", START + 40 * S);
	cr_assert(eq(i64, wait_of(g, "192.0.2.7", NULL, START + 40 * S), 0));
	fail(g, FREE - 1, "192.0.2.7", NULL, START + 40 * S);
	cr_assert(eq(i64, wait_of(g, "192.0.2.7", NULL, START + 40 * S), 0), "and never a debt");
	guard_free(g);
}

Test(guard, a_success_of_who_never_failed_is_nothing)
{
	struct guard *g = guard_new(1);

	guard_passed(g, "192.0.2.7", START);
	guard_failed(g, "192.0.2.7", NULL, START);
	cr_assert(eq(i64, wait_of(g, "192.0.2.7", NULL, START), 1 * S));
	guard_free(g);
}

Test(guard, addresses_of_ipv4_are_apart_and_a_64_of_ipv6_is_one)
{
	struct guard *g = guard_new(FREE);

	fail(g, FREE, "192.0.2.7", NULL, START);
	cr_assert(eq(i64, wait_of(g, "192.0.2.8", NULL, START), 0));
	for (int i = 0; i < FREE; i++) {
		char source[64];
		snprintf(source, sizeof(source), "2001:db8:1:2::%x:%d", 0xf000 + i, i);
		guard_failed(g, source, NULL, START);
	}
	cr_assert(eq(i64, wait_of(g, "2001:db8:1:2:ffff::1", NULL, START), 1 * S));
	cr_assert(eq(i64, wait_of(g, "2001:db8:1:3::1", NULL, START), 0));
	fail(g, FREE, "unknown", NULL, START);
	cr_assert(eq(i64, wait_of(g, "unknown", NULL, START), 1 * S));
	guard_free(g);
}

Test(guard, nobody_can_lock_out_others_by_guessing_at_their_activation)
{
	struct guard *g = guard_new(FREE);
	char source[64];

	for (int i = 0; i < 200; i++) {
		snprintf(source, sizeof(source), "198.51.100.%d", i);
		guard_failed(g, source, "7d1e", START);
	}
	cr_assert(eq(i64, wait_of(g, "192.0.2.7", "7d1e", START), 0), "it has never failed");
	cr_assert(eq(i64, wait_of(g, source, "7d1e", START), GUARD_WAIT_MAX),
		"a crowd gets one guess each, and then waits together");
	cr_assert(eq(i64, wait_of(g, source, "beef", START), 0), "for what it guesses at");
	cr_assert(eq(i64, wait_of(g, source, NULL, START), 0));
	guard_free(g);
}

Test(guard, a_principal_is_not_a_source_of_that_name)
{
	struct guard *g = guard_new(FREE);

	fail(g, FREE, "192.0.2.7", "192.0.2.9", START);
	cr_assert(eq(i64, wait_of(g, "192.0.2.9", NULL, START), 0));
	guard_free(g);
}

Test(guard, whoever_never_failed_gets_in_however_many_sources_fail)
{
	struct guard *g = guard_new(FREE);
	char source[64];

	for (int i = 0; i < 3 * GUARD_ENTRIES; i++) {
		snprintf(source, sizeof(source), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		fail(g, FREE + 1, source, "7d1e", START);
	}
	cr_assert(eq(i64, wait_of(g, "192.0.2.7", "7d1e", START), 0));
	guard_free(g);
}

Test(guard, a_crowd_of_sources_makes_none_forget_the_worst)
{
	struct guard *g = guard_new(FREE);
	char source[64];

	fail(g, FREE + 9, "192.0.2.7", NULL, START);
	for (int i = 0; i < 4 * GUARD_ENTRIES; i++) {
		snprintf(source, sizeof(source), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		guard_failed(g, source, NULL, START + 600 * S);
	}
	cr_assert(eq(i64, wait_of(g, "192.0.2.7", NULL, START + 500 * S), 12 * S));
	guard_failed(g, "192.0.2.7", NULL, START + 600 * S);
	cr_assert(eq(i64, wait_of(g, "192.0.2.7", NULL, START + 600 * S), GUARD_WAIT_MAX));
	fail(g, FREE, source, NULL, START + 600 * S);
	cr_assert(gt(i64, wait_of(g, source, NULL, START + 600 * S), 0),
		"and there is still room to remember another");
	guard_free(g);
}

Test(guard, what_was_forgotten_makes_room_first)
{
	struct guard *g = guard_new(FREE);
	char source[64];

	for (int i = 0; i < GUARD_ENTRIES; i++) {
		snprintf(source, sizeof(source), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		fail(g, FREE + 20, source, NULL, i == 17 ? START : START + GUARD_FORGET);
	}
	guard_failed(g, "192.0.2.7", NULL, START + GUARD_FORGET);
	fail(g, FREE - 1, "192.0.2.7", NULL, START + GUARD_FORGET);
	cr_assert(eq(i64, wait_of(g, "192.0.2.7", NULL, START + GUARD_FORGET), 1 * S));
	cr_assert(eq(i64, wait_of(g, "10.0.0.0", NULL, START + GUARD_FORGET), GUARD_WAIT_MAX));
	guard_free(g);
}

Test(guard, more_failures_than_can_be_counted_still_wait)
{
	struct guard *g = guard_new(FREE);

	fail(g, 200000, "192.0.2.7", NULL, START);
	cr_assert(eq(i64, wait_of(g, "192.0.2.7", NULL, START), GUARD_WAIT_MAX));
	guard_free(g);
}
