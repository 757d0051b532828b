/* hawser user add, ls, show, rm, invite, disable, enable, tag, untag. */
#include <stddef.h>
#include <string.h>

#include "client/client.h"
#include "client/commands.h"
#include "proto/base/display.h"
#include "client/pages.h"
#include "client/tag_args.h"

#define TAGS_MAX     50
#define GROUPS_MAX   100
#define POLICIES_MAX 100

/* --- add, invite ----------------------------------------------------------------------------- */

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

/* A service may have no invite: it signs with an access key. */
static int
show_added(struct client *c, const struct msg_create_user_request *req,
	const struct msg_create_user_reply *reply, struct hw_err *err)
{
	if (c->format > OUTPUT_WIDE)
		return output_one(c, MSG_ROW(create_user_reply), reply, req->user_name, err);
	if (reply->invite != NULL && reply->invite[0] != '\0')
		return show_invite(c, req->user_name, reply->invite, reply->expires, err);
	client_say(c, "added %s; `hawser key create %s` makes what it signs with", req->user_name,
		req->user_name);
	return 0;
}

/* The user is there by now, and its invite is shown whatever becomes of the policies. */
static int
attach_policies(struct client *c, const char *user, const char *const *policies, size_t n,
	struct hw_err *err)
{
	struct msg_attach_policy_request req = {.user_name = user};
	struct hw_err why = HW_ERR_INIT;
	int r = client_call_each(c, OP_attach_policy, &req, &req.policy_name, policies, n, &why);

	if (r == 0)
		return 0;
	client_hint(c, "hawser policy attach %s --user %s", req.policy_name, user);
	return hw_err_set(err, r, "%s was made all the same, but without the policy %s: %s", user,
		req.policy_name, hw_err_text(&why));
}

static int
read_add(struct msg_create_user_request *req, struct client *c, const struct input *in,
	struct hw_err *err)
{
	const char **tags;
	int r;

	req->user_name = in->operands[0];
	req->admin = input_has(in, "admin");
	req->type = input_has(in, "service") ? USER_TYPE_SERVICE : 0;
	if ((r = read_expiry(&req->expires_seconds, in, err)) < 0 ||
		(r = input_all(&req->groups.v, &req->groups.n, c->arena, in, "group", GROUPS_MAX,
			 err)) < 0 ||
		(r = input_all(&tags, &req->tags.n, c->arena, in, "tag", TAGS_MAX, err)) < 0)
		return r;
	return tag_args(&req->tags.v, c->arena, tags, req->tags.n, err);
}

static int
run_add(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_create_user_request req = {0};
	const struct msg_create_user_reply *reply;
	const char **policies;
	struct hw_err attach_err = HW_ERR_INIT;
	size_t n;
	int r, attached;

	if ((r = read_add(&req, c, in, err)) < 0 ||
		(r = input_all(&policies, &n, c->arena, in, "policy", POLICIES_MAX, err)) < 0 ||
		(r = client_call(&reply, c, OP_create_user, &req, err)) < 0)
		return r;
	attached = attach_policies(c, req.user_name, policies, n, &attach_err);
	if ((r = show_added(c, &req, reply, err)) < 0)
		return r;
	return attached < 0 ? hw_err_set(err, attached, "%s", attach_err.text) : 0;
}

static const struct option_row add_options[] = {
	{"admin",		    0, NULL, "an administrator, who may do everything"},
	{"service",		      0, NULL, "a program, not a person"},
	{"group",			  'g', "GROUP", "a group that it is in; may be repeated"},
	{"policy",	   'p', "POLICY", "a policy of its own; may be repeated"},
	{"tag", 't', "KEY=VALUE", "a tag, for policies; may be repeated"},
	{"expires",		    'e', "TIME", "until when the invite works (24h, at most 30d)"},
	{0		  },
};

static const struct option_row invite_options[] = {
	{"expires", 'e', "TIME", "until when the invite works (24h, at most 30d)"},
	{0  },
};

const struct command cmd_user_add = {
	.name = "user add",
	.operands = "NAME",
	.summary = "Add a user: shows the relay's URL and an invite, which works once.",
	.about = "  A name consists of letters, digits and _.@+=-\n"
		 "  Without --admin the user may do nothing until a policy allows it.",
	.examples = {"hawser user add alice --group ops --tag Team=blue",
		     "hawser user add --admin --expires 1h bob"},
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
	.options = invite_options,
	.min = 1,
	.max = 1,
	.shows = true,
	.run = run_invite,
};

/* --- ls, show -------------------------------------------------------------------------------- */

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

static enum table_style
style_status(const void *item)
{
	return ((const struct msg_user *)item)->status == USER_STATUS_DISABLED ? STYLE_BAD
									       : STYLE_PLAIN;
}

static const char *
cell_type(struct client *c, const void *item)
{
	(void)c;
	return enum_text(&enum_USER_TYPE, ((const struct msg_user *)item)->type);
}

static const char *
cell_groups(struct client *c, const void *item)
{
	return output_texts(c, &((const struct msg_user *)item)->groups);
}

static const char *
cell_policies(struct client *c, const void *item)
{
	return output_texts(c, &((const struct msg_user *)item)->policies);
}

