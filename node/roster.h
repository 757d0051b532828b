/*
 * What an agent writes down of each program that it started, so that the next one can take it over:
 * a small file a session, in a directory that only the agent's own user and root write. What a
 * holder says of itself is its user's word.
 */
#ifndef HAWSER_NODE_ROSTER_H
#define HAWSER_NODE_ROSTER_H

#include "proto/base/err.h"

struct roster;

struct roster_line {
	int type; /* CHANNEL_TYPE_* */
	char run_as[65];
};

/* In the agent's directory, a descriptor that stays the caller's. */
int roster_open(struct roster **ret, int dir, struct hw_err *err);
void roster_close(struct roster *r); /* the files stay; NULL is fine */

/* Not made to last: a machine that was off has no programs to take over. */
int roster_add(struct roster *r, const char *session_id, const struct roster_line *line,
	struct hw_err *err);
void roster_remove(struct roster *r, const char *session_id);

/* Calls fn for each, in no order; it may remove the one that it is called for. What is not a line
 * of ours is removed. */
void roster_each(struct roster *r,
	void (*fn)(void *arg, const char *session_id, const struct roster_line *line), void *arg);

#endif
