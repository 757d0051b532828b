#include "relay/policy/condition.h"

#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/enc.h"
#include "relay/policy/policy.h"

#define NO_MEMORY "there is no memory for it"

/* What a row's two functions need to know besides their argument. */
enum relation { LESS, LESS_EQUAL, EQUAL, GREATER_EQUAL, GREATER };

struct operator_row {
	const char *name;
	const char *(*read)(struct condition_value *ret, const struct condition *c, struct arena *a,
		bool variables);
	/* Whether the request's value stands in the operator's relation to one of the document's.
	 * NULL: the operator is about the key being there. */
	bool (*match)(const struct condition *c, const char *have,
		const struct policy_request *what);
	bool negated;
	unsigned flags; /* of patterns */
	enum relation relation;
	bool names; /* it can name a value */
};

/* --- text ------------------------------------------------------------------------------------- */

static const char *
read_text(struct condition_value *ret, const struct condition *c, struct arena *a, bool variables)
{
	unsigned flags = c->op->flags | (variables ? PATTERN_VARIABLES : 0u);

	return pattern_compile(&ret->pattern, a, ret->text, strlen(ret->text), flags);
}

static bool
match_text(const struct condition *c, const char *have, const struct policy_request *what)
{
	size_t n = strlen(have);
	struct pattern_bound bound;

	for (size_t i = 0; i < c->n_values; i++) {
		const struct pattern *p = &c->values[i].pattern;
		if (pattern_bind(&bound, p, what) && pattern_match(p, &bound, have, n))
			return true;
	}
	return false;
}

/* --- ARNs ------------------------------------------------------------------------------------- */

/* The end of the segment that begins at p: its colon, or the end of the text for the last one. */
static const char *
segment_end(const char *p, const char *end, size_t segment, bool variables)
{
	if (segment == ARN_SEGMENTS - 1)
		return end;
	while (p < end && *p != ':') {
		size_t span = variables ? pattern_variable_span(p, (size_t)(end - p)) : 0;
		p += span > 0 ? span : 1;
	}
	return p;
}

const char *
condition_arn_wrong(const char *text, size_t n, bool variables)
{
	const char *p = text, *end = text + n;

	if (n == 1 && *text == '*')
		return NULL;
	if (n < 4 || memcmp(text, "arn:", 4) != 0)
		return "an ARN begins with arn:, or is * alone";
	for (size_t i = 0; i < ARN_SEGMENTS - 1; i++) {
		p = segment_end(p, end, i, variables);
		if (p == end)
			return "an ARN has six parts: arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE";
		p++;
	}
	return p == end ? "an ARN ends in the name of a resource" : NULL;
}

static const char *
read_arn(struct condition_value *ret, const struct condition *c, struct arena *a, bool variables)
{
	struct pattern *made = arena_array(a, ARN_SEGMENTS, sizeof(*made));
	unsigned flags = c->op->flags | (variables ? PATTERN_VARIABLES : 0u);
	const char *p = ret->text, *end = p + strlen(p);
	const char *wrong = condition_arn_wrong(p, (size_t)(end - p), variables);

	if (wrong != NULL || made == NULL)
		return wrong != NULL ? wrong : NO_MEMORY;
	bool any = strcmp(ret->text, "*") == 0;
	for (size_t i = 0; i < ARN_SEGMENTS; i++) {
		const char *stop = any ? end : segment_end(p, end, i, variables);
		wrong = pattern_compile(&made[i], a, p, (size_t)(stop - p), flags);
		if (wrong != NULL)
			return wrong;
		p = any ? p : stop + 1;
	}
	ret->arn = made;
	return NULL;
}

static bool
match_segments(const struct pattern *arn, const char *have, const struct policy_request *what)
{
	const char *p = have, *end = p + strlen(p);
	struct pattern_bound bound;

	for (size_t i = 0; i < ARN_SEGMENTS; i++) {
		const char *stop = segment_end(p, end, i, false);
		if (i < ARN_SEGMENTS - 1 && stop == end)
			return false;
		if (!pattern_bind(&bound, &arn[i], what) ||
			!pattern_match(&arn[i], &bound, p, (size_t)(stop - p)))
			return false;
		p = stop + 1;
	}
	return true;
}

static bool
match_arn(const struct condition *c, const char *have, const struct policy_request *what)
{
	for (size_t i = 0; i < c->n_values; i++)
		if (match_segments(c->values[i].arn, have, what))
			return true;
	return false;
}

/* --- numbers, dates and the rest -------------------------------------------------------------- */

static bool
related(const struct value_decimal *have, enum relation relation, const struct value_decimal *want)
{
	int order = value_compare(have, want);

	switch (relation) {
	case LESS:
		return order < 0;
	case LESS_EQUAL:
		return order <= 0;
	case EQUAL:
		return order == 0;
	case GREATER_EQUAL:
		return order >= 0;
	case GREATER:
		return order > 0;
	}
	return false;
}

static bool
related_to_any(const struct condition *c, const struct value_decimal *have)
{
	for (size_t i = 0; i < c->n_values; i++)
		if (related(have, c->op->relation, &c->values[i].decimal))
			return true;
	return false;
}

