/* hawser runs ls, show, output, cancel, retry: commands that were sent. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/attend.h"
#include "client/client.h"
#include "client/cmd_run.h"
#include "client/commands.h"
#include "client/fate.h"
#include "client/fleet.h"
#include "client/follow.h"
#include "client/pages.h"
#include "client/past.h"
#include "client/selector.h"
#include "client/view.h"

#define LIMIT_DEFAULT 50
#define SHORT_ID      8	 /* digits of an id that a table shows */
#define CANCEL_MAX    50 /* nodes in one request */

/* --- cells ------------------------------------------------------------------------------------ */

static const char *
cell_short_id(struct client *c, const void *item)
{
	const struct msg_command *command = item;

	return command->command_id == NULL ? NULL
					   : arena_strndup(c->arena, command->command_id, SHORT_ID);
}

static const char *
cell_id(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_command *)item)->command_id;
}

static const char *
cell_sent(struct client *c, const void *item)
{
	return output_time(c, ((const struct msg_command *)item)->requested);
}

static const char *
cell_status(struct client *c, const void *item)
{
	const struct msg_command *command = item;

	(void)c;
	return command->status_details != NULL && command->status_details[0] != '\0'
		? command->status_details
		: enum_text(&enum_INVOCATION_STATUS, command->status);
}

static enum table_style
style_status(const void *item)
{
	switch (fate_of(((const struct msg_command *)item)->status, NULL)) {
	case FATE_OK:
		return STYLE_GOOD;
	case FATE_WAITING:
	case FATE_RUNNING:
		return STYLE_PLAIN;
	default:
		return STYLE_BAD;
	}
}

static const char *
cell_nodes(struct client *c, const void *item)
{
	const struct msg_command *command = item;

	return arena_printf(c->arena, "%" PRId64 "/%" PRId64, command->completed_count,
		command->target_count);
}

static const char *
cell_failed(struct client *c, const void *item)
{
	return output_int(c, ((const struct msg_command *)item)->error_count);
}

/* "arn:aws:iam::...:user/alice" is alice. */
static const char *
cell_user(struct client *c, const void *item)
{
	const char *who = ((const struct msg_command *)item)->principal;
	const char *slash = who != NULL ? strrchr(who, '/') : NULL;

	(void)c;
	return slash != NULL ? slash + 1 : who;
}

/* The comment; or of a command its first line, or the document. */
static const char *
cell_what(struct client *c, const void *item)
{
	const struct msg_command *command = item;
	const char *text = command->document_name;

	if (command->comment != NULL && command->comment[0] != '\0')
		return command->comment;
	for (size_t i = 0; i < command->parameters.n; i++)
		if (strcmp(command->parameters.v[i].key, "commands") == 0 &&
			command->parameters.v[i].values.n > 0)
			text = command->parameters.v[i].values.v[0];
	if (text == NULL)
		return NULL;
	size_t n = strcspn(text, "\n");
	return n > 60 ? arena_printf(c->arena, "%.57s...", text) : arena_strndup(c->arena, text, n);
}

static const char *
cell_document(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_command *)item)->document_name;
}

static const char *
name_of(const void *item)
{
	return ((const struct msg_command *)item)->command_id;
}

static const struct column columns[] = {
	{"COMMAND",	    false, cell_short_id, NULL},
	{"SENT", false, cell_sent, NULL},
	{"USER",		 false, cell_user, NULL},
	{"STATUS",	   false, cell_status, style_status},
	{"ENDED",	  false, cell_nodes, NULL},
	{"FAILED",	   false, cell_failed, NULL},
	{"WHAT",	 false, cell_what, NULL},
	{"DOCUMENT",		     true, cell_document, NULL},
	{"ID", true, cell_id, NULL},
	{0 },
};

static const struct listing listing = {
	.reply = msg_row_list_commands_reply,
	.item = msg_row_command,
	.columns = columns,
	.name = name_of,
};

/* --- ls --------------------------------------------------------------------------------------- */

