/* hawser node show, tag, untag, rm. */
#include <string.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/fleet.h"
#include "client/selector.h"
#include "client/tag_args.h"

static int
run_show(struct client *c, const struct input *in, struct hw_err *err)
{
	const struct msg_instance_information *node;
	int r;

	if ((r = fleet_node(&node, c, in->operands[0], err)) < 0)
		return r;
	return output_one(c, MSG_ROW(instance_information), node, node_name(node), err);
}

const struct command cmd_node_show = {
	.name = "node show",
	.operands = "NODE",
	.summary = "Show everything that is known of a node.",
	.examples = {"hawser node show web-01", "hawser node show mi-0123456789abcdef0 -o json"},
	.min = 1,
	.max = 1,
	.shows = true,
	.run = run_show,
};

/* --- tags ------------------------------------------------------------------------------------ */

static int
run_tag(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_add_tags_to_resource_request req = {
		.resource_type = TAG_RESOURCE_MANAGED_INSTANCE};
	const char *shown;
	const void *reply;
	int r;

	if ((r = tag_args(&req.tags.v, c->arena, in->operands + 1, in->n - 1, err)) < 0 ||
		(r = client_connect(c, err)) < 0 ||
		(r = fleet_node_id(&req.resource_id, &shown, c, in->operands[0], err)) < 0)
		return r;
	req.tags.n = in->n - 1;
	return client_call(&reply, c, OP_add_tags_to_resource, &req, err);
}

const struct command cmd_node_tag = {
	.name = "node tag",
	.operands = "NODE KEY=VALUE...",
	.summary = "Give a node tags; a tag with the same key is replaced.",
	.examples = {"hawser node tag web-01 Env=prod Role=web",
		     "hawser node tag db-1 Owner='data team'"},
	.min = 2,
	.max = -1,
	.run = run_tag,
};

static int
run_untag(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_remove_tags_from_resource_request req = {
		.resource_type = TAG_RESOURCE_MANAGED_INSTANCE,
		.tag_keys = {.v = in->operands + 1, .n = in->n - 1}
	   };
	const char *shown;
	const void *reply;
	int r;

	if ((r = client_connect(c, err)) < 0 ||
		(r = fleet_node_id(&req.resource_id, &shown, c, in->operands[0], err)) < 0)
		return r;
	return client_call(&reply, c, OP_remove_tags_from_resource, &req, err);
}

const struct command cmd_node_untag = {
	.name = "node untag",
	.operands = "NODE KEY...",
	.summary = "Take tags from a node.",
	.examples = {"hawser node untag web-01 Env", "hawser node untag db-1 Owner Role"},
	.min = 2,
	.max = -1,
	.run = run_untag,
};

/* --- rm -------------------------------------------------------------------------------------- */

static int
run_rm(struct client *c, const struct input *in, struct hw_err *err)
{
	int r;

	if ((r = client_connect(c, err)) < 0)
		return r;
	for (size_t i = 0; i < in->n; i++) {
		struct msg_deregister_managed_instance_request req;
		const char *shown;
		const void *reply;

		if ((r = fleet_node_id(&req.instance_id, &shown, c, in->operands[i], err)) < 0 ||
			(r = client_call(&reply, c, OP_deregister_managed_instance, &req, err)) < 0)
			return r;
		client_say(c, "removed %s", shown);
	}
	return 0;
}

const struct command cmd_node_rm = {
	.name = "node rm",
	.operands = "NODE...",
	.summary = "Remove nodes; their links and sessions end at once.",
	.about = "  A node that was removed cannot come back with its old certificate: it joins\n"
		 "  anew, and gets another id. Recordings of its sessions stay.",
	.examples = {"hawser node rm web-07",
		     "hawser ls status:inactive -o name | xargs hawser node rm"},
	.min = 1,
	.max = -1,
	.run = run_rm,
};
