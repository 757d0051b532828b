#include "relay/core/session_viewers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "proto/base/list.h"
#include "relay/core/authorise.h"
#include "relay/core/fit.h"
#include "relay/core/past.h"
#include "relay/core/session_private.h"

/* Bytes that went to one and that it has not acknowledged: above a quarter of its window. */
#define KEPT_MAX  (256 * 1024)
#define WORDS_MAX 100

/* --- life ------------------------------------------------------------------------------------- */

void
session_viewers_init(struct session *s)
{
	s->viewers = (struct session_viewers){.count = 0};
	TAILQ_INIT(&s->viewers.all);
}

static void
viewer_free(struct viewer *v)
{
	lane_fini(&v->lane);
	buf_fini(&v->in.wait);
	explicit_bzero(v->token, sizeof(v->token));
	free(v);
}

static void
reap(void *arg)
{
	viewer_free(arg);
}

static void on_offer_close(void *arg, struct channel *ch, int code, const struct msg_close *close);

static const struct channel_events offer_events = {.on_close = on_offer_close};

struct viewer *
viewer_new(struct session *s, enum session_access access, const struct session_owner *who,
	struct channel *ch)
{
	struct viewer *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	v->session = s;
	v->serial = ++s->viewers.serial;
	v->access = access;
	v->who = *who;
	v->ch = ch;
	token_make(v->token);
	token_hash(v->hash, v->token);
	lane_init(&v->lane, STREAM_OUT);
	typist_init(&v->in, v);
	channel_attach(ch, &offer_events, v);
	TAILQ_INSERT_TAIL(&s->viewers.all, v, entry);
	s->viewers.count += access != ACCESS_OWNER;
	session_idle_touch(s);
	return v;
}

struct viewer *
session_viewer_by_serial(struct session *s, uint64_t serial)
{
	struct viewer *v;

	TAILQ_FOREACH(v, &s->viewers.all, entry)
	if (v->serial == serial)
		return v;
	return NULL;
}

struct viewer *
session_viewer_by_hash(struct session *s, const char *hash)
{
	struct viewer *v;

	TAILQ_FOREACH(v, &s->viewers.all, entry)
	if (v->was_live && CRYPTO_memcmp(v->hash, hash, sizeof(v->hash)) == 0)
		return v;
	return NULL;
}

/* Off the session. */
static void
take_off(struct viewer *v)
{
	struct session *s = v->session;

	v->state = VIEWER_OVER;
	TAILQ_REMOVE(&s->viewers.all, v, entry);
	s->viewers.count -= v->access != ACCESS_OWNER;
	v->reap = (struct loop_task){.fn = reap, .arg = v};
	loop_defer(s->broker->loop, &v->reap);
	typist_leave(s, &v->in);
}

void
viewer_release(struct viewer *v)
{
	v->ch = NULL;
	take_off(v);
}

static void
say(struct session *s, const struct viewer *v, const char *what)
{
	char text[CERT_ID_MAX + 64];

	snprintf(text, sizeof(text), "%s %s", v->who.name, what);
	session_notice(s, text);
}

/* What it is told, where it is there. An ending in order has no code. */
static void
close_channel(struct viewer *v, const struct msg_close *ending)
{
	bool orderly = ending->code == NULL || ending->code[0] == '\0';

	if (v->ch == NULL)
		return;
	if (v->state == VIEWER_LIVE)
		channel_close(v->ch, ending);
	else
		channel_reject(v->ch, orderly ? HW_ECLOSED : hw_code_from_name(ending->code),
			ending->message != NULL ? ending->message : "the session has ended");
	v->ch = NULL;
}

static void
leave(struct viewer *v, const char *why)
{
	struct session *s = v->session;
	bool known = v->was_live;

	take_off(v);
	if (v->access == ACCESS_OWNER || s->state != SESSION_LIVE)
		return;
	session_note_detach(s, v, why);
	if (known)
		say(s, v, "left");
}

void
viewer_end(struct viewer *v, int code, const char *why)
{
	const struct msg_close ending = {.code = hw_code_name(code), .message = why};
	struct session *s = v->session;

	if (v->state == VIEWER_OVER)
		return;
	if (v->was_live && v->ch == NULL)
		past_add(s->broker->past, s->id, v->who.name, v->hash, code, why);
	close_channel(v, &ending);
	leave(v, why);
}

