/* hawser shell: a recorded pty session. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/console.h"
#include "proto/base/display.h"
#include "client/fleet.h"
#include "client/terminal.h"

struct shell {
	struct client *client;
	struct console *console;
	struct terminal *terminal; /* NULL: stdin is none */
	const char *node;
	int escape;
	bool quiet;
	struct loop_signal *signals[6];
	size_t n_signals;
};

/* --- what is said on the way ----------------------------------------------------------------- */

/* To a terminal that may be raw. */
static void
shell_tell(const struct shell *sh, const char *text)
{
	bool fresh;

	if (sh->console != NULL)
		console_clear(sh->console);
	fresh = sh->console == NULL || !console_mid_line(sh->console);
	fprintf(stderr, "%shawser: %s\r\n", fresh ? "" : "\r\n", text);
}

static void
shell_banner(const struct shell *sh, const char *session_id)
{
	char help[40] = "";

	if (sh->terminal != NULL && sh->escape >= ' ')
		snprintf(help, sizeof(help), "; %c? for help", sh->escape);
	client_say(sh->client, "session %s on %s (recorded%s)", session_id, sh->node, help);
}

static void
on_started(void *arg, const char *session_id)
{
	struct shell *sh = arg;

	if (!sh->quiet)
		shell_banner(sh, session_id);
	if (sh->terminal != NULL)
		terminal_enter(sh->terminal);
}

/* --- the terminal's signals and escapes ------------------------------------------------------ */

static void
shell_resize(struct shell *sh)
{
	int cols, rows;

	if (terminal_size(&cols, &rows))
		remote_resize(console_remote(sh->console), cols, rows);
}

static void
shell_suspend(struct shell *sh)
{
	console_clear(sh->console);
	if (sh->terminal != NULL)
		terminal_leave(sh->terminal);
	kill(getpid(), SIGSTOP);
	if (sh->terminal != NULL)
		terminal_enter(sh->terminal);
	shell_resize(sh); /* the window may be another one by now */
}

static void
shell_help(const struct shell *sh)
{
	struct buf text;

	console_clear(sh->console);
	buf_init(&text, 4096);
	escape_help(&text, sh->escape);
	fwrite(buf_data(&text), 1, text.len, stderr);
	buf_fini(&text);
}

static void
on_action(void *arg, enum escape_action action)
{
	struct shell *sh = arg;

	switch (action) {
	case ESCAPE_END:
		shell_tell(sh, "ended by you");
		console_stop(sh->console, 255);
		break;
	case ESCAPE_SUSPEND:
		shell_suspend(sh);
		break;
	case ESCAPE_HELP:
		shell_help(sh);
		break;
	case ESCAPE_DETACH:
		shell_tell(sh, "detaching is not in this version; ~. ends the session");
		break;
	case ESCAPE_FORWARD:
		shell_tell(sh, "a forward is a command of its own: hawser forward NODE -L SPEC");
		break;
	case ESCAPE_NONE:
		break;
	}
}

/* A file or pipe that ends is the end of the program's input; a terminal that does so has gone. */
static void
on_input_end(void *arg)
{
	struct shell *sh = arg;

	if (sh->terminal != NULL)
		console_stop(sh->console, 128 + SIGHUP);
	else
		remote_end_input(console_remote(sh->console));
}

static void
on_hup(void *arg)
{
	console_stop(((struct shell *)arg)->console, 128 + SIGHUP);
}

static void
on_int(void *arg)
{
	console_stop(((struct shell *)arg)->console, 128 + SIGINT);
}

static void
on_quit(void *arg)
{
	console_stop(((struct shell *)arg)->console, 128 + SIGQUIT);
}

static void
on_term(void *arg)
{
	console_stop(((struct shell *)arg)->console, 128 + SIGTERM);
}

static void
on_winch(void *arg)
{
	shell_resize(arg);
}

static void
on_tstp(void *arg)
{
	shell_suspend(arg);
}

static int
catch_signals(struct shell *sh, struct hw_err *err)
{
	static const struct {
		int signo;
		void (*fn)(void *);
	} rows[] = {
		{SIGHUP,	 on_hup  },
		{SIGINT,	 on_int  },
		{SIGQUIT,  on_quit },
		{SIGTERM,  on_term },
		{SIGWINCH, on_winch},
		{SIGTSTP,  on_tstp },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (loop_signal_new(&sh->signals[sh->n_signals], sh->client->loop, rows[i].signo,
			    rows[i].fn, sh) < 0)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
		sh->n_signals++;
	}
	return 0;
}

/* --- the command ----------------------------------------------------------------------------- */

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
	terminal_size(&req->cols, &req->rows);
	if (!input_has(in, "no-pty"))
		return;
	req->type = CHANNEL_TYPE_EXEC;
	if (req->command == NULL)
		req->command = "exec \"${SHELL:-/bin/sh}\" -l";
}

static int
shell_console(int *status, struct shell *sh, const struct remote_request *req, struct hw_err *err)
{
	struct console_config config = {
		.client = sh->client,
		.request = req,
		.escape = sh->terminal != NULL ? sh->escape : ESCAPE_OFF,
		.terminal = sh->terminal != NULL,
		.quiet = sh->quiet,
		.node = sh->node,
		.on_started = on_started,
		.on_action = on_action,
		.on_input_end = on_input_end,
		.arg = sh,
	};
	int r = console_new(&sh->console, &config, err);

	if (r < 0)
		return r;
	if ((r = catch_signals(sh, err)) == 0)
		*status = console_run(sh->console);
	return r;
}

static int
run_shell(struct client *c, const struct input *in, struct hw_err *err)
{
	struct remote_request req = {0};
	struct shell sh = {.client = c, .escape = '~', .quiet = input_has(in, "quiet")};
	const char *escape = input_text(in, "escape");
	const char *name;
	char *command = NULL;
	int status = 0, r;

	if (escape != NULL && escape_parse(&sh.escape, escape) < 0)
		return hw_err_set(err, HW_EUSAGE, "-e wants a character, ^ and a letter, or none");
	if ((r = console_target(&req.run_as, &name, c, in->operands[0], err)) < 0 ||
		(r = client_connect(c, err)) < 0 ||
		(r = fleet_node_id(&req.target, &sh.node, c, name, err)) < 0)
		return r;
	req.command = command = input_join(in);
	shell_request(&req, in);
	if (req.type == CHANNEL_TYPE_PTY && isatty(STDIN_FILENO) &&
		(r = terminal_open(&sh.terminal, STDIN_FILENO, TERMINAL_RAW, err)) < 0)
		goto out;
	r = shell_console(&status, &sh, &req, err);
	terminal_close(sh.terminal);
	if (r == 0)
		console_report(sh.console);
out:
	for (size_t i = 0; i < sh.n_signals; i++)
		loop_signal_free(sh.signals[i]);
	console_free(sh.console);
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
		"  there was none. At the start of a line, ~. ends the session and ~? lists the\n"
		"  escapes. A link that is lost is dialled again; what is typed meanwhile waits.",
	.examples = {"hawser shell web-01",
		     "hawser shell postgres@db-1 --reason 'INC-118' -- psql"},
	.options = options,
	.min = 1,
	.max = 1,
	.words = true,
	.failure = 255,
	.run = run_shell,
};
