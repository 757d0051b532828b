#include "proto/wire/channel.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/list.h"
#include "proto/wire/link_private.h"

#define UNTOLD_MAX 1024 /* bytes consumed of a stream that is recorded, at a sweep */

/* --- life ------------------------------------------------------------------------------------ */

struct channel *
channel_new(struct link *l, uint32_t id, int type)
{
	const struct channel_row *row = channel_row(type);
	struct channel *ch = calloc(1, sizeof(*ch));

	if (ch == NULL || id_table_add(&l->channels, id, ch) < 0) {
		free(ch);
		return NULL;
	}
	ch->link = l;
	ch->loop = l->loop;
	ch->id = id;
	ch->type = type;
	ch->interactive = row->class == CLASS_INTERACTIVE;
	ch->ahead = row->ahead;
	ch->recorded = row->recorded;
	buf_init(&ch->later, FRAME_BODY_MAX);
	for (uint8_t i = 0; i < STREAMS; i++)
		outflow_init(&ch->out[i].flow, id, i, ch->interactive);
	l->last_channel = id;
	l->limits->channels++;
	l->writer.interactive += ch->interactive;
	return ch;
}

void
channel_set_state(struct channel *ch, enum channel_state to)
{
	hw_assert(to > ch->state || ch->state == CHANNEL_PARKED);
	ch->state = to;
}

static void
bury(struct channel *ch)
{
	struct link *l = ch->link;

	channel_set_state(ch, CHANNEL_GONE);
	for (int i = 0; i < STREAMS; i++) {
		outflow_drop(&l->writer, &ch->out[i].flow);
		window_close(&ch->in[i].window, &l->windows);
	}
	if (ch->owes)
		TAILQ_REMOVE(&l->owing, ch, owing);
	ch->owes = false;
	l->limits->channels--;
	l->writer.interactive -= ch->interactive;
	SLIST_INSERT_HEAD(&l->buried, ch, buried);
	link_at_turn_end(l);
}

void
channel_bury(struct channel *ch)
{
	id_table_remove(&ch->link->channels, ch->id);
	bury(ch);
}

void
channel_bury_replaced(struct channel *ch, struct channel *by)
{
	id_table_replace(&ch->link->channels, ch->id, by);
	bury(ch);
}

void
channel_free(struct channel *ch)
{
	buf_fini(&ch->later);
	free(ch->peer);
	free(ch);
}

void
channel_free_buried(struct link *l)
{
	struct channel *ch;

	while ((ch = SLIST_FIRST(&l->buried)) != NULL) {
		SLIST_REMOVE_HEAD(&l->buried, buried);
		channel_free(ch);
	}
}

static int64_t
now(const struct channel *ch)
{
	return clock_mono(loop_clock(ch->loop));
}

static void
grant(struct channel *ch, int64_t window)
{
	ch->window = (uint32_t)window;
	for (int i = 0; i < STREAMS; i++) {
		ch->in[i].limit = ch->window;
		window_init(&ch->in[i].window, ch->window, now(ch));
	}
}

static bool
goes_ahead(const struct channel *ch, int stream)
{
	return ch->state == CHANNEL_OPENING && !ch->resuming && stream == STREAM_IN &&
		ch->ahead > 0;
}

