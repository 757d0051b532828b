#include "relay/fanout/fanout.h"

#include <stdlib.h>

#include "relay/fanout/private.h"

/* --- counting ----------------------------------------------------------------------------------
 */

static uint32_t
under_way(const struct fanout *f)
{
	return f->of[FANOUT_RELEASED] + f->of[FANOUT_SENT] + f->of[FANOUT_RUNNING] +
		f->of[FANOUT_CANCELLING];
}

static uint32_t
errors_of(const struct fanout *f)
{
	return f->of[FANOUT_FAILED] + f->of[FANOUT_TIMED_OUT];
}

void
fanout_count(struct fanout_counts *ret, const struct fanout *f)
{
	*ret = (struct fanout_counts){
		.targets = f->n,
		.errors = errors_of(f),
		.not_delivered = f->of[FANOUT_NOT_DELIVERED],
		.under_way = under_way(f),
	};
	for (int s = 0; s < FANOUT_STATES; s++) {
		ret->of[s] = f->of[s];
		ret->ended += fanout_is_end((enum fanout_state)s) ? f->of[s] : 0;
	}
}

/* --- the steps of the beginning ------------------------------------------------------------------
 */

static void
next_step(struct fanout *f)
{
	f->step *= 2;
	f->released = f->answered = 0;
	f->all_steps = f->step >= f->concurrency;
}

static void
answered(struct fanout *f, struct target *t)
{
	if (!(t->flags & TARGET_AWAITED))
		return;
	t->flags &= (uint8_t)~TARGET_AWAITED;
	if (f->all_steps)
		return;
	f->answered++;
	if (f->answered == f->step)
		next_step(f);
}

/* It lets another one have its turn. */
static void
step_back(struct fanout *f, struct target *t)
{
	if (!(t->flags & TARGET_AWAITED))
		return;
	t->flags &= (uint8_t)~TARGET_AWAITED;
	if (!f->all_steps)
		f->released--;
}

static void
take_turn(struct fanout *f, struct target *t)
{
	if (f->all_steps)
		return;
	t->flags |= TARGET_AWAITED;
	f->released++;
}

/* --- moving -------------------------------------------------------------------------------------
 */

static void
tell(struct fanout *f, uint32_t i)
{
	if (f->started)
		f->changed(f->arg, i);
}

/* The one setter of a state. */
static void
move(struct fanout *f, uint32_t i, enum fanout_state to)
{
	struct target *t = &f->targets[i];
	enum fanout_state from = (enum fanout_state)t->state;

	hw_assert(!fanout_is_end(from));
	hw_assert(to > from || (from == FANOUT_RELEASED && to == FANOUT_WAITING));
	f->of[from]--;
	f->of[to]++;
	t->state = (uint8_t)to;
	if (to == FANOUT_WAITING)
		step_back(f, t);
	else if (to >= FANOUT_RUNNING)
		answered(f, t);
	if (from == FANOUT_WAITING && (t->flags & TARGET_ONLINE))
		ready_remove(&f->ready, i);
	if (to == FANOUT_WAITING && (t->flags & TARGET_ONLINE))
		ready_add(&f->ready, i);
	tell(f, i);
}

/* What no node was given. */
static void
end_unsent(struct fanout *f, enum fanout_state end)
{
	for (uint32_t i = 0; i < f->n; i++)
		if (f->targets[i].state <= FANOUT_RELEASED)
			move(f, i, end);
}

static void
check_errors(struct fanout *f)
{
	if (f->closed || errors_of(f) <= f->errors)
		return;
	f->closed = true;
	end_unsent(f, FANOUT_TERMINATED);
}

static void
go_on(struct fanout *f)
{
	uint32_t i;

	if (!f->started)
		return;
	check_errors(f);
	while (!f->closed && under_way(f) < f->concurrency &&
		(f->all_steps || f->released < f->step) &&
		(i = ready_first(&f->ready)) != READY_NONE) {
		take_turn(f, &f->targets[i]);
		move(f, i, FANOUT_RELEASED);
	}
}

/* --- life ---------------------------------------------------------------------------------------
 */

