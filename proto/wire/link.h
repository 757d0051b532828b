/*
 * A link: one connection of a relay with a node or a client, above its transport. It speaks HELLO,
 * keeps the peer alive or notices its death, carries requests and channels, and decides what is
 * sent next: control frames, then interactive channels, then bulk channels in turn.
 *
 * Loop thread only. Callbacks may call anything here, link_close() included; a closed link's memory
 * goes at the end of the loop's turn, after on_down.
 */
#ifndef HAWSER_WIRE_LINK_H
#define HAWSER_WIRE_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/log.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/window.h"

struct link;
struct channel;

/* --- the transport below: WebSocket over TLS (ws_client.h, relay/edge/), or a pair in tests
 * --------- */

struct link_transport {
	/* Ask for one link_writable() call soon, not from inside of this. Asking twice is once. */
	void (*want_write)(struct link_transport *t);
	/* Stop reading and end the connection after what link_writable() has already given; the
	 * transport detaches at once and calls the link no more. */
	void (*close)(struct link_transport *t);
};

/* One WebSocket message came in whole. */
void link_input(struct link *l, const void *p, size_t n);

/* A part of one did: on a slow line that is the only sign of life for a while. */
void link_heard(struct link *l);

/* The connection can take a message: returns it, writable in place, with LINK_HEADROOM bytes before
 * it that belong to the transport; *n is 0 and NULL is returned when there is nothing. The memory
 * is good until the next call or the end of the loop's turn: write it, or copy it, at once. *more
 * says whether to ask to write again. */
#define LINK_HEADROOM 16
uint8_t *link_writable(struct link *l, size_t *n, bool *more);

/* The connection is gone; `why` is for the log. The transport must not be used any more. */
void link_lost(struct link *l, const char *why);

/* --- life
 * --------------------------------------------------------------------------------------------- */

struct link_events {
	/* HELLO was exchanged and the versions agree: requests and channels may go. */
	void (*on_up)(void *arg, struct link *l, const struct msg_hello *peer);
	/* The link is over; code HW_ECLOSED for an orderly end. Its channels had on_close before,
	 * with HW_EUNAVAILABLE. Called once, unless the owner called link_close() itself. */
	void (*on_down)(void *arg, struct link *l, int code, const char *why);
	/* A REQUEST came. Answer with link_respond(), now or later. The body is good during the
	 * call. */
	void (*on_request)(void *arg, struct link *l, uint64_t id, const char *op, const void *body,
		size_t n);
	/* An OPEN came on a channel that the peer chose. Answer it with channel_accept() or
	 * channel_reject(), now or later, after channel_attach(). NULL when this side takes none:
	 * then an OPEN is a protocol error. */
	void (*on_open)(void *arg, struct link *l, struct channel *ch, const struct msg_open *open);
	/* The same for a channel that the peer takes up again: channel_rejoin(),
	 * channel_accept_resumed() or channel_reject(), now or later. NULL: all are rejected. */
	void (*on_resume)(void *arg, struct link *l, struct channel *ch,
		const struct msg_resume *resume);
	/* The relay's clock, from HELLO and pongs (microseconds since 1970). May be NULL. */
	void (*on_peer_time)(void *arg, int64_t wall);
	/* The answer to link_probe() came, so many microseconds after it was asked. May be NULL. */
	void (*on_probed)(void *arg, int64_t usec);
	/* A ping of the relay's carried a head of its ledger; the text is good during the call.
	 * That of HELLO is on_up's. May be NULL. */
	void (*on_head)(void *arg, struct link *l, const char *head);
	/* CONTROL on channel 0 that is neither ping nor pong. May be NULL. */
	void (*on_control)(void *arg, struct link *l, const struct msg_control *control);
};

struct link_config {
	struct loop *loop;
	const struct log_ctx *log;
	const struct link_events *events;
	void *arg;
	struct link_transport *transport;
	struct msg_hello hello; /* ours; texts must outlive the link, time is filled in */
	int peer_role;		/* what the peer must be: ROLE_*; from its certificate */
	const char *peer_id; /* and its id; NULL: any (a client trusts the relay's certificate) */
	uint64_t head;	     /* the number of the head in `hello`, for link_sweep_with() */
	bool opens;	     /* this side opens channels; else it accepts them */
	/* Shared by all links of a program; NULL: the defaults. Not used after on_down or
	 * link_close(). */
	struct link_limits *limits;
};