static int
run_ls(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_command_filter filter = {
		.key = COMMAND_FILTER_EXECUTION_STAGE, .value = "Executing"};
	struct msg_list_commands_request req = {0};
	struct msg_list_commands_reply all = {0};
	struct pages pages = {0};
	int64_t limit = LIMIT_DEFAULT;
	const char *shown;
	int r;

	if ((r = input_int(&limit, in, "limit", 0, 1000000, err)) < 0)
		return r;
	if (input_has(in, "live")) {
		req.filters.v = &filter;
		req.filters.n = 1;
	}
	if (input_has(in, "node") &&
		(r = fleet_node_id(&req.instance_id, &shown, c, input_text(in, "node"), err)) < 0)
		return r;
	if ((r = pages_fetch(&pages, c, OP_list_commands, &req, &req.next_token,
		     offsetof(struct msg_list_commands_reply, next_token), (size_t)limit, err)) < 0)
		return r;
	all.commands.v = pages.v;
	all.commands.n = pages.n;
	return output_list(c, &listing, &all, pages.v, pages.n, err);
}

static const struct option_row ls_options[] = {
	{"live", 'l', NULL, "only those that are not over"},
	{"node",	 'n', "NODE", "that this node was a target of"},
	{"limit",	  0, "N", "the newest N (50); 0 is all"},
	{0 },
};

const struct command cmd_runs_ls = {
	.name = "runs ls",
	.operands = "",
	.summary = "List commands that were sent to nodes, the newest first.",
	.about = "  A command is named by its id, any unique prefix of it, or \"last\": the last\n"
		 "  one that was sent from here.",
	.examples = {"hawser runs ls --live", "hawser runs ls --node web-01 --limit 5 -o json"},
	.options = ls_options,
	.shows = true,
	.alone = true,
	.run = run_ls,
};

/* --- show ------------------------------------------------------------------------------------- */

/* What became of its output on the way to its bucket, in a line. */
struct uploads {
	size_t waiting, done, failed;
	const char *why; /* of the last that does not work */
};

static void
count_uploads(struct uploads *u, const struct msg_command_invocation *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		u->waiting += all[i].upload_status == UPLOAD_STATUS_PENDING;
		u->done += all[i].upload_status == UPLOAD_STATUS_SUCCESS;
		u->failed += all[i].upload_status == UPLOAD_STATUS_FAILED;
		if (all[i].upload_details != NULL)
			u->why = all[i].upload_details;
	}
}

static int
show_uploads(struct client *c, const struct msg_command *command, struct hw_err *err)
{
	struct msg_list_command_invocations_request req = {.command_id = command->command_id};
	const char *prefix = command->output_s3_key_prefix;
	struct uploads u = {0};
	struct pages pages = {0};
	int r;

	if (command->output_s3_bucket_name == NULL || command->output_s3_bucket_name[0] == '\0')
		return 0;
	if ((r = pages_fetch(&pages, c, OP_list_command_invocations, &req, &req.next_token,
		     offsetof(struct msg_list_command_invocations_reply, next_token), 0, err)) < 0)
		return r;
	count_uploads(&u, pages.v, pages.n);
	return output_line(err, "s3://%s/%s%s: %zu uploaded, %zu waiting, %zu given up%s%s",
		command->output_s3_bucket_name, prefix != NULL ? prefix : "",
		prefix != NULL && prefix[0] != '\0' ? "/" : "", u.done, u.waiting, u.failed,
		u.why != NULL ? ": " : "", u.why != NULL ? u.why : "");
}

static int
run_show(struct client *c, const struct input *in, struct hw_err *err)
{
	struct attend_config config = {.client = c, .quiet = true, .no_wait = true};
	int r;

	if ((r = past_find(&config.command, c, in->operands[0], err)) < 0)
		return r;
	config.view = c->format > OUTPUT_WIDE ? &view_json_states : &view_none;
	if (c->format == OUTPUT_TABLE || c->format == OUTPUT_WIDE)
		r = output_one(c, MSG_ROW(command), config.command, NULL, err);
	else if (c->format == OUTPUT_NAME)
		return output_one(c, MSG_ROW(command), config.command, config.command->command_id,
			err);
	if (r < 0 || (r = attend(&config, err)) < 0)
		return r;
	return c->format == OUTPUT_TABLE || c->format == OUTPUT_WIDE
		? show_uploads(c, config.command, err)
		: 0;
}

const struct command cmd_runs_show = {
	.name = "runs show",
	.operands = "COMMAND-ID",
	.summary = "Show a command, and what became of it on its nodes.",
	.about = "  COMMAND-ID is an id, any unique prefix of one, or \"last\".",
	.examples = {"hawser runs show b4e2", "hawser runs show last -o json"},
	.min = 1,
	.max = 1,
	.shows = true,
	.run = run_show,
};

