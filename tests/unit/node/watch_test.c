/* The node as a witness against a relay's bare link, on a fake clock. */
#include "node/watch.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdlib.h>
#include <string.h>

#include "proto/base/loop.h"
#include "tests/unit/wire/duo.h"

#undef has
#include "tests/unit/trust/fleet.h"

#define ORIGIN "hawser/0123456789ab/relay"

struct post {
	struct duo *d;
	struct fleet *fleet;
	struct watch *watch;
	EVP_PKEY *key;
	struct buf epochs;
	char head[LOG_HEAD_MAX];
	bool mute, deaf; /* questions, reports are not answered */
	int questions, proofs, reports, told;
	bool refuse;
};

static void
on_request(void *arg, struct link *l, uint64_t id, const char *op, const void *body, size_t n)
{
	struct post *p = ((struct end_of *)arg)->own;
	const struct msg_get_ledger_head_reply head = {
		.head = p->head, .epochs = (const char *)buf_data(&p->epochs), .last_epoch = 1};
	const struct msg_empty none = {.unused = false};

	(void)body;
	(void)n;
	if (strcmp(op, "ReportLedgerHead") == 0) {
		p->reports++;
		if (!p->deaf)
			link_respond(l, id, 0, NULL, MSG_ROW(empty), &none);
		return;
	}
	p->questions++;
	p->proofs += strcmp(op, "GetConsistencyProof") == 0;
	if (p->mute)
		return;
	if (strcmp(op, "GetLedgerHead") == 0)
		link_respond(l, id, 0, NULL, MSG_ROW(get_ledger_head_reply), &head);
	else
		link_respond(l, id, HW_EIO, "no proof today", NULL, NULL);
}

static void
begin_ledger(struct post *p)
{
	struct log_epoch e = {.epoch = 1, .time = 1, .by = LOG_BY_AUTHORITY};

	cr_assert(eq(int, key_generate_signing(&p->key, NULL), 0));
	merkle_empty(e.root);
	cr_assert(eq(int, log_key_public(e.key, p->key, NULL), 0));
	cr_assert(eq(int, log_epoch_sign(&e, ORIGIN, NULL, p->fleet->ca, NULL), 0));
	buf_init(&p->epochs, LOG_EPOCH_MAX + 1);
	cr_assert(eq(int, log_epoch_format(&p->epochs, &e, ORIGIN), 0));
	buf_append_byte(&p->epochs, '\0');
}

/* The newest head, of that many entries, as the relay shows it. */
static const char *
sign(struct post *p, uint64_t size)
{
	struct log_head h = {.epoch = 1, .size = size, .time = clock_wall(loop_clock(p->d->loop))};

	memset(h.root, (int)size, sizeof(h.root));
	cr_assert(eq(int, log_head_sign(&h, ORIGIN, p->key, NULL), 0));
	log_head_format(p->head, &h, ORIGIN);
	return p->head;
}

static void
begin_watch(struct post *p)
{
	const struct watch_config c = {
		.loop = p->d->loop, .log = &p->d->log, .dir = p->fleet->dir, .refuse = p->refuse};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, watch_new(&p->watch, &c, &err), 0), "%s", err.text);
}

static struct post *
post_new(bool refuse)
{
	struct post *p = calloc(1, sizeof(*p));

	cr_assert(ne(ptr, p, NULL));
	p->refuse = refuse;
	p->d = duo_new();
	p->fleet = fleet_new();
	p->d->relay.link_events.on_request = on_request;
	p->d->relay.own = p;
	duo_up(p->d);
	begin_ledger(p);
	begin_watch(p);
	return p;
}

/* As the agent has it: what was asked has failed by then. */
static void
down(struct post *p)
{
	duo_cut(p->d);
	watch_link_down(p->watch);
}

static void
post_free(struct post *p)
{
	down(p);
	watch_free(p->watch);
	duo_free(p->d);
	buf_fini(&p->epochs);
	key_free(p->key);
	fleet_free(p->fleet);
	free(p);
}

static void
up(struct post *p, const char *head)
{
	if (p->d->node.link == NULL)
		duo_again(p->d);
	watch_link_up(p->watch, p->d->node.link, head);
	duo_run(p->d);
}

/* The same, and the node keeps a head of ten entries. */
static struct post *
post_kept(bool refuse)
{
	struct post *p = post_new(refuse);

	up(p, sign(p, 10));
	return p;
}

static void
minutes(struct post *p, int n)
{
	duo_seconds(p->d, 60 * n);
}

