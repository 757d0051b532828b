#include "node/commands/invocation.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/commands/orders.h"
#include "node/holder/protocol.h"
#include "node/plugins/plugins.h"
#include "node/programs.h"
#include "proto/base/arena.h"
#include "proto/base/enc.h"
#include "proto/base/loop.h"
#include "proto/document/document.h"

#define RUN_ARENA_MAX (16 * 1024 * 1024)
#define KILL_WITHIN   (2 * USEC_PER_SEC) /* from SIGKILL until nobody waits for the output's end */
#define RETRY_AFTER   (50 * USEC_PER_MSEC) /* the monitor's queue is full */
#define REBOOT_WITHIN (600 * USEC_PER_SEC)
#define REBOOTS_MAX   8
#define WHY_MAX	      512

struct invocation {
	const struct invocation_host *host;
	char id[ID_UUID_LEN + 1];
	int64_t deliver_before;
	uint64_t output_left; /* bytes that may still be kept */
	enum invocation_state state;
	bool was_started; /* by an earlier agent */

	/* While it runs. */
	struct arena *run;
	const struct msg_invocation_order *order;
	struct document *document;
	struct document_values *values;
	bool last_is_finally, stopped, cancelled;
	struct loop_task next;

	struct arena *names;
	struct invocation_step *steps;
	size_t n, done;

	/* Of the step under way. */
	struct arena_mark mark;
	struct plugin_program program;
	struct flow_rules rules;
	struct job *job;
	enum flow_killer killer;
	uint64_t base[SPOOL_STREAMS]; /* where the program's own offsets begin in the stream */
	int reboots;
	bool rebooting;
	struct loop_timer deadline, kill, retry;

	/* Of the whole. */
	int status; /* INVOCATION_STATUS_* */
	const char *details;
	int code;
	char reason[WHY_MAX];
	int64_t started, ended;
	bool unsynced;
};

static struct invocation *
invocation_from(void *arg)
{
	struct invocation *i = arg;

	hw_assert(i->host != NULL && i->state <= INVOCATION_ENDED);
	return i;
}

static int64_t
wall(const struct invocation *i)
{
	return clock_wall(loop_clock(i->host->loop));
}

static void
changed(struct invocation *i)
{
	i->host->on_change(i->host->arg, i);
}

static void
log_trouble(const struct invocation *i, const char *event, const struct hw_err *err)
{
	char why[WHY_MAX];

	log_escape(why, sizeof(why), hw_err_text(err), strlen(hw_err_text(err)));
	log_warn(i->host, event, "command=%s why=%s", i->id, why);
}

/* --- statuses -----------------------------------------------------------------------------------
 */

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

static enum flow_status
status_of(const struct msg_invocation_step *said)
{
	for (int s = FLOW_SKIPPED; s < FLOW_STATUSES; s++)
		if (s != FLOW_REBOOT && words[s].status == said->status &&
			said->status_details != NULL &&
			strcmp(words[s].details, said->status_details) == 0)
			return (enum flow_status)s;
	return FLOW_WAITING;
}

static void
say_step(struct msg_invocation_step *ret, const struct invocation_step *s)
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
		say_step(&ret->steps.v[k], &i->steps[k]);
	ret->steps.n = i->n;
	return true;
}

/* --- the end ------------------------------------------------------------------------------------
 */

static void
drop_run(struct invocation *i)
{
	struct loop *l = i->host->loop;

	loop_undefer(l, &i->next);
	loop_timer_stop(l, &i->deadline);
	loop_timer_stop(l, &i->kill);
	loop_timer_stop(l, &i->retry);
	document_values_free(i->values);
	document_free(i->document);
	arena_free(i->run);
	i->values = NULL;
	i->document = NULL;
	i->run = NULL;
	i->order = NULL;
}

