#include "client/forward.h"

#include <sys/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/forward_private.h"
#include "client/listener.h"
#include "proto/base/descriptors.h"
#include "proto/base/file.h"
#include "proto/base/id.h"
#include "proto/schema/schema.h"
#include "proto/wire/channel.h"

#define ACCEPTS_MAX   64		    /* in one turn */
#define PAUSE	      (100 * USEC_PER_MSEC) /* without descriptors for more */
#define OPENS_AT_ONCE 3500		    /* below what a link carries */

/* Where they are interrupted again and again, which what lasted for a while was not. */
#define RESUME_EVERY (5 * USEC_PER_SEC)
#define STEADY	     (5 * USEC_PER_SEC)

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
	flow_accept(r, fd, peer);
}

bool
route_is_there(const struct route *r)
{
	return r->live && !r->parked && !r->waiting && conn_link(r->owner->conn) != NULL;
}

/* What connects while a link is lost waits in the listener's backlog. */
static void
watch_route(struct route *r)
{
	bool listens = route_is_there(r);

	if (!listens)
		loop_timer_stop(r->owner->loop, &r->again);
	if (r->watch != NULL)
		loop_fd_want(r->watch, listens ? LOOP_READ : 0);
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
	watch_route(arg);
}

static void
on_listener(void *arg, int what)
{
	struct route *r = arg;
	struct sockaddr_storage from;

	(void)what;
	for (int i = 0; i < ACCEPTS_MAX && route_is_there(r); i++) {
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

static void
free_route(struct route *r)
{
	LIST_REMOVE(r, entry);
	loop_timer_stop(r->owner->loop, &r->again);
	loop_fd_free(r->watch);
	fd_close(r->fd);
	if (r->made_file)
		unlink(r->spec.bind);
	if (r->token != NULL)
		explicit_bzero(r->token, strlen(r->token));
	free(r->token);
	free(r);
}

static int
listen_route(struct route *r, struct hw_err *err)
{
	int e = listener_open(&r->fd, &r->spec, err);

	if (e < 0)
		return e;
	r->made_file = r->spec.bind_is_path;
	if (loop_fd_new(&r->watch, r->owner->loop, r->fd, on_listener, r) < 0)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	return 0;
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
	if (spec->kind != FORWARD_STDIO)
		e = listen_route(r, err);
	if (e < 0)
		free_route(r);
	else
		*spec = r->spec;
	return e;
}

/* --- links that are lost -----------------------------------------------------------------------
 */

static void
forwarder_waits(struct forwarder *f, int code, const char *why)
{
	struct route *r;

	LIST_FOREACH(r, &f->routes, entry)
		watch_route(r);
	if (f->waiting == code)
		return;
	f->waiting = code;
	f->events->on_waiting(f->arg, code, why);
}

static void
check_back(struct forwarder *f)
{
	const struct route *r;

	if (f->waiting == 0)
		return;
	LIST_FOREACH(r, &f->routes, entry)
		if (r->parked || r->waiting)
			return;
	f->waiting = 0;
	f->events->on_back(f->arg);
}

/* With its connections. */
static void
end_route(struct route *r, int code, const char *why)
{
	struct forwarder *f = r->owner;
	struct channel *ch = r->ch;
	struct flow *w, *next;

	r->ch = NULL;
	r->live = r->parked = r->waiting = false;
	if (ch != NULL)
		channel_abort(ch, code, why);
	watch_route(r);
	for (w = LIST_FIRST(&f->flows); w != NULL; w = next) {
		next = LIST_NEXT(w, entry);
		if (w->route == r)
			flow_abort(w, code, why);
	}
	f->events->on_end(f->arg, &r->spec, code, why);
}

static int
take_up(struct route *r, struct hw_err *err)
{
	struct conn *c = r->owner->conn;
	const struct msg_resume who = {
		.type = CHANNEL_TYPE_FORWARD, .session_id = r->session_id, .token = r->token};
	int e;

	if (!r->parked || conn_link(c) == NULL)
		return 0;
	if ((e = channel_resume(r->ch, conn_link(c), &who, err)) < 0)
		return e;
	r->parked = false;
	r->waiting = true;
	return 0;
}

static void
resume_route(struct route *r)
{
	struct hw_err err = HW_ERR_INIT;
	int e = take_up(r, &err);

	if (e < 0 && e != HW_EUNAVAILABLE) /* that link has gone: the next one will do */
		end_route(r, e, hw_err_text(&err));
}

static void
flows_go_on(struct forwarder *f)
{
	struct flow *w, *next;

	for (w = LIST_FIRST(&f->flows); w != NULL; w = next) {
		next = LIST_NEXT(w, entry);
		flow_go_on(w);
	}
}

static void
resume_all(struct forwarder *f)
{
	struct route *r;

	LIST_FOREACH(r, &f->routes, entry)
		resume_route(r);
	flows_go_on(f);
}

static void
on_resume_again(void *arg)
{
	struct forwarder *f = arg;

	f->resumes = false;
	resume_all(f);
}

void
forwarder_resume_soon(struct forwarder *f)
{
	int64_t now = clock_mono(loop_clock(f->loop)), delay = 0;

	if (f->resumes)
		return;
	if (now < f->steady_at)
		delay = backoff_below(&f->backoff, RESUME_EVERY, random_u64());
	else
		backoff_reset(&f->backoff);
	f->steady_at = now + STEADY;
	f->resumes = true;
	loop_timer_start(f->loop, &f->again, delay);
}

static void
on_lost(void *arg, const char *why)
{
	struct forwarder *f = arg;

	loop_timer_stop(f->loop, &f->again);
	f->resumes = false;
	forwarder_waits(f, HW_EUNAVAILABLE, why);
}

/* From now on it is the relay that waits, for the node. */
static void
on_back(void *arg)
{
	struct forwarder *f = arg;

	resume_all(f);
	forwarder_waits(f, HW_EINTERRUPTED, "the node has not taken the forward up yet");
	check_back(f);
}

static void
on_gone(void *arg, int code, const char *why)
{
	struct forwarder *f = arg;
	struct route *r;

	LIST_FOREACH(r, &f->routes, entry)
		if (r->live)
			end_route(r, code, why);
}

static const struct conn_watch_events watch_events = {
	.on_lost = on_lost,
	.on_back = on_back,
	.on_gone = on_gone,
};

/* --- sessions --------------------------------------------------------------------------------- */

static void
keep(struct route *r, const struct msg_accept *accept)
{
	struct forwarder *f = r->owner;
	int64_t within = accept->resume_seconds * USEC_PER_SEC;

	if (within == 0 || accept->token == NULL || (r->token = strdup(accept->token)) == NULL)
		return;
	if (within > f->watch.within)
		f->watch.within = within;
	conn_keep(f->conn, &f->watch);
}

static void
on_route_accept(void *arg, struct channel *ch, const struct msg_accept *accept)
{
	struct route *r = arg;

	(void)ch;
	keep(r, accept);
	r->answered = r->live = true;
	conn_wake(r->owner->conn);
}

static void
on_route_reject(void *arg, struct channel *ch, int code, const char *message)
{
	struct route *r = arg;
	const char *why = message != NULL && message[0] != '\0' ? message : hw_code_meaning(code);

	(void)ch;
	r->ch = NULL;
	if (r->live) { /* RESUME was refused */
		end_route(r, code, why);
		return;
	}
	r->answered = true;
	hw_err_set(&r->refusal, code, "%s", why);
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
	r->ch = NULL;
	if (r->live)
		end_route(r, code != 0 ? code : HW_ECLOSED, why);
	else
		on_route_reject(r, NULL, code != 0 ? code : HW_EUNAVAILABLE, why);
}

static void
on_route_park(void *arg, struct channel *ch, int code, const char *why)
{
	struct route *r = arg;

	(void)ch;
	r->parked = true;
	r->waiting = false;
	if (r->token == NULL) {
		end_route(r, code, why);
	} else if (code == HW_EINTERRUPTED) { /* else on_lost follows, or on_gone */
		forwarder_resume_soon(r->owner);
		forwarder_waits(r->owner, code, why);
	}
}

static void
on_route_resume(void *arg, struct channel *ch, const struct msg_resume *answer)
{
	struct route *r = arg;
	struct forwarder *f = r->owner;

	(void)ch;
	if (answer->resume_seconds > 0)
		f->watch.within = answer->resume_seconds * USEC_PER_SEC;
	r->waiting = false;
	f->steady_at = clock_mono(loop_clock(f->loop)) + STEADY;
	watch_route(r);
	flows_go_on(f);
	check_back(f);
}

static void
on_route_control(void *arg, struct channel *ch, const struct msg_control *control)
{
	const struct route *r = arg;
	const struct forwarder *f = r->owner;

	(void)ch;
	if (control->type == CONTROL_NOTICE && control->text != NULL &&
		f->events->on_notice != NULL)
		f->events->on_notice(f->arg, &r->spec, control->text);
}

static const struct channel_events route_channel_events = {
	.on_accept = on_route_accept,
	.on_reject = on_route_reject,
	.on_close = on_route_close,
	.on_park = on_route_park,
	.on_resume = on_route_resume,
	.on_control = on_route_control,
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
	channel_keep(r->ch);
	if (!conn_wait(c, &r->answered, conn_timeout(c)))
		return hw_err_set(err, HW_ETIMEOUT, "the node did not answer %s in time",
			r->session_id);
	return r->live ? 0 : hw_err_set(err, r->refusal.code, "%s", r->refusal.text);
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
			watch_route(r);
		else
			flow_stdio(r);
	return 0;
}

struct forwarder_count
forwarder_count(const struct forwarder *f)
{
	struct forwarder_count n = f->count;
	const struct flow *w;

	LIST_FOREACH(w, &f->flows, entry) {
		n.in += flow_in(w);
		n.out += flow_out(w);
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
	descriptors_raise();
	f->conn = c;
	f->loop = conn_loop(c);
	f->events = events;
	f->arg = arg;
	f->watch = (struct conn_watch){.events = &watch_events, .arg = f};
	f->again = (struct loop_timer){.fn = on_resume_again, .arg = f};
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
	conn_release(f->conn, &f->watch);
	loop_timer_stop(f->loop, &f->again);
	while ((w = LIST_FIRST(&f->flows)) != NULL)
		flow_abort(w, HW_ECLOSED, "its user ended the forward");
	while ((r = LIST_FIRST(&f->routes)) != NULL) {
		take_up(r, NULL); /* or a relay that is there would wait for us */
		if (r->ch != NULL)
			channel_close(r->ch, &quit);
		told = told || r->ch != NULL;
		free_route(r);
	}
	if (told)
		conn_flush(f->conn); /* or the relay would see but a lost link */
	free(f);
}
