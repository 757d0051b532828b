/*
 * One direction of one stream in a session: bytes that came in and were recorded, on their way to
 * the other channel. They wait here only when they must: until they are on disk (durability sync),
 * or until the far side has room.
 */
#ifndef HAWSER_CORE_LANE_H
#define HAWSER_CORE_LANE_H

#include "audit/journal.h"
#include "proto/base/buf.h"
#include "proto/wire/channel.h"

#define LANE_MAX (17 * 1024 * 1024) /* above what any window lets in */

struct lane {
	int stream;
	struct buf hold;
	struct buf marks;	  /* of struct lane_mark: what of hold waits for the disk */
	size_t ready;		  /* bytes at the front of hold that may go */
	bool ends;		  /* the stream ends after hold */
	bool ended;		  /* and the far side was told */
	int64_t moved;		  /* when bytes last went on, or began to wait */
	uint64_t consumed, limit; /* of a terminal's output: what its node was credited */
};

void lane_init(struct lane *l, int stream);
void lane_fini(struct lane *l);

/* Takes n bytes. `to` may be NULL: they wait. `at` is the journal's position that must be on disk
 * first; 0: they may go now. Returns how many went to `to` at once; HW_ELIMIT when the peer broke
 * its window, HW_ENOMEM: the lane is of no use then. */
int lane_put(struct lane *l, struct channel *to, const void *p, size_t n, jpos at, size_t *moved);

/* What waited for positions up to pos is ready. */
void lane_synced(struct lane *l, jpos pos);

/* Moves what it can, to NULL nothing; returns how many bytes. Ends the stream on `to` when all is
 * gone and it ends.
 */
size_t lane_pump(struct lane *l, struct channel *to);

/* Drops what is held; returns how much it was. */
size_t lane_drop(struct lane *l);

#endif
