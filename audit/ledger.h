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
struct ledger_heads;

/* `relay` is copied. NULL without memory. */
struct ledger *ledger_new(struct journal *j, const char *relay, const struct hw_clock *clock);
void ledger_free(struct ledger *l);
/* Before anything is appended: entries are handed to it as they get their numbers. It is the
 * caller's, and outlives the ledger. */
void ledger_set_heads(struct ledger *l, struct ledger_heads *heads);

/* Appends without waiting: for what needs no answer (link.up). `entry` has principal, action, ...;
 * kind, relay, sequence, salt and time are filled in, in a copy. *end may be NULL. HW_ERECORD when
 * the journal has failed, or is low and the entry tells of no end. HW_EVALIDATION:
 * the entry breaks its bounds, and took no number. */
int ledger_append(struct ledger *l, enum entry_kind kind, const struct msg_ledger_entry *entry,
	jpos *end);

/* The same, and returns when it is on disk. Never on the loop's thread. */
int ledger_commit(struct ledger *l, enum entry_kind kind, const struct msg_ledger_entry *entry);

/* Both, for who tells of it: the number that the entry got, or a negative code. */
int64_t ledger_append_numbered(struct ledger *l, enum entry_kind kind,
	const struct msg_ledger_entry *entry, jpos *end);
int64_t ledger_commit_numbered(struct ledger *l, enum entry_kind kind,
	const struct msg_ledger_entry *entry);

/* What the format of a log's line ends with for its entry: " entry=1234", or "" when the number is
 * below 0. It is the caller's until its block ends. */
#define ledger_pair(number) ledger_pair_in(&(struct ledger_pair){""}, number)
struct ledger_pair {
	char text[32];
};
const char *ledger_pair_in(struct ledger_pair *mem, int64_t number);

/* Whether entries of that kind lie open in the ledger's files: they hold hashes, numbers and names
 * of sessions, and who verifies without the master key needs them. */
bool ledger_kind_open(enum entry_kind kind);

/* What is shown in place of an erased entry, in the arena: it has a number and the kind
 * LEDGER_KIND_ERASED, and in the fields that a message must have what says nothing. HW_ENOMEM. */
#define LEDGER_KIND_ERASED "erased"
int ledger_erased(struct msg_ledger_entry **ret, struct arena *a, uint64_t sequence,
	struct hw_err *err);

/* The same in place of one that is damaged: LEDGER_KIND_DAMAGED, a time that it is not older than,
 * and what is wrong as its reason. */
#define LEDGER_KIND_DAMAGED "damaged"
int ledger_damaged(struct msg_ledger_entry **ret, struct arena *a, uint64_t sequence, int64_t time,
	const char *why, struct hw_err *err);

/* Reads the ledger's own files and what of the journal is not yet there, in order; either directory
 * may be missing, or NULL. Asked again at the end it goes on with what came since. */
struct ledger_reader;
int ledger_reader_open(struct ledger_reader **ret, const char *ledger_dir, const char *journal_dir,
	const struct secret_key *master, struct hw_err *err);
/* Before the first is read: begins with that entry, which must not be below the oldest. */
void ledger_reader_seek(struct ledger_reader *r, uint64_t sequence);
/* 1, with the entry and its exact bytes, both in the arena; 0 at the end; HW_ECORRUPT names the
 * entry. Of an erased one there are no bytes, and the entry is ledger_erased()'s. */
int ledger_reader_next(struct ledger_reader *r, struct arena *a, struct msg_ledger_entry **entry,
	struct msg_bin *bytes, struct hw_err *err);
/* After HW_ECORRUPT: goes on with the first entry behind that one which can be read, *behind.
 * HW_ENOTFOUND: there is none yet. */
int ledger_reader_pass(struct ledger_reader *r, uint64_t *behind, struct hw_err *err);
/* The leaf's hash of the entry that was read last. */
const uint8_t *ledger_reader_leaf(const struct ledger_reader *r);
void ledger_reader_close(struct ledger_reader *r);

#endif
