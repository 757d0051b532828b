#include "node/holder/grid.h"

#include <stdlib.h>
#include <string.h>

bool
grid_init(struct grid *g, int rows, int cols)
{
	*g = (struct grid){
		.mem = malloc((size_t)rows * (size_t)cols * sizeof(*g->mem)),
		.rows = calloc((size_t)rows, sizeof(*g->rows)),
		.n_rows = rows,
		.n_cols = cols,
	};
	if (g->mem == NULL || g->rows == NULL) {
		grid_fini(g);
		return false;
	}
	for (int r = 0; r < rows; r++)
		g->rows[r].cells = g->mem + (size_t)r * (size_t)cols;
	return true;
}

void
grid_fini(struct grid *g)
{
	free(g->mem);
	free(g->rows);
	*g = (struct grid){0};
}

/* --- a row ---------------------------------------------------------------------------------- */

/* Makes cells of what is before `to`. */
static void
use(struct row *r, int to)
{
	for (; r->used < to; r->used++)
		r->cells[r->used] = (struct cell){.glyph = GLYPH_BLANK, .pen = r->rest};
}

/* No wide character lies across the left edge of `col` any more. */
static void
split(struct row *r, int col)
{
	if (col <= 0 || col >= r->used || r->cells[col].glyph != GLYPH_RIGHT)
		return;
	r->cells[col - 1].glyph = GLYPH_BLANK;
	r->cells[col].glyph = GLYPH_BLANK;
}

/* Makes room to draw on. */
static struct cell *
clear_for(struct grid *g, int row, int col, int n)
{
	struct row *r = &g->rows[row];

	use(r, col);
	split(r, col);
	split(r, col + n);
	r->used = r->used > col + n ? r->used : col + n;
	return r->cells + col;
}

static void
erase_tail(struct row *r, int from, struct pen blank)
{
	if (from > r->used && pen_equal(r->rest, blank))
		return;
	use(r, from);
	split(r, from);
	r->used = from;
	r->rest = blank;
}

void
grid_erase(struct grid *g, int row, int from, int to, struct pen blank)
{
	struct row *r = &g->rows[row];

	if (to >= g->n_cols) {
		erase_tail(r, from, blank);
		return;
	}
	use(r, to);
	split(r, from);
	split(r, to);
	for (int col = from; col < to; col++)
		r->cells[col] = (struct cell){.glyph = GLYPH_BLANK, .pen = blank};
}

/* What is moved out at the right edge is lost, a half of a wide character too. */
void
grid_insert(struct grid *g, int row, int col, int n, struct pen blank)
{
	struct row *r = &g->rows[row];
	int keeps = g->n_cols - n;

	if (keeps <= col) {
		grid_erase(g, row, col, g->n_cols, blank);
		return;
	}
	use(r, col);
	split(r, col);
	split(r, keeps);
	int moved = (r->used < keeps ? r->used : keeps) - col;
	memmove(r->cells + col + n, r->cells + col, (size_t)moved * sizeof(*r->cells));
	r->used = col + n + moved;
	for (int i = 0; i < n; i++)
		r->cells[col + i] = (struct cell){.glyph = GLYPH_BLANK, .pen = blank};
}

void
grid_delete(struct grid *g, int row, int col, int n, struct pen blank)
{
	struct row *r = &g->rows[row];

	if (col + n >= g->n_cols) {
		grid_erase(g, row, col, g->n_cols, blank);
		return;
	}
	use(r, pen_equal(r->rest, blank) ? col + n : g->n_cols);
	split(r, col);
	split(r, col + n);
	memmove(r->cells + col, r->cells + col + n,
		(size_t)(r->used - col - n) * sizeof(*r->cells));
	r->used -= n;
	r->rest = blank;
}

/* --- the whole ------------------------------------------------------------------------------ */

static void
copy_row(struct row *to, struct row *from, int cols, int old_cols)
{
	if (cols < old_cols) {
		split(from, cols);
	} else if (!pen_equal(from->rest, (struct pen){0})) {
		use(from, old_cols);
		from->rest = (struct pen){0};
	}
	to->used = from->used < cols ? from->used : cols;
	to->rest = from->rest;
	memcpy(to->cells, from->cells, (size_t)to->used * sizeof(*to->cells));
}

bool
grid_resize(struct grid *g, int rows, int cols, int up)
{
	struct grid next;

	if (!grid_init(&next, rows, cols))
		return false;
	for (int r = 0; r < rows && r + up < g->n_rows; r++)
		copy_row(&next.rows[r], &g->rows[r + up], cols, g->n_cols);
	grid_fini(g);
	*g = next;
	return true;
}

struct cell
grid_cell(const struct grid *g, int row, int col)
{
	const struct row *r = &g->rows[row];

	return col < r->used ? r->cells[col] : (struct cell){.glyph = GLYPH_BLANK, .pen = r->rest};
}

int
grid_width(const struct grid *g, int row, int col)
{
	const struct row *r = &g->rows[row];

	return col + 1 < r->used && r->cells[col + 1].glyph == GLYPH_RIGHT ? 2 : 1;
}

void
grid_put(struct grid *g, int row, int col, glyph what, int width, struct pen pen)
{
	struct cell *c = clear_for(g, row, col, width);

	c[0] = (struct cell){.glyph = what, .pen = pen};
	if (width == 2)
		c[1] = (struct cell){.glyph = GLYPH_RIGHT, .pen = pen};
}

void
grid_text(struct grid *g, int row, int col, const uint8_t *text, int n, struct pen pen)
{
	struct cell *c = clear_for(g, row, col, n);

	for (int i = 0; i < n; i++)
		c[i] = (struct cell){.glyph = text[i], .pen = pen};
}

void
grid_mark(struct grid *g, int row, int col, uint32_t mark)
{
	struct row *r = &g->rows[row];

	use(r, col + 1);
	if (r->cells[col].glyph == GLYPH_RIGHT)
		col--;
	glyph *what = &r->cells[col].glyph;
	for (int shift = GLYPH_BITS; shift <= 2 * GLYPH_BITS; shift += GLYPH_BITS) {
		if ((*what >> shift) == 0) {
			*what |= (glyph)mark << shift;
			return;
		}
	}
}

static void
reverse(struct row *rows, int n)
{
	for (int i = 0, j = n - 1; i < j; i++, j--) {
		struct row r = rows[i];
		rows[i] = rows[j];
		rows[j] = r;
	}
}

/* Turns rows so that the one at `n` is the first. */
static void
rotate(struct row *rows, int count, int n)
{
	if (n == 1) {
		struct row first = rows[0];
		memmove(rows, rows + 1, (size_t)(count - 1) * sizeof(*rows));
		rows[count - 1] = first;
		return;
	}
	reverse(rows, n);
	reverse(rows + n, count - n);
	reverse(rows, count);
}

void
grid_scroll(struct grid *g, int top, int bottom, int n, struct pen blank)
{
	int count = bottom - top, lines = abs(n) < count ? abs(n) : count;
	int first = n > 0 ? bottom - lines : top;

	rotate(g->rows + top, count, n > 0 ? lines : count - lines);
	for (int r = first; r < first + lines; r++) {
		g->rows[r].used = 0;
		g->rows[r].rest = blank;
	}
}
