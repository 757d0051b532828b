#include "relay/core/forward.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "relay/core/arn.h"
#include "relay/core/authorise.h"
#include "relay/core/destination.h"
#include "relay/core/fit.h"
#include "relay/core/forward_private.h"

#define DETAIL_MAX 2048

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
	broker_note_user(s->broker, ENTRY_CONNECTION_END, s->owner.name, s->owner.source, &e, NULL);
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
void
forward_note(struct forward *f, const struct msg_connection_end *what, int code, const char *why)
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
	if (s->node == NULL || s->to_node == NULL)
		return hw_err_set(err, HW_EUNAVAILABLE, "the node's link was lost: try again");
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
	const struct msg_connection_end what = {.remote_host = to->host.text,
		.remote_port = to->port,
		.start_date = clock_wall(loop_clock(s->broker->loop))};

	forward_note(s->forward, &what, HW_EDENIED, why);
	destination_write(shown, to);
	return hw_err_set(err, HW_EDENIED, "%s may not reach %s by way of %s", s->owner.name, shown,
		s->row->node_name);
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
		.connection = c->number,
		.remote_host = c->to.host.text,
		.remote_port = c->to.port,
		.node_local = reach->local,
		.beyond = reach->beyond,
		.named = reach->named,
		.window = (uint64_t)asked->window < c->first ? asked->window : (int64_t)c->first,
	};

	return channel_open(&c->to_node, s->node->link, &open, &connection_node_events, c, err);
}

/* By its number the node finds it again: what was decided of one must never reach another. */
static int
take_number(struct forward *f, int64_t number, struct hw_err *err)
{
	if (number == 0)
		return 0;
	if (number <= f->newest)
		return hw_err_set(err, HW_EVALIDATION,
			"Connection: %" PRId64 " comes after %" PRIu32, number, f->newest);
	f->newest = (uint32_t)number;
	return 0;
}

static int
open_connection(struct session *s, struct channel *ch, const struct msg_open *open,
	struct hw_err *err)
{
	struct destination to;
	struct reach reach;
	int r;

	if ((r = check_room(s, err)) < 0 || (r = choose(&to, &reach, s, open, err)) < 0 ||
		(r = take_number(s->forward, open->connection, err)) < 0)
		return r;
	struct connection *c = connection_new(s, &to, (uint32_t)open->connection, ch);
	if (c == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a connection");
	if ((r = ask_node(c, &reach, open, err)) < 0) {
		connection_drop(c);
		return r;
	}
	connection_open_ways(c);
	channel_attach(ch, &connection_user_events, c);
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

static struct connection *
find_connection(struct forward *f, int64_t number)
{
	struct connection *c;

	LIST_FOREACH(c, &f->connections, entry)
		if (c->number == number && number != 0)
			return c;
	return NULL;
}

/* The process before this one had it: its node knows where it goes. */
static struct connection *
restore_connection(struct session *s, uint32_t number)
{
	static const struct destination nowhere;
	struct hw_err err = HW_ERR_INIT;

	if (s->node != NULL && s->to_node != NULL && check_room(s, &err) < 0)
		return NULL;
	struct connection *c = s->forward->count < FORWARD_CONNECTIONS_MAX
		? connection_new(s, &nowhere, number, NULL)
		: NULL;
	if (c != NULL)
		c->live = c->restored = true;
	return c;
}

void
forward_resume(struct broker *b, struct peer *user, struct channel *ch,
	const struct msg_resume *resume)
{
	struct session *s = find_forward(b, user, resume->session_id);
	struct connection *c = s != NULL ? find_connection(s->forward, resume->connection) : NULL;

	if (c == NULL && s != NULL && s->restored != 0 && resume->connection != 0)
		c = restore_connection(s, (uint32_t)resume->connection);
	if (c != NULL && c->live)
		connection_resume(c, ch);
	else
		channel_reject(ch, HW_ENOSESSION, "no connection of that number can be resumed");
}

int
forward_admit(struct connection *c, const struct msg_resume *answer, struct hw_err *err)
{
	struct session *s = c->session;
	struct reach reach = s->forward->reach;
	struct destination to;
	int r = destination_set(&to, answer->remote_host != NULL ? answer->remote_host : "",
		answer->remote_port, err);

	if (r < 0)
		return r;
	if (!destination_is_empty(&s->to))
		to = s->to;
	else if ((r = decide(&reach, s, &to, err)) < 0)
		return r;
	if (answer->node_local && !reach.local)
		return hw_err_set(err, HW_EDENIED, "its user may not reach the node itself");
	c->to = to;
	c->local = answer->node_local;
	c->restored = false;
	fit_text(c->reached, sizeof(c->reached), answer->remote_address);
	return 0;
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
		connection_end(c, code != 0 ? code : HW_ECLOSED, why);
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
			connection_end(c, HW_EREVOKED, "its user may not reach it any more");
	}
}

void
forward_abandon(struct forward *f)
{
	struct connection *c;

	if (f == NULL)
		return;
	while ((c = LIST_FIRST(&f->connections)) != NULL)
		connection_abandon(c);
	write_fold(f);
	f->session->forward = NULL;
	free(f);
}

void
forward_lose_user(struct forward *f)
{
	struct connection *c, *next;

	for (c = f != NULL ? LIST_FIRST(&f->connections) : NULL; c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		connection_lose_user(c);
	}
}

void
forward_lose_node(struct forward *f)
{
	struct connection *c, *next;

	for (c = f != NULL ? LIST_FIRST(&f->connections) : NULL; c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		connection_lose_node(c);
	}
}

void
forward_join(struct forward *f)
{
	struct connection *c, *next;

	for (c = f != NULL ? LIST_FIRST(&f->connections) : NULL; c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		connection_join(c);
	}
}

void
forward_sweep(struct forward *f)
{
	struct connection *c, *next;

	write_fold(f);
	f->entries = 0;
	for (c = LIST_FIRST(&f->connections); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		connection_sweep(c);
	}
}
