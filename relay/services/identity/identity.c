/* Who the caller is, and its next certificate. */
#include <string.h>

#include "audit/journal.h"
#include "relay/core/authorise.h"
#include "relay/core/broker.h"
#include "relay/core/config.h"
#include "relay/core/op.h"
#include "relay/core/registry.h"
#include "relay/services/issue.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"
#include "relay/store/users.h"

/* Operations that a policy lets the caller do on something, at least. */
static int
list_actions(struct msg_strs *ret, struct op *op)
{
	struct verdict v;

	ret->v = arena_array(op->arena, OP_COUNT, sizeof(*ret->v));
	if (ret->v == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for the reply");
	for (size_t i = 0; i < OP_COUNT; i++) {
		if (op_rows[i].door != DOOR_USER)
			continue;
		authorise_list(&v, op->asker, op_rows[i].action);
		if (v.allow)
			ret->v[ret->n++] = op_rows[i].name;
	}
	return 0;
}

static int
list_grants(struct msg_get_caller_identity_reply *rep, struct op *op)
{
	const struct principal *who = op->asker->who;
	const char **policies = arena_array(op->arena, who->n_policies + 1, sizeof(*policies));
	const char **groups = arena_array(op->arena, who->n_groups + 1, sizeof(*groups));

	if (policies == NULL || groups == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for the reply");
	for (size_t i = 0; i < who->n_policies; i++)
		policies[i] = who->policies[i].name;
	for (size_t i = 0; i < who->n_groups; i++)
		groups[i] = who->groups[i];
	rep->policies = (struct msg_strs){policies, who->n_policies};
	rep->groups = (struct msg_strs){groups, who->n_groups};
	return list_actions(&rep->actions, op);
}

/* How many there are in all is for who may see each of them. */
static bool
sees_all(struct op *op, const char *action)
{
	struct scope scope;
	struct verdict v = {.allow = true};

	if (op->asker == NULL)
		return true;
	scope_init(&scope, op->arena);
	if (scope_add(&scope, "*") == NULL)
		return false;
	authorise(&v, op->asker, action, &scope);
	scope_fini(&scope);
	return v.allow;
}

static void
count_fleet(struct msg_get_caller_identity_reply *rep, struct op *op)
{
	if (sees_all(op, op_rows[OP_describe_instance_information].action)) {
		rep->nodes = (int64_t)registry_nodes(op->env->registry);
		rep->nodes_online = broker_nodes_online(op->env->broker);
	}
	if (sees_all(op, op_rows[OP_describe_sessions].action))
		rep->sessions = broker_sessions(op->env->broker);
}

/* NULL: all is recorded and kept. */
static const char *
find_alarm(struct op *op)
{
	struct journal *j = op->env->journal;
	char why[JOURNAL_WHY_MAX];

	if (store_failed(op->env->store))
		return "nothing can be begun or changed: " STORE_FAILED;
	if (j == NULL || (!journal_failed(j) && !journal_low(j)))
		return NULL;
	journal_why(j, why);
	return arena_printf(op->arena, "nothing can be recorded: %.200s", why);
}

int
op_get_caller_identity(struct op *op, const struct msg_empty *req,
	struct msg_get_caller_identity_reply *rep)
{
	const struct op_env *env = op->env;

	(void)req;
	rep->arn = op->arn;
	rep->fleet = ca_fleet(env->ca);
	rep->relay = env->config->name;
	rep->relay_version = HAWSER_VERSION;
	rep->expires = op->who.not_after;
	if (op->who.role != ROLE_USER)
		return 0; /* how large the fleet is concerns no node */
	rep->user_name = op->who.id;
	rep->source = op->source;
	count_fleet(rep, op);
	rep->alarm = find_alarm(op);
	return op->asker != NULL ? list_grants(rep, op) : 0;
}

struct renewal {
	struct op *op;
	const struct msg_renew_certificate_request *req;
	struct issued issued;
};

static int
renew_node(void *arg, struct db *db, struct hw_err *err)
{
	struct renewal *w = arg;
	const char *id = w->op->who.id, *asker = w->op->who.serial;
	struct node_row node;
	int r;

	r = node_get(db, id, &node, err);
	if (r == HW_ENODE)
		return hw_err_set(err, HW_EREVOKED, "the node %s was removed", id);
	if (r == 0 && strcmp(asker, node.serial) != 0 && strcmp(asker, node.serial_before) != 0)
		return hw_err_set(err, HW_EREVOKED, "%s has renewed its certificate elsewhere", id);
	if (r < 0 || (r = issue_node(&w->issued, w->op, &w->req->csr, id)) < 0 ||
		(r = node_set_serial(db, id, asker, w->issued.serial, ca_number(w->op->env->ca),
			 err)) < 0)
		return r;
	store_changed(db, STORE_NODE, id);
	return 0;
}

static int
renew_user(void *arg, struct db *db, struct hw_err *err)
{
	struct renewal *w = arg;
	const struct cert_identity *who = &w->op->who;
	struct user_row user;

	int r = user_get(db, who->id, &user, err);
	if (r == HW_ENOTFOUND || (r == 0 && who->not_before < user.valid_from))
		return hw_err_set(err, HW_EREVOKED, "the user %s was removed", who->id);
	if (r == 0 && user.disabled)
		return hw_err_set(err, HW_EREVOKED, "the user %s is disabled", who->id);
	if (r < 0)
		return r;
	return issue_user(&w->issued, w->op, &w->req->csr, who->id, user.valid_from);
}

int
op_renew_certificate(struct op *op, const struct msg_renew_certificate_request *req,
	struct msg_renew_certificate_reply *rep)
{
	struct renewal w = {.op = op, .req = req};
	int r;

	if (op->who.role == ROLE_NODE)
		r = store_write(op->env->store, renew_node, &w, &op->err);
	else
		r = store_read(op->env->store, renew_user, &w, &op->err);
	if (r < 0)
		return r;
	rep->certificate = w.issued.certificate;
	rep->ca = w.issued.ca;
	rep->expires = w.issued.expires;
	return 0;
}
