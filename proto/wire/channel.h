/*
 * A channel of a link: up to three streams each way, counted in absolute byte offsets from 0.
 *
 * A stream's receiver grants credit: how far the sender may go (`limit`), and what it has done with
 * (`consumed`, an acknowledgement). The channel checks both directions of its peer: bytes out of
 * order, past the limit, after the end, or credit that goes back are protocol errors and close the
 * link.
 *
 * Loop thread only. The link owns the channel; the pointer is good until on_close returns.
 */
#ifndef HAWSER_WIRE_CHANNEL_H
#define HAWSER_WIRE_CHANNEL_H

#include "proto/wire/frame.h"
#include "proto/wire/link.h"

struct channel_events {
	/* Our OPEN was answered. After on_reject nothing else is called: the channel is gone. */
	void (*on_accept)(void *arg, struct channel *ch, const struct msg_accept *accept);
	void (*on_reject)(void *arg, struct channel *ch, int code, const char *message);
	/* Bytes in order. They count against the window until channel_consume(). */
	void (*on_data)(void *arg, struct channel *ch, int stream, uint64_t offset,
		const uint8_t *p, size_t n);
	/* The stream ends here. */
	void (*on_end)(void *arg, struct channel *ch, int stream, uint64_t offset);
	/* The peer's credit for a stream that we send: room may have grown, consumed may have
	 * moved. */
	void (*on_credit)(void *arg, struct channel *ch, int stream, uint64_t consumed,
		uint64_t limit, int echo);
	/* There is room in the queues again (less than half of each is taken), after channel_room()
	 * or channel_write() gave less than the peer would have taken: send again. */
	void (*on_drained)(void *arg, struct channel *ch, int stream);
	void (*on_control)(void *arg, struct channel *ch, const struct msg_control *control);
	/* The peer closed it, or its link went (HW_EUNAVAILABLE; channel_is_cut() says which).
	 * Last call. */
	void (*on_close)(void *arg, struct channel *ch, int code, const struct msg_close *close);

	/* Instead, for one that is kept: its link went (HW_EUNAVAILABLE), or the peer interrupted
	 * it (HW_EINTERRUPTED). It is parked. */
	void (*on_park)(void *arg, struct channel *ch, int code, const char *why);
	/* RESUME was answered, and bytes go on from where both sides stand. After this on_drained
	 * comes for each stream that was refused bytes, for whatever reason. channel_stand() is the
	 * peer's. A RESUME that was refused is on_reject. */
	void (*on_resume)(void *arg, struct channel *ch, const struct msg_resume *answer);
};

/* Opens one towards the peer. `window` is the first limit of every stream that we receive. Until
 * on_accept there is no room to write, but for the input that its type lets go ahead, with its END;
 * CONTROL and other ENDs are kept until then.
 * HW_EUNAVAILABLE when the link is not up. */
int channel_open(struct channel **ret, struct link *l, const struct msg_open *open,
	const struct channel_events *events, void *arg, struct hw_err *err);

/* For a channel of on_open: who gets its events. One that is neither attached nor answered when
 * on_open returns is rejected. Input that goes ahead may come before it is accepted; it is not
 * consumed before that. */
void channel_attach(struct channel *ch, const struct channel_events *events, void *arg);
void channel_accept(struct channel *ch, const struct msg_accept *accept);
void channel_reject(struct channel *ch, int code, const char *message);

/* Ends it at once: queued bytes are still sent before CLOSE when `close->code` is empty; what is
 * kept beyond that goes. A peer of one that is parked is not told. No event is called any more; the
 * pointer is dead. */
void channel_close(struct channel *ch, const struct msg_close *close);
/* The same with a code and a sentence. */
void channel_abort(struct channel *ch, int code, const char *message);

/* --- sending
 * -----------------------------------------------------------------------------------------------
 */

/* Bytes that channel_write would take now: the peer's limit, the queue's cap and the link's. Where
 * it is the queues that bound it, on_drained follows. */
size_t channel_room(struct channel *ch, int stream);

/* on_drained follows when bytes of the stream have gone, though no room was refused. */
void channel_ask_drained(struct channel *ch, int stream);

/* Queues up to n bytes (copied) at the stream's end; returns how many, fewer when room is less. */
size_t channel_write(struct channel *ch, int stream, const void *p, size_t n);
void channel_end(struct channel *ch, int stream);

/* Drops what is queued for the stream and was not given to the transport. Nothing may be written to
 * it after that. Of one that is kept, what was given is not sent again either: close it. */
void channel_discard(struct channel *ch, int stream);
void channel_control(struct channel *ch, const struct msg_control *control);
/* Bytes of control frames that its link takes before it breaks; 0 when there is none. */
size_t channel_control_room(const struct channel *ch);

uint64_t channel_sent(const struct channel *ch, int stream); /* offset after the last queued byte */
uint64_t channel_acked(const struct channel *ch, int stream); /* the peer's consumed */
uint64_t channel_limit(const struct channel *ch, int stream); /* the peer's limit */
size_t channel_queued(const struct channel *ch,
	int stream); /* bytes not yet given to the transport */

/* --- receiving
 * --------------------------------------------------------------------------------------------- */

/* n more bytes are done with; `echo` goes along for input streams. The limit follows: consumed +
 * window, which grows (window.h) where nothing is recorded, told when it has grown by a quarter
 * window. What was consumed is told at once of input that is recorded, and otherwise along with the
 * limit, or when all up to the stream's end is; of what nobody records that waits for the END of
 * the other direction. Of what is recorded, and kept by its sender, link_sweep() tells it too: once
 * it is 1 KiB, or no more was consumed since the last sweep. CREDIT frames are merged and sent at
 * the end of the turn. */
