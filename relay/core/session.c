/*
 * A session's life: OPEN with a ticket -> redeemed on a worker -> the node's OPEN -> spliced and recorded -> ended.
 * The one setter of its state is session_to().
 */
#include "relay/core/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "relay/core/broker_loop.h"
#include "relay/core/session_private.h"
#include "relay/store/store.h"

#define SESSION_ARENA_MAX (512 * 1024)
#define WINDOW		  (1024 * 1024)	      /* what the relay lets a stream have under way */
#define STALL_AFTER	  (5 * USEC_PER_SEC) /* a terminal that takes nothing for so long is passed by */

static const struct channel_events user_channel_events, node_channel_events;

static void
session_to(struct session *s, enum session_state state)
{
	static const char *const names[] = {"redeeming", "opening", "live", "draining", "over"};

	hw_assert(state > s->state);
	log_debug(s, "session.state", "from=%s to=%s", names[s->state], names[state]);
	s->state = state;
}

const char *
session_id(const struct session *s)
{
	return s->id;
}

struct peer *
session_node(const struct session *s)
{
	return s->node;
}

struct peer *
session_user(const struct session *s)
{
	return s->user;
}

/* --- recording --------------------------------------------------------------------------------------- */

/* Appends to the journal. When that fails the whole broker freezes, this session with it. */
static int
record(struct session *s, enum journal_type type, int stream, int flags, uint64_t offset, const void *p,
	size_t n, jpos *end)
{
	struct journal_record rec = {
		.type = type,
		.stream = (uint8_t)stream,
		.flags = (uint8_t)flags,
		.session = s->number,
		.offset = offset,
		.time = clock_wall(loop_clock(s->broker->loop)),
		.bytes = p,
		.len = n,
	};
	jpos pos;

	if (s->frozen)
		return HW_ERECORD;
	int r = journal_append(s->broker->journal, &rec, end != NULL ? end : &pos);
	if (r == HW_EFULL && journal_write(s->broker->journal) == 0)
		r = journal_append(s->broker->journal, &rec, end != NULL ? end : &pos);
	if (r < 0) {
		broker_freeze(s->broker, "the journal takes no more records");
		return HW_ERECORD;
	}
	broker_flush_soon(s->broker);
	return 0;
}

static int
record_message(struct session *s, enum journal_type type, const struct msg_row *row, const void *msg)
{
	struct buf bytes;

	buf_init(&bytes, JOURNAL_RECORD_MAX);
	int r = msg_encode(&bytes, row, msg, NULL);
	if (r == 0)
		r = record(s, type, 0, 0, 0, buf_data(&bytes), bytes.len, NULL);
	buf_fini(&bytes);
	return r;
}

static int
record_start(struct session *s)
{
	const struct session_row *row = s->row;
	struct msg_recording_meta meta = {
		.session_id = s->id,
		.type = row->type,
		.principal = row->owner_arn,
		.target = row->node_id,
		.target_name = row->node_name,
		.run_as = row->run_as,
		.document = row->document,
		.command = row->command,
		.reason = row->reason,
		.term = s->asked->term,
		.cols = s->asked->cols,
		.rows = s->asked->rows,
		.start = row->start,
	};

	int r = record_message(s, JOURNAL_SESSION_START, MSG_ROW(recording_meta), &meta);
	s->recorded = r == 0;
	return r;
}

/* --- the end ------------------------------------------------------------------------------------------- */

struct finish_job {
	struct log_ctx log;
	struct store *store;
	struct session_row row;
};

static int
write_finish(void *arg, struct db *db, struct hw_err *err)
{
	const struct finish_job *job = arg;

	return session_finish(db, &job->row, err);
}

static void
run_finish(void *arg)
{
	struct finish_job *job = arg;
	struct hw_err err = HW_ERR_INIT;

	if (store_write(job->store, write_finish, job, &err) < 0)
		log_error(job, "session.unsaved", "%s", hw_err_text(&err));
}

