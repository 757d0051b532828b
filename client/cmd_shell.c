/* hawser shell: a recorded pty session. */
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/console.h"
#include "client/fleet.h"
#include "client/shell.h"

/* Text of the environment that fits its field. */
static const char *
from_env(const char *name, size_t max)
{
	const char *value = getenv(name);

	return value != NULL && strlen(value) <= max ? value : NULL;
}

static const char *
language(void)
{
	const char *all = from_env("LC_ALL", 64);

	return all != NULL && all[0] != '\0' ? all : from_env("LANG", 64);
}

static void
shell_request(struct remote_request *req, const struct input *in)
{
	req->type = CHANNEL_TYPE_PTY;
	req->reason = input_text(in, "reason");
	req->document = input_text(in, "document");
	req->term = from_env("TERM", 64);
	if (req->term == NULL)
		req->term = "dumb";
	req->lang = language();
	req->colorterm = from_env("COLORTERM", 32);
	if (!input_has(in, "no-pty"))
		return;
	req->type = CHANNEL_TYPE_EXEC;
	if (req->command == NULL)
		req->command = "exec \"${SHELL:-/bin/sh}\" -l";
}

static int
run_shell(struct client *c, const struct input *in, struct hw_err *err)
{
	struct remote_request req = {.way = REMOTE_START};
	struct shell_config config = {
		.client = c, .request = &req, .quiet = input_has(in, "quiet")};
	const char *name;
	char *command;
	int status = 0, r;

	if ((r = shell_escape(&config.escape, in, err)) < 0 ||
		(r = console_target(&req.run_as, &name, c, in->operands[0], err)) < 0 ||
		(r = client_connect(c, err)) < 0 ||
		(r = fleet_node_id(&req.target, &config.node, c, name, err)) < 0)
		return r;
	req.command = command = input_join(in);
	shell_request(&req, in);
	r = shell_run(&status, &config, err);
	free(command);
	return r < 0 ? r : status;
}

static const struct option_row options[] = {
	{"tty",			     't', NULL, "a pty, also when stdin is no terminal (the default)"},
	{"no-pty",			     'T', NULL, "no pty: clean streams, no echo"},
	{"escape",				 'e', "CHAR", "the escape character instead of ~, or none"},
	{"reason",  0, "TEXT", "why; kept with the recording"},
	{"document", 0, "NAME", "the session document, where a policy wants it named"},
	{"quiet",			  'q', NULL, "do not say which session it is"},
	{0			  },
};

const struct command cmd_shell = {
	.name = "shell",
	.operands = "[USER@]NODE [-- CMD]",
	.summary = "Open a shell on a node, or run CMD on a terminal there. It is recorded.",
	.about =
		"  The exit status is the remote's, 128+N when signal N ended it, or 255 when\n"
		"  there was none. At the start of a line, ~. ends the session, ~d detaches it\n"
		"  (`hawser attach` comes back to it), ~? lists the escapes. A link that is lost\n"
		"  is dialled again; what is typed meanwhile waits.",
	.examples = {"hawser shell web-01",
		     "hawser shell postgres@db-1 --reason 'INC-118' -- psql"},
	.options = options,
	.min = 1,
	.max = 1,
	.words = true,
	.failure = 255,
	.run = run_shell,
};