/* --- output ----------------------------------------------------------------------------------- */

struct meant {
	struct selector *v;
	size_t n;
};

static bool
wants(void *arg, const struct follow_node *node)
{
	const struct meant *meant = arg;
	const struct msg_instance_information info = {.instance_id = node->id, .name = node->name};

	for (size_t i = 0; i < meant->n; i++)
		if (selector_match(&meant->v[i], &info))
			return true;
	return false;
}

/* The relay says of a command's nodes what they are called, and no more. */
static int
read_meant(struct meant *ret, struct client *c, const struct input *in, struct hw_err *err)
{
	int r;

	ret->n = in->n - 1;
	if ((ret->v = arena_array(c->arena, in->n, sizeof(*ret->v))) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	for (size_t i = 0; i < ret->n; i++) {
		const char *text = in->operands[i + 1];

		if ((r = selector_parse(&ret->v[i], c->arena, text, err)) < 0)
			return r;
		for (size_t k = 0; k < ret->v[i].n; k++)
			if (ret->v[i].terms[k].kind != TERM_NAME &&
				ret->v[i].terms[k].kind != TERM_ID)
				return hw_err_set(err, HW_EUSAGE,
					"'%s': nodes of a command are named by name, glob, range or id",
					text);
	}
	return 0;
}

static int
run_output(struct client *c, const struct input *in, struct hw_err *err)
{
	struct attend_config config = {
		.client = c,
		.log_dir = input_text(in, "log-dir"),
		.quiet = input_has(in, "quiet"),
		.no_wait = input_has(in, "no-wait"),
	};
	struct meant meant = {0};
	int r;

	if ((r = view_choose(&config.view, c, in, err)) < 0 ||
		(r = read_meant(&meant, c, in, err)) < 0)
		return r;
	if (input_has(in, "raw"))
		config.view = &view_raw;
	if (meant.n > 0) {
		config.wants = wants;
		config.arg = &meant;
	}
	if ((r = past_find(&config.command, c, in->operands[0], err)) < 0)
		return r;
	return attend(&config, err);
}

static const struct option_row output_options[] = {
	VIEW_OPTIONS,
	{"raw", 'r', NULL, "the bytes alone, node after node"},
	{"no-wait", 0, NULL, "what there is now, of a command that is not over"},
	{"quiet",	  'q', NULL, "no progress on stderr"},
	{0	  },
};

const struct command cmd_runs_output = {
	.name = "runs output",
	.operands = "COMMAND-ID [NODE...]",
	.summary = "Show what a command wrote on its nodes, or on some of them.",
	.about = "  COMMAND-ID is an id, any unique prefix of one, or \"last\". One that is not\n"
		 "  over is waited for; Ctrl-C leaves it running. The exit status is that of run.",
	.examples = {"hawser runs output last --diff",
		     "hawser runs output --raw b4e2 web-01 >web-01.log"},
	.options = output_options,
	.min = 1,
	.max = -1,
	.shows = true,
	.failure = EXIT_OUR_FAULT,
	.usage = EXIT_OUR_FAULT,
	.run = run_output,
};

/* --- cancel ----------------------------------------------------------------------------------- */

static int
cancel_on(struct client *c, struct msg_cancel_command_request *req,
	const struct msg_describe_instance_information_reply *nodes, struct hw_err *err)
{
	size_t n = nodes->instance_information_list.n;
	const char *ids[CANCEL_MAX];
	const struct msg_empty *reply;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i += CANCEL_MAX) {
		size_t some = n - i < CANCEL_MAX ? n - i : CANCEL_MAX;

		for (size_t k = 0; k < some; k++)
			ids[k] = nodes->instance_information_list.v[i + k].instance_id;
		req->instance_ids = (struct msg_strs){.v = ids, .n = some};
		r = client_call(&reply, c, OP_cancel_command, req, err);
	}
	return r;
}

