/* What invocations wrote, from wherever the relay has it. */
#ifndef HAWSER_SERVICES_COMMANDS_OUTPUT_H
#define HAWSER_SERVICES_COMMANDS_OUTPUT_H

#include "proto/base/buf.h"
#include "relay/store/commands.h"
#include "relay/store/invocations.h"

struct op;

/* Output of at most this many bytes goes into the store with the end of its invocation; more is in
 * files (core/outputs.h). */
#define OUTPUT_INLINE_MAX 8192

/* Shown instead of what was written, and was dropped with time. */
#define OUTPUT_GONE "the output is not kept any more"

/* One invocation with its steps, and what it wrote if that is in the store. */
struct output_of {
	struct command_row command;
	struct invocation_row row;
	const struct msg_invocation_steps *steps;
	const struct msg_invocation_outputs *kept;
	int upload_status; /* of output_find() alone: 0: none */
	const char *upload_details;
};

/* HW_ECOMMAND, HW_EINVOCATION: for one that the caller may not see, too. */
int output_find(struct output_of *ret, struct op *op, const char *command, const char *node);

/* The same of rows that were read already, and may be seen, within the same store_read(). */
int output_load(struct output_of *ret, struct op *op, struct db *db,
	const struct command_row *command, const struct invocation_row *row);

/* What is sealed with an invocation's output in the store; from the arena, NULL without memory. */
const char *output_purpose(struct op *op, const char *command, const char *node);

/* Which step a name means: its own, or its action's when no other has that; NULL is the only one.
 * HW_EPLUGIN. */
int output_step(size_t *ret, struct op *op, const struct output_of *of, const char *name);

/* How many bytes the relay has of a stream of a step; 0 when they are not kept any more. */
int output_size(int64_t *ret, struct op *op, const struct output_of *of, size_t step, int stream);
/* Appends at most n of them from `offset` on; of what is live, those before a block that cannot be
 * read. */
int output_read(struct buf *out, struct op *op, const struct output_of *of, size_t step, int stream,
	int64_t offset, size_t n);

#endif