static void
close_job(struct invocation *i)
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
end_with(struct invocation *i, enum flow_status status, const char *details, int code)
{
	struct msg_update_invocation_request end;
	struct hw_err err = HW_ERR_INIT;

	close_job(i);
	drop_run(i);
	i->state = INVOCATION_ENDED;
	i->status = words[status].status;
	i->details = details != NULL ? details : words[status].details;
	i->code = code;
	i->ended = wall(i);
	i->unsynced = true;
	invocation_say(&end, NULL, i, false);
	if (orders_end(i->host->journal, i->id, &end, &err) < 0)
		log_trouble(i, "command.end_not_written", &err);
	log_info(i->host, "command.end", "command=%s status=%s", i->id, i->details);
	changed(i);
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

static void HW_PRINTF(2, 3) say_reason(struct invocation *i, const char *fmt, ...)
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
		say_step(&said, &i->steps[k]);
		if (r == 0 && (r = orders_step(i->host->journal, i->id, k, &said, false, &err)) < 0)
			log_trouble(i, "command.step_not_written", &err);
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
finish(struct invocation *i)
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

static void HW_PRINTF(2, 3) end_failed(struct invocation *i, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	give_reason(i, fmt, ap);
	va_end(ap);
	give_up_rest(i);
	end_with(i, FLOW_FAILED, NULL, -1);
}

/* --- one step ------------------------------------------------------------------------------------
 */

static struct invocation_step *
current(struct invocation *i)
{
	hw_assert(i->done < i->n);
	return &i->steps[i->done];
}

static void
write_to(struct invocation *i, int stream, const char *text)
{
	char name[64];

	if (text == NULL || *text == '\0')
		return;
	spool_name(name, i->id, i->done, stream);
	spool_mark(&current(i)->spool[stream], orders_dir(i->host->journal), name, text);
}

static int
write_step(struct invocation *i, bool lasting, struct hw_err *err)
{
	struct msg_invocation_step said;

	say_step(&said, current(i));
	return orders_step(i->host->journal, i->id, i->done, &said, lasting, err);
}

static void
end_step(struct invocation *i, struct flow_end end, const char *out, const char *errors)
{
	struct invocation_step *s = current(i);
	struct hw_err err = HW_ERR_INIT;

	for (int k = 0; k < SPOOL_STREAMS; k++)
		s->dropped[k] = spool_dropped(&s->spool[k]);
	write_to(i, SPOOL_OUT, out);
	write_to(i, SPOOL_ERR, errors);
	s->status = end.status;
	s->code = end.code;
	s->ended = wall(i);
	if (write_step(i, false, &err) < 0)
		log_trouble(i, "command.step_not_written", &err);
	close_job(i); /* after that: until then the next agent finds it */
	spool_close(&s->spool[SPOOL_OUT]);
	spool_close(&s->spool[SPOOL_ERR]);
	i->stopped = i->stopped || flow_stops(&i->rules, end);
	i->done++;
	i->killer = FLOW_NOBODY;
	i->program = (struct plugin_program){.script = NULL};
	loop_defer(i->host->loop, &i->next);
	changed(i);
}

static void
judge_step(struct invocation *i, struct flow_end end, const char *errors)
{
	struct flow_verdict v = flow_judge(&i->rules, end);

	write_to(i, SPOOL_ERR, errors);
	end_step(i, v.end, v.out, v.err);
}

static void HW_PRINTF(2, 3) fail_step(struct invocation *i, const char *fmt, ...)
{
	char text[WHY_MAX + 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	strcat(text, "\n");
	judge_step(i, (struct flow_end){FLOW_FAILED, 1}, text);
}

static void
skip_step(struct invocation *i, const char *why)
{
	end_step(i, (struct flow_end){FLOW_SKIPPED, 0}, why, NULL);
}

/* Whatever it did, it is not done again, and what was to come after it was to come after its end.
 */
static void
lose_step(struct invocation *i, const char *why)
{
	i->cancelled = true;
	say_reason(i, "nobody knows how the step %.128s ended, and it is not run again: %.300s",
		current(i)->name, why);
	end_step(i, (struct flow_end){FLOW_FAILED, -1}, NULL, NULL);
}

/* A script has no input and no screen. */
static void
on_output_end(void *arg, int stream)
{
	(void)arg;
	(void)stream;
}

static void
on_consumed(void *arg, size_t n, int echo)
{
	(void)arg;
	(void)n;
	(void)echo;
}

static void
on_screen(void *arg, uint64_t offset, const uint8_t *p, size_t n, bool more)
{
	(void)arg;
	(void)offset;
	(void)p;
	(void)n;
	(void)more;
}

/* --- restarting the machine
 * ------------------------------------------------------------------------ */

static void
reboot_started(void *arg, const char *run_as, int64_t pid)
{
	struct invocation *i = invocation_from(arg);

	(void)run_as;
	(void)pid;
	i->host->programs->ops->credit(i->job, HOLDER_OUT, 0, HOLDER_RING_MAX);
	i->host->programs->ops->credit(i->job, HOLDER_ERR, 0, HOLDER_RING_MAX);
}

static size_t
reboot_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	(void)arg;
	(void)stream;
	(void)p;
	return n;
}

static void
not_rebooted(struct invocation *i, const char *why)
{
	char text[WHY_MAX + 64];

	i->rebooting = false;
	snprintf(text, sizeof(text), "the machine could not be restarted: %s\n", why);
	judge_step(i, (struct flow_end){FLOW_FAILED, FLOW_EXIT_REBOOT}, text);
	invocation_sync(i); /* else the next boot would take it for the one that was asked for */
}

static void
reboot_failed(void *arg, int code, const char *why)
{
	(void)code;
	not_rebooted(invocation_from(arg), why);
}

/* Lost is what it is when the machine goes down. */
static void
reboot_exit(void *arg, int code, const char *why, const struct program_exit *exit)
{
	struct invocation *i = invocation_from(arg);
	char text[64];

	(void)why;
	if (code == 0 && exit->status != 0) {
		snprintf(text, sizeof(text), "what restarts it exited with %d", exit->status);
		not_rebooted(i, text);
		return;
	}
	i->host->programs->ops->close(i->job);
	i->job = NULL;
}

static const struct program_events reboot_events = {
	.on_started = reboot_started,
	.on_failed = reboot_failed,
	.on_output = reboot_output,
	.on_output_end = on_output_end,
	.on_consumed = on_consumed,
	.on_screen = on_screen,
	.on_exit = reboot_exit,
};

static int
ask_for_reboot(struct invocation *i, struct hw_err *err)
{
	char id[64];
	const struct program_spec spec = {
		.type = CHANNEL_TYPE_EXEC,
		.script = true,
		.session_id = id,
		.document = i->order->document_name,
		.run_as = i->order->run_as,
		.command = i->host->reboot,
		.seconds = 60,
	};

	snprintf(id, sizeof(id), "~%s.boot", i->id);
	return i->host->programs->ops->start(&i->job, i->host->programs, &spec, &reboot_events, i,
		err);
}

static const char *
boot_id(const struct invocation *i)
{
	return i->host->boot_id != NULL ? i->host->boot_id : "";
}

/* The step is begun again when the machine is back; nothing else of the command runs before. */
static void
reboot(struct invocation *i)
{
	struct invocation_step *s = current(i);
	struct orders_reboot r = {
		.step = (uint32_t)i->done,
		.out = {s->spool[SPOOL_OUT].total, s->spool[SPOOL_ERR].total}
	     };
	struct hw_err err = HW_ERR_INIT;

	close_job(i);
	snprintf(r.boot_id, sizeof(r.boot_id), "%s", boot_id(i));
	if (++i->reboots > REBOOTS_MAX)
		hw_err_set(&err, HW_ELIMIT, "the step has asked for it %d times already",
			REBOOTS_MAX);
	else if (orders_reboot(i->host->journal, i->id, &r, &err) == 0)
		ask_for_reboot(i, &err);
	if (err.code != 0) {
		not_rebooted(i, hw_err_text(&err));
		return;
	}
	log_info(i->host, "command.reboot", "command=%s", i->id);
	i->rebooting = true;
	loop_timer_start(i->host->loop, &i->deadline, REBOOT_WITHIN);
}

/* --- its program
 * ----------------------------------------------------------------------------------- */

static void
grant(struct invocation *i, int stream)
{
	uint64_t at = current(i)->spool[stream].total - i->base[stream];

	i->host->programs->ops->credit(i->job, stream == SPOOL_OUT ? HOLDER_OUT : HOLDER_ERR, at,
		at + HOLDER_RING_MAX);
}

static void
on_started(void *arg, const char *run_as, int64_t pid)
{
	struct invocation *i = invocation_from(arg);

	(void)run_as;
	(void)pid;
	for (int k = 0; k < SPOOL_STREAMS; k++)
		grant(i, k);
	if (i->killer != FLOW_NOBODY)
		i->host->programs->ops->signal(i->job, SIGKILL);
}

static void
on_failed(void *arg, int code, const char *why)
{
	struct invocation *i = invocation_from(arg);
	const struct program_exit none = {0};

	(void)code;
	if (i->killer != FLOW_NOBODY)
		judge_step(i, flow_program_end(&none, i->killer), NULL);
	else
		fail_step(i, "failed to run commands: %s", why);
}

static size_t
on_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	struct invocation *i = invocation_from(arg);
	int s = stream == HOLDER_OUT ? SPOOL_OUT : SPOOL_ERR;
	char name[64];

	spool_name(name, i->id, i->done, s);
	spool_take(&current(i)->spool[s], orders_dir(i->host->journal), name, p, n,
		&i->output_left);
	grant(i, s);
	changed(i);
	return n;
}

