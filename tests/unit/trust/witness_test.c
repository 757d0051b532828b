/* A witness against relays that are honest, restored, forked, mute, and liars. */
#include "proto/trust/witness.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/x509.h>

#include "tests/unit/trust/fleet.h"

#define ORIGIN	"hawser/0123456789ab/relay"
#define ENTRIES 256
#define START	INT64_C(1764000000000000)
#define SECOND	INT64_C(1000000)

/* --- a relay ---------------------------------------------------------------------------------- */

struct relay {
	uint8_t leaves[ENTRIES][MERKLE_LEN];
	uint64_t n;
	EVP_PKEY *key, *recovery;
	const struct ca *ca;
	struct log_epochs list;
	int64_t now;
	int refuses; /* questions for proofs are answered with this code */
	bool lies;   /* or with hashes of nothing */
	bool hides;  /* questions for epochs are */
	size_t page; /* statements in an answer; 0: all */
	int asked;
};

static void
root_of(uint8_t out[MERKLE_LEN], const struct relay *r, uint64_t from, uint64_t n)
{
	uint8_t left[MERKLE_LEN], right[MERKLE_LEN];
	uint64_t k = 1;

	if (n == 0) {
		merkle_empty(out);
		return;
	}
	if (n == 1) {
		memcpy(out, r->leaves[from], MERKLE_LEN);
		return;
	}
	while (2 * k < n)
		k *= 2;
	root_of(left, r, from, k);
	root_of(right, r, from + k, n - k);
	merkle_node(out, left, right);
}

/* SUBPROOF of RFC 9162, 2.1.4.1. */
static void
prove(struct buf *out, const struct relay *r, uint64_t m, uint64_t from, uint64_t n, bool whole)
{
	uint8_t hash[MERKLE_LEN];
	uint64_t k = 1;

	if (m == n) {
		root_of(hash, r, from, n);
		if (!whole)
			buf_append(out, hash, MERKLE_LEN);
		return;
	}
	while (2 * k < n)
		k *= 2;
	if (m <= k) {
		prove(out, r, m, from, k, whole);
		root_of(hash, r, from + k, n - k);
	} else {
		prove(out, r, m - k, from + k, n - k, false);
		root_of(hash, r, from, k);
	}
	buf_append(out, hash, MERKLE_LEN);
}

static void
add(struct relay *r, uint64_t n, uint8_t what)
{
	for (; n > 0; n--, r->n++) {
		uint8_t entry[2] = {what, (uint8_t)r->n};
		cr_assert(lt(u64, r->n, ENTRIES));
		merkle_leaf(r->leaves[r->n], entry, sizeof(entry));
	}
	r->now += SECOND;
}

static void
begin_epoch(struct relay *r, enum log_by by, EVP_PKEY *signer, EVP_PKEY *next)
{
	const struct log_epoch *last = r->list.n > 0 ? log_epochs_last(&r->list) : NULL;
	struct log_epoch e = {.epoch = (uint32_t)r->list.n + 1,
		.size = r->n,
		.time = r->now,
		.by = by,
		.has_recovery = true,
		.has_previous = last != NULL};

	root_of(e.root, r, 0, r->n);
	cr_assert(eq(int, log_key_public(e.key, next, NULL), 0));
	cr_assert(eq(int, log_key_public(e.recovery, r->recovery, NULL), 0));
	if (last != NULL)
		log_epoch_hash(e.previous, last, ORIGIN);
	cr_assert(eq(int, log_epoch_sign(&e, ORIGIN, signer, r->ca, NULL), 0));
	r->list.all[r->list.n++] = e;
	r->key = next;
}

/* All of a test's keys and relays, which go with it. */
static EVP_PKEY *keys[64];
static struct relay *relays[16];
static size_t n_keys, n_relays;

static EVP_PKEY *
new_key(void)
{
	EVP_PKEY *key;

	cr_assert(eq(int, key_generate_signing(&key, NULL), 0));
	keys[n_keys++] = key;
	return key;
}

