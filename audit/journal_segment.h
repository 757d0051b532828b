/*
 * One segment file of a journal: a head, then frames.
 *
 *   head   "hwjrnl1\n", u64 first position, u64 first ledger sequence, i64 time, wrapped key;
 *          zeros up to 128 bytes
 *   frame  u32 length of the rest, u32 CRC-32C of length and rest, sealed record
 *   record type, stream, flags, 0, u32 author, u64 session, u64 offset, i64 time, bytes
 *
 * Numbers are little-endian. The head is authenticated with the wrapped key; a record with its
 * position as nonce, and position and length as associated data.
 */
#ifndef HAWSER_AUDIT_JOURNAL_SEGMENT_H
#define HAWSER_AUDIT_JOURNAL_SEGMENT_H

#include "audit/journal.h"

#define SEGMENT_HEAD_LEN 128
#define SEGMENT_NAME_LEN 28 /* journal-<16 hex digits>.seg */
#define SEGMENT_NEXT	 "journal.next"
#define FRAME_HEAD_LEN	 8
#define RECORD_HEAD_LEN	 32
#define FRAME_LEN(n)	 (FRAME_HEAD_LEN + RECORD_HEAD_LEN + (n) + SECRET_TAG_LEN)
#define FRAME_MAX	 FRAME_LEN(JOURNAL_RECORD_MAX)

struct segment_head {
	jpos first;
	uint64_t ledger_first;
	int64_t created;
};

void segment_name(char out[SEGMENT_NAME_LEN + 1], jpos first);
/* First positions of the segments in a directory, ascending; free() them. */
int segment_list(jpos **ret, size_t *n, int dir, struct hw_err *err);

int segment_head_make(uint8_t out[SEGMENT_HEAD_LEN], const struct segment_head *head,
	const struct secret_key *key, const struct secret_key *wrap);

/* Seals a record at `pos` into `out`, which has room for FRAME_LEN(r->len). */
int segment_frame_make(uint8_t *out, struct secret_stream *key, jpos pos,
	const struct journal_record *r);

/* --- reading ---------------------------------------------------------------------------------- */

struct segment;

enum segment_next {
	SEGMENT_END = 0, /* nothing more, at a record's end */
	SEGMENT_RECORD = 1,
	SEGMENT_TORN = 2, /* bytes that are no whole record, and no valid one after them */
};

/* HW_ENOTFOUND, HW_ECORRUPT for the head. */
int segment_open(struct segment **ret, int dir, const char *name, const struct secret_key *wrap,
	struct hw_err *err);
void segment_close(struct segment *s);

/* An enum segment_next, or HW_ECORRUPT with file and offset. After END or TORN it can be asked
 * again: the file may have grown. */
int segment_next(struct segment *s, struct journal_record *ret, struct hw_err *err);

const struct segment_head *segment_head(const struct segment *s);
jpos segment_at(const struct segment *s); /* the position after the last record that was returned */
int segment_fd(const struct segment *s);

/* Wraps the segment's key anew. HW_ENOTFOUND: its head was not wholly written, so that nothing is
 * in it. */
int segment_rewrap(int dir, const char *name, const struct secret_key *from,
	const struct secret_key *to, struct hw_err *err);

#endif
