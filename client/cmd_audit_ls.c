/* hawser audit ls, tail. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/audit_filter.h"
#include "client/commands.h"
#include "client/pages.h"
#include "proto/base/display.h"
#include "proto/wire/codec.h"

#define LIMIT_DEFAULT 50
#define TAIL_DEFAULT  10
#define PAGE	      500
#define LOOK_EVERY    (700 * USEC_PER_MSEC)
#define DIAL_EVERY    (2 * USEC_PER_SEC)
#define PAGE_MAX      (8u << 20)

static int
fetch(struct pages *all, struct client *c, struct msg_lookup_events_request *req, int64_t limit,
	struct hw_err *err)
{
	req->max_results = limit > 0 && limit < PAGE ? limit : PAGE;
	return pages_fetch(all, c, OP_lookup_events, req, &req->next_token,
		offsetof(struct msg_lookup_events_reply, next_token), (size_t)limit, err);
}

/* --- ls --------------------------------------------------------------------------------------- */

static int
run_ls(struct client *c, const struct input *in, struct hw_err *err)
{
	struct msg_lookup_events_reply all = {0};
	struct pages pages = {0};
	struct audit_filter f;
	int64_t limit = LIMIT_DEFAULT;
	int r;

	if ((r = input_int(&limit, in, "limit", 0, 1000000, err)) < 0 ||
		(r = audit_filter_read(&f, c, in, err)) < 0)
		return r;
	f.req.oldest_first = input_has(in, "oldest");
	if ((r = fetch(&pages, c, &f.req, limit, err)) < 0)
		return r;
	all.events.v = pages.v;
	all.events.n = pages.n;
	if ((r = output_list(c, &audit_listing, &all, pages.v, pages.n, err)) < 0)
		return r;
	bool more = limit > 0 && pages.n == (size_t)limit;
	if (c->format <= OUTPUT_WIDE)
		fprintf(stderr, "%zu entr%s%s\n", pages.n, pages.n == 1 ? "y" : "ies",
			more ? "; there may be more: --limit, --until" : "");
	return audit_say_damaged(c, pages.v, pages.n) > 0 ? AUDIT_DAMAGED : 0;
}

static const struct option_row ls_options[] = {
	AUDIT_FILTER_OPTIONS,
	AUDIT_TIME_OPTIONS,
	{"limit", 0, "N", "N entries at most (50); 0 is all"},
	{"oldest",	   0, NULL, "the oldest first"},
	{0	  },
};

const struct command cmd_audit_ls = {
	.name = "audit ls",
	.wary = true,
	.operands = "",
	.summary = "List the ledger's entries, newest first; status 2 when one is damaged.",
	.examples = {"hawser audit ls --user alice --since 7d --result denied",
		     "hawser audit ls -n db-1 -o jsonl --limit 0"},
	.options = ls_options,
	.shows = true,
	.alone = true,
	.run = run_ls,
};

/* --- tail ------------------------------------------------------------------------------------- */

static void
append_line(struct buf *out, struct client *c, const struct msg_ledger_entry *e)
{
	const char *time = output_time(c, e->time), *about = audit_about(c, e);
	const char *parts[] = {time, e->kind, audit_short(e->principal), e->action, about,
		enum_text(&enum_OUTCOME, e->outcome), e->reason};

	buf_printf(out, "%lld", (long long)e->sequence);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i] == NULL || parts[i][0] == '\0')
			continue;
		buf_append_str(out, i == 6 ? "  # " : "  ");
		display_append(out, parts[i], strlen(parts[i]));
	}
	buf_append_byte(out, '\n');
}

static int
print(struct output_series *to, const struct msg_ledger_entry *e, struct hw_err *err)
{
	struct client *c = to->client;
	struct arena_mark mark = arena_mark(c->arena);
	struct buf out;
	int r = 0;

	buf_init(&out, PAGE_MAX);
	if (c->format <= OUTPUT_WIDE)
		append_line(&out, c, e);
	else if (c->format == OUTPUT_NAME)
		buf_printf(&out, "%lld\n", (long long)e->sequence);
	else
		r = msg_to_json(&out, MSG_ROW(ledger_entry), e, JSON_DATES);
	if (r < 0 || out.failed)
		r = hw_err_set(err, HW_ELIMIT, "entry %lld is too large to be shown",
			(long long)e->sequence);
	else if (c->format <= OUTPUT_WIDE || c->format == OUTPUT_NAME)
		r = output_bytes(buf_data(&out), out.len, err);
	else
		r = output_series_add(to, &out, err);
	buf_fini(&out);
	arena_release(c->arena, &mark);
	return r;
}

static int
print_all(struct output_series *to, const struct msg_ledger_entry *v, size_t n, size_t *damaged,
	struct hw_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = print(to, &v[i], err);
	*damaged += audit_say_damaged(to->client, v, n);
	return r;
}

