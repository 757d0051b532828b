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
	/* The peer closed it, or its link went (HW_EUNAVAILABLE; close->code says which). Last
	 * call. */
	void (*on_close)(void *arg, struct channel *ch, int code, const struct msg_close *close);
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

/* Ends it at once: queued bytes are still sent before CLOSE when `close->code` is empty. No event
 * is called any more; the pointer is dead. */
void channel_close(struct channel *ch, const struct msg_close *close);
/* The same with a code and a sentence. */
void channel_abort(struct channel *ch, int code, const char *message);

/* --- sending
 * -----------------------------------------------------------------------------------------------
 */

/* Bytes that channel_write would take now: the peer's limit, the queue's cap and the link's. Where
 * it is the queues that bound it, on_drained follows. */
size_t channel_room(struct channel *ch, int stream);

/* Queues up to n bytes (copied) at the stream's end; returns how many, fewer when room is less. */
size_t channel_write(struct channel *ch, int stream, const void *p, size_t n);
void channel_end(struct channel *ch, int stream);

/* Drops what is queued for the stream and was not given to the transport. Nothing may be written to
 * it after that. */
void channel_discard(struct channel *ch, int stream);
void channel_control(struct channel *ch, const struct msg_control *control);

uint64_t channel_sent(const struct channel *ch, int stream); /* offset after the last queued byte */
uint64_t channel_acked(const struct channel *ch, int stream); /* the peer's consumed */
uint64_t channel_limit(const struct channel *ch, int stream); /* the peer's limit */
size_t channel_queued(const struct channel *ch,
	int stream); /* bytes not yet given to the transport */

/* --- receiving
 * --------------------------------------------------------------------------------------------- */

/* n more bytes are done with; `echo` goes along for input streams. The limit follows: consumed +
 * window, told when it has grown by a quarter window. What was consumed is told at once of input,
 * with the limit of output. CREDIT frames are merged and sent at the end of the turn. */
void channel_consume(struct channel *ch, int stream, size_t n, int echo);

/* Exact credit, for a relay that passes it through: sent as it is at the end of the turn. A value
 * that would go back stays where it was. */
void channel_credit(struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo);

uint64_t channel_received(const struct channel *ch, int stream);

uint32_t channel_id(const struct channel *ch);
struct link *channel_link(const struct channel *ch);
int channel_type(const struct channel *ch);

#endif
