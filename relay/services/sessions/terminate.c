/* TerminateSession. An unknown or ended session is no error: clients call this to be sure. */
#include <stdio.h>

#include "relay/core/broker.h"
#include "relay/core/op.h"
#include "relay/store/sessions.h"
#include "relay/store/store.h"

struct ending {
	struct op *op;
	const char *id;
	char why[257];
};

/* One that the broker does not have was never opened, or is on its way: its end stands here, and
 * the broker will find it. */
static int
end_unopened(void *arg, struct db *db, struct hw_err *err)
{
	struct ending *w = arg;
	struct session_row *row;

	int r = session_get(db, w->op->arena, w->id, &row, err);
	if (r == HW_ENOSESSION)
		return 0;
	if (r < 0 || row->status != SESSION_STATUS_CONNECTING)
		return r;
	row->status = SESSION_STATUS_TERMINATED;
	row->end = w->op->now;
	snprintf(row->details, sizeof(row->details), "%s", w->why);
	return session_finish(db, row, err);
}

int
op_terminate_session(struct op *op, const struct msg_terminate_session_request *req,
	struct msg_terminate_session_reply *rep)
{
	struct broker *broker = op->env->broker;
	struct ending w = {.op = op, .id = req->session_id};
	int r;

	rep->session_id = req->session_id;
	snprintf(w.why, sizeof(w.why), "ended by %s", arn_short(op->arn));
	if (broker_end_session(broker, w.id, HW_ETERMINATED, w.why))
		return 0;
	if ((r = store_write(op->env->store, end_unopened, &w, &op->err)) < 0)
		return r;
	broker_end_session(broker, w.id, HW_ETERMINATED,
		w.why); /* it may have been opened meanwhile */
	return 0;
}
