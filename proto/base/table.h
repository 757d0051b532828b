/* A table of texts, its columns padded to the widest cell as a terminal shows it. Pure. */
#ifndef HAWSER_BASE_TABLE_H
#define HAWSER_BASE_TABLE_H

#include <stdbool.h>

#include "proto/base/buf.h"

enum table_style { STYLE_PLAIN, STYLE_GOOD, STYLE_BAD, STYLE_DIM };

struct table;

struct table *table_new(size_t columns); /* NULL without memory */
void table_free(struct table *t);

/* The next cell; rows follow each other. NULL is an empty one. HW_ENOMEM. */
int table_add(struct table *t, const char *text, enum table_style style);

/* The last column is not padded, and two blanks part the others. */
int table_print(struct buf *out, const struct table *t, bool color);

#endif
