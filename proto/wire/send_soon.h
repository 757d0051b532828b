/*
 * When a transport writes: at the end of the loop's turn instead of waiting for the poller to say
 * that the socket has room, because for the few bytes of a keystroke the question costs more than
 * the answer; and how much at once, so that what is in the kernel already never keeps a keystroke
 * waiting for long. A transport embeds one.
 *
 * docs/decisions/writing-unasked.md says why.
 */
#ifndef HAWSER_WIRE_SEND_SOON_H
#define HAWSER_WIRE_SEND_SOON_H

#include "proto/base/loop.h"

struct send_soon {
	struct loop *loop;
	struct loop_task task;
	void (*write)(void *arg);
	void *arg;
	int fd;
	size_t batch;	  /* bytes since it began */
	size_t unasked;	  /* and since the poller last said that there is room */
	bool interactive; /* somebody types on the link */
	bool corked;
	bool waited; /* for what else this turn's end has to say */
};

/* Of bytes that the socket has not sent yet, as it counts them (TCP_NOTSENT_LOWAT). */
#define SEND_UNSENT_MAX		(128 * 1024)
#define SEND_UNSENT_INTERACTIVE (16 * 1024)

/* Of bytes that are given to it at once, before others' events are looked at. */
#define SEND_BATCH_MAX	       (256 * 1024)
#define SEND_BATCH_INTERACTIVE (16 * 1024)

/* write(arg) is called once at the end of a turn in which send_soon() was, after what other tasks
 * of the turn's end have queued, so that it leaves in one message. `fd` is the socket, whose
 * options are set here. */
void send_soon_init(struct send_soon *s, struct loop *loop, int fd, void (*write)(void *arg),
	void *arg);
void send_soon_fini(struct send_soon *s); /* a zeroed one is fine */

/* False: too much was written unasked, and the poller must be asked. */
bool send_soon(struct send_soon *s);
void send_soon_asked(struct send_soon *s); /* the poller said that there is room */

/* Around the messages that are written at once: begin; may there be one more; it had n bytes, and
 * whether others follow; end. Small segments are held back until the end. */
void send_soon_begin(struct send_soon *s, bool interactive);
bool send_soon_may(const struct send_soon *s);
void send_soon_wrote(struct send_soon *s, size_t n, bool more);
void send_soon_end(struct send_soon *s);

#endif
