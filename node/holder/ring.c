#include "node/holder/ring.h"

#include <stdlib.h>
#include <string.h>

#define RING_MIN ((size_t)4096)

static size_t
pieces(const struct ring *r, struct iovec iov[2], uint64_t offset, size_t n)
{
	size_t at = (size_t)offset & (r->room - 1);
	size_t first = n < r->room - at ? n : r->room - at;

	iov[0] = (struct iovec){.iov_base = r->mem + at, .iov_len = first};
	iov[1] = (struct iovec){.iov_base = r->mem, .iov_len = n - first};
	return n;
}

/* Bytes keep their offsets, so their places move with the size. */
static void
grow(struct ring *r, size_t len)
{
	struct ring bigger = *r;
	struct iovec from[2], to[2];

	bigger.room = r->room ? r->room : RING_MIN;
	while (bigger.room < len && bigger.room < r->max)
		bigger.room *= 2;
	if (bigger.room == r->room || (bigger.mem = malloc(bigger.room)) == NULL)
		return;
	if (ring_len(r) > 0) {
		/* The larger ring may split the bytes elsewhere: piece by piece of the old one. */
		ring_peek(r, from, r->start, ring_len(r));
		uint64_t offset = r->start;
		for (int i = 0; i < 2; i++) {
			pieces(&bigger, to, offset, from[i].iov_len);
			memcpy(to[0].iov_base, from[i].iov_base, to[0].iov_len);
			memcpy(to[1].iov_base, (uint8_t *)from[i].iov_base + to[0].iov_len,
				to[1].iov_len);
			offset += from[i].iov_len;
		}
	}
	free(r->mem);
	*r = bigger;
}

size_t
ring_space(struct ring *r, struct iovec iov[2], size_t want)
{
	if (r->room - ring_len(r) < want && r->room < r->max)
		grow(r, ring_len(r) + want);

	size_t space = r->room - ring_len(r);
	return space == 0 ? 0 : pieces(r, iov, r->end, space < want ? space : want);
}

void
ring_commit(struct ring *r, size_t n)
{
	r->end += n;
}

size_t
ring_peek(const struct ring *r, struct iovec iov[2], uint64_t offset, size_t want)
{
	size_t held = (size_t)(r->end - offset);

	return held == 0 ? 0 : pieces(r, iov, offset, held < want ? held : want);
}

void
ring_consume(struct ring *r, uint64_t offset)
{
	r->start = offset;
	if (r->start < r->end || r->room <= r->keep)
		return;
	free(r->mem);
	r->mem = NULL;
	r->room = 0;
}
