/*
 * Back-off for those who guess: how long a source must wait until its next token is looked at. Each
 * failure of a source beyond the free ones doubles its wait, from a second to fifteen minutes.
 * Those of a principal (an activation, say, whose code many sources try) hold back only sources
 * that have failed themselves: nobody can keep another out who has done nothing wrong, and nothing
 * keeps out everybody. What has been quiet for an hour is forgotten.
 *
 * A table of fixed size; where it is full, what was forgotten goes first, then who failed least,
 * then who failed longest ago: a crowd of sources that each fail once makes none forget its worst.
 * Any thread; the caller has the clock.
 */
#ifndef HAWSER_CORE_GUARD_H
#define HAWSER_CORE_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/clock.h"

#define GUARD_ENTRIES  4096
#define GUARD_WAIT_MIN USEC_PER_SEC
#define GUARD_WAIT_MAX (900 * USEC_PER_SEC)
#define GUARD_FORGET   (3600 * USEC_PER_SEC)

struct guard;

struct guard_hold {
	int64_t wait; /* microseconds until it may try again */
	bool first;   /* since its failures were last forgotten: worth an alarm */
};

/* `free` failures, one at least, cost nothing but the wait that the last of them begins. NULL
 * without memory. */
struct guard *guard_new(int free);
void guard_free(struct guard *g);

/*
 * A source is an address as text: an IPv4 address is one, of IPv6 each /64 is, as that is what one
 * customer gets. Larger networks are not counted together: neighbours there are strangers to each
 * other. `principal` is whom the token is for, NULL when it does not say. `now` is monotonic.
 *
 * guard_check() comes before a token is looked at: false when the source must wait, and how long.
 * Then one of the others says how it went. A success takes one failure off the source, not all: who
 * owns one good token buys one more guess with each use of it, no more.
 */
bool guard_check(struct guard *g, const char *source, const char *principal, int64_t now,
	struct guard_hold *ret);
void guard_failed(struct guard *g, const char *source, const char *principal, int64_t now);
void guard_passed(struct guard *g, const char *source, int64_t now);

uint64_t guard_held(struct guard *g); /* attempts held back so far */

#endif
