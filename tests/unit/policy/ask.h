/* Asking a policy, in few words. */
#ifndef HAWSER_TESTS_ASK_H
#define HAWSER_TESTS_ASK_H

#include "relay/policy/policy.h"

#define ARN "arn:aws:ssm:eu:1:"

/* A document of one statement with the Version 2012-10-17; `members` are the statement's. */
#define ONE(members) "{\"Version\":\"2012-10-17\",\"Statement\":{" members "}}"

#define ALLOW_ALL "\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\""
#define DENY_ALL  "\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\""

/* Parses what must be well-formed. The caller frees it. */
struct policy *ask_parse(const char *text);

/* The sentence with which a text is refused, until the next call. */
const char *ask_refusal(const char *text);
const char *ask_refusal_n(const char *text, size_t n);

enum policy_verdict ask_verdict(const char *text, const struct policy_request *what);
bool ask_may_ever(const char *text, const struct policy_request *what);
bool ask_allows(const char *text, const char *action, const char *resource);

/* Whether an Allow with this Condition applies: `block` as {"StringEquals":{...}}. */
bool ask_holds(const char *block, const struct policy_request *what);

/* A request for ssm:StartSession on a node, with these keys. */
#define ASK_KEYS(...)                                                        \
	(&(const struct policy_request){.action = "ssm:StartSession",        \
		.resource = ARN "managed-instance/mi-01",                    \
		.keys = (const struct policy_key[]){__VA_ARGS__},            \
		.n_keys = sizeof((const struct policy_key[]){__VA_ARGS__}) / \
			sizeof(struct policy_key)})
#define ASK_NOTHING                      \
	(&(const struct policy_request){ \
		.action = "ssm:StartSession", .resource = ARN "managed-instance/mi-01"})
#define KEY(name, ...)                                                              \
	{                                                                           \
		name, (const char *const[]){__VA_ARGS__},                           \
			sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *) \
	}
#define EMPTY_KEY(name)       \
	{                     \
		name, NULL, 0 \
	}
#define TAGS(...)                                                              \
	(&(const struct policy_tags){(const struct policy_tag[]){__VA_ARGS__}, \
		sizeof((const struct policy_tag[]){__VA_ARGS__}) / sizeof(struct policy_tag)})

#endif
