#include "relay/services/policies/trial.h"

#include <string.h>
#include <strings.h>

#include "proto/wire/host.h"
#include "relay/core/op_scope.h"
#include "relay/core/tagset.h"

#define START_SESSION "ssm:StartSession"
/* The trial's own, beside which there are aws:TagKeys and the two that StartSession adds. */
#define KEYS_MAX (SCOPE_KEYS - 3)

static int
no_memory(struct op *op)
{
	return op_fail(op, HW_ENOMEM, "no memory for a trial");
}

/* --- its keys --------------------------------------------------------------------------------- */

static const char *
lower(struct op *op, const char *text)
{
	char *copy = arena_strdup(op->arena, text);

	for (char *c = copy; c != NULL && *c != '\0'; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
	return copy;
}

static const char *
after(const char *key, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(key, prefix, n) == 0 ? key + n : NULL;
}

static int
add_tag(struct op *op, struct msg_tag *v, size_t *n, const char *key, const struct msg_strs *values)
{
	if (values->n != 1)
		return op_fail(op, HW_EVALIDATION,
			"ContextEntries: the tag %.128s needs one value, and has %zu", key,
			values->n);
	v[(*n)++] = (struct msg_tag){key, values->v[0]};
	return 0;
}

static int
take_entry(struct trial_keys *k, struct op *op, const struct msg_context_entry *e)
{
	const char *key = lower(op, e->name), *tag;

	if (key == NULL)
		return no_memory(op);
	if ((tag = after(key, "ssm:resourcetag/")) != NULL ||
		(tag = after(key, "aws:resourcetag/")) != NULL)
		return add_tag(op, k->resource, &k->n_resource, tag, &e->values);
	if ((tag = after(key, "aws:principaltag/")) != NULL)
		return add_tag(op, k->principal, &k->n_principal, tag, &e->values);
	if ((tag = after(key, "aws:requesttag/")) != NULL)
		return add_tag(op, k->request, &k->n_request, tag, &e->values);
	if (strcmp(key, "hawser:runas") == 0 && e->values.n == 1)
		k->run_as = e->values.v[0];
	if (strcmp(key, "hawser:remotehost") == 0 && e->values.n == 1)
		k->remote_host = e->values.v[0];
	k->keys[k->n++] = (struct policy_key){key, e->values.v, e->values.n};
	return 0;
}

int
trial_keys_read(struct trial_keys *ret, struct op *op, const struct msg_context_entry *v, size_t n)
{
	struct trial_keys k = {
		.keys = arena_array(op->arena, n + 1, sizeof(*k.keys)),
		.resource = arena_array(op->arena, n + 1, sizeof(*k.resource)),
		.principal = arena_array(op->arena, n + 1, sizeof(*k.principal)),
		.request = arena_array(op->arena, n + 1, sizeof(*k.request)),
	};
	int r = 0;

	if (k.keys == NULL || k.resource == NULL || k.principal == NULL || k.request == NULL)
		return no_memory(op);
	for (size_t i = 0; i < n && r == 0; i++)
		r = take_entry(&k, op, &v[i]);
	if (r == 0 && k.n > KEYS_MAX)
		r = op_fail(op, HW_EVALIDATION, "ContextEntries: at most %d keys beside tags",
			KEYS_MAX);
	if (r == 0)
		*ret = k;
	return r;
}

/* --- who -------------------------------------------------------------------------------------- */

static void
forget(struct asker *a, const char *key)
{
	for (size_t i = 0; i < a->n_keys; i++)
		if (strcmp(a->keys[i].key, key) == 0) {
			a->keys[i] = a->keys[--a->n_keys];
			return;
		}
}

/* The trial's tags first: of two with the same key the first counts. */
static int
merge_tags(struct policy_tags *tags, struct trial *t, const struct msg_tag *with, size_t n)
{
	size_t old = tags != NULL ? tags->n : 0;
	struct msg_tag *v = arena_array(t->op->arena, n + old + 1, sizeof(*v));

	if (v == NULL)
		return no_memory(t->op);
	if (n > 0)
		memcpy(v, with, n * sizeof(*v));
	for (size_t i = 0; i < old; i++)
		v[n + i] = (struct msg_tag){tags->v[i].key, tags->v[i].value};
	struct tagset *set = tagset_new(v, n + old);
	if (set == NULL)
		return no_memory(t->op);
	t->tags[t->n_tags++] = set;
	*tags = *tagset_tags(set);
	return 0;
}

int
trial_init(struct trial *t, struct op *op, const struct trial_keys *with, const char *user,
	const struct principal *group)
{
	*t = (struct trial){.op = op, .with = with};
	scope_init(&t->scope, op->arena);
	asker_init(&t->asker, op->env, user != NULL ? user : "", INT64_MAX, "", op->now);
	if (group != NULL) {
		t->asker.who = group;
		t->asker.refusal = NULL;
		forget(&t->asker, "aws:username");
		forget(&t->asker, "aws:userid");
		forget(&t->asker, "aws:principalarn");
	}
	for (size_t i = 0; i < with->n; i++)
		forget(&t->asker, with->keys[i].key);
	if (t->asker.who == NULL)
		return 0;
	t->who = *t->asker.who;
	t->asker.who = &t->who;
	return merge_tags(&t->who.tags, t, with->principal, with->n_principal);
}

void
trial_fini(struct trial *t)
{
	scope_fini(&t->scope);
	asker_fini(&t->asker);
	for (size_t i = 0; i < t->n_tags; i++)
		tagset_unref(t->tags[i]);
	t->n_tags = 0;
}

/* --- on what ---------------------------------------------------------------------------------- */

static bool
has_key(const struct trial *t, const char *key)
{
	for (size_t i = 0; i < t->with->n; i++)
		if (strcmp(t->with->keys[i].key, key) == 0)
			return true;
	return false;
}

/* What StartSession says of a session for which nothing is named. */
static void
add_defaults(struct trial *t)
{
	static const char *const keys[] = {"hawser:runas", "ssm:sessiondocumentaccesscheck"};
	const char *run_as = t->with->run_as;
	struct host host;

	t->defaults[0] = RUN_AS_DEFAULT;
	t->defaults[1] = "false";
	for (size_t i = 0; i < 2; i++)
		if (!has_key(t, keys[i]))
			scope_key(&t->scope, keys[i], &t->defaults[i]);
	t->scope.targets[0].as_user = strstr(t->scope.targets[0].resource, ":document/") == NULL;
	if (run_as != NULL && strcmp(run_as, RUN_AS_DEFAULT) != 0) {
		t->scope.named_key = "hawser:runas";
		t->scope.literal = strcmp(run_as, "root") == 0;
	}
	if (t->with->remote_host != NULL && host_parse(&host, t->with->remote_host, NULL) == 0 &&
		(host.traits & HOST_GUARDED) != 0) {
		t->scope.named_key = "hawser:remotehost";
		t->scope.literal = true;
	}
}

int
trial_on(struct trial *t, const char *action, const char *resource)
{
	const struct trial_keys *with = t->with;
	struct scope *s = &t->scope;
	struct policy_tags *tags = arena_alloc(t->op->arena, sizeof(*tags));
	int r = op_scope_named(s, t->op, resource);

	if (r < 0)
		return r;
	if (tags == NULL)
		return no_memory(t->op);
	if (s->targets[0].tags != NULL)
		*tags = *s->targets[0].tags;
	if ((r = merge_tags(tags, t, with->resource, with->n_resource)) < 0)
		return r;
	s->targets[0].tags = tags;
	if (scope_request_tags(s, with->request, with->n_request) < 0)
		return no_memory(t->op);
	for (size_t i = 0; i < with->n; i++)
		s->keys[s->n_keys++] = with->keys[i];
	if (strcasecmp(action, START_SESSION) == 0)
		add_defaults(t);
	return 0;
}

/* --- the decision ----------------------------------------------------------------------------- */

void
trial_decide(struct verdict *ret, const struct trial *t, const char *action)
{
	authorise(ret, &t->asker, action, &t->scope);
}

void
trial_request(struct policy_request *ret, struct policy_key keys[REQUEST_KEYS],
	const struct trial *t, const char *action)
{
	authorise_request(ret, keys, &t->asker, action, &t->scope, &t->scope.targets[0]);
}
