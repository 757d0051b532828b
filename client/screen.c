#include "client/screen.h"

#include <string.h>

#define ESC 0x1b
#define BEL 0x07
#define SO  0x0e
#define SI  0x0f
#define CAN 0x18
#define SUB 0x1a

#define SAVE_CURSOR \
	"\x1b"      \
	"7"
#define RESTORE_CURSOR \
	"\x1b"         \
	"8"

/* Private modes of DEC and xterm that would be a nuisance to the program that comes next. */
static const struct {
	int mode;
	bool set; /* at the start */
	bool alternate;
} mode_rows[] = {
	{1049, false, true },
	     {1047, false, true },
	  {47,   false, true },
	{1,    false, false}, /* arrow keys as those of applications */
	{6,    false, false}, /* lines counted within margins */
	{5,    false, false}, /* reverse video */
	{7,    true,  false}, /* long lines wrap */
	{9,    false, false}, /* the mouse, as X10 had it */
	{25,   true,  false}, /* the cursor is seen */
	{1000, false, false}, /* the mouse */
	{1002, false, false},
	      {1003, false, false},
	    {1004, false, false}, /* focus */
	{1005, false, false},
	      {1006, false, false},
	    {1015, false, false},
	  {1016, false, false},
	{2004, false, false}, /* bracketed paste */
};
#define MODE_ROWS (sizeof(mode_rows) / sizeof(mode_rows[0]))

static void
set_mode(struct screen *s, long mode, bool set)
{
	for (size_t i = 0; i < MODE_ROWS; i++) {
		if (mode_rows[i].mode != mode)
			continue;
		if (set != mode_rows[i].set)
			s->now.modes |= 1u << i;
		else
			s->now.modes &= ~(1u << i);
		s->ever.modes |= s->now.modes;
	}
}

static bool
is_alternate(const struct screen_left *left)
{
	for (size_t i = 0; i < MODE_ROWS; i++)
		if (mode_rows[i].alternate && (left->modes & (1u << i)) != 0)
			return true;
	return false;
}

bool
screen_is_alternate(const struct screen *s)
{
	return is_alternate(&s->now);
}

/* What else is not as at the start, and puts it back; NULL where it takes more than a text. */
enum mark {
	MARK_MARGINS,
	MARK_TABS,
	MARK_COLOUR,
	MARK_KEYPAD,
	MARK_DRAWING,
	MARK_SHIFTED,
	MARK_INSERT,
	MARK_KEYS,
	MARK_SHAPE,
	MARKS
};
static const char *const mark_texts[MARKS] = {
	[MARK_MARGINS] = SAVE_CURSOR "\x1b[r" RESTORE_CURSOR, /* setting them moves the cursor */
	[MARK_COLOUR] = "\x1b[m",
	[MARK_KEYPAD] = "\x1b>",
	[MARK_DRAWING] = "\x1b(B",
	[MARK_SHIFTED] = "\x0f",
	[MARK_INSERT] = "\x1b[4l",
	[MARK_KEYS] = "\x1b[>4m",  /* xterm's modifyOtherKeys */
	[MARK_SHAPE] = "\x1b[0 q", /* of the cursor */
};

static void
set_mark(struct screen *s, enum mark m, bool set)
{
	if (set)
		s->now.marks |= 1u << m;
	else
		s->now.marks &= ~(1u << m);
	s->ever.marks |= s->now.marks;
}

/* --- sequences -------------------------------------------------------------------------------- */

/* "ESC [ ? 1049 ; 25 h": a marker, numbers, perhaps a byte before the final one. */
struct sequence {
	char marker, middle, final; /* '\0' for none */
	long v[SCREEN_TORN_MAX];
	size_t n; /* 0: not even one that was left out; v[0] is 0 then */
};

#define NUMBER_MAX 1000000

static void
parse(struct sequence *q, const uint8_t *p, size_t n)
{
	*q = (struct sequence){.final = (char)p[n - 1]};
	for (size_t i = 2; i + 1 < n; i++) {
		uint8_t c = p[i];

		if (c >= '<' && c <= '?') {
			q->marker = (char)c;
		} else if (c >= '0' && c <= '9') {
			q->n += q->n == 0;
			long *v = &q->v[q->n - 1];
			*v = *v < NUMBER_MAX ? *v * 10 + (c - '0') : *v;
		} else if (c == ';' || c == ':') {
			q->n += 1 + (q->n == 0);
		} else if (c >= ' ' && c <= '/') {
			q->middle = (char)c;
		}
	}
}

