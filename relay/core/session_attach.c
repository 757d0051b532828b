#include "relay/core/session_attach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "relay/core/arn.h"
#include "relay/core/authorise.h"
#include "relay/core/fit.h"
#include "relay/core/past.h"
#include "relay/core/session_private.h"
#include "relay/store/store.h"

/* Of all that a session's terminals ask for at once, those that a worker has included. */
#define ENTERING_MAX 32

const struct access_row *
access_row(enum session_access access)
{
	static const struct access_row rows[] = {
		[ACCESS_OWNER] = {"ssm:ResumeSession",   "attach", "has this session"	   },
		[ACCESS_WATCH] = {"hawser:WatchSession", "watch",  "watches this session"	},
		[ACCESS_JOIN] = {"hawser:JoinSession",  "join",   "types into this session"},
	};

	return &rows[access];
}

void
session_owner_of(struct session_owner *ret, const struct peer *user)
{
	fit_text(ret->name, sizeof(ret->name), user->who.id);
	fit_text(ret->source, sizeof(ret->source), user->source);
	ret->not_before = user->who.not_before;
}

/* --- tickets ---------------------------------------------------------------------------------- */

struct session_ticket *
session_find_ticket(struct session *s, const char *hash)
{
	for (size_t i = 0; i < s->tickets.n; i++)
		if (CRYPTO_memcmp(s->tickets.v[i].hash, hash, sizeof(s->tickets.v[i].hash)) == 0)
			return &s->tickets.v[i];
	return NULL;
}

/* How ready a ticket is to make room for that one; the older of two goes. */
static int
rank(const struct session_ticket *old, const struct session_ticket *t)
{
	if (old->used)
		return 3;
	if (strcmp(old->principal, t->principal) == 0)
		return 2;
	return old->access != ACCESS_OWNER;
}

static size_t
place_for(const struct session *s, const struct session_ticket *t)
{
	size_t best = 0;

	for (size_t i = 1; i < s->tickets.n; i++)
		if (rank(&s->tickets.v[i], t) > rank(&s->tickets.v[best], t))
			best = i;
	return best;
}

void
session_give_ticket(struct session *s, const struct session_ticket *t)
{
	struct session_tickets *all = &s->tickets;

	if (all->n == TICKETS_MAX) {
		size_t at = place_for(s, t);
		memmove(&all->v[at], &all->v[at + 1], (all->n - at - 1) * sizeof(all->v[0]));
		all->n--;
	}
	all->v[all->n++] = *t;
}

/* --- the ledger and the store ----------------------------------------------------------------- */

/* What a worker does for one that enters; or for nobody, when the session's token is to be what it
 * was. */
struct entrance {
	struct broker *broker;
	char session[ID_SESSION_MAX + 1];
	uint64_t serial; /* of the viewer; 0: nobody */
	enum session_access access;
	struct session_owner who;
	char hash[2 * SHA256_LEN + 1];
	struct hw_err err;
	int code;
};

static int
write_hash(void *arg, struct db *db, struct hw_err *err)
{
	const struct entrance *job = arg;
	const struct session_opener who = {.name = job->who.name,
		.source = job->who.source,
		.not_before = job->who.not_before,
		.resume_hash = job->hash};

	return session_set_opener(db, job->session, &who, err);
}

static int
note_attach(const struct entrance *job)
{
	const struct broker *b = job->broker;
	char user[ARN_MAX], session[ARN_MAX];
	const struct access_row *row = access_row(job->access);
	const struct msg_ledger_entry e = {
		.principal = user,
		.action = row->action,
		.resource = session,
		.outcome = OUTCOME_OK,
		.session_id = job->session,
		.source = job->who.source,
		.detail = row->detail,
	};

	arn_write_user(user, b->config, job->who.name);
	arn_write_session(session, b->config, job->session);
	return ledger_commit(b->ledger, ENTRY_SESSION_ATTACH, &e);
}

/* On a worker, with nothing of the session but what the job has. */
static void
run_entrance(void *arg)
{
	struct entrance *job = arg;

	if (job->serial != 0 && note_attach(job) < 0) {
		job->code = hw_err_set(&job->err, HW_ERECORD,
			"the ledger cannot be written, so nothing is done");
		return;
	}
	if (job->access == ACCESS_OWNER)
		job->code = store_write(job->broker->env->store, write_hash, job, &job->err);
}

void
session_note_detach(struct session *s, const struct viewer *v, const char *why)
{
	char session[ARN_MAX];
	const struct access_row *row = access_row(v->access);
	const struct msg_ledger_entry e = {
		.action = row->action,
		.resource = session,
		.outcome = OUTCOME_OK,
		.reason = why,
		.session_id = s->id,
		.detail = row->detail,
	};

	arn_write_session(session, s->broker->config, s->id);
	broker_note_user(s->broker, ENTRY_SESSION_DETACH, v->who.name, v->who.source, &e, NULL);
}

