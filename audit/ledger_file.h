/*
 * The ledger's own files, to which the archiver moves entries from the journal: ledger-<first
 * sequence as 16 hex digits>.log.
 *
 *   head   "hwledg1\n", u64 first sequence, wrapped key; zeros up to 128 bytes
 *   entry  u32 length of the rest, u32 CRC-32C of length and rest, sealed bytes
 */
#ifndef HAWSER_AUDIT_LEDGER_FILE_H
#define HAWSER_AUDIT_LEDGER_FILE_H

#include "audit/journal.h"

struct ledger_writer;

/* `kept_from`: the oldest sequence that the journal still has, from which what a crash cut here can
 * be made again. HW_ECORRUPT when it cannot. */
int ledger_writer_open(struct ledger_writer **ret, const char *dir, const struct secret_key *master,
	uint64_t kept_from, const struct journal_io *io, struct hw_err *err);
uint64_t ledger_writer_next(const struct ledger_writer *w); /* the sequence that is its turn */
/* Into memory; `sequence` must be ledger_writer_next(). */
int ledger_writer_append(struct ledger_writer *w, const void *bytes, size_t n, struct hw_err *err);
size_t ledger_writer_buffered(const struct ledger_writer *w);
/* To disk. */
int ledger_writer_sync(struct ledger_writer *w, struct hw_err *err);
void ledger_writer_close(struct ledger_writer *w); /* drops what is in memory */

struct ledger_files;

/* From the oldest entry on. HW_ENOTFOUND without the directory or a file in it. */
int ledger_files_open(struct ledger_files **ret, const char *dir, const struct secret_key *master,
	struct hw_err *err);
uint64_t ledger_files_next(const struct ledger_files *f); /* the sequence of the next entry */
/* 1 and an entry's bytes, good until the next call; 0 at the end, or at an entry that is not wholly
 * written; HW_ECORRUPT. */
int ledger_files_read(struct ledger_files *f, const uint8_t **p, size_t *n, struct hw_err *err);
void ledger_files_close(struct ledger_files *f);

#endif
