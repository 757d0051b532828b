/* One line of a Condition: an operator, a key, and the values that the document has for it. */
#ifndef HAWSER_POLICY_CONDITION_H
#define HAWSER_POLICY_CONDITION_H

#include "relay/policy/context.h"
#include "relay/policy/pattern.h"
#include "relay/policy/value.h"

struct operator_row;

enum condition_set {
	CONDITION_PLAIN,
	CONDITION_ALL, /* ForAllValues: */
	CONDITION_ANY, /* ForAnyValue: */
};

#define ARN_SEGMENTS 6

struct condition_value {
	const char *text; /* as the document writes it */
	union {
		struct pattern pattern;
		const struct pattern *arn; /* ARN_SEGMENTS of them */
		struct value_decimal decimal;
		struct value_net net;
		bool truth;
		struct {
			const void *p;
			size_t n;
		} bytes;
	};
};

struct condition {
	const struct operator_row *op;
	enum condition_set set;
	bool if_exists;
	const char *key_text; /* as the document writes it */
	struct context_key key;
	struct condition_value *values; /* one at least */
	size_t n_values;
	bool variables;	  /* some value has some */
	bool of_resource; /* it depends on a property of the resource */
};

/* Sets op, set and if_exists. False when there is no such operator. */
bool condition_operator(struct condition *c, const char *name);

/* Reads values[n_values] and counts it. NULL, or what is wrong, as an end of a sentence. The text
 * is the document's value and not kept; variables: `${...}` are more than text. */
const char *condition_add(struct condition *c, struct arena *a, const char *text, bool variables);

bool condition_holds(const struct condition *c, const struct policy_request *what);

/* Whether it names the key's value, as policy_request's named_key wants it. */
bool condition_names(const struct condition *c, const struct policy_request *what);

/* NULL, or what is wrong with a pattern that shall name a resource: it is * or has the six parts of
 * an ARN. */
const char *condition_arn_wrong(const char *text, size_t n, bool variables);

#endif
