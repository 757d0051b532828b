#include "client/allowed.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static char *
shown(const char **actions, size_t n, size_t width, size_t most)
{
	static char text[8192];
	struct msg_strs list = {.v = actions, .n = n};
	struct buf out;

	buf_init(&out, sizeof(text) - 1);
	allowed_append(&out, &list, 4, width, most);
	strcpy(text, buf_str(&out));
	buf_fini(&out);
	return text;
}

/* The user operations whose names hold one of the words (all of them for ""). */
static size_t
operations(const char *ret[OP_COUNT], bool by_action, const char *word, const char *other)
{
	size_t n = 0;

	for (size_t i = 0; i < OP_COUNT; i++) {
		const struct op_row *op = &op_rows[i];
		if (op->door == DOOR_USER &&
			(strstr(op->name, word) != NULL || strstr(op->name, other) != NULL))
			ret[n++] = by_action ? op->action : op->name;
	}
	return n;
}

Test(allowed, everything_is_one_word_under_either_kind_of_name)
{
	const char *all[OP_COUNT];
	size_t n = operations(all, false, "", "");

	cr_assert_str_eq(shown(all, n, 79, 12), "everything\n");
	cr_assert_str_neq(shown(all, n - 1, 79, 12), "everything\n");
	n = operations(all, true, "", "");
	cr_assert_str_eq(shown(all, n, 79, 12), "everything\n");
}

Test(allowed, nothing_is_said)
{
	cr_assert_str_eq(shown(NULL, 0, 79, 12), "nothing, until a policy allows it\n");
}

Test(allowed, a_whole_family_is_all_and_others_are_named)
{
	const char *some[OP_COUNT];
	size_t n = operations(some, false, "Session", "Recording");

	some[n++] = "ssm:describeinstanceinformation";
	some[n++] = "TagUser";
	cr_assert_str_eq(shown(some, n, 79, 12),
		"sessions: all\n"
		"    users: TagUser\n"
		"    nodes: DescribeInstanceInformation\n");
}

Test(allowed, what_this_program_does_not_know_stands_by_itself)
{
	const char *some[] = {"StartSession", "ssm:FlyAway\x1b[2J"};

	cr_assert_str_eq(shown(some, 2, 79, 12),
		"sessions: StartSession\n"
		"    others: ssm:FlyAway\\x1b[2J\n");
}

Test(allowed, no_part_of_another_name_counts)
{
	const char *some[] = {"Session", "StartSessio", "ssm:StartSession2"};

	cr_assert_str_eq(shown(some, 3, 79, 12),
		"others: Session, StartSessio, ssm:StartSession2\n");
}

Test(allowed, lines_are_broken_and_only_so_many_shown)
{
	const char *some[] = {"StartSession", "TerminateSession", "CreateUser", "CreateGroup"};

	cr_assert_str_eq(shown(some, 4, 30, 12),
		"sessions: StartSession,\n"
		"              TerminateSession\n"
		"    groups: CreateGroup\n"
		"    users: CreateUser\n");
	cr_assert_str_eq(shown(some, 4, 30, 3),
		"sessions: StartSession,\n"
		"              TerminateSession\n"
		"    and more: hawser status -o json\n");
	cr_assert_str_eq(shown(some, 4, 30, 1), "and more: hawser status -o json\n");
}
