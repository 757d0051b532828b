#include "relay/core/policy.h"

#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static bool
allowed(int role, bool admin, enum op_door door)
{
	struct policy_subject who = {.role = role, .arn = "arn:aws:iam::0:user/x", .admin = admin};
	struct policy_request what = {door, "ssm:StartSession", "*"};
	struct policy_decision d = {.allow = true};

	policy_decide(&d, &who, &what);
	cr_assert(gt(sz, strlen(d.why), 0), "a decision says why");
	return d.allow;
}

Test(policy, only_administrators_may_use_the_control_api)
{
	cr_assert(allowed(ROLE_USER, true, DOOR_USER));
	cr_assert(not(allowed(ROLE_USER, false, DOOR_USER)));
	cr_assert(not(allowed(ROLE_NODE, false, DOOR_USER)));
	cr_assert(not(allowed(ROLE_NODE, true, DOOR_USER)), "a node is never an administrator");
	cr_assert(not(allowed(ROLE_NONE, true, DOOR_USER)));
}

Test(policy, nodes_alone_report_about_themselves)
{
	cr_assert(allowed(ROLE_NODE, false, DOOR_NODE));
	cr_assert(not(allowed(ROLE_USER, true, DOOR_NODE)));
	cr_assert(not(allowed(ROLE_NONE, false, DOOR_NODE)));
}

Test(policy, whoever_is_known_may_ask_about_itself)
{
	cr_assert(allowed(ROLE_USER, false, DOOR_SELF));
	cr_assert(allowed(ROLE_NODE, false, DOOR_SELF));
	cr_assert(not(allowed(ROLE_NONE, false, DOOR_SELF)));
}
