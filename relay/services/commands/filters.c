#include "relay/services/commands/filters.h"

#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/id.h"
#include "relay/core/document_load.h"
#include "relay/core/op.h"

static int
bad_value(struct op *op, const struct msg_command_filter *f, const char *wanted)
{
	return op_fail(op, HW_EVALIDATION, "%s: \"%.60s\" is not %s",
		enum_text(&enum_COMMAND_FILTER, f->key), f->value, wanted);
}

static int
read_time(int64_t *ret, struct op *op, const struct msg_command_filter *f)
{
	return rfc3339_parse(ret, f->value) == 0
		? 0
		: bad_value(op, f, "a time like 2026-07-07T00:00:00Z");
}

static int
read_status(int *ret, struct op *op, const struct msg_command_filter *f)
{
	*ret = enum_value(&enum_INVOCATION_STATUS, f->value);
	return *ret != 0 ? 0 : bad_value(op, f, "a status of a command");
}

static int
read_stage(int *ret, struct op *op, const struct msg_command_filter *f)
{
	*ret = strcmp(f->value, "Executing") == 0   ? STAGE_EXECUTING
		: strcmp(f->value, "Complete") == 0 ? STAGE_COMPLETE
						    : 0;
	return *ret != 0 ? 0 : bad_value(op, f, "Executing or Complete");
}

static int
read_one(struct list_filter *ret, struct op *op, const struct msg_command_filter *f)
{
	switch (f->key) {
	case COMMAND_FILTER_INVOKED_AFTER:
		return read_time(&ret->after, op, f);
	case COMMAND_FILTER_INVOKED_BEFORE:
		return read_time(&ret->before, op, f);
	case COMMAND_FILTER_STATUS:
		return read_status(&ret->status, op, f);
	case COMMAND_FILTER_EXECUTION_STAGE:
		return read_stage(&ret->stage, op, f);
	case COMMAND_FILTER_DOCUMENT_NAME:
		ret->document = document_name(op, f->value);
		return 0;
	default:
		return op_fail(op, HW_EFILTERKEY, "no such filter");
	}
}

int
filters_read(struct list_filter *ret, struct op *op, const struct msg_command_filter *v, size_t n)
{
	unsigned seen = 0;
	int r;

	*ret = (struct list_filter){.document = NULL};
	for (size_t i = 0; i < n; i++) {
		if (seen & 1u << v[i].key)
			return op_fail(op, HW_EVALIDATION, "Filters[%zu]: %s is there twice", i,
				enum_text(&enum_COMMAND_FILTER, v[i].key));
		seen |= 1u << v[i].key;
		if ((r = read_one(ret, op, &v[i])) < 0)
			return r;
	}
	return 0;
}

int
filters_check_ids(struct op *op, const char *command, const char *node)
{
	if (command != NULL && !id_is_uuid(command))
		return op_fail(op, HW_ECOMMAND, "\"%.60s\" is no command's id", command);
	if (node != NULL && !id_is_node(node))
		return op_fail(op, HW_ENODE, "\"%.64s\" is no node's id", node);
	return 0;
}
