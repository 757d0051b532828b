#include "audit/export_text.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/enc.h"

#define LINE_CELLS_MAX 65536 /* then it is broken */
#define CLEAN_MAX      (4 * EVENT_BYTES_MAX)

void
text_line_init(struct text_line *t, bool typed)
{
	*t = (struct text_line){.typed = typed};
	escape_filter_init(&t->filter);
	buf_init(&t->clean, CLEAN_MAX);
}

void
text_line_fini(struct text_line *t)
{
	buf_fini(&t->clean);
	free(t->cells);
}

/* --- the line -------------------------------------------------------------------------------- */

/* A cell holds a character, which is never NUL: its bytes end where the rest is 0. */
static size_t
cell_bytes(const uint32_t *cells, size_t n)
{
	size_t bytes = n;

	for (size_t i = 0; i < n; i++)
		bytes += (size_t)(cells[i] > 0xff) + (cells[i] > 0xffff) + (cells[i] > 0xffffff);
	return bytes;
}

static int
leave(struct text_line *t, struct buf *out)
{
	size_t n = t->n, bytes = cell_bytes(t->cells, n);
	uint8_t *to = buf_reserve(out, bytes + 1);

	t->n = t->at = 0;
	if (to == NULL)
		return HW_ELIMIT;
	buf_commit(out, bytes + 1);
	if (bytes == n) { /* ASCII, as most lines are: a loop without branches */
		for (size_t i = 0; i < n; i++)
			to[i] = (uint8_t)t->cells[i];
		to[n] = '\n';
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		for (uint32_t c = t->cells[i]; c != 0; c >>= 8)
			*to++ = (uint8_t)c;
	*to = '\n';
	return 0;
}

int
text_line_end(struct text_line *t, struct buf *out)
{
	return t->n > 0 ? leave(t, out) : 0;
}

/* Makes room for n cells. */
static int
make_room(struct text_line *t, size_t n)
{
	if (n <= t->room)
		return 0;
	size_t room = n > 2 * t->room ? n + 64 : 2 * t->room;
	uint32_t *more = realloc(t->cells, room * sizeof(*more));
	if (more == NULL)
		return HW_ENOMEM;
	t->cells = more;
	t->room = room;
	return 0;
}

/* Makes the line at least n cells long, with blanks. */
static int
extend(struct text_line *t, size_t n)
{
	if (make_room(t, n) < 0)
		return HW_ENOMEM;
	while (t->n < n)
		t->cells[t->n++] = ' ';
	return 0;
}

static int
put_cell(struct text_line *t, uint32_t cell, struct buf *out)
{
	int r;

	if (t->at >= LINE_CELLS_MAX && (r = leave(t, out)) < 0)
		return r;
	if ((r = extend(t, t->at + 1)) < 0)
		return r;
	t->cells[t->at++] = cell;
	return 0;
}

/* As many cells as bytes: printable ASCII. */
static int
put_plain(struct text_line *t, const uint8_t *p, size_t n, struct buf *out)
{
	int r;

	for (size_t len; n > 0; p += len, n -= len) {
		if (t->at >= LINE_CELLS_MAX && (r = leave(t, out)) < 0)
			return r;
		len = n < LINE_CELLS_MAX - t->at ? n : LINE_CELLS_MAX - t->at;
		if ((r = extend(t, t->at)) < 0 || (r = make_room(t, t->at + len)) < 0)
			return r;
		for (size_t i = 0; i < len; i++)
			t->cells[t->at + i] = p[i];
		t->at += len;
		t->n = t->at > t->n ? t->at : t->n;
	}
	return 0;
}

static void
erase(struct text_line *t, size_t from, size_t to)
{
	if (to >= t->n) {
		t->n = from < t->n ? from : t->n;
		return;
	}
	for (size_t i = from; i < to; i++)
		t->cells[i] = ' ';
}

static void
delete_cells(struct text_line *t, size_t n)
{
	if (t->at >= t->n)
		return;
	if (n > t->n - t->at)
		n = t->n - t->at;
	memmove(t->cells + t->at, t->cells + t->at + n, (t->n - t->at - n) * sizeof(*t->cells));
	t->n -= n;
}

static int
insert_cells(struct text_line *t, size_t n)
{
	size_t old = t->n;

	if (t->at >= old)
		return 0;
	if (n > LINE_CELLS_MAX - t->at)
		n = LINE_CELLS_MAX - t->at;
	if (extend(t, old + n) < 0)
		return HW_ENOMEM;
	memmove(t->cells + t->at + n, t->cells + t->at, (old - t->at) * sizeof(*t->cells));
	for (size_t i = 0; i < n; i++)
		t->cells[t->at + i] = ' ';
	if (t->n > LINE_CELLS_MAX)
		t->n = LINE_CELLS_MAX;
	return 0;
}

/* --- what acts on it ------------------------------------------------------------------------- */

static size_t
clamp(size_t column)
{
	return column < LINE_CELLS_MAX ? column : LINE_CELLS_MAX - 1;
}

/* A control sequence with the first of its numbers, 0 when it has none. */
static int
apply(struct text_line *t, uint8_t final, size_t number, struct buf *out)
{
	size_t count = number > 0 ? number : 1;

	switch (final) {
	case 'C':
	case 'a':
		t->at = clamp(t->at + count);
		return 0;
	case 'D':
		t->at = t->at > count ? t->at - count : 0;
		return 0;
	case 'G':
	case '`':
		t->at = clamp(count - 1);
		return 0;
	case 'K':
		erase(t, number == 0 ? t->at : 0, number == 1 ? t->at + 1 : SIZE_MAX);
		return 0;
	case 'P':
		delete_cells(t, count);
		return 0;
	case 'X':
		erase(t, t->at, t->at + count);
		return 0;
	case '@':
		return insert_cells(t, count);
	case 'J':
		if (number == 0) {
			erase(t, t->at, SIZE_MAX);
			return 0;
		}
		return text_line_end(t, out);
	case 'A': /* to another line, where nobody knows what stands */
	case 'B':
	case 'E':
	case 'F':
	case 'H':
	case 'L':
	case 'M':
	case 'd':
	case 'e':
	case 'f':
		return text_line_end(t, out);
	default:
		return 0;
	}
}

/* The filter's output holds whole sequences only. Returns the length of the one at p. */
static size_t
escape_length(const uint8_t *p, size_t n, uint8_t *final, size_t *number)
{
	size_t i = 2;

	*final = 0;
	*number = 0;
	if (n < 2 || p[1] != '[')
		return n >= 3 && (p[1] == '(' || p[1] == ')') ? 3 : n >= 2 ? 2 : n;
	for (; i < n && p[i] >= '0' && p[i] <= '9'; i++)
		*number = *number * 10 + (size_t)(p[i] - '0');
	while (i < n && p[i] < 0x40)
		i++;
	if (i < n && p[2] != '?')
		*final = p[i];
	return i < n ? i + 1 : n;
}

static int
apply_control(struct text_line *t, uint8_t c, struct buf *out)
{
	if (c == '\n' || (c == '\r' && t->typed))
		return leave(t, out);
	if (c == '\r')
		t->at = 0;
	else if (c == '\b' && t->at > 0)
		t->at--;
	else if (c == '\t')
		return put_cell(t, c, out);
	if (c == '\b' && t->typed)
		t->n = t->at;
	return 0;
}

/* The end of a line that begins with n bytes of plain text; 0: there is none. */
static size_t
end_of_line(const uint8_t *p, size_t n, size_t left)
{
	if (left > n && p[n] == '\n')
		return 1;
	return left > n + 1 && p[n] == '\r' && p[n + 1] == '\n' ? 2 : 0;
}

/* Most lines of output are plain from end to end, and are left as they came. */
static int
apply_plain(struct text_line *t, const uint8_t *p, size_t n, size_t left, size_t *used,
	struct buf *out)
{
	size_t end = t->n == 0 && t->at == 0 && !t->typed && n <= LINE_CELLS_MAX
		? end_of_line(p, n, left)
		: 0;

	*used = n + end;
	if (end == 0)
		return put_plain(t, p, n, out);
	uint8_t *to = buf_reserve(out, n + 1);
	if (to == NULL)
		return HW_ELIMIT;
	memcpy(to, p, n);
	to[n] = '\n';
	buf_commit(out, n + 1);
	return 0;
}

static int
apply_all(struct text_line *t, const uint8_t *p, size_t n, struct buf *out)
{
	int r = 0;

	for (size_t used; r == 0 && n > 0; p += used, n -= used) {
		uint8_t final;
		size_t number, plain;
		used = 1;
		if (*p == 0x1b) {
			used = escape_length(p, n, &final, &number);
			r = t->typed ? 0 : apply(t, final, number, out);
		} else if (*p < 0x20) {
			r = apply_control(t, *p, out);
		} else if ((plain = escape_plain_run(p, n)) > 0) {
			r = apply_plain(t, p, plain, n, &used, out);
		} else {
			uint32_t cell = 0;
			int len = utf8_next(p, n);
			used = len > 0 ? (size_t)len : 1;
			for (size_t i = used; i-- > 0;)
				cell = cell << 8 | p[i];
			r = put_cell(t, cell, out);
		}
	}
	return r;
}

/* What keys send is no output: the delete key's byte rubs out, as the terminal's driver does. */
static int
feed_typed(struct text_line *t, const uint8_t *p, size_t n)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		uint8_t c = p[i] == 0x7f ? '\b' : p[i];
		r = escape_filter_feed(&t->filter, &c, 1, &t->clean);
	}
	return r;
}

int
text_line_feed(struct text_line *t, const void *p, size_t n, struct buf *out)
{
	const uint8_t *at = p;
	int r = 0;

	while (r == 0 && n > 0) {
		size_t piece = n < EVENT_BYTES_MAX ? n : EVENT_BYTES_MAX;
		buf_reset(&t->clean);
		r = t->typed ? feed_typed(t, at, piece)
			     : escape_filter_feed(&t->filter, at, piece, &t->clean);
		if (r == 0)
			r = apply_all(t, buf_data(&t->clean), t->clean.len, out);
		at += piece;
		n -= piece;
	}
	return r;
}
