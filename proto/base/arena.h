/*
 * A bump allocator with a cap: what a request or a decoded message needs lives in one and dies with
 * it. Memory is zeroed and aligned for any type.
 */
#ifndef HAWSER_BASE_ARENA_H
#define HAWSER_BASE_ARENA_H

#include "proto/base/err.h"

struct arena;

/* NULL only without memory. `max` bounds the bytes that will ever be handed out. */
struct arena *arena_new(size_t max);
void arena_free(struct arena *a); /* NULL is fine */

/* All return NULL past the cap or without memory. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_array(struct arena *a, size_t count, size_t size); /* checks the product */
void *arena_bytes(struct arena *a, size_t n); /* not zeroed: for what is written over at once */
void *arena_dup(struct arena *a, const void *p, size_t n);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n); /* n bytes and a NUL */
char *arena_printf(struct arena *a, const char *fmt, ...) HW_PRINTF(2, 3);

size_t arena_used(const struct arena *a);

/* Gives back all that was handed out since the mark was taken: nothing may point there any more. */
struct arena_mark {
	const void *block;
	size_t in_block, used;
};
struct arena_mark arena_mark(const struct arena *a);
void arena_release(struct arena *a, const struct arena_mark *mark);

#endif
