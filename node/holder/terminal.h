/*
 * A terminal without a display: what a program's output makes of a screen, of the size that it has,
 * as xterm and its like do it. It answers nothing. Any byte may come; the work for each is bounded
 * by a row's or a column's length.
 */
#ifndef HAWSER_HOLDER_TERMINAL_H
#define HAWSER_HOLDER_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/holder/grid.h"
#include "node/holder/pen.h"
#include "node/holder/sequence.h"

#define TERMINAL_TITLE_MAX 256

enum terminal_mode {
	MODE_INSERT,
	MODE_NEWLINE,
	MODE_CURSOR_KEYS,
	MODE_REVERSE,
	MODE_ORIGIN,
	MODE_AUTOWRAP,
	MODE_BLINK,
	MODE_VISIBLE,
	MODE_KEYPAD, /* ESC = and ESC > */
	MODE_MOUSE_PRESS,
	MODE_MOUSE_CLICK,
	MODE_MOUSE_DRAG,
	MODE_MOUSE_MOVE,
	MODE_FOCUS,
	MODE_MOUSE_UTF8,
	MODE_MOUSE_SGR,
	MODE_MOUSE_URXVT,
	MODE_MOUSE_PIXELS,
	MODE_ALT_SCROLL,
	MODE_PASTE,
	MODES
};

/* Of one group at most one is on. */
enum mode_group { GROUP_NONE, GROUP_MOUSE, GROUP_MOUSE_FORM };

struct mode_row {
	uint16_t number;
	uint8_t leader; /* '?' or 0 */
	uint8_t group;
	bool on;     /* to begin with */
	bool untold; /* not said unless the program did: it is a setting of the user's terminal */
};
extern const struct mode_row terminal_modes[MODES];

struct charsets {
	uint8_t set[2]; /* G0 and G1: 'B' or '0' */
	uint8_t shift;	/* which is in use */
};

/* Where something was drawn on the last column, marks go there; and the next character may go to
 * the next row. */
enum edge { EDGE_NONE, EDGE_DRAWN, EDGE_WRAPS };

struct position {
	int row, col;
	uint8_t edge;
	bool origin;
	struct pen pen;
	struct charsets charsets;
};

struct title {
	uint16_t len;
	char text[TERMINAL_TITLE_MAX]; /* UTF-8 without controls; no NUL */
};

struct terminal {
	int rows, cols;
	struct grid screens[2]; /* the alternate one is empty until it is used */
	int shown;
	struct position at, saved[2];
	int top, bottom;      /* the rows that scroll: from, and to before */
	uint32_t modes, told; /* a bit for each: it is on; the program said something of it */
	uint8_t *tabs;	      /* a byte for each column */
	uint8_t cursor_shape; /* DECSCUSR */
	uint16_t modify_keys; /* xterm's modifyOtherKeys */
	uint32_t last;	      /* the character before, if nothing else came between; or 0 */
	bool titled;
	struct title title, pushed;
	struct sequence sequence;
};

/* False without memory. Both are at least 1. */
bool terminal_init(struct terminal *t, int rows, int cols);
void terminal_fini(struct terminal *t);

void terminal_write(struct terminal *t, const uint8_t *p, size_t n);
/* The program's screen goes on with another size, as a terminal that wraps nothing anew. False
 * without memory: it is as it was. */
bool terminal_resize(struct terminal *t, int rows, int cols);

/* Text and line feeds alone, from a state as it is now, leave of the screen before nothing but its
 * size once they have scrolled it out. */
bool terminal_is_plain(const struct terminal *t);
/* Text was passed over whose last bytes were CR and LF. */
void terminal_passed(struct terminal *t);

static inline bool
terminal_mode(const struct terminal *t, enum terminal_mode m)
{
	return (t->modes >> m & 1) != 0;
}

#endif
