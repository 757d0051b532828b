/*
 * Who exists, in memory: nodes and users with what admission and policy need of them. Filled at
 * start, refreshed after each commit that changes one (store.h, on_changed). Any thread; a look-up
 * copies out, so that nothing is held.
 */
#ifndef HAWSER_CORE_REGISTRY_H
#define HAWSER_CORE_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/id.h"

struct registry;

struct reg_node {
	char id[ID_NODE_LEN + 1];
	char name[257];
	char serial[41], serial_before[41]; /* newest certificate's and the one before; older ones
					       are clones */
};

struct reg_user {
	char name[65];
	bool admin;	    /* the administrator policy is attached */
	int64_t valid_from; /* certificates issued before (microseconds since 1970) are not good:
			       the user was made anew */
};

struct registry *registry_new(void);
void registry_free(struct registry *r);

void registry_put_node(struct registry *r, const struct reg_node *n);
void registry_put_user(struct registry *r, const struct reg_user *u);
void registry_drop_node(struct registry *r, const char *id);
void registry_drop_user(struct registry *r, const char *name);

bool registry_node(struct registry *r, const char *id, struct reg_node *out);
bool registry_user(struct registry *r, const char *name, struct reg_user *out);
size_t registry_nodes(struct registry *r);

#endif
