/* The sizes of waves: "1%,10%,100%" of so many nodes. Pure. */
#ifndef HAWSER_CLIENT_WAVES_H
#define HAWSER_CLIENT_WAVES_H

#include <stddef.h>

#include "proto/base/err.h"

#define WAVES_MAX 10

struct waves {
	size_t end[WAVES_MAX]; /* of each: the nodes up to that one; grows, and the last is all */
	size_t n;
};

/* Shares, or numbers of nodes, each more than the one before; all of them come last, whether it is
 * said or not. A share is one node at least; a wave that is no more than the one before is left
 * out. HW_EUSAGE. */
int waves_parse(struct waves *ret, const char *text, size_t nodes, struct hw_err *err);

#endif
