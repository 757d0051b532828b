/*
 * How far a command is that cannot tell its end: a line on stderr that changes, with what there is
 * by now, its rate and the time. It shows after a second, and only where it disturbs nobody.
 */
#ifndef HAWSER_CLIENT_METER_H
#define HAWSER_CLIENT_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"

struct meter {
	int fd;
	bool live, shown;
	int64_t began, drawn;
};

#define METER_AFTER USEC_PER_SEC
#define METER_EVERY (200 * USEC_PER_MSEC)

/* On stderr, when that is a terminal that can take a line away. `writes`: the command writes to
 * stdout meanwhile, which must not be a terminal then. */
void meter_init(struct meter *m, bool writes);

/* "41 sessions  12.3 MB  4.1 MB/s  0:03", cut to fit into so many columns. Bytes of 0 are left out.
 * Pure. */
void meter_append(struct buf *out, const char *what, uint64_t bytes, int64_t elapsed, int cols);

/* Cheap: draws when it is time. */
void meter_show(struct meter *m, uint64_t bytes, const char *fmt, ...) HW_PRINTF(3, 4);
/* The line goes, for something else to be written, or at the end. */
void meter_hide(struct meter *m);

#endif