static struct relay *
relay_new(const struct fleet *f)
{
	struct relay *r = calloc(1, sizeof(*r));

	cr_assert(ne(ptr, r, NULL));
	relays[n_relays++] = r;
	r->ca = f->ca;
	r->now = START;
	r->recovery = new_key();
	strcpy(r->list.origin, ORIGIN);
	r->list.all = calloc(LOG_EPOCHS_MAX + 8, sizeof(*r->list.all));
	begin_epoch(r, LOG_BY_AUTHORITY, NULL, new_key());
	return r;
}

/* As it is now: of the copy, keys are shared. */
static struct relay *
copy(const struct relay *r)
{
	struct relay *c = malloc(sizeof(*c));

	*c = *r;
	relays[n_relays++] = c;
	c->list.all = calloc(LOG_EPOCHS_MAX + 8, sizeof(*c->list.all));
	memcpy(c->list.all, r->list.all, r->list.n * sizeof(*r->list.all));
	return c;
}

static struct log_head
head_of(const struct relay *r)
{
	struct log_head h = {
		.epoch = log_epochs_last(&r->list)->epoch, .size = r->n, .time = r->now};

	root_of(h.root, r, 0, r->n);
	cr_assert(eq(int, log_head_sign(&h, ORIGIN, r->key, NULL), 0));
	return h;
}

static void
answer_epochs(struct relay *r, struct witness *w, struct witness_ask *ask)
{
	size_t page = r->page > 0 ? r->page : r->list.n;
	struct buf text;

	if (r->hides) {
		witness_unanswered(w, HW_EIO, "no epochs today", r->now, ask);
		return;
	}
	buf_init(&text, 1 << 20);
	for (size_t i = (size_t)ask->since; i < r->list.n && i < (size_t)ask->since + page; i++)
		cr_assert(eq(int, log_epoch_format(&text, &r->list.all[i], ORIGIN), 0));
	witness_epochs(w, (const char *)buf_data(&text), text.len, (int64_t)r->list.n, r->now, ask);
	buf_fini(&text);
}

static void
answer_proof(struct relay *r, struct witness *w, struct witness_ask *ask)
{
	static const uint8_t nothing[3 * MERKLE_LEN];
	struct buf proof;

	if (r->refuses != 0) {
		witness_unanswered(w, r->refuses, "no proof today", r->now, ask);
		return;
	}
	if (r->lies) {
		witness_proof(w, nothing, sizeof(nothing), r->now, ask);
		return;
	}
	if ((uint64_t)ask->size > r->n) {
		witness_unanswered(w, HW_EVALIDATION, "no such head is signed", r->now, ask);
		return;
	}
	buf_init(&proof, MERKLE_PROOF_MAX * MERKLE_LEN);
	if (ask->old_size > 0)
		prove(&proof, r, (uint64_t)ask->old_size, 0, (uint64_t)ask->size, true);
	witness_proof(w, buf_data(&proof), proof.len, r->now, ask);
	buf_fini(&proof);
}

static void
show_head(struct relay *r, struct witness *w, const struct log_head *h)
{
	struct witness_ask ask;
	char text[LOG_HEAD_MAX];

	size_t n = log_head_format(text, h, ORIGIN);
	witness_head(w, text, n, r->now, &ask);
	for (r->asked = 0; ask.what != WITNESS_NOTHING; r->asked++) {
		cr_assert(lt(int, r->asked, 600), "it never ends");
		if (ask.what == WITNESS_EPOCHS)
			answer_epochs(r, w, &ask);
		else
			answer_proof(r, w, &ask);
	}
}

static void
show(struct relay *r, struct witness *w)
{
	const struct log_head h = head_of(r);

	show_head(r, w, &h);
}

/* --- helpers ---------------------------------------------------------------------------------- */

static struct fleet *fleet;
static X509 *ca;
static struct relay *relay;
static struct witness *witness;

static void
setup(void)
{
	fleet = fleet_new();
	ca = ca_cert(fleet->ca);
	relay = relay_new(fleet);
	witness = witness_new(ca);
	cr_assert(ne(ptr, witness, NULL));
	add(relay, 10, 'a');
	show(relay, witness);
}

static void
teardown(void)
{
	witness_free(witness);
	while (n_relays > 0) {
		free(relays[--n_relays]->list.all);
		free(relays[n_relays]);
	}
	while (n_keys > 0)
		key_free(keys[--n_keys]);
	fleet_free(fleet);
}

TestSuite(witness, .init = setup, .fini = teardown, .timeout = 60);

