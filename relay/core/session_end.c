/* How a session ends: what each side is told, and what journal, ledger and store keep of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/core/arn.h"
#include "relay/core/fit.h"
#include "relay/core/past.h"
#include "relay/core/session_private.h"
#include "relay/store/store.h"

/* --- the store -------------------------------------------------------------------------------- */

struct end_job {
	struct log_ctx log;
	struct store *store;
	struct journal *journal;
	bool recorded; /* its end is in the journal, below `end` */
	jpos end;
	struct session_row row;
};

static int
write_end(void *arg, struct db *db, struct hw_err *err)
{
	const struct end_job *job = arg;

	return session_finish(db, &job->row, err);
}

/* The next start of the relay finds it, and ends it in recording, ledger and store alike. */
static int
write_unfinished(void *arg, struct db *db, struct hw_err *err)
{
	const struct end_job *job = arg;

	return session_set_status(db, job->row.id, SESSION_STATUS_TERMINATING, err);
}

/* An end that is in the store is on disk in journal and ledger. */
static void
run_end(void *arg)
{
	struct end_job *job = arg;
	struct hw_err err = HW_ERR_INIT;

	bool recorded = job->recorded && journal_wait(job->journal, job->end) == 0;
	int r = store_write(job->store, recorded ? write_end : write_unfinished, job, &err);
	if (r < 0 && r != HW_ETERMINATED)
		log_error(job, "session.unsaved", "why=%s", log_value(hw_err_text(&err)));
}

static void
save_end(struct session *s, bool recorded, jpos end)
{
	struct broker *b = s->broker;
	struct end_job *job = calloc(1, sizeof(*job));
	bool well = s->end_code == 0 || s->end_code == HW_ETERMINATED;

	hw_assert(job != NULL);
	*job = (struct end_job){
		.log = s->log,
		.store = b->env->store,
		.journal = b->journal,
		.recorded = recorded,
		.end = end,
		.row = *s->row,
	};
	job->row.command = NULL;
	job->row.status = well ? SESSION_STATUS_TERMINATED : SESSION_STATUS_FAILED;
	job->row.end = clock_wall(loop_clock(b->loop));
	job->row.bytes_in = (int64_t)s->bytes_in;
	job->row.bytes_out = (int64_t)s->bytes_out;
	job->row.exited = s->ending.exited;
	job->row.exit_status = (int)s->ending.exit_status;
	fit_text(job->row.details, sizeof(job->row.details), s->details);
	workers_owe(b->workers, run_end, free, job);
}

/* --- the end ---------------------------------------------------------------------------------- */

void
session_free(struct session *s)
{
	for (int i = 0; i < STREAMS; i++)
		lane_fini(&s->lanes[i]);
	session_typists_fini(s);
	session_screen_fini(s);
	explicit_bzero(s->resume_token, sizeof(s->resume_token));
	arena_free(s->arena);
	free(s);
}

/* What the machine itself would not do was allowed here, and denied there. */
static int
outcome_of(int end_code)
{
	return end_code == 0 ? OUTCOME_OK : end_code == HW_ELOCAL ? OUTCOME_DENIED : OUTCOME_FAILED;
}

/* One entry for each session that had a session.start. */
static int64_t
note_end(struct session *s, jpos *end)
{
	char node[ARN_MAX], why[1025];
	struct msg_ledger_entry e = {
		.resource = node,
		.session_id = s->id,
		.outcome = outcome_of(s->end_code),
		.reason = why,
		.size = (int64_t)(s->bytes_in + s->bytes_out),
	};

	arn_write_node(node, s->broker->config, s->row->node_id);
	fit_text(why, sizeof(why), s->details);
	return broker_note_user(s->broker, ENTRY_SESSION_END, s->owner.name, s->owner.source, &e,
		end);
}

/* What everybody else is told: journal, ledger, store. The channels are gone by now. Returns the
 * number of the entry, below 0 when there is none. */
static int64_t
settle(struct session *s)
{
	jpos end = 0;
	bool recorded = true;
	int64_t entry = -1;

	if (s->recorded)
		recorded = session_record_message(s, JOURNAL_SESSION_END, MSG_ROW(close),
				   &s->ending, &end) == 0;
	if (s->started) {
		entry = note_end(s, &end);
		recorded = entry >= 0 && recorded;
	}
	if (s->row != NULL)
		save_end(s, recorded, end);
	return entry;
}

static void
log_end(const struct session *s, int64_t entry)
{
	log_info(s, "session.end", "code=%s in=%llu out=%llu why=%s%s",
		s->end_code == 0 ? "" : hw_code_name(s->end_code), (unsigned long long)s->bytes_in,
		(unsigned long long)s->bytes_out, log_value(s->details), ledger_pair(entry));
}

static void
tell_channels(struct session *s, bool accepted)
{
	int code = s->end_code != 0 ? s->end_code : HW_ECLOSED;
	struct msg_control end = {.type = CONTROL_END, .session_id = s->id};

	if (s->to_node != NULL)
		channel_abort(s->to_node, code, s->details);
	else if (s->node != NULL && accepted)
		link_send_control(s->node->link, 0, &end);
	if (s->offer != NULL)
		channel_reject(s->offer, code, s->details);
	if (s->to_user != NULL && accepted)
		channel_close(s->to_user, &s->ending);
	else if (s->to_user != NULL)
		channel_reject(s->to_user, code, s->details);
	s->to_node = s->to_user = s->offer = NULL;
	session_viewers_close(s, &s->ending, true);
}

