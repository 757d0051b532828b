/* SimulatePrincipalPolicy and ListAllowedPrincipals: what would be decided, why, and what would
 * change it. */
#include <stdio.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "relay/core/fit.h"
#include "relay/services/page.h"
#include "relay/services/policies/trial.h"
#include "relay/services/text.h"

#define RESULTS_MAX 1000
#define HINTS_MAX   8
#define LIST_LIMIT  1000

static int
no_memory(struct op *op)
{
	return op_fail(op, HW_ENOMEM, "no memory for the reply");
}

/* --- what would allow it ---------------------------------------------------------------------- */

static const char *
tag_value(const struct policy_tags *tags, const char *key)
{
	for (size_t i = 0; tags != NULL && i < tags->n; i++)
		if (strcasecmp(tags->v[i].key, key) == 0)
			return tags->v[i].value;
	return NULL;
}

/* A condition key's value in the request, for a sentence; NULL when it has none. */
static const char *
value_of(const struct policy_request *q, const char *key)
{
	static const struct {
		const char *prefix;
		size_t offset;
	} tags[] = {
		{"ssm:resourceTag/",  offsetof(struct policy_request, resource_tags) },
		{"aws:ResourceTag/",  offsetof(struct policy_request, resource_tags) },
		{"aws:PrincipalTag/", offsetof(struct policy_request, principal_tags)},
		{"aws:RequestTag/",   offsetof(struct policy_request, request_tags)	 },
	};

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		size_t n = strlen(tags[i].prefix);
		if (strncasecmp(key, tags[i].prefix, n) == 0)
			return tag_value(*(const struct policy_tags *const *)(const void
							 *)((const char *)q + tags[i].offset),
				key + n);
	}
	for (size_t i = 0; i < q->n_keys; i++)
		if (strcasecmp(q->keys[i].key, key) == 0)
			return q->keys[i].n > 0 ? q->keys[i].values[0] : NULL;
	return NULL;
}

/* A wanted value that is one variable, as this request has it; NULL when it is none, or has none.
 */
static const char *
variable_of(struct op *op, const struct policy_request *q, const char *wants)
{
	size_t n = strlen(wants);

	if (n < 4 || strncmp(wants, "${", 2) != 0 || strchr(wants, '}') != wants + n - 1)
		return NULL;
	const char *key = arena_strndup(op->arena, wants + 2, n - 3);
	return key != NULL ? value_of(q, key) : NULL;
}

struct near {
	const struct policy_attachment *by;
	size_t statement;
	enum policy_miss miss;
	const char *key, *wants; /* of a condition that does not hold */
};

static const char *
where(struct op *op, const struct policy_attachment *by, size_t statement)
{
	const char *sid = policy_sid(by->policy, statement);

	return arena_printf(op->arena, "policy %s, statement %zu%s%s%s", by->name, statement + 1,
		sid[0] != '\0' ? " (" : "", sid, sid[0] != '\0' ? ")" : "");
}

#define WANTS_SHOWN 100 /* bytes */

static const char *
hint(struct op *op, const struct policy_request *q, const struct near *n)
{
	const char *at = where(op, n->by, n->statement), *is;

	if (at == NULL)
		return NULL;
	if (n->miss == POLICY_MISS_RESOURCE)
		return arena_printf(op->arena, "%s: its Resource would have to name it", at);
	if (n->miss == POLICY_MISS_NAMED)
		return arena_printf(op->arena,
			"%s: it would have to name the %s, by StringEquals%s", at,
			strcmp(q->named_key, "hawser:runas") == 0
				? "user under hawser:RunAs"
				: "address under hawser:RemoteHost",
			q->literal ? "" : " or StringLike");
	is = n->key != NULL ? value_of(q, n->key) : NULL;
	if (n->key == NULL)
		return arena_printf(op->arena, "%s: its Condition does not hold", at);
	const char *wants = n->wants != NULL ? n->wants : "";
	const char *that = variable_of(op, q, wants);
	char shown[WANTS_SHOWN + 1];

	fit_text(shown, sizeof(shown), wants);
	return arena_printf(op->arena, "%s: %s would have to fit \"%s\"%s%s%s, and %s%s%s", at,
		n->key, shown, that != NULL ? " (\"" : "", that != NULL ? that : "",
		that != NULL ? "\")" : "", is != NULL ? "is \"" : "is not there",
		is != NULL ? is : "", is != NULL ? "\"" : "");
}

static int
add_text(struct op *op, struct msg_strs *list, const char *text)
{
	if (text == NULL)
		return no_memory(op);
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i], text) == 0)
			return 0;
	if (list->n < HINTS_MAX)
		list->v[list->n++] = text;
	return 0;
}

