/*
 * Dispatch. The steps are functions that run in order on one struct step; the first that fails ends
 * the call. Against the ledger: the intent is durable, then the handler commits, then the outcome
 * is durable, then the reply may leave.
 */
#include "relay/core/call.h"

#include <stdio.h>
#include <string.h>

#include "audit/ledger.h"
#include "proto/base/list.h"
#include "proto/base/id.h"
#include "proto/wire/codec.h"
#include "relay/core/fit.h"
#include "relay/core/policy.h"
#include "relay/core/registry.h"
#include "relay/core/throttle.h"

/* Bytes of a request in its ledger entry; the rest is cut. Of what is denied there is less: whoever
 * may do nothing can ask for much. */
#define DETAIL_MAX	  16384
#define DETAIL_DENIED_MAX 1024

int
call_init(struct call *c, const struct op_env *env, enum call_encoding encoding, const char *op,
	const void *body, size_t n)
{
	*c = (struct call){.env = env, .encoding = encoding};
	buf_init(&c->body, CALL_BODY_MAX);
	buf_init(&c->reply, CALL_REPLY_MAX);
	snprintf(c->op, sizeof(c->op), "%s", op);
	id_uuid(c->request_id);
	return buf_append(&c->body, body, n);
}

void
call_fini(struct call *c)
{
	buf_wipe(&c->body); /* a secret may have been in it */
	buf_wipe(&c->reply);
	buf_fini(&c->body);
	buf_fini(&c->reply);
}

int
op_fail(struct op *op, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	hw_err_vset(&op->err, code, fmt, ap);
	va_end(ap);
	return code;
}

int
op_begin(struct op *op)
{
	return op->intent != NULL ? op->intent(op) : 0;
}

/* What a step adds to the ledger; texts live in the op's arena. */
struct step {
	struct call *call;
	struct op op;
	void *request, *reply; /* NULL before they are there */
	const char *resource, *detail;
	struct policy_decision decision;
	bool begun; /* the intent is recorded */
};

/* --- the ledger ------------------------------------------------------------------------------- */

/* The request as JSON without its secrets, cut to what an entry may hold. */
static int
describe(struct step *s, size_t most)
{
	struct buf text;

	buf_init(&text, CALL_ARENA_MAX);
	int r = msg_to_json(&text, s->op.row->request(), s->request, 0);
	const char *json = (const char *)buf_data(&text);
	s->detail =
		r < 0 ? NULL : arena_strndup(s->op.arena, json, fit_prefix(json, text.len, most));
	buf_fini(&text);
	return s->detail == NULL ? HW_ENOMEM : 0;
}

/* On disk when it returns 0. A text that does not fit its field is cut: an entry always goes in. */
static int
record(struct step *s, enum entry_kind kind, int outcome, const char *reason)
{
	const struct op *op = &s->op;
	char resource[513], why[1025];
	struct msg_ledger_entry e = {
		.principal = op->arn[0] != '\0' ? op->arn : NULL,
		.action = op->row->action[0] != '\0' ? op->row->action : op->row->name,
		.resource = s->resource != NULL ? resource : NULL,
		.outcome = outcome,
		.reason = reason != NULL ? why : NULL,
		.request_id = op->request_id,
		.source = op->source,
	};
	int r = 0;

	if (kind != ENTRY_OUTCOME && s->request != NULL && s->detail == NULL &&
		(r = describe(s, outcome == OUTCOME_DENIED ? DETAIL_DENIED_MAX : DETAIL_MAX)) < 0)
		return op_fail(&s->op, r, "no memory for the ledger's entry, so nothing is done");
	if (kind != ENTRY_OUTCOME)
		e.detail = s->detail;
	fit_text(resource, sizeof(resource), s->resource);
	fit_text(why, sizeof(why), reason);
	if ((r = ledger_commit(op->env->ledger, kind, &e)) < 0)
		return op_fail(&s->op, r, "the ledger cannot be written, so nothing is done");
	return 0;
}

/* A denial is an entry, whatever the operation's row says. */
static int
deny(struct step *s, int code, const char *why)
{
	int r = record(s, ENTRY_DECISION, OUTCOME_DENIED, why);

	return r < 0 ? r : code;
}

/* --- the steps -------------------------------------------------------------------------------- */

