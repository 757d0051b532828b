/* hawser forward: local ports, sockets or stdio, connected to what a node reaches. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/background.h"
#include "client/client.h"
#include "client/commands.h"
#include "client/fleet.h"
#include "client/forward.h"
#include "client/outage.h"
#include "proto/base/display.h"

#define SPECS_MAX  64
#define LIVE_EVERY USEC_PER_SEC
#define SAY_EVERY  (500 * USEC_PER_MSEC) /* of connections that fail by the hundred, */
#define SAY_FIRST  4			 /* after so many that are said at once */

struct forward_run {
	struct client *client;
	struct forwarder *forwarder;
	struct forward_spec specs[SPECS_MAX];
	size_t n_specs;
	const char *node; /* as people call it */
	bool stdio;
	bool background;
	char name[BACKGROUND_NAME_MAX];	    /* of its file, once it is there */
	struct msg_background_forward what; /* is in it */
	char waiting[200];		    /* for whom, and why; empty: it is live */
	struct outage *outage;
	bool done;
	int status;
	struct hw_err ended;

	bool live; /* a line on a terminal's stderr */
	bool shown;
	struct loop_timer timer;
	struct forwarder_count before;
	int64_t said; /* when a failure was, the last time */
	int at_once;  /* how many were without a pause */
	struct loop_timer say;
	unsigned unsaid; /* failures since; what the last of them was: */
	char unsaid_last[FORWARD_SHOWN_MAX + 512];
	struct loop_signal *signals[3];
};

static int64_t
mono(const struct forward_run *run)
{
	return clock_mono(loop_clock(run->client->loop));
}

static void
finish(struct forward_run *run, int status)
{
	if (!run->done)
		run->status = status;
	run->done = true;
	conn_wake(run->client->conn);
}

/* --- the live line ---------------------------------------------------------------------------- */

static void
write_size(char out[24], uint64_t n)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	double v = (double)n;
	size_t i = 0;

	for (; v >= 999.5 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
		v /= 1000;
	snprintf(out, 24, i > 0 && v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[i]);
}

static void
wipe_live(struct forward_run *run)
{
	if (run->shown)
		fputs("\r\033[K", stderr);
	run->shown = false;
}

static void
show_live(struct forward_run *run)
{
	struct forwarder_count n = forwarder_count(run->forwarder);
	char in[24], out[24], rate[24];

	if (run->waiting[0] != '\0') {
		fprintf(stderr, "\r\033[K%d open; %s", n.open, run->waiting);
		run->before = n;
		run->shown = true;
		return;
	}
	write_size(in, n.in);
	write_size(out, n.out);
	write_size(rate,
		(n.in + n.out - run->before.in - run->before.out) * USEC_PER_SEC / LIVE_EVERY);
	run->before = n;
	fprintf(stderr, "\r\033[K%d open, %llu so far; %s sent, %s received; %s/s", n.open,
		(unsigned long long)n.all, in, out, rate);
	run->shown = true;
}

static void
on_live(void *arg)
{
	struct forward_run *run = arg;

	show_live(run);
	loop_timer_start(run->client->loop, &run->timer, LIVE_EVERY);
}

/* --- events ----------------------------------------------------------------------------------- */

static void
say_unsaid(struct forward_run *run)
{
	char more[48] = "";

	if (run->unsaid == 0)
		return;
	if (run->unsaid > 1)
		snprintf(more, sizeof(more), " (and %u more before it)", run->unsaid - 1);
	run->at_once = mono(run) - run->said < SAY_EVERY ? run->at_once + 1 : 1;
	run->said = mono(run);
	run->unsaid = 0;
	wipe_live(run);
	client_say(run->client, "%s%s", run->unsaid_last, more);
}

static void
on_say(void *arg)
{
	say_unsaid(arg);
}

