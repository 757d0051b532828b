/*
 * The escape filter: whatever goes in, what comes out is of a small language that this file spells
 * out a second time, is the same however the input was cut, and passes a second time unchanged.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/export.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
refuse(const char *why, const uint8_t *p, size_t n)
{
	fprintf(stderr, "%s:", why);
	for (size_t i = 0; i < n && i < 24; i++)
		fprintf(stderr, " %02x", p[i]);
	fprintf(stderr, "\n");
	abort();
}

/* --- the language ---------------------------------------------------------------------------- */

/* Numbers of "1;;38:5", 0 for those left out; the sign says that the number has colons after it. */
static size_t
numbers(int out[64], const char *p, size_t n)
{
	size_t count = 1;
	bool first = true;

	out[0] = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] == ';') {
			if (count == 64)
				abort();
			out[count++] = 0;
			first = true;
		} else if (p[i] == ':') {
			first = false;
		} else if (first) {
			out[count - 1] = out[count - 1] * 10 + (p[i] - '0');
		}
	}
	return count;
}

static bool
sgr_conceals(const char *p, size_t n)
{
	int v[64];
	size_t count = numbers(v, p, n);

	for (size_t i = 0; i < count; i++) {
		if (v[i] == 8)
			return true;
		bool colons = false;
		size_t at = 0;
		for (size_t c = 0; c < n; c++) { /* whether the i-th group has colons */
			at += p[c] == ';';
			colons = colons || (at == i && p[c] == ':');
		}
		if ((v[i] == 38 || v[i] == 48) && !colons) {
			if (i + 1 == count || (v[i + 1] != 5 && v[i + 1] != 2))
				return true; /* malformed: who knows what an 8 after it means */
			i += v[i + 1] == 5 ? 2 : 4;
		}
	}
	return false;
}

static bool
modes_harmless(const char *p, size_t n)
{
	int v[64];
	size_t count = numbers(v, p, n);

	for (size_t i = 0; i < count; i++)
		if (v[i] != 7 && v[i] != 25 && v[i] != 47 && v[i] != 1047 && v[i] != 1048 &&
			v[i] != 1049)
			return false;
	return true;
}

static bool
csi_harmless(const char *p, size_t n, char final)
{
	if (n > 0 && p[0] == '?')
		return (final == 'h' || final == 'l') && strspn(p + 1, "0123456789;") >= n - 1 &&
			modes_harmless(p + 1, n - 1);
	if (final == 'm')
		return !sgr_conceals(p, n);
	if (memchr(p, ':', n) != NULL)
		return false;
	if (final == 'h' || final == 'l')
		return n == 1 && p[0] == '4';
	if (final == 'J')
		return n == 0 || (strspn(p, "0") == n) || atoi(p) <= 2;
	if (final == 's' || final == 'u')
		return n == 0;
	if (final == 'T')
		return memchr(p, ';', n) == NULL;
	return strchr("@ABCDEFGHIKLMPSXZ`abdefr", final) != NULL;
}

static size_t
sequence(const uint8_t *p, size_t n)
{
	char params[80];
	size_t i = 2;

	if (n < 2)
		refuse("an ESC at the end", p, n);
	if (strchr("78DEM", p[1]) != NULL)
		return 2;
	if ((p[1] == '(' || p[1] == ')') && n > 2 && (p[2] == 'B' || p[2] == '0'))
		return 3;
	if (p[1] != '[')
		refuse("a foreign escape sequence", p, n);
	while (i < n && (strchr("0123456789;:?", p[i]) != NULL && p[i] != '\0'))
		i++;
	if (i == n || i - 2 >= sizeof(params))
		refuse("a cut control sequence", p, n);
	memcpy(params, p + 2, i - 2);
	params[i - 2] = '\0';
	if (!csi_harmless(params, i - 2, (char)p[i]))
		refuse("a foreign control sequence", p, n);
	return i + 1;
}

static size_t
character(const uint8_t *p, size_t n)
{
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t c = p[0] & (0xff >> (len + 1));

	if (p[0] < 0xc2 || p[0] > 0xf4 || len > n)
		refuse("malformed UTF-8", p, n);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			refuse("malformed UTF-8", p, n);
		c = c << 6 | (p[i] & 0x3f);
	}
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		refuse("malformed UTF-8", p, n);
	if (c < 0xa0 || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
		refuse("a foreign character", p, n);
	return len;
}

static void
check(const uint8_t *p, size_t n)
{
	for (size_t used; n > 0; p += used, n -= used) {
		used = 1;
		if (*p == 0x1b)
			used = sequence(p, n);
		else if (*p >= 0x80)
			used = character(p, n);
		else if (*p == 0x7f ||
			(*p < 0x20 && (*p == 0 || strchr("\r\n\b\t\a\016\017", *p) == NULL)))
			refuse("a foreign control byte", p, n);
	}
}

/* --- running --------------------------------------------------------------------------------- */

/* Feeds pieces of lengths that `seed` decides; 0: all at once. Every call's output is checked. */
static void
feed(struct buf *out, const uint8_t *p, size_t n, uint32_t seed)
{
	struct escape_filter f;

	buf_init(out, 3 * n + 64);
	escape_filter_init(&f);
	while (n > 0) {
		size_t piece = n, before = out->len;
		if (seed != 0) {
			seed = seed * 1664525 + 1013904223;
			piece = 1 + (seed >> 24) % 5;
			piece = piece < n ? piece : n;
		}
		if (escape_filter_feed(&f, p, piece, out) < 0)
			refuse("more than was promised", p, n);
		check(buf_data(out) + before, out->len - before);
		p += piece;
		n -= piece;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, pieces, again;

	feed(&whole, data, size, 0);
	feed(&pieces, data, size, (uint32_t)size + 1);
	feed(&again, buf_data(&whole), whole.len, 0);
	if (whole.len != pieces.len || memcmp(buf_data(&whole), buf_data(&pieces), whole.len) != 0)
		refuse("the cuts show", buf_data(&whole), whole.len);
	if (whole.len != again.len || memcmp(buf_data(&whole), buf_data(&again), whole.len) != 0)
		refuse("not the same a second time", buf_data(&whole), whole.len);
	buf_fini(&whole);
	buf_fini(&pieces);
	buf_fini(&again);
	return 0;
}
