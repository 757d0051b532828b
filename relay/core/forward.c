#include "relay/core/forward.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/list.h"
#include "proto/wire/codec.h"
#include "relay/core/arn.h"
#include "relay/core/authorise.h"
#include "relay/core/destination.h"
#include "relay/core/fit.h"
#include "relay/core/session_private.h"

#define DETAIL_MAX 2048

struct connection {
	struct session *session;
	struct destination to;
	struct channel *to_user, *to_node;
	struct lane in, out;
	size_t held; /* by the lanes, as the broker counts it */
	uint64_t bytes_in, bytes_out;
	int64_t start;
	bool live;     /* the node has reached it */
	bool local;    /* that is the node itself */
	bool draining; /* it is over; its user still gets what is on the way */
	bool over;
	char reached[HOST_SHOWN_MAX]; /* by the node's word */
	struct loop_task reap;
	LIST_ENTRY(connection) entry;
};

/* Ends that share one entry. */
struct fold {
	int64_t count, bytes_in, bytes_out;
	bool denied;
};

struct forward {
	struct session *session;
	struct reach reach; /* of a destination that the session names */
	LIST_HEAD(, connection) connections;
	int count;
	int entries; /* since the last sweep */
	struct fold fold;
};

/* --- what is written down --------------------------------------------------------------------- */

static int
outcome_of(int code)
{
	bool denied = code == HW_EDENIED || code == HW_ELOCAL || code == HW_EREVOKED;

	return code == 0 ? OUTCOME_OK : denied ? OUTCOME_DENIED : OUTCOME_FAILED;
}

static void
write_entry(struct session *s, int outcome, const char *why, const struct msg_connection_end *what)
{
	char node[ARN_MAX], reason[512];
	struct buf detail;
	struct msg_ledger_entry e = {
		.action = "ssm:StartSession",
		.resource = node,
		.session_id = s->id,
		.outcome = outcome,
		.reason = reason,
		.size = what->bytes_in + what->bytes_out,
	};

	buf_init(&detail, DETAIL_MAX);
	arn_write_node(node, s->broker->config, s->row->node_id);
	fit_text(reason, sizeof(reason), why);
	if (msg_to_json(&detail, MSG_ROW(connection_end), what, 0) == 0)
		e.detail = buf_str(&detail);
	broker_note(s->broker, ENTRY_CONNECTION_END, s->user, &e, NULL);
	buf_fini(&detail);
}

static void
write_fold(struct forward *f)
{
	struct fold *fold = &f->fold;
	char why[160];
	const struct msg_connection_end what = {
		.connections = fold->count,
		.bytes_in = fold->bytes_in,
		.bytes_out = fold->bytes_out,
	};

	if (fold->count == 0)
		return;
	snprintf(why, sizeof(why),
		"%" PRId64
		" connections ended beyond the first %d within a second, and share this entry",
		fold->count, FORWARD_ENTRIES_MAX);
	write_entry(f->session, fold->denied ? OUTCOME_DENIED : OUTCOME_OK, why, &what);
	*fold = (struct fold){.count = 0};
}

/* One entry each, up to a number a second. */
static void
note_end(struct forward *f, const struct msg_connection_end *what, int code, const char *why)
{
	int outcome = outcome_of(code);

	if (++f->entries <= FORWARD_ENTRIES_MAX) {
		write_entry(f->session, outcome, why, what);
		return;
	}
	f->fold.count++;
	f->fold.bytes_in += what->bytes_in;
	f->fold.bytes_out += what->bytes_out;
	f->fold.denied = f->fold.denied || outcome == OUTCOME_DENIED;
}

static int64_t
wall(const struct session *s)
{
	return clock_wall(loop_clock(s->broker->loop));
}

static void
note_connection(struct connection *c, int code, const char *why)
{
	const struct msg_connection_end what = {
		.remote_host = c->to.host.text,
		.remote_port = c->to.port,
		.remote_address = c->reached,
		.start_date = c->start,
		.bytes_in = (int64_t)c->bytes_in,
		.bytes_out = (int64_t)c->bytes_out,
	};

	note_end(c->session->forward, &what, code, why);
}

/* --- the end of a connection ------------------------------------------------------------------ */

static void
reap(void *arg)
{
	struct connection *c = arg;

	lane_fini(&c->in);
	lane_fini(&c->out);
	free(c);
}

