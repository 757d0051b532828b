/*
 * Random schedules: failures, timeouts, lost nodes, cancels, in any order. After each event the
 * real fan-out stands where the model stands, and what must always hold does. HAWSER_SCHEDULES=N
 * tries more of them; HAWSER_SEED=N begins elsewhere.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/schema/schema.h"
#include "tests/unit/fanout/model.h"

#define SCHEDULES  2500
#define EVENTS_MAX 600

struct schedule {
	uint64_t seed, random;
	struct fanout *real;
	struct model model;
	enum fanout_state before[MODEL_MAX]; /* of the real one, as it was told */
	bool told[MODEL_MAX];
};

/* splitmix64 */
static uint32_t
roll(struct schedule *s, uint32_t n)
{
	uint64_t z = s->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ (z >> 31)) % n);
}

static void
on_changed(void *arg, uint32_t i)
{
	struct schedule *s = arg;

	s->told[i] = true;
}

/* --- what must hold -----------------------------------------------------------------------------
 */

static bool
may_follow(enum fanout_state from, enum fanout_state to)
{
	return to >= from || (from == FANOUT_RELEASED && to == FANOUT_WAITING);
}

static void
check_target(struct schedule *s, uint32_t i)
{
	enum fanout_state now = fanout_state(s->real, i), was = s->before[i];

	cr_assert(eq(int, now, s->model.t[i].state), "seed %lu, target %u", (unsigned long)s->seed,
		i);
	cr_assert(eq(int, fanout_was_delayed(s->real, i), s->model.t[i].delayed), "seed %lu",
		(unsigned long)s->seed);
	cr_assert(may_follow(was, now), "seed %lu: from %d to %d", (unsigned long)s->seed, was,
		now);
	cr_assert_not(fanout_is_end(was) && now != was, "seed %lu: an end was left",
		(unsigned long)s->seed);
	cr_assert_not(now != was && !s->told[i], "seed %lu: a change was not told",
		(unsigned long)s->seed);
	s->before[i] = now;
	s->told[i] = false;
}

static void
check(struct schedule *s)
{
	struct fanout_counts c;
	struct fanout_words w = fanout_words(s->real);
	uint32_t sum = 0;
	char words[128];

	for (int i = 0; i < s->model.n; i++)
		check_target(s, (uint32_t)i);
	fanout_count(&c, s->real);
	for (int k = 0; k < FANOUT_STATES; k++)
		sum += c.of[k];
	cr_assert(eq(u32, sum, c.targets));
	cr_assert(le(u32, c.under_way, (uint32_t)s->model.concurrency), "seed %lu",
		(unsigned long)s->seed);
	cr_assert(eq(u32, c.under_way, (uint32_t)model_under_way(&s->model)));
	cr_assert(eq(u32, c.ended, (uint32_t)model_ended_count(&s->model)));
	if (c.errors > (uint32_t)s->model.errors)
		cr_assert(eq(u32, c.of[FANOUT_WAITING] + c.of[FANOUT_RELEASED], 0), "seed %lu",
			(unsigned long)s->seed);
	snprintf(words, sizeof(words), "%s/%s", enum_text(&enum_INVOCATION_STATUS, w.status),
		w.details);
	cr_assert_str_eq(words, model_words(&s->model), "seed %lu", (unsigned long)s->seed);
}

/* --- events -------------------------------------------------------------------------------------
 */

static enum fanout_state
some_end(struct schedule *s)
{
	static const enum fanout_state ends[] = {FANOUT_SUCCESS, FANOUT_SUCCESS, FANOUT_SUCCESS,
		FANOUT_FAILED, FANOUT_TIMED_OUT, FANOUT_NOT_DELIVERED, FANOUT_UNDELIVERABLE,
		FANOUT_INVALID_PLATFORM, FANOUT_ACCESS_DENIED, FANOUT_CANCELLED};

	return ends[roll(s, sizeof(ends) / sizeof(ends[0]))];
}

