#include "client/tidy.h"

#include <string.h>

#include "proto/base/display.h"
#include "proto/wire/codec.h"

static void
append_line(struct buf *out, const uint8_t *p, size_t n)
{
	while (n > 0) {
		const uint8_t *tab = memchr(p, '\t', n);
		size_t run = tab != NULL ? (size_t)(tab - p) : n;

		display_append(out, (const char *)p, run);
		if (tab != NULL)
			buf_append_byte(out, '\t');
		p += run + (tab != NULL);
		n -= run + (tab != NULL);
	}
}

static void
append_for_terminal(struct buf *out, const uint8_t *p, size_t n)
{
	while (n > 0) {
		const uint8_t *end = memchr(p, '\n', n);
		size_t run = end != NULL ? (size_t)(end - p) : n, shown = run;

		if (end != NULL && run > 0 && p[run - 1] == '\r')
			shown--;
		append_line(out, p, shown);
		if (end != NULL)
			buf_append_byte(out, '\n');
		p += run + (end != NULL);
		n -= run + (end != NULL);
	}
}

static void
append_for_json(struct buf *out, const uint8_t *p, size_t n)
{
	struct buf text;

	buf_init(&text, SIZE_MAX / 2);
	if (json_append_string(&text, (const char *)p, n) < 0 || text.len < 2)
		out->failed = true;
	else
		buf_append(out, buf_data(&text) + 1, text.len - 2);
	buf_fini(&text);
}

static void
append(const struct tidy *t, struct buf *out, const uint8_t *p, size_t n)
{
	if (n == 0)
		return;
	if (t->kind == TIDY_TERMINAL)
		append_for_terminal(out, p, n);
	else if (t->kind == TIDY_JSON)
		append_for_json(out, p, n);
	else
		buf_append(out, p, n);
}

/* Bytes of the character that begins with this one. */
static size_t
character(uint8_t first)
{
	return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
}

/* How many bytes at the end are a character's beginning. A carriage return waits for what is behind
 * it, too. */
static size_t
torn(const uint8_t *p, size_t n)
{
	for (size_t i = 1; i <= n && i < 4; i++) {
		if ((p[n - i] & 0xc0) == 0x80)
			continue;
		return character(p[n - i]) > i || p[n - i] == '\r' ? i : 0;
	}
	return 0;
}

void
tidy_append(struct tidy *t, struct buf *out, const uint8_t *p, size_t n)
{
	uint8_t joined[2 * sizeof(t->torn)];
	size_t more, left;

	if (t->kind == TIDY_RAW) {
		append(t, out, p, n);
		return;
	}
	if (t->n_torn > 0) { /* with as much as a character can lack, and no more */
		more = n < sizeof(t->torn) ? n : sizeof(t->torn);
		memcpy(joined, t->torn, t->n_torn);
		memcpy(joined + t->n_torn, p, more);
		more += t->n_torn;
		left = torn(joined, more);
		append(t, out, joined, more - left);
		p += more - t->n_torn;
		n -= more - t->n_torn;
		t->n_torn = left;
		memcpy(t->torn, joined + more - left, left);
		if (n == 0)
			return;
		if (left > 0) { /* it is not torn: bytes follow it */
			tidy_append(t, out, p, n);
			return;
		}
	}
	left = torn(p, n);
	append(t, out, p, n - left);
	t->n_torn = left;
	memcpy(t->torn, p + n - left, left);
}

void
tidy_end(struct tidy *t, struct buf *out)
{
	append(t, out, t->torn, t->n_torn);
	t->n_torn = 0;
}
