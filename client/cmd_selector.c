/* hawser selector put, ls, show, rm: nodes under a name, which every selector takes as @NAME. */
#include <stddef.h>
#include <string.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/pages.h"
#include "client/selector.h"

#define VALUES_MAX 3000 /* of names or ids that are saved together */

/* --- put -------------------------------------------------------------------------------------- */

static int
not_kept(const char *text, struct hw_err *err)
{
	return hw_err_set(err, HW_EUSAGE,
		"'%s' cannot be saved: what the relay looks up itself are tag:KEY=VALUE, tag:KEY, names "
		"with * and ids, with commas between them",
		text);
}

/* Several operands are nodes that are named one by one. */
static int
add_name(struct msg_command_target *to, struct client *c, const char *text, struct hw_err *err)
{
	struct msg_command_target targets[SELECTOR_TARGETS];
	struct selector s;
	size_t n;
	int r = selector_parse(&s, c->arena, text, err);

	if (r < 0)
		return r;
	if (s.n != 1 || s.terms[0].kind == TERM_TAG || !selector_targets(targets, &n, c->arena, &s))
		return hw_err_set(err, HW_EUSAGE,
			"'%s': several selectors can be saved together when they are all names, or all "
			"ids",
			text);
	if (to->key != NULL && strcmp(to->key, targets[0].key) != 0)
		return hw_err_set(err, HW_EUSAGE,
			"'%s': names and ids cannot be saved together: say all by name, or all by id",
			text);
	if (to->values.n == VALUES_MAX)
		return hw_err_set(err, HW_EUSAGE, "at most %d names or ids", VALUES_MAX);
	to->key = targets[0].key;
	to->values.v[to->values.n++] = targets[0].values.v[0];
	return 0;
}

static int
read_names(struct msg_put_resource_group_request *req, struct client *c, const char **texts,
	size_t n, struct hw_err *err)
{
	struct msg_command_target *one = arena_array(c->arena, 1, sizeof(*one));
	int r = 0;

	if (one == NULL ||
		(one->values.v = arena_array(c->arena, VALUES_MAX, sizeof(char *))) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_name(one, c, texts[i], err);
	req->targets.v = one;
	req->targets.n = 1;
	return r;
}

static int
read_selector(struct msg_put_resource_group_request *req, struct client *c, const char *text,
	struct hw_err *err)
{
	struct selector s;
	int r = selector_parse(&s, c->arena, text, err);

	if (r < 0)
		return r;
	req->targets.v = arena_array(c->arena, SELECTOR_TARGETS, sizeof(*req->targets.v));
	if (req->targets.v == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	return selector_targets(req->targets.v, &req->targets.n, c->arena, &s)
		? 0
		: not_kept(text, err);
}

static int
run_put(struct client *c, const struct input *in, struct hw_err *err)
{
	const char *name = in->operands[0];
	struct msg_put_resource_group_request req = {
		.name = name[0] == '@' ? name + 1 : name,
		.description = input_text(in, "description"),
	};
	const struct msg_resource_group_reply *reply;
	int r = in->n == 2 ? read_selector(&req, c, in->operands[1], err)
			   : read_names(&req, c, in->operands + 1, in->n - 1, err);

	if (r < 0)
		return r;
	r = client_call(&reply, c, OP_update_resource_group, &req, err);
	if (r == HW_ENOTFOUND)
		r = client_call(&reply, c, OP_create_resource_group, &req, err);
	return r;
}

static const struct option_row put_options[] = {
	{"description", 'd', "TEXT", "what it is for"},
	{0	  },
};

const struct command cmd_selector_put = {
	.name = "selector put",
	.operands = "NAME SELECTOR...",
	.summary = "Save a selector under a name, or replace it; @NAME stands for it everywhere.",
	.about = "  It is looked up each time: tag:Role=web is whoever has that tag then. Several\n"
		 "  selectors are names, or ids. AWS calls it a resource group.",
	.examples = {"hawser selector put web tag:Role=web,tag:Env=prod",
		     "hawser run --target @web -- uptime"},
	.options = put_options,
	.min = 2,
	.max = -1,
	.run = run_put,
};

/* --- ls, show --------------------------------------------------------------------------------- */

static const char *
name_of(const void *item)
{
	return ((const struct msg_resource_group *)item)->name;
}

static const char *
cell_name(struct client *c, const void *item)
{
	(void)c;
	return name_of(item);
}

/* As it is written where that is possible. */
static const char *
target_text(struct client *c, const struct msg_command_target *t)
{
	bool tag = strncmp(t->key, "tag:", 4) == 0;

	if (tag && t->values.n == 0)
		return t->key;
	if (tag && t->values.n == 1)
		return arena_printf(c->arena, "%s=%s", t->key, t->values.v[0]);
	if (t->values.n == 1 && (strcmp(t->key, "Name") == 0 || strcmp(t->key, "InstanceIds") == 0))
		return t->values.v[0];
	return arena_printf(c->arena, "Key=%s,Values=%s", t->key, output_texts(c, &t->values));
}

static const char *
cell_targets(struct client *c, const void *item)
{
	const struct msg_resource_group *g = item;
	const char *all = "";

	for (size_t i = 0; all != NULL && i < g->targets.n; i++) {
		const char *one = target_text(c, &g->targets.v[i]);
		all = one == NULL ? NULL
				  : arena_printf(c->arena, "%s%s%s", all, i > 0 ? "," : "", one);
	}
	return all;
}

static const char *
cell_description(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_resource_group *)item)->description;
}

