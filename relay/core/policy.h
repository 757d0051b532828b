/* Authorisation: one pure function from who, what, on what, to a decision and its reason. */
#ifndef HAWSER_CORE_POLICY_H
#define HAWSER_CORE_POLICY_H

#include <stdbool.h>

#include "proto/schema/schema.h"

struct policy_subject {
	int role; /* ROLE_* */
	const char *arn;
	bool admin;
};

struct policy_request {
	enum op_door door;
	const char *action;   /* "ssm:StartSession" */
	const char *resource; /* an ARN, or "*" */
};

struct policy_decision {
	bool allow;
	char why[160]; /* the statement that decided, for people and the ledger */
};

void policy_decide(struct policy_decision *ret, const struct policy_subject *who,
	const struct policy_request *what);

#endif
