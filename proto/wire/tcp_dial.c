#include "proto/wire/tcp_dial.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"
#include "proto/wire/proxy.h"
#include "proto/wire/resolve.h"

#define ADDRESSES_MAX 16
#define HEAD_START    (250 * USEC_PER_MSEC)

enum address_state { ADDRESS_NEW, ADDRESS_TRIED };

/* One address, and the attempt to reach it while fd is open. */
struct address {
	struct tcp_dial *dial;
	struct sockaddr_storage to;
	socklen_t len;
	enum address_state state;
	int fd;
	struct loop_fd *watch;
};

struct tcp_dial {
	struct loop *loop;
	const struct tcp_dial_events *events;
	void *arg;
	struct proxy proxy;
	int port;
	int64_t within, until; /* until: monotonic */
	struct resolve *resolve;
	struct address addresses[ADDRESSES_MAX];
	size_t n;
	struct address *asking; /* connected to the proxy, which has not answered */
	struct buf answer;
	int error; /* of the first address that failed and tells something */
	struct loop_timer head_start, deadline;
	char host[];
};

static bool
is_proxied(const struct tcp_dial *d)
{
	return d->proxy.host[0] != '\0';
}

/* --- ends ------------------------------------------------------------------------------------ */

static void
drop_attempt(struct address *a)
{
	loop_fd_free(a->watch);
	fd_close(a->fd);
	a->watch = NULL;
	a->fd = -1;
}

/* Those that were cut short may be tried again. */
static void
stop_all(struct tcp_dial *d)
{
	for (size_t i = 0; i < d->n; i++) {
		if (d->addresses[i].fd >= 0)
			d->addresses[i].state = ADDRESS_NEW;
		drop_attempt(&d->addresses[i]);
	}
	d->asking = NULL;
	buf_reset(&d->answer);
	resolve_cancel(d->resolve);
	d->resolve = NULL;
	loop_timer_stop(d->loop, &d->head_start);
	loop_timer_stop(d->loop, &d->deadline);
}

static void HW_PRINTF(3, 4) fail(struct tcp_dial *d, int code, const char *fmt, ...)
{
	char why[384];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	stop_all(d);
	d->events->on_failed(d->arg, code, why);
}

/* "HOST:PORT" of what is dialled, or "the proxy HOST:PORT". */
static const char *
hop(char out[PROXY_SHOWN_MAX + 16], const struct tcp_dial *d)
{
	struct proxy to = d->proxy;
	char shown[PROXY_SHOWN_MAX];

	if (!is_proxied(d)) {
		snprintf(to.host, sizeof(to.host), "%s", d->host);
		to.port = d->port;
	}
	proxy_write(shown, &to);
	snprintf(out, PROXY_SHOWN_MAX + 16, "%s%s", is_proxied(d) ? "the proxy " : "", shown);
	return out;
}

static void
fail_to_connect(struct tcp_dial *d)
{
	char to[PROXY_SHOWN_MAX + 16];

	fail(d, HW_EUNAVAILABLE, "cannot connect to %s: %s", hop(to, d), strerror(d->error));
}

static void
on_deadline(void *arg)
{
	struct tcp_dial *d = arg;
	char to[PROXY_SHOWN_MAX + 16];

	if (d->resolve != NULL)
		fail(d, HW_ETIMEOUT,
			"the address of %s was not found within %d seconds: no name server "
			"answers",
			is_proxied(d) ? d->proxy.host : d->host, (int)(d->within / USEC_PER_SEC));
	else
		fail(d, HW_ETIMEOUT, "%s did not answer within %d seconds", hop(to, d),
			(int)(d->within / USEC_PER_SEC));
}

static void
open_way(struct address *a)
{
	struct tcp_dial *d = a->dial;
	int fd = a->fd;

	loop_fd_free(a->watch);
	a->watch = NULL;
	a->fd = -1;
	stop_all(d);
	d->events->on_open(d->arg, fd);
}

/* --- asking a proxy -------------------------------------------------------------------------- */

static void
on_answer(struct address *a)
{
	struct tcp_dial *d = a->dial;
	struct hw_err err = HW_ERR_INIT;
	char to[PROXY_SHOWN_MAX + 16];
	uint8_t *room = buf_reserve(&d->answer, 2048);
	ssize_t n = room != NULL ? recv(a->fd, room, 2048, 0) : -1;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(d, HW_EUNAVAILABLE,
			"%s hung up instead of opening a way to %s:%d: is it an HTTP proxy, and may this "
			"machine use it?",
			hop(to, d), d->host, d->port);
		return;
	}
	buf_commit(&d->answer, (size_t)n);
	int r = proxy_answer(&d->proxy, d->host, d->port, buf_data(&d->answer), d->answer.len,
		&err);
	if (r < 0)
		fail(d, r, "%s", hw_err_text(&err));
	else if (r > 0)
		open_way(a);
}