static void
count_held(struct connection *c, size_t now)
{
	c->session->broker->forward_held += now - c->held;
	c->held = now;
}

static void
tell_channels(struct connection *c, int code, const char *why)
{
	static const struct msg_close well = {.code = NULL};
	int how = code != 0 ? code : HW_ECLOSED;

	if (c->to_node != NULL)
		channel_abort(c->to_node, how, why);
	if (c->to_user != NULL && !c->live)
		channel_reject(c->to_user, how, why);
	else if (c->to_user != NULL && code == 0)
		channel_close(c->to_user, &well);
	else if (c->to_user != NULL)
		channel_abort(c->to_user, how, why);
	c->to_node = c->to_user = NULL;
}

/* Once it returns the connection is no more. */
static void
conclude(struct connection *c, int code, const char *why)
{
	struct session *s = c->session;

	if (c->over)
		return;
	c->over = true;
	tell_channels(c, code, why);
	note_connection(c, code, why);
	count_held(c, 0);
	LIST_REMOVE(c, entry);
	s->forward->count--;
	c->reap = (struct loop_task){.fn = reap, .arg = c};
	loop_defer(s->broker->loop, &c->reap);
}

/* --- bytes on their way ----------------------------------------------------------------------- */

static uint64_t
smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Mostly nothing is held. Where links are so full that much is, who does not read loses. */
static void
put(struct connection *c, struct lane *lane, struct channel *to, const uint8_t *p, size_t n)
{
	size_t moved;
	int r = lane_put(lane, to, p, n, 0, &moved);

	count_held(c, c->in.hold.len + c->out.hold.len);
	if (r == 0 && moved < n &&
		c->session->broker->forward_held > c->session->broker->limits.all)
		r = HW_ELIMIT;
	if (r < 0)
		conclude(c, r, "the relay has no room for more of what is not read");
}

static void
pump(struct connection *c, struct lane *lane, struct channel *to)
{
	if (to == NULL)
		return;
	lane_pump(lane, to);
	count_held(c, c->in.hold.len + c->out.hold.len);
	if (c->draining && c->out.hold.len == 0)
		conclude(c, 0, "ended");
}

static void
on_user_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct connection *c = arg;

	(void)ch, (void)offset;
	if (stream != STREAM_IN || c->to_node == NULL)
		return;
	c->bytes_in += n;
	c->session->bytes_in += n;
	put(c, &c->in, c->to_node, p, n);
}

static void
on_user_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct connection *c = arg;

	(void)ch, (void)offset;
	if (stream != STREAM_IN)
		return;
	c->in.ends = true;
	pump(c, &c->in, c->to_node);
}

static void
on_user_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit,
	int echo)
{
	struct connection *c = arg;

	(void)ch, (void)echo;
	if (stream != STREAM_OUT)
		return;
	if (c->to_node != NULL)
		channel_credit(c->to_node, stream, consumed,
			smaller(limit, consumed + SESSION_WINDOW), ECHO_UNKNOWN);
	pump(c, &c->out, c->to_user);
}

static void
on_user_drained(void *arg, struct channel *ch, int stream)
{
	struct connection *c = arg;

	(void)ch;
	if (stream == STREAM_OUT)
		pump(c, &c->out, c->to_user);
}

static void
on_user_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct connection *c = arg;
	const char *why = close->message != NULL && close->message[0] != '\0'
		? close->message
		: "closed by its user";

	(void)ch;
	c->to_user = NULL;
	if (code == HW_EUNAVAILABLE)
		why = "the user's link was lost";
	conclude(c, code != 0 ? code : HW_ECLOSED, why);
}

static void
on_node_accept(void *arg, struct channel *ch, const struct msg_accept *a)
{
	struct connection *c = arg;
	struct msg_accept accept = {
		.window = a->window < SESSION_WINDOW ? a->window : SESSION_WINDOW,
		.remote_address = c->reached,
		.node_local = a->node_local,
	};

	(void)ch;
	fit_text(c->reached, sizeof(c->reached), a->remote_address);
	c->live = true;
	c->local = a->node_local;
	channel_accept(c->to_user, &accept);
	pump(c, &c->in, c->to_node);
}

