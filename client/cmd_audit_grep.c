/* hawser audit grep: the relay searches, page by page; who stops asking stops it. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/audit_filter.h"
#include "client/commands.h"
#include "client/duration.h"
#include "client/meter.h"
#include "client/session_name.h"
#include "proto/base/display.h"
#include "proto/base/id.h"
#include "proto/wire/codec.h"

#define PAGE_MAX     (4u << 20)
#define BUSY_WAIT    (300 * USEC_PER_MSEC)
#define BUSY_MAX     200
#define SHORT_TAIL   11 /* digits that a short session id leaves out */
#define OUT_MAX	     (1u << 20)
#define EXIT_NOTHING 1
#define EXIT_PARTLY  2

struct grep {
	struct client *client;
	struct arena *page; /* of the page that is printed */
	struct meter meter;
	int64_t hits, sessions, outputs, bytes, too_hard, unreadable;
	int64_t limit;		     /* 0: none */
	struct msg_search_hit *kept; /* for formats that are one document */
	size_t n_kept;
	struct msg_search_gap *gaps;
	size_t n_gaps, room;
};

/* --- a hit ------------------------------------------------------------------------------------ */

static const char *
short_id(struct client *c, const struct msg_search_hit *h)
{
	if (h->command_id != NULL)
		return arena_printf(c->arena, "%.8s", h->command_id);
	const char *id = h->session_id != NULL ? h->session_id : "?";
	return id_is_session(id) ? arena_strndup(c->arena, id, strlen(id) - SHORT_TAIL) : id;
}

static const char *
where(struct client *c, const struct msg_search_hit *h)
{
	return h->target_name != NULL && h->target_name[0] != '\0' ? h->target_name
		: h->target != NULL				   ? h->target
								   : arena_strdup(c->arena, "?");
}

/* With the match marked, where there are colours. */
static void
append_match(struct buf *out, const struct client *c, const struct msg_search_hit *h)
{
	size_t n = strlen(h->line);
	size_t from = (size_t)h->match_start < n ? (size_t)h->match_start : n;
	size_t to = (size_t)h->match_end < n ? (size_t)h->match_end : n;

	if (!c->color || to <= from) {
		display_append(out, h->line, n);
		return;
	}
	display_append(out, h->line, from);
	buf_append_str(out, "\033[1;31m");
	display_append(out, h->line + from, to - from);
	buf_append_str(out, "\033[0m");
	display_append(out, h->line + to, n - to);
}

static void
append_padded(struct buf *out, const char *text, size_t width)
{
	size_t used = display_append(out, text, strlen(text));

	for (; used < width; used++)
		buf_append_byte(out, ' ');
	buf_append_str(out, "  ");
}

static void
append_row(struct buf *out, struct client *c, const struct msg_search_hit *h)
{
	char at[DURATION_TEXT] = "-";

	if (h->command_id == NULL)
		duration_format_clock(at, h->offset);
	append_padded(out, short_id(c, h), 12);
	append_padded(out, at, 8);
	append_padded(out, where(c, h), 8);
	append_padded(out, enum_text(&enum_SEARCH_SOURCE, h->source), 7);
	append_match(out, c, h);
	buf_append_byte(out, '\n');
}

static int
print_hit(struct grep *g, const struct msg_search_hit *h, struct hw_err *err)
{
	struct client *c = g->client;
	struct arena_mark mark = arena_mark(c->arena);
	struct buf out;

	buf_init(&out, OUT_MAX);
	meter_hide(&g->meter);
	if (c->format <= OUTPUT_WIDE)
		append_row(&out, c, h);
	else if (msg_to_json(&out, MSG_ROW(search_hit), h, JSON_DATES) == 0)
		buf_append_byte(&out, '\n');
	int r = output_bytes(buf_data(&out), out.len, err);
	buf_fini(&out);
	arena_release(c->arena, &mark);
	return r;
}

