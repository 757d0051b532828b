#include "node/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>

#include "proto/base/arena.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/loop.h"
#include "proto/trust/cert.h"
#include "proto/wire/codec.h"
#include "proto/wire/enrol.h"
#include "proto/wire/link.h"

#define EVERY	    (60 * USEC_PER_SEC)
#define REPLY_ARENA (256 * 1024) /* a reply has 64 KiB of statements at most */
#define HEALING                                                                      \
	"; nothing new begins here until the relay was recovered (see hawser-relay " \
	"recover --help) or " WITNESS_FILE " is removed while the agent stands still"

struct watch {
	struct log_ctx log;
	struct loop *loop;
	int dir;
	bool refuse;
	X509 *ca;
	struct witness *witness;
	void (*on_change)(void *arg);
	void *arg;

	struct link *link;	    /* NULL: none is up */
	int64_t up_at;		    /* wall: the first since one of which a head was found good */
	bool judging;		    /* a question is out on this link */
	int64_t asked_at;	    /* monotonic */
	bool settled;		    /* a head of this link was found good */
	bool shown;		    /* it has shown one */
	char pending[LOG_HEAD_MAX]; /* the newest that waits for its turn; "": none */
	struct loop_timer tick;

	int known;	  /* the state that was logged last */
	int64_t saved_at; /* monotonic; 0: not yet */
	bool save_failed;

	bool reporting, mute; /* a report is out; this relay takes none */
	int told;	      /* what it was told last on this link; 0: nothing */
	uint64_t told_size;
};

static struct watch *
watch_from(void *arg)
{
	struct watch *w = arg;

	hw_assert(w->witness != NULL);
	return w;
}

static int64_t
wall(const struct watch *w)
{
	return clock_wall(loop_clock(w->loop));
}

static int64_t
mono(const struct watch *w)
{
	return clock_mono(loop_clock(w->loop));
}

/* --- the disk --------------------------------------------------------------------------------- */

/* What contradicts comes first: it is of no use once the relay tells another story. */
static void
save(struct watch *w)
{
	struct hw_err err = HW_ERR_INIT;

	w->saved_at = mono(w);
	if (witness_save_evidence(w->witness, w->dir, WITNESS_EVIDENCE, &err) == 0 &&
		witness_save(w->witness, w->dir, WITNESS_FILE, &err) == 0) {
		w->save_failed = false;
		return;
	}
	if (!w->save_failed)
		log_error(w, "ledger.head_not_kept", "why=%s", log_value(hw_err_text(&err)));
	w->save_failed = true;
}

/* Only who has the recovery key ends such a finding. */
static bool
is_objecting(const struct watch *w)
{
	return w->known >= WITNESS_STATE_FORK && w->known <= WITNESS_STATE_EPOCHS;
}

static bool
is_healed(const struct watch *w, const struct witness_status *st)
{
	return st->state == WITNESS_STATE_AGREES && is_objecting(w);
}

/* A disk is not worn by a relay that has much to say: once a minute, but for what was found. */
static void
save_when_due(struct watch *w)
{
	struct witness_status st;

	witness_status(w->witness, &st);
	bool due = w->saved_at == 0 || mono(w) - w->saved_at >= EVERY;
	if ((st.has_evidence || is_healed(w, &st)) && !w->save_failed)
		due = true;
	if (due && (st.has_evidence || st.unsaved))
		save(w);
}

/* --- telling the relay ------------------------------------------------------------------------ */

static void report(struct watch *w);

static void
on_reported(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct watch *w = watch_from(arg);
	(void)body;
	(void)n;
	w->reporting = false;
	if (code == HW_OK || code == HW_EUNAVAILABLE)
		return;
	w->told = 0;
	w->mute = code == HW_EUNKNOWNOP;
	log_warn(w, "ledger.report_refused", "code=%s why=%s", hw_code_name(code),
		log_value(message != NULL ? message : ""));
}

/* The head that it holds is the one on its disk. */
static void
report(struct watch *w)
{
	char head[LOG_HEAD_MAX], shown[LOG_HEAD_MAX];
	struct hw_err err = HW_ERR_INIT;
	struct witness_status st;

	witness_status(w->witness, &st);
	uint64_t size = st.saved != NULL ? st.saved->size : 0;
	bool has_news = st.state != w->told || size != w->told_size;
	bool has_words = st.saved != NULL || st.state != WITNESS_STATE_AGREES;
	if (w->link == NULL || w->reporting || w->mute || !has_news || !has_words)
		return;
	struct msg_report_ledger_head_request m = {
		.state = st.state, .since = st.since, .message = st.text};
	if (st.saved != NULL && log_head_format(head, st.saved, st.origin) > 0)
		m.head = head;
	if (st.shown != NULL && log_head_format(shown, st.shown, st.origin) > 0)
		m.shown = shown;
	if (link_request(w->link, &op_rows[OP_report_ledger_head], &m, on_reported, w, &err) < 0)
		return;
	w->reporting = true;
	w->told = st.state;
	w->told_size = size;
}

