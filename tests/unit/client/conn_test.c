#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/client/rig.h"

static int
ask(struct rig *r, struct hw_err *err)
{
	static const struct msg_empty nothing;
	const struct msg_get_caller_identity_reply *me;
	int code = conn_call(&me, r->conn, OP_get_caller_identity, &nothing, r->arena, err);

	if (code == 0)
		cr_assert_str_eq(me->user_name, "alice");
	return code;
}

Test(conn, a_call_returns_its_answer)
{
	struct rig *r = rig_new();

	cr_assert(eq(int, ask(r, NULL), 0));
	cr_assert(eq(int, ask(r, NULL), 0));
	cr_assert(eq(int, r->requests, 2));
	rig_free(r);
}

Test(conn, a_refusal_keeps_its_code_and_its_sentence)
{
	struct hw_err err = HW_ERR_INIT;
	struct rig *r = rig_new();

	r->refusal = HW_EDENIED;
	cr_assert(eq(int, ask(r, &err), HW_EDENIED));
	cr_assert_str_eq(err.text, "not today");
	rig_free(r);
}

Test(conn, no_answer_is_a_timeout_and_the_next_call_works)
{
	struct hw_err err = HW_ERR_INIT;
	struct rig *r = rig_new();
	int64_t began = r->clock.now_mono;

	r->mute = true;
	cr_assert(eq(int, ask(r, &err), HW_ETIMEOUT));
	cr_assert(ge(i64, r->clock.now_mono - began, 5 * USEC_PER_SEC));
	r->mute = false;
	cr_assert(eq(int, ask(r, &err), 0));
	rig_free(r);
}

static void
drop(struct rig *r)
{
	pair_drop(r->pair, "the cable");
	r->script = NULL;
}

Test(conn, a_link_that_is_lost_fails_the_call_and_all_later_ones)
{
	struct hw_err err = HW_ERR_INIT;
	struct rig *r = rig_new();

	r->mute = true;
	r->script = drop;
	cr_assert(eq(int, ask(r, &err), HW_EUNAVAILABLE));
	cr_assert(conn_link(r->conn) == NULL);
	cr_assert(eq(int, ask(r, &err), HW_EUNAVAILABLE));
	cr_assert(strstr(err.text, "lost") != NULL, "%s", err.text);
	rig_free(r);
}

Test(conn, nobody_there_says_so)
{
	struct hw_err err = HW_ERR_INIT;
	struct rig *r = rig_new_unconnected();

	r->refuses = HW_EUNAVAILABLE;
	cr_assert(eq(int, rig_connect(r, &err), HW_EUNAVAILABLE));
	cr_assert_str_eq(err.text, "nobody listens");
	rig_free(r);
}

Test(conn, a_peer_that_hangs_up_at_once_does_not_know_us)
{
	struct hw_err err = HW_ERR_INIT;
	struct rig *r = rig_new_unconnected();

	r->script = drop;
	pair_pause(r->pair, PAIR_B, true); /* its HELLO never comes */
	cr_assert(eq(int, rig_connect(r, &err), HW_EUNAUTH));
	rig_free(r);
}

/* --- a link that is kept ---------------------------------------------------------------------- */

struct heard {
	struct conn_watch watch;
	char words[128], why[400];
	int code;
};

static void
hear(struct heard *h, const char *word, const char *why)
{
	snprintf(h->words + strlen(h->words), sizeof(h->words) - strlen(h->words), "%s ", word);
	snprintf(h->why, sizeof(h->why), "%s", why);
}

static void
on_lost(void *arg, const char *why)
{
	hear(arg, "lost", why);
}

static void
on_back(void *arg)
{
	hear(arg, "back", "");
}

static void
on_gone(void *arg, int code, const char *why)
{
	struct heard *h = arg;

	h->code = code;
	hear(h, "gone", why);
}

static const struct conn_watch_events watch_events = {on_lost, on_back, on_gone};

static void
keep(struct heard *h, struct rig *r, int64_t within)
{
	*h = (struct heard){
		.watch = {.events = &watch_events, .arg = h, .within = within}
	      };
	conn_keep(r->conn, &h->watch);
}

