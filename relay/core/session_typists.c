#include <stdio.h>
#include <string.h>

#include "audit/reached.h"
#include "proto/wire/codec.h"
#include "relay/core/arn.h"
#include "relay/core/session_private.h"

/* What somebody may put under way while others wait, and who joined at any time: a program that
 * reads nothing keeps no more of others' turns than this. */
#define TURN_MAX (4 * 1024)

#define WAIT_MAX (2 * SESSION_WINDOW) /* above what any typist's window lets in */

void
typist_init(struct typist *w, struct viewer *v)
{
	*w = (struct typist){.viewer = v};
	buf_init(&w->wait, WAIT_MAX);
}

void
session_typists_init(struct session *s)
{
	struct session_typists *all = &s->typists;

	*all = (struct session_typists){.turn = &all->owner};
	typist_init(&all->owner, NULL);
	TAILQ_INIT(&all->queue);
}

void
session_typists_fini(struct session *s)
{
	buf_fini(&s->typists.owner.wait);
}

/* Those who joined are gone with the process that had them. */
void
session_typists_restore(struct session *s, const struct reached_streams *at)
{
	struct session_typists *all = &s->typists;

	all->author = at->author;
	all->authors = at->authors;
	all->from = at->author_from;
	all->base = at->author == 0 ? at->author_base : 0;
	all->owner.done = at->author_base;
	if (at->author != 0)
		all->turn = NULL;
}

static bool
has_turn(const struct session *s, const struct typist *w)
{
	return s->typists.turn == w;
}

/* An offset of the node's, of whose turn it is. */
static uint64_t
own_offset(const struct session *s, uint64_t offset)
{
	return s->typists.base + (offset - s->typists.from);
}

static uint64_t
under_way(const struct session *s)
{
	uint64_t recorded = s->reached[STREAM_IN];

	return recorded > s->taken ? recorded - s->taken : 0;
}

/* What the node has consumed of this turn. */
static uint64_t
consumed_of_turn(const struct session *s)
{
	return own_offset(s, s->taken > s->typists.from ? s->taken : s->typists.from);
}

static uint64_t
recorded_of(const struct session *s, const struct typist *w)
{
	return has_turn(s, w) ? own_offset(s, s->reached[STREAM_IN]) : w->done;
}

static uint64_t
window_of(const struct typist *w)
{
	return w->viewer != NULL ? VIEWER_TYPED_MAX : SESSION_WINDOW;
}

/* Of the owner, whose turn it is, the node's limit counts; what waits does it here. */
static uint64_t
lower_limit(const struct session *s, const struct typist *w, uint64_t own, uint64_t node)
{
	if (w->viewer != NULL || !has_turn(s, w) || node < s->typists.from)
		return own;
	return own_offset(s, node) < own ? own_offset(s, node) : own;
}

struct typist_stand
typist_stand(const struct session *s, const struct typist *w, uint64_t limit)
{
	struct typist_stand stand = {
		.received = recorded_of(s, w) + w->wait.len,
		.consumed = has_turn(s, w) ? consumed_of_turn(s) : w->done,
	};

	if (stand.consumed > stand.received)
		stand.consumed = stand.received;
	stand.limit = lower_limit(s, w, stand.consumed + window_of(w), limit);
	if (stand.limit < stand.received)
		stand.limit = stand.received;
	return stand;
}

/* --- the queue -------------------------------------------------------------------------------- */

static void
enqueue(struct session *s, struct typist *w)
{
	if (w->waits)
		return;
	w->waits = true;
	TAILQ_INSERT_TAIL(&s->typists.queue, w, entry);
}

static void
dequeue(struct session *s, struct typist *w)
{
	if (!w->waits)
		return;
	w->waits = false;
	TAILQ_REMOVE(&s->typists.queue, w, entry);
}

static bool
is_alone(const struct session *s, const struct typist *w)
{
	const struct typist *first = TAILQ_FIRST(&s->typists.queue);

	return first == NULL || (first == w && TAILQ_NEXT(first, entry) == NULL);
}

/* --- turns ------------------------------------------------------------------------------------ */

