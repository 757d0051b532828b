/* hawser ls: the nodes. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/fleet.h"
#include "client/selector.h"

static const char *
cell_name(struct client *c, const void *item)
{
	(void)c;
	return node_name(item);
}

static const char *
cell_status(struct client *c, const void *item)
{
	(void)c;
	return node_status(item);
}

static enum table_style
style_status(const void *item)
{
	const struct msg_instance_information *node = item;

	return node->ping_status == PING_STATUS_ONLINE ? STYLE_GOOD : STYLE_BAD;
}

static const char *
cell_os(struct client *c, const void *item)
{
	const struct msg_instance_information *node = item;

	if (node->platform_name == NULL)
		return NULL;
	return arena_printf(c->arena, "%s %s", node->platform_name,
		node->platform_version != NULL ? node->platform_version : "");
}

static const char *
cell_tags(struct client *c, const void *item)
{
	const struct msg_instance_information *node = item;

	return output_tags(c, node->tags.v, node->tags.n);
}

static const char *
cell_sessions(struct client *c, const void *item)
{
	return output_int(c, ((const struct msg_instance_information *)item)->sessions);
}

static const char *
cell_seen(struct client *c, const void *item)
{
	const struct msg_instance_information *node = item;

	return node->ping_status == PING_STATUS_ONLINE ? "now" : output_age(c, node->last_ping);
}

static const char *
cell_id(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_instance_information *)item)->instance_id;
}

static const char *
cell_address(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_instance_information *)item)->ip_address;
}

static const char *
cell_agent(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_instance_information *)item)->agent_version;
}

static const struct column columns[] = {
	{"NAME",	 false, cell_name, NULL},
	{"STATUS",	   false, cell_status, style_status},
	{"OS",	       false, cell_os, NULL},
	{"TAGS",	 false, cell_tags, NULL},
	{"SESSIONS", false, cell_sessions, NULL},
	{"SEEN",		 false, cell_seen, NULL},
	{"ID",      true, cell_id, NULL},
	{"ADDRESS",		    true, cell_address, NULL},
	{"AGENT",	  true, cell_agent, NULL},
	{0	  },
};

static const struct listing listing = {
	.reply = msg_row_describe_instance_information_reply,
	.item = msg_row_instance_information,
	.columns = columns,
	.name = (const char *(*)(const void *))node_name,
};

static void
say_summary(const struct msg_instance_information *nodes, size_t n)
{
	size_t online = 0;

	for (size_t i = 0; i < n; i++)
		online += nodes[i].ping_status == PING_STATUS_ONLINE;
	fprintf(stderr, "%zu node%s, %zu online\n", n, n == 1 ? "" : "s", online);
}

static int
run_ls(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_describe_instance_information_reply all;
	size_t n;
	int r;

	if ((r = fleet_select(&all, c, in->operands, in->n, err)) < 0)
		return r;
	n = all.instance_information_list.n;
	if (n == 0 && c->format <= OUTPUT_WIDE) {
		client_say(c, "no nodes: none has joined, or none that you may see");
		return 0;
	}
	if ((r = output_list(c, &listing, &all, all.instance_information_list.v, n, err)) < 0)
		return r;
	if (c->format <= OUTPUT_WIDE)
		say_summary(all.instance_information_list.v, n);
	return 0;
}

const struct command cmd_ls = {
	.name = "ls",
	.operands = "[SELECTOR...]",
	.summary = "List nodes: all of them, or those that a selector means.",
	.about =
		"\n"
		"  web-01  web-*  web-[01-20]  mi-...   a name, a glob, a range, an id\n"
		"  tag:Env=prod  tag:Env!=prod          a tag; Key=tag:Env,Values=prod does too\n"
		"  os:debian  status:online             what it runs, whether it is there\n"
		"  last:failed                          where the last command did not succeed\n"
		"  -                                    names from standard input\n"
		"  Commas are \"and\", several selectors are \"or\". One that means no node is an\n"
		"  error, with exit status 4.",
	.examples = {"hawser ls tag:Env=prod,tag:Role!=db", "hawser ls status:online -o name"},
	.max = -1,
	.shows = true,
	.run = run_ls,
};
