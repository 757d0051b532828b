/*
 * Whether the user of a live session is there, as the store tells it: noted on the loop, and saved
 * by one worker at a time, many in one transaction. So what is saved last is what was noted last,
 * and a user who comes and goes costs no more than others. Loop thread only.
 */
#ifndef HAWSER_CORE_PRESENCE_H
#define HAWSER_CORE_PRESENCE_H

#include "proto/base/log.h"

struct loop;
struct presence;
struct session;
struct store;
struct workers;

/* NULL without memory. */
struct presence *presence_new(struct loop *loop, struct workers *workers, struct store *store,
	const struct log_ctx *log);
void presence_free(struct presence *p); /* after workers_drain(); NULL is fine */

/* The session's user came or went: it is saved soon, as it is by then. */
void presence_note(struct presence *p, struct session *s);
/* The session is over, or is let go of. */
void presence_forget(struct presence *p, struct session *s);

#endif
