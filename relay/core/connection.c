/* One connection of a forward: spliced, ended, and waited for when a side of it is lost. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/list.h"
#include "relay/core/fit.h"
#include "relay/core/forward_private.h"

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

	forward_note(c->session->forward, &what, code, why);
}

/* --- the end of a connection ------------------------------------------------------------------ */

static void
reap(void *arg)
{
	struct connection *c = arg;

	lane_fini(&c->in.lane);
	lane_fini(&c->out.lane);
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

	if (c->to_node != NULL && code == 0)
		channel_close(c->to_node, &well);
	else if (c->to_node != NULL)
		channel_abort(c->to_node, how, why);
	if (c->offer != NULL)
		channel_reject(c->offer, how, why);
	if (c->to_user != NULL && !c->live)
		channel_reject(c->to_user, how, why);
	else if (c->to_user != NULL && code == 0)
		channel_close(c->to_user, &well);
	else if (c->to_user != NULL)
		channel_abort(c->to_user, how, why);
	c->to_node = c->to_user = c->offer = NULL;
}

static void
close_window(struct way *w)
{
	if (w->pool != NULL)
		window_close(&w->window, w->pool);
	w->pool = NULL;
}

/* Once it returns the connection is no more. */
void
connection_end(struct connection *c, int code, const char *why)
{
	struct session *s = c->session;

	if (c->over)
		return;
	c->over = true;
	tell_channels(c, code, why);
	note_connection(c, code, why);
	count_held(c, 0);
	close_window(&c->in);
	close_window(&c->out);
	LIST_REMOVE(c, entry);
	s->forward->count--;
	c->reap = (struct loop_task){.fn = reap, .arg = c};
	loop_defer(s->broker->loop, &c->reap);
}

/* --- bytes on their way ----------------------------------------------------------------------- */

static void
measure_held(struct connection *c)
{
	count_held(c, c->in.lane.hold.len + c->out.lane.hold.len);
}

/* Mostly nothing is held. Where links are so full that much is, who does not read loses. */
static void
put(struct connection *c, struct way *w, struct channel *to, const uint8_t *p, size_t n)
{
	size_t moved;
	int r = lane_put(&w->lane, to, p, n, 0, &moved);

	measure_held(c);
	if (r == 0 && moved < n &&
		c->session->broker->forward_held > c->session->broker->limits.all)
		r = HW_ELIMIT;
	if (r < 0)
		connection_end(c, r, "the relay has no room for more of what is not read");
}

static void
pump(struct connection *c, struct way *w, struct channel *to)
{
	if (to == NULL)
		return;
	lane_pump(&w->lane, to);
	measure_held(c);
	if (c->draining && c->out.lane.hold.len == 0)
		connection_end(c, 0, "ended");
}

/* The sender hears what the receiver has consumed, and may go as far as that allows, but no further
 * than the relay holds for who does not read: beyond what has left it there is only the window. */
static void
pass_credit(struct connection *c, struct way *w, struct channel *to, struct channel *from)
{
	int stream = w->lane.stream;
	uint64_t waiting = channel_queued(to, stream), left = channel_sent(to, stream) - waiting;
	uint64_t limit = window_move(&w->window, w->pool, left, waiting + w->lane.hold.len,
		session_now(c->session));

	if (limit > channel_limit(to, stream))
		limit = channel_limit(to, stream);
	channel_credit(from, stream, channel_acked(to, stream), limit, ECHO_UNKNOWN);
}

/* A receiver that has allowed more than the relay did need not say so again. What waits here is
 * looked at once more when it has left: nobody may be there to say anything then. */
static void
pass_more_credit(struct connection *c, struct way *w, struct channel *to, struct channel *from)
{
	uint64_t come = channel_received(from, w->lane.stream);

	if (channel_limit(to, w->lane.stream) <= w->window.limit ||
		w->window.limit - come >= w->window.size / 2)
		return;
	pass_credit(c, w, to, from);
	if (channel_queued(to, w->lane.stream) > 0)
		channel_ask_drained(to, w->lane.stream);
}

