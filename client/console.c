#include "client/console.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "proto/base/display.h"
#include "client/feed.h"
#include "client/outage.h"
#include "client/outlet.h"
#include "client/screen.h"
#include "client/terminal.h"

/* Two sizes that come together would be one for the program: that which it has already. */
#define REPAINT_AFTER (200 * USEC_PER_MSEC)

#define CANCEL	       0x18
#define RESTORE_WITHIN USEC_PER_SEC /* a terminal that takes nothing is left as it is */

struct console {
	struct console_config config;
	struct client *client;
	struct remote *remote;
	struct outlet *outlets[STREAMS]; /* STREAM_OUT and STREAM_ERR */
	struct feed *feed;
	char last_byte; /* of stdout */
	struct outage *outage;
	struct screen screen;
	struct buf runs; /* struct run: whose the bytes of the first outlet's queue are */
	size_t theirs;	 /* those of them that are the program's */
	bool drawing;	 /* a screen has begun to come */
	bool drawn;	 /* one has come before */
	struct loop_timer repaint, uncork;
	bool over; /* the program, or what we wanted of it */
	bool done; /* and everything is out */
	bool cut;  /* the program has not come to its end */
	int status;
	int code; /* why, when not by itself; 0 */
	char *why;
};

/* Bytes of the queue that lie together. The program's are credited to it, ours are nobody's. */
struct run {
	size_t n;
	bool ours;
};
#define RUNS_MAX (1024 * sizeof(struct run)) /* screens that wait for our terminal: a few */

static void
check_done(struct console *con)
{
	con->done = con->over && outlet_is_empty(con->outlets[STREAM_OUT]) &&
		outlet_is_empty(con->outlets[STREAM_ERR]);
	if (con->done)
		conn_wake(con->client->conn);
}

/* --- output ---------------------------------------------------------------------------------- */

static struct run *
last_run(struct console *con)
{
	size_t at = con->runs.head + con->runs.len - sizeof(struct run);

	return con->runs.len > 0 ? (struct run *)(void *)(con->runs.mem + at) : NULL;
}

/* How many of the n bytes that are out were the program's. */
static size_t
take_runs(struct console *con, size_t n)
{
	struct run run;
	size_t theirs = 0;

	while (n > 0 && con->runs.len > 0) {
		memcpy(&run, buf_data(&con->runs), sizeof(run));
		size_t some = n < run.n ? n : run.n;
		n -= some;
		theirs += run.ours ? 0 : some;
		run.n -= some;
		if (run.n == 0)
			buf_consume(&con->runs, sizeof(run));
		else
			memcpy(con->runs.mem + con->runs.head, &run, sizeof(run));
	}
	return theirs;
}

static void
on_written(void *arg, int stream, size_t n)
{
	struct console *con = arg;

	if (stream == STREAM_OUT) {
		n = take_runs(con, n);
		con->theirs -= n;
		if (outlet_is_empty(con->outlets[stream]))
			screen_settle(&con->screen);
	}
	if (n > 0)
		remote_consumed(con->remote, stream, n);
	check_done(con);
}

/* As for a local program in a pipeline whose reader has left: no word, and SIGPIPE's status. */
static void
on_write_failed(void *arg, int stream, int error)
{
	struct console *con = arg;

	if (error != EPIPE && con->code == 0) {
		con->code = HW_EIO;
		free(con->why);
		if (asprintf(&con->why, "cannot write %s: %s",
			    stream == STREAM_ERR ? "stderr" : "stdout", strerror(error)) < 0)
			con->why = NULL;
	}
	console_stop(con, error == EPIPE ? 128 + SIGPIPE : 255);
}

static const struct outlet_events console_outlet_events = {
	.on_written = on_written,
	.on_failed = on_write_failed,
};

/* To stdout, in the order of the calls. Some of it may be out when it returns. */
static void
put(struct console *con, const void *p, size_t n, bool ours)
{
	const struct run run = {.n = n, .ours = ours};
	struct run *last = last_run(con);

	if (last != NULL && last->ours == ours) {
		last->n += n;
	} else if (buf_append(&con->runs, &run, sizeof(run)) < 0) {
		con->code = HW_ENOMEM;
		console_stop(con, 255);
		return;
	}
	con->theirs += ours ? 0 : n;
	outlet_write(con->outlets[STREAM_OUT], p, n);
}

