/*
 * The ledger: one canonical entry (message ledger_entry) for everything that anyone did. This is
 * the one place that appends: it adds relay, sequence, salt and time, encodes, and hands the bytes
 * to the journal. Thread-safe.
 */
#ifndef HAWSER_AUDIT_LEDGER_H
#define HAWSER_AUDIT_LEDGER_H

#include "audit/journal.h"
#include "proto/schema/schema.h"

struct arena;
struct ledger;

/* `relay` is copied. NULL without memory. */
struct ledger *ledger_new(struct journal *j, const char *relay, const struct hw_clock *clock);
void ledger_free(struct ledger *l);

/* Appends without waiting: for what needs no answer (link.up). `entry` has principal, action, ...;
 * kind, relay, sequence, salt and time are filled in, in a copy. *end may be NULL. HW_EVALIDATION:
 * the entry breaks its bounds, and took no number. */
int ledger_append(struct ledger *l, enum entry_kind kind, const struct msg_ledger_entry *entry,
	jpos *end);

/* The same, and returns when it is on disk. Never on the loop's thread. */
int ledger_commit(struct ledger *l, enum entry_kind kind, const struct msg_ledger_entry *entry);

/* The leaf hash of an entry's bytes: SHA-256(0x00 || bytes), as RFC 9162 hashes leaves. */
void ledger_leaf(uint8_t out[SHA256_LEN], const void *bytes, size_t n);

/* Reads the ledger's own files and what of the journal is not yet there, in order; either directory
 * may be missing. Asked again at the end it goes on with what came since. */
struct ledger_reader;
int ledger_reader_open(struct ledger_reader **ret, const char *ledger_dir, const char *journal_dir,
	const struct secret_key *master, struct hw_err *err);
/* 1, with the entry and its exact bytes, both in the arena; 0 at the end; HW_ECORRUPT names the
 * entry. */
int ledger_reader_next(struct ledger_reader *r, struct arena *a, struct msg_ledger_entry **entry,
	struct msg_bin *bytes, struct hw_err *err);
void ledger_reader_close(struct ledger_reader *r);

#endif
