#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/clock.h"
#include "proto/wire/backoff.h"

/* The random bits that give the longest delay under `top`. */
static int64_t
longest(struct backoff *b, int64_t top)
{
	return backoff_next(b, (uint64_t)top - 1);
}

Test(backoff, doubles_from_a_quarter_second_to_a_minute)
{
	struct backoff b = {0};

	for (int64_t top = 250 * USEC_PER_MSEC; top < 60 * USEC_PER_SEC; top *= 2)
		cr_assert(eq(i64, longest(&b, top), top));
	for (int i = 0; i < 3; i++)
		cr_assert(eq(i64, longest(&b, 60 * USEC_PER_SEC), 60 * USEC_PER_SEC));
}

Test(backoff, is_never_zero_and_never_above_a_minute)
{
	struct backoff b = {0};

	for (uint64_t i = 0; i < 100000; i++) {
		int64_t delay = backoff_next(&b, i * UINT64_C(0x9e3779b97f4a7c15));

		cr_assert(delay > 0 && delay <= 60 * USEC_PER_SEC);
	}
	cr_assert(eq(i64, backoff_next(&b, 0), 1));
}

Test(backoff, starts_anew_after_a_reset)
{
	struct backoff b = {.attempts = 6};

	backoff_reset(&b);
	cr_assert(eq(i64, longest(&b, 250 * USEC_PER_MSEC), 250 * USEC_PER_MSEC));
}

Test(backoff, survives_any_number_of_attempts)
{
	struct backoff b = {.attempts = ~0u};

	cr_assert(eq(i64, longest(&b, 60 * USEC_PER_SEC), 60 * USEC_PER_SEC));
	cr_assert(eq(i64, longest(&b, 60 * USEC_PER_SEC), 60 * USEC_PER_SEC));
}
