#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/forward_private.h"
#include "proto/base/file.h"
#include "proto/schema/schema.h"
#include "proto/wire/channel.h"

#define SOCKS_WITHIN (10 * USEC_PER_SEC) /* for all of the request */

/* --- its end ---------------------------------------------------------------------------------- */

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

void
flow_abort(struct flow *w, int code, const char *why)
{
	struct channel *ch = w->ch;

	w->ch = NULL;
	if (ch != NULL)
		channel_abort(ch, code, why);
	end_flow(w, true);
}

/* The near end is done; the channel is closed when the far end has taken all that was sent. */
static void
check_delivered(struct flow *w)
{
	static const struct msg_close well = {.code = NULL};
	struct channel *ch = w->ch;

	if (w->tube != NULL || ch == NULL || w->parked ||
		channel_acked(ch, STREAM_IN) != channel_sent(ch, STREAM_IN))
		return;
	w->ch = NULL;
	channel_close(ch, &well);
	end_flow(w, false);
}

/* The near end has failed. One that is parked says so when it can: the far end would wait. */
static void
break_flow(struct flow *w, int code, int error)
{
	struct channel *ch = w->ch;

	if (w->parked && ch != NULL) {
		w->broken = code;
		w->error = error;
		drop_tube(w, true);
		return;
	}
	w->ch = NULL;
	if (ch != NULL)
		channel_abort(ch, code,
			code == HW_ERESET ? "the connection was reset by the client's side"
					  : "the connection failed at the client's side");
	if (code == HW_ERESET)
		end_flow(w, true);
	else
		fail_flow(w, code, code == HW_EIO ? strerror(error) : hw_code_meaning(code));
}

/* --- its channel ------------------------------------------------------------------------------ */

static void
on_tube_over(void *arg, int code, int error)
{
	struct flow *w = arg;

	if (code != 0) {
		break_flow(w, code, error);
		return;
	}
	drop_tube(w, false);
	if (w->ch == NULL)
		end_flow(w, false);
	else
		check_delivered(w);
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
	w->accepted = true;
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

/* Also of RESUME. */
static void
on_reject(void *arg, struct channel *ch, int code, const char *message)
{
	struct flow *w = arg;
	bool socks = w->route->spec.kind == FORWARD_SOCKS && !w->accepted;
	struct forwarder *f = w->route->owner;

	(void)ch;
	w->ch = NULL;
	if (message == NULL || message[0] == '\0')
		message = hw_code_meaning(code);
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
	if (stream != STREAM_IN)
		return;
	if (w->tube != NULL)
		tube_room(w->tube);
	else
		check_delivered(w);
}

static void
on_drained(void *arg, struct channel *ch, int stream)
{
	struct flow *w = arg;

	(void)ch;
	if (stream == STREAM_IN && w->tube != NULL)
		tube_room(w->tube);
}

/* A link that was lost before the answer: of a request of SOCKS nothing has gone further yet. */
static bool
may_ask_again(const struct flow *w, int code)
{
	return (code == HW_EUNAVAILABLE || code == HW_EINTERRUPTED) && !w->accepted &&
		w->route->spec.kind == FORWARD_SOCKS && w->route->token != NULL;
}

/* The far end was reset after the near end had said all that it had to say: so do servers that
 * close a TLS connection without reading the client's goodbye. */
static bool
is_late_reset(const struct flow *w, int code)
{
	return code == HW_ERESET && w->route->spec.kind != FORWARD_STDIO &&
		(w->tube != NULL ? tube_read_ended(w->tube) : w->accepted);
}

static void
on_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct flow *w = arg;
	bool words = close != NULL && close->message != NULL && close->message[0] != '\0';

	(void)ch;
	w->ch = NULL;
	if (may_ask_again(w, code))
		w->delayed = true;
	else if (is_late_reset(w, code))
		end_flow(w, true);
	else if (code != 0)
		fail_flow(w, code, words ? close->message : hw_code_meaning(code));
	else if (w->tube != NULL)
		tube_finish(w->tube);
	else
		end_flow(w, false);
}

static void
on_park(void *arg, struct channel *ch, int code, const char *why)
{
	struct flow *w = arg;

	(void)ch;
	w->parked = true;
	if (w->route->token == NULL) {
		flow_abort(w, code, why);
		return;
	}
	if (w->tube != NULL)
		tube_room(w->tube); /* there is none */
	if (code == HW_EINTERRUPTED)
		forwarder_resume_soon(w->route->owner);
}

static void
on_resume(void *arg, struct channel *ch, const struct msg_resume *answer)
{
	struct flow *w = arg;

	(void)ch, (void)answer;
	if (w->broken != 0)
		break_flow(w, w->broken, w->error);
	else if (w->tube != NULL)
		tube_room(w->tube);
	else
		check_delivered(w);
}

