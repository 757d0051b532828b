#include "relay/core/authorise.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/schema/schema.h"
#include "relay/core/arn.h"
#include "relay/core/op.h"

/* --- who asks --------------------------------------------------------------------------------- */

static void
add_key(struct asker *a, const char *key, const char *value)
{
	hw_assert(a->n_keys < sizeof(a->keys) / sizeof(a->keys[0]));
	a->values[a->n_keys] = value;
	a->keys[a->n_keys] = (struct policy_key){key, &a->values[a->n_keys], 1};
	a->n_keys++;
}

/* A certificate is not a second factor: that key is there and says so, as IAM has it for
 * credentials that are not for long. */
static void
add_keys(struct asker *a, const char *user, int64_t now, bool has_certificate)
{
	rfc3339_format(a->now, now);
	snprintf(a->epoch, sizeof(a->epoch), "%" PRId64, now / USEC_PER_SEC);
	add_key(a, "aws:username", user);
	add_key(a, "aws:userid", user);
	add_key(a, "aws:principalarn", a->arn);
	if (a->who != NULL)
		add_key(a, "aws:principaltype", enum_text(&enum_USER_TYPE, a->who->type));
	add_key(a, "aws:currenttime", a->now);
	add_key(a, "aws:epochtime", a->epoch);
	add_key(a, "aws:securetransport", "true");
	if (has_certificate)
		add_key(a, "aws:multifactorauthpresent", "false");
	if (a->source[0] != '\0')
		add_key(a, "aws:sourceip", a->source);
}

static void
init(struct asker *a, const struct op_env *env, const char *user, int64_t not_before,
	const char *source, int64_t now, bool has_certificate)
{
	*a = (struct asker){.env = env,
		.principals = authority_take(env->authority),
		.by_key = !has_certificate};
	arn_write_user(a->arn, env->config, user);
	snprintf(a->source, sizeof(a->source), "%s", source);
	a->who = principals_user(a->principals, user);
	if (a->who == NULL)
		a->refusal = "it was removed";
	else if (not_before < a->who->valid_from)
		a->refusal = "its certificate is of an earlier user of that name";
	else if (a->who->disabled)
		a->refusal = "it is disabled";
	add_keys(a, a->who != NULL ? a->who->name : "", now, has_certificate);
}

void
asker_init(struct asker *a, const struct op_env *env, const char *user, int64_t not_before,
	const char *source, int64_t now)
{
	init(a, env, user, not_before, source, now, true);
}

void
asker_init_signed(struct asker *a, const struct op_env *env, const char *user, int64_t not_before,
	const char *source, int64_t now)
{
	init(a, env, user, not_before, source, now, false);
}

void
asker_fini(struct asker *a)
{
	principals_unref(a->principals);
	a->principals = NULL;
}

/* --- one target ------------------------------------------------------------------------------- */

void
authorise_request(struct policy_request *ret, struct policy_key keys[REQUEST_KEYS],
	const struct asker *a, const char *action, const struct scope *what,
	const struct scope_target *target)
{
	size_t n = a->n_keys;

	memcpy(keys, a->keys, n * sizeof(keys[0]));
	memcpy(keys + n, what->keys, what->n_keys * sizeof(keys[0]));
	n += what->n_keys;
	if (target->owner != NULL)
		keys[n++] = (struct policy_key){"hawser:sessionowner", &target->owner, 1};
	*ret = (struct policy_request){
		.action = target->action != NULL ? target->action : action,
		.resource = target->resource,
		.alias = target->alias,
		.keys = keys,
		.n_keys = n,
		.resource_tags = target->tags,
		.principal_tags = &a->who->tags,
		.request_tags = &what->request_tags,
	};
	if (target->as_user && what->named_key != NULL) {
		ret->named_key = what->named_key;
		ret->literal = what->literal;
	}
}

static void
say_why(struct verdict *v, const struct asker *a)
{
	const struct policy_decision *d = &v->decision;

	if (d->verdict == POLICY_IMPLICIT_DENY) {
		snprintf(v->why, sizeof(v->why), "no policy allows it");
		return;
	}
	const struct policy_attachment *by = &a->who->policies[d->attachment];
	const char *sid = policy_sid(by->policy, d->statement);
	snprintf(v->why, sizeof(v->why), "policy %.128s, statement %zu%s%.256s%s", by->name,
		d->statement + 1, sid[0] != '\0' ? " (" : "", sid, sid[0] != '\0' ? ")" : "");
}

static void
decide(struct policy_decision *ret, const struct asker *a, const char *action,
	const struct scope *what, const struct scope_target *target)
{
	struct policy_key keys[REQUEST_KEYS];
	struct policy_request request;

	authorise_request(&request, keys, a, action, what, target);
	policy_decide(ret, a->who->policies, a->who->n_policies, &request);
}

/* --- all of them ------------------------------------------------------------------------------ */

static bool
refused(struct verdict *v, const struct asker *a)
{
	*v = (struct verdict){.allow = false};
	if (a->refusal == NULL)
		return false;
	snprintf(v->why, sizeof(v->why), "%s", a->refusal);
	return true;
}

/* Which target it is about, as struct verdict has it. */
static const struct scope_target *
decide_all(struct policy_decision *ret, const struct asker *a, const char *action,
	const struct scope *what)
{
	const struct scope_target *about = what->targets;

	for (size_t i = 0; i < what->n; i++) {
		struct policy_decision d = {0};

		decide(&d, a, action, what, &what->targets[i]);
		if (i > 0 && d.verdict == POLICY_ALLOW)
			continue;
		*ret = d;
		about = &what->targets[i];
		if (d.verdict != POLICY_ALLOW)
			break;
	}
	return about;
}

void
authorise(struct verdict *ret, const struct asker *a, const char *action, const struct scope *what)
{
	if (refused(ret, a))
		return;
	if (what->n == 0) {
		snprintf(ret->why, sizeof(ret->why), "it names nothing to do it to");
		return;
	}
	ret->target = decide_all(&ret->decision, a, action, what);
	ret->allow = ret->decision.verdict == POLICY_ALLOW;
	say_why(ret, a);
}

bool
authorise_item(const struct asker *a, const char *action, const struct scope *what)
{
	struct policy_decision d;

	if (a->refusal != NULL || what->n == 0)
		return false;
	decide_all(&d, a, action, what);
	return d.verdict == POLICY_ALLOW;
}

void
authorise_list(struct verdict *ret, const struct asker *a, const char *action)
{
	const struct scope nothing = {.n = 0};
	const struct scope_target any = {.resource = "*"};
	struct policy_key keys[REQUEST_KEYS];
	struct policy_request request;

	if (refused(ret, a))
		return;
	authorise_request(&request, keys, a, action, &nothing, &any);
	ret->allow = policy_may_ever(a->who->policies, a->who->n_policies, &request);
	snprintf(ret->why, sizeof(ret->why), "%s",
		ret->allow ? "item by item" : "no policy allows any of it");
}