static void
expect(const struct post *p, int state)
{
	struct witness_status st;

	watch_status(p->watch, &st);
	cr_assert(eq(int, st.state, state), "%s: %s", enum_text(&enum_WITNESS_STATE, st.state),
		st.text);
}

static void
expect_answer(const struct post *p, enum watch_answer answer)
{
	const char *why = "";

	cr_assert(eq(int, (int)watch_answer(p->watch, &why), (int)answer), "%s", why);
}

static bool
describes(const struct post *p, const char *what)
{
	char text[WATCH_TEXT_MAX];

	return strstr(watch_describe(p->watch, text), what) != NULL;
}

/* --- a relay without heads -------------------------------------------------------------------- */

Test(watch, a_relay_from_before_there_were_heads_is_asked_and_told_nothing)
{
	struct post *p = post_new(true);

	up(p, NULL);
	minutes(p, 65);
	expect(p, WITNESS_STATE_AGREES);
	expect_answer(p, WATCH_ALLOWS);
	cr_assert(describes(p, "this relay shows no head"));
	cr_assert(eq(int, p->questions + p->reports, 0));
	post_free(p);
}

Test(watch, a_relay_that_shows_no_head_any_more_is_refused_at_once_and_stale_in_the_end)
{
	struct post *p = post_kept(true);

	expect_answer(p, WATCH_ALLOWS);
	down(p);
	up(p, NULL);
	expect_answer(p, WATCH_REFUSES);
	cr_assert(describes(p, "as it did before"));
	minutes(p, 29);
	expect(p, WITNESS_STATE_AGREES);
	minutes(p, 2);
	expect(p, WITNESS_STATE_STALE);
	watch_head(p->watch, sign(p, 10));
	duo_run(p->d);
	expect(p, WITNESS_STATE_AGREES);
	expect_answer(p, WATCH_ALLOWS);
	post_free(p);
}

/* Also one that ends each link before its time. */
Test(watch, a_relay_that_shows_no_head_on_any_of_its_short_links_is_stale)
{
	struct post *p = post_kept(false);

	for (int i = 0; i < 4; i++) {
		down(p);
		up(p, NULL);
		minutes(p, 10);
	}
	expect(p, WITNESS_STATE_STALE);
	post_free(p);
}

/* --- a relay that does not answer ------------------------------------------------------------- */

Test(watch, a_question_that_is_never_answered_is_a_finding_on_a_link_that_stays_up)
{
	struct post *p = post_kept(true);

	p->mute = true;
	for (uint64_t i = 0; i < 20; i++) {
		watch_head(p->watch, sign(p, 11 + i));
		minutes(p, 1);
	}
	expect(p, WITNESS_STATE_UNPROVEN);
	expect_answer(p, WATCH_REFUSES);
	cr_assert(ge(int, p->proofs, 3));
	cr_assert(le(int, p->proofs, 20));
	post_free(p);
}

Test(watch, who_asked_once_and_hears_no_more_finds_the_relay_stale)
{
	struct post *p = post_kept(false);

	p->mute = p->deaf = true;
	watch_head(p->watch, sign(p, 11));
	minutes(p, 33);
	expect(p, WITNESS_STATE_STALE);
	cr_assert(ge(int, p->reports, 2)); /* though the first was not answered either */
	post_free(p);
}

/* --- words of any kind ------------------------------------------------------------------------ */

Test(watch, what_is_no_head_is_a_finding_until_the_next_one)
{
	static const char *const none[] = {"", "\n", "hello", "hawser/0123456789ab/relay\n10\n"};
	struct post *p = post_kept(true);
	char longest[LOG_HEAD_MAX + 2];

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		down(p);
		up(p, none[i]);
		if (none[i][0] != '\0')
			expect(p, WITNESS_STATE_UNSIGNED);
		expect_answer(p, WATCH_REFUSES);
		watch_head(p->watch, sign(p, 10));
		minutes(p, 1);
		expect(p, WITNESS_STATE_AGREES);
		expect_answer(p, WATCH_ALLOWS);
	}
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	watch_head(p->watch, longest);
	minutes(p, 2);
	expect(p, WITNESS_STATE_AGREES);
	post_free(p);
}

Test(watch, a_link_that_is_lost_amid_a_question_leaves_the_next_one_to_judge)
{
	struct post *p = post_kept(true);

	p->mute = true;
	down(p);
	up(p, sign(p, 11));
	expect_answer(p, WATCH_WAITS);
	down(p);
	p->mute = false;
	up(p, sign(p, 10));
	expect(p, WITNESS_STATE_AGREES);
	expect_answer(p, WATCH_ALLOWS);
	post_free(p);
}
