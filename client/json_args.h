/* key=value words as the JSON of an operation's request. Pure. */
#ifndef HAWSER_CLIENT_JSON_ARGS_H
#define HAWSER_CLIENT_JSON_ARGS_H

#include "proto/base/buf.h"
#include "proto/schema/schema.h"

/* Appends the object of `input` (JSON text; NULL is an empty object) with each word's field set: as
 * its row says a text, number, boolean, time (RFC 3339 or seconds) or JSON where the value begins
 * with [ or {. A list of texts gets one more item for each word. HW_EUSAGE names the word. */
int json_args(struct buf *out, const struct msg_row *row, const char *input, size_t input_len,
	const char *const *words, size_t n, struct hw_err *err);

#endif
