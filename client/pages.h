/* Lists that come in pages: their items as one array, in the client's arena. */
#ifndef HAWSER_CLIENT_PAGES_H
#define HAWSER_CLIENT_PAGES_H

#include "client/client.h"

struct pages {
	void *v;
	size_t n;
};

/* Calls `op` until there is no next page, or `limit` items are there (0: no limit). `next` points
 * at the request's next_token; the reply begins with its list, and `reply_next` is the offset of
 * its next_token. Items are appended to what `all` holds. */
int pages_fetch(struct pages *all, struct client *c, enum op_id op, const void *request,
	const char **next, size_t reply_next, size_t limit, struct hw_err *err);

/* Calls `op` until there is no next page, and `take` with each reply, in the client's arena. While
 * one is decoded and taken the relay is at the next already. */
int pages_walk(struct client *c, enum op_id op, const void *request, const char **next,
	int (*take)(void *arg, const void *reply, struct hw_err *err), void *arg,
	struct hw_err *err);

#endif
