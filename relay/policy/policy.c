/*
 * What is asked of policies. The rest of the folder, from the ground up:
 *
 *   value.c      numbers, dates, networks
 *   context.c    names of condition keys, and what a request has under them
 *   pattern.c    wildcards and variables
 *   condition.c  the operators of conditions
 *   locate.c     lines and columns
 *   document.c   from JSON to what is decided with
 *   managed.c    the policies that every fleet has
 */
#include "relay/policy/policy.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "relay/policy/document.h"

#define MEMORY_MAX (32u << 20) /* of one policy, in a form that is larger than its text */

int
policy_parse(struct policy **ret, const char *text, size_t n, struct hw_err *err)
{
	struct policy *p = calloc(1, sizeof(*p));
	int r;

	if (p == NULL || (p->arena = arena_new(MEMORY_MAX)) == NULL) {
		r = hw_err_set(err, HW_ENOMEM, "no memory to read the policy");
		goto out;
	}
	if ((r = document_read(p, text, n, err)) < 0)
		goto out;
	*ret = p;
	p = NULL;
out:
	policy_free(p);
	return r;
}

void
policy_free(struct policy *p)
{
	if (p == NULL)
		return;
	arena_free(p->arena);
	free(p);
}

size_t
policy_statements(const struct policy *p)
{
	return p->n;
}

const char *
policy_sid(const struct policy *p, size_t i)
{
	return p->statements[i].sid;
}

bool
policy_statement_allows(const struct policy *p, size_t i)
{
	return p->statements[i].allow;
}

bool
policy_action_valid(const char *action)
{
	return document_action_valid(action);
}

/* --- one statement ---------------------------------------------------------------------------- */

static bool
action_applies(const struct pattern_list *list, const char *action)
{
	size_t n = strlen(action);

	if (list->any)
		return !list->negated;
	for (size_t i = 0; i < list->n; i++)
		if (pattern_match(&list->v[i], NULL, action, n))
			return !list->negated;
	return list->negated;
}

static bool
names_resource(const struct pattern *p, const struct pattern_bound *bound,
	const struct policy_request *what)
{
	return pattern_match(p, bound, what->resource, strlen(what->resource)) ||
		(what->alias != NULL && pattern_match(p, bound, what->alias, strlen(what->alias)));
}

/* A variable that stands for nothing makes the statement fail, whatever else the list names: so all
 * of them are looked at, if there are any. */
static bool
resource_applies(const struct pattern_list *list, const struct policy_request *what)
{
	struct pattern_bound bound;
	bool found = list->any;

	for (size_t i = 0; i < list->n && (!found || list->variables); i++) {
		const struct pattern *p = &list->v[i];
		if (!pattern_bind(&bound, p, what))
			return false;
		found = found || names_resource(p, &bound, what);
	}
	return found != list->negated;
}

/* Whether it is known without the resource that the list names it. */
static bool
applies_to_all(const struct pattern_list *list, const struct policy_request *what)
{
	return list->any && !list->negated && !list->of_resource && resource_applies(list, what);
}

static bool
named(const struct statement *s, const struct policy_request *what)
{
	if (what->named_key == NULL || !s->allow)
		return true;
	for (size_t i = 0; i < s->n_conditions; i++)
		if (condition_names(&s->conditions[i], what))
			return true;
	return false;
}

/* Why a statement does not apply; *failed is then the condition that does not hold, if it is one.
 */
static enum policy_miss
statement_miss(const struct statement *s, const struct policy_request *what,
	const struct condition **failed)
{
	if (!action_applies(&s->actions, what->action))
		return POLICY_MISS_ACTION;
	if (!resource_applies(&s->resources, what))
		return POLICY_MISS_RESOURCE;
	for (size_t i = 0; i < s->n_conditions; i++) {
		if (!condition_holds(&s->conditions[i], what)) {
			*failed = &s->conditions[i];
			return POLICY_MISS_CONDITION;
		}
	}
	return named(s, what) ? POLICY_APPLIES : POLICY_MISS_NAMED;
}

/* The same when the resource is not known: an Allow gets the benefit of the doubt, and a Deny only
 * applies without any. */
static bool
may_apply(const struct statement *s, const struct policy_request *what)
{
	if (!action_applies(&s->actions, what->action) ||
		(!s->allow && !applies_to_all(&s->resources, what)))
		return false;
	for (size_t i = 0; i < s->n_conditions; i++) {
		const struct condition *c = &s->conditions[i];
		if (c->of_resource ? !s->allow : !condition_holds(c, what))
			return false;
	}
	return named(s, what);
}

/* --- all of them ------------------------------------------------------------------------------ */

void
policy_decide(struct policy_decision *ret, const struct policy_attachment *set, size_t n,
	const struct policy_request *what)
{
	struct policy_decision made = {.verdict = POLICY_IMPLICIT_DENY};
	const struct condition *failed;

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < set[i].policy->n; k++) {
			const struct statement *s = &set[i].policy->statements[k];
			if (s->allow && made.verdict == POLICY_ALLOW)
				continue;
			if (statement_miss(s, what, &failed) != POLICY_APPLIES)
				continue;
			made.verdict = s->allow ? POLICY_ALLOW : POLICY_EXPLICIT_DENY;
			made.attachment = i;
			made.statement = k;
			if (!s->allow)
				goto out;
		}
	}
out:
	*ret = made;
}

bool
policy_may_ever(const struct policy_attachment *set, size_t n, const struct policy_request *what)
{
	bool allowed = false;

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < set[i].policy->n; k++) {
			const struct statement *s = &set[i].policy->statements[k];
			if ((s->allow && allowed) || !may_apply(s, what))
				continue;
			if (!s->allow)
				return false;
			allowed = true;
		}
	}
	return allowed;
}

enum policy_miss
policy_explain(const struct policy *p, size_t statement, const struct policy_request *what,
	const char **key, const char **wants)
{
	const struct condition *failed = NULL;
	enum policy_miss miss = statement_miss(&p->statements[statement], what, &failed);

	*key = failed != NULL ? failed->key_text : NULL;
	*wants = failed != NULL ? failed->values[0].text : NULL;
	return miss;
}
