/* GetRecording: a session's recording, in pages of whole events. */
#include <string.h>

#include "audit/ledger.h"
#include "audit/recording.h"
#include "proto/wire/codec.h"
#include "relay/core/op.h"
#include "relay/services/sessions/cursors.h"
#include "relay/store/sessions.h"
#include "relay/store/store.h"

#define PAGE_MAX   (176 * 1024) /* bytes of events and head: a reply must fit into one frame */
#define EVENT_HEAD 128		/* at most, of an encoded event, beside its bytes */
#define SPLIT_MIN  4096

/* --- events into a page
 * --------------------------------------------------------------------------------------- */

static size_t
room(const struct buf *page)
{
	return page->max - page->len;
}

/* As much of a large event as there is room for: 1. */
static int
append_part(struct buf *page, struct cursor *c, struct op *op)
{
	struct event part = c->event;

	if (part.len > room(page) - EVENT_HEAD)
		part.len = room(page) - EVENT_HEAD;
	if (event_encode(page, &part) < 0)
		return op_fail(op, HW_EINTERNAL, "an event did not fit its page");
	c->event.bytes += part.len;
	c->event.offset += part.len;
	c->event.len -= part.len;
	return 1;
}

/* 1: more may fit; 0: the page is full. */
static int
append_event(struct buf *page, struct cursor *c, struct op *op)
{
	struct event ev;
	size_t used;

	if (event_decode(&ev, c->block, c->left, &used) < 0)
		return op_fail(op, HW_ECORRUPT, "the recording of %s is damaged", c->session_id);
	bool large = used > room(page);
	if (large && ev.type != EVENT_DATA && page->len > 0)
		return 0;
	if (large && ev.type != EVENT_DATA)
		return op_fail(op, HW_ECORRUPT, "the recording of %s has an event of %zu bytes",
			c->session_id, used);
	if (large && page->len > 0 && used <= PAGE_MAX / 2)
		return 0; /* it fits into the next */
	if (large)
		c->event = ev;
	else if (buf_append(page, c->block, used) < 0)
		return op_fail(op, HW_ENOMEM, "no memory for a page of a recording");
	c->block += used;
	c->left -= used;
	return 1;
}

/* 1: the page is full; 0: the recording's present end. */
static int
fill_page(struct buf *page, struct cursor *c, struct op *op)
{
	int r;

	for (;;) {
		if (room(page) < SPLIT_MIN)
			return 1;
		if (c->event.len > 0)
			r = append_part(page, c, op);
		else if (c->left > 0)
			r = append_event(page, c, op);
		else if ((r = recording_next(c->recording, &c->block, &c->left, &op->err)) == 0)
			return 0;
		if (r <= 0)
			return r < 0 ? r : 1;
	}
}

/* --- the first page
 * --------------------------------------------------------------------------------------------- */

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

/* A deep copy: the recording may be closed before the reply is encoded. */
static int
copy_meta(struct msg_get_recording_reply *rep, struct op *op, const struct recording *recording,
	size_t *size)
{
	const struct msg_row *row = MSG_ROW(recording_meta);
	struct buf bytes;
	void *copy;

	buf_init(&bytes, PAGE_MAX);
	int r = msg_encode(&bytes, row, recording_meta(recording), &op->err);
	if (r == 0)
		r = msg_decode(&copy, op->arena, row, buf_data(&bytes), bytes.len, &op->err);
	if (r == 0) {
		rep->meta = copy;
		*size = bytes.len;
	}
	buf_fini(&bytes);
	return r;
}

static int
record_reading(struct op *op, const char *id)
{
	const struct msg_ledger_entry e = {
		.principal = op->arn,
		.action = op->row->action,
		.resource = arn_session(op, id),
		.request_id = op->request_id,
		.session_id = id,
		.source = op->source,
	};

	if (ledger_commit(op->env->ledger, ENTRY_RECORDING_READ, &e) < 0)
		return op_fail(op, HW_ERECORD, "the ledger cannot be written, so nothing is read");
	return 0;
}

static int
open_recording(struct cursor **ret, struct op *op, const char *id)
{
	struct known w = {.arena = op->arena, .id = id};
	struct recording *recording;
	int r;

	if ((r = store_read(op->env->store, find_session, &w, &op->err)) < 0 ||
		(r = record_reading(op, id)) < 0 ||
		(r = archiver_flush(op->env->archiver, id, &op->err)) < 0)
		return r;
	r = recording_open(&recording, recording_cursors_dir(op->env->cursors), id, op->env->master,
		&op->err);
	if (r == HW_ENOTFOUND)
		return op_fail(op, r, "session %s has no recording: it was never opened", id);
	if (r < 0)
		return r;
	*ret = cursor_new(op->arn, id, recording);
	if (*ret != NULL)
		return 0;
	recording_close(recording);
	return op_fail(op, HW_ENOMEM, "no memory for reading a recording");
}

/* --- a page
 * --------------------------------------------------------------------------------------------------------
 */

static int
keep(struct msg_get_recording_reply *rep, struct op *op, struct cursor *c)
{
	char *token = arena_alloc(op->arena, TOKEN_LEN + 1);

	if (token == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for the reply");
	int r = cursor_keep(token, op->env->cursors, c, &op->err);
	if (r == 0)
		rep->next_token = token;
	return r;
}

/* Fills in the events; the cursor is kept for the next page or closed. */
static int
send_page(struct msg_get_recording_reply *rep, struct op *op, struct cursor *c, size_t reserved)
{
	struct buf page;

	buf_init(&page, PAGE_MAX - reserved);
	int r = fill_page(&page, c, op);
	if (r >= 0) {
		rep->events =
			(struct msg_bin){arena_dup(op->arena, buf_data(&page), page.len), page.len};
		if (rep->events.p == NULL)
			r = op_fail(op, HW_ENOMEM, "no memory for a page of a recording");
	}
	buf_fini(&page);
	if (r > 0 && (r = keep(rep, op, c)) == 0)
		return 0;
	if (r == 0)
		rep->complete = recording_complete(c->recording);
	cursor_free(c);
	return r;
}

int
op_get_recording(struct op *op, const struct msg_get_recording_request *req,
	struct msg_get_recording_reply *rep)
{
	struct cursor *c = NULL;
	size_t head = 0;
	int r;

	if (req->next_token != NULL && req->next_token[0] != '\0') {
		c = cursor_take(op->env->cursors, req->next_token, op->arn, req->session_id);
		if (c == NULL)
			return op_fail(op, HW_ENEXTTOKEN,
				"NextToken is not the last reply's, or older than five minutes");
		return send_page(rep, op, c, 0);
	}
	if ((r = open_recording(&c, op, req->session_id)) < 0)
		return r;
	if ((r = copy_meta(rep, op, c->recording, &head)) < 0) {
		cursor_free(c);
		return r;
	}
	return send_page(rep, op, c, head);
}
