/* `hawser-relay admin`: what is always possible on the relay's own machine. Each subcommand is a
 * row: an operation, and what of its request the command line fills in. */
#include <stdio.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/display.h"
#include "proto/base/table.h"
#include "relay/cli/admin_call.h"
#include "relay/cli/cli.h"

#define ADMIN_POLICY "administrator"
#define ADMIN_USER   "admin"

struct column {
	const char *title, *member;
};

struct run;

struct subcommand {
	const char *name;
	const char *operand; /* what it takes, NULL for nothing; "[...]" may be left out */
	int (*call)(struct run *run, struct hw_err *err);
	enum op_id op;
	const char *member; /* of the request, for the operand */
	const char *set;    /* a further one, an enum's, that becomes: */
	int value;
	bool user;  /* takes --user, and needs it */
	bool group; /* or --group */

	const char *items; /* of a list's reply */
	const struct column *columns;
	const char *done; /* what is said of an act's operand */
};

struct run {
	const struct cli_options *options;
	const struct subcommand *what;
	const char *operand; /* NULL: none */
	bool json;
	struct admin *admin;
};

/* --- messages by their rows ------------------------------------------------------------------- */

static const struct field_row *
field(const struct msg_row *row, const char *member)
{
	for (size_t i = 0; i < row->count; i++)
		if (strcmp(row->fields[i].member, member) == 0)
			return &row->fields[i];
	hw_assert(!"a row of the commands names a member that the message has not");
	return NULL;
}

static void
set_text(void *msg, const struct msg_row *row, const char *member, const char *text)
{
	const char **at = (void *)((char *)msg + field(row, member)->offset);

	*at = text;
}

static void
set_value(void *msg, const struct msg_row *row, const char *member, int value)
{
	int *at = (void *)((char *)msg + field(row, member)->offset);

	*at = value;
}

static const char *
text_of(const void *msg, const struct msg_row *row, const char *member)
{
	const char *const *at = (const void *)((const char *)msg + field(row, member)->offset);

	return *at;
}

static void *
new_request(struct run *run)
{
	const struct msg_row *row = op_rows[run->what->op].request();
	void *msg = arena_alloc(admin_arena(run->admin), row->size);

	if (msg == NULL)
		return NULL;
	memset(msg, 0, row->size);
	if (run->what->member != NULL)
		set_text(msg, row, run->what->member, run->operand);
	if (run->what->set != NULL)
		set_value(msg, row, run->what->set, run->what->value);
	if (run->what->user)
		set_text(msg, row, "user_name", run->options->user);
	if (run->what->group)
		set_text(msg, row, "group_name", run->options->group);
	return msg;
}

static int
no_memory(struct hw_err *err)
{
	return hw_err_set(err, HW_ENOMEM, "no memory");
}

/* --- what people read ------------------------------------------------------------------------- */

static int
write_out(const struct buf *text, struct hw_err *err)
{
	if (text->failed)
		return no_memory(err);
	fwrite(buf_data(text), 1, text->len, stdout);
	return fflush(stdout) == 0 ? 0 : hw_err_sys(err, "cannot write the answer");
}

static int
print_json(struct run *run)
{
	printf("%s\n", admin_json(run->admin));
	return 0;
}

static void
append_time(struct buf *out, int64_t when)
{
	char text[RFC3339_LEN + 1];

	if (when == 0)
		return;
	rfc3339_format(text, when);
	buf_printf(out, "%.10s %.8sZ", text, text + 11);
}

static void
append_texts(struct buf *out, const struct msg_strs *texts)
{
	for (size_t i = 0; i < texts->n; i++)
		buf_printf(out, "%s%s", i > 0 ? "," : "", texts->v[i]);
}

