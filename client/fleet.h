/* Asking the relay for nodes: those of selectors, or the one of a name. */
#ifndef HAWSER_CLIENT_FLEET_H
#define HAWSER_CLIENT_FLEET_H

#include <stddef.h>

#include "proto/base/err.h"

struct client;
struct msg_describe_instance_information_reply;
struct msg_instance_information;

/* The nodes that at least one of the selectors means, all of them without selectors, by name. A
 * selector that means no node is an error, whose exit status is 4. "-" reads names from stdin. */
int fleet_select(struct msg_describe_instance_information_reply *ret, struct client *c,
	const char *const *selectors, size_t n, struct hw_err *err);

/* The one node of a name or an id. HW_ENODE; a name that several nodes have is HW_EVALIDATION and
 * lists their ids. */
int fleet_node(const struct msg_instance_information **ret, struct client *c, const char *name,
	struct hw_err *err);

/* The id alone: nothing is asked when `name` is one. *shown is how to call the node. */
int fleet_node_id(const char **id, const char **shown, struct client *c, const char *name,
	struct hw_err *err);

#endif
