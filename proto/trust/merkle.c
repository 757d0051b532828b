#include "proto/trust/merkle.h"

#include <string.h>

#include "proto/trust/secret.h"

_Static_assert(MERKLE_LEN == SHA256_LEN, "the tree is over SHA-256");

void
merkle_leaf(uint8_t out[MERKLE_LEN], const void *bytes, size_t n)
{
	sha256_joined(out, "", 1, bytes, n);
}

void
merkle_node(uint8_t out[MERKLE_LEN], const uint8_t left[MERKLE_LEN],
	const uint8_t right[MERKLE_LEN])
{
	uint8_t both[1 + 2 * MERKLE_LEN] = {1};

	memcpy(both + 1, left, MERKLE_LEN);
	memcpy(both + 1 + MERKLE_LEN, right, MERKLE_LEN);
	sha256(out, both, sizeof(both));
}

void
merkle_empty(uint8_t out[MERKLE_LEN])
{
	sha256(out, "", 0);
}

static bool
same(const uint8_t a[MERKLE_LEN], const uint8_t b[MERKLE_LEN])
{
	return memcmp(a, b, MERKLE_LEN) == 0;
}

/* One step up from node `fn` of a level whose last is `sn`; `up` takes the place of the hash. */
static bool
is_right(uint64_t fn, uint64_t sn)
{
	return (fn & 1) != 0 || fn == sn;
}

static void
climb(uint64_t *fn, uint64_t *sn)
{
	while ((*fn & 1) == 0 && *fn != 0) {
		*fn >>= 1;
		*sn >>= 1;
	}
}

bool
merkle_includes(const uint8_t root[MERKLE_LEN], uint64_t size, uint64_t index,
	const uint8_t leaf[MERKLE_LEN], const uint8_t *proof, size_t n)
{
	uint64_t fn = index, sn = size - 1;
	uint8_t r[MERKLE_LEN];

	if (index >= size || n > MERKLE_PROOF_MAX)
		return false;
	memcpy(r, leaf, MERKLE_LEN);
	for (size_t i = 0; i < n; i++) {
		const uint8_t *p = proof + i * MERKLE_LEN;
		if (sn == 0)
			return false;
		if (is_right(fn, sn)) {
			merkle_node(r, p, r);
			climb(&fn, &sn);
		} else {
			merkle_node(r, r, p);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && same(r, root);
}

bool
merkle_extends(uint64_t old_size, const uint8_t old_root[MERKLE_LEN], uint64_t new_size,
	const uint8_t new_root[MERKLE_LEN], const uint8_t *proof, size_t n)
{
	uint64_t fn = old_size - 1, sn = new_size - 1;
	uint8_t fr[MERKLE_LEN], sr[MERKLE_LEN];
	size_t i = 0;

	if (old_size > new_size || n > MERKLE_PROOF_MAX)
		return false;
	if (old_size == new_size)
		return n == 0 && same(old_root, new_root);
	if (old_size == 0) {
		merkle_empty(fr);
		return n == 0 && same(old_root, fr);
	}
	while ((fn & 1) != 0) {
		fn >>= 1;
		sn >>= 1;
	}
	/* The old tree is one whole subtree: its root stands for the proof's first hash. */
	const uint8_t *first = fn == 0 ? old_root : proof;
	if (fn != 0 && n-- == 0)
		return false;
	if (fn != 0)
		proof += MERKLE_LEN;
	memcpy(fr, first, MERKLE_LEN);
	memcpy(sr, first, MERKLE_LEN);
	for (; i < n; i++) {
		const uint8_t *p = proof + i * MERKLE_LEN;
		if (sn == 0)
			return false;
		if (is_right(fn, sn)) {
			merkle_node(fr, p, fr);
			merkle_node(sr, p, sr);
			climb(&fn, &sn);
		} else {
			merkle_node(sr, sr, p);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && same(fr, old_root) && same(sr, new_root);
}
