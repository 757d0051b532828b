/* The upload of what one invocation wrote: its streams, one object each; and what all that is
 * uploaded comes from. Blocks. */
#ifndef HAWSER_CORE_UPLOAD_H
#define HAWSER_CORE_UPLOAD_H

#include "relay/objects/place.h"
#include "relay/store/commands.h"

struct arena;
struct ledger;
struct msg_invocation_steps;
struct outputs;
struct s3;
struct secret_key;
struct store;
struct upload_row;

struct upload_source {
	struct store *store;
	struct outputs *outputs;
	struct ledger *ledger;
	const struct secret_key *master;
	const struct hw_clock *clock;
	const char *recordings;	     /* the folder */
	const char *bucket, *prefix; /* of recordings */
};

/*
 * All streams that are not empty. HW_EINVOCATION: what it wrote, or itself, is not kept any more;
 * and as s3_put().
 */
int upload_run(struct s3 *s3, const struct upload_source *from, struct upload_row *row,
	struct hw_err *err);

/* The keys of a step's objects: PREFIX/COMMAND/NODE/PLUGIN, and
 * PREFIX/COMMAND/NODE/PLUGIN/STEP/stdout or stderr. What a node may not say in a key is '_' there;
 * a step that would have the keys of one before it gets its number behind its name,
 * "STEP/1/stdout". No two steps have the same. */
void upload_plugin_key(char out[S3_KEY_MAX + 1], const struct command_row *command,
	const char *node, const struct msg_invocation_steps *steps, size_t step);
void upload_key(char out[S3_KEY_MAX + 1], const struct command_row *command, const char *node,
	const struct msg_invocation_steps *steps, size_t step, int stream);

#endif
