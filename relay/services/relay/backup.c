/* BeginBackup: the state of one moment stands still, for `hawser-relay backup` to take away. */
#include "proto/base/clock.h"
#include "relay/core/op.h"
#include "relay/core/snapshot.h"

int
op_begin_backup(struct op *op, const struct msg_empty *req, struct msg_begin_backup_reply *rep)
{
	const struct snapshot_source source = {
		.dir = op->env->dir,
		.clock = op->env->clock,
		.store = op->env->store,
		.archiver = op->env->archiver,
		.journal = op->env->journal,
		.heads = op->env->heads,
	};
	struct snapshot made;
	int r;

	(void)req;
	if ((r = snapshot_make(&made, &source, &op->err)) < 0)
		return r;
	rep->folder = SNAPSHOT_DIR;
	rep->time = made.time;
	rep->entries = (int64_t)made.entries;
	return 0;
}