/* A copy in the client's arena: the page goes. */
static int
keep_hit(struct grep *g, const struct msg_search_hit *h, struct hw_err *err)
{
	struct client *c = g->client;
	struct buf bytes;
	void *copy = NULL;

	buf_init(&bytes, OUT_MAX);
	int r = msg_encode(&bytes, MSG_ROW(search_hit), h, err);
	if (r == 0)
		r = msg_decode(&copy, c->arena, MSG_ROW(search_hit), buf_data(&bytes), bytes.len,
			err);
	buf_fini(&bytes);
	if (r < 0)
		return r;
	if ((g->n_kept & (g->n_kept - 1)) == 0) { /* full: as many as a power of two */
		struct msg_search_hit *v =
			arena_array(c->arena, g->n_kept > 0 ? 2 * g->n_kept : 1, sizeof(*v));
		if (v == NULL)
			return hw_err_set(err, HW_ENOMEM, "too many hits for the memory there is");
		if (g->n_kept > 0)
			memcpy(v, g->kept, g->n_kept * sizeof(*v));
		g->kept = v;
	}
	g->kept[g->n_kept++] = *(struct msg_search_hit *)copy;
	return 0;
}

static int
take_hits(struct grep *g, const struct msg_search_hit *v, size_t n, struct hw_err *err)
{
	enum output_format format = g->client->format;
	bool lines = format <= OUTPUT_WIDE || format == OUTPUT_JSONL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n && (g->limit == 0 || g->hits < g->limit); i++) {
		g->hits++;
		r = lines ? print_hit(g, &v[i], err) : keep_hit(g, &v[i], err);
	}
	return r;
}

static void
show_progress(struct grep *g)
{
	meter_show(&g->meter, (uint64_t)g->bytes,
		"%" PRId64 " hits; %" PRId64 " sessions, %" PRId64 " outputs", g->hits, g->sessions,
		g->outputs);
}

/* --- what was not searched -------------------------------------------------------------------- */

static int
keep_gap(struct grep *g, const struct msg_search_gap *gap, struct hw_err *err)
{
	struct arena *a = g->client->arena;

	if (g->n_gaps == g->room) {
		size_t room = g->room > 0 ? 2 * g->room : 16;
		struct msg_search_gap *v = arena_array(a, room, sizeof(*v));
		if (v == NULL)
			return hw_err_set(err, HW_ENOMEM, "no memory for what was not searched");
		if (g->n_gaps > 0)
			memcpy(v, g->gaps, g->n_gaps * sizeof(*v));
		g->gaps = v;
		g->room = room;
	}
	g->gaps[g->n_gaps++] = (struct msg_search_gap){
		.session_id = gap->session_id != NULL ? arena_strdup(a, gap->session_id) : NULL,
		.command_id = gap->command_id != NULL ? arena_strdup(a, gap->command_id) : NULL,
		.target = gap->target != NULL ? arena_strdup(a, gap->target) : NULL,
		.pending = gap->pending,
		.reason = arena_strdup(a, gap->reason),
	};
	return 0;
}

static void
say_gap(struct grep *g, const struct msg_search_gap *gap)
{
	const char *state =
		gap->pending ? "not searched to its end yet" : "not searched to its end";

	if (gap->command_id != NULL)
		client_say(g->client, "command %s on %s: %s: %s", gap->command_id,
			gap->target != NULL ? gap->target : "?", state, gap->reason);
	else
		client_say(g->client, "session %s: %s: %s",
			gap->session_id != NULL ? gap->session_id : "?", state, gap->reason);
}

static int
take_gaps(struct grep *g, const struct msg_search_gap *v, size_t n, struct hw_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		meter_hide(&g->meter);
		say_gap(g, &v[i]);
		r = keep_gap(g, &v[i], err);
	}
	return r;
}

/* --- pages ------------------------------------------------------------------------------------ */

