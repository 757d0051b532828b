/*
 * Recordings: one sealed file a session, derived from the journal by the archiver thread: blocks of
 * events, compressed (zstd), sealed with a key of the recording's own that the master key wraps,
 * chained by SHA-256; the last block says how the session ended.
 *
 * An input byte becomes readable only when a mark said that the terminal showed it. Otherwise it is
 * sealed to the auditors' public key (DIR/auditors.pub, 64 hex digits, when there is one) and its
 * count and time show; without a key it is dropped and its count kept. Masks (PCRE2, DIR/masks, one
 * a line) apply to the readable text by line.
 */
#ifndef HAWSER_AUDIT_RECORDING_H
#define HAWSER_AUDIT_RECORDING_H

#include "audit/journal.h"
#include "proto/schema/schema.h"

struct arena;

/* --- events: what a recording holds, and what GetRecording sends
 * ------------------------------------------------------------ */

enum event_type {
	EVENT_DATA = 1, /* bytes of a stream, readable */
	EVENT_HIDDEN,	/* `hidden` input bytes that the terminal did not show; bytes: sealed to the
			   auditors, or empty */
	EVENT_RESIZE,	/* cols, rows */
	EVENT_END_STREAM,
	EVENT_REWIND, /* offset: input from there on was not delivered */
	EVENT_NOTE,   /* bytes: text */
	EVENT_CLOSE,  /* bytes: an encoded msg_close */
};

struct event {
	enum event_type type;
	int64_t time; /* microseconds since the session's start */
	uint8_t stream;
	uint32_t author;
	uint64_t offset;
	uint32_t hidden;
	uint16_t cols, rows;
	const uint8_t *bytes;
	size_t len;
};

int event_encode(struct buf *out, const struct event *ev);
/* Reads one event at p; *used is its length. HW_ECORRUPT. Safe on hostile bytes. */
int event_decode(struct event *ev, const void *p, size_t n, size_t *used);

/* --- the archiver
 * ------------------------------------------------------------------------------------------------------------
 */

struct archiver;
struct archiver_config {
	const char *journal_dir, *recordings_dir,
		*ledger_dir; /* the latter two are made when missing */
	struct journal *journal;
	const struct secret_key *master;
	const struct log_ctx *log;
	const struct hw_clock *clock;
	const char *auditors_file, *masks_file; /* read at start; NULL or missing: none */
	bool threaded;				/* false: archiver_run() does the work (tests) */
	/* A recording is complete and on disk: its final hash and size. From the archiver's thread.
	 */
	void (*on_sealed)(void *arg, const char *session_id, const uint8_t hash[SHA256_LEN],
		uint64_t size);
	void *arg;
};

/* Takes up where it was: recordings that a crash cut are cut to their last whole block and
 * completed from the journal. */
int archiver_new(struct archiver **ret, const struct archiver_config *config, struct hw_err *err);
void archiver_free(struct archiver *a);
int archiver_run(struct archiver *a,
	struct hw_err *err); /* all that is synced now; not when threaded */
/* Returns when all of the session that is synced now can be read from its file. Any thread but the
 * loop's. */
int archiver_flush(struct archiver *a, const char *session_id, struct hw_err *err);

/* --- reading
 * -----------------------------------------------------------------------------------------------------------------
 */

struct recording;
/* HW_ENOTFOUND; HW_ECORRUPT names the block. `meta` lives in the recording. */
int recording_open(struct recording **ret, const char *recordings_dir, const char *session_id,
	const struct secret_key *master, struct hw_err *err);
void recording_close(struct recording *r);
const struct msg_recording_meta *recording_meta(const struct recording *r);
/* The next block's encoded events (good until the next call): 1; 0 at the end. */
int recording_next(struct recording *r, const uint8_t **p, size_t *n, struct hw_err *err);
bool recording_complete(const struct recording
		*r); /* at the end: whether the last block was there */

#endif