/* "ESC [ 0 m" takes back all attributes. */
static void
end_colour(struct screen *s, const struct sequence *q)
{
	set_mark(s, MARK_COLOUR, q->n > 1 || q->v[0] != 0);
}

static void
end_margins(struct screen *s, const struct sequence *q)
{
	set_mark(s, MARK_MARGINS, q->n > 0);
}

static void
end_tabs(struct screen *s, const struct sequence *q)
{
	(void)q;
	set_mark(s, MARK_TABS, true);
}

static void
end_ansi_modes(struct screen *s, const struct sequence *q)
{
	for (size_t i = 0; i < q->n; i++)
		if (q->v[i] == 4)
			set_mark(s, MARK_INSERT, q->final == 'h');
}

static void
end_private_modes(struct screen *s, const struct sequence *q)
{
	for (size_t i = 0; i < q->n; i++)
		set_mode(s, q->v[i], q->final == 'h');
}

/* "ESC [ > 4 ; 2 m" sets it, "ESC [ > 4 m" and "ESC [ > m" put it back. */
static void
end_keys(struct screen *s, const struct sequence *q)
{
	if (q->n == 0 || q->v[0] == 4)
		set_mark(s, MARK_KEYS, q->n > 1 && q->v[1] != 0);
}

static void
end_shape(struct screen *s, const struct sequence *q)
{
	set_mark(s, MARK_SHAPE, q->v[0] != 0);
}

#define KITTY_MAX 32 /* terminals keep fewer */

/* One push is taken back by one pop; a pop of what was only set puts that back, too. */
static void
end_kitty(struct screen *s, const struct sequence *q)
{
	bool which = screen_is_alternate(s);
	int *pushed = &s->now.kitty[which], *most = &s->ever.kitty[which];
	int pops = q->v[0] < 1 ? 1 : q->v[0] < KITTY_MAX ? (int)q->v[0] : KITTY_MAX;

	if (q->marker == '>')
		*pushed += *pushed < KITTY_MAX;
	else if (q->marker == '<')
		*pushed -= *pushed < pops ? *pushed : pops;
	else if (*pushed == 0 && q->v[0] != 0)
		*pushed = 1;
	*most = *most > *pushed ? *most : *pushed;
}

static const struct {
	char marker, middle, final;
	void (*end)(struct screen *s, const struct sequence *q);
} sequence_rows[] = {
	{'\0', '\0', 'm', end_colour	    },
	{'\0', '\0', 'r', end_margins	     },
	{'\0', '\0', 'g', end_tabs	  },
	{'\0', '\0', 'h', end_ansi_modes	},
	{'\0', '\0', 'l', end_ansi_modes	},
	{'?',  '\0', 'h', end_private_modes},
	{'?',  '\0', 'l', end_private_modes},
	{'>',  '\0', 'm', end_keys	 },
	{'\0', ' ',  'q', end_shape	  },
	{'>',  '\0', 'u', end_kitty	  },
	{'<',  '\0', 'u', end_kitty	  },
	{'=',  '\0', 'u', end_kitty	  },
};

static void
end_sequence(struct screen *s)
{
	struct sequence q;

	parse(&q, s->torn, s->n_torn);
	for (size_t i = 0; i < sizeof(sequence_rows) / sizeof(sequence_rows[0]); i++)
		if (sequence_rows[i].marker == q.marker && sequence_rows[i].middle == q.middle &&
			sequence_rows[i].final == q.final)
			sequence_rows[i].end(s, &q);
}

static void
to_text(struct screen *s)
{
	s->state = SCREEN_TEXT;
	s->n_torn = 0;
}

static void
end_escape(struct screen *s, uint8_t c)
{
	if (c == 'c') { /* all of the terminal begins anew */
		s->now = (struct screen_left){0};
	} else if (s->n_torn == 2 && c == 'H') {
		set_mark(s, MARK_TABS, true);
	} else if (s->n_torn == 2 && (c == '=' || c == '>')) {
		set_mark(s, MARK_KEYPAD, c == '=');
	} else if (s->n_torn == 3 && s->torn[1] == '(') {
		set_mark(s, MARK_DRAWING, c == '0');
	}
	to_text(s);
}

static void
in_escape(struct screen *s, uint8_t c)
{
	if (c == '[') {
		s->state = SCREEN_SEQUENCE;
	} else if (c != '\0' && strchr("]PX^_", c) != NULL) {
		s->state = SCREEN_STRING;
	} else if (c >= 0x30) {
		end_escape(s, c);
	}
}

