/*
 * The relay's one write-ahead log: what is typed, shown and decided, before it takes effect.
 *
 * A journal is a directory of numbered segments. A record is framed with its length and a CRC-32C
 * and sealed with AES-256-GCM under the segment's own key, which the master key wraps; the frame's
 * position is its nonce and is authenticated, so that records cannot be moved. A position (`jpos`)
 * counts bytes over all segments and only grows.
 *
 * journal_append() seals into memory; journal_write() hands the memory to the kernel with one
 * write(2); the writer thread syncs: one fdatasync for all that waits, and one within 50 ms for
 * what nobody waits for. A failed write or fsync is never retried: the journal is then failed for
 * good, every call says so, and on_failed is called once. A full disk is no failure as long as
 * there is a reserve. docs/decisions/journal.md has why.
 */
#ifndef HAWSER_AUDIT_JOURNAL_H
#define HAWSER_AUDIT_JOURNAL_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/log.h"
#include "proto/trust/secret.h"

struct journal;
typedef uint64_t jpos;

enum journal_type {
	JOURNAL_LEDGER = 1,    /* bytes: one encoded ledger_entry; offset is its sequence number;
				* flags are for who moves it to the ledger's files */
	JOURNAL_SESSION_START, /* bytes: one encoded recording_meta; session is new */
	JOURNAL_DATA,	       /* bytes of a stream at offset, by author */
	JOURNAL_ECHO,	       /* input below offset (from the last mark) was shown or hidden: flags
				* is enum frame_echo */
	JOURNAL_REWIND,	       /* of the stream, what is at and above offset was not delivered:
				* what follows replaces it */
	JOURNAL_RESIZE,	       /* offset: cols << 32 | rows */
	JOURNAL_STREAM_END,    /* the stream ended at offset */
	JOURNAL_NOTE,	       /* bytes: a line for the recording: attach, detach, frozen, gap */
	JOURNAL_SESSION_END,   /* bytes: one encoded close; nothing more of this session */
	JOURNAL_AUTHOR,	       /* input from offset on is of this author; bytes: one encoded
				* recording_author */
	JOURNAL_SCREEN, /* bytes: what some terminals were shown of the screen, as output up to
			 * offset had left it */
};

struct journal_record {
	enum journal_type type;
	uint8_t stream, flags;
	uint32_t author;  /* index into the session's authors; 0 is its owner */
	uint64_t session; /* random, new for each session; 0 for ledger entries */
	uint64_t offset;
	int64_t time; /* microseconds since 1970 */
	const void *bytes;
	size_t len; /* at most JOURNAL_RECORD_MAX */
};
#define JOURNAL_RECORD_MAX (256 * 1024)

/* What tests replace to make a disk fail. */
struct journal_io {
	ssize_t (*write)(void *arg, int fd, const void *p, size_t n);
	int (*sync)(void *arg, int fd); /* of directories too */
	void *arg;
	int (*reserve)(void *arg, int fd, size_t size); /* an errno; 0: done */
	int (*make)(void *arg,
		const char *name); /* before a file is made or named: an errno or 0 */
};

struct journal_config {
	const char *dir;	   /* made when missing */
	const struct log_ctx *log; /* NULL: silent */
	const struct hw_clock *clock;
	const struct secret_key *master;
	size_t segment_size; /* 64 MiB when 0 */
	int64_t segment_age; /* microseconds until a segment with records is closed; an hour
			      * when 0 */
	/* Bytes of the disk that are set aside. When it is full they are given back, so that what
	 * is under way can be ended in order: the journal is then low. 0: none, and a full disk is
	 * a failure. */
	size_t reserve;
	bool threaded; /* false: journal_wait() and journal_sync() work inline (tests) */
	const struct journal_io *io; /* NULL: the system's */
	/* From the writer thread (or inline): everything below pos is on disk; the journal has
	 * failed. No lock is held, but journal_close() must not be called. */
	void (*on_synced)(void *arg, jpos pos);
	void (*on_failed)(void *arg, const char *why);
	void (*on_low)(void *arg, const char *why); /* likewise */
	void *arg;
};

/* Upper ends, in microseconds, of the times that writes and syncs are counted by. */
#define JOURNAL_BOUNDS 12
extern const int64_t journal_bounds[JOURNAL_BOUNDS];

