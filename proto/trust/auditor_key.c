#include "proto/trust/auditor_key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/base/id.h"
#include "proto/trust/private.h"

#define FIRST_LINE "hawser auditor key 1"
#define AAD	   "hawser auditor key 1"
#define TEXT_MAX   1024
#define COST	   16 /* 64 MiB and a quarter of a second */
#define COST_MIN   14
#define COST_MAX   20 /* a file shall not take all memory */
#define SCRYPT_R   8

int
auditor_key_make(struct auditor_key *key, struct hw_err *err)
{
	*key = (struct auditor_key){.locked = false};
	int r = box_keygen(key->pub, key->priv);
	return r == 0 ? 0 : hw_err_set(err, r, "cannot make a key");
}

void
auditor_key_wipe(struct auditor_key *key)
{
	OPENSSL_cleanse(key, sizeof(*key));
}

/* --- the passphrase --------------------------------------------------------------------------- */

static int
stretch(struct secret_key *out, const struct auditor_key *key, const char *passphrase,
	struct hw_err *err)
{
	uint64_t n = UINT64_C(1) << key->cost, r = SCRYPT_R, p = 1, room = 2 * 128 * n * r;
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)passphrase,
			strlen(passphrase)),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)key->salt,
			sizeof(key->salt)),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_R, &r),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_P, &p),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &room),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
	EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
	bool ok = ctx != NULL && EVP_KDF_derive(ctx, out->bytes, sizeof(out->bytes), params) > 0;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	ERR_clear_error();
	return ok ? 0 : hw_err_set(err, HW_ENOMEM, "no memory for the passphrase's key");
}

static int
lock(struct auditor_key *key, const char *passphrase, struct hw_err *err)
{
	struct secret_key wrap;
	struct buf sealed;
	int r;

	key->cost = COST;
	random_bytes(key->salt, sizeof(key->salt));
	if ((r = stretch(&wrap, key, passphrase, err)) < 0)
		return r;
	buf_init(&sealed, AUDITOR_LOCKED_LEN);
	if ((r = secret_seal(&sealed, &wrap, AAD, key->priv, BOX_KEY_LEN)) == 0)
		memcpy(key->sealed, buf_data(&sealed), AUDITOR_LOCKED_LEN);
	else
		hw_err_set(err, r, "cannot lock the key");
	key->locked = r == 0;
	secret_key_wipe(&wrap);
	buf_fini(&sealed);
	return r;
}

/* A private half that isn't that of the public one would open nothing, and say so late. */
static int
check_halves(const struct auditor_key *key, struct hw_err *err)
{
	uint8_t pub[BOX_KEY_LEN];

	if (box_public(pub, key->priv) == 0 && memcmp(pub, key->pub, BOX_KEY_LEN) == 0)
		return 0;
	return hw_err_set(err, HW_ECORRUPT, "the two halves of the key don't belong together");
}

int
auditor_key_unlock(struct auditor_key *key, const char *passphrase, struct hw_err *err)
{
	struct secret_key wrap;
	struct buf plain;
	int r;

	if (!key->locked)
		return 0;
	if ((r = stretch(&wrap, key, passphrase, err)) < 0)
		return r;
	buf_init(&plain, BOX_KEY_LEN);
	r = secret_open(&plain, &wrap, AAD, key->sealed, AUDITOR_LOCKED_LEN);
	if (r == 0) {
		hw_assert(plain.mem != NULL); /* as long as a key; gcc can't know */
		memcpy(key->priv, buf_data(&plain), BOX_KEY_LEN);
	} else {
		r = hw_err_set(err, HW_EDENIED, "that is not the key's passphrase");
	}
	buf_wipe(&plain);
	buf_fini(&plain);
	secret_key_wipe(&wrap);
	if (r == 0 && (r = check_halves(key, err)) == 0)
		key->locked = false;
	return r;
}

/* --- the file --------------------------------------------------------------------------------- */

static void
format(struct buf *out, const struct auditor_key *key)
{
	char pub[2 * BOX_KEY_LEN + 1], salt[2 * AUDITOR_SALT_LEN + 1];
	char secret[2 * AUDITOR_LOCKED_LEN + 1];

	hex_encode(pub, key->pub, BOX_KEY_LEN);
	buf_printf(out, FIRST_LINE "\npublic %s\n", pub);
	if (key->locked) {
		hex_encode(salt, key->salt, AUDITOR_SALT_LEN);
		hex_encode(secret, key->sealed, AUDITOR_LOCKED_LEN);
		buf_printf(out, "locked %d %s %s\n", key->cost, salt, secret);
	} else {
		hex_encode(secret, key->priv, BOX_KEY_LEN);
		buf_printf(out, "private %s\n", secret);
	}
	OPENSSL_cleanse(secret, sizeof(secret));
}

int
auditor_key_format(struct buf *out, const struct auditor_key *key, const char *passphrase,
	struct hw_err *err)
{
	struct auditor_key copy = *key;
	int r = 0;

	if (passphrase != NULL && passphrase[0] != '\0')
		r = lock(&copy, passphrase, err);
	if (r == 0) {
		format(out, &copy);
		if (out->failed)
			r = hw_err_set(err, HW_ENOMEM, "no memory for a key");
	}
	auditor_key_wipe(&copy);
	return r;
}

int
auditor_key_save(const struct auditor_key *key, const char *path, const char *passphrase,
	struct hw_err *err)
{
	struct buf text;

