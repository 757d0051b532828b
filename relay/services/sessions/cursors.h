/*
 * Recordings that are being read page by page. A NextToken says by itself where the next page
 * begins; but reading up to there again for each page would make a long recording slow, so an open
 * one waits here between two pages, under its token. What is not found here is opened again.
 * Thread-safe.
 */
#ifndef HAWSER_SERVICES_SESSIONS_CURSORS_H
#define HAWSER_SERVICES_SESSIONS_CURSORS_H

#include "audit/recording.h"
#include "proto/base/clock.h"

#define CURSORS_MAX	 64
#define CURSORS_EACH_MAX 8		      /* of one principal; its oldest makes room */
#define CURSOR_IDLE	 (300 * USEC_PER_SEC) /* then it is closed */

struct recording_cursors;

struct recording_cursors *recording_cursors_new(const struct hw_clock
		*clock);				  /* NULL without memory */
void recording_cursors_free(struct recording_cursors *c); /* NULL is fine */

/* A reader's place: what of the recording comes next. */
struct cursor {
	char principal[257];
	struct recording *recording;
	const uint8_t *block; /* the rest of a block: the recording's, until its next one */
	size_t left;
	uint64_t sent; /* bytes of encoded events before it */
};

struct cursor *cursor_new(const char *principal, struct recording *take);
void cursor_free(struct cursor *c); /* closes the recording; NULL is fine */

/* Puts it away, or closes it when there is no place (or c is NULL). */
void cursor_keep(struct recording_cursors *c, const char *token, struct cursor *take);
/* The caller owns it. NULL for a token that nothing waits under, or another's. */
struct cursor *cursor_take(struct recording_cursors *c, const char *token, const char *principal);

#endif
