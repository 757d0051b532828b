#include "client/screen.h"

#include <stdlib.h>
#include <string.h>

#define ESC 0x1b
#define BEL 0x07
#define CAN 0x18
#define SUB 0x1a

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
	{25,   true,  false}, /* the cursor is seen */
	{1000, false, false}, /* the mouse */
	{1002, false, false},
	      {1003, false, false},
	    {1004, false, false}, /* focus */
	{1005, false, false},
	      {1006, false, false},
	    {1015, false, false},
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
			s->modes |= 1u << i;
		else
			s->modes &= ~(1u << i);
	}
}

/* "ESC [ ? 1049 ; 25 h" */
static void
end_sequence(struct screen *s)
{
	char text[SCREEN_TORN_MAX + 1], *at = text + 3;
	char final = (char)s->torn[s->n_torn - 1];

	if (s->n_torn < 5 || s->torn[2] != '?' || (final != 'h' && final != 'l'))
		return;
	memcpy(text, s->torn, s->n_torn);
	text[s->n_torn] = '\0';
	for (bool more = true; more; at++) {
		long mode = strtol(at, &at, 10);
		set_mode(s, mode, final == 'h');
		more = *at == ';';
	}
}

static void
to_text(struct screen *s)
{
	s->state = SCREEN_TEXT;
	s->n_torn = 0;
}

static void
in_escape(struct screen *s, uint8_t c)
{
	if (c == '[') {
		s->state = SCREEN_SEQUENCE;
	} else if (c != '\0' && strchr("]PX^_", c) != NULL) {
		s->state = SCREEN_STRING;
	} else if (c >= 0x30) {
		if (c == 'c')
			s->modes = 0; /* all of the terminal begins anew */
		to_text(s);
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
screen_is_alternate(const struct screen *s)
{
	for (size_t i = 0; i < MODE_ROWS; i++)
		if (mode_rows[i].alternate && (s->modes & (1u << i)) != 0)
			return true;
	return false;
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
screen_restore(const struct screen *s, struct buf *out)
{
	if (s->modes != 0 && s->n_torn > 0)
		buf_append_byte(out, CAN);
	for (size_t i = 0; i < MODE_ROWS; i++)
		if ((s->modes & (1u << i)) != 0)
			buf_printf(out, "\x1b[?%d%c", mode_rows[i].mode,
				mode_rows[i].set ? 'h' : 'l');
}
