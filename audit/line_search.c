#include "audit/line_search.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdlib.h>
#include <string.h>

/* Steps are counted anew at each place where a match may begin, so they are few. */
#define MATCH_LIMIT 5000
#define DEPTH_LIMIT 1000
#define HEAP_KIB    1024
#define OUT_MAX	    ((size_t)8 * 1024 * 1024)

struct line_pattern {
	pcre2_code *code;
	pcre2_match_data *match;
	pcre2_match_context *limits;
};

/* --- patterns --------------------------------------------------------------------------------- */

static int
compile(struct line_pattern *p, const char *pattern, bool ignore_case, struct hw_err *err)
{
	/* Never compiled to machine code: the relay makes no memory executable, and the bounds of
	 * matching are exact without it. */
	uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C |
		(ignore_case ? PCRE2_CASELESS | PCRE2_UCP : 0);
	size_t n = strlen(pattern);
	PCRE2_UCHAR why[128];
	PCRE2_SIZE at;
	int code;

	if (n == 0)
		return hw_err_set(err, HW_EVALIDATION, "an empty pattern matches every line");
	if (n > LINE_PATTERN_MAX)
		return hw_err_set(err, HW_EVALIDATION, "the pattern has %zu bytes, at most %d", n,
			LINE_PATTERN_MAX);
	p->code = pcre2_compile((PCRE2_SPTR)pattern, n, options, &code, &at, NULL);
	if (p->code == NULL) {
		pcre2_get_error_message(code, why, sizeof(why));
		return hw_err_set(err, HW_EVALIDATION, "the pattern is wrong at column %zu: %s",
			at + 1, (char *)why);
	}
	return 0;
}

