#include "relay/core/roster.h"

#include <stdio.h>

#include "relay/store/nodes.h"
#include "relay/store/users.h"

static void
put_node(struct registry *r, const struct node_row *row)
{
	struct reg_node n;

	snprintf(n.id, sizeof(n.id), "%s", row->id);
	snprintf(n.name, sizeof(n.name), "%s", row->name);
	snprintf(n.serial, sizeof(n.serial), "%s", row->serial);
	snprintf(n.serial_before, sizeof(n.serial_before), "%s", row->serial_before);
	registry_put_node(r, &n);
}

static void
put_user(struct registry *r, const struct user_row *row)
{
	struct reg_user u = {.admin = row->admin, .valid_from = row->valid_from};

	snprintf(u.name, sizeof(u.name), "%s", row->name);
	registry_put_user(r, &u);
}

static int
load(void *arg, struct db *db, struct hw_err *err)
{
	struct registry *reg = arg;
	struct node_row node;
	struct user_row user;
	struct query q;

	int r = node_list(&q, db, NULL, 0, "", err);
	while (r == 0 && (r = node_next(&q, &node, err)) > 0) {
		put_node(reg, &node);
		r = 0;
	}
	query_end(&q);
	if (r < 0)
		return r;
	r = user_list(&q, db, "", err);
	while (r == 0 && (r = user_next(&q, &user, err)) > 0) {
		put_user(reg, &user);
		r = 0;
	}
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
roster_refresh(struct registry *r, enum store_kind kind, const char *id, struct db *db)
{
	struct node_row node;
	struct user_row user;

	if (kind == STORE_NODE && node_get(db, id, &node, NULL) == 0)
		put_node(r, &node);
	else if (kind == STORE_NODE)
		registry_drop_node(r, id);
	else if (user_get(db, id, &user, NULL) == 0)
		put_user(r, &user);
	else
		registry_drop_user(r, id);
}
