/* hawser group create, ls, show, rm, add, remove. */
#include <stddef.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/pages.h"

static int
run_create(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_create_group_request req = {0};

	return client_call_each(c, OP_create_group, &req, &req.group_name, in->operands, in->n,
		err);
}

const struct command cmd_group_create = {
	.name = "group create",
	.operands = "NAME...",
	.summary = "Make groups: what a policy allows a group, it allows its users.",
	.about = "  A name consists of letters, digits and _.@+=-",
	.examples = {"hawser group create ops",
		     "hawser group create ops && hawser policy attach operator --group ops"},
	.min = 1,
	.max = -1,
	.run = run_create,
};

/* --- ls, show -------------------------------------------------------------------------------- */

static const char *
name_of(const void *item)
{
	return ((const struct msg_group *)item)->group_name;
}

static const char *
cell_name(struct client *c, const void *item)
{
	(void)c;
	return name_of(item);
}

static const char *
cell_users(struct client *c, const void *item)
{
	return output_texts(c, &((const struct msg_group *)item)->users);
}

static const char *
cell_policies(struct client *c, const void *item)
{
	return output_texts(c, &((const struct msg_group *)item)->policies);
}

static const char *
cell_created(struct client *c, const void *item)
{
	return output_time(c, ((const struct msg_group *)item)->created);
}

static const struct column columns[] = {
	{"NAME",	 false, cell_name, NULL},
	{"POLICIES", false, cell_policies, NULL},
	{"CREATED",	    true, cell_created, NULL},
	{"USERS",	  false, cell_users, NULL},
	{0	  },
};

static const struct listing listing = {
	.reply = msg_row_list_groups_reply,
	.item = msg_row_group,
	.columns = columns,
	.name = name_of,
};

static int
run_ls(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_list_groups_request req = {0};
	struct msg_list_groups_reply all = {0};
	struct pages pages = {0};
	int r;

	(void)in;
	if ((r = pages_fetch(&pages, c, OP_list_groups, &req, &req.next_token,
		     offsetof(struct msg_list_groups_reply, next_token), 0, err)) < 0)
		return r;
	all.groups.v = pages.v;
	all.groups.n = pages.n;
	return output_list(c, &listing, &all, pages.v, pages.n, err);
}

const struct command cmd_group_ls = {
	.name = "group ls",
	.operands = "",
	.summary = "List groups.",
	.examples = {"hawser group ls", "hawser group ls -o jsonl"},
	.shows = true,
	.run = run_ls,
};

static int
run_show(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_get_group_request req = {.group_name = in->operands[0]};
	const struct msg_group_reply *reply;
	int r = client_call(&reply, c, OP_get_group, &req, err);

	if (r < 0)
		return r;
	return output_one(c, MSG_ROW(group), reply->group, reply->group->group_name, err);
}

const struct command cmd_group_show = {
	.name = "group show",
	.operands = "NAME",
	.summary = "Show a group: its users and its policies.",
	.examples = {"hawser group show ops", "hawser group show ops -o json"},
	.min = 1,
	.max = 1,
	.shows = true,
	.run = run_show,
};

/* --- rm -------------------------------------------------------------------------------------- */

static int
run_rm(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_delete_group_request req = {0};

	return client_call_each(c, OP_delete_group, &req, &req.group_name, in->operands, in->n,
		err);
}

const struct command cmd_group_rm = {
	.name = "group rm",
	.operands = "NAME...",
	.summary = "Remove groups. Their users stay, and lose what the groups allowed.",
	.about = "  Sessions that nothing allows any more end within two seconds.",
	.examples = {"hawser group rm ops", "hawser group rm ops contractors"},
	.min = 1,
	.max = -1,
	.run = run_rm,
};

/* --- who is in it ---------------------------------------------------------------------------- */

static int
change_members(struct client *c, const struct input *in, enum op_id op, struct hw_err *err)
{
	struct msg_group_member_request req = {.group_name = in->operands[0]};

	return client_call_each(c, op, &req, &req.user_name, in->operands + 1, in->n - 1, err);
}

static int
run_add(struct client *c, const struct input *in, struct hw_err *err)
{
	return change_members(c, in, OP_add_user_to_group, err);
}

const struct command cmd_group_add = {
	.name = "group add",
	.operands = "GROUP USER...",
	.summary = "Put users into a group.",
	.examples = {"hawser group add ops alice", "hawser group add ops alice bob"},
	.min = 2,
	.max = -1,
	.run = run_add,
};

static int
run_remove(struct client *c, const struct input *in, struct hw_err *err)
{
	return change_members(c, in, OP_remove_user_from_group, err);
}

const struct command cmd_group_remove = {
	.name = "group remove",
	.operands = "GROUP USER...",
	.summary = "Take users out of a group; they lose what it allowed within two seconds.",
	.examples = {"hawser group remove ops alice", "hawser group remove ops alice bob"},
	.min = 2,
	.max = -1,
	.run = run_remove,
};
