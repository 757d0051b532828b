/* hawser key create, ls, rm, disable, enable: access keys, with which programs sign requests. */
#include <string.h>

#include "client/client.h"
#include "client/commands.h"
#include "proto/base/display.h"

/* Whose key is meant: the caller's when nobody is named. */
static int
find_owner(const char **user, struct client *c, const char *named, struct hw_err *err)
{
	int r = client_connect(c, err); /* which loads who we are */

	if (r == 0)
		*user = named != NULL ? named : c->home.user;
	return r;
}

/* --- create ---------------------------------------------------------------------------------- */

static bool
is_plain(const char *text)
{
	return display_append(NULL, text, strlen(text)) == strlen(text);
}

static int
show_key(struct client *c, const struct msg_create_access_key_reply *key, struct hw_err *err)
{
	struct buf out;
	int r;

	if (!is_plain(key->access_key_id) || !is_plain(key->secret_access_key))
		return hw_err_set(err, HW_EPROTO, "the relay's answer holds no access key");
	client_say(c, "an access key of %s; the secret is shown only now", key->user_name);
	buf_init(&out, 4096);
	buf_printf(&out, "AccessKeyId      %s\nSecretAccessKey  %s\n", key->access_key_id,
		key->secret_access_key);
	r = output_bytes(buf_data(&out), out.len, err);
	buf_wipe(&out);
	buf_fini(&out);
	return r;
}

static int
run_create(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_create_access_key_request req = {0};
	const struct msg_create_access_key_reply *reply;
	int r;

	if ((r = find_owner(&req.user_name, c, in->n > 0 ? in->operands[0] : NULL, err)) < 0 ||
		(r = client_call(&reply, c, OP_create_access_key, &req, err)) < 0)
		return r;
	if (c->format <= OUTPUT_WIDE)
		return show_key(c, reply, err);
	return output_one(c, MSG_ROW(create_access_key_reply), reply, reply->access_key_id, err);
}

const struct command cmd_key_create = {
	.name = "key create",
	.operands = "[USER]",
	.summary = "Make an access key, of yours or of a user's: an id and a secret.",
	.about = "  It is for programs that sign their requests (AWS Signature V4), as the AWS\n"
		 "  CLI does, and may do what its user may. The secret is shown once.",
	.examples = {"hawser key create deploy", "hawser key create -o json"},
	.max = 1,
	.shows = true,
	.run = run_create,
};

/* --- ls -------------------------------------------------------------------------------------- */

static const char *
name_of(const void *item)
{
	return ((const struct msg_access_key *)item)->access_key_id;
}

static const char *
cell_id(struct client *c, const void *item)
{
	(void)c;
	return name_of(item);
}

static const char *
cell_user(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_access_key *)item)->user_name;
}

static const char *
cell_status(struct client *c, const void *item)
{
	(void)c;
	return enum_text(&enum_KEY_STATUS, ((const struct msg_access_key *)item)->status);
}

static enum table_style
style_status(const void *item)
{
	return ((const struct msg_access_key *)item)->status == KEY_STATUS_INACTIVE ? STYLE_BAD
										    : STYLE_PLAIN;
}

static const char *
cell_used(struct client *c, const void *item)
{
	const char *age = output_age(c, ((const struct msg_access_key *)item)->last_used);

	return age != NULL ? age : "never";
}

static const char *
cell_created(struct client *c, const void *item)
{
	return output_time(c, ((const struct msg_access_key *)item)->created);
}

static const struct column columns[] = {
	{"ID",     false, cell_id, NULL},
	{"USER", false, cell_user, NULL},
	{"STATUS",	   false, cell_status, style_status},
	{"LAST USED",   false, cell_used, NULL},
	{"CREATED",    false, cell_created, NULL},
	{0},
};

static const struct listing listing = {
	.reply = msg_row_list_access_keys_reply,
	.item = msg_row_access_key,
	.columns = columns,
	.name = name_of,
};

static int
run_ls(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_list_access_keys_request req = {0};
	const struct msg_list_access_keys_reply *reply;
	int r;

	if ((r = find_owner(&req.user_name, c, in->n > 0 ? in->operands[0] : NULL, err)) < 0 ||
		(r = client_call(&reply, c, OP_list_access_keys, &req, err)) < 0)
		return r;
	return output_list(c, &listing, reply, reply->keys.v, reply->keys.n, err);
}

const struct command cmd_key_ls = {
	.name = "key ls",
	.operands = "[USER]",
	.summary = "List access keys, yours or a user's, without their secrets.",
	.examples = {"hawser key ls", "hawser key ls deploy -o json"},
	.max = 1,
	.shows = true,
	.run = run_ls,
};

/* --- one key --------------------------------------------------------------------------------- */

static const struct option_row user_options[] = {
	{"user",	 'u', "USER", "whose key it is, when it is not yours"},
	{0},
};

/* A key of somebody else is not found among ours: the likeliest mistake. */
static int
hint_owner(struct client *c, const struct input *in, int r)
{
	if (r == HW_ENOTFOUND && !input_has(in, "user"))
		client_hint(c, "hawser %s %s --user USER, when the key is not yours",
			in->command->name, in->operands[0]);
	return r;
}

static int
run_rm(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_delete_access_key_request req = {.access_key_id = in->operands[0]};
	const void *reply;
	int r;

	if ((r = find_owner(&req.user_name, c, input_text(in, "user"), err)) < 0)
		return r;
	return hint_owner(c, in, client_call(&reply, c, OP_delete_access_key, &req, err));
}

const struct command cmd_key_rm = {
	.name = "key rm",
	.operands = "KEY-ID",
	.summary = "Remove an access key: what it signs is refused from now on.",
	.examples = {"hawser key rm HWAK0123456789ABCDEF",
		     "hawser key rm HWAK0123456789ABCDEF --user deploy"},
	.options = user_options,
	.min = 1,
	.max = 1,
	.run = run_rm,
};

static int
set_status(struct client *c, const struct input *in, int status, struct hw_err *err)
{
	struct msg_update_access_key_request req = {
		.access_key_id = in->operands[0], .status = status};
	const void *reply;
	int r;

	if ((r = find_owner(&req.user_name, c, input_text(in, "user"), err)) < 0)
		return r;
	return hint_owner(c, in, client_call(&reply, c, OP_update_access_key, &req, err));
}

static int
run_disable(struct client *c, const struct input *in, struct hw_err *err)
{
	return set_status(c, in, KEY_STATUS_INACTIVE, err);
}

const struct command cmd_key_disable = {
	.name = "key disable",
	.operands = "KEY-ID",
	.summary = "Turn an access key off; it can be turned on again.",
	.examples = {"hawser key disable HWAK0123456789ABCDEF",
		     "hawser key disable HWAK0123456789ABCDEF --user deploy"},
	.options = user_options,
	.min = 1,
	.max = 1,
	.run = run_disable,
};

static int
run_enable(struct client *c, const struct input *in, struct hw_err *err)
{
	return set_status(c, in, KEY_STATUS_ACTIVE, err);
}

const struct command cmd_key_enable = {
	.name = "key enable",
	.operands = "KEY-ID",
	.summary = "Turn an access key on again.",
	.examples = {"hawser key enable HWAK0123456789ABCDEF",
		     "hawser key enable HWAK0123456789ABCDEF --user deploy"},
	.options = user_options,
	.min = 1,
	.max = 1,
	.run = run_enable,
};
