/* What became of a command on its nodes: kinds, counts, words, and the exit status. Pure. */
#ifndef HAWSER_CLIENT_FATE_H
#define HAWSER_CLIENT_FATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

enum fate {
	FATE_WAITING, /* it has not begun on the node */
	FATE_RUNNING,
	FATE_OK,
	FATE_FAILED,
	FATE_TIMED_OUT,	  /* while it ran */
	FATE_UNDELIVERED, /* it never began: the node was away, or may not run it */
	FATE_CANCELLED,
	FATE_STOPPED, /* it never began: too many others had failed */
	FATES
};

/* Of an invocation's Status and StatusDetails; details may be NULL. */
enum fate fate_of(int status, const char *details);
bool fate_is_end(enum fate o);

/* Whether a command's Status is one that it keeps. */
bool fate_command_is_over(int status);

/* "exit 127", "timed out", "access denied". */
void fate_append(struct buf *out, int status, const char *details, int64_t response_code);

/* How many of each. */
struct fates {
	size_t of[FATES];
	size_t total; /* of the command; those that are not in `of` are waiting */
};

#define EXIT_SOME_FAILED      1
#define EXIT_STOPPED	      2
#define EXIT_SOME_UNDELIVERED 3
#define EXIT_NO_NODES	      4
#define EXIT_SOME_TIMED_OUT   124
#define EXIT_OUR_FAULT	      125
#define EXIT_INTERRUPTED      130

/* Of a command that is over. Where several hold, the first of: stopped, failed, timed out, not
 * delivered. */
int fates_exit(const struct fates *all);

#endif
