/* hawser audit hold, holds, lift: which recordings are not deleted. */
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/pages.h"
#include "client/session_name.h"
#include "proto/base/id.h"

/* A day, or a moment, as ISO 8601 has them; else a span back from now. UTC, but for a span. */
static int
read_time(int64_t *ret, struct client *c, const struct input *in, const char *option,
	struct hw_err *err)
{
	const char *text = input_text(in, option), *end;
	struct tm tm = {0};
	int64_t span = 0;

	if (text == NULL)
		return 0;
	if (((end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm)) != NULL && *end == '\0') ||
		(memset(&tm, 0, sizeof(tm)),
			(end = strptime(text, "%Y-%m-%d", &tm)) != NULL && *end == '\0')) {
		*ret = (int64_t)timegm(&tm) * USEC_PER_SEC;
		return 0;
	}
	if (input_duration(&span, in, option, NULL) < 0)
		return hw_err_set(err, HW_EUSAGE,
			"--%s wants a day as 2026-01-31, a moment as 2026-01-31T12:00:00Z or a span "
			"back from now as 30d, not '%s'",
			option, text);
	int r = client_relay_now(ret, c, err);
	if (r == 0)
		*ret -= span;
	return r;
}

static int
run_hold(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_put_hold_request req = {
		.user_name = input_text(in, "user"),
		.instance_id = input_text(in, "node"),
		.reason = input_text(in, "reason"),
	};
	const struct msg_put_hold_reply *reply;
	const char *session = input_text(in, "session");
	int r;

	if (req.reason == NULL)
		return hw_err_set(err, HW_EUSAGE, "--reason is missing: why they must be kept");
	if ((r = read_time(&req.after, c, in, "since", err)) < 0 ||
		(r = read_time(&req.before, c, in, "until", err)) < 0 ||
		(r = client_connect(c, err)) < 0 ||
		(session != NULL && (r = session_find_id(&req.session_id, c, session, err)) < 0) ||
		(r = client_call(&reply, c, OP_put_hold, &req, err)) < 0)
		return r;
	if (c->format > OUTPUT_WIDE)
		return output_one(c, MSG_ROW(put_hold_reply), reply, reply->hold_id, err);
	return output_line(err, "%s", reply->hold_id);
}

static const struct option_row hold_options[] = {
	{"session",		    0, "SESSION", "this one"},
	{"user",		 0, "NAME", "sessions of this user"},
	{"node",			0, "ID", "sessions on this node"},
	{"since",	  0, "TIME", "that started then or later: 2026-01-31, or 30d ago"},
	{"until", 0, "TIME", "that started before then"},
	{"reason",		   0, "TEXT", "why; the ledger has it"},
	{0		   },
};

const struct command cmd_audit_hold = {
	.name = "audit hold",
	.wary = true,
	.operands = "",
	.summary = "Keep recordings from being deleted; prints the hold's id.",
	.about = "  Of several conditions all must be met. Nothing is kept that has gone already.",
	.examples = {"hawser audit hold --session a69788 --reason 'case 4711'",
		     "hawser audit hold --user mallory --since 90d --reason 'case 4711'"},
	.options = hold_options,
	.shows = true,
	.run = run_hold,
};

static int
run_lift(struct client *c, const struct input *in, struct hw_err *err)
{
	const struct msg_lift_hold_request req = {
		.hold_id = in->operands[0], .reason = input_text(in, "reason")};
	const struct msg_empty *reply;

	if (!id_is_uuid(req.hold_id))
		return hw_err_set(err, HW_EUSAGE,
			"'%.64s' is not the id of a hold: hawser audit holds lists them",
			req.hold_id);
	return client_call(&reply, c, OP_lift_hold, &req, err);
}

static const struct option_row lift_options[] = {
	{"reason", 0, "TEXT", "why; the ledger has it"},
	{0 },
};

const struct command cmd_audit_lift = {
	.name = "audit lift",
	.wary = true,
	.operands = "HOLD-ID",
	.summary = "Lift a hold: what no other one keeps may be deleted.",
	.examples = {"hawser audit lift 0a1b2c3d-... --reason 'case 4711 is closed'",
		     "hawser audit holds -o name"},
	.options = lift_options,
	.min = 1,
	.max = 1,
	.run = run_lift,
};

/* --- holds ----------------------------------------------------------------------------------- */

static const char *
name_of(const void *item)
{
	return ((const struct msg_hold *)item)->hold_id;
}

static const char *
cell_id(struct client *c, const void *item)
{
	(void)c;
	return name_of(item);
}

static const char *
cell_session(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_hold *)item)->session_id;
}

static const char *
cell_user(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_hold *)item)->user_name;
}

static const char *
cell_node(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_hold *)item)->instance_id;
}

static const char *
cell_since(struct client *c, const void *item)
{
	return output_time(c, ((const struct msg_hold *)item)->after);
}

static const char *
cell_until(struct client *c, const void *item)
{
	return output_time(c, ((const struct msg_hold *)item)->before);
}

static const char *
cell_reason(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_hold *)item)->reason;
}

static const struct column columns[] = {
	{"HOLD",	 false, cell_id, NULL},
	{"SESSION",   false, cell_session, NULL},
	{"USER",		 false, cell_user, NULL},
	{"NODE",	 false, cell_node, NULL},
	{"SINCE",	  false, cell_since, NULL},
	{"UNTIL",	  false, cell_until, NULL},
	{"REASON", false, cell_reason, NULL},
	{0	  },
};

static const struct listing listing = {
	.reply = msg_row_list_holds_reply,
	.item = msg_row_hold,
	.columns = columns,
	.name = name_of,
};

static int
run_holds(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_list_holds_request req = {0};
	struct msg_list_holds_reply all = {0};
	struct pages pages = {0};
	int r;

	(void)in;
	if ((r = pages_fetch(&pages, c, OP_list_holds, &req, &req.next_token,
		     offsetof(struct msg_list_holds_reply, next_token), 0, err)) < 0)
		return r;
	all.holds.v = pages.v;
	all.holds.n = pages.n;
	return output_list(c, &listing, &all, pages.v, pages.n, err);
}

const struct command cmd_audit_holds = {
	.name = "audit holds",
	.wary = true,
	.operands = "",
	.summary = "List what keeps recordings from being deleted.",
	.examples = {"hawser audit holds", "hawser audit holds -o json"},
	.shows = true,
	.run = run_holds,
};
