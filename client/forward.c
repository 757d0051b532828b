#include "client/forward.h"

#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/conn.h"
#include "client/socks.h"
#include "proto/base/file.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/channel.h"
#include "proto/wire/tube.h"

#define WINDOW	      (1024 * 1024)
#define BACKLOG	      1024
#define ACCEPTS_MAX   64		    /* in one turn */
#define PAUSE	      (100 * USEC_PER_MSEC) /* without descriptors for more */
#define SOCKS_WITHIN  (30 * USEC_PER_SEC)
#define OPENS_AT_ONCE 3500 /* below what a link carries */

/* A forward: a session with its listening end. */
struct route {
	struct forwarder *owner;
	struct forward_spec spec;
	int fd; /* listening; -1 of stdio */
	bool made_file;
	struct loop_fd *watch;
	struct loop_timer again;
	const char *session_id;
	struct channel *ch; /* of type FORWARD */
	bool answered, live;
	struct hw_err refusal;
	LIST_ENTRY(route) entry;
};

/* One connection. */
struct flow {
	struct route *route;
	struct channel *ch; /* NULL before it is asked for, and once it is over */
	struct tube *tube;  /* NULL before it is asked for by SOCKS, and once it is over */
	uint64_t in, out;   /* of a tube that has gone */
	char peer[HOST_SHOWN_MAX];

	int fd; /* until the tube has it */
	struct loop_fd *watch;
	struct socks socks;
	struct loop_timer deadline;
	uint8_t early[512]; /* what came with the request */
	size_t n_early;

	bool over;
	struct loop_task reap;
	LIST_ENTRY(flow) entry;
};

struct forwarder {
	struct conn *conn;
	struct loop *loop;
	const struct forwarder_events *events;
	void *arg;
	LIST_HEAD(, route) routes;
	LIST_HEAD(, flow) flows;
	struct forwarder_count count; /* of flows that are over, and how many there are */
	struct tube_scratch scratch;
};

/* --- a flow's end ----------------------------------------------------------------------------- */

static void
release(void *arg)
{
	free(arg);
}

static void
drop_tube(struct flow *w, bool reset)
{
	if (w->tube == NULL)
		return;
	w->in += tube_bytes_read(w->tube);
	w->out += tube_bytes_written(w->tube);
	tube_free(w->tube, reset);
	w->tube = NULL;
}

static void
drop_local(struct flow *w, bool reset)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	loop_timer_stop(w->route->owner->loop, &w->deadline);
	loop_fd_free(w->watch);
	w->watch = NULL;
	if (w->fd >= 0 && reset)
		setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	fd_close(w->fd);
	w->fd = -1;
}

/* The channel is over, or was told. */
static void
end_flow(struct flow *w, bool reset)
{
	struct forwarder *f = w->route->owner;

	if (w->over)
		return;
	w->over = true;
	drop_tube(w, reset);
	drop_local(w, reset);
	f->count.open--;
	f->count.in += w->in;
	f->count.out += w->out;
	LIST_REMOVE(w, entry);
	w->reap = (struct loop_task){.fn = release, .arg = w};
	loop_defer(f->loop, &w->reap);
	if (w->route->spec.kind == FORWARD_STDIO && !reset)
		f->events->on_stdio_over(f->arg);
}

static void
fail_flow(struct flow *w, int code, const char *why)
{
	struct forwarder *f = w->route->owner;

	if (w->over)
		return;
	end_flow(w, true);
	f->events->on_failed(f->arg, &w->route->spec, w->peer, code, why);
}

/* --- the channel of a flow -------------------------------------------------------------------- */