static void
append_value(struct buf *out, const void *msg, const struct field_row *f)
{
	const void *at = (const char *)msg + f->offset;
	const char *text;

	switch (f->kind) {
	case FIELD_STR:
		text = *(const char *const *)at;
		buf_append_str(out, text != NULL ? text : "");
		break;
	case FIELD_INT:
		buf_printf(out, "%lld", (long long)*(const int64_t *)at);
		break;
	case FIELD_BOOL:
		buf_append_str(out, *(const bool *)at ? "yes" : "no");
		break;
	case FIELD_TIME:
		append_time(out, *(const int64_t *)at);
		break;
	case FIELD_ENUM:
		buf_append_str(out, enum_text(f->values, *(const int *)at));
		break;
	case FIELD_STRS:
		append_texts(out, at);
		break;
	default:
		hw_assert(!"no column shows this kind of field");
	}
}

static int
add_cell(struct table *t, const void *item, const struct field_row *f)
{
	struct buf text;

	buf_init(&text, 1 << 20);
	append_value(&text, item, f);
	const char *cell = buf_str(&text);
	int r = cell != NULL && !text.failed ? table_add(t, cell, STYLE_PLAIN) : HW_ENOMEM;
	buf_fini(&text);
	return r;
}

static int
add_items(struct run *run, struct table *t, const void *reply)
{
	const struct field_row *f = field(op_rows[run->what->op].reply(), run->what->items);
	const struct msg_list *items = (const void *)((const char *)reply + f->offset);
	const char *item = items->v;
	int r = 0;

	for (size_t i = 0; i < items->n; i++, item += f->msg()->size)
		for (const struct column *c = run->what->columns; c->title != NULL && r == 0; c++)
			r = add_cell(t, item, field(f->msg(), c->member));
	return r;
}

/* --- lists ------------------------------------------------------------------------------------ */

static bool
has_pages(const struct run *run)
{
	const struct msg_row *row = op_rows[run->what->op].reply();

	for (size_t i = 0; i < row->count; i++)
		if (strcmp(row->fields[i].member, "next_token") == 0)
			return true;
	return false;
}

/* All pages: each as it comes when it is to be JSON, else into the table. */
static int
read_list(struct run *run, struct table *t, struct hw_err *err)
{
	const struct op_row *op = &op_rows[run->what->op];
	void *req = new_request(run), *rep;
	const char *next = NULL;
	int r;

	if (req == NULL)
		return no_memory(err);
	do {
		if ((r = admin_ask(&rep, run->admin, run->what->op, req, err)) < 0)
			return r;
		r = run->json ? print_json(run) : add_items(run, t, rep);
		if (r < 0)
			return no_memory(err);
		next = has_pages(run) ? text_of(rep, op->reply(), "next_token") : NULL;
		if (next != NULL)
			set_text(req, op->request(), "next_token", next);
	} while (next != NULL && *next != '\0');
	return 0;
}

static int
show_list(struct run *run, struct hw_err *err)
{
	const struct column *columns = run->what->columns;
	struct table *t;
	struct buf text;
	size_t n = 0;
	int r = 0;

	while (columns[n].title != NULL)
		n++;
	if ((t = table_new(n)) == NULL)
		return no_memory(err);
	for (size_t i = 0; i < n && r == 0; i++)
		r = table_add(t, columns[i].title, STYLE_PLAIN);
	r = r < 0 ? no_memory(err) : read_list(run, t, err);
	buf_init(&text, SIZE_MAX / 2);
	if (r == 0 && !run->json)
		r = table_print(&text, t, false) < 0 ? no_memory(err) : write_out(&text, err);
	buf_fini(&text);
	table_free(t);
	return r;
}

/* --- acts ------------------------------------------------------------------------------------- */

static int
say_done(struct run *run, struct hw_err *err)
{
	struct buf text;

	if (run->json)
		return print_json(run);
	buf_init(&text, 64 * 1024);
	buf_printf(&text, "%s ", run->what->done);
	display_append(&text, run->operand, strlen(run->operand));
	buf_append_byte(&text, '\n');
	int r = write_out(&text, err);
	buf_fini(&text);
	return r;
}

static int
act(struct run *run, struct hw_err *err)
{
	void *req = new_request(run), *rep;
	int r;

	if (req == NULL)
		return no_memory(err);
	r = admin_ask(&rep, run->admin, run->what->op, req, err);
	return r < 0 ? r : say_done(run, err);
}

