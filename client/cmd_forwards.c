/* hawser forwards: those that run in the background. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/background.h"
#include "client/client.h"
#include "client/commands.h"

static const char *
cell_pid(struct client *c, const void *item)
{
	return output_int(c, ((const struct msg_background_forward *)item)->pid);
}

static const char *
cell_node(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_background_forward *)item)->node;
}

static const char *
cell_routes(struct client *c, const void *item)
{
	return output_texts(c, &((const struct msg_background_forward *)item)->routes);
}

static const char *
cell_since(struct client *c, const void *item)
{
	return output_age(c, ((const struct msg_background_forward *)item)->start_date);
}

static const char *
cell_state(struct client *c, const void *item)
{
	const struct msg_background_forward *one = item;

	(void)c;
	return one->waiting != NULL && one->waiting[0] != '\0' ? one->waiting : "live";
}

static const struct column columns[] = {
	{"PID",	false, cell_pid, NULL},
	{"NODE",	 false, cell_node, NULL},
	{"FORWARDS",	     false, cell_routes, NULL},
	{"STARTED",    false, cell_since, NULL},
	{"STATE",	  false, cell_state, NULL},
	{0},
};

static const char *
name_of(const void *item)
{
	return ((const struct msg_background_forward *)item)->node;
}

static const struct listing listing = {
	.reply = msg_row_background_forwards,
	.item = msg_row_background_forward,
	.columns = columns,
	.name = name_of,
};

static int
find_all(struct msg_background_forwards *all, struct client *c, struct hw_err *err)
{
	int r = client_home(c, err);

	return r < 0 ? r : background_list(all, &c->home, c->arena, err);
}

static int
run_ls(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_background_forwards all;
	int r = find_all(&all, c, err);

	(void)in;
	if (r == 0 && all.forwards.n == 0 && c->format <= OUTPUT_WIDE)
		client_say(c, "no forward runs in the background; hawser forward -f starts one");
	else if (r == 0)
		r = output_list(c, &listing, &all, all.forwards.v, all.forwards.n, err);
	return r;
}

/* --- ending ----------------------------------------------------------------------------------- */

/* By its pid; by its node it may be one of several. */
static bool
is_meant(const struct msg_background_forward *one, const char *name)
{
	char pid[24];

	snprintf(pid, sizeof(pid), "%lld", (long long)one->pid);
	return strcmp(pid, name) == 0 || (one->node != NULL && strcmp(one->node, name) == 0);
}

static int
kill_named(const struct msg_background_forwards *all, const char *name, struct hw_err *err)
{
	bool any = false;
	int r = 0;

	for (size_t i = 0; i < all->forwards.n && r == 0; i++) {
		if (!is_meant(&all->forwards.v[i], name))
			continue;
		any = true;
		r = background_kill(&all->forwards.v[i], err);
	}
	return r < 0 || any
		? r
		: hw_err_set(err, HW_ENOTFOUND,
			  "no forward in the background has the pid or node %.60s", name);
}

static int
run_kill(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_background_forwards all;
	bool every = input_has(in, "all");
	int r;

	if (every == (in->n > 0))
		return hw_err_set(err, HW_EUSAGE, "kill which? PID..., NODE..., or --all");
	if ((r = find_all(&all, c, err)) < 0)
		return r;
	for (size_t i = 0; every && i < all.forwards.n && r == 0; i++)
		r = background_kill(&all.forwards.v[i], err);
	for (size_t i = 0; i < in->n && r == 0; i++)
		r = kill_named(&all, in->operands[i], err);
	if (r == HW_ENOTFOUND)
		client_hint(c, "hawser forwards ls shows those that run");
	return r;
}

const struct command cmd_forwards_ls = {
	.name = "forwards ls",
	.operands = "",
	.summary = "List the forwards that run in the background.",
	.examples = {"hawser forward web-01 5432 -f", "hawser forwards ls -o json"},
	.shows = true,
	.alone = true,
	.run = run_ls,
};

static const struct option_row kill_options[] = {
	{"all", 0, NULL, "all of them"},
	{0},
};

const struct command cmd_forwards_kill = {
	.name = "forwards kill",
	.operands = "[PID|NODE...]",
	.summary = "End forwards that run in the background: by pid, or all through a node.",
	.examples = {"hawser forwards kill 4242", "hawser forwards kill --all"},
	.options = kill_options,
	.max = -1,
	.run = run_kill,
};
