/* Frames of channels, as they arrive: each is checked against what the channel knows, then told. */
#include "proto/wire/link_private.h"

#include <inttypes.h>

/* A frame of a channel that is there. Each calls at most one event, as the last thing it does. */
struct taken {
	struct channel *ch;
	const struct frame *f;
	struct hw_err *err;
};

static int __attribute__((format(printf, 2, 3))) broken(const struct taken *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	hw_err_vset(t->err, HW_EPROTO, fmt, ap);
	va_end(ap);
	hw_err_prefix(t->err, "%s on channel %" PRIu32, frame_row((int)t->f->kind)->name,
		t->ch->id);
	return HW_EPROTO;
}

/* --- streams --------------------------------------------------------------------------------- */

static int
check_stream(const struct taken *t)
{
	return t->f->stream < STREAMS ? 0 : broken(t, "there is no stream %d", t->f->stream);
}

static int
take_data(const struct taken *t)
{
	const struct frame *f = t->f;
	struct inflow *in = &t->ch->in[f->stream];

	if (in->ended)
		return broken(t, "bytes after the end of stream %d", f->stream);
	if (f->offset != in->received)
		return broken(t, "stream %d stands at %" PRIu64 ", the bytes are of %" PRIu64,
			f->stream, in->received, f->offset);
	if (f->offset > in->limit || f->body_len > in->limit - f->offset)
		return broken(t, "stream %d goes past its limit %" PRIu64, f->stream, in->limit);
	in->received += f->body_len;
	if (f->body_len > 0 && t->ch->events->on_data != NULL)
		t->ch->events->on_data(t->ch->arg, t->ch, f->stream, f->offset, f->body,
			f->body_len);
	return 0;
}

static int
take_end(const struct taken *t)
{
	const struct frame *f = t->f;
	struct inflow *in = &t->ch->in[f->stream];

	if (in->ended)
		return broken(t, "stream %d ended before", f->stream);
	if (f->offset != in->received)
		return broken(t, "stream %d stands at %" PRIu64 ", and cannot end at %" PRIu64,
			f->stream, in->received, f->offset);
	in->ended = true;
	channel_owe_last(t->ch, f->stream);
	if (t->ch->events->on_end != NULL)
		t->ch->events->on_end(t->ch->arg, t->ch, f->stream, f->offset);
	return 0;
}

static int
take_credit(const struct taken *t)
{
	const struct frame *f = t->f;
	struct sender *s = &t->ch->out[f->stream];

	if (f->offset < s->acked || f->limit < s->limit)
		return broken(t, "stream %d goes back", f->stream);
	if (f->offset > s->flow.given)
		return broken(t, "stream %d: %" PRIu64 " consumed, and only %" PRIu64 " sent",
			f->stream, f->offset, s->flow.given);
	s->acked = f->offset;
	s->limit = f->limit;
	if (t->ch->keeps)
		outflow_acked(&t->ch->link->writer, &s->flow, s->acked);
	if (s->flow.given + s->flow.queued < s->flow.sent) {
		outflow_let_go(&t->ch->link->writer, &s->flow, s->limit);
		link_want_write(t->ch->link);
	}
	if (t->ch->events->on_credit != NULL)
		t->ch->events->on_credit(t->ch->arg, t->ch, f->stream, f->offset, f->limit,
			f->echo);
	return 0;
}

/* --- words ----------------------------------------------------------------------------------- */

static int
take_control(const struct taken *t)
{
	struct arena *arena;
	void *control;
	int r;

	if ((r = link_decode(&control, &arena, MSG_ROW(control), t->f, t->err)) < 0)
		return r;
	if (t->ch->events->on_control != NULL)
		t->ch->events->on_control(t->ch->arg, t->ch, control);
	arena_free(arena);
	return 0;
}

static int
take_close(const struct taken *t)
{
	const struct channel_events *events = t->ch->events;
	const struct msg_close *close;
	struct arena *arena;
	void *body;
	int r;

	if ((r = link_decode(&body, &arena, MSG_ROW(close), t->f, t->err)) < 0)
		return r;
	close = body;
	int code = code_or(close->code, HW_OK);
	if (code == HW_EINTERRUPTED && channel_parks(t->ch)) {
		channel_park(t->ch, code, text_or(close->message, hw_code_meaning(code)));
		arena_free(arena);
		return 0;
	}
	channel_bury(t->ch);
	if (events != NULL && events->on_close != NULL)
		events->on_close(t->ch->arg, t->ch, code, close);
	arena_free(arena);
	return 0;
}