static const char *
read_number(struct condition_value *ret, const struct condition *c, struct arena *a, bool variables)
{
	(void)c, (void)a, (void)variables;
	return value_decimal(&ret->decimal, ret->text)
		? NULL
		: "a number has up to 18 digits and, with a point, up to 9 more";
}

static bool
match_number(const struct condition *c, const char *have, const struct policy_request *what)
{
	struct value_decimal number;

	(void)what;
	return value_decimal(&number, have) && related_to_any(c, &number);
}

static const char *
read_date(struct condition_value *ret, const struct condition *c, struct arena *a, bool variables)
{
	(void)c, (void)a, (void)variables;
	return value_date(&ret->decimal, ret->text)
		? NULL
		: "a date is like 2026-01-31, 2026-01-31T08:15:00Z or seconds since 1970";
}

static bool
match_date(const struct condition *c, const char *have, const struct policy_request *what)
{
	struct value_decimal date;

	(void)what;
	return value_date(&date, have) && related_to_any(c, &date);
}

static const char *
read_truth(struct condition_value *ret, const struct condition *c, struct arena *a, bool variables)
{
	(void)c, (void)a, (void)variables;
	return value_bool(&ret->truth, ret->text) ? NULL : "it must be true or false";
}

static bool
match_truth(const struct condition *c, const char *have, const struct policy_request *what)
{
	bool truth;

	(void)what;
	if (!value_bool(&truth, have))
		return false;
	for (size_t i = 0; i < c->n_values; i++)
		if (c->values[i].truth == truth)
			return true;
	return false;
}

static const char *
read_net(struct condition_value *ret, const struct condition *c, struct arena *a, bool variables)
{
	(void)c, (void)a, (void)variables;
	return value_net(&ret->net, ret->text)
		? NULL
		: "a network is an address of IPv4 or IPv6, and may have a prefix as in 10.0.0.0/8";
}

static bool
match_net(const struct condition *c, const char *have, const struct policy_request *what)
{
	struct value_net address;

	(void)what;
	if (!value_address(&address, have))
		return false;
	for (size_t i = 0; i < c->n_values; i++)
		if (value_net_has(&c->values[i].net, &address))
			return true;
	return false;
}

static const char *
read_bytes(struct condition_value *ret, const struct condition *c, struct arena *a, bool variables)
{
	size_t len = strlen(ret->text);
	void *bytes = arena_alloc(a, len + 1);

	(void)c, (void)variables;
	if (bytes == NULL)
		return NO_MEMORY;
	ret->bytes.p = bytes;
	return base64_decode(bytes, &ret->bytes.n, ret->text, len) == 0
		? NULL
		: "bytes are written in base64";
}

static bool
match_bytes(const struct condition *c, const char *have, const struct policy_request *what)
{
	size_t n = strlen(have);

	(void)what;
	for (size_t i = 0; i < c->n_values; i++)
		if (c->values[i].bytes.n == n && memcmp(have, c->values[i].bytes.p, n) == 0)
			return true;
	return false;
}

/* --- the operators ---------------------------------------------------------------------------- */

/* clang-format off */
#define TEXT(name, negated, flags, names) \
	{name, read_text, match_text, negated, flags, EQUAL, names}
#define ARN(name, negated) \
	{name, read_arn, match_arn, negated, PATTERN_WILDCARDS, EQUAL, false}
#define NUMBER(name, negated, relation) \
	{name, read_number, match_number, negated, 0, relation, false}
#define DATE(name, negated, relation) \
	{name, read_date, match_date, negated, 0, relation, false}