/* What may be queued. One for the program, so that `total` is counted over all links. */
struct link_limits {
	size_t stream, link, all; /* bytes: 1 MiB, 16 MiB, 256 MiB by default */
	size_t each;		  /* what a link may queue whatever the others have: 16 KiB */
	size_t queued;		  /* now, over all links */
	uint64_t bytes_in, bytes_out, links, channels; /* counters for the metrics */
	struct window_pool windows; /* what windows take beyond where they began, over all links */
};
#define LINK_LIMITS_DEFAULT                                                              \
	{                                                                                \
		.stream = 1 << 20, .link = 16 << 20, .all = 256 << 20, .each = 16 << 10, \
		.windows = {                                                             \
			.max = 256 << 20                                                 \
		}                                                                        \
	}
/* And those of one link, of that. */
#define LINK_WINDOWS_MAX (64 << 20)

#define LINK_PING_EVERY	  (20 * USEC_PER_SEC)
#define LINK_DEAD_AFTER	  (28 * USEC_PER_SEC) /* nothing heard: the peer is dead */
#define LINK_HELLO_WITHIN (10 * USEC_PER_SEC)

/* Sends HELLO. NULL only without memory. */
struct link *link_new(const struct link_config *config);

/* Ends it: channels get on_close(HW_ECLOSED), or with HW_EUNAVAILABLE what a lost link gives them,
 * no on_down; the owner hears no more of it, and l is dead. `code` and `why` reach the peer as a
 * CLOSE on channel 0 where it still listens: only after that, or two seconds later, is the
 * transport's close called. With HW_ECLOSED, or 0, what was sent before goes first: control frames,
 * and the bytes of channels that were closed in order. */
void link_close(struct link *l, int code, const char *why);

bool link_is_up(const struct link *l);
const char *link_peer_id(const struct link *l); /* NULL before HELLO */
size_t link_channels(const struct link *l);	/* that are open or opening; 4,096 at most */
bool link_is_interactive(const struct link *l); /* one of them is somebody's terminal */
int link_version(const struct link *l);
/* Bytes of control frames that the transport has not got yet. Too many break the link: who has
 * much to say that nobody waits for looks here before. */
size_t link_words_queued(const struct link *l);
/* What the windows of streams that end at this link take from; for a program that passes credit
 * on. Good until the link's channels have had on_close. */
struct window_pool *link_windows(struct link *l);
void *link_arg(const struct link *l);
void link_set_arg(struct link *l, void *arg);

/* Pinging is one sweep over all links of a program, not a timer each: call it every second or so
 * for each link. It sends the ping that is due, and tells what was consumed (channel_consume());
 * the link of a dead peer goes down at the end of the turn. */
void link_sweep(struct link *l);
/* The same; no more often than pings are due, one carries the head of that number, if the last of
 * this link was another, that of HELLO included. */
void link_sweep_with(struct link *l, const char *head, uint64_t number);

/* Measures the way there and back, ahead of all bulk that waits here: on_probed follows. One that
 * is under way goes on; returns how long it has been, 0 for a new one. */
int64_t link_probe(struct link *l);

/* --- requests
 * -------------------------------------------------------------------------------------------- */

/* Sends a request; on_reply is called once, with code 0 and the encoded reply, or with the error's
 * code and its sentence as msg_error. A link that goes down answers all with HW_EUNAVAILABLE;
 * link_close() drops them silently. HW_EFULL when 1,024 are waiting; HW_EVALIDATION when the
 * message breaks its own row. */
typedef void link_reply_fn(void *arg, int code, const char *message, const void *body, size_t n);
int link_request(struct link *l, const struct op_row *op, const void *request,
	link_reply_fn *on_reply, void *arg, struct hw_err *err);
/* Forgets the requests that would call on_reply with this arg. */
void link_forget(struct link *l, const void *arg);

/* Answers with the reply's message, or with an error when code is not 0 (reply unused). */
void link_respond(struct link *l, uint64_t id, int code, const char *message,
	const struct msg_row *row, const void *reply);
/* The same with a body that is encoded already. */
void link_respond_raw(struct link *l, uint64_t id, const void *body, size_t n);

void link_send_control(struct link *l, uint32_t channel, const struct msg_control *control);

#endif
