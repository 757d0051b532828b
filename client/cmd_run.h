/* Sending a command and being there while it runs: what run and runs retry have in common. */
#ifndef HAWSER_CLIENT_CMD_RUN_H
#define HAWSER_CLIENT_CMD_RUN_H

#include "client/run_request.h"

/* The exit status of run; the ways of showing it are options of the command line. */
int cmd_run_send(struct client *c, const struct input *in, const struct run_request *run,
	struct hw_err *err);

#endif
