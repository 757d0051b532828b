/* What is attached to whom. */
#include <string.h>

#include "relay/core/op.h"
#include "relay/policy/managed.h"
#include "relay/services/text.h"
#include "relay/services/admins.h"
#include "relay/store/policies.h"
#include "relay/store/store.h"

struct attaching {
	const char *policy;
	enum holder_kind kind;
	const char *holder;
};

static int
parse(struct attaching *ret, struct op *op, const struct msg_attach_policy_request *req)
{
	const char *user = text_or_absent(req->user_name), *group = text_or_absent(req->group_name);

	if ((user == NULL) == (group == NULL))
		return op_fail(op, HW_EVALIDATION, "one of UserName and GroupName is needed");
	ret->policy = req->policy_name;
	ret->kind = user != NULL ? HOLDER_USER : HOLDER_GROUP;
	ret->holder = user != NULL ? user : group;
	return 0;
}

static int
check_policy(struct db *db, const char *name, struct hw_err *err)
{
	return managed_policy_find(name) != NULL ? 0 : policy_check(db, name, err);
}

static int
attach(void *arg, struct db *db, struct hw_err *err)
{
	const struct attaching *w = arg;
	int r;

	if ((r = check_policy(db, w->policy, err)) < 0 ||
		(r = attachment_add(db, w->policy, w->kind, w->holder, err)) < 0)
		return r;
	store_changed(db, STORE_GRANTS, "");
	return 0;
}

int
op_attach_policy(struct op *op, const struct msg_attach_policy_request *req, struct msg_empty *rep)
{
	struct attaching w;
	int r = parse(&w, op, req);

	(void)rep;
	return r < 0 ? r : store_write(op->env->store, attach, &w, &op->err);
}

/* What names a policy that is gone can still be detached: one was built in, once. */
static int
detach(void *arg, struct db *db, struct hw_err *err)
{
	const struct attaching *w = arg;
	int r = attachment_remove(db, w->policy, w->kind, w->holder, err);

	if (r == HW_ENOTFOUND && check_policy(db, w->policy, NULL) == HW_ENOTFOUND)
		return check_policy(db, w->policy, err);
	if (r < 0)
		return r;
	if (strcmp(w->policy, POLICY_ADMINISTRATOR) == 0 &&
		(r = admins_check(db, w->kind, w->holder, err)) < 0)
		return r;
	store_changed(db, STORE_GRANTS, "");
	return 0;
}

int
op_detach_policy(struct op *op, const struct msg_attach_policy_request *req, struct msg_empty *rep)
{
	struct attaching w;
	int r = parse(&w, op, req);

	(void)rep;
	return r < 0 ? r : store_write(op->env->store, detach, &w, &op->err);
}