struct journal_stats {
	uint64_t records, bytes, writes, syncs;
	int64_t write_usec, write_max_usec, sync_usec, sync_max_usec; /* totals and worst */
	size_t buffered;
	/* How many took that long, and longer than the bound before. */
	uint64_t write_within[JOURNAL_BOUNDS], sync_within[JOURNAL_BOUNDS];
};

/* Opens for appending, in a new segment. A torn tail is cut to the last whole record (reported in
 * *cut, in bytes, and in the log); a record that does not verify but has valid ones after it, or
 * lies before the last segment, is HW_ECORRUPT and names file and offset. HW_EEXISTS: another
 * process has it open. `cut` may be NULL. */
int journal_open(struct journal **ret, const struct journal_config *config, uint64_t *cut,
	struct hw_err *err);
void journal_close(struct journal *j); /* writes, syncs, joins the thread; NULL is fine */

/* Seals the record into memory and sets *end to the position after it (may be NULL). Any thread.
 * HW_ERECORD when the journal has failed, HW_EFULL when 32 MiB wait to be written. */
int journal_append(struct journal *j, const struct journal_record *r, jpos *end);

/* Appends a JOURNAL_LEDGER record whose bytes `encode` makes for the sequence number that is its
 * turn: called under the journal's lock, so that numbers and positions have the same order and no
 * number is lost. encode must not call back; when it fails, its code is returned and the number
 * stays. */
int journal_append_ledger(struct journal *j, uint8_t flags,
	int (*encode)(void *arg, uint64_t sequence, struct buf *out), void *arg, jpos *end);

/* One write(2) of all that is buffered; the loop calls it at the end of a turn. Does not sync, and
 * never waits for a sync. */
int journal_write(struct journal *j);
/* Asks the writer thread to write and sync soon. Returns at once. */
void journal_sync(struct journal *j);
/* Waits until everything below pos is on disk. Never on the loop's thread. */
int journal_wait(struct journal *j, jpos pos);
/* The same for all that was appended before the call. */
int journal_settle(struct journal *j);

jpos journal_written(const struct journal *j);
jpos journal_synced(const struct journal *j);
size_t journal_segment_size(const struct journal *j);
bool journal_failed(const struct journal *j);
/* The disk is full, and what is written takes from what was set aside for last words. */
bool journal_low(const struct journal *j);
/* Whether it can record. When it is low, the writer thread is asked to set room aside again
 * (without one it is done here): the next call says whether it could. False once it has failed. */
bool journal_recover(struct journal *j);
#define JOURNAL_WHY_MAX 256
void journal_why(struct journal *j, char out[JOURNAL_WHY_MAX]); /* once it has failed or is low */
uint64_t journal_ledger_next(struct journal *j);		/* the next sequence number */
/* The same, and the position that all entries before it lie below. */
uint64_t journal_ledger_mark(struct journal *j, jpos *end);
void journal_stats(struct journal *j, struct journal_stats *ret);

/* --- reading ---------------------------------------------------------------------------------- */

struct journal_reader;
/* From the first record at or after pos, or the oldest that is left; follows a journal that is
 * being written. */
int journal_reader_open(struct journal_reader **ret, const char *dir,
	const struct secret_key *master, jpos pos, struct hw_err *err);
/* From the segment on that has ledger entry `sequence`, or the oldest that is left. */
int journal_reader_open_ledger(struct journal_reader **ret, const char *dir,
	const struct secret_key *master, uint64_t sequence, struct hw_err *err);
/* 1 and a record (bytes good until the next call) and the position after it; 0 at the present end;
 * HW_ECORRUPT; HW_ENOTFOUND when what comes next has been dropped. */
int journal_reader_next(struct journal_reader *r, struct journal_record *ret, jpos *end,
	struct hw_err *err);
/* Of the segment that is being read: its first position, and the sequence number of the first
 * ledger entry in it or after it. */
jpos journal_reader_segment(const struct journal_reader *r);
uint64_t journal_reader_ledger_first(const struct journal_reader *r);
void journal_reader_close(struct journal_reader *r);

/* Deletes whole segments that lie below pos, never the one that is written. */
int journal_drop_below(struct journal *j, jpos pos, struct hw_err *err);

#endif