static int
take_accept(const struct taken *t)
{
	struct arena *arena;
	void *accept;
	int r;

	if ((r = link_decode(&accept, &arena, MSG_ROW(accept), t->f, t->err)) < 0)
		return r;
	channel_set_limits(t->ch, ((const struct msg_accept *)accept)->window);
	channel_opened(t->ch);
	if (t->ch->events->on_accept != NULL)
		t->ch->events->on_accept(t->ch->arg, t->ch, accept);
	arena_free(arena);
	return 0;
}

static int
take_reject(const struct taken *t)
{
	const struct msg_error *error;
	struct arena *arena;
	void *body;
	int r;

	if ((r = link_decode(&body, &arena, MSG_ROW(error), t->f, t->err)) < 0)
		return r;
	error = body;
	int code = code_or(error->code, HW_EINTERNAL);
	channel_bury(t->ch);
	if (t->ch->events->on_reject != NULL)
		t->ch->events->on_reject(t->ch->arg, t->ch, code,
			text_or(error->message, hw_code_meaning(code)));
	arena_free(arena);
	return 0;
}

/* --- which frame may come when ---------------------------------------------------------------- */

static const struct {
	int (*take)(const struct taken *);
	bool of_stream;
	enum channel_state state; /* the only one in which it may come; CLOSE has its own rule */
} kinds[FRAME_KINDS] = {
	[FRAME_ACCEPT] = {take_accept,  false, CHANNEL_OPENING},
	[FRAME_REJECT] = {take_reject,  false, CHANNEL_OPENING},
	[FRAME_DATA] = {take_data,	   true,	 CHANNEL_OPEN   },
	[FRAME_CREDIT] = {take_credit,  true,  CHANNEL_OPEN	 },
	[FRAME_END] = {take_end,	 true,  CHANNEL_OPEN   },
	[FRAME_CONTROL] = {take_control, false, CHANNEL_OPEN   },
	[FRAME_CLOSE] = {take_close,   false, CHANNEL_OPEN	},
};

/* Input that did not wait for ACCEPT, on a channel whose type lets it. */
static bool
comes_ahead(const struct taken *t)
{
	return t->ch->state == CHANNEL_OFFERED && !t->ch->resuming && t->ch->ahead > 0 &&
		(t->f->kind == FRAME_DATA || t->f->kind == FRAME_END) && t->f->stream == STREAM_IN;
}

static int
check_state(const struct taken *t)
{
	enum channel_state state = t->ch->state;

	if (t->f->kind == FRAME_CLOSE && state == CHANNEL_OFFERED)
		return 0; /* who asked may take it back */
	if (comes_ahead(t))
		return 0;
	if (t->f->kind == FRAME_ACCEPT && t->ch->resuming)
		return broken(t, "it answers no OPEN");
	if (state != kinds[t->f->kind].state)
		return broken(t,
			state == CHANNEL_OPEN ? "the channel is open already"
					      : "the channel is not open yet");
	return kinds[t->f->kind].of_stream ? check_stream(t) : 0;
}

static int
take(const struct taken *t)
{
	int r;

	/* Its owner has left. What the peer sent before it learned of that is nobody's. */
	if (t->ch->state == CHANNEL_FLUSHING)
		return t->f->kind == FRAME_CLOSE ? take_close(t) : 0;
	if ((r = check_state(t)) < 0)
		return r;
	return kinds[t->f->kind].take(t);
}

/* --- OPEN ------------------------------------------------------------------------------------- */

static void
hand_open(struct link *l, struct channel *ch, const void *msg)
{
	const struct msg_open *open = msg;

	ch->peer_window = (uint32_t)open->window;
	ch->in[STREAM_IN].limit = ch->ahead;
	l->events->on_open(l->arg, l, ch, open);
	if (channel_is_untaken(ch))
		channel_reject(ch, HW_EINTERNAL, "nobody takes this channel");
}

static int
take_open(struct link *l, const struct frame *f, struct hw_err *err)
{
	const struct channel_offer offer = {
		.row = MSG_ROW(open), .type = offsetof(struct msg_open, type), .hand = hand_open};

	if (l->opens || l->events->on_open == NULL)
		return hw_err_set(err, HW_EPROTO, "OPEN: this side takes no channels");
	return channel_take_offer(l, f, &offer, err);
}

int
channel_input(struct link *l, const struct frame *f, struct hw_err *err)
{
	struct taken t = {.ch = id_table_find(&l->channels, f->channel), .f = f, .err = err};

	if (f->kind == FRAME_OPEN)
		return take_open(l, f, err);
	if (f->kind == FRAME_RESUME)
		return channel_take_resume(l, f, err);
	if (t.ch != NULL)
		return take(&t);
	if (f->channel > l->last_channel)
		return hw_err_set(err, HW_EPROTO, "%s: channel %" PRIu32 " was never opened",
			frame_row((int)f->kind)->name, f->channel);
	return 0; /* closed here before the peer knew */
}
