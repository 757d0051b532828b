/* hawser sessions ls, show, kill. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "client/commands.h"
#include "client/duration.h"
#include "client/pages.h"
#include "client/session_name.h"

#define LIMIT_DEFAULT 50

/* --- cells ----------------------------------------------------------------------------------- */

static const char *
cell_id(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_session *)item)->session_id;
}

static const char *
cell_node(struct client *c, const void *item)
{
	const struct msg_session *s = item;

	(void)c;
	return s->target_name != NULL && s->target_name[0] != '\0' ? s->target_name : s->target;
}

/* "Disconnected 4m ago" */
static const char *
cell_status(struct client *c, const void *item)
{
	const struct msg_session *s = item;
	const char *word = enum_text(&enum_SESSION_STATUS, s->status);
	char ago[DURATION_TEXT];

	if (s->status != SESSION_STATUS_DISCONNECTED || s->away == 0)
		return word;
	duration_format(ago, client_now(c) - s->away);
	return strcmp(ago, "now") == 0 ? arena_printf(c->arena, "%s now", word)
				       : arena_printf(c->arena, "%s %s ago", word, ago);
}

static bool
is_live(const struct msg_session *s)
{
	return s->status == SESSION_STATUS_CONNECTED || s->status == SESSION_STATUS_CONNECTING ||
		s->status == SESSION_STATUS_DISCONNECTED;
}

static enum table_style
style_status(const void *item)
{
	const struct msg_session *s = item;

	if (s->status == SESSION_STATUS_FAILED)
		return STYLE_BAD;
	return is_live(s) ? STYLE_GOOD : STYLE_PLAIN;
}

static const char *
cell_started(struct client *c, const void *item)
{
	return output_time(c, ((const struct msg_session *)item)->start_date);
}

static const char *
cell_length(struct client *c, const void *item)
{
	const struct msg_session *s = item;
	int64_t end = s->end_date != 0 ? s->end_date : client_now(c);
	char text[DURATION_TEXT];

	if (s->start_date == 0)
		return NULL;
	duration_format_clock(text, end - s->start_date);
	return arena_strdup(c->arena, text);
}

static const char *
cell_exit(struct client *c, const void *item)
{
	const struct msg_session *s = item;

	return s->exited ? output_int(c, s->exit_status) : NULL;
}

/* "arn:aws:iam::...:user/alice" is alice. */
static const char *
cell_owner(struct client *c, const void *item)
{
	const char *owner = ((const struct msg_session *)item)->owner;
	const char *slash = owner != NULL ? strrchr(owner, '/') : NULL;

	(void)c;
	return slash != NULL ? slash + 1 : owner;
}

static const char *
cell_run_as(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_session *)item)->run_as;
}

static const char *
cell_bytes(struct client *c, const void *item)
{
	const struct msg_session *s = item;

	return arena_printf(c->arena, "%" PRId64 "/%" PRId64, s->bytes_in, s->bytes_out);
}

static const char *
cell_reason(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_session *)item)->reason;
}

static const char *
cell_document(struct client *c, const void *item)
{
	(void)c;
	return ((const struct msg_session *)item)->document_name;
}

static const char *
name_of(const void *item)
{
	return ((const struct msg_session *)item)->session_id;
}

static const struct column columns[] = {
	{"SESSION",	    false, cell_id, NULL},
	{"USER",	 false, cell_owner, NULL},
	{"NODE",		 false, cell_node, NULL},
	{"STATUS",   false, cell_status, style_status},
	{"STARTED",	    false, cell_started, NULL},
	{"LENGTH",	   false, cell_length, NULL},
	{"EXIT",	 false, cell_exit, NULL},
	{"RUN AS",		   true, cell_run_as, NULL},
	{"IN/OUT",	   true, cell_bytes, NULL},
	{"DOCUMENT", true, cell_document, NULL},
	{"REASON",	   true, cell_reason, NULL},
	{0},
};

static const struct listing listing = {
	.reply = msg_row_describe_sessions_reply,
	.item = msg_row_session,
	.columns = columns,
	.name = name_of,
};

/* --- ls -------------------------------------------------------------------------------------- */

static int
fetch(struct pages *all, struct client *c, int state, const struct msg_session_filter *filters,
	size_t n, size_t limit, struct hw_err *err)
{
	struct msg_describe_sessions_request req = {.state = state};

	req.filters.v = (struct msg_session_filter *)filters;
	req.filters.n = n;
	return pages_fetch(all, c, OP_describe_sessions, &req, &req.next_token,
		offsetof(struct msg_describe_sessions_reply, next_token), limit, err);
}

