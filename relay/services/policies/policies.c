/* Policies: written, read, listed, removed. Built-in ones are there in every fleet. */
#include <stdio.h>
#include <string.h>

#include "proto/base/id.h"
#include "relay/core/op.h"
#include "relay/policy/managed.h"
#include "relay/services/names.h"
#include "relay/services/page.h"
#include "relay/services/text.h"
#include "relay/store/policies.h"
#include "relay/store/store.h"

#define LIST_LIMIT 1000

/* --- what they look like ---------------------------------------------------------------------- */

static int
keep_holders(struct msg_policy *ret, struct op *op, struct db *db, const char *name)
{
	struct names users = {.op = op}, groups = {.op = op};
	struct attachment_row row;
	struct query q;

	int r = attachment_list(&q, db, name, -1, NULL, &op->err);
	while (r == 0 && (r = attachment_next(&q, &row, &op->err)) > 0)
		r = names_add(row.kind == HOLDER_USER ? &users : &groups, row.name);
	query_end(&q);
	if (r < 0 || (r = names_keep(&ret->users, &users)) < 0)
		return r;
	return names_keep(&ret->groups, &groups);
}

/* The document lives as long as the reply already, or is NULL. */
static int
describe(struct msg_policy *ret, struct op *op, struct db *db, const struct policy_row *row)
{
	int r;

	*ret = (struct msg_policy){
		.document = row->document,
		.managed = managed_policy_find(row->name) != NULL,
		.created = row->created,
		.updated = row->updated,
	};
	if ((r = text_keep(&ret->policy_name, op, row->name)) < 0 ||
		(r = text_keep(&ret->description, op, row->description)) < 0)
		return r;
	if ((ret->arn = arn_policy(op, row->name)) == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a policy");
	return keep_holders(ret, op, db, row->name);
}

static struct policy_row
row_of_managed(const struct managed_policy *m)
{
	struct policy_row row = {.document = m->document};

	snprintf(row.name, sizeof(row.name), "%s", m->name);
	snprintf(row.description, sizeof(row.description), "%s", m->description);
	return row;
}

/* --- writing and removing --------------------------------------------------------------------- */

struct policy_job {
	struct op *op;
	const char *name;
	const struct msg_put_policy_request *put;
	struct msg_policy *shown;
};

static int
check_own(struct op *op, const char *name, const char *instead)
{
	if (managed_policy_find(name) == NULL)
		return 0;
	return op_fail(op, HW_EVALIDATION, "%s is built in: %s", name, instead);
}

static int
check_document(struct op *op, const char *document)
{
	struct policy *parsed = NULL;
	int r = policy_parse(&parsed, document, strlen(document), &op->err);

	policy_free(parsed);
	return r;
}

static int
check_put(struct op *op, const struct msg_put_policy_request *req)
{
	const struct text_field fields[] = {
		{"Description", req->description},
		{NULL,	       NULL		   },
	};
	int r;

	if (!id_is_name(req->policy_name))
		return op_fail(op, HW_EVALIDATION,
			"PolicyName: 1 to 128 letters, digits and _ . @ + = - are allowed");
	if ((r = check_own(op, req->policy_name, "put it under another name")) < 0 ||
		(r = text_check(op, fields)) < 0)
		return r;
	return check_document(op, req->document);
}

static int
write_policy(void *arg, struct db *db, struct hw_err *err)
{
	struct policy_job *w = arg;
	struct policy_row row = {.created = w->op->now,
				  .updated = w->op->now,
				  .document = w->put->document},
			  *kept;
	int r;

	snprintf(row.name, sizeof(row.name), "%s", w->name);
	snprintf(row.description, sizeof(row.description), "%s",
		text_or_empty(w->put->description));
	if ((r = policy_put(db, &row, err)) < 0 ||
		(r = policy_get(db, w->op->arena, w->name, &kept, err)) < 0)
		return r;
	store_changed(db, STORE_GRANTS, "");
	return describe(w->shown, w->op, db, kept);
}

int
op_put_policy(struct op *op, const struct msg_put_policy_request *req, struct msg_policy_reply *rep)
{
	struct policy_job w = {.op = op,
		.name = req->policy_name,
		.put = req,
		.shown = arena_alloc(op->arena, sizeof(*w.shown))};
	int r;

	if (w.shown == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a policy");
	if ((r = check_put(op, req)) < 0)
		return r;
	rep->policy = w.shown;
	return store_write(op->env->store, write_policy, &w, &op->err);
}

static int
remove_policy(void *arg, struct db *db, struct hw_err *err)
{
	const struct policy_job *w = arg;
	int r = policy_delete(db, w->name, err);

	if (r == 0)
		store_changed(db, STORE_GRANTS, "");
	return r;
}

int
op_delete_policy(struct op *op, const struct msg_delete_policy_request *req, struct msg_empty *rep)
{
	struct policy_job w = {.op = op, .name = req->policy_name};
	int r = check_own(op, req->policy_name, "it cannot be removed, only detached");

	(void)rep;
	return r < 0 ? r : store_write(op->env->store, remove_policy, &w, &op->err);
}

/* --- showing ---------------------------------------------------------------------------------- */

static int
read_policy(void *arg, struct db *db, struct hw_err *err)
{
	struct policy_job *w = arg;
	const struct managed_policy *m = managed_policy_find(w->name);
	struct policy_row *row;
	int r;

	if (m != NULL) {
		struct policy_row built_in = row_of_managed(m);
		return describe(w->shown, w->op, db, &built_in);
	}
	if ((r = policy_get(db, w->op->arena, w->name, &row, err)) < 0)
		return r;
	return describe(w->shown, w->op, db, row);
}

int
op_get_policy(struct op *op, const struct msg_get_policy_request *req, struct msg_policy_reply *rep)
{
	struct policy_job w = {.op = op,
		.name = req->policy_name,
		.shown = arena_alloc(op->arena, sizeof(*w.shown))};

	if (w.shown == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a policy");
	rep->policy = w.shown;
	return store_read(op->env->store, read_policy, &w, &op->err);
}

/* The key of a page: how many of the built-in ones were there already, and the last name of the
 * others. */
struct listing {
	struct op *op;
	struct msg_list_policies_reply *rep;
	struct page page;
	struct page_key from;
};

/* 1: it is on the page, or is left out; 0: the page is full. With whom it is attached to a policy
 * can be as large as a page: it is described first, and then looked whether it fits. */
static int
add_to_page(struct listing *w, struct db *db, const struct policy_row *row)
{
	struct arena_mark mark = arena_mark(w->op->arena);
	const char *arn = arn_policy(w->op, row->name);
	int r;

	if (arn == NULL)
		return op_fail(w->op, HW_ENOMEM, "no memory for policies");
	if (!op_may_see(w->op, arn, NULL)) {
		arena_release(w->op->arena, &mark);
		return 1;
	}
	if (w->page.items == w->page.limit)
		return 0;
	if ((r = describe(&w->rep->policies.v[w->page.items], w->op, db, row)) < 0)
		return r;
	if (w->page.items > 0 && !page_has_room(&w->page))
		return 0;
	w->page.items++;
	return 1;
}

static int
add_managed(struct listing *w, struct db *db)
{
	int r = 1;

	for (size_t i = (size_t)w->from.number; r > 0 && i < managed_policy_count; i++) {
		struct policy_row row = row_of_managed(&managed_policies[i]);
		row.document = NULL;
		if ((r = add_to_page(w, db, &row)) > 0)
			w->from.number = (int64_t)i + 1;
	}
	return r;
}

static int
add_others(struct listing *w, struct db *db)
{
	struct policy_row row;
	struct query q;

	int r = policy_list(&q, db, w->from.text, &w->op->err);
	bool more = r == 0;
	while (more && (r = policy_next(&q, NULL, &row, &w->op->err)) > 0) {
		if ((r = add_to_page(w, db, &row)) > 0)
			snprintf(w->from.text, sizeof(w->from.text), "%s", row.name);
		more = r > 0;
	}
	query_end(&q);
	return r < 0 ? r : more;
}

static int
read_policies(void *arg, struct db *db, struct hw_err *err)
{
	struct listing *w = arg;
	int r;

	(void)err; /* the op's, which is where the above write theirs */
	if ((r = add_managed(w, db)) > 0)
		r = add_others(w, db);
	w->rep->policies.n = w->page.items;
	if (r == 0)
		return page_token(&w->rep->next_token, w->op, &w->from);
	return r < 0 ? r : 0;
}

int
op_list_policies(struct op *op, const struct msg_list_policies_request *req,
	struct msg_list_policies_reply *rep)
{
	struct listing w = {.op = op, .rep = rep};
	int r;

	if ((r = page_read(&w.from, op, req->next_token)) < 0)
		return r;
	rep->policies.v = arena_array(op->arena, LIST_LIMIT, sizeof(*rep->policies.v));
	if (rep->policies.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for policies");
	page_begin(&w.page, op, req->max_results, LIST_LIMIT);
	return store_read(op->env->store, read_policies, &w, &op->err);
}
