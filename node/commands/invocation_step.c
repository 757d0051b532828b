/* One step of a command: its program, from the inputs to the end. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "node/commands/invocation_private.h"
#include "node/holder/protocol.h"

#define KILL_WITHIN (2 * USEC_PER_SEC) /* from SIGKILL until nobody waits for the output's end */
#define INNER_MAX   5000	       /* programs within one step */

/* --- one step --------------------------------------------------------------------------------- */

/* Within what this one may keep, and all of them together: the rest is counted. */
static void
keep(struct invocation *i, int stream, const void *p, size_t n)
{
	struct spool *s = &invocation_current(i)->spool[stream];
	uint64_t *all = i->host->spool_left, most, left;
	char name[64];

	most = left = i->output_left < *all ? i->output_left : *all;
	spool_name(name, i->id, i->done, stream);
	spool_take(s, orders_dir(i->host->journal), name, p, n, &left);
	i->output_left -= most - left;
	i->spooled += most - left;
	*all -= most - left;
}

static void
write_to(struct invocation *i, int stream, const char *text)
{
	char name[64];

	if (text == NULL || *text == '\0')
		return;
	if (i->depth > 0) { /* another program's output comes behind it */
		keep(i, stream, text, strlen(text));
		return;
	}
	spool_name(name, i->id, i->done, stream);
	spool_mark(&invocation_current(i)->spool[stream], orders_dir(i->host->journal), name, text);
}

int
invocation_write_step(struct invocation *i, bool lasting, struct hw_err *err)
{
	struct msg_invocation_step said;

	invocation_say_step(&said, invocation_current(i));
	return orders_step(i->host->journal, i->id, i->done, &said, lasting, err);
}

void
invocation_end_step(struct invocation *i, struct flow_end end, const char *out, const char *errors)
{
	struct invocation_step *s = invocation_current(i);
	struct invocation_frame *f = &i->frames[0];
	struct hw_err err = HW_ERR_INIT;

	if (i->depth > 0) {
		write_to(i, SPOOL_OUT, out);
		write_to(i, SPOOL_ERR, errors);
		invocation_end_inner(i, end);
		return;
	}
	for (int k = 0; k < SPOOL_STREAMS; k++)
		s->dropped[k] = spool_dropped(&s->spool[k]);
	write_to(i, SPOOL_OUT, out);
	write_to(i, SPOOL_ERR, errors);
	s->status = end.status;
	s->code = end.code;
	s->ended = invocation_wall(i);
	if (invocation_write_step(i, false, &err) < 0)
		invocation_log_trouble(i, "command.step_not_written", &err);
	invocation_close_job(i); /* after that: until then the next agent finds it */
	spool_close(&s->spool[SPOOL_OUT]);
	spool_close(&s->spool[SPOOL_ERR]);
	f->stopped = f->stopped || flow_stops(&f->rules, end);
	i->done++;
	i->killer = FLOW_NOBODY;
	i->seeking = SEEK_NOTHING;
	i->inner = 0;
	i->program = (struct plugin_program){.script = NULL};
	loop_defer(i->host->loop, &i->next);
	invocation_changed(i);
}

void
invocation_judge_step(struct invocation *i, struct flow_end end, const char *errors)
{
	struct flow_verdict v = flow_judge(&invocation_top(i)->rules, end);

	write_to(i, SPOOL_ERR, errors);
	invocation_end_step(i, v.end, v.out, v.err);
}

