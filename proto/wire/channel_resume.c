/* Channels that outlive their link: parking, and RESUME from either side. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/link_private.h"

/* --- parking --------------------------------------------------------------------------------- */

void
channel_keep(struct channel *ch)
{
	hw_assert(ch->state <= CHANNEL_OFFERED);
	ch->keeps = true;
	ch->kept_max = CHANNEL_KEPT_MAX;
	for (int i = 0; i < STREAMS; i++)
		ch->out[i].flow.keeps = true;
}

void
channel_keep_less(struct channel *ch, size_t most)
{
	hw_assert(ch->keeps);
	ch->kept_max = most;
}

bool
channel_is_parked(const struct channel *ch)
{
	return ch->state == CHANNEL_PARKED;
}

bool
channel_parks(const struct channel *ch)
{
	bool asking = ch->state == CHANNEL_OPENING && ch->resuming;

	return ch->keeps && (ch->state == CHANNEL_OPEN || asking);
}

static void
leave_link(struct channel *ch)
{
	struct link *l = ch->link;

	for (int i = 0; i < STREAMS; i++) {
		outflow_detach(&l->writer, &ch->out[i].flow);
		window_close(&ch->in[i].window, &l->windows);
	}
	if (ch->owes)
		TAILQ_REMOVE(&l->owing, ch, owing);
	ch->owes = false;
	buf_fini(&ch->later); /* these frames name an id that is no more */
	l->limits->channels--;
	l->writer.interactive -= ch->interactive;
	ch->link = NULL;
	ch->state = CHANNEL_PARKED;
	ch->resuming = false;
}

void
channel_park(struct channel *ch, int code, const char *why)
{
	const struct channel_events *events = ch->events;

	id_table_remove(&ch->link->channels, ch->id);
	leave_link(ch);
	if (events != NULL && events->on_park != NULL)
		events->on_park(ch->arg, ch, code, why);
}

static void
on_end(void *arg)
{
	channel_free(arg);
}

void
channel_drop_parked(struct channel *ch)
{
	ch->state = CHANNEL_GONE;
	for (int i = 0; i < STREAMS; i++)
		outflow_drop(NULL, &ch->out[i].flow);
	ch->end = (struct loop_task){.fn = on_end, .arg = ch};
	loop_defer(ch->loop, &ch->end);
}

void
channel_set_received(struct channel *ch, int stream, uint64_t received, uint64_t consumed,
	uint64_t limit)
{
	struct inflow *in = &ch->in[stream];

	hw_assert(ch->state == CHANNEL_PARKED && consumed <= received && received <= limit);
	in->received = received;
	in->consumed = in->told = consumed;
	in->limit = limit;
	in->ended = false;
}

void
channel_jump(struct channel *ch, int stream, uint64_t offset)
{
	struct outflow *out = &ch->out[stream].flow;

	hw_assert(ch->state == CHANNEL_PARKED && offset >= out->sent);
	outflow_drop(NULL, out);
	out->kept_from = out->given = out->sent = offset;
	ch->out[stream].jumped = true;
}

/* --- where each side stands ------------------------------------------------------------------ */

static void
own_stand(struct channel_stand ret[STREAMS], const struct channel *ch)
{
	for (int i = 0; i < STREAMS; i++) {
		const struct inflow *in = &ch->in[i];
		const struct outflow *out = &ch->out[i].flow;
		ret[i] = (struct channel_stand){
			.received = in->received,
			.consumed = in->consumed,
			.limit = in->limit,
			.end_received = in->ended,
			.kept_from = out->kept_from,
			.sent = out->sent,
			.echo = in->run_echo,
			.echo_from = in->run_from,
		};
	}
}

static void
write_stand(struct msg_resume_stream to[STREAMS], const struct channel_stand from[STREAMS])
{
	for (int i = 0; i < STREAMS; i++)
		to[i] = (struct msg_resume_stream){
			.stream = i,
			.received = (int64_t)from[i].received,
			.consumed = (int64_t)from[i].consumed,
			.limit = (int64_t)from[i].limit,
			.end_received = from[i].end_received,
			.kept_from = (int64_t)from[i].kept_from,
			.sent = (int64_t)from[i].sent,
			.echo = from[i].echo,
			.echo_from = (int64_t)from[i].echo_from,
		};
}

/* RESUME told all that there was to tell. */
static void
settle_credit(struct channel *ch)
{
	for (int i = 0; i < STREAMS; i++) {
		ch->in[i].told = ch->in[i].consumed;
		ch->in[i].owes = false;
	}
}