/* Another byte of a sequence. */
static void
take(struct screen *s, uint8_t c)
{
	if (c == CAN || c == SUB) {
		to_text(s);
		return;
	}
	if (s->n_torn < sizeof(s->torn))
		s->torn[s->n_torn] = c;
	s->n_torn++; /* past the end it is too long to be sent again */
	if (s->state == SCREEN_ESCAPE) {
		in_escape(s, c);
	} else if (s->state == SCREEN_SEQUENCE) {
		if (c >= 0x40 && c <= 0x7e) {
			if (s->n_torn <= sizeof(s->torn))
				end_sequence(s);
			to_text(s);
		}
	} else if (c == BEL || (c == '\\' && s->state == SCREEN_STRING_ESCAPE)) {
		to_text(s);
	} else {
		s->state = c == ESC ? SCREEN_STRING_ESCAPE : SCREEN_STRING;
	}
}

/* How many bytes a text's last character lacks. */
static int
lacks(int before, const uint8_t *p, size_t n)
{
	size_t back = 0;

	while (back < n && back < 4 && (p[n - 1 - back] & 0xc0) == 0x80)
		back++;
	if (back == n && back < 4)
		return before > (int)n ? before - (int)n : 0;
	uint8_t first = back < n ? p[n - 1 - back] : 0;
	int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
	return more > (int)back ? more - (int)back : 0;
}

/* Which of the two sets of characters text goes on with. */
static void
feed_shifts(struct screen *s, const uint8_t *p, size_t n)
{
	const uint8_t *out = memrchr(p, SO, n), *in = memrchr(p, SI, n);

	if (out != NULL)
		set_mark(s, MARK_SHIFTED, true);
	if (in != NULL && (out == NULL || in > out))
		set_mark(s, MARK_SHIFTED, false);
}

void
screen_feed(struct screen *s, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (n > 0) {
		if (s->state != SCREEN_TEXT) {
			take(s, *p++);
			n--;
			continue;
		}
		const uint8_t *esc = memchr(p, ESC, n);
		size_t run = esc != NULL ? (size_t)(esc - p) : n;
		feed_shifts(s, p, run);
		s->utf8 = esc != NULL ? 0 : lacks(s->utf8, p, run);
		p += run;
		n -= run;
		if (esc != NULL) {
			s->state = SCREEN_ESCAPE;
			s->torn[0] = ESC;
			s->n_torn = 1;
			p++;
			n--;
		}
	}
}

bool
screen_may_break(const struct screen *s)
{
	return s->utf8 == 0 && s->n_torn <= sizeof(s->torn);
}

void
screen_torn(const struct screen *s, struct buf *out)
{
	if (s->n_torn <= sizeof(s->torn))
		buf_append(out, s->torn, s->n_torn);
}

void
screen_cut(struct screen *s, struct buf *out)
{
	if (s->state != SCREEN_TEXT)
		buf_append_byte(out, CAN);
	to_text(s);
	s->utf8 = 0;
}

/* A stop at each eighth column; the cursor stays where it is. */
static void
restore_tabs(struct buf *out, int cols)
{
	buf_append_str(out, SAVE_CURSOR "\r\x1b[3g");
	for (int col = 8; col < cols; col += 8)
		buf_append_str(out, "\x1b[8C\x1bH");
	buf_append_str(out, RESTORE_CURSOR);
}

static void
restore_kitty(struct buf *out, int pushed)
{
	if (pushed > 0)
		buf_printf(out, "\x1b[<%du", pushed);
}

void
screen_settle(struct screen *s)
{
	s->ever = s->now;
}

/* Of the two screens the one that is shown comes first, or its keys could not be put back. */
void
screen_restore(const struct screen *s, int cols, struct buf *out)
{
	const struct screen_left *left = &s->ever;
	bool any = left->modes != 0 || left->marks != 0 || left->kitty[0] > 0 || left->kitty[1] > 0;

	if (any && s->n_torn > 0)
		buf_append_byte(out, CAN);
	for (unsigned m = 0; m < MARKS; m++) {
		if ((left->marks & (1u << m)) == 0)
			continue;
		if (m == MARK_TABS)
			restore_tabs(out, cols);
		else
			buf_append_str(out, mark_texts[m]);
	}
	if (is_alternate(left))
		restore_kitty(out, left->kitty[1]);
	for (size_t i = 0; i < MODE_ROWS; i++)
		if ((left->modes & (1u << i)) != 0)
			buf_printf(out, "\x1b[?%d%c", mode_rows[i].mode,
				mode_rows[i].set ? 'h' : 'l');
	restore_kitty(out, left->kitty[0]);
}
