#include "relay/core/roster.h"

#include <stdio.h>

#include "relay/core/tagset.h"
#include "relay/store/documents.h"
#include "relay/store/nodes.h"
#include "relay/store/tags.h"

#define TAGS_BYTES (64 * 1024) /* of one node, at the most */

static int
read_tags(struct tagset **ret, struct db *db, enum tag_owner kind, const char *id,
	struct hw_err *err)
{
	struct arena *arena = arena_new(TAGS_BYTES);
	struct msg_tag *tags;
	size_t n;

	if (arena == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for tags");
	int r = tag_list(db, arena, kind, id, &tags, &n, err);
	if (r == 0 && (*ret = tagset_new(tags, n)) == NULL)
		r = hw_err_set(err, HW_ENOMEM, "no memory for tags");
	arena_free(arena);
	return r;
}

static int
put_node(struct registry *r, struct db *db, const struct node_row *row, struct hw_err *err)
{
	struct tagset *tags;
	struct reg_node n;

	int rc = read_tags(&tags, db, TAGS_NODE, row->id, err);
	if (rc < 0)
		return rc;
	snprintf(n.id, sizeof(n.id), "%s", row->id);
	snprintf(n.name, sizeof(n.name), "%s", row->name);
	snprintf(n.serial, sizeof(n.serial), "%s", row->serial);
	snprintf(n.serial_before, sizeof(n.serial_before), "%s", row->serial_before);
	n.lost_since = row->lost_since;
	registry_put_node(r, &n, tags);
	return 0;
}

/* Of those that bear none there is no entry. */
static int
put_document(struct registry *r, struct db *db, const char *name, struct hw_err *err)
{
	struct tagset *tags;
	int rc = read_tags(&tags, db, TAGS_DOCUMENT, name, err);

	if (rc < 0)
		return rc;
	if (tagset_tags(tags)->n > 0) {
		registry_put_document(r, name, tags);
		return 0;
	}
	tagset_unref(tags);
	registry_drop_document(r, name);
	return 0;
}

static int
load_documents(struct registry *reg, struct db *db, struct hw_err *err)
{
	struct document_row document;
	struct query q;

	int r = document_list(&q, db, "", err);
	while (r == 0 && (r = document_next(&q, &document, err)) > 0)
		r = put_document(reg, db, document.name, err);
	query_end(&q);
	return r;
}

static int
load(void *arg, struct db *db, struct hw_err *err)
{
	struct registry *reg = arg;
	struct node_row node;
	struct query q;

	int r = node_list(&q, db, NULL, 0, "", err);
	while (r == 0 && (r = node_next(&q, &node, err)) > 0)
		r = put_node(reg, db, &node, err);
	query_end(&q);
	return r < 0 ? r : load_documents(reg, db, err);
}

int
roster_load(struct registry *r, struct store *s, struct hw_err *err)
{
	return store_read(s, load, r, err);
}

/* What cannot be read is taken out: nobody is let in on an old answer. */
void
roster_refresh(struct registry *r, const char *node, struct db *db)
{
	struct node_row row;

	if (node_get(db, node, &row, NULL) < 0 || put_node(r, db, &row, NULL) < 0)
		registry_drop_node(r, node);
}

/* Nothing is decided by what cannot be read. */
void
roster_refresh_document(struct registry *r, const char *name, struct db *db)
{
	if (put_document(r, db, name, NULL) < 0)
		registry_put_document(r, name, NULL);
}
