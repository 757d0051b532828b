/*
 * Searches of lines: the input is a byte of options, a pattern up to its first newline, and what
 * was recorded: encoded events, or bytes of a command's output. Whatever pattern and text are, a
 * hit is whole characters that steer and hide nothing, and its match lies in it and is found again.
 */
#include <stdlib.h>
#include <string.h>

#include "audit/line_search.h"
#include "proto/base/display.h"
#include "proto/base/enc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { IGNORE_CASE = 1, TYPED = 2, SHOWN = 4, EVENTS = 8, STOP = 16 };

struct searching {
	struct line_search s;
	int64_t hits;
	bool stop;
};

static uint32_t
code_point(const uint8_t *p, int n)
{
	uint32_t c = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));

	for (int i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3fu);
	return c;
}

static void
check_text(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		int len = utf8_next(p + i, n - i);
		if (len <= 0)
			abort();
		uint32_t c = code_point(p + i, len);
		if ((c < 0x20 && c != '\t') || (c >= 0x7f && c < 0xa0) || display_hides(c))
			abort();
		i += (size_t)len;
	}
}

/* The piece that matched is one of those that the line is cut into. */
static void
check_match(struct searching *x, const struct line_hit *hit)
{
	size_t from = 0, to = 0;

	for (size_t at = 0, n; at < hit->n; at += n) {
		n = line_piece(hit->line + at, hit->n - at);
		if (n == 0 || n > LINE_PIECE_MAX)
			abort();
		int r = line_pattern_match(x->s.pattern, hit->line + at, n, &from, &to);
		if (r < 0)
			abort();
		if (r == 1) {
			if (at + from != hit->from || at + to != hit->to)
				abort();
			return;
		}
	}
	abort();
}

static int
on_found(void *arg, const struct line_hit *hit)
{
	struct searching *x = arg;

	x->hits++;
	if (hit->from > hit->to || hit->to > hit->n || hit->of >= LINES)
		abort();
	check_text((const uint8_t *)hit->line, hit->n);
	check_match(x, hit);
	return x->stop ? 1 : 0;
}

static int
search_events(struct line_search *s, const uint8_t *p, size_t n)
{
	struct event ev;
	size_t used;
	int r = 0;

	for (; r == 0 && n > 0 && event_decode(&ev, p, n, &used) == 0; p += used, n -= used)
		r = line_search_event(s, &ev);
	return r;
}

static void
search(struct searching *x, int options, const uint8_t *p, size_t n)
{
	int r = (options & EVENTS) != 0 ? search_events(&x->s, p, n)
					: line_search_bytes(&x->s, LINE_SHOWN, 0, p, n);

	if (r == 0)
		r = line_search_end(&x->s);
	if (r != 0 && !(x->stop && x->hits == 1))
		abort();
	if (r == 0 && !line_search_idle(&x->s) && (options & EVENTS) == 0)
		for (int i = 0; i < LINES; i++)
			if (x->s.lines[i].n > 0)
				abort();
	if (x->s.matched != x->hits)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nl = size > 1 ? memchr(data + 1, '\n', size - 1) : NULL;
	struct hw_err err = HW_ERR_INIT;
	char pattern[LINE_PATTERN_MAX + 2];

	if (nl == NULL || (size_t)(nl - data) > sizeof(pattern))
		return 0;
	size_t len = (size_t)(nl - data) - 1;
	memcpy(pattern, data + 1, len);
	pattern[len] = '\0';
	struct searching x = {.stop = (data[0] & STOP) != 0};
	line_search_init(&x.s);
	x.s.found = on_found;
	x.s.arg = &x;
	x.s.typed = (data[0] & TYPED) != 0;
	x.s.shown = (data[0] & SHOWN) != 0;
	int r = line_pattern_new(&x.s.pattern, pattern, (data[0] & IGNORE_CASE) != 0, &err);
	if (r == 0)
		search(&x, data[0], nl + 1, size - (size_t)(nl + 1 - data));
	else if (r != HW_EVALIDATION || hw_err_text(&err)[0] == '\0')
		abort();
	if (r == 0)
		line_pattern_free(x.s.pattern);
	line_search_fini(&x.s);
	return 0;
}
