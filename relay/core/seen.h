/* When nodes and users were last here, which outlives this relay's process: noted on the loop, and
 * saved by one worker at a time, many in one transaction. The first is saved at once, and what
 * comes in the quarter of a second after that together: each transaction is synced, and a fleet
 * that dials anew would be one after the other. */
#ifndef HAWSER_CORE_SEEN_H
#define HAWSER_CORE_SEEN_H

#include <stdint.h>

#include "proto/base/log.h"

struct loop;
struct seen;
struct store;
struct workers;

/* NULL without memory. */
struct seen *seen_new(struct loop *loop, struct workers *workers, struct store *store,
	const struct log_ctx *log);
/* The relay stops: nothing is gathered any more. */
void seen_hurry(struct seen *s);
void seen_free(struct seen *s); /* after workers_drain(); NULL is fine */

/* `newest` is the serial that the node has shown for the first time since it renewed, or NULL: the
 * one before is given up then, so that a copy of the old key gets in no more; that waits for
 * nothing. */
void seen_note(struct seen *s, const char *node_id, const char *newest, int64_t when);
/* A user asked for something. */
void seen_note_user(struct seen *s, const char *name, int64_t when);

#endif
