#include "client/source.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/display.h"
#include "proto/base/file.h"

#define CHUNK	     16384
#define MARGIN	     "    "
#define TAB	     "    "
#define UTF8_LONGEST 4
#define SHOWN_BEFORE 48 /* bytes of a long line before the column, and after it */
#define SHOWN_AFTER  24

/* --- reading --------------------------------------------------------------------------------- */

static int
read_all(struct buf *out, int fd, const char *name, struct hw_err *err)
{
	while (true) {
		size_t room = out->max - out->len;
		uint8_t chunk[CHUNK];
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0)
			return hw_err_sys(err, "cannot read %s", name);
		if (n == 0)
			return 0;
		if ((size_t)n > room)
			return hw_err_set(err, HW_EUSAGE, "%s is larger than %zu KiB", name,
				out->max >> 10);
		if (buf_append(out, chunk, (size_t)n) < 0)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
	}
}

int
source_read(struct buf *out, const char *name, struct hw_err *err)
{
	int fd, r;

	if (strcmp(name, "-") == 0)
		return read_all(out, STDIN_FILENO, source_name(name), err);
	if ((fd = open(name, O_RDONLY | O_CLOEXEC)) < 0)
		return hw_err_sys(err, "cannot open %s", name);
	r = read_all(out, fd, name, err);
	fd_close(fd);
	return r;
}

const char *
source_name(const char *name)
{
	return strcmp(name, "-") == 0 ? "standard input" : name;
}

/* --- pointing -------------------------------------------------------------------------------- */

/* Tabs indent, as their writer meant them. Returns the columns. */
static size_t
append_shown(struct buf *out, const char *text, size_t n)
{
	size_t columns = 0;

	while (n > 0) {
		const char *tab = memchr(text, '\t', n);
		size_t run = tab != NULL ? (size_t)(tab - text) : n;

		columns += display_append(out, text, run);
		text += run;
		n -= run;
		if (n == 0)
			break;
		buf_append_str(out, TAB);
		columns += strlen(TAB);
		text++;
		n--;
	}
	return columns;
}

/* The nearest place at or before `at` where no UTF-8 sequence is torn; in what is none, nearby. */
static size_t
whole(const char *line, size_t at)
{
	for (size_t i = 1; i < UTF8_LONGEST && at > 0 && ((uint8_t)line[at] & 0xc0) == 0x80; i++)
		at--;
	return at;
}

/* Bytes of the character that begins here. */
static size_t
character(const char *text, size_t n)
{
	size_t len = 1;

	while (len < n && ((uint8_t)text[len] & 0xc0) == 0x80)
		len++;
	return len;
}

static void
point(struct buf *out, const char *line, size_t n, size_t at)
{
	size_t from = at > SHOWN_BEFORE ? whole(line, at - SHOWN_BEFORE) : 0;
	size_t to = n - at > SHOWN_AFTER ? whole(line, at + SHOWN_AFTER) : n;
	size_t columns;

	buf_append_str(out, from > 0 ? MARGIN "..." : MARGIN);
	columns = strlen(MARGIN) + (from > 0 ? 3 : 0);
	columns += append_shown(out, line + from, at - from);
	append_shown(out, line + at, to - at);
	buf_append_str(out, to < n ? "...\n" : "\n");
	buf_printf(out, "%*s^\n", (int)columns, "");
}

void
source_point(struct buf *out, const char *text, size_t n, size_t line, size_t column)
{
	const char *end = text + n, *next;
	size_t at;

	if (line == 0 || column == 0)
		return;
	for (; line > 1; line--) {
		if ((next = memchr(text, '\n', (size_t)(end - text))) == NULL)
			return;
		text = next + 1;
	}
	if ((next = memchr(text, '\n', (size_t)(end - text))) == NULL)
		next = end;
	if (next > text && next[-1] == '\r')
		next--;
	/* The place after the last character is one, too: where something is missing. */
	for (at = 0; column > 1 && text + at < next; column--)
		at += character(text + at, (size_t)(next - text) - at);
	if (column == 1)
		point(out, text, (size_t)(next - text), at);
}
