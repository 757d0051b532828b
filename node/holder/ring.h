/* The bytes of a stream from `start` to `end`, by absolute offset: a ring that takes memory as it
 * needs it, doubling up to a cap, and gives it back when it is empty, unless it is told to keep it.
 */
#ifndef HAWSER_HOLDER_RING_H
#define HAWSER_HOLDER_RING_H

#include <sys/uio.h>

#include <stddef.h>
#include <stdint.h>

struct ring {
	uint8_t *mem;
	size_t room; /* a power of two, or 0 */
	size_t max;
	size_t keep; /* of which so much stays when it is empty */
	uint64_t start, end;
};

static inline size_t
ring_len(const struct ring *r)
{
	return (size_t)(r->end - r->start);
}

/* Free space to read into, up to `want` bytes, in up to two pieces; what was filled is then counted
 * with ring_commit. Returns its size: 0 when it is full or there is no memory. */
size_t ring_space(struct ring *r, struct iovec iov[2], size_t want);
void ring_commit(struct ring *r, size_t n);

/* The bytes from `offset` (within the ring) on, up to `want`. Returns how many. */
size_t ring_peek(const struct ring *r, struct iovec iov[2], uint64_t offset, size_t want);

/* Drops what is before `offset`, which is within the ring. */
void ring_consume(struct ring *r, uint64_t offset);

#endif
