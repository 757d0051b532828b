/* hawser activation create, ls, rm: tokens with which nodes join. */
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/pages.h"
#include "client/tag_args.h"

#define ID_LEN	 36 /* of an activation */
#define TAGS_MAX 50

static int
read_tags(struct msg_create_activation_request *req, struct client *c, const struct input *in,
	struct hw_err *err)
{
	const char **words;
	int r = input_all(&words, &req->tags.n, c->arena, in, "tag", TAGS_MAX, err);

	return r < 0 ? r : tag_args(&req->tags.v, c->arena, words, req->tags.n, err);
}

/* The two words of a join command stand on one line, to be copied. */
static int
show_activation(struct client *c, const struct msg_create_activation_reply *reply,
	struct hw_err *err)
{
	client_say(c, "the code is shown only now; on each node, as root:");
	client_say(c, "  hawser-node join '%s' ID:CODE --dir /var/lib/hawser-node", c->home.relay);
	return output_line(err, "%s:%s", reply->activation_id, reply->activation_code);
}

static int
run_create(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_create_activation_request req = {
		.default_instance_name = input_text(in, "name"),
		.description = input_text(in, "description"),
	};
	const struct msg_create_activation_reply *reply;
	int64_t life = 0;
	int r;

	if ((r = input_int(&req.registration_limit, in, "limit", 1, 1000, err)) < 0 ||
		(r = input_duration(&life, in, "expires", err)) < 0 ||
		(r = read_tags(&req, c, in, err)) < 0)
		return r;
	if (life > 0) {
		if ((r = client_relay_now(&req.expiration_date, c, err)) < 0)
			return r;
		req.expiration_date += life;
	}
	if ((r = client_call(&reply, c, OP_create_activation, &req, err)) < 0)
		return r;
	if (c->format <= OUTPUT_WIDE)
		return show_activation(c, reply, err);
	return output_one(c, MSG_ROW(create_activation_reply), reply, reply->activation_id, err);
}

static const struct option_row create_options[] = {
	{"limit",				   'l', "N", "how many nodes may join with it (1)"},
	{"expires",				      'e', "TIME", "until when it works (24h, at most 30d)"},
	{"tag",					 't', "KEY=VALUE", "a tag of every node that joins; may be repeated"},
	{"name", 0, "NAME", "the nodes' name, where they bring none"},
	{"description", 0, "TEXT", "what it is for"},
	{0				    },
};

const struct command cmd_activation_create = {
	.name = "activation create",
	.operands = "",
	.summary = "Make a token with which nodes join: its ID:CODE, shown once.",
	.examples = {"hawser activation create --limit 40 --expires 2h --tag Env=prod",
		     "hawser activation create -o json"},
	.options = create_options,
	.shows = true,
	.run = run_create,
};

/* --- ls -------------------------------------------------------------------------------------- */

static const char *
cell_id(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_activation *)item)->activation_id;
}

static const char *
cell_used(struct client *c, const void *item)
{
	const struct msg_activation *a = item;

	return arena_printf(c->arena, "%" PRId64 "/%" PRId64, a->registrations_count,
		a->registration_limit);
}

static const char *
cell_expires(struct client *c, const void *item)
{
	const struct msg_activation *a = item;

	return a->expired ? "over" : output_until(c, a->expiration_date);
}

static const char *
cell_name(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_activation *)item)->default_instance_name;
}

static const char *
cell_tags(struct client *c, const void *item)
{
	const struct msg_activation *a = item;

	return output_tags(c, a->tags.v, a->tags.n);
}

static const char *
cell_created(struct client *c, const void *item)
{
	return output_time(c, ((const struct msg_activation *)item)->created_date);
}

static const char *
cell_description(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_activation *)item)->description;
}

static const char *
name_of(const void *item)
{
	return ((const struct msg_activation *)item)->activation_id;
}

static const struct column columns[] = {
	{"ID",	       false, cell_id, NULL},
	{"USED",	 false, cell_used, NULL},
	{"EXPIRES",		    false, cell_expires, NULL},
	{"NAME",	 false, cell_name, NULL},
	{"TAGS",	 false, cell_tags, NULL},
	{"CREATED",	    true, cell_created, NULL},
	{"DESCRIPTION", true, cell_description, NULL},
	{0	    },
};

static const struct listing listing = {
	.reply = msg_row_describe_activations_reply,
	.item = msg_row_activation,
	.columns = columns,
	.name = name_of,
};

static int
run_ls(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_describe_activations_request req = {0};
	struct msg_describe_activations_reply all = {0};
	struct pages pages = {0};
	int r;

	(void)in;
	if ((r = pages_fetch(&pages, c, OP_describe_activations, &req, &req.next_token,
		     offsetof(struct msg_describe_activations_reply, next_token), 0, err)) < 0)
		return r;
	all.activation_list.v = pages.v;
	all.activation_list.n = pages.n;
	return output_list(c, &listing, &all, pages.v, pages.n, err);
}

const struct command cmd_activation_ls = {
	.name = "activation ls",
	.operands = "",
	.summary = "List activations, without their codes.",
	.examples = {"hawser activation ls", "hawser activation ls -o name"},
	.shows = true,
	.run = run_ls,
};

static int
run_rm(struct client *c, const struct input *in, struct hw_err *err)
{
	for (size_t i = 0; i < in->n; i++) {
		struct msg_delete_activation_request req = {.activation_id = in->operands[i]};
		const void *reply;
		int r;

		/* Of what is none the relay would say how long one is. */
		if (strlen(req.activation_id) != ID_LEN) {
			client_hint(c, "hawser activation ls");
			return hw_err_set(err, HW_ENOTFOUND, "no activation %s", req.activation_id);
		}
		if ((r = client_call(&reply, c, OP_delete_activation, &req, err)) < 0)
			return r;
	}
	return 0;
}

const struct command cmd_activation_rm = {
	.name = "activation rm",
	.operands = "ID...",
	.summary = "Remove activations; nodes that joined with them stay.",
	.examples = {"hawser activation rm 6d1f3a52-0c4b-4a8e-9f5b-2f1d7c3e8a90",
		     "hawser activation ls -o name | xargs hawser activation rm"},
	.min = 1,
	.max = -1,
	.run = run_rm,
};
