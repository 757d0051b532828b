/* Reconnection delays: exponential from 250 ms, capped at 60 s, full jitter. */
#ifndef HAWSER_WIRE_BACKOFF_H
#define HAWSER_WIRE_BACKOFF_H

#include <stdint.h>

struct backoff {
	unsigned attempts;
};

/* The next delay in microseconds, uniform in (0, min(60 s, 250 ms * 2^attempts)]; `random` is any
 * 64 random bits. */
int64_t backoff_next(struct backoff *b, uint64_t random);
/* The same with another cap, for somebody who waits. */
int64_t backoff_below(struct backoff *b, int64_t cap, uint64_t random);
void backoff_reset(struct backoff *b); /* after a link that stayed up for a minute */

#endif
