/* Where in a JSON text something stands. The text is well-formed; only depth is checked of any. */
#ifndef HAWSER_POLICY_LOCATE_H
#define HAWSER_POLICY_LOCATE_H

#include <stdbool.h>
#include <stddef.h>

/* A value: the index'th member or element, from 0, of the one that `up` tells; up is NULL for the
 * members of the document itself. Lives on the stack of whoever walks the document. */
struct where {
	const struct where *up;
	size_t index;
};

struct place {
	size_t line, column; /* from 1; columns count characters */
};

/* The offset of a value's first byte, or, with `key`, of its member's name. NULL: the document. */
size_t locate_value(const char *text, size_t n, const struct where *where, bool key);

void locate_place(struct place *ret, const char *text, size_t n, size_t offset);

/* The offset at which braces and brackets stand deeper than `most` in each other; n if nowhere. */
size_t locate_too_deep(const char *text, size_t n, size_t most);

#endif
