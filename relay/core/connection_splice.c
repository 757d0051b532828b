/* Bytes on their way through a connection, in both directions: handed on, and credited as they go.
 */
#include "relay/core/forward_private.h"

void
connection_count_held(struct connection *c, size_t now)
{
	c->session->broker->forward_held += now - c->held;
	c->held = now;
}

/* What the line to the node carries is what comes from it, and what it has consumed. */
static void
passed(struct connection *c, enum pace_way way, uint64_t n)
{
	struct pacer *p = c->in.paced.pacer;

	if (p != NULL)
		pacer_passed(p, way, n);
}

static void
measure_held(struct connection *c)
{
	connection_count_held(c, c->in.lane.hold.len + c->out.lane.hold.len);
}

static size_t
held_by(const struct forward *f)
{
	const struct connection *c;
	size_t n = 0;

	LIST_FOREACH(c, &f->connections, entry)
		n += c->held;
	return n;
}

/* Of the forward that has most held, the connection that has. */
static struct connection *
find_greediest(const struct broker *b, struct connection *c)
{
	const struct forward *most = c->session->forward;
	struct session *s, *next;
	struct connection *other;

	HASH_ITER(hh, b->sessions, s, next)
		if (s->forward != NULL && held_by(s->forward) > held_by(most))
			most = s->forward;
	if (most != c->session->forward)
		c = LIST_FIRST(&most->connections);
	LIST_FOREACH(other, &most->connections, entry)
		if (other->held > c->held)
			c = other;
	return c;
}

static const char no_room[] = "the relay has no room for more of what is not read";

/* Where links are so full that too much is held, who does not read loses, whoever comes next. */
static void
make_room(struct connection *c)
{
	struct broker *b = c->session->broker;

	while (!c->over && b->forward_held > b->limits.all)
		connection_end(find_greediest(b, c), HW_ELIMIT, no_room);
}

/* Mostly nothing is held. */
static void
put(struct connection *c, struct way *w, struct channel *to, const uint8_t *p, size_t n)
{
	size_t moved;
	int r = lane_put(&w->lane, to, p, n, 0, &moved);

	measure_held(c);
	if (r < 0)
		connection_end(c, r, no_room);
	else if (moved < n)
		make_room(c);
}

void
connection_pump(struct connection *c, struct way *w, struct channel *to)
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
	limit = paced_allow(&w->paced, limit);
	channel_credit(from, stream, channel_acked(to, stream), limit, ECHO_UNKNOWN);
}

void
connection_credit_again(void *arg, struct paced *d)
{
	struct connection *c = arg;

	if (c->to_user == NULL || c->to_node == NULL || !c->live)
		return;
	if (d == &c->in.paced)
		pass_credit(c, &c->in, c->to_node, c->to_user);
	else
		pass_credit(c, &c->out, c->to_user, c->to_node);
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

void
connection_on_user_data(void *arg, struct channel *ch, int stream, uint64_t offset,
	const uint8_t *p, size_t n)
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

void
connection_on_user_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct connection *c = arg;

	(void)ch, (void)offset;
	if (stream != STREAM_IN)
		return;
	c->in.lane.ends = true;
	connection_pump(c, &c->in, c->to_node);
}

void
connection_on_user_credit(void *arg, struct channel *ch, int stream, uint64_t consumed,
	uint64_t limit, int echo)
{
	struct connection *c = arg;

	(void)consumed, (void)limit, (void)echo;
	if (stream != STREAM_OUT)
		return;
	if (c->to_node != NULL)
		pass_credit(c, &c->out, ch, c->to_node);
	connection_pump(c, &c->out, c->to_user);
}

void
connection_on_user_drained(void *arg, struct channel *ch, int stream)
{
	struct connection *c = arg;

	if (stream != STREAM_OUT)
		return;
	connection_pump(c, &c->out, c->to_user);
	if (c->to_user == ch && c->to_node != NULL && c->live)
		pass_more_credit(c, &c->out, ch, c->to_node);
}

void
connection_on_node_data(void *arg, struct channel *ch, int stream, uint64_t offset,
	const uint8_t *p, size_t n)
{
	struct connection *c = arg;

	(void)offset;
	if (stream != STREAM_OUT || c->to_user == NULL)
		return;
	c->bytes_out += n;
	c->session->bytes_out += n;
	passed(c, PACE_FROM_NODE, n);
	put(c, &c->out, c->to_user, p, n);
	if (c->to_user != NULL)
		pass_more_credit(c, &c->out, c->to_user, ch);
}

void
connection_on_node_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct connection *c = arg;

	(void)ch, (void)offset;
	if (stream != STREAM_OUT)
		return;
	c->out.lane.ends = true;
	connection_pump(c, &c->out, c->to_user);
}

void
connection_on_node_credit(void *arg, struct channel *ch, int stream, uint64_t consumed,
	uint64_t limit, int echo)
{
	struct connection *c = arg;

	(void)limit, (void)echo;
	if (stream != STREAM_IN)
		return;
	passed(c, PACE_TO_NODE, consumed - c->in.consumed);
	c->in.consumed = consumed;
	if (c->to_user != NULL)
		pass_credit(c, &c->in, ch, c->to_user);
	connection_pump(c, &c->in, c->to_node);
}

void
connection_on_node_drained(void *arg, struct channel *ch, int stream)
{
	struct connection *c = arg;

	if (stream != STREAM_IN)
		return;
	connection_pump(c, &c->in, c->to_node);
	if (c->to_node == ch && c->to_user != NULL && c->live)
		pass_more_credit(c, &c->in, ch, c->to_user);
}

void
connection_pass_credit(struct connection *c)
{
	if (c->to_user == NULL || c->to_node == NULL || !c->live)
		return;
	pass_more_credit(c, &c->in, c->to_node, c->to_user);
	pass_more_credit(c, &c->out, c->to_user, c->to_node);
}