static void
on_program_end(void *arg, int code, const char *why, const struct program_exit *exit)
{
	struct invocation *i = invocation_from(arg);
	const struct program_exit none = {0};

	if (code != 0 && i->killer == FLOW_NOBODY) {
		lose_step(i, why);
		return;
	}
	struct flow_end end = flow_program_end(exit != NULL ? exit : &none, i->killer);
	if (end.status == FLOW_REBOOT)
		reboot(i);
	else
		judge_step(i, end, NULL);
}

/* What has been killed is over, also when something that is none of its own keeps its output open.
 */
static void
on_killed(void *arg)
{
	struct invocation *i = invocation_from(arg);
	const struct program_exit none = {0};

	judge_step(i, flow_program_end(&none, i->killer), NULL);
}

static void
kill_step(struct invocation *i, enum flow_killer killer)
{
	if (i->killer != FLOW_NOBODY)
		return;
	i->killer = killer;
	i->host->programs->ops->signal(i->job, SIGKILL);
	loop_timer_start(i->host->loop, &i->kill, KILL_WITHIN);
}

static void
on_deadline(void *arg)
{
	struct invocation *i = invocation_from(arg);

	if (i->rebooting) {
		not_rebooted(i, "it was not in 10 minutes");
	} else if (i->job == NULL) {
		loop_timer_stop(i->host->loop, &i->retry);
		fail_step(i, "failed to run commands: the node's monitor takes no request");
	} else {
		kill_step(i, FLOW_TIMEOUT);
	}
}