void channel_consume(struct channel *ch, int stream, size_t n, int echo);

/* Exact credit, for a relay that passes it through: sent as it is at the end of the turn. A value
 * that would go back stays where it was. */
void channel_credit(struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo);

uint64_t channel_received(const struct channel *ch, int stream);

/* --- resuming
 * ----------------------------------------------------------------------------------------------
 *
 * An end of a channel that is kept outlives its link. What it sends is kept until the peer has
 * consumed it; the peer's limit counts for no more than 16 MiB beyond that. While it is parked it
 * has no link: there is no room, what was consumed is counted, an END is remembered, and a CONTROL
 * is lost. While RESUME waits for its answer a CONTROL waits with it. RESUME puts it on a link
 * again, with a new id; both sides say where they stand, and each sends from what the other has
 * received. The opener of the channel is the one that resumes it.
 *
 * A relay keeps nothing: it joins new channels of both sides, at offsets that it chooses from what
 * they say.
 */

/* Of one stream: as its receiver, and as its sender. */
struct channel_stand {
	uint64_t received, consumed, limit;
	uint64_t kept_from, sent;
	bool end_received;
	int echo; /* enum frame_echo, of all bytes from echo_from to consumed */
	uint64_t echo_from;
};

/* From now on it is kept; before anything is written to it, best at once after channel_open() or in
 * on_open. One that is lost before it was accepted is not parked. */
void channel_keep(struct channel *ch);
/* A stream of it takes at most so many bytes that the peer has not consumed, whatever the peer
 * allows; above what a receiver lets pass before it acknowledges, which is a quarter of its window.
 */
void channel_keep_less(struct channel *ch, size_t most);
bool channel_is_parked(const struct channel *ch);

/* Takes a parked one up, of this side's opening, on a link that is up. `who` names it: its Streams
 * are filled in here. on_resume or on_reject follows, or on_park again. Until then channel_close()
 * reaches the peer already. HW_EUNAVAILABLE, HW_ELIMIT, HW_ENOMEM: it stays parked. */
int channel_resume(struct channel *ch, struct link *l, const struct msg_resume *who,
	struct hw_err *err);

/* Of the side that did not open it: one that an earlier process had on a link, kept and parked,
 * where `ours` says. What it had sent is its owner's: from where it is taken up again, which is
 * channel_sent() then, the owner writes it. `window` is that of the streams that it receives.
 * HW_ENOMEM. */
int channel_new_parked(struct channel **ret, struct loop *loop, int type, int64_t window,
	const struct channel_stand ours[STREAMS], const struct channel_events *events, void *arg,
	struct hw_err *err);

/* For a channel that link_events.on_resume offered: puts ch, which is kept, in its place, and
 * answers with `who`. One that is not parked yet, on this link or on an older one, is taken off it.
 * on_drained may be called from inside. `offered` is dead then. HW_EVALIDATION when the peer stands
 * where ch cannot serve it, or ch is not accepted yet: nothing has happened, and the offer is still
 * to be rejected. */
int channel_rejoin(struct channel *ch, struct channel *offered, const struct msg_resume *who,
	struct hw_err *err);

/* A relay's, towards a node: as channel_open(), with RESUME. The streams begin where `ours` says;
 * on_resume has the peer's. */
int channel_open_resumed(struct channel **ret, struct link *l, const struct msg_resume *who,
	const struct channel_stand ours[STREAMS], const struct channel_events *events, void *arg,
	struct hw_err *err);
/* A client's, towards a relay: RESUME of a session that another channel of some client's had. It is
 * kept. Both directions begin where the answer says, and what comes then is as after
 * channel_resume(). `window` is that of the streams that it receives. */
int channel_open_taking_over(struct channel **ret, struct link *l, const struct msg_resume *who,
	int64_t window, const struct channel_events *events, void *arg, struct hw_err *err);
/* And towards a client: answers what was offered. One that is kept sends from where the peer
 * stands, or from ours' kept_from when that is further. */
void channel_accept_resumed(struct channel *ch, const struct msg_resume *who,
	const struct channel_stand ours[STREAMS]);
/* A parked one's: what it receives of the stream goes on elsewhere than it stood. `limit` is not
 * below `received`. */
void channel_set_received(struct channel *ch, int stream, uint64_t received, uint64_t consumed,
	uint64_t limit);
/* A parked one's that is sent: what is kept of it goes, and the stream goes on at the offset, which
 * is not below what was sent. A peer that stands before it goes on there too. */
void channel_jump(struct channel *ch, int stream, uint64_t offset);
/* What the peer said of itself, of an offer and from on_resume on: STREAMS of them. */
const struct channel_stand *channel_stand(const struct channel *ch);

/* The way onward is lost: a peer that keeps the channel parks it and resumes, others see it
 * closed. No event is called. One that is kept at this end is parked; otherwise the pointer is
 * dead. */
void channel_interrupt(struct channel *ch, const char *why);

/* In on_close: whether it was its link that went. A peer can name any code in a CLOSE. */
bool channel_is_cut(const struct channel *ch);

uint32_t channel_id(const struct channel *ch);
struct link *channel_link(const struct channel *ch);
int channel_type(const struct channel *ch);

#endif
