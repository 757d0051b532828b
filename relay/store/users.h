/*
 * Users and their invites. All functions run inside store_read() or store_write(). The caller says
 * store_changed(STORE_USER) after user_insert, user_delete, user_set_disabled, and a change of the
 * user's tags.
 */
#ifndef HAWSER_STORE_USERS_H
#define HAWSER_STORE_USERS_H

#include "proto/schema/schema.h"
#include "relay/store/db.h"

struct user_row {
	char name[65];
	int type;      /* USER_TYPE_* */
	bool disabled; /* may do nothing until it is enabled again */
	int64_t created;
	int64_t valid_from; /* whole seconds: a certificate that was issued before it is not this
			       user's */
	int64_t last_login; /* 0 for never */
	int64_t last_used;  /* when it last asked for something; 0 for never */
};

/* Sets row->valid_from: after the last certificate that an earlier user of that name can have; and
 * row->type where there is none, to User. HW_EEXISTS. */
int user_insert(struct db *db, struct user_row *row, struct hw_err *err);
int user_get(struct db *db, const char *name, struct user_row *ret,
	struct hw_err *err); /* HW_ENOTFOUND */
/* Its invite, tags, keys, memberships and attachments go too. HW_ENOTFOUND. */
int user_delete(struct db *db, const char *name, int64_t now, struct hw_err *err);
int user_set_login(struct db *db, const char *name, int64_t when, struct hw_err *err);
int user_set_disabled(struct db *db, const char *name, bool disabled,
	struct hw_err *err); /* HW_ENOTFOUND */
/* Only forwards; a user who is gone is no error. */
int user_set_used(struct db *db, const char *name, int64_t when, struct hw_err *err);

/* Users by name, from the first after `after`; as node_list(). */
int user_list(struct query *q, struct db *db, const char *after, struct hw_err *err);
int user_next(struct query *q, struct user_row *ret, struct hw_err *err);

/* The user's one invite: an older one stops working. HW_ENOTFOUND without the user. */
int invite_put(struct db *db, const char *user, const char *hash, int64_t expires,
	struct hw_err *err);
/* Whether it would be redeemed now; 0, or what invite_redeem() would say. */
int invite_check(struct db *db, const char *hash, int64_t now, struct hw_err *err);
/* Uses it up and says whose it was. HW_EINVITE: unknown, used or late, or its user is
 * disabled. */
int invite_redeem(struct db *db, const char *hash, int64_t now, char user[65], struct hw_err *err);

#endif
