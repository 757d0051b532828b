/* DescribeInstanceInformation: the fleet. */
#include <stdio.h>
#include <string.h>

#include "proto/trust/cert.h"
#include "relay/core/broker.h"
#include "relay/core/op.h"
#include "relay/core/witnesses.h"
#include "relay/services/node_search.h"
#include "relay/services/nodes/filters.h"
#include "relay/services/page.h"
#include "relay/services/text.h"
#include "relay/store/store.h"
#include "relay/store/tags.h"

#define LIST_LIMIT    50
#define LARGE_LIMIT   400
#define LARGE_BYTES   ((size_t)160 * 1024) /* a frame, less the largest node */
#define NAMES_BYTES   352		   /* of a node's members, numbers and enumerations */
#define AWAY_FOR_LONG (30 * CERT_DAY)

struct listing {
	struct op *op;
	struct msg_describe_instance_information_reply *rep;
	struct filters filters;
	struct node_search groups;
	struct tag_walk tags;
	struct page page;
	struct page_key from;
};

/* What the store and the broker know of a node together. */
struct sight {
	const struct node_row *row;
	int ping;
	int64_t seen;
};

static void
look(struct sight *ret, struct op *op, const struct node_row *row)
{
	int64_t seen = 0;
	bool online = broker_node_online(op->env->broker, row->id, &seen);

	ret->row = row;
	ret->seen = seen > row->seen ? seen : row->seen;
	int64_t last = ret->seen > row->registered ? ret->seen : row->registered;
	ret->ping = online			 ? PING_STATUS_ONLINE
		: op->now - last > AWAY_FOR_LONG ? PING_STATUS_INACTIVE
						 : PING_STATUS_CONNECTION_LOST;
}

static int
keep_texts(struct msg_instance_information *ret, struct op *op, const struct node_row *row)
{
	const struct {
		const char **to;
		const char *from;
	} texts[] = {
		{&ret->instance_id,	    row->id		   },
		{&ret->agent_version,    row->agent_version	},
		{&ret->platform_name,    row->platform_name	},
		{&ret->platform_version, row->platform_version},
		{&ret->activation_id,    row->activation_id	},
		{&ret->iam_role,	 row->iam_role	      },
		{&ret->name,	     row->name	      },
		{&ret->ip_address,	   row->ip_address	  },
		{&ret->computer_name,    row->computer_name	},
		{&ret->kernel,	       row->kernel	  },
		{&ret->architecture,     row->architecture    },
	};
	int r;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if ((r = text_keep(texts[i].to, op, texts[i].from)) < 0)
			return r;
	}
	return 0;
}

/* "agrees at 4711", "rollback since 2026-11-26T09:12:04.000Z" */
static int
keep_witness(struct msg_instance_information *ret, struct op *op, const char *id)
{
	char text[WITNESSES_BRIEF_MAX];

	if (op->env->witnesses == NULL || !witnesses_brief(op->env->witnesses, id, text))
		return 0;
	return text_keep(&ret->witness, op, text);
}

static int
describe(struct msg_instance_information *ret, struct op *op, struct tag_walk *tags,
	const struct sight *s)
{
	int r;

	if ((r = keep_texts(ret, op, s->row)) < 0)
		return r;
	ret->ping_status = s->ping;
	ret->last_ping = s->seen;
	ret->is_latest_version = strcmp(s->row->agent_version, HAWSER_VERSION) == 0;
	ret->platform_type = PLATFORM_TYPE_LINUX;
	ret->registration_date = s->row->registered;
	ret->resource_type = RESOURCE_TYPE_MANAGED_INSTANCE;
	ret->sessions = broker_node_sessions(op->env->broker, s->row->id);
	if ((r = keep_witness(ret, op, s->row->id)) < 0)
		return r;
	return tag_walk_list(tags, op->arena, s->row->id, &ret->tags.v, &ret->tags.n, &op->err);
}

/* What groups say is asked beside the filters. */
static int
list_nodes(struct query *q, struct listing *w, struct db *db, struct hw_err *err)
{
	const struct node_pick *more = &w->groups.pick;
	struct node_filter *all;

	*q = (struct query){.db = db};
	int r = node_search_resolve(&w->groups, db, err);
	if (r < 0)
		return r;
	all = arena_array(w->op->arena, w->filters.n_sql + more->n, sizeof(*all));
	if (all == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for filters");
	memcpy(all, w->filters.sql, w->filters.n_sql * sizeof(*all));
	memcpy(all + w->filters.n_sql, more->filters, more->n * sizeof(*all));
	w->page.arena_start =
		arena_used(w->op->arena); /* what groups hold takes none of its room */
	return node_list(q, db, all, w->filters.n_sql + more->n, w->from.text, err);
}

/* The next one begins after the last node of this. */
static int
end_page(struct listing *w)
{
	if (w->page.items > 0)
		snprintf(w->from.text, sizeof(w->from.text), "%s",
			w->rep->instance_information_list.v[w->page.items - 1].instance_id);
	return page_token(&w->rep->next_token, w->op, &w->from);
}

static int
read_nodes(void *arg, struct db *db, struct hw_err *err)
{
	struct listing *w = arg;
	struct node_row row;
	struct sight sight;
	struct query q;

	tag_walk_begin(&w->tags, db, TAGS_NODE);
	int r = list_nodes(&q, w, db, err);
	while (r == 0 && (r = node_next(&q, &row, err)) > 0) {
		r = 0;
		look(&sight, w->op, &row);
		if (!filters_pass(&w->filters, &row, sight.ping) ||
			!node_search_has(&w->groups, &row) || !op_may_see_node(w->op, row.id))
			continue;
		if (!page_has_room(&w->page)) {
			r = end_page(w);
			break;
		}
		r = describe(&w->rep->instance_information_list.v[w->page.items++], w->op, &w->tags,
			&sight);
	}
	tag_walk_end(&w->tags);
	query_end(&q);
	w->rep->instance_information_list.n = w->page.items;
	return r;
}

static int
begin_page(struct listing *w, const struct msg_describe_instance_information_request *req)
{
	struct msg_instance_information *v;
	bool large = req->large_pages && req->max_results == 0;
	size_t limit = large ? LARGE_LIMIT : LIST_LIMIT;

	if ((v = arena_array(w->op->arena, limit, sizeof(*v))) == NULL)
		return op_fail(w->op, HW_ENOMEM, "no memory for nodes");
	w->rep->instance_information_list.v = v;
	page_begin(&w->page, w->op, req->max_results, limit);
	if (large) {
		w->page.bytes = LARGE_BYTES;
		w->page.each = NAMES_BYTES;
	}
	return 0;
}

int
op_describe_instance_information(struct op *op,
	const struct msg_describe_instance_information_request *req,
	struct msg_describe_instance_information_reply *rep)
{
	struct listing w = {.op = op, .rep = rep};
	int r;

	if ((r = filters_parse(&w.filters, op, req)) < 0 ||
		(r = page_read(&w.from, op, req->next_token)) < 0)
		return r;
	if (w.filters.nothing)
		return 0;
	if ((r = begin_page(&w, req)) < 0)
		return r;
	if (w.filters.groups != NULL &&
		(r = node_search_groups(&w.groups, op, w.filters.groups)) < 0)
		return r;
	r = store_read(op->env->store, read_nodes, &w, &op->err);
	node_search_fini(&w.groups);
	return r;
}