static void
save_end(struct session *s)
{
	struct finish_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return;
	*job = (struct finish_job){.log = s->log, .store = s->broker->env->store, .row = *s->row};
	job->row.command = NULL;
	job->row.status = s->end_code == 0 || s->end_code == HW_ETERMINATED ? SESSION_STATUS_TERMINATED
									     : SESSION_STATUS_FAILED;
	job->row.end = clock_wall(loop_clock(s->broker->loop));
	job->row.bytes_in = (int64_t)s->bytes_in;
	job->row.bytes_out = (int64_t)s->bytes_out;
	job->row.exited = s->ending.exited;
	job->row.exit_status = (int)s->ending.exit_status;
	snprintf(job->row.details, sizeof(job->row.details), "%s", s->details);
	if (!workers_submit(s->broker->workers, run_finish, free, job)) {
		log_error(s, "session.unsaved", "%s", "the workers' queue is full");
		free(job);
	}
}

static void
reap(void *arg)
{
	struct session *s = arg;

	for (int i = 0; i < STREAMS; i++)
		lane_fini(&s->lanes[i]);
	arena_free(s->arena);
	free(s);
}

/* What everybody else is told of an end: journal, store, ledger, lists. The channels are gone by now. */
static void
settle_end(struct session *s)
{
	struct broker *b = s->broker;

	if (s->recorded && !b->frozen)
		record_message(s, JOURNAL_SESSION_END, MSG_ROW(close), &s->ending);
	if (s->row != NULL) {
		struct msg_ledger_entry e = {
			.resource = s->row->node_id,
			.session_id = s->id,
			.outcome = s->end_code == 0 ? OUTCOME_OK : OUTCOME_FAILED,
			.reason = s->details,
			.size = (int64_t)(s->bytes_in + s->bytes_out),
		};
		broker_note(b, ENTRY_SESSION_END, s->user, &e);
		save_end(s);
	}
	if (s->counted)
		broker_unlist_session(b, s);
	log_info(s, "session.end", "code=%s in=%llu out=%llu why=%s",
		s->end_code == 0 ? "" : hw_code_name(s->end_code), (unsigned long long)s->bytes_in,
		(unsigned long long)s->bytes_out, s->details);
}

static void
finish(struct session *s, int code, const char *why)
{
	if (s->state == SESSION_OVER)
		return;
	s->end_code = code;
	snprintf(s->details, sizeof(s->details), "%s", why);
	if (s->ending.code == NULL && code != 0) {
		s->ending.code = hw_code_name(code);
		s->ending.message = s->details;
	}
	bool accepted = s->state >= SESSION_LIVE;
	session_to(s, SESSION_OVER);
	if (s->to_node != NULL)
		channel_abort(s->to_node, code != 0 ? code : HW_ECLOSED, s->details);
	if (s->to_user != NULL && accepted)
		channel_close(s->to_user, &s->ending);
	else if (s->to_user != NULL)
		channel_reject(s->to_user, code != 0 ? code : HW_ECLOSED, s->details);
	s->to_node = s->to_user = NULL;
	settle_end(s);
	loop_defer(s->broker->loop, &s->reap);
}

void
session_end(struct session *s, int code, const char *why)
{
	if (s->state == SESSION_REDEEMING) { /* a worker holds it: on_redeemed() sees the end */
		s->end_code = code;
		snprintf(s->details, sizeof(s->details), "%s", why);
		return;
	}
	finish(s, code, why);
}

/* An OPEN that comes to nothing: nobody saw a session. */
static void
refuse(struct session *s, int code, const char *why)
{
	log_warn(s, "session.refused", "code=%s why=%s", hw_code_name(code), why);
	finish(s, code, why);
}

/* --- splicing: towards the node -------------------------------------------------------------------------- */

static void
close_broken(struct session *s, const char *what)
{
	log_warn(s, "session.overrun", "%s", what);
	session_end(s, HW_ELIMIT, what);
}

static void
on_user_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct session *s = arg;
	jpos end = 0;
	size_t moved;

	(void)ch;
	if (s->to_node == NULL || s->frozen || stream != STREAM_IN)
		return;
	s->bytes_in += n;
	if (record(s, JOURNAL_DATA, stream, 0, offset, p, n, &end) < 0)
		return;
	bool sync = s->broker->config->durability == DURABILITY_SYNC;
	if (sync)
		s->broker->sync_soon = true;
	if (lane_put(&s->lanes[stream], s->to_node, p, n, sync ? end : 0, &moved) < 0)
		close_broken(s, "input past its window");
}

