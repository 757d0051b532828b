/*
 * The ledger's Merkle tree on disk, LEDGER-DIR/tree: every hash of it, in post-order. After 32
 * bytes of head ("hwtree1\n" and zeros) node (level, k), which stands over the entries from
 * k << level on, lies where it was when entry ((k + 1) << level) - 1 completed it: each entry's
 * leaf, then all that it completed. What is complete never changes.
 *
 * One writer; proofs of what was synced may be made from other threads meanwhile.
 */
#ifndef HAWSER_AUDIT_TREE_H
#define HAWSER_AUDIT_TREE_H

#include "audit/journal.h"
#include "proto/trust/merkle.h"

struct tree;

/* Opens it, made when missing, with the first `keep` entries: what else is there is cut off. The
 * directory must be there. HW_ECORRUPT when it has fewer. */
int tree_open(struct tree **ret, const char *dir, uint64_t keep, const struct journal_io *io,
	struct hw_err *err);
void tree_close(struct tree *t); /* drops what was not synced; NULL is fine */

/* Into memory. Fails without memory only. */
int tree_append(struct tree *t, const uint8_t leaf[MERKLE_LEN]);
uint64_t tree_size(const struct tree *t);		       /* with what is in memory */
void tree_root(const struct tree *t, uint8_t out[MERKLE_LEN]); /* of all of that */
/* To disk. HW_EFULL: the disk is full, and what was not synced stays in memory, to be tried again;
 * any other failure is final: open it again. */
int tree_sync(struct tree *t, struct hw_err *err);

/* Of the first `size` entries, which are on disk. HW_ECORRUPT when the file has not so many. */
int tree_leaf(const struct tree *t, uint64_t index, uint8_t out[MERKLE_LEN], struct hw_err *err);
int tree_root_at(const struct tree *t, uint64_t size, uint8_t out[MERKLE_LEN], struct hw_err *err);
/* Proofs are *n hashes one after another. index < size; old_size <= size. */
int tree_inclusion(const struct tree *t, uint64_t index, uint64_t size,
	uint8_t out[MERKLE_PROOF_MAX * MERKLE_LEN], size_t *n, struct hw_err *err);
int tree_consistency(const struct tree *t, uint64_t old_size, uint64_t size,
	uint8_t out[MERKLE_PROOF_MAX * MERKLE_LEN], size_t *n, struct hw_err *err);

#endif
