#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <string.h>

#include "proto/base/enc.h"
#include "proto/trust/merkle.h"

static bool
is(const uint8_t hash[MERKLE_LEN], const char *want)
{
	char text[2 * MERKLE_LEN + 1];

	hex_encode(text, hash, MERKLE_LEN);
	return strcmp(text, want) == 0;
}

/* Vectors that other implementations of RFC 9162 are tested with. */
Test(merkle, hashes_are_those_of_rfc_9162)
{
	uint8_t out[MERKLE_LEN];

	merkle_empty(out);
	cr_assert(is(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
	merkle_leaf(out, "", 0);
	cr_assert(is(out, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"));
	merkle_leaf(out, "L123456", 7);
	cr_assert(is(out, "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"));
}

Test(merkle, a_tree_of_one_needs_no_proof_and_takes_none)
{
	uint8_t leaf[MERKLE_LEN], more[MERKLE_LEN] = {0};

	merkle_leaf(leaf, "x", 1);
	cr_assert(merkle_includes(leaf, 1, 0, leaf, NULL, 0));
	cr_assert(not(merkle_includes(leaf, 1, 0, leaf, more, 1)));
	cr_assert(not(merkle_includes(leaf, 1, 1, leaf, NULL, 0)));
	cr_assert(not(merkle_includes(leaf, 0, 0, leaf, NULL, 0)));
}

Test(merkle, equal_sizes_must_have_equal_roots)
{
	uint8_t a[MERKLE_LEN] = {1}, b[MERKLE_LEN] = {2}, none[MERKLE_LEN];

	merkle_empty(none);
	cr_assert(merkle_extends(5, a, 5, a, NULL, 0));
	cr_assert(not(merkle_extends(5, a, 5, b, NULL, 0)));
	cr_assert(not(merkle_extends(6, a, 5, a, NULL, 0)));
	cr_assert(merkle_extends(0, none, 5, b, NULL, 0));
	cr_assert(not(merkle_extends(0, a, 5, b, NULL, 0)));
	cr_assert(not(merkle_extends(3, a, 5, b, NULL, 0)));
}
