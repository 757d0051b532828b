/*
 * A session that has lost a link, and goes on. Its user takes it up again with RESUME, and its node
 * is asked to; where both stand decides from where each sends.
 *
 * What the user has to take itself, a command's output and a forward, goes on only while both are
 * there. A shell's output goes to the recorder, so that it goes on without its user, whose channel
 * keeps here what was not shown.
 */
#include <stdio.h>
#include <string.h>

#include "relay/core/arn.h"
#include "relay/core/authorise.h"
#include "relay/core/fit.h"
#include "relay/core/past.h"
#include "relay/core/presence.h"
#include "relay/core/session_private.h"

#include <openssl/crypto.h>

/* How long a terminal's user may take to come back to a relay that was started anew, before the
 * shell goes on without it: until then its node keeps what the user has not got. */
#define ALONE_AFTER   (5 * USEC_PER_SEC)
#define RESUME_WORDS  20 /* that a RESUME counts for: the ledger may have an entry of each */
#define CLOSE_WITHIN  (10 * USEC_PER_SEC) /* for its user, once it was told of its program's end */
#define ANSWER_WITHIN (30 * USEC_PER_SEC) /* for its node, once it was asked to resume */

bool
session_has_recorder(const struct session *s)
{
	return s->kind->output == RECEIVER_RECORDER;
}

int
session_grace(const struct session *s)
{
	const struct relay_config *c = s->broker->config;

	return session_has_recorder(s) && s->exited_at == 0 ? c->detached_seconds
							    : c->resume_seconds;
}

static void
note(struct session *s, const char *text)
{
	log_info(s, "session.note", "text=%s", log_value(text));
	if (s->recorded)
		session_record(s,
			&(struct journal_record){
				.type = JOURNAL_NOTE, .bytes = text, .len = strlen(text)},
			NULL);
}

/* --- a side is lost --------------------------------------------------------------------------- */

/* What was on its way is sent again by who sent it, from where the other stands by then. */
static void
drop_lanes(struct session *s, bool input_alone)
{
	for (int i = 0; i < STREAMS; i++) {
		if (i != STREAM_IN && input_alone)
			continue;
		lane_drop(&s->lanes[i]);
		s->lanes[i].ends = s->lanes[i].ended = false;
	}
}

static void
interrupt_node(struct session *s)
{
	if (s->to_node != NULL)
		channel_interrupt(s->to_node, "the user's link was lost");
	s->to_node = NULL;
	s->node_asked = false;
	drop_lanes(s, false);
}

static void
interrupt_user(struct session *s)
{
	if (s->to_user == NULL || channel_is_parked(s->to_user))
		return;
	channel_interrupt(s->to_user, "the node's link was lost");
	if (!session_has_recorder(s))
		s->to_user = NULL;
	s->user_lost = session_now(s);
}

static void
note_detached(struct session *s, const char *why)
{
	char node[ARN_MAX];
	const struct msg_ledger_entry e = {
		.action = "ssm:StartSession",
		.resource = node,
		.outcome = OUTCOME_OK,
		.reason = why,
		.session_id = s->id,
	};

	arn_write_node(node, s->broker->config, s->row->node_id);
	broker_note_user(s->broker, ENTRY_SESSION_DETACH, s->owner.name, s->owner.source, &e, NULL);
}

void
session_lose_user(struct session *s, const char *why)
{
	if (s->state == SESSION_DRAINING) {
		session_conclude(s, HW_EUNAVAILABLE, why);
		return;
	}
	if (!session_has_recorder(s))
		s->to_user = NULL;
	if (s->user != NULL) {
		s->away = clock_wall(loop_clock(s->broker->loop));
		broker_leave_user(s->broker, s);
		presence_note(s->broker->presence, s);
		note_detached(s, why);
	}
	s->user_lost = session_now(s);
	note(s, why);
	if (!session_has_recorder(s))
		interrupt_node(s);
}

void
session_detach(struct session *s, const char *why)
{
	bool has_terminal = s->to_user != NULL && !channel_is_parked(s->to_user);

	if (has_terminal)
		channel_abort(s->to_user, HW_EDETACHED, why);
	if (has_terminal)
		s->to_user = NULL;
	if (s->offer != NULL)
		channel_reject(s->offer, HW_EDETACHED, why);
	s->offer = NULL;
	session_viewers_drop(s, HW_EDETACHED, why);
	if (s->user == NULL)
		return;
	s->let_go = true;
	session_lose_user(s, why);
}