static int
newest_first(const void *a, const void *b)
{
	const struct msg_session *x = a, *y = b;

	return (x->start_date < y->start_date) - (x->start_date > y->start_date);
}

static size_t
read_filters(struct msg_session_filter filters[3], const struct input *in)
{
	size_t n = 0;

	if (input_has(in, "user"))
		filters[n++] = (struct msg_session_filter){
			.key = SESSION_FILTER_OWNER, .value = input_text(in, "user")};
	if (input_has(in, "node"))
		filters[n++] = (struct msg_session_filter){
			.key = SESSION_FILTER_TARGET, .value = input_text(in, "node")};
	if (input_has(in, "detached"))
		filters[n++] = (struct msg_session_filter){
			.key = SESSION_FILTER_STATUS, .value = "Disconnected"};
	return n;
}

static int
run_ls(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_describe_sessions_reply all = {0};
	struct msg_session_filter filters[3];
	struct pages pages = {0};
	int64_t limit = LIMIT_DEFAULT;
	size_t n = read_filters(filters, in), live;
	int r;

	if ((r = input_int(&limit, in, "limit", 0, 1000000, err)) < 0 ||
		(r = fetch(&pages, c, SESSION_STATE_ACTIVE, filters, n, 0, err)) < 0)
		return r;
	live = pages.n;
	/* Those that live are always shown; the limit is for the past. */
	if (!input_has(in, "live") && !input_has(in, "detached") &&
		(r = fetch(&pages, c, SESSION_STATE_HISTORY, filters, n,
			 limit > 0 ? live + (size_t)limit : 0, err)) < 0)
		return r;
	if (pages.n > 1)
		qsort(pages.v, pages.n, sizeof(struct msg_session), newest_first);
	all.sessions.v = pages.v;
	all.sessions.n = pages.n;
	if ((r = output_list(c, &listing, &all, pages.v, pages.n, err)) < 0)
		return r;
	if (c->format <= OUTPUT_WIDE)
		fprintf(stderr, "%zu session%s, %zu live\n", pages.n, pages.n == 1 ? "" : "s",
			live);
	return 0;
}

static const struct option_row ls_options[] = {
	{"live",			   'l', NULL, "only those that run now"},
	{"detached",			    'd', NULL, "only those whose user is away"},
	{"user",				'u', "USER", "of one user"},
	{"node",	 'n', "ID", "on one node"},
	{"limit", 0, "N", "of those that are over, the newest N (50); 0 is all"},
	{0			  },
};

const struct command cmd_sessions_ls = {
	.name = "sessions ls",
	.operands = "",
	.summary = "List sessions, the newest first: those that run and those that are over.",
	.examples = {"hawser sessions ls --live",
		     "hawser sessions ls --user alice --limit 0 -o jsonl"},
	.options = ls_options,
	.shows = true,
	.alone = true,
	.run = run_ls,
};

/* --- show, kill ------------------------------------------------------------------------------ */

static int
run_show(struct client *c, const struct input *in, struct hw_err *err)
{
	const struct msg_session *s;
	int r;

	if ((r = session_find(&s, c, in->operands[0], err)) < 0)
		return r;
	return output_one(c, MSG_ROW(session), s, s->session_id, err);
}

const struct command cmd_sessions_show = {
	.name = "sessions show",
	.operands = "SESSION",
	.summary = "Show everything that is known of a session.",
	.about = "  SESSION is an id, any unique prefix of one, or its last six digits.",
	.examples = {"hawser sessions show alice-0f1e2d", "hawser sessions show a69788 -o json"},
	.min = 1,
	.max = 1,
	.shows = true,
	.run = run_show,
};

static int
run_kill(struct client *c, const struct input *in, struct hw_err *err)
{
	for (size_t i = 0; i < in->n; i++) {
		struct msg_terminate_session_request req;
		const struct msg_terminate_session_reply *reply;
		int r;

		if ((r = session_find_id(&req.session_id, c, in->operands[i], err)) < 0 ||
			(r = client_call(&reply, c, OP_terminate_session, &req, err)) < 0)
			return r;
		client_say(c, "ended %s", reply->session_id);
	}
	return 0;
}

const struct command cmd_sessions_kill = {
	.name = "sessions kill",
	.operands = "SESSION...",
	.summary = "End sessions for good; their programs are hung up.",
	.about = "  SESSION is an id, any unique prefix of one, or its last six digits.",
	.examples = {"hawser sessions kill a69788",
		     "hawser sessions ls --live --user mallory -o name | xargs hawser sessions kill"},
	.min = 1,
	.max = -1,
	.run = run_kill,
};