struct fanout *
fanout_new(uint32_t targets, uint32_t concurrency, uint32_t errors, fanout_changed_fn *changed,
	void *arg)
{
	hw_assert(targets > 0 && targets <= READY_MAX && concurrency > 0);
	struct fanout *f = calloc(1, sizeof(*f) + targets * sizeof(f->targets[0]));

	if (f == NULL)
		return NULL;
	f->n = targets;
	f->concurrency = concurrency;
	f->errors = errors;
	f->changed = changed;
	f->arg = arg;
	f->step = 1;
	f->all_steps = concurrency == 1;
	f->of[FANOUT_WAITING] = targets;
	if (!ready_init(&f->ready, targets)) {
		free(f);
		return NULL;
	}
	return f;
}

void
fanout_free(struct fanout *f)
{
	if (f == NULL)
		return;
	ready_fini(&f->ready);
	free(f);
}

void
fanout_put(struct fanout *f, uint32_t i, enum fanout_state state, bool delayed, bool online)
{
	struct target *t = &f->targets[i];

	hw_assert(!f->started && t->state == FANOUT_WAITING && i < f->n);
	if (state == FANOUT_RELEASED)
		state = FANOUT_SENT;
	t->flags = (uint8_t)((delayed ? TARGET_DELAYED : 0) | (online ? TARGET_ONLINE : 0));
	if (state == FANOUT_RUNNING)
		t->flags |= TARGET_ACKNOWLEDGED;
	if (state == FANOUT_WAITING && online)
		ready_add(&f->ready, i);
	if (state == FANOUT_WAITING)
		return;
	f->of[FANOUT_WAITING]--;
	f->of[state]++;
	t->state = (uint8_t)state;
}

void
fanout_put_acknowledged(struct fanout *f, uint32_t i)
{
	hw_assert(!f->started);
	f->targets[i].flags |= TARGET_ACKNOWLEDGED;
}

void
fanout_put_cancelled(struct fanout *f)
{
	hw_assert(!f->started);
	f->cancelled = true;
}

/* Whether its node has answered: one that no node was asked about did not have a turn. */
static bool
has_answered(const struct target *t)
{
	switch (t->state) {
	case FANOUT_WAITING:
	case FANOUT_RELEASED:
	case FANOUT_SENT:
		return false;
	case FANOUT_UNDELIVERABLE:
	case FANOUT_INVALID_PLATFORM:
	case FANOUT_ACCESS_DENIED:
	case FANOUT_CANCELLED:
	case FANOUT_TERMINATED:
		return (t->flags & TARGET_ACKNOWLEDGED) != 0;
	default:
		return true;
	}
}

static uint32_t
count_answers(const struct fanout *f)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->n; i++)
		n += has_answered(&f->targets[i]);
	return n;
}

/* The step that those who have answered had reached. What was sent is waited for as it was. */
static void
take_up_steps(struct fanout *f)
{
	uint32_t left = count_answers(f);

	for (; !f->all_steps && left >= f->step; next_step(f))
		left -= f->step;
	f->answered = f->released = f->all_steps ? 0 : left;
	for (uint32_t i = 0; !f->all_steps && i < f->n; i++)
		if (f->targets[i].state == FANOUT_SENT)
			take_turn(f, &f->targets[i]);
}

void
fanout_start(struct fanout *f)
{
	take_up_steps(f);
	f->started = true;
	if (f->cancelled)
		fanout_cancel_all(f);
	go_on(f);
}

/* --- events -------------------------------------------------------------------------------------
 */

static void
delay(struct fanout *f, uint32_t i)
{
	if (f->targets[i].flags & TARGET_DELAYED)
		return;
	f->targets[i].flags |= TARGET_DELAYED;
	tell(f, i);
}

static void
lose_node(struct fanout *f, uint32_t i)
{
	struct target *t = &f->targets[i];

	if (t->state == FANOUT_WAITING && (t->flags & TARGET_ONLINE))
		ready_remove(&f->ready, i);
	t->flags &= (uint8_t)~TARGET_ONLINE;
	if (t->state == FANOUT_RELEASED)
		move(f, i, FANOUT_WAITING);
	if (t->state == FANOUT_WAITING)
		delay(f, i);
	if (t->state == FANOUT_SENT)
		answered(f, t);
}

