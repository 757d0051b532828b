/* Reading a file of a source from its beginning to its end, through a window. */
#ifndef HAWSER_AUDIT_VERIFY_READER_H
#define HAWSER_AUDIT_VERIFY_READER_H

#include "audit/verify_private.h"

struct verify_reader {
	const struct verify_source *source;
	struct verify_file file;
	bool is_open;
	uint64_t at; /* of the next byte */
	uint8_t *window;
	size_t room, start, have;
};

/* `room` is the most that is ever looked at at once. */
int verify_reader_open(struct verify_reader *r, struct verify *v, const char *path, size_t room,
	struct hw_err *err);
void verify_reader_close(struct verify_reader *r); /* a zeroed one is fine */
/* The next n bytes, good until the next call: 1; 0 when the file has fewer. */
int verify_reader_look(struct verify_reader *r, const uint8_t **p, size_t n, struct hw_err *err);
/* All that the window takes: *n bytes, fewer only at the file's end; good until the next call. */
int verify_reader_look_far(struct verify_reader *r, const uint8_t **p, size_t *n,
	struct hw_err *err);
void verify_reader_pass(struct verify_reader *r, size_t n); /* over what was looked at */
uint64_t verify_reader_left(const struct verify_reader *r);

#endif
