/*
 * A live session: a channel of a user's link and a channel of a node's, spliced, and recorded on
 * the way. What it forwards is in the journal first: nothing of a turn leaves before
 * broker_before_write() has written that turn's records.
 *
 * Loop thread only; the broker's own.
 */
#ifndef HAWSER_CORE_SESSION_H
#define HAWSER_CORE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "audit/journal.h"
#include "proto/wire/channel.h"

struct broker;
struct peer;

struct session;

/* A user's OPEN: its ticket is redeemed on a worker, then the node is asked. Takes over the
 * channel. */
void session_open(struct broker *b, struct peer *user, struct channel *ch,
	const struct msg_open *open);

/* Ends it: both sides are told. `code` 0 is an ending in order. The memory goes at the end of the
 * turn. */
void session_end(struct session *s, int code, const char *why);

/* The journal has failed: from here on nothing goes through it, and it ends soon. Ends nothing at
 * once. */
void session_freeze(struct session *s, const char *why);
/* Everything below pos is on disk: input that waited for that goes on. True when nothing waits any
 * more. */
bool session_synced(struct session *s, jpos pos);
void session_sweep(struct session *s, int64_t now); /* about once a second */

/* The session's number in the journal's records. It follows from the id, so that a relay that
 * starts can close the recordings of one that was killed. */
uint64_t session_number(const char *id);

/* The next one of the same peer, its node or its user. */
struct session *session_after(const struct session *s, const struct peer *p);

#endif
