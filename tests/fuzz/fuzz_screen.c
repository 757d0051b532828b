/*
 * The screen of a terminal whose program writes anything, at any size and after other sizes: kept
 * while output waits and is passed over it is the same as without; drawn on another terminal, which
 * is in whatever state, it is the same; and what draws it is of a small language, in which nothing
 * makes a terminal answer, before what the program itself has not ended.
 *
 * Input: columns and rows, then output; 0xfe and two bytes are another size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/holder/glyphs.h"
#include "node/holder/repaint.h"
#include "node/holder/screen.h"
#include "node/holder/terminal.h"
#include "proto/base/err.h"
#include "tests/unit/node/terminals.h"

#define ROOM (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
extent(uint8_t byte)
{
	return 1 + byte % 80;
}

static void
check_alike(const struct terminal *a, const struct terminal *b)
{
	char why[256];

	if (!terminals_alike(a, b, why)) {
		fprintf(stderr, "%s\n", why);
		abort();
	}
}

/* --- what draws it --------------------------------------------------------------------------- */

static void
check_csi(const struct sequence *s)
{
	const char *finals = s->leader == '?' ? "hl"
		: s->leader == '>'	      ? "m"
		: s->intermed == ' '	      ? "q"
					      : "HGJmrghl";

	hw_assert(s->leader == 0 || s->leader == '?' || s->leader == '>');
	hw_assert(s->intermed == 0 || s->intermed == ' ');
	hw_assert(strchr(finals, s->final) != NULL);
}

static void
check_language(const uint8_t *p, size_t n)
{
	struct sequence s = {0};
	enum sequence_kind kind;

	for (size_t used; n > 0; p += used, n -= used) {
		used = sequence_take(&s, &kind, p, n);
		if (kind == SEQUENCE_CHARACTER)
			hw_assert(glyph_width(s.ch) >= 0);
		else if (kind == SEQUENCE_CONTROL)
			hw_assert(s.ch == 0x0e || s.ch == 0x0f);
		else if (kind == SEQUENCE_ESCAPE)
			hw_assert(strchr(s.intermed == 0 ? "\\7H=>" : "B0", s.final) != NULL);
		else if (kind == SEQUENCE_CSI)
			check_csi(&s);
		else if (kind == SEQUENCE_OSC)
			hw_assert(s.text_len >= 2 && memcmp(s.text, "2;", 2) == 0);
		hw_assert(s.state != SEQUENCE_IN_STRING);
	}
	hw_assert(s.state == SEQUENCE_GROUND);
}

static void
check_paint(const struct terminal *t, const uint8_t *garbage, size_t n)
{
	uint8_t *out = malloc(ROOM * 2);
	uint8_t rest[SEQUENCE_REST_MAX];
	size_t n_rest = sequence_write(&t->sequence, rest);
	struct terminal other;

	hw_assert(terminal_init(&other, t->rows, t->cols));
	terminal_write(&other, garbage, n);
	for (int detail = PEN_NONE; detail >= PEN_WHOLE; detail--) {
		size_t len = repaint_write(t, (enum pen_detail)detail, out, (size_t)ROOM * 2);
		hw_assert(len > n_rest && memcmp(out + len - n_rest, rest, n_rest) == 0);
		check_language(out, len - n_rest);
		terminal_write(&other, out, len);
	}
	check_alike(t, &other);
	terminal_fini(&other);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct terminal t;
	uint32_t seed = (uint32_t)size;

	if (size < 2)
		return 0;
	int cols = extent(data[0]), rows = extent(data[1]);
	struct screen *s = screen_new(cols, rows);
	hw_assert(s != NULL && terminal_init(&t, rows, cols));
	for (size_t at = 2, piece; at < size; at += piece) {
		const uint8_t *mark = memchr(data + at, 0xfe, size - at);
		if (mark == data + at && size - at >= 3) {
			screen_resize(s, extent(mark[1]), extent(mark[2]));
			hw_assert(terminal_resize(&t, extent(mark[2]), extent(mark[1])));
			piece = 3;
			continue;
		}
		piece = mark != NULL && mark != data + at ? (size_t)(mark - data) - at : size - at;
		terminal_write(&t, data + at, piece);
		screen_feed(s, data + at, piece);
		if (chance(&seed, 3) == 0)
			screen_settle(s);
	}
	screen_settle(s);
	if (screen_terminal(s) != NULL)
		check_alike(&t, screen_terminal(s));
	check_paint(&t, data, size);
	screen_free(s);
	terminal_fini(&t);
	return 0;
}