static void
on_user_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct session *s = arg;

	(void)ch;
	if (s->to_node == NULL || stream != STREAM_IN)
		return;
	record(s, JOURNAL_STREAM_END, stream, 0, offset, NULL, 0, NULL);
	s->lanes[stream].ends = true;
	lane_pump(&s->lanes[stream], s->to_node);
}

static void
on_user_control(void *arg, struct channel *ch, const struct msg_control *c)
{
	struct session *s = arg;

	(void)ch;
	if (s->to_node == NULL || s->frozen)
		return;
	if (c->type == CONTROL_RESIZE)
		record(s, JOURNAL_RESIZE, 0, 0, (uint64_t)c->cols << 32 | (uint64_t)c->rows, NULL, 0, NULL);
	else if (c->type == CONTROL_SIGNAL)
		record(s, JOURNAL_NOTE, 0, 0, 0, c->signal, c->signal != NULL ? strlen(c->signal) : 0, NULL);
	else
		return; /* nothing else is for a program */
	if (!s->frozen)
		channel_control(s->to_node, c);
}

/* The holder's credit for input, with what it says of the terminal's echo. Pipes have none: there the
 * input is readable. */
static void
on_node_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	struct session *s = arg;

	(void)ch;
	if (stream != STREAM_IN || s->to_user == NULL)
		return;
	if (s->kind->type == CHANNEL_TYPE_EXEC)
		echo = ECHO_SHOWN;
	if (consumed > s->echoed && echo != ECHO_UNKNOWN) {
		s->echoed = consumed;
		record(s, JOURNAL_ECHO, STREAM_IN, echo, consumed, NULL, 0, NULL);
	}
	if (limit > consumed + WINDOW)
		limit = consumed + WINDOW;
	if (limit > channel_received(s->to_user, STREAM_IN))
		channel_credit(s->to_user, STREAM_IN, consumed, limit, ECHO_UNKNOWN);
}

/* --- splicing: towards the user --------------------------------------------------------------------------- */

static int64_t
now_mono(const struct session *s)
{
	return clock_mono(loop_clock(s->broker->loop));
}

static bool
drained(const struct session *s)
{
	for (int i = STREAM_OUT; i < STREAMS; i++)
		if (s->lanes[i].hold.len > 0)
			return false;
	return true;
}

/* Output went on to the terminal: the recorder is done with it too, and the shell may write as much again. */
static void
output_moved(struct session *s, int stream, size_t n)
{
	s->lanes[stream].moved = now_mono(s);
	if (s->to_node != NULL && s->kind->output == RECEIVER_RECORDER && n > 0)
		channel_consume(s->to_node, stream, n, ECHO_UNKNOWN);
}

static void
on_node_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct session *s = arg;
	struct lane *lane = &s->lanes[stream];
	size_t moved;

	(void)ch;
	s->bytes_out += n;
	if (s->to_user == NULL || s->frozen || record(s, JOURNAL_DATA, stream, 0, offset, p, n, NULL) < 0)
		return;
	if (s->skipping) {
		s->skipped += n;
		output_moved(s, stream, n);
		return;
	}
	bool was_empty = lane->hold.len == 0;
	if (lane_put(lane, s->to_user, p, n, 0, &moved) < 0) {
		close_broken(s, "output past its window");
		return;
	}
	if (moved > 0 || was_empty)
		output_moved(s, stream, moved);
}

static void
on_node_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct session *s = arg;

	(void)ch;
	record(s, JOURNAL_STREAM_END, stream, 0, offset, NULL, 0, NULL);
	s->lanes[stream].ends = true;
	if (s->to_user != NULL)
		lane_pump(&s->lanes[stream], s->to_user);
}

static void
notice(struct session *s, const char *text)
{
	struct msg_control c = {.type = CONTROL_NOTICE, .text = text};

	if (s->to_user != NULL)
		channel_control(s->to_user, &c);
	if (s->recorded)
		record(s, JOURNAL_NOTE, 0, 0, 0, text, strlen(text), NULL);
}

static void
end_skipping(struct session *s)
{
	char text[160];

	snprintf(text, sizeof(text), "%llu bytes of output were not shown while the terminal took none; "
		"the recording has them",
		(unsigned long long)s->skipped);
	s->skipping = false;
	s->skipped = 0;
	notice(s, text);
}