/* Others may be searching: their turn comes first, and ends. */
static int
call(void *ret, struct grep *g, enum op_id op, const void *req, struct hw_err *err)
{
	const struct timespec wait = {.tv_nsec = BUSY_WAIT * 1000};
	struct client *c = g->client;
	int r = 0;

	for (int i = 0; i < BUSY_MAX; i++) {
		arena_free(g->page);
		if ((g->page = arena_new(PAGE_MAX)) == NULL)
			return hw_err_set(err, HW_ENOMEM, "out of memory");
		if ((r = client_connect(c, err)) < 0)
			return r;
		r = conn_call(ret, c->conn, op, req, g->page, err);
		if (r != HW_EFULL)
			break;
		nanosleep(&wait, NULL);
	}
	client_hint_call(c, r);
	return r;
}

static bool
is_enough(const struct grep *g)
{
	return g->limit > 0 && g->hits >= g->limit;
}

/* Whether there is another page; its token goes where the request has it. */
static bool
turn(char token[1025], const char **next_token, const struct grep *g, const char *next)
{
	if (next == NULL || next[0] == '\0' || is_enough(g))
		return false;
	snprintf(token, 1025, "%s", next);
	*next_token = token;
	return true;
}

static int
grep_recordings(struct grep *g, struct msg_search_recordings_request *req, struct hw_err *err)
{
	const struct msg_search_recordings_reply *page;
	char token[1025];
	int r;

	do {
		show_progress(g);
		if ((r = call(&page, g, OP_search_recordings, req, err)) < 0)
			return r;
		g->sessions += page->searched;
		g->bytes += page->bytes;
		g->too_hard += page->too_hard;
		g->unreadable += page->unreadable;
		if ((r = take_gaps(g, page->gaps.v, page->gaps.n, err)) < 0 ||
			(r = take_hits(g, page->hits.v, page->hits.n, err)) < 0)
			return r;
	} while (turn(token, &req->next_token, g, page->next_token));
	return 0;
}

static int
grep_outputs(struct grep *g, struct msg_search_command_outputs_request *req, struct hw_err *err)
{
	const struct msg_search_command_outputs_reply *page;
	char token[1025];
	int r;

	do {
		show_progress(g);
		if ((r = call(&page, g, OP_search_command_outputs, req, err)) < 0)
			return r;
		g->outputs += page->searched;
		g->bytes += page->bytes;
		g->too_hard += page->too_hard;
		g->unreadable += page->unreadable;
		if ((r = take_gaps(g, page->gaps.v, page->gaps.n, err)) < 0 ||
			(r = take_hits(g, page->hits.v, page->hits.n, err)) < 0)
			return r;
	} while (turn(token, &req->next_token, g, page->next_token));
	return 0;
}

/* --- the command ------------------------------------------------------------------------------ */

static const char *
name_of(const void *item)
{
	const struct msg_search_hit *h = item;

	return h->session_id != NULL ? h->session_id : h->command_id;
}

static const struct listing listing = {
	.reply = msg_row_search_recordings_reply,
	.item = msg_row_search_hit,
	.name = name_of,
};

/* -o name: each session or command once. */
static size_t
without_repeats(struct msg_search_hit *v, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (kept == 0 || strcmp(name_of(&v[kept - 1]), name_of(&v[i])) != 0)
			v[kept++] = v[i];
	return kept;
}

static int
show_kept(struct grep *g, struct hw_err *err)
{
	struct msg_search_recordings_reply all = {
		.searched = g->sessions,
		.bytes = g->bytes,
		.too_hard = g->too_hard,
		.unreadable = g->unreadable,
		.gaps = {g->gaps, g->n_gaps},
	};

	if (g->client->format == OUTPUT_NAME)
		g->n_kept = without_repeats(g->kept, g->n_kept);
	all.hits.v = g->kept;
	all.hits.n = g->n_kept;
	return output_list(g->client, &listing, &all, g->kept, g->n_kept, err);
}