static void
on_user_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct connection *c = arg;

	(void)offset;
	if (stream != STREAM_IN || c->to_node == NULL)
		return;
	c->bytes_in += n;
	c->session->bytes_in += n;
	put(c, &c->in, c->to_node, p, n);
	if (c->to_node != NULL)
		pass_more_credit(c, &c->in, c->to_node, ch);
}

static void
on_user_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct connection *c = arg;

	(void)ch, (void)offset;
	if (stream != STREAM_IN)
		return;
	c->in.lane.ends = true;
	pump(c, &c->in, c->to_node);
}

static void
on_user_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit,
	int echo)
{
	struct connection *c = arg;

	(void)consumed, (void)limit, (void)echo;
	if (stream != STREAM_OUT)
		return;
	if (c->to_node != NULL)
		pass_credit(c, &c->out, ch, c->to_node);
	pump(c, &c->out, c->to_user);
}

static void
on_user_drained(void *arg, struct channel *ch, int stream)
{
	struct connection *c = arg;

	if (stream != STREAM_OUT)
		return;
	pump(c, &c->out, c->to_user);
	if (c->to_user == ch && c->to_node != NULL && c->live)
		pass_more_credit(c, &c->out, ch, c->to_node);
}

static void
on_user_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct connection *c = arg;
	const char *why = close->message != NULL && close->message[0] != '\0'
		? close->message
		: "closed by its user";

	c->to_user = NULL;
	close_window(&c->out);
	if (channel_is_cut(ch))
		connection_lose_user(c);
	else if (code == 0 && c->live)
		connection_end(c, 0, "ended");
	else
		connection_end(c, code != 0 ? code : HW_ECLOSED, why);
}

static void
on_node_accept(void *arg, struct channel *ch, const struct msg_accept *a)
{
	struct connection *c = arg;
	struct msg_accept accept = {
		.window = a->window < WINDOW_FIRST ? a->window : WINDOW_FIRST,
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
	connection_end(c, code, message);
}

static void
on_node_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct connection *c = arg;

	(void)offset;
	if (stream != STREAM_OUT || c->to_user == NULL)
		return;
	c->bytes_out += n;
	c->session->bytes_out += n;
	put(c, &c->out, c->to_user, p, n);
	if (c->to_user != NULL)
		pass_more_credit(c, &c->out, c->to_user, ch);
}

static void
on_node_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct connection *c = arg;

	(void)ch, (void)offset;
	if (stream != STREAM_OUT)
		return;
	c->out.lane.ends = true;
	pump(c, &c->out, c->to_user);
}

static void
on_node_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit,
	int echo)
{
	struct connection *c = arg;

	(void)consumed, (void)limit, (void)echo;
	if (stream != STREAM_IN)
		return;
	if (c->to_user != NULL)
		pass_credit(c, &c->in, ch, c->to_user);
	pump(c, &c->in, c->to_node);
}

static void
on_node_drained(void *arg, struct channel *ch, int stream)
{
	struct connection *c = arg;

	if (stream != STREAM_IN)
		return;
	pump(c, &c->in, c->to_node);
	if (c->to_node == ch && c->to_user != NULL && c->live)
		pass_more_credit(c, &c->in, ch, c->to_user);
}

/* In order: what came before is still the user's. */
static void
on_node_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct connection *c = arg;

	c->to_node = NULL;
	close_window(&c->in);
	if (channel_is_cut(ch))
		connection_lose_node(c);
	else if (code != 0)
		connection_end(c, code,
			close->message != NULL && close->message[0] != '\0'
				? close->message
				: hw_code_meaning(code));
	else {
		c->draining = true;
		pump(c, &c->out, c->to_user);
	}
}

/* --- a side is lost, and comes back ----------------------------------------------------------- */

static int64_t
mono(const struct connection *c)
{
	return session_now(c->session);
}

/* What was on its way is sent again. */
static void
drop_way(struct way *w)
{
	lane_drop(&w->lane);
	w->lane.ends = w->lane.ended = false;
	close_window(w);
}

static void
drop_lanes(struct connection *c)
{
	drop_way(&c->in);
	drop_way(&c->out);
	count_held(c, 0);
}

