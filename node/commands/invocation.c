#include "node/commands/invocation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/commands/invocation_private.h"
#include "proto/base/enc.h"

#define RUN_ARENA_MAX (16 * 1024 * 1024)
#define WORK	      "/var/tmp" /* where nobody says */

void
invocation_log_trouble(const struct invocation *i, const char *event, const struct hw_err *err)
{
	log_warn(i->host, event, "command=%s why=%s", i->id, log_value(hw_err_text(err)));
}

/* --- statuses --------------------------------------------------------------------------------- */

static const struct {
	int status;
	const char *details;
} words[FLOW_STATUSES] = {
	[FLOW_WAITING] = {INVOCATION_STATUS_IN_PROGRESS, "InProgress"	     },
	[FLOW_SKIPPED] = {INVOCATION_STATUS_SUCCESS,     "Skipped"	      },
	[FLOW_SUCCESS] = {INVOCATION_STATUS_SUCCESS,     "Success"	      },
	[FLOW_REBOOT] = {INVOCATION_STATUS_IN_PROGRESS, "InProgress"	    },
	[FLOW_FAILED] = {INVOCATION_STATUS_FAILED,	   "Failed"	   },
	[FLOW_CANCELLED] = {INVOCATION_STATUS_CANCELLED,	 "Cancelled"	    },
	[FLOW_TIMED_OUT] = {INVOCATION_STATUS_TIMED_OUT,	 "ExecutionTimedOut"},
};

enum flow_status
invocation_status_of(const struct msg_invocation_step *said)
{
	for (int s = FLOW_SKIPPED; s < FLOW_STATUSES; s++)
		if (s != FLOW_REBOOT && words[s].status == said->status &&
			said->status_details != NULL &&
			strcmp(words[s].details, said->status_details) == 0)
			return (enum flow_status)s;
	return FLOW_WAITING;
}

void
invocation_say_step(struct msg_invocation_step *ret, const struct invocation_step *s)
{
	bool pending = s->status == FLOW_WAITING && s->started == 0;

	*ret = (struct msg_invocation_step){
		.name = s->name,
		.action = s->action,
		.status = pending ? INVOCATION_STATUS_PENDING : words[s->status].status,
		.status_details = pending ? "Pending" : words[s->status].details,
		.response_code = s->code,
		.started = s->started,
		.ended = s->ended,
		.stdout_bytes = (int64_t)s->spool[SPOOL_OUT].kept,
		.stderr_bytes = (int64_t)s->spool[SPOOL_ERR].kept,
		.stdout_dropped = (int64_t)s->dropped[SPOOL_OUT],
		.stderr_dropped = (int64_t)s->dropped[SPOOL_ERR],
	};
}

bool
invocation_say(struct msg_update_invocation_request *ret, struct arena *a,
	const struct invocation *i, bool steps)
{
	*ret = (struct msg_update_invocation_request){
		.command_id = i->id,
		.status = i->status,
		.status_details = i->details,
		.response_code = i->code,
		.reason = i->reason[0] ? i->reason : NULL,
		.started = i->started,
		.ended = i->ended,
	};
	if (!steps || i->n == 0)
		return true;
	if ((ret->steps.v = arena_array(a, i->n, sizeof(*ret->steps.v))) == NULL)
		return false;
	for (size_t k = 0; k < i->n; k++)
		invocation_say_step(&ret->steps.v[k], &i->steps[k]);
	ret->steps.n = i->n;
	return true;
}

/* --- the end ---------------------------------------------------------------------------------- */

void
invocation_drop_run(struct invocation *i)
{
	struct loop *l = i->host->loop;

	loop_undefer(l, &i->next);
	loop_timer_stop(l, &i->deadline);
	loop_timer_stop(l, &i->kill);
	loop_timer_stop(l, &i->retry);
	for (size_t k = 0; k < INVOCATION_FRAMES; k++)
		invocation_drop_frame(&i->frames[k]);
	i->depth = 0;
	i->seeking = SEEK_NOTHING;
	buf_fini(&i->read);
	buf_init(&i->read, DOCUMENT_SIZE_MAX + 1);
	arena_free(i->run);
	i->run = NULL;
	i->work = NULL;
	i->order = NULL;
}