/* --- the owner's next terminal ---------------------------------------------------------------- */

/* The one that is there, wherever it is, is told; the token that would take it up is worth nothing
 * but this sentence. */
static void
let_go(struct session *s, const char *why)
{
	past_add(s->broker->past, s->id, s->owner.name, s->resume_hash, HW_EDETACHED, why);
	if (s->to_user != NULL)
		channel_abort(s->to_user, HW_EDETACHED, why);
	s->to_user = NULL;
	if (s->user_lost == 0)
		session_lose_user(s, "its user attached from elsewhere");
	for (int i = STREAM_OUT; i < STREAMS; i++)
		lane_drop(&s->lanes[i]);
}

/* Nothing that it was not shown is missing, as it is shown the screen. */
static void
take_over(struct viewer *v)
{
	struct session *s = v->session;
	struct channel *ch = v->ch;
	struct peer *user = link_arg(channel_link(ch));
	int64_t cols = v->cols, rows = v->rows;
	char why[128];

	snprintf(why, sizeof(why), "attached from %s", v->who.source);
	viewer_release(v); /* what follows may end all viewers; its memory is there for the turn */
	let_go(s, why);
	if (s->state != SESSION_LIVE) {
		channel_reject(ch, HW_ECLOSED, "the session has ended");
		return;
	}
	memcpy(s->resume_hash, v->hash, sizeof(s->resume_hash));
	memcpy(s->resume_token, v->token, sizeof(s->resume_token));
	session_take_over(s, user, ch, HW_EDETACHED, why);
	s->taken_over = s->skipping = true;
	s->skipped = 0;
	session_resize(s, cols, rows);
	broker_decide_soon(s->broker, s); /* what changed while a worker had it */
	session_join(s);
}

/* --- entering --------------------------------------------------------------------------------- */

static void on_entered(void *arg);

static int
submit(struct session *s, const struct viewer *v)
{
	struct entrance *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return HW_ENOMEM;
	*job = (struct entrance){.broker = s->broker,
		.serial = v != NULL ? v->serial : 0,
		.access = v != NULL ? v->access : ACCESS_OWNER,
		.who = v != NULL ? v->who : s->owner};
	memcpy(job->session, s->id, sizeof(job->session));
	memcpy(job->hash, v != NULL ? v->hash : s->resume_hash, sizeof(job->hash));
	if (v == NULL) {
		workers_owe(s->broker->workers, run_entrance, on_entered, job);
	} else if (!workers_submit(s->broker->workers, run_entrance, on_entered, job)) {
		free(job);
		return HW_EFULL;
	}
	s->tickets.saving |= job->access == ACCESS_OWNER;
	return 0;
}

static void
enter(struct session *s, struct viewer *v)
{
	int r = submit(s, v);

	if (r < 0)
		viewer_end(v, r, "too many operations are under way: try again");
}

static struct viewer *
entering_owner(struct session *s)
{
	struct viewer *v;

	TAILQ_FOREACH(v, &s->viewers.all, entry)
	if (v->access == ACCESS_OWNER)
		return v;
	return NULL;
}

/* What the store has by now may be of one that is gone. One at a time writes there, so that the
 * last word is the last. */
static void
settle_owner(struct session *s, struct viewer *v, const struct entrance *job)
{
	struct viewer *next = entering_owner(s);

	s->tickets.saving = false;
	if (v == NULL && next != NULL)
		enter(s, next);
	else if (v == NULL && job->code == 0 && strcmp(job->hash, s->resume_hash) != 0)
		submit(s, NULL);
}

static void
on_entered(void *arg)
{
	struct entrance *job = arg;
	struct session *s;

	HASH_FIND_STR(job->broker->sessions, job->session, s);
	struct viewer *v = s != NULL ? session_viewer_by_serial(s, job->serial) : NULL;
	if (s != NULL && job->access == ACCESS_OWNER)
		settle_owner(s, v, job);
	if (v != NULL && job->code < 0)
		viewer_end(v, job->code, hw_err_text(&job->err));
	else if (v != NULL && v->access == ACCESS_OWNER)
		take_over(v);
	else if (v != NULL)
		viewer_enter(v);
	free(job);
}

/* --- RESUME with a ticket --------------------------------------------------------------------- */

/* Why not, for the ledger; NULL when it may. */
static const char *
refusal(const struct session *s, const struct session_ticket *t, const struct peer *user,
	const struct msg_resume *resume)
{
	if (strcmp(t->principal, user->who.id) != 0)
		return "the ticket is another user's";
	if (t->used)
		return "the ticket was used";
	if (session_now(s) >= t->expires)
		return "the ticket came late";
	if (resume->type != CHANNEL_TYPE_PTY || !session_has_recorder(s))
		return "the session is of another type";
	return s->state != SESSION_LIVE ? "the session is not live" : NULL;
}

