/* What the files of this folder share: how a document lies in memory, and where in its tree an
 * error is. */
#ifndef HAWSER_DOCUMENT_DOCUMENT_PRIVATE_H
#define HAWSER_DOCUMENT_DOCUMENT_PRIVATE_H

#include "proto/base/err.h"
#include "proto/document/document.h"

#define TREE_DEPTH_MAX 32     /* lists and maps in each other */
#define TREE_NODES_MAX 20000  /* values and keys, aliases counted as what they stand for */
#define TREE_BYTES_MAX 131072 /* of their texts, likewise */

struct allowed_pattern;

/* What a parameter's value must keep; -1: no such bound. */
struct rules {
	struct allowed_pattern *pattern; /* or NULL */
	const json_t *allowed;		 /* a list of texts, numbers or booleans, or NULL */
	int64_t min_chars, max_chars, min_items, max_items;
};

struct parameter {
	struct document_parameter shown;
	struct rules rules;
};

struct document {
	json_t *tree;
	json_t *made; /* texts that are not in the tree, as names of steps */
	enum document_kind kind;
	int format;
	const char *schema;
	struct parameter *parameters;
	struct document_step *steps;
	size_t n_parameters, n_steps;
};

struct document_values {
	json_t *by_name;
};

/* A place in the tree: the member `key`, or without one the index'th element, of what `up` tells.
 * Lives on the stack of whoever walks the tree; NULL is the whole. */
struct spot {
	const struct spot *up;
	const char *key;
	size_t index;
};

/* Sets err to "mainSteps[0].inputs: sentence", and returns HW_EDOCUMENTCONTENT. */
int spot_invalid(struct hw_err *err, const struct spot *at, const char *fmt, ...) HW_PRINTF(3, 4);
/* The member's value, NULL when there is none; what is there must be of the type. */
int spot_member(const json_t **ret, const json_t *object, const char *key, json_type type,
	const struct spot *at, struct hw_err *err);
/* Likewise a text without control characters but blanks, tabs and line ends; NULL when absent. */
int spot_text(const char **ret, const json_t *object, const char *key, const struct spot *at,
	struct hw_err *err);
/* Every key of the object is one of the names, which end with NULL. */
int spot_known(const json_t *object, const char *const *names, const struct spot *at,
	struct hw_err *err);

#endif