/* It may come back. */
static void
lose(struct viewer *v)
{
	v->ch = NULL;
	v->state = VIEWER_LOST;
	v->lost = session_now(v->session);
	lane_drop(&v->lane);
}

/* Of one that was never live nobody knows what takes it up again. */
static void
on_offer_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct viewer *v = arg;

	(void)close;
	if (v->was_live && (channel_is_cut(ch) || code == HW_EINTERRUPTED)) {
		lose(v);
		return;
	}
	v->ch = NULL;
	leave(v, "it was closed before it was shown anything");
}

/* --- entering --------------------------------------------------------------------------------- */

void
viewer_enter(struct viewer *v)
{
	v->state = VIEWER_WAITS;
	session_screen_want(v->session);
}

static int
decide(const struct viewer *v, const struct session_owner *who, char why[768])
{
	const char *action = access_row(v->access)->action;
	char resource[512] = "";
	struct verdict verdict;

	int r = session_authorise_terminal(&verdict, resource, v->session, who, v->access);
	if (r == 0 && verdict.allow)
		return 0;
	session_note_denied(v->session, who, action, resource,
		r < 0 ? hw_code_meaning(r) : verdict.why);
	snprintf(why, 768, "%s may not %s on %.500s any more", who->name, action, resource);
	return HW_EREVOKED;
}

/* Why not, for the ledger; NULL when it may. */
static const char *
refusal(const struct viewer *v, const struct peer *user, const struct msg_resume *resume)
{
	if (strcmp(v->who.name, user->who.id) != 0)
		return "the token is another user's";
	return resume->type != CHANNEL_TYPE_PTY ? "the session is of another type" : NULL;
}

static bool
claims_too_much(const struct session *s, const struct channel *ch)
{
	const struct channel_stand *theirs = channel_stand(ch);

	return theirs[STREAM_OUT].received > s->reached[STREAM_OUT] ||
		theirs[STREAM_ERR].received > s->reached[STREAM_ERR];
}

/* Its terminal that is there is not the one that comes. */
static void
drop_channel(struct viewer *v, const char *why)
{
	if (v->ch == NULL)
		return;
	if (v->state == VIEWER_LIVE) {
		channel_interrupt(v->ch, why);
		channel_abort(v->ch, HW_ECLOSED, NULL); /* it is parked, and not gone on with */
	} else {
		channel_reject(v->ch, HW_ECLOSED, why);
	}
	lose(v);
}

/* What it types from there is told apart. */
static void
come_from(struct viewer *v, const struct peer *user)
{
	if (strcmp(v->who.source, user->source) != 0)
		v->in.moved = true;
	session_owner_of(&v->who, user);
}

void
viewer_resume(struct viewer *v, struct peer *user, struct channel *ch,
	const struct msg_resume *resume)
{
	struct session *s = v->session;
	struct session_owner who;
	char why[768];

	const char *objection = refusal(v, user, resume);
	if (objection != NULL) {
		session_refuse_resume(user, ch, resume, objection);
		return;
	}
	if (claims_too_much(s, ch)) {
		channel_reject(ch, HW_EVALIDATION,
			"Streams: there is not as much output as was received");
		return;
	}
	session_owner_of(&who, user);
	int r = ++v->words <= WORDS_MAX ? decide(v, &who, why) : HW_ELIMIT;
	if (r < 0) {
		const char *told = r == HW_ELIMIT ? "it came back too often" : why;
		channel_reject(ch, r, told);
		viewer_end(v, r, told);
		return;
	}
	drop_channel(v, "it was resumed once more");
	come_from(v, user);
	v->ch = ch;
	v->lost = 0;
	channel_attach(ch, &offer_events, v);
	viewer_enter(v);
}

/* --- what comes from it ----------------------------------------------------------------------- */

/* Of who watches nothing is kept, recorded or handed on. */
static void
on_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct viewer *v = arg;

	(void)offset;
	if (v->access == ACCESS_JOIN && stream == STREAM_IN)
		session_write(v->session, &v->in, p, n);
	else
		channel_consume(ch, stream, n, ECHO_UNKNOWN);
}

static void
pump(struct viewer *v)
{
	if (v->state == VIEWER_LIVE && !v->session->frozen)
		lane_pump(&v->lane, v->ch);
}

static void
on_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	(void)ch, (void)consumed, (void)limit, (void)echo;
	if (stream == STREAM_OUT)
		pump(arg);
}

static void
on_drained(void *arg, struct channel *ch, int stream)
{
	(void)ch;
	if (stream == STREAM_OUT)
		pump(arg);
}