static void
on_adopted(void *arg, const struct program_state *state)
{
	struct invocation *i = invocation_from(arg);
	char name[64];

	for (int k = 0; k < SPOOL_STREAMS; k++) {
		int stream = k == SPOOL_OUT ? HOLDER_OUT : HOLDER_ERR;
		spool_name(name, i->id, i->done, k);
		spool_resume(&current(i)->spool[k], orders_dir(i->host->journal), name,
			i->base[k] + state->start[stream], i->base[k] + state->end[stream]);
		grant(i, k);
	}
	if (i->cancelled)
		kill_step(i, FLOW_CANCEL);
}

static void
on_not_adopted(void *arg, int code, const char *why)
{
	(void)code;
	lose_step(invocation_from(arg), why);
}

static const struct program_events events = {
	.on_started = on_started,
	.on_adopted = on_adopted,
	.on_failed = on_failed,
	.on_output = on_output,
	.on_output_end = on_output_end,
	.on_consumed = on_consumed,
	.on_screen = on_screen,
	.on_exit = on_program_end,
};

static const struct program_events adopted_events = {
	.on_adopted = on_adopted,
	.on_failed = on_not_adopted,
	.on_output = on_output,
	.on_output_end = on_output_end,
	.on_consumed = on_consumed,
	.on_screen = on_screen,
	.on_exit = on_program_end,
};

