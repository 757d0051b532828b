/*
 * The one codec: a message struct to and from msgpack and JSON, driven by its row.
 *
 * Decoding is for hostile bytes: every length and count is checked against the bytes that are there
 * before memory is taken, nesting is bounded by the tables, and errors name the field by its path
 * and say what was wrong with it ("Filters[2].Values: 0 items, at least 1"). Unknown fields are
 * skipped, an unknown enum value, a repeated known field, a NUL in a text, invalid UTF-8 in a text
 * are errors.
 */
#ifndef HAWSER_WIRE_CODEC_H
#define HAWSER_WIRE_CODEC_H

#include <stdbool.h>

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/schema/schema.h"

/* On success *ret is a zero-initialised struct of row->size in the arena, with texts NUL-ended and
 * everything copied out of the input. HW_ESERIAL: not well formed, or bytes after the message;
 * HW_EVALIDATION: a field; HW_ELIMIT: the arena's cap. */
int msg_decode(void **ret, struct arena *a, const struct msg_row *row, const void *p, size_t n,
	struct hw_err *err);
int msg_from_json(void **ret, struct arena *a, const struct msg_row *row, const char *text,
	size_t n, struct hw_err *err);

/* Appends. Absent texts (NULL) and messages, empty bytes and lists, and times of 0 are left out
 * unless required; numbers per their flags. The bytes are canonical: rows' order, shortest forms.
 * Nothing is appended on failure. HW_ELIMIT past the buffer's cap. Sender's own bounds are checked
 * (hw_assert in no case: HW_EVALIDATION with the field). */
int msg_encode(struct buf *out, const struct msg_row *row, const void *msg, struct hw_err *err);

enum {
	JSON_PRETTY = 1,  /* two blanks of indent, "key": value */
	JSON_SECRETS = 2, /* without it a SECRET field's value shows as "***" */
	JSON_DATES = 4,	  /* TIME as an RFC 3339 text in UTC, in place of seconds */
};
/* UTF-8, control bytes and '"' escaped; TIME as seconds with three decimals, BIN as base64. */
int msg_to_json(struct buf *out, const struct msg_row *row, const void *msg, int flags);

/* Appends a JSON string, quotes included, of any bytes (invalid UTF-8 becomes U+FFFD). */
int json_append_string(struct buf *out, const char *text, size_t n);

#endif
