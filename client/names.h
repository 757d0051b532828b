/*
 * Names of nodes, users and other things, as they were when the relay was last asked: one file a
 * kind in the client's directory, for completing what is being typed, which may not wait for a
 * network. Each is what a listing command prints with -o name.
 */
#ifndef HAWSER_CLIENT_NAMES_H
#define HAWSER_CLIENT_NAMES_H

#include "proto/base/buf.h"

struct home;

enum names_kind {
	NAMES_NODES,
	NAMES_SELECTORS, /* saved ones */
	NAMES_SESSIONS,
	NAMES_LIVE_SESSIONS,
	NAMES_COMMANDS,
	NAMES_DOCUMENTS,
	NAMES_USERS,
	NAMES_GROUPS,
	NAMES_POLICIES,
	NAMES_KEYS,
	NAMES_ACTIVATIONS,
	NAMES_HOLDS,
	NAMES_KINDS
};

#define NAMES_MAX (4u << 20)

/* Appends those of a kind, a line for each, and nothing when there are none or they cannot be had.
 * When they are older than NAMES_FRESH a process of its own gets them anew for the next time; only
 * where there have never been any is it waited for, NAMES_PATIENCE at most. `proxy` is that of the
 * line, for who asks the relay; NULL: the environment says. */
void names_read(struct buf *out, const struct home *h, const char *proxy, enum names_kind kind);
#define NAMES_FRESH    (30 * USEC_PER_SEC)
#define NAMES_PATIENCE (2 * USEC_PER_SEC)

/* Removes them all: they are one login's. */
void names_forget(const struct home *h);

#endif
