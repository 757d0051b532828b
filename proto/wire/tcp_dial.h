/*
 * A TCP connection to a name, on the program's loop: the name is looked up off the loop, its
 * addresses are tried with a short head start for each, and a proxy is asked for the way if there
 * is one. An address that does not answer costs a quarter of a second.
 */
#ifndef HAWSER_WIRE_TCP_DIAL_H
#define HAWSER_WIRE_TCP_DIAL_H

#include "proto/base/loop.h"

struct proxy;
struct resolve_limit;
struct tcp_dial;

struct tcp_dial_events {
	/* The way is open: fd is the callee's, non-blocking. The dial stays, for
	 * tcp_dial_next(). May cancel it. */
	void (*on_open)(void *arg, int fd);
	/* There is none: HW_ENOTFOUND (no such host), HW_ETIMEOUT, HW_EUNAVAILABLE, HW_EPROTO
	 * (no proxy). The sentence names the hop. The dial stays. May cancel it. */
	void (*on_failed)(void *arg, int code, const char *why);
};

/* No event before it returns. `within` bounds all of it, in microseconds. `limit` is of look-ups,
 * and stays the caller's. `proxy` may be NULL or
 * without a host; all is copied. */
int tcp_dial_start(struct tcp_dial **ret, struct loop *loop, struct resolve_limit *limit,
	const char *host, int port, const struct proxy *proxy, int64_t within,
	const struct tcp_dial_events *events, void *arg, struct hw_err *err);

/* After on_open, when what answered turned out to be of no use: goes on with addresses that were
 * not tried. False, and nothing happens, when there are none. */
bool tcp_dial_more(const struct tcp_dial *d);
bool tcp_dial_next(struct tcp_dial *d);

void tcp_dial_cancel(struct tcp_dial *d); /* NULL is fine */

/* The same, waited for: for a program without a loop yet. */
int tcp_dial_wait(int *fd, const char *host, int port, const struct proxy *proxy, int64_t within,
	struct hw_err *err);

#endif
