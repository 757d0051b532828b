/* What the local door opens. */
#include "relay/core/local.h"

#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

/* Written down a second time, by name: a row that slips into the table fails here. */
static const char *const opened[] = {"DescribeInstanceInformation", "DescribeSessions",
	"DescribeActivations", "ListUsers", "GetUser", "ListGroups", "GetGroup", "ListPolicies",
	"GetPolicy", "ListAccessKeys", "TerminateSession", "UpdateUser", "DeleteUser",
	"RemoveUserFromGroup", "UpdateAccessKey", "DeleteAccessKey", "DetachPolicy",
	"DeregisterManagedInstance", "DeleteActivation", "CreateUser", "CreateInvite",
	"AttachPolicy", "BeginBackup", "ReloadRelay", "DrainRelay"};

static bool
is_listed(const char *name)
{
	for (size_t i = 0; i < sizeof(opened) / sizeof(opened[0]); i++)
		if (strcmp(opened[i], name) == 0)
			return true;
	return false;
}

Test(local, it_opens_these_operations_and_no_other)
{
	size_t n = 0;

	for (int i = 0; i < OP_COUNT; i++) {
		cr_assert(eq(int, local_opens((enum op_id)i), is_listed(op_rows[i].name)), "%s",
			op_rows[i].name);
		n += local_opens((enum op_id)i);
	}
	cr_assert(eq(sz, n, sizeof(opened) / sizeof(opened[0])));
}
