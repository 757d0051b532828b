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
#include "proto/base/log.h"
#include "proto/trust/sigv4.h"
#include "proto/wire/codec.h"
#include "relay/core/access_key.h"
#include "relay/core/arn.h"
#include "relay/core/config.h"
#include "relay/core/door.h"
#include "relay/core/fit.h"
#include "relay/core/guard.h"
#include "relay/core/local.h"
#include "relay/core/op_scope.h"
#include "relay/core/registry.h"
#include "relay/core/tagset.h"
#include "relay/core/throttle.h"

/* Bytes of a request in its ledger entry; the rest is cut. Of what is denied there is less: whoever
 * may do nothing can ask for much. */
#define DRAIN_RETRY	  30 /* seconds until somebody asks a relay again that drains */
#define DETAIL_MAX	  16384
#define DETAIL_DENIED_MAX 1024

int
call_init(struct call *c, const struct op_env *env, enum call_encoding encoding, const char *op,
	const void *body, size_t n)
{
	*c = (struct call){.env = env, .encoding = encoding};
	buf_init(&c->body, CALL_BODY_MAX);
	buf_init(&c->reply, encoding == CALL_JSON ? CALL_JSON_MAX : CALL_REPLY_MAX);
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
	sigv4_free(c->signature);
	c->signature = NULL;
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
	const char *action; /* what is decided on; NULL: the operation's */
	struct scope scope;
	struct asker asker;
	char why[512]; /* what decided */
	bool begun;    /* the intent is recorded */
	int64_t entry; /* the number of the last one about it; -1: none */
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

static const char *
action_of(const struct step *s)
{
	const struct op_row *row = s->op.row;

	if (s->action != NULL)
		return s->action;
	if (row == NULL) /* what a stranger calls it is of no interest */
		return NULL;
	return row->action[0] != '\0' ? row->action : row->name;
}

#define REASON_MAX 1025

/* Beside what decided, by which key the caller is who it is. */
static void
write_reason(char out[REASON_MAX], const struct step *s, enum entry_kind kind, const char *reason)
{
	char cut[REASON_MAX - 200];

	if (!s->call->known || kind == ENTRY_OUTCOME) {
		fit_text(out, REASON_MAX, reason);
		return;
	}
	fit_text(cut, sizeof(cut), reason);
	snprintf(out, REASON_MAX, "%s; signed with %s", cut, sigv4_key_id(s->call->signature));
}

/* On disk when it returns 0. A text that does not fit its field is cut: an entry always goes in. */
static int
record(struct step *s, enum entry_kind kind, int outcome, const char *reason)
{
	const struct op *op = &s->op;
	char resource[513], why[REASON_MAX];
	struct msg_ledger_entry e = {
		.principal = op->arn[0] != '\0' ? op->arn : NULL,
		.action = action_of(s),
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
	write_reason(why, s, kind, reason);
	int64_t number = ledger_commit_numbered(op->env->ledger, kind, &e);
	if (number < 0)
		return op_fail(&s->op, (int)number,
			"the ledger cannot be written, so nothing is done");
	s->entry = number;
	return 0;
}

/* A denial is an entry, whatever the operation's row says. */
static int
deny(struct step *s, int code, const char *why)
{
	int r = record(s, ENTRY_DECISION, OUTCOME_DENIED, why);

	return r < 0 ? r : code;
}

/* --- lists ------------------------------------------------------------------------------------ */

static bool
may(struct op *op, const char *action, const struct scope_target *what)
{
	struct scope one = {.arena = op->arena, .targets = (struct scope_target[]){*what}, .n = 1};

	/* Else nobody's policies count: the caller was let in by its door. */
	return op->asker == NULL || authorise_item(op->asker, action, &one);
}

static bool
see(struct op *op, const struct scope_target *what)
{
	if (what->resource == NULL)
		return false;
	bool seen = may(op, op->row->action, what);
	op->shown += seen;
	op->hidden += !seen;
	return seen;
}

bool
op_may_see(struct op *op, const char *arn, const struct policy_tags *tags)
{
	return see(op, &(struct scope_target){.resource = arn, .tags = tags});
}

bool
op_may_see_node(struct op *op, const char *id)
{
	char arn[ARN_MAX];
	struct scope_target t = {.resource = arn};

	arn_write_node(arn, op->env->config, id);
	scope_node_tags(&t, op->env->registry, id);
	bool seen = see(op, &t);
	tagset_unref(t.held);
	return seen;
}

bool
op_may_on_node(struct op *op, const char *action, const char *id)
{
	char arn[ARN_MAX];
	struct scope_target t = {.resource = arn};

	arn_write_node(arn, op->env->config, id);
	scope_node_tags(&t, op->env->registry, id);
	bool allowed = may(op, action, &t);
	tagset_unref(t.held);
	return allowed;
}

bool
op_may_see_session(struct op *op, const char *id, const char *node)
{
	char arn[ARN_MAX], owner[ID_SESSION_MAX + 1];
	struct scope_target t = {.resource = arn, .owner = owner};

	arn_write_session(arn, op->env->config, id);
	snprintf(owner, sizeof(owner), "%.*s", (int)(strlen(id) - ID_SESSION_TAIL), id);
	scope_node_tags(&t, op->env->registry, node);
	bool seen = see(op, &t);
	tagset_unref(t.held);
	return seen;
}

bool
op_may_see_document(struct op *op, const char *name, const struct msg_tag *tags, size_t n)
{
	char arn[ARN_MAX], alias[ARN_MAX];
	struct scope_target t = {.resource = arn, .held = tagset_new(tags, n)};

	if (t.held == NULL)
		return false;
	t.tags = tagset_tags(t.held);
	arn_write_document(arn, op->env->config, name, op->env->config->account);
	if (arn_of_system(name)) {
		arn_write_document(alias, op->env->config, name, "");
		t.alias = alias;
	}
	bool seen = see(op, &t);
	tagset_unref(t.held);
	return seen;
}

/* --- the steps -------------------------------------------------------------------------------- */

static int
refuse_expired(struct step *s, const char *why)
{
	int r = deny(s, HW_EEXPIRED, why);

	return r == HW_EEXPIRED ? op_fail(&s->op, r, "%s", why) : r;
}

/* Before anything is decoded: of what is not done here the bytes are of no interest either. */
static int
check_local(struct step *s)
{
	const struct op_row *row = s->op.row;
	int r;

	if (local_opens(row->id))
		return 0;
	s->resource = "*";
	if ((r = deny(s, HW_EDENIED, "the local door does not open it")) != HW_EDENIED)
		return r;
	return op_fail(&s->op, r,
		"%s is not for the local door: it lists, revokes and invites; log in for the rest",
		row->name);
}

/* Certificates and what concerns them, and what nodes say, are for links. */
static int
check_signed(struct step *s)
{
	const struct op_row *row = s->op.row;

	if (row->door == DOOR_USER)
		return 0;
	return op_fail(&s->op, HW_EUNKNOWNOP, "%s is not served to signed requests", row->name);
}

static int
check_door(struct step *s)
{
	struct op *op = &s->op;
	const struct op_row *row = op->row;
	char why[256];

	if (s->call->local)
		return check_local(s);
	if (s->call->signature != NULL)
		return check_signed(s);
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

	/* Whoever has nothing to say may also send nothing. */
	if (c->signature != NULL && c->body.len == 0)
		return msg_from_json(&s->request, s->op.arena, row, "{}", 2, &s->op.err);
	if (c->encoding == CALL_JSON)
		return msg_from_json(&s->request, s->op.arena, row,
			(const char *)buf_data(&c->body), c->body.len, &s->op.err);
	return msg_decode(&s->request, s->op.arena, row, buf_data(&c->body), c->body.len,
		&s->op.err);
}

/* Of all doors but the user's, the door decides. */
static int
authorise_door(struct step *s)
{
	struct op *op = &s->op;
	struct door_decision d;
	struct reg_node node;

	door_decide(&d, op->who.role, op->row->door);
	if (d.allow && op->who.role == ROLE_NODE &&
		!registry_node(op->env->registry, op->who.id, &node))
		d = (struct door_decision){.why = "it was removed"};
	if (d.allow && op->asker != NULL && op->asker->refusal != NULL)
		d = (struct door_decision){.why = op->asker->refusal};
	snprintf(s->why, sizeof(s->why), "%s", d.why);
	s->resource = "*";
	return d.allow ? 0 : HW_EDENIED;
}

/* The items are decided one by one; what a list names beside them is decided now. */
static void
authorise_listing(struct verdict *ret, const struct op *op, const struct scope *what)
{
	struct scope named = *what;

	authorise_list(ret, op->asker, op->row->action);
	if (!ret->allow || what->n < 2)
		return;
	named.targets++;
	named.n--;
	authorise(ret, op->asker, op->row->action, &named);
}

static int
authorise_user(struct step *s)
{
	struct op *op = &s->op;
	struct verdict v;
	int r = op_scope(&s->scope, op, s->request);

	if (r < 0)
		return r;
	if (op->row->resource == RESOURCE_LISTED)
		authorise_listing(&v, op, &s->scope);
	else
		authorise(&v, op->asker, op->row->action, &s->scope);
	if (v.target != NULL && !v.allow)
		s->action = v.target->action;
	s->resource = v.target != NULL ? v.target->resource : s->scope.targets[0].resource;
	snprintf(s->why, sizeof(s->why), "%s", v.why);
	return v.allow ? 0 : HW_EDENIED;
}

/* Who is denied hears what was asked, and nothing of what there is: neither whether the thing
 * exists nor which statement it was. That is for the ledger. */
static int
tell_denied(struct step *s)
{
	struct op *op = &s->op;
	int r = deny(s, HW_EDENIED, s->why);

	if (r != HW_EDENIED)
		return r;
	return op_fail(op, r, "%s may not %s on %.200s", op->who.id, action_of(s), s->resource);
}

/* check_local() has decided; no policy, user or certificate has a say. */
static int
authorise_local(struct step *s)
{
	int r = op_scope(&s->scope, &s->op, s->request);

	if (r < 0)
		return r;
	s->resource = s->scope.targets[0].resource;
	snprintf(s->why, sizeof(s->why), "%s on the relay's own machine", s->call->local_name);
	return 0;
}

static int
authorise_call(struct step *s)
{
	struct op *op = &s->op;
	bool user = op->row->door == DOOR_USER && op->who.role == ROLE_USER;

	if (s->call->local)
		return authorise_local(s);
	if (op->who.role == ROLE_USER) {
		(s->call->signature != NULL ? asker_init_signed : asker_init)(&s->asker, op->env,
			op->who.id, op->who.not_before, op->source, op->now);
		op->asker = &s->asker;
	}
	int r = user ? authorise_user(s) : authorise_door(s);
	return r == HW_EDENIED ? tell_denied(s) : r;
}

static int
record_intent(struct step *s)
{
	const struct op_row *row = s->op.row;

	if (row->audit == AUDIT_NONE || row->audit == AUDIT_BEGUN || row->door == DOOR_ANON ||
		row->resource == RESOURCE_LISTED)
		return 0;
	return record(s, ENTRY_DECISION, OUTCOME_ALLOWED, s->why);
}

/* op_begin(), of an ANON row or a BEGUN one. */
static int
begin(struct op *op)
{
	struct step *s = container_of(op, struct step, op);
	char why[sizeof(s->why) + 128];

	snprintf(why, sizeof(why), "%s%s%.120s", s->why, op->about != NULL ? "; " : "",
		op->about != NULL ? op->about : "");
	int r = record(s, ENTRY_DECISION, OUTCOME_ALLOWED, why);

	s->begun = r == 0;
	return r;
}

/* Nothing was begun: an entry says so, and `what`, unless there were too many such lately. */
static int
deny_stranger_for(struct step *s, int code, const char *what)
{
	const struct op_env *env = s->op.env;
	struct hw_err failure = s->op.err;
	uint64_t missed = 0;
	char why[512];

	if (env->strangers != NULL &&
		!throttle_take(env->strangers, clock_mono(env->clock), &missed))
		return code;
	snprintf(why, sizeof(why), "%.400s", what);
	if (missed > 0)
		snprintf(why, sizeof(why), "%.400s; %llu more like it are not told", what,
			(unsigned long long)missed);
	int r = deny(s, code, why);
	if (r == code)
		s->op.err = failure;
	return r;
}

static int
deny_stranger(struct step *s, int code)
{
	const struct hw_err failure = s->op.err;

	return deny_stranger_for(s, code, hw_err_text(&failure));
}

/* A list's one entry, with what it showed: on disk before the list leaves. */
static int
record_list(struct step *s, int r)
{
	struct op *op = &s->op;
	struct hw_err failure = op->err;
	char why[512];

	if (op->goes_on)
		return r;
	snprintf(why, sizeof(why), "%lld shown, %lld not", (long long)op->shown,
		(long long)op->hidden);
	if (r < 0)
		snprintf(why, sizeof(why), "%.500s", hw_err_text(&failure));
	int rr = record(s, ENTRY_DECISION, OUTCOME_ALLOWED, why);
	if (rr < 0)
		return rr;
	op->err = failure;
	return r;
}

/* --- guesses at tokens ------------------------------------------------------------------------ */

/* Whom the caller's token is for, as far as it says. */
static const char *
token_principal(const struct step *s)
{
	const struct msg_register_managed_instance_request *join = s->request;

	return s->op.row->id == OP_register_managed_instance ? join->activation_id : NULL;
}

/* The first time is an alarm. */
static int
raise_alarm(struct step *s)
{
	const struct op_env *env = s->op.env;
	struct hw_err failure = s->op.err;
	uint64_t missed = 0;
	char why[512];

	if (env->guesses != NULL && !throttle_take(env->guesses, clock_mono(env->clock), &missed))
		return failure.code;
	snprintf(why, sizeof(why), "%.400s; %llu alarms before it are not told",
		hw_err_text(&failure), (unsigned long long)missed);
	if (missed == 0)
		snprintf(why, sizeof(why), "%.400s", hw_err_text(&failure));
	int r = record(s, ENTRY_ALARM, OUTCOME_DENIED, why);
	if (r < 0)
		return r;
	s->op.err = failure;
	return failure.code;
}

/* Whoever has guessed too often waits, whatever its token is worth. */
static int
hold_back_who(struct step *s, const char *principal)
{
	const struct op_env *env = s->op.env;
	struct guard_hold hold;

	if (env->guard == NULL ||
		guard_check(env->guard, s->op.source, principal, clock_mono(env->clock), &hold))
		return 0;
	s->call->retry_after = (int)((hold.wait + USEC_PER_SEC - 1) / USEC_PER_SEC);
	op_fail(&s->op, HW_EFULL, "too many failed attempts from %s: try again in %d second%s",
		s->op.source, s->call->retry_after, s->call->retry_after == 1 ? "" : "s");
	return hold.first ? raise_alarm(s) : deny_stranger(s, HW_EFULL);
}

static int
hold_back(struct step *s)
{
	return s->op.row->door == DOOR_ANON ? hold_back_who(s, token_principal(s)) : 0;
}

/* What fails for another reason than its token is no guess. */
static void
note_guess(struct step *s, int r)
{
	const struct op_env *env = s->op.env;
	bool wrong = r == HW_EINVITE || r == HW_EACTIVATION || r == HW_EACTIVATIONID;

	if (s->op.row->door != DOOR_ANON || env->guard == NULL)
		return;
	if (s->begun)
		guard_passed(env->guard, s->op.source, clock_mono(env->clock));
	else if (wrong)
		guard_failed(env->guard, s->op.source, token_principal(s), clock_mono(env->clock));
}

/* --- signatures ------------------------------------------------------------------------------- */

static void
note_signature(struct step *s, bool right)
{
	const struct op_env *env = s->op.env;
	int64_t now = clock_mono(env->clock);

	if (env->guard == NULL)
		return;
	if (right)
		guard_passed(env->guard, s->op.source, now);
	else
		guard_failed(env->guard, s->op.source, sigv4_key_id(s->call->signature), now);
}

/* The key stands for a certificate that is made now. */
static void
take_signer(struct step *s, const struct key_row *key)
{
	struct op *op = &s->op;

	op->who = (struct cert_identity){
		.role = ROLE_USER, .not_before = op->now, .not_after = INT64_MAX};
	snprintf(op->who.id, sizeof(op->who.id), "%s", key->user);
	s->call->who = op->who;
	s->call->known = true;
	access_key_note_used(key, op->env, op->now);
}

/* Whether the signature is whose it says it is. One that comes late is no guess, but no good
 * either. */
static int
prove(struct step *s)
{
	struct call *c = s->call;
	struct op *op = &s->op;
	char why[ACCESS_KEY_WHY_MAX];
	struct key_row key;
	int r;

	if (c->signature == NULL)
		return 0;
	if ((r = hold_back_who(s, sigv4_key_id(c->signature))) < 0)
		return r;
	r = access_key_prove(&key, why, op->env, c->signature, buf_data(&c->body), c->body.len,
		op->now, &op->err);
	if (r == HW_EUNAUTH || r == HW_ESIGNATURE) {
		note_signature(s, false);
		return deny_stranger_for(s, r, why);
	}
	if (r < 0)
		return r;
	r = sigv4_in_time(c->signature, op->now, op->env->config->signature_seconds * USEC_PER_SEC,
		&op->err);
	if (r < 0)
		return deny_stranger(s, r);
	note_signature(s, true);
	take_signer(s, &key);
	return 0;
}

/* --- the work --------------------------------------------------------------------------------- */

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
	if (r == HW_EDRAINING)
		s->call->retry_after = DRAIN_RETRY;
	note_guess(s, r);
	if (op->row->door == DOOR_ANON && !s->begun)
		return r < 0 ? deny_stranger(s, r) : r;
	if (op->row->resource == RESOURCE_LISTED)
		return record_list(s, r);
	if (op->row->audit != AUDIT_FULL && (op->row->audit != AUDIT_BEGUN || !s->begun))
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

static void
name_caller(struct step *s)
{
	struct op *op = &s->op;
	char local[ARN_MAX];

	if (s->call->local) {
		arn_write_local(local, op->env->config, s->call->local_name);
		snprintf(op->arn, sizeof(op->arn), "%.*s", (int)sizeof(op->arn) - 1, local);
		return;
	}
	const char *name = op->who.role == ROLE_NODE ? arn_node(op, op->who.id)
		: op->who.role == ROLE_USER	     ? arn_user(op, op->who.id)
						     : "";

	snprintf(op->arn, sizeof(op->arn), "%s", name != NULL ? name : "");
}

static int
find_row(struct step *s)
{
	if (s->op.row == NULL)
		return op_fail(&s->op, HW_EUNKNOWNOP, "no operation is named \"%.60s\"",
			s->call->op);
	name_caller(s);
	return 0;
}

static int
run(struct step *s)
{
	static int (*const steps[])(struct step *) = {prove, find_row, check_door, decode,
		authorise_call, hold_back, record_intent, handle, encode};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int r = steps[i](s);
		if (r < 0)
			return r;
	}
	return 0;
}

/* By its request's id, and the number of its last entry, it is found in the ledger. What is the
 * relay's own fault is always said. */
static void
log_call(const struct step *s)
{
	const struct call *c = s->call;

	if (s->op.row == NULL || c->env->log == NULL)
		return;
	log_event(c->env->log,
		c->code != 0 && hw_code_http(c->code) == 500 ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG,
		"request.done", "request=%s operation=%s principal=%s code=%s why=%s%s",
		c->request_id, s->op.row->name, log_value(s->op.arn),
		c->code != 0 ? hw_code_name(c->code) : "",
		log_value(c->code != 0 ? c->message : ""), ledger_pair(s->entry));
}

void
call_execute(struct call *c)
{
	struct step s = {.call = c, .entry = -1};

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
	} else {
		scope_init(&s.scope, s.op.arena);
		c->code = run(&s);
		scope_fini(&s.scope);
		if (s.op.asker != NULL)
			asker_fini(&s.asker);
	}
	if (c->code != 0) {
		s.op.err.code = c->code;
		snprintf(c->message, sizeof(c->message), "%s", hw_err_text(&s.op.err));
		buf_wipe(&c->reply);
	}
	log_call(&s);
	arena_free(s.op.arena);
}
