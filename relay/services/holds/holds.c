/* PutHold, LiftHold, ListHolds: which recordings are not deleted. */
#include <stdio.h>
#include <string.h>

#include "proto/base/id.h"
#include "relay/core/op.h"
#include "relay/services/page.h"
#include "relay/services/text.h"
#include "relay/store/holds.h"
#include "relay/store/store.h"

static void
copy(char *out, size_t room, const char *text)
{
	snprintf(out, room, "%s", text != NULL ? text : "");
}

static int
write_hold(void *arg, struct db *db, struct hw_err *err)
{
	const struct hold_row *row = arg;
	int r = hold_check(db, row, err);

	return r == 0 ? hold_insert(db, row, err) : r;
}

static bool
is_given(const char *text)
{
	return text != NULL && text[0] != '\0';
}

int
op_put_hold(struct op *op, const struct msg_put_hold_request *req, struct msg_put_hold_reply *rep)
{
	struct hold_row row = {.after = req->after, .before = req->before, .created = op->now};

	if (!is_given(req->session_id) && !is_given(req->user_name) &&
		!is_given(req->instance_id) && req->after == 0 && req->before == 0)
		return op_fail(op, HW_EVALIDATION,
			"a hold names a session, a user, a node or a time: to keep all, set "
			"recording_days to 0");
	if (req->after != 0 && req->before != 0 && req->after >= req->before)
		return op_fail(op, HW_EVALIDATION,
			"no session starts after After and before Before");
	id_uuid(row.id);
	copy(row.session_id, sizeof(row.session_id), req->session_id);
	copy(row.user, sizeof(row.user), req->user_name);
	copy(row.node_id, sizeof(row.node_id), req->instance_id);
	copy(row.reason, sizeof(row.reason), req->reason);
	copy(row.created_by, sizeof(row.created_by), op->arn);
	int r = text_keep(&rep->hold_id, op, row.id);
	return r == 0 ? store_write(op->env->store, write_hold, &row, &op->err) : r;
}

static int
write_lifting(void *arg, struct db *db, struct hw_err *err)
{
	const struct msg_lift_hold_request *req = arg;

	return hold_delete(db, req->hold_id, err);
}

int
op_lift_hold(struct op *op, const struct msg_lift_hold_request *req, struct msg_empty *rep)
{
	struct msg_lift_hold_request job = *req;

	(void)rep;
	return store_write(op->env->store, write_lifting, &job, &op->err);
}

struct listing {
	struct op *op;
	struct msg_list_holds_reply *rep;
	struct page_key last;
};

static int
describe(struct msg_hold *ret, struct op *op, const struct hold_row *row)
{
	int r;

	ret->after = row->after;
	ret->before = row->before;
	ret->created = row->created;
	if ((r = text_keep(&ret->hold_id, op, row->id)) < 0 ||
		(r = text_keep(&ret->session_id, op, row->session_id)) < 0 ||
		(r = text_keep(&ret->user_name, op, row->user)) < 0 ||
		(r = text_keep(&ret->instance_id, op, row->node_id)) < 0 ||
		(r = text_keep(&ret->reason, op, row->reason)) < 0)
		return r;
	return text_keep(&ret->created_by, op, row->created_by);
}

static int
read_holds(void *arg, struct db *db, struct hw_err *err)
{
	struct listing *w = arg;
	struct page page;
	struct hold_row row;
	struct query q;
	int r = hold_list(&q, db, w->last.text, err);

	page_begin(&page, w->op, 0, HOLDS_MAX);
	while (r == 0 && (r = hold_next(&q, &row, err)) == 1) {
		if (!page_has_room(&page)) {
			r = page_token(&w->rep->next_token, w->op, &w->last);
			break;
		}
		r = describe(&w->rep->holds.v[w->rep->holds.n], w->op, &row);
		w->rep->holds.n += r == 0;
		page.items++;
		copy(w->last.text, sizeof(w->last.text), row.id);
	}
	query_end(&q);
	return r < 0 ? r : 0;
}

int
op_list_holds(struct op *op, const struct msg_list_holds_request *req,
	struct msg_list_holds_reply *rep)
{
	struct listing w = {.op = op, .rep = rep};
	int r = page_read(&w.last, op, req->next_token);

	if (r < 0)
		return r;
	rep->holds.v = arena_alloc(op->arena, HOLDS_MAX * sizeof(*rep->holds.v));
	if (rep->holds.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a list of holds");
	return store_read(op->env->store, read_holds, &w, &op->err);
}
