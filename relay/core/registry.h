/*
 * Which nodes exist, in memory, with what admission and policies need of them, and what documents
 * are tagged with. Filled at start,
 * refreshed after each commit that changes one (store.h, on_changed). Any thread; a look-up copies
 * out, or gives a reference, so that nothing is held.
 */
#ifndef HAWSER_CORE_REGISTRY_H
#define HAWSER_CORE_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/id.h"

struct registry;
struct tagset;

struct reg_node {
	char id[ID_NODE_LEN + 1];
	char name[257];
	char serial[41], serial_before[41]; /* newest certificate's and the one before; older ones
					       are clones */
	int64_t lost_since; /* certificates from then on may be unknown: of a restore; else 0 */
};

struct registry *registry_new(void);
void registry_free(struct registry *r);

/* Takes the tags over; NULL: none are known. */
void registry_put_node(struct registry *r, const struct reg_node *n, struct tagset *take);
void registry_drop_node(struct registry *r, const char *id);

bool registry_node(struct registry *r, const char *id, struct reg_node *out);
/* The caller's reference; NULL for a node that there is not. */
struct tagset *registry_tags(struct registry *r, const char *id);
size_t registry_nodes(struct registry *r);

/* Takes the tags over. NULL: they could not be read, and nothing is decided by them. */
void registry_put_document(struct registry *r, const char *name, struct tagset *take);
void registry_drop_document(struct registry *r, const char *name);
/* The caller's reference; NULL of one that has none. False: they are not known. */
bool registry_document_tags(struct registry *r, const char *name, struct tagset **ret);

#endif
