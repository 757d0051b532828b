#include "client/shell.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "client/console.h"
#include "client/terminal.h"

#define CTRL_C	   0x03
#define READ_FIRST USEC_PER_SEC /* for what is said before another's screen hides it */

struct shell {
	struct shell_config config;
	const struct role *role;
	struct console *console;
	struct terminal *terminal; /* NULL: stdin is none */
	bool detaches;		   /* it can go on without us */
	bool left;		   /* and does */
	bool ended;		   /* by its user's word */
	int cols, rows;		   /* of the session's terminal, that we were told of last */
	struct loop_signal *signals[6];
	size_t n_signals;
};

/* What each way of being there is called. */
struct role {
	const char *begin, *note; /* before the session, and after its node */
	const char *leave;
	const char *again; /* the command that comes back */
	bool own;	   /* the session */
};

static const struct role roles[] = {
	[REMOTE_START] = {"session",	     "",				 "detached from", "attach",	    true },
	[REMOTE_ATTACH] = {"attached to session", "",				      "detached from", "attach",	 true },
	[REMOTE_JOIN] = {"joined session",	   "; what you type goes into it",	   "left",	   "attach --join",
			  false											    },
	[REMOTE_WATCH] = {"watching session",    "; no key is sent, Ctrl-C leaves", "left",
			  "sessions watch",									   false},
};

static const char *
session_of(const struct shell *sh)
{
	return remote_session(console_remote(sh->console));
}

/* --- what is said on the way ------------------------------------------------------------------ */

/* To a terminal that may be raw. */
static void
tell(const struct shell *sh, const char *text)
{
	bool fresh;

	if (sh->console != NULL)
		console_clear(sh->console);
	fresh = sh->console == NULL || !console_mid_line(sh->console);
	fprintf(stderr, "%shawser: %s\r\n", fresh ? "" : "\r\n", text);
}

static void
say_begin(const struct shell *sh, const char *session_id)
{
	char help[40] = "";

	if (sh->terminal != NULL && sh->config.escape >= ' ')
		snprintf(help, sizeof(help), "; %c? for help", sh->config.escape);
	client_say(sh->config.client, "%s %s on %s%s (recorded%s)", sh->role->begin, session_id,
		sh->config.node, sh->role->note, help);
}

static void
on_started(void *arg, const char *session_id)
{
	struct shell *sh = arg;

	if (!sh->config.quiet)
		say_begin(sh, session_id);
	if (sh->terminal != NULL)
		terminal_enter(sh->terminal);
	if (!sh->role->own && !sh->config.quiet)
		console_hold(sh->console, READ_FIRST);
}

/* A larger session is drawn beyond the edges of our terminal. */
static void
warn_of_size(const struct shell *sh)
{
	char text[160];
	int cols, rows;

	if (!terminal_size(&cols, &rows) || sh->cols == 0 || (cols >= sh->cols && rows >= sh->rows))
		return;
	snprintf(text, sizeof(text),
		"the session's terminal has %dx%d, and yours %dx%d: make it larger to see all",
		sh->cols, sh->rows, cols, rows);
	tell(sh, text);
}

static void
on_size(void *arg, int cols, int rows)
{
	struct shell *sh = arg;
	bool same = cols == sh->cols && rows == sh->rows;

	sh->cols = cols;
	sh->rows = rows;
	if (!same)
		warn_of_size(sh);
}

/* --- leaving ---------------------------------------------------------------------------------- */

static void
leave(struct shell *sh)
{
	sh->left = true;
	remote_leave(console_remote(sh->console));
}

static void
end(struct shell *sh)
{
	sh->ended = true;
	remote_outlive(console_remote(sh->console), false);
	console_stop(sh->console, 255);
}

/* Who stops us by a signal wants an end of what runs there; who has lost the terminal does not. */
static void
stop(struct shell *sh, int signo)
{
	if (signo != SIGHUP && signo != SIGTERM)
		remote_outlive(console_remote(sh->console), false);
	console_stop(sh->console, 128 + signo);
}

static void
say_left(const struct shell *sh, const char *why)
{
	const char *session = session_of(sh);

	console_say(sh->console, "%s %s%s%s; hawser %s %s takes it up again", sh->role->leave,
		session, why[0] != '\0' ? ": " : "", why, sh->role->again, session);
}

/* --- the terminal's signals and escapes ------------------------------------------------------- */

static void
resize(struct shell *sh)
{
	int cols, rows;

	if (terminal_size(&cols, &rows))
		remote_resize(console_remote(sh->console), cols, rows);
	if (!sh->role->own)
		warn_of_size(sh);
}

static void
suspend(struct shell *sh)
{
	console_clear(sh->console);
	if (sh->terminal != NULL)
		terminal_leave(sh->terminal);
	kill(getpid(), SIGSTOP);
	if (sh->terminal != NULL)
		terminal_enter(sh->terminal);
	resize(sh); /* the window may be another one by now */
}

static void
help(const struct shell *sh)
{
	struct buf text;

	console_clear(sh->console);
	buf_init(&text, 4096);
	escape_help(&text, sh->config.escape, sh->role->own);
	fwrite(buf_data(&text), 1, text.len, stderr);
	buf_fini(&text);
}

