/*
 * One end of a forwarded connection: a socket, or a pair of pipes, on this side of a channel. What
 * is read goes into the channel as far as there is room; what the channel brings is written, and
 * credited once it is. Each direction ends by itself, as TCP's do.
 *
 * Loop thread only. The channel is its owner's, who hands its events on.
 */
#ifndef HAWSER_WIRE_TUBE_H
#define HAWSER_WIRE_TUBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct channel;
struct loop;
struct tube;

/* Where bytes are between socket and channel; one is enough for all tubes of a loop. As much as
 * fits four frames: a byte more would be a frame of its own. */
#define TUBE_READ_MAX 65248
struct tube_scratch {
	uint8_t bytes[TUBE_READ_MAX];
};

struct tube_config {
	struct loop *loop;
	struct tube_scratch *scratch;
	int stream; /* that what is read goes to: STREAM_IN or STREAM_OUT; the other is written */
	/* Over, and the last call: 0 when both directions have ended and all is delivered;
	 * HW_ERESET; HW_EIO with errno; HW_ELIMIT for a peer that broke its window. */
	void (*on_over)(void *arg, int code, int error);
	void *arg;
};

/* For a channel that is opening, offered or open. HW_ENOMEM. */
int tube_new(struct tube **ret, struct channel *ch, const struct tube_config *config,
	struct hw_err *err);
/* Takes the descriptors, non-blocking ones unless they are pipes of others': reading and writing
 * begin. One socket is both. What came before is written; the channel is open or lets input go
 * ahead. HW_ENOMEM: they stay the caller's. */
int tube_start(struct tube *t, int in, int out, struct hw_err *err);
/* Closes what it has; `reset` so that the far end sees an abort. NULL is fine. */
void tube_free(struct tube *t, bool reset);

/* The channel's on_data, on_end of the stream that is written, and on_credit or on_drained of the
 * one that is read. */
void tube_data(struct tube *t, const uint8_t *p, size_t n);
void tube_end(struct tube *t);
void tube_room(struct tube *t);
/* The channel has ended in order, and is no more: what it brought is written, then it is over. */
void tube_finish(struct tube *t);

/* Whether what is read has said that nothing more comes from it. */
bool tube_read_ended(const struct tube *t);
uint64_t tube_bytes_read(const struct tube *t);
uint64_t tube_bytes_written(const struct tube *t);

#endif
