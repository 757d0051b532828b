/* The processes of a session, found through /proc: what a shell or command leaves behind. */
#ifndef HAWSER_HOLDER_SWEEP_H
#define HAWSER_HOLDER_SWEEP_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A session, of whose processes those count that were started before `ticks` after boot
 * (UINT64_MAX: any). */
struct sweep {
	pid_t sid;
	uint64_t ticks;
};

/* Sends `signo` (0: none; after SIGHUP also SIGCONT) to each process of them that lives. Returns
 * how many there are, without the dead. It looks at all processes of the machine, once for all
 * sessions.
 */
int sweep_sessions(const struct sweep *v, size_t n, int signo);
int sweep_session(pid_t sid, int signo, uint64_t ticks);

/* The same for all that a process has started, directly or not, but for one of them. Counted are
 * also those that have ended and are not reaped yet, for what they have started may have come too
 * late to be seen: only when there is nothing at all, nothing is left. */
int sweep_descendants(pid_t root, pid_t except, int signo);
/* Takes the exit status of each child of this process that has ended, but for one. */
void sweep_reap(pid_t except);

/* By a signal. */
bool sweep_is_stopped(pid_t pid);

/* The parent of a process; -1 when there is none such. */
pid_t sweep_parent(pid_t pid);

/* A child of the process; 0 when it has none. */
pid_t sweep_child(pid_t pid);

/* Whether all of a process group sleep until something comes. */
bool sweep_group_sleeps(pid_t group);

/* Now, in the ticks that process starts are counted in. */
uint64_t sweep_now(void);

#endif
