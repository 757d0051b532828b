/*
 * Following a command to its end: what becomes of it on its nodes, and what it writes there, a few
 * requests at a time. A link that is lost is dialled again, and all goes on where it was; the
 * command itself does not notice.
 */
#ifndef HAWSER_CLIENT_FOLLOW_H
#define HAWSER_CLIENT_FOLLOW_H

#include <stdbool.h>

#include "client/fate.h"
#include "proto/schema/schema.h"

struct conn;
struct follow;

/* One node's part. */
struct follow_node {
	const char *id, *name; /* the name is the id where there is none */
	int status;	       /* INVOCATION_STATUS_* */
	enum fate fate;
	const char *details, *reason; /* never NULL */
	int64_t response_code;
	const char *const *steps; /* their names, as far as they are known */
	size_t n_steps;
	int64_t bytes[2];   /* of stdout and stderr, so far */
	int64_t dropped[2]; /* beyond the relay's cap, as far as one was told */
	bool wanted;	    /* follow_config.wants said so */
	void *of_view;	    /* the caller's */
};

enum { FOLLOW_OUT, FOLLOW_ERR };

struct follow_events {
	/* Counts or a node have changed. */
	void (*on_change)(void *arg, const struct fates *all);
	/* What a step wrote, each stream in order and without holes. */
	void (*on_output)(void *arg, struct follow_node *node, int stream, size_t step,
		uint64_t offset, const uint8_t *p, size_t n);
	/* It has ended there, and all that it wrote was handed over. */
	void (*on_node_end)(void *arg, struct follow_node *node);
	/* What it wrote on a node is not to be had; its end follows all the same. */
	void (*on_output_failed)(void *arg, struct follow_node *node, int code, const char *why);
	/* Output is not to be had just now, and asked for again until it is. */
	void (*on_output_waits)(void *arg, const char *why);
	/* What follow_cancel() came to: 0, or why it could not be. */
	void (*on_cancelled)(void *arg, int code, const char *why);
	void (*on_lost)(void *arg, const char *why);
	void (*on_back)(void *arg);
	/* Last call: all wanted nodes have ended (0), or it cannot be followed any more. */
	void (*on_over)(void *arg, int code, const char *why);
};

struct follow_config {
	struct conn *conn;
	const char *command_id;
	const struct follow_events *events;
	void *arg;
	bool live;    /* output as it comes; otherwise that of a node once it has ended there */
	bool gentle;  /* less of it at a time: what is made of it may be many times as long */
	bool silent;  /* no output at all */
	bool no_wait; /* only what there is now */
	/* NULL: all of them. */
	bool (*wants)(void *arg, const struct follow_node *node);
	/* Whether more output can be taken; follow_go() when that has changed. NULL: always. */
	bool (*has_room)(void *arg);
};

/* Begins; events come from the loop. */
int follow_new(struct follow **ret, const struct follow_config *config, struct hw_err *err);
/* Nothing is called any more. NULL is fine. */
void follow_free(struct follow *f);

void follow_go(struct follow *f);

/* Asks the relay to end it on all nodes, as soon as there is a link; its end comes as ever. */
void follow_cancel(struct follow *f);
bool follow_is_cancelled(const struct follow *f); /* the relay said so */

/* The nodes so far, in the order in which the relay told of them first. */
size_t follow_count(const struct follow *f);
struct follow_node *follow_node(const struct follow *f, size_t i);
/* Of those that are wanted. */
const struct fates *follow_fates(const struct follow *f);
/* As the relay counts: nodes at a time, and how many may fail; 0 before it was asked. */
size_t follow_concurrency(const struct follow *f);
size_t follow_error_limit(const struct follow *f);
/* The command's own Status and StatusDetails; 0 and "" before it was asked. */
int follow_status(const struct follow *f);
const char *follow_details(const struct follow *f);

#endif
