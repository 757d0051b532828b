/* StartSession: a session and the ticket that opens it. */
#include <stdio.h>
#include <string.h>

#include "proto/base/id.h"
#include "proto/trust/secret.h"
#include "relay/core/broker.h"
#include "relay/core/config.h"
#include "relay/core/op.h"
#include "relay/core/session_plan.h"
#include "relay/core/tend.h"
#include "relay/services/text.h"
#include "relay/store/nodes.h"
#include "relay/store/sessions.h"
#include "relay/store/store.h"

struct starting {
	struct op *op;
	struct session_row row;
	char ticket_hash[2 * SHA256_LEN + 1];
};

static int
not_connected(struct hw_err *err, const char *target)
{
	return hw_err_set(err, HW_EOFFLINE, "%s is not connected.", target);
}

static int
write_session(void *arg, struct db *db, struct hw_err *err)
{
	struct starting *w = arg;
	const struct op *op = w->op;
	int64_t expires = op->now + op->env->config->ticket_seconds * USEC_PER_SEC;
	struct node_row node;
	int r;

	if ((r = node_get(db, w->row.node_id, &node, err)) == HW_ENODE)
		return not_connected(err, w->row.node_id);
	if (r < 0 || (r = session_sweep_late(db, op->now, err)) < 0)
		return r;
	snprintf(w->row.node_name, sizeof(w->row.node_name), "%s", node.name);
	return session_insert(db, &w->row, w->ticket_hash, expires, err);
}

static int
check_request(struct op *op, const struct msg_start_session_request *req)
{
	const struct text_field fields[] = {
		{"Reason", req->reason},
		 {NULL,	NULL	    }
	     };
	const char *run_as = text_or_empty(req->run_as);
	int64_t seen;

	if (run_as[0] != '\0' && !text_is_os_user(run_as))
		return op_fail(op, HW_EVALIDATION,
			"RunAs: \"%s\" is not the name of an operating system user", run_as);
	int r = text_check(op, fields);
	if (r < 0)
		return r;
	if (!id_is_node(req->target) || !broker_node_online(op->env->broker, req->target, &seen))
		return not_connected(&op->err, req->target);
	return 0;
}

/* The node's own process connects, as nobody else. */
static int
check_forward(struct op *op, const struct session_plan *plan,
	const struct msg_start_session_request *req)
{
	if (plan->type == CHANNEL_TYPE_FORWARD && text_or_absent(req->run_as) != NULL)
		return op_fail(op, HW_EVALIDATION, "RunAs: a forward runs as nobody");
	return 0;
}

static void
fill(struct session_row *row, const struct op *op, const struct msg_start_session_request *req)
{
	char id[ID_SESSION_MAX + 1];

	id_session(id, op->who.id);
	snprintf(row->id, sizeof(row->id), "%s", id);
	snprintf(row->principal, sizeof(row->principal), "%s", op->who.id);
	snprintf(row->owner_arn, sizeof(row->owner_arn), "%s", op->arn);
	snprintf(row->node_id, sizeof(row->node_id), "%s", req->target);
	snprintf(row->run_as, sizeof(row->run_as), "%s", text_or_empty(req->run_as));
	snprintf(row->reason, sizeof(row->reason), "%s", text_or_empty(req->reason));
	row->status = SESSION_STATUS_CONNECTING;
	row->start = op->now;
}

static int
reply(struct msg_start_session_reply *rep, struct op *op, const char *id, const char *ticket)
{
	rep->session_id = arena_strdup(op->arena, id);
	rep->token_value = arena_strdup(op->arena, ticket);
	rep->stream_url = arena_printf(op->arena, "wss://%s/link", op->env->config->advertise);
	if (rep->session_id == NULL || rep->token_value == NULL || rep->stream_url == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for the reply");
	return 0;
}

/* The one that was decided about, if there was a decision. */
static int
find_plan(struct session_plan *ret, struct op *op, const struct msg_start_session_request *req)
{
	if (op->plan == NULL)
		session_plan_read(ret, op, req->document_name, &req->parameters);
	else
		*ret = *op->plan;
	return ret->code < 0 ? op_fail(op, ret->code, "%s", ret->why) : 0;
}

int
op_start_session(struct op *op, const struct msg_start_session_request *req,
	struct msg_start_session_reply *rep)
{
	struct starting w = {.op = op};
	struct session_plan plan;
	char ticket[TOKEN_LEN + 1];
	int r;

	if ((r = tend_may_begin(op)) < 0 || (r = find_plan(&plan, op, req)) < 0 ||
		(r = check_request(op, req)) < 0 || (r = check_forward(op, &plan, req)) < 0)
		return r;
	w.row.type = plan.type;
	w.row.command = plan.command;
	memcpy(w.row.remote_host, plan.to.host.text, sizeof(w.row.remote_host));
	w.row.remote_port = plan.to.port;
	snprintf(w.row.document, sizeof(w.row.document), "%s", plan.document);
	w.row.document_named = text_or_absent(req->document_name) != NULL;
	fill(&w.row, op, req);
	token_make(ticket);
	token_hash(w.ticket_hash, ticket);
	if ((r = reply(rep, op, w.row.id, ticket)) < 0)
		return r;
	return store_write(op->env->store, write_session, &w, &op->err);
}
