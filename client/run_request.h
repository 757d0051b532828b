/* What `hawser run` sends, read from its command line. */
#ifndef HAWSER_CLIENT_RUN_REQUEST_H
#define HAWSER_CLIENT_RUN_REQUEST_H

#include "client/command.h"
#include "client/limit.h"
#include "proto/schema/schema.h"

struct client;

#define RUN_DOCUMENT   "AWS-RunShellScript"
#define RUN_SCRIPT_MAX 65536

/* As the relay has them. */
#define RUN_CONCURRENCY 50
#define RUN_ERRORS	0

struct run_request {
	struct msg_send_command_request req;
	struct limit concurrency,
		errors; /* as the relay takes them, where they were not given too */
};

/* All but the nodes; everything lives in the client's arena. Reads the script. HW_EUSAGE. */
int run_request_read(struct run_request *ret, struct client *c, const struct input *in,
	struct hw_err *err);

/* The nodes, at least one. Where there are too many of them for their ids to travel in one message,
 * the selectors go instead, if the relay can read them so that they mean the same: HW_ELIMIT
 * otherwise. */
int run_request_target(struct run_request *r, struct client *c,
	const struct msg_instance_information *nodes, size_t n, const char *const *selectors,
	size_t n_selectors, struct hw_err *err);

#endif
