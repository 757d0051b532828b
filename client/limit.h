/* "8" or "20%": how many nodes at a time, how many failures. Pure. */
#ifndef HAWSER_CLIENT_LIMIT_H
#define HAWSER_CLIENT_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct limit {
	int64_t n;
	bool percent;
};

/* Of at least `min`, 0 or 1. HW_EUSAGE names the option. */
int limit_parse(struct limit *ret, const char *option, const char *text, int64_t min,
	struct hw_err *err);

/* Of so many nodes, as the relay counts: shares are rounded down, and `min` at the least. */
size_t limit_of(const struct limit *l, size_t nodes, size_t min);

#endif
