#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/export_text.h"
#include "audit/line_search.h"

struct hits {
	struct line_search search;
	char text[4096];
	int64_t time[64];
	int n, most;
};

static int
found(void *arg, const struct line_hit *hit)
{
	struct hits *h = arg;
	char line[600];

	h->time[h->n++ % 64] = hit->time;
	snprintf(line, sizeof(line), "%d:%.*s|", hit->of, (int)(hit->n < 500 ? hit->n : 500),
		hit->line);
	strncat(h->text, line, sizeof(h->text) - strlen(h->text) - 1);
	return h->most > 0 && h->n == h->most;
}

static void
begin(struct hits *h, const char *pattern)
{
	struct hw_err err = HW_ERR_INIT;

	memset(h, 0, sizeof(*h));
	line_search_init(&h->search);
	h->search.typed = h->search.shown = true;
	h->search.found = found;
	h->search.arg = h;
	cr_assert(line_pattern_new(&h->search.pattern, pattern, false, &err) == 0, "%s", err.text);
}

static void
end(struct hits *h)
{
	line_pattern_free(h->search.pattern);
	line_search_fini(&h->search);
}

static int
feed(struct hits *h, int stream, int64_t time, const void *p, size_t n)
{
	return line_search_event(&h->search,
		&(struct event){.type = EVENT_DATA,
			.stream = (uint8_t)stream,
			.time = time,
			.bytes = p,
			.len = n});
}

Test(line_search, finds_what_was_typed_and_shown_with_the_time_of_the_line)
{
	struct hits h;

	begin(&h, "drop");
	feed(&h, STREAM_IN, 5, "dr", 2);
	feed(&h, STREAM_OUT, 6, "psql> dr", 8);
	feed(&h, STREAM_IN, 7, "op\rno\r", 6);
	feed(&h, STREAM_OUT, 8, "op\r\ndrop it\r\nelse\r\n", 19);
	feed(&h, STREAM_ERR, 9, "drop\n", 5);
	cr_assert_str_eq(h.text, "0:drop|1:psql> drop|1:drop it|2:drop|");
	cr_assert(eq(i64, h.time[0], 5));
	cr_assert(eq(i64, h.time[1], 6));
	cr_assert(eq(i64, h.time[2], 8));
	end(&h);
}

/* As a person saw it, however it was written: cursor keys, colours, rubbed out letters. */
Test(line_search, matches_what_a_line_looked_like)
{
	struct hits h;

	begin(&h, "^rm -rf /$");
	feed(&h, STREAM_OUT, 1, "\033[1mr\033[0mm -rx\bf /\033[K\r\n", 24);
	feed(&h, STREAM_IN, 1, "rm -rx\177f /\r", 11);
	cr_assert_str_eq(h.text, "1:rm -rf /|0:rm -rf /|");
	end(&h);
}

Test(line_search, what_was_hidden_is_nowhere)
{
	const struct event hidden = {.type = EVENT_HIDDEN, .hidden = 6, .time = 2};
	struct hits h;

	begin(&h, "not shown|sudo su|pass");
	feed(&h, STREAM_IN, 1, "sudo ", 5);
	cr_assert(eq(int, line_search_event(&h.search, &hidden), 0));
	feed(&h, STREAM_IN, 3, "su\r", 3);
	cr_assert(eq(int, line_search_end(&h.search), 0));
	cr_assert_str_eq(h.text, "");
	end(&h);
}

Test(line_search, an_unfinished_line_counts_at_the_end)
{
	struct hits h;

	begin(&h, "last");
	feed(&h, STREAM_OUT, 1, "the last", 8);
	cr_assert_str_eq(h.text, "");
	cr_assert(not(line_search_idle(&h.search)));
	cr_assert(eq(int, line_search_end(&h.search), 0));
	cr_assert_str_eq(h.text, "1:the last|");
	cr_assert(line_search_idle(&h.search));
	end(&h);
}

Test(line_search, stops_when_it_is_told)
{
	struct hits h;

	begin(&h, "a");
	h.most = 2;
	cr_assert(eq(int, feed(&h, STREAM_OUT, 1, "a\na\na\n", 6), 1));
	cr_assert(eq(int, h.n, 2));
	end(&h);
}

Test(line_search, a_wrong_pattern_says_where)
{
	struct line_pattern *p = NULL;
	struct hw_err err = HW_ERR_INIT;
	char longer[LINE_PATTERN_MAX + 2];

	cr_assert(eq(int, line_pattern_new(&p, "ab(c", false, &err), HW_EVALIDATION));
	cr_assert_not_null(strstr(err.text, "column 5"), "%s", err.text);
	cr_assert(eq(int, line_pattern_new(&p, "", false, &err), HW_EVALIDATION));
	cr_assert(eq(int, line_pattern_new(&p, "\\C", false, &err), HW_EVALIDATION));
	cr_assert(eq(int, line_pattern_new(&p, "\xff", false, &err), HW_EVALIDATION));
	memset(longer, 'a', sizeof(longer));
	longer[LINE_PATTERN_MAX + 1] = '\0';
	cr_assert(eq(int, line_pattern_new(&p, longer, false, &err), HW_EVALIDATION));
	cr_assert_null(p);
}

