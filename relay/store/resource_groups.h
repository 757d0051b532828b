/*
 * Resource groups: targets under a name, so that many commands can be sent to the same nodes. All
 * functions run inside store_read() or store_write(). What the targets' text means is the caller's
 * matter.
 */
#ifndef HAWSER_STORE_RESOURCE_GROUPS_H
#define HAWSER_STORE_RESOURCE_GROUPS_H

#include "proto/base/arena.h"
#include "relay/store/db.h"

#define RESOURCE_GROUPS_MAX 1000

struct resource_group_row {
	char name[129], description[1025];
	int64_t created, updated;
	const char *targets; /* in the arena */
};

/* HW_EEXISTS; HW_ELIMIT past RESOURCE_GROUPS_MAX. */
int resource_group_insert(struct db *db, const struct resource_group_row *row, struct hw_err *err);
/* Description, `updated` and targets of the row. HW_ENOTFOUND. */
int resource_group_set(struct db *db, const struct resource_group_row *row, struct hw_err *err);
/* HW_ENOTFOUND. */
int resource_group_get(struct db *db, struct arena *arena, const char *name,
	struct resource_group_row *ret, struct hw_err *err);
int resource_group_delete(struct db *db, const char *name, struct hw_err *err);

/* By name, from the first after `after` ("" for all); as node_list(). */
int resource_group_list(struct query *q, struct db *db, const char *after, struct hw_err *err);
int resource_group_next(struct query *q, struct arena *arena, struct resource_group_row *ret,
	struct hw_err *err);

#endif
