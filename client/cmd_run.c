/* hawser run: one command on many nodes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/attend.h"
#include "client/client.h"
#include "client/cmd_run.h"
#include "client/commands.h"
#include "client/fate.h"
#include "client/fleet.h"
#include "client/fold.h"
#include "client/past.h"
#include "client/printer.h"
#include "client/progress.h"
#include "client/run_request.h"
#include "client/selector.h"
#include "client/view.h"
#include "proto/base/display.h"
#include "proto/wire/codec.h"

#define NAMES_MAX     (64u << 20)
#define SELECTORS_MAX 1000

struct nodes {
	const struct msg_instance_information *v;
	size_t n;
};

static void
append_plan(struct buf *out, const struct run_request *run, size_t n)
{
	progress_append_plan(out, n, limit_of(&run->concurrency, n, 1),
		limit_of(&run->errors, n, 0));
}

/* --- without sending -------------------------------------------------------------------------- */

static int
print_names(struct printer *out, struct client *c, const struct nodes *nodes, bool away,
	const char *format, struct hw_err *err)
{
	const char **names = arena_array(c->arena, nodes->n, sizeof(*names));
	struct buf set;
	size_t n = 0;
	int r;

	for (size_t i = 0; names != NULL && i < nodes->n; i++)
		if (!away || nodes->v[i].ping_status != PING_STATUS_ONLINE)
			names[n++] = node_name(&nodes->v[i]);
	if (n == 0)
		return 0;
	buf_init(&set, NAMES_MAX);
	if ((r = fold_append(&set, names, n)) == 0) {
		printer_say(out, NULL, "%s", format);
		printer_name(out, buf_str(&set));
		r = printer_say(out, err, "\n");
	}
	buf_fini(&set);
	return r;
}

static int
print_parameters(struct printer *out, const struct msg_send_command_request *req,
	struct hw_err *err)
{
	int r;

	printer_say(out, NULL, "document: ");
	printer_name(out, req->document_name);
	if (req->document_version != NULL) {
		printer_say(out, NULL, ":");
		printer_name(out, req->document_version);
	}
	r = printer_say(out, err, "\n");
	for (size_t i = 0; i < req->parameters.n && r == 0; i++) {
		const struct msg_pair *p = &req->parameters.v[i];

		for (size_t k = 0; k < p->values.n && r == 0; k++) {
			printer_name(out, p->key);
			printer_say(out, NULL, ": ");
			r = printer_bytes(out, (const uint8_t *)p->values.v[k],
				strlen(p->values.v[k]), err);
			printer_end_line(out);
		}
	}
	return r;
}

static int
print_dry_run(struct client *c, const struct run_request *run, const struct nodes *nodes,
	struct hw_err *err)
{
	struct printer out;
	struct buf plan;
	int r;

	buf_init(&plan, 512);
	append_plan(&plan, run, nodes->n);
	printer_init(&out, STDOUT_FILENO, true);
	printer_say(&out, NULL, "would run on %s\n", buf_str(&plan));
	if ((r = print_names(&out, c, nodes, false, "nodes: ", err)) == 0 &&
		(r = print_names(&out, c, nodes, true, "away now: ", err)) == 0 &&
		(r = print_parameters(&out, &run->req, err)) == 0)
		r = printer_flush(&out, err);
	printer_fini(&out);
	buf_fini(&plan);
	return r;
}

/* As JSON it is the request that would be sent; as names, the nodes. */
static int
dry_run(struct client *c, const struct run_request *run, const struct nodes *nodes,
	struct hw_err *err)
{
	struct printer out;
	int r;

	if (c->format == OUTPUT_TABLE || c->format == OUTPUT_WIDE)
		return print_dry_run(c, run, nodes, err);
	if (c->format != OUTPUT_NAME)
		return output_one(c, MSG_ROW(send_command_request), &run->req, NULL, err);
	printer_init(&out, STDOUT_FILENO, true);
	for (size_t i = 0; i < nodes->n; i++) {
		printer_name(&out, node_name(&nodes->v[i]));
		printer_say(&out, NULL, "\n");
	}
	r = printer_flush(&out, err);
	printer_fini(&out);
	return r;
}

/* --- sending ---------------------------------------------------------------------------------- */

static int
send_command(const struct msg_command **ret, struct client *c, const struct run_request *run,
	struct hw_err *err)
{
	const struct msg_send_command_reply *reply;
	int r = client_call(&reply, c, OP_send_command, &run->req, err);

	if (r == HW_EUNAVAILABLE || r == HW_ETIMEOUT) {
		client_hint(c, "hawser runs ls");
		return hw_err_prefix(err, "it is not known whether the command was sent");
	}
	if (r < 0)
		return r;
	if (reply->command == NULL || reply->command->command_id == NULL)
		return hw_err_set(err, HW_EPROTO, "the relay's answer names no command");
	*ret = reply->command;
	past_remember(c, reply->command->command_id);
	return 0;
}

