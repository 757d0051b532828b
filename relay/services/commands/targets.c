#include "relay/services/commands/targets.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/base/id.h"
#include "relay/core/broker.h"
#include "relay/core/op.h"
#include "relay/core/registry.h"
#include "relay/services/text.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"

/* --- the list ----------------------------------------------------------------------------------
 */

static int
add(struct targets *t, struct op *op, const char *id, bool denied)
{
	if (t->n == FANOUT_TARGETS_MAX)
		return op_fail(op, HW_ELIMIT, "a command has at most %d targets",
			FANOUT_TARGETS_MAX);
	if (t->n == t->room) {
		size_t room = t->room > 0 ? 2 * t->room : 64;
		struct dispatch_target *v = realloc(t->v, room * sizeof(*v));
		if (v == NULL)
			return op_fail(op, HW_ENOMEM, "no memory for the targets");
		t->v = v;
		t->room = room;
	}
	struct dispatch_target *to = &t->v[t->n++];
	*to = (struct dispatch_target){.denied = denied};
	memcpy(to->node, id, strlen(id) + 1);
	to->delayed = !denied && !broker_node_online(op->env->broker, id, &(int64_t){0});
	t->denied += denied;
	return 0;
}

void
targets_fini(struct targets *t)
{
	free(t->v);
	*t = (struct targets){.v = NULL};
}

static int
by_node(const void *a, const void *b)
{
	return strcmp(((const struct dispatch_target *)a)->node,
		((const struct dispatch_target *)b)->node);
}

/* --- by ids ------------------------------------------------------------------------------------
 */

static int
check_node(struct op *op, const char *id)
{
	struct reg_node node;

	if (id_is_node(id) && registry_node(op->env->registry, id, &node))
		return 0;
	return op_fail(op, HW_ENODE, "no node has the id %.64s", id);
}

/* Dispatch has decided on each of them. */
static int
find_ids(struct targets *t, struct op *op, const struct msg_strs *ids)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ids->n; i++)
		if ((r = check_node(op, ids->v[i])) == 0)
			r = add(t, op, ids->v[i], false);
	if (r < 0)
		return r;
	qsort(t->v, t->n, sizeof(t->v[0]), by_node);
	for (size_t i = 1; i < t->n; i++)
		if (strcmp(t->v[i].node, t->v[i - 1].node) == 0)
			return op_fail(op, HW_EDUPLICATEID, "InstanceIds names %s twice",
				t->v[i].node);
	return 0;
}

/* --- by what they have in common ---------------------------------------------------------------
 */

struct search {
	struct targets *targets;
	struct op *op;
	struct node_filter filters[5];
	const struct msg_strs *globs[5];
	size_t n, n_globs;
};

static void
filter(struct search *s, enum node_field field, const char *key, const struct msg_strs *values)
{
	s->filters[s->n++] = (struct node_filter){
		.field = field,
		.key = key,
		.values = (const char *const *)values->v,
		.n = values->n,
	};
}

static int
take_ids(struct search *s, const struct msg_command_target *t)
{
	for (size_t i = 0; i < t->values.n; i++) {
		int r = check_node(s->op, t->values.v[i]);
		if (r < 0)
			return r;
	}
	filter(s, NODE_ID, NULL, &t->values);
	return 0;
}

static int
take_tag_keys(struct search *s, const struct msg_command_target *t)
{
	filter(s, NODE_TAG_KEY, NULL, &t->values);
	return 0;
}

/* Patterns are compared here, as in the list of nodes. */
static int
take_names(struct search *s, const struct msg_command_target *t)
{
	s->globs[s->n_globs++] = &t->values;
	return 0;
}

/* A tag without values is there with any. */
static int
take_tag(struct search *s, const struct msg_command_target *t, const char *key)
{
	const char **name = arena_alloc(s->op->arena, sizeof(*name));
	struct msg_strs one = {name, 1};

	if (name == NULL)
		return op_fail(s->op, HW_ENOMEM, "no memory for the targets");
	*name = key;
	if (t->values.n > 0)
		filter(s, NODE_TAG, key, &t->values);
	else
		filter(s, NODE_TAG_KEY, NULL, &one);
	return 0;
}

static const struct {
	const char *key;
	int (*take)(struct search *s, const struct msg_command_target *t);
} keys[] = {
	{"InstanceIds", take_ids	},
	{"tag-key",	    take_tag_keys},
	{"Name",	 take_names   },
};

static int
take_target(struct search *s, const struct msg_command_target *t)
{
	if (strncasecmp(t->key, "tag:", 4) == 0 && t->key[4] != '\0')
		return take_tag(s, t, t->key + 4);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcasecmp(keys[i].key, t->key) != 0)
			continue;
		if (t->values.n == 0)
			return op_fail(s->op, HW_EVALIDATION, "Targets: %s has no values", t->key);
		return keys[i].take(s, t);
	}
	return op_fail(s->op, HW_EVALIDATION,
		"Targets: \"%.163s\" is no key: InstanceIds, tag:KEY, tag-key or Name", t->key);
}

static bool
has_name(const struct search *s, const char *name)
{
	for (size_t g = 0; g < s->n_globs; g++) {
		bool any = false;
		for (size_t i = 0; i < s->globs[g]->n; i++)
			any |= text_matches(s->globs[g]->v[i], name);
		if (!any)
			return false;
	}
	return true;
}

static int
read_nodes(void *arg, struct db *db, struct hw_err *err)
{
	struct search *s = arg;
	struct node_row row;
	struct query q;

	int r = node_list(&q, db, s->filters, s->n, "", err);
	while (r == 0 && (r = node_next(&q, &row, err)) > 0) {
		r = 0;
		if (has_name(s, row.name))
			r = add(s->targets, s->op, row.id, !op_may_see_node(s->op, row.id));
	}
	query_end(&q);
	return r;
}

static int
find_targets(struct targets *t, struct op *op, const struct msg_send_command_request *req)
{
	struct search s = {.targets = t, .op = op};

	for (size_t i = 0; i < req->targets.n; i++) {
		int r = take_target(&s, &req->targets.v[i]);
		if (r < 0)
			return r;
	}
	return store_read(op->env->store, read_nodes, &s, &op->err);
}

int
targets_find(struct targets *ret, struct op *op, const struct msg_send_command_request *req)
{
	struct targets t = {.v = NULL};
	int r;

	if ((req->instance_ids.n > 0) == (req->targets.n > 0))
		return op_fail(op, HW_EVALIDATION,
			"a command needs InstanceIds or Targets, and not both");
	if (req->instance_ids.n > 0)
		r = find_ids(&t, op, &req->instance_ids);
	else
		r = find_targets(&t, op, req);
	if (r < 0)
		targets_fini(&t);
	else
		*ret = t;
	return r;
}
