/*
 * The loop's timers in order of their time: a binary heap of pointers to timers that their owners
 * embed. Timers due at the same time keep the order in which they were added.
 */
#ifndef HAWSER_BASE_TIMERS_H
#define HAWSER_BASE_TIMERS_H

#include <stddef.h>
#include <stdint.h>

struct loop_timer;

struct timers {
	struct loop_timer **heap; /* heap[0] is slot 1 */
	size_t count, room;
	uint64_t order; /* of the next timer added */
};

void timers_fini(struct timers *ts); /* the timers themselves are not touched */

/* Orders t by t->due. Not for one that is in already. Aborts without memory: no caller has another
 * way to be woken. */
void timers_add(struct timers *ts, struct loop_timer *t);
void timers_remove(struct timers *ts, struct loop_timer *t); /* nothing if it is not in */

struct loop_timer *timers_first(const struct timers *ts); /* NULL when there is none */

#endif
