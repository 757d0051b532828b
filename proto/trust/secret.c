#include "proto/trust/secret.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/base/id.h"
#include "proto/trust/private.h"

#define KEY_TEXT_LEN (2 * SECRET_KEY_LEN + 1) /* hex and a newline */

/* --- the master key -------------------------------------------------------------------------- */

void
secret_key_random(struct secret_key *key)
{
	random_bytes(key->bytes, sizeof(key->bytes));
}

void
secret_key_wipe(struct secret_key *key)
{
	OPENSSL_cleanse(key->bytes, sizeof(key->bytes));
}

int
secret_key_create(struct secret_key *key, const char *path, struct hw_err *err)
{
	struct secret_key made;
	char text[KEY_TEXT_LEN + 1];

	secret_key_random(&made);
	hex_encode(text, made.bytes, sizeof(made.bytes));
	text[KEY_TEXT_LEN - 1] = '\n';
	int r = private_create(AT_FDCWD, path, text, KEY_TEXT_LEN, err);
	if (r == 0)
		*key = made;
	OPENSSL_cleanse(text, sizeof(text));
	secret_key_wipe(&made);
	return r;
}

int
secret_key_load(struct secret_key *key, const char *path, struct hw_err *err)
{
	struct secret_key made;
	struct buf text;
	int r;

	buf_init(&text, KEY_TEXT_LEN);
	if ((r = private_read(&text, AT_FDCWD, path, err)) < 0)
		goto out;
	if (text.len == KEY_TEXT_LEN && buf_data(&text)[KEY_TEXT_LEN - 1] == '\n')
		text.len--;
	const char *hex = buf_str(&text);
	if (hex == NULL || strlen(hex) != text.len ||
		hex_decode(made.bytes, sizeof(made.bytes), hex) < 0) {
		r = hw_err_set(err, HW_ECORRUPT, "%s does not hold a key: 64 hex digits", path);
		goto out;
	}
	*key = made;
out:
	buf_wipe(&text);
	buf_fini(&text);
	secret_key_wipe(&made);
	return r;
}

int
secret_text_load(char *out, size_t room, const char *path, struct hw_err *err)
{
	struct buf text;

	buf_init(&text, 4096);
	int r = private_read(&text, AT_FDCWD, path, err);
	const char *all = r == 0 ? buf_str(&text) : NULL;
	size_t n = all != NULL ? strcspn(all, "\r\n") : 0;
	if (r == 0 && (n == 0 || n >= room))
		r = hw_err_set(err, HW_ECORRUPT,
			"%s holds no secret: one line of at most %zu bytes", path, room - 1);
	if (r == 0) {
		memcpy(out, all, n);
		out[n] = '\0';
	}
	buf_wipe(&text);
	buf_fini(&text);
	return r;
}

void
secret_key_derive(struct secret_key *out, const struct secret_key *from, const char *label)
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)from->bytes,
			sizeof(from->bytes)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)label,
			strlen(label)),
		OSSL_PARAM_construct_end(),
	};
	struct secret_key made;

	EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_HKDF, NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	/* It cannot be refused: what it needs is always there, and a caller has no other key. */
	hw_assert(EVP_KDF_derive(ctx, made.bytes, sizeof(made.bytes), params) > 0);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	*out = made;
	secret_key_wipe(&made);
}

/* --- AES-256-GCM ----------------------------------------------------------------------------- */

static EVP_CIPHER_CTX *
gcm_new(const struct secret_key *key, int encrypt)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (ctx != NULL &&
		EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->bytes, NULL, encrypt) <= 0) {
		EVP_CIPHER_CTX_free(ctx);
		ctx = NULL;
	}
	if (ctx == NULL)
		ERR_clear_error();
	return ctx;
}

/* Starts anew with a nonce, keeping the key. OpenSSL counts in ints: so much is never passed. */
static bool
gcm_start(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, const void *aad, size_t aad_len, size_t n)
{
	int did;

	hw_assert(aad_len <= INT_MAX && n <= INT_MAX - SECRET_TAG_LEN);
	return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, -1) > 0 &&
		(aad_len == 0 || EVP_CipherUpdate(ctx, NULL, &did, aad, (int)aad_len) > 0);
}

static bool
gcm_run(EVP_CIPHER_CTX *ctx, uint8_t *out, const void *p, size_t n)
{
	int did = 0;

	return n == 0 || (EVP_CipherUpdate(ctx, out, &did, p, (int)n) > 0 && did == (int)n);
}

static int
gcm_seal(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, const void *aad, size_t aad_len, uint8_t *out,
	const void *p, size_t n)
{
	int did;

	if (gcm_start(ctx, nonce, aad, aad_len, n) && gcm_run(ctx, out, p, n) &&
		EVP_EncryptFinal_ex(ctx, out + n, &did) > 0 &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SECRET_TAG_LEN, out + n) > 0)
		return 0;
	ERR_clear_error();
	return HW_EINTERNAL;
}

