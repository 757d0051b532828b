/*
 * Recordings: one sealed file a session, derived from the journal by the archiver: blocks of
 * events, compressed (zstd), sealed with a key of the recording's own that the master key wraps,
 * chained by SHA-256; the last block says how the session ended. A live one is DIR/<session
 * id>.part, a complete one DIR/<session id>.rec.
 *
 * An input byte becomes readable only when a mark said that the terminal showed it. Otherwise it is
 * sealed to the auditors' public keys (proto/trust/auditor_key.h has their file) and its count and
 * time show; without a key it is dropped and its count kept. Masks (PCRE2, one a line in a file)
 * apply to the readable text by line: audit/mask.h says how far.
 */
#ifndef HAWSER_AUDIT_RECORDING_H
#define HAWSER_AUDIT_RECORDING_H

#include "audit/journal.h"
#include "proto/schema/schema.h"

/* --- events: what a recording holds, and what GetRecording sends ------------------------------ */

enum event_type {
	EVENT_DATA = 1, /* bytes of a stream, readable */
	EVENT_HIDDEN, /* `hidden` input bytes from offset on that the terminal did not show; bytes:
		       * sealed to the auditors (audit/sealed.h), or empty */
	EVENT_RESIZE, /* cols, rows */
	EVENT_END_STREAM, /* stream ended at offset */
	EVENT_REWIND,	  /* offset: of the stream, what is from there on was not delivered */
	EVENT_NOTE,	  /* bytes: text */
	EVENT_CLOSE,	  /* bytes: an encoded msg_close */
	EVENT_AUTHOR,	  /* input from offset on is of this author; bytes: an encoded
			   * msg_recording_author */
	EVENT_SCREEN,	  /* bytes: of what some terminals were shown of the screen, as output up to
			   * offset had left it; `hidden`: so many bytes of it come in the next ones */
};

struct event {
	enum event_type type;
	int64_t time; /* microseconds since the session's start, never negative */
	uint8_t stream;
	uint32_t author;
	uint64_t offset;
	uint32_t hidden;
	uint16_t cols, rows;
	const uint8_t *bytes;
	size_t len; /* at most EVENT_BYTES_MAX in a recording */
};
#define EVENT_BYTES_MAX (64 * 1024 + BOX_OVERHEAD(BOX_READERS_MAX))
#define EVENT_HEAD_MAX	48 /* what an event's encoding has besides its bytes, at most */

/* One byte of type, one that says which fields follow, then those as variable-length numbers. */
int event_encode(struct buf *out, const struct event *ev);
/* Reads one event at p; *used is its length. HW_ECORRUPT. Safe on hostile bytes. */
int event_decode(struct event *ev, const void *p, size_t n, size_t *used);

/* --- the archiver ----------------------------------------------------------------------------- */

struct archiver;
struct archiver_config {
	const char *journal_dir;
	const char *recordings_dir, *ledger_dir; /* made when missing */
	struct journal *journal;
	const struct secret_key *master;
	const struct log_ctx *log; /* NULL: silent */
	const struct hw_clock *clock;
	const char *auditors_file, *masks_file; /* read at start; NULL or missing: none */
	const char *relay;	 /* its name, which hidden input is bound to; at most 64 bytes */
	size_t ledger_file_size; /* at which a file of the ledger is followed by another; 64 MiB
				  * when 0 */
	bool threaded;		 /* false: archiver_run() does the work (tests) */
	/* A recording is complete and on disk: its final hash and size. From the archiver's thread,
	 * or who flushes. Called once for each recording, also across crashes, if it returns 0 only
	 * when an ENTRY_RECORDING_SEALED entry with the session's id is on disk (ledger_commit);
	 * after an error it is called again, in two seconds and more or, when the journal has
	 * failed, by the next start, and the recording is not done with until then. It must not
	 * call the archiver.
	 */
	int (*on_sealed)(void *arg, const char *session_id, const uint8_t hash[SHA256_LEN],
		uint64_t size);
	/* A live recording is on disk up to a size, and has that hash there: every 8 MiB, and every
	 * minute in which it grew. NULL: nobody asks. From the archiver's thread; it must not call
	 * the archiver. */
	void (*on_checkpoint)(void *arg, const char *session_id, const uint8_t hash[SHA256_LEN],
		uint64_t size);
	/* The ledger's own files are on disk up to entry `filed`, and their chain has that value:
	 * at the start, and within a second or two of an entry. NULL: nobody asks. Likewise. */
	void (*on_filed)(void *arg, uint64_t filed, const uint8_t chain[SHA256_LEN]);
	/* It could not write, and stopped for good: the journal keeps everything and grows. */
	void (*on_failed)(void *arg, const char *why);
	/* The disk is full: it waits, and why is said, once however often it tries; it goes on,
	 * with all written that waited, and why is NULL. Under its lock, so nothing of it may be
	 * called. NULL: nobody listens. */
	void (*on_stalled)(void *arg, const char *why);
	void *arg;
	const struct journal_io *io; /* NULL: the system's */
};

