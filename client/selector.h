/*
 * Selectors: which nodes are meant. Pure: a selector is parsed once and matched against what the
 * relay says of a node.
 *
 *   web-01  web-*  web-[01-20,24]  mi-0123...     a name, a glob, a range, an id
 *   tag:K=V  tag:K!=V  tag:K  os:debian  status:online
 *   @web                                          what is saved under that name
 *   last:failed                                   where the last command failed
 *   Key=tag:Env,Values=prod,test                  as the AWS CLI writes it
 *
 * Commas within one are "and"; several selectors are "or".
 */
#ifndef HAWSER_CLIENT_SELECTOR_H
#define HAWSER_CLIENT_SELECTOR_H

#include <stdbool.h>

#include "proto/base/arena.h"
#include "proto/schema/schema.h"

enum term_kind {
	TERM_NAME, /* a name, glob or range */
	TERM_ID,
	TERM_TAG,
	TERM_OS,
	TERM_STATUS,
	TERM_LAST,  /* who asks the relay makes it a TERM_ID; as it is it matches nothing */
	TERM_GROUP, /* likewise */
};

struct term {
	enum term_kind kind;
	bool negated;
	const char *key; /* of a tag */
	const char *const *values;
	size_t n_values; /* one must match; none: the tag is there */
	bool sorted;	 /* the values are, as strcmp() has it */
};

struct selector {
	const char *text; /* as it was written */
	struct term *terms;
	size_t n;
};

/* HW_EUSAGE says what is wrong with it. Everything lives in the arena. */
int selector_parse(struct selector *ret, struct arena *a, const char *text, struct hw_err *err);

bool selector_match(const struct selector *s, const struct msg_instance_information *node);

/* The filters that the relay can apply itself so that it sends fewer nodes; matching is still
 * needed. There may be none. */
int selector_filters(struct msg_describe_instance_information_request *req, struct arena *a,
	const struct selector *s);

/* The grammar of names alone: '*', '?', '[01-20,24]' (well formed: selector_parse() checks it). */
bool selector_glob(const char *pattern, const char *name);

/* The same as targets of SendCommand, at most SELECTOR_TARGETS of them; false where some term could
 * mean something else there, or nothing. */
#define SELECTOR_TARGETS 5
bool selector_targets(struct msg_command_target targets[SELECTOR_TARGETS], size_t *n,
	struct arena *a, const struct selector *s);

/* What a node is called: its name, or its id while it has none. */
const char *node_name(const struct msg_instance_information *node);
const char *node_status(const struct msg_instance_information *node); /* online, away, inactive */

#endif
