#include "client/client.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/dial.h"
#include "client/lookout.h"
#include "client/renew.h"
#include "proto/base/display.h"
#include "proto/trust/cert.h"
#include "proto/wire/proxy.h"

int
client_init(struct client *c, struct hw_err *err)
{
	*c = (struct client){.timeout = CLIENT_TIMEOUT};
	c->sink.clock = &hw_clock_system;
	c->sink.level = LOG_LEVEL_DEBUG;
	log_ctx_init(&c->log, getenv("HAWSER_DEBUG") != NULL ? &c->sink : NULL);
	if ((c->arena = arena_new(CLIENT_ARENA_MAX)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	return 0;
}

static bool
wants_color(const struct input *in)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return !input_has(in, "no-color") && (no_color == NULL || no_color[0] == '\0') &&
		term != NULL && strcmp(term, "dumb") != 0 && isatty(STDOUT_FILENO);
}

static bool
has_option(const struct command *command, const char *name)
{
	const struct option_row *row = command->options;

	while (row != NULL && row->name != NULL && strcmp(row->name, name) != 0)
		row++;
	return row != NULL && row->name != NULL;
}

/* A copy; a password is wiped where a list of processes would show it. */
static int
keep_proxy(struct client *c, struct hw_err *err)
{
	const char *given = c->proxy;

	if (given == NULL)
		return 0;
	if ((c->proxy = arena_strdup(c->arena, given)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if (strchr(given, '@') != NULL)
		memset((char *)(uintptr_t)given, '*', strlen(given));
	return 0;
}

int
client_proxy(struct proxy *ret, const struct client *c, const char *host, int port,
	struct hw_err *err)
{
	*ret = (struct proxy){.port = 0};
	if (c->proxy == NULL && proxy_of_environment(ret, host, port, err) == 0)
		return 0;
	if (c->proxy != NULL && (c->proxy[0] == '\0' || strcmp(c->proxy, "none") == 0))
		return 0;
	if (c->proxy != NULL && proxy_parse(ret, c->proxy, err) == 0)
		return 0;
	if (c->proxy != NULL)
		hw_err_prefix(err, "--proxy");
	return err->code = HW_EUSAGE;
}

int
client_configure(struct client *c, const struct input *in, struct hw_err *err)
{
	const char *format = input_text(in, "output");
	int r;

	if (input_has(in, "home"))
		c->home_dir = input_text(in, "home");
	if (input_has(in, "proxy"))
		c->proxy = input_text(in, "proxy");
	if ((r = keep_proxy(c, err)) < 0)
		return r;
	c->color = wants_color(in);
	c->wary = in->command->wary;
	c->quiet = has_option(in->command, "quiet") && input_has(in, "quiet");
	if (format != NULL && output_format(&c->format, format) < 0)
		return hw_err_set(err, HW_EUSAGE,
			"no format '%s': table, wide, json, jsonl, yaml or name", format);
	return input_duration(&c->timeout, in, "timeout", err);
}

void
client_hint(struct client *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->hint, sizeof(c->hint), fmt, ap);
	va_end(ap);
}

void
client_say(const struct client *c, const char *fmt, ...)
{
	char text[1200];
	struct buf line;
	va_list ap;

	(void)c;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_init(&line, 8192);
	buf_append_str(&line, "hawser: ");
	display_append(&line, text, strlen(text));
	buf_append_byte(&line, '\n');
	fwrite(buf_data(&line), 1, line.len, stderr);
	buf_fini(&line);
}

/* --- made when asked for --------------------------------------------------------------------- */

int
client_home(struct client *c, struct hw_err *err)
{
	int r;

	if (c->home.user[0] != '\0')
		return 0;
	if ((r = home_find(&c->home, c->home_dir, err)) < 0)
		return r;
	r = home_load(&c->home, err);
	if (r == HW_EUNAUTH)
		client_hint(c, "hawser login URL INVITE");
	if (r < 0)
		c->home.user[0] = '\0';
	return r;
}

int
client_loop(struct client *c, struct hw_err *err)
{
	return c->loop != NULL ? 0 : loop_new(&c->loop, err);
}

static void
hint_connect(struct client *c, int code)
{
	switch (code) {
	case HW_EUNAVAILABLE:
	case HW_ENOTFOUND:
	case HW_ETIMEOUT:
		client_hint(c, "see whether the relay runs, and whether a firewall is between");
		break;
	case HW_EDENIED:
		client_hint(c,
			"ask an administrator whether %s was disabled or removed (hawser user show %s)",
			c->home.user, c->home.user);
		break;
	case HW_EEXPIRED:
	case HW_EUNAUTH:
	case HW_ECERT:
		client_hint(c,
			"ask an administrator for `hawser user invite %s`, then log in with it",
			c->home.user);
		break;
	default:
		break;
	}
}

/* The relay judges it by its own clock. This machine's may be wrong, but hardly by so much. */
#define EXPIRED_FOR_SURE CERT_DAY

static int
check_expiry(const struct client *c, struct hw_err *err)
{
	char when[RFC3339_LEN + 1];

	if (clock_wall(&hw_clock_system) - c->home.expires < EXPIRED_FOR_SURE)
		return 0;
	rfc3339_format(when, c->home.expires);
	return hw_err_set(err, HW_EEXPIRED, "the login of %s expired at %s", c->home.user, when);
}

/* On a terminal that is raw the cursor would stay where a line ends. */
static void
say_line(void *arg, const char *line)
{
	const char *end = isatty(STDERR_FILENO) ? "\r\n" : "\n";
	struct buf out;

	(void)arg;
	buf_init(&out, 32768);
	buf_append_str(&out, "hawser: ");
	display_append(&out, line, strlen(line));
	buf_append_str(&out, end);
	fwrite(buf_data(&out), 1, out.len, stderr);
	buf_fini(&out);
}

static void
look_out(struct client *c)
{
	const struct lookout_config config = {.conn = c->conn,
		.home = &c->home,
		.wary = c->wary,
		.quiet = c->quiet,
		.say = say_line,
		.arg = c};

	c->lookout = lookout_new(&config);
}

static void
client_disconnect(struct client *c)
{
	lookout_finish(c->lookout);
	renewal_finish(c->renewal);
	conn_free(c->conn);
	dialer_free(c->dialer);
	c->lookout = NULL;
	c->renewal = NULL;
	c->conn = NULL;
	c->dialer = NULL;
}

int
client_connect(struct client *c, struct hw_err *err)
{
	struct conn_config config = {
		.log = &c->log, .user = c->home.user, .timeout = c->timeout, .dial = dialer_dial};
	int r;

	if (c->conn != NULL && (conn_link(c->conn) != NULL || conn_is_waiting(c->conn)))
		return 0;
	client_disconnect(c); /* a link that was lost, while nothing ran on it */
	if ((r = client_home(c, err)) < 0 || (r = client_loop(c, err)) < 0)
		return r;
	if ((r = check_expiry(c, err)) < 0 || (r = dialer_new(&c->dialer, c, err)) < 0)
		goto fail;
	config.loop = c->loop;
	config.arg = c->dialer;
	if ((r = conn_open(&c->conn, &config, err)) < 0)
		goto fail;
	c->renewal = renewal_new(c->conn, &c->home);
	look_out(c);
	return 0;
fail:
	dialer_free(c->dialer);
	c->dialer = NULL;
	hint_connect(c, r);
	return r;
}

int64_t
client_now(const struct client *c)
{
	return clock_wall(&hw_clock_system) + (c->conn != NULL ? conn_ahead(c->conn) : 0);
}

int
client_relay_now(int64_t *ret, struct client *c, struct hw_err *err)
{
	int r = client_connect(c, err);

	if (r == 0)
		*ret = client_now(c);
	return r;
}

void
client_fini(struct client *c)
{
	client_disconnect(c);
	loop_free(c->loop);
	arena_free(c->arena);
}

/* --- calls ----------------------------------------------------------------------------------- */

void
client_hint_call(struct client *c, int code)
{
	if (c->hint[0] != '\0')
		return;
	switch (code) {
	case HW_EDENIED:
		client_hint(c, "hawser status says what %s may do; an administrator can allow more",
			c->home.user);
		break;
	case HW_EUNAUTH:
	case HW_EEXPIRED:
		client_hint(c, "ask an administrator for `hawser user invite %s`", c->home.user);
		break;
	case HW_ENODE:
	case HW_EOFFLINE:
		client_hint(c, "hawser ls");
		break;
	case HW_ENOSESSION:
		client_hint(c, "hawser sessions ls");
		break;
	default:
		break;
	}
}

int
client_call(void *ret, struct client *c, enum op_id op, const void *request, struct hw_err *err)
{
	int r = client_connect(c, err);

	if (r < 0)
		return r;
	if ((r = conn_call(ret, c->conn, op, request, c->arena, err)) < 0)
		client_hint_call(c, r);
	return r;
}

int
client_call_each(struct client *c, enum op_id op, const void *request, const char **member,
	const char *const *names, size_t n, struct hw_err *err)
{
	struct hw_err why = HW_ERR_INIT;

	for (size_t i = 0; i < n; i++) {
		const void *reply;
		int r;

		*member = names[i];
		if ((r = client_call(&reply, c, op, request, &why)) == 0)
			continue;
		if (i == 0)
			return hw_err_set(err, r, "%s", hw_err_text(&why));
		return hw_err_set(err, r, "%s (%zu of %zu were done)", hw_err_text(&why), i, n);
	}
	return 0;
}
