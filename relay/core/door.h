/* Which door an operation is behind, and who may go through it: the decision for all operations but
 * those of users, where policies decide (authorise.h). */
#ifndef HAWSER_CORE_DOOR_H
#define HAWSER_CORE_DOOR_H

#include <stdbool.h>

#include "proto/schema/schema.h"

struct door_decision {
	bool allow;
	const char *why; /* for people and the ledger */
};

void door_decide(struct door_decision *ret, int role, enum op_door door);

#endif
