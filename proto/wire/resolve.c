#include "proto/wire/resolve.h"

#include <sys/socket.h>

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define STACK_SIZE (256 * 1024)

struct resolve {
	struct loop *loop;
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
start_thread(struct resolve *r)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the loop's thread */
	int e = pthread_create(&thread, &attr, on_thread, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return e;
}

int
resolve_start(struct resolve **ret, struct loop *loop, const char *host, resolve_fn *done,
	void *arg, struct hw_err *err)
{
	size_t n = strlen(host);
	struct resolve *r = calloc(1, sizeof(*r) + n + 1);

	if (r == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to look up a name");
	memcpy(r->host, host, n);
	r->loop = loop;
	r->done = done;
	r->arg = arg;
	r->refs = 2;
	pthread_mutex_init(&r->lock, NULL);
	look_up(r, AI_NUMERICHOST);
	if (r->result == 0) {
		loop_post(loop, deliver, r);
	} else if ((errno = start_thread(r)) != 0) {
		int code = hw_err_sys(err, "cannot start a thread to look up %s", host);
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
