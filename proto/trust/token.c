#include "proto/trust/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <stdlib.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/base/id.h"

void
sha256(uint8_t out[SHA256_LEN], const void *p, size_t n)
{
	hw_assert(EVP_Digest(p, n, out, NULL, EVP_sha256(), NULL) > 0);
}

void
sha256_joined(uint8_t out[SHA256_LEN], const void *p, size_t n, const void *q, size_t m)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	hw_assert(ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) > 0 &&
		EVP_DigestUpdate(ctx, p, n) > 0 && EVP_DigestUpdate(ctx, q, m) > 0 &&
		EVP_DigestFinal_ex(ctx, out, NULL) > 0);
	EVP_MD_CTX_free(ctx);
}

struct hasher {
	EVP_MD_CTX *ctx;
};

struct hasher *
hasher_new(void)
{
	struct hasher *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->ctx = EVP_MD_CTX_new();
	if (h->ctx != NULL && EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) > 0)
		return h;
	hasher_free(h);
	return NULL;
}

void
hasher_free(struct hasher *h)
{
	if (h == NULL)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

void
hasher_joined(struct hasher *h, uint8_t out[SHA256_LEN], const void *p, size_t n, const void *q,
	size_t m)
{
	/* Begins anew with the digest that it has. */
	hw_assert(EVP_DigestInit_ex(h->ctx, NULL, NULL) > 0 && EVP_DigestUpdate(h->ctx, p, n) > 0 &&
		EVP_DigestUpdate(h->ctx, q, m) > 0 && EVP_DigestFinal_ex(h->ctx, out, NULL) > 0);
}

void
token_make(char out[TOKEN_LEN + 1])
{
	uint8_t bytes[32];

	do { /* one that begins with "-" would be an option on a command line */
		random_bytes(bytes, sizeof(bytes));
		base64url_encode(out, bytes, sizeof(bytes));
	} while (out[0] == '-');
	OPENSSL_cleanse(bytes, sizeof(bytes));
}

void
token_hash(char out[2 * SHA256_LEN + 1], const char *token)
{
	uint8_t hash[SHA256_LEN];

	sha256(hash, token, strlen(token));
	hex_encode(out, hash, sizeof(hash));
}

bool
bytes_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}
