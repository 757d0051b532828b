/* How bulk gives way to keys, on lines that are made up here: one queue, which bulk fills as fast
 * as it may, and which a measurement goes through as a key would. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "relay/core/pacer.h"

#define SEC  INT64_C(1000000)
#define MSEC INT64_C(1000)
#define STEP (MSEC / 10)

struct line {
	struct pace pace;
	int64_t now;
	uint64_t speed;	  /* bytes a second */
	int64_t way;	  /* there and back, when it is empty */
	int64_t unrest;	  /* what may come on top, evenly spread */
	uint64_t window;  /* what bulk has under way at most, unless it is held back */
	uint64_t allowed; /* and may still send */
	uint64_t queued, carried;
	int64_t asked, back; /* a measurement is under way, and when it will be over; 0: none */
	int64_t worst;	     /* since it was cleared */
	bool bulk;
	unsigned dice;
};

static int64_t
chance(struct line *l, int64_t most)
{
	l->dice = l->dice * 1103515245U + 12345U;
	return most == 0 ? 0 : (int64_t)(l->dice >> 8) % most;
}

static void
measure(struct line *l)
{
	int64_t every = pace_measure_every(&l->pace, l->now);

	if (l->back != 0 && l->now >= l->back) {
		pace_measured(&l->pace, l->back - l->asked, l->now);
		if (l->back - l->asked > l->worst)
			l->worst = l->back - l->asked;
		l->back = 0;
	} else if (l->back != 0) {
		pace_waits(&l->pace, l->now - l->asked, l->now);
	} else if (every != 0 && l->now - l->asked >= every) {
		l->asked = l->now;
		l->back = l->now + l->way + chance(l, l->unrest) +
			(int64_t)(l->queued * 1000000 / l->speed);
	}
}

static void
step(struct line *l)
{
	uint64_t room = l->speed * (uint64_t)STEP / 1000000;
	uint64_t gone = room < l->queued ? room : l->queued;

	l->now += STEP;
	l->queued -= gone;
	l->carried += gone;
	pace_passed(&l->pace, PACE_FROM_NODE, gone, l->now);
	if (l->bulk && l->queued < l->window)
		l->queued += pace_take(&l->pace, PACE_FROM_NODE, l->window - l->queued, l->now);
	measure(l);
}

static void
run(struct line *l, int64_t usec)
{
	for (int64_t until = l->now + usec; l->now < until;)
		step(l);
}

/* A key each 200 ms. */
static void
type(struct line *l, int64_t usec)
{
	for (int64_t until = l->now + usec; l->now < until;) {
		pace_typed(&l->pace, l->now);
		run(l, 200 * MSEC);
	}
}

/* Measured once before anything else, as the relay does when a link comes up. */
static struct line
line(uint64_t speed, int64_t way, int64_t unrest)
{
	struct line l = {.now = SEC,
		.speed = speed,
		.way = way,
		.unrest = unrest,
		.window = speed / 2,
		.dice = 7};

	pace_measured(&l.pace, way + chance(&l, unrest), l.now);
	return l;
}

/* Bytes a second that the line carries while somebody types, when that has settled; its worst
 * measurement of then is in l->worst. */
static uint64_t
settled(struct line *l)
{
	l->bulk = true;
	run(l, 2 * SEC);
	type(l, 5 * SEC);
	uint64_t before = l->carried;
	l->worst = 0;
	type(l, 10 * SEC);
	return (l->carried - before) / 10;
}

Test(pace, bulk_is_not_held_back_while_nobody_types)
{
	struct line l = line(1250000, MSEC, 0);

	l.bulk = true;
	run(&l, 10 * SEC);
	cr_expect_geq(l.carried, 12 * 1000 * 1000U);
	cr_expect_eq(l.asked, 0, "nothing is measured");
}

Test(pace, a_slow_line_is_nearly_full_and_its_queue_nearly_empty)
{
	struct line l = line(1250000, MSEC, 0);

	uint64_t speed = settled(&l);
	cr_expect_geq(speed, 1250000U * 8 / 10, "%lu bytes a second", (unsigned long)speed);
	cr_expect_leq(l.worst, 60 * MSEC, "%ld us", (long)l.worst);
}

Test(pace, so_is_a_fast_one)
{
	struct line l = line(125 * 1000 * 1000, 300, 100);

	uint64_t speed = settled(&l);
	cr_expect_geq(speed, 125U * 1000 * 1000 / 2, "%lu bytes a second", (unsigned long)speed);
	cr_expect_leq(l.worst, 3 * MSEC, "%ld us", (long)l.worst);
}

