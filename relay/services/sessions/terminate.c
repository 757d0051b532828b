/* TerminateSession. An unknown or ended session is no error: clients call this to be sure. */
#include <stdio.h>
#include <time.h>

#include "relay/core/broker.h"
#include "relay/core/op.h"
#include "relay/store/sessions.h"
#include "relay/store/store.h"

/* Between the ticket's use and the broker's first sight of the session lie a commit or two. */
#define LOOKS	  100
#define LOOK_NSEC (20 * 1000 * 1000)

struct ending {
	struct op *op;
	const char *id;
	char why[257];
	bool moving; /* it is live, and the broker's: about to be opened, or about to have ended */
};

/* One whose ticket nobody has used is ended here: the ticket is worth nothing then. */
static int
end_unopened(void *arg, struct db *db, struct hw_err *err)
{
	struct ending *w = arg;
	struct session_row *row;

	int r = session_get(db, w->op->arena, w->id, &row, err);
	w->moving = false;
	if (r == HW_ENOSESSION || (r == 0 && row->end != 0))
		return 0;
	if (r < 0)
		return r;
	w->moving = row->status != SESSION_STATUS_CONNECTING;
	if (w->moving)
		return 0;
	row->status = SESSION_STATUS_TERMINATED;
	row->end = w->op->now;
	snprintf(row->details, sizeof(row->details), "%s", w->why);
	return session_finish(db, row, err);
}

static bool
end_open(struct ending *w)
{
	return broker_end_session(w->op->env->broker, w->id, HW_ETERMINATED, w->why);
}

int
op_terminate_session(struct op *op, const struct msg_terminate_session_request *req,
	struct msg_terminate_session_reply *rep)
{
	const struct timespec pause = {.tv_nsec = LOOK_NSEC};
	struct ending w = {.op = op, .id = req->session_id};
	int r;

	rep->session_id = req->session_id;
	snprintf(w.why, sizeof(w.why), "ended by %s", arn_short(op->arn));
	for (int i = 0; i < LOOKS; i++) {
		if (end_open(&w))
			return 0;
		if ((r = store_write(op->env->store, end_unopened, &w, &op->err)) < 0 || !w.moving)
			return r;
		nanosleep(&pause, NULL);
	}
	return op_fail(op, HW_EUNAVAILABLE, "%s is being opened or ended just now; try again",
		w.id);
}