static void
session_name(char out[64], const struct invocation *i, size_t step)
{
	snprintf(out, 64, "~%s.%03zu", i->id, step);
}

/* The monitor may have as much to do as it takes: then it is asked again, for nothing has begun. */
static void
start_program(struct invocation *i)
{
	const struct plugin_program *p = &i->program;
	char id[64];
	const struct program_spec spec = {
		.type = CHANNEL_TYPE_EXEC,
		.script = true,
		.session_id = id,
		.document = i->order->document_name,
		.run_as = i->order->run_as,
		.command = p->script,
		.directory = p->directory,
		.environment = p->environment,
		.environment_len = p->environment_len,
		.seconds = p->seconds,
	};
	struct hw_err err = HW_ERR_INIT;
	const struct invocation_host *h = i->host;

	session_name(id, i, i->done);
	int r = h->programs->ops->start(&i->job, h->programs, &spec, &events, i, &err);
	if (r < 0 && r != HW_EFULL) {
		fail_step(i, "failed to run commands: %s", hw_err_text(&err));
		return;
	}
	if (r == HW_EFULL)
		loop_timer_start(h->loop, &i->retry, RETRY_AFTER);
	if (r == 0 || i->deadline.slot == 0)
		loop_timer_start(h->loop, &i->deadline, p->seconds * USEC_PER_SEC);
}

static void
on_retry(void *arg)
{
	start_program(invocation_from(arg));
}

/* --- beginning a step
 * ------------------------------------------------------------------------------- */

static struct plugin_context
context_of(const struct invocation *i)
{
	return (struct plugin_context){
		.node_id = i->host->node_id,
		.command_id = i->id,
		.platform_name = i->host->platform_name,
		.platform_version = i->host->platform_version,
	};
}

/* Control flow came with schema 2. */
static struct flow_rules
rules_of(const struct invocation *i, const json_t *inputs)
{
	return flow_rules_read(document_schema_version(i->document)[0] == '2' ? inputs : NULL);
}

static enum document_verdict
judge_before(const struct invocation *i, char *why, size_t n)
{
	const struct document_step *s = document_step(i->document, i->done);
	enum document_verdict v =
		document_precondition(i->document, i->values, i->done, "linux", why, n);

	if (v == DOCUMENT_RUN)
		v = plugin_judge(document_schema_version(i->document), s->action, s->name, why, n);
	return v;
}

static int
prepare(struct invocation *i, struct hw_err *err)
{
	const struct document_step *s = document_step(i->document, i->done);
	const struct plugin_context context = context_of(i);
	json_t *inputs = NULL, *env = NULL;

	int r = document_inputs(&inputs, &env, i->document, i->values, i->done, err);
	if (r == 0) {
		i->rules = rules_of(i, inputs);
		const struct plugin *p = plugin_find(s->action);
		if (p != NULL)
			r = p->prepare(&i->program, i->run, &context, inputs, env, err);
	}
	json_decref(inputs);
	json_decref(env);
	return r;
}

static void
begin_step(struct invocation *i)
{
	struct invocation_step *s = current(i);
	struct hw_err err = HW_ERR_INIT;
	char why[WHY_MAX] = "";

	i->mark = arena_mark(i->run);
	i->base[SPOOL_OUT] = i->base[SPOOL_ERR] = 0;
	i->rules = (struct flow_rules){.on_failure = FLOW_GO_ON};
	s->started = wall(i);
	enum document_verdict v = judge_before(i, why, sizeof(why));
	int r = prepare(i, &err); /* also of one that fails: its rules say what then */
	if (v == DOCUMENT_SKIP)
		skip_step(i, why);
	else if (v == DOCUMENT_FAIL)
		fail_step(i, "%s", why);
	else if (r < 0)
		fail_step(i, "%s", hw_err_text(&err));
	else if (write_step(i, i->done > 0, &err) < 0)
		end_failed(i, "the step %.128s was not begun: %s", s->name, hw_err_text(&err));
	else
		start_program(i);
	if (i->state == INVOCATION_RUNNING)
		changed(i);
}

