/*
 * Being there while a command runs: following it, showing it one way, saying how far it is, and
 * listening to whoever sits there. What `run` and `runs output` have in common.
 */
#ifndef HAWSER_CLIENT_ATTEND_H
#define HAWSER_CLIENT_ATTEND_H

#include <stdbool.h>

#include "proto/base/err.h"

struct client;
struct follow_node;
struct msg_command;
struct view_row;

struct attend_config {
	struct client *client;
	const struct msg_command *command; /* outlives it; its id counts */
	const struct view_row *view;
	const char *log_dir;
	bool owns;    /* Ctrl-C is about the command, and not about looking on alone */
	bool quiet;   /* no word of how far it is */
	bool no_wait; /* shows what there is now */
	/* NULL: all nodes. */
	bool (*wants)(void *arg, const struct follow_node *node);
	void *arg;
};

/* Until it is over, or is left: the exit status. An error is our own fault: the command goes on. */
int attend(const struct attend_config *config, struct hw_err *err);

#endif
