#include "relay/core/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "proto/base/list.h"

struct work {
	TAILQ_ENTRY(work) entry;
	void (*run)(void *);
	void (*done)(void *);
	void *arg;
};

struct workers {
	struct loop *loop;
	pthread_mutex_t lock;
	pthread_cond_t more;
	TAILQ_HEAD(, work) queue;
	size_t queued;
	bool stop;
	int n;
	pthread_t threads[];
};

static void
work_inline(void *arg)
{
	struct work *k = arg;

	k->run(k->arg);
	k->done(k->arg);
	free(k);
}

static void *
worker_main(void *arg)
{
	struct workers *w = arg;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct work *k = TAILQ_FIRST(&w->queue);
		if (k == NULL && w->stop)
			break;
		if (k == NULL) {
			pthread_cond_wait(&w->more, &w->lock);
			continue;
		}
		TAILQ_REMOVE(&w->queue, k, entry);
		w->queued--;
		pthread_mutex_unlock(&w->lock);
		k->run(k->arg);
		loop_post(w->loop, k->done, k->arg);
		free(k);
		pthread_mutex_lock(&w->lock);
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
	TAILQ_INIT(&w->queue);
	for (; w->n < n; w->n++) {
		if (start_thread(&w->threads[w->n], w) != 0) {
			workers_free(w);
			return hw_err_set(err, HW_ESYS, "cannot start worker thread %d of %d", w->n + 1, n);
		}
	}
	*ret = w;
	return 0;
}

void
workers_free(struct workers *w)
{
	if (w == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->more);
	pthread_mutex_unlock(&w->lock);
	for (int i = 0; i < w->n; i++)
		pthread_join(w->threads[i], NULL);
	pthread_cond_destroy(&w->more);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

bool
workers_submit(struct workers *w, void (*run)(void *), void (*done)(void *), void *arg)
{
	struct work *k = malloc(sizeof(*k));

	if (k == NULL)
		return false;
	*k = (struct work){.run = run, .done = done, .arg = arg};
	if (w->n == 0) {
		loop_post(w->loop, work_inline, k);
		return true;
	}
	pthread_mutex_lock(&w->lock);
	bool room = w->queued < WORKERS_QUEUE_MAX && !w->stop;
	if (room) {
		TAILQ_INSERT_TAIL(&w->queue, k, entry);
		w->queued++;
		pthread_cond_signal(&w->more);
	}
	pthread_mutex_unlock(&w->lock);
	if (!room)
		free(k);
	return room;
}