void
session_on_user_park(void *arg, struct channel *ch, int code, const char *why)
{
	(void)ch, (void)why;
	struct session *s = arg;

	s->let_go = code == HW_EINTERRUPTED;
	session_lose_user(s, s->let_go ? "the user let go of it" : "the user's link was lost");
}

void
session_lose_node(struct session *s)
{
	s->to_node = NULL;
	s->node_asked = false;
	broker_leave_node(s->broker, s);
	s->node_lost = session_now(s);
	note(s, "the node's link was lost");
	drop_lanes(s, session_has_recorder(s));
	session_screen_forget(s);
	session_typists_drop(s);
	session_viewers_lose_node(s);
	interrupt_user(s);
}

/* The link goes after this, and takes its channels along. */
void
session_lose(struct session *s, const struct peer *p)
{
	if (s->state < SESSION_LIVE) {
		session_end(s, HW_EUNAVAILABLE, "its link was replaced by another one");
		return;
	}
	if (s->user == p) {
		forward_lose_user(s->forward);
		session_lose_user(s, "the user's link was lost");
		return;
	}
	forward_lose_node(s->forward);
	if (s->to_node != NULL)
		channel_interrupt(s->to_node, "the node's link was replaced");
	session_lose_node(s);
}

/* --- both are there --------------------------------------------------------------------------- */

struct msg_control
session_exit(const struct session *s)
{
	return (struct msg_control){.type = CONTROL_EXIT,
		.exit_status = s->ending.exit_status,
		.signal = s->ending.signal};
}

void
session_tell_exit(struct session *s)
{
	const struct msg_control exit = session_exit(s);

	if (s->to_user == NULL || channel_is_parked(s->to_user))
		return;
	channel_control(s->to_user, &exit);
	s->told_at = session_now(s);
}

/* The process before this one had sent its user what this one has not: the node has it still. */
static bool
shows_again(const struct session *s)
{
	return s->to_user == NULL && s->offer != NULL && !s->passed_by && !s->taken_over;
}

/* What the node is told of where the streams stand here. Those of a forward stay at 0. */
static void
stand_towards_node(struct channel_stand ret[STREAMS], const struct session *s)
{
	const struct channel_stand *user = s->offer != NULL ? channel_stand(s->offer) : NULL;

	memset(ret, 0, STREAMS * sizeof(*ret));
	if (!s->kind->recorded)
		return;
	ret[STREAM_IN].sent =
		session_has_recorder(s) ? s->reached[STREAM_IN] : user[STREAM_IN].sent;
	for (int i = STREAM_OUT; i < STREAMS; i++) {
		struct channel_stand *to = &ret[i];
		if (session_has_recorder(s) && !shows_again(s)) {
			to->received = s->reached[i];
			to->consumed = s->lanes[i].consumed;
			to->limit = larger(to->received, session_passed(s, i) + SESSION_WINDOW);
			to->end_received = s->lanes[i].ends;
		} else {
			*to = user[i];
			to->limit = larger(to->received,
				smaller(to->limit, to->consumed + SESSION_WINDOW));
			/* Its user may have the end, but this process has not. */
			if (session_has_recorder(s))
				to->end_received = false;
		}
	}
}

static void
ask_node(struct session *s)
{
	const struct msg_resume who = {.type = s->kind->type, .session_id = s->id};
	struct channel_stand ours[STREAMS];
	struct hw_err err = HW_ERR_INIT;

	stand_towards_node(ours, s);
	s->asked_again = session_has_recorder(s) && shows_again(s);
	for (int i = STREAM_OUT; i < STREAMS; i++) {
		s->asked_from[i] = ours[i].received;
		s->lanes[i].consumed = ours[i].consumed;
		s->lanes[i].limit = ours[i].limit;
	}
	int r = channel_open_resumed(&s->to_node, s->node->link, &who, ours, &session_node_events,
		s, &err);
	if (r == 0) {
		s->node_asked = true;
		s->since = session_now(s);
	} else if (r != HW_EUNAVAILABLE) {
		session_conclude(s, r, hw_err_text(&err));
	}
}

/* A node that has no more of the output of before is asked to go on with what comes. The recorder
 * has all that came. */
