#include "node/forward.h"

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/channel.h"
#include "proto/wire/host.h"
#include "proto/wire/resolve.h"
#include "proto/wire/tube.h"

#define WINDOW		(1024 * 1024)
#define CONNECTIONS_MAX 4000
#define LOOKUPS_MAX	64
#define CONNECT_WITHIN	(10 * USEC_PER_SEC) /* for a lookup, and for each address */
#define ADDRESSES_MAX	8		    /* that are tried */
#define WHY_MAX		400

struct forwards {
	struct log_ctx log;
	struct loop *loop;
	const char *dir;
	LIST_HEAD(, connection) connections;
	int count, lookups;
	struct tube_scratch scratch;
};

struct connection {
	struct forwards *owner;
	struct channel *ch;
	struct tube *tube;
	struct host host;
	int port;
	bool local, beyond, named; /* what the relay lets it reach */
	bool reached_local;	   /* what it is trying is the node itself */
	char session[97];
	char at[HOST_SHOWN_MAX]; /* the address that is tried, or was reached */

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
	LIST_ENTRY(connection) entry;
};

static void try_next(struct connection *c);

/* --- the end ---------------------------------------------------------------------------------- */

static void
release(void *arg)
{
	free(arg);
}

static void
stop_trying(struct connection *c)
{
	loop_timer_stop(c->owner->loop, &c->deadline);
	loop_fd_free(c->watch);
	c->watch = NULL;
	fd_close(c->fd);
	c->fd = -1;
}

/* The channel is answered, closed or gone already. */
static void
over(struct connection *c, bool reset)
{
	struct forwards *fs = c->owner;

	if (c->over)
		return;
	c->over = true;
	if (c->resolve != NULL) {
		resolve_cancel(c->resolve);
		fs->lookups--;
	}
	c->resolve = NULL;
	stop_trying(c);
	tube_free(c->tube, reset);
	c->tube = NULL;
	LIST_REMOVE(c, entry);
	fs->count--;
	c->reap = (struct loop_task){.fn = release, .arg = c};
	loop_defer(fs->loop, &c->reap);
}

static void
fail(struct connection *c, int code, const char *why)
{
	channel_reject(c->ch, code, why);
	over(c, true);
}

/* --- an open connection ----------------------------------------------------------------------- */

static void
on_tube_over(void *arg, int code, int error)
{
	static const struct msg_close well = {.code = NULL};
	struct connection *c = arg;
	char why[WHY_MAX];

	if (code == 0) {
		channel_close(c->ch, &well);
	} else {
		snprintf(why, sizeof(why),
			code == HW_ERESET	 ? "the connection was reset by %s"
				: code == HW_EIO ? "the connection to %s failed: %s"
						 : "more was sent to %s than was allowed",
			c->at, strerror(error));
		channel_abort(c->ch, code, why);
	}
	over(c, code != 0);
}

static void
on_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct connection *c = arg;

	(void)ch, (void)offset;
	if (stream == STREAM_IN)
		tube_data(c->tube, p, n);
}

static void
on_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct connection *c = arg;

	(void)ch, (void)offset;
	if (stream == STREAM_IN)
		tube_end(c->tube);
}

static void
on_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	struct connection *c = arg;

	(void)ch, (void)consumed, (void)limit, (void)echo;
	if (stream == STREAM_OUT)
		tube_room(c->tube);
}

static void
on_drained(void *arg, struct channel *ch, int stream)
{
	struct connection *c = arg;

	(void)ch;
	if (stream == STREAM_OUT)
		tube_room(c->tube);
}

/* Whatever the reason: the far end sees an abort, and never takes a part for the whole. */
static void
on_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	(void)ch, (void)code, (void)close;
	over(arg, true);
}

static const struct channel_events channel_events = {
	.on_data = on_data,
	.on_end = on_end,
	.on_credit = on_credit,
	.on_drained = on_drained,
	.on_close = on_close,
};

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

/* The socket is connected. */
static void
go(struct connection *c)
{
	bool tcp = c->host.kind != HOST_IS_SOCKET;
	int fd = c->fd;
	struct msg_accept accept = {
		.window = WINDOW,
		.session_id = c->session,
		.remote_address = c->at,
		.node_local = c->reached_local || (tcp && is_between_own(fd)),
	};
	const int yes = 1;

	c->fd = -1;
	stop_trying(c);
	if (tcp)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	channel_accept(c->ch, &accept);
	if (tube_start(c->tube, fd, fd, NULL) == 0)
		return;
	close(fd);
	channel_abort(c->ch, HW_ENOMEM, "the node is out of memory");
	over(c, true);
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
note_failure(struct connection *c, int error)
{
	if (c->code == HW_EREFUSED || c->code == HW_ETIMEOUT)
		return;
	c->code = code_of(error);
	if (error == ECONNREFUSED)
		snprintf(c->why, sizeof(c->why), "connection refused by %s", c->at);
	else if (error == ETIMEDOUT)
		snprintf(c->why, sizeof(c->why), "the connection to %s timed out", c->at);
	else
		snprintf(c->why, sizeof(c->why), "cannot connect to %s: %s", c->at,
			strerror(error));
}

static void
on_connected(void *arg, int what)
{
	struct connection *c = arg;
	socklen_t n = sizeof(int);
	int error = 0;

	(void)what;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error == 0) {
		go(c);
		return;
	}
	stop_trying(c);
	note_failure(c, error);
	try_next(c);
}

