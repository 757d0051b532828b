/* A step that needs a document: of the relay, or a file of the node; and one whose steps are then
 * run in its place. What they write is the step's, one after the other. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/commands/invocation_private.h"
#include "node/holder/protocol.h"

#define READ_SECONDS	60
#define OF_A_FILE	"./"	      /* in the place of a document's name, and none */
#define INNER_BYTES_MAX (1024 * 1024) /* of documents that one command runs */

/* --- going into a document -------------------------------------------------------------------- */

static int
open_frame(struct invocation *i, const struct msg_invocation_order *o, struct hw_err *err)
{
	struct invocation_frame f = {.worst = FLOW_WAITING};
	int r;

	if ((r = document_parse(&f.document, o->content, strlen(o->content), 0, DOCUMENT_COMMAND,
		     err)) < 0 ||
		(r = document_bind(&f.values, f.document, &o->parameters, err)) < 0 ||
		(r = invocation_check_frame(&f, err)) < 0) {
		invocation_drop_frame(&f);
		return r;
	}
	f.n = document_steps(f.document);
	if (strcmp(o->document_name, OF_A_FILE) != 0 &&
		(f.name = arena_strdup(i->run, o->document_name)) == NULL) {
		invocation_drop_frame(&f);
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	i->frames[++i->depth] = f;
	return 0;
}

static size_t
size_of(const struct msg_invocation_order *o)
{
	size_t n = strlen(o->content) + 256;

	for (size_t k = 0; k < o->parameters.n; k++) {
		n += strlen(o->parameters.v[k].key) + 16;
		for (size_t v = 0; v < o->parameters.v[k].values.n; v++)
			n += strlen(o->parameters.v[k].values.v[v]) + 8;
	}
	return n;
}

static int
enter(struct invocation *i, const struct msg_invocation_order *o, bool write, struct hw_err *err)
{
	int r;

	if (i->depth + 1 >= INVOCATION_FRAMES)
		return hw_err_set(err, HW_ELIMIT, "Maximum depth for document execution exceeded");
	if (write && (i->inner_bytes += size_of(o)) > INNER_BYTES_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"the documents that the command runs are longer than %d bytes in all",
			INNER_BYTES_MAX);
	if ((r = open_frame(i, o, err)) < 0)
		return r;
	if (write && (r = orders_enter(i->host->journal, i->id, o, err)) < 0)
		invocation_drop_frame(&i->frames[i->depth--]);
	return r;
}

static void
run_document(struct invocation *i, const char *name, const char *content)
{
	const struct msg_invocation_order o = {
		.command_id = i->id,
		.document_name = name,
		.content = content,
		.parameters = i->wish.parameters,
		.deliver_before = i->deliver_before,
	};
	struct hw_err err = HW_ERR_INIT;

	i->seeking = SEEK_NOTHING;
	loop_timer_stop(i->host->loop, &i->deadline);
	if (enter(i, &o, true, &err) < 0)
		invocation_fail_step(i, "%s", hw_err_text(&err));
	else
		loop_defer(i->host->loop, &i->next);
}

/* --- and out of it ---------------------------------------------------------------------------- */

static void
count_end(struct invocation_frame *f, struct flow_end end)
{
	if (end.status > f->worst)
		f->worst = end.status;
	if (f->code == 0 && end.status > FLOW_SUCCESS)
		f->code = end.code;
	f->stopped = f->stopped || flow_stops(&f->rules, end);
	f->done++;
}

void
invocation_end_inner(struct invocation *i, struct flow_end end)
{
	const struct orders_over over = {
		.status = end.status, .code = end.code, .depth = (uint32_t)i->depth};
	struct hw_err err = HW_ERR_INIT;

	if (orders_inner_over(i->host->journal, i->id, &over, &err) < 0)
		invocation_log_trouble(i, "command.step_not_written", &err);
	invocation_close_job(i); /* after that: until then the next agent finds it */
	count_end(invocation_top(i), end);
	i->killer = FLOW_NOBODY;
	i->seeking = SEEK_NOTHING;
	i->program = (struct plugin_program){.script = NULL};
	loop_defer(i->host->loop, &i->next);
	invocation_changed(i);
}

/* The codes that end a document end the one that they are of, and no other. */
static int
code_outside(const struct invocation_frame *f)
{
	switch (f->code) {
	case FLOW_EXIT_SUCCESS:
	case FLOW_EXIT_FAILURE:
	case FLOW_EXIT_REBOOT:
		return 1;
	default:
		return f->code;
	}
}

/* That its steps were skipped is no skipping of the step that ran them. */
void
invocation_ascend(struct invocation *i)
{
	struct invocation_frame *f = invocation_top(i);
	struct flow_end end = {f->worst, code_outside(f)};

	if (i->lost) { /* and so is what ran it, whatever else is known of it */
		invocation_drop_frame(f);
		i->depth--;
		invocation_end_step(i, (struct flow_end){FLOW_FAILED, FLOW_CODE_LOST}, NULL, NULL);
		return;
	}
	if (end.status <= FLOW_SUCCESS)
		end = (struct flow_end){FLOW_SUCCESS, 0};
	if (i->cancelled && f->done < f->n && end.status < FLOW_CANCELLED)
		end = (struct flow_end){FLOW_CANCELLED, FLOW_EXIT_KILLED};
	invocation_drop_frame(f);
	i->depth--;
	invocation_judge_step(i, end, NULL);
}

void
invocation_unwind(struct invocation *i)
{
	while (i->depth > 0)
		invocation_drop_frame(&i->frames[i->depth--]);
}

/* --- a document of the relay ------------------------------------------------------------------ */

const struct plugin_wish *
invocation_wish(const struct invocation *i)
{
	return i->state == INVOCATION_RUNNING && i->seeking == SEEK_RELAY ? &i->wish : NULL;
}

static const char *
file_name(struct invocation *i, const struct msg_get_invocation_document_reply *reply)
{
	return arena_printf(i->run, "%s.%s", reply->name,
		reply->document_format == DOCUMENT_FORMAT_YAML ? "yaml" : "json");
}

/* It goes into a file of the command's own directory, or wherever the step says. */
static void
keep_document(struct invocation *i, const struct msg_get_invocation_document_reply *reply)
{
	struct hw_err err = HW_ERR_INIT;
	const char *name = file_name(i, reply);

	i->seeking = SEEK_NOTHING;
	loop_timer_stop(i->host->loop, &i->deadline);
	if (name == NULL)
		hw_err_set(&err, HW_ENOMEM, "out of memory");
	else
		invocation_prepare_with(i, reply->content, name, &err);
	if (err.code != 0)
		invocation_fail_step(i, "%s", hw_err_text(&err));
	else
		invocation_begin_program(i);
}

void
invocation_take_document(struct invocation *i,
	const struct msg_get_invocation_document_reply *reply)
{
	if (invocation_wish(i) == NULL)
		return;
	if (i->wish.runs)
		run_document(i, reply->name, reply->content);
	else
		keep_document(i, reply);
}

void
invocation_take_no_document(struct invocation *i, const char *why)
{
	if (invocation_wish(i) != NULL)
		invocation_fail_step(i, "cannot get the document %.128s: %s", i->wish.name, why);
}

/* --- a document in a file --------------------------------------------------------------------- */

/* Who runs the command reads it: the agent may not, and what it may read is not the command's. */
static size_t
read_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	struct invocation *i = invocation_from(arg);

	if (stream == HOLDER_OUT)
		buf_append(&i->read, p, n); /* past the bound it has failed */
	return n;
}

