/*
 * SearchRecordings: lines of recordings. A page is a bounded piece of work; its NextToken says
 * where it stopped: in which session, at which event, at which byte of that, all between two lines.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/recording.h"
#include "relay/core/op.h"
#include "relay/services/continue.h"
#include "relay/services/find.h"
#include "relay/services/sessions/cursors.h"
#include "relay/store/sessions.h"
#include "relay/store/store.h"

#define BATCH	  32
#define LINE_LONG (1024 * 1024) /* bytes without a line's end, after which it is cut */

/* Where a page stops, between two lines. */
struct place {
	uint64_t sent;	 /* bytes of encoded events before the event */
	uint64_t within; /* bytes of it that were looked at */
};

struct search_job {
	struct op *op;
	const struct msg_search_recordings_request *req;
	struct msg_search_recordings_reply *rep;
	struct find find;
	struct session_row *rows; /* a batch, newest first, whether they live or have ended */
	size_t n_rows;
	struct session_filter filter;
	struct place place;
	bool unfinished;     /* the page ends within a session */
	bool late;	     /* it was told that not all of the session is written */
	struct cursor *open; /* of which it has this */
	uint64_t at_line;    /* bytes of the session when a line was last at its end */
};

/* --- a recording ------------------------------------------------------------------------------ */

