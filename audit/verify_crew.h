/* Threads that verify together: each run of independent jobs ends before anything else goes on. */
#ifndef HAWSER_AUDIT_VERIFY_CREW_H
#define HAWSER_AUDIT_VERIFY_CREW_H

#include <stddef.h>

#include "proto/base/err.h"

#define VERIFY_HANDS_MAX 16

struct verify_crew;

/* Of so many hands, at least 1 and at most VERIFY_HANDS_MAX, one of which is the caller's. When
 * threads are refused there are fewer. HW_ENOMEM. */
int verify_crew_new(struct verify_crew **ret, unsigned hands, struct hw_err *err);
void verify_crew_free(struct verify_crew *c); /* NULL is fine */
unsigned verify_crew_hands(const struct verify_crew *c);

/* Calls the job for each i below n, `share` of them in a row on one hand, and returns when all are
 * done. `hand`, below verify_crew_hands(), is the only one with that number at a time: what belongs
 * to it needs no lock. Jobs start no runs. */
void verify_crew_run(struct verify_crew *c, size_t n, size_t share,
	void (*job)(void *arg, unsigned hand, size_t i), void *arg);

#endif
