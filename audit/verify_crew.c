#include "audit/verify_crew.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct hand {
	struct verify_crew *crew;
	unsigned number;
	pthread_t thread;
};

struct verify_crew {
	pthread_mutex_t lock;
	pthread_cond_t begun, done;
	struct hand hands[VERIFY_HANDS_MAX]; /* the caller's is the first */
	unsigned n;

	/* Of the run at hand, under the lock. */
	uint64_t runs; /* that were begun */
	size_t next, end, share;
	unsigned working;
	void (*job)(void *arg, unsigned hand, size_t i);
	void *arg;
	bool stopping;
};

/* Shares of the run until there are none. Under the lock. */
static void
work_locked(struct verify_crew *c, unsigned hand)
{
	c->working++;
	while (c->next < c->end) {
		size_t from = c->next, left = c->end - from;
		size_t to = from + (left < c->share ? left : c->share);
		c->next = to;
		pthread_mutex_unlock(&c->lock);
		for (size_t i = from; i < to; i++)
			c->job(c->arg, hand, i);
		pthread_mutex_lock(&c->lock);
	}
	if (--c->working == 0)
		pthread_cond_signal(&c->done);
}

static void *
hand_thread(void *arg)
{
	const struct hand *h = arg;
	struct verify_crew *c = h->crew;
	uint64_t seen = 0;

	pthread_mutex_lock(&c->lock);
	while (!c->stopping) {
		if (seen == c->runs) {
			pthread_cond_wait(&c->begun, &c->lock);
			continue;
		}
		seen = c->runs;
		work_locked(c, h->number);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

int
verify_crew_new(struct verify_crew **ret, unsigned hands, struct hw_err *err)
{
	struct verify_crew *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to verify");
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->begun, NULL);
	pthread_cond_init(&c->done, NULL);
	if (hands > VERIFY_HANDS_MAX)
		hands = VERIFY_HANDS_MAX;
	for (c->n = 1; c->n < hands; c->n++) {
		struct hand *h = &c->hands[c->n];
		*h = (struct hand){.crew = c, .number = c->n};
		if (pthread_create(&h->thread, NULL, hand_thread, h) != 0)
			break;
	}
	*ret = c;
	return 0;
}

void
verify_crew_free(struct verify_crew *c)
{
	if (c == NULL)
		return;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_cond_broadcast(&c->begun);
	pthread_mutex_unlock(&c->lock);
	for (unsigned i = 1; i < c->n; i++)
		pthread_join(c->hands[i].thread, NULL);
	pthread_cond_destroy(&c->done);
	pthread_cond_destroy(&c->begun);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

unsigned
verify_crew_hands(const struct verify_crew *c)
{
	return c->n;
}

void
verify_crew_run(struct verify_crew *c, size_t n, size_t share,
	void (*job)(void *arg, unsigned hand, size_t i), void *arg)
{
	pthread_mutex_lock(&c->lock);
	c->next = 0;
	c->end = n;
	c->share = share;
	c->job = job;
	c->arg = arg;
	c->runs++;
	if (n > share && c->n > 1)
		pthread_cond_broadcast(&c->begun);
	work_locked(c, 0);
	while (c->working > 0)
		pthread_cond_wait(&c->done, &c->lock);
	pthread_mutex_unlock(&c->lock);
}
