#include "node/holder/terminal.h"

#include <stdlib.h>
#include <string.h>

#include "node/holder/glyphs.h"

enum { MAIN, ALTERNATE };

const struct mode_row terminal_modes[MODES] = {
	[MODE_INSERT] = {4,    0,   GROUP_NONE,	   false, false},
	[MODE_NEWLINE] = {20,   0,	 GROUP_NONE,	     false, false},
	[MODE_CURSOR_KEYS] = {1,	 '?', GROUP_NONE,	  false, false},
	[MODE_REVERSE] = {5,    '?', GROUP_NONE,	      false, false},
	[MODE_ORIGIN] = {6,    '?', GROUP_NONE,	     false, false},
	[MODE_AUTOWRAP] = {7,    '?', GROUP_NONE,       true,  false},
	[MODE_BLINK] = {12,   '?', GROUP_NONE,	     false, true },
	[MODE_VISIBLE] = {25,   '?', GROUP_NONE,       true,  false},
	[MODE_KEYPAD] = {66,   '?', GROUP_NONE,	      false, false},
	[MODE_MOUSE_PRESS] = {9,	 '?', GROUP_MOUSE,	   false, false},
	[MODE_MOUSE_CLICK] = {1000, '?', GROUP_MOUSE,      false, false},
	[MODE_MOUSE_DRAG] = {1002, '?', GROUP_MOUSE,	     false, false},
	[MODE_MOUSE_MOVE] = {1003, '?', GROUP_MOUSE,	     false, false},
	[MODE_FOCUS] = {1004, '?', GROUP_NONE,       false, false},
	[MODE_MOUSE_UTF8] = {1005, '?', GROUP_MOUSE_FORM, false, false},
	[MODE_MOUSE_SGR] = {1006, '?', GROUP_MOUSE_FORM, false, false},
	[MODE_MOUSE_URXVT] = {1015, '?', GROUP_MOUSE_FORM, false, false},
	[MODE_MOUSE_PIXELS] = {1016, '?', GROUP_MOUSE_FORM, false, false},
	[MODE_ALT_SCROLL] = {1007, '?', GROUP_NONE,	    false, true },
	[MODE_PASTE] = {2004, '?', GROUP_NONE,       false, false},
};

/* --- its life ------------------------------------------------------------------------------- */

static struct grid *
shown(struct terminal *t)
{
	return &t->screens[t->shown];
}

static struct pen
blank(const struct terminal *t)
{
	return pen_of_blank(t->at.pen);
}

static void
default_tabs(uint8_t *tabs, int from, int to)
{
	for (int col = from; col < to; col++)
		tabs[col] = col > 0 && col % 8 == 0;
}

static struct position
home(void)
{
	return (struct position){.charsets = {.set = {'B', 'B'}}};
}

static void
default_state(struct terminal *t)
{
	t->at = t->saved[MAIN] = t->saved[ALTERNATE] = home();
	t->top = 0;
	t->bottom = t->rows;
	t->modes = t->told = 0;
	for (int m = 0; m < MODES; m++)
		t->modes |= (uint32_t)terminal_modes[m].on << m;
	t->cursor_shape = 0;
	t->modify_keys = 0;
	t->last = 0;
	default_tabs(t->tabs, 0, t->cols);
}

bool
terminal_init(struct terminal *t, int rows, int cols)
{
	*t = (struct terminal){.rows = rows, .cols = cols, .tabs = malloc((size_t)cols)};
	if (t->tabs == NULL || !grid_init(&t->screens[MAIN], rows, cols)) {
		terminal_fini(t);
		return false;
	}
	default_state(t);
	return true;
}

void
terminal_fini(struct terminal *t)
{
	grid_fini(&t->screens[MAIN]);
	grid_fini(&t->screens[ALTERNATE]);
	free(t->tabs);
	t->tabs = NULL;
}

/* --- the cursor ----------------------------------------------------------------------------- */

static int
clamp(int v, int least, int most)
{
	return v < least ? least : v > most ? most : v;
}

