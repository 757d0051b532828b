#include "relay/core/op_scope.h"

#include <string.h>
#include <strings.h>

#include "proto/base/id.h"
#include "relay/core/arn.h"
#include "relay/core/config.h"
#include "relay/core/document_load.h"
#include "relay/core/session_plan.h"
#include "relay/core/tagset.h"
#include "relay/policy/managed.h"
#include "relay/store/sessions.h"
#include "relay/store/store.h"
#include "relay/store/tags.h"

#define TARGET_GROUPS "resource-groups:Name" /* the key of a target or filter */
#define ATTACH_POLICY "iam:AttachPolicy"

typedef int scope_fn(struct scope *s, struct op *op, const void *request);

static int
no_memory(struct op *op)
{
	return op_fail(op, HW_ENOMEM, "no memory for what the request is about");
}

static int
done(struct op *op, const struct scope_target *t)
{
	return t != NULL ? 0 : no_memory(op);
}

const char *
op_request_text(const struct op *op, const void *request, const char *member)
{
	const struct msg_row *row = op->row->request();

	for (size_t i = 0; i < row->count; i++)
		if (strcmp(row->fields[i].member, member) == 0) {
			const char *const *at =
				(const void *)((const char *)request + row->fields[i].offset);
			return *at != NULL ? *at : "";
		}
	hw_assert(!"operations.def names a member that the request has not");
	return "";
}

/* --- things by their ids ---------------------------------------------------------------------- */

static int
add_any(struct scope *s, struct op *op, const char *id)
{
	(void)id;
	return done(op, scope_add(s, "*"));
}

static int
add_node(struct scope *s, struct op *op, const char *id)
{
	struct scope_target *t = scope_add(s, arn_node(op, id));

	if (t != NULL)
		scope_node_tags(t, op->env->registry, id);
	return done(op, t);
}

struct session_look {
	struct arena *arena;
	const char *id;
	const char *node; /* NULL: there is no such session */
};

static int
look_for_session(void *arg, struct db *db, struct hw_err *err)
{
	struct session_look *look = arg;
	struct session_row *row;

	int r = session_get(db, look->arena, look->id, &row, err);
	look->node = r == 0 ? row->node_id : NULL;
	return r == HW_ENOSESSION ? 0 : r;
}

/* An id says whose session it is, also of one that there is not. */
static const char *
owner_of(struct op *op, const char *id)
{
	return id_is_session(id) ? arena_strndup(op->arena, id, strlen(id) - ID_SESSION_TAIL)
				 : NULL;
}

static int
add_session(struct scope *s, struct op *op, const char *id)
{
	struct session_look look = {.arena = op->arena, .id = id};

	int r = store_read(op->env->store, look_for_session, &look, &op->err);
	if (r < 0)
		return r;
	struct scope_target *t = scope_add(s, arn_session(op, id));
	if (t == NULL)
		return no_memory(op);
	t->owner = owner_of(op, id);
	if (look.node != NULL)
		scope_node_tags(t, op->env->registry, look.node);
	return 0;
}

static int
add_activation(struct scope *s, struct op *op, const char *id)
{
	return done(op, scope_add(s, arn_activation(op, id)));
}

/* Tags are for policies: of nobody's, at the local door, none are asked. */
static int
add_user(struct scope *s, struct op *op, const char *name)
{
	struct scope_target *t = scope_add(s, arn_user(op, name));
	const struct principal *user =
		op->asker != NULL ? principals_user(op->asker->principals, name) : NULL;

	if (t != NULL && user != NULL)
		t->tags = &user->tags;
	return done(op, t);
}

static int
add_group(struct scope *s, struct op *op, const char *name)
{
	return done(op, scope_add(s, arn_group(op, name)));
}

static int
add_resource_group(struct scope *s, struct op *op, const char *name)
{
	return done(op, scope_add(s, arn_resource_group(op, name)));
}

static int
add_policy(struct scope *s, struct op *op, const char *name)
{
	return done(op, scope_add(s, arn_policy(op, name)));
}

struct document_look {
	struct arena *arena;
	const char *name;
	struct msg_tag *tags;
	size_t n;
};

/* One that there is not has none, and a built-in one neither. */
static int
look_for_document(void *arg, struct db *db, struct hw_err *err)
{
	struct document_look *look = arg;

	return tag_list(db, look->arena, TAGS_DOCUMENT, look->name, &look->tags, &look->n, err);
}