static void
read_started(void *arg, const char *run_as, int64_t pid)
{
	struct invocation *i = invocation_from(arg);

	(void)run_as;
	(void)pid;
	if (i->killer != FLOW_NOBODY)
		i->host->programs->ops->signal(i->job, SIGKILL);
}

static void
read_failed(void *arg, int code, const char *why)
{
	struct invocation *i = invocation_from(arg);
	const struct program_exit none = {0};

	(void)code;
	if (i->killer != FLOW_NOBODY)
		invocation_judge_step(i, flow_program_end(&none, i->killer), NULL);
	else
		invocation_fail_step(i, "failed to run commands: %s", why);
}

static void
take_file(struct invocation *i)
{
	const char *text = buf_str(&i->read);

	invocation_close_job(i);
	if (i->read.failed || i->read.len > DOCUMENT_SIZE_MAX || text == NULL)
		invocation_fail_step(i, "the document %.256s is longer than %d bytes", i->wish.path,
			DOCUMENT_SIZE_MAX);
	else if (i->read.len == 0 || strlen(text) != i->read.len)
		invocation_fail_step(i, "the document %.256s is not a text", i->wish.path);
	else
		run_document(i, OF_A_FILE, text);
}

static void
read_exit(void *arg, int code, const char *why, const struct program_exit *exit)
{
	struct invocation *i = invocation_from(arg);
	const struct program_exit none = {0};

	if (i->killer != FLOW_NOBODY)
		invocation_judge_step(i, flow_program_end(&none, i->killer), NULL);
	else if (code != 0)
		invocation_fail_step(i, "the document %.256s could not be read: %s", i->wish.path,
			why);
	else if (exit->status != 0)
		invocation_fail_step(i, "the document %.256s cannot be read", i->wish.path);
	else
		take_file(i);
}

