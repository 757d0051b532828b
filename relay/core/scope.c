#include "relay/core/scope.h"

#include <stdio.h>
#include <string.h>

#include "relay/core/arn.h"
#include "relay/core/config.h"
#include "relay/core/destination.h"
#include "relay/core/op.h"
#include "relay/core/registry.h"
#include "relay/core/tagset.h"

void
scope_init(struct scope *s, struct arena *arena)
{
	*s = (struct scope){.arena = arena};
}

void
scope_fini(struct scope *s)
{
	for (size_t i = 0; i < s->n; i++)
		tagset_unref(s->targets[i].held);
	tagset_unref(s->held);
	s->n = 0;
	s->held = NULL;
}

static bool
grow(struct scope *s)
{
	size_t room = s->room > 0 ? 2 * s->room : 4;
	struct scope_target *v = arena_array(s->arena, room, sizeof(*v));

	if (v == NULL)
		return false;
	if (s->n > 0)
		memcpy(v, s->targets, s->n * sizeof(*v));
	s->targets = v;
	s->room = room;
	return true;
}

struct scope_target *
scope_add(struct scope *s, const char *resource)
{
	if (resource == NULL || (s->n == s->room && !grow(s)))
		return NULL;
	struct scope_target *t = &s->targets[s->n++];
	*t = (struct scope_target){.resource = resource};
	return t;
}

static void
add_key(struct scope *s, const char *key, const char *const *values, size_t n)
{
	hw_assert(s->n_keys < SCOPE_KEYS);
	s->keys[s->n_keys++] = (struct policy_key){key, values, n};
}

void
scope_key(struct scope *s, const char *key, const char *const *value)
{
	add_key(s, key, value, 1);
}

void
scope_tag_keys(struct scope *s, const char *const *keys, size_t n)
{
	if (n > 0)
		add_key(s, "aws:tagkeys", keys, n);
}

void
scope_node_tags(struct scope_target *t, struct registry *r, const char *node)
{
	t->held = registry_tags(r, node);
	t->tags = tagset_tags(t->held);
}

/* aws:TagKeys has the keys as they were written. */
int
scope_request_tags(struct scope *s, const struct msg_tag *tags, size_t n)
{
	const char **keys = arena_array(s->arena, n + 1, sizeof(*keys));

	s->held = tagset_new(tags, n);
	if (s->held == NULL || keys == NULL)
		return HW_ENOMEM;
	for (size_t i = 0; i < n; i++)
		keys[i] = tags[i].key;
	s->request_tags = *tagset_tags(s->held);
	scope_tag_keys(s, keys, n);
	return 0;
}

/* --- sessions --------------------------------------------------------------------------------- */

static const char *
keep(struct arena *arena, const char *text)
{
	return text[0] != '\0' ? arena_strdup(arena, text) : NULL;
}

static int
add_node(struct scope *s, const struct op_env *env, const char *node)
{
	char text[ARN_MAX];

	arn_write_node(text, env->config, node);
	struct scope_target *t = scope_add(s, keep(s->arena, text));
	if (t == NULL)
		return HW_ENOMEM;
	t->as_user = true;
	scope_node_tags(t, env->registry, node);
	return 0;
}

/* AWS's own documents belong to no account; policies are written either way. */
static int
add_document(struct scope *s, const struct op_env *env, const char *name)
{
	char text[ARN_MAX];

	arn_write_document(text, env->config, name, env->config->account);
	struct scope_target *t = scope_add(s, keep(s->arena, text));
	if (t == NULL || !registry_document_tags(env->registry, name, &t->held))
		return HW_ENOMEM;
	t->tags = tagset_tags(t->held);
	if (!arn_of_system(name))
		return 0;
	arn_write_document(text, env->config, name, "");
	t->alias = keep(s->arena, text);
	return t->alias != NULL ? 0 : HW_ENOMEM;
}

/* An address that nobody comes upon by chance must be named as it is. */
static void
add_destination(struct scope *s, struct session_scope *what)
{
	const struct destination *to = what->to;

	what->values[2] = destination_judged(to);
	scope_key(s, "hawser:remotehost", &what->values[2]);
	if (to->port != 0) {
		snprintf(what->port, sizeof(what->port), "%d", to->port);
		what->values[3] = what->port;
		scope_key(s, "hawser:remoteport", &what->values[3]);
	}
	if ((to->host.traits & HOST_GUARDED) == 0)
		return;
	s->named_key = "hawser:remotehost";
	s->literal = true;
}

/* Of a document that reaches others, too. */
static bool
takes_host(const char *document)
{
	const struct forward_document *doc = forward_document(document);

	return doc != NULL && (doc->takes_host || doc->open);
}

static bool
reaches_node(const struct session_scope *what)
{
	return what->to != NULL && (what->to->host.traits & HOST_LOCAL) != 0;
}

/* Another user than the default must be named, and root as it is. */
static void
add_run_as(struct scope *s, const char **value, const char *run_as)
{
	bool named = run_as != NULL && run_as[0] != '\0' && strcmp(run_as, RUN_AS_DEFAULT) != 0;

	*value = named ? run_as : RUN_AS_DEFAULT;
	scope_key(s, "hawser:runas", value);
	if (named) {
		s->named_key = "hawser:runas";
		s->literal = strcmp(run_as, "root") == 0;
	}
}

int
scope_terminal(struct scope *s, struct terminal_scope *what, const struct op_env *env)
{
	char arn[ARN_MAX];

	arn_write_session(arn, env->config, what->session);
	struct scope_target *t = scope_add(s, keep(s->arena, arn));
	if (t == NULL)
		return HW_ENOMEM;
	t->owner = what->owner;
	t->as_user = what->run_as != NULL;
	scope_node_tags(t, env->registry, what->node);
	if (what->run_as != NULL)
		add_run_as(s, &what->value, what->run_as);
	return 0;
}

int
scope_session(struct scope *s, struct session_scope *what, const struct op_env *env)
{
	bool with_document = what->document != NULL && what->document[0] != '\0';

	add_run_as(s, &what->values[0], what->run_as);
	what->values[1] = with_document ? "true" : "false";
	scope_key(s, "ssm:sessiondocumentaccesscheck", &what->values[1]);
	if (what->to != NULL && !destination_is_empty(what->to))
		add_destination(s, what);
	int r = add_node(s, env, what->node);
	if (r == 0 && with_document)
		r = add_document(s, env, what->document);
	if (r == 0 && with_document && reaches_node(what) && takes_host(what->document))
		r = add_document(s, env, DOCUMENT_NODE_LOCAL);
	return r;
}