static const struct channel_events flow_channel_events = {
	.on_accept = on_accept,
	.on_reject = on_reject,
	.on_data = on_data,
	.on_end = on_end,
	.on_credit = on_credit,
	.on_drained = on_drained,
	.on_close = on_close,
	.on_park = on_park,
	.on_resume = on_resume,
};

/* --- a new one -------------------------------------------------------------------------------- */

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
		.window = WINDOW_FIRST,
		.connection = ++w->route->connections,
	};
	int r;

	if (conn_link(c) == NULL)
		return hw_err_set(err, HW_EUNAVAILABLE, "the link to the relay was lost");
	w->number = w->route->connections;
	r = channel_open(&w->ch, conn_link(c), &open, &flow_channel_events, w, err);
	if (r == 0)
		channel_keep(w->ch);
	return r;
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

	loop_timer_stop(w->route->owner->loop, &w->deadline);
	loop_fd_want(w->watch, 0);
	w->delayed = r == 0 && !route_is_there(w->route);
	if (w->delayed)
		return;
	if (r == 0 && host.kind == HOST_IS_SOCKET)
		r = hw_err_set(&err, HW_EVALIDATION, "SOCKS reaches no Unix sockets");
	if (r == 0)
		r = ask(w, host.text, w->socks.port, &err);
	if (r < 0)
		on_reject(w, NULL, r, hw_err_text(&err));
}

static void
refuse_socks(struct flow *w)
{
	struct forwarder *f = w->route->owner;

	end_flow(w, false);
	f->events->on_failed(f->arg, &w->route->spec, w->peer, HW_EVALIDATION, w->socks.why);
}

/* What comes behind a request stays in the socket: it is the tube's, when there is room for it. */
static void
on_socks(void *arg, int what)
{
	struct flow *w = arg;
	uint8_t bytes[512];
	size_t used = 0;

	(void)what;
	ssize_t n = recv(w->fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end_flow(w, false);
		return;
	}
	while (used < (size_t)n && w->socks.state < SOCKS_CONNECT) {
		used += socks_take(&w->socks, bytes + used, (size_t)n - used);
		say_socks(w);
	}
	if (w->socks.state == SOCKS_REFUSED)
		used = (size_t)n; /* or closing would reset, with the answer still on its way */
	if (recv(w->fd, bytes, used, MSG_DONTWAIT) != (ssize_t)used)
		end_flow(w, true);
	else if (w->socks.state == SOCKS_CONNECT)
		connect_socks(w);
	else if (w->socks.state == SOCKS_REFUSED)
		refuse_socks(w);
}

static void
on_socks_late(void *arg)
{
	fail_flow(arg, HW_ETIMEOUT, "a program connected, and did not ask for anything in time");
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

/* --- for its route ---------------------------------------------------------------------------- */

void
flow_accept(struct route *r, int fd, const char *peer)
{
	struct flow *w = flow_new(r, fd, peer);

	if (w == NULL)
		close(fd);
	else if (r->spec.kind == FORWARD_SOCKS)
		begin_socks(w);
	else
		begin_plain(w, fd, fd);
}

void
flow_stdio(struct route *r)
{
	struct flow *w = flow_new(r, -1, "stdio");

	if (w != NULL)
		begin_plain(w, STDIN_FILENO, STDOUT_FILENO);
	else
		r->owner->events->on_failed(r->owner->arg, &r->spec, "stdio", HW_ENOMEM,
			"out of memory");
}

static void
resume(struct flow *w)
{
	struct conn *c = w->route->owner->conn;
	const struct msg_resume who = {
		.type = CHANNEL_TYPE_CONNECTION,
		.session_id = w->route->session_id,
		.token = w->route->token,
		.connection = w->number,
	};
	struct hw_err err = HW_ERR_INIT;
	int r;

	if (conn_link(c) == NULL)
		return;
	r = channel_resume(w->ch, conn_link(c), &who, &err);
	if (r == 0) {
		w->parked = false;
	} else if (r != HW_EUNAVAILABLE) { /* that link has gone: the next one will do */
		struct channel *ch = w->ch;
		w->ch = NULL;
		channel_abort(ch, r, hw_err_text(&err));
		fail_flow(w, r, hw_err_text(&err));
	}
}

void
flow_go_on(struct flow *w)
{
	if (w->parked)
		resume(w);
	else if (w->delayed && route_is_there(w->route))
		connect_socks(w);
}

uint64_t
flow_in(const struct flow *w)
{
	return w->in + (w->tube != NULL ? tube_bytes_read(w->tube) : 0);
}

uint64_t
flow_out(const struct flow *w)
{
	return w->out + (w->tube != NULL ? tube_bytes_written(w->tube) : 0);
}
