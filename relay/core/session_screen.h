/*
 * What a terminal that comes to a running shell is shown first. The node is asked for its screen as
 * output up to some offset has left it; when that much is recorded, the screen is recorded too and
 * shown, and the output goes on from there. Who comes meanwhile shares it. A node that does not
 * answer in time, or answers what cannot be, has none to show: output goes on where it stands.
 *
 * Loop thread only; the session's own.
 */
#ifndef HAWSER_CORE_SESSION_SCREEN_H
#define HAWSER_CORE_SESSION_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/loop.h"

struct channel;
struct msg_control;
struct session;

enum screen_state {
	SCREEN_IDLE,
	SCREEN_ASKED,
	SCREEN_COMES, /* its first part is there */
	SCREEN_WHOLE, /* and its last; output before it is not */
};

struct session_screen {
	enum screen_state state;
	bool resized; /* it was asked for anew once; the program draws for the next size itself */
	int64_t nonce, asked_at;
	uint64_t offset;
	struct buf bytes;
	struct buf tail; /* output from the offset on */
	struct loop_timer timer;
};

struct session_shown {
	uint64_t offset;
	const struct buf *bytes, *tail;
};

void session_screen_init(struct session *s);
void session_screen_fini(struct session *s);

/* Somebody waits for it: asks the node, if it is not asked yet. */
void session_screen_want(struct session *s);
/* A part of it from the node. */
void session_screen_take(struct session *s, const struct msg_control *c);
/* Output that is recorded. May show the screen, and end the session. */
void session_screen_output(struct session *s, uint64_t offset, const uint8_t *p, size_t n);
/* The program's terminal has another size: what was asked for is drawn for the one before. */
void session_screen_resized(struct session *s);
/* The node that was asked is lost. */
void session_screen_forget(struct session *s);
/* Asks once more for those who came at a bad moment. */
void session_screen_sweep(struct session *s);

/* Whether it fits what waits on the channel's link by now. */
bool session_shown_fits(const struct session_shown *shown, const struct channel *ch);
/* Tells it on a channel; before anything is written there. */
void session_shown_tell(const struct session_shown *shown, struct channel *ch);

#endif