/* The program is gone and its output delivered. */
static void
finish_drained(struct session *s)
{
	char why[64];

	snprintf(why, sizeof(why), "exit status %lld", (long long)s->ending.exit_status);
	if (s->ending.code != NULL && s->ending.code[0] != '\0')
		finish(s, hw_code_from_name(s->ending.code), s->ending.message != NULL ? s->ending.message : "");
	else
		finish(s, 0, s->ending.exited ? why : "ended");
}

static void
pump_output(struct session *s, int stream)
{
	size_t n = lane_pump(&s->lanes[stream], s->to_user);

	if (n > 0)
		output_moved(s, stream, n);
	if (s->skipping && channel_room(s->to_user, stream) > 0)
		end_skipping(s);
	if (s->state == SESSION_DRAINING && drained(s))
		finish_drained(s);
}

/* The user's credit: for an exec it is the program's and goes through to the holder; a terminal's tells only that there is
 * room again. */
static void
on_user_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	struct session *s = arg;

	(void)ch, (void)echo;
	if (stream == STREAM_IN || s->frozen)
		return;
	if (s->kind->output == RECEIVER_PEER && s->to_node != NULL)
		channel_credit(s->to_node, stream, consumed,
			limit < consumed + WINDOW ? limit : consumed + WINDOW, ECHO_UNKNOWN);
	pump_output(s, stream);
}

static void
on_user_drained(void *arg, struct channel *ch, int stream)
{
	struct session *s = arg;

	(void)ch;
	if (stream != STREAM_IN && !s->frozen)
		pump_output(s, stream);
}

static void
on_node_drained(void *arg, struct channel *ch, int stream)
{
	struct session *s = arg;

	(void)ch;
	if (stream == STREAM_IN && !s->frozen)
		lane_pump(&s->lanes[stream], s->to_node);
}

/* --- how it ends -------------------------------------------------------------------------------------------- */

/* The texts of a CLOSE live only during the call. */
static void
keep_ending(struct session *s, const struct msg_close *close)
{
	s->ending = *close;
	s->ending.code = close->code != NULL ? arena_strdup(s->arena, close->code) : NULL;
	s->ending.message = close->message != NULL ? arena_strdup(s->arena, close->message) : NULL;
	s->ending.signal = close->signal != NULL ? arena_strdup(s->arena, close->signal) : NULL;
}

static void
on_node_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct session *s = arg;

	(void)ch;
	s->to_node = NULL;
	broker_leave_node(s->broker, s);
	if (code == HW_EUNAVAILABLE) {
		finish(s, code, "the node's link was lost");
		return;
	}
	keep_ending(s, close);
	session_to(s, SESSION_DRAINING);
	if (drained(s))
		finish_drained(s);
}

static void
on_user_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct session *s = arg;

	(void)ch, (void)close;
	s->to_user = NULL;
	if (s->state == SESSION_REDEEMING)
		session_end(s, HW_ECLOSED, "closed by its user");
	else
		finish(s, code == HW_EUNAVAILABLE ? HW_EUNAVAILABLE : 0,
			code == HW_EUNAVAILABLE ? "the user's link was lost" : "closed by its user");
}

void
session_freeze(struct session *s, const char *why)
{
	char text[256];

	if (s->frozen || s->state == SESSION_OVER)
		return;
	s->frozen = true;
	s->frozen_at = now_mono(s);
	if (s->state == SESSION_OPENING)
		return; /* nothing went through it yet: the sweep ends it */
	lane_drop(&s->lanes[STREAM_IN]);
	if (s->to_node != NULL)
		channel_discard(s->to_node, STREAM_IN);
	for (int i = STREAM_OUT; i < STREAMS; i++) {
		lane_drop(&s->lanes[i]);
		if (s->to_user != NULL)
			channel_discard(s->to_user, i);
	}
	snprintf(text, sizeof(text), "this session cannot be recorded any more (%s): it is frozen, and ends in %d seconds",
		why, s->broker->config->grace_seconds);
	notice(s, text);
}

void
session_synced(struct session *s, jpos pos)
{
	struct lane *lane = &s->lanes[STREAM_IN];

	if (lane->marks.len == 0 || s->to_node == NULL || s->frozen)
		return;
	lane_synced(lane, pos);
	lane_pump(lane, s->to_node);
}

