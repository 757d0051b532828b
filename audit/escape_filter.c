/* The escape filter: a machine over bytes, after the states of DEC's terminals (vt100.net). */
#include <string.h>

#include "audit/export.h"
#include "proto/base/display.h"

enum {
	GROUND,
	UTF8,	    /* in a character; utf8_left bytes are to come */
	ESCAPE,	    /* after ESC */
	CHARSET,    /* after ESC ( or ESC ) */
	CSI,	    /* after ESC [ */
	CSI_IGNORE, /* in a control sequence that is dropped */
	ESC_IGNORE, /* after ESC and an intermediate byte */
	STRING,	    /* in OSC, DCS, APC, PM, SOS or a title; n counts */
};

#define STRING_MAX 4096
#define ESC	   0x1b
#define DIGITS_MAX 5 /* of a parameter */

const char escape_filter_reset[] =
	"\0337\033[?1049l\033[r\0338" /* setting the region moves the cursor */
	"\033[0m\033[?25h\033[?7h\033[4l\033(B\033)B\017";

void
escape_filter_init(struct escape_filter *f)
{
	*f = (struct escape_filter){.state = GROUND};
}

/* --- control sequences ----------------------------------------------------------------------- */

/* The parameters of a sequence: its bytes between ESC [ and the final one. */
struct params {
	const char *p;
	size_t n;
};

/* One number from *at on, and past the separator after it. -1 for one that is left out. */
static int
next_number(const struct params *ps, size_t *at)
{
	int v = -1;

	for (; *at < ps->n && ps->p[*at] >= '0' && ps->p[*at] <= '9'; ++*at)
		v = (v < 0 ? 0 : v) * 10 + (ps->p[*at] - '0');
	++*at;
	return v;
}

/* Digits and semicolons alone, no number longer than DIGITS_MAX. */
static bool
are_plain(const struct params *ps, bool colons)
{
	size_t digits = 0;

	for (size_t i = 0; i < ps->n; i++) {
		bool digit = ps->p[i] >= '0' && ps->p[i] <= '9';
		digits = digit ? digits + 1 : 0;
		if (digits > DIGITS_MAX ||
			(!digit && ps->p[i] != ';' && !(colons && ps->p[i] == ':')))
			return false;
	}
	return true;
}

/* At most `count` numbers, none above max; one that is left out counts. */
static bool
fit(const struct params *ps, size_t count, int max)
{
	size_t at = 0;

	if (ps->n == 0)
		return true;
	if (!are_plain(ps, false))
		return false;
	for (size_t n = 1; at <= ps->n; n++)
		if (n > count || next_number(ps, &at) > max)
			return false;
	return true;
}

static int
put_sequence(struct buf *out, const char *p, size_t n, uint8_t final)
{
	int r = buf_append(out, "\033[", 2);

	if (r == 0)
		r = buf_append(out, p, n);
	return r == 0 ? buf_append_byte(out, final) : r;
}

/* How many numbers after a colour's 38 or 48 belong to it: 5;n or 2;r;g;b. 0: it is malformed. */
static size_t
colour_length(const struct params *ps, size_t at)
{
	int kind = next_number(ps, &at);

	return kind == 5 ? 2 : kind == 2 ? 4 : 0;
}

/* SGR without what conceals. A group with colons is one attribute. What terminals may understand in
 * several ways is dropped whole: in one of them an 8 might be no colour. */
static int
put_sgr(struct buf *out, const struct params *ps)
{
	char kept[64];
	size_t len = 0, groups = 0, skip = 0, end;
	bool dropped = false;

	for (size_t begin = 0; begin <= ps->n; begin = end + 1) { /* the last may be empty, too */
		size_t at = begin;
		for (end = begin; end < ps->n && ps->p[end] != ';';)
			end++;
		int number = next_number(ps, &at);
		bool alone = at > end;
		if (skip > 0) {
			if (!alone)
				return 0;
			skip--;
		} else if (number == 8) {
			dropped = true;
			continue;
		} else if (alone && number == 58) {
			return 0;
		} else if (alone && (number == 38 || number == 48)) {
			if ((skip = colour_length(ps, end + 1)) == 0)
				return 0;
		}
		if (groups++ > 0)
			kept[len++] = ';';
		memcpy(kept + len, ps->p + begin, end - begin);
		len += end - begin;
	}
	if (skip > 0 || groups == 0)
		return 0; /* without numbers it would be a reset */
	return dropped ? put_sequence(out, kept, len, 'm') : put_sequence(out, ps->p, ps->n, 'm');
}

static bool
is_harmless_mode(int mode)
{
	return mode == 7 || mode == 25 || mode == 47 || (mode >= 1047 && mode <= 1049);
}

