/*
 * The ledger's tree and its signed heads, of a relay that runs: takes each entry as it gets its
 * number, adds it to the tree once the journal has it on disk, signs a head, and makes proofs.
 * Thread-safe but for opening and closing.
 */
#ifndef HAWSER_AUDIT_LEDGER_HEADS_H
#define HAWSER_AUDIT_LEDGER_HEADS_H

#include "audit/journal.h"
#include "proto/trust/log_epoch.h"

#define LEDGER_HEADS_WHY_MAX 192 /* with NUL */

struct ledger_heads;

struct ledger_heads_config {
	const char *ledger_dir, *journal_dir; /* the former is made when missing */
	struct journal *journal;
	const struct secret_key *master;
	const struct hw_clock *clock;
	struct log_epochs *epochs;   /* at least one; taken over on success */
	EVP_PKEY *key;		     /* that of the last epoch; taken over on success */
	const struct journal_io *io; /* NULL: the system's */
};

/* Takes up where the last head stands, and adds what the journal has since. HW_ECORRUPT: the tree
 * does not fit its last head, or the journal has fewer entries than were signed. */
int ledger_heads_open(struct ledger_heads **ret, const struct ledger_heads_config *config,
	struct hw_err *err);
void ledger_heads_close(struct ledger_heads *h); /* NULL is fine */

/* An entry's bytes, under the journal's lock. The number may come again, when the journal did not
 * take the entry. */
void ledger_heads_take(struct ledger_heads *h, uint64_t sequence, const void *bytes, size_t n);
/* How far the ledger's own files are on disk, and their chain's value there. */
void ledger_heads_filed(struct ledger_heads *h, uint64_t filed, const uint8_t chain[MERKLE_LEN]);

/* Signs a new head when there is something new, or the last is ten minutes old. To be called twice
 * a second, from any thread but the loop's. HW_EFULL: the disk is full, and it is tried again when
 * two seconds have passed; HW_ERECORD once the journal, the tree or the heads could not be written.
 */
int ledger_heads_make(struct ledger_heads *h, struct hw_err *err);
/* Whether the last call could sign; why not, if it could not, whoever made it. */
bool ledger_heads_well(struct ledger_heads *h, char why[LEDGER_HEADS_WHY_MAX]);

/* Whether ledger_heads_make() would sign one; for who asks often, as it waits for no disk. */
bool ledger_heads_due(struct ledger_heads *h);

/* The newest head; false before the first. */
bool ledger_heads_latest(struct ledger_heads *h, struct log_head *ret);
const struct log_epochs *ledger_heads_epochs(const struct ledger_heads *h);

/* Proofs up to the newest head: HW_EVALIDATION for what is beyond it, HW_EIO, HW_ECORRUPT. */
int ledger_heads_inclusion(struct ledger_heads *h, uint64_t index, uint64_t size,
	uint8_t leaf[MERKLE_LEN], uint8_t proof[MERKLE_PROOF_MAX * MERKLE_LEN], size_t *n,
	struct hw_err *err);
int ledger_heads_consistency(struct ledger_heads *h, uint64_t old_size, uint64_t size,
	uint8_t proof[MERKLE_PROOF_MAX * MERKLE_LEN], size_t *n, struct hw_err *err);

#endif
