/* Whether a session may be: when it is opened, and as long as it lives. */
#include <stdio.h>
#include <string.h>

#include "relay/core/authorise.h"
#include "relay/core/fit.h"
#include "relay/core/session_private.h"

#define ACTION	  "ssm:StartSession"
#define ARENA_MAX (64 * 1024)

int
session_authorise(struct verdict *ret, char resource[512], const struct session *s,
	const struct session_row *row, const char *run_as)
{
	const struct peer *user = s->user;
	struct session_scope what = {
		.node = row->node_id,
		.document = row->document_named ? row->document : NULL,
		.run_as = run_as,
	};
	struct arena *arena = arena_new(ARENA_MAX);
	struct asker asker;
	struct scope scope;

	if (arena == NULL)
		return HW_ENOMEM;
	scope_init(&scope, arena);
	asker_init(&asker, s->broker->env, user->who.id, user->who.not_before, user->source,
		clock_wall(loop_clock(s->broker->loop)));
	int r = scope_session(&scope, &what, s->broker->env);
	if (r == 0) {
		authorise(ret, &asker, ACTION, &scope);
		fit_text(resource, 512,
			ret->target != NULL ? ret->target->resource : scope.targets[0].resource);
		ret->target = NULL;
	}
	asker_fini(&asker);
	scope_fini(&scope);
	arena_free(arena);
	return r;
}

static void
note_denied(struct session *s, const char *resource, const char *why)
{
	const struct msg_ledger_entry e = {
		.action = ACTION,
		.resource = resource,
		.outcome = OUTCOME_DENIED,
		.reason = why,
		.session_id = s->id,
	};

	broker_note(s->broker, ENTRY_DECISION, s->user, &e, NULL);
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
	if (r == 0 && v.allow)
		return;
	if (r < 0)
		snprintf(v.why, sizeof(v.why), "%s", hw_code_meaning(r));
	note_denied(s, resource, v.why);
	snprintf(why, sizeof(why), "%s may not %s on %.400s any more", s->user->who.id, ACTION,
		resource);
	session_end(s, HW_EREVOKED, why);
}
