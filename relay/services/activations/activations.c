/* Activations: join tokens for nodes. */
#include <stdio.h>
#include <string.h>

#include "proto/base/id.h"
#include "proto/trust/secret.h"
#include "relay/core/op.h"
#include "relay/services/page.h"
#include "relay/services/taglist.h"
#include "relay/services/text.h"
#include "relay/store/activations.h"
#include "relay/store/store.h"

#define DAY	   (86400 * USEC_PER_SEC)
#define LIFE	   DAY
#define LIFE_MAX   (30 * DAY)
#define LIFE_SLACK (60 * USEC_PER_SEC) /* who asks for 30 days counts from another clock */
#define LIST_LIMIT 50

/* --- making ----------------------------------------------------------------------------------- */

struct creation {
	struct activation_row row;
	char hash[2 * SHA256_LEN + 1];
	const struct msg_create_activation_request *req;
};

static int
write_activation(void *arg, struct db *db, struct hw_err *err)
{
	struct creation *w = arg;
	const struct msg_create_activation_request *req = w->req;
	int r;

	if ((r = activation_insert(db, &w->row, w->hash, err)) < 0)
		return r;
	for (size_t i = 0; i < req->tags.n; i++) {
		if ((r = tag_set(db, TAGS_ACTIVATION, w->row.id, req->tags.v[i].key,
			     req->tags.v[i].value, err)) < 0)
			return r;
	}
	return 0;
}

static int
check_expiry(int64_t *ret, struct op *op, int64_t wanted)
{
	if (wanted == 0)
		wanted = op->now + LIFE;
	if (wanted <= op->now)
		return op_fail(op, HW_EVALIDATION, "ExpirationDate is in the past");
	if (wanted > op->now + LIFE_MAX + LIFE_SLACK)
		return op_fail(op, HW_EVALIDATION, "ExpirationDate is more than 30 days ahead");
	*ret = wanted;
	return 0;
}

static int
check_request(struct op *op, const struct msg_create_activation_request *req)
{
	const struct text_field fields[] = {
		{"Description",		req->description		},
		{"DefaultInstanceName", req->default_instance_name},
		{"IamRole",		    req->iam_role		 },
		{NULL,		       NULL			   },
	};
	int r = text_check(op, fields);

	if (r < 0)
		return r;
	if (id_is_node(text_or_empty(req->default_instance_name)))
		return op_fail(op, HW_EVALIDATION, "DefaultInstanceName: it is the id of a node");
	return taglist_check(op, req->tags.v, req->tags.n);
}

static void
fill(struct activation_row *row, const struct op *op,
	const struct msg_create_activation_request *req)
{
	id_uuid(row->id);
	snprintf(row->description, sizeof(row->description), "%s", text_or_empty(req->description));
	snprintf(row->default_name, sizeof(row->default_name), "%s",
		text_or_empty(req->default_instance_name));
	snprintf(row->iam_role, sizeof(row->iam_role), "%s", text_or_empty(req->iam_role));
	row->limit = req->registration_limit > 0 ? req->registration_limit : 1;
	row->created = op->now;
	snprintf(row->created_by, sizeof(row->created_by), "%s", op->arn);
}

int
op_create_activation(struct op *op, const struct msg_create_activation_request *req,
	struct msg_create_activation_reply *rep)
{
	struct creation w = {.req = req};
	int r;

	if ((r = check_request(op, req)) < 0 ||
		(r = check_expiry(&w.row.expires, op, req->expiration_date)) < 0)
		return r;
	fill(&w.row, op, req);
	char *code = arena_alloc(op->arena, TOKEN_LEN + 1);
	rep->activation_id = arena_strdup(op->arena, w.row.id);
	if (code == NULL || rep->activation_id == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for an activation");
	token_make(code);
	token_hash(w.hash, code);
	rep->activation_code = code;
	return store_write(op->env->store, write_activation, &w, &op->err);
}

/* --- removing --------------------------------------------------------------------------------- */

static int
remove_activation(void *arg, struct db *db, struct hw_err *err)
{
	return activation_delete(db, arg, err);
}

int
op_delete_activation(struct op *op, const struct msg_delete_activation_request *req,
	struct msg_empty *rep)
{
	char id[ID_UUID_LEN + 1];

