#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdio.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/trust/cert.h"
#include "proto/trust/log_head.h"
#include "proto/trust/release.h"

static struct release
sample(void)
{
	struct release r = {
		.version = "0.2.0",
		.follows = "0.1.0",
		.architecture = "x86_64",
		.made = INT64_C(1764194400000000),
		.files = {{"hawser-node", 5, {1}}, {"hawser-node-monitor", 7, {2}}},
		.n_files = 2
	    };

	return r;
}

/* Signs it, and returns the code; the sentence is in err. */
static int
sign(struct buf *out, struct release *r, EVP_PKEY **key, struct hw_err *err)
{
	cr_assert(eq(int, key_generate_signing(key, NULL), 0));
	buf_init(out, RELEASE_HEAD_MAX);
	return release_sign(out, r, *key, err);
}

Test(release, is_read_as_it_was_signed)
{
	struct release r = sample(), got;
	uint8_t public[RELEASE_KEY_LEN];
	struct hw_err err = HW_ERR_INIT;
	struct buf head;
	EVP_PKEY *key;
	size_t len;

	cr_assert(eq(int, sign(&head, &r, &key, &err), 0), "%s", hw_err_text(&err));
	cr_assert(eq(int, release_head_len(&len, buf_data(&head), &err), 0));
	cr_assert(eq(sz, len, head.len));
	cr_assert(eq(int, release_read(&got, buf_data(&head), head.len, &err), 0));
	cr_assert(eq(int, memcmp(&got, &r, sizeof(r)), 0));
	cr_assert(eq(u64, got.size, head.len + 12));
	cr_assert(strcmp(got.version, "0.2.0") == 0);
	cr_assert(strcmp(got.files[1].name, "hawser-node-monitor") == 0);
	cr_assert(eq(int, log_key_public(public, key, NULL), 0));
	cr_assert(eq(int, memcmp(public, got.key, sizeof(public)), 0));
	key_free(key);
	buf_fini(&head);
}

/* Its key and signature cover all that follows, and its length is what it says. */
Test(release, one_bit_changed_anywhere_is_noticed)
{
	struct release r = sample(), got;
	uint8_t bytes[RELEASE_HEAD_MAX];
	struct buf head;
	EVP_PKEY *key;

	cr_assert(eq(int, sign(&head, &r, &key, NULL), 0));
	memcpy(bytes, buf_data(&head), head.len);
	for (size_t i = 0; i < head.len; i++) {
		bytes[i] ^= 1;
		cr_assert(eq(int, release_read(&got, bytes, head.len, NULL), HW_EVALIDATION),
			"byte %zu", i);
		bytes[i] ^= 1;
	}
	cr_assert(eq(int, release_read(&got, bytes, head.len, NULL), 0));
	key_free(key);
	buf_fini(&head);
}

Test(release, cut_off_anywhere_is_none)
{
	struct release r = sample(), got;
	struct hw_err err = HW_ERR_INIT;
	struct buf head;
	EVP_PKEY *key;

	cr_assert(eq(int, sign(&head, &r, &key, NULL), 0));
	for (size_t n = 0; n < head.len; n++)
		cr_assert(eq(int, release_read(&got, buf_data(&head), n, &err), HW_EVALIDATION),
			"of %zu bytes", n);
	key_free(key);
	buf_fini(&head);
}

Test(release, of_another_signer_names_that_one)
{
	struct release r = sample(), got;
	uint8_t bytes[RELEASE_HEAD_MAX];
	struct buf a, b;
	EVP_PKEY *one, *two;

	cr_assert(eq(int, sign(&a, &r, &one, NULL), 0));
	cr_assert(eq(int, sign(&b, &r, &two, NULL), 0));
	cr_assert(memcmp(buf_data(&a) + 8, buf_data(&b) + 8, RELEASE_KEY_LEN) != 0);
	/* One's key in front of the other's signature. */
	memcpy(bytes, buf_data(&b), b.len);
	memcpy(bytes + 8, buf_data(&a) + 8, RELEASE_KEY_LEN);
	cr_assert(eq(int, release_read(&got, bytes, b.len, NULL), HW_EVALIDATION));
	key_free(one);
	key_free(two);
	buf_fini(&a);
	buf_fini(&b);
}

/* --- what is not signed ----------------------------------------------------------------------- */

static void
refuses(struct release r, const char *word)
{
	struct hw_err err = HW_ERR_INIT;
	struct buf head;
	EVP_PKEY *key;

	cr_assert(eq(int, sign(&head, &r, &key, &err), HW_EVALIDATION), "%s", word);
	cr_assert(strstr(hw_err_text(&err), word) != NULL, "%s", hw_err_text(&err));
	cr_assert(eq(sz, head.len, 0));
	key_free(key);
	buf_fini(&head);
}

Test(release, that_no_node_would_take_is_not_signed)
{
	struct release r = sample();

	r.n_files = 0;
	refuses(r, "no files");
	r = sample();
	strcpy(r.files[1].name, "hawser-node");
	refuses(r, "twice");
	r = sample();
	strcpy(r.files[0].name, "../hawser");
	refuses(r, "letters, digits and hyphens");
	r = sample();
	strcpy(r.files[0].name, "-rf");
	refuses(r, "letters, digits and hyphens");
	r = sample();
	r.files[0].size = RELEASE_BYTES_MAX;
	refuses(r, "larger than");
	r = sample();
	r.files[0].size = RELEASE_BYTES_MAX + 1;
	refuses(r, "file NAME SIZE");
	r = sample();
	strcpy(r.version, "0.2");
	refuses(r, "version");
	r = sample();
	strcpy(r.follows, "01.2.3");
	refuses(r, "follows");
	r = sample();
	strcpy(r.architecture, "x86\n64");
	refuses(r, "follows");
	r = sample();
	strcpy(r.architecture, "X 86");
	refuses(r, "architecture");
}

/* --- versions --------------------------------------------------------------------------------- */

Test(release, versions_are_three_numbers_and_a_word)
{
	static const char *const good[] = {
		"0.0.0", "0.2.0", "12.30.999999", "1.0.0-rc1", "1.0.0-a.b"};
	static const char *const bad[] = {"", "1", "1.2", "1.2.3.4", "1.2.3-", "1.2.3-a b",
		"v1.2.3", "1.2.-3", "1.2.3\n", "1.02.3", "1.2.9999999", "1.2.3-rc/1",
		"1.2.3-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		cr_assert(release_version_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(not(release_version_valid(bad[i])), "%s", bad[i]);
}

Test(release, versions_are_in_order)
{
	static const char *const order[] = {"0.0.9", "0.1.0-rc1", "0.1.0-rc2", "0.1.0-rc10",
		"0.1.0", "0.2.0", "0.10.0", "1.0.0-rc1", "1.0.0", "10.0.0"};
	const int n = sizeof(order) / sizeof(order[0]);

	for (int i = 0; i < n; i++)
		for (int k = 0; k < n; k++) {
			int c = release_version_compare(order[i], order[k]);
			cr_assert(eq(int, (c > 0) - (c < 0), (i > k) - (i < k)), "%s %s", order[i],
				order[k]);
		}
}
