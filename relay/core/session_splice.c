/* Bytes on their way through a session, in both directions: recorded, then handed on, credited as
 * they go. */
#include <stdio.h>
#include <string.h>

#include "relay/core/session_private.h"

#define STALL_AFTER                                                                  \
	(5 * USEC_PER_SEC) /* a terminal that takes nothing for so long is passed by \
			    */

/* CONTROLs between two sweeps, a second apart: they go past all credit, into the journal and into
 * the node's own queue, which others share. */
#define WORDS_MAX 1000

static void
close_broken(struct session *s, int code, const char *what)
{
	log_warn(s, "session.overrun", "code=%s stream=%s", hw_code_name(code), what);
	session_conclude(s, code,
		code == HW_ELIMIT ? "a peer sent more than it was allowed"
				  : "no memory for what waits");
}

static uint64_t
smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The ends of streams go with their bytes: nobody shall take a part for the whole. */
void
session_discard(struct session *s)
{
	for (int i = 0; i < STREAMS; i++) {
		struct channel *to = i == STREAM_IN ? s->to_node : s->to_user;
		lane_drop(&s->lanes[i]);
		s->lanes[i].ends = false;
		if (to != NULL)
			channel_discard(to, i);
	}
}

/* --- towards the node ------------------------------------------------------------------------- */

void
session_on_user_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p,
	size_t n)
{
	struct session *s = arg;
	bool sync = s->broker->config->durability == DURABILITY_SYNC;
	jpos end = 0;
	size_t moved;

	(void)ch;
	if (s->to_node == NULL || stream != STREAM_IN)
		return;
	const struct journal_record rec = {
		.type = JOURNAL_DATA, .stream = STREAM_IN, .offset = offset, .bytes = p, .len = n};
	if (session_record(s, &rec, &end) < 0)
		return;
	s->bytes_in += n;
	if (sync)
		broker_wait_session(s->broker, s);
	int r = lane_put(&s->lanes[stream], s->to_node, p, n, sync ? end : 0, &moved);
	if (r < 0)
		close_broken(s, r, "input");
}

void
session_on_user_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct session *s = arg;
	const struct journal_record rec = {
		.type = JOURNAL_STREAM_END, .stream = STREAM_IN, .offset = offset};

	(void)ch;
	if (s->to_node == NULL || stream != STREAM_IN || session_record(s, &rec, NULL) < 0)
		return;
	s->lanes[stream].ends = true;
	lane_pump(&s->lanes[stream], s->to_node);
}

static int
record_control(struct session *s, const struct msg_control *c)
{
	char text[64];

	if (c->type == CONTROL_RESIZE) {
		const struct journal_record size = {.type = JOURNAL_RESIZE,
			.offset = (uint64_t)c->cols << 32 | (uint64_t)c->rows};
		return session_record(s, &size, NULL);
	}
	snprintf(text, sizeof(text), "signal %s", c->signal);
	const struct journal_record note = {
		.type = JOURNAL_NOTE, .bytes = text, .len = strlen(text)};
	return session_record(s, &note, NULL);
}

/* Nothing but sizes and signals is for a program. */
void
session_on_user_control(void *arg, struct channel *ch, const struct msg_control *c)
{
	struct session *s = arg;
	bool passes = s->kind->recorded &&
		(c->type == CONTROL_RESIZE || (c->type == CONTROL_SIGNAL && c->signal != NULL));

	(void)ch;
	if (++s->words > WORDS_MAX) {
		close_broken(s, HW_ELIMIT, "control");
		return;
	}
	if (s->to_node != NULL && passes && record_control(s, c) == 0)
		channel_control(s->to_node, c);
}

static int
record_echo(struct session *s, uint64_t consumed, int echo)
{
	if (s->kind->type == CHANNEL_TYPE_EXEC)
		echo = ECHO_SHOWN; /* pipes have no echo: what goes into them is readable */
	if (consumed <= s->echoed || echo == ECHO_UNKNOWN)
		return 0;
	s->echoed = consumed;
	const struct journal_record mark = {.type = JOURNAL_ECHO,
		.stream = STREAM_IN,
		.flags = (uint8_t)echo,
		.offset = consumed};
	return session_record(s, &mark, NULL);
}