static void
on_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct viewer *v = arg;

	(void)code, (void)close;
	v->ch = NULL;
	if (channel_is_cut(ch))
		lose(v);
	else
		leave(v, "it was closed by its user");
}

/* What it was not shown is not kept: the screen will tell. */
static void
on_park(void *arg, struct channel *ch, int code, const char *why)
{
	struct viewer *v = arg;

	(void)code, (void)why;
	channel_abort(ch, HW_ECLOSED, NULL);
	lose(v);
}

static const struct channel_events viewer_events = {
	.on_data = on_data,
	.on_credit = on_credit,
	.on_drained = on_drained,
	.on_close = on_close,
	.on_park = on_park,
};

/* --- what it is shown ------------------------------------------------------------------------- */

static void
stand_towards(struct channel_stand ret[STREAMS], const struct viewer *v, uint64_t from)
{
	const struct session *s = v->session;
	struct typist_stand in = typist_stand(s, &v->in, UINT64_MAX);

	memset(ret, 0, STREAMS * sizeof(*ret));
	ret[STREAM_IN] = (struct channel_stand){
		.received = in.received, .consumed = in.consumed, .limit = in.limit};
	ret[STREAM_OUT] = (struct channel_stand){.kept_from = from, .sent = s->reached[STREAM_OUT]};
	ret[STREAM_ERR].kept_from = ret[STREAM_ERR].sent = s->reached[STREAM_ERR];
}

static void
tell_size(struct viewer *v)
{
	const struct session *s = v->session;

	if (s->cols != 0 && s->rows != 0)
		channel_control(v->ch,
			&(struct msg_control){
				.type = CONTROL_RESIZE, .cols = s->cols, .rows = s->rows});
}

static void
tell_blind(struct viewer *v)
{
	channel_control(v->ch,
		&(struct msg_control){.type = CONTROL_NOTICE,
			.text = "what the screen showed before is not known; what comes now is shown"});
}

static void
tell_ends(struct viewer *v)
{
	const struct session *s = v->session;

	if (s->lanes[STREAM_OUT].ends) {
		v->lane.ends = true;
		lane_pump(&v->lane, v->ch);
	}
	if (s->lanes[STREAM_ERR].ends && !v->err_ended) {
		v->err_ended = true;
		channel_end(v->ch, STREAM_ERR);
	}
}

static void
answer(struct viewer *v, uint64_t from)
{
	struct session *s = v->session;
	const struct msg_resume who = {.type = s->kind->type,
		.session_id = s->id,
		.run_as = s->row->run_as,
		.token = v->was_live ? NULL : v->token,
		.resume_seconds = s->broker->config->resume_seconds};
	struct channel_stand ours[STREAMS];

	stand_towards(ours, v, from);
	channel_keep(v->ch);
	channel_keep_less(v->ch, KEPT_MAX);
	channel_accept_resumed(v->ch, &who, ours);
	channel_attach(v->ch, &viewer_events, v);
	v->state = VIEWER_LIVE;
	v->lane.ends = v->lane.ended = v->err_ended = false;
	explicit_bzero(v->token, sizeof(v->token));
}

static void
enqueue(struct viewer *v, const uint8_t *p, size_t n)
{
	size_t moved;
	int r = lane_put(&v->lane, v->ch, p, n, 0, &moved);

	if (r == 0 && v->lane.hold.len + channel_queued(v->ch, STREAM_OUT) <= VIEWER_QUEUED_MAX)
		return;
	log_info(v->session, "viewer.stalled", "user=%s held=%zu", v->who.name, v->lane.hold.len);
	drop_channel(v, "output was passed by");
}

static void
begin(struct viewer *v, const struct session_shown *shown)
{
	struct session *s = v->session;
	bool first = !v->was_live;

	answer(v, shown != NULL ? shown->offset : s->reached[STREAM_OUT]);
	tell_size(v);
	if (shown != NULL)
		session_shown_tell(shown, v->ch);
	else
		tell_blind(v);
	v->was_live = true;
	if (first)
		say(s, v, access_row(v->access)->doing);
	if (v->state == VIEWER_LIVE && shown != NULL && shown->tail->len > 0)
		enqueue(v, buf_data(shown->tail), shown->tail->len);
	if (v->state != VIEWER_LIVE)
		return;
	tell_ends(v);
	if (s->exited_at != 0) {
		const struct msg_control exit = session_exit(s);
		channel_control(v->ch, &exit);
	}
}

