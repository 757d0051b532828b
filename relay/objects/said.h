/* What an S3-compatible server says: the few elements of its XML that matter. Its bytes may be
 * anything. Pure. */
#ifndef HAWSER_OBJECTS_SAID_H
#define HAWSER_OBJECTS_SAID_H

#include <stdbool.h>

#include "proto/base/buf.h"

/* The text of the first element of that name, what is not printable in it as '?'; cut to its room.
 * False, and an empty text, when there is none. */
bool said_element(char *out, size_t room, const struct buf *xml, const char *name);

/* The code of an answer that is not good, and a sentence on it. */
int said_failure(long status, const struct buf *xml, const char *bucket, struct hw_err *err);

#endif