	(void)rep;
	if (!id_is_uuid(req->activation_id))
		return op_fail(op, HW_EACTIVATIONID, "ActivationId is not the id of an activation");
	memcpy(id, req->activation_id, sizeof(id));
	return store_write(op->env->store, remove_activation, id, &op->err);
}

/* --- listing ---------------------------------------------------------------------------------- */

struct listing {
	struct op *op;
	const struct msg_describe_activations_request *req;
	struct msg_describe_activations_reply *rep;
	struct page page;
	struct page_key from;
};

static int
check_filters(struct op *op, const struct msg_describe_activations_request *req)
{
	for (size_t i = 0; i < req->filters.n; i++) {
		if (req->filters.v[i].key == ACTIVATION_FILTER_NONE ||
			req->filters.v[i].values.n == 0)
			return op_fail(op, HW_EFILTER,
				"Filters[%zu]: FilterKey and FilterValues are needed", i);
	}
	return 0;
}

static const char *
filtered_field(const struct activation_row *row, int key)
{
	return key == ACTIVATION_FILTER_ACTIVATION_IDS		 ? row->id
		: key == ACTIVATION_FILTER_DEFAULT_INSTANCE_NAME ? row->default_name
								 : row->iam_role;
}

static bool
passes(const struct activation_row *row, const struct msg_describe_activations_request *req)
{
	for (size_t i = 0; i < req->filters.n; i++) {
		const struct msg_activation_filter *f = &req->filters.v[i];
		bool any = false;
		for (size_t v = 0; v < f->values.n; v++)
			any |= strcmp(f->values.v[v], filtered_field(row, f->key)) == 0;
		if (!any)
			return false;
	}
	return true;
}

static int
describe(struct msg_activation *ret, struct op *op, struct db *db, const struct activation_row *row)
{
	int r;

	ret->registration_limit = row->limit;
	ret->registrations_count = row->used;
	ret->expiration_date = row->expires;
	ret->expired = row->expires <= op->now;
	ret->created_date = row->created;
	if ((r = text_keep(&ret->activation_id, op, row->id)) < 0 ||
		(r = text_keep(&ret->description, op, row->description)) < 0 ||
		(r = text_keep(&ret->default_instance_name, op, row->default_name)) < 0 ||
		(r = text_keep(&ret->iam_role, op, row->iam_role)) < 0)
		return r;
	return tag_list(db, op->arena, TAGS_ACTIVATION, row->id, &ret->tags.v, &ret->tags.n,
		&op->err);
}

/* What may not be seen costs the page nothing. */
static bool
may_see(struct op *op, const char *id)
{
	struct arena_mark mark = arena_mark(op->arena);
	bool seen = op_may_see(op, arn_activation(op, id), NULL);

	arena_release(op->arena, &mark);
	return seen;
}

static int
read_activations(void *arg, struct db *db, struct hw_err *err)
{
	struct listing *w = arg;
	struct activation_row row;
	struct query q;

	int r = activation_list(&q, db, w->from.number, w->from.text, err);
	while (r == 0 && (r = activation_next(&q, &row, err)) > 0) {
		r = 0;
		if (!passes(&row, w->req) || !may_see(w->op, row.id))
			continue;
		if (!page_has_room(&w->page)) {
			r = page_token(&w->rep->next_token, w->op, &w->from);
			break;
		}
		r = describe(&w->rep->activation_list.v[w->page.items++], w->op, db, &row);
		w->from.number = row.created;
		snprintf(w->from.text, sizeof(w->from.text), "%s", row.id);
	}
	query_end(&q);
	w->rep->activation_list.n = w->page.items;
	return r;
}

int
op_describe_activations(struct op *op, const struct msg_describe_activations_request *req,
	struct msg_describe_activations_reply *rep)
{
	struct listing w = {.op = op, .req = req, .rep = rep};
	int r;

	if ((r = check_filters(op, req)) < 0 || (r = page_read(&w.from, op, req->next_token)) < 0)
		return r;
	rep->activation_list.v =
		arena_array(op->arena, LIST_LIMIT, sizeof(*rep->activation_list.v));
	if (rep->activation_list.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for activations");
	page_begin(&w.page, op, req->max_results, LIST_LIMIT);
	return store_read(op->env->store, read_activations, &w, &op->err);
}
