#include "proto/base/table.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/display.h"

struct cell {
	char *text; /* as it is shown */
	size_t width;
	enum table_style style;
};

struct table {
	struct cell *cells;
	size_t columns, count, room;
	size_t *widths;
};

struct table *
table_new(size_t columns)
{
	struct table *t = calloc(1, sizeof(*t));

	hw_assert(columns > 0);
	if (t == NULL || (t->widths = calloc(columns, sizeof(*t->widths))) == NULL) {
		free(t);
		return NULL;
	}
	t->columns = columns;
	return t;
}

void
table_free(struct table *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t->widths);
	free(t);
}

static int
table_grow(struct table *t)
{
	size_t room = t->room > 0 ? t->room * 2 : 64;
	struct cell *cells;

	if (t->count < t->room)
		return 0;
	if ((cells = reallocarray(t->cells, room, sizeof(*cells))) == NULL)
		return HW_ENOMEM;
	t->cells = cells;
	t->room = room;
	return 0;
}

int
table_add(struct table *t, const char *text, enum table_style style)
{
	struct cell cell = {.style = style};
	struct buf shown;
	size_t column = t->count % t->columns;

	if (text == NULL)
		text = "";
	buf_init(&shown, 1 << 20);
	cell.width = display_append(&shown, text, strlen(text));
	cell.text = buf_take(&shown, &(size_t){0});
	buf_fini(&shown);
	if (cell.text == NULL || table_grow(t) < 0) {
		free(cell.text);
		return HW_ENOMEM;
	}
	t->cells[t->count++] = cell;
	if (cell.width > t->widths[column])
		t->widths[column] = cell.width;
	return 0;
}

static void
print_cell(struct buf *out, const struct cell *cell, bool color)
{
	static const char *const sgr[] = {
		[STYLE_GOOD] = "\033[32m",
		[STYLE_BAD] = "\033[33m",
		[STYLE_DIM] = "\033[2m",
	};
	bool styled = color && cell->style != STYLE_PLAIN;

	if (styled)
		buf_append_str(out, sgr[cell->style]);
	buf_append_str(out, cell->text);
	if (styled)
		buf_append_str(out, "\033[0m");
}

/* Blanks at a line's end help nobody: those of a cell go out only before the next that has text. */
int
table_print(struct buf *out, const struct table *t, bool color)
{
	for (size_t row = 0; row + t->columns <= t->count; row += t->columns) {
		size_t owed = 0;

		for (size_t i = 0; i < t->columns; i++) {
			const struct cell *cell = &t->cells[row + i];
			if (cell->width > 0) {
				buf_printf(out, "%*s", (int)owed, "");
				print_cell(out, cell, color);
				owed = 0;
			}
			owed += t->widths[i] - cell->width + 2;
		}
		buf_append_byte(out, '\n');
	}
	return out->failed ? HW_ENOMEM : 0;
}