static const char *
cell_tags(struct client *c, const void *item)
{
	const struct msg_user *user = item;

	return output_tags(c, user->tags.v, user->tags.n);
}

static const char *
cell_last_login(struct client *c, const void *item)
{
	const char *age = output_age(c, ((const struct msg_user *)item)->last_login);

	return age != NULL ? age : "never";
}

static const char *
cell_last_used(struct client *c, const void *item)
{
	const char *age = output_age(c, ((const struct msg_user *)item)->last_used);

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
	{"STATUS",	   false, cell_status, style_status},
	{"TYPE",		 true, cell_type, NULL},
	{"GROUPS",	   false, cell_groups, NULL},
	{"POLICIES", false, cell_policies, NULL},
	{"TAGS",	 false, cell_tags, NULL},
	{"LOGGED IN",    false, cell_last_login, NULL},
	{"LAST USED",	      true, cell_last_used, NULL},
	{"CREATED",    true, cell_created, NULL},
	{0	  },
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
run_show(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_get_user_request req = {.user_name = in->operands[0]};
	const struct msg_get_user_reply *reply;
	int r = client_call(&reply, c, OP_get_user, &req, err);

	if (r < 0)
		return r;
	return output_one(c, MSG_ROW(user), reply->user, reply->user->user_name, err);
}

const struct command cmd_user_show = {
	.name = "user show",
	.operands = "NAME",
	.summary = "Show a user: groups, policies, tags, when it was here last.",
	.about = "  Policies of its groups are with the groups: hawser group show GROUP.",
	.examples = {"hawser user show alice", "hawser user show alice -o json"},
	.min = 1,
	.max = 1,
	.shows = true,
	.run = run_show,
};

/* --- rm, disable, enable --------------------------------------------------------------------- */

static int
run_rm(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_delete_user_request req = {0};

	return client_call_each(c, OP_delete_user, &req, &req.user_name, in->operands, in->n, err);
}

const struct command cmd_user_rm = {
	.name = "user rm",
	.operands = "NAME...",
	.summary = "Remove users: their links and sessions end within two seconds.",
	.about = "  What they did stays in the recordings and in the ledger. To lock a user\n"
		 "  out for a while, disable it.",
	.examples = {"hawser user rm alice", "hawser user rm alice bob"},
	.min = 1,
	.max = -1,
	.run = run_rm,
};

static int
set_status(struct client *c, const struct input *in, int status, struct hw_err *err)
{
	struct msg_update_user_request req = {.status = status};

	return client_call_each(c, OP_update_user, &req, &req.user_name, in->operands, in->n, err);
}

static int
run_disable(struct client *c, const struct input *in, struct hw_err *err)
{
	return set_status(c, in, USER_STATUS_DISABLED, err);
}

const struct command cmd_user_disable = {
	.name = "user disable",
	.operands = "NAME...",
	.summary = "Lock users out: their links and sessions end within two seconds.",
	.about = "  Their groups, policies and keys stay; user enable lets them in again.",
	.examples = {"hawser user disable alice", "hawser user disable alice bob"},
	.min = 1,
	.max = -1,
	.run = run_disable,
};

static int
run_enable(struct client *c, const struct input *in, struct hw_err *err)
{
	return set_status(c, in, USER_STATUS_ACTIVE, err);
}

const struct command cmd_user_enable = {
	.name = "user enable",
	.operands = "NAME...",
	.summary = "Let users in again who were disabled.",
	.about = "  Certificates from before are good again, until they expire. Whose key was\n"
		 "  stolen should be removed, and added anew.",
	.examples = {"hawser user enable alice", "hawser user enable alice bob"},
	.min = 1,
	.max = -1,
	.run = run_enable,
};

/* --- tags ------------------------------------------------------------------------------------ */

static int
run_tag(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_tag_user_request req = {.user_name = in->operands[0]};
	const void *reply;
	int r = tag_args(&req.tags.v, c->arena, in->operands + 1, in->n - 1, err);

	req.tags.n = in->n - 1;
	return r < 0 ? r : client_call(&reply, c, OP_tag_user, &req, err);
}

const struct command cmd_user_tag = {
	.name = "user tag",
	.operands = "NAME KEY=VALUE...",
	.summary = "Give a user tags; a tag with the same key is replaced.",
	.about = "  Policies know them as aws:PrincipalTag/KEY, and may decide by them.",
	.examples = {"hawser user tag alice Team=blue",
		     "hawser user tag alice Team=red OnCall=yes"},
	.min = 2,
	.max = -1,
	.run = run_tag,
};

static int
run_untag(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_untag_user_request req = {
		.user_name = in->operands[0], .tag_keys = {.v = in->operands + 1, .n = in->n - 1}
	 };
	const void *reply;

	return client_call(&reply, c, OP_untag_user, &req, err);
}

const struct command cmd_user_untag = {
	.name = "user untag",
	.operands = "NAME KEY...",
	.summary = "Take tags from a user.",
	.examples = {"hawser user untag alice Team", "hawser user untag alice Team OnCall"},
	.min = 2,
	.max = -1,
	.run = run_untag,
};
