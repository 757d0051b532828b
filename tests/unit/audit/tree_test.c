#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/tree.h"
#include "tests/unit/audit/scratch.h"

#define MANY 70

static struct scratch s;
static char tree_file[96];

static void
setup(void)
{
	scratch_init(&s);
	mkdir(s.ledger, 0700);
	snprintf(tree_file, sizeof(tree_file), "%s/tree", s.ledger);
}

static void
teardown(void)
{
	scratch_fini(&s);
}

TestSuite(tree, .init = setup, .fini = teardown, .timeout = 60);

static void
make_leaf(uint8_t out[MERKLE_LEN], unsigned i)
{
	merkle_leaf(out, &i, sizeof(i));
}

/* The root as its definition says, from the leaves alone. */
static void
plain_root(uint8_t out[MERKLE_LEN], unsigned from, unsigned n)
{
	uint8_t left[MERKLE_LEN], right[MERKLE_LEN];
	unsigned k = 1;

	if (n == 0) {
		merkle_empty(out);
		return;
	}
	if (n == 1) {
		make_leaf(out, from);
		return;
	}
	while (2 * k < n)
		k *= 2;
	plain_root(left, from, k);
	plain_root(right, from + k, n - k);
	merkle_node(out, left, right);
}

static struct tree *
open_tree(uint64_t keep)
{
	struct hw_err err = HW_ERR_INIT;
	struct tree *t = NULL;

	cr_assert(eq(int, tree_open(&t, s.ledger, keep, NULL, &err), 0), "%s", hw_err_text(&err));
	return t;
}

static void
grow(struct tree *t, unsigned to)
{
	uint8_t leaf[MERKLE_LEN];

	for (unsigned i = (unsigned)tree_size(t); i < to; i++) {
		make_leaf(leaf, i);
		cr_assert(eq(int, tree_append(t, leaf), 0));
	}
	cr_assert(eq(int, tree_sync(t, NULL), 0));
}

Test(tree, every_root_is_that_of_its_leaves)
{
	struct tree *t = open_tree(0);
	uint8_t want[MERKLE_LEN], got[MERKLE_LEN];

	for (unsigned n = 0; n <= MANY; n++) {
		grow(t, n);
		plain_root(want, 0, n);
		tree_root(t, got);
		cr_assert(eq(int, memcmp(want, got, MERKLE_LEN), 0), "%u", n);
	}
	for (unsigned n = 0; n <= MANY; n++) {
		plain_root(want, 0, n);
		cr_assert(eq(int, tree_root_at(t, n, got, NULL), 0));
		cr_assert(eq(int, memcmp(want, got, MERKLE_LEN), 0), "%u", n);
	}
	tree_close(t);
}

Test(tree, every_inclusion_proof_is_good_for_its_entry_alone)
{
	uint8_t proof[MERKLE_PROOF_MAX * MERKLE_LEN], root[MERKLE_LEN], leaf[MERKLE_LEN];
	struct tree *t = open_tree(0);
	size_t n;

	grow(t, MANY);
	for (unsigned size = 1; size <= MANY; size++)
		for (unsigned i = 0; i < size; i++) {
			plain_root(root, 0, size);
			make_leaf(leaf, i);
			cr_assert(eq(int, tree_inclusion(t, i, size, proof, &n, NULL), 0));
			cr_assert(merkle_includes(root, size, i, leaf, proof, n), "%u of %u", i,
				size);
			cr_assert(not(merkle_includes(root, size, i ^ 1, leaf, proof, n)));
			leaf[0] ^= 1;
			cr_assert(not(merkle_includes(root, size, i, leaf, proof, n)));
			leaf[0] ^= 1;
			if (n == 0)
				continue;
			cr_assert(not(merkle_includes(root, size, i, leaf, proof, n - 1)));
			proof[(i * 7) % (n * MERKLE_LEN)] ^= 4;
			cr_assert(not(merkle_includes(root, size, i, leaf, proof, n)));
		}
	tree_close(t);
}

Test(tree, every_consistency_proof_is_good_and_no_other)
{
	uint8_t proof[MERKLE_PROOF_MAX * MERKLE_LEN], a[MERKLE_LEN], b[MERKLE_LEN];
	struct tree *t = open_tree(0);
	size_t n;

	grow(t, MANY);
	for (unsigned size = 0; size <= MANY; size++)
		for (unsigned old = 0; old <= size; old++) {
			plain_root(a, 0, old);
			plain_root(b, 0, size);
			cr_assert(eq(int, tree_consistency(t, old, size, proof, &n, NULL), 0));
			cr_assert(merkle_extends(old, a, size, b, proof, n), "%u %u", old, size);
			a[5] ^= 1;
			cr_assert(not(merkle_extends(old, a, size, b, proof, n)));
			a[5] ^= 1;
			if (n == 0)
				continue;
			cr_assert(not(merkle_extends(old, a, size, b, proof, n - 1)));
			proof[(old * 11) % (n * MERKLE_LEN)] ^= 1;
			cr_assert(not(merkle_extends(old, a, size, b, proof, n)));
		}
	tree_close(t);
}

Test(tree, is_taken_up_at_any_size_that_it_had)
{
	uint8_t want[MERKLE_LEN], got[MERKLE_LEN];

	for (unsigned keep = 0; keep <= MANY; keep += 3) {
		struct tree *t = open_tree(0);
		grow(t, MANY);
		tree_close(t);
		t = open_tree(keep);
		cr_assert(eq(u64, tree_size(t), keep));
		plain_root(want, 0, keep);
		tree_root(t, got);
		cr_assert(eq(int, memcmp(want, got, MERKLE_LEN), 0));
		grow(t, MANY + 5);
		plain_root(want, 0, MANY + 5);
		tree_root(t, got);
		cr_assert(eq(int, memcmp(want, got, MERKLE_LEN), 0));
		tree_close(t);
	}
}

Test(tree, what_was_not_synced_is_not_there)
{
	struct tree *t = open_tree(0);
	uint8_t leaf[MERKLE_LEN];

	grow(t, 4);
	make_leaf(leaf, 4);
	tree_append(t, leaf);
	tree_close(t);
	cr_assert(eq(int, (int)file_length(tree_file), 32 * (1 + 7)));
}

Test(tree, a_file_that_is_too_short_is_refused)
{
	struct hw_err err = HW_ERR_INIT;
	struct tree *t = open_tree(0);

	grow(t, 9);
	tree_close(t);
	t = NULL;
	cr_assert(eq(int, tree_open(&t, s.ledger, 10, NULL, &err), HW_ECORRUPT));
	cr_assert(not(zero(sz, strlen(hw_err_text(&err)))));
	cr_assert(eq(ptr, t, NULL));
	file_flip(tree_file, 3);
	cr_assert(eq(int, tree_open(&t, s.ledger, 9, NULL, &err), HW_ECORRUPT));
}
