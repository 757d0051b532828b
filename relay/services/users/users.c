/* Users: made with an invite, listed, removed. */
#include <stdio.h>
#include <string.h>

#include "proto/base/id.h"
#include "proto/trust/secret.h"
#include "relay/core/op.h"
#include "relay/services/page.h"
#include "relay/services/text.h"
#include "relay/store/store.h"
#include "relay/store/users.h"

#define INVITE_LIFE (86400 * USEC_PER_SEC)
#define LIST_LIMIT  1000

static const char *policy_administrator[] = {"administrator"};

/* --- what they look like ---------------------------------------------------------------------- */

static int
describe(struct msg_user *ret, struct op *op, const struct user_row *row)
{
	int r = text_keep(&ret->user_name, op, row->name);

	if (r < 0)
		return r;
	if ((ret->arn = arn_user(op, row->name)) == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a user");
	ret->status = row->last_login != 0 ? USER_STATUS_ACTIVE : USER_STATUS_INVITED;
	ret->policies = (struct msg_strs){policy_administrator, row->admin ? 1 : 0};
	ret->created = row->created;
	ret->last_login = row->last_login;
	return 0;
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
	struct user_row user;
	struct invite invite;
};

static int
write_invite(void *arg, struct db *db, struct hw_err *err)
{
	struct invitation *w = arg;

	return invite_put(db, w->user.name, w->invite.hash, w->invite.expires, err);
}

int
op_create_invite(struct op *op, const struct msg_create_invite_request *req,
	struct msg_create_invite_reply *rep)
{
	struct invitation w = {.user.admin = false};
	int r;

	snprintf(w.user.name, sizeof(w.user.name), "%s", req->user_name);
	if ((r = invite_make(&w.invite, op, req->expires_seconds)) < 0 ||
		(r = store_write(op->env->store, write_invite, &w, &op->err)) < 0)
		return r;
	rep->user_name = req->user_name;
	rep->invite = w.invite.text;
	rep->expires = w.invite.expires;
	return 0;
}

/* --- making and removing ---------------------------------------------------------------------- */

static int
write_user(void *arg, struct db *db, struct hw_err *err)
{
	struct invitation *w = arg;
	int r;

	if ((r = user_insert(db, &w->user, err)) < 0)
		return r;
	store_changed(db, STORE_USER, w->user.name);
	return write_invite(arg, db, err);
}

int
op_create_user(struct op *op, const struct msg_create_user_request *req,
	struct msg_create_user_reply *rep)
{
	struct invitation w = {
		.user = {.admin = req->admin, .created = op->now}
	 };
	int r;

	if (!id_is_user(req->user_name))
		return op_fail(op, HW_EVALIDATION,
			"UserName: 1 to 64 letters, digits and _ . @ + = - are allowed");
	snprintf(w.user.name, sizeof(w.user.name), "%s", req->user_name);
	rep->user = arena_alloc(op->arena, sizeof(*rep->user));
	if (rep->user == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for a user");
	if ((r = invite_make(&w.invite, op, req->expires_seconds)) < 0 ||
		(r = store_write(op->env->store, write_user, &w, &op->err)) < 0)
		return r;
	rep->invite = w.invite.text;
	rep->expires = w.invite.expires;
	return describe(rep->user, op, &w.user);
}

struct removal {
	struct op *op;
	const char *name;
};

static int
remove_user(void *arg, struct db *db, struct hw_err *err)
{
	const struct removal *w = arg;
	struct user_row user;
	int64_t admins = 0;
	int r;

	if ((r = user_get(db, w->name, &user, err)) < 0 ||
		(r = user_count_admins(db, &admins, err)) < 0)
		return r;
	if (user.admin && admins == 1)
		return hw_err_set(err, HW_EVALIDATION, "%s is the last administrator", w->name);
	if ((r = user_delete(db, w->name, w->op->now, err)) < 0)
		return r;
	store_changed(db, STORE_USER, w->name);
	return 0;
}

int
op_delete_user(struct op *op, const struct msg_delete_user_request *req, struct msg_empty *rep)
{
	struct removal w = {op, req->user_name};

	(void)rep;
	if (op->who.role == ROLE_USER && strcmp(op->who.id, req->user_name) == 0)
		return op_fail(op, HW_EVALIDATION,
			"you cannot remove yourself; another administrator can");
	return store_write(op->env->store, remove_user, &w, &op->err);
}

/* --- listing ---------------------------------------------------------------------------------- */

struct listing {
	struct op *op;
	struct msg_list_users_reply *rep;
	struct page page;
	struct page_key from;
};

static int
read_users(void *arg, struct db *db, struct hw_err *err)
{
	struct listing *w = arg;
	struct user_row row;
	struct query q;

	int r = user_list(&q, db, w->from.text, err);
	while (r == 0 && (r = user_next(&q, &row, err)) > 0) {
		if (!page_has_room(&w->page)) {
			r = page_token(&w->rep->next_token, w->op, &w->from);
			break;
		}
		r = describe(&w->rep->users.v[w->page.items++], w->op, &row);
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
