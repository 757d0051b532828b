/*
 * Texts with wildcards and variables, compiled. Matching takes time in the product of the two
 * lengths at worst, whatever the pattern; what a variable stands for is never a wildcard.
 *
 * A pattern that ends in ${aws:username}-* or ${aws:userid}-*: its last * matches no '-'. Ids of
 * sessions are NAME-17hex, and ann must not own ann-x-0123456789abcdef0.
 */
#ifndef HAWSER_POLICY_PATTERN_H
#define HAWSER_POLICY_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct context_key;
struct policy_request;

#define PATTERN_VARIABLES_MAX 16 /* of one text */

enum pattern_flags {
	PATTERN_WILDCARDS = 1, /* * and ? */
	PATTERN_VARIABLES = 2, /* ${...} */
	PATTERN_FOLD = 4,      /* the case of ASCII letters makes no difference */
};

enum pattern_kind {
	PATTERN_LITERAL,
	PATTERN_ONE,	 /* ? */
	PATTERN_ANY,	 /* * */
	PATTERN_NO_DASH, /* * that matches no '-': the last item */
	PATTERN_VARIABLE,
};

struct pattern_item {
	enum pattern_kind kind;
	const char *text; /* a literal's; a variable's default, or NULL */
	size_t len;
	const struct context_key *key; /* a variable's */
	size_t variable;	       /* its number in the pattern, from 0 */
};

struct pattern {
	const struct pattern_item *items;
	size_t n, variables;
	size_t least; /* bytes that what matches has at least */
	unsigned flags;
	bool plain;	  /* neither wildcards nor variables */
	bool of_resource; /* a variable stands for a property of the resource */
};

/* What a pattern's variables stand for in one request. */
struct pattern_bound {
	struct {
		const char *text;
		size_t len;
	} v[PATTERN_VARIABLES_MAX];
};

/* NULL, or what is wrong with the text, as an end of a sentence. Memory comes from the arena; the
 * text is not kept. */
const char *pattern_compile(struct pattern *ret, struct arena *a, const char *text, size_t n,
	unsigned flags);

/* False when a variable stands for nothing: its key is not there, or has not one value, and it has
 * no default. */
bool pattern_bind(struct pattern_bound *ret, const struct pattern *p,
	const struct policy_request *what);

/* `bound` is not read when the pattern has no variables. */
bool pattern_match(const struct pattern *p, const struct pattern_bound *bound, const char *text,
	size_t n);

/* It is * alone. */
bool pattern_is_any(const struct pattern *p);

/* How many bytes from `text` on make a variable, the braces included; 0: none begins there, or it
 * is not closed. */
size_t pattern_variable_span(const char *text, size_t n);

#endif
