/*
 * A backup put back: everything is read and checked in DIR/restore.tmp first, and has its place
 * only then; relay.conf, without which there is no relay, comes last.
 */
#ifndef HAWSER_CORE_RESTORE_H
#define HAWSER_CORE_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"

struct pack_in;
struct hw_clock;

#define RESTORE_DIR  "restore.tmp"
#define RESTORE_NOTE "restored" /* what the first start tells the ledger, until it has */

/* What a backup says of itself, in lines of text; any of it may be 0 or "". */
struct backup_about {
	char fleet[16], relay[65], version[33];
	int64_t time; /* microseconds since 1970 */
	uint64_t entries;
};
/* HW_ECORRUPT. */
int backup_about_read(struct backup_about *ret, const char *text, struct hw_err *err);

struct restore {
	struct backup_about about;
	uint64_t files, bytes;
	bool recovery_key;     /* it was among them */
	char master_key[1024]; /* where relay.conf says that it lies, when that is elsewhere; else
				  "" */
};

/* Reads all of an unlocked backup, and nothing else: for who tests that it can be restored. */
int restore_check(struct restore *ret, struct pack_in *p, void (*step)(void *arg, uint64_t bytes),
	void *arg, struct hw_err *err);

/* HW_EEXISTS unless the directory is empty, but for what an earlier restore left unfinished. Should
 * it fail, nothing but DIR/restore.tmp was written. */
int restore_empty(int dir, const char *path, struct hw_err *err);
int restore_run(struct restore *ret, struct pack_in *p, const char *dir,
	void (*step)(void *arg, uint64_t bytes), void *arg, struct hw_err *err);

/* Of a relay that starts: whether it was restored and has not said so; then what of. */
bool restore_note_read(struct backup_about *ret, int dir);
void restore_note_drop(int dir);

#endif
