/*
 * Addresses of a host name, looked up on a thread of its own: the loop never waits for a name
 * server.
 */
#ifndef HAWSER_WIRE_RESOLVE_H
#define HAWSER_WIRE_RESOLVE_H

#include "proto/base/loop.h"

struct addrinfo;
struct resolve;

/* `code` 0 and the addresses in the order in which to try them, which are the callee's to
 * freeaddrinfo(); or a code, and why. Called once, from the loop. */
typedef void resolve_fn(void *arg, int code, const char *why, struct addrinfo *found);

/* `host` is a name or an address; it is copied. */
int resolve_start(struct resolve **ret, struct loop *loop, const char *host, resolve_fn *done,
	void *arg, struct hw_err *err);

/* `done` is not called any more, and the loop is no longer used: it may go. NULL is fine; not after
 * `done`. */
void resolve_cancel(struct resolve *r);

#endif