static int
has_key(bool *ret, struct run *run, const char *user, struct hw_err *err)
{
	struct msg_list_access_keys_request req = {.user_name = user};
	struct msg_list_access_keys_reply *rep;
	int r = admin_ask((void **)&rep, run->admin, OP_list_access_keys, &req, err);

	for (size_t i = 0; r == 0 && i < rep->keys.n && !*ret; i++)
		*ret = strcmp(rep->keys.v[i].access_key_id, run->operand) == 0;
	return r;
}

/* Who finds a key that has leaked rarely knows whose it is. */
static int
find_owner(const char **ret, struct run *run, struct hw_err *err)
{
	struct msg_list_users_request req = {.next_token = NULL};
	struct msg_list_users_reply *rep;
	bool found = false;
	int r;

	do {
		if ((r = admin_ask((void **)&rep, run->admin, OP_list_users, &req, err)) < 0)
			return r;
		for (size_t i = 0; i < rep->users.n; i++) {
			*ret = rep->users.v[i].user_name;
			if ((r = has_key(&found, run, *ret, err)) < 0 || found)
				return r;
		}
		req.next_token = rep->next_token;
	} while (req.next_token != NULL);
	return hw_err_set(err, HW_ENOTFOUND, "nobody has the access key %s", run->operand);
}

static int
remove_key(struct run *run, struct hw_err *err)
{
	struct msg_delete_access_key_request req = {
		.access_key_id = run->operand, .user_name = run->options->user};
	void *rep;
	int r = 0;

	if (req.user_name == NULL)
		r = find_owner(&req.user_name, run, err);
	if (r == 0)
		r = admin_ask(&rep, run->admin, OP_delete_access_key, &req, err);
	return r < 0 ? r : say_done(run, err);
}

/* --- an invite -------------------------------------------------------------------------------- */

static int
make_user(const char **invite, struct run *run, const char *name, struct hw_err *err)
{
	struct msg_create_user_request req = {.user_name = name, .admin = true};
	struct msg_create_user_reply *rep;
	int r = admin_ask((void **)&rep, run->admin, OP_create_user, &req, err);

	if (r == 0)
		*invite = rep->invite;
	return r;
}

static bool
has_policy(const struct msg_user *user)
{
	for (size_t i = 0; i < user->policies.n; i++)
		if (strcmp(user->policies.v[i], ADMIN_POLICY) == 0)
			return true;
	return false;
}

/* Enabled, and an administrator; what is so already is left alone. */
static int
restore_user(struct run *run, const struct msg_user *user, struct hw_err *err)
{
	const struct msg_update_user_request enable = {
		.user_name = user->user_name, .status = USER_STATUS_ACTIVE};
	const struct msg_attach_policy_request attach = {
		.policy_name = ADMIN_POLICY, .user_name = user->user_name};
	void *rep;
	int r = 0;

	if (user->status == USER_STATUS_DISABLED)
		r = admin_ask(&rep, run->admin, OP_update_user, &enable, err);
	if (r == 0 && !has_policy(user))
		r = admin_ask(&rep, run->admin, OP_attach_policy, &attach, err);
	return r;
}

static int
invite_user(const char **invite, struct run *run, const struct msg_user *user, struct hw_err *err)
{
	const struct msg_create_invite_request req = {.user_name = user->user_name};
	struct msg_create_invite_reply *rep;
	int r;

	if ((r = restore_user(run, user, err)) < 0 ||
		(r = admin_ask((void **)&rep, run->admin, OP_create_invite, &req, err)) < 0)
		return r;
	*invite = rep->invite;
	return 0;
}

static int
make_invite(struct run *run, struct hw_err *err)
{
	const char *name = run->operand != NULL ? run->operand : ADMIN_USER, *invite = NULL;
	const struct msg_get_user_request req = {.user_name = name};
	struct msg_get_user_reply *rep;
	int r = admin_ask((void **)&rep, run->admin, OP_get_user, &req, err);

	if (r == HW_ENOTFOUND)
		r = make_user(&invite, run, name, err);
	else if (r == 0)
		r = invite_user(&invite, run, rep->user, err);
	if (r < 0)
		return r;
	if (run->json)
		return print_json(run);
	printf("%s %s\n", admin_url(run->admin), invite);
	return fflush(stdout) == 0 ? 0 : hw_err_sys(err, "cannot write the invite");
}