/* A new connection takes so few bytes at once. */
static void
ask(struct address *a)
{
	struct tcp_dial *d = a->dial;
	char to[PROXY_SHOWN_MAX + 16];
	struct buf request;

	for (size_t i = 0; i < d->n; i++)
		if (&d->addresses[i] != a)
			drop_attempt(&d->addresses[i]);
	loop_timer_stop(d->loop, &d->head_start);
	d->asking = a;
	buf_init(&request, 4096);
	bool sent = proxy_request(&request, &d->proxy, d->host, d->port) == 0 &&
		send(a->fd, buf_data(&request), request.len, MSG_NOSIGNAL) == (ssize_t)request.len;
	buf_wipe(&request);
	buf_fini(&request);
	if (sent)
		loop_fd_want(a->watch, LOOP_READ);
	else
		fail(d, HW_EUNAVAILABLE, "%s does not take a request", hop(to, d));
}

/* --- reaching an address --------------------------------------------------------------------- */

static void try_next(struct tcp_dial *d);

/* A machine without one of the families is told what the other one said. */
static void
note_error(struct tcp_dial *d, int error)
{
	if (d->error == 0 || d->error == ENETUNREACH || d->error == EAFNOSUPPORT ||
		d->error == EADDRNOTAVAIL)
		d->error = error;
}

static void
attempt_failed(struct address *a, int error)
{
	struct tcp_dial *d = a->dial;

	drop_attempt(a);
	note_error(d, error);
	try_next(d);
}

static void
on_ready(void *arg, int what)
{
	struct address *a = arg;
	int error = 0;
	socklen_t n = sizeof(error);

	(void)what;
	if (a->dial->asking == a) {
		on_answer(a);
		return;
	}
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error != 0)
		attempt_failed(a, error);
	else if (is_proxied(a->dial))
		ask(a);
	else
		open_way(a);
}

/* 0, or errno. */
static int
begin(struct address *a)
{
	a->state = ADDRESS_TRIED;
	a->fd = socket(a->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0)
		return errno;
	if (connect(a->fd, (const struct sockaddr *)&a->to, a->len) < 0 && errno != EINPROGRESS)
		return errno;
	if (loop_fd_new(&a->watch, a->dial->loop, a->fd, on_ready, a) < 0)
		return ENOMEM;
	loop_fd_want(a->watch, LOOP_WRITE);
	return 0;
}

static bool
is_trying(const struct tcp_dial *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->addresses[i].fd >= 0)
			return true;
	return false;
}

static void
try_next(struct tcp_dial *d)
{
	for (size_t i = 0; i < d->n; i++) {
		struct address *a = &d->addresses[i];
		if (a->state != ADDRESS_NEW)
			continue;
		int error = begin(a);
		if (error == 0) {
			loop_timer_start(d->loop, &d->head_start, HEAD_START);
			return;
		}
		drop_attempt(a);
		note_error(d, error);
	}
	loop_timer_stop(d->loop, &d->head_start);
	if (!is_trying(d))
		fail_to_connect(d);
}

static void
on_head_start(void *arg)
{
	try_next(arg);
}

/* --- addresses ------------------------------------------------------------------------------- */

static void
set_port(struct address *a, int port)
{
	if (a->to.ss_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)&a->to)->sin6_port = htons((uint16_t)port);
	else
		((struct sockaddr_in *)(void *)&a->to)->sin_port = htons((uint16_t)port);
}

/* The next of that family from *at on. */
static const struct addrinfo *
next_of(const struct addrinfo *at, int family, bool same)
{
	while (at != NULL && (at->ai_family == family) != same)
		at = at->ai_next;
	return at;
}

/* In their order, but families in turn: where one does not work, the second try is of the other. */
static void
take_addresses(struct tcp_dial *d, const struct addrinfo *found)
{
	int family = found->ai_family;
	const struct addrinfo *of[2] = {found, next_of(found, family, false)};

	for (int turn = 0; d->n < ADDRESSES_MAX && (of[0] != NULL || of[1] != NULL); turn = !turn) {
		const struct addrinfo *ai = of[turn];
		if (ai == NULL)
			continue;
		of[turn] = next_of(ai->ai_next, family, turn == 0);
		if (ai->ai_addrlen > sizeof(d->addresses[0].to))
			continue;
		struct address *a = &d->addresses[d->n++];
		*a = (struct address){.dial = d, .fd = -1, .len = ai->ai_addrlen};
		memcpy(&a->to, ai->ai_addr, ai->ai_addrlen);
		set_port(a, is_proxied(d) ? d->proxy.port : d->port);
	}
}