#define OTHER(name, kind, negated) \
	{name, read_##kind, match_##kind, negated, 0, EQUAL, false}

static const struct operator_row operators[] = {
	TEXT("StringEquals", false, 0, true),
	TEXT("StringNotEquals", true, 0, false),
	TEXT("StringEqualsIgnoreCase", false, PATTERN_FOLD, false),
	TEXT("StringNotEqualsIgnoreCase", true, PATTERN_FOLD, false),
	TEXT("StringLike", false, PATTERN_WILDCARDS, true),
	TEXT("StringNotLike", true, PATTERN_WILDCARDS, false),
	ARN("ArnEquals", false),
	ARN("ArnNotEquals", true),
	ARN("ArnLike", false),
	ARN("ArnNotLike", true),
	NUMBER("NumericEquals", false, EQUAL),
	NUMBER("NumericNotEquals", true, EQUAL),
	NUMBER("NumericLessThan", false, LESS),
	NUMBER("NumericLessThanEquals", false, LESS_EQUAL),
	NUMBER("NumericGreaterThan", false, GREATER),
	NUMBER("NumericGreaterThanEquals", false, GREATER_EQUAL),
	DATE("DateEquals", false, EQUAL),
	DATE("DateNotEquals", true, EQUAL),
	DATE("DateLessThan", false, LESS),
	DATE("DateLessThanEquals", false, LESS_EQUAL),
	DATE("DateGreaterThan", false, GREATER),
	DATE("DateGreaterThanEquals", false, GREATER_EQUAL),
	OTHER("Bool", truth, false),
	OTHER("IpAddress", net, false),
	OTHER("NotIpAddress", net, true),
	OTHER("BinaryEquals", bytes, false),
	{"Null", read_truth, NULL, false, 0, EQUAL, false},
};
/* clang-format on */

static const struct operator_row *
find_operator(const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
		if (strlen(operators[i].name) == n && memcmp(operators[i].name, name, n) == 0)
			return &operators[i];
	return NULL;
}

static bool
skip_prefix(const char **name, const char *prefix)
{
	size_t n = strlen(prefix);

	if (strncmp(*name, prefix, n) != 0)
		return false;
	*name += n;
	return true;
}

bool
condition_operator(struct condition *c, const char *name)
{
	static const char suffix[] = "IfExists";
	enum condition_set set = CONDITION_PLAIN;

	if (skip_prefix(&name, "ForAllValues:"))
		set = CONDITION_ALL;
	else if (skip_prefix(&name, "ForAnyValue:"))
		set = CONDITION_ANY;
	size_t n = strlen(name), end = sizeof(suffix) - 1;
	bool if_exists = n > end && strcmp(name + n - end, suffix) == 0;
	const struct operator_row *op = find_operator(name, if_exists ? n - end : n);
	if (op == NULL || (op->match == NULL && (if_exists || set != CONDITION_PLAIN)))
		return false;
	c->op = op;
	c->set = set;
	c->if_exists = if_exists;
	return true;
}

static void
note_variables(struct condition *c, const struct condition_value *v)
{
	bool arn = c->op->read == read_arn;
	const struct pattern *patterns = arn ? v->arn : &v->pattern;

	if (!arn && c->op->read != read_text)
		return;
	for (size_t i = 0; i < (arn ? ARN_SEGMENTS : 1); i++) {
		c->variables |= patterns[i].variables > 0;
		c->of_resource |= patterns[i].of_resource;
	}
}

const char *
condition_add(struct condition *c, struct arena *a, const char *text, bool variables)
{
	struct condition_value *v = &c->values[c->n_values];
	const char *wrong;

	v->text = arena_strdup(a, text);
	if (v->text == NULL)
		return NO_MEMORY;
	if ((wrong = c->op->read(v, c, a, variables)) != NULL)
		return wrong;
	note_variables(c, v);
	c->n_values++;
	return NULL;
}

/* --- deciding --------------------------------------------------------------------------------- */

static bool
value_binds(const struct condition *c, const struct condition_value *v,
	const struct policy_request *what)
{
	struct pattern_bound bound;

	if (c->op->read == read_text)
		return pattern_bind(&bound, &v->pattern, what);
	for (size_t i = 0; i < ARN_SEGMENTS; i++)
		if (!pattern_bind(&bound, &v->arn[i], what))
			return false;
	return true;
}

/* A variable that stands for nothing makes the whole statement fail, negated or not, and whatever
 * the other values are. */
static bool
binds(const struct condition *c, const struct policy_request *what)
{
	for (size_t i = 0; c->variables && i < c->n_values; i++)
		if (!value_binds(c, &c->values[i], what))
			return false;
	return true;
}

static bool
wants_absence(const struct condition *c, bool absent)
{
	for (size_t i = 0; i < c->n_values; i++)
		if (c->values[i].truth == absent)
			return true;
	return false;
}

static bool
holds_without_key(const struct condition *c)
{
	if (c->if_exists || c->set == CONDITION_ALL)
		return true;
	return c->set == CONDITION_PLAIN && c->op->negated;
}

static bool
holds_for(const struct condition *c, const struct context_values *have,
	const struct policy_request *what)
{
	/* Plain: some value matches, or, negated, none does. ForAllValues looks for one that does
	 * not meet the operator; ForAnyValue for one that does. */
	bool sought = c->set == CONDITION_PLAIN || (c->set == CONDITION_ANY) != c->op->negated;
	bool found = false;

	for (size_t i = 0; i < have->n && !found; i++)
		found = c->op->match(c, have->v[i], what) == sought;
	if (c->set == CONDITION_PLAIN)
		return found != c->op->negated;
	return found == (c->set == CONDITION_ANY);
}

bool
condition_holds(const struct condition *c, const struct policy_request *what)
{
	struct context_values have;
	bool there = context_find(&have, &c->key, what);

	if (c->op->match == NULL)
		return wants_absence(c, !there);
	if (!binds(c, what))
		return false;
	return there ? holds_for(c, &have, what) : holds_without_key(c);
}

static bool
stands_literally(const struct condition *c, const char *value)
{
	for (size_t i = 0; i < c->n_values; i++)
		if (c->values[i].pattern.plain &&
			pattern_match(&c->values[i].pattern, NULL, value, strlen(value)))
			return true;
	return false;
}

bool
condition_names(const struct condition *c, const struct policy_request *what)
{
	struct context_values have;

	if (!c->op->names || c->if_exists || c->set != CONDITION_PLAIN ||
		strcmp(c->key.name, what->named_key) != 0 || !context_find(&have, &c->key, what) ||
		have.n != 1)
		return false;
	return !what->literal || stands_literally(c, have.v[0]);
}