void
invocation_close_job(struct invocation *i)
{
	if (i->job != NULL)
		i->host->programs->ops->close(i->job);
	i->job = NULL;
	loop_timer_stop(i->host->loop, &i->deadline);
	loop_timer_stop(i->host->loop, &i->kill);
}

/* Its end is written down before anybody is told; that it also outlives a power cut is seen to when
 * nobody has taken it soon. */
static void
write_end(struct invocation *i, const struct msg_update_invocation_request *end)
{
	struct hw_err err = HW_ERR_INIT;

	if (orders_end(i->host->journal, i->id, end, &err) < 0)
		invocation_log_trouble(i, "command.end_not_written", &err);
}

static void
end_with(struct invocation *i, enum flow_status status, const char *details, int code)
{
	struct msg_update_invocation_request end;

	invocation_close_job(i);
	invocation_drop_run(i);
	i->state = INVOCATION_ENDED;
	i->status = words[status].status;
	i->details = details != NULL ? details : words[status].details;
	i->code = code;
	i->ended = invocation_wall(i);
	i->unsynced = true;
	invocation_say(&end, NULL, i, false);
	write_end(i, &end);
	log_info(i->host, "command.end", "command=%s status=%s", i->id, i->details);
	invocation_changed(i);
}

/* A sentence for the relay, which takes well-formed text alone. */
static void HW_PRINTF(2, 0) give_reason(struct invocation *i, const char *fmt, va_list ap)
{
	vsnprintf(i->reason, sizeof(i->reason), fmt, ap);
	for (size_t n = strlen(i->reason), at = 0; at < n;) {
		int len = utf8_next((const uint8_t *)i->reason + at, n - at);
		if (len <= 0)
			i->reason[at] = '?';
		at += len > 0 ? (size_t)len : 1;
	}
}

void HW_PRINTF(2, 3) invocation_say_reason(struct invocation *i, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	give_reason(i, fmt, ap);
	va_end(ap);
}

/* Steps that are not run any more have been given up with the whole. */
static void
give_up_rest(struct invocation *i)
{
	struct hw_err err = HW_ERR_INIT;
	int r = 0;

	for (size_t k = i->done; k < i->n; k++) {
		struct msg_invocation_step said;
		i->steps[k].status = FLOW_CANCELLED;
		invocation_say_step(&said, &i->steps[k]);
		if (r == 0 && (r = orders_step(i->host->journal, i->id, k, &said, false, &err)) < 0)
			invocation_log_trouble(i, "command.step_not_written", &err);
	}
	i->done = i->n;
}

/* The code of the first step that has one which says something. */
static int
code_of_all(const struct invocation *i)
{
	for (size_t k = 0; k < i->n; k++)
		if (i->steps[k].code != 0)
			return i->steps[k].code;
	return 0;
}

static void
end_whole(struct invocation *i)
{
	enum flow_status *all = calloc(i->n + 1, sizeof(*all)), whole = FLOW_FAILED;

	give_up_rest(i);
	for (size_t k = 0; all != NULL && k < i->n; k++)
		all[k] = i->steps[k].status;
	if (all != NULL)
		whole = flow_whole(all, i->n);
	free(all);
	end_with(i, whole, NULL, code_of_all(i));
}

void
invocation_conclude(struct invocation *i)
{
	give_up_rest(i);
	if (!invocation_clean(i))
		end_whole(i);
}

void
invocation_cleaned(struct invocation *i)
{
	i->cleaning = false;
	if (i->end_failed)
		end_with(i, FLOW_FAILED, NULL, -1);
	else
		end_whole(i);
}

