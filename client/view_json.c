/*
 * -o json or yaml: one document with the command, what became of it on each node, and what it wrote
 * there.
 * -o jsonl: a line for each node, as it ends there. And --raw: the bytes alone, node after node.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "client/keep.h"
#include "client/printer.h"
#include "client/view.h"
#include "proto/wire/codec.h"

struct whole {
	struct view_config config;
	struct keep *keep;
};

static int
whole_open(void **state, const struct view_config *config, struct hw_err *err)
{
	struct whole *w = calloc(1, sizeof(*w));
	int r;

	if (w == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	w->config = *config;
	if ((r = keep_new(&w->keep, INT64_MAX, err)) < 0) {
		free(w);
		return r;
	}
	*state = w;
	return 0;
}

static void
whole_close(void *state, const struct follow *f)
{
	struct whole *w = state;

	if (w == NULL)
		return;
	keep_drop_all(w->keep, f);
	keep_free(w->keep);
	free(w);
}

static int
whole_output(void *state, struct follow_node *node, int stream, size_t step, uint64_t offset,
	const uint8_t *p, size_t n, struct hw_err *err)
{
	struct whole *w = state;

	(void)offset;
	return keep_output(w->keep, node, stream, step, p, n, err);
}

/* --- JSON ------------------------------------------------------------------------------------- */

/* The object without its last brace, so that members can follow. */
static int
print_open_object(struct printer *out, const struct msg_row *row, const void *msg,
	struct hw_err *err)
{
	int r = msg_to_json(&out->out, row, msg, JSON_DATES);

	if (r < 0)
		return hw_err_set(err, r, "the relay's answer cannot be shown");
	out->out.len--;
	return 0;
}

static int
print_text(struct printer *out, struct whole *w, const char *member, const struct spooled *kept,
	struct hw_err *err)
{
	int r = printer_say(out, err, ",\"%s\":\"", member);

	if (r == 0 && kept != NULL)
		r = printer_spooled(out, keep_spool(w->keep), kept, err);
	return r < 0 ? r : printer_say(out, err, "\"");
}

static int
print_step(struct printer *out, struct whole *w, const struct follow_node *node, size_t step,
	struct hw_err *err)
{
	const char *name = step < node->n_steps ? node->steps[step] : "";
	int r;

	printer_say(out, NULL, "%s{\"Name\":", step > 0 ? "," : "");
	json_append_string(&out->out, name, strlen(name));
	if ((r = print_text(out, w, "StandardOutputContent", keep_stream(node, step, FOLLOW_OUT),
		     err)) < 0 ||
		(r = print_text(out, w, "StandardErrorContent", keep_stream(node, step, FOLLOW_ERR),
			 err)) < 0)
		return r;
	return printer_say(out, err, "}");
}

static size_t
count_steps(const struct follow_node *node)
{
	const struct kept *kept = node->of_view;
	size_t n = kept != NULL ? kept->n / 2 : 0;

	return n > node->n_steps ? n : node->n_steps;
}

static int
print_invocation(struct printer *out, struct whole *w, const struct follow_node *node,
	struct hw_err *err)
{
	struct msg_invocation_summary s = {
		.instance_id = node->id,
		.instance_name = node->name,
		.status = node->status,
		.status_details = node->details[0] != '\0' ? node->details : NULL,
		.response_code = node->response_code,
		.stdout_bytes = node->bytes[FOLLOW_OUT],
		.stderr_bytes = node->bytes[FOLLOW_ERR],
		.steps = {.v = (const char **)(void *)node->steps, .n = node->n_steps},
		.reason = node->reason[0] != '\0' ? node->reason : NULL,
	};
	int r = print_open_object(out, MSG_ROW(invocation_summary), &s, err);

	if (r == 0 && node->dropped[0] + node->dropped[1] > 0)
		r = printer_say(out, err, ",\"StdoutDropped\":%lld,\"StderrDropped\":%lld",
			(long long)node->dropped[0], (long long)node->dropped[1]);
	if (r == 0)
		r = printer_say(out, err, ",\"Outputs\":[");
	for (size_t step = 0; step < count_steps(node) && r == 0; step++)
		r = print_step(out, w, node, step, err);
	return r < 0 ? r : printer_say(out, err, "]}");
}

static int
json_node_end(void *state, struct follow_node *node, struct hw_err *err)
{
	struct whole *w = state;

	return keep_end(w->keep, node, err);
}

