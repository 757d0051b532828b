#include "proto/trust/witness.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/trust/witness_private.h"

#define UNANSWERED_MAX 3		     /* times at least, before it is a finding */
#define SAVE_TIME      (3600 * USEC_PER_SEC) /* by which a head of the same size is newer */
#define ROOT_SHOWN     4		     /* bytes of a root in a sentence */

static const struct {
	const char *word;
	bool lasts;
} states[] = {
	[WITNESS_STATE_AGREES] = {"agreement",		       false},
	[WITNESS_STATE_FORK] = {"a fork",			  true },
	[WITNESS_STATE_ROLLBACK] = {"a rollback",			  true },
	[WITNESS_STATE_REWRITTEN] = {"a rewritten ledger",	   true },
	[WITNESS_STATE_EPOCHS] = {"unexplained epochs",		true },
	[WITNESS_STATE_DAMAGED] = {"a damaged memory",	       true },
	[WITNESS_STATE_UNSIGNED] = {"a head without its signature", false},
	[WITNESS_STATE_UNPROVEN] = {"a head without proof",	    false},
	[WITNESS_STATE_STALE] = {"a stale or misdated head",     false},
};

const char *
witness_state_word(int state)
{
	size_t n = sizeof(states) / sizeof(states[0]);

	return state > 0 && (size_t)state < n ? states[state].word : "nothing";
}

bool
witness_lasts(int state)
{
	size_t n = sizeof(states) / sizeof(states[0]);

	return state > 0 && (size_t)state < n && states[state].lasts;
}

/* --- findings --------------------------------------------------------------------------------- */

static void
find_text(struct finding *f, int state, int64_t since, const char *fmt, va_list ap)
{
	*f = (struct finding){.state = state, .since = since};
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
}

void
witness_find(struct finding *f, int state, int64_t since, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	find_text(f, state, since, fmt, ap);
	va_end(ap);
}

/* "4711 entries (root 9c1e77a2, signed 2026-11-26T09:12:04.000Z)" */
#define SAID_MAX 96
static const char *
say_head(char out[SAID_MAX], const struct log_head *h)
{
	char root[2 * ROOT_SHOWN + 1], when[RFC3339_LEN + 1];

	hex_encode(root, h->root, ROOT_SHOWN);
	rfc3339_format(when, h->time);
	snprintf(out, SAID_MAX, "%" PRIu64 " entries (root %s, signed %s)", h->size, root, when);
	return out;
}

static void
end_judging(struct witness *w, struct witness_ask *ask)
{
	w->waits = WITNESS_NOTHING;
	log_epochs_fini(&w->fresh);
	buf_fini(&w->statements);
	buf_init(&w->statements, LOG_EPOCHS_MAX * LOG_EPOCH_MAX);
	w->asked_since = 0;
	w->suspicion.state = 0;
	*ask = (struct witness_ask){.what = WITNESS_NOTHING};
}

/* One that goes with the next good head. Of several, the first one's time counts. */
static void
pass(struct witness *w, const struct finding *f)
{
	int64_t since = w->passing.state != 0 ? w->passing.since : f->since;

	w->passing = *f;
	w->passing.since = since;
}

/* The first counts, and then the first that its heads prove. */
static void
declare(struct witness *w, const struct finding *f)
{
	if (w->lasting.state != 0 && (w->lasting.proven || !f->proven))
		return;
	w->lasting = *f;
	w->lasting.has_shown = true;
	w->lasting.shown = w->next;
	w->unsaved = true;
	witness_note_evidence(w);
}

static void
ask_epochs(struct witness *w, struct witness_ask *ask)
{
	w->waits = WITNESS_EPOCHS;
	*ask = (struct witness_ask){.what = WITNESS_EPOCHS, .since = w->asked_since};
}

/* Before anything is said for good the relay is asked for its epochs: it may have been recovered.
 */
static void
suspect(struct witness *w, const struct finding *f, struct witness_ask *ask)
{
	w->suspicion = *f;
	if (w->fresh.n == 0) {
		ask_epochs(w, ask);
		return;
	}
	declare(w, f);
	end_judging(w, ask);
}

