#include "tests/unit/node/terminals.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "node/holder/terminal.h"

uint32_t
chance(uint32_t *seed, uint32_t below)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(*seed >> 8) * below) >> 24);
}

/* --- output --------------------------------------------------------------------------------- */

struct sample {
	uint8_t *out;
	size_t len, room;
};

static void
add(struct sample *s, const char *text, size_t n)
{
	n = n < s->room - s->len ? n : s->room - s->len;
	memcpy(s->out + s->len, text, n);
	s->len += n;
}

static void __attribute__((format(printf, 2, 3))) addf(struct sample *s, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(s, text, (size_t)n);
}

static void
add_word(struct sample *s, uint32_t *seed)
{
	static const char *const words[] = {"a", "the", "quick brown fox", "\xe6\xbc\xa2",
		"\xe6\xbc\xa2\xe5\xad\x97", "e\xcc\x81", "a\xcc\x81\xcc\xa7\xcc\x88", "\xcc\x81",
		"\xf0\x9f\x98\x80", "\xe2\x94\x80\xe2\x94\x80", " ", "    ", "qx~_", "\xe2\x82",
		"\xff", "\xc2\x85", "\xe2\x80\x8b"};

	const char *w = words[chance(seed, sizeof(words) / sizeof(words[0]))];
	add(s, w, strlen(w));
}

static void
add_csi(struct sample *s, uint32_t *seed)
{
	static const char finals[] = "@ABCDEFGHIJKLMPSTXZ`abdefgmrsu";
	char final = finals[chance(seed, sizeof(finals) - 1)];

	add(s, "\033[", 2);
	for (uint32_t n = chance(seed, 4); n > 0; n--)
		addf(s, "%u%s", chance(seed, chance(seed, 8) == 0 ? 70000 : 30), n > 1 ? ";" : "");
	add(s, &final, 1);
}

static void
add_mode(struct sample *s, uint32_t *seed)
{
	static const int numbers[] = {1, 5, 6, 7, 7, 9, 12, 25, 47, 66, 1000, 1002, 1003, 1004,
		1005, 1006, 1007, 1015, 1016, 1047, 1048, 1049, 1049, 2004, 69};

	if (chance(seed, 6) == 0)
		addf(s, "\033[%u%c", chance(seed, 2) ? 4u : 20u, "hll"[chance(seed, 3)]);
	else
		addf(s, "\033[?%d%c", numbers[chance(seed, sizeof(numbers) / sizeof(numbers[0]))],
			"hl"[chance(seed, 2)]);
}

static void
add_pen(struct sample *s, uint32_t *seed)
{
	static const char *const forms[] = {"38;5;%u", "48;5;%u", "38;2;%u;7;9", "48:2::1:%u:3",
		"38:5:%u", "3%u", "4%u", "9%u", "10%u", "4:%u", "58;5;%u", "38;7;%u"};

	if (chance(seed, 2))
		addf(s, "\033[%u;%um", chance(seed, 60), chance(seed, 30));
	add(s, "\033[", 2);
	switch (chance(seed, 6)) {
	case 0:
		break;
	default: {
		const char *form = forms[chance(seed, sizeof(forms) / sizeof(forms[0]))];
		const char *at = strstr(form, "%u");
		add(s, form, (size_t)(at - form));
		addf(s, "%u%s", chance(seed, at == form + 1 || form[1] == '0' ? 8 : 256), at + 2);
	}
	}
	add(s, "m", 1);
}

static void
add_rare(struct sample *s, uint32_t *seed)
{
	static const char *const rare[] = {"\033(0", "\033)0", "\033(B", "\033)B", "\016", "\017",
		"\033c", "\033[!p", "\033#8", "\0337", "\0338", "\033D", "\033E", "\033H", "\033M",
		"\033=", "\033>", "\033]0;a title\a", "\033]2;\xe6\xbc\xa2\001\033\\",
		"\033]52;c;AAAA\a", "\033P$qm\033\\", "\033[>4;2m", "\033[>4m", "\033[3 q",
		"\033[ q", "\033[3g", "\033[22;0;0t", "\033[23;0;0t", "\033[c", "\033[6n", "\033[?",
		"\033]2;cut",
		"\033[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;20;21;22;23;24;25;26;27;28;29;"
		"30;31;32;33;34;35;36m",
		"\033[;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;H", "\030",
		"\033[12\030", "\033X junk \033\\", "\033[?2026h", "\033[20b", "x\033[5b",
		"\033[99999999999S"};
	const char *r = rare[chance(seed, sizeof(rare) / sizeof(rare[0]))];

	add(s, r, strlen(r));
}

static void
add_control(struct sample *s, uint32_t *seed)
{
	static const char controls[] = "\r\n\n\t\b\a\v\f";

	add(s, controls + chance(seed, sizeof(controls) - 1), 1);
	if (chance(seed, 3) == 0)
		add(s, "\r\n", 2);
}

static void (*const kinds[])(struct sample *s, uint32_t *seed) = {add_word, add_word, add_word,
	add_csi, add_csi, add_mode, add_pen, add_rare, add_control, add_control};

size_t
chance_output(uint32_t *seed, uint8_t *out, size_t room)
{
	struct sample s = {.out = out, .room = room};

	while (s.len < room)
		kinds[chance(seed, sizeof(kinds) / sizeof(kinds[0]))](&s, seed);
	return s.len;
}