static int
open_there(struct recording **ret, struct search_job *j, const char *id)
{
	struct op *op = j->op;
	const char *dir = arena_printf(op->arena, "%s/recordings", op->env->dir);

	if (dir == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a recording");
	return recording_open(ret, dir, id, op->env->master, &op->err);
}

/* What is not written yet is written now. Once for each session: one that goes on might write more
 * than is searched, for ever. */
static int
open_recording(struct cursor **ret, struct search_job *j, const char *id)
{
	struct recording *recording = NULL;
	struct hw_err late = HW_ERR_INIT;
	struct op *op = j->op;

	int r = open_there(&recording, j, id);
	bool begins = j->place.sent == 0 && j->place.within == 0;
	if (r == HW_ENOTFOUND || (r == 0 && begins && recording_is_live(recording)))
		j->late = archiver_flush(op->env->archiver, id, &late) < 0;
	if (r == HW_ENOTFOUND)
		r = open_there(&recording, j, id);
	if (r == 0 && (*ret = cursor_new(op->arn, recording)) == NULL) {
		recording_close(recording);
		r = op_fail(op, HW_ENOMEM, "no memory for a recording");
	}
	if (!j->late || (r < 0 && r != HW_ENOTFOUND))
		return r;
	int told = find_gap(&j->find, true, hw_err_text(&late));
	return told < 0 ? told : r;
}

/* 1: there are bytes; 0: the end. */
static int
turn(struct cursor *c, struct find *f, struct hw_err *err)
{
	if (c->left > 0)
		return 1;
	int r = recording_next(c->recording, &c->block, &c->left, err);
	if (r == 1)
		f->bytes += (int64_t)c->left;
	return r;
}

static int
skip_to(struct cursor *c, uint64_t to, struct search_job *j)
{
	int r;

	while (c->sent < to) {
		if ((r = turn(c, &j->find, &j->op->err)) <= 0)
			return r < 0 ? r : HW_ECORRUPT;
		uint64_t step = to - c->sent < c->left ? to - c->sent : c->left;
		c->block += step;
		c->left -= step;
		c->sent += step;
	}
	return 0;
}

/* --- its lines -------------------------------------------------------------------------------- */

static void
note_place(struct search_job *j, uint64_t sent, uint64_t within)
{
	if (j->place.sent == sent && j->place.within == within)
		return;
	j->place = (struct place){sent, within};
	j->at_line = sent + within;
	j->find.since_place = j->find.skip = 0;
}

/* Up to the end of a line, where there is one near. */
static size_t
piece_of(const struct event *ev, size_t from)
{
	char end = ev->stream == STREAM_IN ? '\r' : '\n';
	size_t n = ev->len - from;

	if (ev->type != EVENT_DATA)
		return n;
	if (n > LINE_FEED_MAX)
		n = LINE_FEED_MAX;
	const uint8_t *p = memchr(ev->bytes + from, end, n);
	return p != NULL ? (size_t)(p - ev->bytes) + 1 - from : n;
}

/* 1: the page ends here, at j->place; 0: the event is done with. */
static int
search_event(struct search_job *j, const struct cursor *c, const struct event *ev, size_t from)
{
	struct find *f = &j->find;
	int r = 0;

	do {
		struct event piece = *ev;
		piece.bytes += from;
		piece.len = piece_of(ev, from);
		if ((r = line_search_event(&f->lines, &piece)) != 0)
			return r;
		from += piece.len;
		bool idle = line_search_idle(&f->lines);
		if (idle || c->sent + from - j->at_line > LINE_LONG || line_search_late(&f->lines))
			note_place(j, c->sent, from);
		if (find_is_enough(f) && (idle || j->place.within == from))
			return 1;
	} while (from < ev->len);
	return 0;
}

/* 1: the page ends within it. */
static int
search_events(struct search_job *j, struct cursor *c, size_t within)
{
	struct hw_err *err = &j->op->err;
	struct event ev;
	size_t used;
	int r;

	while ((r = turn(c, &j->find, err)) == 1) {
		if (event_decode(&ev, c->block, c->left, &used) < 0 || within > ev.len)
			return hw_err_set(err, HW_ECORRUPT, "the recording is damaged");
		if ((r = search_event(j, c, &ev, within)) != 0)
			return r;
		within = 0;
		c->block += used;
		c->left -= used;
		c->sent += used;
	}
	return r < 0 ? r : line_search_end(&j->find.lines);
}

static void
describe(struct search_job *j, const struct session_row *row)
{
	struct arena *a = j->op->arena;

	j->find.of = (struct msg_search_hit){
		.session_id = arena_strdup(a, row->id),
		.owner = arena_strdup(a, row->owner_arn),
		.target = arena_strdup(a, row->node_id),
		.target_name = arena_strdup(a, row->node_name),
		.time = row->start,
	};
}

/* What was run is as good as typed. */
static int
search_command_line(struct search_job *j, const struct cursor *c)
{
	const char *command = recording_meta(c->recording)->command;

	if (command == NULL || !j->find.lines.typed || c->sent > 0 || j->place.within > 0)
		return 0;
	return find_text(&j->find, command, SEARCH_SOURCE_COMMAND);
}

static int
search_open(struct search_job *j, struct cursor *c)
{
	struct place from = j->place;
	int r;

	j->find.start = recording_meta(c->recording)->start;
	j->at_line = from.sent + from.within;
	if ((r = skip_to(c, from.sent, j)) < 0 || (r = search_command_line(j, c)) != 0)
		return r;
	return search_events(j, c, from.within);
}

/* A recording that cannot be read keeps nobody from the others. */
static int
count_unreadable(struct search_job *j, int r)
{
	if (r == HW_ENOTFOUND) /* it was never opened */
		return 0;
	if (r != HW_ECORRUPT && r != HW_ELIMIT && r != HW_ESYS)
		return r;
	j->rep->unreadable++;
	r = find_gap(&j->find, false, hw_err_text(&j->op->err));
	j->op->err = (struct hw_err)HW_ERR_INIT;
	return r;
}

/* It was searched to the end of what there is, which must be its own. */
static int
count_searched(struct search_job *j, const struct cursor *c, const struct session_row *row)
{
	if (j->late)
		return 0;
	bool whole = recording_complete(c->recording), live = recording_is_live(c->recording);
	if (whole || (live && row->end == 0)) {
		j->rep->searched++;
		return 0;
	}
	j->rep->unreadable += !live;
	return find_gap(&j->find, live,
		live ? "its recording is not written to its end" : "its recording was cut off");
}

/* 1: the page ends within it. `waiting`: it may be open still from the page before. */
static int
search_session(struct search_job *j, const struct session_row *row, const char *waiting)
{
	struct cursor *c = NULL;
	int r = 0;

	if (waiting != NULL)
		c = cursor_take(j->op->env->cursors, waiting, j->op->arn);
	if (c != NULL && c->sent > j->place.sent) {
		cursor_free(c);
		c = NULL;
	}
	describe(j, row);
	j->late = false;
	if (c == NULL)
		r = open_recording(&c, j, row->id);
	if (r == 0)
		r = search_open(j, c);
	if (r == 1) {
		j->unfinished = true;
		j->open = c;
		return 1;
	}
	if (r == 0)
		r = count_searched(j, c, row);
	cursor_free(c);
	j->place = (struct place){0, 0};
	j->find.skip = j->find.since_place = 0;
	return r < 0 ? count_unreadable(j, r) : 0;
}

/* --- sessions --------------------------------------------------------------------------------- */

static int
read_batch(void *arg, struct db *db, struct hw_err *err)
{
	struct search_job *j = arg;
	struct query q;

	j->n_rows = 0;
	int r = session_list(&q, db, &j->filter, err);
	while (r == 0 && j->n_rows < BATCH &&
		(r = session_next(&q, &j->rows[j->n_rows], err)) > 0) {
		j->n_rows++;
		r = 0;
	}
	query_end(&q);
	return r;
}

static bool
is_meant(struct search_job *j, const struct session_row *row)
{
	bool over = row->end != 0 && j->req->start_time != 0 && row->end < j->req->start_time;

	return row->type != CHANNEL_TYPE_FORWARD && !over &&
		op_may_see_session(j->op, row->id, row->node_id);
}

struct again {
	struct search_job *j;
	const char *id;
	struct session_row *row;
};

static int
read_again(void *arg, struct db *db, struct hw_err *err)
{
	struct again *w = arg;

	return session_get(db, w->j->op->arena, w->id, &w->row, err);
}

/* The session that the page before stopped in. It may be gone, or not the caller's to see any more.
 */
static int
finish_session(struct search_job *j, const char *id, const char *token)
{
	struct again w = {.j = j, .id = id};
	int r = store_read(j->op->env->store, read_again, &w, &j->op->err);

	if (r == HW_ENOSESSION)
		return 0;
	if (r < 0)
		return r;
	return is_meant(j, w.row) ? search_session(j, w.row, token) : 0;
}

static void
pass(struct search_job *j, const struct session_row *row)
{
	j->filter.start_below = row->start;
	j->filter.id_below = arena_strdup(j->op->arena, row->id);
}

/* 1: the page ends; 0: there is no more. */
static int
search_rows(struct search_job *j)
{
	int r;

	for (;;) {
		if ((r = store_read(j->op->env->store, read_batch, j, &j->op->err)) < 0 ||
			j->n_rows == 0)
			return r;
		for (size_t i = 0; i < j->n_rows; i++) {
			pass(j, &j->rows[i]);
			if (is_meant(j, &j->rows[i]) &&
				(r = search_session(j, &j->rows[i], NULL)) != 0)
				return r;
			if (find_is_enough(&j->find))
				return 1;
		}
	}
}

/* --- the page --------------------------------------------------------------------------------- */

/* "SESSION SENT WITHIN SKIP"; SENT is - between two sessions. */
static int
read_place(struct search_job *j, const struct going_on *g, char session[97], bool *within)
{
	unsigned long long bytes = 0, skip = 0;
	char sent[20] = "-";

	*within = false;
	if (!g->begun)
		return 0;
	if (sscanf(g->place, "%96s %19s %llx %llx", session, sent, &bytes, &skip) < 2)
		return op_fail(j->op, HW_ENEXTTOKEN, "NextToken is not one of this operation's");
	j->filter.start_below = g->number;
	j->filter.id_below = session;
	*within = strcmp(sent, "-") != 0;
	j->place = (struct place){strtoull(sent, NULL, 16), bytes};
	j->find.skip = (int64_t)skip;
	return 0;
}

static int
write_place(struct search_job *j, struct going_on *g)
{
	int n;

	g->number = j->filter.start_below;
	if (j->unfinished)
		n = snprintf(g->place, sizeof(g->place), "%s %" PRIx64 " %" PRIx64 " %" PRIx64,
			j->filter.id_below, j->place.sent, j->place.within,
			(uint64_t)j->find.since_place);
	else
		n = snprintf(g->place, sizeof(g->place), "%s -", j->filter.id_below);
	if (n >= (int)sizeof(g->place))
		return op_fail(j->op, HW_ELIMIT, "the recording is too long to go on in");
	int r = continue_token(&j->rep->next_token, j->op, g);
	if (r < 0 || j->open == NULL)
		return r;
	cursor_keep(j->op->env->cursors, j->rep->next_token, j->open);
	j->open = NULL;
	return 0;
}

static int
run(struct search_job *j, struct going_on *g)
{
	char session[97] = "";
	bool within;
	int r = read_place(j, g, session, &within);

	/* So all that ended before now is the archiver's to write. */
	if (r == 0 && !g->begun && j->op->env->journal != NULL &&
		journal_settle(j->op->env->journal) < 0)
		r = op_fail(j->op, HW_ERECORD, "the journal cannot be written");
	if (r == 0 && within)
		r = finish_session(j, session, j->req->next_token);
	if (r == 0)
		r = search_rows(j);
	if (r < 0)
		return r;
	j->rep->hits.v = j->find.hits;
	j->rep->hits.n = j->find.n;
	j->rep->bytes = j->find.bytes;
	j->rep->too_hard = j->find.lines.too_hard;
	j->rep->gaps.v = j->find.gaps;
	j->rep->gaps.n = j->find.n_gaps;
	return r == 1 ? write_place(j, g) : 0;
}

int
op_search_recordings(struct op *op, const struct msg_search_recordings_request *req,
	struct msg_search_recordings_reply *rep)
{
	struct msg_search_recordings_request plain = *req;
	struct search_job j = {
		.op = op,
		.req = req,
		.rep = rep,
		.filter = {.any = true,
			   .before = req->end_time,
			   .target = req->target,
			   .owner = req->owner,
			   .id = req->session_id},
	};
	const struct find_asked asked = {req->pattern, req->ignore_case, req->typed, req->shown,
		req->start_time, req->end_time, req->max_results};
	struct going_on g;
	int r;

	plain.next_token = NULL;
	if ((r = continue_read(&g, op, &plain, req->next_token)) < 0)
		return r;
	r = find_begin(&j.find, op, &asked);
	j.rows = calloc(BATCH, sizeof(*j.rows));
	if (r == 0)
		r = j.rows != NULL ? run(&j, &g) : op_fail(op, HW_ENOMEM, "no memory for sessions");
	cursor_free(j.open);
	free(j.rows);
	find_end(&j.find);
	return r;
}
