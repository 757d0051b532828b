/* Bytes on their way through a session, in both directions: recorded, then handed on, credited as
 * they go. */
#include <stdio.h>
#include <string.h>

#include "relay/core/session_private.h"

#define STALL_AFTER                                                                  \
	(5 * USEC_PER_SEC) /* a terminal that takes nothing for so long is passed by \
			    */

/* Bytes that a terminal may be behind and still has them after a restart of the relay. */
#define BEHIND_MAX (SESSION_WINDOW / 2)

/* CONTROLs and RESUMEs between two sweeps, a second apart: they go past all credit, into the
 * journal and into the node's own queue, which others share. */
#define WORDS_MAX 1000

void
session_close_broken(struct session *s, int code, const char *what)
{
	log_warn(s, "session.overrun", "code=%s stream=%s", hw_code_name(code), what);
	session_conclude(s, code,
		code == HW_ELIMIT ? "a peer sent more than it was allowed"
				  : "no memory for what waits");
}

/* The ends of streams go with their bytes: nobody shall take a part for the whole. */
void
session_discard(struct session *s)
{
	session_typists_drop(s);
	for (int i = 0; i < STREAMS; i++) {
		struct channel *to = i == STREAM_IN ? s->to_node : s->to_user;
		lane_drop(&s->lanes[i]);
		s->lanes[i].ends = false;
		if (to != NULL)
			channel_discard(to, i);
	}
}

/* --- towards the node ------------------------------------------------------------------------- */

/* Where its node stands is not known until it has answered. Nobody types then, but at a program
 * that has ended. */
bool
session_takes_input(const struct session *s)
{
	return s->to_node != NULL && !s->node_asked;
}

void
session_on_user_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p,
	size_t n)
{
	struct session *s = arg;

	(void)ch, (void)offset;
	if (stream == STREAM_IN)
		session_write(s, &s->typists.owner, p, n);
}

void
session_on_user_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	(void)ch, (void)offset;
	if (stream == STREAM_IN)
		session_write_end(arg);
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

bool
session_allows_word(struct session *s)
{
	if (++s->words <= WORDS_MAX)
		return true;
	session_close_broken(s, HW_ELIMIT, "control");
	return false;
}

/* Its other terminals show it as it is, whatever their own size. */
static void
note_size(struct session *s, int cols, int rows)
{
	const struct msg_control size = {.type = CONTROL_RESIZE, .cols = cols, .rows = rows};

	s->cols = cols;
	s->rows = rows;
	session_viewers_tell(s, &size);
	session_screen_resized(s);
}

/* Nothing but sizes and signals is for a program. */
void
session_on_user_control(void *arg, struct channel *ch, const struct msg_control *c)
{
	struct session *s = arg;
	bool passes = s->kind->recorded &&
		(c->type == CONTROL_RESIZE || (c->type == CONTROL_SIGNAL && c->signal != NULL));

	(void)ch;
	if (!session_allows_word(s) || !session_takes_input(s) || !passes ||
		record_control(s, c) < 0)
		return;
	channel_control(s->to_node, c);
	if (c->type == CONTROL_RESIZE)
		note_size(s, (int)c->cols, (int)c->rows);
}

