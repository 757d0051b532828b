#include "relay/services/directory.h"

#include <stdio.h>

#include "relay/core/registry.h"
#include "relay/store/nodes.h"
#include "relay/store/users.h"

static void
put_node(struct registry *registry, const struct node_row *row)
{
	struct reg_node node;

	snprintf(node.id, sizeof(node.id), "%s", row->id);
	snprintf(node.name, sizeof(node.name), "%s", row->name);
	snprintf(node.serial, sizeof(node.serial), "%s", row->serial);
	snprintf(node.serial_before, sizeof(node.serial_before), "%s", row->serial_before);
	registry_put_node(registry, &node);
}

static void
put_user(struct registry *registry, const struct user_row *row)
{
	struct reg_user user = {.admin = row->admin, .valid_from = row->valid_from};

	snprintf(user.name, sizeof(user.name), "%s", row->name);
	registry_put_user(registry, &user);
}

int
node_load_registry(struct db *db, struct registry *registry, struct hw_err *err)
{
	struct node_row row;
	struct query q;

	int r = node_list(&q, db, NULL, 0, "", err);
	while (r == 0 && (r = node_next(&q, &row, err)) > 0) {
		put_node(registry, &row);
		r = 0;
	}
	query_end(&q);
	return r;
}

int
user_load_registry(struct db *db, struct registry *registry, struct hw_err *err)
{
	struct user_row row;
	struct query q;

	int r = user_list(&q, db, "", err);
	while (r == 0 && (r = user_next(&q, &row, err)) > 0) {
		put_user(registry, &row);
		r = 0;
	}
	query_end(&q);
	return r;
}

int
node_refresh(struct db *db, struct registry *registry, const char *id, struct hw_err *err)
{
	struct node_row row;

	int r = node_get(db, id, &row, err);
	if (r == 0)
		put_node(registry, &row);
	else if (r == HW_ENODE)
		registry_drop_node(registry, id);
	return r == HW_ENODE ? 0 : r;
}

int
user_refresh(struct db *db, struct registry *registry, const char *name, struct hw_err *err)
{
	struct user_row row;

	int r = user_get(db, name, &row, err);
	if (r == 0)
		put_user(registry, &row);
	else if (r == HW_ENOTFOUND)
		registry_drop_user(registry, name);
	return r == HW_ENOTFOUND ? 0 : r;
}

int
directory_refresh(struct db *db, struct registry *registry, enum store_kind kind, const char *id,
	struct hw_err *err)
{
	return kind == STORE_NODE ? node_refresh(db, registry, id, err)
				  : user_refresh(db, registry, id, err);
}
