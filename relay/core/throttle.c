#include "relay/core/throttle.h"

#include "proto/base/clock.h"

#define EACH USEC_PER_SEC /* until a place is free again */

void
throttle_init(struct throttle *t)
{
	*t = (struct throttle){.full_at = 0};
	pthread_mutex_init(&t->lock, NULL);
}

void
throttle_fini(struct throttle *t)
{
	pthread_mutex_destroy(&t->lock);
}

bool
throttle_take(struct throttle *t, int64_t now, uint64_t *missed)
{
	pthread_mutex_lock(&t->lock);
	int64_t full_at = (t->full_at > now ? t->full_at : now) + EACH;
	bool free = full_at - now <= THROTTLE_BURST * EACH;
	if (free) {
		t->full_at = full_at;
		*missed = t->missed;
		t->missed = 0;
	} else {
		t->missed++;
	}
	pthread_mutex_unlock(&t->lock);
	return free;
}
