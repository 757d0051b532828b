/* What users and groups look like in replies; in the op's arena. */
#ifndef HAWSER_SERVICES_USERS_DESCRIBE_H
#define HAWSER_SERVICES_USERS_DESCRIBE_H

#include "relay/store/groups.h"
#include "relay/store/policies.h"
#include "relay/store/users.h"

struct op;

/* The user without what it is granted: enough to decide who may see it. */
int describe_user_head(struct msg_user *ret, struct op *op, struct db *db,
	const struct user_row *row);
/* The rest: its groups and its own policies. */
int describe_user_grants(struct msg_user *ret, struct op *op, struct db *db);

int describe_user(struct msg_user *ret, struct op *op, struct db *db, const struct user_row *row);

int describe_group(struct msg_group *ret, struct op *op, struct db *db,
	const struct group_row *row);

#endif
