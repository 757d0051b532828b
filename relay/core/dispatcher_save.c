/* What the dispatcher has decided, into the store: many changes in one transaction, by one thread
 * at a time. */
#include <stdio.h>
#include <stdlib.h>

#include "audit/ledger.h"
#include "relay/core/arn.h"
#include "relay/core/config.h"
#include "relay/core/dispatcher_private.h"
#include "relay/store/invocations.h"
#include "relay/store/store.h"

#define SAVE_MAX 4096 /* invocations in one transaction */
#define ACTION	 "ssm:SendCommand"

/* One invocation as it stood when it was taken. Its command stays while its change is counted. */
struct item {
	struct invocation *v;
	enum fanout_state state;
	struct fanout_words words;
	int sent;
	int64_t bytes[2];
};

/* A command's words; it stays while it is among the changed ones. */
struct headline {
	struct dispatch *x;
	struct fanout_words words;
};

struct batch {
	struct dispatcher *d;
	struct item *items;
	struct headline *lines;
	size_t n, n_lines;
	int64_t now;
};

bool
dispatcher_has_unsaved(const struct dispatcher *d)
{
	return !TAILQ_EMPTY(&d->dirty) || !TAILQ_EMPTY(&d->changed) || d->refused;
}

/* --- taking ------------------------------------------------------------------------------------
 */

static int
sent_of(const struct fanout *f, uint32_t i)
{
	if (fanout_state(f, i) == FANOUT_WAITING)
		return INVOCATION_UNSENT;
	return fanout_was_acknowledged(f, i) ? INVOCATION_TAKEN : INVOCATION_SENT;
}

static void
take_items(struct batch *b)
{
	struct invocation *v;

	while (b->n < SAVE_MAX && (v = TAILQ_FIRST(&b->d->dirty)) != NULL) {
		uint32_t i = dispatch_index(v);
		TAILQ_REMOVE(&b->d->dirty, v, dirty);
		v->is_dirty = false;
		b->items[b->n++] = (struct item){
			.v = v,
			.state = fanout_state(v->of->fanout, i),
			.words = fanout_target_words(v->of->fanout, i),
			.sent = sent_of(v->of->fanout, i),
			.bytes = {v->bytes[0], v->bytes[1]},
		};
	}
}

/* Those that are over have an end of their own. */
static void
take_lines(struct batch *b)
{
	struct dispatch *x;

	TAILQ_FOREACH(x, &b->d->changed, changed)
	if (b->n_lines < SAVE_MAX && !fanout_is_over(x->fanout))
		b->lines[b->n_lines++] = (struct headline){x, fanout_words(x->fanout)};
}

static int
take(struct batch *b, struct hw_err *err)
{
	b->items = calloc(SAVE_MAX, sizeof(b->items[0]));
	b->lines = calloc(SAVE_MAX, sizeof(b->lines[0]));
	if (b->items == NULL || b->lines == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for saving commands");
	b->now = clock_wall(loop_clock(b->d->loop));
	pthread_mutex_lock(&b->d->lock);
	b->d->urgent = false;
	take_items(b);
	take_lines(b);
	b->d->urgent = !TAILQ_EMPTY(&b->d->dirty);
	pthread_mutex_unlock(&b->d->lock);
	return 0;
}

/* --- writing -----------------------------------------------------------------------------------
 */

/* Why the dispatcher itself ended it. */
static const char *
reason_of(const struct item *it)
{
	switch (it->state) {
	case FANOUT_NOT_DELIVERED:
		if (it->sent == INVOCATION_TAKEN)
			return "it ran, and its end did not come in time";
		return "the node did not take it, or said nothing of it, in time";
	case FANOUT_CANCELLED:
		return it->v->of->refusal != NULL ? it->v->of->refusal : "";
	case FANOUT_TERMINATED:
		return "it never began, because too many others failed";
	case FANOUT_UNDELIVERABLE:
		return "the node was removed";
	default:
		return "";
	}
}

static int
write_end(const struct batch *b, struct db *db, const struct item *it, struct hw_err *err)
{
	const struct dispatch *x = it->v->of;
	struct invocation_row row = {
		.sent = it->sent,
		.status = it->words.status,
		.response_code = -1,
		.ended = b->now,
		.stdout_bytes = it->bytes[0],
		.stderr_bytes = it->bytes[1],
		.upload_at = x->row.s3_bucket[0] != '\0' ? b->now : 0,
	};

	snprintf(row.command_id, sizeof(row.command_id), "%s", x->row.id);
	snprintf(row.node_id, sizeof(row.node_id), "%s", x->ids[dispatch_index(it->v)]);
	snprintf(row.details, sizeof(row.details), "%s", it->words.details);
	snprintf(row.reason, sizeof(row.reason), "%s", reason_of(it));
	return invocation_finish(db, &row, NULL, "", NULL, err);
}

static int
write_item(const struct batch *b, struct db *db, const struct item *it, struct hw_err *err)
{
	const struct dispatch *x = it->v->of;
	const struct invocation_note note = {
		.command_id = x->row.id,
		.node_id = x->ids[dispatch_index(it->v)],
		.sent = it->sent,
		.status = it->words.status,
		.details = it->words.details,
		.stdout_bytes = it->bytes[0],
		.stderr_bytes = it->bytes[1],
	};

	if (fanout_is_end(it->state))
		return write_end(b, db, it, err);
	return invocation_set(db, &note, err);
}

static int
write_batch(void *arg, struct db *db, struct hw_err *err)
{
	const struct batch *b = arg;
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->n; i++)
		r = write_item(b, db, &b->items[i], err);
	for (size_t i = 0; r == 0 && i < b->n_lines; i++)
		r = command_set_status(db, b->lines[i].x->row.id, b->lines[i].words.status,
			b->lines[i].words.details, err);
	return r;
}