void HW_PRINTF(2, 3) invocation_fail_step(struct invocation *i, const char *fmt, ...)
{
	char text[WHY_MAX + 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	strcat(text, "\n");
	invocation_judge_step(i, (struct flow_end){FLOW_FAILED, 1}, text);
}

static void
skip_step(struct invocation *i, const char *why)
{
	invocation_end_step(i, (struct flow_end){FLOW_SKIPPED, 0}, why, NULL);
}

/* Whatever it did, it is not done again, and what was to come after it was to come after its end.
 */
void
invocation_lose_step(struct invocation *i, const char *why)
{
	i->lost = true;
	invocation_say_reason(i,
		"nobody knows how the step %.128s ended, and it is not run again: %.300s",
		invocation_current(i)->name, why);
	invocation_end_step(i, (struct flow_end){FLOW_FAILED, FLOW_CODE_LOST}, NULL, NULL);
}

/* A script has no input and no screen. */
void
invocation_on_output_end(void *arg, int stream)
{
	(void)arg;
	(void)stream;
}

void
invocation_on_consumed(void *arg, size_t n, int echo)
{
	(void)arg;
	(void)n;
	(void)echo;
}

void
invocation_on_screen(void *arg, uint64_t offset, const uint8_t *p, size_t n, bool more)
{
	(void)arg;
	(void)offset;
	(void)p;
	(void)n;
	(void)more;
}

/* --- its program
 * ----------------------------------------------------------------------------------- */

static void
grant(struct invocation *i, int stream)
{
	uint64_t at = invocation_current(i)->spool[stream].total - i->base[stream];

	i->host->programs->ops->credit(i->job, stream == SPOOL_OUT ? HOLDER_OUT : HOLDER_ERR, at,
		at + HOLDER_RING_MAX);
}

/* The first window of a script's output is there without asking. */
static void
on_started(void *arg, const char *run_as, int64_t pid)
{
	struct invocation *i = invocation_from(arg);

	(void)run_as;
	(void)pid;
	if (i->killer != FLOW_NOBODY)
		i->host->programs->ops->signal(i->job, SIGKILL);
}

static void
on_failed(void *arg, int code, const char *why)
{
	struct invocation *i = invocation_from(arg);
	const struct program_exit none = {0};

	if (i->killer != FLOW_NOBODY)
		invocation_judge_step(i, flow_program_end(&none, i->killer), NULL);
	else if (code == HW_ENOSESSION)
		invocation_lose_step(i, why);
	else
		invocation_fail_step(i, "failed to run commands: %s", why);
}

static size_t
on_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	struct invocation *i = invocation_from(arg);
	int s = stream == HOLDER_OUT ? SPOOL_OUT : SPOOL_ERR;

	keep(i, s, p, n);
	grant(i, s);
	invocation_changed(i);
	return n;
}

static const char no_reboot[] =
	"a restart of the machine is not supported within aws:runDocument\n";

static void
on_program_end(void *arg, int code, const char *why, const struct program_exit *exit)
{
	struct invocation *i = invocation_from(arg);
	const struct program_exit none = {0};

	if (code != 0 && i->killer == FLOW_NOBODY) {
		invocation_lose_step(i, why);
		return;
	}
	struct flow_end end = flow_program_end(exit != NULL ? exit : &none, i->killer);
	if (end.status == FLOW_REBOOT && i->depth > 0)
		invocation_judge_step(i, (struct flow_end){FLOW_FAILED, end.code}, no_reboot);
	else if (end.status == FLOW_REBOOT)
		invocation_reboot(i);
	else
		invocation_judge_step(i, end, NULL);
}

/* What has been killed is over, also when something that is none of its own keeps its output open.
 */
void
invocation_on_killed(void *arg)
{
	struct invocation *i = invocation_from(arg);
	const struct program_exit none = {0};

	invocation_judge_step(i, flow_program_end(&none, i->killer), NULL);
}

void
invocation_kill_step(struct invocation *i, enum flow_killer killer)
{
	if (i->killer != FLOW_NOBODY)
		return;
	i->killer = killer;
	i->host->programs->ops->signal(i->job, SIGKILL);
	loop_timer_start(i->host->loop, &i->kill, KILL_WITHIN);
}

void
invocation_on_deadline(void *arg)
{
	struct invocation *i = invocation_from(arg);

	const struct program_exit none = {0};

	if (i->cleaning) {
		invocation_clean_late(i);
	} else if (i->rebooting) {
		invocation_not_rebooted(i, "it was not in 10 minutes");
	} else if (i->seeking == SEEK_RELAY) {
		invocation_judge_step(i, flow_program_end(&none, FLOW_TIMEOUT),
			"the relay could not be asked for the document in time\n");
	} else if (i->job == NULL) {
		loop_timer_stop(i->host->loop, &i->retry);
		invocation_fail_step(i,
			"failed to run commands: the node's monitor takes no request");
	} else {
		invocation_kill_step(i, FLOW_TIMEOUT);
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
		spool_resume(&invocation_current(i)->spool[k], orders_dir(i->host->journal), name,
			i->base[k] + state->start[stream], i->base[k] + state->end[stream]);
		grant(i, k);
	}
	if (i->cancelled)
		invocation_kill_step(i, FLOW_CANCEL);
}

static void
on_not_adopted(void *arg, int code, const char *why)
{
	(void)code;
	invocation_lose_step(invocation_from(arg), why);
}

static const struct program_events events = {
	.on_started = on_started,
	.on_adopted = on_adopted,
	.on_failed = on_failed,
	.on_output = on_output,
	.on_output_end = invocation_on_output_end,
	.on_consumed = invocation_on_consumed,
	.on_screen = invocation_on_screen,
	.on_exit = on_program_end,
};

const struct program_events invocation_adopted_events = {
	.on_adopted = on_adopted,
	.on_failed = on_not_adopted,
	.on_output = on_output,
	.on_output_end = invocation_on_output_end,
	.on_consumed = invocation_on_consumed,
	.on_screen = invocation_on_screen,
	.on_exit = on_program_end,
};

