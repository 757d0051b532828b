/*
 * Groups and who is in them. All functions run inside store_read() or store_write(). The caller
 * says store_changed(STORE_GRANTS) after what changes something.
 */
#ifndef HAWSER_STORE_GROUPS_H
#define HAWSER_STORE_GROUPS_H

#include "relay/store/db.h"

/* What a reply that shows a group, a policy or a user has room for. */
#define GROUPS_MAX	     300  /* in all */
#define GROUP_MEMBERS_MAX    2000 /* of one group */
#define GROUPS_OF_A_USER_MAX 100

struct group_row {
	char name[129];
	int64_t created;
};

struct member_row {
	char group[129];
	char user[65];
};

/* HW_EEXISTS; HW_ELIMIT past GROUPS_MAX. */
int group_insert(struct db *db, const struct group_row *row, struct hw_err *err);
int group_get(struct db *db, const char *name, struct group_row *ret,
	struct hw_err *err); /* HW_ENOTFOUND */
/* Its memberships and attachments go too. HW_ENOTFOUND. */
int group_delete(struct db *db, const char *name, struct hw_err *err);

/* Groups by name, from the first after `after` ("" for all); as node_list(). */
int group_list(struct query *q, struct db *db, const char *after, struct hw_err *err);
int group_next(struct query *q, struct group_row *ret, struct hw_err *err);

/* Who is in it already stays. HW_ENOTFOUND names the user or the group that there is not; HW_ELIMIT
 * says which bound it would break. */
int member_add(struct db *db, const char *group, const char *user, struct hw_err *err);
/* HW_ENOTFOUND: no such group, no such user, or not in it. */
int member_remove(struct db *db, const char *group, const char *user, struct hw_err *err);

/* Memberships by group and user; NULL is any. As node_list(). */
int member_list(struct query *q, struct db *db, const char *group, const char *user,
	struct hw_err *err);
int member_next(struct query *q, struct member_row *ret, struct hw_err *err);

#endif
