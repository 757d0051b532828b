/* Fills the registry from the store: all of it at the start, and what changed after each commit
 * (store_config.on_changed). */
#ifndef HAWSER_SERVICES_DIRECTORY_H
#define HAWSER_SERVICES_DIRECTORY_H

#include "relay/store/store.h"

struct registry;

int node_load_registry(struct db *db, struct registry *registry, struct hw_err *err);
int user_load_registry(struct db *db, struct registry *registry, struct hw_err *err);

/* One that is gone is dropped. */
int node_refresh(struct db *db, struct registry *registry, const char *id, struct hw_err *err);
int user_refresh(struct db *db, struct registry *registry, const char *name, struct hw_err *err);
int directory_refresh(struct db *db, struct registry *registry, enum store_kind kind,
	const char *id, struct hw_err *err);

#endif
