/* Fills the registry from the store: at start, and after commits that changed a node, or what a
 * document is tagged with. */
#ifndef HAWSER_CORE_ROSTER_H
#define HAWSER_CORE_ROSTER_H

#include "relay/core/registry.h"
#include "relay/store/store.h"

int roster_load(struct registry *r, struct store *s, struct hw_err *err);
void roster_refresh(struct registry *r, const char *node, struct db *db);
void roster_refresh_document(struct registry *r, const char *name, struct db *db);

#endif