Test(conn, a_link_that_is_kept_is_dialled_again_at_once)
{
	struct rig *r = rig_new();
	struct heard h;

	keep(&h, r, 60 * USEC_PER_SEC);
	pair_drop(r->pair, "the cable");
	rig_run(r, 300 * USEC_PER_MSEC);
	cr_assert_str_eq(h.words, "lost back ");
	cr_assert(eq(int, r->dials, 2));
	cr_assert(not(conn_is_waiting(r->conn)));
	cr_assert(eq(int, ask(r, NULL), 0));
	pair_drop(r->pair, "the cable again");
	rig_run(r, USEC_PER_SEC);
	cr_assert_str_eq(h.words, "lost back lost back ");
	rig_free(r);
}

static void
listens_at_turn_200(struct rig *r)
{
	if (r->turn == 200)
		r->refuses = 0;
}

Test(conn, a_call_without_a_link_waits_for_it)
{
	struct rig *r = rig_new();
	struct heard h;

	keep(&h, r, 60 * USEC_PER_SEC);
	r->refuses = HW_EUNAVAILABLE;
	pair_drop(r->pair, "the cable");
	rig_run(r, 10 * USEC_PER_MSEC);
	cr_assert(conn_link(r->conn) == NULL && conn_is_waiting(r->conn));
	r->turn = 0;
	r->script = listens_at_turn_200;
	cr_assert(eq(int, ask(r, NULL), 0));
	cr_assert(ge(int, r->turn, 200));
	rig_free(r);
}

Test(conn, a_call_waits_no_longer_than_for_an_answer)
{
	struct hw_err err = HW_ERR_INIT;
	struct rig *r = rig_new();
	struct heard h;
	int64_t began;

	keep(&h, r, 60 * USEC_PER_SEC);
	r->refuses = HW_EUNAVAILABLE;
	pair_drop(r->pair, "the cable");
	rig_run(r, 10 * USEC_PER_MSEC);
	began = r->clock.now_mono;
	cr_assert(eq(int, ask(r, &err), HW_EUNAVAILABLE));
	cr_assert(ge(i64, r->clock.now_mono - began, 5 * USEC_PER_SEC));
	cr_assert(lt(i64, r->clock.now_mono - began, 6 * USEC_PER_SEC));
	cr_assert(strstr(err.text, "the cable") != NULL, "%s", err.text);
	began = r->clock.now_mono;
	conn_flush(r->conn);
	cr_assert(eq(i64, r->clock.now_mono, began), "there is nobody to wait for");
	rig_free(r);
}

Test(conn, a_call_that_was_under_way_fails_and_is_not_asked_twice)
{
	struct hw_err err = HW_ERR_INIT;
	struct rig *r = rig_new();
	struct heard h;

	keep(&h, r, 60 * USEC_PER_SEC);
	r->mute = true;
	r->script = drop;
	cr_assert(eq(int, ask(r, &err), HW_EUNAVAILABLE));
	rig_run(r, 2 * USEC_PER_SEC);
	cr_assert(eq(int, r->requests, 1));
	rig_free(r);
}

Test(conn, after_its_time_it_is_given_up_with_both_reasons)
{
	struct hw_err err = HW_ERR_INIT;
	struct rig *r = rig_new();
	struct heard h, shorter;

	keep(&h, r, 60 * USEC_PER_SEC);
	keep(&shorter, r, 5 * USEC_PER_SEC);
	r->refuses = HW_EUNAVAILABLE;
	pair_drop(r->pair, "the cable");
	rig_run(r, 59 * USEC_PER_SEC);
	cr_assert_str_eq(h.words, "lost ", "the longest counts");
	cr_assert(gt(int, r->dials, 30), "%d", r->dials);
	cr_assert(lt(int, r->dials, 120), "%d", r->dials);
	rig_run(r, 2 * USEC_PER_SEC);
	cr_assert_str_eq(h.words, "lost gone ");
	cr_assert_str_eq(shorter.words, "lost gone ");
	cr_assert(eq(int, h.code, HW_EUNAVAILABLE));
	cr_assert(strstr(h.why, "the cable") != NULL && strstr(h.why, "nobody listens") != NULL,
		"%s", h.why);
	int dials = r->dials;
	rig_run(r, 10 * USEC_PER_SEC);
	cr_assert(eq(int, r->dials, dials));
	cr_assert(eq(int, ask(r, &err), HW_EUNAVAILABLE));
	rig_free(r);
}

