/* What people are told of where a command's output goes beside the relay, and of how far it is. */
#ifndef HAWSER_SERVICES_COMMANDS_URLS_H
#define HAWSER_SERVICES_COMMANDS_URLS_H

#include "relay/services/commands/output.h"

struct msg_command_plugin;
struct msg_command_invocation;
struct msg_get_command_invocation_reply;

/* The URL of a step's stream; "" when the command has no bucket, or the relay no storage any more.
 */
int url_of(const char **ret, struct op *op, const struct output_of *of, size_t step, int stream);

/* Of a step in a list; bytes that it took are added to *shown. */
int urls_describe(struct msg_command_plugin *ret, struct op *op, const struct output_of *of,
	size_t step, size_t *shown);

/* How far the upload of an invocation is; within store_read(). *status 0: there is none. */
int upload_describe(int *status, const char **details, struct op *op, struct db *db,
	const struct command_row *command, const struct invocation_row *row);

#endif