static void
on_failed(void *arg, const struct forward_spec *spec, const char *peer, int code, const char *why)
{
	struct forward_run *run = arg;
	char near[FORWARD_SHOWN_MAX];
	int64_t quiet = mono(run) - run->said;

	(void)peer;
	if (run->stdio) {
		hw_err_set(&run->ended, code, "%s", why);
		finish(run, 1);
		return;
	}
	forward_spec_near(near, spec);
	snprintf(run->unsaid_last, sizeof(run->unsaid_last), "%s: %s", near, why);
	run->unsaid++;
	if (quiet >= SAY_EVERY || run->at_once < SAY_FIRST)
		say_unsaid(run);
	else if (run->unsaid == 1)
		loop_timer_start(run->client->loop, &run->say, SAY_EVERY - quiet);
}

static void
on_end(void *arg, const struct forward_spec *spec, int code, const char *why)
{
	struct forward_run *run = arg;
	char far[FORWARD_SHOWN_MAX];

	forward_spec_far(far, spec);
	if (!run->done)
		hw_err_set(&run->ended, code, "the forward to %s ended: %s", far, why);
	finish(run, 1);
}

static void
on_stdio_over(void *arg)
{
	finish(arg, 0);
}

/* --- a link that is lost ---------------------------------------------------------------------- */

static void
say(void *arg, const char *text)
{
	struct forward_run *run = arg;

	wipe_live(run);
	client_say(run->client, "%s", text);
	if (run->live)
		show_live(run);
}

static void
show_state(struct forward_run *run)
{
	run->what.waiting = run->waiting[0] != '\0' ? run->waiting : NULL;
	if (run->live)
		show_live(run);
	background_update(run->name, &run->client->home, &run->what);
}

static void
on_waiting(void *arg, int code, const char *why)
{
	struct forward_run *run = arg;
	struct buf text;

	buf_init(&text, sizeof(run->waiting) - 1);
	buf_append_str(&text, "waiting for ");
	if (code == HW_EINTERRUPTED) {
		buf_append_str(&text, "node ");
		display_append(&text, run->node, strlen(run->node));
	} else {
		buf_append_str(&text, "the relay");
	}
	if (why != NULL && why[0] != '\0' && text.len + strlen(why) + 2 < text.max) {
		buf_append_str(&text, ": ");
		display_append(&text, why, strlen(why));
	}
	snprintf(run->waiting, sizeof(run->waiting), "%s", buf_str(&text));
	buf_fini(&text);
	outage_begin(run->outage, code);
	show_state(run);
}

static void
on_back(void *arg)
{
	struct forward_run *run = arg;

	run->waiting[0] = '\0';
	outage_end(run->outage);
	show_state(run);
}

static int
make_outage(struct forward_run *run, const struct input *in, struct hw_err *err)
{
	const struct outage_config config = {
		.loop = run->client->loop,
		.style = input_has(in, "quiet") ? OUTAGE_SILENT : OUTAGE_LINES,
		.node = run->node,
		.say = say,
		.arg = run,
	};

	return outage_new(&run->outage, &config, err);
}

static void
on_notice(void *arg, const struct forward_spec *spec, const char *text)
{
	struct forward_run *run = arg;
	char far[FORWARD_SHOWN_MAX];

	forward_spec_far(far, spec);
	client_say(run->client, "the forward to %s: %s", far, text);
}

static const struct forwarder_events forwarder_events = {
	.on_failed = on_failed,
	.on_end = on_end,
	.on_stdio_over = on_stdio_over,
	.on_waiting = on_waiting,
	.on_back = on_back,
	.on_notice = on_notice,
};

static void
on_signal(void *arg)
{
	finish(arg, 0);
}

static int
catch_signals(struct forward_run *run, struct hw_err *err)
{
	static const int signos[] = {SIGINT, SIGTERM, SIGHUP};

	for (size_t i = 0; i < sizeof(signos) / sizeof(signos[0]); i++)
		if (loop_signal_new(&run->signals[i], run->client->loop, signos[i], on_signal,
			    run) < 0)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
	return 0;
}