static void
expect_of(const struct witness *w, int state, bool proven, uint64_t kept)
{
	struct witness_status st;

	witness_status(w, &st);
	cr_assert(eq(int, st.state, state), "%s: %s", enum_text(&enum_WITNESS_STATE, st.state),
		st.text);
	cr_assert(eq(int, st.proven, proven));
	cr_assert(eq(u64, st.kept != NULL ? st.kept->size : 0, kept));
	cr_assert(eq(int, state == WITNESS_STATE_AGREES, st.text[0] == '\0'));
}

static void
expect(int state, bool proven, uint64_t kept)
{
	expect_of(witness, state, proven, kept);
}

static bool
says(const char *what)
{
	struct witness_status st;

	witness_status(witness, &st);
	return strstr(st.text, what) != NULL;
}

/* What the next program knows. */
static void
restart(void)
{
	cr_assert(eq(int, witness_save_evidence(witness, fleet->dir, "evidence", NULL), 0));
	cr_assert(eq(int, witness_save(witness, fleet->dir, "kept", NULL), 0));
	witness_free(witness);
	witness = witness_new(ca);
	cr_assert(eq(int, witness_load(witness, fleet->dir, "kept", NULL), 0));
}

static int
check_evidence(char said[WITNESS_SENTENCE_MAX])
{
	struct hw_err err = HW_ERR_INIT;
	struct buf text;

	buf_init(&text, WITNESS_EVIDENCE_MAX);
	cr_assert(eq(int, file_read(&text, fleet->dir, "evidence", &err), 0), "%s", err.text);
	int r = witness_check_evidence(said, buf_data(&text), text.len, ca, &err);
	buf_fini(&text);
	return r;
}

/* --- honest ----------------------------------------------------------------------------------- */

Test(witness, a_ledger_that_grows_is_followed_also_by_the_next_program)
{
	struct witness_status st;

	expect(WITNESS_STATE_AGREES, false, 10);
	cr_assert(eq(int, relay->asked, 1)); /* its epochs, the first time */
	for (int i = 1; i < 40; i++) {
		add(relay, (uint64_t)(i % 5), 'a');
		show(relay, witness);
		expect(WITNESS_STATE_AGREES, false, relay->n);
		cr_assert(le(int, relay->asked, 1)); /* a proof, unless nothing is new */
		if (i % 7 == 0)
			restart();
	}
	witness_status(witness, &st);
	cr_assert(st.good);
	cr_assert(not(st.has_evidence));
}

Test(witness, a_head_that_another_overtook_is_no_rollback)
{
	struct log_head old = head_of(relay);

	add(relay, 7, 'a');
	show(relay, witness);
	show_head(relay, witness, &old);
	expect(WITNESS_STATE_AGREES, false, 17);
	cr_assert(eq(int, relay->asked, 1)); /* the relay proves that it still has the other */
}

Test(witness, a_relay_that_shows_but_what_was_overtaken_is_stale)
{
	struct log_head old = head_of(relay);

	add(relay, 7, 'a');
	show(relay, witness);
	relay->now += WITNESS_STALE_AFTER;
	show_head(relay, witness, &old);
	expect(WITNESS_STATE_AGREES, false, 17);
	relay->now++;
	show_head(relay, witness, &old);
	expect(WITNESS_STATE_STALE, false, 17);
	show(relay, witness);
	expect(WITNESS_STATE_AGREES, false, 17);
}

Test(witness, an_empty_ledger_is_a_beginning_too)
{
	struct relay *r = relay_new(fleet);
	struct witness *w = witness_new(ca);

	show(r, w);
	expect_of(w, WITNESS_STATE_AGREES, false, 0);
	add(r, 3, 'a');
	show(r, w);
	expect_of(w, WITNESS_STATE_AGREES, false, 3);
	witness_free(w);
}

Test(witness, a_key_that_signs_over_is_followed_through_pages_of_statements)
{
	relay->page = 7;
	for (int i = 0; i < 40; i++)
		begin_epoch(relay, LOG_BY_LEDGER, relay->key, new_key());
	add(relay, 1, 'a');
	show(relay, witness);
	expect(WITNESS_STATE_AGREES, false, 11);
	restart();
	add(relay, 1, 'a');
	show(relay, witness);
	expect(WITNESS_STATE_AGREES, false, 12);
	cr_assert(eq(int, relay->asked, 1));
}

