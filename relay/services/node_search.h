/*
 * Nodes by what they have in common, as SendCommand's Targets, resource groups and filters name
 * them: several entries that a node must fit all. What it finds is no permission: whoever asks is
 * decided on for each node, and for each group that it names (op_scope()).
 */
#ifndef HAWSER_SERVICES_NODE_SEARCH_H
#define HAWSER_SERVICES_NODE_SEARCH_H

#include "proto/schema/schema.h"
#include "relay/store/nodes.h"

#define SEARCH_TARGETS 5 /* entries */
#define SEARCH_GROUPS  5 /* names of one resource-groups:Name entry */

struct op;

/* What is asked of one node by the store, and of its name here. */
struct node_pick {
	struct node_filter filters[SEARCH_TARGETS * (SEARCH_GROUPS + 1)];
	const struct msg_strs *globs[SEARCH_TARGETS * (SEARCH_GROUPS + 1)];
	size_t n, n_globs;
};

struct node_set;

struct node_search {
	struct op *op;
	struct node_pick pick;
	const struct msg_strs *groups[SEARCH_TARGETS]; /* of several names: any of these */
	struct node_set *sets[SEARCH_TARGETS];
	size_t n_groups, n_sets;
};

/* Checks them. With `saved` they are to be, or were, a group's: no group or type among them, and
 * ids need only be well formed. HW_EVALIDATION, HW_ENODE, also for a hidden one. Points into the
 * targets. */
int node_search_init(struct node_search *ret, struct op *op,
	const struct msg_command_target *targets, size_t n, bool saved);
/* Whether the caller is to learn nothing of a node: it may neither do to it what it asks for, nor
 * see it in a list. */
bool node_search_hides(struct op *op, const char *id);
/* Groups alone, by name. */
int node_search_groups(struct node_search *ret, struct op *op, const struct msg_strs *names);
void node_search_fini(struct node_search *s);

/* Within store_read(), before the nodes are listed by `pick`: looks the groups up, as they are now.
 * HW_ENOTFOUND for one that there is not. */
int node_search_resolve(struct node_search *s, struct db *db, struct hw_err *err);
/* Whether one that the store found fits the rest, too. */
bool node_search_has(const struct node_search *s, const struct node_row *row);

#endif
