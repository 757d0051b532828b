/* What `hawser-node status` shows: the running agent writes it to who connects to status.sock. */
#ifndef HAWSER_NODE_STATUS_H
#define HAWSER_NODE_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "node/commands/commands.h"

struct agent_status;
struct buf;
struct hw_err;
struct log_ctx;
struct loop;
struct node_config;

/* From there on a clock is worth a line. */
#define NODE_CLOCK_OFF (10 * USEC_PER_SEC)

struct node_status {
	const char *state; /* connected, connecting, waiting, deregistered, stopped */
	const char *pin;   /* of the CA, in hex; NULL: the URL's */
	const char *proxy; /* HOST:PORT on the way to the relay; NULL or "": none */
	const char *error; /* why it is not connected; may be empty */
	const char
		*witness; /* what it thinks of the relay's ledger, in a line; NULL or "": nothing */
	const char *witness_state;	   /* and in a word */
	int64_t since, next_dial, expires; /* wall; 0 is unknown */
	int64_t ahead;			   /* of this machine's clock of the relay's */
	int sessions;
	struct commands_count commands;
};

/* As a table of words, or as one JSON object. */
void status_render(struct buf *out, const struct node_config *c, const struct node_status *s,
	bool json);

struct status_server;

/* Listens in the directory. `fill` is asked each time. */
int status_server_new(struct status_server **ret, struct loop *loop, int dir,
	const struct node_config *c, void (*fill)(void *arg, struct node_status *s), void *arg,
	struct hw_err *err);
void status_server_free(struct status_server *s);

/* Appends what the agent of the directory says, and whether it is connected. HW_EUNAVAILABLE when
 * none runs. */
int status_ask(struct buf *out, bool *connected, int dir, bool json, struct hw_err *err);

#endif