static void
move_to(struct terminal *t, int row, int col)
{
	t->at.row = clamp(row, 0, t->rows - 1);
	t->at.col = clamp(col, 0, t->cols - 1);
	t->at.edge = EDGE_NONE;
}

/* As programs say it: under origin mode rows count from the region, and the cursor stays in it. */
static void
go_to(struct terminal *t, int row, int col)
{
	if (terminal_mode(t, MODE_ORIGIN))
		row = clamp(row + t->top, t->top, t->bottom - 1);
	move_to(t, row, col);
}

/* Up or down by n, not across an edge of the region that it meets. */
static void
move_rows(struct terminal *t, int n)
{
	int row = t->at.row;
	int least = row >= t->top ? t->top : 0;
	int most = row < t->bottom ? t->bottom - 1 : t->rows - 1;

	move_to(t, clamp(row + n, least, most), t->at.col);
}

static void
move_cols(struct terminal *t, int n)
{
	move_to(t, t->at.row, t->at.col + n);
}

static void
line_feed(struct terminal *t)
{
	if (t->at.row == t->bottom - 1)
		grid_scroll(shown(t), t->top, t->bottom, 1, blank(t));
	else if (t->at.row < t->rows - 1)
		t->at.row++;
	t->at.edge = EDGE_NONE;
}

static void
reverse_line_feed(struct terminal *t)
{
	if (t->at.row == t->top)
		grid_scroll(shown(t), t->top, t->bottom, -1, blank(t));
	else if (t->at.row > 0)
		t->at.row--;
	t->at.edge = EDGE_NONE;
}

static void
tab(struct terminal *t, int n)
{
	int col = t->at.col;

	for (; n > 0 && col < t->cols - 1; n--) {
		col++;
		while (col < t->cols - 1 && !t->tabs[col])
			col++;
	}
	for (; n < 0 && col > 0; n++) {
		col--;
		while (col > 0 && !t->tabs[col])
			col--;
	}
	move_to(t, t->at.row, col);
}

static void
save(struct terminal *t)
{
	t->at.origin = terminal_mode(t, MODE_ORIGIN);
	t->saved[t->shown] = t->at;
	t->saved[t->shown].edge = EDGE_NONE;
}

static void set_mode(struct terminal *t, enum terminal_mode m, bool on);

static void
restore(struct terminal *t)
{
	t->at = t->saved[t->shown];
	set_mode(t, MODE_ORIGIN, t->at.origin);
	if (t->at.origin)
		t->at.row = clamp(t->at.row, t->top, t->bottom - 1);
}

/* --- characters ----------------------------------------------------------------------------- */

static void
wrap(struct terminal *t)
{
	t->at.col = 0;
	line_feed(t);
}

static void
advance(struct terminal *t, int columns)
{
	t->at.col += columns;
	if (t->at.col < t->cols)
		return;
	t->at.col = t->cols - 1;
	t->at.edge = terminal_mode(t, MODE_AUTOWRAP) ? EDGE_WRAPS : EDGE_DRAWN;
}

static void
mark(struct terminal *t, uint32_t ch)
{
	int col = t->at.edge != EDGE_NONE ? t->at.col : t->at.col - 1;

	if (col >= 0)
		grid_mark(shown(t), t->at.row, col, ch);
}

/* Goes on to where so many columns are left in the row. */
static void
make_fit(struct terminal *t, int width)
{
	bool fits = t->at.col + width <= t->cols;

	if (t->at.edge == EDGE_WRAPS || (!fits && terminal_mode(t, MODE_AUTOWRAP)))
		wrap(t);
	else if (!fits)
		t->at.col = t->cols - width;
}

/* So often as it fits in the row: room for all of them is made at once. */
static void
draw_times(struct terminal *t, uint32_t ch, int width, int n)
{
	if (terminal_mode(t, MODE_INSERT))
		grid_insert(shown(t), t->at.row, t->at.col, n * width, blank(t));
	for (; n > 0; n--) {
		grid_put(shown(t), t->at.row, t->at.col, ch, width, t->at.pen);
		advance(t, width);
	}
	t->last = ch;
}