Test(line_search, case_is_ignored_when_asked_in_any_alphabet)
{
	struct line_pattern *p;
	size_t from, to;

	cr_assert(eq(int, line_pattern_new(&p, "straße ДРОП", true, NULL), 0));
	cr_assert(eq(int, line_pattern_match(p, "STRAßE дроп", 16, &from, &to), 1));
	line_pattern_free(p);
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Patterns that never end, on lines that they were made for. */
Test(line_search, no_pattern_holds_the_relay, .timeout = 120)
{
	static const char *const patterns[] = {"(a+)+$", "(a|aa)+$", "(.*)*x(.*)*y", "(a*)*b\\1",
		"^(([a-z])+.)+[A-Z]([a-z])+$", "(?:(?:a?){20}){20}b", "(x+x+)+y", "(?R)?a$",
		"(a|a?)+$", "((a{1,100}){1,100}){1,10}c"};
	static char line[40001];

	memset(line, 'a', sizeof(line) - 1);
	line[sizeof(line) - 1] = '!';
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		struct line_pattern *p;
		size_t from, to;
		/* One that is too large is refused instead. */
		if (line_pattern_new(&p, patterns[i], false, NULL) < 0)
			continue;
		for (size_t n = 10; n <= LINE_PIECE_MAX; n += n / 2) {
			double before = seconds();
			(void)line_pattern_match(p, line + sizeof(line) - n, n, &from, &to);
			cr_assert(lt(dbl, seconds() - before, 3.0), "%s on %zu", patterns[i], n);
		}
		line_pattern_free(p);
	}
}

Test(line_search, a_line_that_is_too_hard_is_counted)
{
	static char line[2000];
	struct hits h;

	memset(line, 'a', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	begin(&h, "(a+)+[bc]");
	feed(&h, STREAM_OUT, 1, line, sizeof(line));
	cr_assert(eq(i64, h.search.too_hard, 1));
	end(&h);
}

/* Past the time that it was given, what is left of a long line is not looked at. */
Test(line_search, a_long_line_does_not_outlast_the_page)
{
	static char line[60000];
	struct fake_clock clock;
	struct hits h;

	fake_clock_init(&clock, 0);
	clock.now_mono = 100;
	memset(line, 'b', sizeof(line));
	memcpy(line + sizeof(line) - 7, "needle\n", 7);
	begin(&h, "needle");
	feed(&h, STREAM_OUT, 1, line, sizeof(line));
	cr_assert(eq(int, h.n, 1));
	h.search.clock = &clock.clock;
	h.search.give_up = 50;
	feed(&h, STREAM_OUT, 1, line, sizeof(line));
	cr_assert(eq(int, h.n, 1));
	cr_assert(eq(i64, h.search.too_hard, 1));
	end(&h);
}

/* However the bytes are cut. */
Test(line_search, chunks_make_no_difference)
{
	static const char text[] = "one\r\ntw\xc3\xa9o\r\n\033]0;title\007three\r\nfour";

	for (size_t cut = 1; cut < sizeof(text) - 1; cut++) {
		struct hits h;
		begin(&h, "^(one|twéo|three|four)$");
		feed(&h, STREAM_OUT, 1, text, cut);
		feed(&h, STREAM_OUT, 2, text + cut, sizeof(text) - 1 - cut);
		line_search_end(&h.search);
		cr_assert_str_eq(h.text, "1:one|1:twéo|1:three|1:four|", "cut at %zu", cut);
		end(&h);
	}
}

/* What is left of it, when so many bytes come at a time. */
static void
leave_lines(struct buf *out, const char *text, size_t n, size_t step)
{
	struct text_line t;

	text_line_init(&t, false);
	for (size_t at = 0; at < n; at += step)
		cr_assert(eq(int, text_line_feed(&t, text + at, step < n - at ? step : n - at, out),
			0));
	cr_assert(eq(int, text_line_end(&t, out), 0));
	text_line_fini(&t);
}

static void
leaves(const char *text, size_t n, const char *lines, size_t n_lines)
{
	static const size_t steps[] = {1, 7, 4096, SIZE_MAX};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct buf out;

		buf_init(&out, 1 << 20);
		leave_lines(&out, text, n, steps[i]);
		cr_assert(eq(sz, out.len, n_lines), "%zu at a time", steps[i]);
		cr_assert(eq(int, memcmp(buf_data(&out), lines, n_lines), 0), "%zu at a time",
			steps[i]);
		buf_fini(&out);
	}
}
#define LEAVES(text, lines) leaves(text, sizeof(text) - 1, lines, sizeof(lines) - 1)

