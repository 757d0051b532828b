/* DIR/run: where holders have their sockets. It is root's own, so that nobody can make root write
 * elsewhere; in a rootless node it is the user's. */
#ifndef HAWSER_MONITOR_RUNDIR_H
#define HAWSER_MONITOR_RUNDIR_H

#include <sys/types.h>

/* Opens it, making it first if need be, and removes sockets on which nobody listens any more. `gid`
 * may look names up in it. Returns -1 with errno; EPERM when it belongs to somebody else. */
int rundir_open(const char *dir, gid_t gid);

/* Calls fn for each session whose holder listens, with the process that does. */
void rundir_each(int fd, void (*fn)(void *arg, const char *session_id, pid_t holder), void *arg);

/* Removes a session's socket if nobody listens on it. */
void rundir_remove(int fd, const char *session_id);

#endif