/* The holder's credit for input, with what it says of the terminal's echo. */
void
session_on_node_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit,
	int echo)
{
	struct session *s = arg;

	(void)ch;
	if (stream != STREAM_IN || s->to_user == NULL || s->frozen ||
		record_echo(s, consumed, echo) < 0)
		return;
	channel_credit(s->to_user, STREAM_IN, consumed, smaller(limit, consumed + SESSION_WINDOW),
		ECHO_UNKNOWN);
	lane_pump(&s->lanes[STREAM_IN], s->to_node);
}

void
session_on_node_drained(void *arg, struct channel *ch, int stream)
{
	struct session *s = arg;

	(void)ch;
	if (stream == STREAM_IN)
		lane_pump(&s->lanes[stream], s->to_node);
}

/* --- towards the user ------------------------------------------------------------------------- */

bool
session_drained(const struct session *s)
{
	for (int i = STREAM_OUT; i < STREAMS; i++)
		if (s->lanes[i].hold.len > 0)
			return false;
	return true;
}

/* Output went on to the terminal, or past it: the recorder is done with it too, and the shell may
 * write as much again. */
static void
output_moved(struct session *s, int stream, size_t n)
{
	s->lanes[stream].moved = session_now(s);
	if (s->to_node != NULL && s->kind->output == RECEIVER_RECORDER && n > 0)
		channel_consume(s->to_node, stream, n, ECHO_UNKNOWN);
}

void
session_on_node_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p,
	size_t n)
{
	struct session *s = arg;
	struct lane *lane = &s->lanes[stream];
	size_t moved;

	(void)ch;
	const struct journal_record rec = {.type = JOURNAL_DATA,
		.stream = (uint8_t)stream,
		.offset = offset,
		.bytes = p,
		.len = n};
	if (session_record(s, &rec, NULL) < 0)
		return;
	s->bytes_out += n;
	if (s->skipping) {
		s->skipped += n;
		output_moved(s, stream, n);
		return;
	}
	bool was_empty = lane->hold.len == 0;
	int r = lane_put(lane, s->to_user, p, n, 0, &moved);
	if (r < 0)
		close_broken(s, r, "output");
	else if (moved > 0 || was_empty)
		output_moved(s, stream, moved);
}

void
session_on_node_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct session *s = arg;
	const struct journal_record rec = {
		.type = JOURNAL_STREAM_END, .stream = (uint8_t)stream, .offset = offset};

	(void)ch;
	if (session_record(s, &rec, NULL) < 0)
		return;
	s->lanes[stream].ends = true;
	lane_pump(&s->lanes[stream], s->to_user);
}

void
session_end_skipping(struct session *s)
{
	char text[160];

	if (!s->skipping)
		return;
	snprintf(text, sizeof(text),
		"%llu bytes of output were not shown while the terminal took none; the recording has them",
		(unsigned long long)s->skipped);
	s->skipping = false;
	s->skipped = 0;
	session_notice(s, text);
}

static void
pump_output(struct session *s, int stream)
{
	if (s->frozen)
		return;
	size_t n = lane_pump(&s->lanes[stream], s->to_user);
	if (n > 0)
		output_moved(s, stream, n);
	if (s->skipping && channel_room(s->to_user, stream) > 0)
		session_end_skipping(s);
	if (s->state == SESSION_DRAINING && session_drained(s))
		session_finish_drained(s);
}

/* The user's credit: for an exec it is the program's and goes through to the holder; a terminal's
 * tells only that there is room again. */
void
session_on_user_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit,
	int echo)
{
	struct session *s = arg;

	(void)ch, (void)echo;
	if (stream == STREAM_IN)
		return;
	if (s->kind->output == RECEIVER_PEER && s->to_node != NULL)
		channel_credit(s->to_node, stream, consumed,
			smaller(limit, consumed + SESSION_WINDOW), ECHO_UNKNOWN);
	pump_output(s, stream);
}

void
session_on_user_drained(void *arg, struct channel *ch, int stream)
{
	struct session *s = arg;

	(void)ch;
	if (stream != STREAM_IN)
		pump_output(s, stream);
}

void
session_pass_stalled(struct session *s, int64_t now)
{
	for (int i = STREAM_OUT; i < STREAMS; i++) {
		struct lane *lane = &s->lanes[i];
		if (lane->hold.len == 0 || now - lane->moved < STALL_AFTER)
			continue;
		size_t n = lane_drop(lane);
		s->skipping = true;
		s->skipped += n;
		log_info(s, "session.stalled", "skipped=%zu", n);
		output_moved(s, i, n);
		lane_pump(lane, s->to_user); /* the stream may end here */
	}
	if (s->state == SESSION_DRAINING && session_drained(s))
		session_finish_drained(s);
}
