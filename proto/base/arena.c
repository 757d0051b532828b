#include "proto/base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 4096
#define ALIGNMENT  16

struct block {
	struct block *next;
	size_t used, size;
	_Alignas(ALIGNMENT) unsigned char mem[];
};

struct arena {
	struct block *blocks; /* the newest first; only it has room */
	size_t used, max;
};

struct arena *
arena_new(size_t max)
{
	struct arena *a = calloc(1, sizeof(*a));

	if (a != NULL)
		a->max = max;
	return a;
}

void
arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	for (struct block *b = a->blocks, *next; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	free(a);
}

/* Blocks that are shared are zeroed when they are made. */
static bool
add_block(struct arena *a, size_t need, bool zeroed)
{
	size_t size = need > BLOCK_SIZE ? need : BLOCK_SIZE;
	struct block *b = zeroed || size == BLOCK_SIZE ? calloc(1, sizeof(*b) + size)
						       : malloc(sizeof(*b) + size);

	if (b == NULL)
		return false;
	b->size = size;
	b->used = 0;
	b->next = a->blocks;
	a->blocks = b;
	return true;
}

static void *
take(struct arena *a, size_t n, bool zeroed)
{
	if (n > a->max - a->used || n > SIZE_MAX / 2)
		return NULL;
	size_t need = (n + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if ((a->blocks == NULL || a->blocks->size - a->blocks->used < need) &&
		!add_block(a, need, zeroed))
		return NULL;
	void *p = a->blocks->mem + a->blocks->used;
	a->blocks->used += need;
	a->used += n;
	return p;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	return take(a, n, true);
}

void *
arena_bytes(struct arena *a, size_t n)
{
	return take(a, n, false);
}

void *
arena_array(struct arena *a, size_t count, size_t size)
{
	size_t n;

	if (__builtin_mul_overflow(count, size, &n))
		return NULL;
	return arena_alloc(a, n);
}

void *
arena_dup(struct arena *a, const void *p, size_t n)
{
	void *to = arena_bytes(a, n);

	if (to != NULL && n > 0)
		memcpy(to, p, n);
	return to;
}

char *
arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *to = n < SIZE_MAX ? arena_bytes(a, n + 1) : NULL;

	if (to == NULL)
		return NULL;
	if (n > 0)
		memcpy(to, s, n);
	to[n] = '\0';
	return to;
}

char *
arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *to = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (to == NULL)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(to, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return to;
}

size_t
arena_used(const struct arena *a)
{
	return a->used;
}

struct arena_mark
arena_mark(const struct arena *a)
{
	return (struct arena_mark){
		.block = a->blocks,
		.in_block = a->blocks != NULL ? a->blocks->used : 0,
		.used = a->used,
	};
}

void
arena_release(struct arena *a, const struct arena_mark *mark)
{
	while (a->blocks != mark->block) {
		struct block *newest = a->blocks;
		hw_assert(newest != NULL);
		a->blocks = newest->next;
		free(newest);
	}
	if (a->blocks != NULL) {
		/* What is handed out next is zeroed. */
		memset(a->blocks->mem + mark->in_block, 0, a->blocks->used - mark->in_block);
		a->blocks->used = mark->in_block;
	}
	a->used = mark->used;
}
