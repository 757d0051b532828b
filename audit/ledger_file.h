/*
 * The ledger's own files, to which the archiver moves entries from the journal: ledger-<first
 * sequence as 16 hex digits>.log.
 *
 *   head   "hwledg2\n", u64 first sequence, wrapped key, the chain's value before the first entry,
 *          zeros, and from byte 124 on u32 CRC-32C of all that
 *   entry  u32 length of what is after the checksum, u32 CRC-32C, u32 flags, the leaf's hash,
 *          SHA-256 of the stored bytes, the stored bytes
 *
 * An entry is stored sealed, or, with LEDGER_OPEN, as it is. LEDGER_ERASED: its stored bytes are
 * zeros; leaf and hash are those of what was there. The checksum is over length, flags without
 * LEDGER_ERASED, and the two hashes. The chain runs over all files: it begins with zeros, and after
 * an entry is SHA-256 of its value before, those flags, and the two hashes: so an entry may be
 * erased without breaking either.
 */
#ifndef HAWSER_AUDIT_LEDGER_FILE_H
#define HAWSER_AUDIT_LEDGER_FILE_H

#include "audit/journal.h"
#include "proto/trust/merkle.h"

enum { LEDGER_OPEN = 1, LEDGER_ERASED = 2 };

struct ledger_writer;

/* `kept_from`: the oldest sequence that the journal still has, from which what a crash cut here can
 * be made again. HW_ECORRUPT when it cannot. */
int ledger_writer_open(struct ledger_writer **ret, const char *dir, const struct secret_key *master,
	uint64_t kept_from, const struct journal_io *io, struct hw_err *err);
/* A file that has grown past `size` bytes is followed by another one: 64 MiB before the call. */
void ledger_writer_set_file_max(struct ledger_writer *w, size_t size);
uint64_t ledger_writer_next(const struct ledger_writer *w); /* the sequence that is its turn */
/* Into memory. `flags`: 0 or LEDGER_OPEN. */
int ledger_writer_append(struct ledger_writer *w, const void *bytes, size_t n, uint32_t flags,
	struct hw_err *err);
size_t ledger_writer_buffered(const struct ledger_writer *w);
/* To disk. */
int ledger_writer_sync(struct ledger_writer *w, struct hw_err *err);
/* How many entries are on disk, and the chain's value after them. */
uint64_t ledger_writer_filed(const struct ledger_writer *w, uint8_t chain[MERKLE_LEN]);
void ledger_writer_close(struct ledger_writer *w); /* drops what is in memory */

struct ledger_files;

/* From the oldest entry on, or from entry `from`, which must not be below the oldest. HW_ENOTFOUND
 * without the directory or a file in it. */
int ledger_files_open(struct ledger_files **ret, const char *dir, const struct secret_key *master,
	uint64_t from, struct hw_err *err);
uint64_t ledger_files_next(const struct ledger_files *f); /* the sequence of the next entry */

struct ledger_stored {
	const uint8_t *bytes; /* the entry's, good until the next call; none of an erased one */
	size_t n;
	bool erased;
	uint8_t leaf[MERKLE_LEN];
};
/* 1 and an entry; 0 at the end, or at an entry that is not wholly written; HW_ECORRUPT. */
int ledger_files_read(struct ledger_files *f, struct ledger_stored *ret, struct hw_err *err);
/* Goes to the next entry behind the one that is due which can be read, in this file or at the
 * beginning of a later one. HW_ENOTFOUND: there is none. */
int ledger_files_pass(struct ledger_files *f, struct hw_err *err);
void ledger_files_close(struct ledger_files *f);

/* Wraps the keys of all files anew. A directory that is missing has none. */
int ledger_files_rewrap(const char *dir, const struct secret_key *from, const struct secret_key *to,
	struct hw_err *err);
/* Overwrites the stored bytes of an entry that is in the files, in place and on disk. Nobody may
 * write to the files meanwhile. Fine when it is erased already. HW_ENOTFOUND. */
int ledger_files_erase(const char *dir, uint64_t sequence, const struct secret_key *master,
	struct hw_err *err);

#endif
