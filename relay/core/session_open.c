/* How a session begins: a ticket is redeemed, the node is asked, and both sides are joined. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/core/arn.h"
#include "relay/core/authorise.h"
#include "relay/core/fit.h"
#include "relay/core/session_private.h"
#include "relay/store/store.h"

#define ARENA_MAX (512 * 1024)

/* --- the node --------------------------------------------------------------------------------- */

static void
on_node_accept(void *arg, struct channel *ch, const struct msg_accept *a)
{
	struct session *s = arg;
	struct msg_accept accept = {
		.session_id = s->id,
		.run_as = a->run_as,
		.pid = a->pid,
		.token = s->resume_token,
		.resume_seconds = session_grace(s),
		.window = !s->kind->recorded	     ? 0
			: a->window < SESSION_WINDOW ? a->window
						     : SESSION_WINDOW,
	};

	(void)ch;
	if (s->frozen) {
		session_refuse(s, HW_ERECORD,
			"sessions cannot be recorded now, so none is started");
		return;
	}
	if (s->kind->type == CHANNEL_TYPE_FORWARD && (s->forward = forward_new(s)) == NULL) {
		session_refuse(s, HW_ENOMEM, "no memory for a forward");
		return;
	}
	session_to(s, SESSION_LIVE);
	const char *name = a->run_as != NULL ? a->run_as : "";
	log_info(s, "session.live", "run_as=%s pid=%lld%s", log_value(name), (long long)a->pid,
		ledger_pair(s->entry));
	/* Its word counts where nobody was named; it reaches the store with the session's end. */
	if (s->row->run_as[0] == '\0')
		fit_text(s->row->run_as, sizeof(s->row->run_as), name);
	channel_accept(s->to_user, &accept);
	explicit_bzero(s->resume_token, sizeof(s->resume_token));
}

static void
on_node_reject(void *arg, struct channel *ch, int code, const char *message)
{
	struct session *s = arg;

	(void)ch;
	s->to_node = NULL;
	if (s->node_asked) {
		session_on_node_refusal(s, code, message);
		return;
	}
	broker_leave_node(s->broker, s);
	session_refuse(s, code, message);
}

/* Bytes of each output stream that the node may send at first: an exec's reader says how many. */
static int64_t
output_window(const struct session *s)
{
	if (!s->kind->recorded)
		return 0; /* what nobody records has no bytes here */
	bool readers = s->kind->output == RECEIVER_PEER && s->asked->window < SESSION_WINDOW;

	return readers ? s->asked->window : SESSION_WINDOW;
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
		.window = output_window(s),
		.proof = s->asked->proof,
	};

	session_to(s, SESSION_OPENING);
	s->since = session_now(s);
	int r = channel_open(&s->to_node, s->node->link, &open, &session_node_events, s, &err);
	if (r < 0)
		session_refuse(s, r == HW_EUNAVAILABLE ? HW_EOFFLINE : r, hw_err_text(&err));
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

	int r = session_record_message(s, JOURNAL_SESSION_START, MSG_ROW(recording_meta), &meta,
		NULL);
	s->recorded = r == 0;
	return r;
}

static void
begin(struct session *s)
{
	int most = s->broker->config->max_sessions_per_node;
	char why[128];

	if (s->node == NULL) {
		session_refuse(s, HW_EOFFLINE, "the node is not connected");
	} else if (s->node->sessions > most) {
		snprintf(why, sizeof(why),
			"%d sessions are open on this node, and no more are allowed", most);
		session_refuse(s, HW_ELIMIT, why);
	} else if (record_start(s) < 0) {
		session_refuse(s, HW_ERECORD,
			"sessions cannot be recorded now, so none is started");
	} else {
		ask_node(s);
	}
}

/* --- the ticket ------------------------------------------------------------------------------- */

/* Its user hears what was asked, the ledger why it was denied. */
static void
refuse_denied(struct session *s)
{
	char why[768];

	snprintf(why, sizeof(why), "%s may not ssm:StartSession on %.500s", s->owner.name,
		s->denied_on);
	session_refuse(s, HW_EDENIED, why);
}

