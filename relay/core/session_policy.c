/* Whether a session may be: when it is opened, and as long as it lives. */
#include <stdio.h>
#include <string.h>

#include "relay/core/arn.h"
#include "relay/core/authorise.h"
#include "relay/core/fit.h"
#include "relay/core/session_private.h"

#define ACTION	  "ssm:StartSession"
#define ARENA_MAX (64 * 1024)

/* What was written there was parsed before. */
void
session_destination(struct destination *ret, const struct session_row *row)
{
	*ret = (struct destination){.port = 0};
	if (row->remote_host[0] != '\0' &&
		destination_set(ret, row->remote_host, row->remote_port, NULL) < 0)
		*ret = (struct destination){.port = 0};
}

typedef int scope_fill(struct scope *scope, const struct session *s, void *what);

static int
put(struct verdict *ret, char resource[512], const struct session *s,
	const struct session_owner *user, const char *action, scope_fill *fill, void *what)
{
	struct arena *arena = arena_new(ARENA_MAX);
	struct asker asker;
	struct scope scope;

	if (arena == NULL)
		return HW_ENOMEM;
	scope_init(&scope, arena);
	asker_init(&asker, s->broker->env, user->name, user->not_before, user->source,
		clock_wall(loop_clock(s->broker->loop)));
	int r = fill(&scope, s, what);
	if (r == 0) {
		authorise(ret, &asker, action, &scope);
		fit_text(resource, 512,
			ret->target != NULL ? ret->target->resource : scope.targets[0].resource);
		ret->target = NULL;
	}
	asker_fini(&asker);
	scope_fini(&scope);
	arena_free(arena);
	return r;
}

static int
fill_session(struct scope *scope, const struct session *s, void *what)
{
	return scope_session(scope, what, s->broker->env);
}

static int
ask(struct verdict *ret, char resource[512], const struct session *s, struct session_scope *what)
{
	return put(ret, resource, s, &s->owner, ACTION, fill_session, what);
}

static int
fill_terminal(struct scope *scope, const struct session *s, void *what)
{
	return scope_terminal(scope, what, s->broker->env);
}

int
session_authorise_terminal(struct verdict *ret, char resource[512], const struct session *s,
	const struct session_owner *who, enum session_access access)
{
	struct terminal_scope what = {
		.session = s->id,
		.owner = s->owner.name,
		.node = s->row->node_id,
		.run_as = access == ACCESS_JOIN ? s->run_as : NULL,
	};

	return put(ret, resource, s, who, access_row(access)->action, fill_terminal, &what);
}

static int
authorise_as(struct verdict *ret, char resource[512], const struct session *s,
	const struct session_owner *who, const struct session_row *row, const char *run_as)
{
	struct destination to;
	struct session_scope what = {
		.node = row->node_id,
		.document = row->document_named ? row->document : NULL,
		.run_as = run_as,
		.to = &to,
	};

	session_destination(&to, row);
	return put(ret, resource, s, who, ACTION, fill_session, &what);
}

int
session_authorise(struct verdict *ret, char resource[512], const struct session *s,
	const struct session_row *row, const char *run_as)
{
	return authorise_as(ret, resource, s, &s->owner, row, run_as);
}

int
session_authorise_from(struct verdict *ret, char resource[512], const struct session *s,
	const struct session_owner *who)
{
	return authorise_as(ret, resource, s, who, s->row, s->run_as);
}

/* --- forwards --------------------------------------------------------------------------------- */

int
session_authorise_to(struct verdict *ret, char resource[512], const struct session *s,
	const struct destination *to)
{
	struct session_scope what = {
		.node = s->row->node_id, .document = s->row->document, .to = to};

	return ask(ret, resource, s, &what);
}

/* A name may turn out to be the node's own: whether it may be that is asked before. */
static int
may_be_node(bool *ret, const struct session *s, const struct destination *to)
{
	char resource[512];
	struct destination node = *to;
	struct session_scope what = {
		.node = s->row->node_id, .document = DOCUMENT_NODE_LOCAL, .to = &node};
	struct verdict v;
	int r = 0;

	if (to->host.kind != HOST_IS_SOCKET)
		r = destination_set(&node, "localhost", to->port, NULL);
	if (r == 0)
		r = ask(&v, resource, s, &what);
	*ret = r == 0 && v.allow;
	return r;
}

int
session_reach(struct reach *ret, const struct session *s, const struct destination *to)
{
	const struct forward_document *doc = forward_document(s->row->document);

	*ret = (struct reach){.named = (to->host.traits & HOST_GUARDED) != 0};
	/* A document of somebody's own names the node or another host, and a host that it names is
	 * not the node: session_plan_read() saw to that. */
	ret->beyond =
		doc != NULL ? doc->takes_host || doc->open : (to->host.traits & HOST_LOCAL) == 0;
	if (ret->beyond)
		return may_be_node(&ret->local, s, to);
	ret->local = true;
	return 0;
}

void
session_note_denied(struct session *s, const struct session_owner *who, const char *action,
	const char *resource, const char *why)
{
	const struct msg_ledger_entry e = {
		.action = action,
		.resource = resource,
		.outcome = OUTCOME_DENIED,
		.reason = why,
		.session_id = s->id,
	};

	broker_note_user(s->broker, ENTRY_DECISION, who->name, who->source, &e, NULL);
}

/* Without memory for the question there is no answer, and nobody is let go on without one. */
void
session_decide(struct session *s)
{
	char resource[512] = "", why[600];
	struct verdict v;

	if (s->state == SESSION_REDEEMING || s->state == SESSION_OVER)
		return;
	int r = session_authorise(&v, resource, s, s->row, s->run_as);
	s->decided = session_now(s);
	if (r == 0 && v.allow) {
		if (s->forward != NULL)
			forward_decide(s->forward);
		session_viewers_decide(s);
		return;
	}
	if (r < 0)
		snprintf(v.why, sizeof(v.why), "%s", hw_code_meaning(r));
	session_note_denied(s, &s->owner, ACTION, resource, v.why);
	snprintf(why, sizeof(why), "%s may not %s on %.400s any more", s->owner.name, ACTION,
		resource);
	session_end(s, HW_EREVOKED, why);
}
