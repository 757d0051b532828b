#include <criterion/criterion.h>
#include <criterion/new/assert.h>
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

	r->refuses_connection = true;
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
