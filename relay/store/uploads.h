/*
 * Invocations whose output goes to a bucket once they have ended: what waits, what is done, and
 * what was given up. All functions run inside store_read() or store_write().
 */
#ifndef HAWSER_STORE_UPLOADS_H
#define HAWSER_STORE_UPLOADS_H

#include "proto/base/id.h"
#include "relay/store/db.h"

struct upload_row {
	char command_id[ID_UUID_LEN + 1];
	char node_id[ID_NODE_LEN + 1];
	int status;    /* UPLOAD_STATUS_* */
	int64_t since; /* its invocation ended then */
	int64_t attempts, next;
	char reason[385]; /* of the last attempt that failed */
};

/* It waits from now on. */
int upload_insert(struct db *db, const char *command_id, const char *node_id, int64_t since,
	struct hw_err *err);
/* status, attempts, next and reason of the row. One that is gone is no error. */
int upload_set(struct db *db, const struct upload_row *row, struct hw_err *err);
/* HW_EINVOCATION: it has none. */
int upload_get(struct db *db, const char *command_id, const char *node_id, struct upload_row *ret,
	struct hw_err *err);

/* Those that wait and whose time has come, the longest overdue first; as node_list(). */
int upload_list_due(struct query *q, struct db *db, int64_t now, size_t max, struct hw_err *err);
int upload_next(struct query *q, struct upload_row *ret, struct hw_err *err);

/* How many there are of a status. */
int upload_count(struct db *db, int status, int64_t *ret, struct hw_err *err);

#endif
