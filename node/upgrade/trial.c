#include "node/upgrade/trial.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/base/file.h"

#define LOOK_EVERY_MS	100
#define ABSENT_MS	20000 /* without an agent: holders wait for one for a minute */
#define BACK_WITHIN_MS	60000 /* for the old agent */
#define STATE_WITHIN_MS 2000

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- the trial -------------------------------------------------------------------------------- */

/* What is known of the new agent so far, for the sentence of a trial that fails. */
struct sight {
	bool seen;
	int64_t last; /* when it answered last, or was to be started */
	char why[COURIER_TEXT_MAX];
};

/* 1: it has proved itself; 0: not yet. */
static int
look(struct trial *t, struct sight *sight, int64_t until, struct hw_err *err)
{
	struct courier_ask state = {.kind = COURIER_STATE}, test = {.kind = COURIER_TEST};
	struct courier_answer answer;
	const uint8_t *piece;
	int r;

	if (agent_ask(&answer, &piece, t->talk, &state, STATE_WITHIN_MS, NULL) < 0)
		return 0;
	if (strcmp(answer.agent, t->slot.version) != 0) {
		agent_hang_up(t->talk); /* the old one, about to end */
		return 0;
	}
	sight->seen = true;
	sight->last = now_ms();
	memcpy(sight->why, answer.text, sizeof(sight->why));
	if (!answer.connected)
		return 0;
	int64_t left = until - now_ms();
	r = agent_ask(&answer, &piece, t->talk, &test, left > 0 ? (int)left : 0, err);
	if (r < 0)
		hw_err_prefix(err, "the new agent reached the relay, and failed its test");
	return r < 0 ? r : 1;
}

static int
give_up(const struct trial *t, const struct sight *sight, struct hw_err *err)
{
	int seconds = t->within * 1000 < ABSENT_MS ? t->within : ABSENT_MS / 1000;

	if (!sight->seen)
		return hw_err_set(err, HW_ETIMEOUT,
			"the new agent did not start within %d seconds; the log of hawser-node has "
			"what it said",
			seconds);
	if (now_ms() - sight->last > ABSENT_MS)
		return hw_err_set(err, HW_ETIMEOUT,
			"the new agent started, and did not answer any more for %d seconds",
			ABSENT_MS / 1000);
	return hw_err_set(err, HW_ETIMEOUT,
		"the new agent did not reach the relay within %d seconds: %s", t->within,
		sight->why);
}

static int
watch(struct trial *t, struct hw_err *err)
{
	struct sight sight = {.seen = false, .last = now_ms()};
	int64_t until = now_ms() + (int64_t)t->within * 1000;
	int r = 0;

	while (r == 0 && now_ms() < until && now_ms() - sight.last <= ABSENT_MS) {
		poll(NULL, 0, LOOK_EVERY_MS);
		r = look(t, &sight, until, err);
	}
	return r != 0 ? r : give_up(t, &sight, err);
}

static int
switch_over(struct trial *t, struct hw_err *err)
{
	struct courier_ask again = {.kind = COURIER_AGAIN};
	struct courier_answer answer;
	const uint8_t *piece;
	int r;

	if ((r = slots_write(t->slots, SLOTS_TRIAL, &t->slot, err)) < 0 ||
		(r = agent_ask(&answer, &piece, t->talk, &again, AGENT_WITHIN_MS, err)) < 0)
		return r;
	agent_hang_up(t->talk);
	return 0;
}

/* --- and back --------------------------------------------------------------------------------- */

static bool
is_back(struct trial *t)
{
	struct courier_ask state = {.kind = COURIER_STATE};
	struct courier_answer answer;
	const uint8_t *piece;
	bool back = agent_ask(&answer, &piece, t->talk, &state, STATE_WITHIN_MS, NULL) == 0 &&
		strcmp(answer.agent, t->running) == 0;

	agent_hang_up(t->talk);
	return back;
}

/* The launcher sees that there is no trial any more. */
static int
put_back(struct trial *t, struct hw_err *err)
{
	int64_t until = now_ms() + BACK_WITHIN_MS;
	struct hw_err more = HW_ERR_INIT;
	char why[COURIER_TEXT_MAX];
	int code = err->code;

	snprintf(why, sizeof(why), "%s", hw_err_text(err));
	agent_hang_up(t->talk);
	if (slots_drop(t->slots, SLOTS_TRIAL, &more) < 0)
		return hw_err_set(err, code, "%s; and %s", why, hw_err_text(&more));
	while (now_ms() < until && !is_back(t))
		poll(NULL, 0, LOOK_EVERY_MS);
	return now_ms() < until
		? hw_err_set(err, code, "%s; %s runs again", why, t->running)
		: hw_err_set(err, code, "%s; and %s does not answer since", why, t->running);
}

int
trial_run(struct trial *t, struct hw_err *err)
{
	char why[COURIER_TEXT_MAX];
	int r;

	if ((r = slots_starts(t->slots_path, &t->slot, err)) < 0) {
		snprintf(why, sizeof(why), "%s", hw_err_text(err));
		return hw_err_set(err, r, "%s; %s was not touched", why, t->running);
	}
	printf("trying it, for %d seconds at most\n", t->within);
	if (switch_over(t, err) < 0 || watch(t, err) < 0)
		return put_back(t, err);
	agent_hang_up(t->talk);
	return slots_take(t->slots, err);
}