	buf_init(&text, TEXT_MAX);
	int r = auditor_key_format(&text, key, passphrase, err);
	if (r == 0)
		r = private_create(AT_FDCWD, path, buf_data(&text), text.len, err);
	buf_wipe(&text);
	buf_fini(&text);
	return r;
}

/* The words of a line that begins with `name`: n of them. *text is set behind the line. */
static bool
take_line(char words[3][160], int n, const char **text, const char *name)
{
	size_t len = strcspn(*text, "\n"), name_len = strlen(name);
	const char *at = *text, *end = at + len;

	if (len <= name_len || strncmp(at, name, name_len) != 0 || at[name_len] != ' ')
		return false;
	at += name_len;
	for (int i = 0; i < n; i++) {
		size_t word = at < end && *at == ' ' ? strcspn(++at, " \n") : 0;
		if (word == 0 || word >= sizeof(words[i]))
			return false;
		memcpy(words[i], at, word);
		words[i][word] = '\0';
		at += word;
	}
	*text = end + (*end == '\n');
	return at == end;
}

static bool
take_secret(struct auditor_key *key, const char **text)
{
	char words[3][160], *end;
	bool good;

	if (take_line(words, 1, text, "private")) {
		good = hex_decode(key->priv, BOX_KEY_LEN, words[0]) == 0;
	} else if (take_line(words, 3, text, "locked")) {
		long cost = strtol(words[0], &end, 10);
		good = *end == '\0' && cost >= COST_MIN && cost <= COST_MAX &&
			hex_decode(key->salt, AUDITOR_SALT_LEN, words[1]) == 0 &&
			hex_decode(key->sealed, AUDITOR_LOCKED_LEN, words[2]) == 0;
		key->locked = good;
		key->cost = good ? (int)cost : 0;
	} else {
		good = false;
	}
	OPENSSL_cleanse(words, sizeof(words));
	return good;
}

int
auditor_key_parse(struct auditor_key *key, const char *text, struct hw_err *err)
{
	struct auditor_key got = {.locked = false};
	char words[3][160];
	int r = 0;

	if (strncmp(text, FIRST_LINE "\n", strlen(FIRST_LINE "\n")) != 0)
		return hw_err_set(err, HW_ECORRUPT,
			"it is no auditor's key: its first line is not \"" FIRST_LINE "\"");
	text += strlen(FIRST_LINE "\n");
	if (!take_line(words, 1, &text, "public") ||
		hex_decode(got.pub, BOX_KEY_LEN, words[0]) < 0 || !take_secret(&got, &text) ||
		*text != '\0')
		r = hw_err_set(err, HW_ECORRUPT, "it is a damaged auditor's key");
	else if (!got.locked)
		r = check_halves(&got, err);
	if (r == 0)
		*key = got;
	auditor_key_wipe(&got);
	return r;
}

int
auditor_key_load(struct auditor_key *key, const char *path, struct hw_err *err)
{
	struct buf text;

	buf_init(&text, TEXT_MAX);
	int r = private_read(&text, AT_FDCWD, path, err);
	const char *all = r == 0 ? buf_str(&text) : NULL;
	if (r == 0 && (all == NULL || strlen(all) != text.len))
		r = hw_err_set(err, HW_ECORRUPT, "%s: it is no auditor's key", path);
	else if (r == 0 && (r = auditor_key_parse(key, all, err)) < 0)
		hw_err_prefix(err, "%s", path);
	buf_wipe(&text);
	buf_fini(&text);
	return r;
}

/* --- the list --------------------------------------------------------------------------------- */

/* Whether something can be sealed to it: a point of low order is no key. */
static bool
is_good(const uint8_t pub[BOX_KEY_LEN])
{
	struct box_readers one = {.n = 1};
	struct buf box;

	memcpy(one.keys[0], pub, BOX_KEY_LEN);
	buf_init(&box, BOX_OVERHEAD(1));
	bool good = box_seal(&box, &one, "", "", 0) == 0;
	buf_fini(&box);
	return good;
}

static int
add_reader(struct box_readers *list, const char *line, size_t n, int number, struct hw_err *err)
{
	size_t len = strcspn(line, " \t\r\n");
	char hex[2 * BOX_KEY_LEN + 1];
	uint8_t key[BOX_KEY_LEN];

	snprintf(hex, sizeof(hex), "%.*s", (int)(len < n ? len : n), line);
	if (len != 2 * BOX_KEY_LEN || hex_decode(key, sizeof(key), hex) < 0 || !is_good(key))
		return hw_err_set(err, HW_EVALIDATION,
			"line %d: a line begins with the 64 hex digits that hawser audit keygen said",
			number);
	for (size_t i = 0; i < list->n; i++)
		if (memcmp(list->keys[i], key, sizeof(key)) == 0)
			return hw_err_set(err, HW_EVALIDATION, "line %d: this key is there twice",
				number);
	if (list->n == BOX_READERS_MAX)
		return hw_err_set(err, HW_EVALIDATION, "line %d: there can be %d keys at most",
			number, BOX_READERS_MAX);
	memcpy(list->keys[list->n++], key, sizeof(key));
	return 0;
}

int
auditor_list_parse(struct box_readers *ret, const char *text, struct hw_err *err)
{
	struct box_readers list = {.n = 0};
	int number = 1, r = 0;

	for (const char *end; r == 0 && *text != '\0'; text = end + (*end == '\n'), number++) {
		end = text + strcspn(text, "\n");
		const char *line = text + strspn(text, " \t\r");
		if (line < end && *line != '#')
			r = add_reader(&list, line, (size_t)(end - line), number, err);
	}
	if (r == 0)
		*ret = list;
	return r;
}