/* --- contradictions --------------------------------------------------------------------------- */

Test(witness, two_roots_of_one_size_are_a_fork_that_anybody_can_check)
{
	struct relay *other = copy(relay);
	char said[WITNESS_SENTENCE_MAX];
	struct log_head good;

	other->leaves[3][0] ^= 1;
	other->now += SECOND;
	show(other, witness);
	expect(WITNESS_STATE_FORK, true, 10);
	cr_assert(says("10 entries (root "));
	restart();
	cr_assert(eq(int, check_evidence(said), 1), "%s", said);
	expect(WITNESS_STATE_FORK, true, 10);

	/* It is not forgotten when the relay tells the old story again. */
	add(relay, 5, 'a');
	good = head_of(relay);
	show_head(relay, witness, &good);
	expect(WITNESS_STATE_FORK, true, 15);
}

Test(witness, a_shorter_ledger_that_was_signed_later_is_a_rollback)
{
	struct relay *old = copy(relay);
	char said[WITNESS_SENTENCE_MAX];

	add(relay, 20, 'a');
	show(relay, witness);
	old->now = relay->now;
	add(old, 4, 'b');
	show(old, witness);
	expect(WITNESS_STATE_ROLLBACK, true, 30);
	cr_assert(says("14 entries"));
	cr_assert(says("30 entries"));
	restart();
	cr_assert(eq(int, check_evidence(said), 1), "%s", said);
}

Test(witness, an_older_head_of_a_relay_without_the_newer_one_is_a_rollback)
{
	struct relay *old = copy(relay);
	char said[WITNESS_SENTENCE_MAX];

	add(relay, 20, 'a');
	show(relay, witness);
	show(old, witness);
	expect(WITNESS_STATE_ROLLBACK, false, 30);
	restart();
	cr_assert(eq(int, check_evidence(said), 0), "%s", said); /* it takes the files */
}

Test(witness, a_longer_ledger_with_another_past_is_rewritten)
{
	struct relay *old = copy(relay);

	add(relay, 20, 'a');
	show(relay, witness);
	old->now = relay->now;
	add(old, 40, 'b');
	show(old, witness);
	expect(WITNESS_STATE_REWRITTEN, false, 30);
	cr_assert(says("50 entries"));
}

Test(witness, a_relay_that_says_that_it_cannot_prove_is_believed)
{
	add(relay, 5, 'a');
	relay->refuses = HW_EVALIDATION;
	show(relay, witness);
	expect(WITNESS_STATE_REWRITTEN, false, 10);
	cr_assert(says("says that it cannot"));
}

Test(witness, a_longer_ledger_that_was_signed_earlier_is_a_rollback)
{
	struct relay *early = copy(relay);

	early->now = START - SECOND;
	add(early, 1, 'a');
	early->now -= SECOND;
	show(early, witness);
	expect(WITNESS_STATE_ROLLBACK, true, 10);
}

Test(witness, what_its_heads_prove_takes_the_place_of_what_they_do_not)
{
	struct relay *other = copy(relay);

	add(relay, 5, 'a');
	show(relay, witness);
	show(other, witness);
	expect(WITNESS_STATE_ROLLBACK, false, 15);
	other->now = relay->now;
	add(other, 5, 'b');
	show(other, witness);
	expect(WITNESS_STATE_FORK, true, 15);
	show(relay, witness);
	expect(WITNESS_STATE_FORK, true, 15);
}

/* --- epochs ----------------------------------------------------------------------------------- */

Test(witness, another_ledger_of_the_same_authority_is_no_successor)
{
	struct relay *anew = relay_new(fleet);
	char said[WITNESS_SENTENCE_MAX];

	anew->now = relay->now;
	add(anew, 50, 'a');
	show(anew, witness);
	expect(WITNESS_STATE_EPOCHS, true, 10);
	restart();
	cr_assert(eq(int, check_evidence(said), 1), "%s", said);
}