/* Takes up where it was: recordings that a crash cut are cut to their last whole block and
 * completed from the journal. HW_ECORRUPT: one is damaged before what the journal still has. */
int archiver_new(struct archiver **ret, const struct archiver_config *config, struct hw_err *err);
void archiver_free(struct archiver *a); /* before the journal is closed; NULL is fine */
/* All that is synced now; not when threaded. HW_ERECORD after a failure. */
int archiver_run(struct archiver *a, struct hw_err *err);
/* Before the end: all that the journal has is taken, and the ledger's files are on disk. Fails as
 * archiver_run() does. */
int archiver_settle(struct archiver *a, struct hw_err *err);
/* Returns when all of the session that is synced now can be read from its file, up to the first
 * input of which it is not yet known whether it was shown; of one that has ended, all. Fails as
 * archiver_run() does; HW_EUNAVAILABLE: it did not come so far within ARCHIVER_PATIENCE, or waits
 * for room on the disk. What was written before can be read all the same. Any thread but the
 * loop's. */
int archiver_flush(struct archiver *a, const char *session_id, struct hw_err *err);
#define ARCHIVER_PATIENCE (3 * USEC_PER_SEC)
/* Between the two nothing is written, renamed or dropped that the archiver has in hand: recordings,
 * the ledger's own files, segments of the journal. Any thread but the loop's, the same for both;
 * who asks the archiver for anything waits. */
void archiver_hold(struct archiver *a);
void archiver_release(struct archiver *a);
/* Whom hidden input is sealed to; does not change. */
const struct box_readers *archiver_auditors(const struct archiver *a);

/* --- reading ---------------------------------------------------------------------------------- */

struct recording;
/* HW_ENOTFOUND; HW_ECORRUPT. HW_EVALIDATION: no session has such an id. */
int recording_open(struct recording **ret, const char *recordings_dir, const char *session_id,
	const struct secret_key *master, struct hw_err *err);
void recording_close(struct recording *r);
const struct msg_recording_meta *recording_meta(const struct recording *r); /* lives in it */
/* Whether it went on, or had not its final name, when it was opened. */
bool recording_is_live(const struct recording *r);
/* Before the first recording_next(), of a live one: goes on where its writer last left a mark, and
 * says how things stand there; else changes nothing. What is passed over is not checked. */
struct reached_streams;
void recording_skip(struct recording *r, struct reached_streams *at);
/* The next block's encoded events (good until the next call), at most RECORDING_BLOCK_MAX bytes: 1;
 * 0 at the end, where a growing one may be asked again. HW_ECORRUPT names the block. */
int recording_next(struct recording *r, const uint8_t **p, size_t *n, struct hw_err *err);
#define RECORDING_BLOCK_MAX (512 * 1024)
/* At the end: whether the last block was there. */
bool recording_complete(const struct recording *r);
/* Of what was read so far; at the end of a complete one: what on_sealed was told. */
void recording_hash(const struct recording *r, uint8_t out[SHA256_LEN]);

#endif
