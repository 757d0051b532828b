/* Users: made with an invite, listed, changed, removed. */
#include <stdio.h>
#include <string.h>

#include "proto/base/id.h"
#include "proto/trust/secret.h"
#include "relay/core/op.h"
#include "relay/core/tagset.h"
#include "relay/policy/managed.h"
#include "relay/services/page.h"
#include "relay/services/taglist.h"
#include "relay/services/admins.h"
#include "relay/services/users/describe.h"
#include "relay/store/store.h"

#define INVITE_LIFE (86400 * USEC_PER_SEC)
#define LIST_LIMIT  1000

static bool
is_caller(const struct op *op, const char *user)
{
	return op->who.role == ROLE_USER && strcmp(op->who.id, user) == 0;
}

/* --- invites ---------------------------------------------------------------------------------- */

struct invite {
	char *text; /* shown once; the store has its hash */
	char hash[2 * SHA256_LEN + 1];
	int64_t expires;
};

static int
invite_make(struct invite *ret, struct op *op, int64_t expires_seconds)
{
	ret->text = arena_alloc(op->arena, TOKEN_LEN + 1);
	if (ret->text == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for an invite");
	token_make(ret->text);
	token_hash(ret->hash, ret->text);
	ret->expires =
		op->now + (expires_seconds > 0 ? expires_seconds * USEC_PER_SEC : INVITE_LIFE);
	return 0;
}

struct invitation {
	const char *user;
	struct invite invite;
};

static int
write_invite(void *arg, struct db *db, struct hw_err *err)
{
	struct invitation *w = arg;

	return invite_put(db, w->user, w->invite.hash, w->invite.expires, err);
}

int
op_create_invite(struct op *op, const struct msg_create_invite_request *req,
	struct msg_create_invite_reply *rep)
{
	struct invitation w = {.user = req->user_name};
	int r;

	if ((r = invite_make(&w.invite, op, req->expires_seconds)) < 0 ||
		(r = store_write(op->env->store, write_invite, &w, &op->err)) < 0)
		return r;
	rep->user_name = req->user_name;
	rep->invite = w.invite.text;
	rep->expires = w.invite.expires;
	return 0;
}

/* --- making and removing ---------------------------------------------------------------------- */

struct creation {
	struct op *op;
	const struct msg_create_user_request *req;
	struct user_row row;
	struct invite invite;
	struct msg_user *made;
};

static int
write_grants(struct creation *w, struct db *db, struct hw_err *err)
{
	const struct msg_create_user_request *req = w->req;
	int r = 0;

	if (req->admin)
		r = attachment_add(db, POLICY_ADMINISTRATOR, HOLDER_USER, w->row.name, err);
	for (size_t i = 0; r == 0 && i < req->groups.n; i++)
		r = member_add(db, req->groups.v[i], w->row.name, err);
	if (r == 0 && (req->admin || req->groups.n > 0))
		store_changed(db, STORE_GRANTS, "");
	return r;
}

static int
write_user(void *arg, struct db *db, struct hw_err *err)
{
	struct creation *w = arg;
	int r;

	if ((r = user_insert(db, &w->row, err)) < 0 ||
		(r = taglist_add(w->op, db, TAGS_USER, w->row.name, w->req->tags.v, w->req->tags.n,
			 err)) < 0 ||
		(r = invite_put(db, w->row.name, w->invite.hash, w->invite.expires, err)) < 0 ||
		(r = write_grants(w, db, err)) < 0)
		return r;
	store_changed(db, STORE_USER, w->row.name);
	return describe_user(w->made, w->op, db, &w->row);
}

int
op_create_user(struct op *op, const struct msg_create_user_request *req,
	struct msg_create_user_reply *rep)
{
	struct creation w = {
		.op = op,
		.req = req,
		.row = {.type = req->type, .created = op->now},
		.made = arena_alloc(op->arena, sizeof(*w.made)),
	};
	int r;

	if (!id_is_user(req->user_name))
		return op_fail(op, HW_EVALIDATION,
			"UserName: 1 to 64 letters, digits and _ . @ + = - are allowed");
	snprintf(w.row.name, sizeof(w.row.name), "%s", req->user_name);
	if (w.made == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a user");
	if ((r = taglist_check(op, req->tags.v, req->tags.n)) < 0 ||
		(r = invite_make(&w.invite, op, req->expires_seconds)) < 0 ||
		(r = store_write(op->env->store, write_user, &w, &op->err)) < 0)
		return r;
	rep->user = w.made;
	rep->invite = w.invite.text;
	rep->expires = w.invite.expires;
	return 0;
}

struct removal {
	struct op *op;
	const char *name;
};

static int
remove_user(void *arg, struct db *db, struct hw_err *err)
{
	const struct removal *w = arg;
	int r;

	if ((r = user_delete(db, w->name, w->op->now, err)) < 0 ||
		(r = admins_check(db, HOLDER_USER, w->name, err)) < 0)
		return r;
	store_changed(db, STORE_USER, w->name);
	return 0;
}

int
op_delete_user(struct op *op, const struct msg_delete_user_request *req, struct msg_empty *rep)
{
	struct removal w = {op, req->user_name};

	(void)rep;
	if (is_caller(op, req->user_name))
		return op_fail(op, HW_EVALIDATION,
			"you cannot remove yourself; another administrator can");
	return store_write(op->env->store, remove_user, &w, &op->err);
}

/* --- changing --------------------------------------------------------------------------------- */

static int
write_status(void *arg, struct db *db, struct hw_err *err)
{
	const struct msg_update_user_request *req = arg;
	bool disabled = req->status == USER_STATUS_DISABLED;
	int r;

	if ((r = user_set_disabled(db, req->user_name, disabled, err)) < 0 ||
		(disabled && (r = admins_check(db, HOLDER_USER, req->user_name, err)) < 0))
		return r;
	store_changed(db, STORE_USER, req->user_name); /* its links and sessions end with that */
	return 0;
}

int
op_update_user(struct op *op, const struct msg_update_user_request *req, struct msg_empty *rep)
{
	struct msg_update_user_request job = *req;

	(void)rep;
	if (req->status != USER_STATUS_ACTIVE && req->status != USER_STATUS_DISABLED)
		return op_fail(op, HW_EVALIDATION, "Status: Active or Disabled");
	if (req->status == USER_STATUS_DISABLED && is_caller(op, req->user_name))
		return op_fail(op, HW_EVALIDATION,
			"you cannot disable yourself; another administrator can");
	return store_write(op->env->store, write_status, &job, &op->err);
}

struct tagging {
	struct op *op;
	const char *name;
	const struct msg_tag *tags;
	size_t n;
	const struct msg_strs *keys;
};

static int
add_tags(void *arg, struct db *db, struct hw_err *err)
{
	const struct tagging *w = arg;
	struct user_row row;
	int r;

	if ((r = user_get(db, w->name, &row, err)) < 0 ||
		(r = taglist_add(w->op, db, TAGS_USER, w->name, w->tags, w->n, err)) < 0)
		return r;
	store_changed(db, STORE_USER, w->name);
	return 0;
}

int
op_tag_user(struct op *op, const struct msg_tag_user_request *req, struct msg_empty *rep)
{
	struct tagging w = {
		.op = op, .name = req->user_name, .tags = req->tags.v, .n = req->tags.n};
	int r = taglist_check(op, req->tags.v, req->tags.n);

	(void)rep;
	return r < 0 ? r : store_write(op->env->store, add_tags, &w, &op->err);
}

static int
remove_tags(void *arg, struct db *db, struct hw_err *err)
{
	const struct tagging *w = arg;
	struct user_row row;
	int r = user_get(db, w->name, &row, err);

	for (size_t i = 0; r == 0 && i < w->keys->n; i++)
		r = tag_unset(db, TAGS_USER, w->name, w->keys->v[i], err);
	if (r == 0)
		store_changed(db, STORE_USER, w->name);
	return r;
}

int
op_untag_user(struct op *op, const struct msg_untag_user_request *req, struct msg_empty *rep)
{
	struct tagging w = {.op = op, .name = req->user_name, .keys = &req->tag_keys};

	(void)rep;
	return store_write(op->env->store, remove_tags, &w, &op->err);
}

/* --- showing ---------------------------------------------------------------------------------- */

struct showing {
	struct op *op;
	const char *name;
	struct msg_user *user;
};

static int
read_user(void *arg, struct db *db, struct hw_err *err)
{
	struct showing *w = arg;
	struct user_row row;
	int r = user_get(db, w->name, &row, err);

	return r < 0 ? r : describe_user(w->user, w->op, db, &row);
}

int
op_get_user(struct op *op, const struct msg_get_user_request *req, struct msg_get_user_reply *rep)
{
	struct showing w = {op, req->user_name, arena_alloc(op->arena, sizeof(*w.user))};

	if (w.user == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a user");
	rep->user = w.user;
	return store_read(op->env->store, read_user, &w, &op->err);
}

struct listing {
	struct op *op;
	struct msg_list_users_reply *rep;
	struct page page;
	struct page_key from;
};

/* 1: the caller may see it; 0: not, and then it costs the page nothing. */
static int
see_user(struct msg_user *ret, struct listing *w, struct db *db, const struct user_row *row)
{
	struct arena_mark mark = arena_mark(w->op->arena);
	struct tagset *tags;
	int r;

	if ((r = describe_user_head(ret, w->op, db, row)) < 0)
		return r;
	if ((tags = tagset_new(ret->tags.v, ret->tags.n)) == NULL)
		return op_fail(w->op, HW_ENOMEM, "no memory for tags");
	bool seen = op_may_see(w->op, ret->arn, tagset_tags(tags));
	tagset_unref(tags);
	if (seen)
		return 1;
	arena_release(w->op->arena, &mark);
	return 0;
}

static int
read_users(void *arg, struct db *db, struct hw_err *err)
{
	struct listing *w = arg;
	struct msg_user user;
	struct user_row row;
	struct query q;

	int r = user_list(&q, db, w->from.text, err);
	while (r == 0 && (r = user_next(&q, &row, err)) > 0) {
		if ((r = see_user(&user, w, db, &row)) > 0) {
			if (!page_has_room(&w->page)) {
				r = page_token(&w->rep->next_token, w->op, &w->from);
				break;
			}
			r = describe_user_grants(&user, w->op, db);
			w->rep->users.v[w->page.items++] = user;
		}
		snprintf(w->from.text, sizeof(w->from.text), "%s", row.name);
	}
	query_end(&q);
	w->rep->users.n = w->page.items;
	return r;
}

int
op_list_users(struct op *op, const struct msg_list_users_request *req,
	struct msg_list_users_reply *rep)
{
	struct listing w = {.op = op, .rep = rep};
	int r;

	if ((r = page_read(&w.from, op, req->next_token)) < 0)
		return r;
	rep->users.v = arena_array(op->arena, LIST_LIMIT, sizeof(*rep->users.v));
	if (rep->users.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for users");
	page_begin(&w.page, op, req->max_results, LIST_LIMIT);
	return store_read(op->env->store, read_users, &w, &op->err);
}
