/* A long random life of one channel that is kept at both ends: each byte arrives once, in order. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "proto/wire/link_private.h"
#include "tests/unit/wire/duo.h"

static uint8_t bytes[1 << 16];

/* One stream, from the end that writes to the one that reads. */
struct way {
	struct end_of *from, *to;
	uint64_t wrote, got, consumed;
	bool ended, got_end;
};

struct walk {
	struct duo *d;
	uint64_t dice;
	struct way ways[STREAMS];
	bool detached; /* one end of the connection is gone */
	int cuts, resumes;
};

static uint8_t
byte_at(int stream, uint64_t offset)
{
	return (uint8_t)((offset * 2654435761u >> 7) + (uint64_t)stream * 91);
}

/* xorshift64 */
static unsigned
roll(struct walk *w, unsigned n)
{
	w->dice ^= w->dice << 13;
	w->dice ^= w->dice >> 7;
	w->dice ^= w->dice << 17;
	return (unsigned)(w->dice >> 11) % n;
}

static void
walk_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct end_of *e = arg;
	struct walk *w = e->own;
	struct way *way = &w->ways[stream];

	(void)ch;
	cr_assert(way->to == e && offset == way->got && offset + n <= way->wrote);
	for (size_t i = 0; i < n; i++)
		cr_assert(p[i] == byte_at(stream, offset + i), "at %zu", (size_t)offset + i);
	way->got += n;
}

static void
walk_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct end_of *e = arg;
	struct walk *w = e->own;
	struct way *way = &w->ways[stream];

	(void)ch;
	cr_assert(way->to == e && way->ended && !way->got_end && offset == way->wrote);
	way->got_end = true;
}

static void
walk_event(struct end_of *e, const char *event)
{
	struct walk *w = e->own;

	has_not(event, "ProtocolError");
	has_not(event, "close:");
	has_not(event, "reject:");
	w->resumes += strncmp(event, "resume:", 7) == 0;
}

static void
step_write(struct walk *w)
{
	int stream = (int)roll(w, STREAMS);
	struct way *way = &w->ways[stream];
	size_t n = roll(w, 8) == 0 ? roll(w, 60000) : roll(w, 700);

	if (way->ended)
		return;
	for (size_t i = 0; i < n; i++)
		bytes[i] = byte_at(stream, way->wrote + i);
	way->wrote += channel_write(way->from->ch, stream, bytes, n);
	cr_assert(eq(u64, way->wrote, channel_sent(way->from->ch, stream)));
}

static void
step_consume(struct walk *w)
{
	int stream = (int)roll(w, STREAMS);
	struct way *way = &w->ways[stream];
	uint64_t left = way->got - way->consumed;
	size_t n = roll(w, 3) == 0 ? left : roll(w, (unsigned)left + 1);

	channel_consume(way->to->ch, stream, n, (int)roll(w, 3));
	way->consumed += n;
}

static void
step_end(struct walk *w)
{
	int stream = (int)roll(w, STREAMS);
	struct way *way = &w->ways[stream];

	if (way->ended || roll(w, 20) != 0)
		return;
	way->ended = true;
	channel_end(way->from->ch, stream);
}

static void
step_run(struct walk *w)
{
	duo_run(w->d);
}

static void
step_pause(struct walk *w)
{
	pair_pause(w->d->pair, (int)roll(w, 2), roll(w, 3) == 0);
}

/* From here on, what the other end sends is lost. */
static void
step_detach(struct walk *w)
{
	if (w->detached || w->d->relay.link == NULL || roll(w, 4) != 0)
		return;
	w->detached = true;
	pair_detach(w->d->pair, (int)roll(w, 2));
}

static void
step_cut(struct walk *w)
{
	if (roll(w, 6) != 0)
		return;
	w->detached = true;
	w->cuts++;
	pair_cut(w->d->pair, "the line broke");
}

/* The node's end goes on, on a channel that nobody reads. */
static void
step_interrupt(struct walk *w)
{
	struct msg_close close = {.code = "Interrupted"};
	struct buf out;

	if (w->detached || w->d->relay.link == NULL || channel_is_parked(w->d->relay.ch) ||
		roll(w, 6) != 0)
		return;
	duo_run(w->d); /* CLOSE of a channel whose RESUME is not answered may not come */
	if (channel_is_parked(w->d->relay.ch) || w->d->relay.ch->state != CHANNEL_OPEN)
		return;
	buf_init(&out, FRAME_MESSAGE_MAX);
	cr_assert(frame_encode_msg(&out, FRAME_CLOSE, channel_id(w->d->relay.ch), MSG_ROW(close),
			  &close) == 0);
	pair_send(w->d->pair, NODE, buf_data(&out), out.len);
	buf_fini(&out);
	w->cuts++;
}

