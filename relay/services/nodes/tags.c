/* Tags of nodes. */
#include "relay/core/op.h"
#include "relay/services/taglist.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"

struct tagging {
	struct op *op;
	const char *id;
	const struct msg_tag *tags;
	size_t n;
	const struct msg_strs *keys;
	struct msg_list_tags_for_resource_reply *listed;
};

static int
check_type(struct op *op, int type)
{
	if (type == TAG_RESOURCE_MANAGED_INSTANCE)
		return 0;
	return op_fail(op, HW_ERESOURCETYPE, "%s has no tags here, only ManagedInstance",
		enum_text(&enum_TAG_RESOURCE, type));
}

static int
check_node(struct db *db, const char *id, struct hw_err *err)
{
	struct node_row row;
	int r = node_get(db, id, &row, err);

	return r == HW_ENODE ? hw_err_set(err, HW_ERESOURCEID, "no node %s", id) : r;
}

static int
add_tags(void *arg, struct db *db, struct hw_err *err)
{
	const struct tagging *w = arg;
	int r;

	if ((r = check_node(db, w->id, err)) < 0 ||
		(r = taglist_add(w->op, db, TAGS_NODE, w->id, w->tags, w->n, err)) < 0)
		return r;
	store_changed(db, STORE_NODE, w->id);
	return 0;
}

int
op_add_tags_to_resource(struct op *op, const struct msg_add_tags_to_resource_request *req,
	struct msg_empty *rep)
{
	struct tagging w = {
		.op = op, .id = req->resource_id, .tags = req->tags.v, .n = req->tags.n};
	int r;

	(void)rep;
	if ((r = check_type(op, req->resource_type)) < 0 ||
		(r = taglist_check(op, req->tags.v, req->tags.n)) < 0)
		return r;
	return store_write(op->env->store, add_tags, &w, &op->err);
}

static int
remove_tags(void *arg, struct db *db, struct hw_err *err)
{
	const struct tagging *w = arg;
	int r;

	if ((r = check_node(db, w->id, err)) < 0)
		return r;
	for (size_t i = 0; i < w->keys->n; i++) {
		if ((r = tag_unset(db, TAGS_NODE, w->id, w->keys->v[i], err)) < 0)
			return r;
	}
	store_changed(db, STORE_NODE, w->id);
	return 0;
}

int
op_remove_tags_from_resource(struct op *op, const struct msg_remove_tags_from_resource_request *req,
	struct msg_empty *rep)
{
	struct tagging w = {.op = op, .id = req->resource_id, .keys = &req->tag_keys};
	int r;

	(void)rep;
	if ((r = check_type(op, req->resource_type)) < 0)
		return r;
	return store_write(op->env->store, remove_tags, &w, &op->err);
}

static int
list_tags(void *arg, struct db *db, struct hw_err *err)
{
	const struct tagging *w = arg;
	int r;

	if ((r = check_node(db, w->id, err)) < 0)
		return r;
	return tag_list(db, w->op->arena, TAGS_NODE, w->id, &w->listed->tag_list.v,
		&w->listed->tag_list.n, err);
}

int
op_list_tags_for_resource(struct op *op, const struct msg_list_tags_for_resource_request *req,
	struct msg_list_tags_for_resource_reply *rep)
{
	struct tagging w = {.op = op, .id = req->resource_id, .listed = rep};
	int r;

	if ((r = check_type(op, req->resource_type)) < 0)
		return r;
	return store_read(op->env->store, list_tags, &w, &op->err);
}