static const struct program_events read_events = {
	.on_started = read_started,
	.on_failed = read_failed,
	.on_output = read_output,
	.on_output_end = invocation_on_output_end,
	.on_consumed = invocation_on_consumed,
	.on_screen = invocation_on_screen,
	.on_exit = read_exit,
};

/* What lies below the command's directory is read from there, once that is known to be its own. */
static int
say_file(struct program_spec *spec, struct invocation *i, struct hw_err *err)
{
	const struct plugin_wish *w = &i->wish;
	const char *path = w->path;

	if (w->below != NULL) {
		path = arena_printf(i->run, "./%s", w->below);
		spec->directory = arena_strndup(i->run, w->path, (size_t)(w->below - w->path));
		spec->work_len = strlen(i->work);
	}
	if (path == NULL || (w->below != NULL && spec->directory == NULL) ||
		(path = plugin_quote(i->run, path)) == NULL ||
		(spec->command = arena_printf(i->run, "exec head -c %d -- %s\n",
			 DOCUMENT_SIZE_MAX + 1, path)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	return 0;
}

/* Nothing is written down of it: reading once more does no harm, and has another name then. */
static int
start_reading(struct invocation *i, struct hw_err *err)
{
	char id[64];
	struct program_spec spec = {
		.type = CHANNEL_TYPE_EXEC,
		.script = true,
		.session_id = id,
		.document = i->order->document_name,
		.run_as = i->order->run_as,
		.seconds = READ_SECONDS,
	};

	int r = say_file(&spec, i, err);

	if (r < 0)
		return r;
	snprintf(id, sizeof(id), "~%s.%03zu.read%llx", i->id, i->done,
		(unsigned long long)invocation_wall(i) & 0xffffffffULL);
	invocation_name_documents(&spec, i);
	buf_reset(&i->read);
	return i->host->programs->ops->start(&i->job, i->host->programs, &spec, &read_events, i,
		err);
}

/* The monitor may have as much to do as it takes: then it is asked again, for as long as reading
 * may take. */
static void
seek_file(struct invocation *i)
{
	struct hw_err err = HW_ERR_INIT;
	int r = start_reading(i, &err);

	if (r < 0 && r != HW_EFULL) {
		loop_timer_stop(i->host->loop, &i->deadline);
		invocation_fail_step(i, "failed to run commands: %s", hw_err_text(&err));
		return;
	}
	if (r == HW_EFULL)
		loop_timer_start(i->host->loop, &i->retry, INVOCATION_RETRY_AFTER);
	if (r == 0 || i->seeking != SEEK_FILE)
		loop_timer_start(i->host->loop, &i->deadline, READ_SECONDS * USEC_PER_SEC);
	i->seeking = SEEK_FILE;
}

/* --- either ----------------------------------------------------------------------------------- */

void
invocation_seek(struct invocation *i)
{
	const struct program_exit none = {0};
	const struct plugin_wish *w = &i->wish;

	if (w->nothing) {
		invocation_judge_step(i, flow_program_end(&none, FLOW_NOBODY), NULL);
	} else if (i->cancelled) {
		invocation_judge_step(i, flow_program_end(&none, FLOW_CANCEL), NULL);
	} else if (w->runs && i->depth + 1 >= INVOCATION_FRAMES) {
		invocation_fail_step(i, "Maximum depth for document execution exceeded");
	} else if (w->path != NULL) {
		seek_file(i);
	} else {
		i->seeking = SEEK_RELAY;
		loop_timer_start(i->host->loop, &i->deadline, w->seconds * USEC_PER_SEC);
		i->host->on_wish(i->host->arg, i);
	}
}

/* --- what an earlier agent began -------------------------------------------------------------- */

static int
recall_rules(struct invocation *i, struct hw_err *err)
{
	struct invocation_frame *f = invocation_top(i);
	json_t *inputs = NULL;
	int r;

	if (invocation_place(i) >= document_steps(f->document))
		return hw_err_set(err, HW_ECORRUPT, "its log is not in order");
	if ((r = document_inputs(&inputs, NULL, f->document, f->values, invocation_place(i),
		     err)) == 0)
		f->rules = invocation_rules_of(f, inputs);
	json_decref(inputs);
	return r;
}

/* Documents below that of the step have ended with it. */
static int
replay_over(struct invocation *i, const struct orders_over *over, struct hw_err *err)
{
	struct flow_end end = {(enum flow_status)over->status, over->code};
	int r;

	if (over->depth == 0 || over->depth > i->depth || over->status <= FLOW_WAITING ||
		over->status >= FLOW_STATUSES)
		return hw_err_set(err, HW_ECORRUPT, "its log is not in order");
	while (i->depth > over->depth)
		invocation_drop_frame(&i->frames[i->depth--]);
	if ((r = recall_rules(i, err)) == 0)
		count_end(invocation_top(i), end);
	i->lost = i->lost || flow_is_lost(end);
	return r;
}

static int
replay(struct invocation *i, const struct orders_entry *e, const struct orders_begin **begun,
	struct hw_err *err)
{
	int r = 0;

	for (const struct orders_inner *in = e->inner; r == 0 && in != NULL; in = in->next) {
		if (in->kind == ORDERS_BEGIN) {
			*begun = &in->begin;
			i->inner = in->begin.number;
		} else if (in->kind == ORDERS_ENTER) {
			if ((r = recall_rules(i, err)) == 0)
				r = enter(i, in->document, false, err);
		} else {
			r = replay_over(i, &in->over, err);
			*begun = NULL;
		}
	}
	return r;
}

/* Its end may have been written down when its holder was not told yet. */
static void
dismiss(struct invocation *i)
{
	struct job *j;
	char id[64];

	if (i->inner == 0)
		return;
	invocation_session_name(id, i);
	if (i->host->programs->ops->adopt(&j, i->host->programs, id, &invocation_adopted_events, i,
		    NULL) == 0)
		i->host->programs->ops->close(j);
}

void
invocation_seek_again(struct invocation *i, const struct orders_entry *e)
{
	const struct orders_begin *begun = NULL;
	struct hw_err err = HW_ERR_INIT;
	char id[64];

	if (replay(i, e, &begun, &err) < 0) {
		invocation_lose_step(i, hw_err_text(&err));
	} else if (begun != NULL) {
		memcpy(i->base, begun->out, sizeof(i->base));
		invocation_session_name(id, i);
		if (invocation_prepare(i, &err) < 0)
			invocation_lose_step(i, hw_err_text(&err));
		else
			invocation_adopt(i, id, begun->started);
	} else if (i->depth > 0) {
		dismiss(i);
		loop_defer(i->host->loop, &i->next);
	} else {
		invocation_seek(i);
	}
}