static void
draw(struct terminal *t, uint32_t ch)
{
	int width = glyph_width(ch);

	if (width == 0)
		mark(t, ch);
	if (width <= 0 || width > t->cols)
		return;
	make_fit(t, width);
	draw_times(t, ch, width, 1);
}

static void
character(struct terminal *t, uint32_t ch)
{
	if (t->at.charsets.set[t->at.charsets.shift] == '0' && ch >= 0x5f && ch <= 0x7e)
		ch = glyph_of_line((uint8_t)ch);
	draw(t, ch);
}

/* ASCII that is drawn as it is. Without autowrap all that doesn't fit is drawn on the last column.
 */
static void
text(struct terminal *t, const uint8_t *p, size_t n)
{
	bool wraps = terminal_mode(t, MODE_AUTOWRAP);

	t->last = p[n - 1];
	while (n > 0) {
		if (t->at.edge == EDGE_WRAPS)
			wrap(t);
		size_t room = (size_t)(t->cols - t->at.col), fits = n < room ? n : room;
		grid_text(shown(t), t->at.row, t->at.col, p, (int)fits, t->at.pen);
		advance(t, (int)fits);
		if (!wraps && fits < n) {
			grid_text(shown(t), t->at.row, t->at.col, p + n - 1, 1, t->at.pen);
			return;
		}
		p += fits;
		n -= fits;
	}
}

static size_t
text_run(const struct terminal *t, const uint8_t *p, size_t n)
{
	size_t run = 0;

	if (t->sequence.state != SEQUENCE_GROUND || terminal_mode(t, MODE_INSERT) ||
		t->at.charsets.set[t->at.charsets.shift] != 'B')
		return 0;
	while (run < n && p[run] >= 0x20 && p[run] < 0x7f)
		run++;
	return run;
}

/* --- controls and escapes ------------------------------------------------------------------- */

static void
control(struct terminal *t, uint32_t c)
{
	t->last = 0;
	if (c == '\b') {
		move_cols(t, -1);
	} else if (c == '\t') {
		tab(t, 1);
	} else if (c == '\n' || c == '\v' || c == '\f') {
		line_feed(t);
		if (terminal_mode(t, MODE_NEWLINE))
			t->at.col = 0;
	} else if (c == '\r') {
		move_to(t, t->at.row, 0);
	} else if (c == 0x0e || c == 0x0f) {
		t->at.charsets.shift = c == 0x0e;
	}
}

static void show(struct terminal *t, int which);

static void
reset(struct terminal *t)
{
	show(t, MAIN);
	default_state(t);
	grid_scroll(shown(t), 0, t->rows, t->rows, (struct pen){0});
}

static void
escape(struct terminal *t, const struct sequence *s)
{
	t->last = 0;
	if (s->intermed == '(' || s->intermed == ')')
		t->at.charsets.set[s->intermed == ')'] = s->final == '0' ? '0' : 'B';
	if (s->intermed != 0)
		return;
	switch (s->final) {
	case '7':
		save(t);
		break;
	case '8':
		restore(t);
		break;
	case '=':
	case '>':
		set_mode(t, MODE_KEYPAD, s->final == '=');
		break;
	case 'D':
		line_feed(t);
		break;
	case 'E':
		line_feed(t);
		t->at.col = 0;
		break;
	case 'H':
		t->tabs[t->at.col] = 1;
		break;
	case 'M':
		reverse_line_feed(t);
		break;
	case 'c':
		reset(t);
		break;
	default:
		break;
	}
}

/* --- modes ---------------------------------------------------------------------------------- */

/* The alternate screen is blank whenever it comes. Without memory for it the program goes on
 * drawing on the main one. */
static void
show(struct terminal *t, int which)
{
	struct grid *alternate = &t->screens[ALTERNATE];

	if (which == t->shown)
		return;
	if (which == ALTERNATE && alternate->rows == NULL &&
		!grid_init(alternate, t->rows, t->cols))
		return;
	t->shown = which;
	if (which == ALTERNATE) {
		t->saved[ALTERNATE] = home();
		grid_scroll(alternate, 0, t->rows, t->rows, blank(t));
	}
	t->at.edge = EDGE_NONE;
}

