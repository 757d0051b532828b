/*
 * What programs on nodes wrote, on its way to a person or into JSON: in pieces that may end in the
 * middle of a character. Pure.
 */
#ifndef HAWSER_CLIENT_TIDY_H
#define HAWSER_CLIENT_TIDY_H

#include <stdbool.h>

#include "proto/base/buf.h"

struct tidy {
	enum {
		TIDY_RAW,      /* as it is */
		TIDY_TERMINAL, /* nothing in it steers a terminal; tabs and ends of lines stay */
		TIDY_JSON,     /* the inside of a JSON string */
	} kind;
	uint8_t torn[4]; /* the beginning of a character */
	size_t n_torn;
};

/* Appends what can be told by now; what a character lacks is waited for. */
void tidy_append(struct tidy *t, struct buf *out, const uint8_t *p, size_t n);
/* Nothing follows. */
void tidy_end(struct tidy *t, struct buf *out);

#endif
