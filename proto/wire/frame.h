/*
 * Frames, as docs/protocol.md lays them out: msgpack arrays [kind, channel, ...], one or more whole
 * ones in a WebSocket message. Pure functions over bytes.
 */
#ifndef HAWSER_WIRE_FRAME_H
#define HAWSER_WIRE_FRAME_H

#include "proto/base/buf.h"
#include "proto/schema/schema.h"

#define PROTO_VERSION	  1
#define PROTO_SUBPROTOCOL "hawser.1"
#define FRAME_DATA_MAX	  (64 * 1024)  /* payload of one DATA frame */
#define FRAME_BODY_MAX	  (192 * 1024) /* body of any other frame */
#define FRAME_MESSAGE_MAX (256 * 1024) /* one WebSocket message */
#define FRAME_DATA_HEAD	  22	       /* bytes before a DATA frame's payload, always */
#define FRAME_NAME_MAX	  64	       /* an operation's or error code's name */
#define FRAME_STREAM_MAX  127	       /* a stream's number takes one byte */

/* A parsed frame; pointers lead into the input. Only the members of its kind are set. */
struct frame {
	enum frame_kind kind;
	uint32_t channel;
	uint8_t stream;	 /* DATA CREDIT END */
	uint64_t offset; /* DATA END; `consumed` of CREDIT */
	uint64_t limit;	 /* CREDIT */
	int echo;	 /* CREDIT: enum frame_echo of the bytes since the last consumed */
	uint64_t id;	 /* REQUEST RESPONSE */
	const char *
		name; /* REQUEST: operation; RESPONSE: error code, empty when none; not NUL-ended */
	size_t name_len;
	const uint8_t *body; /* DATA: payload; others: one encoded message */
	size_t body_len;
};

/* Of input bytes, in CREDIT: whether the terminal showed them. */
enum frame_echo { ECHO_UNKNOWN, ECHO_SHOWN, ECHO_HIDDEN };

#define OFFSET_MAX \
	(UINT64_C(1) << 62) /* no stream is longer; larger offsets are a protocol error */

/* Reads the frame at p and sets *used. HW_EPROTO with what was wrong: unknown kind, wrong type, cut
 * off, over a bound, offset above OFFSET_MAX, a channel that the kind may not name (HELLO, REQUEST
 * and RESPONSE are channel 0's; CLOSE and CONTROL may be; nothing else is). Elements after the
 * known ones are skipped. A body is a map, not yet looked into. */
int frame_parse(struct frame *f, const void *p, size_t n, size_t *used, struct hw_err *err);

/* Writes the head of a DATA frame whose payload of len bytes follows it. */
void frame_data_head(uint8_t out[FRAME_DATA_HEAD], uint32_t channel, uint8_t stream,
	uint64_t offset, uint32_t len);

/* Appends the whole frame, or nothing: HW_ELIMIT, HW_ENOMEM. A body of no bytes is a message
 * without fields. */
int frame_encode(struct buf *out, const struct frame *f);

/* Appends a frame of `kind` on `channel` whose body is the message; HW_EVALIDATION besides. */
int frame_encode_msg(struct buf *out, enum frame_kind kind, uint32_t channel,
	const struct msg_row *row, const void *msg);

/* The same of a REQUEST or RESPONSE, of which `head` has all but the body. */
int frame_encode_call(struct buf *out, const struct frame *head, const struct msg_row *row,
	const void *msg, struct hw_err *err);

#endif
