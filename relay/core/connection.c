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
	paced_close(&w->paced);
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
	connection_count_held(c, 0);
	close_window(&c->in);
	close_window(&c->out);
	LIST_REMOVE(c, entry);
	s->forward->count--;
	c->reap = (struct loop_task){.fn = reap, .arg = c};
	loop_defer(s->broker->loop, &c->reap);
}

/* --- the two sides -----------------------------------------------------------------------------
 */

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
		.window = (int64_t)smaller((uint64_t)a->window, c->first),
		.remote_address = c->reached,
		.node_local = a->node_local,
	};

	(void)ch;
	fit_text(c->reached, sizeof(c->reached), a->remote_address);
	c->live = true;
	c->local = a->node_local;
	channel_accept(c->to_user, &accept);
	connection_pump(c, &c->in, c->to_node);
}

static void
on_node_reject(void *arg, struct channel *ch, int code, const char *message)
{
	struct connection *c = arg;

	(void)ch;
	c->to_node = NULL;
	connection_end(c, code, message);
}

/* In order: what came before is still the user's. */
static void
on_node_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct connection *c = arg;

	c->to_node = NULL;
	close_window(&c->in);
	paced_close(&c->out.paced);
	if (channel_is_cut(ch))
		connection_lose_node(c);
	else if (code != 0)
		connection_end(c, code,
			close->message != NULL && close->message[0] != '\0'
				? close->message
				: hw_code_meaning(code));
	else {
		c->draining = true;
		connection_pump(c, &c->out, c->to_user);
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
	connection_count_held(c, 0);
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
open_way(struct connection *c, struct way *w, struct link *to, const struct channel_stand *at)
{
	window_init(&w->window, WINDOW_FIRST, mono(c));
	w->window.mark = at->received;
	w->window.limit = at->limit;
	w->pool = link_windows(to);
	w->consumed = at->consumed;
	w->paced.again = connection_credit_again;
	w->paced.arg = c;
	paced_open(&w->paced, &c->session->node->pacer, w == &c->in ? PACE_TO_NODE : PACE_FROM_NODE,
		at->limit);
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
	open_way(c, &c->out, channel_link(c->offer), &ours[STREAM_OUT]);
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

/* What was decided of one must never reach another: its number alone does not tell it from one that
 * an earlier process had. */
static bool
goes_there(const struct connection *c, const struct msg_resume *answer)
{
	const char *host = answer->remote_host != NULL ? answer->remote_host : "";

	return c->restored ||
		(strcmp(host, c->to.host.text) == 0 && answer->remote_port == c->to.port);
}

/* Neither side has what never came. */
static bool
fits(const struct connection *c, const struct msg_resume *answer, const struct channel_stand *node)
{
	bool passed = node[STREAM_IN].received <= c->bytes_in &&
		channel_stand(c->offer)[STREAM_OUT].received <= c->bytes_out;

	return strcmp(answer->session_id, c->session->id) == 0 && answer->connection == c->number &&
		goes_there(c, answer) && (passed || c->restored);
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
	open_way(c, &c->in, channel_link(ch), &ours[STREAM_IN]);
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
	} else {
		connection_pass_credit(c);
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
	c->first = s->node != NULL ? pacer_first(&s->node->pacer, WINDOW_FIRST) : WINDOW_FIRST;
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
	const struct channel_stand begin = {.limit = c->first};

	open_way(c, &c->in, channel_link(c->to_node), &begin);
	open_way(c, &c->out, channel_link(c->to_user), &begin);
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
	connection_count_held(c, 0);
	connection_drop(c);
}

const struct channel_events connection_user_events = {
	.on_data = connection_on_user_data,
	.on_end = connection_on_user_end,
	.on_credit = connection_on_user_credit,
	.on_drained = connection_on_user_drained,
	.on_close = on_user_close,
};

const struct channel_events connection_node_events = {
	.on_accept = on_node_accept,
	.on_reject = on_node_reject,
	.on_data = connection_on_node_data,
	.on_end = connection_on_node_end,
	.on_credit = connection_on_node_credit,
	.on_drained = connection_on_node_drained,
	.on_resume = on_node_resume,
	.on_close = on_node_close,
};
