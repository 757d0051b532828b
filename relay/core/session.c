/*
 * A session's life: OPEN with a ticket -> redeemed on a worker -> the node's OPEN -> spliced and
 * recorded -> ended. Here are its states, its records in the journal, and what happens to it as
 * time goes by; session_private.h says where the rest is.
 */
#include "relay/core/session.h"

#include <stdio.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "relay/core/fit.h"
#include "relay/core/session_private.h"

#define OPEN_WITHIN  (30 * USEC_PER_SEC)   /* what a node may take for its answer */
#define TAKE_WITHIN  (3600 * USEC_PER_SEC) /* the last output, or a part of it */
#define DECIDE_EVERY (60 * USEC_PER_SEC)   /* for conditions on the time of day */

void
session_to(struct session *s, enum session_state state)
{
	static const char *const names[] = {"redeeming", "opening", "live", "draining", "over"};

	hw_assert(state > s->state);
	log_debug(s, "session.state", "from=%s to=%s", names[s->state], names[state]);
	s->state = state;
}

int64_t
session_now(const struct session *s)
{
	return clock_mono(loop_clock(s->broker->loop));
}

struct session *
session_after(const struct session *s, const struct peer *p)
{
	return s->user == p ? LIST_NEXT(s, of_user) : LIST_NEXT(s, of_node);
}

uint64_t
session_number(const char *id)
{
	uint8_t hash[SHA256_LEN];
	uint64_t number;

	sha256(hash, id, strlen(id));
	memcpy(&number, hash, sizeof(number));
	return number;
}

/* --- recording -------------------------------------------------------------------------------- */

int
session_record(struct session *s, const struct journal_record *what, jpos *end)
{
	struct broker *b = s->broker;
	struct journal_record rec = *what;

	/* What was set aside on a full disk is for last words. */
	bool last = what->type == JOURNAL_NOTE || what->type == JOURNAL_SESSION_END;
	if (b->frozen && (!last || journal_failed(b->journal)))
		return HW_ERECORD;
	if (!s->kind->recorded) {
		if (end != NULL)
			*end = 0;
		return 0;
	}
	rec.session = s->number;
	rec.time = clock_wall(loop_clock(b->loop));
	int r = journal_append(b->journal, &rec, end);
	if (r == HW_EFULL && journal_write(b->journal) == 0)
		r = journal_append(b->journal, &rec, end);
	if (r < 0) {
		char why[JOURNAL_WHY_MAX];
		journal_why(b->journal, why);
		broker_freeze(b,
			journal_failed(b->journal) ? why : "the journal takes no more records");
		return HW_ERECORD;
	}
	broker_flush_soon(b);
	return 0;
}

int
session_record_message(struct session *s, enum journal_type type, const struct msg_row *row,
	const void *msg, jpos *end)
{
	struct hw_err err = HW_ERR_INIT;
	struct buf bytes;

	buf_init(&bytes, JOURNAL_RECORD_MAX);
	int r = msg_encode(&bytes, row, msg, &err);
	if (r < 0)
		log_error(s, "session.unrecorded", "why=%s", log_value(hw_err_text(&err)));
	else
		r = session_record(s,
			&(struct journal_record){
				.type = type, .bytes = buf_data(&bytes), .len = bytes.len},
			end);
	buf_fini(&bytes);
	return r;
}

void
session_notice(struct session *s, const char *text)
{
	struct msg_control c = {.type = CONTROL_NOTICE, .text = text};

	if (s->to_user != NULL)
		channel_control(s->to_user, &c);
	if (s->recorded)
		session_record(s,
			&(struct journal_record){
				.type = JOURNAL_NOTE, .bytes = text, .len = strlen(text)},
			NULL);
}

/* --- as time goes by -------------------------------------------------------------------------- */

/* Nobody has seen a session that is not live yet, and nobody misses one whose program has ended:
 * those need no word and no grace, the next sweep ends them. */
void
session_freeze(struct session *s, const char *why)
{
	char text[256], reason[160];

	if (s->frozen)
		return;
	s->frozen = true;
	s->frozen_at = session_now(s);
	session_discard(s);
	session_screen_forget(s);
	if (s->state != SESSION_LIVE)
		return;
	fit_text(reason, sizeof(reason), why);
	snprintf(text, sizeof(text),
		"this session cannot be recorded any more (%s): it is frozen, and ends in %d seconds",
		reason, s->broker->config->grace_seconds);
	session_notice(s, text);
	session_viewers_drop(s, HW_ERECORD, text);
}

bool
session_is_frozen(const struct session *s)
{
	return s->frozen;
}

bool
session_synced(struct session *s, jpos pos)
{
	struct lane *lane = &s->lanes[STREAM_IN];

	lane_synced(lane, pos);
	if (s->to_node != NULL)
		lane_pump(lane, s->to_node);
	return lane->marks.len == 0;
}

/* Its program has ended, and its user has yet to take what it wrote. Who reads page by page has
 * long; who has stopped reading does not keep a place for ever. */
static void
sweep_untaken(struct session *s, int64_t now)
{
	uint64_t passed = 0;

	if (s->exited_at == 0 && s->state != SESSION_DRAINING)
		return;
	for (int i = STREAM_OUT; i < STREAMS; i++)
		passed += session_passed(s, i);
	if (s->took_at == 0 || passed != s->passed)
		s->took_at = now;
	s->passed = passed;
	if (now - s->took_at >= TAKE_WITHIN)
		session_conclude(s, HW_ETIMEOUT,
			"its program had ended, and nobody took its output for an hour");
}

void
session_sweep(struct session *s, int64_t now)
{
	int64_t grace =
		s->state == SESSION_LIVE ? s->broker->config->grace_seconds * USEC_PER_SEC : 0;

	s->words = 0;
	if (s->forward != NULL)
		forward_sweep(s->forward);
	if (now - s->decided >= DECIDE_EVERY)
		broker_decide_soon(s->broker, s);
	session_sweep_lost(s, now);
	session_viewers_sweep(s, now);
	session_screen_sweep(s);
	if (s->state == SESSION_OVER || session_idle_sweep(s, now))
		return;
	if (s->frozen && now - s->frozen_at >= grace)
		session_conclude(s, HW_ERECORD,
			"the session could not be recorded any more, so it was ended");
	else if (s->state == SESSION_OPENING && now - s->since >= OPEN_WITHIN)
		session_refuse(s, HW_ETIMEOUT, "the node did not answer within 30 seconds");
	else if (s->kind->output == RECEIVER_RECORDER)
		session_pass_stalled(s, now);
	else
		sweep_untaken(s, now);
}
