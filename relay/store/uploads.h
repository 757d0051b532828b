/*
 * The queue of what goes to a bucket: the output of invocations that have ended, and recordings
 * that are complete (relay/store/recording_uploads.h has more about these): what waits, what is
 * done, and what was given up. All functions run inside store_read() or store_write().
 */
#ifndef HAWSER_STORE_UPLOADS_H
#define HAWSER_STORE_UPLOADS_H

#include "proto/base/id.h"
#include "relay/store/db.h"

enum upload_kind { UPLOAD_OUTPUT, UPLOAD_RECORDING, UPLOAD_KINDS };

struct upload_row {
	enum upload_kind kind;
	char command_id[ID_UUID_LEN + 1]; /* of an output */
	char node_id[ID_NODE_LEN + 1];
	char session_id[97]; /* of a recording */
	bool fetch;	     /* a recording that waits to come back from its bucket */
	int status;	     /* UPLOAD_STATUS_* */
	int64_t since;	     /* its invocation ended then */
	int64_t attempts, next;
	char reason[385]; /* of the last attempt that failed */
	/* An upload in parts that is under way, or was when the relay was killed: its object, as
	 * BUCKET/KEY, and its id; "": none is. */
	char parts_of[1100], parts_id[1024];
};

/* It waits from now on. */
int upload_insert(struct db *db, const char *command_id, const char *node_id, int64_t since,
	struct hw_err *err);
/* All but `since` of the row, which its kind and ids name. One that is gone is no error. */
int upload_set(struct db *db, const struct upload_row *row, struct hw_err *err);
/* Of an output. HW_EINVOCATION: it has none. */
int upload_get(struct db *db, const char *command_id, const char *node_id, struct upload_row *ret,
	struct hw_err *err);

/* Those that wait and whose time has come, the longest overdue first, at most so many of each kind;
 * as node_list(). After them those that wait for a time beyond `latest`, up to which they are put
 * off: the clock was ahead when they were. */
int upload_list_due(struct query *q, struct db *db, int64_t now, int64_t latest, size_t max,
	struct hw_err *err);
int upload_next(struct query *q, struct upload_row *ret, struct hw_err *err);

/* How many outputs there are of a status. */
int upload_count(struct db *db, int status, int64_t *ret, struct hw_err *err);

#endif
