/*
 * What a node writes down of the commands that it is to run, so that none is run twice and no
 * result is lost: in DIR/commands, a log for each, UUID.log, its steps' output beside it (spool.h),
 * and the ids of those that are over.
 *
 * A log begins with the order. Before anything starts, that it starts is on the disk: whatever is
 * killed or loses its power, a step that may have run is known to. Records carry a checksum; a log
 * that was cut while it was written is good up to the cut. What is under way goes on when the disk
 * is full: some room is kept for the records of that alone.
 */
#ifndef HAWSER_NODE_ORDERS_H
#define HAWSER_NODE_ORDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/id.h"
#include "proto/schema/schema.h"

struct arena;
struct hw_err;
struct orders;

/* Bytes of a log, and those of them that only the records of ends may take. */
#define ORDERS_LOG_MAX	 (4 * 1024 * 1024)
#define ORDERS_ENDS_MAX	 (3 * 1024 * 1024 / 2)
#define ORDERS_STEPS_MAX 1000

/* The machine was to be restarted in a step, whose output had come so far. */
struct orders_reboot {
	uint32_t step;
	char boot_id[64];
	uint64_t out[2];
};

struct orders_step {
	const struct msg_invocation_step *said; /* its last record; NULL: none */
};

/* A step that runs another document's steps: it is entered; a step of the one that was entered last
 * and is not over has been begun, is over. */
enum orders_inner_kind { ORDERS_ENTER, ORDERS_BEGIN, ORDERS_OVER };

struct orders_begin {
	uint32_t number, zero;
	int64_t started; /* wall */
	uint64_t out[2]; /* the output of the whole step had come so far */
};

struct orders_over {
	int32_t status, code; /* enum flow_status */
	uint32_t depth, zero; /* of the document that the step is of; 1: the command's runs it */
};

struct orders_inner {
	struct orders_inner *next;
	enum orders_inner_kind kind;
	const struct msg_invocation_order *document; /* content and parameters */
	struct orders_begin begin;
	struct orders_over over;
};

/* What a log says, in an arena. */
struct orders_entry {
	const struct msg_invocation_order *order;
	bool started; /* its first step may have been */
	bool cancelled;
	struct orders_step *steps;
	size_t n_steps; /* one after the last of which there is a record */
	int reboots;
	bool rebooting;				 /* and its step has not begun again since */
	struct orders_reboot reboot;		 /* the last */
	struct orders_inner *inner, *last_inner; /* of the step under way, in order */
	size_t entered;				 /* bytes of all documents that steps ran */
	uint32_t last_number; /* of what was begun within the last step; 0: nothing was */
	const struct msg_update_invocation_request *end; /* or NULL */
};

/* In the node's directory, a descriptor that stays the caller's. */
int orders_open(struct orders **ret, int dir, struct hw_err *err);
void orders_close(struct orders *j);	/* NULL is fine */
int orders_dir(const struct orders *j); /* where spools lie; lent */

/* Writes the order down, so that it lasts; with `start`, also that it is started. HW_EEXISTS when
 * there is one. On failure nothing is left of it. */
int orders_begin(struct orders *j, const struct msg_invocation_order *order, bool start,
	struct hw_err *err);

/* Each is one more record; with `lasting` it, and all before it, outlives a power cut. HW_ELIMIT of
 * what goes into a document or begins within one, when the log is so long that only ends fit. */
int orders_start(struct orders *j, const char *id, struct hw_err *err); /* lasting */
int orders_step(struct orders *j, const char *id, size_t i, const struct msg_invocation_step *said,
	bool lasting, struct hw_err *err);
int orders_cancel(struct orders *j, const char *id, struct hw_err *err);
int orders_reboot(struct orders *j, const char *id, const struct orders_reboot *reboot,
	struct hw_err *err); /* lasting */
int orders_enter(struct orders *j, const char *id, const struct msg_invocation_order *document,
	struct hw_err *err);
int orders_inner_begin(struct orders *j, const char *id, const struct orders_begin *begin,
	struct hw_err *err); /* lasting */
int orders_inner_over(struct orders *j, const char *id, const struct orders_over *over,
	struct hw_err *err);
/* Without steps and output. */
int orders_end(struct orders *j, const char *id, const struct msg_update_invocation_request *end,
	struct hw_err *err);
int orders_sync(struct orders *j, const char *id, struct hw_err *err);

/* Reads a log. HW_ENOTFOUND; HW_ECORRUPT when not even its order can be read. */
int orders_read(struct orders_entry *ret, struct arena *a, struct orders *j, const char *id,
	struct hw_err *err);

/* Calls fn for each log that can be read, cut to what of it is whole, in no order; fn keeps nothing
 * of the entry. One that is too long to be read is made one of a command that has failed. What
 * cannot be read never began: it is removed, as is output without a log. */
void orders_each(struct orders *j,
	void (*fn)(void *arg, const char *id, const struct orders_entry *e), void *arg);

/* Removes the log, after which nobody knows it, and the output of so many steps. */
void orders_remove(struct orders *j, const char *id, size_t n_steps);

/* --- ids that are over ------------------------------------------------------------------------ */

/* Remembers the id until then (wall): it is not to be run again. The one that would be forgotten
 * first goes when there are too many. */
void orders_bury(struct orders *j, const char *id, int64_t until, int64_t now);
bool orders_is_buried(const struct orders *j, const char *id, int64_t now);
/* Forgets those whose time is over, which it also does by itself when it is opened. */
void orders_forget(struct orders *j, int64_t now);

#endif
