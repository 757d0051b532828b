/* The processes of a session, found through /proc: what a shell or command leaves behind. */
#ifndef HAWSER_HOLDER_SWEEP_H
#define HAWSER_HOLDER_SWEEP_H

#include <sys/types.h>

#include <stdint.h>

/* Sends `signo` (0: none) to each process of session `sid` that lives and was started before
 * `ticks` after boot (UINT64_MAX: any). Returns how many there are, without the dead. */
int sweep_session(pid_t sid, int signo, uint64_t ticks);

/* The parent of a process; -1 when there is none such. */
pid_t sweep_parent(pid_t pid);

/* A child of the process; 0 when it has none. */
pid_t sweep_child(pid_t pid);

/* Now, in the ticks that process starts are counted in. */
uint64_t sweep_now(void);

#endif
