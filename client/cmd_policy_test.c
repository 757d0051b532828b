/* hawser policy test, who-can: what would be decided, and why. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "client/client.h"
#include "client/commands.h"
#include "proto/base/display.h"
#include "client/fleet.h"
#include "client/pages.h"

#define CONTEXT_MAX 100

/* --- the question ---------------------------------------------------------------------------- */

/* StartSession is the action of that operation; what has a service's name before it is one already.
 */
static const char *
action_of(struct client *c, const char *word)
{
	const struct op_row *op = op_find(word);

	if (strchr(word, ':') != NULL || strcmp(word, "*") == 0)
		return word;
	if (op != NULL && op->action[0] != '\0')
		return op->action;
	return arena_printf(c->arena, "ssm:%s", word);
}

/* A slip of the pen would read as a denial, or under `ssm:*` as an allow. */
static void
note_unknown(struct client *c, const char *action)
{
	for (size_t i = 0; i < OP_COUNT; i++) {
		if (strcasecmp(op_rows[i].action, action) == 0)
			return;
	}
	client_say(c, "note: %s is the action of no operation that this hawser knows", action);
}

/* An ARN, `*`, or a kind and an id go to the relay as they are; anything else is a node. */
static int
resource_of(const char **resource, struct client *c, const char *word, struct hw_err *err)
{
	const char *shown;

	*resource = word;
	if (strncmp(word, "arn:", 4) == 0 || strcmp(word, "*") == 0 || strchr(word, '/') != NULL)
		return 0;
	return fleet_node_id(resource, &shown, c, word, err);
}

static int
principal_of(const char **principal, struct client *c, const char *word, struct hw_err *err)
{
	*principal = word;
	if (strncmp(word, "group:", 6) != 0)
		return 0;
	if (word[6] == '\0')
		return hw_err_set(err, HW_EUSAGE, "group: wants a group's name after it");
	*principal = arena_printf(c->arena, "group/%s", word + 6);
	return *principal != NULL ? 0 : hw_err_set(err, HW_ENOMEM, "out of memory");
}

struct context {
	struct msg_context_entry *v;
	size_t n;
};

/* A key that is given again has one more value. */
static int
context_add(struct context *all, struct arena *a, const char *word, struct hw_err *err)
{
	const char *equals = strchr(word, '=');
	size_t n, i = 0;

	if (equals == NULL || equals == word)
		return hw_err_set(err, HW_EUSAGE, "--context wants KEY=VALUE, not '%s'", word);
	n = (size_t)(equals - word);
	while (i < all->n && (strncmp(all->v[i].name, word, n) != 0 || all->v[i].name[n] != '\0'))
		i++;
	if (i == all->n) {
		all->v[i].name = arena_strndup(a, word, n);
		all->v[i].values.v = arena_array(a, CONTEXT_MAX, sizeof(char *));
		if (all->v[i].name == NULL || all->v[i].values.v == NULL)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
		all->n++;
	}
	all->v[i].values.v[all->v[i].values.n++] = equals + 1;
	return 0;
}

