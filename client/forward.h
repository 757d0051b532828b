/*
 * Forwards of one command: a local end that listens, the session that stands for it on the relay,
 * and the connections on both. They outlive a link that is lost, for as long as the relay waits:
 * connections stay open and stand still, new ones wait to be accepted. No words to a person here:
 * those are its owner's.
 */
#ifndef HAWSER_CLIENT_FORWARD_H
#define HAWSER_CLIENT_FORWARD_H

#include "client/forward_spec.h"
#include "proto/base/arena.h"

struct conn;
struct forwarder;

struct forwarder_events {
	/* A connection came to nothing, or broke: `why` in words. */
	void (*on_failed)(void *arg, const struct forward_spec *spec, const char *peer, int code,
		const char *why);
	/* A whole forward has ended, which was not asked for. */
	void (*on_end)(void *arg, const struct forward_spec *spec, int code, const char *why);
	/* The one connection of stdio has ended in order. */
	void (*on_stdio_over)(void *arg);
	/* A link is lost, and waited for: the relay's (HW_EUNAVAILABLE), or the node's
	 * (HW_EINTERRUPTED). Again when that changes. Then on_back, or on_end. */
	void (*on_waiting)(void *arg, int code, const char *why);
	void (*on_back)(void *arg);
	/* The relay says something of a forward to a person. May be NULL. */
	void (*on_notice)(void *arg, const struct forward_spec *spec, const char *text);
};

struct forwarder_count {
	int open;
	uint64_t all, in, out; /* connections so far; bytes towards the destinations, and back */
};

int forwarder_new(struct forwarder **ret, struct conn *c, const struct forwarder_events *events,
	void *arg, struct hw_err *err);
/* Ends all of them in order; the relay has been told when it returns. NULL is fine. */
void forwarder_free(struct forwarder *f);

/* Binds the local end, before anything is asked of the relay: a port that was left open is filled
 * in. HW_EUSAGE and HW_ESYS say what is wrong with it. */
int forwarder_listen(struct forwarder *f, struct forward_spec *spec, struct hw_err *err);
/* Starts the sessions of all that was bound, on this node, and waits until they are live. */
int forwarder_start(struct forwarder *f, const char *node, const char *reason, struct arena *a,
	struct hw_err *err);

struct forwarder_count forwarder_count(const struct forwarder *f);

#endif
