#include "client/player.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/clock.h"

#define S USEC_PER_SEC

Test(player, waits_as_long_as_it_took)
{
	struct player_clock clock = {.config = {.speed = 1}};

	cr_assert(eq(i64, player_clock_step(&clock, 2 * S), 2 * S));
	cr_assert(eq(i64, player_clock_step(&clock, 5 * S), 3 * S));
	cr_assert(eq(i64, player_clock_step(&clock, 4 * S), 0)); /* time that goes back */
	cr_assert(eq(i64, player_clock_step(&clock, 6 * S), 1 * S));
}

Test(player, speed_and_idle)
{
	struct player_clock clock = {
		.config = {.speed = 4, .skip_idle = 2 * S}
	  };

	cr_assert(eq(i64, player_clock_step(&clock, 1 * S), S / 4));
	cr_assert(eq(i64, player_clock_step(&clock, 100 * S), S / 2));
	cr_assert(eq(i64, player_clock_step(&clock, 101 * S), S / 4));
}

Test(player, what_comes_before_the_beginning_is_shown_at_once)
{
	struct player_clock clock = {
		.config = {.speed = 1, .at = 10 * S}
	    };

	cr_assert(eq(i64, player_clock_step(&clock, 3 * S), 0));
	cr_assert(eq(i64, player_clock_step(&clock, 9 * S), 0));
	cr_assert(eq(i64, player_clock_step(&clock, 12 * S), 2 * S));
	cr_assert(eq(i64, player_clock_step(&clock, 13 * S), 1 * S));
}

Test(player, no_speed_is_at_once)
{
	struct player_clock clock = {.config = {.speed = 0}};

	cr_assert(eq(i64, player_clock_step(&clock, 3600 * S), 0));
}