/* --- judging ---------------------------------------------------------------------------------- */

static void
log_finding(struct watch *w)
{
	struct witness_status st;

	witness_status(w->witness, &st);
	if (st.state == w->known)
		return;
	if (st.state != WITNESS_STATE_AGREES)
		log_error(w, "ledger.objection", "state=%s why=%s",
			enum_text(&enum_WITNESS_STATE, st.state), log_value(st.text));
	else if (w->known != 0)
		log_info(w, "ledger.agrees", "entries=%" PRIu64,
			st.kept != NULL ? st.kept->size : 0);
	w->known = st.state;
}

static void
settle(struct watch *w)
{
	if (w->link != NULL)
		witness_look(w->witness, wall(w), w->up_at);
	save_when_due(w);
	log_finding(w);
	report(w);
	if (w->on_change != NULL)
		w->on_change(w->arg);
}

static void ask(struct watch *w, const struct witness_ask *a);

static void
give_up(struct watch *w, int code, const char *why)
{
	struct witness_ask next;

	witness_unanswered(w->witness, code, why, wall(w), &next);
	ask(w, &next);
}

/* The body as a message of that row, or NULL after the witness was told that there is none. */
static void *
take_reply(struct watch *w, struct arena **arena, const struct msg_row *row, int code,
	const char *message, const void *body, size_t n)
{
	struct hw_err err = HW_ERR_INIT;
	void *reply;

	*arena = NULL;
	w->judging = false;
	if (code != HW_OK) {
		give_up(w, code, message);
		return NULL;
	}
	if ((*arena = arena_new(REPLY_ARENA)) != NULL &&
		msg_decode(&reply, *arena, row, body, n, &err) == 0)
		return reply;
	arena_free(*arena);
	give_up(w, HW_EPROTO, hw_err_text(&err));
	return NULL;
}

static void
on_epochs(void *arg, int code, const char *message, const void *body, size_t n)
{
	const struct msg_get_ledger_head_reply *reply;
	struct watch *w = watch_from(arg);
	struct witness_ask next;
	struct arena *arena;

	reply = take_reply(w, &arena, MSG_ROW(get_ledger_head_reply), code, message, body, n);
	if (reply == NULL)
		return;
	const char *text = reply->epochs != NULL ? reply->epochs : "";
	witness_epochs(w->witness, text, strlen(text), reply->last_epoch, wall(w), &next);
	arena_free(arena);
	ask(w, &next);
}

static void
on_proof(void *arg, int code, const char *message, const void *body, size_t n)
{
	const struct msg_get_consistency_proof_reply *reply;
	struct watch *w = watch_from(arg);
	struct witness_ask next;
	struct arena *arena;

	reply = take_reply(w, &arena, MSG_ROW(get_consistency_proof_reply), code, message, body, n);
	if (reply == NULL)
		return;
	witness_proof(w->witness, reply->hashes.p, reply->hashes.n, wall(w), &next);
	arena_free(arena);
	ask(w, &next);
}

static int
send_question(struct watch *w, const struct witness_ask *a, struct hw_err *err)
{
	const struct msg_get_ledger_head_request head = {.since = a->since};
	const struct msg_get_consistency_proof_request proof = {
		.old_size = a->old_size, .size = a->size};

	if (w->link == NULL)
		return hw_err_set(err, HW_EUNAVAILABLE, "there is no link");
	return a->what == WITNESS_EPOCHS
		? link_request(w->link, &op_rows[OP_get_ledger_head], &head, on_epochs, w, err)
		: link_request(w->link, &op_rows[OP_get_consistency_proof], &proof, on_proof, w,
			  err);
}

/* The next question, or what was found. One that cannot be sent is as one without an answer. */
static void
ask(struct watch *w, const struct witness_ask *a)
{
	struct hw_err err = HW_ERR_INIT;
	struct witness_status st;

	if (a->what == WITNESS_NOTHING) {
		witness_status(w->witness, &st);
		w->settled = w->settled || st.good;
		settle(w);
	} else if (send_question(w, a, &err) < 0) {
		give_up(w, HW_EUNAVAILABLE, hw_err_text(&err));
	} else {
		w->judging = true;
		w->asked_at = mono(w);
	}
}

static void
judge(struct watch *w, const char *head)
{
	struct witness_ask next;

	witness_head(w->witness, head, strlen(head), wall(w), &next);
	ask(w, &next);
}

/* A relay that keeps its link and its answer has not answered. */
static void
stop_waiting(struct watch *w)
{
	link_forget(w->link, w);
	w->judging = w->reporting = false;
	give_up(w, HW_EUNAVAILABLE, "no answer for a minute");
}

static void
on_tick(void *arg)
{
	struct watch *w = watch_from(arg);
	char head[LOG_HEAD_MAX];

	loop_timer_start(w->loop, &w->tick, EVERY);
	if (w->judging) {
		if (mono(w) - w->asked_at >= EVERY)
			stop_waiting(w);
		return;
	}
	if (w->pending[0] != '\0') {
		memcpy(head, w->pending, sizeof(head));
		w->pending[0] = '\0';
		judge(w, head);
		return;
	}
	settle(w);
}