/* --- the rows --------------------------------------------------------------------------------- */

static const struct column user_columns[] = {
	{"USER",	 "user_name" },
	{"STATUS",	   "status"	   },
	{"POLICIES",   "policies"  },
	{"GROUPS",	   "groups"	   },
	{"LAST LOGIN", "last_login"},
	{NULL,	       NULL	   },
};
static const struct column node_columns[] = {
	{"NODE",	 "instance_id"},
	{"NAME",	 "name"       },
	{"STATUS",	   "ping_status"},
	{"LAST PING", "last_ping"	 },
	{"SESSIONS",  "sessions"   },
	{NULL,	       NULL	   },
};
static const struct column session_columns[] = {
	{"SESSION", "session_id" },
	{"NODE",	 "target"	 },
	{"NAME",	 "target_name"},
	{"AS",      "run_as"     },
	{"SINCE",	  "start_date" },
	{"OWNER",	  "owner"	 },
	{NULL,      NULL	   },
};
static const struct column group_columns[] = {
	{"GROUP",	  "group_name"},
	{"POLICIES", "policies"  },
	{"USERS",	  "users"	 },
	{NULL,       NULL	   },
};
static const struct column policy_columns[] = {
	{"POLICY",   "policy_name"},
	{"BUILT IN", "managed"    },
	{"USERS",	  "users"	 },
	{"GROUPS",   "groups"	   },
	{NULL,       NULL	   },
};
static const struct column key_columns[] = {
	{"KEY",	"access_key_id"},
	{"STATUS",	   "status"	   },
	{"MADE",	 "created"	  },
	{"LAST USED", "last_used"	 },
	{NULL,	       NULL	   },
};
static const struct column activation_columns[] = {
	{"ACTIVATION",  "activation_id"      },
	{"USED",	 "registrations_count"},
	{"OF",	       "registration_limit" },
	{"EXPIRES",	    "expiration_date"    },
	{"EXPIRED",	    "expired"	     },
	{"DESCRIPTION", "description"	     },
	{NULL,	       NULL		   },
};

/* clang-format off */
static const struct subcommand subcommands[] = {
	{.name = "users", .call = show_list, .op = OP_list_users, .items = "users", .columns = user_columns},
	{.name = "nodes", .call = show_list, .op = OP_describe_instance_information,
	 .items = "instance_information_list", .columns = node_columns},
	{.name = "sessions", .call = show_list, .op = OP_describe_sessions, .set = "state",
	 .value = SESSION_STATE_ACTIVE, .items = "sessions", .columns = session_columns},
	{.name = "groups", .call = show_list, .op = OP_list_groups, .items = "groups", .columns = group_columns},
	{.name = "policies", .call = show_list, .op = OP_list_policies, .items = "policies", .columns = policy_columns},
	{.name = "keys", .operand = "USER", .call = show_list, .op = OP_list_access_keys, .member = "user_name",
	 .items = "keys", .columns = key_columns},
	{.name = "activations", .call = show_list, .op = OP_describe_activations, .items = "activation_list",
	 .columns = activation_columns},

	{.name = "invite", .operand = "[NAME]", .call = make_invite, .op = OP_create_invite},
	{.name = "disable", .operand = "USER", .call = act, .op = OP_update_user, .member = "user_name",
	 .set = "status", .value = USER_STATUS_DISABLED, .done = "disabled"},
	{.name = "enable", .operand = "USER", .call = act, .op = OP_update_user, .member = "user_name",
	 .set = "status", .value = USER_STATUS_ACTIVE, .done = "enabled"},
	{.name = "rm-user", .operand = "USER", .call = act, .op = OP_delete_user, .member = "user_name",
	 .done = "removed"},
	{.name = "kill", .operand = "SESSION", .call = act, .op = OP_terminate_session, .member = "session_id",
	 .done = "ended"},
	{.name = "rm-node", .operand = "NODE", .call = act, .op = OP_deregister_managed_instance,
	 .member = "instance_id", .done = "removed"},
	{.name = "rm-key", .operand = "KEY", .call = remove_key, .op = OP_delete_access_key,
	 .member = "access_key_id", .done = "removed"},
	{.name = "rm-activation", .operand = "ID", .call = act, .op = OP_delete_activation,
	 .member = "activation_id", .done = "removed"},
	{.name = "detach", .operand = "POLICY", .call = act, .op = OP_detach_policy, .member = "policy_name",
	 .user = true, .group = true, .done = "detached"},
	{.name = "leave", .operand = "GROUP", .call = act, .op = OP_remove_user_from_group, .member = "group_name",
	 .user = true, .done = "left"},
};
/* clang-format on */