static void
on_deadline(void *arg)
{
	struct connection *c = arg;
	char why[WHY_MAX];

	if (c->resolve != NULL) {
		snprintf(why, sizeof(why), "the name %s was not resolved in time", c->host.text);
		fail(c, HW_ETIMEOUT, why);
		return;
	}
	stop_trying(c);
	note_failure(c, ETIMEDOUT);
	try_next(c);
}

/* 0, or errno. */
static int
begin(struct connection *c, int fd, const struct sockaddr *sa, socklen_t len)
{
	c->fd = fd;
	if (fd < 0)
		return errno;
	if (connect(fd, sa, len) < 0 && errno != EINPROGRESS)
		return errno;
	if (loop_fd_new(&c->watch, c->owner->loop, fd, on_connected, c) < 0)
		return ENOMEM;
	loop_fd_want(c->watch, LOOP_WRITE);
	loop_timer_start(c->owner->loop, &c->deadline, CONNECT_WITHIN);
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

static int __attribute__((format(printf, 2, 3))) deny(struct connection *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
	return c->code = HW_EDENIED;
}

/* A name that was found to stand for a guarded address was never named as one. */
static int
judge(struct connection *c, const struct sockaddr *sa)
{
	bool named = c->named && c->host.kind == HOST_IS_ADDRESS;
	unsigned traits = host_traits(sa);

	if ((traits & HOST_GUARDED) != 0 && !named)
		return deny(c, "%.260s is %s, which a policy must name to allow it", c->host.text,
			host_guarded_as(sa));
	c->reached_local = (traits & HOST_LOCAL) != 0;
	if (!c->reached_local && c->local && c->beyond)
		return 0;
	c->reached_local = c->reached_local || is_own(sa);
	if (c->reached_local && !c->local)
		return deny(c,
			"%.260s is the node itself, which AWS-StartPortForwardingSession must be "
			"allowed for",
			c->host.text);
	if (!c->reached_local && !c->beyond)
		return deny(c, "%.260s is not the node itself", c->host.text);
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
try_next(struct connection *c)
{
	int error;

	while (c->next < c->n_todo) {
		struct sockaddr_storage *sa = &c->todo[c->next++];

		set_port(sa, c->port);
		host_write(c->at, (const struct sockaddr *)sa, c->port);
		if (judge(c, (const struct sockaddr *)sa) < 0)
			continue;
		error = begin(c,
			socket(sa->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
			(const struct sockaddr *)sa, length_of(sa));
		if (error == 0)
			return;
		stop_trying(c);
		note_failure(c, error);
	}
	fail(c, c->code, c->why);
}

static void
add_address(struct connection *c, const struct sockaddr *sa)
{
	if (c->n_todo == ADDRESSES_MAX)
		return;
	if (sa->sa_family == AF_INET || sa->sa_family == AF_INET6)
		memcpy(&c->todo[c->n_todo++], sa,
			sa->sa_family == AF_INET ? sizeof(struct sockaddr_in)
						 : sizeof(struct sockaddr_in6));
}

/* --- names ------------------------------------------------------------------------------------ */

static void
on_resolved(void *arg, int code, const char *why, struct addrinfo *found)
{
	struct connection *c = arg;
	char text[WHY_MAX];

	c->resolve = NULL;
	c->owner->lookups--;
	loop_timer_stop(c->owner->loop, &c->deadline);
	for (const struct addrinfo *a = found; a != NULL; a = a->ai_next)
		add_address(c, a->ai_addr);
	if (found != NULL)
		freeaddrinfo(found);
	if (code == 0 && c->n_todo > 0) {
		try_next(c);
		return;
	}
	snprintf(text, sizeof(text), "%s does not resolve on this node: %s", c->host.text,
		code != 0 ? why : "it has no address");
	fail(c, HW_ERESOLVE, text);
}

static void
look_up(struct connection *c)
{
	struct forwards *fs = c->owner;
	struct hw_err err = HW_ERR_INIT;
	int r;

	if (fs->lookups >= LOOKUPS_MAX) {
		fail(c, HW_EFULL, "the node looks up too many names at once: try again");
		return;
	}
	r = resolve_start(&c->resolve, fs->loop, c->host.text, on_resolved, c, &err);
	if (r < 0) {
		fail(c, r, hw_err_text(&err));
		return;
	}
	fs->lookups++;
	loop_timer_start(fs->loop, &c->deadline, CONNECT_WITHIN);
}

/* No name server is asked who we are. */
static void
try_localhost(struct connection *c)
{
	const struct sockaddr_in v4 = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct sockaddr_in6 v6 = {
		.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};

	add_address(c, (const struct sockaddr *)&v4);
	add_address(c, (const struct sockaddr *)&v6);
	try_next(c);
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
open_socket_file(struct connection *c, struct sockaddr_un *un)
{
	const char *path = c->host.text + strlen(HOST_SOCKET);
	char link[40], real[PATH_MAX] = "";
	struct stat st;

	int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0) {
		note_failure(c, errno);
		return -1;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, real, sizeof(real) - 1);
	real[n > 0 ? n : 0] = '\0';
	if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		note_failure(c, ENOTSOCK);
	} else if (n <= 0 || is_under(real, c->owner->dir)) {
		deny(c, "%.260s is the agent's own", c->host.text);
	} else {
		memcpy(un->sun_path, link, strlen(link) + 1);
		return fd;
	}
	close(fd);
	return -1;
}

static void
try_socket(struct connection *c)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int error, file;

	snprintf(c->at, sizeof(c->at), "%.127s", c->host.text);
	if (!c->local) {
		fail(c, HW_EDENIED, "sockets of the node itself are not allowed");
		return;
	}
	if ((file = open_socket_file(c, &un)) < 0) {
		fail(c, c->code, c->why);
		return;
	}
	c->reached_local = true;
	error = begin(c, socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
		(const struct sockaddr *)&un, sizeof(un));
	close(file);
	if (error == 0)
		return;
	stop_trying(c);
	note_failure(c, error == EAGAIN ? ECONNREFUSED : error);
	fail(c, c->code, c->why);
}

/* --- OPEN ------------------------------------------------------------------------------------- */

static void
begin_trying(struct connection *c)
{
	c->code = HW_EUNREACHABLE;
	if (c->host.kind == HOST_IS_SOCKET) {
		try_socket(c);
	} else if (c->host.kind == HOST_IS_ADDRESS) {
		add_address(c, (const struct sockaddr *)&c->host.address);
		try_next(c);
	} else if ((c->host.traits & HOST_LOCAL) != 0) {
		try_localhost(c);
	} else {
		look_up(c);
	}
}

static int
check(struct host *host, const struct forwards *fs, const struct msg_open *open, struct hw_err *err)
{
	int r = host_parse(host, open->remote_host != NULL ? open->remote_host : "", err);

	if (r < 0)
		return r;
	if ((host->kind == HOST_IS_SOCKET) != (open->remote_port == 0))
		return hw_err_set(err, HW_EVALIDATION, "RemotePort: it does not go with the host");
	if (fs->count >= CONNECTIONS_MAX)
		return hw_err_set(err, HW_ELIMIT, "the node has %d connections, and no more",
			CONNECTIONS_MAX);
	return 0;
}

void
forwards_connect(struct forwards *fs, struct channel *ch, const struct msg_open *open)
{
	struct tube_config config = {.loop = fs->loop,
		.scratch = &fs->scratch,
		.stream = STREAM_OUT,
		.on_over = on_tube_over};
	struct hw_err err = HW_ERR_INIT;
	struct host host;
	int r = check(&host, fs, open, &err);
	struct connection *c = r == 0 ? calloc(1, sizeof(*c)) : NULL;

	config.arg = c;
	if (r == 0 && (c == NULL || tube_new(&c->tube, ch, &config, &err) < 0))
		r = hw_err_set(&err, HW_ENOMEM, "the node is out of memory");
	if (r < 0) {
		free(c);
		channel_reject(ch, r, hw_err_text(&err));
		return;
	}
	c->owner = fs;
	c->ch = ch;
	c->host = host;
	c->port = (int)open->remote_port;
	c->local = open->node_local;
	c->beyond = open->beyond;
	c->named = open->named;
	c->fd = -1;
	snprintf(c->session, sizeof(c->session), "%s", open->session_id);
	c->deadline = (struct loop_timer){.fn = on_deadline, .arg = c};
	LIST_INSERT_HEAD(&fs->connections, c, entry);
	fs->count++;
	channel_attach(ch, &channel_events, c);
	begin_trying(c);
}

/* --- all of them ------------------------------------------------------------------------------ */

void
forwards_end(struct forwards *fs, const char *session_id, const char *why)
{
	struct connection *c, *next;

	for (c = LIST_FIRST(&fs->connections); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		if (strcmp(c->session, session_id) != 0)
			continue;
		channel_abort(c->ch, HW_ECLOSED, why);
		over(c, true);
	}
}

int
forwards_count(const struct forwards *fs)
{
	return fs->count;
}

struct forwards *
forwards_new(struct loop *loop, const struct log_ctx *log, const char *dir)
{
	struct forwards *fs = calloc(1, sizeof(*fs));

	if (fs == NULL)
		return NULL;
	fs->log = *log;
	fs->loop = loop;
	fs->dir = dir;
	LIST_INIT(&fs->connections);
	return fs;
}

void
forwards_free(struct forwards *fs)
{
	if (fs == NULL)
		return;
	hw_assert(LIST_EMPTY(&fs->connections));
	free(fs);
}
