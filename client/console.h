/*
 * A remote program joined with our stdin, stdout and stderr, for as long as it runs: what shell and
 * exec have in common.
 */
#ifndef HAWSER_CLIENT_CONSOLE_H
#define HAWSER_CLIENT_CONSOLE_H

#include "client/escape.h"
#include "client/remote.h"

struct client;
struct console;

struct console_config {
	struct client *client;
	const struct remote_request *request;
	int escape;    /* ESCAPE_OFF for none */
	bool no_input; /* stdin is not read; the program reads its end at once */
	bool terminal; /* stdin is one, raw: what is typed while a link is lost is kept */
	bool quiet; /* no lines about links that are lost; on a screen they are shown all the same
		     */
	const char *node; /* as people call it */
	/* It runs; nothing was shown yet. */
	void (*on_started)(void *arg, const char *session_id);
	void (*on_action)(void *arg, enum escape_action action); /* with escapes only */
	/* stdin ended. NULL: so does the program's. */
	void (*on_input_end)(void *arg);
	/* NULL, or nothing that is typed is sent: it comes here, and a stdin that is no terminal is
	 * not read. */
	void (*on_typed)(void *arg, const uint8_t *p, size_t n);
	/* Of another's session: its terminal's size. May be NULL. */
	void (*on_size)(void *arg, int cols, int rows);
	void *arg;
};

/* Starts it. `ret` is set before on_started is called. */
int console_new(struct console **ret, const struct console_config *config, struct hw_err *err);
void console_free(struct console *con); /* NULL is fine */

/* Runs until it has ended and everything it wrote is out: its status, or that of console_stop(). */
int console_run(struct console *con);
/* Afterwards: why it ended, 0 and "" when the program did so by itself. */
int console_code(const struct console *con);
const char *console_why(const struct console *con);
/* Whether it may go on: the program did not end by itself. */
bool console_is_cut(const struct console *con);
/* Says on stderr why it ended, unless the program did so by itself. */
void console_report(const struct console *con);
/* A line on stderr, afterwards. */
void console_say(const struct console *con, const char *fmt, ...) HW_PRINTF(2, 3);

/* What the program writes is shown only after so long. */
void console_hold(struct console *con, int64_t usec);

/* Ends it with this status, at once: what is not written yet is lost. */
void console_stop(struct console *con, int status);
struct remote *console_remote(const struct console *con);

/* Takes what we show of a lost link off the screen, before something else is written. */
void console_clear(struct console *con);

/* Whether what was shown last leaves the cursor in the middle of a line. */
bool console_mid_line(const struct console *con);

/* Splits "[USER@]NODE"; *run_as is NULL without a user. Everything lives in the client's arena. */
int console_target(const char **run_as, const char **node, struct client *c, const char *text,
	struct hw_err *err);

#endif
