/*
 * Commands: what was sent, to how many nodes, and how it stands. All functions run inside
 * store_read() or store_write().
 *
 * A command is live until all of its invocations (invocations.h) have ended. The counts of a live
 * one are those of its invocations; they are in its row once it has ended.
 */
#ifndef HAWSER_STORE_COMMANDS_H
#define HAWSER_STORE_COMMANDS_H

#include "proto/base/id.h"
#include "proto/schema/schema.h"
#include "relay/store/db.h"

struct command_row {
	char id[ID_UUID_LEN + 1];
	char principal[129], owner_arn[257]; /* the user's name, and its ARN */
	char document[129];
	char version[21], version_asked[21]; /* what was asked for resolved to */
	char comment[101];
	char max_concurrency[8], max_errors[8];
	uint32_t concurrency, error_limit, targets;
	int64_t requested, deliver_before, expires;
	int64_t timeout_seconds;
	int64_t output_max; /* bytes that are kept of each invocation's output */
	bool live;
	bool cancelled; /* all of it, by a person */
	int status;	/* INVOCATION_STATUS_* */
	char details[101];
	uint32_t completed, errors, not_delivered;
	int64_t ended, output_bytes;
	bool output_gone;				   /* what it wrote is not kept any more */
	char s3_bucket[64], s3_prefix[501], s3_region[21]; /* where it goes too; "" is nowhere */
	char source[64]; /* the address that it was sent from; "": there was none */
	bool by_key;	 /* an access key signed it */
};

/* What only some need of it; in the arena. */
struct command_body {
	const char *content;	/* of the document */
	const char *parameters; /* sealed */
	const char *given;	/* the targets as they were named: a message */
};

int command_insert(struct db *db, const struct command_row *row, const struct command_body *body,
	struct hw_err *err);
/* HW_ECOMMAND. */
int command_get(struct db *db, const char *id, struct command_row *ret, struct hw_err *err);
int command_get_body(struct db *db, struct arena *arena, const char *id, struct command_body *ret,
	struct hw_err *err);

/* Of a live one; one that has ended stays as it is. */
int command_set_status(struct db *db, const char *id, int status, const char *details,
	struct hw_err *err);
int command_set_cancelled(struct db *db, const char *id, struct hw_err *err);
/* status, details, completed, errors, not_delivered and ended of the row; its output's size is that
 * of its invocations. */
int command_finish(struct db *db, const struct command_row *row, struct hw_err *err);

/* NULL, 0 and "" are no filter. */
struct command_filter {
	const char *id, *node;
	int64_t after, before; /* requested then, both exclusive */
	int status;
	int stage; /* 1: live ones; 2: those that have ended */
	const char *document;
	int64_t requested_below; /* paging: the last one of the page before; 0 for the first page */
	const char *id_below;
};

/* Commands that pass, the newest first; as node_list(). */
int command_list(struct query *q, struct db *db, const struct command_filter *f,
	struct hw_err *err);
int command_next(struct query *q, struct command_row *ret, struct hw_err *err);

/* Those that are live. */
int command_list_live(struct query *q, struct db *db, struct hw_err *err);
int command_count_live(struct db *db, int64_t *ret, struct hw_err *err);

/* --- what is kept, and how long ----------------------------------------------------------------
 */

/* The oldest that have ended, before `before`, whose output is kept; at most `max`. Ids in the
 * arena. */
int command_list_old(struct db *db, struct arena *arena, int64_t before, size_t max,
	struct msg_strs *ids, struct hw_err *err);
/* Bytes of the output that is kept of all that have ended, and the oldest of these that ended
 * before a time. */
int command_output_total(struct db *db, int64_t *ret, struct hw_err *err);
int command_oldest_output(struct db *db, int64_t before, struct command_row *ret,
	struct hw_err *err); /* HW_ECOMMAND: there is none */
/* Nobody is shown its output any more. */
int command_set_output_gone(struct db *db, const char *id, struct hw_err *err);
/* What of it is in the store goes, and the command with all its invocations: each of `most` of
 * these at once, so that no write is long. Again while *more. */
int command_forget_output(struct db *db, const char *id, size_t most, bool *more,
	struct hw_err *err);
int command_delete(struct db *db, const char *id, size_t most, bool *more, struct hw_err *err);

#endif
