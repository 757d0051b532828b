/* What lists of commands and of invocations are filtered by. */
#ifndef HAWSER_SERVICES_COMMANDS_FILTERS_H
#define HAWSER_SERVICES_COMMANDS_FILTERS_H

#include "proto/schema/schema.h"

struct op;

enum { STAGE_EXECUTING = 1, STAGE_COMPLETE };

/* 0 and NULL are no filter. */
struct list_filter {
	int64_t after, before;
	int status, stage;
	const char *document;
};

/* HW_EVALIDATION. Points into the request. */
int filters_read(struct list_filter *ret, struct op *op, const struct msg_command_filter *v,
	size_t n);
/* NULL is no id. HW_ECOMMAND, HW_ENODE for what cannot be one. */
int filters_check_ids(struct op *op, const char *command, const char *node);

#endif