/* The owner's own offset is what a relay that is started anew has to know, whoever types. */
static int
record_turn(struct session *s, const struct typist *w)
{
	char arn[ARN_MAX], source[64];
	const struct session_owner *who = w->viewer != NULL ? &w->viewer->who : &s->owner;
	const struct msg_recording_author author = {
		.principal = arn,
		.source = source,
		.base = (int64_t)s->typists.owner.done,
	};
	struct hw_err err = HW_ERR_INIT;
	struct buf bytes;

	arn_write_user(arn, s->broker->config, who->name);
	snprintf(source, sizeof(source), "%s", who->source);
	buf_init(&bytes, JOURNAL_RECORD_MAX);
	int r = msg_encode(&bytes, MSG_ROW(recording_author), &author, &err);
	if (r == 0)
		r = session_record(s,
			&(struct journal_record){.type = JOURNAL_AUTHOR,
				.author = w->author,
				.offset = s->reached[STREAM_IN],
				.bytes = buf_data(&bytes),
				.len = bytes.len},
			NULL);
	else
		log_error(s, "session.unrecorded", "why=%s", log_value(hw_err_text(&err)));
	buf_fini(&bytes);
	return r;
}

static void
end_turn(struct session *s)
{
	struct typist *w = s->typists.turn;

	if (w != NULL)
		w->done = own_offset(s, s->reached[STREAM_IN]);
}

/* All that is recorded is consumed. */
static int
pass_turn(struct session *s, struct typist *w)
{
	struct session_typists *all = &s->typists;

	end_turn(s);
	if (w->viewer != NULL && (w->author == 0 || w->moved))
		w->author = ++all->authors;
	w->moved = false;
	all->turn = w;
	all->author = w->author;
	all->from = s->reached[STREAM_IN];
	all->base = w->done;
	return record_turn(s, w);
}

/* Of the one whose turn it is. */
static int
record_input(struct session *s, const uint8_t *p, size_t n)
{
	bool sync = s->broker->config->durability == DURABILITY_SYNC;
	const struct journal_record rec = {.type = JOURNAL_DATA,
		.stream = STREAM_IN,
		.author = s->typists.author,
		.offset = s->reached[STREAM_IN],
		.bytes = p,
		.len = n};
	jpos end = 0;
	size_t moved;

	if (session_record(s, &rec, &end) < 0)
		return HW_ERECORD;
	s->bytes_in += n;
	if (session_has_recorder(s))
		pacer_typed(&s->node->pacer);
	s->reached[STREAM_IN] += n;
	if (sync)
		broker_wait_session(s->broker, s);
	int r = lane_put(&s->lanes[STREAM_IN], s->to_node, p, n, sync ? end : 0, &moved);
	if (r < 0)
		session_close_broken(s, r, "input");
	return r;
}

static int
record_end(struct session *s)
{
	const struct journal_record rec = {.type = JOURNAL_STREAM_END,
		.stream = STREAM_IN,
		.author = s->typists.author,
		.offset = s->reached[STREAM_IN]};
	int r = session_record(s, &rec, NULL);

	if (r < 0)
		return r;
	s->lanes[STREAM_IN].ends = true;
	lane_pump(&s->lanes[STREAM_IN], s->to_node);
	return 0;
}

/* How much the first in the queue may put under way. */
static size_t
budget(const struct session *s, const struct typist *w)
{
	uint64_t n = under_way(s);

	if (w->viewer == NULL && is_alone(s, w))
		return SIZE_MAX;
	return n < TURN_MAX ? (size_t)(TURN_MAX - n) : 0;
}

/* What goes of it, and how the first in the queue goes on. False when nobody can for now. Whose
 * turn it is has had it, once somebody else waits. */
static bool
take_first(struct session *s, struct typist *w)
{
	if (has_turn(s, w) && under_way(s) > 0 && !is_alone(s, w)) {
		dequeue(s, w);
		enqueue(s, w);
		return true;
	}
	size_t most = budget(s, w), n = w->wait.len < most ? w->wait.len : most;

	if (n > JOURNAL_RECORD_MAX)
		n = JOURNAL_RECORD_MAX; /* the rest is its next part */
	bool goes_on = has_turn(s, w) && !w->moved;

	if (most == 0 || (!goes_on && (under_way(s) > 0 || pass_turn(s, w) < 0)))
		return false;
	if (n > 0 && record_input(s, buf_data(&w->wait), n) < 0)
		return false;
	buf_consume(&w->wait, n);
	dequeue(s, w);
	if (w->wait.len > 0) {
		enqueue(s, w);
		return true;
	}
	buf_fini(&w->wait); /* most never wait: give the memory back */
	return !w->ends || record_end(s) == 0;
}