static bool
has_text(const char *text)
{
	return text != NULL && text[0] != '\0';
}

static void
keep_reason(struct session *s, int code, const char *why)
{
	s->end_code = code;
	if (why != s->details)
		fit_text(s->details, sizeof(s->details), why);
}

static void
reap(void *arg)
{
	session_free(arg);
}

/* A user whose link is lost, or who was interrupted, asks for it once more. */
static void
remember(const struct session *s)
{
	if (s->user_lost != 0 && s->offer == NULL)
		past_add(s->broker->past, s->id, s->owner.name, s->resume_hash,
			s->end_code != 0 ? s->end_code : HW_ECLOSED, s->details);
}

void
session_conclude(struct session *s, int code, const char *why)
{
	struct broker *b = s->broker;
	bool accepted = s->state >= SESSION_LIVE;

	if (s->state == SESSION_OVER)
		return;
	keep_reason(s, code, why);
	/* An orderly end sends what is queued, when this session is no more and a journal that
	 * fails can take nothing back: it must be written before. */
	bool shown = s->to_user != NULL || s->viewers.count > 0;
	if (code == 0 && shown && !broker_before_write(b))
		keep_reason(s, HW_ERECORD, "how the session ended could not be recorded");
	if (s->end_code != 0 && !has_text(s->ending.code)) {
		s->ending.code = hw_code_name(s->end_code);
		s->ending.message = s->details;
	}
	forward_end(s->forward, s->end_code, s->details);
	session_to(s, SESSION_OVER);
	session_screen_forget(s);
	if (accepted)
		remember(s);
	tell_channels(s, accepted);
	int64_t entry = settle(s);
	broker_unlist_session(b, s);
	log_end(s, entry);
	s->reap = (struct loop_task){.fn = reap, .arg = s};
	loop_defer(b->loop, &s->reap);
}

void
session_end(struct session *s, int code, const char *why)
{
	if (s->state > SESSION_REDEEMING)
		session_conclude(s, code, why);
	else if (s->end_code == 0) /* a worker holds it; the end waits until it is back */
		keep_reason(s, code != 0 ? code : HW_ECLOSED, why);
}

void
session_refuse(struct session *s, int code, const char *why)
{
	log_warn(s, "session.refused", "code=%s", hw_code_name(code));
	session_conclude(s, code, why);
}

/* --- a side that goes ------------------------------------------------------------------------- */

void
session_finish_drained(struct session *s)
{
	session_end_skipping(s);
	if (has_text(s->ending.code))
		session_conclude(s, hw_code_from_name(s->ending.code), s->ending.message);
	else
		session_finish_exited(s);
}

void
session_finish_exited(struct session *s)
{
	char why[64] = "ended";

	if (has_text(s->ending.signal))
		snprintf(why, sizeof(why), "ended by signal %s", s->ending.signal);
	else if (s->ending.exited)
		snprintf(why, sizeof(why), "exit status %lld", (long long)s->ending.exit_status);
	session_conclude(s, 0, why);
}

/* The texts of a CLOSE live only during the call. What was told of the program before stays. */
static void
keep_ending(struct session *s, const struct msg_close *close)
{
	const struct msg_close exit = s->ending;

	s->ending = *close;
	s->ending.code = close->code != NULL ? arena_strdup(s->arena, close->code) : NULL;
	s->ending.message = close->message != NULL ? arena_strdup(s->arena, close->message) : NULL;
	s->ending.signal = close->signal != NULL ? arena_strdup(s->arena, close->signal) : NULL;
	if (s->exited_at == 0)
		return;
	s->ending.exited = true;
	s->ending.exit_status = exit.exit_status;
	s->ending.signal = exit.signal;
}

void
session_on_node_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct session *s = arg;

	(void)code;
	s->to_node = NULL;
	if (channel_is_cut(ch) && s->state >= SESSION_LIVE) {
		session_lose_node(s);
		return;
	}
	broker_leave_node(s->broker, s);
	if (s->state < SESSION_LIVE) {
		session_conclude(s, HW_EUNAVAILABLE, "the node's link was lost");
		return;
	}
	keep_ending(s, close);
	session_to(s, SESSION_DRAINING);
	if (session_drained(s) || s->user_lost != 0) /* nobody takes the rest */
		session_finish_drained(s);
}

void
session_on_user_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct session *s = arg;

	(void)close;
	s->to_user = NULL;
	if (channel_is_cut(ch) && s->state >= SESSION_LIVE)
		session_lose_user(s, "the user's link was lost");
	else if (channel_is_cut(ch))
		session_end(s, HW_EUNAVAILABLE, "the user's link was lost");
	else if (code == 0 && s->exited_at != 0)
		session_finish_exited(s);
	else
		session_end(s, 0, "closed by its user");
}