static void
set_mode(struct terminal *t, enum terminal_mode m, bool on)
{
	uint8_t group = terminal_modes[m].group;

	for (int other = 0; other < MODES && group != GROUP_NONE; other++)
		if (terminal_modes[other].group == group)
			t->modes &= ~(1u << other);
	t->modes = (t->modes & ~(1u << m)) | (uint32_t)on << m;
	t->told |= 1u << m;
	if (m == MODE_AUTOWRAP && !on && t->at.edge == EDGE_WRAPS)
		t->at.edge = EDGE_DRAWN;
}

static void
clear(struct terminal *t)
{
	grid_scroll(shown(t), 0, t->rows, t->rows, blank(t));
}

/* Those that are no state of their own. */
static void
switch_screen(struct terminal *t, int number, bool on)
{
	if (on && (number == 1048 || number == 1049))
		save(t);
	if (number != 1048)
		show(t, on ? ALTERNATE : MAIN);
	if (on && number == 1049)
		clear(t);
	if (!on && (number == 1048 || number == 1049))
		restore(t);
}

static void
csi_mode(struct terminal *t, const struct sequence *s)
{
	bool on = s->final == 'h';

	for (int i = 0; i < s->n_args; i++) {
		int number = s->args[i];
		if (s->leader == '?' &&
			(number == 47 || number == 1047 || number == 1048 || number == 1049))
			switch_screen(t, number, on);
		for (int m = 0; m < MODES; m++)
			if (terminal_modes[m].number == number &&
				terminal_modes[m].leader == s->leader)
				set_mode(t, (enum terminal_mode)m, on);
		if (s->leader == '?' && number == 6)
			go_to(t, 0, 0);
	}
}

/* --- control sequences ---------------------------------------------------------------------- */

static void
csi_up(struct terminal *t, const struct sequence *s)
{
	move_rows(t, -sequence_arg(s, 0, 1));
}

static void
csi_down(struct terminal *t, const struct sequence *s)
{
	move_rows(t, sequence_arg(s, 0, 1));
}

static void
csi_right(struct terminal *t, const struct sequence *s)
{
	move_cols(t, sequence_arg(s, 0, 1));
}

static void
csi_left(struct terminal *t, const struct sequence *s)
{
	move_cols(t, -sequence_arg(s, 0, 1));
}

static void
csi_next_line(struct terminal *t, const struct sequence *s)
{
	move_rows(t, sequence_arg(s, 0, 1));
	t->at.col = 0;
}

static void
csi_line_before(struct terminal *t, const struct sequence *s)
{
	move_rows(t, -sequence_arg(s, 0, 1));
	t->at.col = 0;
}

static void
csi_column(struct terminal *t, const struct sequence *s)
{
	move_to(t, t->at.row, sequence_arg(s, 0, 1) - 1);
}

static void
csi_row(struct terminal *t, const struct sequence *s)
{
	go_to(t, sequence_arg(s, 0, 1) - 1, t->at.col);
}

static void
csi_position(struct terminal *t, const struct sequence *s)
{
	go_to(t, sequence_arg(s, 0, 1) - 1, sequence_arg(s, 1, 1) - 1);
}

static void
csi_tab(struct terminal *t, const struct sequence *s)
{
	tab(t, sequence_arg(s, 0, 1));
}

static void
csi_tab_back(struct terminal *t, const struct sequence *s)
{
	tab(t, -sequence_arg(s, 0, 1));
}

static void
csi_erase_line(struct terminal *t, const struct sequence *s)
{
	int how = sequence_arg(s, 0, 0);

	if (how <= 2)
		grid_erase(shown(t), t->at.row, how == 0 ? t->at.col : 0,
			how == 1 ? t->at.col + 1 : t->cols, blank(t));
	t->at.edge = EDGE_NONE;
}

