/* Our stdin to a remote program: read only while there is room for it, through the escapes. */
#ifndef HAWSER_CLIENT_FEED_H
#define HAWSER_CLIENT_FEED_H

#include "client/escape.h"

struct feed;
struct loop;
struct remote;

struct feed_events {
	void (*on_action)(void *arg, enum escape_action action);
	/* stdin has ended, and everything of it was sent; or it was held. */
	void (*on_end)(void *arg);
	/* What was typed, escapes taken out, instead of sending it. NULL: it is sent. */
	void (*on_typed)(void *arg, const uint8_t *p, size_t n);
	/* While it is held: so many keys were typed and kept, and so many more thrown away. */
	void (*on_held)(void *arg, size_t kept, size_t dropped);
};

int feed_new(struct feed **ret, struct loop *l, int fd, struct remote *remote, int escape,
	const struct feed_events *events, void *arg, struct hw_err *err);
void feed_free(struct feed *f); /* NULL is fine; safe from its own events */

/* There is room again. */
void feed_go(struct feed *f);

/* For a terminal whose program cannot be reached: it is read although there is no room, so that the
 * escapes work, and FEED_HELD_MAX bytes of it are kept. Once one is thrown away all are, so that
 * what is sent afterwards has no hole. An escape needs no line's start at the beginning. */
#define FEED_HELD_MAX 4096
void feed_hold(struct feed *f);
/* What was kept is sent, and all goes on as before. */
void feed_release(struct feed *f);

#endif
