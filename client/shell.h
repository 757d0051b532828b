/*
 * A person in front of a remote shell: the terminal and its signals, the escapes, and what is said
 * at the beginning and the end. What `shell`, `attach` and `sessions watch` have in common.
 */
#ifndef HAWSER_CLIENT_SHELL_H
#define HAWSER_CLIENT_SHELL_H

#include "client/remote.h"

struct client;
struct input;

struct shell_config {
	struct client *client;
	struct remote_request *request; /* the terminal's size is filled in */
	const char *node;		/* as people call it */
	int escape;
	bool quiet; /* nothing is said at the beginning, nor of links that are lost */
};

/* -e: the escape character, `~` when it is not given. HW_EUSAGE. */
int shell_escape(int *ret, const struct input *in, struct hw_err *err);

/* Until it is over, or is left: the exit status of the command. */
int shell_run(int *status, const struct shell_config *config, struct hw_err *err);

#endif