/* As it is by now. */
static struct msg_command
command_now(const struct whole *w, const struct follow *f)
{
	const struct fates *all = follow_fates(f);
	struct msg_command command = *w->config.command;

	if (follow_status(f) == 0)
		return command;
	command.status = follow_status(f);
	command.status_details = follow_details(f);
	command.completed_count = 0;
	for (int i = 0; i < FATES; i++)
		command.completed_count += fate_is_end((enum fate)i) ? (int64_t)all->of[i] : 0;
	command.error_count = (int64_t)(all->of[FATE_FAILED] + all->of[FATE_TIMED_OUT]);
	return command;
}

static int
print_document(struct printer *out, struct whole *w, const struct follow *f, struct hw_err *err)
{
	struct msg_command command = command_now(w, f);
	/* A line of JSONL has no end within. */
	const char *line = w->config.client->format == OUTPUT_JSONL ? "" : "\n";
	bool first = true;
	int r;

	printer_say(out, NULL, "{\"Command\":");
	if ((r = msg_to_json(&out->out, MSG_ROW(command), &command, JSON_DATES)) < 0)
		return hw_err_set(err, r, "the relay's answer cannot be shown");
	r = printer_say(out, err, ",%s\"CommandInvocations\":[", line);
	for (size_t i = 0; i < follow_count(f) && r == 0; i++) {
		if (!follow_node(f, i)->wanted)
			continue;
		printer_say(out, NULL, "%s%s", first ? "" : ",", line);
		first = false;
		r = print_invocation(out, w, follow_node(f, i), err);
	}
	return r < 0 ? r : printer_say(out, err, "]}\n");
}

static int
json_finish(void *state, const struct follow *f, struct hw_err *err)
{
	struct whole *w = state;
	struct yaml_pipe yaml;
	struct printer out;
	int r;

	printer_init(&out, STDOUT_FILENO, false);
	out.tidy.kind = TIDY_JSON;
	yaml_pipe_init(&yaml, NULL);
	out.yaml = w->config.client->format == OUTPUT_YAML ? &yaml : NULL;
	if ((r = print_document(&out, state, f, err)) == 0)
		r = printer_flush(&out, err);
	printer_fini(&out);
	return r;
}

const struct view_row view_json = {
	.name = "json",
	.open = whole_open,
	.output = whole_output,
	.node_end = json_node_end,
	.finish = json_finish,
	.close = whole_close,
};

const struct view_row view_json_states = {
	.name = "json",
	.silent = true,
	.open = whole_open,
	.output = whole_output,
	.node_end = json_node_end,
	.finish = json_finish,
	.close = whole_close,
};

/* --- lines ------------------------------------------------------------------------------------ */

static int
jsonl_node_end(void *state, struct follow_node *node, struct hw_err *err)
{
	struct whole *w = state;
	struct printer out;
	int r;

	w->config.will_write(w->config.arg);
	printer_init(&out, STDOUT_FILENO, false);
	out.tidy.kind = TIDY_JSON;
	if ((r = print_invocation(&out, w, node, err)) == 0)
		r = printer_say(&out, err, "\n");
	if (r == 0)
		r = printer_flush(&out, err);
	printer_fini(&out);
	keep_drop(w->keep, node);
	return r;
}

static int
nothing_to_finish(void *state, const struct follow *f, struct hw_err *err)
{
	(void)state;
	(void)f;
	(void)err;
	return 0;
}

const struct view_row view_jsonl = {
	.name = "jsonl",
	.open = whole_open,
	.output = whole_output,
	.node_end = jsonl_node_end,
	.finish = nothing_to_finish,
	.close = whole_close,
};

/* --- bytes ------------------------------------------------------------------------------------ */

static int
print_raw(struct whole *w, const struct follow_node *node, struct printer to[2], struct hw_err *err)
{
	int r = 0;

	for (size_t step = 0; step < count_steps(node); step++) {
		for (int stream = 0; stream < 2 && r == 0; stream++) {
			const struct spooled *kept = keep_stream(node, step, stream);

			if (kept != NULL)
				r = printer_spooled(&to[stream], keep_spool(w->keep), kept, err);
			if (r == 0)
				r = printer_flush(&to[stream], err);
		}
	}
	return r;
}

static int
raw_finish(void *state, const struct follow *f, struct hw_err *err)
{
	struct printer to[2];
	int r = 0;

	printer_init(&to[FOLLOW_OUT], STDOUT_FILENO, false);
	printer_init(&to[FOLLOW_ERR], STDERR_FILENO, false);
	for (size_t i = 0; i < follow_count(f) && r == 0; i++)
		r = print_raw(state, follow_node(f, i), to, err);
	printer_fini(&to[FOLLOW_OUT]);
	printer_fini(&to[FOLLOW_ERR]);
	return r;
}

const struct view_row view_raw = {
	.name = "raw",
	.open = whole_open,
	.output = whole_output,
	.node_end = json_node_end,
	.finish = raw_finish,
	.close = whole_close,
};