static void
csi_erase_screen(struct terminal *t, const struct sequence *s)
{
	int how = sequence_arg(s, 0, 0);

	if (how > 2)
		return;
	if (how < 2)
		csi_erase_line(t, s);
	int from = how == 0 ? t->at.row + 1 : 0, to = how == 1 ? t->at.row : t->rows;
	for (int row = from; row < to; row++)
		grid_erase(shown(t), row, 0, t->cols, blank(t));
	t->at.edge = EDGE_NONE;
}

static int
in_row(const struct terminal *t, const struct sequence *s)
{
	return clamp(sequence_arg(s, 0, 1), 1, t->cols - t->at.col);
}

static void
csi_erase(struct terminal *t, const struct sequence *s)
{
	grid_erase(shown(t), t->at.row, t->at.col, t->at.col + in_row(t, s), blank(t));
	t->at.edge = EDGE_NONE;
}

static void
csi_insert(struct terminal *t, const struct sequence *s)
{
	grid_insert(shown(t), t->at.row, t->at.col, in_row(t, s), blank(t));
	t->at.edge = EDGE_NONE;
}

static void
csi_delete(struct terminal *t, const struct sequence *s)
{
	grid_delete(shown(t), t->at.row, t->at.col, in_row(t, s), blank(t));
	t->at.edge = EDGE_NONE;
}

/* Lines go and come below the cursor. */
static void
shift_lines(struct terminal *t, int n)
{
	if (t->at.row < t->top || t->at.row >= t->bottom)
		return;
	grid_scroll(shown(t), t->at.row, t->bottom, n, blank(t));
	move_to(t, t->at.row, 0);
}

static void
csi_insert_lines(struct terminal *t, const struct sequence *s)
{
	shift_lines(t, -sequence_arg(s, 0, 1));
}

static void
csi_delete_lines(struct terminal *t, const struct sequence *s)
{
	shift_lines(t, sequence_arg(s, 0, 1));
}

static void
csi_scroll_up(struct terminal *t, const struct sequence *s)
{
	grid_scroll(shown(t), t->top, t->bottom, sequence_arg(s, 0, 1), blank(t));
}

/* With more parameters it is about the mouse. */
static void
csi_scroll_down(struct terminal *t, const struct sequence *s)
{
	if (s->n_args <= 1)
		grid_scroll(shown(t), t->top, t->bottom, -sequence_arg(s, 0, 1), blank(t));
}

/* Within a row, as terminfo's users do it. */
static void
csi_repeat(struct terminal *t, const struct sequence *s)
{
	uint32_t ch = t->last;
	int width = glyph_width(ch), n = clamp(sequence_arg(s, 0, 1), 1, t->cols);

	if (ch == 0 || width > t->cols)
		n = 0;
	for (int fits; n > 0; n -= fits) {
		make_fit(t, width);
		fits = clamp((t->cols - t->at.col) / width, 1, n);
		draw_times(t, ch, width, fits);
	}
	t->last = 0;
}

static void
csi_clear_tabs(struct terminal *t, const struct sequence *s)
{
	if (sequence_arg(s, 0, 0) == 0)
		t->tabs[t->at.col] = 0;
	else if (sequence_arg(s, 0, 0) == 3)
		memset(t->tabs, 0, (size_t)t->cols);
}

static void
csi_region(struct terminal *t, const struct sequence *s)
{
	int top = sequence_arg(s, 0, 1) - 1;
	int bottom = sequence_arg(s, 1, 0);

	bottom = bottom == 0 || bottom > t->rows ? t->rows : bottom;
	if (top + 1 >= bottom)
		return;
	t->top = top;
	t->bottom = bottom;
	go_to(t, 0, 0);
}

static void
csi_pen(struct terminal *t, const struct sequence *s)
{
	pen_apply(&t->at.pen, s);
}

static void
csi_modify_keys(struct terminal *t, const struct sequence *s)
{
	if (sequence_arg(s, 0, 0) == 0 || sequence_arg(s, 0, 0) == 4)
		t->modify_keys = (uint16_t)clamp(sequence_arg(s, 1, 0), 0, 3);
}

static void
csi_save(struct terminal *t, const struct sequence *s)
{
	if (s->n_args == 0)
		save(t);
}

