/* What a person wrote in a file: reading it, and pointing at a place in it. */
#ifndef HAWSER_CLIENT_SOURCE_H
#define HAWSER_CLIENT_SOURCE_H

#include "proto/base/buf.h"

/* Appends a file, or standard input for "-". HW_EUSAGE past the buffer's cap. */
int source_read(struct buf *out, const char *name, struct hw_err *err);

/* What messages call it. */
const char *source_name(const char *name);

/* Appends the line with a caret under its column, both counted from 1 and the column in
 * characters, as two lines that are safe to look at; of a long line what is around the column.
 * Nothing when the text has no such place. */
void source_point(struct buf *out, const char *text, size_t n, size_t line, size_t column);

#endif