static void
on_node_reject(void *arg, struct channel *ch, int code, const char *message)
{
	struct connection *c = arg;

	(void)ch;
	c->to_node = NULL;
	conclude(c, code, message);
}

static void
on_node_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct connection *c = arg;

	(void)ch, (void)offset;
	if (stream != STREAM_OUT || c->to_user == NULL)
		return;
	c->bytes_out += n;
	c->session->bytes_out += n;
	put(c, &c->out, c->to_user, p, n);
}

static void
on_node_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct connection *c = arg;

	(void)ch, (void)offset;
	if (stream != STREAM_OUT)
		return;
	c->out.ends = true;
	pump(c, &c->out, c->to_user);
}

static void
on_node_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit,
	int echo)
{
	struct connection *c = arg;

	(void)ch, (void)echo;
	if (stream != STREAM_IN)
		return;
	if (c->to_user != NULL)
		channel_credit(c->to_user, stream, consumed,
			smaller(limit, consumed + SESSION_WINDOW), ECHO_UNKNOWN);
	pump(c, &c->in, c->to_node);
}

static void
on_node_drained(void *arg, struct channel *ch, int stream)
{
	struct connection *c = arg;

	(void)ch;
	if (stream == STREAM_IN)
		pump(c, &c->in, c->to_node);
}

/* In order: what came before is still the user's. */
static void
on_node_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct connection *c = arg;
	bool lost = code == HW_EUNAVAILABLE || !c->live;

	(void)ch;
	c->to_node = NULL;
	if (lost)
		conclude(c, HW_EUNAVAILABLE, "the node's link was lost");
	else if (code != 0)
		conclude(c, code,
			close->message != NULL && close->message[0] != '\0'
				? close->message
				: hw_code_meaning(code));
	else {
		c->draining = true;
		pump(c, &c->out, c->to_user);
	}
}

static const struct channel_events user_channel_events = {
	.on_data = on_user_data,
	.on_end = on_user_end,
	.on_credit = on_user_credit,
	.on_drained = on_user_drained,
	.on_close = on_user_close,
};

static const struct channel_events node_channel_events = {
	.on_accept = on_node_accept,
	.on_reject = on_node_reject,
	.on_data = on_node_data,
	.on_end = on_node_end,
	.on_credit = on_node_credit,
	.on_drained = on_node_drained,
	.on_close = on_node_close,
};

/* --- a new connection ------------------------------------------------------------------------- */

static struct session *
find_forward(struct broker *b, const struct peer *user, const char *id)
{
	struct session *s;

	HASH_FIND_STR(b->sessions, id, s);
	return s != NULL && s->user == user && s->forward != NULL && s->state == SESSION_LIVE
		? s
		: NULL;
}

static int
check_room(const struct session *s, struct hw_err *err)
{
	if (s->broker->frozen)
		return hw_err_set(err, HW_ERECORD,
			"what is done cannot be recorded now, so nothing is");
	if (s->forward->count >= FORWARD_CONNECTIONS_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"the forward has %d connections, and no more are allowed",
			FORWARD_CONNECTIONS_MAX);
	if (link_channels(s->node->link) >= FORWARD_CHANNELS_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"the node's link carries %d channels: no more connections are allowed",
			FORWARD_CHANNELS_MAX);
	if (s->broker->limits.queued >= s->broker->limits.all / 2)
		return hw_err_set(err, HW_EFULL, "the relay's queues are full: try again");
	return 0;
}

static int
note_denied(struct session *s, const struct destination *to, const char *why, struct hw_err *err)
{
	char shown[DESTINATION_MAX];
	const struct msg_connection_end what = {
		.remote_host = to->host.text, .remote_port = to->port, .start_date = wall(s)};

	note_end(s->forward, &what, HW_EDENIED, why);
	destination_write(shown, to);
	return hw_err_set(err, HW_EDENIED, "%s may not reach %s by way of %s", s->user->who.id,
		shown, s->row->node_name);
}

static int
decide(struct reach *reach, struct session *s, const struct destination *to, struct hw_err *err)
{
	char resource[512];
	struct verdict v;

	int r = session_authorise_to(&v, resource, s, to);
	if (r == 0 && !v.allow)
		return note_denied(s, to, v.why, err);
	if (r == 0)
		r = session_reach(reach, s, to);
	return r < 0 ? hw_err_set(err, r, "no memory to decide on the connection") : 0;
}

