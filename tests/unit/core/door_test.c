#include "relay/core/door.h"

#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static bool
allowed(int role, enum op_door door)
{
	struct door_decision d = {.allow = true};

	door_decide(&d, role, door);
	cr_assert(gt(sz, strlen(d.why), 0), "a decision says why");
	return d.allow;
}

Test(door, the_door_of_users_lets_nobody_through_whom_no_policy_speaks_for)
{
	cr_assert(not(allowed(ROLE_USER, DOOR_USER)));
	cr_assert(not(allowed(ROLE_NODE, DOOR_USER)));
	cr_assert(not(allowed(ROLE_NONE, DOOR_USER)));
}

Test(door, nodes_alone_report_about_themselves)
{
	cr_assert(allowed(ROLE_NODE, DOOR_NODE));
	cr_assert(not(allowed(ROLE_USER, DOOR_NODE)));
	cr_assert(not(allowed(ROLE_NONE, DOOR_NODE)));
}

Test(door, whoever_is_known_may_ask_about_itself)
{
	cr_assert(allowed(ROLE_USER, DOOR_SELF));
	cr_assert(allowed(ROLE_NODE, DOOR_SELF));
	cr_assert(not(allowed(ROLE_NONE, DOOR_SELF)));
}

Test(door, what_tends_to_the_relay_is_for_no_certificate)
{
	cr_assert(not(allowed(ROLE_USER, DOOR_LOCAL)));
	cr_assert(not(allowed(ROLE_NODE, DOOR_LOCAL)));
	cr_assert(not(allowed(ROLE_NONE, DOOR_LOCAL)));
}
