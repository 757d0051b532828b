/*
 * The escapes of a shell: the escape character at the start of a line, then one more, as ssh has
 * them. Pure: bytes in, bytes and actions out.
 */
#ifndef HAWSER_CLIENT_ESCAPE_H
#define HAWSER_CLIENT_ESCAPE_H

#include <stdbool.h>

#include "proto/base/buf.h"

enum escape_action {
	ESCAPE_NONE,
	ESCAPE_END,	/* ~. */
	ESCAPE_SUSPEND, /* ~^Z */
	ESCAPE_HELP,	/* ~? */
	ESCAPE_DETACH,	/* ~d */
	ESCAPE_FORWARD, /* ~C */
};

#define ESCAPE_OFF (-1)

struct escape {
	int character; /* ESCAPE_OFF: everything is data */
	bool line_start, pending;
};

void escape_init(struct escape *e, int character);

/* Reads typed bytes up to the next action, appends to `out` what is to be sent (at most one byte
 * more than it read), and says in *used how many it read: call again with the rest. */
enum escape_action escape_feed(struct escape *e, struct buf *out, const void *p, size_t n,
	size_t *used);

/* "~", "^X", "none": the character, ESCAPE_OFF, or HW_EVALIDATION. */
int escape_parse(int *character, const char *text);

/* Lines for the person, each ended by CR LF; of one's own session, or another's. */
void escape_help(struct buf *out, int character, bool own);

#endif
