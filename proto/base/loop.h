/*
 * The one event loop of a program: timers, descriptors, signals, work posted from other threads.
 * It runs on libevent with the system's clock, or stands still for a test that owns a fake clock.
 *
 * Everything here is for the loop's thread, except loop_post(). No callback is called from inside a
 * function of this header, unless it says so.
 */
#ifndef HAWSER_BASE_LOOP_H
#define HAWSER_BASE_LOOP_H

#include <stdbool.h>

#include "proto/base/clock.h"
#include "proto/base/err.h"

struct event_base;
struct loop;

/* On libevent. The base also serves libwebsockets (foreign loop). Ignores SIGPIPE in the process;
 * who forks and execs sets its default first, as an ignored signal stays so through exec. */
int loop_new(struct loop **ret, struct hw_err *err);

/* For tests: no signals; time moves only through loop_advance(), and descriptors are looked at only
 * where a turn is run. */
struct loop *loop_new_fake(struct fake_clock *clock);

/* Runs what was deferred or posted and is still waiting, then frees. Descriptors and signals are
 * freed by their owners before; timers still armed never fire. NULL is fine. */
void loop_free(struct loop *l);

/* Returns after the callback that called loop_stop(), and what is deferred by then; at once if it
 * was called before. Can be run again. Not for a fake loop. */
int loop_run(struct loop *l, struct hw_err *err);
void loop_stop(struct loop *l);

const struct hw_clock *loop_clock(const struct loop *l);
struct event_base *loop_base(struct loop *l); /* NULL for a fake loop */

/* --- work ------------------------------------------------------------------------------------ */

/* Calls fn(arg) on the loop's thread, soon and in order. Any thread. Without memory it aborts: what
 * is posted is a promise already given. */
void loop_post(struct loop *l, void (*fn)(void *), void *arg);

/* Calls fn(arg) once at the end of this turn: after the callbacks that are due now, before the loop
 * sleeps. Embedded, free of allocation; deferring twice is once. Frees and flushes belong here. */
struct loop_task {
	void (*fn)(void *);
	void *arg;
	struct loop_task *next;
	bool queued;
};
void loop_defer(struct loop *l, struct loop_task *task);
void loop_undefer(struct loop *l, struct loop_task *task);

/* --- timers ---------------------------------------------------------------------------------- */

struct loop_timer {
	void (*fn)(void *);
	void *arg;
	int64_t due;	/* monotonic */
	uint64_t order; /* among those due at the same time: first started, first called */
	size_t slot;	/* in the heap, from 1; 0 when not armed */
};

/* Arms, or re-arms, for `usec` from now (0 is soon, never at once). One shot; its own callback may
 * free it or start it again. Aborts without memory. Real timers are good to some milliseconds. */
void loop_timer_start(struct loop *l, struct loop_timer *t, int64_t usec);
void loop_timer_stop(struct loop *l, struct loop_timer *t);

/* --- descriptors, and signals (those not on a fake loop) -------------------------------------- */

enum { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_fd;

/* Watches fd, level-triggered, for what loop_fd_want() says; nothing at first, 0 is a pause. The
 * descriptor stays the caller's and outlives the watch. What the kernel cannot watch (a regular
 * file, /dev/null) is always ready. Fails only without memory. */
int loop_fd_new(struct loop_fd **ret, struct loop *l, int fd, void (*fn)(void *arg, int what),
	void *arg);
void loop_fd_want(struct loop_fd *f, int what);
void loop_fd_free(struct loop_fd *f); /* NULL is fine; safe from its own callback */

struct loop_signal;
int loop_signal_new(struct loop_signal **ret, struct loop *l, int signo, void (*fn)(void *arg),
	void *arg);
void loop_signal_free(struct loop_signal *s); /* as loop_fd_free */

/* --- for tests and metrics -------------------------------------------------------------------- */

/* Runs what is posted and deferred, and on a fake loop what is due, until nothing is: for tests,
 * and for an owner that closes down and waits for what other threads posted at last. */
void loop_settle(struct loop *l);
/* Fake loops: settles, then moves the clock to each next timer within `usec`, settling again. */
void loop_advance(struct loop *l, int64_t usec);

/* The longest turn since the last call, in microseconds: from its first callback of ours (or
 * loop_enter()) to the end of its deferred work. How long a descriptor may have waited. What
 * libevent or libwebsockets did before that callback is not in it. */
int64_t loop_lag(struct loop *l);

/* For callbacks that the loop does not make itself (libwebsockets'): marks that a turn is under
 * way, so that its time counts. */
void loop_enter(struct loop *l);

/* --- who goes first --------------------------------------------------------------------------- */

/* From a callback for fd, of the loop or not: whether fd goes before all others from now on, with a
 * turn of its own. While many are ready it is looked for every few milliseconds, and what other
 * threads posted along with it. It is a favour, not a right: after some 20 ms in which nobody else
 * had a turn it waits as the others do, until it asks again. So it asks in each callback. */
void loop_urge(struct loop *l, int fd, bool urgent);

#endif
