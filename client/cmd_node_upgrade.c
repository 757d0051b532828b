/* hawser node upgrade: a release in the place of the agents of nodes, wave after wave. */
#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "client/cmd_run.h"
#include "client/commands.h"
#include "client/fate.h"
#include "client/fleet.h"
#include "client/release_store.h"
#include "client/selector.h"
#include "client/view.h"
#include "client/waves.h"

#define DOCUMENT      "AWS-UpdateSSMAgent"
#define CANARY	      "1%,10%,100%"
#define COMMAND_NODES 5000 /* whose ids travel in one message */
#define PARAMETERS    2

struct upgrade {
	struct client *c;
	const struct input *in;
	struct release release;
	char id[RELEASE_ID_LEN + 1];
	struct msg_instance_information *nodes;
	size_t n, away;
	struct waves waves;
};

/* --- whose ------------------------------------------------------------------------------------ */

/* Who is away would hold up its wave until the command expires. */
static int
select_nodes(struct upgrade *u, struct hw_err *err)
{
	struct msg_describe_instance_information_reply all;
	struct client *c = u->c;
	int r;

	if ((r = fleet_select(&all, c, u->in->operands, u->in->n, err)) < 0)
		return r;
	u->nodes = all.instance_information_list.v;
	for (size_t i = 0; i < all.instance_information_list.n; i++)
		if (u->nodes[i].ping_status == PING_STATUS_ONLINE)
			u->nodes[u->n++] = u->nodes[i];
	u->away = all.instance_information_list.n - u->n;
	if (u->n > 0)
		return 0;
	c->exit_status = EXIT_NO_NODES;
	return hw_err_set(err, HW_ENODE, "no node that you may see and that is online is meant");
}

static void
say_plan(const struct upgrade *u)
{
	client_say(u->c, "release %s for %s, on %zu node%s in %zu wave%s", u->release.version,
		u->release.architecture, u->n, u->n == 1 ? "" : "s", u->waves.n,
		u->waves.n == 1 ? "" : "s");
	if (u->away > 0)
		client_say(u->c, "%zu that %s away now %s left out: upgrade %s later", u->away,
			u->away == 1 ? "is" : "are", u->away == 1 ? "is" : "are",
			u->away == 1 ? "it" : "them");
}

static int
show_waves(const struct upgrade *u, struct hw_err *err)
{
	int r = 0;

	for (size_t w = 0, i = 0; w < u->waves.n; w++)
		for (; r == 0 && i < u->waves.end[w]; i++)
			r = output_line(err, "%zu  %s", w + 1, node_name(&u->nodes[i]));
	return r;
}

/* --- a wave ----------------------------------------------------------------------------------- */

static int
take_limits(struct run_request *run, const struct input *in, struct hw_err *err)
{
	const char *at_a_time = input_text(in, "max-concurrency");
	const char *errors = input_text(in, "max-errors");
	int r = 0;

	run->req.max_concurrency = at_a_time;
	run->req.max_errors = errors;
	if (at_a_time != NULL)
		r = limit_parse(&run->concurrency, "max-concurrency", at_a_time, 1, err);
	if (r == 0 && errors != NULL)
		r = limit_parse(&run->errors, "max-errors", errors, 0, err);
	return r;
}

