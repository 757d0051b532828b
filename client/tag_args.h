/* Tags as they are given on a command line. Pure. */
#ifndef HAWSER_CLIENT_TAG_ARGS_H
#define HAWSER_CLIENT_TAG_ARGS_H

#include "proto/base/arena.h"
#include "proto/schema/schema.h"

/* Each word is KEY=VALUE; the value may be empty. HW_EUSAGE names the one that is not. */
int tag_args(struct msg_tag **ret, struct arena *a, const char *const *words, size_t n,
	struct hw_err *err);

#endif
