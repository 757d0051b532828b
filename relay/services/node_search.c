#include "relay/services/node_search.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/base/id.h"
#include "proto/wire/codec.h"
#include "relay/core/op.h"
#include "relay/core/registry.h"
#include "relay/services/text.h"
#include "relay/store/resource_groups.h"

/* Ids, sorted. */
struct node_set {
	size_t n, room;
	char (*ids)[ID_NODE_LEN + 1];
};

/* --- what is asked -----------------------------------------------------------------------------
 */

struct taking {
	struct node_search *s;
	struct op *op;
	bool saved;
};

static void
filter(struct taking *w, enum node_field field, const char *key, const struct msg_strs *values)
{
	struct node_pick *p = &w->s->pick;

	hw_assert(p->n < sizeof(p->filters) / sizeof(p->filters[0]));
	p->filters[p->n++] = (struct node_filter){
		.field = field,
		.key = key,
		.values = (const char *const *)values->v,
		.n = values->n,
	};
}

bool
node_search_hides(struct op *op, const char *id)
{
	return !op_may_on_node(op, op->row->action, id) &&
		!op_may_on_node(op, "ssm:DescribeInstanceInformation", id) &&
		!op_may_on_node(op, "ssm:ListCommandInvocations", id);
}

/* A group outlives its nodes. One that is hidden is answered as one that there is not. */
static int
check_id(const struct taking *w, const char *id)
{
	struct reg_node node;

	if (id_is_node(id) &&
		(w->saved ||
			(registry_node(w->op->env->registry, id, &node) &&
				!node_search_hides(w->op, id))))
		return 0;
	return op_fail(w->op, HW_ENODE, "no node has the id %.64s", id);
}

static int
take_ids(struct taking *w, const struct msg_command_target *t)
{
	int r;

	for (size_t i = 0; i < t->values.n; i++)
		if ((r = check_id(w, t->values.v[i])) < 0)
			return r;
	filter(w, NODE_ID, NULL, &t->values);
	return 0;
}

static int
take_tag_keys(struct taking *w, const struct msg_command_target *t)
{
	filter(w, NODE_TAG_KEY, NULL, &t->values);
	return 0;
}

/* Patterns are compared here, as in the list of nodes. */
static int
take_names(struct taking *w, const struct msg_command_target *t)
{
	struct node_pick *p = &w->s->pick;

	hw_assert(p->n_globs < sizeof(p->globs) / sizeof(p->globs[0]));
	p->globs[p->n_globs++] = &t->values;
	return 0;
}

static int
take_groups(struct taking *w, const struct msg_command_target *t)
{
	if (w->saved)
		return op_fail(w->op, HW_EVALIDATION,
			"Targets: a resource group holds no other groups: say what is in them");
	if (t->values.n > SEARCH_GROUPS)
		return op_fail(w->op, HW_EVALIDATION, "Targets: %s has at most %d names", t->key,
			SEARCH_GROUPS);
	w->s->groups[w->s->n_groups++] = &t->values;
	return 0;
}

/* All nodes are of one type, which must be among them. It narrows groups, and finds nobody itself.
 */
static int
take_types(struct taking *w, const struct msg_command_target *t)
{
	static const char *const ours[] = {"AWS::SSM::ManagedInstance", "AWS::AllSupported"};

	if (w->saved)
		return op_fail(w->op, HW_EVALIDATION,
			"Targets: a resource group holds nodes of one type alone: leave %s out",
			t->key);
	for (size_t i = 0; i < t->values.n; i++)
		for (size_t k = 0; k < sizeof(ours) / sizeof(ours[0]); k++)
			if (strcmp(t->values.v[i], ours[k]) == 0)
				return 0;
	return op_fail(w->op, HW_EVALIDATION,
		"Targets: all nodes here are of the type AWS::SSM::ManagedInstance, which is not among "
		"those of %s",
		t->key);
}

/* A tag without values is there with any. */
static int
take_tag(struct taking *w, const struct msg_command_target *t, const char *key)
{
	const char **name = arena_alloc(w->op->arena, sizeof(*name));
	struct msg_strs one = {name, 1};

	if (name == NULL)
		return op_fail(w->op, HW_ENOMEM, "no memory for the targets");
	*name = key;
	if (t->values.n > 0)
		filter(w, NODE_TAG, key, &t->values);
	else
		filter(w, NODE_TAG_KEY, NULL, &one);
	return 0;
}

static const struct {
	const char *key;
	int (*take)(struct taking *w, const struct msg_command_target *t);
} keys[] = {
	{"InstanceIds",			 take_ids	},
	{"tag-key",			     take_tag_keys},
	{"Name",				take_names   },
	{"resource-groups:Name",		 take_groups  },
	{"resource-groups:ResourceTypeFilters", take_types	  },
};

static int
take_target(struct taking *w, const struct msg_command_target *t)
{
	if (strncasecmp(t->key, "tag:", 4) == 0 && t->key[4] != '\0')
		return take_tag(w, t, t->key + 4);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcasecmp(keys[i].key, t->key) != 0)
			continue;
		if (t->values.n == 0)
			return op_fail(w->op, HW_EVALIDATION, "Targets: %s has no values", t->key);
		return keys[i].take(w, t);
	}
	return op_fail(w->op, HW_EVALIDATION,
		"Targets: \"%.163s\" is no key: InstanceIds, tag:KEY, tag-key, resource-groups:Name or "
		"Name",
		t->key);
}

static int
take_all(struct taking *w, const struct msg_command_target *targets, size_t n)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = take_target(w, &targets[i]);
	return r;
}

