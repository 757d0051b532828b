/*
 * A byte buffer that grows to a cap and never past it. Embedded in its owner; single-threaded.
 * Bytes are appended at the end and consumed at the front.
 */
#ifndef HAWSER_BASE_BUF_H
#define HAWSER_BASE_BUF_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"

struct buf {
	uint8_t *mem;
	size_t head; /* consumed bytes at the front of mem */
	size_t len;  /* bytes held, from head on */
	size_t room; /* bytes of mem */
	size_t used; /* of those, from the first on, that were ever given out to be written */
	size_t max;  /* the cap of len */
	bool failed; /* an append did not fit; sticky until buf_reset */
};

/* No memory is taken until the first append. */
void buf_init(struct buf *b, size_t max);

/* Frees the memory; wiping it first when it may hold a secret is buf_wipe's. */
void buf_fini(struct buf *b);
void buf_wipe(struct buf *b); /* zeroes all that was ever written there, then buf_reset */
void buf_reset(struct buf *b);

/* HW_ELIMIT past the cap, HW_ENOMEM; then nothing was appended and `failed` is set, so that a run
 * of appends can be checked once at its end. */
int buf_append(struct buf *b, const void *p, size_t n);
int buf_append_str(struct buf *b, const char *s);
int buf_append_byte(struct buf *b, uint8_t c);
int buf_printf(struct buf *b, const char *fmt, ...) HW_PRINTF(2, 3);

/* Room for n bytes at the end, to be filled and then counted with buf_commit(b, m), m <= n.
 * NULL past the cap. The pointer is good until the next append. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

void buf_consume(struct buf *b, size_t n); /* n <= len */

static inline const uint8_t *
buf_data(const struct buf *b)
{
	return b->mem != NULL ? b->mem + b->head : (const uint8_t *)"";
}

/* The bytes with a NUL after them (which is not counted); NULL without memory. */
const char *buf_str(struct buf *b);

/* Moves the bytes out as a malloc'd, NUL-ended block, *n long; the buffer is empty again. */
char *buf_take(struct buf *b, size_t *n);

#endif