static int
add_near(struct op *op, struct msg_evaluation_result *ret, const struct policy_request *q,
	const struct near *n)
{
	int r = add_text(op, &ret->hints, hint(op, q, n));

	if (r == 0 && n->miss == POLICY_MISS_CONDITION && n->key != NULL &&
		value_of(q, n->key) == NULL)
		r = add_text(op, &ret->missing, n->key);
	return r;
}

/* Allow statements that miss by one thing, those whose condition does not hold before those that
 * name something else. */
static int
add_hints(struct op *op, struct msg_evaluation_result *ret, const struct principal *who,
	const struct policy_request *q)
{
	static const enum policy_miss order[] = {
		POLICY_MISS_CONDITION, POLICY_MISS_NAMED, POLICY_MISS_RESOURCE};
	int r = 0;

	for (size_t o = 0; o < 3; o++)
		for (size_t i = 0; i < who->n_policies; i++) {
			struct near n = {.by = &who->policies[i]};
			size_t all = policy_statements(n.by->policy);
			for (n.statement = 0; n.statement < all && r == 0; n.statement++) {
				n.key = n.wants = NULL;
				n.miss = policy_explain(n.by->policy, n.statement, q, &n.key,
					&n.wants);
				if (n.miss == order[o] &&
					policy_statement_allows(n.by->policy, n.statement))
					r = add_near(op, ret, q, &n);
			}
		}
	return r;
}

/* --- one decision ----------------------------------------------------------------------------- */

static int
describe_statement(struct msg_matched_statement *ret, struct op *op, const struct principal *who,
	const struct policy_decision *d)
{
	const struct policy_attachment *by = &who->policies[d->attachment];
	int r = text_keep(&ret->policy, op, by->name);

	ret->index = (int64_t)d->statement + 1;
	ret->effect = d->verdict == POLICY_ALLOW ? "Allow" : "Deny";
	return r < 0 ? r : text_keep(&ret->sid, op, policy_sid(by->policy, d->statement));
}

static int
explain(struct msg_evaluation_result *ret, const struct trial *t, const char *action,
	const struct verdict *v)
{
	struct policy_key keys[REQUEST_KEYS];
	struct policy_request q;
	struct op *op = t->op;

	ret->hints.v = arena_array(op->arena, HINTS_MAX, sizeof(*ret->hints.v));
	ret->missing.v = arena_array(op->arena, HINTS_MAX, sizeof(*ret->missing.v));
	if (ret->hints.v == NULL || ret->missing.v == NULL)
		return no_memory(op);
	if (t->asker.refusal != NULL || v->allow)
		return 0;
	if (v->decision.verdict == POLICY_EXPLICIT_DENY)
		return add_text(op, &ret->hints,
			"it is denied outright: no Allow changes that, only another Deny statement");
	trial_request(&q, keys, t, action);
	return add_hints(op, ret, t->asker.who, &q);
}

static int
evaluate(struct msg_evaluation_result *ret, struct trial *t, const char *action,
	const char *resource)
{
	static const int decisions[] = {
		[POLICY_ALLOW] = POLICY_DECISION_ALLOWED,
		[POLICY_EXPLICIT_DENY] = POLICY_DECISION_EXPLICIT_DENY,
		[POLICY_IMPLICIT_DENY] = POLICY_DECISION_IMPLICIT_DENY,
	};
	struct op *op = t->op;
	struct verdict v;
	int r;

	if ((r = trial_on(t, action, resource)) < 0)
		return r;
	trial_decide(&v, t, action);
	ret->action = action;
	ret->decision = decisions[v.decision.verdict];
	if ((r = text_keep(&ret->resource, op, t->scope.targets[0].resource)) < 0 ||
		(r = text_keep(&ret->reason, op, v.why)) < 0)
		return r;
	if (v.decision.verdict != POLICY_IMPLICIT_DENY) {
		ret->matched.v = arena_alloc(op->arena, sizeof(*ret->matched.v));
		if (ret->matched.v == NULL)
			return no_memory(op);
		ret->matched.n = 1;
		r = describe_statement(ret->matched.v, op, t->asker.who, &v.decision);
	}
	return r < 0 ? r : explain(ret, t, action, &v);
}

/* --- SimulatePrincipalPolicy ------------------------------------------------------------------ */

struct source {
	const char *user; /* NULL: a group */
	const struct principal *group;
};

