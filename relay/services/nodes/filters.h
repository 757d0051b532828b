/* The filters of DescribeInstanceInformation: what the store can answer goes into its query, the
 * rest is asked of each node. */
#ifndef HAWSER_SERVICES_NODES_FILTERS_H
#define HAWSER_SERVICES_NODES_FILTERS_H

#include <stdbool.h>

#include "proto/schema/schema.h"
#include "relay/store/nodes.h"

struct op;

struct name_globs {
	const char *const *patterns; /* one must fit */
	size_t n;
};

struct filters {
	struct node_filter *sql;
	struct name_globs *globs;
	size_t n_sql, n_globs;
	unsigned pings;		       /* bit PING_STATUS_* for each that may pass */
	bool nothing;		       /* no node can pass */
	const struct msg_strs *groups; /* resource-groups:Name; NULL: none is asked for */
};

/* HW_EFILTERKEY, HW_EFILTERVALUE. Points into the request. */
int filters_parse(struct filters *ret, struct op *op,
	const struct msg_describe_instance_information_request *req);

bool filters_pass(const struct filters *f, const struct node_row *row, int ping_status);

#endif