/* AWS's own documents belong to no account; policies are written either way. */
static int
add_alias(struct scope_target *t, struct op *op, const char *name)
{
	char text[ARN_MAX];

	if (!arn_of_system(name))
		return 0;
	arn_write_document(text, op->env->config, name, "");
	t->alias = arena_strdup(op->arena, text);
	return t->alias != NULL ? 0 : no_memory(op);
}

static int
add_document(struct scope *s, struct op *op, const char *text)
{
	const char *name = document_name(op, text);
	struct document_look look = {.arena = op->arena, .name = name};
	int r = store_read(op->env->store, look_for_document, &look, &op->err);

	if (r < 0)
		return r;
	struct scope_target *t = scope_add(s, arn_document(op, name));
	if (t == NULL || (t->held = tagset_new(look.tags, look.n)) == NULL)
		return no_memory(op);
	t->tags = tagset_tags(t->held);
	return add_alias(t, op, name);
}

typedef int add_fn(struct scope *s, struct op *op, const char *id);

static add_fn *const add_resource[] = {
	[RESOURCE_ANY] = add_any,
	[RESOURCE_LISTED] = add_any,
	[RESOURCE_INSTANCE] = add_node,
	[RESOURCE_TAGGED] = add_node, /* its type says otherwise: of_tagged() */
	[RESOURCE_SESSION] = add_session,
	[RESOURCE_ACTIVATION] = add_activation,
	[RESOURCE_USER] = add_user,
	[RESOURCE_GROUP] = add_group,
	[RESOURCE_POLICY] = add_policy,
	[RESOURCE_DOCUMENT] = add_document,
	[RESOURCE_RESOURCE_GROUP] = add_resource_group,
};

static int
of_row(struct scope *s, struct op *op, const void *request)
{
	const struct op_row *row = op->row;
	bool of_one = strcmp(row->field, "none") != 0;

	return add_resource[row->resource](s, op,
		of_one ? op_request_text(op, request, row->field) : "");
}

/* --- operations that are about more ------------------------------------------------------------
 */

/* A plan that failed is the handler's to report: who may not start anything there learns nothing of
 * documents. */
static int
of_start_session(struct scope *s, struct op *op, const void *request)
{
	const struct msg_start_session_request *req = request;
	struct session_scope *what = arena_alloc(op->arena, sizeof(*what));
	struct session_plan *plan = arena_alloc(op->arena, sizeof(*plan));

	if (what == NULL || plan == NULL)
		return no_memory(op);
	session_plan_read(plan, op, req->document_name, &req->parameters);
	op->plan = plan;
	*what = (struct session_scope){.node = req->target,
		.document =
			req->document_name != NULL ? document_name(op, req->document_name) : NULL,
		.run_as = req->run_as,
		.to = &plan->to};
	return scope_session(s, what, op->env) < 0 ? no_memory(op) : 0;
}

static int
request_tags(struct scope *s, struct op *op, const struct msg_tag *tags, size_t n)
{
	return scope_request_tags(s, tags, n) < 0 ? no_memory(op) : 0;
}

static int
with_tags(struct scope *s, struct op *op, const void *request, const struct msg_tag *tags, size_t n)
{
	int r = of_row(s, op, request);

	return r < 0 ? r : request_tags(s, op, tags, n);
}

/* Nodes and documents bear tags; other types are refused by the handler. */
static int
of_tagged(struct scope *s, struct op *op, int type, const char *id)
{
	return type == TAG_RESOURCE_DOCUMENT ? add_document(s, op, id) : add_node(s, op, id);
}

static int
of_add_tags(struct scope *s, struct op *op, const void *request)
{
	const struct msg_add_tags_to_resource_request *req = request;
	int r = of_tagged(s, op, req->resource_type, req->resource_id);

	return r < 0 ? r : request_tags(s, op, req->tags.v, req->tags.n);
}

static int
of_list_tags(struct scope *s, struct op *op, const void *request)
{
	const struct msg_list_tags_for_resource_request *req = request;

	return of_tagged(s, op, req->resource_type, req->resource_id);
}

