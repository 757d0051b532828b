#include "proto/wire/backoff.h"

#include "proto/base/clock.h"

#define FIRST (250 * USEC_PER_MSEC)
#define CAP   (60 * USEC_PER_SEC)

int64_t
backoff_next(struct backoff *b, uint64_t random)
{
	int64_t top = FIRST;

	for (unsigned i = 0; i < b->attempts && top < CAP; i++)
		top *= 2;
	if (top >= CAP)
		top = CAP; /* and attempts stay here, so that they never wrap */
	else
		b->attempts++;
	return 1 + (int64_t)(random % (uint64_t)top);
}

void
backoff_reset(struct backoff *b)
{
	b->attempts = 0;
}