/* Where to, and whether that may be. */
static int
choose(struct destination *to, struct reach *reach, struct session *s, const struct msg_open *open,
	struct hw_err *err)
{
	bool named = open->remote_host != NULL && open->remote_host[0] != '\0';
	int r;

	if (!destination_is_empty(&s->to)) {
		if (named || open->remote_port != 0)
			return hw_err_set(err, HW_EVALIDATION,
				"RemoteHost: it is the session that says where to");
		*to = s->to;
		*reach = s->forward->reach;
		return 0;
	}
	if ((r = destination_set(to, named ? open->remote_host : "", open->remote_port, err)) < 0)
		return r;
	return decide(reach, s, to, err);
}

static int
ask_node(struct connection *c, const struct reach *reach, const struct msg_open *asked,
	struct hw_err *err)
{
	struct session *s = c->session;
	struct msg_open open = {
		.type = CHANNEL_TYPE_CONNECTION,
		.session_id = s->id,
		.remote_host = c->to.host.text,
		.remote_port = c->to.port,
		.node_local = reach->local,
		.beyond = reach->beyond,
		.named = reach->named,
		.window = asked->window < SESSION_WINDOW ? asked->window : SESSION_WINDOW,
	};

	return channel_open(&c->to_node, s->node->link, &open, &node_channel_events, c, err);
}

static int
open_connection(struct session *s, struct channel *ch, const struct msg_open *open,
	struct hw_err *err)
{
	struct destination to;
	struct reach reach;
	int r;

	if ((r = check_room(s, err)) < 0 || (r = choose(&to, &reach, s, open, err)) < 0)
		return r;
	struct connection *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a connection");
	c->session = s;
	c->to = to;
	c->start = wall(s);
	lane_init(&c->in, STREAM_IN);
	lane_init(&c->out, STREAM_OUT);
	if ((r = ask_node(c, &reach, open, err)) < 0) {
		reap(c);
		return r;
	}
	c->to_user = ch;
	channel_attach(ch, &user_channel_events, c);
	LIST_INSERT_HEAD(&s->forward->connections, c, entry);
	s->forward->count++;
	return 0;
}

void
forward_connect(struct broker *b, struct peer *user, struct channel *ch,
	const struct msg_open *open)
{
	struct session *s = find_forward(b, user, open->session_id);
	struct hw_err err = HW_ERR_INIT;
	int r = s != NULL
		? open_connection(s, ch, open, &err)
		: hw_err_set(&err, HW_ENOSESSION, "no live forward of this link has that id");

	if (r < 0)
		channel_reject(ch, r, hw_err_text(&err));
}

/* --- the forward ------------------------------------------------------------------------------ */

struct forward *
forward_new(struct session *s)
{
	struct forward *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->session = s;
	LIST_INIT(&f->connections);
	if (!destination_is_empty(&s->to) && session_reach(&f->reach, s, &s->to) < 0) {
		free(f);
		return NULL;
	}
	return f;
}

void
forward_end(struct forward *f, int code, const char *why)
{
	struct connection *c;

	if (f == NULL)
		return;
	while ((c = LIST_FIRST(&f->connections)) != NULL)
		conclude(c, code != 0 ? code : HW_ECLOSED, why);
	write_fold(f);
	f->session->forward = NULL;
	free(f);
}

static bool
still_allowed(struct connection *c, const struct reach *fixed)
{
	struct session *s = c->session;
	struct reach reach = *fixed;
	char resource[512];
	struct verdict v;

	if (destination_is_empty(&s->to) &&
		(session_authorise_to(&v, resource, s, &c->to) < 0 || !v.allow ||
			session_reach(&reach, s, &c->to) < 0))
		return false;
	return reach.local || !c->local;
}

void
forward_decide(struct forward *f)
{
	struct connection *c, *next;
	struct session *s = f->session;

	if (!destination_is_empty(&s->to) && session_reach(&f->reach, s, &s->to) < 0)
		f->reach = (struct reach){.local = false};
	for (c = LIST_FIRST(&f->connections); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		if (!still_allowed(c, &f->reach))
			conclude(c, HW_EREVOKED, "its user may not reach it any more");
	}
}

void
forward_sweep(struct forward *f)
{
	write_fold(f);
	f->entries = 0;
}
