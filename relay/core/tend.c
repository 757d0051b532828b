#include "relay/core/tend.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "audit/journal.h"
#include "audit/ledger.h"
#include "proto/base/clock.h"
#include "proto/base/loop.h"
#include "relay/core/op.h"
#include "relay/core/relay_private.h"

#define SAID_MAX 4096

void
relay_on_reload(struct relay *r, relay_certificate_fn *take, void *arg)
{
	r->take_certificate = take;
	r->take_arg = arg;
}

/* --- settings and certificate -------------------------------------------------------------------
 */

static void
write_names(struct buf *out, const char *what, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%s%s", i == 0 ? what : ",", names[i]);
	if (n > 0)
		buf_append_str(out, " ");
}

static void
tell(struct relay *r, const struct reload *done)
{
	const struct config_changes *c = &done->settings;
	struct buf text;

	buf_init(&text, SAID_MAX);
	write_names(&text, "changed=", c->changed, c->n_changed);
	write_names(&text, "restart_for=", c->restart, c->n_restart);
	buf_printf(&text, "certificate=%s", done->certificate ? "changed" : "same");
	const char *said = buf_str(&text);
	int64_t entry = -1;
	if (said != NULL && (c->n_changed > 0 || done->certificate)) {
		const struct msg_ledger_entry e = {.detail = said};
		entry = ledger_append_numbered(r->ledger, ENTRY_RELAY_RELOAD, &e, NULL);
		journal_sync(r->journal);
	}
	log_info(r, "relay.reloaded", "%s%s", said != NULL ? said : "", ledger_pair(entry));
	buf_fini(&text);
}

void
tend_tell_key(struct relay *r)
{
	const struct msg_ledger_entry e = {.detail = "key=changed certificate=changed"};
	int64_t entry = ledger_append_numbered(r->ledger, ENTRY_RELAY_RELOAD, &e, NULL);

	journal_sync(r->journal);
	log_info(r, "relay.rekeyed", "key=relay.key certificate=relay.crt%s", ledger_pair(entry));
}

int
tend_reload(struct relay *r, struct reload *ret, struct hw_err *err)
{
	struct relay_config fresh;
	int rc;

	*ret = (struct reload){.certificate = false};
	if ((rc = relay_config_load(&fresh, r->dir, err)) < 0 ||
		(r->take_certificate != NULL &&
			(rc = r->take_certificate(r->take_arg, &ret->certificate, &ret->expires,
				 err)) < 0)) {
		log_error(r, "relay.not_reloaded", "why=%s", log_value(hw_err_text(err)));
		return rc;
	}
	relay_config_apply(&ret->settings, &r->config, &fresh);
	tell(r, ret);
	return 0;
}

struct waiting {
	struct relay *relay;
	struct reload *ret;
	struct hw_err *err;
	pthread_mutex_t lock;
	pthread_cond_t done_cond;
	bool done;
	int result;
};

static void
reload_on_loop(void *arg)
{
	struct waiting *w = arg;
	int r = tend_reload(w->relay, w->ret, w->err);

	pthread_mutex_lock(&w->lock);
	w->result = r;
	w->done = true;
	pthread_cond_signal(&w->done_cond);
	pthread_mutex_unlock(&w->lock);
}

int
tend_reload_wait(struct relay *r, struct reload *ret, struct hw_err *err)
{
	struct waiting w = {.relay = r,
		.ret = ret,
		.err = err,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.done_cond = PTHREAD_COND_INITIALIZER};

	if (!r->threaded) /* the worker is the loop */
		return tend_reload(r, ret, err);
	loop_post(r->loop, reload_on_loop, &w);
	pthread_mutex_lock(&w.lock);
	while (!w.done)
		pthread_cond_wait(&w.done_cond, &w.lock);
	pthread_mutex_unlock(&w.lock);
	return w.result;
}

/* --- draining -----------------------------------------------------------------------------------
 */

void
tend_drain(struct relay *r, int64_t until)
{
	atomic_store(&r->drain_until, until);
	log_info(r, until != 0 ? "relay.drains" : "relay.serves", "%s", "");
}

int64_t
tend_drain_until(const struct relay *r)
{
	return atomic_load(&r->drain_until);
}

bool
tend_draining(const struct relay *r)
{
	return clock_wall(r->clock) < tend_drain_until(r);
}

int
tend_may_begin(struct op *op)
{
	const struct relay *r = op->env->tended;
	char when[RFC3339_LEN + 1];

	if (r == NULL || !tend_draining(r))
		return 0;
	if (tend_drain_until(r) == INT64_MAX)
		return op_fail(op, HW_EDRAINING,
			"the relay is draining: it begins no sessions and no commands; try again in "
			"a while");
	rfc3339_format(when, tend_drain_until(r));
	return op_fail(op, HW_EDRAINING,
		"the relay is draining: it begins no sessions and no commands before %s; try again "
		"then",
		when);
}
