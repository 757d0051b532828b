/*
 * What forward.c and flow.c share: a forwarder has routes, a route has flows.
 *
 * A route is a session on the relay with its listening end; a flow is one connection, a channel of
 * its own. Both outlive their links: parked, they are taken up again, routes first.
 */
#ifndef HAWSER_CLIENT_FORWARD_PRIVATE_H
#define HAWSER_CLIENT_FORWARD_PRIVATE_H

#include <sys/queue.h>

#include "client/conn.h"
#include "client/forward.h"
#include "client/socks.h"
#include "proto/base/loop.h"
#include "proto/wire/backoff.h"
#include "proto/wire/tube.h"

struct route {
	struct forwarder *owner;
	struct forward_spec spec;
	int fd; /* listening; -1 of stdio */
	bool made_file;
	struct loop_fd *watch;
	struct loop_timer again; /* listens */
	const char *session_id;
	struct channel *ch; /* of type FORWARD */
	bool answered, live;
	struct hw_err refusal;

	char *token;	      /* for RESUME; NULL: it ends with its link */
	bool parked, waiting; /* waiting: until RESUME is answered */
	uint32_t connections; /* the number of the last one */
	LIST_ENTRY(route) entry;
};

struct flow {
	struct route *route;
	struct channel *ch; /* NULL before it is asked for, and once it is over */
	struct tube *tube; /* NULL before it is asked for by SOCKS, and once both ways have ended */
	uint64_t in, out;  /* of a tube that has gone */
	char peer[HOST_SHOWN_MAX];
	uint32_t number; /* in its session */
	bool accepted;
	bool parked;
	int broken, error; /* the tube's, to be told when there is a link again */
	bool delayed;	   /* a request of SOCKS that waits for one */

	int fd; /* until the tube has it */
	struct loop_fd *watch;
	struct socks socks;
	struct loop_timer deadline;

	bool over;
	struct loop_task reap;
	LIST_ENTRY(flow) entry;
};

struct forwarder {
	struct conn *conn;
	struct loop *loop;
	const struct forwarder_events *events;
	void *arg;
	LIST_HEAD(, route) routes;
	LIST_HEAD(, flow) flows;
	struct forwarder_count count; /* of flows that are over, and how many there are */
	struct tube_scratch scratch;

	struct conn_watch watch; /* kept while a route may be resumed */
	int waiting;		 /* 0, or the code of on_waiting */
	struct loop_timer again; /* resumes what was interrupted */
	bool resumes;		 /* it is armed */
	int64_t steady_at;	 /* when a next interruption is a first one */
	struct backoff backoff;
};

/* --- flow.c ----------------------------------------------------------------------------------- */

/* A connection has come to the route's listener, whose descriptor is taken; or that of stdio. */
void flow_accept(struct route *r, int fd, const char *peer);
void flow_stdio(struct route *r);

/* The route can reach the relay again: what is parked is taken up, and a request that was delayed
 * is asked. */
void flow_go_on(struct flow *w);
/* Ends it: its channel, if it has one, with this code. The near end sees an abort. */
void flow_abort(struct flow *w, int code, const char *why);
uint64_t flow_in(const struct flow *w);
uint64_t flow_out(const struct flow *w);

/* --- forward.c, for flow.c ---------------------------------------------------------------------
 */

/* Whether the relay and the node can be asked for something. */
bool route_is_there(const struct route *r);
/* Something of it was interrupted on a link that is up: forwarder resumes all that is, soon. */
void forwarder_resume_soon(struct forwarder *f);

#endif
