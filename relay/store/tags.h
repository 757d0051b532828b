/* Tags: labels of nodes, of users, of documents, and of activations, which hand theirs to the nodes
 * that join with them. */
#ifndef HAWSER_STORE_TAGS_H
#define HAWSER_STORE_TAGS_H

#include "proto/schema/schema.h"
#include "relay/store/db.h"

enum tag_owner { TAGS_NODE, TAGS_ACTIVATION, TAGS_USER, TAGS_DOCUMENT };

#define TAGS_MAX 50 /* of one owner */

/* All of the owner's tags by key, in the arena; none for an owner that does not exist. */
int tag_list(struct db *db, struct arena *arena, enum tag_owner kind, const char *owner,
	struct msg_tag **ret, size_t *n, struct hw_err *err);

/* Lists of many owners, who are asked for in ascending order: one query goes along with them, which
 * is a tenth of what a query for each costs. Within one read; to be ended whatever failed. */
struct tag_walk {
	struct query q;
	struct db *db;
	enum tag_owner kind;
	bool begun, more; /* more: q stands at a tag of `owner` */
	char owner[257];
};
void tag_walk_begin(struct tag_walk *w, struct db *db, enum tag_owner kind);
/* As tag_list(). */
int tag_walk_list(struct tag_walk *w, struct arena *arena, const char *owner, struct msg_tag **ret,
	size_t *n, struct hw_err *err);
void tag_walk_end(struct tag_walk *w);

/* HW_ENOTFOUND when the owner does not exist. A key that is there gets the new value. */
int tag_set(struct db *db, enum tag_owner kind, const char *owner, const char *key,
	const char *value, struct hw_err *err);
/* A key that is not there is no error. */
int tag_unset(struct db *db, enum tag_owner kind, const char *owner, const char *key,
	struct hw_err *err);
int tag_count(struct db *db, enum tag_owner kind, const char *owner, int64_t *ret,
	struct hw_err *err);

#endif
