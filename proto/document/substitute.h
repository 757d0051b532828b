/* {{ name }} in texts. */
#ifndef HAWSER_DOCUMENT_SUBSTITUTE_H
#define HAWSER_DOCUMENT_SUBSTITUTE_H

#include "proto/document/document_private.h"

/* How a step's inputs, or a text, are filled in. */
struct substitution {
	const struct document *d;
	const struct document_values *v;
	bool references; /* an ENV_VAR parameter becomes ${SSM_name} */
	size_t left;	 /* of DOCUMENT_INPUTS_MAX */
	struct hw_err *err;
};

void substitute_begin(struct substitution *s, const struct document *d,
	const struct document_values *v, struct hw_err *err);

/* A new reference. HW_EPARAMETERS past the bound, HW_ENOMEM. */
int substitute_value(json_t **ret, struct substitution *s, const json_t *value);
/* As a text in any case: a list or map is compact JSON. */
int substitute_text(json_t **ret, struct substitution *s, const char *text);

#endif
