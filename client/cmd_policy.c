/* hawser policy put, show, ls, rm, attach, detach. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "client/commands.h"
#include "proto/base/display.h"
#include "client/pages.h"
#include "client/source.h"

#define DOCUMENT_MAX 65536
#define HOLDERS_MAX  1000

/* --- put ------------------------------------------------------------------------------------- */

static const char *
count_of(struct client *c, size_t n, const char *one)
{
	const char *text = arena_printf(c->arena, "%zu %s%s", n, one, n == 1 ? "" : "s");

	return text != NULL ? text : one;
}

static int
read_document(struct buf *document, const char *file, struct hw_err *err)
{
	int r = source_read(document, file, err);

	if (r < 0)
		return r;
	if (document->len == 0)
		return hw_err_set(err, HW_EUSAGE, "%s is empty; a policy is a JSON document",
			source_name(file));
	if (memchr(buf_data(document), '\0', document->len) != NULL)
		return hw_err_set(err, HW_EUSAGE, "%s has a NUL byte in it; a policy is UTF-8 text",
			source_name(file));
	return 0;
}

/* The relay's sentence begins with the place, which is shown as compilers show it, so that editors
 * jump there. */
static int
say_malformed(struct client *c, const char *file, const struct buf *document,
	const struct hw_err *why)
{
	unsigned line, column;
	struct buf place;
	int used = 0;

	if (sscanf(why->text, "line %u, column %u: %n", &line, &column, &used) != 2 || used == 0) {
		client_say(c, "%s: %s", source_name(file), why->text);
		return 1;
	}
	client_say(c, "%s:%u:%u: %s", source_name(file), line, column, why->text + used);
	buf_init(&place, 8192);
	source_point(&place, (const char *)buf_data(document), document->len, line, column);
	fwrite(buf_data(&place), 1, place.len, stderr);
	buf_fini(&place);
	return 1;
}

static void
say_put(struct client *c, const struct msg_policy *p)
{
	if (p->users.n + p->groups.n == 0)
		client_say(c, "policy %s is attached to nobody yet: hawser policy attach",
			p->policy_name);
	else
		client_say(c, "policy %s is in force for %s and %s", p->policy_name,
			count_of(c, p->users.n, "user"), count_of(c, p->groups.n, "group"));
}