bool
session_viewers_wait(const struct session *s)
{
	const struct viewer *v;

	TAILQ_FOREACH(v, &s->viewers.all, entry)
	if (v->state == VIEWER_WAITS)
		return true;
	return false;
}

void
session_viewers_show(struct session *s, const struct session_shown *shown)
{
	struct viewer *v, *next;

	TAILQ_FOREACH_SAFE(v, &s->viewers.all, entry, next)
	if (v->state == VIEWER_WAITS && session_shown_fits(shown, v->ch))
		begin(v, shown);
}

void
session_viewers_feed(struct session *s, int stream, const uint8_t *p, size_t n)
{
	struct viewer *v;

	if (stream != STREAM_OUT)
		return;
	TAILQ_FOREACH(v, &s->viewers.all, entry)
	if (v->state == VIEWER_LIVE)
		enqueue(v, p, n);
}

void
session_viewers_end_stream(struct session *s)
{
	struct viewer *v;

	TAILQ_FOREACH(v, &s->viewers.all, entry)
	if (v->state == VIEWER_LIVE)
		tell_ends(v);
}

void
session_viewers_exited(struct session *s)
{
	const struct msg_control exit = session_exit(s);

	session_viewers_tell(s, &exit);
}

void
session_viewers_tell(struct session *s, const struct msg_control *c)
{
	struct viewer *v;

	TAILQ_FOREACH(v, &s->viewers.all, entry)
	if (v->state == VIEWER_LIVE)
		channel_control(v->ch, c);
}

void
session_viewers_announce(struct session *s)
{
	char text[CERT_ID_MAX + 64];
	const struct viewer *v;

	if (s->to_user == NULL)
		return;
	TAILQ_FOREACH(v, &s->viewers.all, entry)
	{
		if (!v->was_live)
			continue;
		snprintf(text, sizeof(text), "%s %s", v->who.name, access_row(v->access)->doing);
		channel_control(s->to_user,
			&(struct msg_control){.type = CONTROL_NOTICE, .text = text});
	}
}

/* --- as things happen ------------------------------------------------------------------------- */

void
session_viewers_lose_node(struct session *s)
{
	struct viewer *v;

	TAILQ_FOREACH(v, &s->viewers.all, entry)
	if (v->access == ACCESS_JOIN && v->state == VIEWER_LIVE)
		drop_channel(v, "the node's link was lost");
}

void
session_viewers_decide(struct session *s)
{
	struct viewer *v, *next;
	char why[768];

	TAILQ_FOREACH_SAFE(v, &s->viewers.all, entry, next)
	{
		if (v->access == ACCESS_OWNER)
			continue;
		int r = decide(v, &v->who, why);
		if (r < 0)
			viewer_end(v, r, why);
	}
}

static void
give_up(struct viewer *v)
{
	char why[128];

	snprintf(why, sizeof(why), "its link was lost, and did not come back within %d seconds",
		v->session->broker->config->resume_seconds);
	viewer_end(v, HW_EUNAVAILABLE, why);
}

void
session_viewers_sweep(struct session *s, int64_t now)
{
	int64_t grace = s->broker->config->resume_seconds * USEC_PER_SEC;
	struct viewer *v, *next;

	TAILQ_FOREACH_SAFE(v, &s->viewers.all, entry, next)
	{
		v->words = 0;
		if (v->state == VIEWER_LOST && now - v->lost >= grace)
			give_up(v);
	}
}

/* Who comes back for it hears how it ended. */
static void
remember(const struct session *s, const struct viewer *v)
{
	if (v->was_live && v->ch == NULL)
		past_add(s->broker->past, s->id, v->who.name, v->hash,
			s->end_code != 0 ? s->end_code : HW_ECLOSED, s->details);
}

void
session_viewers_drop(struct session *s, int code, const char *why)
{
	struct viewer *v, *next;

	TAILQ_FOREACH_SAFE(v, &s->viewers.all, entry, next)
	viewer_end(v, code, why);
}

void
session_viewers_close(struct session *s, const struct msg_close *ending, bool ended)
{
	struct viewer *v, *next;

	TAILQ_FOREACH_SAFE(v, &s->viewers.all, entry, next)
	{
		if (ended)
			remember(s, v);
		close_channel(v, ending);
		if (v->access != ACCESS_OWNER && ended)
			session_note_detach(s, v, s->details);
		take_off(v);
	}
}