static void
reconnect_walk(struct walk *w)
{
	if (roll(w, 2) == 0)
		pair_cut(w->d->pair, "the line broke");
	else /* the node learns that its older link is dead when it is resumed, or later */
		pair_detach(w->d->pair, RELAY);
	duo_again(w->d);
	w->detached = false;
}

static void
step_resume(struct walk *w)
{
	if (w->detached || w->d->relay.link == NULL)
		reconnect_walk(w);
	if (channel_is_parked(w->d->relay.ch) && link_is_up(w->d->relay.link))
		duo_ask(w->d);
}

static void
take_step(struct walk *w)
{
	static void (*const steps[])(struct walk *) = {step_write, step_write, step_write,
		step_consume, step_consume, step_run, step_run, step_end, step_pause, step_detach,
		step_cut, step_interrupt, step_resume};

	steps[roll(w, sizeof(steps) / sizeof(steps[0]))](w);
	duo_clear(w->d);
}

/* All is said, and the line holds: everything arrives. */
static void
finish_walk(struct walk *w)
{
	for (int side = 0; side < 2; side++)
		pair_pause(w->d->pair, side, false);
	w->detached = true;
	step_resume(w);
	duo_run(w->d);
	for (int i = 0; i < STREAMS; i++) {
		if (!w->ways[i].ended)
			channel_end(w->ways[i].from->ch, i);
		w->ways[i].ended = true;
	}
	for (int turn = 0; turn < 3000; turn++) {
		duo_run(w->d);
		for (int i = 0; i < STREAMS; i++) {
			struct way *way = &w->ways[i];
			channel_consume(way->to->ch, i, way->got - way->consumed, ECHO_SHOWN);
			way->consumed = way->got;
		}
	}
	duo_run(w->d);
	for (int i = 0; i < STREAMS; i++) {
		struct way *way = &w->ways[i];
		cr_assert(way->got == way->wrote && way->got_end);
		cr_assert(eq(u64, channel_acked(way->from->ch, i), way->wrote));
		cr_assert(duo_keeps_nothing(way->from, i));
	}
	cr_assert(eq(sz, w->d->limits.queued, 0));
}

static void
walk(uint64_t seed, int type, size_t stream_cap, int64_t window)
{
	struct walk w = {.d = duo_new(), .dice = seed};
	struct duo *d = w.d;

	for (int side = 0; side < 2; side++) {
		struct end_of *e = side == RELAY ? &d->relay : &d->node;
		e->own = &w;
		e->keep = true;
		e->channel_events.on_data = walk_data;
		e->channel_events.on_end = walk_end;
	}
	for (int i = 0; i < STREAMS; i++)
		w.ways[i] = i == STREAM_IN ? (struct way){&d->relay, &d->node, 0, 0, 0, 0, 0}
					   : (struct way){&d->node, &d->relay, 0, 0, 0, 0, 0};
	d->limits.stream = stream_cap;
	duo_up(d);
	duo_open(d, type, window);
	d->relay.on_event = d->node.on_event = walk_event;
	for (int step = 0; step < 2000; step++)
		take_step(&w);
	finish_walk(&w);
	cr_assert(w.cuts > 5 && w.resumes > 5 && w.ways[0].wrote > 1000);
	cr_assert(eq(u32, d->relay.link->writer.interactive, type == CHANNEL_TYPE_PTY));
	d->relay.on_event = d->node.on_event = NULL;
	duo_free(d);
}

Test(resume_walk, each_byte_arrives_once_and_in_order)
{
	static const int types[] = {CHANNEL_TYPE_PTY, CHANNEL_TYPE_EXEC, CHANNEL_TYPE_CONNECTION};
	static const size_t caps[] = {1 << 20, 5000, 40000};
	static const int64_t windows[] = {1 << 16, 999, 200000};

	for (unsigned i = 0; i < 27; i++)
		walk(0x9e3779b97f4a7c15u * (i + 1), types[i % 3], caps[i / 3 % 3],
			windows[i / 9 % 3]);
}
