/* Resource groups: targets under a name, which SendCommand, lists of nodes and selectors refer to.
 */
#include <stdio.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "relay/core/op.h"
#include "relay/services/node_search.h"
#include "relay/services/page.h"
#include "relay/services/text.h"
#include "relay/store/resource_groups.h"
#include "relay/store/store.h"

#define LIST_LIMIT  50
#define TARGETS_MAX 65536 /* bytes of them as JSON; a page has room for one such group */

struct group_job {
	struct op *op;
	struct resource_group_row row;
	struct msg_resource_group *shown;
};

/* --- showing -----------------------------------------------------------------------------------
 */

static int
describe(struct msg_resource_group *ret, struct op *op, const struct resource_group_row *row)
{
	const struct msg_resource_group *saved;
	void *msg;
	int r;

	if (msg_from_json(&msg, op->arena, MSG_ROW(resource_group), row->targets,
		    strlen(row->targets), &op->err) < 0)
		return op_fail(op, HW_ECORRUPT, "the resource group %s cannot be read", row->name);
	saved = msg;
	*ret = (struct msg_resource_group){.created = row->created, .updated = row->updated};
	ret->targets.v = saved->targets.v;
	ret->targets.n = saved->targets.n;
	ret->group_arn = arn_resource_group(op, row->name);
	if (ret->group_arn == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a resource group");
	if ((r = text_keep(&ret->name, op, row->name)) < 0)
		return r;
	return text_keep(&ret->description, op, row->description);
}

static int
read_group(void *arg, struct db *db, struct hw_err *err)
{
	struct group_job *w = arg;
	char name[sizeof(w->row.name)];

	memcpy(name, w->row.name, sizeof(name));
	int r = resource_group_get(db, w->op->arena, name, &w->row, err);
	return r < 0 ? r : describe(w->shown, w->op, &w->row);
}

static int
begin(struct group_job *w, struct msg_resource_group_reply *rep, const char *name)
{
	w->shown = arena_alloc(w->op->arena, sizeof(*w->shown));
	if (w->shown == NULL)
		return op_fail(w->op, HW_ENOMEM, "no memory for a resource group");
	snprintf(w->row.name, sizeof(w->row.name), "%s", name);
	rep->group = w->shown;
	return 0;
}

int
op_get_resource_group(struct op *op, const struct msg_resource_group_request *req,
	struct msg_resource_group_reply *rep)
{
	struct group_job w = {.op = op};
	int r = begin(&w, rep, req->name);

	return r < 0 ? r : store_read(op->env->store, read_group, &w, &op->err);
}

/* --- writing -----------------------------------------------------------------------------------
 */

/* As AWS names them. */
static bool
is_group_name(const char *name)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	return name[0] != '\0' && name[strspn(name, plain)] == '\0';
}

static int
check_texts(struct op *op, const struct msg_put_resource_group_request *req)
{
	const struct text_field fields[] = {
		{"Description", req->description},
		   {NULL,	  NULL	      }
	       };
	int r = text_check(op, fields);

	for (size_t i = 0; r == 0 && i < req->targets.n; i++) {
		const struct msg_command_target *t = &req->targets.v[i];
		const struct text_field key[] = {
			{"Key", t->key},
			 {NULL,	NULL  }
		     };
		r = text_check(op, key);
		for (size_t k = 0; r == 0 && k < t->values.n; k++) {
			const struct text_field value[] = {
				{"Values", t->values.v[k]},
				    {NULL,	   NULL	       }
			};
			r = text_check(op, value);
		}
	}
	return r;
}

static int
pack_targets(struct group_job *w, const struct msg_put_resource_group_request *req)
{
	struct msg_resource_group saved = {.name = req->name};
	struct buf text;

	saved.targets.v = req->targets.v;
	saved.targets.n = req->targets.n;
	buf_init(&text, TARGETS_MAX);
	int r = msg_to_json(&text, MSG_ROW(resource_group), &saved, 0);
	if (r == HW_ELIMIT)
		r = op_fail(w->op, r,
			"Targets: %d KiB at most, which is room for 2,500 ids: tag the nodes, and say "
			"tag:KEY",
			TARGETS_MAX / 1024);
	if (r == 0)
		w->row.targets =
			arena_strndup(w->op->arena, (const char *)buf_data(&text), text.len);
	buf_fini(&text);
	if (r == 0 && w->row.targets == NULL)
		r = op_fail(w->op, HW_ENOMEM, "no memory for a resource group");
	return r;
}

