/*
 * What of a program's output matters to one who writes a line of his own on its screen: whether it
 * is in the middle of a sequence, which screen it shows, and what modes it leaves behind. No
 * terminal is emulated. Pure: bytes in.
 */
#ifndef HAWSER_CLIENT_SCREEN_H
#define HAWSER_CLIENT_SCREEN_H

#include "proto/base/buf.h"

#define SCREEN_TORN_MAX 32

/* What is not as at the start. */
struct screen_left {
	unsigned modes; /* a bit for each row of the modes */
	unsigned marks; /* likewise: attributes, scroll region, ... */
	int kitty[2];	/* kitty's flags of keys, pushed and not popped: each screen has its own */
};

struct screen {
	enum {
		SCREEN_TEXT,
		SCREEN_ESCAPE,
		SCREEN_SEQUENCE,
		SCREEN_STRING,
		SCREEN_STRING_ESCAPE
	} state;
	uint8_t torn[SCREEN_TORN_MAX]; /* the sequence so far */
	size_t n_torn;
	int utf8; /* bytes that the last character lacks */
	struct screen_left now;
	struct screen_left ever; /* since screen_settle() */
};

void screen_feed(struct screen *s, const void *p, size_t n);

/* A full-screen program's: it has no lines that could scroll away. */
bool screen_is_alternate(const struct screen *s);
/* Whether other bytes may come in between: after CAN, and with screen_torn() after them. Not in the
 * middle of a character, or of a string that is long. */
bool screen_may_break(const struct screen *s);
/* Appends the sequence that was begun: nothing most of the time. */
void screen_torn(const struct screen *s, struct buf *out);

/* What comes next begins anew, in the middle of a sequence or not. Appends what ends that on the
 * terminal. */
void screen_cut(struct screen *s, struct buf *out);

/* All that was fed is on the terminal by now. */
void screen_settle(struct screen *s);

/* Appends what puts back all that the program has set and left, on a terminal of so many columns;
 * wherever in what was fed since screen_settle() the terminal stands. */
void screen_restore(const struct screen *s, int cols, struct buf *out);

#endif