static void
say_sum(struct grep *g)
{
	meter_hide(&g->meter);
	if (g->client->format <= OUTPUT_WIDE)
		fprintf(stderr,
			"%" PRId64 " hit%s in %" PRId64 " session%s and %" PRId64
			" command output%s%s\n",
			g->hits, g->hits == 1 ? "" : "s", g->sessions, g->sessions == 1 ? "" : "s",
			g->outputs, g->outputs == 1 ? "" : "s",
			is_enough(g) ? "; there may be more: --limit" : "");
	if (g->too_hard > 0)
		client_say(g->client,
			"%" PRId64 " lines were not searched: the pattern takes too long on them",
			g->too_hard);
}

static int
grep_all(struct grep *g, const struct input *in, struct hw_err *err)
{
	struct msg_search_recordings_request req = {
		.pattern = in->operands[0],
		.ignore_case = input_has(in, "ignore-case"),
		.typed = input_has(in, "typed"),
		.shown = input_has(in, "shown"),
		.owner = input_text(in, "user"),
		.target = input_text(in, "node"),
		.session_id = input_text(in, "session"),
	};
	const char *session = req.session_id;
	int r;

	if ((r = audit_time(&req.start_time, g->client, in, "since", err)) < 0 ||
		(r = audit_time(&req.end_time, g->client, in, "until", err)) < 0 ||
		(r = client_connect(g->client, err)) < 0 ||
		(session != NULL &&
			(r = session_find_id(&req.session_id, g->client, session, err)) < 0))
		return r;
	struct msg_search_command_outputs_request outputs = {
		.pattern = req.pattern,
		.ignore_case = req.ignore_case,
		.start_time = req.start_time,
		.end_time = req.end_time,
		.owner = req.owner,
		.target = req.target,
	};
	if ((r = grep_recordings(g, &req, err)) < 0 || is_enough(g) || session != NULL ||
		(req.typed && !req.shown))
		return r;
	/* Who may read recordings alone has seen what he may. */
	r = grep_outputs(g, &outputs, err);
	if (r != HW_EDENIED)
		return r;
	client_hint(g->client, "%s", "");
	return 0;
}

static int
run_grep(struct client *c, const struct input *in, struct hw_err *err)
{
	struct grep g = {.client = c};
	int r = input_int(&g.limit, in, "limit", 0, 1000000, err);

	if (r < 0)
		return r;
	meter_init(&g.meter, false);
	r = grep_all(&g, in, err);
	if (r < 0)
		meter_hide(&g.meter);
	if (r == 0 && c->format > OUTPUT_WIDE && c->format != OUTPUT_JSONL)
		r = show_kept(&g, err);
	if (r == 0)
		say_sum(&g);
	arena_free(g.page);
	if (r < 0)
		return r;
	if (g.n_gaps > 0 || g.unreadable > 0 || g.too_hard > 0)
		return EXIT_PARTLY;
	return g.hits > 0 ? 0 : EXIT_NOTHING;
}

static const struct option_row options[] = {
	{"ignore-case",					'i', NULL, "upper and lower case are the same"},
	{"typed",						't', NULL, "only what was typed, and commands that were given"},
	{"shown",						    0, NULL, "only what was shown"},
	{"user",	 'u', "USER", "of one user"},
	{"node", 'n', "NODE", "on one node: its id or name"},
	{"session",					      's', "SESSION", "in one session"},
	AUDIT_TIME_OPTIONS,
	{"limit",						0, "N", "stop after N hits"},
	{0						   },
};

const struct command cmd_audit_grep = {
	.name = "audit grep",
	.wary = true,
	.operands = "PATTERN",
	.summary = "Search what was typed and shown, in sessions and commands' output.",
	.about = "  PATTERN is a Perl-like regular expression (PCRE2), of one line. The time is\n"
		 "  what `hawser replay SESSION --at` opens. Searching is an entry of the ledger.\n"
		 "  Exit status: 0 found, 1 nothing found, 2 failed, or not all was searched:\n"
		 "  what was not, and why, is on stderr.",
	.examples = {"hawser audit grep -i 'drop table' --since 30d",
		     "hawser audit grep --typed -u alice 'rm +-rf'"},
	.options = options,
	.min = 1,
	.max = 1,
	.shows = true,
	.failure = 2,
	.run = run_grep,
};
