/*
 * A holder: one process that owns one shell's terminal or one command's pipes, its output that
 * nobody has consumed yet, and its exit status. The monitor forks it; it becomes the user, starts
 * the program, and serves one uplink at a time: over the socket that its answer carries, later over
 * RUN/<session id>.sock, where a new uplink may adopt it.
 */
#ifndef HAWSER_HOLDER_HOLDER_H
#define HAWSER_HOLDER_HOLDER_H

#include <sys/types.h>

/* What the process ends with when its script ended by itself: what that left behind is meant to
 * stay. */
#define HOLDER_EXIT_LEFT 3

struct entry;
struct local_policy;
struct monitor_request;

struct holder_start {
	const struct monitor_request *request;
	const char
		*command; /* with a NUL; before it, as request.h says, environment and directory */
	const char *run_as; /* when the request names nobody; NULL: rootless, nobody else can be */
	const struct local_policy *policy;
	const struct entry *entry; /* by way of PAM; NULL: without */
	const char *agent_user;	   /* whose uplink may adopt it; NULL: the process's own user */
	int run_dir;		   /* for its socket */
	int answer_fd;		   /* to the monitor: one struct monitor_reply */
	int grace_seconds;	   /* how long it stays without an uplink */
};

/* In a process of its own, which ends with what this returns. Closes every other descriptor. */
int holder_run(const struct holder_start *start);

/* The name of a session's socket. */
void holder_socket_name(char out[128], const char *session_id);

#endif