Test(witness, a_copy_from_before_the_key_signed_over_is_seen)
{
	struct relay *old = copy(relay);

	begin_epoch(relay, LOG_BY_LEDGER, relay->key, new_key());
	add(relay, 5, 'a');
	show(relay, witness);
	expect(WITNESS_STATE_AGREES, false, 15);
	old->now = relay->now;
	add(old, 30, 'b');
	show(old, witness);
	expect(WITNESS_STATE_EPOCHS, false, 15);
}

Test(witness, a_restored_relay_goes_on_once_the_recovery_key_has_said_so)
{
	struct relay *old = copy(relay);
	struct witness_status st;

	add(relay, 20, 'a');
	show(relay, witness);
	old->now = relay->now;
	add(old, 4, 'b');
	show(old, witness);
	expect(WITNESS_STATE_ROLLBACK, true, 30);
	restart();

	struct log_head before = head_of(old);
	begin_epoch(old, LOG_BY_RECOVERY, old->recovery, new_key());
	show_head(old, witness, &before); /* which the relay may still show for a moment */
	expect(WITNESS_STATE_ROLLBACK, true, 30);
	add(old, 1, 'b');
	show(old, witness);
	expect(WITNESS_STATE_AGREES, false, 15);
	witness_status(witness, &st);
	cr_assert(eq(i64, st.recovered, old->now));
	restart();
	add(old, 1, 'b');
	show(old, witness);
	expect(WITNESS_STATE_AGREES, false, 16);

	/* And the ledger that was given up is none any more. */
	relay->now = old->now;
	add(relay, 1, 'a');
	show(relay, witness);
	expect(WITNESS_STATE_EPOCHS, false, 16);
}

Test(witness, a_recovery_with_another_key_recovers_nothing)
{
	struct relay *old = copy(relay);

	add(relay, 20, 'a');
	show(relay, witness);
	old->now = relay->now;
	EVP_PKEY *thief = new_key();
	begin_epoch(old, LOG_BY_RECOVERY, thief, thief);
	add(old, 4, 'b');
	show(old, witness);
	expect(WITNESS_STATE_UNSIGNED, false, 30);
}

Test(witness, a_recovery_is_for_one_ledger_alone)
{
	struct relay *old = copy(relay);

	add(relay, 20, 'a');
	show(relay, witness);
	old->now = relay->now;
	begin_epoch(old, LOG_BY_RECOVERY, old->recovery, new_key());
	old->leaves[2][0] ^= 1;
	add(old, 4, 'b');
	show(old, witness);
	expect(WITNESS_STATE_REWRITTEN, false, 30);
}

Test(witness, a_recovery_is_looked_for_before_anything_is_said)
{
	struct relay *old = copy(relay);

	add(relay, 20, 'a');
	show(relay, witness);
	old->now = relay->now;
	struct log_head before = head_of(old);
	begin_epoch(old, LOG_BY_RECOVERY, old->recovery, new_key());
	show_head(old, witness, &before);
	expect(WITNESS_STATE_AGREES, false, 30);
	show(old, witness);
	expect(WITNESS_STATE_AGREES, false, 10);
}

Test(witness, statements_without_end_or_use_are_refused)
{
	struct witness_ask ask;
	struct log_head h;
	char text[LOG_HEAD_MAX];
	struct buf flood;

	begin_epoch(relay, LOG_BY_LEDGER, relay->key, new_key());
	add(relay, 1, 'a');
	h = head_of(relay);
	size_t n = log_head_format(text, &h, ORIGIN);

	witness_head(witness, text, n, relay->now, &ask);
	cr_assert(eq(int, ask.what, WITNESS_EPOCHS));
	witness_epochs(witness, "", 0, 2, relay->now, &ask);
	cr_assert(eq(int, ask.what, WITNESS_NOTHING));
	expect(WITNESS_STATE_UNSIGNED, false, 10);

	/* Whole statements, as far as anybody can see, and always more of them. */
	buf_init(&flood, 1 << 20);
	for (int i = 0; i < 100; i++)
		buf_append_str(&flood, "x\n\n");
	witness_head(witness, text, n, relay->now, &ask);
	int asked = 0;
	while (ask.what == WITNESS_EPOCHS && asked++ < 100)
		witness_epochs(witness, (const char *)buf_data(&flood), flood.len, LOG_EPOCHS_MAX,
			relay->now, &ask);
	cr_assert(le(int, asked, 6));
	expect(WITNESS_STATE_UNSIGNED, false, 10);
	buf_fini(&flood);
	show(relay, witness);
	expect(WITNESS_STATE_AGREES, false, 11);
}