int
line_pattern_new(struct line_pattern **ret, const char *pattern, bool ignore_case,
	struct hw_err *err)
{
	struct line_pattern *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a pattern");
	p->match = pcre2_match_data_create(1, NULL);
	p->limits = pcre2_match_context_create(NULL);
	int r = p->match == NULL || p->limits == NULL
		? hw_err_set(err, HW_ENOMEM, "no memory for a pattern")
		: compile(p, pattern, ignore_case, err);
	if (r < 0) {
		line_pattern_free(p);
		return r;
	}
	pcre2_set_match_limit(p->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(p->limits, DEPTH_LIMIT);
	pcre2_set_heap_limit(p->limits, HEAP_KIB);
	*ret = p;
	return 0;
}

void
line_pattern_free(struct line_pattern *p)
{
	if (p == NULL)
		return;
	pcre2_code_free(p->code);
	pcre2_match_data_free(p->match);
	pcre2_match_context_free(p->limits);
	free(p);
}

/* It ends between two characters. */
size_t
line_piece(const char *line, size_t n)
{
	size_t len = n < LINE_PIECE_MAX ? n : LINE_PIECE_MAX;

	while (len < n && len > LINE_PIECE_MAX - 4 && ((uint8_t)line[len] & 0xc0) == 0x80)
		len--;
	return len;
}

int
line_pattern_match(struct line_pattern *p, const char *line, size_t n, size_t *from, size_t *to)
{
	int r = pcre2_match(p->code, (PCRE2_SPTR)line, n, 0, PCRE2_NO_UTF_CHECK, p->match,
		p->limits);

	if (r == PCRE2_ERROR_NOMATCH)
		return 0;
	if (r < 0)
		return -1;
	/* \K in a lookahead may put the start behind the end. */
	const PCRE2_SIZE *v = pcre2_get_ovector_pointer(p->match);
	bool sane = v[0] <= v[1] && v[1] <= n;
	*from = sane ? v[0] : 0;
	*to = sane ? v[1] : n;
	return 1;
}

/* --- lines ------------------------------------------------------------------------------------ */

void
line_search_init(struct line_search *s)
{
	for (int i = 0; i < LINES; i++)
		text_line_init(&s->lines[i], i == LINE_TYPED);
	buf_init(&s->out, OUT_MAX);
}

void
line_search_fini(struct line_search *s)
{
	for (int i = 0; i < LINES; i++)
		text_line_fini(&s->lines[i]);
	buf_fini(&s->out);
}

/* A line's first piece that matches. */
static int
match_line(struct line_search *s, struct line_hit *hit)
{
	size_t from = 0, to = 0;
	int r = 0;

	for (size_t at = 0, n; r == 0 && at < hit->n; at += n) {
		n = line_piece(hit->line + at, hit->n - at);
		if (at > 0 && line_search_late(s))
			return -1;
		r = line_pattern_match(s->pattern, hit->line + at, n, &from, &to);
		hit->from = at + from;
		hit->to = at + to;
	}
	return r;
}

static int
try_line(struct line_search *s, enum line_of of, int64_t time, const char *line, size_t n)
{
	struct line_hit hit = {.of = of, .time = time, .line = line, .n = n};

	int r = match_line(s, &hit);
	if (r < 0)
		s->too_hard++;
	if (r <= 0)
		return 0;
	s->matched++;
	return s->found(s->arg, &hit);
}

/* The lines that are complete: the first began when it began, the others with this event. */
static int
try_lines(struct line_search *s, enum line_of of, int64_t time)
{
	const char *p = (const char *)buf_data(&s->out), *end = p + s->out.len;
	int r = 0;

	for (const char *nl; r == 0 && p < end; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (nl == NULL)
			break;
		r = try_line(s, of, s->began[of], p, (size_t)(nl - p));
		s->began[of] = time;
	}
	buf_reset(&s->out);
	return r;
}

bool
line_search_late(const struct line_search *s)
{
	return s->clock != NULL && clock_mono(s->clock) > s->give_up;
}

/* The rest of what came is not looked at, and neither is the line that it would have gone on with.
 */
static void
drop_line(struct line_search *s, enum line_of of)
{
	text_line_fini(&s->lines[of]);
	text_line_init(&s->lines[of], of == LINE_TYPED);
	s->too_hard++;
}

/* A few bytes that move the cursor may make a line of 64 KiB: what few bytes can make fits. */
int
line_search_bytes(struct line_search *s, enum line_of of, int64_t time, const void *p, size_t n)
{
	struct text_line *t = &s->lines[of];
	const uint8_t *at = p;
	int r = 0;

	if (t->n == 0)
		s->began[of] = time;
	for (size_t len; r == 0 && n > 0; at += len, n -= len) {
		len = n < LINE_FEED_MAX ? n : LINE_FEED_MAX;
		if (at > (const uint8_t *)p && line_search_late(s)) {
			drop_line(s, of);
			break;
		}
		if ((r = text_line_feed(t, at, len, &s->out)) == 0)
			r = try_lines(s, of, time);
	}
	return r;
}

static int
end_line(struct line_search *s, enum line_of of, int64_t time)
{
	int r = text_line_end(&s->lines[of], &s->out);

	return r < 0 ? r : try_lines(s, of, time);
}

int
line_search_event(struct line_search *s, const struct event *ev)
{
	bool input = ev->stream == STREAM_IN;

	switch (ev->type) {
	case EVENT_DATA:
		if (input ? !s->typed : !s->shown)
			return 0;
		return line_search_bytes(s,
			input				   ? LINE_TYPED
				: ev->stream == STREAM_ERR ? LINE_ERROR
							   : LINE_SHOWN,
			ev->time, ev->bytes, ev->len);
	case EVENT_HIDDEN: /* what is typed on both sides of it was never one line */
	case EVENT_AUTHOR:
		return end_line(s, LINE_TYPED, ev->time);
	default:
		return 0;
	}
}

int
line_search_end(struct line_search *s)
{
	int r = 0;

	for (int i = 0; r == 0 && i < LINES; i++)
		r = end_line(s, (enum line_of)i, s->began[i]);
	return r;
}

bool
line_search_idle(const struct line_search *s)
{
	struct escape_filter fresh;

	escape_filter_init(&fresh);
	for (int i = 0; i < LINES; i++)
		if (s->lines[i].n > 0 || s->lines[i].filter.state != fresh.state)
			return false;
	return true;
}