/* --- agreeing --------------------------------------------------------------------------------- */

static void
pass_ahead(struct witness *w, int64_t now)
{
	struct finding f;
	char said[SAID_MAX];

	witness_find(&f, WITNESS_STATE_STALE, now,
		"the newest head that the relay shows, of %s, is dated %" PRId64
		" minutes ahead of this machine's clock: whether newer ones are kept back cannot "
		"be told until then, or one of the clocks is wrong",
		say_head(said, &w->kept), (w->kept.time - now) / (60 * USEC_PER_SEC));
	pass(w, &f);
}

static void
look_at_age(struct witness *w, int64_t now)
{
	struct finding f;
	char said[SAID_MAX];

	if (w->kept.time - now > WITNESS_AHEAD_MAX) {
		pass_ahead(w, now);
		return;
	}
	if (now - w->kept.time <= WITNESS_STALE_AFTER) {
		w->passing.state = 0;
		return;
	}
	witness_find(&f, WITNESS_STATE_STALE, now,
		"the newest head that the relay shows, of %s, is %" PRId64
		" minutes old by this machine's clock: the relay signs none any more, or keeps "
		"newer ones back, or one of the clocks is wrong",
		say_head(said, &w->kept), (now - w->kept.time) / (60 * USEC_PER_SEC));
	pass(w, &f);
}

static bool
is_worth_saving(const struct witness *w, const struct log_head *h)
{
	return !w->has_saved || w->saved.size != h->size || w->saved.epoch != h->epoch ||
		h->time - w->saved.time >= SAVE_TIME;
}

static void
agree(struct witness *w, int64_t now, struct witness_ask *ask)
{
	if (w->has && w->ground.recovered) {
		w->recovered = now;
		w->unsaved = true;
		if (!w->damaged)
			w->lasting.state = 0;
	}
	/* Of heads with the same size the newest is kept. */
	if (!w->has || w->ground.recovered || w->next.size > w->kept.size ||
		w->next.time > w->kept.time)
		w->kept = w->next;
	w->has = true;
	if (w->fresh.n > 0) {
		log_epochs_fini(&w->epochs);
		w->epochs = w->fresh;
		w->fresh = (struct log_epochs){.n = 0};
	}
	w->unsaved = w->unsaved || is_worth_saving(w, &w->kept);
	w->agreed = now;
	w->good = true;
	w->unanswered = 0;
	look_at_age(w, now);
	end_judging(w, ask);
}

/* --- comparing -------------------------------------------------------------------------------- */

static void
ask_proof(struct witness *w, uint64_t old_size, uint64_t size, struct witness_ask *ask)
{
	w->waits = WITNESS_PROOF;
	*ask = (struct witness_ask){
		.what = WITNESS_PROOF, .old_size = (int64_t)old_size, .size = (int64_t)size};
}

static void
suspect_fork(struct witness *w, int64_t now, struct witness_ask *ask)
{
	char a[SAID_MAX], b[SAID_MAX];
	struct finding f;

	witness_find(&f, WITNESS_STATE_FORK, now,
		w->ground.recovered
			? "the ledger forked: the statement of its recovery is not about %s, "
			  "which the relay shows; kept is %s"
			: "the ledger forked: the relay shows %s, and has signed %s before",
		say_head(b, &w->next), say_head(a, &w->kept));
	f.proven = true;
	suspect(w, &f, ask);
}

/* Heads of one ledger grow in size and in time together. */
static void
suspect_disorder(struct witness *w, int64_t now, struct witness_ask *ask)
{
	bool shrank = w->next.size < w->kept.size;
	char a[SAID_MAX], b[SAID_MAX];
	struct finding f;

	witness_find(&f, WITNESS_STATE_ROLLBACK, now,
		shrank ? "the ledger went back: the relay shows %s, and has signed %s before"
		       : "the ledger went back: the relay shows %s, signed before %s",
		say_head(b, &w->next), say_head(a, &w->kept));
	f.proven = true;
	suspect(w, &f, ask);
}

/*
 * A smaller head that was signed no later is one that was on its way when another came, if the
 * relay can still prove that the kept one grew out of it.
 */