static void
on_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	struct console *con = arg;

	if (n == 0 || con->over)
		return;
	if (stream == STREAM_OUT) {
		con->last_byte = (char)p[n - 1];
		screen_feed(&con->screen, p, n);
		put(con, p, n, false);
	} else if (stream == STREAM_ERR) {
		outlet_write(con->outlets[stream], p, n);
	} else {
		remote_consumed(con->remote, stream, n);
	}
}

/* What stands on our terminal scrolls away, to where it can be looked at later. */
static void
make_room(struct console *con, struct buf *out)
{
	int cols, rows;

	if (con->drawn || !isatty(STDOUT_FILENO) || !terminal_size(&cols, &rows))
		return;
	for (int i = 0; i < rows; i++)
		buf_append_str(out, "\r\n");
}

static void
begin_screen(struct console *con)
{
	struct buf out;

	console_clear(con);
	buf_init(&out, 1 << 20);
	screen_cut(&con->screen, &out);
	make_room(con, &out);
	con->drawing = con->drawn = true;
	if (out.len > 0)
		put(con, buf_data(&out), out.len, true);
	buf_fini(&out);
}

/* Where the cursor is then nobody here knows. */
static void
on_screen(void *arg, const uint8_t *p, size_t n, bool last)
{
	struct console *con = arg;

	if (con->over)
		return;
	if (!con->drawing)
		begin_screen(con);
	con->drawing = !last;
	if (n == 0 || con->over)
		return;
	screen_feed(&con->screen, p, n);
	con->last_byte = '\0';
	put(con, p, n, true);
}

/* To our own screen, after everything that the program has written. */
static bool
draw(void *arg, const void *p, size_t n)
{
	struct console *con = arg;

	if (con->theirs > 0)
		return false;
	put(con, p, n, true);
	return true;
}

/* CR LF: the terminal may be raw. */
static void
tell(void *arg, const char *text)
{
	struct console *con = arg;
	struct buf line;

	console_clear(con);
	buf_init(&line, 16384);
	buf_append_str(&line, console_mid_line(con) ? "\r\nhawser: " : "hawser: ");
	display_append(&line, text, strlen(text));
	buf_append_str(&line, isatty(STDERR_FILENO) ? "\r\n" : "\n");
	fwrite(buf_data(&line), 1, line.len, stderr);
	buf_fini(&line);
}

/* --- input ----------------------------------------------------------------------------------- */

static void
on_action(void *arg, enum escape_action action)
{
	struct console *con = arg;

	if (con->config.on_action != NULL)
		con->config.on_action(con->config.arg, action);
}

static void
on_input_end(void *arg)
{
	struct console *con = arg;

	if (con->config.on_input_end != NULL)
		con->config.on_input_end(con->config.arg);
	else
		remote_end_input(con->remote);
}

/* A bell for the first one that was too many; the rest is on the screen. */
static void
on_held(void *arg, size_t kept, size_t dropped)
{
	struct console *con = arg;

	if (dropped > 0)
		draw(con, "\a", 1);
	outage_keys(con->outage, kept, dropped);
}

static const struct feed_events console_feed_events = {
	.on_action = on_action,
	.on_end = on_input_end,
	.on_held = on_held,
};

static void
on_typed(void *arg, const uint8_t *p, size_t n)
{
	struct console *con = arg;

	con->config.on_typed(con->config.arg, p, n);
}

static const struct feed_events console_mute_events = {
	.on_action = on_action,
	.on_end = on_input_end,
	.on_held = on_held,
	.on_typed = on_typed,
};

/* --- the remote's events --------------------------------------------------------------------- */

static void
on_started(void *arg, const char *session_id)
{
	struct console *con = arg;

	if (con->config.on_started != NULL)
		con->config.on_started(con->config.arg, session_id);
}

static void
on_room(void *arg)
{
	struct console *con = arg;

	if (con->feed != NULL && !con->over)
		feed_go(con->feed);
}