/* A node goes its way: it is given the target, says that it has it, ends it. */
static void
go_on(struct schedule *s, uint32_t i)
{
	enum fanout_state end = some_end(s);

	switch (fanout_state(s->real, i)) {
	case FANOUT_RELEASED:
		cr_assert(fanout_sent(s->real, i));
		model_sent(&s->model, (int)i);
		return;
	case FANOUT_SENT:
		fanout_acknowledged(s->real, i);
		model_acknowledged(&s->model, (int)i);
		return;
	case FANOUT_RUNNING:
	case FANOUT_CANCELLING:
		cr_assert(fanout_ended(s->real, i, end));
		model_ended(&s->model, (int)i, end);
		return;
	default:
		cr_assert_not(fanout_sent(s->real, i));
		return;
	}
}

static void
come_or_go(struct schedule *s, uint32_t i)
{
	bool online = roll(s, 3) > 0;

	fanout_node(s->real, i, online);
	model_node(&s->model, (int)i, online);
}

static void
out_of_order(struct schedule *s, uint32_t i)
{
	enum fanout_state end = some_end(s);

	switch (roll(s, 4)) {
	case 0:
		fanout_slow(s->real, i);
		model_slow(&s->model, (int)i);
		return;
	case 1:
		fanout_unreceived(s->real, i);
		model_unreceived(&s->model, (int)i);
		return;
	case 2:
		fanout_acknowledged(s->real, i);
		model_acknowledged(&s->model, (int)i);
		return;
	default:
		fanout_ended(s->real, i, end);
		model_ended(&s->model, (int)i, end);
	}
}

static void
expire_all(struct fanout *f, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		fanout_expire(f, i);
}

static void
of_all(struct schedule *s, uint32_t i)
{
	switch (roll(s, 12)) {
	case 0:
		fanout_cancel_all(s->real);
		model_cancel_all(&s->model);
		return;
	case 1:
		fanout_delivery_over(s->real);
		model_delivery_over(&s->model);
		return;
	case 2:
		expire_all(s->real, (uint32_t)s->model.n);
		model_expire(&s->model);
		return;
	default:
		fanout_cancel(s->real, i);
		model_cancel(&s->model, (int)i);
	}
}

static void
event(struct schedule *s)
{
	uint32_t i = roll(s, (uint32_t)s->model.n), what = roll(s, 100);

	if (what < 70)
		go_on(s, i);
	else if (what < 90)
		come_or_go(s, i);
	else if (what < 98)
		out_of_order(s, i);
	else
		of_all(s, i);
	model_settle(&s->model);
	check(s);
}

static void
run(struct schedule *s, uint64_t seed)
{
	memset(s, 0, sizeof(*s));
	s->seed = s->random = seed;
	int n = 1 + (int)roll(s, roll(s, 4) == 0 ? MODEL_MAX : 12);
	int concurrency = 1 + (int)roll(s, (uint32_t)n + 4), errors = (int)roll(s, (uint32_t)n + 1);

	s->real = fanout_new((uint32_t)n, (uint32_t)concurrency, (uint32_t)errors, on_changed, s);
	cr_assert(s->real != NULL);
	model_init(&s->model, n, concurrency, errors);
	for (int i = 0; i < n; i++) {
		s->model.t[i].online = roll(s, 4) > 0;
		fanout_put(s->real, (uint32_t)i, FANOUT_WAITING, false, s->model.t[i].online);
	}
	fanout_start(s->real);
	model_settle(&s->model);
	check(s);
	for (int k = 0; k < EVENTS_MAX && !fanout_is_over(s->real); k++)
		event(s);
	expire_all(s->real, (uint32_t)n);
	model_expire(&s->model);
	check(s);
	cr_assert(fanout_is_over(s->real));
	fanout_free(s->real);
}

static uint64_t
number(const char *name, uint64_t plain)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : plain;
}

Test(schedules, any_schedule_goes_as_the_model_says, .timeout = 1200)
{
	struct schedule *s = malloc(sizeof(*s));
	uint64_t first = number("HAWSER_SEED", 1), n = number("HAWSER_SCHEDULES", SCHEDULES);

	cr_assert(s != NULL);
	for (uint64_t k = 0; k < n; k++)
		run(s, first + k);
	free(s);
}
