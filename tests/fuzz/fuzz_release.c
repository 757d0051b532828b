/*
 * release_read(): as a head, and as a manifest that the key below has signed, so that what lies
 * behind the signature is reached. What it accepts, it signs again to the same bytes but for the
 * forms of a time.
 */
#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/trust/release.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SIGNED_AS "hawser release 1"

static void
put_head(struct buf *out, EVP_PKEY *key, const uint8_t *manifest, size_t n)
{
	uint8_t public[RELEASE_KEY_LEN], signature[RELEASE_SIGNATURE_LEN];
	size_t key_len = sizeof(public), signature_len = sizeof(signature);
	uint8_t body[sizeof(SIGNED_AS) + RELEASE_MANIFEST_MAX] = SIGNED_AS;
	const uint8_t len[4] = {0, 0, (uint8_t)(n >> 8), (uint8_t)n};
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	memcpy(body + sizeof(SIGNED_AS), manifest, n);
	hw_assert(EVP_PKEY_get_raw_public_key(key, public, &key_len) == 1);
	hw_assert(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1);
	hw_assert(EVP_DigestSign(ctx, signature, &signature_len, body, sizeof(SIGNED_AS) + n) == 1);
	EVP_MD_CTX_free(ctx);
	buf_append(out, "HWSRREL1", 8);
	buf_append(out, public, sizeof(public));
	buf_append(out, signature, sizeof(signature));
	buf_append(out, len, sizeof(len));
	buf_append(out, manifest, n);
}

/* Every bound that callers rely on. */
static void
check(const struct release *r)
{
	uint64_t size = r->head;

	hw_assert(release_version_valid(r->version) && release_version_valid(r->follows));
	hw_assert(r->n_files >= 1 && r->n_files <= RELEASE_FILES_MAX);
	for (size_t i = 0; i < r->n_files; i++) {
		hw_assert(strlen(r->files[i].name) > 0 && strpbrk(r->files[i].name, "./") == NULL);
		size += r->files[i].size;
	}
	hw_assert(size == r->size && size <= RELEASE_BYTES_MAX);
	hw_assert(release_version_compare(r->version, r->version) == 0);
}

static void
read_signed(EVP_PKEY *key, const uint8_t *data, size_t size)
{
	struct release r, again;
	struct buf head, other;

	buf_init(&head, RELEASE_HEAD_MAX);
	buf_init(&other, RELEASE_HEAD_MAX);
	put_head(&head, key, data, size);
	if (release_read(&r, buf_data(&head), head.len, NULL) == 0) {
		check(&r);
		again = r;
		if (release_sign(&other, &again, key, NULL) == 0)
			hw_assert(release_read(&again, buf_data(&other), other.len, NULL) == 0 &&
				strcmp(again.version, r.version) == 0 &&
				again.n_files == r.n_files);
	}
	buf_fini(&other);
	buf_fini(&head);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t private[32] = {1};
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private, 32);
	struct release r;

	hw_assert(key != NULL);
	if (release_read(&r, data, size, NULL) == 0)
		check(&r);
	if (size > 0 && size <= RELEASE_MANIFEST_MAX)
		read_signed(key, data, size);
	EVP_PKEY_free(key);
	return 0;
}
