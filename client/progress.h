/*
 * How far a command is, on stderr: one line that changes on a terminal, and now and then a line of
 * its own elsewhere.
 */
#ifndef HAWSER_CLIENT_PROGRESS_H
#define HAWSER_CLIENT_PROGRESS_H

#include "client/fate.h"

struct loop;
struct progress;

/* "[#####-----]  31/40 ok, 1 failed, 8 running  0:42", shortened to fit into so many columns; 0:
 * without the bar, and as long as it is. Pure. */
void progress_append(struct buf *out, const struct fates *all, int64_t elapsed, int cols);

/* "40 nodes, 8 at a time, stops when more than 5 fail". Pure. */
void progress_append_plan(struct buf *out, size_t nodes, size_t at_a_time, size_t failures);

struct progress_config {
	struct loop *loop;
	enum { PROGRESS_SILENT, PROGRESS_LINES, PROGRESS_LIVE } style;
};

#define PROGRESS_LINE_EVERY (10 * USEC_PER_SEC) /* where it is lines */

int progress_new(struct progress **ret, const struct progress_config *config, struct hw_err *err);
void progress_free(struct progress *p); /* takes a live line away; NULL is fine */

/* They have changed: they are the caller's, and looked at whenever it is time. */
void progress_show(struct progress *p, const struct fates *all);
/* A live line goes, for something else to be written, and comes back by itself. */
void progress_hide(struct progress *p);
/* The same, until progress_resume(). */
void progress_pause(struct progress *p);
void progress_resume(struct progress *p);
/* The last word: where it is not silent, the counts stay as a line. */
void progress_end(struct progress *p, const struct fates *all);

#endif
