/* Lines that match, on their way into a reply; and when a page of them is enough. */
#ifndef HAWSER_SERVICES_FIND_H
#define HAWSER_SERVICES_FIND_H

#include "audit/line_search.h"
#include "audit/mask.h"
#include "proto/schema/schema.h"

struct op;

#define FIND_HITS_MAX 100
#define FIND_GAPS_MAX 100 /* of a page; one thing that is searched adds two at most */

/* One page's work. */
struct find {
	struct op *op;
	struct line_search lines;
	struct masks *masks; /* for what was not masked when it was kept */
	struct msg_search_hit *hits;
	size_t n, most;
	struct msg_search_gap *gaps;
	size_t n_gaps;
	int64_t since, until;	  /* of the times of lines */
	int64_t start;		  /* of what is searched now; lines' times are after it */
	struct msg_search_hit of; /* what a hit says beside its line */
	size_t arena_start;
	int64_t deadline, bytes;
	/* Hits of the place that a page may begin at; the first so many were on the page before. */
	int64_t since_place, skip;
	int source; /* of all lines, whatever they are; 0: by their stream */
	bool entered;
};

struct find_asked {
	const char *pattern;
	bool ignore_case, typed, shown;
	int64_t since, until, max_results;
};
/* HW_EFULL when too many search already. find_end() in any case. */
int find_begin(struct find *f, struct op *op, const struct find_asked *asked);
void find_end(struct find *f);

/* Whether the page is full, or has taken long enough. */
bool find_is_enough(const struct find *f);

/* What `of` says is not searched, or not to its end, which is never passed over without a word.
 * Lines that had begun in it are dropped. */
int find_gap(struct find *f, bool pending, const char *reason);

/* A text of several lines that is matched by itself, masked; `source` is SEARCH_SOURCE_*. */
int find_text(struct find *f, const char *text, int source);

#endif