static void
on_action(void *arg, enum escape_action action)
{
	struct shell *sh = arg;

	if (sh->left) /* what is typed after that is for nobody */
		return;
	switch (action) {
	case ESCAPE_END:
		sh->role->own ? end(sh) : leave(sh);
		break;
	case ESCAPE_DETACH:
		if (sh->detaches)
			leave(sh);
		else
			tell(sh, "a session without a terminal cannot be detached; ~. ends it");
		break;
	case ESCAPE_SUSPEND:
		suspend(sh);
		break;
	case ESCAPE_HELP:
		help(sh);
		break;
	case ESCAPE_FORWARD:
		tell(sh, "a forward is a command of its own: hawser forward NODE -L SPEC");
		break;
	case ESCAPE_NONE:
		break;
	}
}

/* A terminal that ends has gone. A file or pipe that does is the end of the program's input, of
 * the one that was started with it; a shell that ran before goes on. */
static void
on_input_end(void *arg)
{
	struct shell *sh = arg;

	if (sh->terminal != NULL)
		stop(sh, SIGHUP);
	else if (sh->config.request->way == REMOTE_START)
		remote_end_input(console_remote(sh->console));
	else
		leave(sh);
}

static void
on_typed(void *arg, const uint8_t *p, size_t n)
{
	if (memchr(p, CTRL_C, n) != NULL)
		leave(arg);
}

static void
on_hup(void *arg)
{
	stop(arg, SIGHUP);
}

static void
on_int(void *arg)
{
	stop(arg, SIGINT);
}

static void
on_quit(void *arg)
{
	stop(arg, SIGQUIT);
}

static void
on_term(void *arg)
{
	stop(arg, SIGTERM);
}

static void
on_winch(void *arg)
{
	resize(arg);
}

static void
on_tstp(void *arg)
{
	suspend(arg);
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
		if (loop_signal_new(&sh->signals[sh->n_signals], sh->config.client->loop,
			    rows[i].signo, rows[i].fn, sh) < 0)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
		sh->n_signals++;
	}
	return 0;
}

/* --- the whole -------------------------------------------------------------------------------- */

int
shell_escape(int *ret, const struct input *in, struct hw_err *err)
{
	const char *text = input_text(in, "escape");

	*ret = '~';
	if (text != NULL && escape_parse(ret, text) < 0)
		return hw_err_set(err, HW_EUSAGE, "-e wants a character, ^ and a letter, or none");
	return 0;
}

static int
run_console(int *status, struct shell *sh, struct hw_err *err)
{
	struct console_config config = {
		.client = sh->config.client,
		.request = sh->config.request,
		.escape = sh->terminal != NULL ? sh->config.escape : ESCAPE_OFF,
		.terminal = sh->terminal != NULL,
		.quiet = sh->config.quiet,
		.node = sh->config.node,
		.on_started = on_started,
		.on_action = on_action,
		.on_input_end = on_input_end,
		.on_typed = sh->config.request->way == REMOTE_WATCH ? on_typed : NULL,
		.on_size = on_size,
		.arg = sh,
	};
	int r = console_new(&sh->console, &config, err);

	if (r < 0)
		return r;
	/* A shell on a terminal is ended by a word; with a file for input, by its end. */
	remote_outlive(console_remote(sh->console),
		sh->detaches && (sh->terminal != NULL || config.request->way != REMOTE_START));
	if ((r = catch_signals(sh, err)) == 0)
		*status = console_run(sh->console);
	return r;
}

/* A relay that was started anew has forgotten who watches and who joined; the session may go on. */
static void
say_again(const struct shell *sh)
{
	const char *session = session_of(sh);

	if (!sh->role->own && session != NULL && console_code(sh->console) == HW_ENOSESSION)
		console_say(sh->console,
			"a relay that was started anew forgets who looks on: hawser %s %s asks again",
			sh->role->again, session);
}

static void
report(const struct shell *sh)
{
	if (console_code(sh->console) == HW_EDETACHED)
		say_left(sh, console_why(sh->console));
	else if (sh->left && console_is_cut(sh->console) && console_code(sh->console) == 0)
		say_left(sh, "");
	else if (sh->ended)
		console_say(sh->console, "ended by you");
	else {
		console_report(sh->console);
		say_again(sh);
	}
}

static int
open_terminal(struct shell *sh, struct hw_err *err)
{
	const struct remote_request *req = sh->config.request;

	if ((req->way == REMOTE_START && req->type != CHANNEL_TYPE_PTY) || !isatty(STDIN_FILENO))
		return 0;
	return terminal_open(&sh->terminal, STDIN_FILENO, TERMINAL_RAW, err);
}

int
shell_run(int *status, const struct shell_config *config, struct hw_err *err)
{
	struct remote_request *req = config->request;
	struct shell sh = {.config = *config, .role = &roles[req->way]};
	int r;

	sh.detaches = req->way != REMOTE_START || req->type == CHANNEL_TYPE_PTY;
	terminal_size(&req->cols, &req->rows);
	r = open_terminal(&sh, err);
	if (r == 0)
		r = run_console(status, &sh, err);
	terminal_close(sh.terminal);
	if (r == 0)
		report(&sh);
	for (size_t i = 0; i < sh.n_signals; i++)
		loop_signal_free(sh.signals[i]);
	console_free(sh.console);
	return r;
}