/* --- what passes ------------------------------------------------------------------------------ */

Test(witness, heads_that_nobody_signed_prove_nothing_and_pass)
{
	struct relay *thief = copy(relay);
	struct witness_ask ask;

	witness_head(witness, "hello", 5, relay->now, &ask);
	cr_assert(eq(int, ask.what, WITNESS_NOTHING));
	expect(WITNESS_STATE_UNSIGNED, false, 10);
	show(relay, witness);
	expect(WITNESS_STATE_AGREES, false, 10);

	thief->key = new_key();
	thief->leaves[1][1] ^= 1;
	show(thief, witness);
	expect(WITNESS_STATE_UNSIGNED, false, 10);
	show(relay, witness);
	expect(WITNESS_STATE_AGREES, false, 10);
}

/* Signed or not: ages are told from their times, and proofs asked for by their sizes. */
Test(witness, heads_of_times_and_sizes_beyond_reckoning_are_none)
{
	int64_t then = relay->now;

	relay->now = INT64_MIN;
	struct log_head h = head_of(relay);
	relay->now = then;
	show_head(relay, witness, &h);
	expect(WITNESS_STATE_UNSIGNED, false, 10);
	show(relay, witness);
	h.time = then + SECOND;
	h.size = UINT64_C(1) << 63;
	cr_assert(eq(int, log_head_sign(&h, ORIGIN, relay->key, NULL), 0));
	show_head(relay, witness, &h);
	expect(WITNESS_STATE_UNSIGNED, false, 10);
}

Test(witness, a_proof_of_nothing_is_none)
{
	add(relay, 9, 'a');
	relay->lies = true;
	show(relay, witness);
	expect(WITNESS_STATE_REWRITTEN, false, 10);
}

Test(witness, excuses_are_a_finding_after_a_while_and_a_proof_ends_it)
{
	relay->refuses = HW_EIO;
	for (int i = 0; i < 20; i++) {
		add(relay, 1, 'a');
		relay->now = START + (i + 1) * 60 * SECOND;
		show(relay, witness);
		expect(i < 15 ? WITNESS_STATE_AGREES : WITNESS_STATE_UNPROVEN, false, 10);
	}
	cr_assert(says("no proof today"));
	relay->refuses = 0;
	show(relay, witness);
	expect(WITNESS_STATE_AGREES, false, 30);
}

/* They go to the terminal of who asks for the node's status. */
Test(witness, excuses_move_no_cursor)
{
	struct witness_status st;
	struct witness_ask ask;
	char text[LOG_HEAD_MAX];

	add(relay, 1, 'a');
	const struct log_head h = head_of(relay);
	size_t n = log_head_format(text, &h, ORIGIN);
	for (int i = 0; i < 3; i++) {
		int64_t now = relay->now + i * WITNESS_UNPROVEN_AFTER;
		witness_head(witness, text, n, now, &ask);
		cr_assert(eq(int, ask.what, WITNESS_PROOF));
		witness_unanswered(witness, HW_EIO, "\x1b[2J\ngone \xe2\x80\x94", now, &ask);
	}
	expect(WITNESS_STATE_UNPROVEN, false, 10);
	witness_status(witness, &st);
	cr_assert(says("?[2J?gone ???"), "%s", st.text);
}

Test(witness, a_link_that_is_lost_is_no_answer_but_two_heads_that_contradict_need_none)
{
	struct relay *old = copy(relay), *other = copy(relay);
	struct witness_ask ask;
	struct log_head h;
	char text[LOG_HEAD_MAX];

	add(relay, 5, 'a');
	show(relay, witness);
	h = head_of(old);
	size_t n = log_head_format(text, &h, ORIGIN);
	witness_head(witness, text, n, relay->now, &ask);
	cr_assert(eq(int, ask.what, WITNESS_PROOF));
	witness_unanswered(witness, HW_EVALIDATION, NULL, relay->now, &ask);
	cr_assert(eq(int, ask.what, WITNESS_EPOCHS));
	witness_unanswered(witness, HW_EUNAVAILABLE, NULL, relay->now, &ask);
	cr_assert(eq(int, ask.what, WITNESS_NOTHING));
	expect(WITNESS_STATE_AGREES, false, 15);

	other->now = relay->now;
	add(other, 5, 'b');
	h = head_of(other);
	n = log_head_format(text, &h, ORIGIN);
	witness_head(witness, text, n, relay->now, &ask);
	cr_assert(eq(int, ask.what, WITNESS_EPOCHS));
	witness_unanswered(witness, HW_EUNAVAILABLE, NULL, relay->now, &ask);
	expect(WITNESS_STATE_FORK, true, 15);
}

