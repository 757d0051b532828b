/* GetRecording: a session's recording, in pages of whole events. */
#include <stdio.h>
#include <string.h>

#include "audit/ledger.h"
#include "audit/recording.h"
#include "proto/wire/codec.h"
#include "relay/core/op.h"
#include "relay/services/page.h"
#include "relay/services/sessions/cursors.h"
#include "relay/store/sessions.h"
#include "relay/store/store.h"

#define PAGE_MAX ((size_t)176 * 1024) /* events and head: a reply must fit into one frame */
_Static_assert(EVENT_BYTES_MAX + 1024 < PAGE_MAX, "every event fits a page");

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

/* 1: more may fit; 0: the page is full. Every event fits an empty page without a head. */
static int
append_event(struct buf *page, struct cursor *c, struct op *op)
{
	struct event ev;
	size_t used;

	if (event_decode(&ev, c->block, c->left, &used) < 0)
		return damaged(op);
	if (used > page->max - page->len)
		return 0;
	if (buf_append(page, c->block, used) < 0)
		return op_fail(op, HW_ENOMEM, "no memory for a page of a recording");
	pass(c, used);
	return 1;
}

/* 1: the page is full; 0: the recording's present end. */
static int
fill_page(struct buf *page, struct cursor *c, struct op *op)
{
	int r;

	for (;;) {
		if (c->left == 0) {
			r = recording_next(c->recording, &c->block, &c->left, &op->err);
			if (r <= 0)
				return r;
		} else if ((r = append_event(page, c, op)) <= 0) {
			return r < 0 ? r : 1;
		}
	}
}

/* --- opening ---------------------------------------------------------------------------------- */

static int
open_recording(struct cursor **ret, struct op *op, const char *id)
{
	struct recording *recording;
	int r;

	const char *dir = arena_printf(op->arena, "%s/recordings", op->env->dir);
	if (dir == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for reading a recording");
	if ((r = archiver_flush(op->env->archiver, id, &op->err)) < 0)
		return r;
	r = recording_open(&recording, dir, id, op->env->master, &op->err);
	if (r == HW_ENOTFOUND)
		return op_fail(op, r, "session %s has no recording: it was never opened", id);
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

/* A deep copy: the recording may be closed before the reply is encoded. */
static int
copy_meta(struct msg_get_recording_reply *rep, struct op *op, const struct recording *recording,
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
		rep->meta = copy;
		*size = bytes.len;
	}
	buf_fini(&bytes);
	return r;
}

/* Who reads is written down before anything is read. */
static int
open_first(struct cursor **ret, struct op *op, const char *id, struct msg_get_recording_reply *rep,
	size_t *head)
{
	struct known w = {.arena = op->arena, .id = id};
	int r;

	if ((r = store_read(op->env->store, find_session, &w, &op->err)) < 0 ||
		(r = record_reading(op, id)) < 0 || (r = open_recording(ret, op, id)) < 0)
		return r;
	r = copy_meta(rep, op, (*ret)->recording, head);
	if (r < 0)
		cursor_free(*ret);
	return r;
}

/* --- the place in a token --------------------------------------------------------------------- */

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

static int
open_next(struct cursor **ret, struct op *op, const char *id, const char *token)
{
	struct page_key key;
	int r;

	if ((r = page_read(&key, op, token)) < 0)
		return r;
	if (strcmp(key.text, id) != 0)
		return op_fail(op, HW_ENEXTTOKEN, "NextToken is of another session's recording");
	*ret = cursor_take(op->env->cursors, token, op->arn);
	if (*ret != NULL)
		return 0;
	if ((r = open_recording(ret, op, id)) < 0)
		return r;
	r = skip(*ret, (uint64_t)key.number, op);
	if (r < 0)
		cursor_free(*ret);
	return r;
}

static int
make_token(const char **ret, struct op *op, const struct cursor *c, const char *id)
{
	struct page_key key = {.number = (int64_t)c->sent};

	snprintf(key.text, sizeof(key.text), "%s", id);
	return page_token(ret, op, &key);
}

/* --- a page ----------------------------------------------------------------------------------- */

static int
take_events(struct msg_get_recording_reply *rep, struct op *op, const struct buf *page)
{
	const uint8_t *p = arena_dup(op->arena, buf_data(page), page->len);

	if (p == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a page of a recording");
	rep->events = (struct msg_bin){p, page->len};
	return 0;
}

/* The cursor is kept for the next page, or closed. */
static int
send_page(struct msg_get_recording_reply *rep, struct op *op, struct cursor *c, const char *id,
	size_t head)
{
	struct buf page;
	int r;

	buf_init(&page, PAGE_MAX - head);
	int more = fill_page(&page, c, op);
	r = more < 0 ? more : take_events(rep, op, &page);
	buf_fini(&page);
	if (r == 0 && more > 0)
		r = make_token(&rep->next_token, op, c, id);
	else if (r == 0)
		rep->complete = recording_complete(c->recording);
	if (r == 0 && more > 0)
		cursor_keep(op->env->cursors, rep->next_token, c);
	else
		cursor_free(c);
	return r;
}

int
op_get_recording(struct op *op, const struct msg_get_recording_request *req,
	struct msg_get_recording_reply *rep)
{
	const char *id = req->session_id, *token = req->next_token;
	struct cursor *c = NULL;
	size_t head = 0;
	int r;

	if (token == NULL || token[0] == '\0')
		r = open_first(&c, op, id, rep, &head);
	else
		r = open_next(&c, op, id, token);
	return r < 0 ? r : send_page(rep, op, c, id, head);
}
