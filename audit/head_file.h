/*
 * The file of signed heads, LEDGER-DIR/heads: "hwheads1", then records of 160 bytes:
 *
 *   u32 CRC-32C of the rest, u32 epoch, u64 size, i64 time, u64 filed, root, chain, signature
 *
 * A head's text (proto/trust/log_head.h) is made of its record and the ledger's origin. Every head
 * is on disk before anybody hears of it. A file that has grown is thinned: of its older half every
 * second head goes, but never the last of an epoch.
 */
#ifndef HAWSER_AUDIT_HEAD_FILE_H
#define HAWSER_AUDIT_HEAD_FILE_H

#include "audit/journal.h"
#include "proto/trust/log_head.h"

#define HEAD_RECORD_LEN 160

struct head_file;

/* Made when missing. A record that was cut off at the end goes; HW_ECORRUPT: one before the last
 * does not verify. */
int head_file_open(struct head_file **ret, const char *dir, const struct journal_io *io,
	struct hw_err *err);
void head_file_close(struct head_file *f);
/* The newest; NULL when there is none. Good until the next append. */
const struct log_head *head_file_last(const struct head_file *f);
/* To disk. HW_EFULL: the disk is full, and the file is as before; any other failure is final: open
 * it again. */
int head_file_append(struct head_file *f, const struct log_head *head, struct hw_err *err);
/* Drops all heads of a ledger longer than `size`: one that was recovered. On disk when it returns.
 */
int head_file_cut(struct head_file *f, uint64_t size, struct hw_err *err);

/* The record of a head, and the reverse (HW_ECORRUPT); safe on hostile bytes. Neither knows the
 * key's id. */
void head_record_put(uint8_t out[HEAD_RECORD_LEN], const struct log_head *head);
int head_record_get(struct log_head *ret, const uint8_t in[HEAD_RECORD_LEN]);

#endif