static int
refuse_expired(struct step *s, const char *why)
{
	int r = deny(s, HW_EEXPIRED, why);

	return r == HW_EEXPIRED ? op_fail(&s->op, r, "%s", why) : r;
}

static int
check_door(struct step *s)
{
	struct op *op = &s->op;
	const struct op_row *row = op->row;
	char why[256];

	if (s->call->anon && row->door != DOOR_ANON)
		return op_fail(op, HW_EUNKNOWNOP,
			"%s needs a link with a certificate: log in, or join, first", row->name);
	if (!s->call->anon && row->door == DOOR_ANON)
		return op_fail(op, HW_EUNKNOWNOP,
			"%s is for those who have no certificate yet: it is not reached over a link",
			row->name);
	if (s->call->anon)
		return 0;
	if (op->cert_expired && row->id != OP_renew_certificate)
		return refuse_expired(s,
			"the node's certificate has expired: only RenewCertificate is open");
	if (op->who.role == ROLE_USER && op->who.not_after < op->now) {
		snprintf(why, sizeof(why), "the certificate of %s has expired: log in again",
			op->who.id);
		return refuse_expired(s, why);
	}
	return 0;
}

static int
decode(struct step *s)
{
	const struct call *c = s->call;
	const struct msg_row *row = s->op.row->request();

	if (c->encoding == CALL_JSON)
		return msg_from_json(&s->request, s->op.arena, row,
			(const char *)buf_data(&c->body), c->body.len, &s->op.err);
	return msg_decode(&s->request, s->op.arena, row, buf_data(&c->body), c->body.len,
		&s->op.err);
}

static const char *
request_text(const struct step *s, const char *member)
{
	const struct msg_row *row = s->op.row->request();

	for (size_t i = 0; i < row->count; i++)
		if (strcmp(row->fields[i].member, member) == 0) {
			const char *const *at =
				(const void *)((const char *)s->request + row->fields[i].offset);
			return *at != NULL ? *at : "";
		}
	hw_assert(!"operations.def names a member that the request has not");
	return "";
}

static int
name_resource(struct step *s)
{
	struct op *op = &s->op;
	const char *id = op->row->resource == RESOURCE_ANY ? "*" : request_text(s, op->row->field);

	switch (op->row->resource) {
	case RESOURCE_ANY:
		s->resource = id;
		break;
	case RESOURCE_INSTANCE:
	case RESOURCE_TAGGED: /* nodes are all that bears tags now: the handler refuses other types
			       */
		s->resource = arn_node(op, id);
		break;
	case RESOURCE_SESSION:
		s->resource = arn_session(op, id);
		break;
	case RESOURCE_ACTIVATION:
		s->resource = arn_activation(op, id);
		break;
	case RESOURCE_USER:
		s->resource = arn_user(op, id);
		break;
	}
	return s->resource == NULL ? op_fail(op, HW_ENOMEM, "no memory for the resource's name")
				   : 0;
}

/* The link of whoever was removed ends soon; what comes over it until then finds nobody. */
static bool
find_caller(struct op *op, bool *admin)
{
	struct reg_node node;
	struct reg_user user;

	*admin = false;
	if (op->who.role == ROLE_NODE)
		return registry_node(op->env->registry, op->who.id, &node);
	if (op->who.role != ROLE_USER)
		return true;
	if (!registry_user(op->env->registry, op->who.id, &user) ||
		op->who.not_before < user.valid_from)
		return false;
	*admin = user.admin;
	return true;
}

static int
authorise(struct step *s)
{
	struct op *op = &s->op;
	const char *what = op->row->action[0] != '\0' ? op->row->action : op->row->name;
	bool admin, known = find_caller(op, &admin);
	struct policy_subject who = {.role = op->who.role, .arn = op->arn, .admin = admin};

	policy_decide(&s->decision, &who,
		&(struct policy_request){op->row->door, op->row->action, s->resource});
	if (s->decision.allow && known)
		return 0;
	const char *why = known ? s->decision.why : "it was removed";
	int r = deny(s, HW_EDENIED, why);
	if (r != HW_EDENIED)
		return r;
	return op_fail(op, r, "%s may not %s on %.200s: %s", op->arn, what, s->resource, why);
}

