#include "relay/core/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "proto/base/list.h"

#define SECOND	   1000000000L
#define LOOK_EVERY (SECOND / 50)

struct work {
	TAILQ_ENTRY(work) entry;
	struct workers *workers;
	void (*run)(void *);
	void (*done)(void *);
	void *arg;
};

struct work_queue {
	TAILQ_HEAD(, work) works;
	size_t n;
};

struct workers {
	struct loop *loop;
	pthread_mutex_t lock;
	pthread_cond_t more, idle;
	struct work_queue queue, crowd; /* which take turns */
	bool crowd_is_next;
	int running;
	bool stop;
	size_t pending; /* submitted, and not done yet; the loop's */
	int n;
	pthread_t threads[];
};

static void
on_done(void *arg)
{
	struct work *k = arg;

	k->workers->pending--;
	k->done(k->arg);
	free(k);
}

static void
work_inline(void *arg)
{
	struct work *k = arg;

	k->run(k->arg);
	on_done(k);
}

/* Under the lock. */
static struct work *
take_next(struct workers *w)
{
	bool crowd = w->queue.n == 0 || (w->crowd_is_next && w->crowd.n > 0);
	struct work_queue *q = crowd ? &w->crowd : &w->queue;
	struct work *k = TAILQ_FIRST(&q->works);

	if (k == NULL)
		return NULL;
	TAILQ_REMOVE(&q->works, k, entry);
	q->n--;
	w->crowd_is_next = !crowd;
	return k;
}

/* Under the lock. */
static bool
is_idle(const struct workers *w)
{
	return w->running == 0 && w->queue.n == 0 && w->crowd.n == 0;
}

static void *
worker_main(void *arg)
{
	struct workers *w = arg;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct work *k = take_next(w);
		if (k == NULL && w->stop)
			break;
		if (k == NULL) {
			pthread_cond_wait(&w->more, &w->lock);
			continue;
		}
		w->running++;
		pthread_mutex_unlock(&w->lock);
		k->run(k->arg);
		loop_post(w->loop, on_done, k);
		pthread_mutex_lock(&w->lock);
		w->running--;
		if (is_idle(w))
			pthread_cond_signal(&w->idle);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* Threads that block all signals: the loop's thread takes them. */
static int
start_thread(pthread_t *t, struct workers *w)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int e = pthread_create(t, NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return e;
}

int
workers_new(struct workers **ret, struct loop *loop, int n, struct hw_err *err)
{
	struct workers *w = calloc(1, sizeof(*w) + (size_t)n * sizeof(pthread_t));

	if (w == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for %d worker threads", n);
	w->loop = loop;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->more, NULL);
	pthread_cond_init(&w->idle, NULL);
	TAILQ_INIT(&w->queue.works);
	TAILQ_INIT(&w->crowd.works);
	for (; w->n < n; w->n++) {
		if (start_thread(&w->threads[w->n], w) != 0) {
			workers_free(w);
			return hw_err_set(err, HW_ESYS, "cannot start worker thread %d of %d",
				w->n + 1, n);
		}
	}
	*ret = w;
	return 0;
}

/* Not for ever: a worker may wait for what it has posted to the loop. */
static void
wait_a_while(struct workers *w)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += LOOK_EVERY;
	until.tv_sec += until.tv_nsec / SECOND;
	until.tv_nsec %= SECOND;
	pthread_mutex_lock(&w->lock);
	for (int r = 0; r == 0 && !is_idle(w);)
		r = pthread_cond_timedwait(&w->idle, &w->lock, &until);
	pthread_mutex_unlock(&w->lock);
}

void
workers_drain(struct workers *w)
{
	while (w != NULL && w->pending > 0) {
		wait_a_while(w);
		loop_settle(w->loop);
	}
}

void
workers_free(struct workers *w)
{
	if (w == NULL)
		return;
	workers_drain(w);
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->more);
	pthread_mutex_unlock(&w->lock);
	for (int i = 0; i < w->n; i++)
		pthread_join(w->threads[i], NULL);
	pthread_cond_destroy(&w->idle);
	pthread_cond_destroy(&w->more);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* False past `max`. */
static bool
enqueue(struct workers *w, struct work_queue *q, struct work *k, size_t max)
{
	pthread_mutex_lock(&w->lock);
	bool room = q->n < max;
	if (room) {
		TAILQ_INSERT_TAIL(&q->works, k, entry);
		q->n++;
		pthread_cond_signal(&w->more);
	}
	pthread_mutex_unlock(&w->lock);
	return room;
}

static bool
submit(struct workers *w, struct work_queue *q, struct work *k, size_t max)
{
	if (w->n == 0)
		loop_post(w->loop, work_inline, k);
	else if (!enqueue(w, q, k, max))
		return false;
	w->pending++;
	return true;
}

static struct work *
work_new(struct workers *w, void (*run)(void *), void (*done)(void *), void *arg)
{
	struct work *k = malloc(sizeof(*k));

	if (k != NULL)
		*k = (struct work){.workers = w, .run = run, .done = done, .arg = arg};
	return k;
}

static bool
try_submit(struct workers *w, struct work_queue *q, void (*run)(void *), void (*done)(void *),
	void *arg)
{
	struct work *k = work_new(w, run, done, arg);

	if (k != NULL && submit(w, q, k, WORKERS_QUEUE_MAX))
		return true;
	free(k);
	return false;
}

bool
workers_submit(struct workers *w, void (*run)(void *), void (*done)(void *), void *arg)
{
	return try_submit(w, &w->queue, run, done, arg);
}

bool
workers_submit_crowd(struct workers *w, void (*run)(void *), void (*done)(void *), void *arg)
{
	return try_submit(w, &w->crowd, run, done, arg);
}

void
workers_owe(struct workers *w, void (*run)(void *), void (*done)(void *), void *arg)
{
	struct work *k = work_new(w, run, done, arg);

	hw_assert(k != NULL); /* as loop_post(): a promise cannot be taken back */
	submit(w, &w->queue, k, SIZE_MAX);
}
