#include "node/holder/screen.h"

#include <stdlib.h>
#include <string.h>

#include "node/holder/repaint.h"
#include "node/holder/terminal.h"

#define WAITING_MIN ((size_t)4096)
#define BLOCK	    ((size_t)4096) /* of text, looked at as a whole */

struct screen {
	int cols, rows;
	struct terminal *terminal; /* made of the first output that is looked at */
	uint8_t *waiting;
	size_t len, room;
};

static int
or_default(int v, int other)
{
	return v > 0 ? v : other;
}

struct screen *
screen_new(int cols, int rows)
{
	struct screen *s = calloc(1, sizeof(*s));

	if (s != NULL) {
		s->cols = or_default(cols, 80);
		s->rows = or_default(rows, 24);
	}
	return s;
}

static void
lose_terminal(struct screen *s)
{
	if (s->terminal != NULL)
		terminal_fini(s->terminal);
	free(s->terminal);
	s->terminal = NULL;
}

static void
drop_waiting(struct screen *s)
{
	free(s->waiting);
	s->waiting = NULL;
	s->len = s->room = 0;
}

void
screen_free(struct screen *s)
{
	if (s == NULL)
		return;
	lose_terminal(s);
	drop_waiting(s);
	free(s);
}

static bool
is_kept(const struct screen *s)
{
	return s->cols <= SCREEN_SIDE_MAX && s->rows <= SCREEN_SIDE_MAX &&
		(int64_t)s->cols * s->rows <= SCREEN_CELLS_MAX;
}

/* --- looking at it -------------------------------------------------------------------------- */

/* Whether the block moves the cursor by printing and by CR, LF and TAB alone. */
static bool
is_text(const uint8_t *p)
{
	unsigned other = 0;

	for (size_t i = 0; i < BLOCK; i++)
		other |= (unsigned)((p[i] < 0x20) & (p[i] != '\n') & (p[i] != '\r') &
				 (p[i] != '\t')) |
			(unsigned)(p[i] == 0x7f);
	return other == 0;
}

static size_t
text_blocks(const uint8_t *p, size_t n)
{
	size_t at = 0;

	while (n - at >= BLOCK && is_text(p + at))
		at += BLOCK;
	return at;
}

/* How much of the text cannot be seen behind all of it: after it so many lines are fed that each
 * row came in blank from below. What is left begins behind a CR LF, so that it does not matter
 * where the cursor was. */
static size_t
out_of_sight(const uint8_t *p, size_t n, int rows)
{
	for (int feeds = 2 * rows; feeds > 0; feeds--) {
		const uint8_t *lf = memrchr(p, '\n', n);
		if (lf == NULL)
			return 0;
		n = (size_t)(lf - p);
	}
	for (;;) {
		const uint8_t *lf = memrchr(p, '\n', n);
		if (lf == NULL || lf == p)
			return 0;
		n = (size_t)(lf - p);
		if (p[n - 1] == '\r')
			return n + 1;
	}
}

static void
look(struct screen *s, const uint8_t *p, size_t n)
{
	struct terminal *t = s->terminal;

	for (; n > 0 && t->sequence.state == SEQUENCE_IN_CHARACTER; p++, n--)
		terminal_write(t, p, 1);
	while (n > 0) {
		size_t piece = text_blocks(p, n), skip = 0;

		if (piece > BLOCK && terminal_is_plain(t))
			skip = out_of_sight(p, piece, t->rows);
		if (skip > 0)
			terminal_passed(t);
		if (piece == 0)
			piece = n < BLOCK ? n : BLOCK;
		terminal_write(t, p + skip, piece - skip);
		p += piece;
		n -= piece;
	}
}

static bool
make_terminal(struct screen *s)
{
	if (s->terminal != NULL)
		return true;
	s->terminal = malloc(sizeof(*s->terminal));
	if (s->terminal != NULL && terminal_init(s->terminal, s->rows, s->cols))
		return true;
	free(s->terminal);
	s->terminal = NULL;
	return false;
}

static void
look_at_all(struct screen *s)
{
	if (s->len > 0 && make_terminal(s))
		look(s, s->waiting, s->len);
	s->len = 0;
}

bool
screen_waits(const struct screen *s)
{
	return s->len > 0;
}

void
screen_settle(struct screen *s)
{
	look_at_all(s);
	drop_waiting(s);
}

/* --- what comes ----------------------------------------------------------------------------- */

static void
make_room(struct screen *s, size_t n)
{
	size_t room = s->room > 0 ? s->room : WAITING_MIN;

	while (room < SCREEN_WAITING_MAX && room - s->len < n)
		room *= 2;
	if (room == s->room)
		return;
	uint8_t *waiting = realloc(s->waiting, room);
	if (waiting == NULL)
		return;
	s->waiting = waiting;
	s->room = room;
}

void
screen_feed(struct screen *s, const void *p, size_t n)
{
	const uint8_t *bytes = p;

	while (n > 0 && is_kept(s)) {
		make_room(s, n);
		size_t piece = n < s->room - s->len ? n : s->room - s->len;
		if (s->room == 0) {
			lose_terminal(s);
			return;
		}
		memcpy(s->waiting + s->len, bytes, piece);
		s->len += piece;
		bytes += piece;
		n -= piece;
		if (s->len == SCREEN_WAITING_MAX || n > 0)
			look_at_all(s);
	}
}

void
screen_resize(struct screen *s, int cols, int rows)
{
	look_at_all(s);
	s->cols = or_default(cols, 80);
	s->rows = or_default(rows, 24);
	if (s->terminal != NULL && (!is_kept(s) || !terminal_resize(s->terminal, s->rows, s->cols)))
		lose_terminal(s);
}

/* --- what goes ------------------------------------------------------------------------------ */

uint8_t *
screen_paint(struct screen *s, size_t *len)
{
	uint8_t *out;

	screen_settle(s);
	if (!is_kept(s) || !make_terminal(s) || (out = malloc(SCREEN_PAINT_MAX)) == NULL)
		return NULL;
	for (int detail = PEN_WHOLE; detail <= PEN_NONE; detail++) {
		*len = repaint_write(s->terminal, (enum pen_detail)detail, out, SCREEN_PAINT_MAX);
		if (*len > 0)
			return out;
	}
	free(out);
	return NULL;
}

const struct terminal *
screen_terminal(const struct screen *s)
{
	return s->terminal;
}
