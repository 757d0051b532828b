/* What each operation is about: its row says it for most, a function of its own for those that
 * touch more than one thing, or bring condition keys. */
#ifndef HAWSER_CORE_OP_SCOPE_H
#define HAWSER_CORE_OP_SCOPE_H

#include "relay/core/authorise.h"
#include "relay/core/op.h"

/* Texts are the request's, or of op->arena. The caller is op->asker. */
int op_scope(struct scope *ret, struct op *op, const void *request);

/* A text member of a request; "" when it is absent. */
const char *op_request_text(const struct op *op, const void *request, const char *member);

/* Completes what a person names a resource by: an ARN and "*" stay as they are; mi-..., node/ID,
 * session/ID, document/NAME, user/NAME, group/NAME, policy/NAME become targets with their tags.
 * HW_EVALIDATION. */
int op_scope_named(struct scope *s, struct op *op, const char *text);

#endif
