/*
 * Against another emulator, libvterm: what a program draws looks there as it does here, and what
 * draws our screen makes one there that is the same. Only of what both know, and in a form that
 * does it no harm: it is not made for output of whom one does not trust.
 */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vterm.h>

#include "node/holder/repaint.h"
#include "node/holder/terminal.h"
#include "tests/unit/node/terminals.h"

#define ROOM (1 << 20)
#define ROWS 24
#define COLS 80

struct pair {
	struct terminal ours;
	VTerm *theirs;
	VTermScreen *screen;
};

static void
ignore(const char *s, size_t n, void *arg)
{
	(void)s, (void)n, (void)arg;
}

static void
pair_open(struct pair *p)
{
	cr_assert(terminal_init(&p->ours, ROWS, COLS));
	p->theirs = vterm_new(ROWS, COLS);
	vterm_set_utf8(p->theirs, 1);
	vterm_output_set_callback(p->theirs, ignore, NULL);
	p->screen = vterm_obtain_screen(p->theirs);
	vterm_screen_enable_altscreen(p->screen, 1);
	vterm_screen_reset(p->screen, 1);
}

static void
pair_close(struct pair *p)
{
	terminal_fini(&p->ours);
	vterm_free(p->theirs);
}

/* --- comparing ------------------------------------------------------------------------------- */

static uint32_t
colour(const VTermColor *c)
{
	if (VTERM_COLOR_IS_DEFAULT_FG(c) || VTERM_COLOR_IS_DEFAULT_BG(c))
		return COLOUR_DEFAULT;
	if (VTERM_COLOR_IS_INDEXED(c))
		return COLOUR_INDEXED | c->indexed.idx;
	return COLOUR_RGB | (uint32_t)c->rgb.red << 16 | (uint32_t)c->rgb.green << 8 | c->rgb.blue;
}

static glyph
glyph_of(const VTermScreenCell *c)
{
	glyph g = c->chars[0];

	if (g == 0)
		return GLYPH_BLANK; /* what follows is not set then */
	for (int i = 1; i < 3 && c->chars[i] != 0; i++)
		g |= (glyph)c->chars[i] << (GLYPH_BITS * i);
	return g;
}

static void
compare_cell(struct pair *p, int row, int col, const char *what)
{
	struct cell ours = grid_cell(&p->ours.screens[p->ours.shown], row, col);
	VTermScreenCell theirs;

	cr_assert(vterm_screen_get_cell(p->screen, (VTermPos){row, col}, &theirs));
	if (ours.glyph == GLYPH_RIGHT)
		return;
	cr_assert_eq(glyph_of(&theirs), ours.glyph, "%s: row %d col %d: %llx, not %llx", what, row,
		col, (unsigned long long)ours.glyph, (unsigned long long)glyph_of(&theirs));
	struct pen pen = {
		.fg = colour(&theirs.fg) & 0x3ffffff,
		.bg = colour(&theirs.bg) & 0x3ffffff,
		.bold = theirs.attrs.bold,
		.italic = theirs.attrs.italic,
		.blink = theirs.attrs.blink,
		.reverse = theirs.attrs.reverse,
		.strike = theirs.attrs.strike,
		.underline = theirs.attrs.underline,
	};
	if (theirs.chars[0] == 0) /* erased: theirs keeps the whole pen */
		pen = pen_of_blank(pen);
	cr_assert(pen_equal(pen, ours.pen), "%s: row %d col %d: pens", what, row, col);
}

static void
compare(struct pair *p, const char *what)
{
	VTermPos at;

	for (int row = 0; row < ROWS; row++)
		for (int col = 0; col < COLS; col++)
			compare_cell(p, row, col, what);
	vterm_state_get_cursorpos(vterm_obtain_state(p->theirs), &at);
	cr_assert(at.row == p->ours.at.row && at.col == p->ours.at.col, "%s: %d,%d, not %d,%d",
		what, p->ours.at.row, p->ours.at.col, at.row, at.col);
}

/* --- what both know -------------------------------------------------------------------------- */

struct sample {
	char bytes[8192];
	size_t len;
};

static void __attribute__((format(printf, 2, 3))) add(struct sample *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	s->len += (size_t)vsnprintf(s->bytes + s->len, sizeof(s->bytes) - s->len, fmt, ap);
	va_end(ap);
}

