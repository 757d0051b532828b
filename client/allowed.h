/* What somebody may do, folded for people: "everything", or operations by family. Pure. */
#ifndef HAWSER_CLIENT_ALLOWED_H
#define HAWSER_CLIENT_ALLOWED_H

#include "proto/base/buf.h"
#include "proto/schema/schema.h"

/* Appends at most `most` lines of at most `width` columns, where a word fits. The cursor stands in
 * column `indent`, as it will in each further line; a newline ends it. Each action is an
 * operation's name or the action that policies know it by; one that this program does not know
 * stands by itself.
 */
void allowed_append(struct buf *out, const struct msg_strs *actions, size_t indent, size_t width,
	size_t most);

#endif