Test(pace, a_long_way_is_not_taken_for_a_queue)
{
	struct line l = line(12 * 1000 * 1000, 80 * MSEC, 2 * MSEC);

	uint64_t speed = settled(&l);
	cr_expect_geq(speed, 12U * 1000 * 1000 * 7 / 10, "%lu bytes a second",
		(unsigned long)speed);
	cr_expect_leq(l.worst, 130 * MSEC, "%ld us", (long)l.worst);
}

/* As a radio's is: how long the way takes says little. */
Test(pace, a_restless_line_keeps_most_of_its_speed)
{
	struct line l = line(6 * 1000 * 1000, 3 * MSEC, 20 * MSEC);

	uint64_t speed = settled(&l);
	cr_expect_geq(speed, 6U * 1000 * 1000 / 2, "%lu bytes a second", (unsigned long)speed);
}

/* A way that has become longer for good is believed in the end. */
Test(pace, a_detour_costs_nothing_after_two_minutes)
{
	struct line l = line(6 * 1000 * 1000, 3 * MSEC, MSEC);

	settled(&l);
	l.way = 50 * MSEC;
	type(&l, 125 * SEC);
	uint64_t speed = settled(&l);
	cr_expect_geq(speed, 6U * 1000 * 1000 * 6 / 10, "%lu bytes a second", (unsigned long)speed);
}

Test(pace, bulk_has_all_again_a_minute_after_the_last_key)
{
	struct line l = line(1250000, MSEC, 0);

	settled(&l);
	cr_expect_neq(l.pace.rate, 0);
	run(&l, PACE_TYPES - SEC);
	cr_expect_lt(pace_take(&l.pace, PACE_TO_NODE, 1 << 30, l.now), 1U << 30);
	run(&l, SEC);
	cr_expect_eq(pace_take(&l.pace, PACE_TO_NODE, 1 << 30, l.now), 1U << 30);
	cr_expect_eq(pace_measure_every(&l.pace, l.now), 0);
}

/* Who types again finds the queue as short as before. */
Test(pace, what_was_learned_is_kept)
{
	struct line l = line(1250000, MSEC, 0);

	settled(&l);
	run(&l, 5 * 60 * SEC);
	pace_typed(&l.pace, l.now);
	cr_expect_gt(l.pace.rate, 0);
	cr_expect_leq(l.pace.rate, 2 * l.speed);
}

Test(pace, the_floor_is_never_passed)
{
	struct line l = line(100 * 1024, MSEC, 0);

	for (int i = 0; i < 100; i++, l.now += 10 * SEC) {
		pace_typed(&l.pace, l.now);
		pace_passed(&l.pace, PACE_FROM_NODE, 1 << 20, l.now);
		pace_waits(&l.pace, 9 * SEC, l.now);
	}
	cr_expect_eq(l.pace.rate, PACE_FLOOR);
}

/* What comes to less than a byte is not lost. */
Test(pace, the_purse_fills_however_often_it_is_looked_into)
{
	struct pace p = {.typed = SEC, .rate = PACE_FLOOR};
	uint64_t taken = pace_take(&p, PACE_TO_NODE, 1 << 20, SEC);

	for (int64_t now = SEC; now < 11 * SEC; now += 10)
		taken += pace_take(&p, PACE_TO_NODE, 1 << 20, now);
	cr_expect_geq(taken, 10 * PACE_FLOOR * 9 / 10);
	cr_expect_leq(taken, 11 * PACE_FLOOR + 16 * 1024);
}

/* The system's clock jumps while a machine sleeps. */
Test(pace, a_sleep_does_not_fill_the_purse)
{
	struct pace p = {.typed = SEC, .rate = PACE_FLOOR};

	pace_take(&p, PACE_TO_NODE, 1, SEC);
	uint64_t most = pace_take(&p, PACE_TO_NODE, UINT64_MAX / 4, SEC + 50 * SEC);
	cr_expect_leq(most, 16U * 1024);
	cr_expect_eq(pace_take(&p, PACE_TO_NODE, 1 << 20, SEC + 50 * SEC), 0);
}

/* Its receiver allows less than a stream begins with. */
Test(pace, nobody_is_let_past_the_receivers_limit)
{
	struct pacer p = {.pace = {0}};
	struct paced d = {.again = NULL};

	paced_open(&d, &p, PACE_TO_NODE, 256 * 1024);
	cr_expect_eq(paced_allow(&d, 10), 10);
	cr_expect_eq(paced_allow(&d, 256 * 1024), 256 * 1024);
	paced_close(&d);
	cr_expect_eq(paced_allow(&d, 20), 20);
}