void
fanout_node(struct fanout *f, uint32_t i, bool online)
{
	struct target *t = &f->targets[i];

	if (online && (t->flags & TARGET_ONLINE))
		return;
	if (!online) {
		lose_node(f, i);
	} else {
		t->flags |= TARGET_ONLINE;
		if (t->state == FANOUT_WAITING)
			ready_add(&f->ready, i);
	}
	go_on(f);
}

bool
fanout_sent(struct fanout *f, uint32_t i)
{
	if (f->targets[i].state != FANOUT_RELEASED)
		return false;
	move(f, i, FANOUT_SENT);
	return true;
}

void
fanout_acknowledged(struct fanout *f, uint32_t i)
{
	if (f->targets[i].state == FANOUT_SENT || f->targets[i].state == FANOUT_CANCELLING)
		f->targets[i].flags |= TARGET_ACKNOWLEDGED;
	if (f->targets[i].state == FANOUT_SENT)
		move(f, i, FANOUT_RUNNING);
	go_on(f);
}

void
fanout_slow(struct fanout *f, uint32_t i)
{
	if (f->targets[i].state == FANOUT_SENT || f->targets[i].state == FANOUT_RELEASED)
		answered(f, &f->targets[i]);
	go_on(f);
}

void
fanout_unreceived(struct fanout *f, uint32_t i)
{
	const struct target *t = &f->targets[i];

	if (t->flags & TARGET_ACKNOWLEDGED)
		return;
	if (t->state == FANOUT_SENT)
		move(f, i, FANOUT_NOT_DELIVERED);
	else if (t->state == FANOUT_CANCELLING)
		move(f, i, FANOUT_CANCELLED);
	go_on(f);
}

bool
fanout_ended(struct fanout *f, uint32_t i, enum fanout_state end)
{
	hw_assert(fanout_is_end(end));
	if (fanout_is_end((enum fanout_state)f->targets[i].state))
		return false;
	move(f, i, end);
	go_on(f);
	return true;
}

static void
cancel_one(struct fanout *f, uint32_t i)
{
	enum fanout_state s = (enum fanout_state)f->targets[i].state;

	if (s <= FANOUT_RELEASED)
		move(f, i, FANOUT_CANCELLED);
	else if (s < FANOUT_CANCELLING)
		move(f, i, FANOUT_CANCELLING);
}

void
fanout_cancel(struct fanout *f, uint32_t i)
{
	cancel_one(f, i);
	go_on(f);
}

void
fanout_cancel_all(struct fanout *f)
{
	if (fanout_is_over(f))
		return;
	f->cancelled = f->closed = true;
	for (uint32_t i = 0; i < f->n; i++)
		cancel_one(f, i);
}

void
fanout_delivery_over(struct fanout *f)
{
	f->closed = true;
	end_unsent(f, FANOUT_NOT_DELIVERED);
}

void
fanout_expire(struct fanout *f, uint32_t i)
{
	f->closed = true;
	if (!fanout_is_end((enum fanout_state)f->targets[i].state))
		move(f, i, FANOUT_NOT_DELIVERED);
}

/* --- questions ----------------------------------------------------------------------------------
 */

enum fanout_state
fanout_state(const struct fanout *f, uint32_t i)
{
	return (enum fanout_state)f->targets[i].state;
}

bool
fanout_has_link(const struct fanout *f, uint32_t i)
{
	return (f->targets[i].flags & TARGET_ONLINE) != 0;
}

bool
fanout_was_delayed(const struct fanout *f, uint32_t i)
{
	return (f->targets[i].flags & TARGET_DELAYED) != 0;
}

bool
fanout_was_acknowledged(const struct fanout *f, uint32_t i)
{
	return (f->targets[i].flags & TARGET_ACKNOWLEDGED) != 0;
}

bool
fanout_is_over(const struct fanout *f)
{
	struct fanout_counts c;

	fanout_count(&c, f);
	return c.ended == f->n;
}

bool
fanout_is_cancelled(const struct fanout *f)
{
	return f->cancelled;
}