static void
pump(struct session *s)
{
	struct typist *w;

	while (s->state == SESSION_LIVE && session_takes_input(s) && !s->lanes[STREAM_IN].ends &&
		(w = TAILQ_FIRST(&s->typists.queue)) != NULL)
		if (!take_first(s, w))
			return;
}

/* --- what comes ------------------------------------------------------------------------------- */

static bool
goes_at_once(const struct session *s, const struct typist *w)
{
	return w->viewer == NULL && has_turn(s, w) && TAILQ_EMPTY(&s->typists.queue);
}

/* Who broke it: a viewer goes alone. */
static void
give_up(struct session *s, struct typist *w, int code)
{
	if (w->viewer != NULL)
		viewer_end(w->viewer, code, "no memory for what it typed");
	else
		session_close_broken(s, code, "input");
}

void
session_write(struct session *s, struct typist *w, const uint8_t *p, size_t n)
{
	if (!session_takes_input(s) || s->frozen || s->lanes[STREAM_IN].ends)
		return;
	if (goes_at_once(s, w)) {
		record_input(s, p, n);
		return;
	}
	int r = buf_append(&w->wait, p, n);
	if (r < 0) {
		give_up(s, w, r);
		return;
	}
	enqueue(s, w);
	pump(s);
}

void
session_write_end(struct session *s)
{
	struct typist *w = &s->typists.owner;

	if (!session_takes_input(s) || s->frozen || s->lanes[STREAM_IN].ends)
		return;
	if (goes_at_once(s, w)) {
		record_end(s);
		return;
	}
	w->ends = true;
	enqueue(s, w);
	pump(s);
}

/* --- what the node says ----------------------------------------------------------------------- */

static void
credit(struct session *s, struct typist *w, struct channel *ch, uint64_t limit)
{
	struct typist_stand stand = typist_stand(s, w, limit);

	if (ch != NULL)
		channel_credit(ch, STREAM_IN, stand.consumed, stand.limit, ECHO_UNKNOWN);
}

void
session_typists_consumed(struct session *s, uint64_t limit)
{
	struct typist *w = s->typists.turn;

	if (w != NULL && w->viewer != NULL)
		credit(s, w, w->viewer->state == VIEWER_LIVE ? w->viewer->ch : NULL, limit);
	else if (w != NULL)
		credit(s, w, s->to_user, limit);
	lane_pump(&s->lanes[STREAM_IN], s->to_node);
	pump(s);
}

/* --- a side that is lost ---------------------------------------------------------------------- */

static void
note_lost(struct session *s, uint64_t n)
{
	char text[128];

	snprintf(text, sizeof(text),
		"%llu bytes that were typed on another terminal did not reach the program",
		(unsigned long long)n);
	session_notice(s, text);
}

/* Who has the terminal now cannot send again what another one had typed. */
void
session_typists_rewound(struct session *s)
{
	struct session_typists *all = &s->typists;
	uint64_t own = recorded_of(s, &all->owner);

	if (own >= all->floor)
		return;
	all->owner.done = all->floor;
	if (has_turn(s, &all->owner)) {
		all->base = all->floor;
		all->from = s->reached[STREAM_IN];
	}
	if (all->turn == NULL || record_turn(s, all->turn) == 0)
		note_lost(s, all->floor - own);
}

void
session_typists_drop(struct session *s)
{
	struct typist *w;

	while ((w = TAILQ_FIRST(&s->typists.queue)) != NULL) {
		dequeue(s, w);
		buf_fini(&w->wait);
		w->ends = false;
	}
}

void
session_typists_take_over(struct session *s)
{
	s->typists.floor = typist_stand(s, &s->typists.owner, UINT64_MAX).received;
}

/* What it has under way goes on to be delivered, and is still told as its own. */
void
typist_leave(struct session *s, struct typist *w)
{
	dequeue(s, w);
	buf_fini(&w->wait);
	if (has_turn(s, w))
		s->typists.turn = NULL;
	pump(s);
}
