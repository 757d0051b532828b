/*
 * IAM policies: parsed once, decided often. Pure: no clock, no store, no relay; what a decision
 * depends on is in its arguments, and equal arguments give equal decisions on any thread.
 *
 * The language is that of AWS IAM, Version 2012-10-17: an explicit Deny wins over any Allow, and
 * what nothing allows is denied. docs/policies.md says what of it there is, and where it differs.
 */
#ifndef HAWSER_POLICY_POLICY_H
#define HAWSER_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

#define POLICY_TEXT_MAX 65536 /* bytes of a document */

/* A parsed document. Immutable. */
struct policy;

/* HW_EMALFORMED: "line 3, column 12: ..." and what is wrong there, in printable ASCII. HW_ENOMEM.
 * The text need not end in NUL and is not kept. */
int policy_parse(struct policy **ret, const char *text, size_t n, struct hw_err *err);
void policy_free(struct policy *p); /* NULL is fine */

size_t policy_statements(const struct policy *p);
/* Its Sid, "" without one. The i'th from 0. */
const char *policy_sid(const struct policy *p, size_t i);
bool policy_statement_allows(const struct policy *p, size_t i); /* its Effect is Allow */

/* --- what is asked ---------------------------------------------------------------------------- */

/* A condition key's values. `key` is in lower case (of ASCII letters, here and below), as
 * "aws:sourceip". None at all (n = 0) is a key
 * that is there and empty, which multi-valued keys can be. */
struct policy_key {
	const char *key;
	const char *const *values;
	size_t n;
};

/* Tags of something: sorted by `key`, which is in lower case; values as they are. Condition keys
 * "ssm:resourceTag/KEY" are not case-sensitive, KEY included. No two have the same key. */
struct policy_tag {
	const char *key, *value;
};
struct policy_tags {
	const struct policy_tag *v;
	size_t n;
};

struct policy_request {
	const char *action;   /* "ssm:StartSession" */
	const char *resource; /* an ARN, or "*" */
	const char *alias;    /* another name of the same resource, or NULL: a statement that names
				 either names it */
	const struct policy_key *keys;
	size_t n_keys;
	const struct policy_tags *resource_tags;  /* ssm:resourceTag/K, aws:ResourceTag/K */
	const struct policy_tags *principal_tags; /* aws:PrincipalTag/K */
	const struct policy_tags *request_tags;	  /* aws:RequestTag/K; NULL each: no tags */
	/* A value of hawser:RunAs (or of another key) that an Allow must have named to allow it:
	 * only a statement counts whose Condition has named_key under StringEquals or StringLike
	 * (IfExists and set qualifiers don't count), and which holds. For a value that is
	 * `literal`, the pattern that matched it must be the value itself, without wildcards and
	 * variables. The key must have one value. NULL: nothing need be named. Deny is not
	 * affected. */
	const char *named_key; /* in lower case */
	bool literal;
};

/* --- the decision ----------------------------------------------------------------------------- */

struct policy_attachment {
	const struct policy *policy;
	const char *name; /* of the policy, for whoever reads the decision */
};

enum policy_verdict { POLICY_IMPLICIT_DENY, POLICY_EXPLICIT_DENY, POLICY_ALLOW };

struct policy_decision {
	enum policy_verdict verdict;
	/* The first statement that made it; without meaning for an implicit deny. */
	size_t attachment, statement;
};

void policy_decide(struct policy_decision *ret, const struct policy_attachment *set, size_t n,
	const struct policy_request *what);

/* Whether some resource may exist on which the action is allowed: as policy_decide(), but an
 * Allow's Resource and its conditions on properties of the resource (its tags, and a session's
 * hawser:SessionOwner) are taken to hold, and a Deny counts only when it needs neither. Whatever
 * policy_decide() allows may ever be allowed. For lists, which are then decided item by item. */
bool policy_may_ever(const struct policy_attachment *set, size_t n,
	const struct policy_request *what);

/* Why a statement did not apply. */
enum policy_miss {
	POLICY_APPLIES,
	POLICY_MISS_ACTION,
	POLICY_MISS_RESOURCE,
	POLICY_MISS_CONDITION,
	POLICY_MISS_NAMED, /* named_key: it does not name the value */
};
/* *key is the condition key that failed, as the document writes it, else NULL; *wants one of the
 * values that the document has for it, else NULL. Both live as long as the policy. */
enum policy_miss policy_explain(const struct policy *p, size_t statement,
	const struct policy_request *what, const char **key, const char **wants);

/* An action's name that a document may have: service:Name with wildcards, or "*". */
bool policy_action_valid(const char *action);

#endif