void
session_on_node_refusal(struct session *s, int code, const char *why)
{
	s->node_asked = false;
	if (code != HW_EVALIDATION || !s->asked_again) {
		session_conclude(s, code, why);
		return;
	}
	s->passed_by = true;
	for (int i = STREAM_OUT; i < STREAMS; i++)
		s->lanes[i].consumed = s->reached[i];
	session_join(s);
}

/* What the user is told of where its streams stand: its input goes on where the node stands. */
static void
stand_towards_user(struct channel_stand ret[STREAMS], const struct session *s)
{
	memset(ret, 0, STREAMS * sizeof(*ret));
	if (!s->kind->recorded)
		return;
	memcpy(ret, channel_stand(s->to_node), STREAMS * sizeof(*ret));
	ret[STREAM_IN].echo = ECHO_UNKNOWN;
	ret[STREAM_IN].echo_from = 0;
	ret[STREAM_IN].limit = larger(ret[STREAM_IN].received,
		smaller(ret[STREAM_IN].limit, ret[STREAM_IN].consumed + SESSION_WINDOW));
}

static void
lose_offer(struct session *s, int code, const char *why)
{
	channel_reject(s->offer, code, why);
	s->offer = NULL;
	session_lose_user(s, "the user could not go on with it");
}

void
session_catch_up(struct session *s)
{
	channel_interrupt(s->to_user, "output was passed by");
	s->user_lost = session_now(s);
}

/* What was on its way to the terminal when it was interrupted is passed by too. */
static void
jump(struct session *s, int stream)
{
	uint64_t sent = channel_sent(s->to_user, stream);
	uint64_t theirs = channel_stand(s->offer)[stream].received;

	if (theirs < sent)
		s->skipped += sent - larger(theirs, channel_acked(s->to_user, stream));
	channel_jump(s->to_user, stream, session_passed(s, stream));
}

/* On a terminal: what it was not shown yet is in the channel, and behind it in the lanes, unless it
 * was passed by. */
static bool
rejoin_user(struct session *s, const struct msg_resume *who)
{
	struct hw_err err = HW_ERR_INIT;

	for (int i = STREAM_OUT; s->skipping && i < STREAMS; i++)
		if (session_passed(s, i) > channel_sent(s->to_user, i))
			jump(s, i);
	int r = channel_rejoin(s->to_user, s->offer, who, &err);
	if (r < 0)
		lose_offer(s, r, hw_err_text(&err));
	return r == 0;
}

static uint64_t
node_limit(const struct session *s)
{
	return s->to_node != NULL ? channel_limit(s->to_node, STREAM_IN) : 0;
}

/* One that the process before this one had, or another program of its user. What it has not got,
 * and nobody has any more, is passed by. */
static void
begin_terminal(struct session *s, const struct msg_resume *who)
{
	struct typist_stand in = typist_stand(s, &s->typists.owner, node_limit(s));
	struct channel_stand ours[STREAMS] = {
		[STREAM_IN] = {
			       .received = in.received, .consumed = in.consumed, .limit = in.limit}
	    };

	if (s->taken_over)
		s->skipped = 0;
	for (int i = STREAM_OUT; i < STREAMS; i++) {
		uint64_t theirs = channel_stand(s->offer)[i].received, from = session_passed(s, i);
		ours[i] = (struct channel_stand){.kept_from = from, .sent = s->reached[i]};
		if (from > theirs) {
			s->skipping = true;
			s->skipped += from - theirs;
		}
	}
	s->to_user = s->offer;
	channel_keep(s->to_user);
	channel_keep_less(s->to_user, SESSION_WINDOW);
	channel_accept_resumed(s->to_user, who, ours);
}

static void
note_resumed(struct session *s)
{
	char text[128];

	snprintf(text, sizeof(text), "%s from %s", s->taken_over ? "attached" : "resumed",
		s->owner.source);
	note(s, text);
}

/* Its output goes on behind the screen, which has all that was not shown. */
static void
go_on_behind(struct session *s, const struct session_shown *shown)
{
	struct lane *lane = &s->lanes[STREAM_OUT];
	size_t moved;

	lane_drop(lane);
	if (lane_put(lane, NULL, buf_data(shown->tail), shown->tail->len, 0, &moved) < 0)
		s->skipped += shown->tail->len;
}

