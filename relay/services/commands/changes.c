/* ListCommandChanges: a command as it stands, and what has changed of it. */
#include <string.h>

#include "relay/core/op.h"
#include "relay/services/commands/describe.h"
#include "relay/services/commands/filters.h"
#include "relay/services/commands/pack.h"
#include "relay/services/page.h"
#include "relay/services/text.h"
#include "relay/store/invocations.h"
#include "relay/store/store.h"

#define LIST_LIMIT 1000

struct changes {
	struct op *op;
	const struct msg_list_command_changes_request *req;
	struct msg_list_command_changes_reply *rep;
	struct command_row row;
	struct page page;
};

static int
keep_steps(struct msg_invocation_summary *ret, struct op *op, const char *text)
{
	const struct msg_invocation_steps *steps;
	void *msg;
	int r;

	if (text == NULL)
		return op_fail(op, HW_ELIMIT, "the reply is too large");
	if (text[0] == '\0')
		return 0;
	if ((r = unpack(&msg, op, MSG_ROW(invocation_steps), text, NULL)) < 0)
		return r;
	steps = msg;
	ret->steps.v = arena_array(op->arena, steps->steps.n, sizeof(*ret->steps.v));
	if (ret->steps.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for the names of steps");
	for (size_t i = 0; i < steps->steps.n; i++) {
		ret->steps.v[ret->steps.n++] = steps->steps.v[i].name;
		ret->stdout_dropped += steps->steps.v[i].stdout_dropped;
		ret->stderr_dropped += steps->steps.v[i].stderr_dropped;
	}
	return 0;
}

static int
describe(struct msg_invocation_summary *ret, struct op *op, const struct invocation_row *row,
	const char *steps)
{
	const struct {
		const char **to;
		const char *from;
	} texts[] = {
		{&ret->instance_id,    row->node_id	},
		{&ret->instance_name,  row->node_name},
		{&ret->status_details, row->details  },
		{&ret->reason,	       row->reason	  },
	};
	int r;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if ((r = text_keep(texts[i].to, op, texts[i].from)) < 0)
			return r;
	ret->status = row->status;
	ret->response_code = row->response_code;
	ret->stdout_bytes = row->stdout_bytes;
	ret->stderr_bytes = row->stderr_bytes;
	return keep_steps(ret, op, steps);
}

/* 1: it is on the page, or is left out; 0: the page is full. What a node says of its steps can be
 * as much as a page: it is described first, and then looked whether it fits. */
static int
add_to_page(struct changes *w, struct query *q, const struct invocation_row *row)
{
	int r;

	if (!op_may_see_node(w->op, row->node_id))
		return 1;
	if (w->page.items == w->page.limit)
		return 0;
	r = describe(&w->rep->invocations.v[w->page.items], w->op, row,
		invocation_row_steps(q, w->op->arena));
	if (r < 0 || (w->page.items > 0 && !page_has_room(&w->page)))
		return r;
	w->page.items++;
	return 1;
}

static int
read_list(struct changes *w, struct db *db, struct hw_err *err)
{
	struct invocation_row row;
	struct query q;

	int r = invocation_list_changes(&q, db, w->row.id, w->req->after, err);
	while (r == 0 && (r = invocation_next(&q, &row, err)) > 0) {
		if ((r = add_to_page(w, &q, &row)) == 0) {
			w->rep->more = true;
			break;
		}
		if (r > 0) {
			w->rep->next = row.change;
			r = 0;
		}
	}
	query_end(&q);
	w->rep->invocations.n = w->page.items;
	return r;
}

/* The command's own words are read first: who hears that it is over has heard of all ends, or asks
 * again. */
static int
read_changes(void *arg, struct db *db, struct hw_err *err)
{
	struct changes *w = arg;
	int r = command_get(db, w->req->command_id, &w->row, err);

	return r < 0 ? r : read_list(w, db, err);
}

/* A live one that has ended in memory alone is not over for who looks here. */
static void
fill(struct msg_list_command_changes_reply *rep, struct op *op, struct command_row *row)
{
	int before = row->status;

	command_look(row, op);
	rep->status = row->status;
	if (row->live && row->completed == row->targets)
		rep->status = before == INVOCATION_STATUS_PENDING ? INVOCATION_STATUS_IN_PROGRESS
								  : before;
	rep->target_count = row->targets;
	rep->completed_count = row->completed;
	rep->error_count = row->errors;
	rep->delivery_timed_out_count = row->not_delivered;
	rep->concurrency = row->concurrency;
	rep->error_limit = row->error_limit;
}

int
op_list_command_changes(struct op *op, const struct msg_list_command_changes_request *req,
	struct msg_list_command_changes_reply *rep)
{
	struct changes w = {.op = op, .req = req, .rep = rep};
	int r;

	if ((r = filters_check_ids(op, req->command_id, NULL)) < 0)
		return r;
	rep->next = req->after;
	rep->invocations.v = arena_array(op->arena, LIST_LIMIT, sizeof(*rep->invocations.v));
	if (rep->invocations.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for changes");
	page_begin(&w.page, op, req->max_results, LIST_LIMIT);
	if ((r = store_read(op->env->store, read_changes, &w, &op->err)) < 0)
		return r;
	fill(rep, op, &w.row);
	if (rep->status == w.row.status)
		return text_keep(&rep->status_details, op, w.row.details);
	rep->status_details = enum_text(&enum_INVOCATION_STATUS, rep->status);
	return 0;
}
