/* The struct of a fan-out, for its own files. */
#ifndef HAWSER_FANOUT_PRIVATE_H
#define HAWSER_FANOUT_PRIVATE_H

#include "relay/fanout/fanout.h"
#include "relay/fanout/ready.h"

enum {
	TARGET_ONLINE = 1,
	TARGET_DELAYED = 2,
	TARGET_AWAITED = 4, /* its answer lets the next step begin */
	TARGET_ACKNOWLEDGED = 8,
};

struct target {
	uint8_t state; /* enum fanout_state */
	uint8_t flags;
};

struct fanout {
	uint32_t n, concurrency, errors;
	fanout_changed_fn *changed;
	void *arg;
	bool started, cancelled;
	bool closed;	    /* nothing begins any more */
	struct ready ready; /* those that wait, and whose nodes have links */
	uint32_t of[FANOUT_STATES];
	/* The steps of the beginning: `step` may be released, and so many were, and have answered.
	 */
	bool all_steps;
	uint32_t step, released, answered;
	struct target targets[];
};

#endif