/* Private modes (CSI ? ... h or l): those that may stay. */
static int
put_modes(struct buf *out, const struct params *ps, uint8_t final)
{
	const struct params numbers = {ps->p + 1, ps->n - 1};
	char kept[64] = "?";
	size_t len = 1;

	if (!are_plain(&numbers, false))
		return 0;
	for (size_t at = 0; at < numbers.n;) {
		size_t begin = at;
		int mode = next_number(&numbers, &at);
		if (!is_harmless_mode(mode))
			continue;
		size_t end = at - 1; /* of the digits: past them lies a separator, or the end */
		if (len > 1)
			kept[len++] = ';';
		memcpy(kept + len, numbers.p + begin, end - begin);
		len += end - begin;
	}
	return len > 1 ? put_sequence(out, kept, len, final) : 0;
}

/* Sequences that act on the screen alone, with the most numbers that they take, and the largest. */
static const struct {
	char final;
	uint8_t count;
	int max;
} harmless[] = {
	{'@', 1, 99999},
	{'A', 1, 99999},
	{'B', 1, 99999},
	{'C', 1, 99999},
	{'D', 1, 99999},
	{'E', 1, 99999},
	{'F', 1, 99999},
	{'G', 1, 99999},
	{'H', 2, 99999},
	{'I', 1, 999  },
	{'J', 1, 2	  },
	{'K', 1, 2	  },
	{'L', 1, 99999},
	{'M', 1, 99999},
	{'P', 1, 99999},
	{'S', 1, 99999},
	{'T', 1, 99999},
	{'X', 1, 99999},
	{'Z', 1, 999  },
	{'`', 1, 99999},
	{'a', 1, 99999},
	{'b', 1, 9999 },
	{'d', 1, 99999},
	{'e', 1, 99999},
	{'f', 2, 99999},
	{'r', 2, 99999},
	{'s', 0, 0	  },
	{'u', 0, 0	  },
};

static int
put_csi(struct buf *out, const struct params *ps, uint8_t final)
{
	if (final == 'm')
		return are_plain(ps, true) ? put_sgr(out, ps) : 0;
	if ((final == 'h' || final == 'l') && ps->n > 0 && ps->p[0] == '?')
		return put_modes(out, ps, final);
	if ((final == 'h' || final == 'l') && ps->n == 1 && ps->p[0] == '4')
		return put_sequence(out, ps->p, ps->n, final); /* insert mode */
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if ((uint8_t)harmless[i].final == final)
			return fit(ps, harmless[i].count, harmless[i].max)
				? put_sequence(out, ps->p, ps->n, final)
				: 0;
	return 0;
}

/* --- characters ------------------------------------------------------------------------------ */

static int
put_replacement(struct buf *out)
{
	return buf_append(out, "\xef\xbf\xbd", 3);
}

