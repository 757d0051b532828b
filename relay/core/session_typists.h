/*
 * Who types into a session: its owner, and whoever joined. The node's input has one sequence of
 * offsets, each typist's own another, and only one of them has bytes under way at a time: recorded,
 * and not yet consumed by the node. So an offset of the node's is one of that typist's, moved by
 * what changes with the turn alone, and stands in the journal with it. Bytes of the others wait
 * here, as far as their windows let them come, and those who wait have their turns in order.
 *
 * Loop thread only; the session's own.
 */
#ifndef HAWSER_CORE_SESSION_TYPISTS_H
#define HAWSER_CORE_SESSION_TYPISTS_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

struct reached_streams;
struct session;
struct viewer;

struct typist {
	TAILQ_ENTRY(typist) entry;
	struct viewer *viewer; /* NULL: the owner */
	uint32_t author;       /* 0 of a viewer that never had its turn */
	uint64_t done; /* its own offset, up to which all is consumed; while it is not its turn */
	struct buf wait;
	bool waits; /* it is in the queue */
	bool moved; /* it comes from another address than when it had its turn */
	bool ends;  /* behind what waits */
};

struct session_typists {
	struct typist owner;
	struct typist *turn; /* NULL: of one that has left */
	uint32_t author;     /* of the turn */
	uint64_t from, base; /* where it began: the node's offset, and the typist's own */
	uint64_t floor;	     /* of the owner's own: below it nobody can send again */
	uint32_t authors;    /* the highest that was given */
	TAILQ_HEAD(typist_queue, typist) queue;
};

void session_typists_init(struct session *s);
void session_typists_fini(struct session *s);
/* As an earlier process had left it. */
void session_typists_restore(struct session *s, const struct reached_streams *at);
void typist_init(struct typist *w, struct viewer *v);
/* It leaves: what waits goes, what is under way stays. */
void typist_leave(struct session *s, struct typist *w);

/* Bytes of it, in order; the stream's end, which is the owner's to say. Both may end the session.
 */
void session_write(struct session *s, struct typist *w, const uint8_t *p, size_t n);
void session_write_end(struct session *s);
/* The node has consumed more, and lets come so much: credits whose it was, and goes on with who
 * waits. */
void session_typists_consumed(struct session *s, uint64_t limit);
/* The node stands there now: what was recorded above is sent again, or lost. */
void session_typists_rewound(struct session *s);
/* What waits is sent again by who sent it, once it is told where it stands. */
void session_typists_drop(struct session *s);
/* The owner's next bytes come from another program of it, which has none of what came before. */
void session_typists_take_over(struct session *s);

/* Where a typist stands, in its own offsets. `limit` is the node's, or above any. */
struct typist_stand {
	uint64_t received, consumed, limit;
};
struct typist_stand typist_stand(const struct session *s, const struct typist *w, uint64_t limit);

#endif
