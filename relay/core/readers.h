/*
 * Who has begun to read what, lately: reading in a thousand pieces is one entry in the ledger, not
 * a thousand. What is forgotten too early makes an entry more, never one less. Thread-safe.
 */
#ifndef HAWSER_CORE_READERS_H
#define HAWSER_CORE_READERS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/clock.h"

#define READERS_FOR (3600 * USEC_PER_SEC) /* then it is said again */

struct readers;

struct readers *readers_new(void);    /* NULL without memory */
void readers_free(struct readers *r); /* NULL is fine */

/* Whether `who` is known to read `what` at `now`, monotonic. */
bool readers_know(struct readers *r, const char *who, const char *what, int64_t now);
/* Its entry is in the ledger. */
void readers_note(struct readers *r, const char *who, const char *what, int64_t now);

#endif
