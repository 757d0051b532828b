/*
 * Access keys: what signs requests by Signature V4. All functions run inside store_read() or
 * store_write(). Keys go with their user.
 */
#ifndef HAWSER_STORE_KEYS_H
#define HAWSER_STORE_KEYS_H

#include "proto/schema/schema.h"
#include "relay/store/db.h"

#define KEYS_OF_A_USER_MAX 10

struct key_row {
	char id[65];
	char user[65];
	char sealed[257]; /* the secret under the relay's master key, base64url */
	int status;	  /* KEY_STATUS_* */
	int64_t created;
	int64_t last_used; /* 0 for never */
};

/* HW_EEXISTS for an id that is there; HW_ENOTFOUND without the user; HW_ELIMIT past
 * KEYS_OF_A_USER_MAX. */
int key_insert(struct db *db, const struct key_row *row, struct hw_err *err);
int key_get(struct db *db, const char *id, struct key_row *ret,
	struct hw_err *err);					   /* HW_ENOTFOUND */
int key_delete(struct db *db, const char *id, struct hw_err *err); /* HW_ENOTFOUND */
int key_set_status(struct db *db, const char *id, int status,
	struct hw_err *err); /* HW_ENOTFOUND */
/* Only forwards; a key that is gone is no error. */
int key_set_used(struct db *db, const char *id, int64_t when, struct hw_err *err);

/* A user's keys, the oldest first; as node_list(). */
int key_list(struct query *q, struct db *db, const char *user, struct hw_err *err);
int key_next(struct query *q, struct key_row *ret, struct hw_err *err);

#endif