/* --- what is asked for ------------------------------------------------------------------------ */

typedef int read_fn(struct forward_spec *ret, const char *text, struct hw_err *err);

static int
add(struct forward_run *run, read_fn *read, const char *text, struct hw_err *err)
{
	if (run->n_specs == SPECS_MAX)
		return hw_err_set(err, HW_EUSAGE, "at most %d forwards fit into one command",
			SPECS_MAX);
	int r = read(&run->specs[run->n_specs], text, err);
	run->n_specs += r == 0;
	return r;
}

static int
add_each(struct forward_run *run, const struct input *in, const char *option, read_fn *read,
	struct hw_err *err)
{
	const char *text;
	int r = 0;

	for (size_t i = 0; r == 0 && (text = input_nth(in, option, i)) != NULL; i++)
		r = add(run, read, text, err);
	return r;
}

static int
read_specs(struct forward_run *run, const struct input *in, struct hw_err *err)
{
	int r;

	run->stdio = input_has(in, "stdio");
	run->background = input_has(in, "background");
	if ((r = add_each(run, in, "local", forward_spec_local, err)) < 0 ||
		(r = add_each(run, in, "socks", forward_spec_socks, err)) < 0 ||
		(r = add_each(run, in, "stdio", forward_spec_stdio, err)) < 0)
		return r;
	if (in->n > 1 && (r = add(run, forward_spec_port, in->operands[1], err)) < 0)
		return r;
	if (run->n_specs == 0)
		return hw_err_set(err, HW_EUSAGE,
			"forward what? A port, -L PORT:HOST:PORT, -D PORT or --stdio HOST:PORT");
	if (run->stdio && run->n_specs > 1)
		return hw_err_set(err, HW_EUSAGE, "--stdio stands alone");
	if (run->stdio && run->background)
		return hw_err_set(err, HW_EUSAGE, "--stdio has no background");
	return 0;
}

/* As it is shown, and as it is kept. */
static const char *
write_route(struct forward_run *run, const struct forward_spec *s)
{
	char near[FORWARD_SHOWN_MAX], far[FORWARD_SHOWN_MAX];

	forward_spec_near(near, s);
	forward_spec_far(far, s);
	return arena_printf(run->client->arena, "%s -> %s", near, far);
}