/* n is without the tag, which follows the bytes. */
static int
gcm_open(EVP_CIPHER_CTX *ctx, const uint8_t *nonce, const void *aad, size_t aad_len, uint8_t *out,
	const uint8_t *p, size_t n)
{
	uint8_t tag[SECRET_TAG_LEN], none[SECRET_TAG_LEN];
	int did;

	memcpy(tag, p + n, sizeof(tag));
	if (gcm_start(ctx, nonce, aad, aad_len, n) && gcm_run(ctx, out, p, n) &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SECRET_TAG_LEN, tag) > 0 &&
		EVP_DecryptFinal_ex(ctx, none, &did) > 0)
		return 0;
	ERR_clear_error();
	OPENSSL_cleanse(out, n); /* nobody may look at bytes that were tampered with */
	return HW_ECORRUPT;
}

/* --- single seals ---------------------------------------------------------------------------- */

int
secret_seal(struct buf *out, const struct secret_key *key, const char *aad, const void *p, size_t n)
{
	const size_t more = SECRET_NONCE_LEN + SECRET_TAG_LEN;

	if (n > INT_MAX - more || n + more > out->max - out->len)
		return HW_ELIMIT;
	uint8_t *to = buf_reserve(out, n + more);
	EVP_CIPHER_CTX *ctx = gcm_new(key, 1);
	int r = HW_ENOMEM;
	if (to != NULL && ctx != NULL) {
		random_bytes(to, SECRET_NONCE_LEN);
		r = gcm_seal(ctx, to, aad, strlen(aad), to + SECRET_NONCE_LEN, p, n);
	}
	if (r == 0)
		buf_commit(out, n + more);
	EVP_CIPHER_CTX_free(ctx);
	return r;
}

int
secret_open(struct buf *out, const struct secret_key *key, const char *aad, const void *p, size_t n)
{
	const uint8_t *nonce = p;

	if (n < SECRET_NONCE_LEN + SECRET_TAG_LEN || n > INT_MAX)
		return HW_ECORRUPT;
	n -= SECRET_NONCE_LEN + SECRET_TAG_LEN;
	if (n > out->max - out->len)
		return HW_ELIMIT;
	uint8_t *to = buf_reserve(out, n);
	EVP_CIPHER_CTX *ctx = gcm_new(key, 0);
	int r = HW_ENOMEM;
	if (to != NULL && ctx != NULL)
		r = gcm_open(ctx, nonce, aad, strlen(aad), to, nonce + SECRET_NONCE_LEN, n);
	if (r == 0)
		buf_commit(out, n);
	EVP_CIPHER_CTX_free(ctx);
	return r;
}

/* --- streams --------------------------------------------------------------------------------- */

struct secret_stream {
	EVP_CIPHER_CTX *seal, *open;
};

struct secret_stream *
secret_stream_new(const struct secret_key *key)
{
	struct secret_stream *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->seal = gcm_new(key, 1);
	s->open = gcm_new(key, 0);
	if (s->seal == NULL || s->open == NULL) {
		secret_stream_free(s);
		return NULL;
	}
	return s;
}

void
secret_stream_free(struct secret_stream *s)
{
	if (s == NULL)
		return;
	EVP_CIPHER_CTX_free(s->seal);
	EVP_CIPHER_CTX_free(s->open);
	free(s);
}

static void
nonce_of(uint8_t nonce[SECRET_NONCE_LEN], uint64_t counter)
{
	memset(nonce, 0, SECRET_NONCE_LEN);
	for (int i = SECRET_NONCE_LEN - 1; counter != 0; i--, counter >>= 8)
		nonce[i] = (uint8_t)counter;
}

int
secret_stream_seal(struct secret_stream *s, uint64_t counter, const void *aad, size_t aad_len,
	uint8_t *out, const void *p, size_t n)
{
	uint8_t nonce[SECRET_NONCE_LEN];

	nonce_of(nonce, counter);
	return gcm_seal(s->seal, nonce, aad, aad_len, out, p, n);
}

int
secret_stream_open(struct secret_stream *s, uint64_t counter, const void *aad, size_t aad_len,
	uint8_t *out, const void *p, size_t n)
{
	uint8_t nonce[SECRET_NONCE_LEN];

	if (n < SECRET_TAG_LEN || n > INT_MAX)
		return HW_ECORRUPT;
	nonce_of(nonce, counter);
	return gcm_open(s->open, nonce, aad, aad_len, out, p, n - SECRET_TAG_LEN);
}

int
secret_stream_seal_alone(struct secret_stream *s, const char *aad, uint8_t *out, const void *p,
	size_t n)
{
	if (n > INT_MAX - SECRET_NONCE_LEN - SECRET_TAG_LEN)
		return HW_ELIMIT;
	random_bytes(out, SECRET_NONCE_LEN);
	return gcm_seal(s->seal, out, aad, strlen(aad), out + SECRET_NONCE_LEN, p, n);
}

int
secret_stream_open_alone(struct secret_stream *s, const char *aad, uint8_t *out, const void *p,
	size_t n)
{
	const uint8_t *nonce = p;

	if (n < SECRET_NONCE_LEN + SECRET_TAG_LEN || n > INT_MAX)
		return HW_ECORRUPT;
	return gcm_open(s->open, nonce, aad, strlen(aad), out, nonce + SECRET_NONCE_LEN,
		n - SECRET_NONCE_LEN - SECRET_TAG_LEN);
}