Test(witness, a_relay_that_hides_its_epochs_is_not_spared)
{
	struct relay *old = copy(relay);

	add(relay, 5, 'a');
	show(relay, witness);
	old->hides = true;
	show(old, witness);
	expect(WITNESS_STATE_ROLLBACK, false, 15);
}

Test(witness, a_head_that_is_too_old_is_stale_until_a_fresh_one_comes)
{
	struct log_head h = head_of(relay);
	int64_t then = relay->now;

	relay->now = then + WITNESS_STALE_AFTER;
	show_head(relay, witness, &h);
	expect(WITNESS_STATE_AGREES, false, 10);
	relay->now++;
	show_head(relay, witness, &h);
	expect(WITNESS_STATE_STALE, false, 10);
	cr_assert(says("30 minutes old"));
	show(relay, witness);
	expect(WITNESS_STATE_AGREES, false, 10);
}

Test(witness, a_head_that_is_dated_far_ahead_is_one_until_it_is_not)
{
	struct log_head h = head_of(relay);

	relay->now -= WITNESS_AHEAD_MAX;
	show_head(relay, witness, &h);
	expect(WITNESS_STATE_AGREES, false, 10);
	relay->now--;
	show_head(relay, witness, &h);
	expect(WITNESS_STATE_STALE, false, 10);
	cr_assert(says("30 minutes ahead"));
	relay->now++;
	show_head(relay, witness, &h);
	expect(WITNESS_STATE_AGREES, false, 10);
}

Test(witness, a_relay_that_falls_silent_on_a_link_is_stale)
{
	int64_t since = relay->now + 3 * WITNESS_STALE_AFTER;

	witness_look(witness, since + WITNESS_STALE_AFTER, since); /* it was away until then */
	expect(WITNESS_STATE_AGREES, false, 10);
	witness_look(witness, since + WITNESS_STALE_AFTER + 1, since);
	expect(WITNESS_STATE_STALE, false, 10);
	relay->now = since + WITNESS_STALE_AFTER + 1;
	show(relay, witness);
	expect(WITNESS_STATE_AGREES, false, 10);
}

Test(witness, answers_to_questions_that_nobody_asked_are_nothing)
{
	struct witness_ask ask;

	witness_proof(witness, (const uint8_t *)"x", 1, relay->now, &ask);
	witness_epochs(witness, "x\n\n", 3, 1, relay->now, &ask);
	witness_unanswered(witness, HW_EVALIDATION, "x", relay->now, &ask);
	cr_assert(eq(int, ask.what, WITNESS_NOTHING));
	expect(WITNESS_STATE_AGREES, false, 10);
}

/* --- files ------------------------------------------------------------------------------------ */

static void
expect_damaged(const void *p, size_t n, X509 *of)
{
	struct hw_err err = HW_ERR_INIT;
	struct witness *w = witness_new(of);
	struct buf still;

	cr_assert(eq(int, file_write(fleet->dir, "bad", p, n, 0600, NULL), 0));
	cr_assert(eq(int, witness_load(w, fleet->dir, "bad", &err), HW_ECORRUPT));
	expect_of(w, WITNESS_STATE_DAMAGED, false, 0);
	cr_assert(eq(int, witness_save(w, fleet->dir, "bad", NULL), HW_ECORRUPT));
	buf_init(&still, WITNESS_FILE_MAX);
	cr_assert(eq(int, file_read(&still, fleet->dir, "bad", NULL), 0));
	cr_assert(eq(sz, still.len, n));
	cr_assert(eq(int, memcmp(buf_data(&still), p, n), 0));
	buf_fini(&still);
	witness_free(w);
}