/* --- what follows from it ----------------------------------------------------------------------
 */

/* From now on its node is waited for; the list is in the order of that. */
static void
begin_turn(struct dispatcher *d, struct invocation *v)
{
	v->sent_saved = true;
	v->since = clock_mono(loop_clock(d->loop));
	TAILQ_REMOVE(&d->released, v, turn);
	TAILQ_INSERT_TAIL(&d->released, v, turn);
}

static void
note_saved(struct dispatcher *d, const struct item *it)
{
	struct invocation *v = it->v;
	enum fanout_state now = fanout_state(v->of->fanout, dispatch_index(v));

	if (it->state != FANOUT_RELEASED || now != FANOUT_RELEASED)
		return;
	if (!v->sent_saved)
		begin_turn(d, v);
	dispatch_queue_tell(d, v->node);
}

static void
note_headline(struct dispatcher *d, const struct headline *l)
{
	struct fanout_words now = fanout_words(l->x->fanout);

	l->x->saved = l->words;
	if (fanout_is_over(l->x->fanout) || now.status != l->words.status)
		return;
	l->x->is_changed = false;
	TAILQ_REMOVE(&d->changed, l->x, changed);
}

static void
settle(struct batch *b, bool saved)
{
	pthread_mutex_lock(&b->d->lock);
	for (size_t i = 0; i < b->n; i++) {
		if (!saved)
			dispatch_mark(b->items[i].v, false);
		b->items[i].v->of->dirty--;
		if (saved)
			note_saved(b->d, &b->items[i]);
	}
	for (size_t i = 0; saved && i < b->n_lines; i++)
		note_headline(b->d, &b->lines[i]);
	pthread_mutex_unlock(&b->d->lock);
}

/* --- commands whose sender is refused ----------------------------------------------------------
 */

static bool
has_told(const struct dispatch *x)
{
	return x->refusal == NULL || x->refusal_told;
}

/* It stays: who saves is the one that forgets it. */
static struct dispatch *
next_refused(struct dispatcher *d)
{
	struct dispatch *x, *next, *found = NULL;

	pthread_mutex_lock(&d->lock);
	HASH_ITER(hh, d->commands, x, next) {
		if (!d->refused || found != NULL)
			break;
		if (!has_told(x))
			found = x;
	}
	d->refused = found != NULL;
	pthread_mutex_unlock(&d->lock);
	return found;
}

static int
write_cancelled(void *arg, struct db *db, struct hw_err *err)
{
	const struct dispatch *x = arg;

	return command_set_cancelled(db, x->row.id, err);
}

/* The entry first, as of an end. */
static int
tell_refusal(struct dispatcher *d, struct dispatch *x, struct hw_err *err)
{
	char resource[ARN_MAX];
	const struct msg_ledger_entry e = {
		.principal = x->row.owner_arn,
		.action = ACTION,
		.resource = resource,
		.outcome = OUTCOME_DENIED,
		.reason = x->refusal,
		.command_id = x->row.id,
	};

	arn_write_document(resource, d->config, x->row.document, d->config->account);
	if (ledger_commit(d->ledger, ENTRY_DECISION, &e) < 0)
		return hw_err_set(err, HW_ERECORD, "the ledger cannot be written");
	int r = store_write(d->store, write_cancelled, x, err);
	if (r == 0)
		x->refusal_told = true;
	return r;
}

