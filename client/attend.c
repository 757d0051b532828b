#include "client/attend.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "client/escape.h"
#include "client/follow.h"
#include "client/outage.h"
#include "client/progress.h"
#include "client/terminal.h"
#include "client/view.h"

#define SIGNALS 3

struct attend {
	struct attend_config config;
	struct client *client;
	struct follow *follow;
	const struct view_row *view;
	void *shown;
	struct progress *progress;
	struct outage *outage;
	struct loop_signal *signals[SIGNALS];

	struct terminal *terminal; /* while a question stands there */
	struct loop_fd *keys;
	enum { LEFT_NOT, LEFT_DETACHED, LEFT_SIGNAL } left;
	int signo;	   /* that cancelled it, or that we left with */
	bool cancels;	   /* it was asked for */
	bool over, done;   /* the command; and everything is written */
	struct hw_err why; /* of an end that is our fault */
};

/* --- its end ---------------------------------------------------------------------------------- */

static void
check_done(struct attend *a)
{
	if (a->over && (a->view->is_out == NULL || a->view->is_out(a->shown)))
		a->done = true;
	if (a->done)
		conn_wake(a->client->conn);
}

/* Now, whatever is not written yet. */
static void
leave(struct attend *a)
{
	a->over = a->done = true;
	conn_wake(a->client->conn);
}