/* Of the step, or of the last program within it. */
void
invocation_session_name(char out[64], const struct invocation *i)
{
	if (i->inner == 0)
		snprintf(out, 64, "~%s.%03zu", i->id, i->done);
	else
		snprintf(out, 64, "~%s.%03zu.%u", i->id, i->done, (unsigned)i->inner);
}

void
invocation_name_documents(struct program_spec *spec, const struct invocation *i)
{
	size_t n = 0;

	_Static_assert(INVOCATION_FRAMES - 1 == sizeof(spec->within) / sizeof(spec->within[0]),
		"each has its place");
	for (size_t k = 1; k <= i->depth; k++)
		if (i->frames[k].name != NULL)
			spec->within[n++] = i->frames[k].name;
}

/* The monitor may have as much to do as it takes: then it is asked again, for nothing has begun. */
static void
start_program(struct invocation *i)
{
	const struct plugin_program *p = &i->program;
	char id[64];
	struct program_spec spec = {
		.type = CHANNEL_TYPE_EXEC,
		.script = true,
		.session_id = id,
		.document = i->order->document_name,
		.run_as = i->order->run_as,
		.command = p->script,
		.directory = p->directory,
		.directory_optional = p->directory_optional,
		.work_len = p->work_len,
		.environment = p->environment,
		.environment_len = p->environment_len,
		.seconds = p->seconds,
	};
	struct hw_err err = HW_ERR_INIT;
	const struct invocation_host *h = i->host;

	invocation_session_name(id, i);
	invocation_name_documents(&spec, i);
	int r = h->programs->ops->start(&i->job, h->programs, &spec, &events, i, &err);
	if (r < 0 && r != HW_EFULL) {
		invocation_fail_step(i, "failed to run commands: %s", hw_err_text(&err));
		return;
	}
	if (r == HW_EFULL)
		loop_timer_start(h->loop, &i->retry, INVOCATION_RETRY_AFTER);
	if (r == 0 || i->deadline.slot == 0)
		loop_timer_start(h->loop, &i->deadline, p->seconds * USEC_PER_SEC);
}

void
invocation_on_retry(void *arg)
{
	struct invocation *i = invocation_from(arg);

	if (i->cleaning)
		invocation_clean_again(i);
	else if (i->seeking == SEEK_FILE)
		invocation_seek(i);
	else
		start_program(i);
}

/* Of a program within a step it is written down too: which it is, and where its output begins. */
void
invocation_begin_program(struct invocation *i)
{
	const struct spool *s = invocation_current(i)->spool;
	struct orders_begin b = {
		.number = i->inner + 1,
		.started = invocation_wall(i),
		.out = {s[SPOOL_OUT].total, s[SPOOL_ERR].total},
	};
	struct hw_err err = HW_ERR_INIT;

	if (i->depth > 0 || i->wish.name != NULL) {
		if (i->inner >= INNER_MAX) {
			invocation_fail_step(i, "the documents within it have more than %d steps",
				INNER_MAX);
			return;
		}
		if (orders_inner_begin(i->host->journal, i->id, &b, &err) < 0) {
			invocation_end_failed(i, "a step within %.128s was not begun: %s",
				invocation_current(i)->name, hw_err_text(&err));
			return;
		}
		i->inner = b.number;
		memcpy(i->base, b.out, sizeof(i->base));
	}
	start_program(i);
}

void
invocation_adopt(struct invocation *i, const char *session_id, int64_t started)
{
	const struct programs *ps = i->host->programs;
	int64_t whole = i->program.seconds * USEC_PER_SEC;
	int64_t left = started + whole - invocation_wall(i);
	struct hw_err err = HW_ERR_INIT;

	if (ps->ops->adopt(&i->job, i->host->programs, session_id, &invocation_adopted_events, i,
		    &err) < 0) {
		invocation_lose_step(i, hw_err_text(&err));
		return;
	}
	loop_timer_start(i->host->loop, &i->deadline, left < 0 ? 0 : left < whole ? left : whole);
}

/* --- beginning a step ------------------------------------------------------------------------- */

static struct plugin_context
context_of(const struct invocation *i)
{
	const struct invocation_host *h = i->host;

	return (struct plugin_context){
		.node_id = h->node_id,
		.command_id = i->id,
		.platform_name = h->platform_name,
		.platform_version = h->platform_version,
		.work = i->work,
		.fetch = h->fetch,
		.upgrade = h->upgrade,
		.ca = h->download_ca,
		.proxy = h->download_proxy,
		.s3_host = h->download_s3_host,
		.download_max = h->download_max,
	};
}

/* Control flow came with schema 2. */
struct flow_rules
invocation_rules_of(const struct invocation_frame *f, const json_t *inputs)
{
	return flow_rules_read(document_schema_version(f->document)[0] == '2' ? inputs : NULL);
}

