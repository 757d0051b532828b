/*
 * Forwards that run on without a terminal: each is a process of ours with a file in the home's
 * folder "forwards", which says what it is. A file proves nothing: before a process is signalled it
 * must be the very one that wrote it.
 */
#ifndef HAWSER_CLIENT_BACKGROUND_H
#define HAWSER_CLIENT_BACKGROUND_H

#include "client/home.h"
#include "proto/base/arena.h"
#include "proto/schema/schema.h"

#define BACKGROUND_NAME_MAX 64

/* Goes on as a process of its own, in a session of its own and with nothing on stdin, stdout and
 * stderr; what called us sees an exit with status 0. Returns in the new process alone, or with an
 * error in the old one. `what` but for its pid and ticks is written; name is the file's. */
int background_enter(char name[BACKGROUND_NAME_MAX], const struct home *h,
	struct msg_background_forward *what, struct hw_err *err);
/* Writes it again, as `what` is by now; best effort. An empty name is none, here and below. */
void background_update(const char *name, const struct home *h,
	const struct msg_background_forward *what);
/* Removes the file. */
void background_leave(const char *name, const struct home *h);

/* Those that run, in no order; files of others are removed on the way. */
int background_list(struct msg_background_forwards *ret, const struct home *h, struct arena *a,
	struct hw_err *err);
/* Ends one, and waits until it has. HW_ENOTFOUND when it is gone. */
int background_kill(const struct msg_background_forward *what, struct hw_err *err);

#endif
