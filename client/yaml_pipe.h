/*
 * JSON on its way into YAML, in pieces that may end anywhere: whatever can be shown as the one is
 * shown as the other. The JSON is our own, so its tokens are not checked. Pure.
 */
#ifndef HAWSER_CLIENT_YAML_PIPE_H
#define HAWSER_CLIENT_YAML_PIPE_H

#include <stdbool.h>

#include "proto/base/buf.h"

#define YAML_PIPE_DEPTH 64
#define YAML_PIPE_PLAIN 128 /* a longer text has quotes, whatever is in it */

struct yaml_pipe {
	struct buf *out; /* lent */
	struct {
		bool list;
		bool any; /* it has a first member */
		int indent;
	} in[YAML_PIPE_DEPTH];
	int depth;
	enum { PIPE_BETWEEN, PIPE_TEXT, PIPE_ESCAPE, PIPE_WORD } state;
	bool is_key;	/* the text that is read */
	bool after_key; /* its value stands on this line, if it can */
	bool inline_;	/* "- " is written: what follows stands on its line */
	bool quoted;	/* the text that is read is begun in quotes */
	char held[YAML_PIPE_PLAIN];
	size_t n_held; /* while it may be written without */
	uint8_t torn[4];
	size_t n_torn; /* the beginning of a character */
};

void yaml_pipe_init(struct yaml_pipe *p, struct buf *out);

/* Appends what can be told by now. Too deep a nesting marks the buffer as failed. */
void yaml_pipe_append(struct yaml_pipe *p, const void *json, size_t n);

#endif
