/*
 * Recordings that are being read page by page: an open recording waits here between two pages,
 * under a random token that only who began may use, once. Thread-safe.
 */
#ifndef HAWSER_SERVICES_SESSIONS_CURSORS_H
#define HAWSER_SERVICES_SESSIONS_CURSORS_H

#include "audit/recording.h"
#include "proto/base/clock.h"
#include "proto/trust/secret.h"

#define CURSORS_MAX	 64
#define CURSORS_EACH_MAX 8		      /* of one principal; its oldest makes room */
#define CURSOR_IDLE	 (300 * USEC_PER_SEC) /* then it is closed */

struct recording_cursors;

/* Recordings lie in the directory. NULL without memory. */
struct recording_cursors *recording_cursors_new(const char *recordings_dir,
	const struct hw_clock *clock);
void recording_cursors_free(struct recording_cursors *c); /* NULL is fine */
const char *recording_cursors_dir(const struct recording_cursors *c);

/* A reader's place in a recording. What is not yet sent: the rest of a block, and before it the
 * rest of one large event. */
struct cursor {
	char principal[257];
	char session_id[97];
	struct recording *recording;
	const uint8_t *block; /* the recording's, until its next block */
	size_t left;
	struct event event; /* len 0: none; its bytes are of the block */
};

struct cursor *cursor_new(const char *principal, const char *session_id, struct recording *take);
void cursor_free(struct cursor *c); /* closes the recording; NULL is fine */

/* Puts it away; the token is what takes it out again. HW_EFULL when too many are read at once; the
 * caller then still owns it. */
int cursor_keep(char token[TOKEN_LEN + 1], struct recording_cursors *c, struct cursor *take,
	struct hw_err *err);
/* The caller owns it. NULL for a token that is not known, was used, is too old, or is another's or
 * of another session. */
struct cursor *cursor_take(struct recording_cursors *c, const char *token, const char *principal,
	const char *session_id);

#endif