/* The client has all of the session by now, whatever had it before. */
static void
settle_user(struct session *s, const struct session_shown *shown)
{
	s->offer = NULL;
	if (shown != NULL) {
		session_shown_tell(shown, s->to_user);
		s->skipping = false;
		s->skipped = 0;
	}
	session_end_skipping(s);
	note_resumed(s);
	if (s->taken_over)
		session_typists_take_over(s);
	s->taken_over = false;
	explicit_bzero(s->resume_token, sizeof(s->resume_token));
	if (session_has_recorder(s))
		session_viewers_announce(s);
}

static void
accept_user(struct session *s, const struct session_shown *shown)
{
	const struct msg_resume who = {.type = s->kind->type,
		.session_id = s->id,
		.token = s->taken_over ? s->resume_token : NULL,
		.run_as = s->row->run_as,
		.resume_seconds = session_grace(s)};
	struct channel_stand ours[STREAMS];

	if (shown != NULL)
		go_on_behind(s, shown);
	if (s->to_user != NULL) {
		if (!rejoin_user(s, &who))
			return;
	} else if (session_has_recorder(s)) {
		begin_terminal(s, &who);
	} else {
		stand_towards_user(ours, s);
		s->to_user = s->offer;
		channel_accept_resumed(s->to_user, &who, ours);
		for (int i = STREAM_OUT; i < STREAMS; i++)
			s->lanes[i].ended = channel_stand(s->to_user)[i].end_received;
	}
	channel_attach(s->to_user, &session_user_events, s);
	settle_user(s, shown);
	for (int i = STREAM_OUT; i < STREAMS; i++)
		session_on_user_drained(s, s->to_user, i);
	if (s->exited_at != 0 && s->to_user != NULL)
		session_tell_exit(s);
}

bool
session_needs_screen(const struct session *s)
{
	if (s->offer == NULL || !session_has_recorder(s))
		return false;
	uint64_t theirs = channel_stand(s->offer)[STREAM_OUT].received;
	return s->skipping || (s->to_user == NULL && theirs < session_passed(s, STREAM_OUT));
}

static bool
may_accept(const struct session *s)
{
	bool node = s->to_node != NULL && !s->node_asked;

	return s->offer != NULL && (node || (session_has_recorder(s) && s->exited_at != 0));
}

void
session_accept_shown(struct session *s, const struct session_shown *shown)
{
	if (!may_accept(s) || !session_needs_screen(s) || s->frozen)
		return;
	if (session_shown_fits(shown, s->offer))
		accept_user(s, shown);
}

void
session_join(struct session *s)
{
	bool waits = s->restored != 0 && session_now(s) - s->restored < ALONE_AFTER;
	bool alone = session_has_recorder(s) && !waits;

	if (s->state != SESSION_LIVE || s->frozen)
		return;
	if (s->to_node == NULL && s->node != NULL && (alone || s->offer != NULL))
		ask_node(s);
	if (s->state != SESSION_LIVE || !may_accept(s))
		return;
	if (session_needs_screen(s))
		session_screen_want(s);
	else
		accept_user(s, NULL);
}

/* Only what a power cut took is missing, and only where nothing had to be on disk first. */
static void
note_gap(struct session *s, int stream, uint64_t n)
{
	char text[96];

	snprintf(text, sizeof(text), "%llu bytes of %s were lost with the relay's last records",
		(unsigned long long)n, stream == STREAM_IN ? "input" : "output");
	note(s, text);
}

/* A copy of each byte is in the recording for each time that it goes anywhere; it counts once. */
static int
rewind_to(struct session *s, int stream, uint64_t offset)
{
	const struct journal_record mark = {
		.type = JOURNAL_REWIND, .stream = (uint8_t)stream, .offset = offset};
	uint64_t before = s->reached[stream];

	if (offset > before)
		note_gap(s, stream, offset - before);
	*(stream == STREAM_IN ? &s->bytes_in : &s->bytes_out) += offset - before;
	s->reached[stream] = offset;
	if (stream == STREAM_IN)
		s->echoed = smaller(s->echoed, offset);
	return offset < before ? session_record(s, &mark, NULL) : 0;
}

/* Output comes from where the node was asked to begin, whoever is still there by then. */
static int
rewind_record(struct session *s, const struct channel_stand *node)
{
	int r = rewind_to(s, STREAM_IN, node[STREAM_IN].received);

	for (int i = STREAM_OUT; r == 0 && i < STREAMS; i++)
		r = rewind_to(s, i, s->asked_from[i]);
	return r;
}

