/*
 * Bytes to one of our own descriptors, without ever waiting for it: a stopped terminal or a slow
 * reader of a pipe must not keep the link from being served.
 */
#ifndef HAWSER_CLIENT_OUTLET_H
#define HAWSER_CLIENT_OUTLET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct loop;
struct outlet;

struct outlet_events {
	/* So many bytes are out; may be called from outlet_write(). */
	void (*on_written)(void *arg, int stream, size_t n);
	/* Nobody reads any more, or the disk is full: errno. What follows is thrown away. */
	void (*on_failed)(void *arg, int stream, int error);
};

/* `stream` is handed back to the events. The descriptor stays the caller's. */
int outlet_new(struct outlet **ret, struct loop *l, int fd, int stream,
	const struct outlet_events *events, void *arg, struct hw_err *err);
void outlet_free(struct outlet *o); /* NULL is fine */

/* Writes what goes at once and keeps the rest: as much as the caller lets in. */
void outlet_write(struct outlet *o, const void *p, size_t n);
/* While it is corked all is kept. */
void outlet_cork(struct outlet *o);
void outlet_uncork(struct outlet *o);
/* The end: what is kept is thrown away, and these bytes go out instead, as far as there is room for
 * them within so long. This alone waits. No event is called. */
void outlet_end(struct outlet *o, const void *p, size_t n, int64_t usec);
bool outlet_is_empty(const struct outlet *o);

#endif
