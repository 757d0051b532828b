/* The documents that every fleet has: the files of the two folders beside this one, by their names.
 * They can be used, not changed. */
#ifndef HAWSER_DOCUMENTS_BUILT_IN_H
#define HAWSER_DOCUMENTS_BUILT_IN_H

#include <stdbool.h>
#include <stddef.h>

#define BUILT_IN_OWNER	 "Hawser"
#define BUILT_IN_VERSION "1" /* the only one */

struct built_in {
	const char *name;
	int type;	     /* DOCUMENT_TYPE_* */
	const char *content; /* YAML, n bytes and a NUL */
	size_t n;
};

extern const struct built_in built_ins[]; /* by name */
extern const size_t built_in_count;

const struct built_in *built_in_find(const char *name); /* NULL */

/* Whether the name begins as only built-in ones do: aws, amazon, amzn, hawser- in any case, or is
 * one of theirs. */
bool built_in_reserves(const char *name);

#endif
