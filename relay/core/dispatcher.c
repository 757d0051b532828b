#include "relay/core/dispatcher.h"

#include <stdlib.h>
#include <string.h>

#include "relay/core/config.h"
#include "relay/core/dispatcher_private.h"
#include "relay/core/workers.h"
#include "relay/store/invocations.h"

#define TICK_EVERY (250 * USEC_PER_MSEC)

/* --- the loop's part ----------------------------------------------------------------------------
 */

/* Nodes are told outside of the lock: who is told may look back here. */
static void
tell_nodes(struct dispatcher *d)
{
	struct dispatch_node *n;
	char id[ID_NODE_LEN + 1];

	pthread_mutex_lock(&d->lock);
	while ((n = TAILQ_FIRST(&d->tell_queue)) != NULL && !d->stopped) {
		TAILQ_REMOVE(&d->tell_queue, n, tell);
		n->to_tell = false;
		if (n->told)
			continue;
		n->told = true;
		n->told_at = clock_mono(loop_clock(d->loop));
		memcpy(id, n->id, sizeof(id));
		pthread_mutex_unlock(&d->lock);
		d->tell(d->arg, id);
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
}

static void look_after(struct dispatcher *d, bool all);

static void
run_save(void *arg)
{
	struct dispatcher *d = arg;
	struct hw_err err = HW_ERR_INIT;

	d->failed = dispatcher_save(d, &err) < 0;
	if (d->failed)
		log_warn(d, "commands.unsaved", "why=%s", log_value(hw_err_text(&err)));
}

/* What could not be saved is tried again at the next tick. */
static void
on_saved(void *arg)
{
	struct dispatcher *d = arg;

	d->busy = false;
	if (!d->failed)
		look_after(d, false);
}

static void
on_tick(void *arg)
{
	struct dispatcher *d = arg;

	pthread_mutex_lock(&d->lock);
	d->ticking = false;
	dispatcher_sweep(d, clock_mono(loop_clock(d->loop)));
	pthread_mutex_unlock(&d->lock);
	look_after(d, true);
}

static void
look_after(struct dispatcher *d, bool all)
{
	tell_nodes(d);
	pthread_mutex_lock(&d->lock);
	bool unsaved = dispatcher_has_unsaved(d);
	bool save = unsaved && !d->stopped && !d->busy && (all || d->urgent);
	bool tick = (d->commands != NULL || unsaved) && !d->ticking && !d->stopped;
	d->ticking |= tick;
	pthread_mutex_unlock(&d->lock);
	if (tick)
		loop_timer_start(d->loop, &d->tick, TICK_EVERY);
	if (!save)
		return;
	d->busy = true;
	workers_owe(d->workers, run_save, on_saved, d);
}

static void
on_kick(void *arg)
{
	struct dispatcher *d = arg;

	pthread_mutex_lock(&d->lock);
	d->kicked = false;
	pthread_mutex_unlock(&d->lock);
	look_after(d, false);
}

void
dispatcher_lock(struct dispatcher *d)
{
	pthread_mutex_lock(&d->lock);
}

void
dispatcher_unlock(struct dispatcher *d)
{
	bool kick = !d->kicked && !d->stopped &&
		(d->urgent || !TAILQ_EMPTY(&d->tell_queue) || (d->commands != NULL && !d->ticking));

	d->kicked |= kick;
	pthread_mutex_unlock(&d->lock);
	if (kick)
		loop_post(d->loop, on_kick, d);
}

/* --- nodes -------------------------------------------------------------------------------------
 */

static struct dispatch_node *
find_node(struct dispatcher *d, const char *id)
{
	struct dispatch_node *n;

	HASH_FIND_STR(d->nodes, id, n);
	return n;
}

static struct dispatch_node *
need_node(struct dispatcher *d, const char *id)
{
	struct dispatch_node *n = find_node(d, id);

	if (n != NULL || (n = calloc(1, sizeof(*n))) == NULL)
		return n;
	memcpy(n->id, id, strlen(id) + 1);
	TAILQ_INIT(&n->invocations);
	HASH_ADD_STR(d->nodes, id, n);
	return n;
}

/* A node without live invocations is forgotten. */
static void
drop_node(struct dispatcher *d, struct dispatch_node *n)
{
	if (!TAILQ_EMPTY(&n->invocations))
		return;
	if (n->to_tell)
		TAILQ_REMOVE(&d->tell_queue, n, tell);
	HASH_DEL(d->nodes, n);
	free(n);
}

void
dispatch_queue_tell(struct dispatcher *d, struct dispatch_node *n)
{
	if (n == NULL || n->to_tell || n->told)
		return;
	n->to_tell = true;
	TAILQ_INSERT_TAIL(&d->tell_queue, n, tell);
}

static void
set_online(struct dispatcher *d, const char *id, bool online)
{
	struct dispatch_node *n;
	struct invocation *v, *next;

	dispatcher_lock(d);
	n = find_node(d, id);
	if (n != NULL)
		n->told = false;
	for (v = n != NULL ? TAILQ_FIRST(&n->invocations) : NULL; v != NULL; v = next) {
		next = TAILQ_NEXT(v, of_node);
		fanout_node(v->of->fanout, dispatch_index(v), online);
	}
	dispatcher_unlock(d);
}

void
dispatcher_node_up(struct dispatcher *d, const char *node)
{
	set_online(d, node, true);
}

void
dispatcher_node_down(struct dispatcher *d, const char *node)
{
	set_online(d, node, false);
}

/* The next sweep ends what is left: a worker may have one of them now. */
void
dispatcher_node_removed(struct dispatcher *d, const char *node)
{
	dispatcher_lock(d);
	struct dispatch_node *n = find_node(d, node);
	if (n != NULL)
		n->removed = d->removed = true;
	dispatcher_unlock(d);
}

/* --- senders -----------------------------------------------------------------------------------
 */

/* What runs is to end too, as a session does whose user is gone. */
static void
check_sender(struct dispatch *x)
{
	struct dispatcher *d = x->dispatcher;

	if (fanout_is_over(x->fanout) || fanout_is_cancelled(x->fanout))
		return;
	x->refusal = d->refusal(d->arg, x->row.principal, x->row.requested);
	if (x->refusal == NULL)
		return;
	d->refused = d->urgent = true;
	fanout_cancel_all(x->fanout);
}

void
dispatcher_users_changed(struct dispatcher *d)
{
	struct dispatch *x, *next;

	dispatcher_lock(d);
	HASH_ITER(hh, d->commands, x, next)
		check_sender(x);
	dispatcher_unlock(d);
}

/* --- invocations -------------------------------------------------------------------------------
 */

uint32_t
dispatch_index(const struct invocation *v)
{
	return (uint32_t)(v - v->of->v);
}

/* Ids are sorted. */
static struct invocation *
find_target(struct dispatch *x, const char *node)
{
	uint32_t low = 0, high = x->row.targets;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int c = strcmp(x->ids[mid], node);
		if (c == 0)
			return &x->v[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

struct invocation *
dispatch_find(struct dispatcher *d, const char *command, const char *node)
{
	struct dispatch *x;

	HASH_FIND_STR(d->commands, command, x);
	return x != NULL ? find_target(x, node) : NULL;
}

void
dispatch_mark(struct invocation *v, bool urgent)
{
	v->of->dispatcher->urgent |= urgent;
	if (v->is_dirty)
		return;
	v->is_dirty = true;
	v->of->dirty++;
	TAILQ_INSERT_TAIL(&v->of->dispatcher->dirty, v, dirty);
}

/* In which of the two lists of those that are waited for it is. */
void
dispatch_list_turn(struct invocation *v, enum fanout_state s)
{
	struct dispatcher *d = v->of->dispatcher;
	bool released = s == FANOUT_RELEASED, sent = s == FANOUT_SENT;

	if (v->in_released && !released)
		TAILQ_REMOVE(&d->released, v, turn);
	if (v->in_sent && !sent)
		TAILQ_REMOVE(&d->sent, v, turn);
	if ((released && !v->in_released) || (sent && !v->in_sent))
		v->since = clock_mono(loop_clock(d->loop));
	if (released && !v->in_released)
		TAILQ_INSERT_TAIL(&d->released, v, turn);
	if (sent && !v->in_sent)
		TAILQ_INSERT_TAIL(&d->sent, v, turn);
	v->in_released = released;
	v->in_sent = sent;
}

static void
leave_node(struct invocation *v)
{
	struct dispatch_node *n = v->node;

	if (n == NULL)
		return;
	TAILQ_REMOVE(&n->invocations, v, of_node);
	v->node = NULL;
	v->of->dispatcher->invocations--;
	drop_node(v->of->dispatcher, n);
}

static void
note_command(struct dispatch *x)
{
	struct fanout_words now = fanout_words(x->fanout);
	bool same = now.status == x->saved.status && strcmp(now.details, x->saved.details) == 0;

	if (x->is_changed || (same && !fanout_is_over(x->fanout)))
		return;
	x->is_changed = true;
	x->dispatcher->urgent = true;
	TAILQ_INSERT_TAIL(&x->dispatcher->changed, x, changed);
}

/* That it was given is said there since its turn came; and a worker writes what it has of it. */
static bool
is_in_store(const struct invocation *v, enum fanout_state s)
{
	if (s == FANOUT_SENT)
		return v->sent_saved;
	return v->claimed && (fanout_is_end(s) || (v->heard && s == FANOUT_RUNNING));
}

static void
on_changed(void *arg, uint32_t i)
{
	struct dispatch *x = arg;
	struct invocation *v = &x->v[i];
	enum fanout_state s = fanout_state(x->fanout, i);

	dispatch_list_turn(v, s);
	if (s == FANOUT_WAITING)
		v->sent_saved = false;
	if (s == FANOUT_CANCELLING)
		dispatch_queue_tell(x->dispatcher, v->node);
	if (!is_in_store(v, s))
		dispatch_mark(v, true);
	if (fanout_is_end(s))
		leave_node(v);
	note_command(x);
}

/* --- a new command -----------------------------------------------------------------------------
 */

void
dispatch_free(struct dispatch *x)
{
	fanout_free(x->fanout);
	free(x->ids);
	free(x);
}

/* Undoes what was listed of it. */
void
dispatch_unlist(struct dispatch *x)
{
	for (uint32_t i = 0; i < x->row.targets; i++)
		leave_node(&x->v[i]);
}

int
dispatch_list_target(struct dispatch *x, uint32_t i)
{
	struct dispatcher *d = x->dispatcher;
	struct invocation *v = &x->v[i];
	struct dispatch_node *n = need_node(d, x->ids[i]);

	if (n == NULL)
		return HW_ENOMEM;
	v->node = n;
	TAILQ_INSERT_TAIL(&n->invocations, v, of_node);
	d->invocations++;
	return 0;
}

/* A clock that was set back since gives it no more time than it had. */
static void
set_times(struct dispatch *x)
{
	const struct hw_clock *clock = loop_clock(x->dispatcher->loop);
	int64_t left = x->row.deliver_before - clock_wall(clock);
	int64_t most = x->row.deliver_before - x->row.requested;

	x->deliver_until = clock_mono(clock) + (left < most ? left : most);
	x->expires = x->deliver_until + (x->row.expires - x->row.deliver_before);
}

struct dispatch *
dispatch_make(struct dispatcher *d, const struct command_row *row)
{
	struct dispatch *x = calloc(1, sizeof(*x) + row->targets * sizeof(x->v[0]));

	if (x == NULL)
		return NULL;
	x->dispatcher = d;
	x->row = *row;
	x->ids = calloc(row->targets, sizeof(*x->ids));
	x->fanout = fanout_new(row->targets, row->concurrency, row->error_limit, on_changed, x);
	if (x->ids == NULL || x->fanout == NULL) {
		dispatch_free(x);
		return NULL;
	}
	for (uint32_t i = 0; i < row->targets; i++)
		x->v[i].of = x;
	x->saved = (struct fanout_words){row->status, "Pending"};
	set_times(x);
	return x;
}

static bool
reserve(struct dispatcher *d)
{
	pthread_mutex_lock(&d->lock);
	bool room = (int)HASH_COUNT(d->commands) + d->reserved < d->config->max_commands;
	d->reserved += room;
	pthread_mutex_unlock(&d->lock);
	return room;
}

static void
unreserve(struct dispatcher *d)
{
	pthread_mutex_lock(&d->lock);
	d->reserved--;
	pthread_mutex_unlock(&d->lock);
}

/* Those that have ended are of no node. */
static int
list_targets(struct dispatch *x, const struct dispatch_target *targets)
{
	int r = 0;

	pthread_mutex_lock(&x->dispatcher->lock);
	for (uint32_t i = 0; r == 0 && i < x->row.targets; i++) {
		memcpy(x->ids[i], targets[i].node, sizeof(x->ids[i]));
		x->v[i].checked = true;
		if (targets[i].denied)
			fanout_put(x->fanout, i, FANOUT_ACCESS_DENIED, false, false);
		else if (targets[i].unfit)
			fanout_put(x->fanout, i, FANOUT_INVALID_PLATFORM, false, false);
		else if ((r = dispatch_list_target(x, i)) == 0 && targets[i].delayed)
			fanout_put(x->fanout, i, FANOUT_WAITING, true, false);
	}
	if (r < 0)
		dispatch_unlist(x);
	pthread_mutex_unlock(&x->dispatcher->lock);
	return r;
}

int
dispatch_new(struct dispatch **ret, struct dispatcher *d, const struct command_row *row,
	const struct dispatch_target *targets, size_t n, struct hw_err *err)
{
	hw_assert(n == row->targets && n > 0);
	if (!reserve(d))
		return hw_err_set(err, HW_EFULL,
			"%d commands have not ended: wait for one of them, or cancel it",
			d->config->max_commands);
	struct dispatch *x = dispatch_make(d, row);
	if (x == NULL || list_targets(x, targets) < 0) {
		if (x != NULL)
			dispatch_free(x);
		unreserve(d);
		return hw_err_set(err, HW_ENOMEM, "no memory for a command on %zu nodes", n);
	}
	pthread_mutex_lock(&d->lock);
	HASH_ADD_STR(d->beginning, row.id, x);
	pthread_mutex_unlock(&d->lock);
	*ret = x;
	return 0;
}

/* Whoever waits for that looks again, when the lock is let go. */
static void
has_begun(struct dispatch *x)
{
	struct dispatcher *d = x->dispatcher;

	HASH_DEL(d->beginning, x);
	d->reserved--;
	pthread_cond_broadcast(&d->begun);
}

void
dispatch_drop(struct dispatch *x)
{
	struct dispatcher *d = x->dispatcher;

	pthread_mutex_lock(&d->lock);
	dispatch_unlist(x);
	has_begun(x);
	pthread_mutex_unlock(&d->lock);
	dispatch_free(x);
}

void
dispatch_start(struct dispatch *x)
{
	struct dispatcher *d = x->dispatcher;

	HASH_ADD_STR(d->commands, row.id, x);
	x->listed = true;
	fanout_start(x->fanout);
	note_command(x);
	check_sender(x);
}

/* A link that comes up after this look tells of itself. */
void
dispatch_begin(struct dispatch *x)
{
	struct dispatcher *d = x->dispatcher;

	dispatcher_lock(d);
	has_begun(x);
	d->n_begun++;
	dispatch_start(x);
	for (uint32_t i = 0; i < x->row.targets; i++)
		if (x->v[i].node != NULL)
			fanout_node(x->fanout, i, d->is_online(d->arg, x->ids[i]));
	dispatcher_unlock(d);
}

void
dispatch_forget(struct dispatch *x)
{
	struct dispatcher *d = x->dispatcher;

	hw_assert(x->dirty == 0 && x->claimed == 0 && !x->is_changed);
	HASH_DEL(d->commands, x);
	dispatch_unlist(x);
	d->ended++;
	dispatch_free(x);
}

/* --- questions ---------------------------------------------------------------------------------
 */

bool
dispatcher_view(struct dispatcher *d, const char *command, struct dispatch_view *ret)
{
	struct dispatch *x;

	pthread_mutex_lock(&d->lock);
	HASH_FIND_STR(d->commands, command, x);
	if (x != NULL) {
		fanout_count(&ret->counts, x->fanout);
		ret->words = fanout_words(x->fanout);
	}
	pthread_mutex_unlock(&d->lock);
	return x != NULL;
}

void
dispatcher_stats(struct dispatcher *d, struct dispatcher_stats *ret)
{
	pthread_mutex_lock(&d->lock);
	*ret = (struct dispatcher_stats){
		.commands = HASH_COUNT(d->commands),
		.invocations = d->invocations,
		.begun = d->n_begun,
		.ended = d->ended,
	};
	pthread_mutex_unlock(&d->lock);
}

/* --- life --------------------------------------------------------------------------------------
 */

struct dispatcher *
dispatcher_new(const struct dispatcher_options *o)
{
	struct dispatcher *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	*d = (struct dispatcher){
		.log = *o->log,
		.loop = o->loop,
		.workers = o->workers,
		.store = o->store,
		.ledger = o->ledger,
		.is_online = o->is_online,
		.tell = o->tell,
		.refusal = o->refusal,
		.arg = o->arg,
		.config = o->config,
		.tick = {.fn = on_tick, .arg = d},
	};
	TAILQ_INIT(&d->tell_queue);
	TAILQ_INIT(&d->released);
	TAILQ_INIT(&d->sent);
	TAILQ_INIT(&d->dirty);
	TAILQ_INIT(&d->changed);
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->saving, NULL);
	pthread_cond_init(&d->unclaimed, NULL);
	pthread_cond_init(&d->begun, NULL);
	return d;
}

void
dispatcher_stop(struct dispatcher *d)
{
	if (d == NULL)
		return;
	pthread_mutex_lock(&d->lock);
	d->stopped = true;
	pthread_mutex_unlock(&d->lock);
	loop_timer_stop(d->loop, &d->tick);
}

void
dispatcher_free(struct dispatcher *d)
{
	struct dispatch *x, *next;

	if (d == NULL)
		return;
	HASH_ITER(hh, d->commands, x, next) {
		HASH_DEL(d->commands, x);
		dispatch_unlist(x);
		dispatch_free(x);
	}
	hw_assert(d->nodes == NULL && d->invocations == 0);
	pthread_mutex_destroy(&d->lock);
	pthread_mutex_destroy(&d->saving);
	pthread_cond_destroy(&d->unclaimed);
	pthread_cond_destroy(&d->begun);
	free(d);
}
