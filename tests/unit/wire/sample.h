/* Messages made up from their rows: what a test or a fuzzer's corpus says about every one of them.
 */
#ifndef HAWSER_TESTS_WIRE_SAMPLE_H
#define HAWSER_TESTS_WIRE_SAMPLE_H

#include "proto/base/arena.h"
#include "proto/schema/schema.h"

enum sample_size {
	SAMPLE_LEAST, /* required fields only, at their lower bounds */
	SAMPLE_SOME,  /* every field, of modest size */
	SAMPLE_MOST,  /* every field, at its upper bound; lists of three */
	SAMPLE_SIZES,
};

/* A struct of the row within its bounds, in the arena. The same on every run. */
void *sample_message(struct arena *a, const struct msg_row *row, enum sample_size size);

#endif
