#include "relay/services/admins.h"

#include "relay/policy/managed.h"

int
admins_check(struct db *db, enum holder_kind kind, const char *name, struct hw_err *err)
{
	bool any = false;
	int r = attachment_reaches(db, POLICY_ADMINISTRATOR, NULL, &any, err);

	if (r < 0 || any)
		return r;
	return hw_err_set(err, HW_EVALIDATION,
		kind == HOLDER_USER ? "%s is the last administrator"
				    : "the group %s has the last administrator",
		name);
}
