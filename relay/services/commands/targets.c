#include "relay/services/commands/targets.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/id.h"
#include "relay/core/broker.h"
#include "relay/core/op.h"
#include "relay/core/registry.h"
#include "relay/services/node_search.h"
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
	*to = (struct dispatch_target){.denied = denied, .unfit = !denied && !t->fits};
	memcpy(to->node, id, strlen(id) + 1);
	to->delayed = !denied && t->fits && !broker_node_online(op->env->broker, id, &(int64_t){0});
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
	struct node_search by;
};

static int
add_found(struct targets *t, struct op *op, const char *id)
{
	bool denied = !op_may_see_node(op, id);

	if (denied && node_search_hides(op, id)) {
		t->hidden++;
		return 0;
	}
	return add(t, op, id, denied);
}

static int
read_nodes(void *arg, struct db *db, struct hw_err *err)
{
	struct search *s = arg;
	struct node_search *by = &s->by;
	struct node_row row;
	struct query q;
	int r = node_search_resolve(by, db, err);

	if (r < 0)
		return r;
	r = node_list(&q, db, by->pick.filters, by->pick.n, "", err);
	while (r == 0 && (r = node_next(&q, &row, err)) > 0) {
		r = 0;
		if (node_search_has(by, &row))
			r = add_found(s->targets, by->op, row.id);
	}
	query_end(&q);
	return r;
}

static int
find_targets(struct targets *t, struct op *op, const struct msg_send_command_request *req)
{
	struct search s = {.targets = t};
	int r = node_search_init(&s.by, op, req->targets.v, req->targets.n, false);

	if (r == 0)
		r = store_read(op->env->store, read_nodes, &s, &op->err);
	node_search_fini(&s.by);
	return r;
}

int
targets_find(struct targets *ret, struct op *op, const struct msg_send_command_request *req,
	bool fits)
{
	struct targets t = {.v = NULL, .fits = fits};
	int r;

	if ((req->instance_ids.n > 0) == (req->targets.n > 0))
		return op_fail(op, HW_EVALIDATION,
			"a command needs InstanceIds or Targets, and not both");
	if (req->instance_ids.n > 0 && !fits)
		return op_fail(op, HW_EPLATFORM,
			"all steps of %.128s are for Windows, and %s runs Linux",
			req->document_name, req->instance_ids.v[0]);
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
