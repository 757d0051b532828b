/*
 * The ledger's tree (RFC 9162, section 2.1): hashes of leaves and nodes, and checking of proofs.
 * Pure; what makes proofs is audit/tree.h.
 */
#ifndef HAWSER_TRUST_MERKLE_H
#define HAWSER_TRUST_MERKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MERKLE_LEN	 32
#define MERKLE_PROOF_MAX 65 /* hashes of a proof, at most */

/* SHA-256(0x00 || bytes), and SHA-256(0x01 || left || right). */
void merkle_leaf(uint8_t out[MERKLE_LEN], const void *bytes, size_t n);
void merkle_node(uint8_t out[MERKLE_LEN], const uint8_t left[MERKLE_LEN],
	const uint8_t right[MERKLE_LEN]);
/* The root of a tree without leaves. */
void merkle_empty(uint8_t out[MERKLE_LEN]);

/* Whether the proof, n hashes one after another, shows that the leaf is entry `index` (from 0) of
 * the tree of that size and root. Safe on hostile input. */
bool merkle_includes(const uint8_t root[MERKLE_LEN], uint64_t size, uint64_t index,
	const uint8_t leaf[MERKLE_LEN], const uint8_t *proof, size_t n);

/* Whether the proof shows that the old tree is how the new one began. Two empty or equal trees need
 * no hashes, and take none. */
bool merkle_extends(uint64_t old_size, const uint8_t old_root[MERKLE_LEN], uint64_t new_size,
	const uint8_t new_root[MERKLE_LEN], const uint8_t *proof, size_t n);

#endif