static void
on_waiting(void *arg, int code, const char *why)
{
	struct console *con = arg;

	(void)why;
	outage_begin(con->outage, code);
	if (con->config.terminal && con->feed != NULL)
		feed_hold(con->feed);
}

static void
on_repaint(void *arg)
{
	struct console *con = arg;
	int cols, rows;

	if (terminal_size(&cols, &rows))
		remote_resize(con->remote, cols, rows);
}

/* A program that fills the screen shows it anew when its size changes. */
static void
repaint(struct console *con)
{
	int cols, rows;

	if (!terminal_size(&cols, &rows) || rows < 2)
		return;
	remote_resize(con->remote, cols, rows - 1);
	loop_timer_start(conn_loop(con->client->conn), &con->repaint, REPAINT_AFTER);
}

static void
on_back(void *arg)
{
	struct console *con = arg;

	if (outage_end(con->outage))
		repaint(con);
	if (con->feed != NULL && !con->over)
		feed_release(con->feed);
}

static void
on_exit_of_remote(void *arg, const struct remote_exit *e)
{
	struct console *con = arg;

	if (con->over)
		return;
	outage_stop(con->outage);
	con->over = true;
	con->status = e->status;
	con->cut = !e->exited;
	con->code = e->code;
	con->why = e->code != 0 ? strdup(e->message) : NULL;
	check_done(con);
}

static void
on_size(void *arg, int cols, int rows)
{
	struct console *con = arg;

	if (con->config.on_size != NULL)
		con->config.on_size(con->config.arg, cols, rows);
}

static const struct remote_events console_remote_events = {
	.on_started = on_started,
	.on_output = on_output,
	.on_room = on_room,
	.on_notice = tell,
	.on_screen = on_screen,
	.on_size = on_size,
	.on_exit = on_exit_of_remote,
	.on_waiting = on_waiting,
	.on_back = on_back,
};

/* --- life ------------------------------------------------------------------------------------ */

static bool
has_screen(const struct console_config *config)
{
	const char *term = getenv("TERM");

	return config->terminal && isatty(STDOUT_FILENO) && term != NULL &&
		strcmp(term, "dumb") != 0;
}

static int
make_outage(struct console *con, struct hw_err *err)
{
	struct outage_config config = {
		.loop = conn_loop(con->client->conn),
		.style = con->config.quiet ? OUTAGE_SILENT : OUTAGE_LINES,
		.node = con->config.node,
		.escape = con->config.escape,
		.screen = &con->screen,
		.say = tell,
		.draw = draw,
		.arg = con,
	};

	if (has_screen(&con->config))
		config.style = OUTAGE_SCREEN;
	return outage_new(&con->outage, &config, err);
}

static int
open_input(struct console *con, struct hw_err *err)
{
	int r;

	if (con->config.no_input) {
		remote_end_input(con->remote);
		return 0;
	}
	if (con->config.on_typed != NULL && !con->config.terminal)
		return 0;
	r = feed_new(&con->feed, conn_loop(con->client->conn), STDIN_FILENO, con->remote,
		con->config.escape,
		con->config.on_typed != NULL ? &console_mute_events : &console_feed_events, con,
		err);
	if (r == 0 && con->config.terminal && remote_is_waiting(con->remote))
		feed_hold(con->feed);
	return r;
}

static int
open_outlets(struct console *con, struct loop *l, struct hw_err *err)
{
	int r = outlet_new(&con->outlets[STREAM_OUT], l, STDOUT_FILENO, STREAM_OUT,
		&console_outlet_events, con, err);

	if (r < 0)
		return r;
	return outlet_new(&con->outlets[STREAM_ERR], l, STDERR_FILENO, STREAM_ERR,
		&console_outlet_events, con, err);
}

static void
on_uncork(void *arg)
{
	struct console *con = arg;

	outlet_uncork(con->outlets[STREAM_OUT]);
}

