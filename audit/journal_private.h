/* Shared by journal.c (appending, writing), journal_sync.c (the thread) and journal_open.c. */
#ifndef HAWSER_AUDIT_JOURNAL_PRIVATE_H
#define HAWSER_AUDIT_JOURNAL_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "audit/journal.h"
#include "audit/journal_io.h"
#include "audit/journal_segment.h"

#define JOURNAL_BUFFER_MAX (32 * 1024 * 1024) /* appended, not yet written */

/* The segment that is written. */
struct segment_out {
	int fd;
	jpos first;
	int64_t opened; /* on the monotonic clock */
	struct secret_stream *key;
};

/*
 * Locks are taken in this order: sync_lock, write_lock, lock. Nothing waits for a disk under `lock`
 * or write_lock, so the loop may take both; sync_lock is for who syncs and changes segments: the
 * writer thread, or, without one, whoever waits.
 */
struct journal {
	struct log_ctx log;
	struct journal_config config;
	struct secret_key wrap; /* wraps the segments' keys */
	int dir, lock_fd;

	pthread_mutex_t sync_lock, write_lock, lock;
	pthread_cond_t wake, done; /* for the writer thread; for who waits for it */

	/* under lock; `out` changes only under all three */
	struct segment_out out;
	struct buf active;  /* sealed, waiting for a write */
	struct buf scratch; /* a ledger entry being encoded */
	size_t writing;	    /* bytes in `spare`, on their way to the kernel */
	jpos next;	    /* of the next record */
	uint64_t ledger_next;
	struct journal_stats stats;
	bool sync_wanted, stopping, thread_idle;
	char why[JOURNAL_WHY_MAX]; /* set once, when it has failed */

	struct buf spare; /* under write_lock */

	_Atomic jpos written, synced;
	_Atomic bool failed, reported;
	pthread_t thread;
	bool thread_runs;
};

/* Marks the journal as failed, once, and says so. Not under `lock`. Returns HW_ERECORD. */
int journal_fail(struct journal *j, const char *why);

/* Writes what is buffered; `held` says that the caller has `lock` already (and keeps it). Under
 * write_lock. A failure is final at once; the caller reports it with journal_fail() when it has let
 * go of the locks. */
int journal_write_buffered(struct journal *j, bool held, struct hw_err *err);

/* Writes and syncs all that was appended before the call; changes the segment when it is time. */
int journal_sync_round(struct journal *j);

/* Makes the first or the next segment under its temporary name; *key is new. */
int journal_segment_prepare(int *fd, struct secret_key *key, struct journal *j, struct hw_err *err);
/* Gives the prepared file its head. */
int journal_segment_begin(struct journal *j, int fd, const struct secret_key *key, jpos first,
	uint64_t ledger_first, struct hw_err *err);
/* Gives it its name, for good. */
int journal_segment_publish(struct journal *j, jpos first, struct hw_err *err);

void *journal_thread(void *arg);

#endif
