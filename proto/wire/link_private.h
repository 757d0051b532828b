/* What the files of the link share: link.c, link_call.c, channel.c, channel_input.c. */
#ifndef HAWSER_WIRE_LINK_PRIVATE_H
#define HAWSER_WIRE_LINK_PRIVATE_H

#include <sys/queue.h>

#include "proto/base/arena.h"
#include "proto/wire/channel.h"
#include "proto/wire/id_table.h"
#include "proto/wire/link.h"
#include "proto/wire/writer.h"

#define LINK_CHANNELS_MAX 4096
#define LINK_CALLS_MAX	  1024
#define CHANNEL_KEPT_MAX  (16 << 20)	     /* bytes of a stream: the largest window there is */
#define LINK_LINGER	  (2 * USEC_PER_SEC) /* how long the last words may take */
#define LINK_PONG_WITHIN  (8 * USEC_PER_SEC)

enum link_state {
	LINK_GREETING, /* HELLO has not come */
	LINK_UP,
	LINK_ENDING, /* the owner is done with it; the last words are on their way */
	LINK_OVER,   /* no transport any more; freed at the end of the turn */
};

SLIST_HEAD(channel_slist, channel);
TAILQ_HEAD(channel_list, channel);

struct link {
	const struct link_events *events;
	void *arg;
	struct loop *loop;
	const struct log_ctx *log;	  /* the owner's: until it was told of the end */
	struct link_transport *transport; /* NULL: closed or lost */
	enum link_state state;
	bool opens;    /* this side, or else the peer */
	bool asked;    /* the transport knows that we want to write */
	bool released; /* the owner hears no more */
	int want_role, version_min, version_max, version;
	char *want_id, *peer_id;

	struct writer writer;
	struct buf farewell; /* CLOSE, encoded; sent when nothing else is left */
	int broken;	     /* a failure that waits for the end of the turn, and why */
	const char *broken_why;

	struct id_table channels;
	uint32_t last_channel;	     /* highest id that was ever opened */
	bool crowded;		     /* the queues of all streams refused some stream room */
	uint32_t woken;		     /* who was told last that there is some */
	struct channel_list owing;   /* channels that will send CREDIT at the end of the turn */
	struct channel_slist buried; /* gone; their memory goes at the end of the turn */

	struct id_table calls; /* requests that wait for their answer */
	uint64_t last_call;

	int64_t heard, pinged; /* monotonic */
	int64_t ping_nonce, pong_nonce;
	uint64_t head; /* the number of the last one that the peer was sent, and when that was */
	int64_t told;
	bool pong_due;
	int64_t probe_nonce, probed; /* of the ping that measures the way, and when; 0: none is out */

	struct loop_task turn_end;
	struct loop_timer timer; /* HELLO's deadline, later that of the last words */
	struct link_limits *limits, own_limits;
	struct window_pool windows; /* of the streams that end here */
};

/* --- link.c
 * ---------------------------------------------------------------------------------------------- */

/* Queues a control frame and asks to write. HW_ELIMIT and HW_EVALIDATION are the frame's fault; a
 * queue that is full, or no memory, breaks the link at the end of the turn. Nothing is sent on a
 * link that is not up. */
int link_send(struct link *l, const struct frame *f);
int link_send_message(struct link *l, enum frame_kind kind, uint32_t channel,
	const struct msg_row *row, const void *msg);
int link_send_call(struct link *l, const struct frame *head, const struct msg_row *row,
	const void *msg, struct hw_err *err);
int link_send_encoded(struct link *l, const void *p, size_t n);

void link_want_write(struct link *l);
void link_at_turn_end(struct link *l);

/* Ends the link at the end of the turn, as if its peer had failed. `why` is a constant. */
void link_break(struct link *l, int code, const char *why);

/* Decodes a frame's body into a new arena, the caller's on success. */
int link_decode(void **ret, struct arena **arena, const struct msg_row *row, const struct frame *f,
	struct hw_err *err);

/* Text as a message's field takes it: well-formed UTF-8 of at most 1024 bytes. */
#define SENTENCE_MAX 1024
const char *link_sentence(char out[SENTENCE_MAX + 1], int code, const char *text);

/* A peer's optional text: absent and empty are the same. */
static inline const char *
text_or(const char *text, const char *otherwise)
{
	return text != NULL && text[0] != '\0' ? text : otherwise;
}

static inline int
code_or(const char *name, int otherwise)
{
	return name != NULL && name[0] != '\0' ? hw_code_from_name(name) : otherwise;
}

/* --- link_call.c
 * ----------------------------------------------------------------------------------------- */

int link_take_request(struct link *l, const struct frame *f, struct hw_err *err);
int link_take_response(struct link *l, const struct frame *f, struct hw_err *err);
/* Answers all that wait with HW_EUNAVAILABLE; or drops them. */
void link_fail_calls(struct link *l, const char *why);
void link_drop_calls(struct link *l);

/* --- channels
 * -------------------------------------------------------------------------------------------- */

