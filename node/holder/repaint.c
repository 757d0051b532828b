#include "node/holder/repaint.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "node/holder/terminal.h"

struct paint {
	const struct terminal *t;
	enum pen_detail detail;
	uint8_t *out;
	size_t len, room;
	bool over;
	struct pen pen; /* as the other terminal has it by now */
};

/* Ends a sequence or string that was cut; then from whatever there was to the main screen, blank,
 * without margins, wrapping or insertion, its cursor hidden while it is drawn. */
static const char blank_slate[] = "\033\\"
				  "\033[?25l\033[?1049l\033[0m\017\033(B\033)B"
				  "\033[?69l\033[r\033[?6l\033[4l\033[?7l\033[H\033[J";
static const char blank_alternate[] = "\033[?1049h\033[0m\017\033(B\033)B\033[?6l\033[H\033[J";

static void
put(struct paint *o, const void *p, size_t n)
{
	o->over = o->over || n > o->room - o->len;
	if (o->over)
		return;
	memcpy(o->out + o->len, p, n);
	o->len += n;
}

static void
say(struct paint *o, const char *text)
{
	put(o, text, strlen(text));
}

static void __attribute__((format(printf, 2, 3))) sayf(struct paint *o, const char *fmt, ...)
{
	char text[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(o, text);
}

static void
set_pen(struct paint *o, struct pen pen)
{
	char sgr[PEN_SGR_MAX];

	put(o, sgr, pen_write(sgr, o->pen, pen, o->detail));
	o->pen = pen;
}

static void
go_to(struct paint *o, int row, int col)
{
	sayf(o, "\033[%d;%dH", row + 1, col + 1);
}

/* --- cells ---------------------------------------------------------------------------------- */

static size_t
utf8(uint8_t out[4], uint32_t c)
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		out[i] = (uint8_t)(0x80 | (c & 0x3f));
	out[0] = (uint8_t)(0xf00 >> n | c);
	return n;
}

static void
put_glyph(struct paint *o, glyph g)
{
	const glyph mask = ((glyph)1 << GLYPH_BITS) - 1;
	uint8_t bytes[4];

	for (bool first = true; first || (g & mask) != 0; first = false, g >>= GLYPH_BITS)
		put(o, bytes, utf8(bytes, (uint32_t)(g & mask)));
}

/* Where the row ends: behind it is nothing to be seen on a blank screen. */
static int
row_end(const struct grid *g, int row)
{
	int end = g->n_cols;

	while (end > 0) {
		struct cell c = grid_cell(g, row, end - 1);
		if (c.glyph != GLYPH_BLANK || !pen_equal(c.pen, (struct pen){0}))
			break;
		end--;
	}
	return end;
}

/* Terminals differ in how wide they draw it. */
static bool
is_disputed(glyph g)
{
	return g >= 0x1f000;
}

static void
draw_row(struct paint *o, const struct grid *g, int row)
{
	int end = row_end(g, row);

	if (end > 0)
		go_to(o, row, 0);
	for (int col = 0; col < end && !o->over;) {
		struct cell c = grid_cell(g, row, col);
		set_pen(o, c.pen);
		put_glyph(o, c.glyph);
		col += grid_width(g, row, col);
		if (is_disputed(c.glyph) && col < end)
			sayf(o, "\033[%dG", col + 1);
	}
}

/* With the pen reset before and after. */
static void
draw_screen(struct paint *o, const struct grid *g, enum pen_detail detail)
{
	o->detail = detail;
	for (int row = 0; row < g->n_rows; row++)
		draw_row(o, g, row);
	say(o, "\033[0m");
	o->detail = PEN_WHOLE;
	o->pen = (struct pen){0};
}

/* --- state ---------------------------------------------------------------------------------- */

static void
set_charsets(struct paint *o, const struct charsets *c)
{
	sayf(o, "\033(%c\033)%c%s", c->set[0], c->set[1], c->shift ? "\016" : "\017");
}