/* A document that is made with tags is tagged: others' policies may say by them what it may. */
static int
of_create_document(struct scope *s, struct op *op, const void *request)
{
	const struct msg_create_document_request *req = request;
	int r = with_tags(s, op, req, req->tags.v, req->tags.n);

	if (r < 0 || req->tags.n == 0)
		return r;
	if ((r = add_document(s, op, req->name)) == 0)
		s->targets[s->n - 1].action = "ssm:AddTagsToResource";
	return r;
}

static int
of_create_activation(struct scope *s, struct op *op, const void *request)
{
	const struct msg_create_activation_request *req = request;

	return with_tags(s, op, req, req->tags.v, req->tags.n);
}

static int
of_tag_user(struct scope *s, struct op *op, const void *request)
{
	const struct msg_tag_user_request *req = request;

	return with_tags(s, op, req, req->tags.v, req->tags.n);
}

static int
with_tag_keys(struct scope *s, struct op *op, const void *request, const struct msg_strs *keys)
{
	scope_tag_keys(s, keys->v, keys->n);
	return of_row(s, op, request);
}

static int
of_remove_tags(struct scope *s, struct op *op, const void *request)
{
	const struct msg_remove_tags_from_resource_request *req = request;

	scope_tag_keys(s, req->tag_keys.v, req->tag_keys.n);
	return of_tagged(s, op, req->resource_type, req->resource_id);
}

static int
of_untag_user(struct scope *s, struct op *op, const void *request)
{
	const struct msg_untag_user_request *req = request;

	return with_tag_keys(s, op, req, &req->tag_keys);
}

/* The policy that is given, for those that may give some only. */
static int
policy_key(struct scope *s, struct op *op, const char *policy)
{
	const char **arn = arena_alloc(op->arena, sizeof(*arn));

	if (arn == NULL || (*arn = arn_policy(op, policy)) == NULL)
		return no_memory(op);
	scope_key(s, "iam:policyarn", arn);
	return 0;
}

/* Of the administrators' policy, as AttachPolicy is about both. */
static int
add_attachment(struct scope *s, struct op *op, const char *user)
{
	int r = policy_key(s, op, POLICY_ADMINISTRATOR);

	if (r == 0 && (r = add_policy(s, op, POLICY_ADMINISTRATOR)) == 0)
		s->targets[s->n - 1].action = ATTACH_POLICY;
	if (r == 0 && (r = add_user(s, op, user)) == 0)
		s->targets[s->n - 1].action = ATTACH_POLICY;
	return r;
}

/* Who may make users does not thereby make administrators: what a user is given from the start has
 * its own permission. */
static int
of_create_user(struct scope *s, struct op *op, const void *request)
{
	const struct msg_create_user_request *req = request;
	int r = with_tags(s, op, req, req->tags.v, req->tags.n);

	if (r == 0 && req->tags.n > 0) {
		r = add_user(s, op, req->user_name);
		if (r == 0)
			s->targets[s->n - 1].action = "iam:TagUser";
	}
	for (size_t i = 0; r == 0 && i < req->groups.n; i++) {
		r = add_group(s, op, req->groups.v[i]);
		if (r == 0)
			s->targets[s->n - 1].action = "iam:AddUserToGroup";
	}
	return r == 0 && req->admin ? add_attachment(s, op, req->user_name) : r;
}

/* The policy and whoever gets it, or loses it. */
static int
of_attachment(struct scope *s, struct op *op, const void *request)
{
	const struct msg_attach_policy_request *req = request;
	int r = policy_key(s, op, req->policy_name);

	if (r == 0)
		r = add_policy(s, op, req->policy_name);
	if (r == 0 && req->user_name != NULL)
		r = add_user(s, op, req->user_name);
	if (r == 0 && req->group_name != NULL)
		r = add_group(s, op, req->group_name);
	return r;
}

/* Who names a group by what is in it must be allowed to read that. */
static int
add_named_groups(struct scope *s, struct op *op, const struct msg_strs *names)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < names->n; i++)
		if ((r = add_resource_group(s, op, names->v[i])) == 0)
			s->targets[s->n - 1].action = "resource-groups:GetGroup";
	return r;
}

/* The relay writes there with a key of its own, for whoever may have it do so. */
static int
add_bucket(struct scope *s, struct op *op, const char *bucket, const char *prefix)
{
	struct scope_target *t = scope_add(s, arn_bucket(op, bucket, prefix));

	if (t == NULL)
		return no_memory(op);
	t->action = "s3:PutObject";
	return 0;
}