/* Back from the worker, with the row that the ticket stands for. */
static void
on_redeemed(void *arg)
{
	struct session *s = arg;
	struct broker *b = s->broker;
	struct peer *user = s->user;
	int code = s->redeemed.code;

	if (s->row != NULL) {
		broker_list_session(b, s, broker_online_node(b, s->row->node_id));
		memcpy(s->run_as, s->row->run_as, sizeof(s->run_as));
		session_destination(&s->to, s->row);
		s->decided = session_now(s);
		broker_decide_soon(b, s); /* what changed while a worker had it */
	}
	if (code == HW_ETICKET)
		session_refuse(s, code,
			hw_code_meaning(code)); /* which of them is for the ledger */
	else if (code == HW_EDENIED)
		refuse_denied(s);
	else if (code != 0)
		session_refuse(s, code, hw_err_text(&s->redeemed));
	else if (s->end_code != 0)
		session_refuse(s, s->end_code, s->details);
	else
		begin(s);
	peer_release(user);
}

/* Once more, at the address that it is opened from: much may have changed since it was started. A
 * ticket that is not let through stays good, as the session was never opened. */
static int
check_allowed(struct session *s, const struct session_row *row, struct hw_err *err)
{
	struct verdict v;

	int r = session_authorise(&v, s->denied_on, s, row, row->run_as);
	if (r < 0)
		return hw_err_set(err, r, "no memory to decide on the session");
	if (v.allow)
		return 0;
	return hw_err_set(err, HW_EDENIED, "%s", v.why);
}

static int
write_redeem(void *arg, struct db *db, struct hw_err *err)
{
	struct session *s = arg;
	struct session_row *row;

	const struct session_opener who = {.name = s->owner.name,
		.source = s->owner.source,
		.not_before = s->owner.not_before,
		.resume_hash = s->resume_hash};
	int r = session_redeem(db, s->arena, s->ticket, &who,
		clock_wall(loop_clock(s->broker->loop)), &row, err);
	if (r == 0 && (strcmp(row->id, s->id) != 0 || row->type != s->kind->type))
		r = hw_err_set(err, HW_ETICKET,
			"the ticket is for another session or another type of channel");
	if (r == 0)
		r = check_allowed(s, row, err);
	if (r == 0 && (r = session_set_status(db, row->id, SESSION_STATUS_CONNECTED, err)) == 0)
		s->row = row;
	return r;
}

/* The attempt, whatever came of it, is one entry. */
static int64_t
note_attempt(struct session *s, int r, const char *why)
{
	const struct relay_config *c = s->broker->config;
	char user[ARN_MAX], node[ARN_MAX] = "", reason[512];
	char shown[DESTINATION_MAX], detail[DESTINATION_MAX + 160];
	struct destination to;
	struct msg_ledger_entry e = {
		.principal = user,
		.action = "ssm:StartSession",
		.outcome = r == 0			     ? OUTCOME_OK
			: r == HW_ETICKET || r == HW_EDENIED ? OUTCOME_DENIED
							     : OUTCOME_FAILED,
		.session_id = s->id,
		.source = s->owner.source,
	};

	arn_write_user(user, c, s->owner.name);
	if (r < 0) {
		fit_text(reason, sizeof(reason), why);
		e.reason = reason;
		e.resource = s->denied_on[0] != '\0' ? s->denied_on : NULL;
		return ledger_commit_numbered(s->broker->ledger, ENTRY_DECISION, &e);
	}
	arn_write_node(node, c, s->row->node_id);
	e.resource = node;
	e.detail = s->row->document;
	session_destination(&to, s->row);
	if (!destination_is_empty(&to)) {
		destination_write(shown, &to);
		snprintf(detail, sizeof(detail), "%s %s", s->row->document, shown);
		e.detail = detail;
	}
	return ledger_commit_numbered(s->broker->ledger, ENTRY_SESSION_START, &e);
}

/* On a worker; the loop does not touch the session but for its end_code, details and to_user
 * meanwhile. */
static void
run_redeem(void *arg)
{
	struct session *s = arg;
	struct hw_err err = HW_ERR_INIT;

	int r = store_write(s->broker->env->store, write_redeem, s, &err);
	if (r < 0)
		s->row = NULL; /* what the write had set was rolled back */
	s->entry = note_attempt(s, r, hw_err_text(&err));
	s->started = r == 0 && s->entry >= 0;
	if (s->entry < 0)
		r = hw_err_set(&err, HW_ERECORD,
			"the ledger cannot be written, so nothing is done");
	s->redeemed = err;
	s->redeemed.code = r;
}