/* Whatever it had downloaded is removed first; by then its end is known to the next agent. */
static void
clean_failed(struct invocation *i)
{
	struct msg_update_invocation_request end;

	give_up_rest(i);
	invocation_unwind(i);
	i->end_failed = true;
	if (!invocation_clean(i)) {
		end_with(i, FLOW_FAILED, NULL, -1);
		return;
	}
	invocation_say(&end, NULL, i, false);
	end.status = words[FLOW_FAILED].status;
	end.status_details = words[FLOW_FAILED].details;
	end.response_code = -1;
	end.ended = invocation_wall(i);
	write_end(i, &end);
}

void HW_PRINTF(2, 3) invocation_end_failed(struct invocation *i, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	give_reason(i, fmt, ap);
	va_end(ap);
	clean_failed(i);
}

/* --- beginning the whole ---------------------------------------------------------------------- */

void
invocation_drop_frame(struct invocation_frame *f)
{
	document_values_free(f->values);
	document_free(f->document);
	*f = (struct invocation_frame){.values = NULL};
}

/* There is nobody to ask for a stored parameter, and no step runs before all are known. */
int
invocation_check_frame(struct invocation_frame *f, struct hw_err *err)
{
	size_t n = document_steps(f->document);

	for (size_t k = 0; k < n; k++) {
		json_t *inputs = NULL;
		int r = document_inputs(&inputs, NULL, f->document, f->values, k, err);
		if (r == 0 && document_refers_to_stored(inputs))
			r = hw_err_set(err, HW_EPARAMETERS,
				"the step %.128s refers to a stored parameter, and there are none",
				document_step(f->document, k)->name);
		if (r == 0 && k == n - 1)
			f->last_is_finally = invocation_rules_of(f, inputs).finally;
		json_decref(inputs);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Room for n steps, of which nothing is known. */
int
invocation_make_steps(struct invocation *i, size_t n, struct hw_err *err)
{
	if ((i->names = arena_new(1024 * 1024)) == NULL ||
		(i->steps = arena_array(i->names, n + 1, sizeof(*i->steps))) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	i->n = n;
	for (size_t k = 0; k < n; k++)
		for (int s = 0; s < SPOOL_STREAMS; s++)
			i->steps[k].spool[s] = (struct spool)SPOOL_INIT;
	return 0;
}

int
invocation_name_step(struct invocation *i, size_t k, const char *name, const char *action,
	struct hw_err *err)
{
	i->steps[k].name = arena_strdup(i->names, name);
	i->steps[k].action = arena_strdup(i->names, action != NULL ? action : "");
	if (i->steps[k].name == NULL || i->steps[k].action == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	return 0;
}

static int
name_steps(struct invocation *i, struct hw_err *err)
{
	const struct document *d = i->frames[0].document;
	int r = invocation_make_steps(i, document_steps(d), err);

	for (size_t k = 0; r == 0 && k < i->n; k++) {
		const struct document_step *s = document_step(d, k);
		r = invocation_name_step(i, k, s->name, s->action, err);
	}
	return r;
}

/* One that downloads has a directory of its own, where its scripts then are. */
static int
name_work(struct invocation *i, struct hw_err *err)
{
	const struct invocation_host *h = i->host;
	bool needed = false;

	for (size_t k = 0; k < i->n; k++) {
		const struct plugin *p = plugin_find(i->steps[k].action);
		needed = needed || (p != NULL && p->downloads);
	}
	if (!needed)
		return 0;
	i->work = arena_printf(i->run, "%s/hawser-%s-%s", h->work != NULL ? h->work : WORK,
		h->node_id != NULL ? h->node_id : "", i->id);
	return i->work != NULL ? 0 : hw_err_set(err, HW_ENOMEM, "out of memory");
}

static int
read_document(struct invocation *i, struct hw_err *err)
{
	const struct msg_invocation_order *o = i->order;
	struct invocation_frame *f = &i->frames[0];
	int r;

	if ((r = document_parse(&f->document, o->content, strlen(o->content), 0, DOCUMENT_COMMAND,
		     err)) < 0 ||
		(r = document_bind(&f->values, f->document, &o->parameters, err)) < 0 ||
		(r = name_steps(i, err)) < 0 || (r = name_work(i, err)) < 0)
		return r;
	return invocation_check_frame(f, err);
}

static int
load(struct invocation *i, struct orders_entry *e, struct hw_err *err)
{
	int r;

	if ((i->run = arena_new(RUN_ARENA_MAX)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if ((r = orders_read(e, i->run, i->host->journal, i->id, err)) < 0)
		return r;
	i->order = e->order;
	return read_document(i, err);
}

void
invocation_start(struct invocation *i, bool written)
{
	const struct invocation_host *h = i->host;
	struct orders_entry e;
	struct hw_err err = HW_ERR_INIT;

	hw_assert(i->state == INVOCATION_HELD);
	if (!i->was_started && h->now(h->arg) > i->deliver_before) {
		end_with(i, FLOW_TIMED_OUT, "DeliveryTimedOut", -1);
		return;
	}
	i->state = INVOCATION_RUNNING;
	i->status = INVOCATION_STATUS_IN_PROGRESS;
	i->details = "InProgress";
	i->code = -1;
	if (!written && !i->was_started && orders_start(h->journal, i->id, &err) < 0) {
		invocation_end_failed(i, "it was not begun: %s", hw_err_text(&err));
		return;
	}
	if (load(i, &e, &err) < 0) {
		invocation_end_failed(i, "%s", hw_err_text(&err));
		return;
	}
	log_info(h, "command.start", "command=%s document=%s steps=%zu", i->id,
		i->order->document_name, i->n);
	if (i->was_started) {
		invocation_go_on(i, &e);
	} else {
		i->started = invocation_wall(i);
		loop_defer(h->loop, &i->next);
	}
}

/* --- ending ----------------------------------------------------------------------------------- */

void
invocation_cancel(struct invocation *i)
{
	struct hw_err err = HW_ERR_INIT;

	if (i->state == INVOCATION_ENDED || i->cancelled || i->cleaning)
		return;
	if (i->state == INVOCATION_HELD && !i->was_started) {
		end_with(i, FLOW_CANCELLED, NULL, -1);
		invocation_sync(i); /* nothing on disk says that it must not begin */
		return;
	}
	i->cancelled = true;
	if (orders_cancel(i->host->journal, i->id, &err) < 0)
		invocation_log_trouble(i, "command.cancel_not_written", &err);
	if (i->rebooting)
		return; /* it ends when the machine is back */
	if (i->job != NULL) {
		invocation_kill_step(i, FLOW_CANCEL);
	} else if (i->retry.slot != 0 || i->seeking != SEEK_NOTHING) {
		/* its program was never started */
		const struct program_exit none = {0};
		loop_timer_stop(i->host->loop, &i->retry);
		invocation_judge_step(i, flow_program_end(&none, FLOW_CANCEL), NULL);
	}
}

void
invocation_stop(struct invocation *i)
{
	const struct program_exit none = {0};

	if (i->state != INVOCATION_RUNNING)
		return;
	if (i->rebooting) { /* which is why the agent is stopped */
		invocation_leave(i);
		return;
	}
	if (i->cleaning) {
		invocation_cleaned(i);
	} else if (i->job != NULL || i->retry.slot != 0 || i->seeking != SEEK_NOTHING ||
		i->depth > 0) {
		i->cancelled = true;
		invocation_unwind(i);
		invocation_say_reason(i, "the node's agent was stopped while it ran");
		invocation_end_step(i,
			flow_program_end(&none,
				i->killer != FLOW_NOBODY ? i->killer : FLOW_SHUTDOWN),
			NULL, NULL);
		end_whole(i); /* what it has downloaded stays: there is nobody to remove it */
	} else {	      /* likewise */
		i->has_files = false;
		invocation_end_failed(i, "the node's agent was stopped before it was done");
	}
	invocation_sync(i);
}

void
invocation_leave(struct invocation *i)
{
	if (i->job != NULL)
		i->host->programs->ops->leave(i->job);
	i->job = NULL;
	invocation_drop_run(i);
}

void
invocation_sync(struct invocation *i)
{
	struct hw_err err = HW_ERR_INIT;

	if (!i->unsynced)
		return;
	i->unsynced = false;
	if (orders_sync(i->host->journal, i->id, &err) < 0)
		invocation_log_trouble(i, "command.end_not_synced", &err);
}

/* --- life ------------------------------------------------------------------------------------- */

/* What an earlier agent wrote of one that has ended. */
struct invocation *
invocation_new(const struct invocation_host *host, const struct msg_invocation_order *order,
	const struct orders_entry *entry)
{
	struct invocation *i = calloc(1, sizeof(*i));
	uint64_t most = host->output_max, asked = (uint64_t)order->output_max;

	if (i == NULL)
		return NULL;
	*i = (struct invocation){
		.host = host,
		.deliver_before = order->deliver_before,
		.output_left = asked > 0 && asked < most ? asked : most,
		.status = INVOCATION_STATUS_PENDING,
		.details = "Pending",
		.code = -1,
		.next = {.fn = invocation_on_next,	   .arg = i},
		.deadline = {.fn = invocation_on_deadline, .arg = i},
		.kill = {.fn = invocation_on_killed,   .arg = i},
		.retry = {.fn = invocation_on_retry,    .arg = i},
	};
	snprintf(i->id, sizeof(i->id), "%.36s", order->command_id);
	buf_init(&i->read, DOCUMENT_SIZE_MAX + 1);
	if (entry != NULL && entry->end != NULL && !invocation_restore_end(i, entry)) {
		arena_free(i->names);
		free(i);
		return NULL;
	}
	i->was_started = entry != NULL && entry->end == NULL && entry->started;
	return i;
}

void
invocation_free(struct invocation *i)
{
	if (i == NULL)
		return;
	invocation_close_job(i);
	invocation_drop_run(i);
	for (size_t k = 0; k < i->n; k++)
		for (int s = 0; s < SPOOL_STREAMS; s++)
			spool_close(&i->steps[k].spool[s]);
	*i->host->spool_left += i->spooled;
	buf_fini(&i->read);
	arena_free(i->names);
	free(i);
}

const char *
invocation_id(const struct invocation *i)
{
	return i->id;
}

enum invocation_state
invocation_state(const struct invocation *i)
{
	return i->state;
}

int64_t
invocation_deliver_before(const struct invocation *i)
{
	return i->deliver_before;
}

bool
invocation_was_started(const struct invocation *i)
{
	return i->was_started;
}

size_t
invocation_step_count(const struct invocation *i)
{
	return i->n;
}

struct invocation_step *
invocation_step_at(struct invocation *i, size_t n)
{
	return &i->steps[n];
}

uint64_t
invocation_kept(const struct invocation *i, size_t step, int stream)
{
	return i->steps[step].spool[stream].kept;
}

size_t
invocation_read(const struct invocation *i, size_t step, int stream, uint64_t offset, void *p,
	size_t n)
{
	char name[64];

	spool_name(name, i->id, step, stream);
	return spool_read(i->host->reader, orders_dir(i->host->journal), name, offset, p, n);
}

void
invocation_lose(struct invocation *i, size_t step, int stream, uint64_t offset)
{
	struct invocation_step *s = &i->steps[step];
	struct spool *sp = &s->spool[stream];

	s->dropped[stream] += sp->kept - offset;
	sp->kept = offset;
	sp->marks = sp->marks < offset ? sp->marks : offset;
	sp->cut = true;
	for (int k = 0; k < SPOOL_STREAMS; k++)
		if (s->sent[k] > s->spool[k].kept)
			s->sent[k] = s->spool[k].kept;
}