static int
read_context(struct context *all, struct client *c, const struct input *in, struct hw_err *err)
{
	const char **words;
	size_t n;
	int r = input_all(&words, &n, c->arena, in, "context", CONTEXT_MAX, err);

	if (r < 0)
		return r;
	if ((all->v = arena_array(c->arena, n + 1, sizeof(*all->v))) == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	for (size_t i = 0; i < n && r == 0; i++)
		r = context_add(all, c->arena, words[i], err);
	return r;
}

static const struct option_row context_options[] = {
	{"context",    'c', "KEY=VALUE", "a condition's key; may be repeated"},
	{0},
};

/* --- the answer ------------------------------------------------------------------------------ */

/* "policy developer, statement 1 (NodesOfTheTeam)" */
static const char *
statement_text(struct client *c, const struct msg_matched_statement *s)
{
	bool named = s->sid != NULL && s->sid[0] != '\0';
	const char *place =
		s->index > 0 ? arena_printf(c->arena, ", statement %" PRId64, s->index) : "";

	return arena_printf(c->arena, "policy %s%s%s%s%s", s->policy, place != NULL ? place : "",
		named ? " (" : "", named ? s->sid : "", named ? ")" : "");
}

static void
line(struct buf *out, const char *key, const char *text)
{
	buf_printf(out, "%-9s", key);
	if (text != NULL)
		display_append(out, text, strlen(text));
	buf_append_byte(out, '\n');
}

static const char *
because(struct client *c, const struct msg_evaluation_result *result)
{
	bool allowed = result->decision == POLICY_DECISION_ALLOWED;

	if (result->matched.n > 0)
		return arena_printf(c->arena, "%s by %s", allowed ? "allowed" : "denied",
			statement_text(c, &result->matched.v[0]));
	if (result->reason != NULL && result->reason[0] != '\0')
		return result->reason;
	return allowed ? "the relay allows it" : "no statement allows it";
}

static int
show_result(struct client *c, const struct input *in, const struct msg_evaluation_result *result,
	struct hw_err *err)
{
	bool allowed = result->decision == POLICY_DECISION_ALLOWED;
	struct buf out;
	int r;

	buf_init(&out, 1 << 20);
	line(&out, allowed ? "allowed" : "denied",
		arena_printf(c->arena, "%s on %s by %s", result->action, in->operands[2],
			in->operands[0]));
	line(&out, "because", because(c, result));
	for (size_t i = 0; i < result->hints.n; i++)
		line(&out, i == 0 ? "would" : "", result->hints.v[i]);
	for (size_t i = 0; i < result->missing.n; i++)
		line(&out, i == 0 ? "missing" : "",
			arena_printf(c->arena, "%s (--context KEY=VALUE)", result->missing.v[i]));
	r = output_bytes(buf_data(&out), out.len, err);
	buf_fini(&out);
	return r;
}

/* --- test ------------------------------------------------------------------------------------ */

static int
ask(const struct msg_simulate_principal_policy_reply **ret, struct client *c,
	const struct input *in, struct hw_err *err)
{
	struct msg_simulate_principal_policy_request req = {0};
	const char *action = action_of(c, in->operands[1]), *resource;
	struct context context = {0};
	int r;

	if (action == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if ((r = read_context(&context, c, in, err)) < 0 ||
		(r = principal_of(&req.policy_source_arn, c, in->operands[0], err)) < 0 ||
		(r = resource_of(&resource, c, in->operands[2], err)) < 0)
		return r;
	req.action_names = (struct msg_strs){.v = &action, .n = 1};
	req.resource_arns = (struct msg_strs){.v = &resource, .n = 1};
	req.context_entries.v = context.v;
	req.context_entries.n = context.n;
	return client_call(ret, c, OP_simulate_principal_policy, &req, err);
}

static int
run_test(struct client *c, const struct input *in, struct hw_err *err)
{
	const struct msg_simulate_principal_policy_reply *reply;
	const struct msg_evaluation_result *result;
	int r;

	if ((r = ask(&reply, c, in, err)) < 0)
		return r;
	if (reply->results.n != 1)
		return hw_err_set(err, HW_EPROTO, "the relay gave %zu answers to one question",
			reply->results.n);
	result = &reply->results.v[0];
	note_unknown(c, result->action);
	if (c->format <= OUTPUT_WIDE)
		r = show_result(c, in, result, err);
	else
		r = output_one(c, MSG_ROW(simulate_principal_policy_reply), reply,
			enum_text(&enum_POLICY_DECISION, result->decision), err);
	if (r < 0)
		return r;
	return result->decision == POLICY_DECISION_ALLOWED ? 0 : 1;
}

const struct command cmd_policy_test = {
	.name = "policy test",
	.operands = "PRINCIPAL ACTION RESOURCE",
	.summary = "Say whether somebody may do something, why, and what would allow it.",
	.about = "\n"
		 "  PRINCIPAL  a user, group:NAME, or an ARN\n"
		 "  ACTION     ssm:StartSession, or the operation's name alone\n"
		 "  RESOURCE   a node, document/NAME, session/ID, user/NAME, an ARN, or '*'\n"
		 "\n"
		 "  Nothing is done. The exit status is 0 when it is allowed, 1 when it is\n"
		 "  denied, and 2 when that could not be found out.",
	.examples = {"hawser policy test ann StartSession web-01",
		     "hawser policy test group:dev ssm:StartSession db-1 -c aws:SourceIp=10.1.2.3"},
	.options = context_options,
	.min = 3,
	.max = 3,
	.shows = true,
	.failure = 2,
	.run = run_test,
};

/* --- who-can --------------------------------------------------------------------------------- */

static const char *
name_of(const void *item)
{
	return ((const struct msg_allowed_principal *)item)->user_name;
}

static const char *
cell_name(struct client *c, const void *item)
{
	(void)c;
	return name_of(item);
}

static const char *
cell_by(struct client *c, const void *item)
{
	const struct msg_allowed_principal *who = item;

	return who->statement != NULL ? statement_text(c, who->statement) : NULL;
}

static const char *
cell_arn(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_allowed_principal *)item)->arn;
}

static const struct column columns[] = {
	{"NAME",	 false, cell_name, NULL},
	{"ARN", true, cell_arn, NULL},
	{"BY",	       false, cell_by, NULL},
	{0	  },
};

static const struct listing listing = {
	.reply = msg_row_list_allowed_principals_reply,
	.item = msg_row_allowed_principal,
	.columns = columns,
	.name = name_of,
};

static int
run_who_can(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_list_allowed_principals_request req = {.action = action_of(c, in->operands[0])};
	struct msg_list_allowed_principals_reply all = {0};
	struct context context = {0};
	struct pages pages = {0};
	int r;

	if (req.action == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if ((r = read_context(&context, c, in, err)) < 0 ||
		(r = resource_of(&req.resource, c, in->operands[1], err)) < 0)
		return r;
	req.context_entries.v = context.v;
	req.context_entries.n = context.n;
	if ((r = pages_fetch(&pages, c, OP_list_allowed_principals, &req, &req.next_token,
		     offsetof(struct msg_list_allowed_principals_reply, next_token), 0, err)) < 0)
		return r;
	note_unknown(c, req.action);
	all.principals.v = pages.v;
	all.principals.n = pages.n;
	if (pages.n == 0 && c->format <= OUTPUT_WIDE) {
		client_say(c, "nobody may %s on %s", req.action, in->operands[1]);
		return 0;
	}
	return output_list(c, &listing, &all, pages.v, pages.n, err);
}

const struct command cmd_policy_who_can = {
	.name = "policy who-can",
	.operands = "ACTION RESOURCE",
	.summary = "List the users who may do something, and by which statement.",
	.about = "\n"
		 "  ACTION     ssm:StartSession, or the operation's name alone\n"
		 "  RESOURCE   a node, document/NAME, session/ID, user/NAME, an ARN, or '*'",
	.examples = {"hawser policy who-can StartSession db-1",
		     "hawser policy who-can iam:PutPolicy '*' -o name"},
	.options = context_options,
	.min = 2,
	.max = 2,
	.shows = true,
	.run = run_who_can,
};