/* --- the link --------------------------------------------------------------------------------- */

void
watch_link_up(struct watch *w, struct link *l, const char *head)
{
	w->link = l;
	if (w->up_at == 0 || w->settled) /* so that short links hide no silence */
		w->up_at = wall(w);
	w->judging = w->settled = w->reporting = w->mute = false;
	w->told = 0;
	w->pending[0] = '\0';
	w->shown = head != NULL && head[0] != '\0';
	loop_timer_start(w->loop, &w->tick, EVERY);
	if (w->shown)
		judge(w, head);
	else
		settle(w);
}

/* Of many the newest waits, so that a relay with much to say keeps nobody busy. The first of a link
 * does not wait. */
void
watch_head(struct watch *w, const char *head)
{
	bool first = !w->shown;

	if (w->link == NULL || strlen(head) >= sizeof(w->pending))
		return;
	w->shown = true;
	if (first || (is_objecting(w) && !w->judging)) /* it may be the first after a recovery */
		judge(w, head);
	else
		strcpy(w->pending, head);
}

void
watch_link_down(struct watch *w)
{
	w->link = NULL;
	w->reporting = false;
	w->pending[0] = '\0';
	loop_timer_stop(w->loop, &w->tick);
	if (w->judging) {
		w->judging = false;
		give_up(w, HW_EUNAVAILABLE, "the link was lost");
	}
}

/* --- what others ask -------------------------------------------------------------------------- */

/* A relay that showed heads once, and shows none now, is not believed either. */
enum watch_answer
watch_answer(const struct watch *w, const char **why)
{
	struct witness_status st;

	witness_status(w->witness, &st);
	if (!w->refuse)
		return WATCH_ALLOWS;
	if (st.state != WITNESS_STATE_AGREES) {
		*why = st.text;
		return WATCH_REFUSES;
	}
	if (w->settled || (!w->shown && st.kept == NULL))
		return WATCH_ALLOWS;
	*why = w->shown ? "the node still holds the relay's ledger against what it keeps of it: "
			  "try again"
			: "the relay shows no head of its ledger, as it did before, and this node "
			  "is set to refuse that (witness = refuse)";
	return w->shown ? WATCH_WAITS : WATCH_REFUSES;
}

void
watch_status(const struct watch *w, struct witness_status *ret)
{
	witness_status(w->witness, ret);
}

const char *
watch_describe(const struct watch *w, char out[WATCH_TEXT_MAX])
{
	char when[RFC3339_LEN + 1];
	struct witness_status st;
	const char *why;

	witness_status(w->witness, &st);
	if (st.state != WITNESS_STATE_AGREES) {
		rfc3339_format(when, st.since);
		snprintf(out, WATCH_TEXT_MAX, "%s since %s: %s%s",
			enum_text(&enum_WITNESS_STATE, st.state), when, st.text,
			w->refuse ? HEALING : "");
	} else if (w->link != NULL && !w->shown) {
		snprintf(out, WATCH_TEXT_MAX, "this relay shows no head of its ledger%s",
			watch_answer(w, &why) == WATCH_REFUSES
				? ", as it did before: nothing new begins here"
				: "");
	} else if (st.kept != NULL) {
		rfc3339_format(when, st.kept->time);
		snprintf(out, WATCH_TEXT_MAX, "agrees at %" PRIu64 " entries, signed %s",
			st.kept->size, when);
	} else {
		out[0] = '\0';
	}
	return out;
}

void
watch_on_change(struct watch *w, void (*fn)(void *arg), void *arg)
{
	w->on_change = fn;
	w->arg = arg;
}

/* --- life ------------------------------------------------------------------------------------- */

int
watch_new(struct watch **ret, const struct watch_config *config, struct hw_err *err)
{
	struct watch *w = calloc(1, sizeof(*w));
	struct hw_err why = HW_ERR_INIT;
	int r;

	if (w == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	log_ctx_child(&w->log, config->log, "part", "witness");
	w->loop = config->loop;
	w->dir = config->dir;
	w->refuse = config->refuse;
	w->tick = (struct loop_timer){.fn = on_tick, .arg = w};
	if ((r = cert_load(&w->ca, w->dir, ENROL_CA, err)) < 0 ||
		(w->witness = witness_new(w->ca)) == NULL) {
		watch_free(w);
		return r < 0 ? r : hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	(void)witness_load(w->witness, w->dir, WITNESS_FILE, &why); /* damage is a finding */
	log_finding(w);
	*ret = w;
	return 0;
}

void
watch_free(struct watch *w)
{
	struct witness_status st;

	if (w == NULL)
		return;
	loop_timer_stop(w->loop, &w->tick);
	if (w->witness != NULL) {
		witness_status(w->witness, &st);
		if (st.unsaved || st.has_evidence)
			save(w);
	}
	witness_free(w->witness);
	X509_free(w->ca);
	free(w);
}
