/* What a document declares as its parameters. */
#ifndef HAWSER_DOCUMENT_PARAMETERS_H
#define HAWSER_DOCUMENT_PARAMETERS_H

#include "proto/document/document_private.h"

/* Fills in d->parameters from the tree's. A default that YAML wrote as a text becomes what its type
 * says, in the tree too. HW_EDOCUMENTCONTENT, HW_ENOMEM; what was filled in is document_free()'s.
 */
int parameters_read(struct document *d, struct hw_err *err);
void parameters_free(struct document *d);

/* Whether the value, of the parameter's JSON type, keeps its rules. `code` is what a breach is;
 * `what` begins the sentence, as "parameter commands". */
int parameters_check(const struct parameter *p, const json_t *value, int code, const char *what,
	struct hw_err *err);

/* NULL: none of that name; names are [a-zA-Z0-9]+, n bytes. */
const struct parameter *parameters_find(const struct document *d, const char *name, size_t n);

#endif