/* --- the command line ------------------------------------------------------------------------- */

static int
usage_error(struct hw_err *err, const char *what, const char *which)
{
	return hw_err_set(err, HW_EUSAGE, "%s%s; see hawser-relay admin --help", what, which);
}

static int
find_subcommand(const struct subcommand **ret, const struct cli_options *o, struct hw_err *err)
{
	if (o->n_operands == 0)
		return usage_error(err, "what to do is missing", "");
	for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++)
		if (strcmp(subcommands[i].name, o->operands[0]) == 0) {
			*ret = &subcommands[i];
			return 0;
		}
	return usage_error(err, "no such subcommand: ", o->operands[0]);
}

static int
check_options(const struct run *run, struct hw_err *err)
{
	const struct cli_options *o = run->options;
	const struct subcommand *what = run->what;
	bool finds_user = what->call == remove_key;

	if (o->output != NULL && strcmp(o->output, "json") != 0 && strcmp(o->output, "table") != 0)
		return usage_error(err, "no such format: ", o->output);
	if (o->user != NULL && !what->user && !finds_user)
		return usage_error(err, "--user is not for ", what->name);
	if (o->group != NULL && !what->group)
		return usage_error(err, "--group is not for ", what->name);
	if (what->group && (o->user != NULL) == (o->group != NULL))
		return usage_error(err, "--user or --group is needed, and one of them alone", "");
	if (what->user && !what->group && o->user == NULL)
		return usage_error(err, "--user is missing", "");
	return 0;
}

static int
parse(struct run *run, struct hw_err *err)
{
	const struct cli_options *o = run->options;
	int r = find_subcommand(&run->what, o, err);

	if (r < 0)
		return r;
	const char *takes = run->what->operand;
	if (o->n_operands > 1)
		run->operand = o->operands[1];
	if (o->n_operands > (takes != NULL ? 2U : 1U))
		return usage_error(err, "not expected: ", o->operands[o->n_operands - 1]);
	if (takes != NULL && takes[0] != '[' && run->operand == NULL)
		return usage_error(err, takes, " is missing");
	run->json = o->output != NULL && strcmp(o->output, "json") == 0;
	return check_options(run, err);
}

/* What the relay says may repeat what others have named. */
static int
fail(const struct hw_err *err)
{
	struct buf text;

	buf_init(&text, 64 * 1024);
	display_append(&text, hw_err_text(err), strlen(hw_err_text(err)));
	const char *shown = buf_str(&text);
	fprintf(stderr, "hawser-relay: %s\n", shown != NULL ? shown : "no memory");
	buf_fini(&text);
	return err->code == HW_EUSAGE ? EXIT_USAGE : EXIT_FAILED;
}

int
cli_admin(const struct cli_options *o)
{
	struct run run = {.options = o};
	struct hw_err err = HW_ERR_INIT;
	int r = parse(&run, &err);

	if (r == 0 && (r = admin_open(&run.admin, o->dir, &err)) == 0)
		r = run.what->call(&run, &err);
	admin_close(run.admin);
	return r < 0 ? fail(&err) : EXIT_OK;
}