static int
put_document(struct client *c, const struct input *in, struct buf *document, struct hw_err *err)
{
	struct msg_put_policy_request req = {.policy_name = in->operands[0],
		.document = buf_str(document),
		.description = input_text(in, "description")};
	const struct msg_policy_reply *reply;
	struct hw_err why = HW_ERR_INIT;
	int r;

	if (req.document == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	r = client_call(&reply, c, OP_put_policy, &req, &why);
	if (r == HW_EMALFORMED)
		return say_malformed(c, in->operands[1], document, &why);
	if (r < 0)
		return hw_err_set(err, r, "%s", hw_err_text(&why));
	if (c->format > OUTPUT_WIDE)
		return output_one(c, MSG_ROW(policy), reply->policy, reply->policy->policy_name,
			err);
	say_put(c, reply->policy);
	return 0;
}

static int
run_put(struct client *c, const struct input *in, struct hw_err *err)
{
	struct buf document;
	int r;

	buf_init(&document, DOCUMENT_MAX);
	if ((r = read_document(&document, in->operands[1], err)) == 0)
		r = put_document(c, in, &document, err);
	buf_fini(&document);
	return r;
}

static const struct option_row put_options[] = {
	{"description", 'd', "TEXT", "what it is for; kept from before when absent"},
	{0	  },
};

const struct command cmd_policy_put = {
	.name = "policy put",
	.operands = "NAME FILE",
	.summary = "Make a policy, or replace it wherever it is attached. FILE may be -.",
	.about = "  An IAM document: Version, Statement, Effect, Action, Resource, Condition. One\n"
		 "  that is not well formed is refused, with the place of the mistake. What a new\n"
		 "  document no longer allows ends within two seconds.",
	.examples = {"hawser policy put developer developer.json",
		     "hawser policy show developer | hawser policy put developer-2 -"},
	.options = put_options,
	.min = 2,
	.max = 2,
	.shows = true,
	.run = run_put,
};

/* --- show ------------------------------------------------------------------------------------ */

/* To a file it goes byte for byte, so that it can be put again; a terminal is kept from obeying it.
 */
static int
show_document(const char *text, bool terminal, struct hw_err *err)
{
	size_t n = strlen(text);
	struct buf out;
	int r;

	buf_init(&out, 8 * DOCUMENT_MAX);
	while (terminal && n > 0) {
		size_t run = strcspn(text, "\n\t");

		display_append(&out, text, run);
		text += run;
		n -= run;
		if (n == 0)
			break;
		buf_append_byte(&out, (uint8_t)*text++);
		n--;
	}
	buf_append(&out, text, n);
	if (out.len > 0 && buf_data(&out)[out.len - 1] != '\n')
		buf_append_byte(&out, '\n');
	r = output_bytes(buf_data(&out), out.len, err);
	buf_fini(&out);
	return r;
}

static void
say_facts(struct client *c, const struct msg_policy *p)
{
	const char *users = output_texts(c, &p->users), *groups = output_texts(c, &p->groups);

	client_say(c, "policy %s%s%s%s", p->policy_name, p->managed ? ", built in" : "",
		p->description != NULL && p->description[0] != '\0' ? ": " : "",
		p->description != NULL ? p->description : "");
	if (users == NULL && groups == NULL)
		client_say(c, "attached to nobody");
	if (users != NULL)
		client_say(c, "attached to users: %s", users);
	if (groups != NULL)
		client_say(c, "attached to groups: %s", groups);
}

static int
run_show(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_get_policy_request req = {.policy_name = in->operands[0]};
	const struct msg_policy_reply *reply;
	int r;

	if ((r = client_call(&reply, c, OP_get_policy, &req, err)) < 0)
		return r;
	if (c->format > OUTPUT_WIDE)
		return output_one(c, MSG_ROW(policy), reply->policy, reply->policy->policy_name,
			err);
	if (reply->policy->document == NULL)
		return hw_err_set(err, HW_EPROTO, "the relay's policy %s has no document",
			req.policy_name);
	say_facts(c, reply->policy);
	return show_document(reply->policy->document, isatty(STDOUT_FILENO), err);
}

const struct command cmd_policy_show = {
	.name = "policy show",
	.operands = "NAME",
	.summary = "Show a policy: the document on stdout, who has it on stderr.",
	.examples = {"hawser policy show developer > developer.json",
		     "hawser policy show developer -o yaml"},
	.min = 1,
	.max = 1,
	.shows = true,
	.run = run_show,
};

/* --- ls -------------------------------------------------------------------------------------- */

static const char *
name_of(const void *item)
{
	return ((const struct msg_policy *)item)->policy_name;
}

static const char *
cell_name(struct client *c, const void *item)
{
	(void)c;
	return name_of(item);
}

static const char *
cell_kind(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_policy *)item)->managed ? "built in" : "own";
}

static const char *
cell_users(struct client *c, const void *item)
{
	return output_int(c, (int64_t)((const struct msg_policy *)item)->users.n);
}

static const char *
cell_groups(struct client *c, const void *item)
{
	return output_int(c, (int64_t)((const struct msg_policy *)item)->groups.n);
}

static const char *
cell_updated(struct client *c, const void *item)
{
	return output_time(c, ((const struct msg_policy *)item)->updated);
}

static const char *
cell_description(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_policy *)item)->description;
}

static const struct column columns[] = {
	{"NAME",	 false, cell_name, NULL},
	{"KIND",	 false, cell_kind, NULL},
	{"USERS",		  false, cell_users, NULL},
	{"GROUPS",	   false, cell_groups, NULL},
	{"UPDATED",	    true, cell_updated, NULL},
	{"DESCRIPTION",	false, cell_description, NULL},
	{0},
};