static void
on_tube_over(void *arg, int code, int error)
{
	struct flow *w = arg;

	if (code == 0) {
		drop_tube(w, false);
		if (w->ch == NULL)
			end_flow(w, false);
		return; /* else the node closes it, as it knows now that both sides have ended */
	}
	if (w->ch != NULL)
		channel_abort(w->ch, code,
			code == HW_ERESET ? "the connection was reset by the client's side"
					  : "the connection failed at the client's side");
	w->ch = NULL;
	if (code == HW_ERESET)
		end_flow(w, true);
	else
		fail_flow(w, code, code == HW_EIO ? strerror(error) : hw_code_meaning(code));
}

/* What the program behind the port is told first. */
static void
say_socks(struct flow *w)
{
	if (w->socks.n_reply > 0 &&
		send(w->fd, w->socks.reply, w->socks.n_reply, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		errno = 0; /* reading tells */
	w->socks.n_reply = 0;
}

static int
begin_tube(struct flow *w, int in, int out)
{
	struct forwarder *f = w->route->owner;
	const struct tube_config config = {.loop = f->loop,
		.scratch = &f->scratch,
		.stream = STREAM_IN,
		.on_over = on_tube_over,
		.arg = w};

	if (tube_new(&w->tube, w->ch, &config, NULL) < 0)
		return HW_ENOMEM;
	/* What came with a request of SOCKS is at most what may go ahead. */
	if (w->n_early > 0)
		channel_write(w->ch, STREAM_IN, w->early, w->n_early);
	w->in += w->n_early;
	w->fd = -1;
	if (tube_start(w->tube, in, out, NULL) == 0)
		return 0;
	w->fd = in;
	return HW_ENOMEM;
}

static void
on_accept(void *arg, struct channel *ch, const struct msg_accept *accept)
{
	struct flow *w = arg;
	int fd = w->fd;

	(void)accept;
	if (w->tube != NULL) {
		tube_room(w->tube);
		return;
	}
	if (w->route->spec.kind != FORWARD_SOCKS || fd < 0)
		return; /* it is over already at this side */
	socks_answer(&w->socks, SOCKS_OK);
	say_socks(w);
	loop_fd_free(w->watch);
	w->watch = NULL;
	if (begin_tube(w, fd, fd) == 0)
		return;
	channel_abort(ch, HW_ENOMEM, "the client is out of memory");
	w->ch = NULL;
	fail_flow(w, HW_ENOMEM, "out of memory");
}

static void
on_reject(void *arg, struct channel *ch, int code, const char *message)
{
	struct flow *w = arg;
	bool socks = w->route->spec.kind == FORWARD_SOCKS;
	struct forwarder *f = w->route->owner;

	(void)ch;
	w->ch = NULL;
	if (!socks) {
		fail_flow(w, code, message);
		return;
	}
	socks_answer(&w->socks, socks_reply_of(code));
	say_socks(w);
	end_flow(w, false); /* with the answer before it */
	f->events->on_failed(f->arg, &w->route->spec, w->peer, code, message);
}

static void
on_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct flow *w = arg;

	(void)ch, (void)offset;
	if (stream == STREAM_OUT && w->tube != NULL)
		tube_data(w->tube, p, n);
}

static void
on_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct flow *w = arg;

	(void)ch, (void)offset;
	if (stream == STREAM_OUT && w->tube != NULL)
		tube_end(w->tube);
}

static void
on_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	struct flow *w = arg;

	(void)ch, (void)consumed, (void)limit, (void)echo;
	if (stream == STREAM_IN && w->tube != NULL)
		tube_room(w->tube);
}

static void
on_drained(void *arg, struct channel *ch, int stream)
{
	struct flow *w = arg;

	(void)ch;
	if (stream == STREAM_IN && w->tube != NULL)
		tube_room(w->tube);
}

static void
on_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct flow *w = arg;
	bool words = close != NULL && close->message != NULL && close->message[0] != '\0';

	(void)ch;
	w->ch = NULL;
	if (code != 0)
		fail_flow(w, code, words ? close->message : hw_code_meaning(code));
	else if (w->tube != NULL)
		tube_finish(w->tube);
	else
		end_flow(w, false);
}

