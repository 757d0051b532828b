#include "proto/trust/log_head.h"

#include <openssl/evp.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/enc.h"
#include "proto/trust/ossl.h"
#include "proto/trust/secret.h"

#define DASH	   "\xe2\x80\x94"
#define ED25519	   1 /* the kind of key, in its id */
#define SIGNED_LEN (LOG_KEY_ID_LEN + LOG_SIGNATURE_LEN)
#define PREFIX	   "hawser/"
/* Beyond it, sums of times could overflow. */
#define YEAR_10000 (INT64_C(253402300800) * USEC_PER_SEC)

/* --- origins and keys ------------------------------------------------------------------------- */

void
log_origin(char out[LOG_ORIGIN_MAX], const char *fleet, const char *relay)
{
	snprintf(out, LOG_ORIGIN_MAX, PREFIX "%.12s/%.64s", fleet, relay);
}

bool
log_origin_valid(const char *origin)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_.@+=-";
	size_t n = strlen(PREFIX);

	if (strlen(origin) >= LOG_ORIGIN_MAX || strncmp(origin, PREFIX, n) != 0)
		return false;
	const char *fleet = origin + n, *name = strchr(fleet, '/');
	if (name == NULL || name == fleet || name[1] == '\0')
		return false;
	return strspn(fleet, allowed) == (size_t)(name - fleet) &&
		strspn(name + 1, allowed) == strlen(name + 1);
}

/* Names of keys have no "+", which names of relays may have. */
static void
key_name(char out[LOG_ORIGIN_MAX], const char *origin, uint32_t epoch)
{
	const char *end = strrchr(origin, '/');

	snprintf(out, LOG_ORIGIN_MAX, "%.*s/epoch-%" PRIu32, end != NULL ? (int)(end - origin) : 0,
		origin, epoch);
}

void
log_head_name_key(struct log_head *head, const char *origin, const uint8_t key[LOG_KEY_LEN])
{
	char text[LOG_ORIGIN_MAX + 2 + LOG_KEY_LEN];
	uint8_t hash[SHA256_LEN];

	key_name(text, origin, head->epoch);
	size_t n = strlen(text);
	text[n++] = '\n';
	text[n++] = ED25519;
	memcpy(text + n, key, LOG_KEY_LEN);
	sha256(hash, text, n + LOG_KEY_LEN);
	memcpy(head->key_id, hash, LOG_KEY_ID_LEN);
}

int
log_key_public(uint8_t out[LOG_KEY_LEN], EVP_PKEY *key, struct hw_err *err)
{
	size_t n = LOG_KEY_LEN;

	if (!EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_get_raw_public_key(key, out, &n) <= 0 ||
		n != LOG_KEY_LEN)
		return ossl_err(err, HW_EVALIDATION, "that is no Ed25519 key");
	return 0;
}

/* --- signing ---------------------------------------------------------------------------------- */

/* What is signed: all lines up to the empty one. */
static size_t
write_body(char *out, size_t room, const struct log_head *h, const char *origin)
{
	char root[BASE64_LEN(MERKLE_LEN) + 1], chain[BASE64_LEN(MERKLE_LEN) + 1];

	base64_encode(root, h->root, MERKLE_LEN);
	base64_encode(chain, h->chain, MERKLE_LEN);
	return (size_t)snprintf(out, room,
		"%s\n%" PRIu64 "\n%s\nepoch %" PRIu32 "\ntime %" PRId64 "\nfiled %" PRIu64 " %s\n",
		origin, h->size, root, h->epoch, h->time, h->filed, chain);
}

int
log_head_sign(struct log_head *head, const char *origin, EVP_PKEY *key, struct hw_err *err)
{
	uint8_t public[LOG_KEY_LEN];
	size_t n = LOG_SIGNATURE_LEN;
	char body[LOG_HEAD_MAX];
	int r;

	if ((r = log_key_public(public, key, err)) < 0)
		return r;
	log_head_name_key(head, origin, public);
	size_t len = write_body(body, sizeof(body), head, origin);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) <= 0 ||
		EVP_DigestSign(ctx, head->signature, &n, (const uint8_t *)body, len) <= 0)
		r = ossl_err(err, HW_EINTERNAL, "cannot sign a head of the ledger");
	EVP_MD_CTX_free(ctx);
	return r;
}

bool
log_head_signed(const struct log_head *head, const char *origin, const uint8_t key[LOG_KEY_LEN])
{
	struct log_head named = *head;
	char body[LOG_HEAD_MAX];

	log_head_name_key(&named, origin, key);
	if (memcmp(named.key_id, head->key_id, LOG_KEY_ID_LEN) != 0)
		return false;
	size_t len = write_body(body, sizeof(body), head, origin);
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, LOG_KEY_LEN);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = pkey != NULL && ctx != NULL &&
		EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) > 0 &&
		EVP_DigestVerify(ctx, head->signature, LOG_SIGNATURE_LEN, (const uint8_t *)body,
			len) > 0;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return good;
}

