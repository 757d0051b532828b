/*
 * How many entries a kind of event that strangers can cause at will may put into the ledger: some
 * at once, then one a second. What comes beyond is counted, and told along with the next that goes
 * in. Any thread.
 */
#ifndef HAWSER_CORE_THROTTLE_H
#define HAWSER_CORE_THROTTLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define THROTTLE_BURST 60

struct throttle {
	pthread_mutex_t lock;
	int64_t full_at; /* monotonic: when all places are free again */
	uint64_t missed;
};

void throttle_init(struct throttle *t);
void throttle_fini(struct throttle *t);

/* Whether one may go in now; then *missed says how many could not since the last that did. */
bool throttle_take(struct throttle *t, int64_t now, uint64_t *missed);

#endif