static void
compare(struct witness *w, int64_t now, struct witness_ask *ask)
{
	const struct ground *g = &w->ground;
	const struct log_head *h = &w->next;

	if (!w->has) {
		agree(w, now, ask);
	} else if (h->size == g->size) {
		if (memcmp(h->root, g->root, MERKLE_LEN) == 0)
			agree(w, now, ask);
		else
			suspect_fork(w, now, ask);
	} else if (!g->recovered &&
		((h->size < g->size && h->time > w->kept.time) ||
			(h->size > g->size && h->time < w->kept.time))) {
		suspect_disorder(w, now, ask);
	} else if (h->size < g->size) {
		ask_proof(w, h->size, g->size, ask);
	} else if (g->size == 0) {
		agree(w, now, ask);
	} else {
		ask_proof(w, g->size, h->size, ask);
	}
}

static void
stand_on_kept(struct witness *w)
{
	w->ground = (struct ground){.size = w->kept.size};
	memcpy(w->ground.root, w->kept.root, MERKLE_LEN);
}

void
witness_head(struct witness *w, const char *text, size_t n, int64_t now, struct witness_ask *ask)
{
	struct hw_err err = HW_ERR_INIT;
	struct finding f;

	end_judging(w, ask);
	w->good = false;
	if (log_head_parse(&w->next, w->origin, text, n, &err) < 0) {
		witness_find(&f, WITNESS_STATE_UNSIGNED, now,
			"what the relay shows as a head of its ledger is none");
		pass(w, &f);
		return;
	}
	stand_on_kept(w);
	if (w->has && strcmp(w->origin, w->epochs.origin) == 0 &&
		log_epochs_allow(&w->epochs, &w->next, &err) == 0)
		compare(w, now, ask);
	else
		ask_epochs(w, ask);
}

/* --- proofs ----------------------------------------------------------------------------------- */

static void
suspect_unproven(struct witness *w, int64_t now, const char *why, struct witness_ask *ask)
{
	const struct ground *g = &w->ground;
	struct log_head from = w->kept;
	char a[SAID_MAX], b[SAID_MAX];
	struct finding f;

	if (g->recovered) {
		from.size = g->size;
		memcpy(from.root, g->root, MERKLE_LEN);
		from.time = log_epochs_last(&w->fresh)->time;
	}
	if (w->next.size < g->size)
		witness_find(&f, WITNESS_STATE_ROLLBACK, now,
			"the ledger went back: the relay shows %s and does not prove that it still "
			"has %s%s",
			say_head(b, &w->next), say_head(a, &from), why);
	else
		witness_find(&f, WITNESS_STATE_REWRITTEN, now,
			"the ledger was rewritten: the relay shows %s and does not prove that it "
			"grew out of %s%s",
			say_head(b, &w->next), say_head(a, &from), why);
	suspect(w, &f, ask);
}

void
witness_proof(struct witness *w, const uint8_t *hashes, size_t n, int64_t now,
	struct witness_ask *ask)
{
	const struct ground *g = &w->ground;
	const struct log_head *h = &w->next;
	bool good = n % MERKLE_LEN == 0;

	*ask = (struct witness_ask){.what = WITNESS_NOTHING};
	if (w->waits != WITNESS_PROOF)
		return;
	n /= MERKLE_LEN;
	if (good && h->size < g->size) {
		if (merkle_extends(h->size, h->root, g->size, g->root, hashes, n)) {
			w->unanswered = 0;
			w->good = true;
			look_at_age(w, now);
			end_judging(w, ask);
			return;
		}
		good = false;
	}
	if (good && merkle_extends(g->size, g->root, h->size, h->root, hashes, n))
		agree(w, now, ask);
	else
		suspect_unproven(w, now, "", ask);
}

/* --- epochs ----------------------------------------------------------------------------------- */

/* What was suspected is said; else that statements or a signature are missing. */
static void
end_unsigned(struct witness *w, int64_t now, const char *why, struct witness_ask *ask)
{
	char said[SAID_MAX];
	struct finding f;

	if (w->suspicion.state != 0) {
		declare(w, &w->suspicion);
	} else {
		witness_find(&f, WITNESS_STATE_UNSIGNED, now,
			"the relay shows %s, which proves nothing: %.200s",
			say_head(said, &w->next), why);
		pass(w, &f);
	}
	end_judging(w, ask);
}

