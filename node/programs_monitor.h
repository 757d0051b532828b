/* Programs of the monitor: a request for each goes to it, and its holder's socket comes back. */
#ifndef HAWSER_NODE_PROGRAMS_MONITOR_H
#define HAWSER_NODE_PROGRAMS_MONITOR_H

#include "node/programs.h"
#include "proto/base/log.h"

struct loop;

/* Over `fd`, the uplink's end of the monitor's pair; `dir` is the agent's directory, below which
 * the holders listen. Both stay the caller's. on_gone is called once when the monitor has closed
 * its end. */
int programs_monitor_new(struct programs **ret, struct loop *loop, const struct log_ctx *log,
	int dir, int fd, void (*on_gone)(void *arg), void *arg, struct hw_err *err);
/* All its jobs are closed before. */
void programs_monitor_free(struct programs *ps);

#endif
