/*
 * How fast bulk may go through a node while somebody types there. What a key waits for is the bulk
 * before it, in queues that nobody here can see: of the kernels, of the line, of processors. So the
 * way to the node and back is measured, and while it takes much longer than it can, bulk gets less.
 *
 * Pure: no clock, no channel. Times are monotonic microseconds. docs/decisions/pacing.md says why
 * it is so.
 */
#ifndef HAWSER_CORE_PACE_H
#define HAWSER_CORE_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_TYPES   (60 * INT64_C(1000000)) /* from a key on somebody types */
#define PACE_FLOOR   (16 * 1024)	     /* bytes a second, of either direction */
#define PACE_CEILING (UINT64_C(1) << 31)     /* who may have so many is not held back */

#define PACE_LAST 3

enum pace_way { PACE_TO_NODE, PACE_FROM_NODE, PACE_WAYS };

struct pace {
	int64_t typed; /* when a key came last; 0: never */
	uint64_t rate; /* bytes a second, of each direction; 0: as many as come */
	int64_t cut;   /* when it was lowered last */
	struct {
		int64_t purse, filled; /* bytes that may go, and when they were counted */
		uint64_t passed;       /* since `since` */
		uint64_t seen;	       /* bytes a second that passed before */
	} ways[PACE_WAYS];
	int64_t since;
	uint64_t peak;		 /* the most that passed lately, bytes a second */
	int64_t last[PACE_LAST]; /* what was measured last, in turn */
	unsigned measured;
	int64_t unrest; /* by how much it is longer than the shortest, where bulk is not why */
	int64_t best, next_best, best_since; /* the shortest way there and back: of the last minute
					      * or two, and of this one; 0: not known */
};

/* A key came for a program on the node. */
void pace_typed(struct pace *p, int64_t now);

/* n bytes of bulk came through. */
void pace_passed(struct pace *p, enum pace_way way, size_t n, int64_t now);

/* How many more of `want` bytes a sender may be allowed now: all, some, or none yet. */
uint64_t pace_take(struct pace *p, enum pace_way way, uint64_t want, int64_t now);

/* How far a new stream's sender may go at first, of `window` bytes: many that begin at once are
 * more than a slow line's queue should hold. */
uint64_t pace_first(const struct pace *p, uint64_t window, int64_t now);

/* How long until the way is to be measured again; 0: not now, nobody types. */
int64_t pace_measure_every(const struct pace *p, int64_t now);
/* It took so long; or has taken so long already, and is not back. */
void pace_measured(struct pace *p, int64_t usec, int64_t now);
void pace_waits(struct pace *p, int64_t usec, int64_t now);

#endif