static const struct log_epoch *
last_recovery(const struct log_epochs *list, const struct log_epoch *first)
{
	const struct log_epoch *last = first;

	for (size_t i = first->epoch; i < list->n; i++)
		if (list->all[i].by == LOG_BY_RECOVERY)
			last = &list->all[i];
	return last;
}

/* A list that only ends earlier contradicts nothing by itself. */
static bool
is_shorter(const struct log_epochs *known, const struct log_epochs *shown)
{
	uint8_t a[MERKLE_LEN], b[MERKLE_LEN];

	if (strcmp(known->origin, shown->origin) != 0 || shown->n >= known->n)
		return false;
	log_epoch_hash(a, &known->all[shown->n - 1], known->origin);
	log_epoch_hash(b, log_epochs_last(shown), shown->origin);
	return memcmp(a, b, MERKLE_LEN) == 0;
}

static void
find_epochs(struct witness *w, int64_t now, struct witness_ask *ask)
{
	bool shorter = is_shorter(&w->epochs, &w->fresh);
	char a[SAID_MAX], b[SAID_MAX];
	struct finding f;

	witness_find(&f, WITNESS_STATE_EPOCHS, now,
		"the relay shows %s of %s with %zu epochs, %s %zu of %s, of which %s is kept; no "
		"recovery key says why",
		say_head(b, &w->next), w->fresh.origin, w->fresh.n,
		shorter ? "not any more the" : "others than the", w->epochs.n, w->epochs.origin,
		say_head(a, &w->kept));
	f.proven = !shorter && strcmp(w->fresh.origin, w->epochs.origin) == 0;
	declare(w, &f);
	end_judging(w, ask);
}

/* The statements that the relay has are all there, and hold. */
static void
judge_with_epochs(struct witness *w, int64_t now, struct witness_ask *ask)
{
	const struct log_epoch *recovered = NULL;
	struct hw_err err = HW_ERR_INIT;

	if (w->has && !log_epochs_follow(&w->epochs, &w->fresh, &recovered)) {
		find_epochs(w, now, ask);
		return;
	}
	if (recovered != NULL) {
		recovered = last_recovery(&w->fresh, recovered);
		w->suspicion.state = 0;
		if (w->next.epoch < recovered->epoch) { /* of what the recovery gave up */
			end_judging(w, ask);
			return;
		}
		w->ground = (struct ground){.size = recovered->size, .recovered = true};
		memcpy(w->ground.root, recovered->root, MERKLE_LEN);
	}
	if (strcmp(w->origin, w->fresh.origin) != 0)
		end_unsigned(w, now, "it is of another ledger than the statements", ask);
	else if (log_epochs_allow(&w->fresh, &w->next, &err) < 0)
		end_unsigned(w, now, hw_err_text(&err), ask);
	else if (w->suspicion.state != 0)
		suspect(w, &w->suspicion, ask);
	else
		compare(w, now, ask);
}

/* Whole statements, one after another. */
static int64_t
count_statements(const char *text, size_t n)
{
	const char *at = text;
	int64_t count = 0;

	while ((at = memmem(at, n - (size_t)(at - text), "\n\n", 2)) != NULL) {
		count++;
		at += 2;
	}
	return count;
}

void
witness_epochs(struct witness *w, const char *text, size_t n, int64_t last_epoch, int64_t now,
	struct witness_ask *ask)
{
	struct hw_err err = HW_ERR_INIT;

	*ask = (struct witness_ask){.what = WITNESS_NOTHING};
	if (w->waits != WITNESS_EPOCHS)
		return;
	int64_t count = count_statements(text, n);
	w->asked_since += count;
	if (count == 0 || w->asked_since > LOG_EPOCHS_MAX ||
		buf_append(&w->statements, text, n) < 0) {
		end_unsigned(w, now, "it does not give the statements of its epochs", ask);
		return;
	}
	if (w->asked_since < last_epoch && last_epoch <= LOG_EPOCHS_MAX) {
		ask_epochs(w, ask);
		return;
	}
	if (log_epochs_read(&w->fresh, buf_data(&w->statements), w->statements.len, w->ca, &err) <
		0)
		end_unsigned(w, now, hw_err_text(&err), ask);
	else
		judge_with_epochs(w, now, ask);
}

