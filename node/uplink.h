/* The process that speaks to the relay: unprivileged, started by the monitor. */
#ifndef HAWSER_NODE_UPLINK_H
#define HAWSER_NODE_UPLINK_H

#include "proto/base/log.h"

struct uplink_options {
	const char *dir;
	int monitor_fd;
	enum log_level level;
	const char *slots, *terms; /* for upgrades: paths of the slots, and of node.release */
};

/* Runs until it is told to end. Returns the exit code: UPLINK_EXIT_*, or 1 to be started again. */
int uplink_run(const struct uplink_options *options);

#endif