int
channel_open(struct channel **ret, struct link *l, const struct msg_open *open,
	const struct channel_events *events, void *arg, struct hw_err *err)
{
	int r;

	hw_assert(l->opens);
	if (!link_is_up(l))
		return hw_err_set(err, HW_EUNAVAILABLE, "the link is not up");
	if (l->channels.count >= LINK_CHANNELS_MAX || l->last_channel == UINT32_MAX)
		return hw_err_set(err, HW_ELIMIT, "the link carries %d channels already",
			LINK_CHANNELS_MAX);
	if (channel_row(open->type) == NULL)
		return hw_err_set(err, HW_EVALIDATION, "there is no channel type %d", open->type);
	struct channel *ch = channel_new(l, l->last_channel + 1, open->type);
	if (ch == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a channel");
	ch->events = events;
	ch->arg = arg;
	grant(ch, open->window);
	ch->out[STREAM_IN].limit = ch->ahead;
	if ((r = link_send_message(l, FRAME_OPEN, ch->id, MSG_ROW(open), open)) < 0) {
		l->last_channel--; /* the peer never heard of it */
		channel_bury(ch);
		return hw_err_set(err, r, "OPEN cannot be sent: %s", hw_code_meaning(r));
	}
	*ret = ch;
	return 0;
}

void
channel_attach(struct channel *ch, const struct channel_events *events, void *arg)
{
	ch->events = events;
	ch->arg = arg;
}

void
channel_set_limits(struct channel *ch, int64_t window)
{
	for (int i = 0; i < STREAMS; i++)
		ch->out[i].limit = (uint64_t)window;
	if (ch->link->opens && window < ch->ahead)
		ch->out[STREAM_IN].limit = ch->ahead;
}

static void
send_end(struct channel *ch, struct sender *s)
{
	struct frame f = {.kind = FRAME_END,
		.channel = ch->id,
		.stream = s->flow.stream,
		.offset = s->flow.given};

	s->end_sent = true;
	link_send(ch->link, &f);
	for (int i = 0; i < STREAMS; i++)
		if (ch->in[i].ended)
			channel_owe_last(ch, i);
}

/* A stream's END goes when its bytes have. */
void
channel_send_ends(struct channel *ch)
{
	for (int i = 0; i < STREAMS; i++) {
		struct sender *s = &ch->out[i];
		if (ch->state < CHANNEL_OPEN && !goes_ahead(ch, i))
			continue;
		if (s->ended && !s->end_sent && s->flow.given == s->flow.sent)
			send_end(ch, s);
	}
}

void
channel_send_later(struct channel *ch)
{
	link_send_encoded(ch->link, buf_data(&ch->later), ch->later.len);
	buf_fini(&ch->later);
}

void
channel_opened(struct channel *ch)
{
	channel_set_state(ch, CHANNEL_OPEN);
	channel_send_later(ch);
	channel_send_ends(ch);
}

void
channel_accept(struct channel *ch, const struct msg_accept *accept)
{
	int r;

	hw_assert(ch->state == CHANNEL_OFFERED);
	r = link_send_message(ch->link, FRAME_ACCEPT, ch->id, MSG_ROW(accept), accept);
	if (r == HW_EVALIDATION || r == HW_ELIMIT)
		link_break(ch->link, HW_EINTERNAL, "an ACCEPT that cannot be encoded");
	grant(ch, accept->window);
	if (ch->in[STREAM_IN].limit < ch->ahead)
		ch->in[STREAM_IN].limit = ch->ahead;
	channel_set_limits(ch, ch->peer_window);
	channel_opened(ch);
}

void
channel_reject(struct channel *ch, int code, const char *message)
{
	char text[SENTENCE_MAX + 1];
	struct msg_error error = {
		.code = hw_code_name(code), .message = link_sentence(text, code, message)};

	hw_assert(ch->state == CHANNEL_OFFERED);
	link_send_message(ch->link, FRAME_REJECT, ch->id, MSG_ROW(error), &error);
	channel_bury(ch);
}

/* --- receiving ------------------------------------------------------------------------------- */

static void
send_credit(struct channel *ch, int stream)
{
	struct inflow *in = &ch->in[stream];
	struct frame f = {.kind = FRAME_CREDIT,
		.channel = ch->id,
		.stream = (uint8_t)stream,
		.offset = in->consumed,
		.limit = in->limit,
		.echo = in->echo};

	in->told = in->consumed;
	in->owes = false;
	link_send(ch->link, &f);
}

static void
send_credit_of(struct channel *ch)
{
	for (int i = 0; i < STREAMS; i++)
		if (ch->in[i].owes)
			send_credit(ch, i);
	if (ch->owes)
		TAILQ_REMOVE(&ch->link->owing, ch, owing);
	ch->owes = false;
}

void
channel_send_credit(struct link *l)
{
	struct channel *ch;

	while ((ch = TAILQ_FIRST(&l->owing)) != NULL)
		send_credit_of(ch);
}

/* Of one that is not open, it is owed from then on. */
static void
owe_credit(struct channel *ch, struct inflow *in)
{
	in->owes = true;
	if (ch->owes || ch->state != CHANNEL_OPEN)
		return;
	ch->owes = true;
	TAILQ_INSERT_TAIL(&ch->link->owing, ch, owing);
	link_at_turn_end(ch->link);
}

void
channel_owe_credit(struct channel *ch)
{
	for (int i = 0; i < STREAMS; i++)
		if (ch->in[i].owes)
			owe_credit(ch, &ch->in[i]);
}

/* Who is at both ends of a connection closes it when both directions have ended: that the last of
 * the one was consumed is told along with the end of the other. */
static bool
tells_last(const struct channel *ch, int stream)
{
	return ch->recorded || ch->out[stream == STREAM_IN ? STREAM_OUT : STREAM_IN].end_sent;
}

void
channel_owe_last(struct channel *ch, int stream)
{
	struct inflow *in = &ch->in[stream];

	if (in->consumed > in->told && in->consumed == in->received && tells_last(ch, stream))
		owe_credit(ch, in);
}

/* Consumption that cannot be told yet. What was not shown is never told together with what was. */
static void
count_consumed(struct inflow *in, uint64_t consumed, int echo)
{
	in->echo = in->consumed > in->told && in->echo != echo ? ECHO_UNKNOWN : echo;
	in->consumed = consumed;
}

/* One CREDIT tells one echo: what was consumed under another one goes first. */
static void
consume_until(struct channel *ch, int stream, uint64_t consumed, int echo)
{
	struct inflow *in = &ch->in[stream];

	if (consumed == in->consumed)
		return;
	if (in->run_echo != echo) {
		in->run_echo = echo;
		in->run_from = in->consumed;
	}
	if (ch->state != CHANNEL_OPEN) {
		count_consumed(in, consumed, echo);
	} else {
		if (in->consumed > in->told && in->echo != echo)
			send_credit(ch, stream);
		in->consumed = consumed;
		in->echo = echo;
	}
	owe_credit(ch, in);
}

/* Whether credit counts: while it has no link, or RESUME is not answered, it is told later. */
static bool
takes_credit(const struct channel *ch)
{
	return ch->state == CHANNEL_OPEN || ch->state == CHANNEL_PARKED ||
		(ch->state == CHANNEL_OPENING && ch->resuming);
}

/* How far the sender may go then: told when it has grown by a quarter window. Windows of what is
 * recorded stay as they are, since who records consumes for others. */
static uint64_t
limit_after(struct channel *ch, struct inflow *in, uint64_t consumed)
{
	uint64_t size = ch->recorded ? ch->window : in->window.size;

	if (consumed + size <= in->limit || consumed + size - in->limit < size / 4)
		return in->limit;
	if (ch->recorded || ch->link == NULL)
		return consumed + size;
	in->window.limit = in->limit;
	return window_move(&in->window, &ch->link->windows, consumed, in->received - consumed,
		now(ch));
}

/* What was typed is told at once: whether it was shown decides what its recording tells. Elsewhere
 * consumed is only an acknowledgement, and travels with the limit. */
void
channel_consume(struct channel *ch, int stream, size_t n, int echo)
{
	struct inflow *in = &ch->in[stream];

	hw_assert(n <= in->received - in->consumed);
	if (!takes_credit(ch) || n == 0)
		return;
	uint64_t consumed = in->consumed + n, limit = limit_after(ch, in, consumed);
	bool grows = limit > in->limit;
	bool last = in->ended && consumed == in->received && tells_last(ch, stream);
	if ((stream != STREAM_IN || !ch->recorded) && !grows && !last) {
		in->consumed = consumed;
		in->echo = echo;
		return;
	}
	consume_until(ch, stream, consumed, echo);
	if (grows)
		in->limit = limit;
}

void
channel_credit(struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	struct inflow *in = &ch->in[stream];

	if (consumed > in->received)
		consumed = in->received;
	if (limit > OFFSET_MAX)
		limit = OFFSET_MAX;
	if (!takes_credit(ch))
		return;
	if (consumed > in->consumed)
		consume_until(ch, stream, consumed, echo);
	if (limit > in->limit) {
		in->limit = limit;
		owe_credit(ch, in);
	}
}

/* The peer has all of it in memory until it knows. A quarter window is hours of a shell in which
 * somebody types; so it is told of a piece, and in a pause of all. */
static void
sweep_credit(struct channel *ch, struct inflow *in)
{
	uint64_t untold = in->consumed - in->told;

	if (untold >= UNTOLD_MAX || (untold > 0 && in->consumed == in->swept))
		owe_credit(ch, in);
	in->swept = in->consumed;
}

void
channel_sweep_credit(struct link *l)
{
	for (size_t i = 0; i < l->channels.count; i++) {
		struct channel *ch = l->channels.slots[i].value;
		if (!ch->recorded || ch->state != CHANNEL_OPEN)
			continue;
		for (int stream = 0; stream < STREAMS; stream++)
			sweep_credit(ch, &ch->in[stream]);
	}
}

uint64_t
channel_received(const struct channel *ch, int stream)
{
	return ch->in[stream].received;
}

bool
channel_is_cut(const struct channel *ch)
{
	return !link_is_up(ch->link);
}

uint32_t
channel_id(const struct channel *ch)
{
	return ch->id;
}

struct link *
channel_link(const struct channel *ch)
{
	return ch->link;
}

int
channel_type(const struct channel *ch)
{
	return ch->type;
}

/* --- the end --------------------------------------------------------------------------------- */

static size_t
queued_in_all(const struct channel *ch)
{
	size_t n = 0;

	for (int i = 0; i < STREAMS; i++)
		n += ch->out[i].flow.queued;
	return n;
}

static void
finish(struct channel *ch)
{
	channel_send_ends(ch);
	channel_send_later(ch);
	channel_bury(ch);
}

/* A close that breaks its own row still has to close. */
static void
encode_close(struct buf *out, uint32_t id, const struct msg_close *close)
{
	char text[SENTENCE_MAX + 1];
	struct msg_close safe = *close;

	if (close->message != NULL && close->message[0] != '\0')
		safe.message = link_sentence(text, HW_EINTERNAL, close->message);
	if (frame_encode_msg(out, FRAME_CLOSE, id, MSG_ROW(close), &safe) == 0)
		return;
	safe = (struct msg_close){.code = hw_code_name(HW_EINTERNAL),
		.message = "how the channel ended could not be told"};
	frame_encode_msg(out, FRAME_CLOSE, id, MSG_ROW(close), &safe);
}

void
channel_close(struct channel *ch, const struct msg_close *close)
{
	bool flush = close->code == NULL || close->code[0] == '\0';

	if (ch->state == CHANNEL_PARKED) {
		channel_drop_parked(ch);
		return;
	}
	if (ch->state == CHANNEL_OFFERED) {
		channel_reject(ch, flush ? HW_ECLOSED : hw_code_from_name(close->code),
			close->message);
		return;
	}
	hw_assert(ch->state < CHANNEL_FLUSHING);
	send_credit_of(ch);
	ch->events = NULL;
	buf_reset(&ch->later); /* what waited for ACCEPT is moot */
	encode_close(&ch->later, ch->id, close);
	if (!link_is_up(ch->link))
		channel_bury(ch);
	else if (flush && queued_in_all(ch) > 0)
		channel_set_state(ch, CHANNEL_FLUSHING);
	else
		finish(ch);
}

void
channel_abort(struct channel *ch, int code, const char *message)
{
	char text[SENTENCE_MAX + 1];
	struct msg_close close = {
		.code = hw_code_name(code), .message = link_sentence(text, code, message)};

	channel_close(ch, &close);
}

void
channel_end_all(struct link *l, int code, const char *why, bool flush)
{
	char text[SENTENCE_MAX + 1];
	struct msg_close close = {
		.code = hw_code_name(code), .message = link_sentence(text, code, why)};

	for (size_t i = 0; i < l->channels.count;) {
		struct channel *ch = l->channels.slots[i].value;
		const struct channel_events *events = ch->events;
		if (flush && ch->state == CHANNEL_FLUSHING) {
			i++;
			continue;
		}
		if (code == HW_EUNAVAILABLE && channel_parks(ch)) {
			channel_park(ch, code, why);
			continue;
		}
		channel_bury(ch);
		if (events != NULL && events->on_close != NULL)
			events->on_close(ch->arg, ch, code, &close);
	}
}

/* --- sending --------------------------------------------------------------------------------- */

static size_t
left(size_t cap, size_t used)
{
	return used < cap ? cap - used : 0;
}

static size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* What all links together leave. Others may read nothing of what is queued for them: this one has
 * something of its own. */
static size_t
common_room(const struct link *l)
{
	size_t shared = left(l->limits->all, l->limits->queued);
	size_t own = left(l->limits->each, l->writer.queued);

	return shared > own ? shared : own;
}

/* What the queues' caps leave, whatever the peer allows. */
static size_t
queue_room(const struct channel *ch, const struct sender *s)
{
	const struct link_limits *limits = ch->link->limits;
	size_t room = left(limits->stream, s->flow.queued);

	room = smaller(room, left(limits->link, ch->link->writer.queued));
	return smaller(room, common_room(ch->link));
}

/* How far the peer lets us go, and what we may have to send again lets us. */
static size_t
peer_room(const struct channel *ch, int stream)
{
	const struct sender *s = &ch->out[stream];
	bool open = ch->state == CHANNEL_OPEN || goes_ahead(ch, stream);
	uint64_t until = s->limit;

	if (ch->keeps && until > s->acked + ch->kept_max)
		until = s->acked +
			ch->kept_max; /* a peer may allow any number, and consume nothing */
	return open && !s->ended && until > s->flow.sent ? (size_t)(until - s->flow.sent) : 0;
}

static bool
is_crowded(const struct link *l)
{
	const struct link_limits *limits = l->limits;
	size_t queued = l->writer.queued;

	return queued >= limits->link / 2 ||
		(limits->queued >= limits->all / 2 && queued >= limits->each / 2);
}

/* The owner wants more room than there is: on_drained will come. */
static void
starve(struct channel *ch, struct sender *s)
{
	s->starved = true;
	if (is_crowded(ch->link))
		ch->link->crowded = true;
}

void
channel_ask_drained(struct channel *ch, int stream)
{
	if (ch->link != NULL)
		starve(ch, &ch->out[stream]);
}

size_t
channel_room(struct channel *ch, int stream)
{
	struct sender *s = &ch->out[stream];

	if (ch->link == NULL) {
		s->refused = true;
		return 0;
	}
	size_t allowed = peer_room(ch, stream), room = queue_room(ch, s);
	if (room < allowed)
		starve(ch, s);
	s->refused |= room == 0 || allowed == 0;
	return smaller(room, allowed);
}

size_t
channel_write(struct channel *ch, int stream, const void *p, size_t n)
{
	struct sender *s = &ch->out[stream];
	struct link *l = ch->link;

	if (l == NULL)
		return channel_room(ch, stream);
	size_t wanted = smaller(n, peer_room(ch, stream));
	size_t room = smaller(wanted, queue_room(ch, s));

	s->refused |= room < n;
	if (room == 0 && wanted == 0)
		return 0;
	size_t done = outflow_write(&l->writer, &s->flow, p, room);
	if (done < room)
		link_break(l, HW_ENOMEM, "no memory for what is to be sent");
	if (room < wanted || s->flow.queued >= l->limits->stream / 2)
		starve(ch, s);
	if (done > 0)
		link_want_write(l);
	return done;
}

void
channel_discard(struct channel *ch, int stream)
{
	outflow_drop(ch->link != NULL ? &ch->link->writer : NULL, &ch->out[stream].flow);
}

void
channel_end(struct channel *ch, int stream)
{
	ch->out[stream].ended = true;
	if (ch->state <= CHANNEL_OPEN)
		channel_send_ends(ch);
}

void
channel_control(struct channel *ch, const struct msg_control *control)
{
	if (ch->state == CHANNEL_OPEN)
		link_send_control(ch->link, ch->id, control);
	else if (ch->state == CHANNEL_OPENING)
		frame_encode_msg(&ch->later, FRAME_CONTROL, ch->id, MSG_ROW(control), control);
}

size_t
channel_control_room(const struct channel *ch)
{
	return ch->state == CHANNEL_OPEN ? WRITER_CONTROL_MAX - ch->link->writer.control_bytes : 0;
}

static void
tell_room(struct channel *ch, int stream)
{
	struct sender *s = &ch->out[stream];
	struct link *l = ch->link;

	if (!s->starved || (ch->state != CHANNEL_OPEN && !goes_ahead(ch, stream)))
		return;
	if (is_crowded(l)) {
		l->crowded = true; /* by others, perhaps: it will not hear of them by itself */
		return;
	}
	if (s->flow.queued >= l->limits->stream / 2)
		return;
	s->starved = false;
	if (ch->events != NULL && ch->events->on_drained != NULL)
		ch->events->on_drained(ch->arg, ch, stream);
}

/* Owners may do anything when they are told of room: each look is only at what is still there. */
void
channel_tell_all_room(struct channel *ch)
{
	const struct link *l = ch->link;

	for (int i = 0; i < STREAMS && l != NULL && ch->link == l; i++)
		tell_room(ch, i);
}

/* In turn: each time it goes on behind the one whose bytes made the queues full again. */
void
channel_look_for_room(struct link *l)
{
	struct channel *ch;

	if (!l->crowded || is_crowded(l))
		return;
	l->crowded = false;
	for (size_t n = l->channels.count; n > 0; n--) {
		ch = id_table_after(&l->channels, l->woken);
		if (ch == NULL && (ch = id_table_after(&l->channels, 0)) == NULL)
			return;
		l->woken = ch->id;
		channel_tell_all_room(ch);
		if (is_crowded(l)) {
			l->crowded = true; /* those after it were refused too, and wait */
			return;
		}
	}
}

void
channel_bytes_went(struct link *l, const struct outflow *flow)
{
	const struct sender *s = container_of(flow, struct sender, flow);
	struct channel *ch = container_of(s - flow->stream, struct channel, out[0]);

	if (ch->state == CHANNEL_FLUSHING) {
		if (queued_in_all(ch) == 0)
			finish(ch);
	} else {
		channel_send_ends(ch);
	}
	channel_look_for_room(l); /* those who wait come before the one that just had its turn */
	if (ch->link == l)	  /* their owners may have done anything */
		tell_room(ch, flow->stream);
}

uint64_t
channel_sent(const struct channel *ch, int stream)
{
	return ch->out[stream].flow.sent;
}

uint64_t
channel_acked(const struct channel *ch, int stream)
{
	return ch->out[stream].acked;
}

uint64_t
channel_limit(const struct channel *ch, int stream)
{
	return ch->out[stream].limit;
}

size_t
channel_queued(const struct channel *ch, int stream)
{
	return ch->out[stream].flow.queued;
}
