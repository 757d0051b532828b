/* A set of small numbers that gives its smallest member: bits, with a summary of each 64 words
 * above them. Every call is O(log n). */
#ifndef HAWSER_FANOUT_READY_H
#define HAWSER_FANOUT_READY_H

#include <stdbool.h>
#include <stdint.h>

#define READY_LEVELS 3 /* 64^3 numbers */
#define READY_MAX    (UINT32_C(1) << (6 * READY_LEVELS))
#define READY_NONE   UINT32_MAX

struct ready {
	uint64_t *level[READY_LEVELS]; /* [0] has a bit for each number */
};

bool ready_init(struct ready *r, uint32_t n); /* numbers below n; false without memory */
void ready_fini(struct ready *r);
void ready_add(struct ready *r, uint32_t i);
void ready_remove(struct ready *r, uint32_t i);
uint32_t ready_first(const struct ready *r); /* READY_NONE when it is empty */

#endif
