/* LookupEvents: entries of the ledger. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/search.h"
#include "proto/base/id.h"
#include "relay/core/arn.h"
#include "relay/core/authorise.h"
#include "relay/core/config.h"
#include "relay/core/op.h"
#include "relay/core/registry.h"
#include "relay/documents/built_in.h"
#include "relay/services/continue.h"
#include "relay/services/page.h"
#include "relay/store/documents.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"
#include "relay/store/tags.h"

#define LIMIT_DEFAULT 50
#define LIMIT	      500
#define TAGS_ASKED    8
#define NODES_MORE    64 /* that join while they are counted */

/* What is asked for, while it is read. */
struct asking {
	struct op *op;
	struct search_query q;
	struct node_filter nodes[TAGS_ASKED + 1]; /* which the nodes must fit */
	const char *values[TAGS_ASKED + 1];
	size_t n_nodes;
	bool one; /* the entry `only` and no other */
	uint64_t only;
	struct msg_strs ids;
};

/* --- attributes ------------------------------------------------------------------------------- */

static int
take_event_id(struct asking *a, const char *value)
{
	char *end;

	a->only = strtoull(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end != '\0' || a->only > INT64_MAX)
		return op_fail(a->op, HW_EVALIDATION, "EventId: \"%.40s\" is no number of an entry",
			value);
	a->one = a->q.oldest_first = true;
	return 0;
}

static int
take_kind(struct asking *a, const char *value)
{
	for (int i = 0; i < ENTRY_KINDS; i++)
		if (strcmp(entry_kind_name((enum entry_kind)i), value) == 0) {
			a->q.kinds |= UINT64_C(1) << i;
			return 0;
		}
	return op_fail(a->op, HW_EVALIDATION,
		"EventKind: no entry is of the kind \"%.60s\"; session.start, decision, outcome and "
		"alarm are kinds, and docs/api.md has all",
		value);
}

static int
take_outcome(struct asking *a, const char *value)
{
	a->q.outcome = enum_value(&enum_OUTCOME, value);
	if (a->q.outcome != 0)
		return 0;
	return op_fail(a->op, HW_EVALIDATION,
		"Outcome: \"%.60s\" is none of allowed, denied, ok, failed", value);
}

static int
add_node_filter(struct asking *a, enum node_field field, const char *key, const char *value)
{
	if (a->n_nodes > TAGS_ASKED)
		return op_fail(a->op, HW_EVALIDATION, "at most %d tags", TAGS_ASKED);
	a->values[a->n_nodes] = value;
	a->nodes[a->n_nodes] = (struct node_filter){
		.field = field, .key = key, .values = &a->values[a->n_nodes], .n = 1};
	a->n_nodes++;
	a->q.by_nodes = true;
	return 0;
}

/* A node that was removed has no name any more, but its entries have its id. */
static int
take_node(struct asking *a, const char *value)
{
	if (!id_is_node(value))
		return add_node_filter(a, NODE_NAME, NULL, value);
	a->q.terms[TERM_NODE] = value;
	return 0;
}

/* Key=Value, or a key alone. */
static int
take_tag(struct asking *a, const char *value)
{
	const char *eq = strchr(value, '=');

	if (eq == NULL)
		return add_node_filter(a, NODE_TAG_KEY, NULL, value);
	const char *key = arena_strndup(a->op->arena, value, (size_t)(eq - value));
	return key == NULL ? op_fail(a->op, HW_ENOMEM, "no memory for a tag")
			   : add_node_filter(a, NODE_TAG, key, eq + 1);
}

static const struct {
	int (*take)(struct asking *a, const char *value);
	enum search_term term; /* without `take` */
} attributes[LOOKUP_KEY_COUNT] = {
	[LOOKUP_KEY_EVENT_ID] = {take_event_id, 0		 },
	[LOOKUP_KEY_EVENT_NAME] = {NULL,		 TERM_ACTION   },
	[LOOKUP_KEY_USERNAME] = {NULL,	       TERM_PRINCIPAL},
	[LOOKUP_KEY_RESOURCE_NAME] = {NULL,	    TERM_RESOURCE },
	[LOOKUP_KEY_EVENT_KIND] = {take_kind,     0	       },
	[LOOKUP_KEY_OUTCOME] = {take_outcome,  0	       },
	[LOOKUP_KEY_SOURCE_ADDRESS] = {NULL,	     TERM_SOURCE	},
	[LOOKUP_KEY_INSTANCE_ID] = {take_node,     0		},
	[LOOKUP_KEY_RESOURCE_TAG] = {take_tag,      0		},
	[LOOKUP_KEY_SESSION_ID] = {NULL,		 TERM_SESSION  },
	[LOOKUP_KEY_COMMAND_ID] = {NULL,		 TERM_COMMAND  },
	[LOOKUP_KEY_REQUEST_ID] = {NULL,		 TERM_REQUEST  },
};

