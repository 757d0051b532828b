/* That somebody is left who may do everything: the last administrator cannot be made less. */
#ifndef HAWSER_SERVICES_ADMINS_H
#define HAWSER_SERVICES_ADMINS_H

#include "relay/store/policies.h"

/* At the end of a write that took something from the user or group: HW_EVALIDATION when no enabled
 * user has the administrator policy any more, by itself or by a group. */
int admins_check(struct db *db, enum holder_kind kind, const char *name, struct hw_err *err);

#endif
