/* A user redeems an invite for a certificate. */
#include "proto/base/id.h"
#include "proto/trust/secret.h"
#include "relay/core/arn.h"
#include "relay/core/op.h"
#include "relay/services/issue.h"
#include "relay/store/store.h"
#include "relay/store/users.h"

struct login {
	struct op *op;
	const struct msg_login_request *req;
	char hash[2 * SHA256_LEN + 1];
	char user[65];
	struct issued issued;
};

static int
check_invite(void *arg, struct db *db, struct hw_err *err)
{
	struct login *w = arg;

	return invite_check(db, w->hash, w->op->now, err);
}

/* What fails leaves the invite as it was. */
static int
write_login(void *arg, struct db *db, struct hw_err *err)
{
	struct login *w = arg;
	struct user_row user;
	int r;

	if ((r = invite_redeem(db, w->hash, w->op->now, w->user, err)) < 0 ||
		(r = user_get(db, w->user, &user, err)) < 0 ||
		(r = issue_user(&w->issued, w->op, &w->req->csr, w->user, user.valid_from)) < 0)
		return r;
	return user_set_login(db, w->user, w->op->now, err);
}

int
op_login(struct op *op, const struct msg_login_request *req, struct msg_login_reply *rep)
{
	struct login w = {.op = op, .req = req};
	char arn[ARN_MAX];
	int r;

	token_hash(w.hash, req->invite);
	if ((r = store_read(op->env->store, check_invite, &w, &op->err)) < 0 ||
		(r = op_begin(op)) < 0 ||
		(r = store_write(op->env->store, write_login, &w, &op->err)) < 0)
		return r;
	arn_write_user(arn, op->env->config, w.user);
	if ((r = issue_note(op, ENTRY_USER_LOGIN, arn, NULL)) < 0)
		return r;
	rep->user_name = arena_strdup(op->arena, w.user);
	if (rep->user_name == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for the reply");
	rep->certificate = w.issued.certificate;
	rep->ca = w.issued.ca;
	rep->fleet = ca_fleet(op->env->ca);
	rep->expires = w.issued.expires;
	return 0;
}