static void
csi_restore(struct terminal *t, const struct sequence *s)
{
	if (s->n_args == 0)
		restore(t);
}

static void
csi_cursor_shape(struct terminal *t, const struct sequence *s)
{
	if (sequence_arg(s, 0, 0) <= 6)
		t->cursor_shape = (uint8_t)sequence_arg(s, 0, 0);
}

static void
csi_soft_reset(struct terminal *t, const struct sequence *s)
{
	(void)s;
	set_mode(t, MODE_VISIBLE, true);
	set_mode(t, MODE_ORIGIN, false);
	set_mode(t, MODE_AUTOWRAP, true);
	set_mode(t, MODE_INSERT, false);
	set_mode(t, MODE_CURSOR_KEYS, false);
	set_mode(t, MODE_KEYPAD, false);
	t->top = 0;
	t->bottom = t->rows;
	t->at.pen = (struct pen){0};
	t->at.charsets = home().charsets;
	t->saved[t->shown] = home();
}

/* Titles are put away, and taken back. */
static void
csi_window(struct terminal *t, const struct sequence *s)
{
	int what = sequence_arg(s, 0, 0), of = sequence_arg(s, 1, 0);

	if (of == 1)
		return;
	if (what == 22)
		t->pushed = t->title;
	else if (what == 23)
		t->title = t->pushed;
}

static const struct {
	uint8_t leader, intermed, final;
	void (*run)(struct terminal *t, const struct sequence *s);
} csis[] = {
	{0,   0,   '@', csi_insert      },
	{0,   0,   'A', csi_up	  },
	{0,   0,   'B', csi_down	    },
	{0,   0,   'C', csi_right	     },
	{0,   0,   'D', csi_left	    },
	{0,   0,   'E', csi_next_line	 },
	{0,   0,   'F', csi_line_before },
	{0,   0,   'G', csi_column      },
	{0,   0,   'H', csi_position	},
	{0,   0,   'I', csi_tab	   },
	{0,   0,   'J', csi_erase_screen},
	{'?', 0,	 'J', csi_erase_screen},
	{0,   0,   'K', csi_erase_line  },
	{'?', 0,	 'K', csi_erase_line  },
	{0,   0,   'L', csi_insert_lines},
	{0,   0,   'M', csi_delete_lines},
	{0,   0,   'P', csi_delete      },
	{0,   0,   'S', csi_scroll_up	 },
	{0,   0,   'T', csi_scroll_down },
	{0,   0,   'X', csi_erase	     },
	{0,   0,   'Z', csi_tab_back	},
	{0,   0,   '`', csi_column      },
	{0,   0,   'a', csi_right	     },
	{0,   0,   'b', csi_repeat      },
	{0,   0,   'd', csi_row	   },
	{0,   0,   'e', csi_down	    },
	{0,   0,   'f', csi_position	},
	{0,   0,   'g', csi_clear_tabs  },
	{0,   0,   'h', csi_mode	    },
	{'?', 0,	 'h', csi_mode	      },
	{0,   0,   'l', csi_mode	    },
	{'?', 0,	 'l', csi_mode	      },
	{0,   0,   'm', csi_pen	   },
	{'>', 0,	 'm', csi_modify_keys },
	{0,   0,   'r', csi_region      },
	{0,   0,   's', csi_save	    },
	{0,   0,   't', csi_window      },
	{0,   0,   'u', csi_restore     },
	{0,   ' ', 'q', csi_cursor_shape},
	{0,   '!', 'p', csi_soft_reset  },
};

static void
csi(struct terminal *t, const struct sequence *s)
{
	if (s->final != 'b')
		t->last = 0;
	for (size_t i = 0; i < sizeof(csis) / sizeof(csis[0]); i++) {
		if (csis[i].final != s->final || csis[i].leader != s->leader ||
			csis[i].intermed != s->intermed)
			continue;
		csis[i].run(t, s);
		return;
	}
}

/* --- titles --------------------------------------------------------------------------------- */

