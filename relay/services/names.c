#include "relay/services/names.h"

#include "relay/core/op.h"

int
names_add(struct names *l, const char *name)
{
	if (l->n == NAMES_MAX || (l->v[l->n] = arena_strdup(l->op->arena, name)) == NULL)
		return op_fail(l->op, HW_ELIMIT, "the reply is too large");
	l->n++;
	return 0;
}

int
names_keep(struct msg_strs *ret, struct names *l)
{
	const char **v = arena_dup(l->op->arena, l->v, l->n * sizeof(l->v[0]));

	if (v == NULL)
		return op_fail(l->op, HW_ELIMIT, "the reply is too large");
	*ret = (struct msg_strs){v, l->n};
	return 0;
}
