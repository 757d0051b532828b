/* ReloadRelay and DrainRelay, for root and the relay's own user. */
#include <string.h>

#include "proto/base/clock.h"
#include "relay/core/broker.h"
#include "relay/core/dispatcher.h"
#include "relay/core/op.h"
#include "relay/core/tend.h"

static int
keep_names(struct op *op, struct msg_strs *ret, const char *const *names, size_t n)
{
	ret->v = arena_dup(op->arena, names, n * sizeof(*names));
	ret->n = n;
	return ret->v != NULL || n == 0 ? 0 : op_fail(op, HW_ENOMEM, "no memory for the reply");
}

int
op_reload_relay(struct op *op, const struct msg_empty *req, struct msg_reload_relay_reply *rep)
{
	struct reload done;
	int r;

	(void)req;
	if (op->env->tended == NULL)
		return op_fail(op, HW_EUNAVAILABLE, "there is no relay here to reload");
	if ((r = tend_reload_wait(op->env->tended, &done, &op->err)) < 0 ||
		(r = keep_names(op, &rep->changed, done.settings.changed,
			 done.settings.n_changed)) < 0 ||
		(r = keep_names(op, &rep->restart, done.settings.restart,
			 done.settings.n_restart)) < 0)
		return r;
	rep->certificate = done.certificate;
	rep->expires = done.expires;
	return 0;
}

/* --- draining -----------------------------------------------------------------------------------
 */

static void
count(struct op *op, struct msg_drain_relay_reply *rep)
{
	struct dispatcher_stats st = {.commands = 0};

	if (op->env->dispatcher != NULL)
		dispatcher_stats(op->env->dispatcher, &st);
	rep->sessions = broker_sessions(op->env->broker);
	rep->commands = (int64_t)st.commands;
	rep->invocations = (int64_t)st.invocations;
	rep->draining = tend_draining(op->env->tended);
	if (rep->draining && tend_drain_until(op->env->tended) != INT64_MAX)
		rep->until = tend_drain_until(op->env->tended);
}

int
op_drain_relay(struct op *op, const struct msg_drain_relay_request *req,
	struct msg_drain_relay_reply *rep)
{
	const char *action = req->action != NULL && *req->action != '\0' ? req->action : "status";

	if (op->env->tended == NULL)
		return op_fail(op, HW_EUNAVAILABLE, "there is no relay here to drain");
	if (strcmp(action, "begin") == 0)
		tend_drain(op->env->tended,
			req->seconds > 0 ? op->now + req->seconds * USEC_PER_SEC : INT64_MAX);
	else if (strcmp(action, "end") == 0)
		tend_drain(op->env->tended, 0);
	else if (strcmp(action, "status") != 0)
		return op_fail(op, HW_EVALIDATION,
			"Action: \"%.16s\" is neither begin, end nor status", action);
	count(op, rep);
	return 0;
}
