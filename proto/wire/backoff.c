#include "proto/wire/backoff.h"

#include "proto/base/clock.h"

#define FIRST (250 * USEC_PER_MSEC)
#define CAP   (60 * USEC_PER_SEC)

int64_t
backoff_below(struct backoff *b, int64_t cap, uint64_t random)
{
	int64_t top = FIRST;

	for (unsigned i = 0; i < b->attempts && top < cap; i++)
		top *= 2;
	if (top >= cap)
		top = cap; /* and attempts stay here, so that they never wrap */
	else
		b->attempts++;
	return 1 + (int64_t)(random % (uint64_t)top);
}

int64_t
backoff_next(struct backoff *b, uint64_t random)
{
	return backoff_below(b, CAP, random);
}

void
backoff_reset(struct backoff *b)
{
	b->attempts = 0;
}
