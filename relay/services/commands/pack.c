#include "relay/services/commands/pack.h"

#include "relay/core/op.h"
#include "relay/core/packed.h"

int
pack(const char **ret, struct op *op, const struct msg_row *row, const void *msg,
	const char *sealed)
{
	return packed_write(ret, op->arena, op->env->master, row, msg, sealed, &op->err);
}

int
unpack(void **ret, struct op *op, const struct msg_row *row, const char *text, const char *sealed)
{
	return packed_read(ret, op->arena, op->env->master, row, text, sealed, &op->err);
}
