#include "node/reach.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/resolve.h"

#define CONNECT_WITHIN (10 * USEC_PER_SEC) /* for a lookup, and for each address */
#define ADDRESSES_MAX  8		   /* that are tried */
#define WHY_MAX	       400

struct reach {
	struct reach_ground *ground;
	struct reach_place place;
	const struct reach_events *events;
	void *arg;
	bool local;		 /* what it is trying is the node itself */
	char at[HOST_SHOWN_MAX]; /* the address that is tried */

	struct resolve *resolve;
	struct sockaddr_storage todo[ADDRESSES_MAX];
	size_t n_todo, next;
	int code; /* why the last address would not do */
	char why[WHY_MAX];

	int fd;
	struct loop_fd *watch;
	struct loop_timer deadline;
	struct loop_task reap;
	bool over;
};

static void try_next(struct reach *r);

/* --- the end ---------------------------------------------------------------------------------- */

static void
stop_trying(struct reach *r)
{
	loop_timer_stop(r->ground->loop, &r->deadline);
	loop_fd_free(r->watch);
	r->watch = NULL;
	fd_close(r->fd);
	r->fd = -1;
}

static void
finish(struct reach *r)
{
	hw_assert(!r->over);
	r->over = true;
	stop_trying(r);
}

static void
fail(struct reach *r, int code, const char *why)
{
	finish(r);
	r->events->on_failed(r->arg, code, why);
}

/* What comes from where it goes to stays on the node. */
static bool
is_between_own(int fd)
{
	struct sockaddr_storage here, there;
	socklen_t n = sizeof(here), m = sizeof(there);

	return getsockname(fd, (struct sockaddr *)&here, &n) == 0 &&
		getpeername(fd, (struct sockaddr *)&there, &m) == 0 &&
		host_same((const struct sockaddr *)&here, (const struct sockaddr *)&there);
}

static void
succeed(struct reach *r)
{
	bool tcp = r->place.host.kind != HOST_IS_SOCKET;
	int fd = r->fd;

	r->fd = -1;
	finish(r);
	r->events->on_reached(r->arg, fd, r->at, r->local || (tcp && is_between_own(fd)));
}

/* --- connecting ------------------------------------------------------------------------------- */

static int
code_of(int error)
{
	return error == ECONNREFUSED ? HW_EREFUSED
		: error == ETIMEDOUT ? HW_ETIMEOUT
				     : HW_EUNREACHABLE;
}

/* The next address may do. If none does, an answer is told before a way that there is not. */
static void
note_failure(struct reach *r, int error)
{
	if (r->code == HW_EREFUSED || r->code == HW_ETIMEOUT)
		return;
	r->code = code_of(error);
	if (error == ECONNREFUSED)
		snprintf(r->why, sizeof(r->why), "connection refused by %s", r->at);
	else if (error == ETIMEDOUT)
		snprintf(r->why, sizeof(r->why), "the connection to %s timed out", r->at);
	else
		snprintf(r->why, sizeof(r->why), "cannot connect to %s: %s", r->at,
			strerror(error));
}

static void
on_connected(void *arg, int what)
{
	struct reach *r = arg;
	socklen_t n = sizeof(int);
	int error = 0;

	(void)what;
	if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error == 0) {
		succeed(r);
		return;
	}
	stop_trying(r);
	note_failure(r, error);
	try_next(r);
}

static void
on_deadline(void *arg)
{
	struct reach *r = arg;
	char why[WHY_MAX];

	if (r->resolve != NULL) {
		snprintf(why, sizeof(why), "the name %s was not resolved in time",
			r->place.host.text);
		fail(r, HW_ETIMEOUT, why);
		return;
	}
	stop_trying(r);
	note_failure(r, ETIMEDOUT);
	try_next(r);
}

/* 0, EINPROGRESS, or why not. What is on this machine has answered by the second call, which saves
 * a turn of the loop. */
