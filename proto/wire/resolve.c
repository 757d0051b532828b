#include "proto/wire/resolve.h"

#include <sys/socket.h>

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define STACK_SIZE (256 * 1024)

struct resolve_limit {
	atomic_uint refs, running;
	unsigned max;
};

struct resolve {
	struct loop *loop;
	struct resolve_limit *limit; /* good while the thread is in it */
	resolve_fn *done;
	void *arg;

	/* The thread may outlive all else: it touches the loop only under the lock, and only while
	 * nobody has cancelled. */
	pthread_mutex_t lock;
	bool cancelled;
	unsigned refs;

	int result; /* EAI_* */
	struct addrinfo *found;
	char host[];
};

/* --- how many -------------------------------------------------------------------------------- */

struct resolve_limit *
resolve_limit_new(unsigned max)
{
	struct resolve_limit *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->max = max;
	atomic_init(&l->refs, 1);
	return l;
}

void
resolve_limit_free(struct resolve_limit *l)
{
	if (l != NULL && atomic_fetch_sub(&l->refs, 1) == 1)
		free(l);
}

/* By the loop's thread alone, so that no two see the last place. */
static bool
enter(struct resolve_limit *l)
{
	if (atomic_load(&l->running) >= l->max)
		return false;
	atomic_fetch_add(&l->running, 1);
	atomic_fetch_add(&l->refs, 1);
	return true;
}

static void
leave(struct resolve_limit *l)
{
	atomic_fetch_sub(&l->running, 1);
	resolve_limit_free(l);
}

/* --- one ------------------------------------------------------------------------------------- */

static void
unref(struct resolve *r)
{
	pthread_mutex_lock(&r->lock);
	bool last = --r->refs == 0;
	pthread_mutex_unlock(&r->lock);
	if (!last)
		return;
	if (r->found != NULL)
		freeaddrinfo(r->found);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static int
code_of(int result)
{
	return result == EAI_NONAME ? HW_ENOTFOUND : HW_EUNAVAILABLE;
}

static void
deliver(void *arg)
{
	struct resolve *r = arg;
	struct addrinfo *found = r->found;

	if (!r->cancelled) {
		r->found = NULL;
		r->done(r->arg, r->result == 0 ? 0 : code_of(r->result),
			r->result == 0 ? "" : gai_strerror(r->result), found);
		unref(r); /* the starter's */
	}
	unref(r);
}

static void
look_up(struct resolve *r, int flags)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};

	r->result = getaddrinfo(r->host, NULL, &hints, &r->found);
	if (r->result != 0)
		r->found = NULL;
}

static void *
on_thread(void *arg)
{
	struct resolve *r = arg;

	look_up(r, 0);
	leave(r->limit);
	pthread_mutex_lock(&r->lock);
	bool wanted = !r->cancelled;
	if (wanted)
		loop_post(r->loop, deliver, r); /* takes the thread's reference along */
	pthread_mutex_unlock(&r->lock);
	if (!wanted)
		unref(r);
	return NULL;
}

static int
start_thread(struct resolve *r, struct hw_err *err)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t thread;

	if (!enter(r->limit))
		return hw_err_set(err, HW_EFULL,
			"%u names are being looked up, and %.128s would be one more: name servers do "
			"not answer; try again later",
			r->limit->max, r->host);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the loop's thread */
	int e = pthread_create(&thread, &attr, on_thread, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (e == 0)
		return 0;
	leave(r->limit);
	errno = e;
	return hw_err_sys(err, "cannot start a thread to look up %s", r->host);
}

int
resolve_start(struct resolve **ret, struct loop *loop, struct resolve_limit *limit,
	const char *host, resolve_fn *done, void *arg, struct hw_err *err)
{
	size_t n = strlen(host);
	struct resolve *r = calloc(1, sizeof(*r) + n + 1);
	int code = 0;

	if (r == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to look up a name");
	memcpy(r->host, host, n);
	r->loop = loop;
	r->limit = limit;
	r->done = done;
	r->arg = arg;
	r->refs = 2;
	pthread_mutex_init(&r->lock, NULL);
	look_up(r, AI_NUMERICHOST);
	if (r->result == 0) {
		loop_post(loop, deliver, r);
	} else if ((code = start_thread(r, err)) < 0) {
		r->refs = 1;
		unref(r);
		return code;
	}
	*ret = r;
	return 0;
}

void
resolve_cancel(struct resolve *r)
{
	if (r == NULL)
		return;
	pthread_mutex_lock(&r->lock);
	r->cancelled = true;
	pthread_mutex_unlock(&r->lock);
	unref(r);
}