static int
record_intent(struct step *s)
{
	if (s->op.row->audit == AUDIT_NONE || s->op.row->door == DOOR_ANON)
		return 0;
	return record(s, ENTRY_DECISION, OUTCOME_ALLOWED, s->decision.why);
}

/* op_begin() of an ANON row. */
static int
begin(struct op *op)
{
	struct step *s = container_of(op, struct step, op);
	int r = record(s, ENTRY_DECISION, OUTCOME_ALLOWED, s->decision.why);

	s->begun = r == 0;
	return r;
}

/* Nothing was begun: an entry says so, unless there were too many such lately. */
static int
deny_stranger(struct step *s, int code)
{
	const struct op_env *env = s->op.env;
	struct hw_err failure = s->op.err;
	uint64_t missed = 0;
	char why[512];

	if (env->strangers != NULL &&
		!throttle_take(env->strangers, clock_mono(env->clock), &missed))
		return code;
	snprintf(why, sizeof(why), "%.400s", hw_err_text(&failure));
	if (missed > 0)
		snprintf(why, sizeof(why), "%.400s; %llu more like it are not told",
			hw_err_text(&failure), (unsigned long long)missed);
	int r = deny(s, code, why);
	if (r == code)
		s->op.err = failure;
	return r;
}

/* The handler, and how it went. An outcome that cannot be recorded takes the reply with it. */
static int
handle(struct step *s)
{
	struct op *op = &s->op;

	s->reply = arena_alloc(op->arena, op->row->reply()->size);
	if (s->reply == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for the reply");
	int r = op->env->handlers[op->row->id](op, s->request, s->reply);
	if (r < 0)
		op->err.code = r;
	if (op->row->door == DOOR_ANON && !s->begun)
		return r < 0 ? deny_stranger(s, r) : r;
	if (op->row->audit != AUDIT_FULL)
		return r;
	struct hw_err failure = op->err;
	int rr = record(s, ENTRY_OUTCOME, r < 0 ? OUTCOME_FAILED : OUTCOME_OK,
		r < 0 ? hw_err_text(&failure) : NULL);
	if (rr < 0 && r < 0)
		return rr;
	if (rr < 0)
		return op_fail(op, rr,
			"it was done, but the ledger cannot be written, so its outcome is not known there");
	op->err = failure;
	return r;
}

static int
encode(struct step *s)
{
	struct call *c = s->call;
	const struct msg_row *row = s->op.row->reply();

	if (c->encoding == CALL_JSON)
		return msg_to_json(&c->reply, row, s->reply, JSON_SECRETS);
	return msg_encode(&c->reply, row, s->reply, &s->op.err);
}

static int
run(struct step *s)
{
	static int (*const steps[])(struct step *) = {
		check_door, decode, name_resource, authorise, record_intent, handle, encode};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int r = steps[i](s);
		if (r < 0)
			return r;
	}
	return 0;
}

static void
name_caller(struct op *op)
{
	const char *name = op->who.role == ROLE_NODE ? arn_node(op, op->who.id)
		: op->who.role == ROLE_USER	     ? arn_user(op, op->who.id)
						     : "";

	snprintf(op->arn, sizeof(op->arn), "%s", name != NULL ? name : "");
}

void
call_execute(struct call *c)
{
	struct step s = {.call = c};

	s.op = (struct op){
		.env = c->env,
		.row = op_find(c->op),
		.arena = arena_new(CALL_ARENA_MAX),
		.who = c->who,
		.cert_expired = c->cert_expired,
		.now = clock_wall(c->env->clock),
		.intent = begin,
	};
	memcpy(s.op.source, c->source, sizeof(s.op.source));
	memcpy(s.op.request_id, c->request_id, sizeof(s.op.request_id));
	if (s.op.arena == NULL) {
		c->code = op_fail(&s.op, HW_ENOMEM, "no memory for the request");
	} else if (s.op.row == NULL) {
		c->code = op_fail(&s.op, HW_EUNKNOWNOP, "no operation is named \"%.60s\"", c->op);
	} else {
		name_caller(&s.op);
		c->code = run(&s);
	}
	if (c->code != 0) {
		s.op.err.code = c->code;
		snprintf(c->message, sizeof(c->message), "%s", hw_err_text(&s.op.err));
		buf_wipe(&c->reply);
	}
	arena_free(s.op.arena);
}
