/* Names that are collected for a reply, which then has them in the op's arena. */
#ifndef HAWSER_SERVICES_NAMES_H
#define HAWSER_SERVICES_NAMES_H

#include "proto/schema/schema.h"

struct op;

#define NAMES_MAX 2000

/* On the stack; begins as {.op = op}. */
struct names {
	struct op *op;
	const char *v[NAMES_MAX];
	size_t n;
};

/* HW_ELIMIT past NAMES_MAX or without memory. */
int names_add(struct names *l, const char *name);
int names_keep(struct msg_strs *ret, struct names *l);

#endif