/* The saved cursor is what the terminal saves where it is put; it is reset then. */
static void
place_saved(struct paint *o, const struct position *p)
{
	say(o, p->origin ? "\033[?6h" : "");
	go_to(o, p->row, p->col);
	set_pen(o, p->pen);
	set_charsets(o, &p->charsets);
}

static void
set_saved(struct paint *o, const struct position *p)
{
	place_saved(o, p);
	say(o, "\0337\033[?6l\017\033(B\033)B");
	set_pen(o, (struct pen){0});
}

static void
set_tabs(struct paint *o)
{
	say(o, "\033[3g");
	for (int col = 0; col < o->t->cols; col++)
		if (o->t->tabs[col])
			sayf(o, "\033[%dG\033H", col + 1);
}

static bool
is_said_here(enum terminal_mode m)
{
	return m != MODE_INSERT && m != MODE_ORIGIN && m != MODE_VISIBLE && m != MODE_KEYPAD;
}

/* Those that are off before those that are on, since one may turn off others. */
static void
set_modes(struct paint *o)
{
	const struct terminal *t = o->t;

	for (int on = 0; on <= 1; on++) {
		for (int m = 0; m < MODES; m++) {
			const struct mode_row *row = &terminal_modes[m];
			bool told = !row->untold || (t->told >> m & 1) != 0;
			if (terminal_mode(t, m) != (on != 0) || !is_said_here(m) || !told)
				continue;
			sayf(o, "\033[%s%u%c", row->leader ? "?" : "", row->number, on ? 'h' : 'l');
		}
	}
	say(o, terminal_mode(t, MODE_KEYPAD) ? "\033=" : "\033>");
	sayf(o, "\033[>4;%um", t->modify_keys);
	sayf(o, "\033[%u q", t->cursor_shape);
}

static void
set_title(struct paint *o)
{
	if (!o->t->titled)
		return;
	say(o, "\033]2;");
	put(o, o->t->title.text, o->t->title.len);
	say(o, "\033\\");
}

/* Drawn once more, the last character of a row makes the next one wrap. */
static void
wait_for_wrap(struct paint *o, int top)
{
	const struct terminal *t = o->t;
	const struct grid *g = &t->screens[t->shown];
	int row = t->at.row, col = t->at.col;

	if (grid_cell(g, row, col).glyph == GLYPH_RIGHT)
		col--;
	go_to(o, row - top, col);
	set_pen(o, grid_cell(g, row, col).pen);
	put_glyph(o, grid_cell(g, row, col).glyph);
}

static void
set_cursor(struct paint *o)
{
	const struct terminal *t = o->t;
	bool origin = terminal_mode(t, MODE_ORIGIN);
	int top = origin ? t->top : 0;

	if (t->top != 0 || t->bottom != t->rows)
		sayf(o, "\033[%d;%dr", t->top + 1, t->bottom);
	say(o, origin ? "\033[?6h" : "");
	if (t->at.edge == EDGE_WRAPS)
		wait_for_wrap(o, top);
	else
		go_to(o, t->at.row - top, t->at.col);
	set_pen(o, t->at.pen);
	set_charsets(o, &t->at.charsets);
	say(o, terminal_mode(t, MODE_INSERT) ? "\033[4h" : "");
	say(o, terminal_mode(t, MODE_VISIBLE) ? "\033[?25h" : "");
}

static void
set_rest(struct paint *o)
{
	uint8_t rest[SEQUENCE_REST_MAX];

	put(o, rest, sequence_write(&o->t->sequence, rest));
}

size_t
repaint_write(const struct terminal *t, enum pen_detail detail, uint8_t *out, size_t room)
{
	struct paint o = {.t = t, .out = out, .room = room};

	say(&o, blank_slate);
	draw_screen(&o, &t->screens[0], detail);
	if (t->shown == 1) {
		place_saved(&o, &t->saved[0]);
		say(&o, blank_alternate);
		o.pen = (struct pen){0};
		draw_screen(&o, &t->screens[1], detail);
	}
	set_tabs(&o);
	set_saved(&o, &t->saved[t->shown]);
	set_modes(&o);
	set_title(&o);
	set_cursor(&o);
	set_rest(&o);
	return o.over ? 0 : o.len;
}
