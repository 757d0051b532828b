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
	bool sync_wanted, recover_wanted, stopping, thread_idle;
	char why[JOURNAL_WHY_MAX]; /* set once, when it has failed */

	struct buf spare; /* under write_lock */

	_Atomic jpos written, synced;
	_Atomic bool failed, reported;
	pthread_mutex_t reserve_lock; /* of what the reserve has of the disk; taken last */
	int reserve_fd;		      /* -1: none; set when it is opened */
	_Atomic bool low, low_new;    /* the reserve was given back; and nobody was told */
	pthread_t thread;
	bool thread_runs;
};

/* Marks the journal as failed, once, and says so. Not under `lock`. Returns HW_ERECORD. */
int journal_fail(struct journal *j, const char *why);

/* Sets the reserve aside, at a start, or under reserve_lock. */
int journal_reserve_make(struct journal *j, struct hw_err *err);
/* Gives the reserve back, for who found no room; fine when that has been done. HW_EFULL without
 * one.
 */
int journal_reserve_give(struct journal *j, struct hw_err *err);
/* Sets it aside again when it was given back, if there is room. May take long; not under a lock
 * that the loop takes. */
void journal_reserve_again(struct journal *j);
/* Says that it is low, when that is new. Not under a lock. */
void journal_tell_low(struct journal *j);

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

/* Counts a time by journal_bounds. */
void journal_count_time(uint64_t within[JOURNAL_BOUNDS], int64_t usec);

#endif
