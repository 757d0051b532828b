/*
 * The local door: what root and the relay's own user may ask for on the relay's machine, whatever
 * policies, certificates and users say. It is for the day when nobody gets in by any other door: it
 * looks, it takes away, and it lets one administrator in again. It opens no session, reads no
 * recording and writes no policy: who comes in by it becomes a user for that, and is recorded.
 */
#ifndef HAWSER_CORE_LOCAL_H
#define HAWSER_CORE_LOCAL_H

#include <stdbool.h>

#include "proto/schema/schema.h"

#define LOCAL_SOURCE "local" /* where its requests come from, in the ledger */

bool local_opens(enum op_id id);

#endif