int
console_new(struct console **ret, const struct console_config *config, struct hw_err *err)
{
	struct client *c = config->client;
	struct console *con = calloc(1, sizeof(*con));
	int r;

	if (con == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	con->config = *config;
	con->client = c;
	con->last_byte = '\n';
	con->repaint = (struct loop_timer){.fn = on_repaint, .arg = con};
	con->uncork = (struct loop_timer){.fn = on_uncork, .arg = con};
	buf_init(&con->runs, RUNS_MAX);
	*ret = con;
	if ((r = open_outlets(con, conn_loop(c->conn), err)) < 0 ||
		(r = make_outage(con, err)) < 0 ||
		(r = remote_start(&con->remote, c->conn, config->request, c->arena,
			 &console_remote_events, con, err)) < 0)
		goto fail;
	if (con->over || (r = open_input(con, err)) == 0)
		return 0;
fail:
	client_hint_call(c, r);
	*ret = NULL;
	console_free(con);
	return r;
}

void
console_free(struct console *con)
{
	if (con == NULL)
		return;
	feed_free(con->feed);
	loop_timer_stop(conn_loop(con->client->conn), &con->repaint);
	loop_timer_stop(conn_loop(con->client->conn), &con->uncork);
	remote_free(con->remote);
	outage_free(con->outage);
	for (size_t i = 0; i < STREAMS; i++)
		outlet_free(con->outlets[i]);
	buf_fini(&con->runs);
	free(con->why);
	free(con);
}

/* What the program would have put back itself, had it come to its end; and what a screen that was
 * drawn has brought along. What is not out by now ends anywhere, in the middle of a sequence too.
 */
static void
restore_modes(struct console *con)
{
	struct outlet *outlet = con->outlets[STREAM_OUT];
	struct buf out;
	int cols, rows;

	if (!has_screen(&con->config))
		return;
	terminal_size(&cols, &rows);
	buf_init(&out, 1 << 16);
	if (!outlet_is_empty(outlet))
		buf_append_byte(&out, CANCEL);
	screen_restore(&con->screen, cols, &out);
	outlet_end(outlet, buf_data(&out), out.len, RESTORE_WITHIN);
	buf_fini(&out);
}

int
console_run(struct console *con)
{
	conn_wait(con->client->conn, &con->done, -1);
	feed_free(con->feed);
	con->feed = NULL;
	if (con->cut || con->drawn)
		restore_modes(con);
	return con->status;
}

int
console_code(const struct console *con)
{
	return con->code;
}

const char *
console_why(const struct console *con)
{
	if (con->code == 0)
		return "";
	return con->why != NULL ? con->why : hw_code_meaning(con->code);
}

bool
console_is_cut(const struct console *con)
{
	return con->cut;
}

void
console_say(const struct console *con, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (isatty(STDERR_FILENO) && console_mid_line(con))
		fputc('\n', stderr);
	client_say(con->client, "%s", text);
}

void
console_report(const struct console *con)
{
	if (con->code != 0)
		console_say(con, "%s", console_why(con));
}

void
console_hold(struct console *con, int64_t usec)
{
	if (!isatty(STDOUT_FILENO))
		return;
	outlet_cork(con->outlets[STREAM_OUT]);
	loop_timer_start(conn_loop(con->client->conn), &con->uncork, usec);
}

void
console_stop(struct console *con, int status)
{
	console_clear(con);
	if (!con->over) {
		con->status = status;
		con->cut = true;
	}
	con->over = con->done = true;
	conn_wake(con->client->conn);
}

void
console_clear(struct console *con)
{
	if (con->outage != NULL)
		outage_hide(con->outage);
}

struct remote *
console_remote(const struct console *con)
{
	return con->remote;
}

bool
console_mid_line(const struct console *con)
{
	return con->last_byte != '\n' && isatty(STDOUT_FILENO);
}

int
console_target(const char **run_as, const char **node, struct client *c, const char *text,
	struct hw_err *err)
{
	const char *at = strrchr(text, '@');

	*run_as = NULL;
	*node = text;
	if (at != NULL) {
		*run_as = arena_strndup(c->arena, text, (size_t)(at - text));
		*node = at + 1;
	}
	if ((*node)[0] == '\0' || (at != NULL && (*run_as == NULL || (*run_as)[0] == '\0')))
		return hw_err_set(err, HW_EUSAGE, "'%s' is not [USER@]NODE", text);
	return 0;
}
