/*
 * What the agent does for hawser-node-upgrade (node/upgrade/courier.h has the form): fetches pieces
 * of a release from the relay, says who it is and whether it has reached the relay, starts a
 * program on a terminal to see that it can, and ends so that it is started again. Loop thread only.
 */
#ifndef HAWSER_NODE_COURIER_H
#define HAWSER_NODE_COURIER_H

#include <stdbool.h>

struct courier;
struct hw_err;
struct link;
struct log_ctx;
struct loop;
struct programs;

struct courier_config {
	struct loop *loop;
	const struct log_ctx *log;
	struct programs *programs;
	int dir; /* the node's, a descriptor that stays the caller's */
	/* Why there is no link, or NULL when there is one. */
	const char *(*trouble)(void *arg);
	void (*again)(void *arg);
	void *arg;
};

/* Listens in the directory. */
int courier_new(struct courier **ret, const struct courier_config *config, struct hw_err *err);
/* Before the programs, and when no link answers it any more. NULL is fine. */
void courier_free(struct courier *c);

/* The link is up, or is not any more; one at a time. */
void courier_link_up(struct courier *c, struct link *l);
void courier_link_down(struct courier *c);

#endif
