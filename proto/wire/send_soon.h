/*
 * Writing at the end of the loop's turn instead of waiting for the poller to say that the socket
 * has room: for the few bytes of a keystroke the question costs more than the answer. A transport
 * embeds one, and may write so many bytes unasked; after that it asks the poller once, so that what
 * lies in the kernel stays bounded.
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
	size_t unasked; /* bytes since the poller last said that there is room */
	bool waited;	/* for what else this turn's end has to say */
};

#define SEND_UNASKED_MAX (64 * 1024)

/* write(arg) is called once at the end of a turn in which send_soon() was, after what other tasks
 * of the turn's end have queued, so that it leaves in one message. */
void send_soon_init(struct send_soon *s, struct loop *loop, void (*write)(void *arg), void *arg);
void send_soon_fini(struct send_soon *s); /* a zeroed one is fine */

/* False: too much was written unasked, and the poller must be asked. */
bool send_soon(struct send_soon *s);

void send_soon_wrote(struct send_soon *s, size_t n);
void send_soon_asked(struct send_soon *s); /* the poller said that there is room */

#endif
