/* DescribeSessions: live ones, or past ones. */
#include <stdio.h>
#include <string.h>

#include "relay/core/op.h"
#include "relay/services/page.h"
#include "relay/services/text.h"
#include "relay/store/sessions.h"
#include "relay/store/store.h"

#define LIST_LIMIT 200

struct listing {
	struct op *op;
	struct msg_describe_sessions_reply *rep;
	struct session_filter filter;
	struct page page;
	struct page_key from;
};

/* --- filters ---------------------------------------------------------------------------------- */

static int
parse_time(int64_t *ret, struct op *op, const struct msg_session_filter *f)
{
	if (rfc3339_parse(ret, f->value) < 0)
		return op_fail(op, HW_EVALIDATION,
			"%s: \"%.60s\" is no time like 2026-07-07T00:00:00Z",
			enum_text(&enum_SESSION_FILTER, f->key), f->value);
	return 0;
}

static int
parse_status(int *ret, struct op *op, const struct msg_session_filter *f)
{
	*ret = enum_value(&enum_SESSION_STATUS, f->value);
	if (*ret == 0)
		return op_fail(op, HW_EVALIDATION, "Status: \"%.60s\" is no status of a session",
			f->value);
	return 0;
}

static int
parse_filter(struct session_filter *ret, struct op *op, const struct msg_session_filter *f)
{
	switch (f->key) {
	case SESSION_FILTER_INVOKED_AFTER:
		return parse_time(&ret->after, op, f);
	case SESSION_FILTER_INVOKED_BEFORE:
		return parse_time(&ret->before, op, f);
	case SESSION_FILTER_TARGET:
		ret->target = f->value;
		return 0;
	case SESSION_FILTER_OWNER:
		ret->owner = f->value;
		return 0;
	case SESSION_FILTER_STATUS:
		return parse_status(&ret->status, op, f);
	case SESSION_FILTER_SESSION_ID:
		ret->id = f->value;
		return 0;
	default:
		return op_fail(op, HW_EFILTERKEY, "no such filter");
	}
}

static int
parse_filters(struct session_filter *ret, struct op *op,
	const struct msg_describe_sessions_request *req)
{
	unsigned seen = 0;
	int r;

	for (size_t i = 0; i < req->filters.n; i++) {
		int key = req->filters.v[i].key;
		if (seen & 1u << key)
			return op_fail(op, HW_EVALIDATION, "Filters[%zu]: %s is there twice", i,
				enum_text(&enum_SESSION_FILTER, key));
		seen |= 1u << key;
		if ((r = parse_filter(ret, op, &req->filters.v[i])) < 0)
			return r;
	}
	return 0;
}

/* --- the list --------------------------------------------------------------------------------- */

static int
describe(struct msg_session *ret, struct op *op, const struct session_row *row)
{
	const struct {
		const char **to;
		const char *from;
	} texts[] = {
		{&ret->session_id,	   row->id	  },
		{&ret->target,	       row->node_id  },
		{&ret->document_name, row->document },
		{&ret->owner,	      row->owner_arn},
		{&ret->reason,	       row->reason	  },
		{&ret->details,	row->details  },
		{&ret->run_as,	       row->run_as	  },
		{&ret->target_name,   row->node_name},
	};
	int r;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if ((r = text_keep(texts[i].to, op, texts[i].from)) < 0)
			return r;
	}
	ret->status = row->status;
	ret->start_date = row->start;
	ret->end_date = row->end;
	ret->bytes_in = row->bytes_in;
	ret->bytes_out = row->bytes_out;
	ret->away = row->away;
	ret->exited = row->exited;
	ret->exit_status = row->exit_status;
	return 0;
}

static int
read_sessions(void *arg, struct db *db, struct hw_err *err)
{
	struct listing *w = arg;
	struct session_row row;
	struct query q;

	int r = session_list(&q, db, &w->filter, err);
	while (r == 0 && (r = session_next(&q, &row, err)) > 0) {
		r = 0;
		if (!op_may_see_session(w->op, row.id, row.node_id))
			continue;
		if (!page_has_room(&w->page)) {
			r = page_token(&w->rep->next_token, w->op, &w->from);
			break;
		}
		r = describe(&w->rep->sessions.v[w->page.items++], w->op, &row);
		w->from.number = row.start;
		snprintf(w->from.text, sizeof(w->from.text), "%s", row.id);
	}
	query_end(&q);
	w->rep->sessions.n = w->page.items;
	return r;
}

/* --- sessions that were never opened ---------------------------------------------------------- */

struct late {
	int64_t now;
	bool any;
};

static int
find_late(void *arg, struct db *db, struct hw_err *err)
{
	struct late *w = arg;

	return session_any_late(db, w->now, &w->any, err);
}

static int
sweep_late(void *arg, struct db *db, struct hw_err *err)
{
	const struct late *w = arg;

	return session_sweep_late(db, w->now, err);
}

/* A ticket that ran out ends its session; nobody waits for that but whoever looks. */
static int
end_late(struct op *op)
{
	struct late w = {.now = op->now};
	int r = store_read(op->env->store, find_late, &w, &op->err);

	if (r < 0 || !w.any)
		return r;
	return store_write(op->env->store, sweep_late, &w, &op->err);
}

int
op_describe_sessions(struct op *op, const struct msg_describe_sessions_request *req,
	struct msg_describe_sessions_reply *rep)
{
	struct listing w = {
		.op = op, .rep = rep, .filter.live = req->state == SESSION_STATE_ACTIVE};
	int r;

	if ((r = parse_filters(&w.filter, op, req)) < 0 ||
		(r = page_read(&w.from, op, req->next_token)) < 0 || (r = end_late(op)) < 0)
		return r;
	w.filter.start_below = w.from.number;
	w.filter.id_below = w.from.text;
	rep->sessions.v = arena_array(op->arena, LIST_LIMIT, sizeof(*rep->sessions.v));
	if (rep->sessions.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for sessions");
	page_begin(&w.page, op, req->max_results, LIST_LIMIT);
	return store_read(op->env->store, read_sessions, &w, &op->err);
}
