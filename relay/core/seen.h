/* When nodes and users were last here, which outlives this relay's process: noted on the loop, and
 * saved by one worker at a time, many in one transaction. A fleet that dials anew after an outage
 * would keep all workers busy otherwise. */
#ifndef HAWSER_CORE_SEEN_H
#define HAWSER_CORE_SEEN_H

#include <stdint.h>

#include "proto/base/log.h"

struct seen;
struct store;
struct workers;

/* NULL without memory. */
struct seen *seen_new(struct workers *workers, struct store *store, const struct log_ctx *log);
void seen_free(struct seen *s); /* after workers_drain(); NULL is fine */

/* `newest` is the serial that the node has shown for the first time since it renewed, or NULL: the
 * one before is given up then, so that a copy of the old key gets in no more. */
void seen_note(struct seen *s, const char *node_id, const char *newest, int64_t when);
/* A user asked for something. */
void seen_note_user(struct seen *s, const char *name, int64_t when);

#endif