/* The credits that told it may have gone with the link. */
static int
mark_echo(struct session *s, const struct channel_stand *in)
{
	int r = session_mark_echo(s, in->echo_from, ECHO_UNKNOWN);

	return r == 0 ? session_mark_echo(s, in->consumed, in->echo) : r;
}

/* A terminal's user sends again what the node has not got, wherever it stood with us. */
static void
set_back_user(struct session *s, const struct channel_stand *node)
{
	struct typist_stand in = typist_stand(s, &s->typists.owner, node[STREAM_IN].limit);

	if (s->to_user != NULL && channel_is_parked(s->to_user))
		channel_set_received(s->to_user, STREAM_IN, in.received, in.consumed, in.limit);
}

/* That of the terminal it was taken up on. */
static void
tell_size(struct session *s)
{
	const struct msg_control size = s->size;

	if (size.cols == 0 || s->to_node == NULL || s->node_asked)
		return;
	s->size.cols = 0;
	session_on_user_control(s, NULL, &size);
}

/* To what its node says of itself; NULL for none. */
static const char *
objection(const struct session *s, const struct msg_resume *answer, const struct channel_stand *in)
{
	if (strcmp(answer->session_id, s->id) != 0 || (int)answer->type != s->kind->type)
		return "the node resumed another session";
	if (s->kind->recorded && s->restored == 0 && in->received > s->reached[STREAM_IN])
		return "the node says that it has input which was never sent to it";
	if (s->kind->recorded && (in->received < s->taken || in->received < s->typists.from))
		return "the node says that it has not got input which it has taken before";
	return NULL;
}

void
session_on_node_resume(void *arg, struct channel *ch, const struct msg_resume *answer)
{
	struct session *s = arg;
	const struct channel_stand *node = channel_stand(ch);

	s->node_asked = false;
	const char *why = objection(s, answer, &node[STREAM_IN]);
	if (why != NULL) {
		session_conclude(s, HW_EPROTO, why);
		return;
	}
	if (s->kind->recorded && (rewind_record(s, node) < 0 || mark_echo(s, &node[STREAM_IN]) < 0))
		return; /* it is frozen */
	s->taken = larger(s->taken, node[STREAM_IN].consumed);
	session_typists_rewound(s);
	s->lanes[STREAM_IN].ended = node[STREAM_IN].end_received;
	if (session_has_recorder(s))
		set_back_user(s, node);
	tell_size(s);
	session_join(s);
	if (s->state == SESSION_LIVE && session_viewers_wait(s))
		session_screen_want(s);
}

/* --- the user comes back ---------------------------------------------------------------------- */

static void
on_offer_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct session *s = arg;

	(void)close;
	s->offer = NULL;
	s->let_go = s->taken_over || code == HW_EINTERRUPTED;
	if (channel_is_cut(ch))
		session_lose_user(s, "the user's link was lost");
	else if (s->let_go)
		session_lose_user(s, "the user let go of it");
	else
		session_end(s, 0, "closed by its user");
}

static const struct channel_events offer_events = {.on_close = on_offer_close};

/* Why not, for the ledger; NULL when it may be looked into. */
static const char *
refusal(const struct session *s, const struct peer *user, const struct msg_resume *resume)
{
	char hash[2 * SHA256_LEN + 1];

	token_hash(hash, resume->token != NULL ? resume->token : "");
	if (s == NULL)
		return "there is no such session";
	if (strcmp(s->owner.name, user->who.id) != 0)
		return "the session is another user's";
	if (CRYPTO_memcmp(hash, s->resume_hash, sizeof(hash)) != 0)
		return "the token is not the session's";
	if (s->kind->type != (int)resume->type)
		return "the session is of another type";
	return s->state != SESSION_LIVE ? "the session is not live" : NULL;
}

static void
note_refusal(struct peer *user, const struct msg_resume *resume, const char *why)
{
	const struct msg_ledger_entry e = {
		.action = "ssm:ResumeSession",
		.outcome = OUTCOME_DENIED,
		.reason = why,
		.session_id = resume->session_id,
	};

	broker_note(user->broker, ENTRY_DECISION, user, &e, NULL);
}

/* Each is an entry of the ledger. */
void
session_count_refusal(struct peer *user)
{
	if (++user->refused >= PEER_REFUSED_MAX)
		peer_close(user, HW_ELIMIT,
			"too many sessions were asked for that cannot be resumed");
}

/* Nobody learns from it whether a session is there, nor whose it is. Who goes on asking loses the
 * link. */
