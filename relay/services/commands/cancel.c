/* CancelCommand. */
#include <string.h>

#include "relay/core/dispatcher.h"
#include "relay/core/op.h"
#include "relay/services/commands/filters.h"
#include "relay/store/commands.h"
#include "relay/store/store.h"

struct cancelling {
	const char *id;
};

static int
read_command(void *arg, struct db *db, struct hw_err *err)
{
	struct cancelling *w = arg;

	return command_get(db, w->id, &(struct command_row){.live = false}, err);
}

static int
write_cancelled(void *arg, struct db *db, struct hw_err *err)
{
	const struct cancelling *w = arg;

	return command_set_cancelled(db, w->id, err);
}

static int
check_nodes(struct op *op, const struct msg_strs *ids)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ids->n; i++) {
		r = filters_check_ids(op, NULL, ids->v[i]);
		for (size_t k = 0; r == 0 && k < i; k++)
			if (strcmp(ids->v[i], ids->v[k]) == 0)
				r = op_fail(op, HW_EDUPLICATEID, "InstanceIds names %s twice",
					ids->v[i]);
	}
	return r;
}

int
op_cancel_command(struct op *op, const struct msg_cancel_command_request *req,
	struct msg_empty *rep)
{
	struct cancelling w = {.id = req->command_id};
	int r;

	(void)rep;
	if ((r = filters_check_ids(op, req->command_id, NULL)) < 0 ||
		(r = check_nodes(op, &req->instance_ids)) < 0 ||
		(r = store_read(op->env->store, read_command, &w, &op->err)) < 0)
		return r;
	/* That all of it is to end is in the store before anything follows from it. */
	if (req->instance_ids.n == 0 &&
		(r = store_write(op->env->store, write_cancelled, &w, &op->err)) < 0)
		return r;
	return dispatcher_cancel(op->env->dispatcher, req->command_id,
		(const char *const *)req->instance_ids.v, req->instance_ids.n, &op->err);
}
