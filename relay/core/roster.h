/* Fills the registry from the store: at start, and after commits that changed a node or a user. */
#ifndef HAWSER_CORE_ROSTER_H
#define HAWSER_CORE_ROSTER_H

#include "relay/core/registry.h"
#include "relay/store/store.h"

int roster_load(struct registry *r, struct store *s, struct hw_err *err);
void roster_refresh(struct registry *r, enum store_kind kind, const char *id, struct db *db);

#endif
