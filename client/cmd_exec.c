/* hawser exec: a command without a pty: clean streams, the exact exit status. */
#include <signal.h>
#include <stdlib.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/console.h"
#include "client/fleet.h"

struct exec {
	struct client *client;
	struct console *console;
	bool asked; /* one signal was passed on: the next one ends us */
	struct loop_signal *signals[3];
	size_t n_signals;
};

/* The remote program decides what the first one means; who sends another wants an end. So does who
 * sends one while a link is lost: it could not reach the program. */
static void
exec_signal(struct exec *x, int signo, const char *name)
{
	if (x->asked || remote_is_waiting(console_remote(x->console)))
		console_stop(x->console, 128 + signo);
	else
		remote_signal(console_remote(x->console), name);
	x->asked = true;
}

static void
on_int(void *arg)
{
	exec_signal(arg, SIGINT, "INT");
}

static void
on_term(void *arg)
{
	exec_signal(arg, SIGTERM, "TERM");
}

/* Whoever would see the rest has gone. */
static void
on_hup(void *arg)
{
	struct exec *x = arg;

	console_stop(x->console, 128 + SIGHUP);
}

static int
catch_signals(struct exec *x, struct hw_err *err)
{
	static const struct {
		int signo;
		void (*fn)(void *);
	} rows[] = {
		{SIGINT,	 on_int },
		  {SIGTERM, on_term},
		      {SIGHUP,  on_hup }
	      };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (loop_signal_new(&x->signals[x->n_signals], x->client->loop, rows[i].signo,
			    rows[i].fn, x) < 0)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
		x->n_signals++;
	}
	return 0;
}

static int
run_exec(struct client *c, const struct input *in, struct hw_err *err)
{
	struct remote_request req = {.type = CHANNEL_TYPE_EXEC, .reason = input_text(in, "reason")};
	struct exec x = {.client = c};
	struct console_config config = {
		.client = c,
		.request = &req,
		.escape = ESCAPE_OFF,
		.no_input = input_has(in, "no-stdin"),
		.quiet = input_has(in, "quiet"),
		.arg = &x,
	};
	const char *name;
	char *command = input_join(in);
	int status = 0, r;

	if (command == NULL) {
		r = hw_err_set(err, HW_EUSAGE, "exec wants a command after the node: -- CMD");
		goto out;
	}
	req.command = command;
	if ((r = console_target(&req.run_as, &name, c, in->operands[0], err)) < 0 ||
		(r = client_connect(c, err)) < 0 ||
		(r = fleet_node_id(&req.target, &config.node, c, name, err)) < 0 ||
		(r = console_new(&x.console, &config, err)) < 0 || (r = catch_signals(&x, err)) < 0)
		goto out;
	status = console_run(x.console);
	console_report(x.console);
out:
	for (size_t i = 0; i < x.n_signals; i++)
		loop_signal_free(x.signals[i]);
	console_free(x.console);
	free(command);
	return r < 0 ? r : status;
}

static const struct option_row options[] = {
	{"no-stdin", 'n', NULL, "the command reads nothing; stdin is left alone"},
	{"reason",	   0, "TEXT", "why; kept with the recording"},
	{"quiet",	  'q', NULL, "not a word about a link that is lost and waited for"},
	{0	  },
};

const struct command cmd_exec = {
	.name = "exec",
	.operands = "[USER@]NODE -- CMD",
	.summary = "Run a command on a node, without a terminal. It is recorded.",
	.about = "  Its stdin, stdout and stderr are ours, byte for byte. The words of CMD are\n"
		 "  joined by blanks and run by the user's login shell, as ssh does it. The exit\n"
		 "  status is the command's, 128+N when signal N ended it, or 255 when it could\n"
		 "  not run. The first Ctrl-C goes to the command, the second ends hawser.\n"
		 "  A link that is lost is dialled again, and nothing of the streams is lost.",
	.examples = {"hawser exec web-01 -- uname -r",
		     "tar c site | hawser exec root@web-01 -- tar x -C /srv"},
	.options = options,
	.min = 1,
	.max = 1,
	.words = true,
	.failure = 255,
	.run = run_exec,
};
