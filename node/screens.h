/*
 * The screens of a session's program, as the relay asks for them. One is under way at a time; what
 * is asked meanwhile is answered by it, or, once it has begun to go, by one more.
 */
#ifndef HAWSER_NODE_SCREENS_H
#define HAWSER_NODE_SCREENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel;

struct screens {
	int64_t nonce; /* of the one under way */
	int64_t next;  /* of what was asked once that had begun to go */
	bool under_way, begun, again;
	bool given_up; /* of the one under way nothing more goes */
	uint64_t offset;
	size_t len;
};

/* CONTROL Repaint. Returns true when the program is to be asked for its screen. */
bool screens_ask(struct screens *s, int64_t nonce);

/* Answers all that was asked: there is no screen. `offset` is where the output stands. */
void screens_refuse(struct screens *s, struct channel *ch, uint64_t offset);

/* A part from the program goes to the relay. What nobody asked for, or is more than a screen may
 * be, or has nothing in it though more follows, or would break a link that takes nothing, is
 * dropped: to the relay that is no answer. Returns true when the program is to be asked again. */
bool screens_pass(struct screens *s, struct channel *ch, uint64_t offset, const uint8_t *p,
	size_t n, bool more);

#endif
