/* Files that hold keys. Private to proto/trust. */
#ifndef HAWSER_TRUST_PRIVATE_H
#define HAWSER_TRUST_PRIVATE_H

#include "proto/base/buf.h"

/* Appends the whole of a regular file, as file_read(), and refuses one that anybody but its owner
 * may read or write, or whose owner is neither us nor root: HW_EDENIED. */
int private_read(struct buf *out, int dir, const char *name, struct hw_err *err);

/* Makes a new file, 0600, that survives a power cut. HW_EEXISTS when there is one. */
int private_create(int dir, const char *name, const void *p, size_t n, struct hw_err *err);

#endif