void
session_refuse_resume(struct peer *user, struct channel *ch, const struct msg_resume *resume,
	const char *why)
{
	struct hw_err err = HW_ERR_INIT;

	note_refusal(user, resume, why);
	hw_err_set(&err, HW_ENOSESSION, "no live session of %s can be resumed by that id and token",
		user->who.id);
	channel_reject(ch, HW_ENOSESSION, hw_err_text(&err));
	session_count_refusal(user);
}

/* Whether it ended while its user was away, who then hears how. */
static bool
tell_past(struct broker *b, const struct peer *user, struct channel *ch,
	const struct msg_resume *resume)
{
	char hash[2 * SHA256_LEN + 1];
	struct hw_err err = HW_ERR_INIT;

	token_hash(hash, resume->token != NULL ? resume->token : "");
	int r = past_find(b->past, resume->session_id, user->who.id, hash, &err);
	if (r < 0)
		channel_reject(ch, r, hw_err_text(&err));
	return r < 0;
}

/* What it has was sent to it; what a power cut took from the recording is a gap there. */
static bool
claims_too_much(const struct session *s, const struct channel_stand *user)
{
	if (!s->kind->recorded || session_has_recorder(s) || s->restored != 0)
		return false; /* where the channel is kept here, it knows itself */
	for (int i = STREAM_OUT; i < STREAMS; i++)
		if (user[i].received > s->reached[i])
			return true;
	return false;
}

/* The node may have been asked on behalf of one who stood elsewhere. */
static void
drop_offer(struct session *s, int code, const char *why)
{
	if (s->offer == NULL)
		return;
	channel_reject(s->offer, code, why);
	s->offer = NULL;
	if (!session_has_recorder(s))
		interrupt_node(s);
}

/* Where it comes from now is what policies see. */
void
session_take_over(struct session *s, struct peer *user, struct channel *ch, int code,
	const char *why)
{
	drop_offer(s, code, why);
	forward_lose_user(s->forward);
	if (s->to_user != NULL && !channel_is_parked(s->to_user)) {
		channel_interrupt(s->to_user, "the session was resumed elsewhere");
		if (session_has_recorder(s)) /* nobody is away: the next one is there */
			note(s, "the user resumed it elsewhere");
		else
			session_lose_user(s, "the user resumed it elsewhere");
	}
	broker_leave_user(s->broker, s);
	broker_join_user(s->broker, s, user);
	presence_note(s->broker->presence, s);
	session_idle_touch(s);
	fit_text(s->owner.source, sizeof(s->owner.source), user->source);
	s->owner.not_before = user->who.not_before;
	s->user_lost = s->told_at = 0;
	s->let_go = false;
	s->offer = ch;
	channel_attach(ch, &offer_events, s);
}

void
session_resize(struct session *s, int64_t cols, int64_t rows)
{
	if (!session_has_recorder(s) || cols == 0 || rows == 0)
		return;
	s->size = (struct msg_control){.type = CONTROL_RESIZE, .cols = cols, .rows = rows};
	tell_size(s);
}

static bool
is_frozen(const struct session *s, struct channel *ch)
{
	if (!s->frozen && !s->broker->frozen)
		return false;
	channel_reject(ch, HW_ERECORD, "sessions cannot be recorded now, so none is resumed");
	return true;
}

/* With a ticket, or on another terminal than its own. */
static bool
resume_other(struct session *s, struct peer *user, struct channel *ch,
	const struct msg_resume *resume)
{
	char hash[2 * SHA256_LEN + 1];

	token_hash(hash, resume->token != NULL ? resume->token : "");
	struct session_ticket *ticket = session_find_ticket(s, hash);
	struct viewer *viewer = session_viewer_by_hash(s, hash);
	if ((ticket == NULL && viewer == NULL) || is_frozen(s, ch))
		return ticket != NULL || viewer != NULL;
	if (ticket != NULL)
		session_attach(s, user, ch, resume, ticket);
	else
		viewer_resume(viewer, user, ch, resume);
	return true;
}

