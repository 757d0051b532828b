/* ResumeSession, WatchSession, JoinSession: tickets of a shell that is live. */
#include <string.h>

#include "proto/trust/secret.h"
#include "relay/core/authorise.h"
#include "relay/core/broker.h"
#include "relay/core/config.h"
#include "relay/core/op.h"
#include "relay/store/sessions.h"
#include "relay/store/store.h"

struct looking {
	struct op *op;
	const char *id;
	struct session_row *row;
};

static int
find_session(void *arg, struct db *db, struct hw_err *err)
{
	struct looking *w = arg;

	return session_get(db, w->op->arena, w->id, &w->row, err);
}

/* What another one may do with it is a permission of its own. */
static int
check_owner(struct op *op, const struct session_row *row, enum session_access access)
{
	bool own = strcmp(row->principal, op->who.id) == 0;

	if (access == ACCESS_OWNER && !own)
		return op_fail(op, HW_EDENIED,
			"session %s is %s's: only its owner attaches to it; others watch it"
			" (hawser sessions watch), or join it (hawser attach --join)",
			row->id, row->principal);
	return 0;
}

static int
check_kind(struct op *op, const struct session_row *row)
{
	if (row->type == CHANNEL_TYPE_PTY)
		return 0;
	return op_fail(op, HW_EVALIDATION,
		"session %s is no shell: only shells can be attached, watched or joined", row->id);
}

/* Who types into it is the user that it runs as: a policy must let the caller become that one. */
static int
check_typist(struct op *op, const struct session_row *row)
{
	struct terminal_scope what = {.session = row->id,
		.owner = row->principal,
		.node = row->node_id,
		.run_as = row->run_as};
	struct scope scope;
	struct verdict v;

	scope_init(&scope, op->arena);
	int r = scope_terminal(&scope, &what, op->env);
	if (r == 0)
		authorise(&v, op->asker, op->row->action, &scope);
	scope_fini(&scope);
	if (r < 0)
		return op_fail(op, r, "no memory to decide on session %s", row->id);
	if (v.allow)
		return 0;
	return op_fail(op, HW_EDENIED,
		"%s may not %s on session %s, which runs as %s: an Allow must name that user in"
		" hawser:RunAs",
		op->who.id, op->row->action, row->id, row->run_as);
}

static int
give(struct op *op, struct msg_resume_session_reply *rep, enum session_access access)
{
	char ticket[TOKEN_LEN + 1], hash[2 * SHA256_LEN + 1];
	const struct relay_config *c = op->env->config;

	token_make(ticket);
	token_hash(hash, ticket);
	rep->token_value = arena_strdup(op->arena, ticket);
	rep->stream_url = arena_printf(op->arena, "wss://%s/link", c->advertise);
	explicit_bzero(ticket, sizeof(ticket));
	if (rep->token_value == NULL || rep->stream_url == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for the reply");
	if (!broker_give_ticket(op->env->broker, rep->session_id, access, op->who.id, hash,
		    c->ticket_seconds * USEC_PER_SEC))
		return op_fail(op, HW_EUNAVAILABLE,
			"session %s is being opened or ended just now; try again", rep->session_id);
	return 0;
}

/* One that has ended is no error: the reply has no ticket then, as in SSM. */
static int
answer(struct op *op, const char *id, struct msg_resume_session_reply *rep,
	enum session_access access)
{
	struct looking w = {.op = op, .id = id};
	int r;

	if ((r = store_read(op->env->store, find_session, &w, &op->err)) < 0 ||
		(r = check_owner(op, w.row, access)) < 0)
		return r;
	rep->session_id = w.row->id;
	if (w.row->end != 0)
		return 0;
	r = check_kind(op, w.row);
	if (r == 0 && access == ACCESS_JOIN)
		r = check_typist(op, w.row);
	return r == 0 ? give(op, rep, access) : r;
}

int
op_resume_session(struct op *op, const struct msg_resume_session_request *req,
	struct msg_resume_session_reply *rep)
{
	return answer(op, req->session_id, rep, ACCESS_OWNER);
}

int
op_watch_session(struct op *op, const struct msg_resume_session_request *req,
	struct msg_resume_session_reply *rep)
{
	return answer(op, req->session_id, rep, ACCESS_WATCH);
}

int
op_join_session(struct op *op, const struct msg_resume_session_request *req,
	struct msg_resume_session_reply *rep)
{
	return answer(op, req->session_id, rep, ACCESS_JOIN);
}
