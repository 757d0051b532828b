/* What nodes ask and say of live commands, and what people want of them. */
#include <string.h>

#include "proto/base/arena.h"
#include "proto/schema/schema.h"
#include "relay/core/dispatcher_private.h"

#define ORDERS_MAX 100
#define CANCEL_MAX 1000
/* A node that was given something says that it holds it within this; else it never got it. */
#define SURELY_LOST (10 * USEC_PER_SEC)
/* Each is an entry of the ledger. */
#define DOCUMENTS_MAX 1000

/* --- a node asks -------------------------------------------------------------------------------
 */

struct question {
	struct dispatcher *d;
	struct dispatch_answer *answer;
	uint64_t number;
	int64_t mono;
};

static void
order(struct question *q, struct invocation *v)
{
	if (q->answer->n_orders == ORDERS_MAX) {
		q->answer->more = true;
		return;
	}
	fanout_sent(v->of->fanout, dispatch_index(v));
	q->answer->orders[q->answer->n_orders++] = v->of->row.id;
}

static void
cancel(struct question *q, struct invocation *v)
{
	if (q->answer->n_cancel < CANCEL_MAX)
		q->answer->cancel[q->answer->n_cancel++] = v->of->row.id;
	else
		q->answer->more = true;
}

static bool
is_surely_lost(const struct question *q, const struct invocation *v)
{
	return !v->claimed && q->mono - v->since >= SURELY_LOST;
}

/* An order is given again until the node has said that it has it, or the time for that is over. */
static void
on_sent(struct question *q, struct invocation *v, bool held)
{
	struct fanout *f = v->of->fanout;

	if (held)
		fanout_acknowledged(f, dispatch_index(v));
	else if (q->mono < v->of->deliver_until)
		order(q, v);
	else if (is_surely_lost(q, v))
		fanout_unreceived(f, dispatch_index(v));
}

/* The order may be on its way to the node, which then finds it cancelled. */
static void
on_cancelling(struct question *q, struct invocation *v, bool held)
{
	struct fanout *f = v->of->fanout;

	if (held)
		fanout_acknowledged(f, dispatch_index(v));
	if (!held && is_surely_lost(q, v))
		fanout_unreceived(f, dispatch_index(v));
	if (fanout_state(f, dispatch_index(v)) == FANOUT_CANCELLING)
		cancel(q, v);
}

static void
look_at(struct question *q, struct invocation *v)
{
	bool held = v->held == q->number;

	switch (fanout_state(v->of->fanout, dispatch_index(v))) {
	case FANOUT_WAITING:
		fanout_node(v->of->fanout, dispatch_index(v), true);
		return;
	case FANOUT_RELEASED:
		if (v->sent_saved)
			order(q, v);
		return;
	case FANOUT_SENT:
		on_sent(q, v, held);
		return;
	case FANOUT_CANCELLING:
		on_cancelling(q, v, held);
		return;
	default:
		return;
	}
}

/* Which of the live ones it holds; the others have ended, or never were. */
static void
mark_held(struct question *q, const char *node, const struct msg_strs *held)
{
	for (size_t i = 0; i < held->n; i++) {
		struct invocation *v = dispatch_find(q->d, held->v[i], node);
		if (v != NULL && v->node != NULL)
			v->held = q->number;
		else
			q->answer->forget[q->answer->n_forget++] = held->v[i];
	}
}

/* Ids outlive the commands that they are of. */
static int
keep_ids(const char **ids, size_t n, struct arena *arena)
{
	for (size_t i = 0; i < n; i++)
		if ((ids[i] = arena_strdup(arena, ids[i])) == NULL)
			return HW_ENOMEM;
	return 0;
}

static int
answer(struct question *q, struct arena *arena, const char *node, const struct msg_strs *held)
{
	struct dispatch_node *n;
	struct invocation *v, *next;

	mark_held(q, node, held);
	HASH_FIND_STR(q->d->nodes, node, n);
	if (n == NULL)
		return 0;
	n->told = false;
	for (v = TAILQ_FIRST(&n->invocations); v != NULL; v = next) {
		next = TAILQ_NEXT(v, of_node);
		look_at(q, v);
	}
	int r = keep_ids(q->answer->orders, q->answer->n_orders, arena);
	return r == 0 ? keep_ids(q->answer->cancel, q->answer->n_cancel, arena) : r;
}

