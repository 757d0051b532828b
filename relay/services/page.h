/*
 * Paging: NextToken holds the sort key of the last item of a page, sealed, so that clients can
 * neither read nor make one. The next page begins after that key, whatever was added or removed
 * meanwhile.
 */
#ifndef HAWSER_SERVICES_PAGE_H
#define HAWSER_SERVICES_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct op;

struct page_key {
	int64_t number;
	char text[129];
};

/* An absent token is the first page: an empty key. HW_ENEXTTOKEN for one that this operation did
 * not make. */
int page_read(struct page_key *ret, struct op *op, const char *token);
int page_token(const char **ret, struct op *op, const struct page_key *last);

/* Collects a page: true as long as there is room for one more item, by count and by what the op's
 * arena has taken since. */
struct page {
	struct op *op;
	size_t items, limit, arena_start;
	size_t bytes; /* that there is room for */
	size_t each;  /* of them an item takes beside what the arena holds: its members' names and
			 numbers */
};
void page_begin(struct page *p, struct op *op, int64_t max_results, size_t limit);
bool page_has_room(const struct page *p);

#endif
