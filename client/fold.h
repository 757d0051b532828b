/*
 * Sets of names as people read them: web-[01-22,24-40] db-1. Pure.
 *
 * What comes out are selectors parted by blanks, which mean these names and no others of their
 * kind: widths and leading zeros are kept apart as selector_parse() reads them, and no bracket is
 * longer than it takes. Names that no selector could spell stand as they are.
 */
#ifndef HAWSER_CLIENT_FOLD_H
#define HAWSER_CLIENT_FOLD_H

#include <stddef.h>

#include "proto/base/buf.h"

/* Appends them, in the order of their first names; one that is there twice counts once. Nothing for
 * none. HW_ENOMEM, HW_ELIMIT. */
int fold_append(struct buf *out, const char *const *names, size_t n);

#endif