/* Whatever is not known to have been shown stays hidden: a later mark must not speak for it. */
int
session_mark_echo(struct session *s, uint64_t consumed, int echo)
{
	if (s->kind->type == CHANNEL_TYPE_EXEC)
		return 0; /* pipes have no echo: what goes into them is readable */
	if (consumed <= s->echoed)
		return 0;
	if (echo == ECHO_UNKNOWN)
		echo = ECHO_HIDDEN;
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
	if (stream == STREAM_IN && consumed > s->taken)
		s->taken = consumed;
	if (stream != STREAM_IN || !s->kind->recorded || s->frozen ||
		session_mark_echo(s, consumed, echo) < 0)
		return;
	session_typists_consumed(s, limit);
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

uint64_t
session_passed(const struct session *s, int stream)
{
	return s->reached[stream] - s->lanes[stream].hold.len;
}

/* A terminal's output that went on to it, or past it: the shell may write as much again. The
 * recorder is done with it, but what its user has not got yet should outlive this relay: so the
 * node is told that it is consumed when the user has it, or is far behind. */
static void
credit_output(struct session *s, int stream)
{
	struct lane *lane = &s->lanes[stream];
	uint64_t passed = session_passed(s, stream), consumed = passed;
	uint64_t limit = passed + SESSION_WINDOW;

	if (s->to_node == NULL || s->node_asked || !session_has_recorder(s))
		return;
	if (s->to_user != NULL && s->user_lost == 0)
		consumed = smaller(passed, channel_acked(s->to_user, stream));
	if (passed > consumed + BEHIND_MAX)
		consumed = passed - BEHIND_MAX;
	consumed = larger(consumed, lane->consumed);
	if (limit - lane->limit < SESSION_WINDOW / 4 &&
		consumed - lane->consumed < SESSION_WINDOW / 4)
		return;
	lane->limit = limit;
	lane->consumed = consumed;
	channel_credit(s->to_node, stream, consumed, limit, ECHO_UNKNOWN);
}

static void
output_moved(struct session *s, int stream)
{
	s->lanes[stream].moved = session_now(s);
	credit_output(s, stream);
}

static void
show_user(struct session *s, int stream, const uint8_t *p, size_t n)
{
	struct lane *lane = &s->lanes[stream];
	size_t moved;

	if (s->skipping) {
		s->skipped += n;
		output_moved(s, stream);
		return;
	}
	bool was_empty = lane->hold.len == 0;
	int r = lane_put(lane, s->to_user, p, n, 0, &moved);
	if (r < 0)
		session_close_broken(s, r, "output");
	else if (moved > 0 || was_empty)
		output_moved(s, stream);
}

/* Input is its users' alone, and the recording says whose: a node that sends some is not heard. */
void
session_on_node_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p,
	size_t n)
{
	struct session *s = arg;

	(void)ch;
	const struct journal_record rec = {.type = JOURNAL_DATA,
		.stream = (uint8_t)stream,
		.offset = offset,
		.bytes = p,
		.len = n};
	if (stream == STREAM_IN || session_record(s, &rec, NULL) < 0)
		return;
	s->bytes_out += n;
	s->reached[stream] = offset + n;
	show_user(s, stream, p, n);
	if (s->state == SESSION_OVER)
		return;
	session_viewers_feed(s, stream, p, n);
	if (stream == STREAM_OUT)
		session_screen_output(s, offset, p, n);
}

void
session_on_node_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct session *s = arg;
	const struct journal_record rec = {
		.type = JOURNAL_STREAM_END, .stream = (uint8_t)stream, .offset = offset};

	(void)ch;
	if (stream == STREAM_IN || session_record(s, &rec, NULL) < 0)
		return;
	s->lanes[stream].ends = true;
	lane_pump(&s->lanes[stream], s->to_user);
	session_viewers_end_stream(s);
}

/* How the program ended. What it wrote may still be on its way, and its user says when it has all
 * of it. */
void
session_on_node_control(void *arg, struct channel *ch, const struct msg_control *c)
{
	struct session *s = arg;

	(void)ch;
	if (c->type == CONTROL_SCREEN)
		session_screen_take(s, c);
	if (c->type != CONTROL_EXIT || !s->kind->recorded || s->exited_at != 0)
		return;
	s->exited_at = session_now(s);
	s->ending = (struct msg_close){.exited = true,
		.exit_status = c->exit_status,
		.signal = c->signal != NULL ? arena_strdup(s->arena, c->signal) : NULL};
	session_tell_exit(s);
	session_viewers_exited(s);
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
	if (s->frozen || s->to_user == NULL)
		return;
	size_t n = lane_pump(&s->lanes[stream], s->to_user);
	if (n > 0)
		output_moved(s, stream);
	else
		credit_output(s, stream);
	if (s->skipping && channel_room(s->to_user, stream) > 0)
		session_catch_up(s);
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
	if (stream == STREAM_IN || !s->kind->recorded) /* a forward has no bytes */
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
		if (s->user_lost != 0 && lane->hold.len < SESSION_WINDOW / 2)
			continue; /* who comes back misses nothing, and the shell is not held up */
		size_t n = lane_drop(lane);
		s->skipping = true;
		s->skipped += n;
		log_info(s, "session.stalled", "skipped=%zu", n);
		output_moved(s, i);
		lane_pump(lane, s->to_user); /* the stream may end here */
	}
	if (s->state == SESSION_DRAINING && session_drained(s))
		session_finish_drained(s);
}
