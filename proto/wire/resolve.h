/*
 * Addresses of a host name, looked up on a thread of its own: the loop never waits for a name
 * server.
 */
#ifndef HAWSER_WIRE_RESOLVE_H
#define HAWSER_WIRE_RESOLVE_H

#include "proto/base/loop.h"

struct addrinfo;
struct resolve;
struct resolve_limit;

/* So many names at most are looked up at a time by all that share it. One that was given up counts
 * for as long as its thread waits for a name server. NULL without memory. */
struct resolve_limit *resolve_limit_new(unsigned max);
void resolve_limit_free(struct resolve_limit *l); /* before or after its threads; NULL is fine */

/* `code` 0 and the addresses in the order in which to try them, which are the callee's to
 * freeaddrinfo(); or a code, and why. Called once, from the loop. */
typedef void resolve_fn(void *arg, int code, const char *why, struct addrinfo *found);

/* `host` is a name or an address; it is copied. Addresses count for nothing. HW_EFULL. */
int resolve_start(struct resolve **ret, struct loop *loop, struct resolve_limit *limit,
	const char *host, resolve_fn *done, void *arg, struct hw_err *err);

/* `done` is not called any more, and the loop is no longer used: it may go. NULL is fine; not after
 * `done`. */
void resolve_cancel(struct resolve *r);

#endif
