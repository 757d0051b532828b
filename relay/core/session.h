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

/* A user's RESUME of a session that has lost a link: it goes on when the node is there too. Takes
 * over the channel. */
void session_resume(struct broker *b, struct peer *user, struct channel *ch,
	const struct msg_resume *resume);
/* A node's link is up: sessions that it still holds go on, others of it have ended, and those that
 * nobody knows are to be ended. */
void session_reconcile(struct broker *b, struct peer *node, const struct msg_hello *hello);
/* One that an earlier process of this relay had: it waits for both sides, and goes on where it is
 * recorded to. HW_ENOMEM. */
struct reached_streams;
struct session_open;
int session_restore(struct broker *b, const struct session_open *open,
	const struct reached_streams *at, struct hw_err *err);
/* One that it had ended, and could not tell the store so any more. HW_ENOMEM. */
struct reached_end;
int session_restore_ended(struct broker *b, const struct session_open *open,
	const struct reached_streams *at, const struct reached_end *end, struct hw_err *err);
/* The peer's link is lost, or is given up for a newer one: for who has no channel on it now. */
void session_lose(struct session *s, const struct peer *p);

/* Ends it: both sides are told. `code` 0 is an ending in order. The memory goes at the end of the
 * turn. */
void session_end(struct session *s, int code, const char *why);

/* The journal has failed: from here on nothing goes through it, and it ends soon. Ends nothing at
 * once. */
void session_freeze(struct session *s, const char *why);
bool session_is_frozen(const struct session *s);
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