static uint32_t
code_point(const uint8_t *p, size_t n)
{
	uint32_t c = p[0] & (0xffu >> (n + 1));

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

/* A whole character of more than one byte. */
static int
put_character(struct buf *out, const uint8_t *p, size_t n)
{
	if (n == 2 && p[0] == 0xc2 && p[1] < 0xa0)
		return 0; /* C1: some terminals obey U+009B as they do ESC [ */
	if (display_hides(code_point(p, n)))
		return 0;
	return buf_append(out, p, n);
}

/* What the second byte of a character may be; all others lie in 80..BF. */
static bool
may_follow(uint8_t first, uint8_t c)
{
	uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;

	return c >= low && c <= high;
}

static int
begin_character(struct escape_filter *f, uint8_t c, struct buf *out)
{
	f->utf8_left = c >= 0xc2 && c <= 0xdf ? 1
		: c >= 0xe0 && c <= 0xef      ? 2
		: c >= 0xf0 && c <= 0xf4      ? 3
					      : 0;
	if (f->utf8_left == 0)
		return put_replacement(out);
	f->pending[0] = c;
	f->n = 1;
	f->state = UTF8;
	return 0;
}

/* --- the machine ----------------------------------------------------------------------------- */

static bool
is_harmless_control(uint8_t c)
{
	return c == '\r' || c == '\n' || c == '\b' || c == '\t' || c == '\a' || c == 0x0e ||
		c == 0x0f;
}

/* A C0 byte outside of strings: it acts at once, also within a sequence. */
static int
feed_control(struct escape_filter *f, uint8_t c, struct buf *out)
{
	if (c == ESC) {
		f->state = ESCAPE;
		return 0;
	}
	if (c == 0x18 || c == 0x1a) {
		f->state = GROUND;
		return 0;
	}
	return is_harmless_control(c) ? buf_append_byte(out, c) : 0;
}

static int
feed_ground(struct escape_filter *f, uint8_t c, struct buf *out)
{
	if (c >= 0x80)
		return begin_character(f, c, out);
	return c == 0x7f ? 0 : buf_append_byte(out, c);
}

static int
feed_escape(struct escape_filter *f, uint8_t c, struct buf *out)
{
	const uint8_t bytes[2] = {ESC, c};

	f->state = GROUND;
	f->n = 0;
	switch (c) {
	case '[':
		f->state = CSI;
		return 0;
	case ']': /* OSC DCS SOS PM APC, and screen's title */
	case 'P':
	case 'X':
	case '^':
	case '_':
	case 'k':
		f->state = STRING;
		return 0;
	case '(':
	case ')':
		f->pending[0] = c;
		f->state = CHARSET;
		return 0;
	case '7': /* save and restore the cursor; index, next line, reverse index */
	case '8':
	case 'D':
	case 'E':
	case 'M':
		return buf_append(out, bytes, 2);
	default:
		if (c >= 0x20 && c <= 0x2f)
			f->state = ESC_IGNORE;
		return 0;
	}
}

static int
feed_charset(struct escape_filter *f, uint8_t c, struct buf *out)
{
	const uint8_t bytes[3] = {ESC, f->pending[0], c};

	if (c >= 0x20 && c <= 0x2f) {
		f->state = ESC_IGNORE;
		return 0;
	}
	f->state = GROUND;
	return c == 'B' || c == '0' ? buf_append(out, bytes, 3) : 0;
}

static int
feed_csi(struct escape_filter *f, uint8_t c, struct buf *out)
{
	if (c >= 0x40) {
		bool whole = f->state == CSI;
		f->state = GROUND;
		return whole ? put_csi(out, &(struct params){(char *)f->pending, f->n}, c) : 0;
	}
	if (c < 0x30 || f->n == sizeof(f->pending) - 4)
		f->state = CSI_IGNORE;
	else
		f->pending[f->n++] = c;
	return 0;
}

/* ESC ends a string, be it that of ESC \ or of another sequence. */
static int
feed_string(struct escape_filter *f, uint8_t c, struct buf *out)
{
	bool ends = c == '\a' || c == ESC || c == 0x18 || c == 0x1a || c == '\n' || c == '\r' ||
		++f->n >= STRING_MAX;

	if (ends)
		f->state = c == ESC ? ESCAPE : GROUND;
	return c == '\n' || c == '\r' ? buf_append_byte(out, c) : 0;
}

static int
feed_utf8(struct escape_filter *f, uint8_t c, struct buf *out)
{
	f->pending[f->n++] = c;
	if (--f->utf8_left > 0)
		return 0;
	f->state = GROUND;
	return put_character(out, f->pending, f->n);
}

static int
feed_byte(struct escape_filter *f, uint8_t c, struct buf *out)
{
	int r = 0;

	if (f->state == STRING)
		return feed_string(f, c, out);
	if (f->state == UTF8) {
		if (f->n == 1 ? may_follow(f->pending[0], c) : (c & 0xc0) == 0x80)
			return feed_utf8(f, c, out);
		f->state = GROUND; /* cut short: c is looked at anew */
		r = put_replacement(out);
	}
	if (r < 0)
		return r;
	if (c < 0x20)
		return feed_control(f, c, out);
	if (c >= 0x80)
		f->state = GROUND; /* no part of any sequence */
	else if (c == 0x7f)
		return 0;
	switch (f->state) {
	case ESCAPE:
		return feed_escape(f, c, out);
	case CHARSET:
		return feed_charset(f, c, out);
	case CSI:
	case CSI_IGNORE:
		return feed_csi(f, c, out);
	case ESC_IGNORE:
		if (c >= 0x30)
			f->state = GROUND;
		return 0;
	default:
		return feed_ground(f, c, out);
	}
}

/* In words: a byte's highest bit comes out where it is no such character, or comes after one. */
size_t
escape_plain_run(const uint8_t *p, size_t n)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	size_t len = 0;
	uint64_t w;

	for (; n - len >= sizeof(w); len += sizeof(w)) {
		memcpy(&w, p + len, sizeof(w));
		if (((w | (w - 0x20 * ones) | (w + ones)) & (0x80 * ones)) != 0)
			break;
	}
	while (len < n && p[len] >= 0x20 && p[len] < 0x7f)
		len++;
	return len;
}

int
escape_filter_feed(struct escape_filter *f, const void *p, size_t n, struct buf *out)
{
	const uint8_t *at = p;
	int r = 0;

	while (r == 0 && n > 0) {
		size_t run = f->state == GROUND ? escape_plain_run(at, n) : 0;
		if (run > 0) {
			r = buf_append(out, at, run);
		} else {
			r = feed_byte(f, *at, out);
			run = 1;
		}
		at += run;
		n -= run;
	}
	return r;
}