static int
check(struct group_job *w, const struct msg_put_resource_group_request *req)
{
	struct node_search search;
	int r;

	if (!is_group_name(req->name))
		return op_fail(w->op, HW_EVALIDATION,
			"Name: 1 to 128 letters, digits and _ . - are allowed");
	if (req->targets.n == 0)
		return op_fail(w->op, HW_EVALIDATION,
			"Targets: a resource group without any would be nobody: say which nodes");
	if ((r = check_texts(w->op, req)) < 0 ||
		(r = node_search_init(&search, w->op, req->targets.v, req->targets.n, true)) < 0 ||
		(r = pack_targets(w, req)) < 0)
		return r;
	w->row.created = w->row.updated = w->op->now;
	snprintf(w->row.description, sizeof(w->row.description), "%s",
		text_or_empty(req->description));
	return 0;
}

static int
insert_group(void *arg, struct db *db, struct hw_err *err)
{
	struct group_job *w = arg;
	int r = resource_group_insert(db, &w->row, err);

	return r < 0 ? r : describe(w->shown, w->op, &w->row);
}

static int
replace_group(void *arg, struct db *db, struct hw_err *err)
{
	struct group_job *w = arg;
	int r = resource_group_set(db, &w->row, err);

	return r < 0 ? r : read_group(w, db, err);
}

static int
put(struct op *op, const struct msg_put_resource_group_request *req,
	struct msg_resource_group_reply *rep, store_fn *write)
{
	struct group_job w = {.op = op};
	int r = begin(&w, rep, req->name);

	if (r < 0 || (r = check(&w, req)) < 0)
		return r;
	return store_write(op->env->store, write, &w, &op->err);
}

int
op_create_resource_group(struct op *op, const struct msg_put_resource_group_request *req,
	struct msg_resource_group_reply *rep)
{
	return put(op, req, rep, insert_group);
}

int
op_update_resource_group(struct op *op, const struct msg_put_resource_group_request *req,
	struct msg_resource_group_reply *rep)
{
	return put(op, req, rep, replace_group);
}

static int
remove_group(void *arg, struct db *db, struct hw_err *err)
{
	return resource_group_delete(db, arg, err);
}

int
op_delete_resource_group(struct op *op, const struct msg_resource_group_request *req,
	struct msg_empty *rep)
{
	(void)rep;
	return store_write(op->env->store, remove_group, (void *)(uintptr_t)req->name, &op->err);
}

/* --- the list ----------------------------------------------------------------------------------
 */

struct listing {
	struct op *op;
	struct msg_list_resource_groups_reply *rep;
	struct page page;
	struct page_key from;
};

/* 1: it is on the page, or is left out; 0: the page is full. */
static int
add_to_page(struct listing *w, const struct resource_group_row *row)
{
	const char *arn = arn_resource_group(w->op, row->name);

	if (arn == NULL)
		return op_fail(w->op, HW_ENOMEM, "no memory for resource groups");
	if (!op_may_see(w->op, arn, NULL))
		return 1;
	if (w->page.items > 0 && !page_has_room(&w->page))
		return 0;
	int r = describe(&w->rep->groups.v[w->page.items], w->op, row);
	w->page.items += r == 0;
	return r < 0 ? r : 1;
}

static int
read_groups(void *arg, struct db *db, struct hw_err *err)
{
	struct listing *w = arg;
	struct resource_group_row row;
	struct query q;

	struct arena_mark mark = arena_mark(w->op->arena);
	int r = resource_group_list(&q, db, w->from.text, err);
	while (r == 0 && (r = resource_group_next(&q, w->op->arena, &row, err)) > 0) {
		size_t items = w->page.items;
		if ((r = add_to_page(w, &row)) == 0) {
			r = page_token(&w->rep->next_token, w->op, &w->from);
			break;
		}
		snprintf(w->from.text, sizeof(w->from.text), "%s", row.name);
		if (w->page.items == items) /* it costs the page nothing */
			arena_release(w->op->arena, &mark);
		mark = arena_mark(w->op->arena);
		r = r < 0 ? r : 0;
	}
	query_end(&q);
	w->rep->groups.n = w->page.items;
	return r;
}

int
op_list_resource_groups(struct op *op, const struct msg_list_resource_groups_request *req,
	struct msg_list_resource_groups_reply *rep)
{
	struct listing w = {.op = op, .rep = rep};
	int r;

	if ((r = page_read(&w.from, op, req->next_token)) < 0)
		return r;
	rep->groups.v = arena_array(op->arena, LIST_LIMIT, sizeof(*rep->groups.v));
	if (rep->groups.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for resource groups");
	page_begin(&w.page, op, req->max_results, LIST_LIMIT);
	return store_read(op->env->store, read_groups, &w, &op->err);
}