Test(line_search, a_run_of_plain_text_is_what_its_bytes_are)
{
	LEAVES("plain\n", "plain\n");
	LEAVES("one\r\ntwo\n\r\nthree\r\r\nfour\rF\n", "one\ntwo\n\nthree\nFour\n");
	LEAVES("\033[Ka\n\033[3Gb\r\nc\r", "a\n  b\nc\n");
	LEAVES("abcdef\rXY\n", "XYcdef\n");
	LEAVES("abc\rVWXYZ\n", "VWXYZ\n");
	LEAVES("ab\033[5GXY\n", "ab  XY\n");
	LEAVES("a\xc3\xa9z\xe2\x82\xac\xf0\x9f\x92\xbb plain\rA\n",
		"A\xc3\xa9z\xe2\x82\xac\xf0\x9f\x92\xbb plain\n");
	LEAVES("x\ty\bz end", "x\tz end\n");
}

/* At 65,536 characters it is broken, wherever in a run that is. */
Test(line_search, a_run_is_broken_where_its_bytes_would_be)
{
	enum { CELLS = 65536 };
	char *text = malloc(2 * CELLS + 2), *lines = malloc(2 * CELLS + 8);

	cr_assert(text != NULL && lines != NULL);
	memset(text, 'x', 2 * CELLS + 1);
	memset(lines, 'x', 2 * CELLS + 8);
	text[CELLS] = '\n';
	lines[CELLS] = '\n';
	leaves(text, CELLS + 1, lines, CELLS + 1);
	text[CELLS] = 'x';
	lines[CELLS + 2] = '\n';
	leaves(text, CELLS + 1, lines, CELLS + 3);
	lines[CELLS + 2] = 'x';
	lines[2 * CELLS + 1] = '\n';
	lines[2 * CELLS + 3] = '\n';
	leaves(text, 2 * CELLS + 1, lines, 2 * CELLS + 4);
	free(text);
	free(lines);
}

Test(line_search, a_line_that_fits_exactly_is_left)
{
	struct text_line t;
	struct buf out;

	buf_init(&out, 6);
	text_line_init(&t, false);
	cr_assert(eq(int, text_line_feed(&t, "\xc3\xa9xyz\n", 6, &out), 0));
	cr_assert(eq(int, text_line_feed(&t, "a\n", 2, &out), HW_ELIMIT));
	cr_assert_str_eq(buf_str(&out), "\xc3\xa9xyz\n");
	text_line_fini(&t);
	buf_fini(&out);
}

/* Twelve bytes make a line of 64 KiB; an event holds a line's worth of such many times. */
static char *
wide_lines(size_t *n, int lines)
{
	static const char one[] = "\033[65535Gx\033[H";
	char *p = malloc((sizeof(one) - 1) * (size_t)lines + 8);

	cr_assert_not_null(p);
	*n = 0;
	for (int i = 0; i < lines; i++, *n += sizeof(one) - 1)
		memcpy(p + *n, one, sizeof(one) - 1);
	memcpy(p + *n, "needle\n", 7);
	*n += 7;
	return p;
}

Test(line_search, few_bytes_that_make_much_text_are_no_failure)
{
	struct hits h;
	size_t n;
	char *p = wide_lines(&n, 400);

	begin(&h, "^needle$");
	cr_assert(eq(int, feed(&h, STREAM_OUT, 1, p, n), 0));
	cr_assert_str_eq(h.text, "1:needle|");
	cr_assert(eq(i64, h.search.too_hard, 0));
	end(&h);
	free(p);
}

Test(line_search, without_time_the_rest_is_too_hard_and_what_comes_next_is_not)
{
	struct fake_clock clock;
	struct hits h;
	size_t n;
	char *p = wide_lines(&n, 400);

	begin(&h, "needle");
	fake_clock_init(&clock, 0);
	fake_clock_advance(&clock, USEC_PER_SEC);
	h.search.clock = &clock.clock;
	h.search.give_up = clock_mono(&clock.clock) - 1;
	cr_assert(eq(int, feed(&h, STREAM_OUT, 1, p, n), 0));
	cr_assert(eq(i64, h.search.too_hard, 1 + 512 / 12));
	cr_assert(line_search_idle(&h.search));
	cr_assert(line_search_late(&h.search));
	cr_assert(eq(int, feed(&h, STREAM_OUT, 2, "a needle\n", 9), 0));
	cr_assert_str_eq(h.text, "1:a needle|");
	end(&h);
	free(p);
}
