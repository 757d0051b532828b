/* hawser attach, hawser sessions watch: shells that run already. */
#include <stddef.h>
#include <string.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/duration.h"
#include "client/pages.h"
#include "client/session_name.h"
#include "client/shell.h"
#include "proto/base/id.h"

/* --- which one -------------------------------------------------------------------------------- */

static const char *
node_of(const struct msg_session *s)
{
	return s->target_name != NULL && s->target_name[0] != '\0' ? s->target_name : s->target;
}

static int
check_live(struct client *c, const struct msg_session *s, struct hw_err *err)
{
	const char *details = s->details != NULL ? s->details : "";

	if (s->status != SESSION_STATUS_TERMINATED && s->status != SESSION_STATUS_FAILED)
		return 0;
	client_hint(c, "hawser replay %s", s->session_id);
	return hw_err_set(err, HW_ENOSESSION, "%s has ended%s%s", s->session_id,
		details[0] != '\0' ? ": " : "", details);
}

/* Who may watch a session need not be one who may list it: its whole id is enough. */
static int
find_named(struct remote_request *req, const char **node, struct client *c, const char *name,
	struct hw_err *err)
{
	struct hw_err why = HW_ERR_INIT;
	const struct msg_session *s;
	int r = session_find(&s, c, name, &why);

	if (r == 0) {
		req->session = s->session_id;
		*node = node_of(s);
		return check_live(c, s, err);
	}
	if (!id_is_session(name))
		return hw_err_set(err, r, "%s", hw_err_text(&why));
	req->session = name;
	return 0;
}

static int
fetch_detached(struct pages *all, struct client *c, struct hw_err *err)
{
	struct msg_session_filter filters[] = {
		{.key = SESSION_FILTER_OWNER,  .value = c->home.user  },
		{.key = SESSION_FILTER_STATUS, .value = "Disconnected"},
	};
	struct msg_describe_sessions_request req = {
		.state = SESSION_STATE_ACTIVE, .filters = {.v = filters, .n = 2}
	};

	return pages_fetch(all, c, OP_describe_sessions, &req, &req.next_token,
		offsetof(struct msg_describe_sessions_reply, next_token), 0, err);
}

/* Commands and forwards that have lost a link are waited for; nobody attaches to those. */
static size_t
drop_others(struct msg_session *sessions, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (session_has_terminal(&sessions[i]))
			sessions[kept++] = sessions[i];
	return kept;
}

static int
say_several(struct client *c, const struct msg_session *sessions, size_t n, struct hw_err *err)
{
	int64_t now = client_now(c);
	char ago[DURATION_TEXT];

	for (size_t i = 0; i < n; i++) {
		duration_format(ago, now - sessions[i].away);
		client_say(c, "%s on %s, detached %s ago", sessions[i].session_id,
			node_of(&sessions[i]), ago);
	}
	client_hint(c, "hawser attach %s", sessions[0].session_id);
	return hw_err_set(err, HW_EVALIDATION,
		"%zu of your sessions are detached: name one of them", n);
}

/* The only one that waits for its user. */
static int
find_detached(struct remote_request *req, const char **node, struct client *c, struct hw_err *err)
{
	struct pages all = {0};
	int r = fetch_detached(&all, c, err);

	if (r < 0)
		return r;
	struct msg_session *sessions = all.v;
	size_t n = drop_others(sessions, all.n);
	if (n == 0) {
		client_hint(c, "hawser sessions ls --live");
		return hw_err_set(err, HW_ENOSESSION, "none of your sessions is detached");
	}
	if (n > 1)
		return say_several(c, sessions, n, err);
	req->session = sessions[0].session_id;
	*node = node_of(&sessions[0]);
	return 0;
}

/* --- the commands ----------------------------------------------------------------------------- */

static int
sit_down(struct client *c, const struct input *in, enum remote_way way, struct hw_err *err)
{
	struct remote_request req = {.way = way};
	struct shell_config config = {
		.client = c, .request = &req, .node = "its node", .quiet = input_has(in, "quiet")};
	int status = 0, r;

	if ((r = shell_escape(&config.escape, in, err)) < 0 || (r = client_connect(c, err)) < 0)
		return r;
	if (in->n > 0)
		r = find_named(&req, &config.node, c, in->operands[0], err);
	else
		r = find_detached(&req, &config.node, c, err);
	if (r == 0)
		r = shell_run(&status, &config, err);
	return r < 0 ? r : status;
}

static int
run_attach(struct client *c, const struct input *in, struct hw_err *err)
{
	bool join = input_has(in, "join");

	if (join && in->n == 0)
		return hw_err_set(err, HW_EUSAGE, "--join wants a session: whose is to be joined?");
	return sit_down(c, in, join ? REMOTE_JOIN : REMOTE_ATTACH, err);
}

static const struct option_row attach_options[] = {
	{"join", 'j', NULL, "type into another's session, beside its owner"},
	{"escape",  'e', "CHAR", "the escape character instead of ~, or none"},
	{"quiet",	  'q', NULL, "do not say which session it is"},
	{0 },
};

const struct command cmd_attach = {
	.name = "attach",
	.operands = "[SESSION]",
	.summary = "Take up a shell that was detached or lost, or is open elsewhere.",
	.about = "  SESSION is an id, any unique prefix of one, or its last six digits; without\n"
		 "  it, the only one of yours that is detached. A terminal that it has elsewhere\n"
		 "  is let go of. ~d at the start of a line detaches again, ~. ends the session.\n"
		 "  With --join the session is another's, who goes on; the recording says who\n"
		 "  typed what. Exit status: 0 after ~d, 255 when it was let go of elsewhere or\n"
		 "  there was no session, otherwise the shell's.",
	.examples = {"hawser attach", "hawser attach --join bob-0f1e2d"},
	.options = attach_options,
	.max = 1,
	.failure = 255,
	.run = run_attach,
};

static int
run_watch(struct client *c, const struct input *in, struct hw_err *err)
{
	return sit_down(c, in, REMOTE_WATCH, err);
}

static const struct option_row watch_options[] = {
	{"escape", 'e', "CHAR", "the escape character instead of ~, or none"},
	{"quiet",  'q', NULL, "do not say which session it is"},
	{0	  },
};

const struct command cmd_sessions_watch = {
	.name = "sessions watch",
	.operands = "SESSION",
	.summary = "Watch a live shell, from what its screen shows now. Nothing is sent.",
	.about = "  SESSION is an id, any unique prefix of one, or its last six digits. Its owner\n"
		 "  is told. Ctrl-C leaves, as do ~. and ~d; ~? lists the escapes. The terminal\n"
		 "  should be as large as the session's.",
	.examples = {"hawser sessions watch a69788", "hawser sessions watch bob-0f1e2d | tee seen"},
	.options = watch_options,
	.min = 1,
	.max = 1,
	.failure = 255,
	.run = run_watch,
};