/* --- text ------------------------------------------------------------------------------------- */

size_t
log_head_format(char out[LOG_HEAD_MAX], const struct log_head *head, const char *origin)
{
	char name[LOG_ORIGIN_MAX], sig[BASE64_LEN(SIGNED_LEN) + 1];
	uint8_t both[SIGNED_LEN];

	memcpy(both, head->key_id, LOG_KEY_ID_LEN);
	memcpy(both + LOG_KEY_ID_LEN, head->signature, LOG_SIGNATURE_LEN);
	base64_encode(sig, both, sizeof(both));
	key_name(name, origin, head->epoch);
	size_t n = write_body(out, LOG_HEAD_MAX, head, origin);
	return n + (size_t)snprintf(out + n, LOG_HEAD_MAX - n, "\n" DASH " %s %s\n", name, sig);
}

/* The next line without its end; NULL at the end of the text. */
static char *
next_line(char **at)
{
	char *line = *at, *end = line != NULL ? strchr(line, '\n') : NULL;

	if (end == NULL)
		return NULL;
	*end = '\0';
	*at = end + 1;
	return line;
}

static bool
take_hash(uint8_t out[MERKLE_LEN], const char *text)
{
	uint8_t bytes[BASE64_LEN(MERKLE_LEN)];
	size_t n, len = text != NULL ? strlen(text) : 0;

	if (len != BASE64_LEN(MERKLE_LEN) || base64_decode(bytes, &n, text, len) < 0 ||
		n != MERKLE_LEN)
		return false;
	memcpy(out, bytes, MERKLE_LEN);
	return true;
}

/* Numbers are read loosely: the text is written anew and compared. */
static bool
take_number(uint64_t *ret, const char *line, const char *name)
{
	size_t n = strlen(name);

	if (line == NULL || strncmp(line, name, n) != 0)
		return false;
	*ret = strtoull(line + n, NULL, 10);
	return true;
}

static bool
take_filed(struct log_head *h, char *line)
{
	char *chain = line != NULL ? strrchr(line, ' ') : NULL;

	return take_number(&h->filed, line, "filed ") && take_hash(h->chain, chain + 1);
}

static bool
take_signature(struct log_head *h, const char *line)
{
	const char *sig = line != NULL ? strrchr(line, ' ') : NULL;
	uint8_t bytes[BASE64_LEN(SIGNED_LEN)];
	size_t n;

	if (sig == NULL || strlen(sig + 1) != BASE64_LEN(SIGNED_LEN) ||
		base64_decode(bytes, &n, sig + 1, BASE64_LEN(SIGNED_LEN)) < 0 || n != SIGNED_LEN)
		return false;
	memcpy(h->key_id, bytes, LOG_KEY_ID_LEN);
	memcpy(h->signature, bytes + LOG_KEY_ID_LEN, LOG_SIGNATURE_LEN);
	return true;
}

static bool
take_lines(struct log_head *h, char origin[LOG_ORIGIN_MAX], char *at)
{
	uint64_t epoch, time;
	char *line = next_line(&at);

	if (line == NULL || !log_origin_valid(line))
		return false;
	strcpy(origin, line);
	if (!take_number(&h->size, next_line(&at), "") || !take_hash(h->root, next_line(&at)) ||
		!take_number(&epoch, next_line(&at), "epoch ") ||
		!take_number(&time, next_line(&at), "time ") || !take_filed(h, next_line(&at)) ||
		next_line(&at) == NULL || !take_signature(h, next_line(&at)))
		return false;
	/* What signed numbers cannot hold can neither be asked for nor reckoned with. */
	if (h->size > INT64_MAX || time > INT64_MAX)
		return false;
	h->epoch = (uint32_t)epoch;
	h->time = (int64_t)time;
	return h->time < YEAR_10000;
}

int
log_head_parse(struct log_head *head, char origin[LOG_ORIGIN_MAX], const char *text, size_t n,
	struct hw_err *err)
{
	char copy[LOG_HEAD_MAX], again[LOG_HEAD_MAX], from[LOG_ORIGIN_MAX];
	struct log_head got = {.epoch = 0};
	bool good = n < sizeof(copy) && memchr(text, '\0', n) == NULL;

	if (good) {
		memcpy(copy, text, n);
		copy[n] = '\0';
		good = take_lines(&got, from, copy) && log_head_format(again, &got, from) == n &&
			memcmp(again, text, n) == 0;
	}
	if (!good)
		return hw_err_set(err, HW_EVALIDATION, "that is no head of a ledger");
	*head = got;
	strcpy(origin, from);
	return 0;
}
