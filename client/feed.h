/* Our stdin to a remote program: read only while there is room for it, through the escapes. */
#ifndef HAWSER_CLIENT_FEED_H
#define HAWSER_CLIENT_FEED_H

#include "client/escape.h"

struct feed;
struct loop;
struct remote;

struct feed_events {
	void (*on_action)(void *arg, enum escape_action action);
	/* stdin has ended, and everything of it was sent. */
	void (*on_end)(void *arg);
};

int feed_new(struct feed **ret, struct loop *l, int fd, struct remote *remote, int escape,
	const struct feed_events *events, void *arg, struct hw_err *err);
void feed_free(struct feed *f); /* NULL is fine; safe from its own events */

/* There is room again. */
void feed_go(struct feed *f);

#endif