/* An ARN of a user or group of this fleet, group/NAME, or a user's name. */
static int
find_source(struct source *ret, struct op *op, const char *text)
{
	const struct principals *all = op->asker->principals;
	const char *user = strstr(text, ":user/"), *group = strstr(text, ":group/");

	*ret = (struct source){.user = NULL};
	if (group != NULL)
		ret->group = principals_group(all, group + strlen(":group/"));
	else if (strncmp(text, "group/", 6) == 0)
		ret->group = principals_group(all, text + 6);
	else
		ret->user = user != NULL ? user + strlen(":user/") : text;
	if (ret->group == NULL && (ret->user == NULL || principals_user(all, ret->user) == NULL))
		return op_fail(op, HW_ENOTFOUND, "no user or group %.200s", text);
	return 0;
}

static int
simulate_one(struct msg_evaluation_result *ret, struct op *op, const struct trial_keys *keys,
	const struct source *of, const char *action, const char *resource)
{
	struct trial t;

	if (strchr(action, ':') == NULL || strpbrk(action, "*?") != NULL ||
		!policy_action_valid(action))
		return op_fail(op, HW_EVALIDATION,
			"ActionNames: \"%.100s\" is not an action, like ssm:StartSession", action);
	int r = trial_init(&t, op, keys, of->user, of->group);
	if (r == 0)
		r = evaluate(ret, &t, action, resource);
	trial_fini(&t);
	return r;
}

int
op_simulate_principal_policy(struct op *op, const struct msg_simulate_principal_policy_request *req,
	struct msg_simulate_principal_policy_reply *rep)
{
	const char *any = "*";
	struct msg_strs resources = req->resource_arns;
	struct trial_keys keys;
	struct source of;
	int r;

	if (resources.n == 0)
		resources = (struct msg_strs){&any, 1};
	size_t n = req->action_names.n * resources.n;
	if (n > RESULTS_MAX)
		return op_fail(op, HW_EVALIDATION,
			"%zu actions on %zu resources are %zu decisions, and %d are allowed",
			req->action_names.n, resources.n, n, RESULTS_MAX);
	if ((r = find_source(&of, op, req->policy_source_arn)) < 0 ||
		(r = trial_keys_read(&keys, op, req->context_entries.v, req->context_entries.n)) <
			0)
		return r;
	rep->results.v = arena_array(op->arena, n, sizeof(*rep->results.v));
	if (rep->results.v == NULL)
		return no_memory(op);
	for (size_t i = 0; i < n && r == 0; i++)
		r = simulate_one(&rep->results.v[rep->results.n++], op, &keys, &of,
			req->action_names.v[i / resources.n], resources.v[i % resources.n]);
	return r;
}

/* --- ListAllowedPrincipals -------------------------------------------------------------------- */

/* 1: it is allowed, and in the list. */
static int
ask_about(struct msg_allowed_principal *ret, struct op *op, const struct trial_keys *keys,
	const char *user, const struct msg_list_allowed_principals_request *req)
{
	const char *resource = text_or_absent(req->resource);
	struct verdict v;
	struct trial t;

	int r = trial_init(&t, op, keys, user, NULL);
	if (r == 0)
		r = trial_on(&t, req->action, resource != NULL ? resource : "*");
	if (r == 0)
		trial_decide(&v, &t, req->action);
	if (r == 0 && v.allow) {
		ret->statement = arena_alloc(op->arena, sizeof(*ret->statement));
		ret->arn = arn_user(op, user);
		r = ret->statement == NULL || ret->arn == NULL
			? no_memory(op)
			: text_keep(&ret->user_name, op, user);
		if (r == 0)
			r = describe_statement(ret->statement, op, t.asker.who, &v.decision);
		r = r == 0 ? 1 : r;
	}
	trial_fini(&t);
	return r;
}

int
op_list_allowed_principals(struct op *op, const struct msg_list_allowed_principals_request *req,
	struct msg_list_allowed_principals_reply *rep)
{
	const struct principals *all = op->asker->principals;
	const struct principal *user;
	struct trial_keys keys;
	struct page_key from;
	struct page page;
	int r;

	if ((r = page_read(&from, op, req->next_token)) < 0 ||
		(r = trial_keys_read(&keys, op, req->context_entries.v, req->context_entries.n)) <
			0)
		return r;
	rep->principals.v = arena_array(op->arena, LIST_LIMIT, sizeof(*rep->principals.v));
	if (rep->principals.v == NULL)
		return no_memory(op);
	page_begin(&page, op, req->max_results, LIST_LIMIT);
	for (size_t i = 0; r >= 0 && (user = principals_nth_user(all, i)) != NULL; i++) {
		if (strcmp(user->name, from.text) <= 0)
			continue;
		if (!page_has_room(&page))
			return page_token(&rep->next_token, op, &from);
		r = ask_about(&rep->principals.v[page.items], op, &keys, user->name, req);
		page.items += r > 0;
		rep->principals.n = page.items;
		snprintf(from.text, sizeof(from.text), "%s", user->name);
	}
	return r < 0 ? r : 0;
}