static const struct channel_events flow_channel_events = {
	.on_accept = on_accept,
	.on_reject = on_reject,
	.on_data = on_data,
	.on_end = on_end,
	.on_credit = on_credit,
	.on_drained = on_drained,
	.on_close = on_close,
};

/* --- a new flow ------------------------------------------------------------------------------- */

static struct flow *
flow_new(struct route *r, int fd, const char *peer)
{
	struct forwarder *f = r->owner;
	struct flow *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->route = r;
	w->fd = fd;
	snprintf(w->peer, sizeof(w->peer), "%s", peer);
	LIST_INSERT_HEAD(&f->flows, w, entry);
	f->count.open++;
	f->count.all++;
	return w;
}

static int
ask(struct flow *w, const char *host, int port, struct hw_err *err)
{
	struct conn *c = w->route->owner->conn;
	const struct msg_open open = {
		.type = CHANNEL_TYPE_CONNECTION,
		.session_id = w->route->session_id,
		.remote_host = host,
		.remote_port = port,
		.window = WINDOW,
	};

	if (conn_link(c) == NULL)
		return hw_err_set(err, HW_EUNAVAILABLE, "the link to the relay was lost");
	return channel_open(&w->ch, conn_link(c), &open, &flow_channel_events, w, err);
}

/* Bytes go at once: nobody waits for the answer. */
static void
begin_plain(struct flow *w, int in, int out)
{
	struct hw_err err = HW_ERR_INIT;
	int r = ask(w, NULL, 0, &err);

	if (r < 0) {
		fail_flow(w, r, hw_err_text(&err));
		return;
	}
	if (begin_tube(w, in, out) == 0)
		return;
	channel_abort(w->ch, HW_ENOMEM, "the client is out of memory");
	w->ch = NULL;
	fail_flow(w, HW_ENOMEM, "out of memory");
}

/* --- SOCKS ------------------------------------------------------------------------------------ */

static void
connect_socks(struct flow *w)
{
	struct hw_err err = HW_ERR_INIT;
	struct host host;
	int r = host_parse(&host, w->socks.host, &err);

	if (r == 0 && host.kind == HOST_IS_SOCKET)
		r = hw_err_set(&err, HW_EVALIDATION, "SOCKS reaches no Unix sockets");
	loop_timer_stop(w->route->owner->loop, &w->deadline);
	loop_fd_want(w->watch, 0);
	if (r == 0)
		r = ask(w, host.text, w->socks.port, &err);
	if (r < 0)
		on_reject(w, NULL, r, hw_err_text(&err));
}

static void
on_socks(void *arg, int what)
{
	struct flow *w = arg;
	uint8_t bytes[sizeof(w->early)];

	(void)what;
	ssize_t n = recv(w->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end_flow(w, false);
		return;
	}
	for (size_t at = 0; at < (size_t)n && w->socks.state < SOCKS_CONNECT;) {
		at += socks_take(&w->socks, bytes + at, (size_t)n - at);
		say_socks(w);
		w->n_early = (size_t)n - at;
		memcpy(w->early, bytes + at, w->n_early);
	}
	if (w->socks.state == SOCKS_CONNECT)
		connect_socks(w);
	else if (w->socks.state == SOCKS_REFUSED)
		end_flow(w, false);
}

static void
on_socks_late(void *arg)
{
	end_flow(arg, true);
}

static void
begin_socks(struct flow *w)
{
	struct loop *loop = w->route->owner->loop;

	socks_init(&w->socks);
	w->deadline = (struct loop_timer){.fn = on_socks_late, .arg = w};
	if (loop_fd_new(&w->watch, loop, w->fd, on_socks, w) < 0) {
		end_flow(w, true);
		return;
	}
	loop_fd_want(w->watch, LOOP_READ);
	loop_timer_start(loop, &w->deadline, SOCKS_WITHIN);
}

/* --- listening -------------------------------------------------------------------------------- */