static void
fail(struct attend *a, const struct hw_err *err)
{
	if (a->why.code == 0)
		a->why = *err;
	leave(a);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void
end_question(struct attend *a)
{
	loop_fd_free(a->keys);
	terminal_close(a->terminal);
	a->keys = NULL;
	a->terminal = NULL;
	progress_resume(a->progress);
}

static void
cancel(struct attend *a)
{
	a->cancels = true;
	follow_cancel(a->follow);
}

static void
say_key(struct attend *a, char key)
{
	end_question(a);
	switch (key) {
	case 'c':
	case 'C':
		cancel(a);
		break;
	case 'd':
	case 'D':
		a->left = LEFT_DETACHED;
		leave(a);
		break;
	default:
		break;
	}
}

static void
on_key(void *arg, int what)
{
	struct attend *a = arg;
	char key;
	ssize_t n = read(STDIN_FILENO, &key, 1);

	(void)what;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	say_key(a, n == 1 ? key : '\0');
}

static bool
ask(struct attend *a)
{
	if (terminal_open(&a->terminal, STDIN_FILENO, TERMINAL_KEYS, NULL) < 0)
		return false;
	if (loop_fd_new(&a->keys, a->client->loop, STDIN_FILENO, on_key, a) < 0) {
		end_question(a);
		return false;
	}
	progress_pause(a->progress);
	fputs("\nhawser: c cancels it on all nodes, d leaves it running; any other key: go on.\n"
	      "hawser: Ctrl-C again cancels it and leaves.\n",
		stderr);
	terminal_enter(a->terminal);
	loop_fd_want(a->keys, LOOP_READ);
	return true;
}

/* --- signals ---------------------------------------------------------------------------------- */

static void
leave_by(struct attend *a, int signo)
{
	a->left = LEFT_SIGNAL;
	a->signo = signo;
	leave(a);
}

/* Without a person to ask it is the command that is ended: who sends it wants that. A second one
 * leaves, and so does the first of who only looks on. */
static void
interrupt(struct attend *a, int signo)
{
	bool again = a->terminal != NULL || a->signo != 0;

	if (a->terminal != NULL)
		end_question(a);
	if (!a->config.owns || again) {
		a->cancels = a->cancels || a->config.owns;
		leave_by(a, signo);
		return;
	}
	if (signo == SIGINT && isatty(STDIN_FILENO) && isatty(STDERR_FILENO) && ask(a))
		return;
	a->signo = signo;
	progress_hide(a->progress);
	client_say(a->client, "cancelling it on all nodes; another signal leaves at once");
	cancel(a);
}

static void
on_int(void *arg)
{
	interrupt(arg, SIGINT);
}

static void
on_term(void *arg)
{
	interrupt(arg, SIGTERM);
}

/* Whoever looked on has gone; what they began goes on, as after a detach. */
static void
on_hup(void *arg)
{
	leave_by(arg, SIGHUP);
}

static int
catch_signals(struct attend *a, struct hw_err *err)
{
	static const struct {
		int signo;
		void (*fn)(void *);
	} rows[SIGNALS] = {
		{SIGINT,	 on_int },
		{SIGTERM, on_term},
		{SIGHUP,	 on_hup },
	};

	for (size_t i = 0; i < SIGNALS; i++)
		if (loop_signal_new(&a->signals[i], a->client->loop, rows[i].signo, rows[i].fn, a) <
			0)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
	return 0;
}

static void
free_signals(struct attend *a)
{
	for (size_t i = 0; i < SIGNALS; i++) {
		loop_signal_free(a->signals[i]);
		a->signals[i] = NULL;
	}
}

/* --- what happens ----------------------------------------------------------------------------- */

static void
on_change(void *arg, const struct fates *all)
{
	struct attend *a = arg;

	progress_show(a->progress, all);
}

static void
on_output(void *arg, struct follow_node *node, int stream, size_t step, uint64_t offset,
	const uint8_t *p, size_t n)
{
	struct attend *a = arg;
	struct hw_err err = HW_ERR_INIT;

	if (!a->done && a->view->output(a->shown, node, stream, step, offset, p, n, &err) < 0)
		fail(a, &err);
}

static void
on_node_end(void *arg, struct follow_node *node)
{
	struct attend *a = arg;
	struct hw_err err = HW_ERR_INIT;

	if (!a->done && a->view->node_end(a->shown, node, &err) < 0)
		fail(a, &err);
}

static void
on_output_failed(void *arg, struct follow_node *node, int code, const char *why)
{
	struct attend *a = arg;

	progress_hide(a->progress);
	if (code == HW_EDENIED)
		client_say(a->client, "what it writes is not shown: %s", why);
	else
		client_say(a->client, "what it wrote on %s is not whole: %s", node->name, why);
}

static void
on_output_waits(void *arg, const char *why)
{
	struct attend *a = arg;

	progress_hide(a->progress);
	client_say(a->client, "the relay gives no output just now, and is asked again: %s", why);
}

static void
on_cancelled(void *arg, int code, const char *why)
{
	struct attend *a = arg;

	progress_hide(a->progress);
	if (code == 0)
		client_say(a->client, "it is being cancelled");
	else
		client_say(a->client, "it could not be cancelled: %s", why);
}

static void
on_lost(void *arg, const char *why)
{
	struct attend *a = arg;

	(void)why;
	outage_begin(a->outage, HW_EUNAVAILABLE);
}

static void
on_back(void *arg)
{
	struct attend *a = arg;

	outage_end(a->outage);
}

static void
on_over(void *arg, int code, const char *why)
{
	struct attend *a = arg;

	if (code != 0 && a->why.code == 0)
		hw_err_set(&a->why, code, "%s", why);
	a->over = true;
	check_done(a);
}

static const struct follow_events follow_events = {
	.on_change = on_change,
	.on_output = on_output,
	.on_node_end = on_node_end,
	.on_output_failed = on_output_failed,
	.on_output_waits = on_output_waits,
	.on_cancelled = on_cancelled,
	.on_lost = on_lost,
	.on_back = on_back,
	.on_over = on_over,
};

static bool
wants(void *arg, const struct follow_node *node)
{
	const struct attend *a = arg;

	return a->config.wants(a->config.arg, node);
}

static bool
has_room(void *arg)
{
	const struct attend *a = arg;

	return a->view->has_room == NULL || a->view->has_room(a->shown);
}

static void
will_write(void *arg)
{
	struct attend *a = arg;

	progress_hide(a->progress);
}

static void
on_room(void *arg)
{
	struct attend *a = arg;

	if (a->follow != NULL && !a->over)
		follow_go(a->follow);
	check_done(a);
}

static void
say_outage(void *arg, const char *text)
{
	struct attend *a = arg;

	progress_hide(a->progress);
	client_say(a->client, "%s", text);
}

/* --- beginning -------------------------------------------------------------------------------- */

static int
style_of(const struct attend *a)
{
	const char *term = getenv("TERM");

	if (a->config.quiet)
		return PROGRESS_SILENT;
	return isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0 ? PROGRESS_LIVE
										  : PROGRESS_LINES;
}

static int
begin_words(struct attend *a, struct hw_err *err)
{
	const struct progress_config progress = {.loop = a->client->loop, .style = style_of(a)};
	const struct outage_config outage = {
		.loop = a->client->loop,
		.style = a->config.quiet ? OUTAGE_SILENT : OUTAGE_LINES,
		.escape = ESCAPE_OFF,
		.say = say_outage,
		.arg = a,
	};
	int r = progress_new(&a->progress, &progress, err);

	return r < 0 ? r : outage_new(&a->outage, &outage, err);
}

static int
begin_view(struct attend *a, struct hw_err *err)
{
	const struct view_config config = {
		.client = a->client,
		.command = a->config.command,
		.log_dir = a->config.log_dir,
		.safe = isatty(STDOUT_FILENO),
		.will_write = will_write,
		.on_room = on_room,
		.arg = a,
	};

	return a->view->open(&a->shown, &config, err);
}

static int
begin_follow(struct attend *a, struct hw_err *err)
{
	const struct follow_config config = {
		.conn = a->client->conn,
		.command_id = a->config.command->command_id,
		.events = &follow_events,
		.arg = a,
		.live = a->view->live,
		.gentle = a->view->gentle,
		.silent = a->view->silent,
		.no_wait = a->config.no_wait,
		.wants = a->config.wants != NULL ? wants : NULL,
		.has_room = has_room,
	};

	return follow_new(&a->follow, &config, err);
}

/* --- leaving ---------------------------------------------------------------------------------- */

/* Who leaves at once wants it cancelled all the same. */
static void
make_sure_of_cancel(struct attend *a)
{
	const struct msg_cancel_command_request req = {.command_id = a->config.command->command_id};
	const struct msg_empty *reply;
	struct hw_err err = HW_ERR_INIT;

	if (!a->cancels || a->left != LEFT_SIGNAL || follow_is_cancelled(a->follow))
		return;
	if (conn_link(a->client->conn) == NULL)
		hw_err_set(&err, HW_EUNAVAILABLE, "there is no link to the relay");
	else
		client_call(&reply, a->client, OP_cancel_command, &req, &err);
	if (err.code != 0)
		client_say(a->client, "it could not be cancelled, and goes on: %s",
			hw_err_text(&err));
	a->client->hint[0] = '\0';
}

static int
exit_status(const struct attend *a)
{
	if (a->left == LEFT_DETACHED)
		return 0;
	if (a->signo != 0)
		return 128 + a->signo;
	return fates_exit(follow_fates(a->follow));
}

static int
end(struct attend *a, struct hw_err *err)
{
	const char *id = a->config.command->command_id;
	int r;

	if (a->terminal != NULL)
		end_question(a);
	outage_stop(a->outage);
	if (a->config.no_wait || a->left == LEFT_DETACHED)
		progress_pause(a->progress);
	else
		progress_end(a->progress, follow_fates(a->follow));
	free_signals(a); /* what follows may be ended by them */
	make_sure_of_cancel(a);
	if (a->left == LEFT_DETACHED)
		client_say(a->client, "it goes on; hawser runs output %s takes it up again", id);
	else if ((r = a->view->finish(a->shown, a->follow, a->why.code == 0 ? &a->why : NULL)) <
			0 &&
		a->why.code == 0)
		hw_err_set(&a->why, r, "%s", hw_code_meaning(r));
	if (a->why.code == 0)
		return exit_status(a);
	client_hint(a->client, "hawser runs output %s", id);
	return hw_err_set(err, a->why.code, "%s", a->why.text);
}

int
attend(const struct attend_config *config, struct hw_err *err)
{
	struct attend a = {.config = *config, .client = config->client, .view = config->view};
	int r;

	if ((r = client_connect(a.client, err)) < 0 || (r = begin_words(&a, err)) < 0 ||
		(r = begin_view(&a, err)) < 0 || (r = catch_signals(&a, err)) < 0 ||
		(r = begin_follow(&a, err)) < 0)
		goto out;
	conn_wait(a.client->conn, &a.done, -1);
	r = end(&a, err);
out:
	free_signals(&a);
	progress_free(a.progress);
	outage_free(a.outage);
	if (a.view->close != NULL && a.shown != NULL)
		a.view->close(a.shown, a.follow);
	follow_free(a.follow);
	return r;
}