/* At the last column theirs takes no marks. */
static void
add_text(struct sample *s, uint32_t *seed)
{
	static const char *const words[] = {"word ", "a longer piece of text, ", "x", "\xc3\xa4",
		"\xe2\x94\x80\xe2\x94\x80", "\re\xcc\x81"};

	add(s, "%s", words[chance(seed, 6)]);
}

static void
add_move(struct sample *s, uint32_t *seed)
{
	static const char finals[] = "ABCDEFG";

	if (chance(seed, 2))
		add(s, "\033[%u;%uH", 1 + chance(seed, ROWS), 1 + chance(seed, COLS));
	else
		add(s, "\033[%u%c", 1 + chance(seed, 9), finals[chance(seed, 7)]);
}

/* Ours moves the cursor to the first column with lines, as the VT420 does. */
static void
add_edit(struct sample *s, uint32_t *seed)
{
	static const char finals[] = "@PLMSTX";

	if (chance(seed, 3) == 0)
		add(s, "\033[%u%c", chance(seed, 3), chance(seed, 4) == 0 ? 'J' : 'K');
	else
		add(s, "\r\033[%u%c", 1 + chance(seed, 5), finals[chance(seed, 7)]);
}

static void
add_pen(struct sample *s, uint32_t *seed)
{
	static const int attributes[] = {
		0, 1, 3, 4, 5, 7, 9, 21, 22, 23, 24, 25, 27, 29, 31, 39, 44, 49, 93, 104};

	if (chance(seed, 4) == 0)
		add(s, "\033[38;2;%u;%u;9;48;5;%um", chance(seed, 256), chance(seed, 256),
			chance(seed, 256));
	else
		add(s, "\033[%dm", attributes[chance(seed, 20)]);
}

static void
add_rest(struct sample *s, uint32_t *seed)
{
	static const char *const rest[] = {"\r\n", "\r\n", "\t", "\b", "\r", "\033M",
		"\033(0lqk\033(B", "\0337", "\033[3;20r\033[20;9H\n\n\033[3;1H\033M\033[r",
		"\033[r", "\033[?1049h\033[H", "\033[?25l", "\033[4h", "\033[4l",
		"\033]2;title\033\\"};

	add(s, "%s", rest[chance(seed, 15)]);
}

static void (*const kinds[])(struct sample *s, uint32_t *seed) = {
	add_text, add_text, add_move, add_edit, add_pen, add_rest};

static void
make_sample(struct sample *s, uint32_t *seed)
{
	s->len = 0;
	for (uint32_t n = chance(seed, 120); n > 0; n--)
		kinds[chance(seed, 6)](s, seed);
}

Test(reference, shows_the_same)
{
	uint32_t seed = 5;
	char what[32];

	for (int i = 0; i < 400; i++) {
		struct sample s;
		struct pair p;
		pair_open(&p);
		make_sample(&s, &seed);
		terminal_write(&p.ours, (const uint8_t *)s.bytes, s.len);
		vterm_input_write(p.theirs, s.bytes, s.len);
		snprintf(what, sizeof(what), "round %d", i);
		compare(&p, what);
		pair_close(&p);
	}
}

Test(reference, is_painted_the_same)
{
	uint8_t *out = malloc(ROOM);
	uint32_t seed = 50;
	char what[32];

	for (int i = 0; i < 400; i++) {
		struct sample s;
		struct pair p;
		pair_open(&p);
		make_sample(&s, &seed);
		vterm_input_write(p.theirs, s.bytes, s.len); /* what was there before */
		make_sample(&s, &seed);
		terminal_write(&p.ours, (const uint8_t *)s.bytes, s.len);
		size_t n = repaint_write(&p.ours, PEN_WHOLE, out, ROOM);
		vterm_input_write(p.theirs, (const char *)out, n);
		snprintf(what, sizeof(what), "round %d", i);
		compare(&p, what);
		/* And what is drawn then goes to the same places. */
		terminal_write(&p.ours, (const uint8_t *)"next\r\n\033[3;3Hx", 14);
		vterm_input_write(p.theirs, "next\r\n\033[3;3Hx", 14);
		compare(&p, what);
		pair_close(&p);
	}
	free(out);
}
