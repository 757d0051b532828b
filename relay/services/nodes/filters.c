#include "relay/services/nodes/filters.h"

#include <string.h>

#include "proto/base/id.h"
#include "relay/core/op.h"
#include "relay/services/text.h"

#define ANY_PING (~0u)

/* One filter of either form. */
struct given {
	const char *key;
	const struct msg_strs *values;
};

typedef int parse_fn(struct filters *f, struct op *op, const struct given *g);

static int
bad_value(struct op *op, const struct given *g, const char *value)
{
	return op_fail(op, HW_EFILTERVALUE, "%s: \"%.100s\" is not a value of it", g->key, value);
}

static void
add_sql(struct filters *f, enum node_field field, const char *key, const struct msg_strs *values)
{
	f->sql[f->n_sql++] = (struct node_filter){.field = field,
		.key = key,
		.values = (const char *const *)values->v,
		.n = values->n};
}

/* --- keys whose values the store compares ----------------------------------------------------- */

/* "i-" ids are well formed, and no node of ours. */
static bool
is_instance_id(const char *s)
{
	size_t n = strlen(s);

	return id_is_node(s) || (strncmp(s, "i-", 2) == 0 && (n == 10 || n == 19));
}

static int
parse_ids(struct filters *f, struct op *op, const struct given *g)
{
	for (size_t i = 0; i < g->values->n; i++) {
		if (!is_instance_id(g->values->v[i]))
			return bad_value(op, g, g->values->v[i]);
	}
	add_sql(f, NODE_ID, NULL, g->values);
	return 0;
}

static int
parse_agent_version(struct filters *f, struct op *op, const struct given *g)
{
	(void)op;
	add_sql(f, NODE_AGENT_VERSION, NULL, g->values);
	return 0;
}

static int
parse_activations(struct filters *f, struct op *op, const struct given *g)
{
	for (size_t i = 0; i < g->values->n; i++) {
		if (!id_is_uuid(g->values->v[i]))
			return bad_value(op, g, g->values->v[i]);
	}
	add_sql(f, NODE_ACTIVATION_ID, NULL, g->values);
	return 0;
}

static int
parse_iam_role(struct filters *f, struct op *op, const struct given *g)
{
	(void)op;
	add_sql(f, NODE_IAM_ROLE, NULL, g->values);
	return 0;
}

static int
parse_platform_name(struct filters *f, struct op *op, const struct given *g)
{
	(void)op;
	add_sql(f, NODE_PLATFORM_NAME, NULL, g->values);
	return 0;
}

static int
parse_tag_key(struct filters *f, struct op *op, const struct given *g)
{
	(void)op;
	add_sql(f, NODE_TAG_KEY, NULL, g->values);
	return 0;
}

/* Databases disagree about patterns: names with a * are compared here. */
static int
parse_name(struct filters *f, struct op *op, const struct given *g)
{
	bool glob = false;

	(void)op;
	for (size_t i = 0; i < g->values->n; i++)
		glob |= strchr(g->values->v[i], '*') != NULL;
	if (glob)
		f->globs[f->n_globs++] =
			(struct name_globs){(const char *const *)g->values->v, g->values->n};
	else
		add_sql(f, NODE_NAME, NULL, g->values);
	return 0;
}

/* What they hold is looked up with the nodes. */
static int
parse_groups(struct filters *f, struct op *op, const struct given *g)
{
	if (f->groups != NULL)
		return op_fail(op, HW_EFILTERKEY, "%s: once, with all names", g->key);
	f->groups = g->values;
	return 0;
}

/* --- keys whose value is the same for all nodes ----------------------------------------------- */

/* Every value must be one of the table; the nodes pass when `ours` is among them. */
static int
parse_constant(struct filters *f, struct op *op, const struct given *g, const struct enum_row *row,
	int ours)
{
	bool found = false;

	for (size_t i = 0; i < g->values->n; i++) {
		int value = enum_value(row, g->values->v[i]);
		if (value == 0)
			return bad_value(op, g, g->values->v[i]);
		found |= value == ours;
	}
	f->nothing |= !found;
	return 0;
}

static int
parse_platform_type(struct filters *f, struct op *op, const struct given *g)
{
	return parse_constant(f, op, g, &enum_PLATFORM_TYPE, PLATFORM_TYPE_LINUX);
}

static int
parse_resource_type(struct filters *f, struct op *op, const struct given *g)
{
	return parse_constant(f, op, g, &enum_RESOURCE_TYPE, RESOURCE_TYPE_MANAGED_INSTANCE);
}