static void
begin(struct route *r, int fd, const struct sockaddr_storage *from)
{
	char peer[HOST_SHOWN_MAX] = "a local program";
	const int yes = 1;

	if (from->ss_family == AF_INET || from->ss_family == AF_INET6) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		host_write(peer, (const struct sockaddr *)from,
			ntohs(((const struct sockaddr_in *)from)->sin_port));
	}
	struct flow *w = flow_new(r, fd, peer);
	if (w == NULL)
		close(fd);
	else if (r->spec.kind == FORWARD_SOCKS)
		begin_socks(w);
	else
		begin_plain(w, fd, fd);
}

static void
pause_route(struct route *r)
{
	loop_fd_want(r->watch, 0);
	loop_timer_start(r->owner->loop, &r->again, PAUSE);
}

static void
on_again(void *arg)
{
	struct route *r = arg;

	loop_fd_want(r->watch, LOOP_READ);
}

static void
on_listener(void *arg, int what)
{
	struct route *r = arg;
	struct sockaddr_storage from;

	(void)what;
	for (int i = 0; i < ACCEPTS_MAX && r->ch != NULL; i++) {
		socklen_t n = sizeof(from);
		if (r->owner->count.open >= OPENS_AT_ONCE) {
			pause_route(r);
			return;
		}
		from.ss_family = AF_UNSPEC;
		int fd = accept4(r->fd, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_route(r);
		if (fd < 0)
			return;
		begin(r, fd, &from);
	}
}

static int
say_bound(struct hw_err *err, const struct forward_spec *s)
{
	char near[FORWARD_SHOWN_MAX];
	int error = errno;

	forward_spec_near(near, s);
	if (error == EADDRINUSE)
		return hw_err_set(err, HW_EEXISTS, "%s is in use: another program listens there",
			near);
	if (error == EACCES && !s->bind_is_path)
		return hw_err_set(err, HW_ESYS, "%s: only root listens on ports below 1024", near);
	errno = error;
	return hw_err_sys(err, "cannot listen on %s", near);
}

/* A file whose listener has gone stands in nobody's way. */
static bool
is_stale(const struct sockaddr_un *un)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)un, sizeof(*un)) < 0 &&
		errno == ECONNREFUSED;

	fd_close(fd);
	return stale;
}

static int
bind_path(int fd, const struct forward_spec *s)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	mode_t mask = umask(0177);

	strncpy(un.sun_path, s->bind, sizeof(un.sun_path) - 1);
	int r = bind(fd, (const struct sockaddr *)&un, sizeof(un));
	if (r < 0 && errno == EADDRINUSE) {
		if (is_stale(&un) && unlink(s->bind) == 0)
			r = bind(fd, (const struct sockaddr *)&un, sizeof(un));
		else
			errno = EADDRINUSE;
	}
	umask(mask);
	return r;
}

