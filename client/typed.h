/* What was typed, as lines with their times. Pure: events in, text out. */
#ifndef HAWSER_CLIENT_TYPED_H
#define HAWSER_CLIENT_TYPED_H

#include "audit/recording.h"

struct typed {
	struct buf line; /* bytes that are not printed yet */
	int64_t time;	 /* of their first */
	uint64_t hidden; /* bytes that the terminal did not show, just before */
	struct buf who;	 /* whose they are, when not the owner's */
};

void typed_init(struct typed *t);
void typed_fini(struct typed *t);

/* Appends the lines that the event completes: "00:01:02  text", control keys as ^C, what the
 * terminal did not show as "[8 hidden]", what others typed than its owner as "[bob] text". */
void typed_event(struct typed *t, const struct event *ev, struct buf *out);
void typed_end(struct typed *t, struct buf *out);

/* Keys as people write them: ^C, ^[[A, ^?. */
void typed_append_keys(struct buf *out, const uint8_t *p, size_t n);

#endif
