#include <stdio.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/base/id.h"
#include "relay/core/access_key.h"
#include "relay/core/op.h"
#include "relay/services/text.h"
#include "relay/store/store.h"
#include "relay/store/users.h"

#define ID_PREFIX    "HWAK"
#define ID_DIGITS    16
#define ID_LEN	     (sizeof(ID_PREFIX) - 1 + ID_DIGITS)
#define SECRET_BYTES 30

_Static_assert(BASE64_LEN(SECRET_BYTES) == ACCESS_KEY_SECRET_LEN, "the secret's length");

/* --- making ----------------------------------------------------------------------------------- */

static void
make_id(char out[ID_LEN + 1])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	uint8_t bytes[ID_DIGITS];

	random_bytes(bytes, sizeof(bytes));
	memcpy(out, ID_PREFIX, sizeof(ID_PREFIX) - 1);
	for (size_t i = 0; i < ID_DIGITS; i++)
		out[sizeof(ID_PREFIX) - 1 + i] = digits[bytes[i] % 32];
	out[ID_LEN] = '\0';
}

static void
make_secret(char out[ACCESS_KEY_SECRET_LEN + 1])
{
	uint8_t bytes[SECRET_BYTES];

	random_bytes(bytes, sizeof(bytes));
	base64_encode(out, bytes, sizeof(bytes));
	explicit_bzero(bytes, sizeof(bytes));
}

static int
write_key(void *arg, struct db *db, struct hw_err *err)
{
	return key_insert(db, arg, err);
}

int
op_create_access_key(struct op *op, const struct msg_create_access_key_request *req,
	struct msg_create_access_key_reply *rep)
{
	struct key_row row = {.status = KEY_STATUS_ACTIVE, .created = op->now};
	char *secret = arena_alloc(op->arena, ACCESS_KEY_SECRET_LEN + 1);
	int r;

	if (!id_is_user(req->user_name))
		return op_fail(op, HW_ENOTFOUND, "there is no user with that name");
	snprintf(row.user, sizeof(row.user), "%s", req->user_name);
	make_id(row.id);
	if (secret == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for an access key");
	make_secret(secret);
	if ((r = access_key_seal(&row, op->env, secret, &op->err)) < 0 ||
		(r = store_write(op->env->store, write_key, &row, &op->err)) < 0 ||
		(r = text_keep(&rep->access_key_id, op, row.id)) < 0) {
		explicit_bzero(secret, ACCESS_KEY_SECRET_LEN);
		return r;
	}
	rep->user_name = req->user_name;
	rep->secret_access_key = secret;
	rep->status = row.status;
	rep->created = row.created;
	return 0;
}

/* --- listing ---------------------------------------------------------------------------------- */

struct listing {
	struct op *op;
	const char *user;
	struct msg_list_access_keys_reply *rep;
};

static int
describe(struct msg_access_key *ret, struct op *op, const struct key_row *row)
{
	int r;

	if ((r = text_keep(&ret->user_name, op, row->user)) < 0 ||
		(r = text_keep(&ret->access_key_id, op, row->id)) < 0)
		return r;
	ret->status = row->status;
	ret->created = row->created;
	ret->last_used = row->last_used;
	return 0;
}

static int
read_keys(void *arg, struct db *db, struct hw_err *err)
{
	struct listing *w = arg;
	struct user_row user;
	struct key_row row;
	struct query q;
	size_t n = 0;

	int r = user_get(db, w->user, &user, err);
	if (r < 0)
		return r;
	r = key_list(&q, db, w->user, err);
	while (r == 0 && n < KEYS_OF_A_USER_MAX && (r = key_next(&q, &row, err)) > 0)
		r = describe(&w->rep->keys.v[n++], w->op, &row);
	query_end(&q);
	w->rep->keys.n = n;
	return r;
}

int
op_list_access_keys(struct op *op, const struct msg_list_access_keys_request *req,
	struct msg_list_access_keys_reply *rep)
{
	struct listing w = {op, req->user_name, rep};

	rep->keys.v = arena_array(op->arena, KEYS_OF_A_USER_MAX, sizeof(*rep->keys.v));
	if (rep->keys.v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for access keys");
	return store_read(op->env->store, read_keys, &w, &op->err);
}

/* --- changing --------------------------------------------------------------------------------- */

struct change {
	const char *user, *id;
	int status;
};

/* The caller may change keys of that user; whose the key is decides whether it is one. */
static int
check_owner(struct db *db, const struct change *w, struct hw_err *err)
{
	struct key_row row;
	int r = key_get(db, w->id, &row, err);

	if (r < 0 || strcmp(row.user, w->user) == 0)
		return r;
	return hw_err_set(err, HW_ENOTFOUND, "no access key %s", w->id);
}

static int
write_status(void *arg, struct db *db, struct hw_err *err)
{
	const struct change *w = arg;
	int r = check_owner(db, w, err);

	return r < 0 ? r : key_set_status(db, w->id, w->status, err);
}

int
op_update_access_key(struct op *op, const struct msg_update_access_key_request *req,
	struct msg_empty *rep)
{
	struct change w = {req->user_name, req->access_key_id, req->status};

	(void)rep;
	if (req->status != KEY_STATUS_ACTIVE && req->status != KEY_STATUS_INACTIVE)
		return op_fail(op, HW_EVALIDATION, "Status: Active or Inactive");
	return store_write(op->env->store, write_status, &w, &op->err);
}

static int
remove_key(void *arg, struct db *db, struct hw_err *err)
{
	const struct change *w = arg;
	int r = check_owner(db, w, err);

	return r < 0 ? r : key_delete(db, w->id, err);
}

int
op_delete_access_key(struct op *op, const struct msg_delete_access_key_request *req,
	struct msg_empty *rep)
{
	struct change w = {.user = req->user_name, .id = req->access_key_id};

	(void)rep;
	return store_write(op->env->store, remove_key, &w, &op->err);
}
