/* A tree as YAML: block style, each value written so that it is read back as what it is. */
#ifndef HAWSER_DOCUMENT_YAML_WRITE_H
#define HAWSER_DOCUMENT_YAML_WRITE_H

#include <jansson.h>

struct buf;
struct hw_err;

/* Appends; HW_EDOCUMENTSIZE when it does not fit under the buffer's cap, HW_ENOMEM. */
int yaml_write(struct buf *out, const json_t *tree, struct hw_err *err);

#endif