static int
send_resume(struct link *l, uint32_t id, const struct msg_resume *who,
	const struct channel_stand ours[STREAMS])
{
	struct msg_resume_stream streams[STREAMS];
	struct msg_resume resume = *who;

	write_stand(streams, ours);
	resume.streams.v = streams;
	resume.streams.n = STREAMS;
	return link_send_message(l, FRAME_RESUME, id, MSG_ROW(resume), &resume);
}

static bool
is_sane(const struct msg_resume_stream *s)
{
	return s->stream < STREAMS && s->consumed <= s->received && s->kept_from <= s->sent &&
		s->received <= (int64_t)OFFSET_MAX && s->limit <= (int64_t)OFFSET_MAX &&
		s->sent <= (int64_t)OFFSET_MAX && s->limit >= s->received &&
		s->echo_from <= s->consumed;
}

/* A stream that is not there stands at 0. */
static int
read_stand(struct channel_stand ret[STREAMS], const struct msg_resume *r, struct hw_err *err)
{
	bool there[STREAMS] = {false};

	memset(ret, 0, STREAMS * sizeof(*ret));
	for (size_t i = 0; i < r->streams.n; i++) {
		const struct msg_resume_stream *s = &r->streams.v[i];
		if (!is_sane(s))
			return hw_err_set(err, HW_EVALIDATION,
				"Streams: the numbers of stream %" PRId64 " do not fit each other",
				s->stream);
		if (there[s->stream])
			return hw_err_set(err, HW_EVALIDATION,
				"Streams: stream %" PRId64 " is there twice", s->stream);
		there[s->stream] = true;
		ret[s->stream] = (struct channel_stand){
			.received = (uint64_t)s->received,
			.consumed = (uint64_t)s->consumed,
			.limit = (uint64_t)s->limit,
			.end_received = s->end_received,
			.kept_from = (uint64_t)s->kept_from,
			.sent = (uint64_t)s->sent,
			.echo = (int)s->echo,
			.echo_from = (uint64_t)s->echo_from,
		};
	}
	return 0;
}

