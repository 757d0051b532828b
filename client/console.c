#include "client/console.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "proto/base/display.h"
#include "client/feed.h"
#include "client/outlet.h"

struct console {
	struct console_config config;
	struct client *client;
	struct remote *remote;
	struct outlet *outlets[STREAMS]; /* STREAM_OUT and STREAM_ERR */
	struct feed *feed;
	char last_byte; /* of stdout */
	bool over;	/* the program, or what we wanted of it */
	bool done;	/* and everything is out */
	int status;
	int code; /* why, when not by itself; 0 */
	char *why;
};

static void
check_done(struct console *con)
{
	con->done = con->over && outlet_is_empty(con->outlets[STREAM_OUT]) &&
		outlet_is_empty(con->outlets[STREAM_ERR]);
	if (con->done)
		conn_wake(con->client->conn);
}

/* --- output ---------------------------------------------------------------------------------- */

static void
on_written(void *arg, int stream, size_t n)
{
	struct console *con = arg;

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

static void
on_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	struct console *con = arg;

	if (n == 0 || con->over)
		return;
	if (stream == STREAM_OUT)
		con->last_byte = (char)p[n - 1];
	if (stream == STREAM_OUT || stream == STREAM_ERR)
		outlet_write(con->outlets[stream], p, n);
	else
		remote_consumed(con->remote, stream, n);
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

static const struct feed_events console_feed_events = {
	.on_action = on_action,
	.on_end = on_input_end,
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

/* CR LF: the terminal may be raw. */
static void
on_notice(void *arg, const char *text)
{
	struct console *con = arg;
	struct buf line;

	buf_init(&line, 16384);
	buf_append_str(&line, console_mid_line(con) ? "\r\nhawser: " : "hawser: ");
	display_append(&line, text, strlen(text));
	buf_append_str(&line, isatty(STDERR_FILENO) ? "\r\n" : "\n");
	fwrite(buf_data(&line), 1, line.len, stderr);
	buf_fini(&line);
}

static void
on_exit_of_remote(void *arg, const struct remote_exit *e)
{
	struct console *con = arg;

	if (con->over)
		return;
	con->over = true;
	con->status = e->status;
	con->code = e->code;
	con->why = e->code != 0 ? strdup(e->message) : NULL;
	check_done(con);
}

static const struct remote_events console_remote_events = {
	.on_started = on_started,
	.on_output = on_output,
	.on_room = on_room,
	.on_notice = on_notice,
	.on_exit = on_exit_of_remote,
};

/* --- life ------------------------------------------------------------------------------------ */

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
	*ret = con;
	if ((r = open_outlets(con, conn_loop(c->conn), err)) < 0 ||
		(r = remote_start(&con->remote, c->conn, config->request, c->arena,
			 &console_remote_events, con, err)) < 0)
		goto fail;
	if (con->over)
		return 0;
	if (config->no_input)
		remote_end_input(con->remote);
	else if ((r = feed_new(&con->feed, conn_loop(c->conn), STDIN_FILENO, con->remote,
			  config->escape, &console_feed_events, con, err)) < 0)
		goto fail;
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
	remote_free(con->remote);
	for (size_t i = 0; i < STREAMS; i++)
		outlet_free(con->outlets[i]);
	free(con->why);
	free(con);
}

int
console_run(struct console *con)
{
	conn_wait(con->client->conn, &con->done, -1);
	feed_free(con->feed);
	con->feed = NULL;
	return con->status;
}

void
console_report(const struct console *con)
{
	if (con->code == 0)
		return;
	if (isatty(STDERR_FILENO) && console_mid_line(con))
		fputc('\n', stderr);
	client_say(con->client, "%s", con->why != NULL ? con->why : hw_code_meaning(con->code));
}

void
console_stop(struct console *con, int status)
{
	if (!con->over)
		con->status = status;
	con->over = con->done = true;
	conn_wake(con->client->conn);
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