static int
say_sent(struct client *c, const struct run_request *run, const struct msg_command *command,
	bool quiet, struct hw_err *err)
{
	struct buf plan;

	if (c->format == OUTPUT_NAME)
		return output_line(err, "%s", command->command_id);
	if (quiet)
		return 0;
	buf_init(&plan, 1024);
	display_append(&plan, command->command_id, strlen(command->command_id));
	buf_append_str(&plan, "  ");
	append_plan(&plan, run, (size_t)command->target_count);
	fprintf(stderr, "%s\n", buf_str(&plan));
	buf_fini(&plan);
	return 0;
}

int
cmd_run_send(struct client *c, const struct input *in, const struct run_request *run,
	struct hw_err *err)
{
	struct attend_config config = {
		.client = c,
		.log_dir = input_text(in, "log-dir"),
		.owns = true,
		.quiet = input_has(in, "quiet"),
	};
	int r;

	if ((r = view_choose(&config.view, c, in, err)) < 0 ||
		(r = send_command(&config.command, c, run, err)) < 0 ||
		(r = say_sent(c, run, config.command, config.quiet, err)) < 0)
		return r;
	return attend(&config, err);
}

/* --- the command ------------------------------------------------------------------------------ */

static int
select_nodes(struct nodes *ret, struct client *c, const char *const *selectors, size_t n,
	struct hw_err *err)
{
	struct msg_describe_instance_information_reply all;
	int r;

	if (n == 0) /* which would be all of them */
		return hw_err_set(err, HW_EUSAGE, "run wants --target SELECTOR: the nodes");
	if ((r = fleet_select(&all, c, selectors, n, err)) < 0)
		return r;
	if (all.instance_information_list.n == 0) {
		c->exit_status = EXIT_NO_NODES;
		client_hint(c, "hawser ls shows the nodes that you may see");
		return hw_err_set(err, HW_ENODE, "no node that you may see is meant");
	}
	*ret = (struct nodes){
		.v = all.instance_information_list.v, .n = all.instance_information_list.n};
	return 0;
}

static bool
reads_stdin_twice(const struct input *in, const char *const *selectors, size_t n)
{
	const char *script = input_text(in, "script");
	bool names = false;

	for (size_t i = 0; i < n; i++)
		names = names || strcmp(selectors[i], "-") == 0;
	return names && (in->n > 0 || (script != NULL && strcmp(script, "-") == 0));
}

static int
run_run(struct client *c, const struct input *in, struct hw_err *err)
{
	const struct view_row *view;
	struct run_request run;
	const char **selectors;
	struct nodes nodes;
	size_t n;
	int r;

	if ((r = input_all(&selectors, &n, c->arena, in, "target", SELECTORS_MAX, err)) < 0)
		return r;
	if (reads_stdin_twice(in, selectors, n))
		return hw_err_set(err, HW_EUSAGE,
			"names of nodes and the script cannot both come from standard input");
	/* What is wrong with the command line is said before anything is asked. */
	if ((!input_has(in, "dry-run") && (r = view_choose(&view, c, in, err)) < 0) ||
		(r = run_request_read(&run, c, in, err)) < 0 ||
		(r = select_nodes(&nodes, c, selectors, n, err)) < 0 ||
		(r = run_request_target(&run, c, nodes.v, nodes.n, selectors, n, err)) < 0)
		return r;
	if (input_has(in, "dry-run"))
		return dry_run(c, &run, &nodes, err);
	return cmd_run_send(c, in, &run, err);
}

static const struct option_row options[] = {
	{"target",				     't', "SELECTOR", "the nodes, as of hawser ls; may be repeated"},
	{"max-concurrency",				  'c', "N|P%", "at a time (50)"},
	{"max-errors",					    'e', "N|P%", "more failures start no further node (0)"},
	{"timeout-seconds",	    0, "S", "until it must have begun on a node (3600)"},
	{"execution-timeout",			      0, "S", "and then, until it must have ended (3600)"},
	{"script",				 's', "FILE", "a script, with its #! line; - is standard input"},
	{"document",				      0, "NAME[:VERSION]", "a document of the relay's"},
	{"parameter",					    'p', "KEY=VALUE", "of the document; again for a further value"},
	{"comment",				    0, "TEXT", NULL},
	{"dry-run", 'n', NULL, "say what would be sent, to which nodes"},
	VIEW_OPTIONS,
	{"quiet",			  'q', NULL, "no progress on stderr"},
	{0					},
};

const struct command cmd_run = {
	.name = "run",
	.operands = "--target SELECTOR -- CMD",
	.summary = "Run a command on many nodes: -- CMD, --script FILE, - or --document NAME.",
	.examples = {"hawser run --target tag:Role=web -c 20% -e 5 -- uname -r",
		     "hawser run -t last:failed --script fix.sh --diff"},
	.options = options,
	.max = -1,
	.words = true,
	.shows = true,
	.failure = EXIT_OUR_FAULT,
	.usage = EXIT_OUR_FAULT,
	.run = run_run,
};
