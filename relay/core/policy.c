#include "relay/core/policy.h"

#include <stdio.h>

static void
decide(struct policy_decision *ret, bool allow, const char *why)
{
	ret->allow = allow;
	snprintf(ret->why, sizeof(ret->why), "%s", why);
}

void
policy_decide(struct policy_decision *ret, const struct policy_subject *who,
	const struct policy_request *what)
{
	switch (what->door) {
	case DOOR_ANON:
		decide(ret, true, "open to whoever has a valid token");
		return;
	case DOOR_SELF:
		decide(ret, who->role == ROLE_NODE || who->role == ROLE_USER,
			"concerns the caller alone");
		return;
	case DOOR_NODE:
		decide(ret, who->role == ROLE_NODE,
			who->role == ROLE_NODE ? "nodes report about themselves"
					       : "only a node may do this");
		return;
	case DOOR_USER:
		break;
	}
	if (who->role != ROLE_USER)
		decide(ret, false, "only a user may do this");
	else if (who->admin)
		decide(ret, true, "policy administrator");
	else
		decide(ret, false, "no policy allows it");
}
