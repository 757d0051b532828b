/*
 * How far the sender of a stream may be ahead of what has gone on here: a window that doubles while
 * bytes go on at once, until it holds half a second of them, and halves when they pile up or no
 * longer come. What it takes beyond its first size it takes from a pool, so that all streams
 * together stay bounded, whoever stops reading. A limit that was told cannot be taken back: what
 * is taken for it comes back as it is used up.
 *
 * Pure: no clock, no channel. docs/decisions/windows.md says why it is so.
 */
#ifndef HAWSER_WIRE_WINDOW_H
#define HAWSER_WIRE_WINDOW_H

#include <stdint.h>

#define WINDOW_FIRST (256 * 1024)
#define WINDOW_MAX   (16 << 20)
#define WINDOW_HOLDS (500 * 1000) /* microseconds of a stream's bytes */

/* Bytes that many windows share; what is taken is taken of the parent too, which may be NULL. */
struct window_pool {
	uint64_t taken, max;
	struct window_pool *parent;
};

struct window {
	uint64_t first, size;
	uint64_t limit;	     /* absolute, as far as it was ever told */
	uint64_t taken;	     /* from the pool */
	uint64_t mark;	     /* how much had gone on when this measure began */
	int64_t since, last; /* when that was, and when it was looked at last */
};

void window_init(struct window *w, uint64_t first, int64_t now);

/* `done` bytes have gone on in all, and `piled` wait here to. Returns the limit that may be told:
 * never less than before, at most WINDOW_MAX beyond `done`. */
uint64_t window_move(struct window *w, struct window_pool *pool, uint64_t done, uint64_t piled,
	int64_t now);

/* Gives back what it has taken. */
void window_close(struct window *w, struct window_pool *pool);

#endif
