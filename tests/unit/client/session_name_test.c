#include "client/session_name.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "proto/schema/schema.h"

static const struct msg_session sessions[] = {
	{.session_id = "alice-0f1e2d3c4b5a69788"}, {.session_id = "alice-0f1e2d00000000001"},
	{.session_id = "bob-00000000000a69788"}, {.session_id = "alice"},
	{.session_id = "bob-11111111111111111"},
	{.session_id = "bob-11111111111111111"}, /* it ended while we asked */
};

static const char *
picked(const char *name, int *code)
{
	const struct msg_session *s = NULL;
	static struct hw_err err; /* its text is returned */

	*code = session_pick(&s, sessions, 6, name, &err);
	return s != NULL ? s->session_id : err.text;
}

Test(session_name, by_id_prefix_and_last_digits)
{
	int code;

	cr_assert_str_eq(picked("alice-0f1e2d3c4b5a69788", &code), "alice-0f1e2d3c4b5a69788");
	cr_assert_str_eq(picked("alice-0f1e2d3", &code), "alice-0f1e2d3c4b5a69788");
	cr_assert_str_eq(picked("000001", &code), "alice-0f1e2d00000000001");
	cr_assert_str_eq(picked("bob-1", &code), "bob-11111111111111111");
}

Test(session_name, an_exact_id_wins_over_those_that_begin_so)
{
	int code;

	cr_assert_str_eq(picked("alice", &code), "alice");
}

Test(session_name, several_are_listed)
{
	int code;
	const char *text = picked("alice-0f1e2d", &code);

	cr_assert(eq(int, code, HW_EVALIDATION));
	cr_assert(strstr(text, "alice-0f1e2d3c4b5a69788, alice-0f1e2d00000000001") != NULL, "%s",
		text);
	picked("a69788", &code);
	cr_assert(eq(int, code, HW_EVALIDATION));
}

Test(session_name, none)
{
	int code;

	picked("carol", &code);
	cr_assert(eq(int, code, HW_ENOSESSION));
	picked("", &code);
	cr_assert(eq(int, code, HW_ENOSESSION));
	picked("69788", &code);
	cr_assert(eq(int, code, HW_ENOSESSION));
}
