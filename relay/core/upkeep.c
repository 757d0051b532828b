/* What a relay does beside its work: at its start it takes up the sessions that an earlier process
 * left open, or ends those that could not be recorded any more, and now and then those that nobody
 * has opened, recordings and commands of long ago; and it reads again who may do what when that
 * could not be read. */
#include <stdio.h>

#include "audit/journal.h"
#include "audit/ledger.h"
#include "audit/reached.h"
#include "proto/wire/codec.h"
#include "relay/core/principals.h"
#include "relay/core/keeping.h"
#include "relay/core/relay_private.h"
#include "relay/core/outputs.h"
#include "relay/core/retention.h"
#include "relay/core/session.h"
#include "relay/core/workers.h"
#include "relay/store/sessions.h"
#include "relay/store/store.h"

#define TIDY_EVERY	(30 * USEC_PER_SEC)
#define TIDY_LOOK	(10 * USEC_PER_SEC) /* while there is more */
#define CLOCK_JUMP	(600 * USEC_PER_SEC)
#define CLOCK_SETTLES	(3600 * USEC_PER_SEC)
#define SWEEP_ARENA_MAX (16 << 20)
#define FLUSH_EVERY	1024 /* sessions */

/* --- sessions that an earlier process left open ----------------------------------------------- */

struct sweep {
	struct relay *relay;
	struct arena *arena;
	struct msg_strs ids;
};

#define SWEPT "the relay could not record any more while it was open"

/* Their recordings are completed, so that they can be sealed. */
static int
close_recordings(struct relay *r, const struct msg_strs *ids, jpos *end)
{
	struct msg_close close = {.code = hw_code_name(HW_EUNAVAILABLE), .message = SWEPT};
	struct buf bytes;
	int rc;

	buf_init(&bytes, 1024);
	rc = msg_encode(&bytes, MSG_ROW(close), &close, NULL);
	for (size_t i = 0; i < ids->n && rc == 0; i++) {
		struct journal_record rec = {
			.type = JOURNAL_SESSION_END,
			.session = session_number(ids->v[i]),
			.time = clock_wall(r->clock),
			.bytes = buf_data(&bytes),
			.len = bytes.len,
		};
		struct msg_ledger_entry e = {
			.session_id = ids->v[i], .outcome = OUTCOME_FAILED, .reason = SWEPT};
		if ((rc = journal_append(r->journal, &rec, end)) == 0)
			rc = ledger_append(r->ledger, ENTRY_SESSION_END, &e, end);
		if (i % FLUSH_EVERY == 0 && rc == 0)
			rc = journal_write(r->journal);
	}
	buf_fini(&bytes);
	return rc;
}

/* Their ends are on disk in journal and ledger before the store's commit: a crash between them ends
 * some twice, and leaves none open. */
static int
write_sweep(void *arg, struct db *db, struct hw_err *err)
{
	struct sweep *sw = arg;
	jpos end = 0;

	int rc = session_sweep_open(db, sw->arena, clock_wall(sw->relay->clock), SWEPT, &sw->ids,
		err);
	if (rc < 0 || sw->ids.n == 0)
		return rc;
	if (close_recordings(sw->relay, &sw->ids, &end) < 0 ||
		journal_wait(sw->relay->journal, end) < 0)
		return hw_err_set(err, HW_ERECORD, "the journal cannot be written");
	return 0;
}

static int
end_unrecorded(struct relay *r, struct arena *arena, struct hw_err *err)
{
	struct sweep sw = {.relay = r, .arena = arena};
	int rc = store_write(r->store, write_sweep, &sw, err);

	if (rc == 0 && sw.ids.n > 0)
		log_warn(r, "sessions.swept", "n=%zu", sw.ids.n);
	return rc;
}

struct restoring {
	struct relay *relay;
	struct arena *arena;
	int64_t now;
	size_t n;
};

/* Nobody is there yet. */
static int
write_away(void *arg, struct db *db, struct hw_err *err)
{
	const struct restoring *w = arg;

	return session_set_all_away(db, w->now, err);
}

static int
restore_one(struct relay *r, const struct session_open *open, struct hw_err *err)
{
	struct reached_streams at = {.known = false};
	uint64_t number = session_number(open->row->id);
	struct reached_end end;
	char recordings[2048];
	int rc = 0;

	snprintf(recordings, sizeof(recordings), "%s/recordings", r->path);
	if (channel_row(open->row->type)->recorded)
		rc = reached_find(&at, r->reached, number, recordings, open->row->id, &r->master,
			err);
	if (rc == 0 && reached_ended(&end, r->reached, number, open->row->id))
		return session_restore_ended(r->broker, open, &at, &end, err);
	return rc == 0 ? session_restore(r->broker, open, &at, err) : rc;
}

/* One by one: of as many as may be open a list of all would be large. */
static int
read_open(void *arg, struct db *db, struct hw_err *err)
{
	struct restoring *w = arg;
	const struct arena_mark mark = arena_mark(w->arena);
	struct session_open open;
	struct query q;

	int r = session_list_open(&q, db, err);
	while (r == 0 && (r = session_next_open(&q, w->arena, &open, err)) > 0) {
		r = restore_one(w->relay, &open, err);
		arena_release(w->arena, &mark);
		w->n++;
	}
	query_end(&q);
	return r;
}