Test(witness, no_bit_of_its_file_can_be_changed_and_no_part_left_out)
{
	struct fleet *stranger = fleet_new();
	struct buf text;

	cr_assert(eq(int, witness_save(witness, fleet->dir, "kept", NULL), 0));
	buf_init(&text, WITNESS_FILE_MAX);
	cr_assert(eq(int, file_read(&text, fleet->dir, "kept", NULL), 0));
	uint8_t *p = (uint8_t *)buf_data(&text);
	for (size_t i = 0; i < text.len; i += 3) {
		p[i] ^= 1 << i % 8;
		expect_damaged(p, text.len, ca);
		p[i] ^= 1 << i % 8;
		expect_damaged(p, i, ca);
	}
	expect_damaged("", 0, ca);
	expect_damaged(p, text.len, ca_cert(stranger->ca));
	buf_append_byte(&text, '\n');
	expect_damaged(buf_data(&text), text.len, ca);
	buf_fini(&text);
	fleet_free(stranger);
}

Test(witness, damage_stays_a_finding_though_the_relay_is_watched_all_the_same)
{
	struct witness_status st;
	struct relay *other;

	cr_assert(eq(int, file_write(fleet->dir, "kept", "x", 1, 0600, NULL), 0));
	witness_free(witness);
	witness = witness_new(ca);
	cr_assert(eq(int, witness_load(witness, fleet->dir, "kept", NULL), HW_ECORRUPT));
	show(relay, witness);
	expect(WITNESS_STATE_DAMAGED, false, 10);
	cr_assert(says("remove it"));
	witness_status(witness, &st);
	cr_assert(not(st.unsaved));
	other = copy(relay);
	other->leaves[3][0] ^= 1;
	show(other, witness);
	expect(WITNESS_STATE_FORK, true, 10);
}

Test(witness, nothing_kept_is_no_damage_and_what_is_no_file_is)
{
	struct witness *w = witness_new(ca);

	cr_assert(eq(int, witness_load(w, fleet->dir, "none", NULL), HW_ENOTFOUND));
	expect_of(w, WITNESS_STATE_AGREES, false, 0);
	cr_assert(eq(int, witness_save(w, fleet->dir, "none", NULL), 0)); /* and nothing to save */
	cr_assert(not(fleet_has(fleet, "none")));
	cr_assert(eq(int, mkdirat(fleet->dir, "none", 0700), 0));
	cr_assert(eq(int, witness_load(w, fleet->dir, "none", NULL), HW_ECORRUPT));
	unlinkat(fleet->dir, "none", AT_REMOVEDIR);
	witness_free(w);
}

Test(witness, its_files_are_for_its_owner)
{
	struct stat st;

	cr_assert(eq(int, witness_save(witness, fleet->dir, "kept", NULL), 0));
	cr_assert(eq(int, fstatat(fleet->dir, "kept", &st, 0), 0));
	cr_assert(eq(int, (int)(st.st_mode & 07777), 0600));
}

Test(witness, evidence_of_a_stranger_or_with_another_head_is_none)
{
	struct fleet *stranger = fleet_new();
	struct relay *other = copy(relay);
	char said[WITNESS_SENTENCE_MAX];
	struct buf text;

	other->leaves[3][0] ^= 1;
	show(other, witness);
	restart();
	buf_init(&text, WITNESS_EVIDENCE_MAX);
	cr_assert(eq(int, file_read(&text, fleet->dir, "evidence", NULL), 0));
	cr_assert(eq(int,
		witness_check_evidence(said, buf_data(&text), text.len, ca_cert(stranger->ca),
			NULL),
		HW_ECORRUPT));
	uint8_t *p = (uint8_t *)buf_data(&text);
	const uint8_t *heads = memmem(p, text.len, "kept ", 5);
	for (size_t i = (size_t)(heads - p); i < text.len; i++) {
		p[i] ^= 1;
		cr_assert(eq(int, witness_check_evidence(said, p, text.len, ca, NULL), HW_ECORRUPT),
			"byte %zu", i);
		p[i] ^= 1;
		cr_assert(eq(int, witness_check_evidence(said, p, i, ca, NULL), HW_ECORRUPT));
	}
	buf_fini(&text);
	fleet_free(stranger);
}
