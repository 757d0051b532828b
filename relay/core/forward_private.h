/* What forward.c (the forward: what it opens, decides and writes down) and connection.c (one of its
 * connections: bytes on their way, its end, a side that is lost) share. */
#ifndef HAWSER_CORE_FORWARD_PRIVATE_H
#define HAWSER_CORE_FORWARD_PRIVATE_H

#include "relay/core/pacer.h"
#include "relay/core/session_private.h"

/* One direction: what waits here for its receiver, and how far its sender may go. */
struct way {
	struct lane lane;
	struct window window;
	struct window_pool *pool; /* of the link that it leaves by; NULL once that is not in use */
	struct paced paced;
	uint64_t consumed; /* by its receiver, as its node was last seen to say */
};

struct connection {
	struct session *session;
	uint32_t number; /* that its user gave it; 0: none, and it is not resumed */
	struct destination to;
	struct channel *to_user, *to_node; /* NULL while that side is lost */
	struct channel *offer;		   /* its user's RESUME, which waits for the node */
	int64_t lost;			   /* monotonic, when a side was last; 0: both are there */
	struct way in, out;
	size_t held;	/* by the lanes, as the broker counts it */
	uint64_t first; /* how far each sender may go before its receiver has said anything */
	uint64_t bytes_in, bytes_out;
	int64_t start;
	bool restored; /* its node says where it goes: an earlier process had it */
	bool live;     /* the node has reached it */
	bool local;    /* that is the node itself */
	bool draining; /* it is over; its user still gets what is on the way */
	bool over;
	char reached[HOST_SHOWN_MAX]; /* by the node's word */
	struct loop_task reap;
	LIST_ENTRY(connection) entry;
};

/* Ends that share one entry. */
struct fold {
	int64_t count, bytes_in, bytes_out;
	bool denied;
};

struct forward {
	struct session *session;
	struct reach reach; /* of a destination that the session names */
	LIST_HEAD(, connection) connections;
	int count;
	uint32_t newest; /* the highest number that a connection had */
	int entries;	 /* since the last sweep */
	struct fold fold;
};

/* --- forward.c -------------------------------------------------------------------------------- */

/* One entry each, up to a number a second. */
void forward_note(struct forward *f, const struct msg_connection_end *what, int code,
	const char *why);

/* Where a connection of an earlier process goes, as its node says; whether it still may.
 * HW_EDENIED, HW_EVALIDATION. */
int forward_admit(struct connection *c, const struct msg_resume *answer, struct hw_err *err);

/* --- connection_splice.c ---------------------------------------------------------------------- */

void connection_on_user_data(void *arg, struct channel *ch, int stream, uint64_t offset,
	const uint8_t *p, size_t n);
void connection_on_user_end(void *arg, struct channel *ch, int stream, uint64_t offset);
void connection_on_user_credit(void *arg, struct channel *ch, int stream, uint64_t consumed,
	uint64_t limit, int echo);
void connection_on_user_drained(void *arg, struct channel *ch, int stream);

void connection_on_node_data(void *arg, struct channel *ch, int stream, uint64_t offset,
	const uint8_t *p, size_t n);
void connection_on_node_end(void *arg, struct channel *ch, int stream, uint64_t offset);
void connection_on_node_credit(void *arg, struct channel *ch, int stream, uint64_t consumed,
	uint64_t limit, int echo);
void connection_on_node_drained(void *arg, struct channel *ch, int stream);

/* Hands on what waits. May end it, when that was the last. */
void connection_pump(struct connection *c, struct way *w, struct channel *to);
/* Lets the senders go as far as they may by now. */
void connection_pass_credit(struct connection *c);
/* For a way's paced. */
void connection_credit_again(void *arg, struct paced *d);
/* Bytes that the broker counts as held for it. */
void connection_count_held(struct connection *c, size_t now);

/* --- connection.c ----------------------------------------------------------------------------- */

extern const struct channel_events connection_user_events, connection_node_events;

/* Its user's channel is attached, and it is listed. NULL without memory. */
struct connection *connection_new(struct session *s, const struct destination *to, uint32_t number,
	struct channel *to_user);
/* Takes back what connection_new() made; the channel is its owner's again. */
void connection_drop(struct connection *c);
/* Both sides are told to wait; then the same. */
void connection_abandon(struct connection *c);
/* Ends it: both sides are told, and its entry is written. Once it returns it is no more. */
void connection_end(struct connection *c, int code, const char *why);

/* A side is lost, and waited for. */
void connection_lose_user(struct connection *c);
void connection_lose_node(struct connection *c);
/* Its user's RESUME. */
void connection_resume(struct connection *c, struct channel *offer);
/* Begins to count both windows, when the node was asked to connect. */
void connection_open_ways(struct connection *c);
/* About once a second. */
void connection_sweep(struct connection *c);
/* Asks the node to resume, when both are there. */
void connection_join(struct connection *c);

#endif