static int
bind_address(int fd, struct forward_spec *s, const struct host *h)
{
	struct sockaddr_storage sa = h->address;
	socklen_t n = h->address_len;
	const int yes = 1, no = 0;

	((struct sockaddr_in *)&sa)->sin_port = htons((uint16_t)s->bind_port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (sa.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	if (bind(fd, (const struct sockaddr *)&sa, n) < 0 ||
		getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		return -1;
	s->bind_port = ntohs(((struct sockaddr_in *)&sa)->sin_port);
	return 0;
}

static int
open_listener(struct route *r, struct hw_err *err)
{
	struct forward_spec *s = &r->spec;
	struct host h = {.address.ss_family = AF_UNIX};

	if (!s->bind_is_path)
		host_parse(&h, s->bind, NULL);
	r->fd = socket(h.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (r->fd < 0 || (s->bind_is_path ? bind_path(r->fd, s) : bind_address(r->fd, s, &h)) < 0)
		return say_bound(err, s);
	r->made_file = s->bind_is_path;
	if (listen(r->fd, BACKLOG) < 0)
		return say_bound(err, s);
	return 0;
}

static void
free_route(struct route *r)
{
	LIST_REMOVE(r, entry);
	loop_timer_stop(r->owner->loop, &r->again);
	loop_fd_free(r->watch);
	fd_close(r->fd);
	if (r->made_file)
		unlink(r->spec.bind);
	free(r);
}

int
forwarder_listen(struct forwarder *f, struct forward_spec *spec, struct hw_err *err)
{
	struct route *r = calloc(1, sizeof(*r));
	int e = 0;

	if (r == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	r->owner = f;
	r->spec = *spec;
	r->fd = -1;
	r->again = (struct loop_timer){.fn = on_again, .arg = r};
	LIST_INSERT_HEAD(&f->routes, r, entry);
	if (spec->kind != FORWARD_STDIO && (e = open_listener(r, err)) == 0 &&
		loop_fd_new(&r->watch, f->loop, r->fd, on_listener, r) < 0)
		e = hw_err_set(err, HW_ENOMEM, "out of memory");
	if (e < 0)
		free_route(r);
	else
		*spec = r->spec;
	return e;
}

/* --- sessions --------------------------------------------------------------------------------- */

static void
on_route_accept(void *arg, struct channel *ch, const struct msg_accept *accept)
{
	struct route *r = arg;

	(void)ch, (void)accept;
	r->answered = r->live = true;
	conn_wake(r->owner->conn);
}

static void
on_route_reject(void *arg, struct channel *ch, int code, const char *message)
{
	struct route *r = arg;

	(void)ch;
	r->ch = NULL;
	r->answered = true;
	hw_err_set(&r->refusal, code, "%s",
		message != NULL && message[0] != '\0' ? message : hw_code_meaning(code));
	conn_wake(r->owner->conn);
}

static void
on_route_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct route *r = arg;
	const char *why = close != NULL && close->message != NULL && close->message[0] != '\0'
		? close->message
		: hw_code_meaning(code != 0 ? code : HW_ECLOSED);

	(void)ch;
	if (!r->live) {
		on_route_reject(r, NULL, code != 0 ? code : HW_EUNAVAILABLE, why);
		return;
	}
	r->ch = NULL;
	r->live = false;
	if (r->watch != NULL)
		loop_fd_want(r->watch, 0);
	r->owner->events->on_end(r->owner->arg, &r->spec, code != 0 ? code : HW_ECLOSED, why);
}

static const struct channel_events route_channel_events = {
	.on_accept = on_route_accept,
	.on_reject = on_route_reject,
	.on_close = on_route_close,
};

/* The node itself is asked for as such: that is another permission. */
static bool
is_node(const struct forward_spec *s)
{
	return s->host.kind != HOST_IS_SOCKET && s->host.traits == HOST_LOCAL &&
		(strcmp(s->host.text, "localhost") == 0 || strcmp(s->host.text, "127.0.0.1") == 0);
}

static int
start_session(const struct msg_start_session_reply **ret, const struct route *r, const char *node,
	const char *reason, struct arena *a, struct hw_err *err)
{
	const struct forward_spec *s = &r->spec;
	const char *port = arena_printf(a, "%d", s->port), *host = s->host.text;
	struct msg_pair parameters[] = {
		{.key = "portNumber", .values = {.v = &port, .n = 1}},
		{.key = "host",	.values = {.v = &host, .n = 1}},
	};
	struct msg_start_session_request req = {
		.target = node,
		.reason = reason,
		.document_name = "AWS-StartPortForwardingSessionToRemoteHost",
		.parameters = {.v = parameters, .n = 2}
	       };

	if (port == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if (s->kind == FORWARD_SOCKS) {
		req.document_name = "Hawser-StartSocksSession";
		req.parameters.n = 0;
	} else if (is_node(s)) {
		req.document_name = "AWS-StartPortForwardingSession";
		req.parameters.n = 1;
	} else if (s->host.kind == HOST_IS_SOCKET) {
		req.parameters.v = &parameters[1];
		req.parameters.n = 1;
	}
	return conn_call(ret, r->owner->conn, OP_start_session, &req, a, err);
}

static int
open_session(struct route *r, const struct msg_start_session_reply *ticket, struct hw_err *err)
{
	struct conn *c = r->owner->conn;
	const struct msg_open open = {
		.type = CHANNEL_TYPE_FORWARD,
		.session_id = ticket->session_id,
		.token = ticket->token_value,
	};
	int e;

	r->session_id = ticket->session_id;
	if (conn_link(c) == NULL)
		return hw_err_set(err, HW_EUNAVAILABLE, "the link to the relay was lost");
	if ((e = channel_open(&r->ch, conn_link(c), &open, &route_channel_events, r, err)) < 0)
		return e;
	if (!conn_wait(c, &r->answered, conn_timeout(c)))
		return hw_err_set(err, HW_ETIMEOUT, "the node did not answer %s in time",
			r->session_id);
	return r->live ? 0 : hw_err_set(err, r->refusal.code, "%s", r->refusal.text);
}

static void
begin_stdio(struct route *r)
{
	struct flow *w = flow_new(r, -1, "stdio");

	if (w != NULL)
		begin_plain(w, STDIN_FILENO, STDOUT_FILENO);
	else
		r->owner->events->on_failed(r->owner->arg, &r->spec, "stdio", HW_ENOMEM,
			"out of memory");
}

int
forwarder_start(struct forwarder *f, const char *node, const char *reason, struct arena *a,
	struct hw_err *err)
{
	const struct msg_start_session_reply *ticket;
	struct route *r;
	int e;

	LIST_FOREACH(r, &f->routes, entry)
		if ((e = start_session(&ticket, r, node, reason, a, err)) < 0 ||
			(e = open_session(r, ticket, err)) < 0) {
			char far[FORWARD_SHOWN_MAX];
			forward_spec_far(far, &r->spec);
			hw_err_prefix(err, "%s", far);
			return e;
		}
	LIST_FOREACH(r, &f->routes, entry)
		if (r->watch != NULL)
			loop_fd_want(r->watch, LOOP_READ);
		else
			begin_stdio(r);
	return 0;
}

struct forwarder_count
forwarder_count(const struct forwarder *f)
{
	struct forwarder_count n = f->count;
	const struct flow *w;

	LIST_FOREACH(w, &f->flows, entry) {
		n.in += w->in + (w->tube != NULL ? tube_bytes_read(w->tube) : 0);
		n.out += w->out + (w->tube != NULL ? tube_bytes_written(w->tube) : 0);
	}
	return n;
}

/* --- life ------------------------------------------------------------------------------------- */

int
forwarder_new(struct forwarder **ret, struct conn *c, const struct forwarder_events *events,
	void *arg, struct hw_err *err)
{
	struct forwarder *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	f->conn = c;
	f->loop = conn_loop(c);
	f->events = events;
	f->arg = arg;
	LIST_INIT(&f->routes);
	LIST_INIT(&f->flows);
	*ret = f;
	return 0;
}

void
forwarder_free(struct forwarder *f)
{
	static const struct msg_close quit = {
		.code = "SessionTerminated", .message = "its user ended it"};
	struct route *r;
	struct flow *w;
	bool told = false;

	if (f == NULL)
		return;
	while ((w = LIST_FIRST(&f->flows)) != NULL) {
		if (w->ch != NULL)
			channel_abort(w->ch, HW_ECLOSED, "its user ended the forward");
		w->ch = NULL;
		end_flow(w, true);
	}
	while ((r = LIST_FIRST(&f->routes)) != NULL) {
		if (r->ch != NULL)
			channel_close(r->ch, &quit);
		told = told || r->ch != NULL;
		free_route(r);
	}
	if (told)
		conn_flush(f->conn); /* or the relay would see but a lost link */
	free(f);
}