static int
connect_now(int fd, const struct sockaddr *sa, socklen_t len)
{
	if (connect(fd, sa, len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	if (connect(fd, sa, len) == 0 || errno == EISCONN)
		return 0;
	return errno == EALREADY ? EINPROGRESS : errno;
}

/* 0, or errno. */
static int
begin(struct reach *r, int fd, const struct sockaddr *sa, socklen_t len)
{
	int error;

	r->fd = fd;
	if (fd < 0)
		return errno;
	if ((error = connect_now(fd, sa, len)) == 0) {
		succeed(r);
		return 0;
	}
	if (error != EINPROGRESS)
		return error;
	if (loop_fd_new(&r->watch, r->ground->loop, fd, on_connected, r) < 0)
		return ENOMEM;
	loop_fd_want(r->watch, LOOP_WRITE);
	loop_timer_start(r->ground->loop, &r->deadline, CONNECT_WITHIN);
	return 0;
}

/* --- judging ---------------------------------------------------------------------------------- */

static bool
is_own(const struct sockaddr *sa)
{
	struct ifaddrs *all, *i;
	bool own = false;

	if (getifaddrs(&all) < 0)
		return true; /* nobody knows, so it may be */
	for (i = all; i != NULL && !own; i = i->ifa_next)
		own = i->ifa_addr != NULL &&
			(i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6) &&
			host_same(i->ifa_addr, sa);
	freeifaddrs(all);
	return own;
}

static int __attribute__((format(printf, 2, 3))) deny(struct reach *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return r->code = HW_EDENIED;
}

/* A name that was found to stand for a guarded address was never named as one. */
static int
judge(struct reach *r, const struct sockaddr *sa)
{
	bool named = r->place.named && r->place.host.kind == HOST_IS_ADDRESS;
	unsigned traits = host_traits(sa);

	if ((traits & HOST_GUARDED) != 0 && !named)
		return deny(r, "%.260s is %s, which a policy must name to allow it",
			r->place.host.text, host_guarded_as(sa));
	r->local = (traits & HOST_LOCAL) != 0;
	if (!r->local && r->place.local && r->place.beyond)
		return 0;
	r->local = r->local || is_own(sa);
	if (r->local && !r->place.local)
		return deny(r,
			"%.260s is the node itself, which AWS-StartPortForwardingSession must be "
			"allowed for",
			r->place.host.text);
	if (!r->local && !r->place.beyond)
		return deny(r, "%.260s is not the node itself", r->place.host.text);
	return 0;
}

static void
set_port(struct sockaddr_storage *sa, int port)
{
	if (sa->ss_family == AF_INET6)
		((struct sockaddr_in6 *)sa)->sin6_port = htons((uint16_t)port);
	else
		((struct sockaddr_in *)sa)->sin_port = htons((uint16_t)port);
}

static socklen_t
length_of(const struct sockaddr_storage *sa)
{
	return sa->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static void
try_next(struct reach *r)
{
	int error;

	while (r->next < r->n_todo) {
		struct sockaddr_storage *sa = &r->todo[r->next++];

		set_port(sa, r->place.port);
		host_write(r->at, (const struct sockaddr *)sa, r->place.port);
		if (judge(r, (const struct sockaddr *)sa) < 0)
			continue;
		error = begin(r,
			socket(sa->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
			(const struct sockaddr *)sa, length_of(sa));
		if (error == 0)
			return;
		stop_trying(r);
		note_failure(r, error);
	}
	fail(r, r->code, r->why);
}

static void
add_address(struct reach *r, const struct sockaddr *sa)
{
	if (r->n_todo == ADDRESSES_MAX)
		return;
	if (sa->sa_family == AF_INET || sa->sa_family == AF_INET6)
		memcpy(&r->todo[r->n_todo++], sa,
			sa->sa_family == AF_INET ? sizeof(struct sockaddr_in)
						 : sizeof(struct sockaddr_in6));
}

/* --- names ------------------------------------------------------------------------------------ */

static void
on_resolved(void *arg, int code, const char *why, struct addrinfo *found)
{
	struct reach *r = arg;
	char text[WHY_MAX];

	r->resolve = NULL;
	loop_timer_stop(r->ground->loop, &r->deadline);
	for (const struct addrinfo *a = found; a != NULL; a = a->ai_next)
		add_address(r, a->ai_addr);
	if (found != NULL)
		freeaddrinfo(found);
	if (code == 0 && r->n_todo > 0) {
		try_next(r);
		return;
	}
	snprintf(text, sizeof(text), "%s does not resolve on this node: %s", r->place.host.text,
		code != 0 ? why : "it has no address");
	fail(r, HW_ERESOLVE, text);
}

static void
look_up(struct reach *r)
{
	struct hw_err err = HW_ERR_INIT;
	int e;

	e = resolve_start(&r->resolve, r->ground->loop, r->ground->lookups, r->place.host.text,
		on_resolved, r, &err);
	if (e < 0) {
		fail(r, e, hw_err_text(&err));
		return;
	}
	loop_timer_start(r->ground->loop, &r->deadline, CONNECT_WITHIN);
}

/* No name server is asked who we are. */
static void
try_localhost(struct reach *r)
{
	const struct sockaddr_in v4 = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct sockaddr_in6 v6 = {
		.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};

	add_address(r, (const struct sockaddr *)&v4);
	add_address(r, (const struct sockaddr *)&v6);
	try_next(r);
}

/* --- Unix sockets ------------------------------------------------------------------------------
 */

/* Holders and the monitor trust who reaches them there. */
static bool
is_under(const char *path, const char *dir)
{
	char real[PATH_MAX];
	size_t n;

	if (realpath(dir, real) == NULL)
		return true;
	n = strlen(real);
	return strncmp(path, real, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* The very file that was looked at is connected to, whatever its path leads to by then. */
static int
open_socket_file(struct reach *r, struct sockaddr_un *un)
{
	const char *path = r->place.host.text + strlen(HOST_SOCKET);
	char link[40], real[PATH_MAX] = "";
	struct stat st;

	int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0) {
		note_failure(r, errno);
		return -1;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, real, sizeof(real) - 1);
	real[n > 0 ? n : 0] = '\0';
	if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		note_failure(r, ENOTSOCK);
	} else if (n <= 0 || is_under(real, r->ground->dir)) {
		deny(r, "%.260s is the agent's own", r->place.host.text);
	} else {
		memcpy(un->sun_path, link, strlen(link) + 1);
		return fd;
	}
	close(fd);
	return -1;
}

static void
try_socket(struct reach *r)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int error, file;

	snprintf(r->at, sizeof(r->at), "%.127s", r->place.host.text);
	if (!r->place.local) {
		fail(r, HW_EDENIED, "sockets of the node itself are not allowed");
		return;
	}
	if ((file = open_socket_file(r, &un)) < 0) {
		fail(r, r->code, r->why);
		return;
	}
	r->local = true;
	error = begin(r, socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
		(const struct sockaddr *)&un, sizeof(un));
	close(file);
	if (error == 0)
		return;
	stop_trying(r);
	note_failure(r, error == EAGAIN ? ECONNREFUSED : error);
	fail(r, r->code, r->why);
}

/* --- the start -------------------------------------------------------------------------------- */

static void
begin_trying(struct reach *r)
{
	r->code = HW_EUNREACHABLE;
	if (r->place.host.kind == HOST_IS_SOCKET) {
		try_socket(r);
	} else if (r->place.host.kind == HOST_IS_ADDRESS) {
		add_address(r, (const struct sockaddr *)&r->place.host.address);
		try_next(r);
	} else if ((r->place.host.traits & HOST_LOCAL) != 0) {
		try_localhost(r);
	} else {
		look_up(r);
	}
}

/* --- life ------------------------------------------------------------------------------------- */

int
reach_start(struct reach **ret, struct reach_ground *ground, const struct reach_place *place,
	const struct reach_events *events, void *arg)
{
	struct reach *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return HW_ENOMEM;
	r->ground = ground;
	r->place = *place;
	r->events = events;
	r->arg = arg;
	r->fd = -1;
	r->deadline = (struct loop_timer){.fn = on_deadline, .arg = r};
	*ret = r;
	begin_trying(r);
	return 0;
}

static void
release(void *arg)
{
	free(arg);
}

void
reach_free(struct reach *r)
{
	if (r == NULL)
		return;
	r->over = true;
	resolve_cancel(r->resolve);
	r->resolve = NULL;
	stop_trying(r);
	r->reap = (struct loop_task){.fn = release, .arg = r};
	loop_defer(r->ground->loop, &r->reap);
}