static void
add_lines(struct sample *s, uint32_t *seed)
{
	uint32_t longest = chance(seed, 3) == 0 ? 40 : 4, bare = chance(seed, 4);

	for (uint32_t n = 1 + chance(seed, 900); n > 0; n--) {
		for (uint32_t words = chance(seed, longest); words > 0; words--)
			add_word(s, seed);
		if (chance(seed, 10) == 0)
			add(s, "\t", 1);
		add(s, bare == 0 && chance(seed, 3) ? "\n" : "\r\n", bare == 0 ? 1 : 2);
	}
}

size_t
chance_flood(uint32_t *seed, uint8_t *out, size_t room)
{
	struct sample s = {.out = out, .room = room};

	while (s.len < room) {
		add_lines(&s, seed);
		for (uint32_t n = chance(seed, 4); n > 0; n--)
			kinds[chance(seed, sizeof(kinds) / sizeof(kinds[0]))](&s, seed);
		if (chance(seed, 2)) /* what keeps all else from being plain goes again */
			addf(&s, "\030\033\\\033[r\033[4l\033[?7h\033[?6l");
	}
	return s.len;
}

/* --- alike ---------------------------------------------------------------------------------- */

static bool
differ(char why[256], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, 256, fmt, ap);
	va_end(ap);
	return false;
}

static bool
cells_alike(const struct terminal *a, const struct terminal *b, int screen, char why[256])
{
	const struct grid *ga = &a->screens[screen], *gb = &b->screens[screen];

	for (int row = 0; row < a->rows; row++) {
		for (int col = 0; col < a->cols; col++) {
			struct cell ca = grid_cell(ga, row, col), cb = grid_cell(gb, row, col);
			if (ca.glyph != cb.glyph)
				return differ(why, "screen %d row %d col %d: glyphs %llx and %llx",
					screen, row, col, (unsigned long long)ca.glyph,
					(unsigned long long)cb.glyph);
			if (!pen_equal(ca.pen, cb.pen))
				return differ(why, "screen %d row %d col %d: pens", screen, row,
					col);
		}
	}
	return true;
}

static bool
positions_alike(const struct position *a, const struct position *b, const char *what, char why[256])
{
	if (a->row != b->row || a->col != b->col)
		return differ(why, "%s: at %d,%d and %d,%d", what, a->row, a->col, b->row, b->col);
	if ((a->edge == EDGE_WRAPS) != (b->edge == EDGE_WRAPS))
		return differ(why, "%s: wraps", what);
	if (!pen_equal(a->pen, b->pen))
		return differ(why, "%s: pens", what);
	if (memcmp(&a->charsets, &b->charsets, sizeof(a->charsets)) != 0)
		return differ(why, "%s: character sets", what);
	return true;
}

static bool
modes_alike(const struct terminal *a, const struct terminal *b, char why[256])
{
	for (int m = 0; m < MODES; m++)
		if (terminal_mode(a, m) != terminal_mode(b, m) &&
			(!terminal_modes[m].untold || (a->told >> m & 1) != 0))
			return differ(why, "mode %u", terminal_modes[m].number);
	if (a->top != b->top || a->bottom != b->bottom)
		return differ(why, "regions %d-%d and %d-%d", a->top, a->bottom, b->top, b->bottom);
	if (a->cursor_shape != b->cursor_shape || a->modify_keys != b->modify_keys)
		return differ(why, "cursor's shape or keys");
	if (memcmp(a->tabs, b->tabs, (size_t)a->cols) != 0)
		return differ(why, "tabs");
	if (a->titled &&
		(a->title.len != b->title.len ||
			memcmp(a->title.text, b->title.text, a->title.len) != 0))
		return differ(why, "titles");
	return true;
}

static bool
sequences_alike(const struct sequence *a, const struct sequence *b, char why[256])
{
	uint8_t of_a[SEQUENCE_REST_MAX], of_b[SEQUENCE_REST_MAX];
	size_t n = sequence_write(a, of_a);

	if (a->state != b->state || n != sequence_write(b, of_b) || memcmp(of_a, of_b, n) != 0)
		return differ(why, "sequences that are not ended: %d and %d", a->state, b->state);
	return true;
}

bool
terminals_alike(const struct terminal *a, const struct terminal *b, char why[256])
{
	if (a->rows != b->rows || a->cols != b->cols || a->shown != b->shown)
		return differ(why, "sizes, or screens %d and %d", a->shown, b->shown);
	if (!cells_alike(a, b, 0, why) || (a->shown == 1 && !cells_alike(a, b, 1, why)))
		return false;
	if (a->saved[a->shown].origin != b->saved[a->shown].origin ||
		a->saved[0].origin != b->saved[0].origin)
		return differ(why, "saved origin");
	return positions_alike(&a->at, &b->at, "cursor", why) &&
		positions_alike(&a->saved[a->shown], &b->saved[a->shown], "saved cursor", why) &&
		positions_alike(&a->saved[0], &b->saved[0], "main's cursor", why) &&
		modes_alike(a, b, why) && sequences_alike(&a->sequence, &b->sequence, why);
}

const char *
terminal_text(const struct terminal *t, int row, char out[1024])
{
	const struct grid *g = &t->screens[t->shown];
	size_t n = 0;

	for (int col = 0; col < t->cols && n < 1000; col++) {
		glyph c = grid_cell(g, row, col).glyph;
		if (c == GLYPH_RIGHT)
			continue;
		if (c < 0x80)
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, 1024 - n, "<%llx>",
				(unsigned long long)(c & 0x1fffff));
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
	return out;
}
