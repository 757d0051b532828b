/* JSON as text, into a tree: bounded before it is parsed. */
#ifndef HAWSER_DOCUMENT_JSON_TEXT_H
#define HAWSER_DOCUMENT_JSON_TEXT_H

#include <stddef.h>

#include <jansson.h>

struct hw_err;

/* The one value that the text is. A member that is there twice, a NUL, and more than the tree's
 * bounds are errors, with line and column where they are known: all of `code`. */
int json_text_read(json_t **ret, const char *text, size_t n, int code, struct hw_err *err);

#endif