Test(conn, a_link_that_never_greets_is_given_up_in_time_too)
{
	struct rig *r = rig_new();
	struct heard h;

	keep(&h, r, 2 * USEC_PER_SEC);
	pair_drop(r->pair, "the cable");
	r->silent = true;
	rig_run(r, 3 * USEC_PER_SEC);
	cr_assert(eq(int, r->dials, 2));
	cr_assert_str_eq(h.words, "lost gone ");
	rig_free(r);
}

static void
ends_with(int code, const char *words)
{
	struct rig *r = rig_new();
	struct heard h;

	keep(&h, r, 60 * USEC_PER_SEC);
	link_close(r->relay, code, "these are the words");
	r->relay = NULL;
	rig_run(r, USEC_PER_SEC);
	cr_assert_str_eq(h.words, words, "%s: %s", hw_code_name(code), h.words);
	if (strcmp(words, "gone ") == 0) {
		cr_assert(eq(int, h.code, code));
		cr_assert(strstr(h.why, "these are the words") != NULL, "%s", h.why);
		cr_assert(eq(int, r->dials, 1));
	}
	rig_free(r);
}

Test(conn, whom_the_relay_does_not_want_does_not_dial_again)
{
	ends_with(HW_EREVOKED, "gone ");
	ends_with(HW_EDENIED, "gone ");
	ends_with(HW_EUNAUTH, "gone ");
	ends_with(HW_EEXPIRED, "gone ");
	ends_with(HW_EVERSION, "gone ");
	ends_with(HW_ECLOSED, "lost back ");
	ends_with(HW_EUNAVAILABLE, "lost back ");
}

static void
dial_fails_with(int code, const char *words)
{
	struct rig *r = rig_new();
	struct heard h;

	keep(&h, r, 60 * USEC_PER_SEC);
	r->refuses = code;
	pair_drop(r->pair, "the cable");
	rig_run(r, USEC_PER_SEC);
	cr_assert_str_eq(h.words, words, "%s: %s", hw_code_name(code), h.words);
	rig_free(r);
}

Test(conn, a_dial_that_is_refused_for_good_is_the_last)
{
	dial_fails_with(HW_EDENIED, "lost gone ");
	dial_fails_with(HW_EEXPIRED, "lost gone ");
	dial_fails_with(HW_ETIMEOUT, "lost ");
	dial_fails_with(HW_ECERT, "lost ");
	dial_fails_with(HW_EPROTO, "lost ");
}

static void
on_lost_release(void *arg, const char *why)
{
	struct heard *h = arg;

	hear(h, "lost", why);
	conn_release((struct conn *)h[1].watch.arg, &h[0].watch);
}

Test(conn, a_watch_may_go_while_it_is_told)
{
	static const struct conn_watch_events events = {on_lost_release, on_back, on_gone};
	struct rig *r = rig_new();
	struct heard first, going[2], last;

	keep(&first, r, 60 * USEC_PER_SEC);
	keep(&going[0], r, 60 * USEC_PER_SEC);
	going[0].watch.events = &events;
	going[1] = (struct heard){.watch = {.arg = r->conn}};
	keep(&last, r, 60 * USEC_PER_SEC);
	pair_drop(r->pair, "the cable");
	rig_run(r, USEC_PER_SEC);
	cr_assert_str_eq(first.words, "lost back ");
	cr_assert_str_eq(going[0].words, "lost ");
	cr_assert_str_eq(last.words, "lost back ");
	rig_free(r);
}

Test(conn, one_that_is_released_leaves_the_link_to_its_fate)
{
	struct rig *r = rig_new();
	struct heard h;

	keep(&h, r, 60 * USEC_PER_SEC);
	conn_release(r->conn, &h.watch);
	conn_release(r->conn, &h.watch);
	pair_drop(r->pair, "the cable");
	rig_run(r, USEC_PER_SEC);
	cr_assert_str_eq(h.words, "");
	cr_assert(eq(int, r->dials, 1));
	rig_free(r);
}
