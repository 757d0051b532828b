/* GetPendingInvocations: what a node is to run, and what to end. */
#include <string.h>

#include "relay/core/dispatcher.h"
#include "relay/core/op.h"
#include "relay/services/commands/pack.h"
#include "relay/services/text.h"
#include "relay/store/commands.h"
#include "relay/store/store.h"

#define REPLY_BYTES ((size_t)120 * 1024) /* after which no other order goes in */

struct asking {
	struct op *op;
	const struct dispatch_answer *answer;
	struct msg_get_pending_invocations_reply *rep;
	size_t bytes;
};

static size_t
size_of(const struct msg_invocation_order *o)
{
	size_t n = strlen(o->content) + 512;

	for (size_t i = 0; i < o->parameters.n; i++) {
		n += strlen(o->parameters.v[i].key) + 16;
		for (size_t k = 0; k < o->parameters.v[i].values.n; k++)
			n += strlen(o->parameters.v[i].values.v[k]) + 8;
	}
	return n;
}

static int
fill(struct msg_invocation_order *ret, struct op *op, const struct command_row *row,
	const struct command_body *body)
{
	void *msg;
	int r;

	if ((r = unpack(&msg, op, MSG_ROW(command), body->parameters, row->id)) < 0 ||
		(r = text_keep(&ret->command_id, op, row->id)) < 0 ||
		(r = text_keep(&ret->document_name, op, row->document)) < 0 ||
		(r = text_keep(&ret->document_version, op, row->version)) < 0 ||
		(r = text_keep(&ret->principal, op, row->principal)) < 0)
		return r;
	ret->parameters = ((const struct msg_command *)msg)->parameters;
	ret->content = body->content;
	ret->deliver_before = row->deliver_before;
	ret->output_max = row->output_max;
	return 0;
}

static int
add(struct asking *w, struct db *db, const char *id, struct hw_err *err)
{
	struct msg_invocation_order *to = &w->rep->invocations.v[w->rep->invocations.n];
	struct command_row row;
	struct command_body body;
	int r;

	if ((r = command_get(db, id, &row, err)) < 0 ||
		(r = command_get_body(db, w->op->arena, id, &body, err)) < 0 ||
		(r = fill(to, w->op, &row, &body)) < 0)
		return r;
	w->bytes += size_of(to);
	if (w->bytes > REPLY_BYTES && w->rep->invocations.n > 0)
		w->rep->more = true;
	else
		w->rep->invocations.n++;
	return 0;
}

/* What does not fit is given when the node asks again. */
static int
read_orders(void *arg, struct db *db, struct hw_err *err)
{
	struct asking *w = arg;
	int r = 0;

	for (size_t i = 0; r == 0 && !w->rep->more && i < w->answer->n_orders; i++)
		r = add(w, db, w->answer->orders[i], err);
	return r;
}

int
op_get_pending_invocations(struct op *op, const struct msg_get_pending_invocations_request *req,
	struct msg_get_pending_invocations_reply *rep)
{
	struct dispatch_answer a;
	struct asking w = {.op = op, .answer = &a, .rep = rep};
	int r = dispatcher_ask(op->env->dispatcher, op->arena, op->who.id, &req->held, &a,
		&op->err);

	if (r < 0)
		return r;
	rep->cancel = (struct msg_strs){a.cancel, a.n_cancel};
	rep->forget = (struct msg_strs){a.forget, a.n_forget};
	rep->invocations.v = arena_array(op->arena, a.n_orders, sizeof(*rep->invocations.v));
	if (rep->invocations.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for what a node is to run");
	if (a.n_orders > 0 && (r = store_read(op->env->store, read_orders, &w, &op->err)) < 0)
		return r;
	rep->more |= a.more;
	return 0;
}
