#include "proto/base/display.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "proto/base/enc.h"

static uint32_t
decode(const uint8_t *p, int len)
{
	uint32_t c = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));

	for (int i = 1; i < len; i++)
		c = c << 6 | (p[i] & 0x3fu);
	return c;
}

/* Widths are those of Unicode, whatever locale the program was started in. */
static locale_t
unicode_locale(void)
{
	static locale_t l; /* a constant, once it is there */

	if (l == (locale_t)0)
		l = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	return l;
}

bool
display_hides(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} rows[] = {
		{0xad,    0xad   }, /* soft hyphen */
		{0x34f,	0x34f  },
		{0x61c,	0x61c  }, /* marks of the writing direction */
		{0x115f,	 0x1160 }, /* fillers of Hangul */
		{0x17b4,	 0x17b5 },
		  {0x180b,  0x180f },
		    {0x200b,  0x200b },
		      {0x200e,  0x200f },
		{0x2028,	 0x202e }, /* separators of lines; turning the text around */
		{0x2060,	 0x206f },
		  {0x3164,  0x3164 },
		{0xfe00,	 0xfe0d }, /* forms of a character, with which a text can be hidden behind
  one */
		{0xfeff,	 0xfeff },
		  {0xffa0,  0xffa0 },
		    {0xfff0,  0xfffb },
		      {0x1bca0, 0x1bca3},
		{0x1d173, 0x1d17a},
		    {0xe0000, 0xe0fff}, /* tags, and more of these forms */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (c >= rows[i].first && c <= rows[i].last)
			return true;
	return false;
}

/* Columns of a character that is shown as itself, or -1. */
static int
width_of(uint32_t c)
{
	locale_t l, before;
	int width;

	if (c < 0x7f)
		return c >= 0x20 ? 1 : -1;
	if (display_hides(c) || c == 0x200c || c == 0x200d) /* and joiners */
		return -1;
	if ((l = unicode_locale()) == (locale_t)0)
		return -1;
	before = uselocale(l);
	width = wcwidth((wchar_t)c);
	uselocale(before);
	return width;
}

size_t
display_append(struct buf *out, const char *text, size_t n)
{
	const uint8_t *p = (const uint8_t *)text;
	char escape[16];
	size_t columns = 0;

	for (size_t i = 0; i < n;) {
		int len = utf8_next(p + i, n - i);
		uint32_t c = len > 0 ? decode(p + i, len) : p[i];
		int width = len > 0 ? width_of(c) : -1;

		if (width >= 0) {
			if (out != NULL)
				buf_append(out, p + i, (size_t)len);
			columns += (size_t)width;
		} else {
			int used = snprintf(escape, sizeof(escape), len > 1 ? "\\u{%x}" : "\\x%02x",
				c);
			if (out != NULL)
				buf_append(out, escape, (size_t)used);
			columns += (size_t)used;
		}
		i += len > 0 ? (size_t)len : 1;
	}
	return columns;
}

size_t
display_wrap(struct buf *out, const char *text, size_t indent, size_t width)
{
	size_t column = indent, lines = 1;

	for (text += strspn(text, " "); *text != '\0'; text += strspn(text, " ")) {
		size_t n = strcspn(text, " "), columns = display_append(NULL, text, n);

		if (column > indent && column + 1 + columns > width) {
			buf_printf(out, "\n%*s", (int)indent, "");
			column = indent;
			lines++;
		}
		if (column > indent) {
			buf_append_byte(out, ' ');
			column++;
		}
		column += display_append(out, text, n);
		text += n;
	}
	buf_append_byte(out, '\n');
	return lines;
}
