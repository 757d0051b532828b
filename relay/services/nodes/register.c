/* A node joins: its activation is counted, its certificate made and its row written in one
 * transaction. */
#include <stdio.h>
#include <string.h>

#include "proto/base/id.h"
#include "proto/trust/secret.h"
#include "relay/core/arn.h"
#include "relay/core/op.h"
#include "relay/services/issue.h"
#include "relay/services/taglist.h"
#include "relay/services/text.h"
#include "relay/store/activations.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"

struct joining {
	struct op *op;
	const struct msg_register_managed_instance_request *req;
	char code_hash[2 * SHA256_LEN + 1];
	struct node_row node;
	struct issued issued;
};

/* What the node wishes, then what the activation says, then what the machine is called. */
static void
choose_name(struct node_row *node, const struct msg_register_managed_instance_request *req,
	const struct activation_row *activation)
{
	const char *const wanted[] = {
		req->name, activation->default_name, req->computer_name, node->id};

	for (size_t i = 0; node->name[0] == '\0'; i++)
		snprintf(node->name, sizeof(node->name), "%s", text_or_empty(wanted[i]));
}

/* The activation's tags win: they are what policies go by, without regard to the case of keys. Of
 * two of the node's own the first does. */
static int
write_tags(struct joining *w, struct db *db, const char *activation, struct hw_err *err)
{
	const struct msg_tag *own = w->req->tags.v;
	struct msg_tag *given;
	size_t n_given;
	int64_t n = 0;
	int r;

	if ((r = tag_list(db, w->op->arena, TAGS_ACTIVATION, activation, &given, &n_given, err)) <
		0)
		return r;
	for (size_t i = 0; i < n_given; i++) {
		if ((r = tag_set(db, TAGS_NODE, w->node.id, given[i].key, given[i].value, err)) < 0)
			return r;
	}
	for (size_t i = 0; i < w->req->tags.n; i++) {
		if (taglist_has(given, n_given, own[i].key) || taglist_has(own, i, own[i].key))
			continue;
		if ((r = tag_set(db, TAGS_NODE, w->node.id, own[i].key, own[i].value, err)) < 0)
			return r;
	}
	if ((r = tag_count(db, TAGS_NODE, w->node.id, &n, err)) < 0)
		return r;
	if (n > TAGS_MAX)
		return hw_err_set(err, HW_ETOOMANYTAGS,
			"the node would have %lld tags, with the activation's; %d are allowed",
			(long long)n, TAGS_MAX);
	return 0;
}

static int
check_activation(void *arg, struct db *db, struct hw_err *err)
{
	struct joining *w = arg;

	return activation_check(db, w->req->activation_id, w->code_hash, w->op->now, err);
}

static int
write_node(void *arg, struct db *db, struct hw_err *err)
{
	struct joining *w = arg;
	struct op *op = w->op;
	struct node_row *node = &w->node;
	struct activation_row activation;
	int r;

	if ((r = activation_redeem(db, w->req->activation_id, w->code_hash, op->now, &activation,
		     err)) < 0)
		return r;
	id_node(node->id);
	if ((r = issue_node(&w->issued, op, &w->req->csr, node->id)) < 0)
		return r;
	choose_name(node, w->req, &activation);
	memcpy(node->serial, w->issued.serial, sizeof(node->serial));
	node->authority = ca_number(op->env->ca);
	memcpy(node->activation_id, activation.id, sizeof(node->activation_id));
	memcpy(node->iam_role, activation.iam_role, sizeof(node->iam_role));
	snprintf(node->computer_name, sizeof(node->computer_name), "%s",
		text_or_empty(w->req->computer_name));
	node->registered = op->now;
	if ((r = node_insert(db, node, err)) < 0 || (r = write_tags(w, db, activation.id, err)) < 0)
		return r;
	store_changed(db, STORE_NODE, node->id);
	return 0;
}

static int
check_request(struct op *op, const struct msg_register_managed_instance_request *req)
{
	const struct text_field fields[] = {
		{"Name",	 req->name	  },
		{"ComputerName", req->computer_name},
		{NULL,	       NULL		   },
	};
	int r = text_check(op, fields);

	if (r < 0)
		return r;
	/* Wherever a name does, an id names a node too: nobody may pass for another. */
	if (id_is_node(text_or_empty(req->name)) || id_is_node(text_or_empty(req->computer_name)))
		return op_fail(op, HW_EVALIDATION, "Name: it is the id of a node");
	return text_check_tags(op, req->tags.v, req->tags.n);
}

int
op_register_managed_instance(struct op *op, const struct msg_register_managed_instance_request *req,
	struct msg_register_managed_instance_reply *rep)
{
	struct joining w = {.op = op, .req = req};
	char arn[ARN_MAX];
	int r;

	if ((r = check_request(op, req)) < 0)
		return r;
	token_hash(w.code_hash, req->activation_code);
	if ((r = store_read(op->env->store, check_activation, &w, &op->err)) < 0 ||
		(r = op_begin(op)) < 0 ||
		(r = store_write(op->env->store, write_node, &w, &op->err)) < 0)
		return r;
	arn_write_node(arn, op->env->config, w.node.id);
	if ((r = issue_note(op, ENTRY_NODE_JOIN, arn, w.node.name)) < 0)
		return r;
	rep->instance_id = arena_strdup(op->arena, w.node.id);
	rep->name = arena_strdup(op->arena, w.node.name);
	if (rep->instance_id == NULL || rep->name == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for the reply");
	rep->certificate = w.issued.certificate;
	rep->ca = w.issued.ca;
	rep->fleet = ca_fleet(op->env->ca);
	return 0;
}