static int
enter_background(struct forward_run *run, struct hw_err *err)
{
	struct arena *a = run->client->arena;
	const char **routes = arena_array(a, run->n_specs, sizeof(*routes));

	if (routes == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	for (size_t i = 0; i < run->n_specs; i++)
		if ((routes[i] = write_route(run, &run->specs[i])) == NULL)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
	run->what.node = run->node;
	run->what.routes = (struct msg_strs){.v = routes, .n = run->n_specs};
	run->what.start_date = clock_wall(loop_clock(run->client->loop));
	return background_enter(run->name, &run->client->home, &run->what, err);
}

static void
print_ready(struct forward_run *run)
{
	char near[SPECS_MAX][FORWARD_SHOWN_MAX], far[FORWARD_SHOWN_MAX];
	int widest = 0, most = 0;
	struct buf node;

	buf_init(&node, 16 * FORWARD_SHOWN_MAX);
	display_append(&node, run->node, strlen(run->node));
	for (size_t i = 0; i < run->n_specs; i++) {
		forward_spec_near(near[i], &run->specs[i]);
		forward_spec_far(far, &run->specs[i]);
		if ((int)strlen(near[i]) > widest)
			widest = (int)strlen(near[i]);
		if ((int)strlen(far) > most)
			most = (int)strlen(far);
	}
	for (size_t i = 0; i < run->n_specs; i++) {
		forward_spec_far(far, &run->specs[i]);
		printf("%-*s -> %s via %s%*sready\n", widest, near[i], far, buf_str(&node),
			most - (int)strlen(far) + 4, "");
	}
	fflush(stdout);
	buf_fini(&node);
}

/* The local ends come first: a port that is in use is nobody else's business. */
static int
start(struct forward_run *run, const struct input *in, struct hw_err *err)
{
	struct client *c = run->client;
	const char *id;
	int r;

	if ((r = client_connect(c, err)) < 0 ||
		(r = fleet_node_id(&id, &run->node, c, in->operands[0], err)) < 0 ||
		(r = make_outage(run, in, err)) < 0 ||
		(r = forwarder_new(&run->forwarder, c->conn, &forwarder_events, run, err)) < 0)
		return r;
	for (size_t i = 0; i < run->n_specs; i++)
		if ((r = forwarder_listen(run->forwarder, &run->specs[i], err)) < 0)
			return r;
	r = forwarder_start(run->forwarder, id, input_text(in, "reason"), c->arena, err);
	if (r < 0)
		client_hint_call(c, r);
	else
		r = catch_signals(run, err);
	return r;
}

static int
wait_for_end(struct forward_run *run, struct hw_err *err)
{
	struct client *c = run->client;
	int r;

	if (!run->stdio)
		print_ready(run);
	if (run->background && (r = enter_background(run, err)) < 0)
		return r;
	run->timer = (struct loop_timer){.fn = on_live, .arg = run};
	if (run->live)
		on_live(run);
	conn_wait(c->conn, &run->done, -1);
	loop_timer_stop(c->loop, &run->timer);
	loop_timer_stop(c->loop, &run->say);
	say_unsaid(run);
	if (run->shown)
		fputc('\n', stderr);
	return run->status != 0 ? hw_err_set(err, run->ended.code, "%s", run->ended.text) : 0;
}

static int
run_forward(struct client *c, const struct input *in, struct hw_err *err)
{
	struct forward_run *run = calloc(1, sizeof(*run));
	int r;

	if (run == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	run->client = c;
	run->said = -SAY_EVERY;
	run->say = (struct loop_timer){.fn = on_say, .arg = run};
	if ((r = read_specs(run, in, err)) < 0)
		goto out;
	run->live = !run->stdio && !run->background && !input_has(in, "quiet") &&
		isatty(STDERR_FILENO) == 1;
	if ((r = start(run, in, err)) == 0)
		r = wait_for_end(run, err);
out:
	background_leave(run->name, &c->home);
	forwarder_free(run->forwarder);
	outage_free(run->outage);
	for (size_t i = 0; i < sizeof(run->signals) / sizeof(run->signals[0]); i++)
		loop_signal_free(run->signals[i]);
	free(run);
	return r;
}

static const struct option_row options[] = {
	{"local",				     'L', "SPEC", "[BIND:]PORT:HOST:HOSTPORT; may be repeated"},
	{"socks",				     'D', "[BIND:]PORT", "a SOCKS5 server; the node resolves names"},
	{"stdio",					   0, "HOST:PORT", "stdin and stdout, as ssh's ProxyCommand wants it"},
	{"background",    'f', NULL, "go on in the background; see hawser forwards"},
	{"reason", 0, "TEXT", "why; kept with the session"},
	{"quiet",				     'q', NULL, "no live line, and not a word about lost links"},
	{0			       },
};

const struct command cmd_forward = {
	.name = "forward",
	.operands = "NODE [PORT]",
	.summary = "Reach what a node reaches: its ports, and those behind it.",
	.about = "  It runs until Ctrl-C. PORT alone is -L PORT:localhost:PORT. Without BIND only\n"
		 "  this machine may connect; port 0 takes a free one and prints it. A socket's\n"
		 "  path may stand for [BIND:]PORT, and unix:/path for HOST:HOSTPORT. While\n"
		 "  a link is lost connections stay open, and go on when it is back.",
	.examples = {"hawser forward web-01 -L 15432:10.0.0.9:5432 -D 1080",
		     "ssh -o ProxyCommand='hawser forward web-01 --stdio %h:%p' db.internal"},
	.options = options,
	.min = 1,
	.max = 2,
	.run = run_forward,
};