/* No node has an association, or a source outside of here. */
static int
parse_never(struct filters *f, struct op *op, const struct given *g)
{
	(void)op;
	(void)g;
	f->nothing = true;
	return 0;
}

static int
parse_source_types(struct filters *f, struct op *op, const struct given *g)
{
	static const char *const types[] = {
		"AWS::EC2::Instance", "AWS::IoT::Thing", "AWS::SSM::ManagedInstance"};

	for (size_t i = 0; i < g->values->n; i++) {
		bool known = false;
		for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
			known |= strcmp(types[t], g->values->v[i]) == 0;
		if (!known)
			return bad_value(op, g, g->values->v[i]);
	}
	return parse_never(f, op, g);
}

static int
parse_ping(struct filters *f, struct op *op, const struct given *g)
{
	unsigned pings = 0;

	for (size_t i = 0; i < g->values->n; i++) {
		int value = enum_value(&enum_PING_STATUS, g->values->v[i]);
		if (value == 0)
			return bad_value(op, g, g->values->v[i]);
		pings |= 1u << value;
	}
	f->pings &= pings;
	return 0;
}

/* --- the table -------------------------------------------------------------------------------- */

static const struct {
	const char *key;
	parse_fn *parse;
	bool both; /* in the older form too */
} keys[] = {
	{"InstanceIds",		parse_ids,	   true },
	{"AgentVersion",	 parse_agent_version, true },
	{"PingStatus",	       parse_ping,	   true },
	{"PlatformTypes",	  parse_platform_type, true },
	{"ActivationIds",	  parse_activations,   true },
	{"IamRole",		    parse_iam_role,	    true },
	{"ResourceType",	 parse_resource_type, true },
	{"AssociationStatus",    parse_never,	   true },
	{"SourceIds",	      parse_never,	   false},
	{"SourceTypes",		parse_source_types,  false},
	{"tag-key",		    parse_tag_key,	   false},
	{"Name",		 parse_name,	     false},
	{"PlatformName",	 parse_platform_name, false},
	{"resource-groups:Name", parse_groups,	       false},
};

static int
parse_one(struct filters *f, struct op *op, const struct given *g, bool older)
{
	if (g->values->n == 0)
		return op_fail(op, HW_EFILTERVALUE, "%s: no values", g->key);
	if (!older && strncmp(g->key, "tag:", 4) == 0 && g->key[4] != '\0') {
		add_sql(f, NODE_TAG, g->key + 4, g->values);
		return 0;
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(keys[i].key, g->key) == 0 && (keys[i].both || !older))
			return keys[i].parse(f, op, g);
	}
	return op_fail(op, HW_EFILTERKEY, "no filter is named \"%s\"", g->key);
}

int
filters_parse(struct filters *ret, struct op *op,
	const struct msg_describe_instance_information_request *req)
{
	size_t n = req->filters.n + req->instance_information_filter_list.n;
	struct filters f = {.pings = ANY_PING};
	int r = 0;

	if (req->filters.n > 0 && req->instance_information_filter_list.n > 0)
		return op_fail(op, HW_EVALIDATION,
			"Filters and InstanceInformationFilterList exclude each other");
	f.sql = arena_array(op->arena, n, sizeof(*f.sql));
	f.globs = arena_array(op->arena, n, sizeof(*f.globs));
	if (f.sql == NULL || f.globs == NULL)
		return op_fail(op, HW_ENOMEM, "no memory for filters");
	for (size_t i = 0; r == 0 && i < req->filters.n; i++) {
		struct given g = {req->filters.v[i].key, &req->filters.v[i].values};
		r = parse_one(&f, op, &g, false);
	}
	for (size_t i = 0; r == 0 && i < req->instance_information_filter_list.n; i++) {
		const struct msg_instance_filter *given =
			&req->instance_information_filter_list.v[i];
		struct given g = {given->key, &given->value_set};
		r = parse_one(&f, op, &g, true);
	}
	if (r == 0)
		*ret = f;
	return r;
}

bool
filters_pass(const struct filters *f, const struct node_row *row, int ping_status)
{
	if (!(f->pings & 1u << ping_status))
		return false;
	for (size_t i = 0; i < f->n_globs; i++) {
		bool any = false;
		for (size_t p = 0; p < f->globs[i].n; p++)
			any |= text_matches(f->globs[i].patterns[p], row->name);
		if (!any)
			return false;
	}
	return true;
}