static enum document_verdict
judge_before(struct invocation *i, char *why, size_t n)
{
	const struct invocation_frame *f = invocation_top(i);
	const struct document_step *s = invocation_document_step(i);
	enum document_verdict v =
		document_precondition(f->document, f->values, invocation_place(i), "linux", why, n);

	if (v == DOCUMENT_RUN)
		v = plugin_judge(document_schema_version(f->document), s->action, s->name, why, n);
	return v;
}

/* Inputs are read once, and mean the same each time. */
static int
prepare(struct invocation *i, struct plugin_context *context, bool wishes, struct hw_err *err)
{
	struct invocation_frame *f = invocation_top(i);
	const struct plugin *p = plugin_find(invocation_document_step(i)->action);
	json_t *inputs = NULL, *env = NULL;
	int r = document_inputs(&inputs, &env, f->document, f->values, invocation_place(i), err);

	if (r == 0) {
		f->rules = invocation_rules_of(f, inputs);
		if (wishes && p != NULL && p->wish != NULL)
			r = p->wish(&i->wish, i->run, context, inputs, err);
		if (r == 0 && wishes && (i->wish.name != NULL || i->wish.runs))
			i->program.seconds = i->wish.seconds;
		else if (r == 0 && p != NULL && p->prepare != NULL)
			r = p->prepare(&i->program, i->run, context, inputs, env, err);
	}
	json_decref(inputs);
	json_decref(env);
	return r;
}

int
invocation_prepare(struct invocation *i, struct hw_err *err)
{
	struct plugin_context context = context_of(i);

	i->wish = (struct plugin_wish){.name = NULL};
	return prepare(i, &context, true, err);
}

int
invocation_prepare_with(struct invocation *i, const char *content, const char *file_name,
	struct hw_err *err)
{
	struct plugin_context context = context_of(i);

	context.content = content;
	context.file_name = file_name;
	return prepare(i, &context, false, err);
}

static void
run_step(struct invocation *i)
{
	const struct plugin *p = plugin_find(invocation_document_step(i)->action);

	i->has_files = i->has_files || (p->downloads && p->prepare != NULL);
	if (i->wish.name != NULL || i->wish.runs)
		invocation_seek(i);
	else
		invocation_begin_program(i);
}

static void
begin_step(struct invocation *i)
{
	struct invocation_step *s = invocation_current(i);
	struct invocation_frame *f = invocation_top(i);
	struct hw_err err = HW_ERR_INIT;
	char why[WHY_MAX] = "";

	f->mark = arena_mark(i->run);
	f->rules = (struct flow_rules){.on_failure = FLOW_GO_ON};
	if (i->depth == 0) {
		i->base[SPOOL_OUT] = i->base[SPOOL_ERR] = 0;
		s->started = invocation_wall(i);
	}
	enum document_verdict v = judge_before(i, why, sizeof(why));
	int r = invocation_prepare(i, &err); /* also of one that fails: its rules say what then */
	if (v == DOCUMENT_SKIP)
		skip_step(i, why);
	else if (v == DOCUMENT_FAIL)
		invocation_fail_step(i, "%s", why);
	else if (r < 0)
		invocation_fail_step(i, "%s", hw_err_text(&err));
	else if (i->depth == 0 && invocation_write_step(i, i->done > 0, &err) < 0)
		invocation_end_failed(i, "the step %.128s was not begun: %s", s->name,
			hw_err_text(&err));
	else
		run_step(i);
	if (i->state == INVOCATION_RUNNING)
		invocation_changed(i);
}

static enum flow_next
what_is_next(struct invocation *i)
{
	const struct invocation_frame *f = invocation_top(i);

	return flow_next(i->depth == 0 ? i->n : f->n, invocation_place(i), f->stopped,
		i->cancelled || i->lost, f->last_is_finally);
}

void
invocation_on_next(void *arg)
{
	struct invocation *i = invocation_from(arg);
	struct invocation_frame *f = invocation_top(i);
	char why[WHY_MAX];

	if (f->mark.block != NULL)
		arena_release(i->run, &f->mark);
	f->mark = (struct arena_mark){.block = NULL};
	switch (what_is_next(i)) {
	case FLOW_RUN:
		begin_step(i);
		break;
	case FLOW_SKIP:
		f->rules = (struct flow_rules){.on_failure = FLOW_GO_ON};
		flow_skipped_text(why, sizeof(why), invocation_document_step(i)->action,
			invocation_document_step(i)->name);
		skip_step(i, why);
		break;
	case FLOW_OVER:
		if (i->depth > 0)
			invocation_ascend(i);
		else
			invocation_conclude(i);
		break;
	}
}