static int
restore(struct relay *r, struct arena *arena, struct hw_err *err)
{
	struct restoring w = {.relay = r, .arena = arena, .now = clock_wall(r->clock)};
	int rc = store_write(r->store, write_away, &w, err);

	if (rc == 0)
		rc = store_read(r->store, read_open, &w, err);
	if (rc == 0 && w.n > 0)
		log_info(r, "sessions.restored", "n=%zu", w.n);
	reached_free(r->reached);
	r->reached = NULL;
	return rc;
}

int
upkeep_take_up(struct relay *r, struct hw_err *err)
{
	struct arena *arena = arena_new(SWEEP_ARENA_MAX);

	if (arena == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the sessions that were left open");
	int rc = end_unrecorded(r, arena, err);
	if (rc == 0)
		rc = restore(r, arena, err);
	arena_free(arena);
	return rc;
}

/* --- tidying: tickets that nobody used -------------------------------------------------------- */

static int
read_late(void *arg, struct db *db, struct hw_err *err)
{
	struct sweep *sw = arg;
	bool any = false;

	int rc = session_any_late(db, clock_wall(sw->relay->clock), &any, err);
	return rc < 0 ? rc : any ? 0 : HW_ENOTFOUND;
}

static int
write_late(void *arg, struct db *db, struct hw_err *err)
{
	struct sweep *sw = arg;

	return session_sweep_late(db, clock_wall(sw->relay->clock), err);
}

/* The commit of nothing: who may do what is read after it. */
static int
write_nothing(void *arg, struct db *db, struct hw_err *err)
{
	(void)arg, (void)err;
	store_changed(db, STORE_GRANTS, "");
	return 0;
}

/* With nobody in, no commit of anybody's would do it. */
static void
find_authority(struct relay *r)
{
	struct hw_err err = HW_ERR_INIT;

	if (authority_lost(r->authority) && store_write(r->store, write_nothing, NULL, &err) < 0)
		log_warn(r, "principals.unread", "why=%s", log_value(hw_err_text(&err)));
}

/* A clock that is wrong at a start, or is set far ahead, is set right soon; what was deleted by it
 * comes never back. */
static bool
is_clock_doubtful(struct relay *r)
{
	int64_t mono = clock_mono(r->clock), ahead = clock_wall(r->clock) - mono;

	if (!r->clock_known || ahead - r->clock_ahead > CLOCK_JUMP)
		r->clock_since = mono;
	r->clock_known = true;
	r->clock_ahead = ahead;
	return mono - r->clock_since < CLOCK_SETTLES;
}

static void
keep_recordings(struct relay *r, bool is_doubtful)
{
	const struct keeping_env env = {
		.store = r->store,
		.ledger = r->ledger,
		.heads = r->heads,
		.config = &r->config,
		.master = &r->master,
		.dir = r->path,
		.now = clock_wall(r->clock),
		.is_doubtful = is_doubtful,
	};
	struct hw_err err = HW_ERR_INIT;
	int deleted;

	int rc = keeping_run(&deleted, &env, &err);
	r->tidy_on = rc == 0 && deleted >= KEEPING_AT_ONCE;
	if (rc < 0)
		log_warn(r, "recordings.kept", "why=%s", log_value(hw_err_text(&err)));
	if (deleted > 0)
		log_info(r, "recordings.deleted", "n=%d", deleted);
}

static void
keep_commands(struct relay *r, bool is_doubtful)
{
	const struct retention_env env = {
		.store = r->store,
		.outputs = r->outputs,
		.config = &r->config,
		.now = clock_wall(r->clock),
		.is_doubtful = is_doubtful,
		.refused = outputs_take_refused(r->outputs),
	};
	struct hw_err err = HW_ERR_INIT;

	if (env.refused)
		log_warn(r, "commands.no_room", "mib=%lld most=%d",
			(long long)(outputs_total(r->outputs) >> 20),
			r->config.command_outputs_mib);
	if (retention_run(&env, &err) < 0)
		log_warn(r, "commands.kept", "why=%s", log_value(hw_err_text(&err)));
}

static void
run_tidy(void *arg)
{
	struct relay *r = arg;
	struct sweep sw = {.relay = r};
	struct hw_err err = HW_ERR_INIT;

	find_authority(r);
	int rc = store_read(r->store, read_late, &sw, &err);
	if (rc == 0)
		rc = store_write(r->store, write_late, &sw, &err);
	if (rc < 0 && rc != HW_ENOTFOUND)
		log_warn(r, "tidy.failed", "why=%s", log_value(hw_err_text(&err)));
	bool is_doubtful = is_clock_doubtful(r);
	outputs_count(r->outputs);
	keep_recordings(r, is_doubtful);
	keep_commands(r, is_doubtful);
}

static void
on_tidied(void *arg)
{
	struct relay *r = arg;

	r->tidying = false;
}

static void
on_tidy(void *arg)
{
	struct relay *r = arg;

	int64_t now = clock_mono(r->clock);

	if (!r->tidying && (r->tidy_on || now - r->tidied >= TIDY_EVERY)) {
		r->tidied = now;
		r->tidying = workers_submit(r->workers, run_tidy, on_tidied, r);
	}
	loop_timer_start(r->loop, &r->tidy, TIDY_LOOK);
}

void
upkeep_start(struct relay *r)
{
	r->tidied = clock_mono(r->clock);
	r->tidy = (struct loop_timer){.fn = on_tidy, .arg = r};
	loop_timer_start(r->loop, &r->tidy, TIDY_LOOK);
}

void
upkeep_stop(struct relay *r)
{
	loop_timer_stop(r->loop, &r->tidy);
}