static int
tell_refusals(struct dispatcher *d, struct hw_err *err)
{
	struct dispatch *x;
	int r = 0;

	while (r == 0 && (x = next_refused(d)) != NULL)
		r = tell_refusal(d, x, err);
	return r;
}

/* --- commands that are over --------------------------------------------------------------------
 */

/* One that is saved whole, out of the list; NULL when there is none. */
static struct dispatch *
take_over(struct dispatcher *d)
{
	struct dispatch *x;

	pthread_mutex_lock(&d->lock);
	TAILQ_FOREACH(x, &d->changed, changed)
	if (fanout_is_over(x->fanout) && x->dirty == 0 && x->claimed == 0 && has_told(x))
		break;
	if (x != NULL)
		TAILQ_REMOVE(&d->changed, x, changed);
	pthread_mutex_unlock(&d->lock);
	return x;
}

static int
record_end(struct dispatcher *d, const struct dispatch *x, const struct fanout_counts *c,
	const struct fanout_words *w, struct hw_err *err)
{
	char resource[ARN_MAX], reason[256];
	bool refused = x->refusal != NULL;
	struct msg_ledger_entry e = {
		.principal = x->row.owner_arn,
		.action = ACTION,
		.outcome = w->status == INVOCATION_STATUS_SUCCESS ? OUTCOME_OK : OUTCOME_FAILED,
		.reason = reason,
		.size = (int64_t)c->targets,
		.command_id = x->row.id,
	};

	arn_write_document(resource, d->config, x->row.document, d->config->account);
	e.resource = resource;
	snprintf(reason, sizeof(reason),
		"%.100s%s%s: of %u nodes %u succeeded, %u failed, %u did not get it in time",
		w->details, refused ? ", " : "", refused ? x->refusal : "", c->targets,
		c->of[FANOUT_SUCCESS], c->errors, c->not_delivered);
	if (ledger_commit(d->ledger, ENTRY_COMMAND_END, &e) < 0)
		return hw_err_set(err, HW_ERECORD, "the ledger cannot be written");
	return 0;
}

struct ending {
	struct command_row row;
};

static int
write_ending(void *arg, struct db *db, struct hw_err *err)
{
	const struct ending *w = arg;

	return command_finish(db, &w->row, err);
}

/* The entry first: a crash in between makes a second one, and no end goes without. */
static int
end_command(struct dispatcher *d, struct dispatch *x, struct hw_err *err)
{
	struct ending w = {.row = x->row};
	struct fanout_counts c;
	struct fanout_words words = fanout_words(x->fanout);

	fanout_count(&c, x->fanout);
	w.row.status = words.status;
	snprintf(w.row.details, sizeof(w.row.details), "%s", words.details);
	w.row.completed = c.ended;
	w.row.errors = c.errors;
	w.row.not_delivered = c.not_delivered;
	w.row.ended = clock_wall(loop_clock(d->loop));
	int r = record_end(d, x, &c, &words, err);
	if (r == 0)
		r = store_write(d->store, write_ending, &w, err);
	pthread_mutex_lock(&d->lock);
	if (r == 0) {
		x->is_changed = false;
		dispatch_forget(x);
	} else {
		TAILQ_INSERT_TAIL(&d->changed, x, changed);
	}
	pthread_mutex_unlock(&d->lock);
	return r;
}

static int
end_commands(struct dispatcher *d, struct hw_err *err)
{
	struct dispatch *x;
	int r = 0;

	while (r == 0 && (x = take_over(d)) != NULL)
		r = end_command(d, x, err);
	return r;
}

/* --- all of it ---------------------------------------------------------------------------------
 */

static int
save_batch(struct dispatcher *d, bool *more, struct hw_err *err)
{
	struct batch b = {.d = d};
	int r = take(&b, err);

	if (r == 0 && (b.n > 0 || b.n_lines > 0)) {
		r = store_write(d->store, write_batch, &b, err);
		settle(&b, r == 0);
	}
	*more = b.n == SAVE_MAX;
	free(b.items);
	free(b.lines);
	return r;
}

int
dispatcher_save(struct dispatcher *d, struct hw_err *err)
{
	bool more = true;
	int r;

	pthread_mutex_lock(&d->saving);
	r = tell_refusals(d, err);
	while (r == 0 && more)
		r = save_batch(d, &more, err);
	if (r == 0)
		r = end_commands(d, err);
	pthread_mutex_unlock(&d->saving);
	return r;
}