void
session_sweep(struct session *s, int64_t now)
{
	if (s->frozen && now - s->frozen_at >= s->broker->config->grace_seconds * USEC_PER_SEC) {
		finish(s, HW_ERECORD, "it could not be recorded any more");
		return;
	}
	if (s->kind->output != RECEIVER_RECORDER)
		return;
	for (int i = STREAM_OUT; i < STREAMS; i++) {
		struct lane *lane = &s->lanes[i];
		if (lane->hold.len == 0 || now - lane->moved < STALL_AFTER)
			continue;
		size_t n = lane_drop(lane);
		s->skipping = true;
		s->skipped += n;
		log_info(s, "session.stalled", "skipped=%zu", n);
		output_moved(s, i, n);
		if (s->state == SESSION_DRAINING && drained(s)) {
			finish_drained(s);
			return;
		}
	}
}

/* --- the beginning --------------------------------------------------------------------------------------------- */

static void
on_node_accept(void *arg, struct channel *ch, const struct msg_accept *a)
{
	struct session *s = arg;
	struct msg_accept accept = {
		.session_id = s->id,
		.run_as = a->run_as,
		.pid = a->pid,
		.window = a->window < WINDOW ? a->window : WINDOW,
	};

	(void)ch;
	session_to(s, SESSION_LIVE);
	log_info(s, "session.live", "run_as=%s pid=%lld", a->run_as != NULL ? a->run_as : "",
		(long long)a->pid);
	channel_accept(s->to_user, &accept);
}

static void
on_node_reject(void *arg, struct channel *ch, int code, const char *message)
{
	struct session *s = arg;

	(void)ch;
	s->to_node = NULL;
	broker_leave_node(s->broker, s);
	refuse(s, code, message);
}

static void
ask_node(struct session *s)
{
	const struct session_row *row = s->row;
	struct hw_err err = HW_ERR_INIT;
	struct msg_open open = {
		.type = row->type,
		.session_id = s->id,
		.principal = row->principal,
		.run_as = row->run_as,
		.document = row->document,
		.command = row->command,
		.term = s->asked->term,
		.lang = s->asked->lang,
		.colorterm = s->asked->colorterm,
		.cols = s->asked->cols,
		.rows = s->asked->rows,
		.window = s->kind->output == RECEIVER_PEER && s->asked->window < WINDOW ? s->asked->window : WINDOW,
		.proof = s->asked->proof,
	};

	session_to(s, SESSION_OPENING);
	if (channel_open(&s->to_node, s->node->link, &open, &node_channel_events, s, &err) < 0)
		refuse(s, HW_EOFFLINE, hw_err_text(&err));
}

static void
begin(struct session *s)
{
	if (s->broker->frozen || record_start(s) < 0)
		refuse(s, HW_ERECORD, "sessions cannot be recorded now, so none is started");
	else if (s->node == NULL)
		refuse(s, HW_EOFFLINE, "the node is not connected");
	else
		ask_node(s);
}

/* Back from the worker, with the row that the ticket stands for. */
static void
on_redeemed(void *arg)
{
	struct session *s = arg;
	struct peer *user = s->user;
	int code = s->redeemed.code != 0 ? s->redeemed.code : s->end_code;

	if (s->row != NULL) {
		s->node = broker_find_node(s->broker, s->row->node_id);
		s->counted = true;
		broker_list_session(s->broker, s);
	}
	if (code != 0)
		refuse(s, code, s->redeemed.code != 0 ? hw_err_text(&s->redeemed) : s->details);
	else
		begin(s);
	peer_release(user);
}

static int
write_redeem(void *arg, struct db *db, struct hw_err *err)
{
	struct session *s = arg;

	struct session_row *row;
	int r = session_redeem(db, s->arena, s->ticket, s->user->who.id,
		clock_wall(loop_clock(s->broker->loop)), &row, err);

	if (r == 0 && (strcmp(row->id, s->id) != 0 || row->type != s->kind->type))
		r = hw_err_set(err, HW_ETICKET, "the ticket is for another session or another type of channel");
	if (r == 0 && (r = session_set_status(db, row->id, SESSION_STATUS_CONNECTED, err)) == 0)
		s->row = row;
	return r;
}

