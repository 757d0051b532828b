/*
 * A million directories are verified that differ in a few bytes each, so nearly all their
 * signatures are the same few. What OpenSSL said of the same key, message and signature is
 * remembered; of any that was not seen before OpenSSL is asked.
 */
#include <openssl/evp.h>

#include <stdbool.h>
#include <string.h>

#include "proto/trust/secret.h"

#define PLACES 4096

int __real_EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t sig_len,
	const unsigned char *p, size_t n);
int __wrap_EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t sig_len,
	const unsigned char *p, size_t n);

/* Each thread remembers for itself: several verify together. */
static _Thread_local struct {
	uint8_t what[SHA256_LEN];
	int said;
	bool is_set;
} remembered[PLACES];

/* A digest of key, message and signature; false for a key that is not of Ed25519. */
static bool
digest(uint8_t out[SHA256_LEN], EVP_MD_CTX *ctx, const unsigned char *sig, size_t sig_len,
	const unsigned char *p, size_t n)
{
	EVP_PKEY *key = EVP_PKEY_CTX_get0_pkey(EVP_MD_CTX_get_pkey_ctx(ctx));
	uint8_t parts[64];
	size_t len = 32;

	if (key == NULL || EVP_PKEY_get_raw_public_key(key, parts, &len) != 1 || len != 32)
		return false;
	sha256(parts + 32, p, n);
	sha256(out, parts, sizeof(parts));
	sha256_joined(out, out, SHA256_LEN, sig, sig_len);
	return true;
}

int
__wrap_EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t sig_len,
	const unsigned char *p, size_t n)
{
	uint8_t what[SHA256_LEN];

	if (!digest(what, ctx, sig, sig_len, p, n))
		return __real_EVP_DigestVerify(ctx, sig, sig_len, p, n);
	size_t at = (what[0] | (size_t)what[1] << 8) % PLACES;
	if (remembered[at].is_set && memcmp(remembered[at].what, what, SHA256_LEN) == 0)
		return remembered[at].said;
	int said = __real_EVP_DigestVerify(ctx, sig, sig_len, p, n);
	memcpy(remembered[at].what, what, SHA256_LEN);
	remembered[at].said = said;
	remembered[at].is_set = true;
	return said;
}