static void
interrupt(struct connection *c, const char *why)
{
	if (c->to_user != NULL)
		channel_interrupt(c->to_user, why);
	if (c->to_node != NULL)
		channel_interrupt(c->to_node, why);
	c->to_user = c->to_node = NULL;
	c->lost = mono(c);
	drop_lanes(c);
}

static bool
can_resume(const struct connection *c)
{
	return c->live && !c->draining && c->number != 0;
}

static void
drop_offer(struct connection *c, const char *why)
{
	if (c->offer != NULL)
		channel_reject(c->offer, HW_ECLOSED, why);
	c->offer = NULL;
}

void
connection_lose_user(struct connection *c)
{
	if (!can_resume(c)) {
		connection_end(c, HW_EUNAVAILABLE, "the user's link was lost");
		return;
	}
	drop_offer(c, "its forward was resumed once more");
	interrupt(c, "the user's link was lost");
}

/* Of one that its node has closed, all that is still to come is here. */
void
connection_lose_node(struct connection *c)
{
	if (c->draining)
		return;
	if (!can_resume(c))
		connection_end(c, HW_EUNAVAILABLE, "the node's link was lost");
	else
		interrupt(c, "the node's link was lost");
}

/* Its window begins anew where the receiver stands. */
static void
open_way(struct way *w, struct link *to, const struct channel_stand *at, int64_t now)
{
	window_init(&w->window, WINDOW_FIRST, now);
	w->window.mark = at->received;
	w->window.limit = at->limit;
	w->pool = link_windows(to);
}

static void
on_offer_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct connection *c = arg;

	(void)close;
	c->offer = NULL;
	if (channel_is_cut(ch))
		connection_lose_user(c);
	else
		connection_end(c, code != 0 ? code : HW_ECLOSED, "closed by its user");
}

static const struct channel_events offer_events = {.on_close = on_offer_close};

void
connection_resume(struct connection *c, struct channel *offer)
{
	drop_offer(c, "the connection was resumed once more");
	if (c->to_user != NULL || c->to_node != NULL)
		interrupt(c, "the connection was resumed once more");
	c->offer = offer;
	channel_attach(offer, &offer_events, c);
	connection_join(c);
}

static uint64_t
smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Our caps, and never below what is there already. */
static uint64_t
cap(uint64_t received, uint64_t consumed, uint64_t limit)
{
	uint64_t most = smaller(limit, consumed + WINDOW_FIRST);

	return most > received ? most : received;
}

void
connection_join(struct connection *c)
{
	struct session *s = c->session;
	const struct msg_resume who = {
		.type = CHANNEL_TYPE_CONNECTION, .session_id = s->id, .connection = c->number};
	struct channel_stand ours[STREAMS];
	struct hw_err err = HW_ERR_INIT;

	if (c->offer == NULL || c->to_node != NULL || s->node == NULL)
		return;
	memcpy(ours, channel_stand(c->offer), sizeof(ours));
	for (int i = 0; i < STREAMS; i++)
		ours[i].limit = cap(ours[i].received, ours[i].consumed, ours[i].limit);
	open_way(&c->out, channel_link(c->offer), &ours[STREAM_OUT], mono(c));
	int r = channel_open_resumed(&c->to_node, s->node->link, &who, ours,
		&connection_node_events, c, &err);
	if (r < 0)
		close_window(&c->out);
	if (r < 0 && r != HW_EUNAVAILABLE)
		connection_end(c, r, hw_err_text(&err));
}

/* Both offsets count from the connection's beginning, so they are what has gone through. */
static void
count_anew(struct connection *c, uint64_t in, uint64_t out)
{
	c->session->bytes_in += in - c->bytes_in;
	c->session->bytes_out += out - c->bytes_out;
	c->bytes_in = in;
	c->bytes_out = out;
}

/* Neither side has what never came. */
static bool
fits(const struct connection *c, const struct msg_resume *answer, const struct channel_stand *node)
{
	bool passed = node[STREAM_IN].received <= c->bytes_in &&
		channel_stand(c->offer)[STREAM_OUT].received <= c->bytes_out;

	return strcmp(answer->session_id, c->session->id) == 0 && answer->connection == c->number &&
		(passed || c->restored);
}

