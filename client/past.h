/* Commands that were sent: the last one of ours, one by its name, and where it failed. */
#ifndef HAWSER_CLIENT_PAST_H
#define HAWSER_CLIENT_PAST_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"

struct client;
struct msg_command;

/* Keeps the id in the client's directory, as the last one; that it cannot is no error. */
void past_remember(struct client *c, const char *command_id);

/* Of n commands the one whose id begins like this. Pure. HW_ECOMMAND; HW_EVALIDATION lists the ids
 * when there are several. */
int past_pick(const struct msg_command **ret, const struct msg_command *commands, size_t n,
	const char *name, struct hw_err *err);

/* `name` is an id, any unique prefix of one, or "last". Asks the relay. HW_ECOMMAND,
 * HW_EVALIDATION, HW_EUSAGE when there is no last one. */
int past_find(const struct msg_command **ret, struct client *c, const char *name,
	struct hw_err *err);
/* The id alone: nothing is asked when `name` is one. */
int past_find_id(const char **ret, struct client *c, const char *name, struct hw_err *err);

/* The ids of its nodes, or of those where it has ended without success; in the client's arena. */
int past_nodes(const char *const **ids, size_t *n, struct client *c, const char *command_id,
	bool failed, struct hw_err *err);

#endif
