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

int
box_public(uint8_t pub[BOX_KEY_LEN], const uint8_t priv[BOX_KEY_LEN])
{
	EVP_PKEY *key = private_key(priv);
	bool ok = public_bytes(pub, key);

	EVP_PKEY_free(key);
	ERR_clear_error();
	return ok ? 0 : HW_EINTERNAL;
}

static void
id_bytes(uint8_t out[BOX_ID_LEN], const uint8_t pub[BOX_KEY_LEN])
{
	uint8_t hash[SHA256_LEN];

	sha256(hash, pub, BOX_KEY_LEN);
	memcpy(out, hash, BOX_ID_LEN);
}

void
box_key_id(char out[2 * BOX_ID_LEN + 1], const uint8_t pub[BOX_KEY_LEN])
{
	uint8_t id[BOX_ID_LEN];

	id_bytes(id, pub);
	hex_encode(out, id, sizeof(id));
}

/* --- keys ------------------------------------------------------------------------------------- */

#define HEAD_LEN (2 + BOX_KEY_LEN)
#define HEAD_MAX (HEAD_LEN + BOX_READERS_MAX * BOX_SLOT_LEN)
#define VERSION	 2

/* What wraps the key for one reader; both public keys are bound into it. It seals once, so its
 * nonce is 0. */
static struct secret_stream *
wrapping(EVP_PKEY *mine, const uint8_t theirs[BOX_KEY_LEN], const uint8_t once[BOX_KEY_LEN],
	const uint8_t pub[BOX_KEY_LEN])
{
	static const char purpose[] = "hawser box 2 ";
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

/* The bytes themselves are bound to the whole head, too: nobody adds a reader or takes one out. */
static size_t
bind(uint8_t out[HEAD_MAX + BOX_AAD_MAX], const uint8_t *head, size_t head_len, const char *aad)
{
	size_t n = strlen(aad);

	hw_assert(head_len <= HEAD_MAX && n <= BOX_AAD_MAX);
	memcpy(out, head, head_len);
	memcpy(out + head_len, aad, n);
	return head_len + n;
}

static int
fill_slot(uint8_t slot[BOX_SLOT_LEN], EVP_PKEY *mine, const uint8_t once[BOX_KEY_LEN],
	const uint8_t pub[BOX_KEY_LEN], const struct secret_key *key, const char *aad)
{
	struct secret_stream *s = wrapping(mine, pub, once, pub);

	if (s == NULL)
		return HW_EVALIDATION;
	id_bytes(slot, pub);
	int r = secret_stream_seal(s, 0, aad, strlen(aad), slot + BOX_ID_LEN, key->bytes,
		SECRET_KEY_LEN);
	secret_stream_free(s);
	return r;
}

static int
use_key(uint8_t *out, const struct secret_key *key, const uint8_t *head, size_t head_len,
	const char *aad, const void *p, size_t n, bool seal)
{
	uint8_t bound[HEAD_MAX + BOX_AAD_MAX];
	size_t len = bind(bound, head, head_len, aad);
	struct secret_stream *s = secret_stream_new(key);

	if (s == NULL)
		return HW_ENOMEM;
	int r = seal ? secret_stream_seal(s, 0, bound, len, out, p, n)
		     : secret_stream_open(s, 0, bound, len, out, p, n);
	secret_stream_free(s);
	return r;
}

/* --- sealing ---------------------------------------------------------------------------------- */

static int
seal_to(uint8_t *to, EVP_PKEY *mine, const struct box_readers *readers, const char *aad,
	const void *p, size_t n)
{
	size_t head_len = HEAD_LEN + readers->n * BOX_SLOT_LEN;
	uint8_t *once = to + 2;
	struct secret_key key;
	int r = 0;

	secret_key_random(&key);
	to[0] = VERSION;
	to[1] = (uint8_t)readers->n;
	for (size_t i = 0; r == 0 && i < readers->n; i++)
		r = fill_slot(to + HEAD_LEN + i * BOX_SLOT_LEN, mine, once, readers->keys[i], &key,
			aad);
	if (r == 0)
		r = use_key(to + head_len, &key, to, head_len, aad, p, n, true);
	secret_key_wipe(&key);
	return r;
}

int
box_seal(struct buf *out, const struct box_readers *readers, const char *aad, const void *p,
	size_t n)
{
	size_t more = BOX_OVERHEAD(readers->n);
	int r = HW_EINTERNAL;

	hw_assert(readers->n >= 1 && readers->n <= BOX_READERS_MAX);
	if (n > INT_MAX - more || n + more > out->max - out->len)
		return HW_ELIMIT;
	uint8_t *to = buf_reserve(out, n + more);
	if (to == NULL)
		return HW_ENOMEM;
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
	if (public_bytes(to + 2, key))
		r = seal_to(to, key, readers, aad, p, n);
	if (r == 0)
		buf_commit(out, n + more);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return r;
}

/* --- opening ---------------------------------------------------------------------------------- */

static int
open_slot(struct secret_key *key, EVP_PKEY *mine, const uint8_t pub[BOX_KEY_LEN],
	const uint8_t *box, const char *aad)
{
	const uint8_t *once = box + 2;
	uint8_t id[BOX_ID_LEN];
	int r = HW_EDENIED;

	id_bytes(id, pub);
	for (int i = 0; i < box[1] && r == HW_EDENIED; i++) {
		const uint8_t *slot = box + HEAD_LEN + i * BOX_SLOT_LEN;
		if (memcmp(slot, id, BOX_ID_LEN) != 0)
			continue;
		struct secret_stream *s = wrapping(mine, once, once, pub);
		r = s == NULL ? HW_ECORRUPT
			      : secret_stream_open(s, 0, aad, strlen(aad), key->bytes,
					slot + BOX_ID_LEN, SECRET_KEY_LEN + SECRET_TAG_LEN);
		secret_stream_free(s);
	}
	return r;
}

/* Its head is whole, and of our version. */
static int
check_head(const uint8_t *box, size_t n)
{
	if (n < HEAD_LEN)
		return HW_ECORRUPT;
	if (box[0] != VERSION)
		return HW_EVERSION;
	if (box[1] < 1 || box[1] > BOX_READERS_MAX || n < (size_t)BOX_OVERHEAD(box[1]))
		return HW_ECORRUPT;
	return 0;
}

int
box_open(struct buf *out, const uint8_t priv[BOX_KEY_LEN], const char *aad, const void *p, size_t n)
{
	const uint8_t *box = p;
	uint8_t pub[BOX_KEY_LEN];
	struct secret_key key = {{0}};
	int r;

	if (n > INT_MAX)
		return HW_ECORRUPT;
	if ((r = check_head(box, n)) < 0)
		return r;
	size_t head_len = HEAD_LEN + box[1] * BOX_SLOT_LEN;
	size_t plain = n - BOX_OVERHEAD(box[1]);
	if (plain > out->max - out->len)
		return HW_ELIMIT;
	uint8_t *to = buf_reserve(out, plain);
	if (to == NULL)
		return HW_ENOMEM;
	EVP_PKEY *mine = private_key(priv);
	r = public_bytes(pub, mine) ? open_slot(&key, mine, pub, box, aad) : HW_EINTERNAL;
	if (r == 0)
		r = use_key(to, &key, box, head_len, aad, box + head_len, n - head_len, false);
	if (r == 0)
		buf_commit(out, plain);
	secret_key_wipe(&key);
	EVP_PKEY_free(mine);
	ERR_clear_error();
	return r;
}