static int
take_attributes(struct asking *a, const struct msg_lookup_events_request *req)
{
	unsigned seen = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < req->lookup_attributes.n; i++) {
		const struct msg_lookup_attribute *at = &req->lookup_attributes.v[i];
		int key = at->attribute_key;
		bool several = key == LOOKUP_KEY_EVENT_KIND || key == LOOKUP_KEY_RESOURCE_TAG;
		if ((seen & 1u << key) != 0 && !several)
			return op_fail(a->op, HW_EVALIDATION,
				"LookupAttributes[%zu]: %s is there twice", i,
				enum_text(&enum_LOOKUP_KEY, key));
		seen |= 1u << key;
		if (attributes[key].take != NULL)
			r = attributes[key].take(a, at->attribute_value);
		else
			a->q.terms[attributes[key].term] = at->attribute_value;
	}
	return r;
}

static int
read_nodes(void *arg, struct db *db, struct hw_err *err)
{
	struct asking *a = arg;
	size_t most = registry_nodes(a->op->env->registry) + NODES_MORE;
	const char **ids = arena_array(a->op->arena, most, sizeof(*ids));
	struct node_row row;
	struct query q;
	size_t n = 0;

	if (ids == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the nodes to look for");
	int r = node_list(&q, db, a->nodes, a->n_nodes, "", err);
	while (r == 0 && n < most && (r = node_next(&q, &row, err)) > 0)
		r = (ids[n++] = arena_strdup(a->op->arena, row.id)) != NULL
			? 0
			: hw_err_set(err, HW_ENOMEM, "no memory for the nodes to look for");
	query_end(&q);
	a->q.nodes = ids;
	a->q.n_nodes = n;
	return r;
}

static int
ask(struct asking *a, struct op *op, const struct msg_lookup_events_request *req)
{
	*a = (struct asking){
		.op = op,
		.q = {.since = req->start_time,
			.until = req->end_time,
			.oldest_first = req->oldest_first}
	  };
	int r = take_attributes(a, req);

	if (r < 0)
		return r;
	if ((req->follow || req->from_now) && (!req->oldest_first || a->one))
		return op_fail(op, HW_EVALIDATION,
			"Follow and FromNow go with OldestFirst, and not with EventId");
	if (!a->q.by_nodes)
		return 0;
	return store_read(op->env->store, read_nodes, a, &op->err);
}

/* --- who may see it --------------------------------------------------------------------------- */

/* What is about nothing else is about the ledger. */
static const char *
arn_trail(struct op *op)
{
	const struct relay_config *c = op->env->config;

	return arena_printf(op->arena, "arn:aws:cloudtrail:%s:%s:trail/%s", c->region, c->account,
		c->name);
}

/* Nobody knows any more by which tags it was denied to whom, so it is for those who may see what is
 * about nothing else. It is one thing that is seen, or hidden. */
static bool
may_see_gone(struct op *op)
{
	if (!op_may_see(op, arn_trail(op), NULL))
		return false;
	op->shown--;
	return true;
}

static bool
is_node_there(struct op *op, const char *id)
{
	struct reg_node node;

	return registry_node(op->env->registry, id, &node);
}

/* The name in an ARN of that type; NULL when it is none. */
static const char *
name_in(const char *arn, const char *type)
{
	const char *at = strstr(arn, type);

	return at != NULL ? at + strlen(type) : NULL;
}

static bool
may_see_user(struct op *op, const char *arn, const char *name)
{
	const struct principal *user =
		op->asker != NULL ? principals_user(op->asker->principals, name) : NULL;

	if (user == NULL && !may_see_gone(op))
		return false;
	return op_may_see(op, arn, user != NULL ? &user->tags : NULL);
}

struct document_look {
	struct arena *arena;
	const char *name;
	struct msg_tag *tags;
	size_t n;
	bool is_there;
};

static int
look_for_document(void *arg, struct db *db, struct hw_err *err)
{
	struct document_look *look = arg;
	struct document_row row;
	int r = document_get(db, look->name, &row, err);

	look->is_there = r == 0 || built_in_find(look->name) != NULL;
	return r < 0 && r != HW_EDOCUMENT
		? r
		: tag_list(db, look->arena, TAGS_DOCUMENT, look->name, &look->tags, &look->n, err);
}

/* What cannot be looked up is not shown. */
static bool
may_see_document(struct op *op, const char *name)
{
	struct document_look look = {.arena = op->arena, .name = name};
	struct hw_err err = HW_ERR_INIT;

	if (store_read(op->env->store, look_for_document, &look, &err) < 0 ||
		(!look.is_there && !may_see_gone(op)))
		return false;
	return op_may_see_document(op, name, look.tags, look.n);
}

static bool
may_see_named(struct op *op, const char *arn)
{
	const char *name;

	if ((name = name_in(arn, ":user/")) != NULL)
		return may_see_user(op, arn, name);
	if ((name = name_in(arn, ":document/")) != NULL)
		return may_see_document(op, name);
	return op_may_see(op, arn, NULL);
}

/* Ids in denied requests are whatever somebody sent. */
static bool
may_see(struct op *op, const struct search_found *f)
{
	const char *resource = f->entry->resource;
	const struct search_about *about = &f->about;
	const char *node = about->node != NULL && id_is_node(about->node) ? about->node : NULL;

	if (about->session != NULL && id_is_session(about->session))
		return ((node != NULL && is_node_there(op, node)) || may_see_gone(op)) &&
			op_may_see_session(op, about->session, node != NULL ? node : "");
	if (node != NULL)
		return (is_node_there(op, node) || may_see_gone(op)) && op_may_see_node(op, node);
	if (resource != NULL && strncmp(resource, "arn:", 4) == 0)
		return may_see_named(op, resource);
	return op_may_see(op, arn_trail(op), NULL);
}

/* --- the page --------------------------------------------------------------------------------- */

struct listing {
	struct asking asking;
	struct page page;
	uint64_t as_of;
	struct msg_lookup_events_reply *rep;
};

static int
found(void *arg, const struct search_found *f)
{
	struct listing *w = arg;

	if (w->asking.one && (uint64_t)f->entry->sequence != w->asking.only)
		return SEARCH_STOP;
	if (!page_has_room(&w->page))
		return SEARCH_STOP;
	if (!may_see(w->page.op, f))
		return SEARCH_PASS;
	w->rep->events.v[w->page.items++] = *f->entry;
	return SEARCH_KEEP;
}

static uint64_t
begin(struct search *s, const struct listing *w, const struct msg_lookup_events_request *req)
{
	if (w->asking.one)
		return w->asking.only;
	return req->from_now ? search_next(s) : search_begin(s, &w->asking.q);
}

static int
fill(struct listing *w, struct op *op, const struct msg_lookup_events_request *req,
	struct going_on *g)
{
	struct search *s = op->env->search;
	uint64_t at = g->begun ? (uint64_t)g->number : begin(s, w, req);

	int r = search_walk(s, w->as_of, &w->asking.q, &at, op->arena, found, w, &op->err);
	if (r < 0)
		return r;
	w->rep->events.n = w->page.items;
	w->rep->looked_at = (int64_t)at;
	g->number = (int64_t)at;
	bool more = (r == 1 && !w->asking.one) || req->follow;
	return more ? continue_token(&w->rep->next_token, op, g) : 0;
}

int
op_lookup_events(struct op *op, const struct msg_lookup_events_request *req,
	struct msg_lookup_events_reply *rep)
{
	struct msg_lookup_events_request plain = *req;
	struct listing w = {.rep = rep};
	struct going_on g;
	int r;

	plain.next_token = NULL;
	if (op->env->search == NULL)
		return op_fail(op, HW_EUNAVAILABLE, "this relay has no index of its ledger");
	if ((r = continue_read(&g, op, &plain, req->next_token)) < 0 ||
		(r = ask(&w.asking, op, req)) < 0 ||
		(r = search_catch_up(op->env->search, &w.as_of, &op->err)) < 0)
		return r;
	rep->events.v = arena_array(op->arena, LIMIT, sizeof(*rep->events.v));
	if (rep->events.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for entries");
	page_begin(&w.page, op, req->max_results > 0 ? req->max_results : LIMIT_DEFAULT, LIMIT);
	return fill(&w, op, req, &g);
}
