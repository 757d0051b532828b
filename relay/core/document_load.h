/* Documents by name and version, those that come with the system and those that people wrote. */
#ifndef HAWSER_CORE_DOCUMENT_LOAD_H
#define HAWSER_CORE_DOCUMENT_LOAD_H

#include <stddef.h>

#include "relay/store/documents.h"

struct built_in;
struct op;

/* The name in a document's ARN of this fleet, or of the system; any other text as it is. Points
 * into it. */
const char *document_name(const struct op *op, const char *text);

/* A version's content and number, from the op's arena. `version_asked` is "", NULL, $DEFAULT,
 * $LATEST or a number; `name` may be an ARN. HW_EDOCUMENT, HW_EDOCUMENTVERSION. */
int document_load(const char **content, size_t *n, const char **version, int *type, struct op *op,
	const char *name, const char *version_asked);

struct document_found {
	const struct built_in *built_in; /* NULL: one that somebody wrote */
	struct document_row document;	 /* filled in for built-in ones too, but for times */
	struct document_version_row version;
	const char *content; /* n bytes and a NUL */
	size_t n;
};

/* The same inside of a read or write, and by version name (NULL or "": none), which must then be
 * that of the version if both are given. */
int document_look(struct document_found *ret, struct op *op, struct db *db, const char *name,
	const char *version_asked, const char *version_name, struct hw_err *err);

#endif