static int
run_cancel(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_describe_instance_information_reply nodes = {0};
	struct msg_cancel_command_request req = {0};
	const struct msg_empty *reply;
	int r;

	if ((r = past_find_id(&req.command_id, c, in->operands[0], err)) < 0)
		return r;
	if (in->n == 1)
		r = client_call(&reply, c, OP_cancel_command, &req, err);
	else if ((r = fleet_select(&nodes, c, in->operands + 1, in->n - 1, err)) == 0)
		r = cancel_on(c, &req, &nodes, err);
	if (r < 0)
		return r;
	client_say(c, "%s is being cancelled; hawser runs output %s waits for its end",
		req.command_id, req.command_id);
	return 0;
}

const struct command cmd_runs_cancel = {
	.name = "runs cancel",
	.operands = "COMMAND-ID [SELECTOR...]",
	.summary = "End a command on all of its nodes, or on some of them.",
	.about = "  COMMAND-ID is an id, any unique prefix of one, or \"last\". Where it has not\n"
		 "  begun it never will; where it runs its processes are killed.",
	.examples = {"hawser runs cancel last", "hawser runs cancel b4e2 'web-*'"},
	.min = 1,
	.max = -1,
	.run = run_cancel,
};

/* --- retry ------------------------------------------------------------------------------------ */

static const char *
some(const char *text)
{
	return text != NULL && text[0] != '\0' ? text : NULL;
}

static int
read_again(struct run_request *run, const struct msg_command *command, struct hw_err *err)
{
	int r;

	*run = (struct run_request){
		.req =
			{
				.document_name = command->document_name,
				.document_version = some(command->document_version),
				.parameters = command->parameters,
				.comment = some(command->comment),
				.timeout_seconds = command->timeout_seconds,
				.max_concurrency = some(command->max_concurrency),
				.max_errors = some(command->max_errors),
			      },
		.concurrency = {.n = RUN_CONCURRENCY	    },
		.errors = {.n = RUN_ERRORS},
	};
	if (run->req.document_name == NULL)
		return hw_err_set(err, HW_EPROTO, "the relay does not say what was run");
	if (run->req.max_concurrency != NULL &&
		(r = limit_parse(&run->concurrency, "max-concurrency", run->req.max_concurrency, 1,
			 err)) < 0)
		return r;
	return run->req.max_errors == NULL
		? 0
		: limit_parse(&run->errors, "max-errors", run->req.max_errors, 0, err);
}

static int
name_again(struct run_request *run, struct client *c, const struct msg_command *command, bool all,
	struct hw_err *err)
{
	struct msg_instance_information *nodes;
	const char *const *ids;
	size_t n;
	int r;

	if ((r = past_nodes(&ids, &n, c, command->command_id, !all, err)) < 0)
		return r;
	if (n == 0) {
		c->exit_status = EXIT_NO_NODES;
		client_hint(c, "hawser runs show %s", command->command_id);
		return hw_err_set(err, HW_ENODE, "the command has failed nowhere so far");
	}
	if ((nodes = arena_array(c->arena, n, sizeof(*nodes))) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		nodes[i].instance_id = ids[i];
	return run_request_target(run, c, nodes, n, NULL, 0, err);
}

static int
run_retry(struct client *c, const struct input *in, struct hw_err *err)
{
	const struct msg_command *command;
	const struct view_row *view;
	struct run_request run;
	int r;

	if ((r = view_choose(&view, c, in, err)) < 0 ||
		(r = past_find(&command, c, in->operands[0], err)) < 0 ||
		(r = read_again(&run, command, err)) < 0 ||
		(r = name_again(&run, c, command, input_has(in, "all"), err)) < 0)
		return r;
	return cmd_run_send(c, in, &run, err);
}

static const struct option_row retry_options[] = {
	{"all", 'a', NULL, "to all of its nodes, not only where it failed"},
	VIEW_OPTIONS,
	{"quiet", 'q', NULL, "no progress on stderr"},
	{0	  },
};

const struct command cmd_runs_retry = {
	.name = "runs retry",
	.operands = "COMMAND-ID",
	.summary = "Send the same command again, to the nodes where it did not succeed.",
	.about =
		"  COMMAND-ID is an id, any unique prefix of one, or \"last\". The exit status is\n"
		"  that of run.",
	.examples = {"hawser runs retry last", "hawser runs retry --all b4e2 --diff"},
	.options = retry_options,
	.min = 1,
	.max = 1,
	.shows = true,
	.failure = EXIT_OUR_FAULT,
	.usage = EXIT_OUR_FAULT,
	.run = run_retry,
};