int
dispatcher_ask(struct dispatcher *d, struct arena *arena, const char *node,
	const struct msg_strs *held, struct dispatch_answer *ret, struct hw_err *err)
{
	struct dispatch_answer a = {
		.orders = arena_array(arena, ORDERS_MAX, sizeof(*a.orders)),
		.cancel = arena_array(arena, CANCEL_MAX, sizeof(*a.cancel)),
		.forget = arena_array(arena, held->n, sizeof(*a.forget)),
	};
	struct question q = {
		.d = d,
		.answer = &a,
		.mono = clock_mono(loop_clock(d->loop)),
	};

	if (a.orders == NULL || a.cancel == NULL || a.forget == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for what a node is to run");
	dispatcher_lock(d);
	q.number = ++d->questions;
	int r = answer(&q, arena, node, held);
	dispatcher_unlock(d);
	if (r < 0)
		return hw_err_set(err, r, "no memory for what a node is to run");
	*ret = a;
	return 0;
}

/* --- a node's word -----------------------------------------------------------------------------
 */

static enum dispatch_found
found(const struct invocation *v)
{
	enum fanout_state s;

	if (v == NULL)
		return DISPATCH_NONE;
	s = fanout_state(v->of->fanout, dispatch_index(v));
	if (fanout_is_end(s))
		return DISPATCH_NONE;
	return s < FANOUT_SENT ? DISPATCH_UNSENT : DISPATCH_LIVE;
}

static void
claim(struct dispatch_claim *ret, struct invocation *v)
{
	v->claimed = true;
	v->of->claimed++;
	*ret = (struct dispatch_claim){
		.invocation = v,
		.output_max = v->of->row.output_max,
		.uploads = v->of->row.s3_bucket[0] != '\0',
		.checked = v->checked,
		.steps = v->steps,
		.cancelled = fanout_state(v->of->fanout, dispatch_index(v)) == FANOUT_CANCELLING,
		.bytes = {v->bytes[0], v->bytes[1]},
	};
}

/* Whoever waits for this one to answer need not wait for the store as well. */
static void
hear(struct invocation *v)
{
	v->heard = fanout_state(v->of->fanout, dispatch_index(v)) == FANOUT_SENT;
	fanout_acknowledged(v->of->fanout, dispatch_index(v));
}

enum dispatch_found
dispatcher_claim(struct dispatcher *d, const char *command, const char *node, bool well,
	struct dispatch_claim *ret)
{
	struct invocation *v;

	dispatcher_lock(d);
	while ((v = dispatch_find(d, command, node)) != NULL && v->claimed)
		pthread_cond_wait(&d->unclaimed, &d->lock);
	enum dispatch_found f = found(v);
	if (f == DISPATCH_LIVE)
		claim(ret, v);
	if (f == DISPATCH_LIVE && well)
		hear(v);
	dispatcher_unlock(d);
	return f;
}

static void
unclaim(struct dispatcher *d, struct invocation *v)
{
	v->claimed = v->heard = false;
	v->of->claimed--;
	pthread_cond_broadcast(&d->unclaimed);
}

void
dispatch_release(struct dispatcher *d, const struct dispatch_claim *c)
{
	struct invocation *v = c->invocation;
	bool grown = v->bytes[0] != c->bytes[0] || v->bytes[1] != c->bytes[1];

	dispatcher_lock(d);
	memcpy(v->bytes, c->bytes, sizeof(v->bytes));
	v->checked = c->checked;
	v->steps = c->steps;
	fanout_acknowledged(v->of->fanout, dispatch_index(v));
	if (grown || v->heard)
		dispatch_mark(v, v->heard);
	unclaim(d, v);
	dispatcher_unlock(d);
}

/* The command's own end may have waited for this one to be let go of. */
void
dispatch_end(struct dispatcher *d, const struct dispatch_claim *c, enum fanout_state end)
{
	struct invocation *v = c->invocation;

	dispatcher_lock(d);
	v->heard = true; /* the end that is in the store says it too */
	fanout_acknowledged(v->of->fanout, dispatch_index(v));
	fanout_ended(v->of->fanout, dispatch_index(v), end);
	unclaim(d, v);
	d->urgent = true;
	dispatcher_unlock(d);
}

int
dispatcher_document(struct dispatcher *d, const char *command, const char *node, struct hw_err *err)
{
	dispatcher_lock(d);
	struct invocation *v = dispatch_find(d, command, node);
	bool live = found(v) == DISPATCH_LIVE;
	bool often = live && v->documents >= DOCUMENTS_MAX;
	if (live && !often)
		v->documents++;
	dispatcher_unlock(d);
	if (!live)
		return hw_err_set(err, HW_EINVOCATION, "the node does not run the command %s",
			command);
	return often ? hw_err_set(err, HW_ELIMIT,
			       "the command %s has asked for %d documents on the node", command,
			       DOCUMENTS_MAX)
		     : 0;
}

/* --- people ------------------------------------------------------------------------------------
 */

static int
cancel_nodes(struct dispatcher *d, struct dispatch *x, const char *const *nodes, size_t n,
	struct hw_err *err)
{
	for (size_t i = 0; i < n; i++)
		if (dispatch_find(d, x->row.id, nodes[i]) == NULL)
			return hw_err_set(err, HW_ENODE, "command %s has no invocation on %.64s",
				x->row.id, nodes[i]);
	for (size_t i = 0; i < n; i++)
		fanout_cancel(x->fanout, dispatch_index(dispatch_find(d, x->row.id, nodes[i])));
	return 0;
}

/* NULL when it is not live any more. */
static struct dispatch *
find_begun(struct dispatcher *d, const char *command)
{
	struct dispatch *x;

	HASH_FIND_STR(d->beginning, command, x);
	while (x != NULL) {
		pthread_cond_wait(&d->begun, &d->lock);
		HASH_FIND_STR(d->beginning, command, x);
	}
	HASH_FIND_STR(d->commands, command, x);
	return x;
}

int
dispatcher_cancel(struct dispatcher *d, const char *command, const char *const *nodes, size_t n,
	struct hw_err *err)
{
	struct dispatch *x;
	int r = 0;

	dispatcher_lock(d);
	x = find_begun(d, command);
	if (x != NULL && n == 0)
		fanout_cancel_all(x->fanout);
	else if (x != NULL)
		r = cancel_nodes(d, x, nodes, n, err);
	dispatcher_unlock(d);
	if (r == 0 && x != NULL)
		r = dispatcher_save(d, err);
	dispatcher_lock(d); /* whoever has its turn now is told soon */
	dispatcher_unlock(d);
	return r;
}
