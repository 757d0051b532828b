/* Names of condition keys, and what a request has under them. */
#ifndef HAWSER_POLICY_CONTEXT_H
#define HAWSER_POLICY_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct policy_request;

#define CONTEXT_KEY_MAX 256 /* bytes of a name */

enum context_source {
	CONTEXT_KEYS,
	CONTEXT_RESOURCE_TAGS,
	CONTEXT_PRINCIPAL_TAGS,
	CONTEXT_REQUEST_TAGS,
};

struct context_key {
	const char *name; /* in lower case, as "aws:principaltag/team" */
	const char *tag;  /* the part of it that names a tag; `name` for CONTEXT_KEYS */
	enum context_source source;
	bool of_resource; /* its value is a property of the resource */
};

struct context_values {
	const char *const *v;
	size_t n;
};

/* prefix:rest, without control characters and what the syntax of variables needs. */
bool context_key_valid(const char *text, size_t n);

/* False only without memory, which comes from the arena. */
bool context_key_init(struct context_key *key, struct arena *a, const char *text, size_t n);

/* False when the request has no such key. */
bool context_find(struct context_values *ret, const struct context_key *key,
	const struct policy_request *what);

#endif