/* The document, each node that is named, each group, and the bucket. Nodes that Targets find are
 * decided one by one, as the command's own matter. */
static int
of_send_command(struct scope *s, struct op *op, const void *request)
{
	const struct msg_send_command_request *req = request;
	int r = add_document(s, op, req->document_name);

	for (size_t i = 0; r == 0 && i < req->instance_ids.n; i++)
		r = add_node(s, op, req->instance_ids.v[i]);
	for (size_t i = 0; r == 0 && i < req->targets.n; i++)
		if (strcasecmp(req->targets.v[i].key, TARGET_GROUPS) == 0)
			r = add_named_groups(s, op, &req->targets.v[i].values);
	if (r == 0 && req->output_s3_bucket_name != NULL && req->output_s3_bucket_name[0] != '\0')
		r = add_bucket(s, op, req->output_s3_bucket_name, req->output_s3_key_prefix);
	return r;
}

/* Beside the nodes, which are decided one by one. */
static int
of_describe_nodes(struct scope *s, struct op *op, const void *request)
{
	const struct msg_describe_instance_information_request *req = request;
	int r = add_any(s, op, "");

	for (size_t i = 0; r == 0 && i < req->filters.n; i++)
		if (strcmp(req->filters.v[i].key, TARGET_GROUPS) == 0)
			r = add_named_groups(s, op, &req->filters.v[i].values);
	return r;
}

static scope_fn *const of_op[OP_COUNT] = {
	[OP_send_command] = of_send_command,
	[OP_describe_instance_information] = of_describe_nodes,
	[OP_start_session] = of_start_session,
	[OP_add_tags_to_resource] = of_add_tags,
	[OP_remove_tags_from_resource] = of_remove_tags,
	[OP_list_tags_for_resource] = of_list_tags,
	[OP_create_document] = of_create_document,
	[OP_create_activation] = of_create_activation,
	[OP_create_user] = of_create_user,
	[OP_tag_user] = of_tag_user,
	[OP_untag_user] = of_untag_user,
	[OP_attach_policy] = of_attachment,
	[OP_detach_policy] = of_attachment,
};

int
op_scope(struct scope *ret, struct op *op, const void *request)
{
	scope_fn *own = of_op[op->row->id];

	return own != NULL ? own(ret, op, request) : of_row(ret, op, request);
}

/* --- by what a person says ---------------------------------------------------------------------
 */

static const struct {
	const char *prefix;
	add_fn *add;
} named[] = {
	{"node/",		  add_node	  },
	{"managed-instance/", add_node	      },
	{"session/",	     add_session	},
	{"document/",	      add_document	  },
	{"activation/",	add_activation    },
	{"user/",		  add_user	  },
	{"group/",		   add_group	    },
	{"resource-group/",   add_resource_group},
	{"policy/",	    add_policy	      },
};

/* A whole ARN of this fleet's is looked up as its last part would be, and keeps the name that it
 * was given by. */
static int
add_arn(struct scope *s, struct op *op, const char *arn)
{
	const char *part = arn;

	for (int i = 0; i < 5 && part != NULL; i++)
		part = strchr(part + (i > 0), ':');
	for (size_t i = 0; part != NULL && i < sizeof(named) / sizeof(named[0]); i++) {
		size_t n = strlen(named[i].prefix);
		if (strncmp(part + 1, named[i].prefix, n) != 0)
			continue;
		int r = named[i].add(s, op, part + 1 + n);
		if (r == 0)
			s->targets[s->n - 1].resource = arn;
		return r;
	}
	return done(op, scope_add(s, arn));
}

int
op_scope_named(struct scope *s, struct op *op, const char *text)
{
	if (strcmp(text, "*") == 0)
		return add_any(s, op, text);
	if (strncmp(text, "arn:", 4) == 0)
		return add_arn(s, op, text);
	if (id_is_node(text))
		return add_node(s, op, text);
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		size_t n = strlen(named[i].prefix);
		if (strncmp(text, named[i].prefix, n) == 0)
			return named[i].add(s, op, text + n);
	}
	return op_fail(op, HW_EVALIDATION,
		"\"%.100s\" names no resource: an ARN, *, a node's id, or node/, session/, document/, "
		"user/, group/, resource-group/ or policy/ with a name",
		text);
}
