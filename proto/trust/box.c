#include "proto/trust/secret.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <limits.h>
#include <string.h>

#include "proto/base/enc.h"

static EVP_PKEY *
private_key(const uint8_t priv[BOX_KEY_LEN])
{
	return EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, priv, BOX_KEY_LEN);
}

static bool
public_bytes(uint8_t pub[BOX_KEY_LEN], EVP_PKEY *key)
{
	size_t n = BOX_KEY_LEN;

	return key != NULL && EVP_PKEY_get_raw_public_key(key, pub, &n) > 0;
}

int
box_keygen(uint8_t pub[BOX_KEY_LEN], uint8_t priv[BOX_KEY_LEN])
{
	size_t n = BOX_KEY_LEN;
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	bool ok = public_bytes(pub, key) && EVP_PKEY_get_raw_private_key(key, priv, &n) > 0;

	EVP_PKEY_free(key);
	ERR_clear_error();
	return ok ? 0 : HW_EINTERNAL;
}

/* The Diffie-Hellman secret. OpenSSL refuses points of low order, whose secret anybody knows. */
static bool
agree(struct secret_key *shared, EVP_PKEY *mine, const uint8_t theirs[BOX_KEY_LEN])
{
	size_t n = sizeof(shared->bytes);
	EVP_PKEY *peer = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, theirs, BOX_KEY_LEN);
	EVP_PKEY_CTX *ctx = mine != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, mine, NULL) : NULL;
	bool ok = peer != NULL && ctx != NULL && EVP_PKEY_derive_init(ctx) > 0 &&
		EVP_PKEY_derive_set_peer(ctx, peer) > 0 &&
		EVP_PKEY_derive(ctx, shared->bytes, &n) > 0 && n == sizeof(shared->bytes);

	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(peer);
	return ok;
}

/* The key of one box; both public keys are bound into it. It seals once, so its nonce is 0. */
static struct secret_stream *
box_stream(EVP_PKEY *mine, const uint8_t theirs[BOX_KEY_LEN], const uint8_t once[BOX_KEY_LEN],
	const uint8_t pub[BOX_KEY_LEN])
{
	static const char purpose[] = "hawser box 1 ";
	char label[sizeof(purpose) + 4 * BOX_KEY_LEN];
	struct secret_stream *stream = NULL;
	struct secret_key key;

	memcpy(label, purpose, sizeof(purpose));
	hex_encode(label + strlen(label), once, BOX_KEY_LEN);
	hex_encode(label + strlen(label), pub, BOX_KEY_LEN);
	if (agree(&key, mine, theirs)) {
		secret_key_derive(&key, &key, label);
		stream = secret_stream_new(&key);
	}
	secret_key_wipe(&key);
	return stream;
}

int
box_seal(struct buf *out, const uint8_t pub[BOX_KEY_LEN], const void *p, size_t n)
{
	uint8_t once[BOX_KEY_LEN];
	int r = HW_EINTERNAL;

	if (n > INT_MAX - BOX_OVERHEAD || n + BOX_OVERHEAD > out->max - out->len)
		return HW_ELIMIT;
	uint8_t *to = buf_reserve(out, n + BOX_OVERHEAD);
	if (to == NULL)
		return HW_ENOMEM;
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	if (public_bytes(once, key)) {
		struct secret_stream *s = box_stream(key, pub, once, pub);
		memcpy(to, once, BOX_KEY_LEN);
		r = s == NULL ? HW_EVALIDATION
			      : secret_stream_seal(s, 0, NULL, 0, to + BOX_KEY_LEN, p, n);
		secret_stream_free(s);
	}
	if (r == 0)
		buf_commit(out, n + BOX_OVERHEAD);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return r;
}

int
box_open(struct buf *out, const uint8_t priv[BOX_KEY_LEN], const void *p, size_t n)
{
	const uint8_t *once = p, *sealed = once + BOX_KEY_LEN;
	uint8_t pub[BOX_KEY_LEN];
	int r = HW_ECORRUPT;

	if (n < BOX_OVERHEAD || n > INT_MAX)
		return HW_ECORRUPT;
	if (n - BOX_OVERHEAD > out->max - out->len)
		return HW_ELIMIT;
	uint8_t *to = buf_reserve(out, n - BOX_OVERHEAD);
	if (to == NULL)
		return HW_ENOMEM;
	EVP_PKEY *key = private_key(priv);
	if (public_bytes(pub, key)) {
		struct secret_stream *s = box_stream(key, once, once, pub);
		if (s != NULL)
			r = secret_stream_open(s, 0, NULL, 0, to, sealed, n - BOX_KEY_LEN);
		secret_stream_free(s);
	}
	if (r == 0)
		buf_commit(out, n - BOX_OVERHEAD);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return r;
}
