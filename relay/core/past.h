/*
 * Sessions that ended while their user was away: whoever comes back for one learns how it ended,
 * with the same proof that it would be resumed with. The newest are kept, a fixed number. Loop
 * thread only.
 */
#ifndef HAWSER_CORE_PAST_H
#define HAWSER_CORE_PAST_H

#include "proto/base/err.h"

#define PAST_MAX 1024

struct past;

struct past *past_new(void); /* NULL without memory */
void past_free(struct past *p);

/* `hash` is that of its resume token, in hex; `why` a sentence. Forgotten without memory. */
void past_add(struct past *p, const char *id, const char *owner, const char *hash, int code,
	const char *why);
/* The code, with the sentence in err; 0 when none of this owner ended with that id and token. */
int past_find(const struct past *p, const char *id, const char *owner, const char *hash,
	struct hw_err *err);

#endif
