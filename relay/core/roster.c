#include "relay/core/roster.h"

#include <stdio.h>

#include "relay/core/tagset.h"
#include "relay/store/nodes.h"
#include "relay/store/tags.h"

#define TAGS_BYTES (64 * 1024) /* of one node, at the most */

static int
read_tags(struct tagset **ret, struct db *db, const char *id, struct hw_err *err)
{
	struct arena *arena = arena_new(TAGS_BYTES);
	struct msg_tag *tags;
	size_t n;

	if (arena == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for tags");
	int r = tag_list(db, arena, TAGS_NODE, id, &tags, &n, err);
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

	int rc = read_tags(&tags, db, row->id, err);
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
	return r;
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
