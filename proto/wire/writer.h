/*
 * What a link sends next: a queue of control frames, and the streams' queues of bytes, in chunks
 * that leave room for their frame's head. Private to the link's files.
 *
 * Order: control frames, interactive streams in turn, bulk streams in turn. A message with a frame
 * of bytes fills one TLS record at most, so that its receiver never has to put it together.
 */
#ifndef HAWSER_WIRE_WRITER_H
#define HAWSER_WIRE_WRITER_H

#include <sys/queue.h>

#include "proto/wire/frame.h"
#include "proto/wire/link.h"

/* Room for some replies of the largest size at once; who leaves more lying takes nothing. */
#define WRITER_CONTROL_MAX (4 << 20)
#define WRITER_BATCH_MAX   (64 << 10) /* control frames in a message, unless one alone is larger */
#define WRITER_SMALL	   1024	      /* bytes of a stream that share a message with others */
/* Payload of a message that fits one TLS record of 16 KiB, with its own head and WebSocket's: a few
 * bytes more would be a record, and system calls at both ends, of their own. A little less, so that
 * four records are one segment as large as the kernel makes them, and nothing is left to wake the
 * other side for. */
#define WRITER_SLICE 16312
#define WRITER_PIECE (4 * WRITER_SLICE) /* the largest part of a queue that lies in one place */

struct chunk;
struct packet;

/* One stream's queue. The channel embeds it. When it keeps, bytes stay in their chunks after the
 * transport has got them, until the peer has consumed them. */
struct outflow {
	TAILQ_ENTRY(outflow) turn;
	TAILQ_HEAD(chunk_queue, chunk) chunks;
	uint64_t given;	    /* offset of the first byte that the transport has not got */
	size_t queued;	    /* bytes behind it that may go */
	uint64_t sent;	    /* offset after the last byte that was written */
	uint64_t kept_from; /* offset of the first byte of the first chunk, when it keeps */
	struct chunk
		*next; /* the chunk of `given`, when it keeps and bytes are queued or held back */
	uint32_t channel;
	uint8_t stream;
	bool interactive, keeps;
};

TAILQ_HEAD(outflow_list, outflow);

struct writer {
	TAILQ_HEAD(packet_queue, packet) control;
	size_t control_bytes;
	struct outflow_list ready[2]; /* by channel class; streams with bytes, the next one first */
	size_t queued;		      /* bytes of streams */
	size_t message_max;	      /* what the peer takes */
	unsigned interactive;	      /* open channels of that class */
	struct link_limits *limits;

	/* What writer_next() returned last is in one of these. */
	struct packet *lent_packet;
	struct chunk *lent_chunk; /* may still be in its stream's queue */
	struct chunk *copy;	  /* of bytes that are kept */

	/* Chunks of the largest size and an empty packet, to be used again. */
	SLIST_HEAD(, chunk) spare;
	unsigned spares;
	struct packet *spare_packet;
	bool spared; /* one was taken since the last sweep */
};

void writer_init(struct writer *w, struct link_limits *limits);
void writer_fini(struct writer *w); /* after the streams' outflow_fini() */

/* Each appends one control frame. HW_ELIMIT: larger than the peer takes; HW_EVALIDATION: the
 * message breaks its row; HW_EFULL: the queue is at its cap; HW_ENOMEM. On failure nothing is
 * queued. */
int writer_frame(struct writer *w, const struct frame *f);
int writer_message(struct writer *w, enum frame_kind kind, uint32_t channel,
	const struct msg_row *row, const void *msg);
/* A REQUEST or RESPONSE whose body is the message. */
int writer_call(struct writer *w, const struct frame *head, const struct msg_row *row,
	const void *msg, struct hw_err *err);
/* Frames that were encoded before. */
int writer_encoded(struct writer *w, const void *p, size_t n);
void writer_drop_control(struct writer *w);

void outflow_init(struct outflow *f, uint32_t channel, uint8_t stream, bool interactive);
void outflow_drop(struct writer *w, struct outflow *f);
/* Copies n bytes to the end; returns how many, fewer only without memory. */
size_t outflow_write(struct writer *w, struct outflow *f, const void *p, size_t n);

/* --- of one that keeps */

/* The peer has consumed what is before the offset, which is not above `given`. */
void outflow_acked(struct writer *w, struct outflow *f, uint64_t offset);
/* Takes it off the writer: nothing is queued any more, all is kept. */
void outflow_detach(struct writer *w, struct outflow *f);
/* Puts it on a writer: bytes go from `offset` on, kept_from <= offset <= sent, and for now no
 * further than the limit. */
void outflow_rewind(struct writer *w, struct outflow *f, uint64_t offset, uint64_t limit);
/* The limit has grown: what was held back may go so far. */
void outflow_let_go(struct writer *w, struct outflow *f, uint64_t limit);

/* The next message with LINK_HEADROOM bytes before it, or NULL. It is good until writer_release()
 * or the next call. *from is the stream that lost bytes to it, or NULL. */
uint8_t *writer_next(struct writer *w, size_t *n, struct outflow **from);
/* Adds to that message what is small and comes next, a stream's few bytes or control frames; it may
 * move. As long as *from is not NULL there may be more. */
uint8_t *writer_add(struct writer *w, uint8_t *message, size_t *n, struct outflow **from);
void writer_release(struct writer *w);

/* Gives back what is kept for a flow of bytes that has ended; call it every second or so. */
void writer_sweep(struct writer *w);

bool writer_idle(const struct writer *w);

#endif
