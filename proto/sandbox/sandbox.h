/*
 * What a process may do, narrowed for good to what it says that it needs: files by Landlock, system
 * calls by seccomp, and never a new privilege or a core dump. What is set is inherited by all that
 * the process starts, so this is for processes that start nothing of a user's.
 */
#ifndef HAWSER_SANDBOX_SANDBOX_H
#define HAWSER_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hw_err;

#define SANDBOX_SAID_MAX 200

enum sandbox_access {
	SANDBOX_READ,  /* a file, or all that is under a folder; left out when it is not there */
	SANDBOX_WRITE, /* a folder, which must be there: all but links and devices is made in it too
			*/
};

struct sandbox_path {
	const char *path; /* NULL: none */
	enum sandbox_access access;
};

struct sandbox {
	const struct sandbox_path *paths;
	size_t n_paths;
	/* TCP ports that it may listen on, and no others; 0 is none. */
	const uint16_t *ports;
	size_t n_ports;
	/* It dials: any host and port, Unix sockets by their path, and the name service for them.
	 */
	bool dials;
};

/*
 * Enters it. Before any other thread is started: HW_EINTERNAL when there is one. What the kernel
 * does not have is left out; what it has and refuses is an error, after which the process is to
 * end. *said is for the log: what is in force, as "seccomp=on landlock=abi7", or why not.
 */
int sandbox_enter(char said[SANDBOX_SAID_MAX], const struct sandbox *s, struct hw_err *err);

#endif