static int
describe(struct run_request *run, struct upgrade *u, struct hw_err *err)
{
	struct arena *a = u->c->arena;
	struct msg_pair *p = arena_array(a, PARAMETERS, sizeof(*p));
	const char **values = arena_array(a, PARAMETERS, sizeof(*values));

	if (p == NULL || values == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	*run = (struct run_request){
		.concurrency = {.n = RUN_CONCURRENCY},
		.errors = {.n = RUN_ERRORS},
	};
	values[0] = u->id;
	values[1] = input_has(u->in, "allow-downgrade") ? "true" : "false";
	p[0] = (struct msg_pair){
		.key = "release", .values = {values, 1}
	       };
	p[1] = (struct msg_pair){
		.key = "allowDowngrade", .values = {values + 1, 1}
	  };
	run->req.document_name = DOCUMENT;
	run->req.parameters.v = p;
	run->req.parameters.n = PARAMETERS;
	run->req.comment = arena_printf(a, "upgrade to %s", u->release.version);
	return take_limits(run, u->in, err);
}

/* The exit status of run: 0 when all have succeeded. */
static int
run_wave(struct upgrade *u, size_t from, size_t to, struct hw_err *err)
{
	struct run_request run;
	int r = 0;

	for (; r == 0 && from < to; from += COMMAND_NODES) {
		size_t n = to - from < COMMAND_NODES ? to - from : COMMAND_NODES;
		if ((r = describe(&run, u, err)) == 0 &&
			(r = run_request_target(&run, u->c, u->nodes + from, n, NULL, 0, err)) == 0)
			r = cmd_run_send(u->c, u->in, &run, err);
	}
	return r;
}

static int
run_waves(struct upgrade *u, struct hw_err *err)
{
	size_t from = 0;
	int r = 0;

	for (size_t w = 0; r == 0 && w < u->waves.n; w++) {
		if (u->waves.n > 1)
			client_say(u->c, "wave %zu of %zu: %zu of %zu nodes", w + 1, u->waves.n,
				u->waves.end[w] - from, u->n);
		r = run_wave(u, from, u->waves.end[w], err);
		from = u->waves.end[w];
	}
	if (r != 0 && from < u->n)
		client_say(u->c, "%zu node%s not begun: hawser runs show says why the wave failed",
			u->n - from, u->n - from == 1 ? " was" : "s were");
	return r;
}

static int
run_upgrade(struct client *c, const struct input *in, struct hw_err *err)
{
	const char *path = input_text(in, "release");
	const char *canary = input_has(in, "canary") ? input_text(in, "canary") : CANARY;
	const struct view_row *view;
	struct run_request checked;
	struct upgrade u = {.c = c, .in = in};
	int r;

	if (path == NULL)
		return hw_err_set(err, HW_EUSAGE, "--release FILE says what the nodes are to run");
	/* What is wrong with the command line is said before anything is asked. */
	if ((r = waves_parse(&u.waves, canary, 1, err)) < 0 ||
		(r = view_choose(&view, c, in, err)) < 0 || (r = describe(&checked, &u, err)) < 0 ||
		(r = release_check(&u.release, path, err)) < 0 || (r = select_nodes(&u, err)) < 0 ||
		(r = waves_parse(&u.waves, canary, u.n, err)) < 0)
		return r;
	say_plan(&u);
	if (input_has(in, "dry-run"))
		return show_waves(&u, err);
	if ((r = release_put(u.id, c, path, err)) < 0)
		return r;
	return run_waves(&u, err);
}

static const struct option_row options[] = {
	{"release",					    'r', "FILE", "what hawser release sign made"},
	{"canary",					      0, "WAVES", "shares that grow, one after another (1%,10%,100%)"},
	{"max-concurrency",						    'c', "N|P%", "of a wave, at a time (50)"},
	{"max-errors",      'e', "N|P%", "more failures in a wave start no further node (0)"},
	{"allow-downgrade", 0, NULL, "also an older version, where a node allows it"},
	{"dry-run",				    'n', NULL, "show the waves, and send nothing"},
	VIEW_OPTIONS,
	{"quiet",					      'q', NULL, "no progress on stderr"},
	{0						   },
};

const struct command cmd_node_upgrade = {
	.name = "node upgrade",
	.operands = "SELECTOR...",
	.summary = "Put a signed release in the place of the agents of nodes.",
	.about = "  Shells and commands there go on. A new agent that does not reach the relay\n"
		 "  within its time is taken back, and its node has failed.",
	.examples = {"hawser node upgrade tag:Env=prod --release 0.2.0.release",
		     "hawser node upgrade 'web-*' -r new.release --canary 1,25%,100% -e 2"},
	.options = options,
	.min = 1,
	.max = -1,
	.shows = true,
	.failure = EXIT_OUR_FAULT,
	.usage = EXIT_OUR_FAULT,
	.run = run_upgrade,
};
