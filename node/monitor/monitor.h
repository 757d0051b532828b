/*
 * The parent of everything that the agent runs: it starts the uplink as an unprivileged user and
 * again when it dies, and starts a holder for each shell or command that the uplink asks for. It is
 * root's half of the agent, so it speaks to no network and reads nothing but fixed-layout requests.
 */
#ifndef HAWSER_MONITOR_MONITOR_H
#define HAWSER_MONITOR_MONITOR_H

#include <stdbool.h>

#include "node/holder/entry.h"
#include "node/monitor/local_policy.h"

/* Of the uplink, which then is not started again; the monitor ends with the same. The service's unit
 * names UPLINK_EXIT_GONE: an agent that has nothing to dial with is not started again. */
#define UPLINK_EXIT_OK	  0
#define UPLINK_EXIT_FATAL 3  /* its message says what to do */
#define UPLINK_EXIT_GONE  10 /* ended in order, and the node is deregistered */
#define UPLINK_EXIT_AGAIN 11 /* the agent is to start again, from its launcher on */

struct monitor_config {
	const char *dir;
	bool rootless;
	const char *agent_user;	    /* whom the uplink runs as; not rootless */
	const char *run_as;	    /* whom sessions run as when nobody is named; not rootless */
	const char *command_run_as; /* and commands */
	int grace_seconds;	    /* how long shells outlive their uplink */
	int holders_max;	    /* 0: 1,000 */
	int answers_in_ms;	    /* until one of them is given up; 0: 30 seconds */
	struct local_policy policy;
	struct entry entry; /* by way of PAM, unless it names no service; not rootless */
	/* The uplink's program and arguments, to which "--monitor-fd N" is added. */
	const char *uplink;
	char *const *uplink_args;
	int n_uplink_args;
	/* Or, in place of an uplink of its own, a descriptor to serve until it is closed; else -1.
	 */
	int serve_fd;
};

/* Returns the exit code. Takes over SIGCHLD, SIGTERM and SIGINT. */
int monitor_run(const struct monitor_config *config);

#endif