static int
note_start(struct session *s, int r, const char *why)
{
	const struct relay_config *c = s->broker->config;
	char arn[256], node[256];
	struct msg_ledger_entry e = {
		.principal = arn,
		.action = "ssm:StartSession",
		.resource = s->row != NULL ? node : NULL,
		.outcome = r < 0 ? OUTCOME_DENIED : OUTCOME_OK,
		.reason = r < 0 ? why : NULL,
		.session_id = s->id,
		.source = s->user->source,
		.detail = s->row != NULL ? s->row->document : NULL,
	};

	snprintf(arn, sizeof(arn), "arn:aws:iam::%s:user/%s", c->account, s->user->who.id);
	if (s->row != NULL)
		snprintf(node, sizeof(node), "arn:aws:ssm:%s:%s:managed-instance/%s", c->region, c->account,
			s->row->node_id);
	return ledger_commit(s->broker->ledger, r < 0 ? ENTRY_DECISION : ENTRY_SESSION_START, &e);
}

/* On a worker; the loop does not touch the session but for its end_code and to_user meanwhile. */
static void
run_redeem(void *arg)
{
	struct session *s = arg;
	struct hw_err err = HW_ERR_INIT;

	int r = store_write(s->broker->env->store, write_redeem, s, &err);
	if (r < 0)
		s->row = NULL; /* what the write had set was rolled back */
	if (note_start(s, r, hw_err_text(&err)) < 0)
		r = hw_err_set(&err, HW_ERECORD, "the ledger cannot be written, so nothing is done");
	s->redeemed = err;
	s->redeemed.code = r;
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

static const char *
keep_text(struct session *s, const char *text)
{
	return text != NULL ? arena_strdup(s->arena, text) : NULL;
}

/* What of the user's OPEN is still needed when the node is asked. */
static const struct msg_open *
keep_open(struct session *s, const struct msg_open *open)
{
	struct msg_open *kept = arena_dup(s->arena, open, sizeof(*open));

	if (kept == NULL)
		return NULL;
	kept->term = keep_text(s, open->term);
	kept->lang = keep_text(s, open->lang);
	kept->colorterm = keep_text(s, open->colorterm);
	kept->token = NULL;
	kept->session_id = s->id;
	kept->principal = kept->run_as = kept->document = kept->command = NULL; /* the ticket's row says */
	kept->proof.p = arena_dup(s->arena, open->proof.p, open->proof.n);
	return kept;
}

static struct session *
session_new(struct broker *b, struct peer *user, struct channel *ch, const struct msg_open *open)
{
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL || (s->arena = arena_new(SESSION_ARENA_MAX)) == NULL) {
		free(s);
		return NULL;
	}
	s->broker = b;
	s->user = user;
	s->to_user = ch;
	s->kind = channel_row(open->type);
	s->reap = (struct loop_task){.fn = reap, .arg = s};
	snprintf(s->id, sizeof(s->id), "%s", open->session_id);
	s->number = session_number(s->id);
	s->asked = keep_open(s, open);
	token_hash(s->ticket, open->token != NULL ? open->token : "");
	log_ctx_child(&s->log, &user->log, "session", s->id);
	for (int i = 0; i < STREAMS; i++)
		lane_init(&s->lanes[i], i);
	return s;
}

void
session_open(struct broker *b, struct peer *user, struct channel *ch, const struct msg_open *open)
{
	struct session *s = session_new(b, user, ch, open);

	if (s == NULL || s->asked == NULL) {
		if (s != NULL)
			reap(s);
		channel_reject(ch, HW_ENOMEM, "no memory for the session");
		return;
	}
	channel_attach(ch, &user_channel_events, s);
	peer_hold(user);
	if (!workers_submit(b->workers, run_redeem, on_redeemed, s)) {
		channel_reject(ch, HW_EFULL, "too many operations are under way: try again");
		peer_release(user);
		reap(s);
	}
}

static const struct channel_events user_channel_events = {
	.on_data = on_user_data,
	.on_end = on_user_end,
	.on_credit = on_user_credit,
	.on_drained = on_user_drained,
	.on_control = on_user_control,
	.on_close = on_user_close,
};

static const struct channel_events node_channel_events = {
	.on_accept = on_node_accept,
	.on_reject = on_node_reject,
	.on_data = on_node_data,
	.on_end = on_node_end,
	.on_credit = on_node_credit,
	.on_drained = on_node_drained,
	.on_close = on_node_close,
};
