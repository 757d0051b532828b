/* Tags of nodes and documents. */
#include "relay/core/document_load.h"
#include "relay/core/op.h"
#include "relay/documents/built_in.h"
#include "relay/services/taglist.h"
#include "relay/store/documents.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"

/* --- what can bear tags ----------------------------------------------------------------------- */

static int
check_node(struct db *db, const char *id, struct hw_err *err)
{
	struct node_row row;
	int r = node_get(db, id, &row, err);

	return r == HW_ENODE ? hw_err_set(err, HW_ERESOURCEID, "no node %s", id) : r;
}

static int
check_document(struct db *db, const char *name, struct hw_err *err)
{
	struct document_row row;

	if (built_in_find(name) != NULL)
		return hw_err_set(err, HW_ERESOURCEID, "%s is built in, and bears no tags", name);
	int r = document_get(db, name, &row, err);
	return r == HW_EDOCUMENT ? hw_err_set(err, HW_ERESOURCEID, "no document %s", name) : r;
}

static void
node_changed(struct db *db, const char *id)
{
	store_changed(db, STORE_NODE, id);
}

static void
document_changed(struct db *db, const char *name)
{
	store_changed(db, STORE_DOCUMENT, name);
}

struct bearer {
	int type;
	enum tag_owner owner;
	int (*check)(struct db *db, const char *id, struct hw_err *err);
	void (*changed)(struct db *db, const char *id);
};

static const struct bearer bearers[] = {
	{TAG_RESOURCE_MANAGED_INSTANCE, TAGS_NODE,	   check_node,     node_changed	   },
	{TAG_RESOURCE_DOCUMENT,		TAGS_DOCUMENT, check_document, document_changed},
};

struct tagging {
	struct op *op;
	const struct bearer *of;
	const char *id;
	const struct msg_tag *tags;
	size_t n;
	const struct msg_strs *keys;
	struct msg_list_tags_for_resource_reply *listed;
};

static int
find_bearer(struct tagging *w, int type, const char *id)
{
	w->id = type == TAG_RESOURCE_DOCUMENT ? document_name(w->op, id) : id;
	for (size_t i = 0; i < sizeof(bearers) / sizeof(bearers[0]); i++) {
		if (bearers[i].type == type) {
			w->of = &bearers[i];
			return 0;
		}
	}
	return op_fail(w->op, HW_ERESOURCETYPE,
		"%s has no tags here, only ManagedInstance and Document",
		enum_text(&enum_TAG_RESOURCE, type));
}

/* --- operations ------------------------------------------------------------------------------- */

static int
add_tags(void *arg, struct db *db, struct hw_err *err)
{
	const struct tagging *w = arg;
	int r;

	if ((r = w->of->check(db, w->id, err)) < 0 ||
		(r = taglist_add(w->op, db, w->of->owner, w->id, w->tags, w->n, err)) < 0)
		return r;
	w->of->changed(db, w->id);
	return 0;
}

int
op_add_tags_to_resource(struct op *op, const struct msg_add_tags_to_resource_request *req,
	struct msg_empty *rep)
{
	struct tagging w = {.op = op, .tags = req->tags.v, .n = req->tags.n};
	int r;

	(void)rep;
	if ((r = find_bearer(&w, req->resource_type, req->resource_id)) < 0 ||
		(r = taglist_check(op, req->tags.v, req->tags.n)) < 0)
		return r;
	return store_write(op->env->store, add_tags, &w, &op->err);
}

static int
remove_tags(void *arg, struct db *db, struct hw_err *err)
{
	const struct tagging *w = arg;
	int r;

	if ((r = w->of->check(db, w->id, err)) < 0)
		return r;
	for (size_t i = 0; i < w->keys->n; i++) {
		if ((r = tag_unset(db, w->of->owner, w->id, w->keys->v[i], err)) < 0)
			return r;
	}
	w->of->changed(db, w->id);
	return 0;
}

int
op_remove_tags_from_resource(struct op *op, const struct msg_remove_tags_from_resource_request *req,
	struct msg_empty *rep)
{
	struct tagging w = {.op = op, .keys = &req->tag_keys};
	int r;

	(void)rep;
	if ((r = find_bearer(&w, req->resource_type, req->resource_id)) < 0)
		return r;
	return store_write(op->env->store, remove_tags, &w, &op->err);
}

static int
list_tags(void *arg, struct db *db, struct hw_err *err)
{
	const struct tagging *w = arg;
	int r;

	if ((r = w->of->check(db, w->id, err)) < 0)
		return r;
	return tag_list(db, w->op->arena, w->of->owner, w->id, &w->listed->tag_list.v,
		&w->listed->tag_list.n, err);
}

int
op_list_tags_for_resource(struct op *op, const struct msg_list_tags_for_resource_request *req,
	struct msg_list_tags_for_resource_reply *rep)
{
	struct tagging w = {.op = op, .listed = rep};
	int r;

	if ((r = find_bearer(&w, req->resource_type, req->resource_id)) < 0)
		return r;
	return store_read(op->env->store, list_tags, &w, &op->err);
}