/* A title goes to other terminals: whole characters that are drawn, and nothing else. */
static void
set_title(struct title *title, const uint8_t *p, size_t n)
{
	struct sequence s = {0};
	enum sequence_kind kind;

	title->len = 0;
	while (n > 0) {
		size_t used = sequence_take(&s, &kind, p, n);
		bool fits = title->len + used <= TERMINAL_TITLE_MAX;
		if (kind == SEQUENCE_CHARACTER && s.ch != 0xfffd && glyph_width(s.ch) >= 0 &&
			fits) {
			memcpy(title->text + title->len, p, used);
			title->len = (uint16_t)(title->len + used);
		}
		p += used;
		n -= used;
	}
}

static void
osc(struct terminal *t, const struct sequence *s)
{
	t->last = 0;
	if (s->text_len < 2 || (s->text[0] != '0' && s->text[0] != '2') || s->text[1] != ';')
		return;
	set_title(&t->title, (const uint8_t *)s->text + 2, s->text_len - 2);
	t->titled = true;
}

/* --- all of it ------------------------------------------------------------------------------ */

static void
take(struct terminal *t, enum sequence_kind kind)
{
	const struct sequence *s = &t->sequence;

	switch (kind) {
	case SEQUENCE_CHARACTER:
		character(t, s->ch);
		break;
	case SEQUENCE_CONTROL:
		control(t, s->ch);
		break;
	case SEQUENCE_ESCAPE:
		escape(t, s);
		break;
	case SEQUENCE_CSI:
		csi(t, s);
		break;
	case SEQUENCE_OSC:
		osc(t, s);
		break;
	case SEQUENCE_NONE:
		break;
	}
}

void
terminal_write(struct terminal *t, const uint8_t *p, size_t n)
{
	enum sequence_kind kind;

	while (n > 0) {
		size_t used = text_run(t, p, n);
		if (used > 0) {
			text(t, p, used);
		} else {
			used = sequence_take(&t->sequence, &kind, p, n);
			take(t, kind);
		}
		p += used;
		n -= used;
	}
}

static bool
resize_tabs(struct terminal *t, int cols)
{
	uint8_t *tabs = realloc(t->tabs, (size_t)(cols > t->cols ? cols : t->cols));

	if (tabs == NULL)
		return false;
	t->tabs = tabs;
	default_tabs(tabs, t->cols, cols);
	return true;
}

/* Where the rows become fewer, those at the top go as far as the cursor needs it. */
static bool
resize_screen(struct terminal *t, int which, int rows, int cols)
{
	struct position *saved = &t->saved[which];
	int row = which == t->shown ? t->at.row : saved->row;
	int up = row >= rows ? row - rows + 1 : 0;

	if (!grid_resize(&t->screens[which], rows, cols, up))
		return false;
	saved->row = clamp(saved->row - up, 0, rows - 1);
	saved->col = clamp(saved->col, 0, cols - 1);
	if (which == t->shown)
		t->at.row -= up;
	return true;
}

bool
terminal_resize(struct terminal *t, int rows, int cols)
{
	if (rows == t->rows && cols == t->cols)
		return true;
	if (!resize_tabs(t, cols) || !resize_screen(t, MAIN, rows, cols))
		return false;
	if (t->shown == ALTERNATE && !resize_screen(t, ALTERNATE, rows, cols))
		t->shown = MAIN;
	if (t->shown == MAIN) {
		grid_fini(&t->screens[ALTERNATE]);
		t->saved[ALTERNATE] = home();
	}
	t->rows = rows;
	t->cols = cols;
	t->top = 0;
	t->bottom = rows;
	move_to(t, t->at.row, t->at.col);
	return true;
}

bool
terminal_is_plain(const struct terminal *t)
{
	return t->sequence.state == SEQUENCE_GROUND && t->top == 0 && t->bottom == t->rows &&
		terminal_mode(t, MODE_AUTOWRAP) && !terminal_mode(t, MODE_INSERT);
}

void
terminal_passed(struct terminal *t)
{
	t->at.col = 0;
	t->at.edge = EDGE_NONE;
	t->last = 0;
}
