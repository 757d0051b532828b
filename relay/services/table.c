#include "relay/services/table.h"

#define HW_OP(id, name, req, rep, door, action, res, field, audit, doc)       \
	static int call_##id(struct op *op, const void *request, void *reply) \
	{                                                                     \
		return op_##id(op, request, reply);                           \
	}
#include "proto/schema/operations.def"
#undef HW_OP

op_handler *const services_handlers[OP_COUNT] = {
#define HW_OP(id, name, req, rep, door, action, res, field, audit, doc) [OP_##id] = call_##id,
#include "proto/schema/operations.def"
#undef HW_OP
};