static int
keep_stand(struct channel *ch, const struct msg_resume *r, struct hw_err *err)
{
	struct channel_stand *stand = calloc(STREAMS, sizeof(*stand));

	if (stand == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a channel");
	int e = read_stand(stand, r, err);
	if (e < 0) {
		free(stand);
		return e;
	}
	free(ch->peer);
	ch->peer = stand;
	return 0;
}

const struct channel_stand *
channel_stand(const struct channel *ch)
{
	hw_assert(ch->peer != NULL);
	return ch->peer;
}

static void
take_stand(struct channel *ch, const struct channel_stand ours[STREAMS])
{
	for (int i = 0; i < STREAMS; i++) {
		struct inflow *in = &ch->in[i];
		in->received = ours[i].received;
		in->consumed = in->told = ours[i].consumed;
		in->limit = ours[i].limit;
		in->ended = ours[i].end_received;
		uint64_t window = in->limit - in->consumed;
		if (window > UINT32_MAX)
			window = UINT32_MAX;
		if (ch->window < window)
			ch->window = (uint32_t)window;
	}
}

/* Whether the peer stands where we can go on sending, and has not taken back what it was done with.
 */
static int
check_fit(const struct channel *ch, const struct channel_stand theirs[STREAMS], struct hw_err *err)
{
	for (int i = 0; i < STREAMS; i++) {
		const struct outflow *out = &ch->out[i].flow;
		uint64_t received = theirs[i].received;
		bool jumps = ch->out[i].jumped && received < out->kept_from;
		if ((received < out->kept_from && !jumps) || received > out->sent)
			return hw_err_set(err, HW_EVALIDATION,
				"Streams: stream %d cannot go on at %" PRIu64
				": what is kept of it is %" PRIu64 " to %" PRIu64,
				i, received, out->kept_from, out->sent);
		if (theirs[i].consumed < ch->out[i].acked)
			return hw_err_set(err, HW_EVALIDATION,
				"Streams: of stream %d %" PRIu64 " was consumed, and not %" PRIu64,
				i, ch->out[i].acked, theirs[i].consumed);
		bool may_end = ch->out[i].ended || ch->elsewhere;
		if (theirs[i].end_received && (!may_end || received != out->sent))
			return hw_err_set(err, HW_EVALIDATION,
				"Streams: stream %d has not ended at %" PRIu64, i, received);
	}
	return 0;
}

/* --- going on -------------------------------------------------------------------------------- */

static void
go_on_sending(struct channel *ch, const struct channel_stand theirs[STREAMS])
{
	for (int i = 0; i < STREAMS; i++) {
		struct sender *s = &ch->out[i];
		s->acked = theirs[i].consumed;
		s->limit = theirs[i].limit;
		s->end_sent = theirs[i].end_received;
		if (!ch->keeps) {
			s->flow.given = s->flow.sent = theirs[i].received;
			s->ended = s->end_sent;
		} else {
			uint64_t from = theirs[i].received;
			if (from < s->flow.kept_from)
				from = s->flow.kept_from;
			outflow_rewind(&ch->link->writer, &s->flow, from, s->limit);
			/* The answer that takes it along may be lost with the link. */
			s->jumped = s->jumped && theirs[i].received < from;
			outflow_acked(&ch->link->writer, &s->flow, s->acked);
			s->starved = (s->starved || s->refused) && !s->ended;
			s->refused = false;
		}
	}
	link_want_write(ch->link);
}

/* The peer does not have what comes next of a terminal's output. What is not consumed yet of what
 * came before keeps its distance from the end, and so does the limit: it was told below the jump,
 * and lets nothing in until it is told again. */
static void
jump_along(struct channel *ch, const struct channel_stand theirs[STREAMS])
{
	for (int i = STREAM_OUT; i < STREAMS; i++) {
		struct inflow *in = &ch->in[i];
		uint64_t to = theirs[i].kept_from;
		if (to <= in->received)
			continue;
		uint64_t by = to - in->received;
		in->consumed += by;
		in->limit = in->limit < OFFSET_MAX - by ? in->limit + by : OFFSET_MAX;
		in->received = to;
		in->owes = true;
	}
}

static void
go_on(struct channel *ch, const struct channel_stand theirs[STREAMS])
{
	if (ch->keeps && ch->interactive)
		jump_along(ch, theirs);
	go_on_sending(ch, theirs);
	ch->resuming = false;
	channel_set_state(ch, CHANNEL_OPEN);
	channel_owe_credit(ch);
	channel_send_later(ch);
	channel_send_ends(ch);
}

/* --- the opener ------------------------------------------------------------------------------ */

static int
check_room(const struct link *l, struct hw_err *err)
{
	hw_assert(l->opens);
	if (!link_is_up(l))
		return hw_err_set(err, HW_EUNAVAILABLE, "the link is not up");
	if (l->channels.count >= LINK_CHANNELS_MAX || l->last_channel == UINT32_MAX)
		return hw_err_set(err, HW_ELIMIT, "the link carries %d channels already",
			LINK_CHANNELS_MAX);
	return 0;
}

static void
join_link(struct channel *ch, struct link *l, uint32_t id)
{
	ch->link = l;
	ch->id = id;
	for (int i = 0; i < STREAMS; i++)
		ch->out[i].flow.channel = id;
	l->limits->channels++;
	l->writer.interactive += ch->interactive;
}

int
channel_resume(struct channel *ch, struct link *l, const struct msg_resume *who, struct hw_err *err)
{
	struct channel_stand ours[STREAMS];
	uint32_t id = l->last_channel + 1;
	int r;

	hw_assert(ch->state == CHANNEL_PARKED);
	if ((r = check_room(l, err)) < 0)
		return r;
	if (id_table_add(&l->channels, id, ch) < 0)
		return hw_err_set(err, HW_ENOMEM, "no memory for a channel");
	own_stand(ours, ch);
	if ((r = send_resume(l, id, who, ours)) < 0) {
		id_table_remove(&l->channels, id);
		return hw_err_set(err, r, "RESUME cannot be sent: %s", hw_code_meaning(r));
	}
	l->last_channel = id;
	settle_credit(ch);
	join_link(ch, l, id);
	channel_set_state(ch, CHANNEL_OPENING);
	ch->resuming = true;
	return 0;
}

int
channel_open_resumed(struct channel **ret, struct link *l, const struct msg_resume *who,
	const struct channel_stand ours[STREAMS], const struct channel_events *events, void *arg,
	struct hw_err *err)
{
	int r;

	if ((r = check_room(l, err)) < 0)
		return r;
	struct channel *ch = channel_new(l, l->last_channel + 1, who->type);
	if (ch == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a channel");
	ch->resuming = true;
	ch->events = events;
	ch->arg = arg;
	take_stand(ch, ours);
	if ((r = send_resume(l, ch->id, who, ours)) < 0) {
		l->last_channel--; /* the peer never heard of it */
		channel_bury(ch);
		return hw_err_set(err, r, "RESUME cannot be sent: %s", hw_code_meaning(r));
	}
	*ret = ch;
	return 0;
}

int
channel_open_taking_over(struct channel **ret, struct link *l, const struct msg_resume *who,
	int64_t window, const struct channel_events *events, void *arg, struct hw_err *err)
{
	const struct channel_stand nowhere[STREAMS] = {0};
	int r = channel_open_resumed(ret, l, who, nowhere, events, arg, err);

	if (r < 0)
		return r;
	(*ret)->window = (uint32_t)window;
	(*ret)->taking_over = true;
	channel_keep(*ret);
	return 0;
}

/* As if it had been there all the time. The peer was told of no room yet. */
static void
begin_where_answered(struct channel *ch, const struct channel_stand theirs[STREAMS])
{
	ch->taking_over = false;
	for (int i = 0; i < STREAMS; i++) {
		struct inflow *in = &ch->in[i];
		struct outflow *out = &ch->out[i].flow;
		out->kept_from = out->given = out->sent = theirs[i].received;
		ch->out[i].ended = theirs[i].end_received;
		in->received = in->consumed = theirs[i].kept_from;
		in->limit = in->received < OFFSET_MAX - ch->window ? in->received + ch->window
								   : OFFSET_MAX;
		in->owes = true;
	}
}

/* A peer that cannot be gone on with is told, and so is the owner. */
static void
give_up(struct channel *ch, int code, const char *why)
{
	const struct channel_events *events = ch->events;
	void *arg = ch->arg;
	char text[SENTENCE_MAX + 1];
	struct msg_close close = {
		.code = hw_code_name(code), .message = link_sentence(text, code, why)};

	link_send_message(ch->link, FRAME_CLOSE, ch->id, MSG_ROW(close), &close);
	channel_bury(ch);
	if (events->on_reject != NULL)
		events->on_reject(arg, ch, code, why);
}

static void
take_answer(struct channel *ch, const struct msg_resume *answer)
{
	struct hw_err why = HW_ERR_INIT;
	int r = keep_stand(ch, answer, &why);

	if (r == 0 && ch->taking_over)
		begin_where_answered(ch, ch->peer);
	if (r == 0 && ch->keeps)
		r = check_fit(ch, ch->peer, &why);
	if (r < 0) {
		give_up(ch, r, hw_err_text(&why));
		return;
	}
	go_on(ch, ch->peer);
	if (ch->events->on_resume != NULL)
		ch->events->on_resume(ch->arg, ch, answer);
	channel_tell_all_room(ch);
}

/* --- the accepter ---------------------------------------------------------------------------- */

static void
answer(struct link *l, uint32_t id, const struct msg_resume *who,
	const struct channel_stand ours[STREAMS])
{
	int r = send_resume(l, id, who, ours);

	if (r == HW_EVALIDATION || r == HW_ELIMIT)
		link_break(l, HW_EINTERNAL, "a RESUME that cannot be encoded");
}

void
channel_accept_resumed(struct channel *ch, const struct msg_resume *who,
	const struct channel_stand ours[STREAMS])
{
	hw_assert(ch->state == CHANNEL_OFFERED && ch->resuming);
	take_stand(ch, ours);
	for (int i = 0; i < STREAMS && ch->keeps; i++) {
		struct outflow *out = &ch->out[i].flow;
		uint64_t theirs = ch->peer[i].received;
		out->kept_from = theirs > ours[i].kept_from ? theirs : ours[i].kept_from;
		out->given = out->sent = out->kept_from;
	}
	answer(ch->link, ch->id, who, ours);
	go_on(ch, ch->peer);
}

int
channel_new_parked(struct channel **ret, struct loop *loop, int type, int64_t window,
	const struct channel_stand ours[STREAMS], const struct channel_events *events, void *arg,
	struct hw_err *err)
{
	struct channel *ch = calloc(1, sizeof(*ch));

	if (ch == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a channel");
	ch->loop = loop;
	ch->type = type;
	ch->interactive = channel_row(type)->class == CLASS_INTERACTIVE;
	ch->recorded = channel_row(type)->recorded;
	ch->events = events;
	ch->arg = arg;
	ch->state = CHANNEL_PARKED;
	ch->elsewhere = true;
	ch->keeps = true;
	ch->kept_max = CHANNEL_KEPT_MAX;
	ch->window = (uint32_t)window;
	buf_init(&ch->later, FRAME_BODY_MAX);
	take_stand(ch, ours);
	for (uint8_t i = 0; i < STREAMS; i++) {
		struct sender *s = &ch->out[i];
		ch->in[i].run_echo = ours[i].echo;
		ch->in[i].run_from = ours[i].echo_from;
		outflow_init(&s->flow, 0, i, ch->interactive);
		s->flow.keeps = true;
		s->flow.kept_from = s->acked = ours[i].kept_from;
		s->flow.given = s->flow.sent = s->limit = ours[i].sent;
	}
	*ret = ch;
	return 0;
}

/* Its owner writes what the peer has not got. */
static void
begin_where_they_are(struct channel *ch, const struct channel_stand theirs[STREAMS])
{
	for (int i = 0; i < STREAMS; i++) {
		struct outflow *out = &ch->out[i].flow;
		out->kept_from = out->given = out->sent = theirs[i].received;
		ch->out[i].ended = ch->out[i].ended || theirs[i].end_received;
	}
	ch->elsewhere = false;
}

int
channel_rejoin(struct channel *ch, struct channel *offered, const struct msg_resume *who,
	struct hw_err *err)
{
	struct channel_stand ours[STREAMS];
	struct link *l = offered->link;
	uint32_t id = offered->id;
	int r;

	hw_assert(ch->keeps && offered->state == CHANNEL_OFFERED && offered->resuming);
	if (ch->type != offered->type)
		return hw_err_set(err, HW_EVALIDATION, "Type: it is a channel of another type");
	if (ch->state != CHANNEL_OPEN && ch->state != CHANNEL_PARKED)
		return hw_err_set(err, HW_EVALIDATION, "it is not open yet; open it first");
	if ((r = check_fit(ch, offered->peer, err)) < 0)
		return r;
	if (ch->state != CHANNEL_PARKED) {
		id_table_remove(&ch->link->channels, ch->id);
		leave_link(ch);
	}
	if (ch->elsewhere)
		begin_where_they_are(ch, offered->peer);
	free(ch->peer);
	ch->peer = offered->peer;
	offered->peer = NULL;
	channel_bury_replaced(offered, ch);
	join_link(ch, l, id);
	own_stand(ours, ch);
	answer(l, id, who, ours);
	settle_credit(ch);
	go_on(ch, ch->peer);
	channel_tell_all_room(ch);
	return 0;
}

static void
hand_resume(struct link *l, struct channel *ch, const void *msg)
{
	const struct msg_resume *resume = msg;
	struct hw_err err = HW_ERR_INIT;

	ch->resuming = true;
	int r = keep_stand(ch, resume, &err);
	if (r < 0) {
		channel_reject(ch, r, hw_err_text(&err));
		return;
	}
	if (l->events->on_resume != NULL)
		l->events->on_resume(l->arg, l, ch, resume);
	if (channel_is_untaken(ch))
		channel_reject(ch, HW_ENOSESSION, "nothing here can be resumed");
}

static int
take_resume(struct link *l, const struct frame *f, struct hw_err *err)
{
	const struct channel_offer offer = {.row = MSG_ROW(resume),
		.type = offsetof(struct msg_resume, type),
		.hand = hand_resume};

	return channel_take_offer(l, f, &offer, err);
}

static int
take_asked(struct link *l, const struct frame *f, struct hw_err *err)
{
	struct channel *ch = id_table_find(&l->channels, f->channel);
	struct arena *arena;
	void *resume;
	int r;

	if (f->channel > l->last_channel)
		return hw_err_set(err, HW_EPROTO, "RESUME: channel %" PRIu32 " was never opened",
			f->channel);
	if (ch == NULL)
		return 0; /* closed here before the peer knew */
	if (ch->state != CHANNEL_OPENING || !ch->resuming)
		return hw_err_set(err, HW_EPROTO,
			"RESUME: channel %" PRIu32 " is not to be resumed", f->channel);
	if ((r = link_decode(&resume, &arena, MSG_ROW(resume), f, err)) < 0)
		return r;
	take_answer(ch, resume);
	arena_free(arena);
	return 0;
}

int
channel_take_resume(struct link *l, const struct frame *f, struct hw_err *err)
{
	return l->opens ? take_asked(l, f, err) : take_resume(l, f, err);
}

/* --- the end of a way ------------------------------------------------------------------------ */

void
channel_interrupt(struct channel *ch, const char *why)
{
	char text[SENTENCE_MAX + 1];
	struct msg_close close = {.code = hw_code_name(HW_EINTERRUPTED),
		.message = link_sentence(text, HW_EINTERRUPTED, why)};

	if (!ch->keeps) {
		channel_close(ch, &close);
		return;
	}
	if (!channel_parks(ch))
		return;
	link_send_message(ch->link, FRAME_CLOSE, ch->id, MSG_ROW(close), &close);
	id_table_remove(&ch->link->channels, ch->id);
	leave_link(ch);
}