static bool
stands_nowhere(const struct channel *ch)
{
	const struct channel_stand *stand = channel_stand(ch);

	for (int i = 0; i < STREAMS; i++)
		if (stand[i].received != 0 || stand[i].sent != 0)
			return false;
	return true;
}

static int
deny(struct session *s, const struct session_owner *who, const char *action, const char *resource,
	const char *why, struct hw_err *err)
{
	session_note_denied(s, who, action, resource, why);
	return hw_err_set(err, HW_EDENIED, "%s may not %s on %.400s", who->name, action, resource);
}

/* For who comes now, from there: much may have changed since the ticket was given. Its session goes
 * on, whatever comes of it. */
static int
check_allowed(struct session *s, const struct session_owner *who, enum session_access access,
	struct hw_err *err)
{
	char resource[512] = "";
	struct verdict v;

	int r = session_authorise_terminal(&v, resource, s, who, access);
	if (r < 0 || !v.allow)
		return deny(s, who, access_row(access)->action, resource,
			r < 0 ? hw_code_meaning(r) : v.why, err);
	if (access != ACCESS_OWNER)
		return 0;
	r = session_authorise_from(&v, resource, s, who);
	if (r < 0 || !v.allow)
		return deny(s, who, "ssm:StartSession", resource,
			r < 0 ? hw_code_meaning(r) : v.why, err);
	return 0;
}

/* Of all sessions: a terminal takes memory, whosoever the session is. */
static int
count_terminals(struct broker *b, const char *user)
{
	struct session *s, *next;
	const struct viewer *v;
	int n = 0;

	HASH_ITER(hh, b->sessions, s, next) {
		TAILQ_FOREACH(v, &s->viewers.all, entry)
		n += strcmp(v->who.name, user) == 0;
	}
	return n;
}

static int
check_room(const struct session *s, const struct session_owner *who, enum session_access access,
	struct hw_err *err)
{
	int most = s->broker->config->max_sessions_per_user;
	const struct viewer *v;
	int entering = 0;

	TAILQ_FOREACH(v, &s->viewers.all, entry)
	entering += v->state == VIEWER_ENTERS;
	if (access != ACCESS_OWNER && s->viewers.count >= VIEWERS_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"%d others watch this session or type into it, and no more are allowed",
			s->viewers.count);
	if (access != ACCESS_OWNER && count_terminals(s->broker, who->name) >= most)
		return hw_err_set(err, HW_ELIMIT,
			"%s watches %d sessions or types into them, and no more are allowed",
			who->name, most);
	if (entering >= ENTERING_MAX)
		return hw_err_set(err, HW_EFULL, "too many terminals come at once: try again");
	return 0;
}

static int
check(struct session *s, const struct session_owner *who, const struct channel *ch,
	const struct session_ticket *t, struct hw_err *err)
{
	int r = check_room(s, who, t->access, err);

	if (r == 0 && !stands_nowhere(ch))
		r = hw_err_set(err, HW_EVALIDATION,
			"Streams: who presents a ticket has received and sent nothing yet");
	return r == 0 ? check_allowed(s, who, t->access, err) : r;
}

/* Whoever of the owner's came before, and is not there yet, is too late. */
static void
replace_entering(struct session *s, const char *source)
{
	struct viewer *v = entering_owner(s);
	char why[128];

	snprintf(why, sizeof(why), "attached from %s", source);
	if (v != NULL)
		viewer_end(v, HW_EDETACHED, why);
}

void
session_attach(struct session *s, struct peer *user, struct channel *ch,
	const struct msg_resume *resume, struct session_ticket *t)
{
	struct hw_err err = HW_ERR_INIT;
	struct session_owner who;

	const char *why = refusal(s, t, user, resume);
	if (why != NULL) {
		session_refuse_resume(user, ch, resume, why);
		return;
	}
	session_owner_of(&who, user);
	int r = check(s, &who, ch, t, &err);
	if (r < 0) {
		channel_reject(ch, r, hw_err_text(&err));
		if (r == HW_EDENIED)
			session_count_refusal(user);
		return;
	}
	if (t->access == ACCESS_OWNER)
		replace_entering(s, who.source);
	struct viewer *v = viewer_new(s, t->access, &who, ch);
	if (v == NULL) {
		channel_reject(ch, HW_ENOMEM, "no memory for a terminal");
		return;
	}
	t->used = true;
	v->cols = resume->cols;
	v->rows = resume->rows;
	if (t->access != ACCESS_OWNER || !s->tickets.saving)
		enter(s, v);
}
