/*
 * The cells of a terminal's screen. A row keeps what was drawn on it, and one look for all behind
 * that, so that erasing and scrolling cost the same for any width.
 */
#ifndef HAWSER_HOLDER_GRID_H
#define HAWSER_HOLDER_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/holder/pen.h"

/* A character with up to two marks, 21 bits each, the character lowest; or the right half of a wide
 * one. */
typedef uint64_t glyph;
#define GLYPH_BITS  21
#define GLYPH_BLANK ((glyph)' ')
#define GLYPH_RIGHT ((glyph)1 << 63)

struct cell {
	glyph glyph;
	struct pen pen;
};

struct row {
	struct cell *cells;
	struct pen rest; /* of the blanks from `used` on */
	int used;
};

struct grid {
	struct cell *mem;
	struct row *rows;
	int n_rows, n_cols;
};

/* Blank. False without memory. Both are at least 1. */
bool grid_init(struct grid *g, int rows, int cols);
void grid_fini(struct grid *g);

/* Another size: `up` lines at the top go, rows and columns come or go at the bottom and right.
 * False without memory: it is as it was. */
bool grid_resize(struct grid *g, int rows, int cols, int up);

struct cell grid_cell(const struct grid *g, int row, int col);
/* 2 when the right half of it is in the next cell. */
int grid_width(const struct grid *g, int row, int col);

/* What is drawn over half of a wide character blanks its other half. */
void grid_put(struct grid *g, int row, int col, glyph what, int width, struct pen pen);
/* n bytes of ASCII, which fit. */
void grid_text(struct grid *g, int row, int col, const uint8_t *text, int n, struct pen pen);
/* Onto the character there; a third is dropped. */
void grid_mark(struct grid *g, int row, int col, uint32_t mark);

/* Columns from `from` to before `to`, which look like `blank` then. */
void grid_erase(struct grid *g, int row, int from, int to, struct pen blank);
/* Moves what is from `col` on by n > 0 columns. */
void grid_insert(struct grid *g, int row, int col, int n, struct pen blank);
void grid_delete(struct grid *g, int row, int col, int n, struct pen blank);
/* Rows from `top` to before `bottom`: up by n > 0, down by n < 0. */
void grid_scroll(struct grid *g, int top, int bottom, int n, struct pen blank);

#endif
