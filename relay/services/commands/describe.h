/* A command as people see it. */
#ifndef HAWSER_SERVICES_COMMANDS_DESCRIBE_H
#define HAWSER_SERVICES_COMMANDS_DESCRIBE_H

#include "relay/store/commands.h"

struct msg_command;
struct op;

/* What a live one's row does not have yet: its counts and words, as they are now. */
void command_look(struct command_row *row, struct op *op);

/* Texts are copied, or of the arena. */
int command_describe(struct msg_command *ret, struct op *op, const struct command_row *row,
	const struct command_body *body);

#endif
