/* GetRecording: a session's recording, in pages of whole events. GetSealedInput: of those the ones
 * that hide input, with what is sealed to the auditors, which GetRecording leaves out. */
#include <stdio.h>
#include <string.h>

#include "audit/ledger.h"
#include "audit/recording.h"
#include "proto/wire/codec.h"
#include "relay/core/config.h"
#include "relay/core/op.h"
#include "relay/core/uploads.h"
#include "relay/services/continue.h"
#include "relay/services/sessions/cursors.h"
#include "relay/store/holds.h"
#include "relay/store/recording_uploads.h"
#include "relay/store/sessions.h"
#include "relay/store/store.h"

#define PAGE_MAX ((size_t)176 * 1024) /* events and head: a reply must fit into one frame */
_Static_assert(EVENT_BYTES_MAX + 1024 < PAGE_MAX, "every event fits a page");
#define LOOK_MAX ((size_t)32 * 1024 * 1024) /* of events, for one page of those that are sealed */

/* --- events into a page ----------------------------------------------------------------------- */

static void
pass(struct cursor *c, size_t used)
{
	c->block += used;
	c->left -= used;
	c->sent += used;
}

static int
damaged(struct op *op)
{
	return op_fail(op, HW_ECORRUPT, "the recording is damaged");
}

/* What a reader gets of an event: of a recording all but what is sealed; of what is sealed all else
 * only if it says whose it is. False: nothing. */
static bool
is_for_reader(struct event *ev, bool sealed)
{
	if (sealed)
		return ev->type == EVENT_HIDDEN || ev->type == EVENT_AUTHOR;
	if (ev->type == EVENT_HIDDEN)
		ev->len = 0;
	return true;
}

/* 1: more may fit; 0: the page is full. Every event fits an empty page without a head. */
static int
append_event(struct buf *page, struct cursor *c, struct op *op, bool sealed)
{
	struct event ev;
	size_t used;

	if (event_decode(&ev, c->block, c->left, &used) < 0)
		return damaged(op);
	if (is_for_reader(&ev, sealed)) {
		if (used > page->max - page->len)
			return 0;
		if (event_encode(page, &ev) < 0)
			return op_fail(op, HW_ENOMEM, "no memory for a page of a recording");
	}
	pass(c, used);
	return 1;
}

/* 1: the page is full, or enough was looked at for one; 0: the recording's present end. */
static int
fill_page(struct buf *page, struct cursor *c, struct op *op, bool sealed)
{
	uint64_t enough = c->sent + LOOK_MAX;
	int r;

	while (!sealed || c->sent < enough) {
		if (c->left == 0) {
			r = recording_next(c->recording, &c->block, &c->left, &op->err);
			if (r <= 0)
				return r;
		} else if ((r = append_event(page, c, op, sealed)) <= 0) {
			return r < 0 ? r : 1;
		}
	}
	return 1;
}

/* --- opening ---------------------------------------------------------------------------------- */

struct missing {
	const char *id;
	int64_t when, now;
	struct recording_copy copy;
};

static int
read_missing(void *arg, struct db *db, struct hw_err *err)
{
	struct missing *m = arg;
	int r = kept_gone(&m->when, db, m->id, err);

	if (r == 0)
		r = recording_upload_get(db, m->id, &m->copy, err);
	return r == HW_ENOTFOUND ? 0 : r;
}

static int
write_wanted(void *arg, struct db *db, struct hw_err *err)
{
	const struct missing *m = arg;

	return recording_upload_fetch(db, m->id, m->now, err);
}

/* The next who asks finds it, or hears why not. */
static int
fetch(struct op *op, struct missing *m)
{
	int r = m->copy.fetching ? 0 : store_write(op->env->store, write_wanted, m, &op->err);

	if (r < 0)
		return r;
	uploads_kick(op->env->uploads);
	return op_fail(op, HW_EUNAVAILABLE,
		"the recording of %s is not here any more, and is being fetched from s3://%s: ask "
		"again in a moment%s%.300s",
		m->id, m->copy.bucket, m->copy.reason[0] != '\0' ? "; so far: " : "",
		m->copy.reason);
}

