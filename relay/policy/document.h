/* A policy document as it is kept: read once from JSON, then only looked at. */
#ifndef HAWSER_POLICY_DOCUMENT_H
#define HAWSER_POLICY_DOCUMENT_H

#include "relay/policy/condition.h"

struct hw_err;
struct policy;

#define DOCUMENT_DEPTH_MAX	8 /* braces and brackets in each other; a policy needs 7 */
#define DOCUMENT_STATEMENTS_MAX 200
#define DOCUMENT_VALUES_MAX	4000 /* actions, resources and values of conditions in all */
#define DOCUMENT_SID_MAX	128  /* bytes */
#define DOCUMENT_ACTION_MAX	128  /* bytes */

/* What an Action or a Resource says. */
struct pattern_list {
	struct pattern *v;
	size_t n;
	bool negated;	/* NotAction, NotResource */
	bool any;	/* one of them is * alone */
	bool variables; /* some of them has some */
	bool of_resource;
};

struct statement {
	const char *sid; /* "" without one */
	bool allow;
	struct pattern_list actions, resources;
	struct condition *conditions; /* all must hold */
	size_t n_conditions;
};

struct policy {
	struct arena *arena; /* holds all that is below */
	struct statement *statements;
	size_t n;
};

/* As policy_parse(), but for an empty policy that owns an arena. */
int document_read(struct policy *p, const char *text, size_t n, struct hw_err *err);

bool document_action_valid(const char *action);

#endif
