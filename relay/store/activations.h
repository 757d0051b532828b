/* Activations: join tokens. All functions run inside store_read() or store_write(). */
#ifndef HAWSER_STORE_ACTIVATIONS_H
#define HAWSER_STORE_ACTIVATIONS_H

#include "proto/base/id.h"
#include "relay/store/db.h"

struct activation_row {
	char id[ID_UUID_LEN + 1];
	char description[257];
	char default_name[257];
	char iam_role[65];
	int64_t limit, used; /* nodes that may join with it, and have */
	int64_t created, expires;
	char created_by[257]; /* ARN */
};

int activation_insert(struct db *db, const struct activation_row *row, const char *code_hash,
	struct hw_err *err);
int activation_get(struct db *db, const char *id, struct activation_row *ret,
	struct hw_err *err); /* HW_EACTIVATIONID */
/* HW_EACTIVATIONID. Nodes that joined with it stay. */
int activation_delete(struct db *db, const char *id, struct hw_err *err);

/* Whether it would be redeemed now; 0, or what activation_redeem() would say. */
int activation_check(struct db *db, const char *id, const char *code_hash, int64_t now,
	struct hw_err *err);
/* Counts one use and gives the row. HW_EACTIVATION, with one sentence for an unknown id and a wrong
 * code, others for an expired and a used up one, which only who has the code gets to read. */
int activation_redeem(struct db *db, const char *id, const char *code_hash, int64_t now,
	struct activation_row *ret, struct hw_err *err);

/* The newest first, from the one before (created_below, id_below); 0 and "" for all. As
 * node_list(). */
int activation_list(struct query *q, struct db *db, int64_t created_below, const char *id_below,
	struct hw_err *err);
int activation_next(struct query *q, struct activation_row *ret, struct hw_err *err);

#endif
