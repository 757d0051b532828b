/* What time does to live commands. */
#include "proto/base/list.h"
#include "relay/core/dispatcher_private.h"

#define TELL_AGAIN (5 * USEC_PER_SEC)  /* a node that was told, and has not asked */
#define TELL_ALL   (30 * USEC_PER_SEC) /* a node whose asking may have failed */
#define SLOW_AFTER \
	(10 * USEC_PER_SEC) /* a node that was sent it, and does not say that it has it */

/* Nothing ends what a worker has just now: it is for the next tick. */
static void
expire(struct dispatch *x)
{
	for (uint32_t i = 0; i < x->row.targets; i++)
		if (!x->v[i].claimed)
			fanout_expire(x->fanout, i);
}

static void
check_times(struct dispatch *x, int64_t mono)
{
	if (mono >= x->deliver_until && !x->delivery_over) {
		x->delivery_over = true;
		fanout_delivery_over(x->fanout);
	}
	if (mono >= x->expires)
		expire(x);
}

static void
check_released(struct dispatcher *d, int64_t mono)
{
	struct invocation *v, *next;

	TAILQ_FOREACH_SAFE(v, &d->released, turn, next)
	{
		if (!v->sent_saved) /* the node cannot have it: its time has not begun */
			continue;
		if (mono - v->since < TELL_AGAIN)
			return;
		if (mono - v->since >= DISPATCHER_PATIENCE) {
			fanout_node(v->of->fanout, dispatch_index(v), false);
			continue;
		}
		if (mono - v->node->told_at >= TELL_AGAIN)
			v->node->told = false;
		dispatch_queue_tell(d, v->node);
	}
}

static void
check_sent(struct dispatcher *d, int64_t mono)
{
	struct invocation *v;

	while ((v = TAILQ_FIRST(&d->sent)) != NULL && mono - v->since >= SLOW_AFTER) {
		TAILQ_REMOVE(&d->sent, v, turn);
		v->in_sent = false;
		fanout_slow(v->of->fanout, dispatch_index(v));
	}
}

static bool
end_removed(struct dispatch_node *n)
{
	struct invocation *v, *next;
	bool left = false;

	for (v = TAILQ_FIRST(&n->invocations); v != NULL; v = next) {
		next = TAILQ_NEXT(v, of_node);
		if (v->claimed || !v->of->listed) /* a worker has it, or its whole command */
			left = true;
		else
			fanout_ended(v->of->fanout, dispatch_index(v), FANOUT_UNDELIVERABLE);
	}
	return left;
}

static void
check_removed(struct dispatcher *d)
{
	struct dispatch_node *n, *next;
	bool left = false;

	HASH_ITER(hh, d->nodes, n, next) {
		if (n->removed)
			left |= end_removed(n);
	}
	d->removed = left;
}

static void
delay_absent(struct dispatcher *d)
{
	struct dispatch_node *n, *next_n;
	struct invocation *v, *next;

	d->look_at = 0;
	HASH_ITER(hh, d->nodes, n, next_n) {
		if (d->is_online(d->arg, n->id))
			continue;
		for (v = TAILQ_FIRST(&n->invocations); v != NULL; v = next) {
			next = TAILQ_NEXT(v, of_node);
			fanout_node(v->of->fanout, dispatch_index(v), false);
		}
	}
}

/* Whether its node has to ask for it to go on. One that waits for its turn alone need not: that its
 * turn has come is told. */
static bool
needs_asking(const struct invocation *v)
{
	const struct fanout *f = v->of->fanout;

	switch (fanout_state(f, dispatch_index(v))) {
	case FANOUT_WAITING:
		return !fanout_has_link(f, dispatch_index(v));
	case FANOUT_SENT:
		return !v->in_sent; /* it has been slow */
	case FANOUT_CANCELLING:
		return true;
	default:
		return false;
	}
}

/* A node that was told, and whose question was then answered with an error, knows of nothing. */
static void
tell_again(struct dispatcher *d, int64_t mono)
{
	struct dispatch_node *n, *next;
	const struct invocation *v;

	d->tell_at = mono + TELL_ALL;
	HASH_ITER(hh, d->nodes, n, next) {
		v = TAILQ_FIRST(&n->invocations);
		while (v != NULL && !needs_asking(v))
			v = TAILQ_NEXT(v, of_node);
		if (v == NULL || (n->told && mono - n->told_at < TELL_AGAIN) ||
			!d->is_online(d->arg, n->id))
			continue;
		n->told = false;
		dispatch_queue_tell(d, n);
	}
}

/* An event may release others, at the lists' ends, and move what follows: the released ones are
 * walked to the first that is young. */
void
dispatcher_sweep(struct dispatcher *d, int64_t mono)
{
	struct dispatch *x, *next;

	HASH_ITER(hh, d->commands, x, next)
		check_times(x, mono);
	check_released(d, mono);
	check_sent(d, mono);
	if (d->removed)
		check_removed(d);
	if (d->look_at != 0 && mono >= d->look_at)
		delay_absent(d);
	if (mono >= d->tell_at)
		tell_again(d, mono);
}
