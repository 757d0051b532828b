/*
 * How long a session may be idle, and how old it may become. A shell through which nothing went for
 * that long is detached, a forward closed, and a command let be; at its age any of them ends. The
 * people there are told before.
 *
 * Loop thread only; the session's own.
 */
#ifndef HAWSER_CORE_SESSION_IDLE_H
#define HAWSER_CORE_SESSION_IDLE_H

#include <stdbool.h>
#include <stdint.h>

struct session;

struct session_idle {
	int64_t begun;	/* monotonic, or what that would have been before a restart; 0: not known */
	int64_t active; /* when bytes went through it last, as the sweep has seen */
	uint64_t counted; /* bytes by then, of both directions */
	bool warned, warned_of_age;
};

/* Somebody comes to it, which is as good as a byte. */
void session_idle_touch(struct session *s);

/* About once a second. True when the session is over. */
bool session_idle_sweep(struct session *s, int64_t now);

#endif
