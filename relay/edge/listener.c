#include "relay/edge/listener.h"

#include <sys/socket.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"

#define ACCEPTS_A_TURN 64
#define PAUSE	       (200 * USEC_PER_MSEC)
#define NOTSENT_LOWAT  (128 * 1024) /* what is unsent stays ours to put in order */

struct listener {
	struct loop *loop;
	struct log_ctx log;
	int fd;
	struct loop_fd *watch;
	struct loop_timer pause;
	listener_fn *on_accept;
	void *arg;
	bool *gone; /* set when it is freed while it accepts */
};

/* --- binding ------------------------------------------------------------------------------- */

static int
no_socket(struct hw_err *err, const char *host, int port)
{
	const char *at = *host != '\0' ? host : "every address";

	if (errno == EADDRINUSE)
		return hw_err_set(err, HW_EEXISTS,
			"port %d of %s is taken: another program listens there", port, at);
	if (errno == EACCES)
		return hw_err_set(err, HW_EDENIED,
			"port %d of %s is not for this user: take one above 1023, or give the program "
			"CAP_NET_BIND_SERVICE",
			port, at);
	return hw_err_sys(err, "cannot listen on port %d of %s", port, at);
}

static void
set_option(int fd, int level, int name, int value)
{
	/* All that are set here make things better, not right. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

static int
bind_one(const struct addrinfo *ai, bool dual)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (ai->ai_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !dual);
	/* Accepted sockets inherit these. */
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOTSENT_LOWAT);
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0) {
		fd_close(fd);
		return -1;
	}
	return fd;
}

/* The one socket that serves IPv6 and IPv4 alike, where the kernel has both. */
static int
bind_any(int port)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct addrinfo ai = {.ai_family = AF_INET6,
		.ai_addr = (struct sockaddr *)&six,
		.ai_addrlen = sizeof(six)};

	int fd = bind_one(&ai, true);
	if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
		return fd;
	ai.ai_family = AF_INET;
	ai.ai_addr = (struct sockaddr *)&four;
	ai.ai_addrlen = sizeof(four);
	return bind_one(&ai, false);
}

int
listener_bind(int *ret, const char *host, int port, struct hw_err *err)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found;
	char service[16];
	int fd = -1;

	if (*host == '\0') {
		if ((fd = bind_any(port)) < 0)
			return no_socket(err, host, port);
		*ret = fd;
		return 0;
	}
	snprintf(service, sizeof(service), "%d", port);
	int r = getaddrinfo(host, service, &hints, &found);
	if (r != 0)
		return hw_err_set(err, HW_EVALIDATION, "cannot listen on \"%s\": %s", host,
			gai_strerror(r));
	for (const struct addrinfo *ai = found; ai != NULL && fd < 0; ai = ai->ai_next)
		fd = bind_one(ai, strcmp(host, "::") == 0);
	int keep = errno;
	freeaddrinfo(found);
	errno = keep;
	if (fd < 0)
		return no_socket(err, host, port);
	*ret = fd;
	return 0;
}

/* --- accepting ----------------------------------------------------------------------------- */

static void
on_resume(void *arg)
{
	struct listener *l = arg;

	loop_fd_want(l->watch, LOOP_READ);
}

/* The queue's first connection could not be taken. */
static void
on_refused(struct listener *l)
{
	switch (errno) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM: /* it stays in the queue, which would stay readable */
		log_warn(l, "edge.no_descriptors", "error=%s", strerrorname_np(errno));
		loop_fd_want(l->watch, 0);
		loop_timer_start(l->loop, &l->pause, PAUSE);
		break;
	default: /* none is waiting, or that one is gone already */
		break;
	}
}

static void
on_readable(void *arg, int what)
{
	struct listener *l = arg;
	bool gone = false;

	(void)what;
	l->gone = &gone;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage from = {0};
		socklen_t n = sizeof(from);
		int fd = accept4(l->fd, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			on_refused(l);
			break;
		}
		l->on_accept(l->arg, fd, (const struct sockaddr *)&from);
		if (gone)
			return;
	}
	l->gone = NULL;
}

int
listener_open(struct listener **ret, struct loop *loop, const struct log_ctx *log, const char *host,
	int port, listener_fn *on_accept, void *arg, struct hw_err *err)
{
	struct listener *l = calloc(1, sizeof(*l));
	int r;

	if (l == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to listen");
	*l = (struct listener){
		.loop = loop, .log = *log, .fd = -1, .on_accept = on_accept, .arg = arg};
	l->pause = (struct loop_timer){.fn = on_resume, .arg = l};
	if ((r = listener_bind(&l->fd, host, port, err)) < 0)
		goto fail;
	if ((r = loop_fd_new(&l->watch, loop, l->fd, on_readable, l)) < 0) {
		hw_err_set(err, r, "no memory to listen");
		goto fail;
	}
	loop_fd_want(l->watch, LOOP_READ);
	*ret = l;
	return 0;
fail:
	listener_free(l);
	return r;
}

void
listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	if (l->gone != NULL)
		*l->gone = true;
	loop_timer_stop(l->loop, &l->pause);
	loop_fd_free(l->watch);
	fd_close(l->fd);
	free(l);
}
