#include "node/holder/pen.h"

#include <stdio.h>
#include <string.h>

#include "node/holder/sequence.h"

bool
pen_equal(struct pen a, struct pen b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

struct pen
pen_of_blank(struct pen p)
{
	return (struct pen){.bg = p.bg};
}

/* --- reading -------------------------------------------------------------------------------- */

static uint32_t
rgb(unsigned r, unsigned g, unsigned b)
{
	return r > 255 || g > 255 || b > 255 ? UINT32_MAX : COLOUR_RGB | r << 16 | g << 8 | b;
}

/* Of 38 or 48 at `i`: "38:2:SPACE:r:g:b", "38:2:r:g:b", "38:5:n", and the same with semicolons and
 * without the space. Returns the index of the last parameter that belongs to it. */
static int
read_colour(uint32_t *colour, const struct sequence *s, int i)
{
	int subs = sequence_subs(s, i), n = s->n_args - i - 1;
	const uint16_t *a = s->args + i + 1;

	*colour = UINT32_MAX;
	if (subs > 0) {
		const uint16_t *v = subs >= 5 ? a + 2 : a + 1;
		if (a[0] == 2 && subs >= 4)
			*colour = rgb(v[0], v[1], v[2]);
		else if (a[0] == 5 && subs >= 2 && a[1] < 256)
			*colour = COLOUR_INDEXED | a[1];
		return i + subs;
	}
	if (n >= 4 && a[0] == 2) {
		*colour = rgb(a[1], a[2], a[3]);
		return i + 4;
	}
	if (n >= 2 && a[0] == 5) {
		if (a[1] < 256)
			*colour = COLOUR_INDEXED | a[1];
		return i + 2;
	}
	return s->n_args - 1; /* what the rest means nobody knows */
}

static int
apply_colour(struct pen *p, const struct sequence *s, int i)
{
	bool fg = s->args[i] == 38;
	uint32_t colour;
	int last = read_colour(&colour, s, i);

	if (colour != UINT32_MAX && fg)
		p->fg = colour & 0x3ffffff;
	else if (colour != UINT32_MAX && s->args[i] == 48)
		p->bg = colour & 0x3ffffff;
	return last;
}

static void
apply_underline(struct pen *p, const struct sequence *s, int i)
{
	unsigned kind = sequence_subs(s, i) > 0 ? s->args[i + 1] : UNDERLINE_SINGLE;

	p->underline = (unsigned)(kind <= UNDERLINE_DASHED ? kind : UNDERLINE_SINGLE) & 7u;
}

static void
apply_attribute(struct pen *p, int arg)
{
	switch (arg) {
	case 0:
		*p = (struct pen){0};
		break;
	case 1:
		p->bold = 1;
		break;
	case 2:
		p->dim = 1;
		break;
	case 3:
		p->italic = 1;
		break;
	case 5:
	case 6:
		p->blink = 1;
		break;
	case 7:
		p->reverse = 1;
		break;
	case 8:
		p->conceal = 1;
		break;
	case 9:
		p->strike = 1;
		break;
	case 21:
		p->underline = UNDERLINE_DOUBLE;
		break;
	case 22:
		p->bold = p->dim = 0;
		break;
	case 23:
		p->italic = 0;
		break;
	case 24:
		p->underline = UNDERLINE_NONE;
		break;
	case 25:
		p->blink = 0;
		break;
	case 27:
		p->reverse = 0;
		break;
	case 28:
		p->conceal = 0;
		break;
	case 29:
		p->strike = 0;
		break;
	case 53:
		p->overline = 1;
		break;
	case 55:
		p->overline = 0;
		break;
	default:
		break;
	}
}

/* By the first number of each range: 8 colours, or the default. */
static bool
apply_basic_colour(struct pen *p, int arg)
{
	if (arg == 39)
		p->fg = COLOUR_DEFAULT;
	else if (arg == 49)
		p->bg = COLOUR_DEFAULT;
	else if (arg >= 30 && arg <= 37)
		p->fg = (COLOUR_INDEXED | (unsigned)(arg - 30)) & 0x3ffffff;
	else if (arg >= 40 && arg <= 47)
		p->bg = (COLOUR_INDEXED | (unsigned)(arg - 40)) & 0x3ffffff;
	else if (arg >= 90 && arg <= 97)
		p->fg = (COLOUR_INDEXED | (unsigned)(arg - 82)) & 0x3ffffff;
	else if (arg >= 100 && arg <= 107)
		p->bg = (COLOUR_INDEXED | (unsigned)(arg - 92)) & 0x3ffffff;
	else
		return false;
	return true;
}

void
pen_apply(struct pen *p, const struct sequence *s)
{
	for (int i = 0; i < s->n_args; i++) {
		int arg = s->args[i];

		if (arg == 38 || arg == 48 || arg == 58) {
			i = apply_colour(p, s, i);
			continue;
		}
		if (arg == 4)
			apply_underline(p, s, i);
		else if (!apply_basic_colour(p, arg))
			apply_attribute(p, arg);
		i += sequence_subs(s, i);
	}
	if (s->n_args == 0)
		*p = (struct pen){0};
}

/* --- writing -------------------------------------------------------------------------------- */

/* The nearest of the colour cube's 216, which terminals agree on. */
static uint32_t
of_cube(uint32_t c)
{
	unsigned v[3] = {c >> 16 & 255, c >> 8 & 255, c & 255};

	for (int i = 0; i < 3; i++)
		v[i] = v[i] < 48 ? 0 : v[i] < 115 ? 1 : (v[i] - 35) / 40;
	return COLOUR_INDEXED | (16 + 36 * v[0] + 6 * v[1] + v[2]);
}

static uint32_t
simpler(uint32_t colour, enum pen_detail detail)
{
	return detail == PEN_FEW_COLOURS && (colour & COLOUR_KIND) == COLOUR_RGB ? of_cube(colour)
										 : colour;
}

/* `base` is 30 or 40. */
static size_t
write_colour(char *out, size_t room, uint32_t c, unsigned base)
{
	unsigned v = c & 0xffffff;
	int n;

	if ((c & COLOUR_KIND) == COLOUR_RGB)
		n = snprintf(out, room, ";%u;2;%u;%u;%u", base + 8, v >> 16, v >> 8 & 255, v & 255);
	else if ((c & COLOUR_KIND) == COLOUR_DEFAULT)
		n = snprintf(out, room, ";%u", base + 9);
	else if (v < 16)
		n = snprintf(out, room, ";%u", v < 8 ? base + v : base + 52 + v);
	else
		n = snprintf(out, room, ";%u;5;%u", base + 8, v);
	return (size_t)n;
}

static size_t
write_attributes(char *out, size_t room, struct pen p)
{
	static const char *const underlines[] = {"", ";4", ";21", ";4:3", ";4:4", ";4:5"};
	int n = snprintf(out, room, "%s%s%s%s%s%s%s%s%s", p.bold ? ";1" : "", p.dim ? ";2" : "",
		p.italic ? ";3" : "", underlines[p.underline], p.blink ? ";5" : "",
		p.reverse ? ";7" : "", p.conceal ? ";8" : "", p.strike ? ";9" : "",
		p.overline ? ";53" : "");

	return (size_t)n;
}

static struct pen
without_colours(struct pen p)
{
	p.fg = p.bg = 0;
	return p;
}

/* Attributes that go are reset along with all others. */
size_t
pen_write(char out[PEN_SGR_MAX], struct pen from, struct pen to, enum pen_detail detail)
{
	size_t n = 2;

	from.fg = simpler(from.fg, detail) & 0x3ffffff,
	from.bg = simpler(from.bg, detail) & 0x3ffffff;
	to.fg = simpler(to.fg, detail) & 0x3ffffff, to.bg = simpler(to.bg, detail) & 0x3ffffff;
	if (detail == PEN_NONE || pen_equal(from, to))
		return 0;
	memcpy(out, "\033[", 2);
	if (!pen_equal(without_colours(from), without_colours(to))) {
		out[n++] = '0';
		n += write_attributes(out + n, PEN_SGR_MAX - n, to);
		from = without_colours(to);
	}
	if (from.fg != to.fg)
		n += write_colour(out + n, PEN_SGR_MAX - n, to.fg, 30);
	if (from.bg != to.bg)
		n += write_colour(out + n, PEN_SGR_MAX - n, to.bg, 40);
	if (out[2] == ';') {
		memmove(out + 2, out + 3, n - 3);
		n--;
	}
	out[n++] = 'm';
	return n;
}
