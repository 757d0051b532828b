/*
 * Lines of text in what was typed and shown, and those that a pattern matches. Lines are what the
 * text export makes of a stream (export_text.h): without escape sequences, as they looked when they
 * were left. What was not shown is not there, and what was masked is its stars.
 *
 * Patterns are PCRE2's, by people who may read much but not stop the relay: a line is matched in
 * pieces of LINE_PIECE_MAX bytes, each within bounds of steps, depth and memory. A piece that
 * exhausts them counts as too hard, and as not matched.
 */
#ifndef HAWSER_AUDIT_LINE_SEARCH_H
#define HAWSER_AUDIT_LINE_SEARCH_H

#include "audit/export_text.h"
#include "proto/base/clock.h"

#define LINE_PATTERN_MAX 1024
#define LINE_PIECE_MAX	 2048
#define LINE_FEED_MAX	 512 /* bytes after which it is time to look whether there is time */

struct line_pattern;

/* HW_EVALIDATION says where the pattern is wrong. Not thread-safe once it is made. */
int line_pattern_new(struct line_pattern **ret, const char *pattern, bool ignore_case,
	struct hw_err *err);
void line_pattern_free(struct line_pattern *p); /* NULL is fine */
/* 1: it matches from *from to *to; 0: it does not; -1: too hard. The line is UTF-8, of one piece at
 * most: line_piece() says how much of a longer one that is. */
int line_pattern_match(struct line_pattern *p, const char *line, size_t n, size_t *from,
	size_t *to);
size_t line_piece(const char *line, size_t n);

enum line_of { LINE_TYPED, LINE_SHOWN, LINE_ERROR, LINES };

struct line_hit {
	enum line_of of;
	int64_t time; /* of the event that began the line */
	const char *line;
	size_t n, from, to;
};

/* Takes events in order. */
struct line_search {
	struct line_pattern *pattern;
	bool typed, shown; /* what is looked at */
	/* A line that matches; good until it returns. Not 0: nothing more is wanted, and that is
	 * what the call returns. */
	int (*found)(void *arg, const struct line_hit *hit);
	void *arg;
	const struct hw_clock *clock; /* NULL: there is all the time */
	int64_t give_up;	      /* on its monotonic clock: lines are too hard from then on */
	struct text_line lines[LINES];
	int64_t began[LINES];
	struct buf out;
	int64_t matched, too_hard; /* lines */
};
void line_search_init(struct line_search *s);
void line_search_fini(struct line_search *s);
/* More than LINE_FEED_MAX bytes are looked at while there is time: the rest is too hard. */
int line_search_event(struct line_search *s, const struct event *ev);
/* Bytes of a stream that is no recording's, likewise. */
int line_search_bytes(struct line_search *s, enum line_of of, int64_t time, const void *p,
	size_t n);
int line_search_end(struct line_search *s); /* what still waits in lines */
/* Whether none is begun: nothing is lost when the search goes on with another one of these. */
bool line_search_idle(const struct line_search *s);
bool line_search_late(const struct line_search *s); /* there is no time any more */

#endif
