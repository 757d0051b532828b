/*
 * What of a relay's directory a backup takes, standing still: DIR/backup.tmp has a copy of the
 * store as it was at one moment, and links to the files of journal, recordings and ledger, whose
 * sizes at that moment are in its file `list`:
 *
 *   <size> <name under DIR/backup.tmp>
 *
 * These files only ever grow, so what is below those sizes is what was there, also when the relay
 * has let go of its own names for them. Together they are what a power cut could have left then,
 * with nothing torn: the ledger has no outcome that the store does not know, and recordings and the
 * ledger's own files have nothing that the journal does not cover.
 */
#ifndef HAWSER_CORE_SNAPSHOT_H
#define HAWSER_CORE_SNAPSHOT_H

#include <stdint.h>

#include "proto/base/err.h"

struct archiver;
struct hw_clock;
struct journal;
struct ledger_heads;
struct store;

#define SNAPSHOT_DIR  "backup.tmp"
#define SNAPSHOT_LIST "list"

/* Of a relay that is stopped archiver, journal and heads are NULL. */
struct snapshot_source {
	const char *dir;
	const struct hw_clock *clock;
	struct store *store;
	struct archiver *archiver;
	struct journal *journal;
	struct ledger_heads *heads;
};

struct snapshot {
	int64_t time;
	uint64_t entries; /* that the ledger had; of a stopped relay, those under its last head */
};

/* Replaces an earlier one. Never on the loop's thread. */
int snapshot_make(struct snapshot *ret, const struct snapshot_source *source, struct hw_err *err);

/* Takes it away; none is fine. */
void snapshot_drop(const char *dir);

#endif
