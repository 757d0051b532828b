/*
 * From what a connection's OPEN names to a socket that is connected to it. A name is looked up
 * here, each address that it has is judged, and the one that was judged is connected to.
 *
 * Loop thread only, on a loop with descriptors.
 */
#ifndef HAWSER_NODE_REACH_H
#define HAWSER_NODE_REACH_H

#include <stdbool.h>

#include "proto/wire/host.h"

struct loop;
struct reach;
struct resolve_limit;

/* What all attempts of a program share; they lend it. */
struct reach_ground {
	struct loop *loop;
	const char *dir; /* the node's own: no socket in it is reached */
	struct resolve_limit *lookups;
};

struct reach_place {
	struct host host;
	int port;
	bool local, beyond, named; /* what the relay lets it reach, as in OPEN */
};

/* One of the two, once, and perhaps from inside of reach_start(); nothing after it. */
struct reach_events {
	/* The socket is the callee's. `at` says what it reached, and `local` that this is the node
	 * itself. */
	void (*on_reached)(void *arg, int fd, const char *at, bool local);
	void (*on_failed)(void *arg, int code, const char *why);
};

/* *ret is set before any event. HW_ENOMEM. Free it after its event, or to give it up. */
int reach_start(struct reach **ret, struct reach_ground *ground, const struct reach_place *place,
	const struct reach_events *events, void *arg);
void reach_free(struct reach *r); /* NULL is fine; safe from its own events */

#endif