static void
on_node_resume(void *arg, struct channel *ch, const struct msg_resume *answer)
{
	struct connection *c = arg;
	struct msg_resume who = {.type = CHANNEL_TYPE_CONNECTION,
		.session_id = c->session->id,
		.connection = c->number,
		.remote_address = c->reached,
		.resume_seconds = c->session->broker->config->resume_seconds};
	struct channel_stand ours[STREAMS];
	struct hw_err err = HW_ERR_INIT;
	int r;

	if (!fits(c, answer, channel_stand(ch))) {
		connection_end(c, HW_EPROTO, "the two ends do not fit each other any more");
		return;
	}
	c->lost = 0;
	if (c->restored && (r = forward_admit(c, answer, &err)) < 0) {
		connection_end(c, r, hw_err_text(&err));
		return;
	}
	who.node_local = c->local;
	memcpy(ours, channel_stand(ch), sizeof(ours));
	for (int i = 0; i < STREAMS; i++)
		ours[i].limit = cap(ours[i].received, ours[i].consumed, ours[i].limit);
	c->to_user = c->offer;
	c->offer = NULL;
	channel_attach(c->to_user, &connection_user_events, c);
	open_way(&c->in, channel_link(ch), &ours[STREAM_IN], mono(c));
	channel_accept_resumed(c->to_user, &who, ours);
	const struct channel_stand *user = channel_stand(c->to_user);
	c->in.lane.ended = ours[STREAM_IN].end_received;
	c->out.lane.ended = user[STREAM_OUT].end_received;
	count_anew(c, ours[STREAM_IN].received, user[STREAM_OUT].received);
}

void
connection_sweep(struct connection *c)
{
	const struct relay_config *config = c->session->broker->config;

	if (c->lost != 0 && mono(c) - c->lost >= config->resume_seconds * USEC_PER_SEC) {
		connection_end(c, HW_EUNAVAILABLE,
			"a link was lost, and it was not resumed in time");
	} else if (c->to_user != NULL && c->to_node != NULL && c->live) {
		pass_more_credit(c, &c->in, c->to_node, c->to_user);
		pass_more_credit(c, &c->out, c->to_user, c->to_node);
	}
}

/* --- a new one -------------------------------------------------------------------------------- */

struct connection *
connection_new(struct session *s, const struct destination *to, uint32_t number,
	struct channel *to_user)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->session = s;
	c->to = *to;
	c->number = number;
	c->to_user = to_user;
	c->start = clock_wall(loop_clock(s->broker->loop));
	lane_init(&c->in.lane, STREAM_IN);
	lane_init(&c->out.lane, STREAM_OUT);
	LIST_INSERT_HEAD(&s->forward->connections, c, entry);
	s->forward->count++;
	return c;
}

void
connection_open_ways(struct connection *c)
{
	static const struct channel_stand begin = {.limit = WINDOW_FIRST};

	open_way(&c->in, channel_link(c->to_node), &begin, mono(c));
	open_way(&c->out, channel_link(c->to_user), &begin, mono(c));
}

void
connection_drop(struct connection *c)
{
	LIST_REMOVE(c, entry);
	c->session->forward->count--;
	reap(c);
}

void
connection_abandon(struct connection *c)
{
	if (c->live)
		interrupt(c, "the relay is stopping");
	else
		tell_channels(c, HW_EUNAVAILABLE, "the relay is stopping");
	if (c->offer != NULL)
		channel_reject(c->offer, HW_EUNAVAILABLE, "the relay is stopping");
	count_held(c, 0);
	connection_drop(c);
}

const struct channel_events connection_user_events = {
	.on_data = on_user_data,
	.on_end = on_user_end,
	.on_credit = on_user_credit,
	.on_drained = on_user_drained,
	.on_close = on_user_close,
};

const struct channel_events connection_node_events = {
	.on_accept = on_node_accept,
	.on_reject = on_node_reject,
	.on_data = on_node_data,
	.on_end = on_node_end,
	.on_credit = on_node_credit,
	.on_drained = on_node_drained,
	.on_resume = on_node_resume,
	.on_close = on_node_close,
};