static void
on_resolved(void *arg, int code, const char *why, struct addrinfo *found)
{
	struct tcp_dial *d = arg;

	d->resolve = NULL;
	if (code < 0) {
		fail(d, code, "cannot find the %s %s: %s", is_proxied(d) ? "proxy" : "host",
			is_proxied(d) ? d->proxy.host : d->host, why);
		return;
	}
	take_addresses(d, found);
	freeaddrinfo(found);
	try_next(d);
}

/* --- dials ----------------------------------------------------------------------------------- */

int
tcp_dial_start(struct tcp_dial **ret, struct loop *loop, struct resolve_limit *limit,
	const char *host, int port, const struct proxy *proxy, int64_t within,
	const struct tcp_dial_events *events, void *arg, struct hw_err *err)
{
	size_t n = strlen(host);
	struct tcp_dial *d = calloc(1, sizeof(*d) + n + 1);

	if (d == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory to dial");
	d->loop = loop;
	d->events = events;
	d->arg = arg;
	d->port = port;
	d->within = within;
	d->until = clock_mono(loop_clock(loop)) + within;
	memcpy(d->host, host, n);
	if (proxy != NULL)
		d->proxy = *proxy;
	buf_init(&d->answer, PROXY_ANSWER_MAX + 2048);
	d->head_start = (struct loop_timer){.fn = on_head_start, .arg = d};
	d->deadline = (struct loop_timer){.fn = on_deadline, .arg = d};
	int r = resolve_start(&d->resolve, loop, limit, is_proxied(d) ? d->proxy.host : host,
		on_resolved, d, err);
	if (r < 0) {
		tcp_dial_cancel(d);
		return r;
	}
	loop_timer_start(loop, &d->deadline, within);
	*ret = d;
	return 0;
}

bool
tcp_dial_more(const struct tcp_dial *d)
{
	for (size_t i = 0; i < d->n && !is_proxied(d); i++)
		if (d->addresses[i].state == ADDRESS_NEW)
			return true;
	return false;
}

bool
tcp_dial_next(struct tcp_dial *d)
{
	if (!tcp_dial_more(d))
		return false;
	int64_t left = d->until - clock_mono(loop_clock(d->loop));
	loop_timer_start(d->loop, &d->deadline, left > 0 ? left : 0);
	/* From the loop, as all events are. */
	loop_timer_start(d->loop, &d->head_start, 0);
	return true;
}

void
tcp_dial_cancel(struct tcp_dial *d)
{
	if (d == NULL)
		return;
	stop_all(d);
	buf_fini(&d->answer);
	explicit_bzero(&d->proxy, sizeof(d->proxy));
	free(d);
}

/* --- without a loop -------------------------------------------------------------------------- */

struct wait {
	struct loop *loop;
	int fd, code;
	struct hw_err *err;
};

static void
on_wait_open(void *arg, int fd)
{
	struct wait *w = arg;

	w->fd = fd;
	loop_stop(w->loop);
}

static void
on_wait_failed(void *arg, int code, const char *why)
{
	struct wait *w = arg;

	w->code = hw_err_set(w->err, code, "%s", why);
	loop_stop(w->loop);
}

int
tcp_dial_wait(int *fd, const char *host, int port, const struct proxy *proxy, int64_t within,
	struct hw_err *err)
{
	static const struct tcp_dial_events events = {
		.on_open = on_wait_open, .on_failed = on_wait_failed};
	struct wait w = {.fd = -1, .err = err};
	struct resolve_limit *limit = resolve_limit_new(1);
	struct tcp_dial *d = NULL;
	int r = limit != NULL ? loop_new(&w.loop, err)
			      : hw_err_set(err, HW_ENOMEM, "no memory to dial");

	if (r == 0)
		r = tcp_dial_start(&d, w.loop, limit, host, port, proxy, within, &events, &w, err);
	if (r == 0)
		r = loop_run(w.loop, err);
	tcp_dial_cancel(d);
	resolve_limit_free(limit);
	loop_free(w.loop);
	if (r == 0 && w.code < 0)
		r = w.code;
	if (r == 0)
		*fd = w.fd;
	else
		fd_close(w.fd);
	return r;
}