int
node_search_init(struct node_search *ret, struct op *op, const struct msg_command_target *targets,
	size_t n, bool saved)
{
	struct taking w = {.s = ret, .op = op, .saved = saved};
	int r;

	*ret = (struct node_search){.op = op};
	hw_assert(n <= SEARCH_TARGETS);
	if ((r = take_all(&w, targets, n)) < 0)
		return r;
	/* What asks for nothing is fit by all nodes. */
	if (n > 0 && ret->pick.n + ret->pick.n_globs + ret->n_groups == 0)
		return op_fail(op, HW_EVALIDATION,
			"Targets: resource-groups:ResourceTypeFilters needs a resource-groups:Name");
	return 0;
}

int
node_search_groups(struct node_search *ret, struct op *op, const struct msg_strs *names)
{
	*ret = (struct node_search){.op = op};
	if (names->n == 0 || names->n > SEARCH_GROUPS)
		return op_fail(op, HW_EFILTERVALUE, "resource-groups:Name: 1 to %d names",
			SEARCH_GROUPS);
	ret->groups[ret->n_groups++] = names;
	return 0;
}

void
node_search_fini(struct node_search *s)
{
	for (size_t i = 0; i < s->n_sets; i++) {
		if (s->sets[i] != NULL)
			free(s->sets[i]->ids);
		free(s->sets[i]);
	}
	s->n_sets = 0;
}

/* --- groups ------------------------------------------------------------------------------------
 */

static int
load_group(const struct msg_resource_group **ret, struct op *op, struct db *db, const char *name,
	struct hw_err *err)
{
	struct resource_group_row row;
	void *msg;
	int r = resource_group_get(db, op->arena, name, &row, err);

	if (r < 0)
		return r;
	if (msg_from_json(&msg, op->arena, MSG_ROW(resource_group), row.targets,
		    strlen(row.targets), err) < 0)
		return hw_err_set(err, HW_ECORRUPT, "the resource group %s cannot be read", name);
	*ret = msg;
	/* One without targets would be all nodes. */
	if ((*ret)->targets.n == 0 || (*ret)->targets.n > SEARCH_TARGETS)
		return hw_err_set(err, HW_ECORRUPT, "the resource group %s has no targets", name);
	return 0;
}

static int
compare_ids(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int
set_add(struct node_set *set, const char *id)
{
	if (set->n == set->room) {
		size_t room = set->room > 0 ? 2 * set->room : 64;
		void *ids = realloc(set->ids, room * sizeof(*set->ids));
		if (ids == NULL)
			return HW_ENOMEM;
		set->ids = ids;
		set->room = room;
	}
	memcpy(set->ids[set->n++], id, strlen(id) + 1);
	return 0;
}

static bool
fits_names(const struct node_pick *p, const char *name)
{
	for (size_t g = 0; g < p->n_globs; g++) {
		bool any = false;
		for (size_t i = 0; i < p->globs[g]->n; i++)
			any |= text_matches(p->globs[g]->v[i], name);
		if (!any)
			return false;
	}
	return true;
}

static int
collect(struct node_set *set, const struct node_pick *p, struct db *db, struct hw_err *err)
{
	struct node_row row;
	struct query q;
	int r = node_list(&q, db, p->filters, p->n, "", err);

	while (r == 0 && (r = node_next(&q, &row, err)) > 0)
		r = fits_names(p, row.name) ? set_add(set, row.id) : 0;
	query_end(&q);
	return r == HW_ENOMEM ? hw_err_set(err, r, "no memory for the nodes of a group") : r;
}

/* What the one group says is asked beside the rest. */
static int
resolve_one(struct node_search *s, struct db *db, const char *name, struct hw_err *err)
{
	const struct msg_resource_group *group;
	struct taking w = {.s = s, .op = s->op, .saved = true};
	int r = load_group(&group, s->op, db, name, err);

	return r < 0 ? r : take_all(&w, group->targets.v, group->targets.n);
}

static int
collect_group(struct node_set *set, struct node_search *s, struct db *db, const char *name,
	struct hw_err *err)
{
	struct node_search one = {.op = s->op};
	int r = resolve_one(&one, db, name, err);

	return r < 0 ? r : collect(set, &one.pick, db, err);
}

static int
resolve_any(struct node_search *s, struct db *db, const struct msg_strs *names, struct hw_err *err)
{
	struct node_set *set = calloc(1, sizeof(*set));
	int r = 0;

	if (set == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the nodes of a group");
	s->sets[s->n_sets++] = set;
	for (size_t i = 0; r == 0 && i < names->n; i++)
		r = collect_group(set, s, db, names->v[i], err);
	if (r == 0 && set->n > 0)
		qsort(set->ids, set->n, sizeof(set->ids[0]), compare_ids);
	return r;
}

int
node_search_resolve(struct node_search *s, struct db *db, struct hw_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->n_groups; i++)
		r = s->groups[i]->n == 1 ? resolve_one(s, db, s->groups[i]->v[0], err)
					 : resolve_any(s, db, s->groups[i], err);
	return r;
}

bool
node_search_has(const struct node_search *s, const struct node_row *row)
{
	if (!fits_names(&s->pick, row->name))
		return false;
	for (size_t i = 0; i < s->n_sets; i++) {
		const struct node_set *set = s->sets[i];
		if (set->n == 0 ||
			bsearch(row->id, set->ids, set->n, sizeof(set->ids[0]), compare_ids) ==
				NULL)
			return false;
	}
	return true;
}