static const struct listing listing = {
	.reply = msg_row_list_policies_reply,
	.item = msg_row_policy,
	.columns = columns,
	.name = name_of,
};

static int
run_ls(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_list_policies_request req = {0};
	struct msg_list_policies_reply all = {0};
	struct pages pages = {0};
	int r;

	(void)in;
	if ((r = pages_fetch(&pages, c, OP_list_policies, &req, &req.next_token,
		     offsetof(struct msg_list_policies_reply, next_token), 0, err)) < 0)
		return r;
	all.policies.v = pages.v;
	all.policies.n = pages.n;
	return output_list(c, &listing, &all, pages.v, pages.n, err);
}

const struct command cmd_policy_ls = {
	.name = "policy ls",
	.operands = "",
	.summary = "List policies: the built-in ones and your own.",
	.examples = {"hawser policy ls", "hawser policy ls -o name"},
	.shows = true,
	.run = run_ls,
};

/* --- rm -------------------------------------------------------------------------------------- */

static int
run_rm(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_delete_policy_request req = {0};
	int r = client_call_each(c, OP_delete_policy, &req, &req.policy_name, in->operands, in->n,
		err);

	if (r == HW_ECONFLICT)
		client_hint(c,
			"hawser policy show %s says who has it, hawser policy detach takes it away",
			req.policy_name);
	return r;
}

const struct command cmd_policy_rm = {
	.name = "policy rm",
	.operands = "NAME...",
	.summary = "Remove policies that are attached to nobody.",
	.examples = {"hawser policy rm developer",
		     "hawser policy detach developer --group dev && hawser policy rm developer"},
	.min = 1,
	.max = -1,
	.run = run_rm,
};

/* --- attach, detach -------------------------------------------------------------------------- */

static int
change_holders(struct client *c, const struct input *in, enum op_id op, struct hw_err *err)
{
	struct msg_attach_policy_request req = {.policy_name = in->operands[0]};
	const char **users, **groups;
	size_t n_users, n_groups;
	int r;

	if ((r = input_all(&users, &n_users, c->arena, in, "user", HOLDERS_MAX, err)) < 0 ||
		(r = input_all(&groups, &n_groups, c->arena, in, "group", HOLDERS_MAX, err)) < 0)
		return r;
	if (n_users + n_groups == 0)
		return hw_err_set(err, HW_EUSAGE, "%s wants --user USER or --group GROUP",
			in->command->name);
	if ((r = client_call_each(c, op, &req, &req.user_name, users, n_users, err)) < 0)
		return r;
	req.user_name = NULL;
	r = client_call_each(c, op, &req, &req.group_name, groups, n_groups, err);
	if (r < 0 && n_users > 0)
		return hw_err_prefix(err, "the users were done, not the group %s", req.group_name);
	return r;
}

static const struct option_row holder_options[] = {
	{"user",	 'u', "USER", "a user; may be repeated"},
	{"group", 'g', "GROUP", "a group; may be repeated"},
	{0	  },
};

static int
run_attach(struct client *c, const struct input *in, struct hw_err *err)
{
	return change_holders(c, in, OP_attach_policy, err);
}

const struct command cmd_policy_attach = {
	.name = "policy attach",
	.operands = "NAME",
	.summary = "Attach a policy to users and groups.",
	.examples = {"hawser policy attach developer --group dev",
		     "hawser policy attach auditor --user eve --user mallory"},
	.options = holder_options,
	.min = 1,
	.max = 1,
	.run = run_attach,
};

static int
run_detach(struct client *c, const struct input *in, struct hw_err *err)
{
	return change_holders(c, in, OP_detach_policy, err);
}

const struct command cmd_policy_detach = {
	.name = "policy detach",
	.operands = "NAME",
	.summary = "Take a policy from users and groups.",
	.about = "  Sessions that nothing allows any more end within two seconds.",
	.examples = {"hawser policy detach developer --group dev",
		     "hawser policy detach auditor --user eve --user mallory"},
	.options = holder_options,
	.min = 1,
	.max = 1,
	.run = run_detach,
};
