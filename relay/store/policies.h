/*
 * Policies that people wrote, and to whom policies are attached, built-in ones too: those have no
 * row here, and an attachment is good for any name. All functions run inside store_read() or
 * store_write(). The caller says store_changed(STORE_GRANTS) after what changes something.
 */
#ifndef HAWSER_STORE_POLICIES_H
#define HAWSER_STORE_POLICIES_H

#include "relay/store/db.h"

#define POLICIES_MAX	    1500
#define POLICY_DOCUMENT_MAX 65536 /* bytes */
#define POLICIES_OF_ONE_MAX 100	  /* attached to one user or group */
#define POLICY_USERS_MAX    1000  /* that one policy is attached to; groups have no such bound */

struct policy_row {
	char name[129];
	char description[1001];
	int64_t created, updated;
	const char *document; /* of whoever filled the row in; what is read is in the arena */
};

/* Makes it, or replaces document and `updated` of the one that is there, and its description by one
 * that is not "". HW_ELIMIT for too long a document, and past POLICIES_MAX. */
int policy_put(struct db *db, const struct policy_row *row, struct hw_err *err);
int policy_get(struct db *db, struct arena *arena, const char *name, struct policy_row **ret,
	struct hw_err *err);					       /* HW_ENOTFOUND */
int policy_check(struct db *db, const char *name, struct hw_err *err); /* likewise, without a row */
/* HW_ECONFLICT, with the name of one to whom it is attached; HW_ENOTFOUND. */
int policy_delete(struct db *db, const char *name, struct hw_err *err);

/* Policies by name, from the first after `after` ("" for all); as node_list(). A row's document is
 * put into the arena; with a NULL arena it is not read, and NULL. */
int policy_list(struct query *q, struct db *db, const char *after, struct hw_err *err);
int policy_next(struct query *q, struct arena *arena, struct policy_row *ret, struct hw_err *err);

/* --- attachments ------------------------------------------------------------------------------ */

enum holder_kind { HOLDER_USER, HOLDER_GROUP };

struct attachment_row {
	char policy[129];
	enum holder_kind kind;
	char name[129]; /* of the user or group */
};

/* One that is there already stays. HW_ENOTFOUND names the user or group that there is not;
 * HW_ELIMIT says which bound it would break. */
int attachment_add(struct db *db, const char *policy, enum holder_kind kind, const char *name,
	struct hw_err *err);
/* HW_ENOTFOUND: no such user or group, or not attached to it. */
int attachment_remove(struct db *db, const char *policy, enum holder_kind kind, const char *name,
	struct hw_err *err);

/* Attachments by policy, then those of users before those of groups, then by name. NULL is any
 * policy, -1 any kind, NULL any name. As node_list(). */
int attachment_list(struct query *q, struct db *db, const char *policy, int kind, const char *name,
	struct hw_err *err);
int attachment_next(struct query *q, struct attachment_row *ret, struct hw_err *err);

/* Whether an enabled user has the policy, by itself or by a group: this one, or with NULL anyone.
 */
int attachment_reaches(struct db *db, const char *policy, const char *user, bool *ret,
	struct hw_err *err);

#endif