/* The newest n that were there before `below`, the oldest first. */
static int
print_last(struct output_series *to, const struct audit_filter *f, int64_t n, int64_t below,
	size_t *damaged, struct hw_err *err)
{
	struct msg_lookup_events_request req = f->req;
	struct pages pages = {0};
	int r = n > 0 ? fetch(&pages, to->client, &req, n, err) : 0;

	for (size_t i = pages.n; r == 0 && i-- > 0;) {
		const struct msg_ledger_entry *e = (const struct msg_ledger_entry *)pages.v + i;
		if (e->sequence < below)
			r = print_all(to, e, 1, damaged, err);
	}
	return r;
}

static void
sleep_for(int64_t usec)
{
	const struct timespec t = {
		.tv_sec = usec / USEC_PER_SEC, .tv_nsec = usec % USEC_PER_SEC * 1000};

	nanosleep(&t, NULL);
}

/* A relay that is being restarted comes back; its tokens stay good. */
static bool
may_come_back(int code)
{
	return code == HW_EUNAVAILABLE || code == HW_ETIMEOUT || code == HW_ECLOSED ||
		code == HW_EFULL;
}

/* What is there since the last page: how many. The token stays when it fails. */
static int
follow_once(struct output_series *to, struct msg_lookup_events_request *req, char token[1025],
	struct hw_err *err)
{
	struct client *c = to->client;
	const struct msg_lookup_events_reply *page;
	struct arena *a = arena_new(PAGE_MAX);
	int r = a == NULL ? hw_err_set(err, HW_ENOMEM, "out of memory") : client_connect(c, err);

	req->next_token = token;
	if (r == 0)
		r = conn_call(&page, c->conn, OP_lookup_events, req, a, err);
	if (r == 0) {
		size_t damaged = 0;
		r = print_all(to, page->events.v, page->events.n, &damaged, err);
		if (page->next_token != NULL)
			snprintf(token, 1025, "%s", page->next_token);
		r = r < 0 ? r : (int)page->events.n;
	}
	arena_free(a);
	return r;
}

static int
follow(struct output_series *to, struct msg_lookup_events_request *req, const char *first,
	struct hw_err *err)
{
	char token[1025];
	bool away = false;
	int r;

	snprintf(token, sizeof(token), "%s", first);
	for (;;) {
		r = follow_once(to, req, token, err);
		if (r < 0 && !may_come_back(r))
			return r;
		if (r < 0 && !away)
			client_say(to->client, "%s; trying again", hw_err_text(err));
		away = r < 0;
		if (r <= 0)
			sleep_for(away ? DIAL_EVERY : LOOK_EVERY);
	}
}

static int
tail(struct output_series *to, const struct input *in, struct hw_err *err)
{
	struct client *c = to->client;
	const struct msg_lookup_events_reply *begin = NULL;
	int64_t n = TAIL_DEFAULT, below = INT64_MAX;
	struct audit_filter f;
	size_t damaged = 0;
	int r;

	if ((r = input_int(&n, in, "lines", 0, PAGE, err)) < 0 ||
		(r = audit_filter_read(&f, c, in, err)) < 0)
		return r;
	struct msg_lookup_events_request on = f.req;
	on.oldest_first = on.follow = on.from_now = true;
	on.max_results = PAGE;
	/* What comes is followed first, so that nothing falls between the two. Some of it may have
	 * come already while the relay looked. */
	if (input_has(in, "follow")) {
		if ((r = client_connect(c, err)) < 0 ||
			(r = client_call(&begin, c, OP_lookup_events, &on, err)) < 0)
			return r;
		below = begin->events.n > 0 ? begin->events.v[0].sequence : begin->looked_at;
	}
	if ((r = print_last(to, &f, n, below, &damaged, err)) < 0 ||
		(begin != NULL &&
			(r = print_all(to, begin->events.v, begin->events.n, &damaged, err)) < 0))
		return r;
	if (begin != NULL)
		return follow(to, &on, begin->next_token, err);
	r = output_series_end(to, err);
	return r == 0 && damaged > 0 ? AUDIT_DAMAGED : r;
}

static int
run_tail(struct client *c, const struct input *in, struct hw_err *err)
{
	struct output_series to;

	output_series_init(&to, c, input_has(in, "follow"));
	int r = tail(&to, in, err);
	output_series_fini(&to);
	return r;
}

static const struct option_row tail_options[] = {
	{"follow", 'f', NULL, "go on with what comes"},
	{"lines",	  'l', "N", "the last N entries (10)"},
	AUDIT_QUIET_OPTIONS,
	{0	  },
};

const struct command cmd_audit_tail = {
	.name = "audit tail",
	.wary = true,
	.operands = "",
	.summary = "Show the last entries of the ledger, a line each, and those that come.",
	.about = "  It takes the filters of `hawser audit ls`.\n" AUDIT_DAMAGED_ABOUT,
	.examples = {"hawser audit tail -f --result denied",
		     "hawser audit tail -f -k alarm -o jsonl | alert"},
	.options = tail_options,
	.shows = true,
	.run = run_tail,
};
