/*
 * Invocations: one node's part of a command each. All functions run inside store_read() or
 * store_write().
 *
 * Each write of one gives it the next number of its command's changes: what a reader has seen up to
 * a number stays seen, because the writes of a store are committed one after the other.
 */
#ifndef HAWSER_STORE_INVOCATIONS_H
#define HAWSER_STORE_INVOCATIONS_H

#include "proto/base/id.h"
#include "proto/schema/schema.h"
#include "relay/store/db.h"

/* How far it got towards its node, for a relay that starts again. */
enum invocation_sent { INVOCATION_UNSENT, INVOCATION_SENT, INVOCATION_TAKEN };

struct invocation_row {
	char command_id[ID_UUID_LEN + 1];
	char node_id[ID_NODE_LEN + 1];
	char node_name[257];
	bool live;
	int sent;   /* enum invocation_sent */
	int status; /* INVOCATION_STATUS_* */
	char details[101];
	char reason[1025];
	int64_t response_code;
	int64_t started, ended;
	int64_t stdout_bytes, stderr_bytes;
	int64_t change;
	int64_t upload_at; /* of who ends it: from when on its output goes elsewhere; 0: it does not
			    */
};

/* With `change` as the row has it, and the name that the node has now. */
int invocation_insert(struct db *db, const struct invocation_row *row, struct hw_err *err);

/* Of a live one; one that has ended stays as it is. */
struct invocation_note {
	const char *command_id, *node_id;
	int sent;
	int status;
	const char *details;
	int64_t stdout_bytes, stderr_bytes; /* -1: as they are */
};
int invocation_set(struct db *db, const struct invocation_note *note, struct hw_err *err);
/* What its node says of its steps: a message. */
int invocation_set_steps(struct db *db, const char *command_id, const char *node_id,
	const char *steps, int64_t started, struct hw_err *err);
/* Ends it: status, details, reason, response code, times and bytes of the row; a start of 0 leaves
 * the one that is known. With `upload_at` it is in the queue of uploads then. `steps` NULL: as they
 * are; `output` is what was kept of its output in the row itself, "" for none. *ended (may be NULL)
 * says whether it was live. */
int invocation_finish(struct db *db, const struct invocation_row *row, const char *steps,
	const char *output, bool *ended, struct hw_err *err);

/* HW_EINVOCATION. */
int invocation_get(struct db *db, const char *command_id, const char *node_id,
	struct invocation_row *ret, struct hw_err *err);
/* Texts in the arena; "" where there is none. Each may be NULL when nobody asks. */
int invocation_get_body(struct db *db, struct arena *arena, const char *command_id,
	const char *node_id, const char **steps, const char **output, struct hw_err *err);

/* All of a command, by node; as node_list(). */
int invocation_list(struct query *q, struct db *db, const char *command_id, struct hw_err *err);
/* And by their changes after that one. */
int invocation_list_changes(struct query *q, struct db *db, const char *command_id, int64_t after,
	struct hw_err *err);
int invocation_next(struct query *q, struct invocation_row *ret, struct hw_err *err);
/* Of the row that invocation_next() gave. */
const char *invocation_row_steps(struct query *q, struct arena *arena);

/* NULL, 0 and "" are no filter. */
struct invocation_filter {
	const char *command, *node, *document;
	int64_t after, before; /* the command was requested then, both exclusive */
	int status;
	int stage;		 /* 1: live ones; 2: those that have ended */
	int64_t requested_below; /* paging: the last one of the page before; 0 for the first page */
	const char *command_below, *node_above;
};
/* Of the newest command first, and then by node. */
int invocation_search(struct query *q, struct db *db, const struct invocation_filter *f,
	struct hw_err *err);

#endif