static const char *
cell_updated(struct client *c, const void *item)
{
	return output_time(c, ((const struct msg_resource_group *)item)->updated);
}

static const struct column columns[] = {
	{"NAME",	 false, cell_name, NULL},
	{"SELECTOR", false, cell_targets, NULL},
	{"DESCRIPTION",		true, cell_description, NULL},
	{"UPDATED",	    true, cell_updated, NULL},
	{0	  },
};

static const struct listing listing = {
	.reply = msg_row_list_resource_groups_reply,
	.item = msg_row_resource_group,
	.columns = columns,
	.name = name_of,
};

static int
run_ls(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_list_resource_groups_request req = {0};
	struct msg_list_resource_groups_reply all = {0};
	struct pages pages = {0};
	int r;

	(void)in;
	if ((r = pages_fetch(&pages, c, OP_list_resource_groups, &req, &req.next_token,
		     offsetof(struct msg_list_resource_groups_reply, next_token), 0, err)) < 0)
		return r;
	all.groups.v = pages.v;
	all.groups.n = pages.n;
	return output_list(c, &listing, &all, pages.v, pages.n, err);
}

const struct command cmd_selector_ls = {
	.name = "selector ls",
	.operands = "",
	.summary = "List saved selectors.",
	.examples = {"hawser selector ls", "hawser selector ls -o json"},
	.shows = true,
	.run = run_ls,
};

static int
run_show(struct client *c, const struct input *in, struct hw_err *err)
{
	const char *name = in->operands[0];
	struct msg_resource_group_request req = {.name = name[0] == '@' ? name + 1 : name};
	const struct msg_resource_group_reply *reply;
	int r = client_call(&reply, c, OP_get_resource_group, &req, err);

	if (r < 0) {
		client_hint(c, "hawser selector ls");
		return r;
	}
	return output_one(c, MSG_ROW(resource_group), reply->group, reply->group->name, err);
}

const struct command cmd_selector_show = {
	.name = "selector show",
	.operands = "NAME",
	.summary = "Show a saved selector. `hawser ls @NAME` shows its nodes.",
	.examples = {"hawser selector show web", "hawser ls @web"},
	.min = 1,
	.max = 1,
	.shows = true,
	.run = run_show,
};

/* --- rm --------------------------------------------------------------------------------------- */

static int
run_rm(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_resource_group_request req = {0};

	return client_call_each(c, OP_delete_resource_group, &req, &req.name, in->operands, in->n,
		err);
}

const struct command cmd_selector_rm = {
	.name = "selector rm",
	.operands = "NAME...",
	.summary = "Remove saved selectors. Their nodes stay.",
	.examples = {"hawser selector rm web", "hawser selector rm web db"},
	.min = 1,
	.max = -1,
	.run = run_rm,
};
