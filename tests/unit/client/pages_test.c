#include "client/pages.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

#include "tests/unit/client/stage.h"

#define USER(name, next)                                                            \
	{                                                                           \
		"ListUsers", 0, "{\"Users\":[{\"UserName\":\"" name "\"}]" next "}" \
	}
#define NEXT(token) ",\"NextToken\":\"" token "\""

/* What was taken, and how much had been asked for by then: "ann:2 ". */
struct taken {
	struct stage *stage;
	char said[64];
	int fails; /* at which page; 0: at none */
	int pages;
};

static int
take(void *arg, const void *reply, struct hw_err *err)
{
	const struct msg_list_users_reply *page = reply;
	struct taken *t = arg;
	size_t n = strlen(t->said);

	snprintf(t->said + n, sizeof(t->said) - n, "%s:%d ", page->users.v[0].user_name,
		t->stage->rig->requests);
	return ++t->pages == t->fails ? hw_err_set(err, HW_ELIMIT, "enough") : 0;
}

static int
walk(struct taken *t, const struct rig_answer *answers, struct hw_err *err)
{
	struct msg_list_users_request req = {0};

	t->stage->rig->answers = answers;
	int r = pages_walk(&t->stage->client, OP_list_users, &req, &req.next_token, take, t, err);
	cr_assert(t->stage->rig->answers->op == NULL, "%s was not asked",
		t->stage->rig->answers->text);
	return r;
}

Test(pages, the_next_is_asked_for_before_one_is_taken)
{
	const struct rig_answer answers[] = {
		USER("ann", NEXT("2")), USER("bob", NEXT("3")), USER("eve", ""), {0}};
	struct taken t = {.stage = stage_new()};

	cr_assert(eq(int, walk(&t, answers, NULL), 0));
	cr_assert_str_eq(t.said, "ann:2 bob:3 eve:3 ");
	stage_free(t.stage);
}

Test(pages, an_empty_token_is_the_end)
{
	const struct rig_answer answers[] = {USER("ann", NEXT("")), {0}};
	struct taken t = {.stage = stage_new()};

	cr_assert(eq(int, walk(&t, answers, NULL), 0));
	cr_assert_str_eq(t.said, "ann:1 ");
	stage_free(t.stage);
}

/* What was asked for meanwhile comes for nobody. */
Test(pages, one_that_cannot_be_taken_is_the_last_and_the_next_call_works)
{
	const struct rig_answer answers[] = {USER("ann", NEXT("2")), USER("bob", NEXT("3")), {0}};
	const struct rig_answer again[] = {USER("eve", ""), {0}};
	struct taken t = {.stage = stage_new(), .fails = 1};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, walk(&t, answers, &err), HW_ELIMIT));
	cr_assert_str_eq(err.text, "enough");
	cr_assert_str_eq(t.said, "ann:2 ");
	cr_assert(eq(int, walk(&t, again, &err), 0), "%s", err.text);
	cr_assert_str_eq(t.said, "ann:2 eve:3 ");
	stage_free(t.stage);
}

Test(pages, one_that_is_refused_is_told_after_those_before_it)
{
	const struct rig_answer answers[] = {
		USER("ann", NEXT("2")), {"ListUsers",     HW_EDENIED, "not any more"},
		   {0}
	      };
	struct taken t = {.stage = stage_new()};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, walk(&t, answers, &err), HW_EDENIED));
	cr_assert_str_eq(err.text, "not any more");
	cr_assert_str_eq(t.said, "ann:2 ");
	stage_has(t.stage->client.hint, "hawser status");
	stage_free(t.stage);
}