/* --- no answer -------------------------------------------------------------------------------- */

/* The relay's words, which go to terminals. */
#define WHY_MAX 160
static const char *
plain(char out[WHY_MAX], const char *why)
{
	snprintf(out, WHY_MAX, "%s", why != NULL && why[0] != '\0' ? why : "no answer");
	for (char *p = out; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			*p = '?';
	return out;
}

static void
count_unanswered(struct witness *w, const char *why, int64_t now)
{
	char said[SAID_MAX], words[WHY_MAX];
	struct finding f;

	if (w->unanswered++ == 0)
		w->unanswered_since = now;
	if (w->unanswered < UNANSWERED_MAX || now - w->unanswered_since < WITNESS_UNPROVEN_AFTER)
		return;
	witness_find(&f, WITNESS_STATE_UNPROVEN, now,
		"the relay shows %s and has not proven for %" PRId64
		" minutes how that came from what it showed before: %s",
		say_head(said, &w->next), (now - w->unanswered_since) / (60 * USEC_PER_SEC),
		plain(words, why));
	pass(w, &f);
}

void
witness_unanswered(struct witness *w, int code, const char *why, int64_t now,
	struct witness_ask *ask)
{
	enum witness_what waits = w->waits;

	*ask = (struct witness_ask){.what = WITNESS_NOTHING};
	if (waits == WITNESS_PROOF && code == HW_EVALIDATION) {
		suspect_unproven(w, now, ", and says that it cannot", ask);
		return;
	}
	/* A link that is lost is no answer, but two heads that contradict need none. */
	if (waits == WITNESS_EPOCHS && w->suspicion.state != 0 &&
		(w->suspicion.proven || code != HW_EUNAVAILABLE))
		declare(w, &w->suspicion);
	else if (waits != WITNESS_NOTHING)
		count_unanswered(w, why, now);
	end_judging(w, ask);
}

void
witness_look(struct witness *w, int64_t now, int64_t since)
{
	if (w->has && now - w->kept.time > WITNESS_STALE_AFTER && now - since > WITNESS_STALE_AFTER)
		look_at_age(w, now);
}

/* --- life ------------------------------------------------------------------------------------- */

struct witness *
witness_new(X509 *ca)
{
	struct witness *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->ca = ca;
	buf_init(&w->statements, LOG_EPOCHS_MAX * LOG_EPOCH_MAX);
	buf_init(&w->evidence, WITNESS_EVIDENCE_MAX);
	return w;
}

void
witness_free(struct witness *w)
{
	if (w == NULL)
		return;
	log_epochs_fini(&w->epochs);
	log_epochs_fini(&w->fresh);
	buf_fini(&w->statements);
	buf_fini(&w->evidence);
	free(w);
}

void
witness_status(const struct witness *w, struct witness_status *ret)
{
	const struct finding *f = w->lasting.state != 0 ? &w->lasting : &w->passing;

	*ret = (struct witness_status){
		.state = WITNESS_STATE_AGREES,
		.text = "",
		.kept = w->has ? &w->kept : NULL,
		.saved = w->has_saved ? &w->saved : NULL,
		.origin = w->has ? w->epochs.origin : "",
		.agreed = w->agreed,
		.recovered = w->recovered,
		.good = w->good,
		.judging = w->waits != WITNESS_NOTHING,
		.unsaved = w->unsaved && w->has && !w->damaged,
		.has_evidence = w->evidence.len > 0,
	};
	if (f->state == 0)
		return;
	ret->state = f->state;
	ret->lasts = f == &w->lasting;
	ret->proven = f->proven;
	ret->since = f->since;
	ret->text = f->text;
	ret->shown = f->has_shown ? &f->shown : NULL;
}