void
session_resume(struct broker *b, struct peer *user, struct channel *ch,
	const struct msg_resume *resume)
{
	struct session *s;

	HASH_FIND_STR(b->sessions, resume->session_id, s);
	if (s != NULL && resume_other(s, user, ch, resume))
		return;
	const char *why = refusal(s, user, resume);
	if (why != NULL && tell_past(b, user, ch, resume))
		return;
	if (why != NULL) {
		session_refuse_resume(user, ch, resume, why);
		return;
	}
	if (claims_too_much(s, channel_stand(ch))) {
		channel_reject(ch, HW_EVALIDATION,
			"Streams: there is not as much output as was received");
		return;
	}
	s->words += RESUME_WORDS - 1;
	if (!session_allows_word(s))
		return; /* the offer has no owner, so it is rejected */
	session_take_over(s, user, ch, HW_ECLOSED, "the session was resumed once more");
	/* It waits: for the next process of this relay, or to be told of the end. */
	if (s->frozen)
		return;
	session_decide(s);
	if (s->state != SESSION_LIVE)
		return; /* and the offer was rejected with the reason */
	session_resize(s, resume->cols, resume->rows);
	session_join(s);
}

/* --- the node comes back ---------------------------------------------------------------------- */

static bool
is_listed(const struct msg_strs *ids, const char *id)
{
	for (size_t i = 0; i < ids->n; i++)
		if (strcmp(ids->v[i], id) == 0)
			return true;
	return false;
}

static void
come_back(struct session *s, struct peer *node)
{
	broker_join_node(s->broker, s, node);
	s->node_lost = 0;
	session_join(s);
	if (s->state == SESSION_LIVE)
		forward_join(s->forward);
}

void
session_reconcile(struct broker *b, struct peer *node, const struct msg_hello *hello)
{
	struct session *s, *next;

	HASH_ITER(hh, b->sessions, s, next) {
		if (s->state != SESSION_LIVE || s->node != NULL ||
			strcmp(s->row->node_id, node->who.id) != 0)
			continue;
		if (is_listed(&hello->sessions, s->id))
			come_back(s, node);
		else if (!session_has_recorder(s) || s->exited_at == 0)
			session_conclude(s, HW_EUNAVAILABLE,
				"the node came back without it: its agent was started anew");
	}
	for (size_t i = 0; i < hello->sessions.n; i++) {
		const struct msg_control end = {
			.type = CONTROL_END, .session_id = hello->sessions.v[i]};
		HASH_FIND_STR(b->sessions, hello->sessions.v[i], s);
		if (s == NULL || s->node != node)
			link_send_control(node->link, 0, &end);
	}
}

/* --- as time goes by -------------------------------------------------------------------------- */

/* Whoever listens has got all: how it ended was told, and it does not close. */
static bool
is_done(const struct session *s, int64_t now)
{
	bool sent = s->lanes[STREAM_OUT].ended && s->lanes[STREAM_ERR].ended;

	return sent && s->told_at != 0 && s->user_lost == 0 && now - s->told_at >= CLOSE_WITHIN;
}

/* One who is away has as long after the program's end as after the loss. */
static bool
is_given_up(const struct session *s, int64_t lost, int64_t now)
{
	return lost != 0 &&
		now - (lost > s->exited_at ? lost : s->exited_at) >=
		session_grace(s) * USEC_PER_SEC;
}

static void
give_up(struct session *s, const char *who)
{
	char why[128];

	snprintf(why, sizeof(why),
		"the %s's link was lost, and did not come back within %d seconds", who,
		session_grace(s));
	session_conclude(s, HW_EUNAVAILABLE, why);
}

static void
give_up_user(struct session *s)
{
	char why[128];

	if (!s->let_go) {
		give_up(s, "user");
		return;
	}
	snprintf(why, sizeof(why), "it was detached, and nobody attached to it within %d seconds",
		session_grace(s));
	session_conclude(s, HW_ETERMINATED, why);
}

void
session_sweep_lost(struct session *s, int64_t now)
{
	bool exited = s->exited_at != 0 && session_has_recorder(s);

	if (s->state != SESSION_LIVE)
		return;
	if (s->restored != 0 && s->to_node == NULL)
		session_join(s);
	if (s->state != SESSION_LIVE)
		return;
	bool gone = is_given_up(s, s->user_lost, now);
	if (is_done(s, now) || (gone && exited))
		session_finish_exited(s); /* the recording has what its user did not wait for */
	else if (is_given_up(s, s->node_lost, now))
		give_up(s, "node");
	else if (gone)
		give_up_user(s);
	else if (s->node_asked && now - s->since >= ANSWER_WITHIN)
		session_conclude(s, HW_ETIMEOUT,
			"the node did not take it up again within 30 seconds");
}