enum channel_state {
	CHANNEL_OPENING, /* ours, not answered */
	CHANNEL_OFFERED, /* the peer's, not answered */
	CHANNEL_OPEN,
	CHANNEL_FLUSHING, /* closed by its owner; queued bytes go before CLOSE does */
	CHANNEL_PARKED,	  /* kept, and without a link */
	CHANNEL_GONE,
};

/* A stream that we receive. */
struct inflow {
	uint64_t received, consumed, limit;
	uint64_t told;	/* the consumed that the peer knows */
	uint64_t swept; /* and the consumed that the last sweep saw */
	int echo;	/* of the bytes from there to consumed */
	int run_echo;	/* of the last ones that were consumed, those from run_from on */
	uint64_t run_from;
	struct window window; /* where it may grow */
	bool ended;
	bool owes; /* a CREDIT is due */
};

/* And one that we send. */
struct sender {
	struct outflow flow;
	uint64_t limit, acked;
	bool ended, end_sent;
	bool jumped;  /* what is before kept_from is not sent any more */
	bool starved; /* the owner was refused room that the peer would have given */
	bool refused; /* it was, for whatever reason, since the channel was taken up last */
};

struct channel {
	struct link *link; /* NULL while it is parked */
	struct loop *loop;
	struct loop_task end; /* of one that was closed while it was parked: frees it */
	const struct channel_events *events;
	void *arg;
	uint32_t id;
	uint32_t window;      /* of each stream that we receive */
	uint32_t peer_window; /* of the OPEN that offered it */
	uint32_t ahead;	      /* bytes of input that may go before ACCEPT */
	enum channel_state state;
	int type;
	bool interactive, recorded, owes;
	bool keeps;
	bool elsewhere; /* what it keeps is with its owner, until it is on a link */
	size_t kept_max;
	bool resuming;		    /* OPENING or OFFERED by RESUME */
	bool taking_over;	    /* and stands wherever the answer says */
	struct channel_stand *peer; /* what its last RESUME said; NULL before one came */
	struct buf later; /* encoded frames: CONTROL that waits for ACCEPT or RESUME, CLOSE that
			     waits for bytes */
	struct inflow in[STREAMS];
	struct sender out[STREAMS];
	TAILQ_ENTRY(channel) owing;
	SLIST_ENTRY(channel) buried;
};

/* channel.c */
struct channel *channel_new(struct link *l, uint32_t id, int type);
void channel_set_state(struct channel *ch, enum channel_state state);
/* Takes it off the link; its memory goes at the end of the turn. Calls nothing. */
void channel_bury(struct channel *ch);
/* The same, and `by` has its id from now on. */
void channel_bury_replaced(struct channel *ch, struct channel *by);
void channel_set_limits(struct channel *ch, int64_t window); /* of the streams that we send */
/* ACCEPT went either way: sends what waited for it. */
void channel_opened(struct channel *ch);
/* Bytes of a stream went to the transport. */
void channel_bytes_went(struct link *l, const struct outflow *flow);
/* Calls on_drained where room has come back, after queues of other streams had taken it. */
void channel_look_for_room(struct link *l);
void channel_send_credit(struct link *l);
/* What was consumed of streams that the peer keeps, and nothing told yet. Part of link_sweep(). */
void channel_sweep_credit(struct link *l);
void channel_free_buried(struct link *l);
void channel_send_ends(struct channel *ch);
/* Calls on_drained where it is due. */
void channel_tell_all_room(struct channel *ch);
/* Sends what waited for the peer's answer. */
void channel_send_later(struct channel *ch);
/* CREDIT that came to be owed while nothing could be told. */
void channel_owe_credit(struct channel *ch);
/* The stream has ended: what was consumed of it without a word is told, as no more will be. */
void channel_owe_last(struct channel *ch, int stream);
void channel_free(struct channel *ch);
/* on_close for all, or on_park where the link was lost; those that are being flushed stay when
 * `flush` says so. */
void channel_end_all(struct link *l, int code, const char *why, bool flush);

/* channel_resume.c */
/* Whether a link that goes, or an interruption, parks it. */
bool channel_parks(const struct channel *ch);
/* Takes it off its link, and tells its owner. */
void channel_park(struct channel *ch, int code, const char *why);
void channel_drop_parked(struct channel *ch); /* its memory goes at the end of the turn */
int channel_take_resume(struct link *l, const struct frame *f, struct hw_err *err);

/* channel_offer.c */
/* A frame that offers a channel: its message, where in that the channel's type stands, and what to
 * do with the channel, which is OFFERED, for the taker to attach to. */
struct channel_offer {
	const struct msg_row *row;
	size_t type;
	void (*hand)(struct link *l, struct channel *ch, const void *msg);
};
/* Hands it on, or refuses it, which is no error; HW_EPROTO, HW_ESERIAL. */
int channel_take_offer(struct link *l, const struct frame *f, const struct channel_offer *offer,
	struct hw_err *err);
bool channel_is_untaken(const struct channel *ch); /* OFFERED, and nobody has attached */

/* channel_input.c */
int channel_input(struct link *l, const struct frame *f, struct hw_err *err);

#endif