static int
say_missing(struct op *op, const char *id)
{
	struct missing m = {.id = id, .now = op->now};
	int r = store_read(op->env->store, read_missing, &m, &op->err);

	if (r < 0)
		return r;
	if (m.when > 0 && m.copy.uploaded && op->env->uploads != NULL)
		return fetch(op, &m);
	if (m.when > 0)
		return op_fail(op, HW_ENOTFOUND,
			"the recording of %s was deleted, as it was too old or there were too many: the "
			"ledger has its hash",
			id);
	return op_fail(op, HW_ENOTFOUND, "session %s has no recording: it was never opened", id);
}

static int
open_recording(struct cursor **ret, struct op *op, const char *id)
{
	struct recording *recording;
	int r;

	const char *dir = arena_printf(op->arena, "%s/recordings", op->env->dir);
	if (dir == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for reading a recording");
	int late = archiver_flush(op->env->archiver, id, &op->err);
	if (late < 0 && late != HW_EUNAVAILABLE)
		return late;
	r = recording_open(&recording, dir, id, op->env->master, late < 0 ? NULL : &op->err);
	if (r == HW_ENOTFOUND)
		return late < 0 ? late : say_missing(op, id);
	if (r < 0)
		return r;
	*ret = cursor_new(op->arn, recording);
	if (*ret != NULL)
		return 0;
	recording_close(recording);
	return op_fail(op, HW_ENOMEM, "no memory for reading a recording");
}

struct known {
	struct arena *arena;
	const char *id;
	struct session_row *row;
};

static int
find_session(void *arg, struct db *db, struct hw_err *err)
{
	struct known *w = arg;

	return session_get(db, w->arena, w->id, &w->row, err);
}

/* What one call is about; both operations' replies are filled from it. */
struct reading {
	const char *id, *reason;
	enum entry_kind kind;
	bool sealed;
	struct msg_recording_meta *meta;
	struct msg_bin events;
	bool complete;
	const char *next_token;
};

static int
record_reading(struct op *op, const struct reading *w)
{
	const struct msg_ledger_entry e = {
		.principal = op->arn,
		.action = op->row->action,
		.resource = arn_session(op, w->id),
		.request_id = op->request_id,
		.session_id = w->id,
		.source = op->source,
		.reason = w->reason,
	};

	if (ledger_commit(op->env->ledger, w->kind, &e) < 0)
		return op_fail(op, HW_ERECORD, "the ledger cannot be written, so nothing is read");
	return 0;
}

/* A deep copy: the recording may be closed before the reply is encoded. */
static int
copy_meta(struct msg_recording_meta **ret, struct op *op, const struct recording *recording,
	size_t *size)
{
	const struct msg_row *row = MSG_ROW(recording_meta);
	struct buf bytes;
	void *copy = NULL;

	buf_init(&bytes, PAGE_MAX);
	int r = msg_encode(&bytes, row, recording_meta(recording), &op->err);
	if (r == 0)
		r = msg_decode(&copy, op->arena, row, buf_data(&bytes), bytes.len, &op->err);
	if (r == 0) {
		*ret = copy;
		*size = bytes.len;
	}
	buf_fini(&bytes);
	return r;
}

/* Who reads is written down before anything is read. */
static int
open_first(struct cursor **ret, struct op *op, struct reading *w, size_t *head)
{
	struct known known = {.arena = op->arena, .id = w->id};
	int r;

	if ((r = store_read(op->env->store, find_session, &known, &op->err)) < 0 ||
		(r = record_reading(op, w)) < 0 || (r = open_recording(ret, op, w->id)) < 0)
		return r;
	r = copy_meta(&w->meta, op, (*ret)->recording, head);
	if (r < 0)
		cursor_free(*ret);
	return r;
}

/* --- going on --------------------------------------------------------------------------------- */

static int
skip(struct cursor *c, uint64_t to, struct op *op)
{
	int r;

	while (c->sent < to) {
		uint64_t step = to - c->sent;
		if (c->left == 0 &&
			(r = recording_next(c->recording, &c->block, &c->left, &op->err)) <= 0)
			return r < 0 ? r : damaged(op);
		pass(c, step < c->left ? (size_t)step : c->left);
	}
	return 0;
}

/* Who comes back to a page long after its entry reads anew. */
static int
open_next(struct cursor **ret, struct op *op, const struct reading *w, const char *token,
	const struct going_on *g)
{
	int r;

	if (!op->goes_on && (r = record_reading(op, w)) < 0)
		return r;
	*ret = cursor_take(op->env->cursors, token, op->arn);
	if (*ret != NULL)
		return 0;
	if ((r = open_recording(ret, op, w->id)) < 0)
		return r;
	r = skip(*ret, (uint64_t)g->number, op);
	if (r < 0)
		cursor_free(*ret);
	return r;
}

/* --- a page ----------------------------------------------------------------------------------- */

static int
take_events(struct reading *w, struct op *op, const struct buf *page)
{
	const uint8_t *p = arena_dup(op->arena, buf_data(page), page->len);

	if (p == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a page of a recording");
	w->events = (struct msg_bin){p, page->len};
	return 0;
}

/* The cursor is kept for the next page, or closed. */
static int
make_page(struct reading *w, struct op *op, struct cursor *c, size_t head, struct going_on *g)
{
	struct buf page;
	int r;

	buf_init(&page, PAGE_MAX - head);
	int more = fill_page(&page, c, op, w->sealed);
	r = more < 0 ? more : take_events(w, op, &page);
	buf_fini(&page);
	g->number = (int64_t)c->sent;
	if (r == 0 && more > 0)
		r = continue_token(&w->next_token, op, g);
	else if (r == 0)
		w->complete = recording_complete(c->recording);
	if (r == 0 && more > 0)
		cursor_keep(op->env->cursors, w->next_token, c);
	else
		cursor_free(c);
	return r;
}

/* `plain` is the request without the token. */
static int
read_on(struct reading *w, struct op *op, const void *plain, const char *token)
{
	struct cursor *c = NULL;
	struct going_on g;
	size_t head = 0;
	int r = continue_read(&g, op, plain, token);

	if (r == 0)
		r = g.begun ? open_next(&c, op, w, token, &g) : open_first(&c, op, w, &head);
	return r < 0 ? r : make_page(w, op, c, head, &g);
}

int
op_get_recording(struct op *op, const struct msg_get_recording_request *req,
	struct msg_get_recording_reply *rep)
{
	struct msg_get_recording_request plain = *req;
	struct reading w = {.id = req->session_id, .kind = ENTRY_RECORDING_READ};

	plain.next_token = NULL;
	int r = read_on(&w, op, &plain, req->next_token);

	*rep = (struct msg_get_recording_reply){.meta = w.meta,
		.events = w.events,
		.complete = w.complete,
		.next_token = w.next_token};
	return r;
}

int
op_get_sealed_input(struct op *op, const struct msg_get_sealed_input_request *req,
	struct msg_get_sealed_input_reply *rep)
{
	struct msg_get_sealed_input_request plain = *req;
	struct reading w = {.id = req->session_id,
		.reason = req->reason,
		.kind = ENTRY_SEALED_READ,
		.sealed = true};

	plain.next_token = NULL;
	int r = read_on(&w, op, &plain, req->next_token);

	*rep = (struct msg_get_sealed_input_reply){.relay = op->env->config->name,
		.meta = w.meta,
		.events = w.events,
		.complete = w.complete,
		.next_token = w.next_token};
	return r;
}
