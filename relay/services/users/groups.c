/* Groups: users who share policies. */
#include <stdio.h>

#include "proto/base/id.h"
#include "relay/core/op.h"
#include "relay/services/page.h"
#include "relay/services/admins.h"
#include "relay/services/users/describe.h"
#include "relay/store/store.h"

#define LIST_LIMIT GROUPS_MAX

struct group_job {
	struct op *op;
	const char *name;
	struct msg_group *shown;
};

/* --- making, showing, removing ---------------------------------------------------------------- */

static int
write_group(void *arg, struct db *db, struct hw_err *err)
{
	struct group_job *w = arg;
	struct group_row row = {.created = w->op->now};
	int r;

	snprintf(row.name, sizeof(row.name), "%s", w->name);
	if ((r = group_insert(db, &row, err)) < 0)
		return r;
	store_changed(db, STORE_GRANTS, "");
	return describe_group(w->shown, w->op, db, &row);
}

static int
read_group(void *arg, struct db *db, struct hw_err *err)
{
	struct group_job *w = arg;
	struct group_row row;
	int r = group_get(db, w->name, &row, err);

	return r < 0 ? r : describe_group(w->shown, w->op, db, &row);
}

int
op_create_group(struct op *op, const struct msg_create_group_request *req,
	struct msg_group_reply *rep)
{
	struct group_job w = {op, req->group_name, arena_alloc(op->arena, sizeof(*w.shown))};

	if (!id_is_name(req->group_name))
		return op_fail(op, HW_EVALIDATION,
			"GroupName: 1 to 128 letters, digits and _ . @ + = - are allowed");
	if (w.shown == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a group");
	rep->group = w.shown;
	return store_write(op->env->store, write_group, &w, &op->err);
}

int
op_get_group(struct op *op, const struct msg_get_group_request *req, struct msg_group_reply *rep)
{
	struct group_job w = {op, req->group_name, arena_alloc(op->arena, sizeof(*w.shown))};

	if (w.shown == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a group");
	rep->group = w.shown;
	return store_read(op->env->store, read_group, &w, &op->err);
}

static int
remove_group(void *arg, struct db *db, struct hw_err *err)
{
	const struct group_job *w = arg;
	int r;

	if ((r = group_delete(db, w->name, err)) < 0 ||
		(r = admins_check(db, HOLDER_GROUP, w->name, err)) < 0)
		return r;
	store_changed(db, STORE_GRANTS, "");
	return 0;
}

int
op_delete_group(struct op *op, const struct msg_delete_group_request *req, struct msg_empty *rep)
{
	struct group_job w = {.op = op, .name = req->group_name};

	(void)rep;
	return store_write(op->env->store, remove_group, &w, &op->err);
}

/* --- members ---------------------------------------------------------------------------------- */

static int
add_member(void *arg, struct db *db, struct hw_err *err)
{
	const struct msg_group_member_request *req = arg;
	int r = member_add(db, req->group_name, req->user_name, err);

	if (r == 0)
		store_changed(db, STORE_GRANTS, "");
	return r;
}

int
op_add_user_to_group(struct op *op, const struct msg_group_member_request *req,
	struct msg_empty *rep)
{
	struct msg_group_member_request job = *req;

	(void)rep;
	return store_write(op->env->store, add_member, &job, &op->err);
}

static int
remove_member(void *arg, struct db *db, struct hw_err *err)
{
	const struct msg_group_member_request *req = arg;
	int r;

	if ((r = member_remove(db, req->group_name, req->user_name, err)) < 0 ||
		(r = admins_check(db, HOLDER_USER, req->user_name, err)) < 0)
		return r;
	store_changed(db, STORE_GRANTS, "");
	return 0;
}

int
op_remove_user_from_group(struct op *op, const struct msg_group_member_request *req,
	struct msg_empty *rep)
{
	struct msg_group_member_request job = *req;

	(void)rep;
	return store_write(op->env->store, remove_member, &job, &op->err);
}

/* --- listing ---------------------------------------------------------------------------------- */

struct listing {
	struct op *op;
	struct msg_list_groups_reply *rep;
	struct page page;
	struct page_key from;
};

/* 1: it is on the page, or is left out; 0: the page is full. A group can be as large as a page: it
 * is described first, and then looked whether it fits. */
static int
add_to_page(struct listing *w, struct db *db, const struct group_row *row)
{
	struct arena_mark mark = arena_mark(w->op->arena);
	const char *arn = arn_group(w->op, row->name);
	int r;

	if (arn == NULL)
		return op_fail(w->op, HW_ENOMEM, "no memory for groups");
	if (!op_may_see(w->op, arn, NULL)) {
		arena_release(w->op->arena, &mark);
		return 1;
	}
	if (w->page.items == w->page.limit)
		return 0;
	if ((r = describe_group(&w->rep->groups.v[w->page.items], w->op, db, row)) < 0)
		return r;
	if (w->page.items > 0 && !page_has_room(&w->page))
		return 0;
	w->page.items++;
	return 1;
}

static int
read_groups(void *arg, struct db *db, struct hw_err *err)
{
	struct listing *w = arg;
	struct group_row row;
	struct query q;

	int r = group_list(&q, db, w->from.text, err);
	while (r == 0 && (r = group_next(&q, &row, err)) > 0) {
		if ((r = add_to_page(w, db, &row)) == 0) {
			r = page_token(&w->rep->next_token, w->op, &w->from);
			break;
		}
		snprintf(w->from.text, sizeof(w->from.text), "%s", row.name);
		r = r < 0 ? r : 0;
	}
	query_end(&q);
	w->rep->groups.n = w->page.items;
	return r;
}

int
op_list_groups(struct op *op, const struct msg_list_groups_request *req,
	struct msg_list_groups_reply *rep)
{
	struct listing w = {.op = op, .rep = rep};
	int r;

	if ((r = page_read(&w.from, op, req->next_token)) < 0)
		return r;
	rep->groups.v = arena_array(op->arena, LIST_LIMIT, sizeof(*rep->groups.v));
	if (rep->groups.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for groups");
	page_begin(&w.page, op, req->max_results, LIST_LIMIT);
	return store_read(op->env->store, read_groups, &w, &op->err);
}