/* --- OPEN ------------------------------------------------------------------------------------- */

static const char *
keep_text(struct session *s, const char *text)
{
	return text != NULL ? arena_strdup(s->arena, text) : NULL;
}

/* What of the user's OPEN is still needed when the node is asked; the ticket's row says the rest.
 */
static const struct msg_open *
keep_open(struct session *s, const struct msg_open *open)
{
	struct msg_open *kept = arena_alloc(s->arena, sizeof(*kept));

	if (kept == NULL)
		return NULL;
	*kept = (struct msg_open){
		.term = keep_text(s, open->term),
		.lang = keep_text(s, open->lang),
		.colorterm = keep_text(s, open->colorterm),
		.cols = open->cols,
		.rows = open->rows,
		.window = open->window,
		.proof = {arena_dup(s->arena, open->proof.p, open->proof.n), open->proof.n},
	};
	return kept->proof.p != NULL ? kept : NULL;
}

static struct session *
session_new(struct broker *b, struct peer *user, struct channel *ch, const struct msg_open *open)
{
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL || (s->arena = arena_new(ARENA_MAX)) == NULL ||
		(s->asked = keep_open(s, open)) == NULL) {
		if (s != NULL)
			session_free(s);
		return NULL;
	}
	s->broker = b;
	s->user = user;
	fit_text(s->owner.name, sizeof(s->owner.name), user->who.id);
	fit_text(s->owner.source, sizeof(s->owner.source), user->source);
	s->owner.not_before = user->who.not_before;
	token_make(s->resume_token);
	token_hash(s->resume_hash, s->resume_token);
	s->to_user = ch;
	s->kind = channel_row(open->type);
	fit_text(s->id, sizeof(s->id), open->session_id);
	s->number = session_number(s->id);
	token_hash(s->ticket, open->token != NULL ? open->token : "");
	log_ctx_child(&s->log, &user->log, "session", s->id);
	s->cols = (int)open->cols;
	s->rows = (int)open->rows;
	for (int i = 0; i < STREAMS; i++)
		lane_init(&s->lanes[i], i);
	session_viewers_init(s);
	session_typists_init(s);
	session_screen_init(s);
	return s;
}

/* Before anything is asked of a worker, or a ticket used up. */
static int
check_room(struct broker *b, const struct peer *user, struct hw_err *err)
{
	const struct relay_config *c = b->config;

	if (b->sessions_live >= c->max_sessions)
		return hw_err_set(err, HW_ELIMIT,
			"this relay carries %d sessions, and no more are allowed", c->max_sessions);
	if (broker_user_sessions(b, user) >= c->max_sessions_per_user)
		return hw_err_set(err, HW_ELIMIT,
			"%s has %d sessions open, and no more are allowed", user->who.id,
			c->max_sessions_per_user);
	return 0;
}

void
session_open(struct broker *b, struct peer *user, struct channel *ch, const struct msg_open *open)
{
	struct hw_err err = HW_ERR_INIT;
	int r = check_room(b, user, &err);

	if (r < 0) {
		channel_reject(ch, r, hw_err_text(&err));
		return;
	}
	struct session *s = session_new(b, user, ch, open);
	if (s == NULL || !workers_submit(b->workers, run_redeem, on_redeemed, s)) {
		channel_reject(ch, HW_EFULL, "too many operations are under way: try again");
		if (s != NULL)
			session_free(s);
		return;
	}
	channel_attach(ch, &session_user_events, s);
	if (session_has_recorder(s)) {
		channel_keep(ch);
		channel_keep_less(ch, SESSION_WINDOW);
	}
	peer_hold(user);
	broker_expect_session(b, s);
}

const struct channel_events session_user_events = {
	.on_data = session_on_user_data,
	.on_end = session_on_user_end,
	.on_credit = session_on_user_credit,
	.on_drained = session_on_user_drained,
	.on_control = session_on_user_control,
	.on_close = session_on_user_close,
	.on_park = session_on_user_park,
};

const struct channel_events session_node_events = {
	.on_accept = on_node_accept,
	.on_reject = on_node_reject,
	.on_data = session_on_node_data,
	.on_end = session_on_node_end,
	.on_credit = session_on_node_credit,
	.on_drained = session_on_node_drained,
	.on_control = session_on_node_control,
	.on_resume = session_on_node_resume,
	.on_close = session_on_node_close,
};
