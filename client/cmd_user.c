/* hawser user add, ls, rm, invite. */
#include <stddef.h>
#include <string.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/display.h"
#include "client/pages.h"

/* On stdout stands what the new user types, on stderr what to do with it. */
static int
show_invite(struct client *c, const char *user, const char *invite, int64_t expires,
	struct hw_err *err)
{
	const char *text = arena_printf(c->arena, "%s %s\n", c->home.relay, invite);

	if (text == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if (display_append(NULL, invite, strlen(invite)) != strlen(invite))
		return hw_err_set(err, HW_EPROTO, "the relay's invite is none");
	client_say(c, "works once, until %s; %s logs in with", output_time(c, expires), user);
	client_say(c, "  hawser login '%s' INVITE", c->home.relay);
	return output_bytes(text, strlen(text), err);
}

static int
read_expiry(int64_t *seconds, const struct input *in, struct hw_err *err)
{
	int64_t usec = 0;
	int r = input_duration(&usec, in, "expires", err);

	*seconds = usec / USEC_PER_SEC;
	return r;
}

static const struct option_row add_options[] = {
	{"admin", 0, NULL, "an administrator, who may do everything"},
	{"expires",   'e', "TIME", "until when the invite works (24h, at most 30d)"},
	{0	  },
};

static int
run_add(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_create_user_request req = {
		.user_name = in->operands[0], .admin = input_has(in, "admin")};
	const struct msg_create_user_reply *reply;
	int r;

	if ((r = read_expiry(&req.expires_seconds, in, err)) < 0 ||
		(r = client_call(&reply, c, OP_create_user, &req, err)) < 0)
		return r;
	if (c->format <= OUTPUT_WIDE)
		return show_invite(c, req.user_name, reply->invite, reply->expires, err);
	return output_one(c, MSG_ROW(create_user_reply), reply, req.user_name, err);
}

const struct command cmd_user_add = {
	.name = "user add",
	.operands = "NAME",
	.summary = "Add a user: shows the relay's URL and an invite, which works once.",
	.about = "  A name consists of letters, digits and _.@+=-\n"
		 "  Without --admin the user may do nothing until a policy allows it.",
	.examples = {"hawser user add alice", "hawser user add --admin --expires 1h bob"},
	.options = add_options,
	.min = 1,
	.max = 1,
	.shows = true,
	.run = run_add,
};

static int
run_invite(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_create_invite_request req = {.user_name = in->operands[0]};
	const struct msg_create_invite_reply *reply;
	int r;

	if ((r = read_expiry(&req.expires_seconds, in, err)) < 0 ||
		(r = client_call(&reply, c, OP_create_invite, &req, err)) < 0)
		return r;
	if (c->format <= OUTPUT_WIDE)
		return show_invite(c, req.user_name, reply->invite, reply->expires, err);
	return output_one(c, MSG_ROW(create_invite_reply), reply, req.user_name, err);
}

const struct command cmd_user_invite = {
	.name = "user invite",
	.operands = "NAME",
	.summary = "Make a new invite for a user; older ones stop working.",
	.examples = {"hawser user invite alice", "hawser user invite alice --expires 1h -o json"},
	.options = add_options + 1,
	.min = 1,
	.max = 1,
	.shows = true,
	.run = run_invite,
};

/* --- ls -------------------------------------------------------------------------------------- */

static const char *
cell_name(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_user *)item)->user_name;
}

static const char *
cell_status(struct client *c, const void *item)
{
	(void)c;
	return enum_text(&enum_USER_STATUS, ((const struct msg_user *)item)->status);
}

static const char *
cell_policies(struct client *c, const void *item)
{
	const struct msg_user *user = item;
	const char *all = NULL;

	for (size_t i = 0; i < user->policies.n; i++)
		all = arena_printf(c->arena, "%s%s%s", all != NULL ? all : "",
			all != NULL ? "," : "", user->policies.v[i]);
	return all;
}

static const char *
cell_last_login(struct client *c, const void *item)
{
	const char *age = output_age(c, ((const struct msg_user *)item)->last_login);

	return age != NULL ? age : "never";
}

static const char *
cell_created(struct client *c, const void *item)
{
	return output_time(c, ((const struct msg_user *)item)->created);
}

static const char *
name_of(const void *item)
{
	return ((const struct msg_user *)item)->user_name;
}

static const struct column columns[] = {
	{"NAME",	 false, cell_name, NULL},
	{"STATUS", false, cell_status, NULL},
	{"POLICIES",	     false, cell_policies, NULL},
	{"LOGGED IN",     false, cell_last_login, NULL},
	{"CREATED",	    true, cell_created, NULL},
	{0},
};

static const struct listing listing = {
	.reply = msg_row_list_users_reply,
	.item = msg_row_user,
	.columns = columns,
	.name = name_of,
};

static int
run_ls(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_list_users_request req = {0};
	struct msg_list_users_reply all = {0};
	struct pages pages = {0};
	int r;

	(void)in;
	if ((r = pages_fetch(&pages, c, OP_list_users, &req, &req.next_token,
		     offsetof(struct msg_list_users_reply, next_token), 0, err)) < 0)
		return r;
	all.users.v = pages.v;
	all.users.n = pages.n;
	return output_list(c, &listing, &all, pages.v, pages.n, err);
}

const struct command cmd_user_ls = {
	.name = "user ls",
	.operands = "",
	.summary = "List users.",
	.examples = {"hawser user ls", "hawser user ls -o jsonl"},
	.shows = true,
	.run = run_ls,
};

static int
run_rm(struct client *c, const struct input *in, struct hw_err *err)
{
	for (size_t i = 0; i < in->n; i++) {
		struct msg_delete_user_request req = {.user_name = in->operands[i]};
		const void *reply;
		int r = client_call(&reply, c, OP_delete_user, &req, err);

		if (r < 0)
			return r;
	}
	return 0;
}

const struct command cmd_user_rm = {
	.name = "user rm",
	.operands = "NAME...",
	.summary = "Remove users: their links and sessions end within two seconds.",
	.about = "  What they did stays in the recordings and in the ledger.",
	.examples = {"hawser user rm alice", "hawser user rm alice bob"},
	.min = 1,
	.max = -1,
	.run = run_rm,
};
