/* The dispatcher after a start: made again from what the store has of live commands. */
#include <string.h>

#include "relay/core/dispatcher_private.h"
#include "relay/store/invocations.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"

struct restoring {
	struct dispatcher *d;
};

/* A row's words, read back. */
static enum fanout_state
state_of(const struct invocation_row *row)
{
	if (!row->live && strcmp(row->details, "Terminated") == 0)
		return FANOUT_TERMINATED;
	if (!row->live)
		return fanout_end_of(row->status, row->details);
	if (row->status == INVOCATION_STATUS_CANCELLING)
		return FANOUT_CANCELLING;
	if (row->sent == INVOCATION_TAKEN)
		return FANOUT_RUNNING;
	return row->sent == INVOCATION_SENT ? FANOUT_SENT : FANOUT_WAITING;
}

static int
restore_target(struct dispatch *x, uint32_t i, const struct invocation_row *row)
{
	enum fanout_state s = state_of(row);
	bool delayed = row->status == INVOCATION_STATUS_DELAYED;

	if (s == FANOUT_STATES)
		return HW_ECORRUPT;
	memcpy(x->ids[i], row->node_id, sizeof(x->ids[i]));
	fanout_put(x->fanout, i, s, delayed, false);
	if (row->sent == INVOCATION_TAKEN)
		fanout_put_acknowledged(x->fanout, i);
	x->v[i].bytes[0] = row->stdout_bytes;
	x->v[i].bytes[1] = row->stderr_bytes;
	x->v[i].sent_saved = s == FANOUT_SENT;
	return fanout_is_end(s) ? 0 : dispatch_list_target(x, i);
}

static int
restore_targets(struct dispatch *x, struct db *db, struct hw_err *err)
{
	struct invocation_row row;
	struct query q;
	uint32_t i = 0;

	int r = invocation_list(&q, db, x->row.id, err);
	while (r == 0 && (r = invocation_next(&q, &row, err)) > 0) {
		r = i < x->row.targets ? restore_target(x, i, &row) : HW_ECORRUPT;
		i++;
	}
	query_end(&q);
	if (r == 0 && i != x->row.targets)
		r = HW_ECORRUPT;
	if (r == HW_ECORRUPT || r == HW_ENOMEM)
		hw_err_set(err, r, "the invocations of command %s are not whole", x->row.id);
	return r;
}

/* What was sent is waited for from now on. */
static void
restore_turns(struct dispatch *x)
{
	for (uint32_t i = 0; i < x->row.targets; i++)
		dispatch_list_turn(&x->v[i], fanout_state(x->fanout, i));
}

static int
restore_command(struct restoring *w, struct db *db, const struct command_row *row,
	struct hw_err *err)
{
	struct dispatch *x = dispatch_make(w->d, row);

	if (x == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the commands of before");
	x->saved.details = "";
	int r = restore_targets(x, db, err);
	if (r < 0) {
		dispatch_unlist(x);
		dispatch_free(x);
		return r;
	}
	if (row->cancelled)
		fanout_put_cancelled(x->fanout);
	restore_turns(x);
	dispatch_start(x);
	return 0;
}

static int
read_live(void *arg, struct db *db, struct hw_err *err)
{
	struct restoring *w = arg;
	struct command_row row;
	struct query q;

	int r = command_list_live(&q, db, err);
	while (r == 0 && (r = command_next(&q, &row, err)) > 0)
		r = restore_command(w, db, &row, err);
	query_end(&q);
	return r;
}

/* A removal that came before the end of the earlier process is a removal still. */
static int
check_nodes(void *arg, struct db *db, struct hw_err *err)
{
	struct dispatcher *d = arg;
	struct dispatch_node *n, *next;
	struct node_row row;
	int r = 0;

	HASH_ITER(hh, d->nodes, n, next) {
		if ((r = node_get(db, n->id, &row, err)) == HW_ENODE)
			n->removed = d->removed = true;
		else if (r < 0)
			return r;
	}
	return 0;
}

int
dispatcher_restore(struct dispatcher *d, struct hw_err *err)
{
	struct restoring w = {.d = d};

	int r = store_read(d->store, read_live, &w, err);
	if (r == 0)
		r = store_read(d->store, check_nodes, d, err);
	if (r == 0 && d->commands != NULL)
		log_info(d, "commands.restored", "n=%u invocations=%zu", HASH_COUNT(d->commands),
			d->invocations);
	dispatcher_lock(d);
	d->look_at = clock_mono(loop_clock(d->loop)) + DISPATCHER_PATIENCE;
	dispatcher_unlock(d);
	return r;
}