static void
on_next(void *arg)
{
	struct invocation *i = invocation_from(arg);
	char why[WHY_MAX];

	if (i->mark.block != NULL)
		arena_release(i->run, &i->mark);
	i->mark = (struct arena_mark){.block = NULL};
	switch (flow_next(i->n, i->done, i->stopped, i->cancelled, i->last_is_finally)) {
	case FLOW_RUN:
		begin_step(i);
		break;
	case FLOW_SKIP:
		i->rules = (struct flow_rules){.on_failure = FLOW_GO_ON};
		flow_skipped_text(why, sizeof(why), current(i)->action, current(i)->name);
		skip_step(i, why);
		break;
	case FLOW_OVER:
		finish(i);
		break;
	}
}

/* --- beginning the whole
 * ------------------------------------------------------------------------------ */

/* There is nobody to ask for a stored parameter, and no step runs before all are known. */
static int
check_inputs(struct invocation *i, struct hw_err *err)
{
	for (size_t k = 0; k < i->n; k++) {
		json_t *inputs = NULL;
		int r = document_inputs(&inputs, NULL, i->document, i->values, k, err);
		if (r == 0 && document_refers_to_stored(inputs))
			r = hw_err_set(err, HW_EPARAMETERS,
				"the step %.128s refers to a stored parameter, and there are none",
				document_step(i->document, k)->name);
		if (r == 0 && k == i->n - 1)
			i->last_is_finally = rules_of(i, inputs).finally;
		json_decref(inputs);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Room for n steps, of which nothing is known. */
static int
make_steps(struct invocation *i, size_t n, struct hw_err *err)
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

static int
name_step(struct invocation *i, size_t k, const char *name, const char *action, struct hw_err *err)
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
	int r = make_steps(i, document_steps(i->document), err);

	for (size_t k = 0; r == 0 && k < i->n; k++) {
		const struct document_step *s = document_step(i->document, k);
		r = name_step(i, k, s->name, s->action, err);
	}
	return r;
}

static int
read_document(struct invocation *i, struct hw_err *err)
{
	const struct msg_invocation_order *o = i->order;
	int r;

	if ((r = document_parse(&i->document, o->content, strlen(o->content), 0, DOCUMENT_COMMAND,
		     err)) < 0 ||
		(r = document_bind(&i->values, i->document, &o->parameters, err)) < 0 ||
		(r = name_steps(i, err)) < 0)
		return r;
	return check_inputs(i, err);
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

/* --- going on with what an earlier agent began
 * ---------------------------------------------------------- */

static void
find_output(struct invocation *i, size_t k, const struct msg_invocation_step *said)
{
	struct invocation_step *s = &i->steps[k];
	char name[64];

	for (int n = 0; n < SPOOL_STREAMS; n++) {
		spool_name(name, i->id, k, n);
		spool_find(&s->spool[n], orders_dir(i->host->journal), name);
		uint64_t kept = s->spool[n].kept;
		i->output_left -= kept < i->output_left ? kept : i->output_left;
	}
	if (said == NULL)
		return;
	s->dropped[SPOOL_OUT] = (uint64_t)said->stdout_dropped;
	s->dropped[SPOOL_ERR] = (uint64_t)said->stderr_dropped;
}

/* A mark may not have been written when the record of it was: what there is is what counts. */
static void
restore_step(struct invocation *i, size_t k, const struct msg_invocation_step *said)
{
	struct invocation_step *s = &i->steps[k];

	s->status = status_of(said);
	s->code = (int)said->response_code;
	s->started = said->started;
	s->ended = said->ended;
	find_output(i, k, said);
}

static void
restore_steps(struct invocation *i, const struct orders_entry *e)
{
	for (size_t k = 0; k < e->n_steps && k < i->n; k++) {
		const struct msg_invocation_step *said = e->steps[k].said;
		json_t *inputs = NULL;
		if (said == NULL)
			break;
		restore_step(i, k, said);
		if (i->steps[k].status == FLOW_WAITING)
			break;
		if (document_inputs(&inputs, NULL, i->document, i->values, k, NULL) == 0) {
			struct flow_rules rules = rules_of(i, inputs);
			struct flow_end end = {i->steps[k].status, i->steps[k].code};
			i->stopped = i->stopped || flow_stops(&rules, end);
		}
		json_decref(inputs);
		i->done = k + 1;
	}
}

/* The end of a step may have been written down when its holder was not told yet. */
static void
dismiss(struct invocation *i, size_t step)
{
	struct job *j;
	char id[64];

	session_name(id, i, step);
	if (i->host->programs->ops->adopt(&j, i->host->programs, id, &adopted_events, i, NULL) == 0)
		i->host->programs->ops->close(j);
}

static void
go_on_after_reboot(struct invocation *i, const struct orders_entry *e)
{
	struct hw_err err = HW_ERR_INIT;

	i->reboots = e->reboots;
	i->base[SPOOL_OUT] = e->reboot.out[SPOOL_OUT];
	i->base[SPOOL_ERR] = e->reboot.out[SPOOL_ERR];
	if (strcmp(e->reboot.boot_id, boot_id(i)) == 0) { /* it is still to come */
		i->rebooting = true;
		loop_timer_start(i->host->loop, &i->deadline, REBOOT_WITHIN);
		return;
	}
	for (int k = 0; k < SPOOL_STREAMS; k++) {
		struct spool *s = &current(i)->spool[k];
		s->cut = s->kept < i->base[k];
		s->total = i->base[k];
	}
	if (i->cancelled)
		end_step(i, (struct flow_end){FLOW_CANCELLED, FLOW_EXIT_KILLED}, NULL, NULL);
	else if (prepare(i, &err) < 0)
		fail_step(i, "%s", hw_err_text(&err));
	else if (write_step(i, true, &err) < 0)
		end_failed(i, "the step %.128s was not begun again: %s", current(i)->name,
			hw_err_text(&err));
	else
		start_program(i);
}

static void
adopt(struct invocation *i, const struct orders_entry *e)
{
	const struct programs *ps = i->host->programs;
	struct invocation_step *s = current(i);
	struct hw_err err = HW_ERR_INIT;
	char id[64];

	if (e->reboots > 0 && e->reboot.step == i->done) {
		i->reboots = e->reboots;
		i->base[SPOOL_OUT] = e->reboot.out[SPOOL_OUT];
		i->base[SPOOL_ERR] = e->reboot.out[SPOOL_ERR];
	}
	session_name(id, i, i->done);
	if (s->started == 0)
		s->started = wall(i);
	if (prepare(i, &err) < 0 ||
		ps->ops->adopt(&i->job, i->host->programs, id, &adopted_events, i, &err) < 0) {
		lose_step(i, hw_err_text(&err));
		return;
	}
	int64_t left = s->started + i->program.seconds * USEC_PER_SEC - wall(i);
	int64_t whole = i->program.seconds * USEC_PER_SEC;
	loop_timer_start(i->host->loop, &i->deadline, left < 0 ? 0 : left < whole ? left : whole);
}

/* Whether its present step may have been started. */
static bool
is_under_way(const struct invocation *i, const struct orders_entry *e)
{
	if (i->done >= i->n)
		return false;
	if (i->done < e->n_steps && e->steps[i->done].said != NULL)
		return true;
	return i->done == 0;
}

static void
go_on(struct invocation *i, const struct orders_entry *e)
{
	i->cancelled = e->cancelled;
	restore_steps(i, e);
	if (i->done > 0 && i->steps[i->done - 1].status != FLOW_SKIPPED)
		dismiss(i, i->done - 1);
	if (i->started == 0)
		i->started = i->n > 0 ? i->steps[0].started : wall(i);
	if (!is_under_way(i, e))
		loop_defer(i->host->loop, &i->next);
	else if (e->rebooting && e->reboot.step == i->done)
		go_on_after_reboot(i, e);
	else
		adopt(i, e);
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
		end_failed(i, "it was not begun: %s", hw_err_text(&err));
		return;
	}
	if (load(i, &e, &err) < 0) {
		end_failed(i, "%s", hw_err_text(&err));
		return;
	}
	log_info(h, "command.start", "command=%s document=%s steps=%zu", i->id,
		i->order->document_name, i->n);
	if (i->was_started) {
		go_on(i, &e);
	} else {
		i->started = wall(i);
		loop_defer(h->loop, &i->next);
	}
}

/* --- ending
 * ------------------------------------------------------------------------------------------------
 */

void
invocation_cancel(struct invocation *i)
{
	struct hw_err err = HW_ERR_INIT;

	if (i->state == INVOCATION_ENDED || i->cancelled)
		return;
	if (i->state == INVOCATION_HELD && !i->was_started) {
		end_with(i, FLOW_CANCELLED, NULL, -1);
		invocation_sync(i); /* nothing on disk says that it must not begin */
		return;
	}
	i->cancelled = true;
	if (orders_cancel(i->host->journal, i->id, &err) < 0)
		log_trouble(i, "command.cancel_not_written", &err);
	if (i->rebooting)
		return; /* it ends when the machine is back */
	if (i->job != NULL) {
		kill_step(i, FLOW_CANCEL);
	} else if (i->retry.slot != 0) { /* its program was never started */
		const struct program_exit none = {0};
		loop_timer_stop(i->host->loop, &i->retry);
		judge_step(i, flow_program_end(&none, FLOW_CANCEL), NULL);
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
	if (i->job != NULL || i->retry.slot != 0) {
		i->cancelled = true;
		say_reason(i, "the node's agent was stopped while it ran");
		end_step(i,
			flow_program_end(&none,
				i->killer != FLOW_NOBODY ? i->killer : FLOW_SHUTDOWN),
			NULL, NULL);
		finish(i);
	} else {
		end_failed(i, "the node's agent was stopped before it was done");
	}
	invocation_sync(i);
}

void
invocation_leave(struct invocation *i)
{
	if (i->job != NULL)
		i->host->programs->ops->leave(i->job);
	i->job = NULL;
	drop_run(i);
}

void
invocation_sync(struct invocation *i)
{
	struct hw_err err = HW_ERR_INIT;

	if (!i->unsynced)
		return;
	i->unsynced = false;
	if (orders_sync(i->host->journal, i->id, &err) < 0)
		log_trouble(i, "command.end_not_synced", &err);
}

/* --- life
 * ----------------------------------------------------------------------------------------------------
 */

/* What an earlier agent wrote of one that has ended. */
static bool
restore_end(struct invocation *i, const struct orders_entry *e)
{
	const struct msg_update_invocation_request *end = e->end;

	if (make_steps(i, e->n_steps, NULL) < 0)
		return false;
	for (size_t k = 0; k < i->n; k++) {
		const struct msg_invocation_step *said = e->steps[k].said;
		if (said == NULL) { /* a gap in what was written: the rest is not known */
			i->n = k;
			break;
		}
		if (name_step(i, k, said->name, said->action, NULL) < 0)
			return false;
		restore_step(i, k, said);
		if (i->steps[k].status == FLOW_WAITING)
			i->steps[k].status = FLOW_CANCELLED;
	}
	i->done = i->n;
	i->state = INVOCATION_ENDED;
	i->status = end->status;
	i->details = arena_strdup(i->names, end->status_details != NULL ? end->status_details : "");
	i->code = (int)end->response_code;
	i->started = end->started;
	i->ended = end->ended;
	snprintf(i->reason, sizeof(i->reason), "%s", end->reason != NULL ? end->reason : "");
	return i->details != NULL;
}

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
		.next = {.fn = on_next,	.arg = i},
		.deadline = {.fn = on_deadline, .arg = i},
		.kill = {.fn = on_killed,	  .arg = i},
		.retry = {.fn = on_retry,	  .arg = i},
	};
	snprintf(i->id, sizeof(i->id), "%.36s", order->command_id);
	if (entry != NULL && entry->end != NULL && !restore_end(i, entry)) {
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
	close_job(i);
	drop_run(i);
	for (size_t k = 0; k < i->n; k++)
		for (int s = 0; s < SPOOL_STREAMS; s++)
			spool_close(&i->steps[k].spool[s]);
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
	return spool_read(orders_dir(i->host->journal), name, offset, p, n);
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
