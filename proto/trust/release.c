#include "proto/trust/release.h"

#include <ctype.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/enc.h"
#include "proto/trust/log_head.h"
#include "proto/trust/ossl.h"

#define MAGIC	     "HWSRREL1"
#define MAGIC_LEN    8
#define SIGNED_AS    "hawser release 1" /* with its NUL */
#define FIRST_LINE   "hawser release 1"
#define VERSION_PART 1000000 /* above which no number of a version is */

/* --- versions --------------------------------------------------------------------------------- */

/* Reads a number without leading zeros; NULL when there is none. */
static const char *
read_number(uint64_t *ret, const char *p, uint64_t max)
{
	uint64_t n = 0;

	if (!isdigit((unsigned char)*p) || (p[0] == '0' && isdigit((unsigned char)p[1])))
		return NULL;
	for (; isdigit((unsigned char)*p); p++) {
		if ((n = n * 10 + (uint64_t)(*p - '0')) > max)
			return NULL;
	}
	*ret = n;
	return p;
}

/* *rest is what follows the numbers, from its hyphen. */
static bool
split_version(uint64_t parts[3], const char **rest, const char *p)
{
	for (int i = 0; i < 3; i++) {
		if ((p = read_number(&parts[i], p, VERSION_PART)) == NULL)
			return false;
		if (i < 2 && *p++ != '.')
			return false;
	}
	*rest = p;
	return *p == '\0' || *p == '-';
}

bool
release_version_valid(const char *version)
{
	uint64_t parts[3];
	const char *rest;

	if (strlen(version) >= RELEASE_VERSION_MAX || !split_version(parts, &rest, version))
		return false;
	for (const char *p = rest; *p != '\0'; p++)
		if (p != rest && !isalnum((unsigned char)*p) && *p != '.')
			return false;
	return *rest == '\0' || rest[1] != '\0';
}

int
release_version_compare(const char *a, const char *b)
{
	uint64_t x[3], y[3];
	const char *p, *q;

	if (!split_version(x, &p, a) || !split_version(y, &q, b))
		return strcmp(a, b);
	for (int i = 0; i < 3; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	if ((*p == '\0') != (*q == '\0')) /* 0.2.0-rc1 comes before 0.2.0 */
		return *p == '\0' ? 1 : -1;
	return strverscmp(p, q); /* rc10 comes after rc9 */
}

/* --- the manifest's text ---------------------------------------------------------------------- */

struct reader {
	const char *at, *end;
	int line;
};

/* The next line, which begins with that word and a blank, into `out` without them. */
static int
next_line(struct reader *r, const char *word, char *out, size_t room, struct hw_err *err)
{
	const char *p = r->at, *nl = memchr(p, '\n', (size_t)(r->end - p));
	size_t n = strlen(word);

	r->line++;
	if (nl == NULL || (size_t)(nl - p) <= n || memcmp(p, word, n) != 0 || p[n] != ' ')
		return hw_err_set(err, HW_EVALIDATION,
			"line %d of the release's manifest is no line \"%s ...\"", r->line, word);
	size_t len = (size_t)(nl - p) - n - 1;
	if (len == 0 || len >= room || memchr(p + n + 1, '\0', len) != NULL)
		return hw_err_set(err, HW_EVALIDATION,
			"line %d of the release's manifest: %s is empty or too long", r->line,
			word);
	memcpy(out, p + n + 1, len);
	out[len] = '\0';
	r->at = nl + 1;
	return 0;
}

static int
read_version(struct reader *r, const char *word, char out[RELEASE_VERSION_MAX], struct hw_err *err)
{
	char text[RELEASE_VERSION_MAX];
	int e = next_line(r, word, text, sizeof(text), err);

	if (e == 0 && !release_version_valid(text))
		return hw_err_set(err, HW_EVALIDATION,
			"the release's manifest: %s is a version such as 0.2.0", word);
	if (e == 0)
		strcpy(out, text);
	return e;
}

/* Lower case letters, digits and what `more` has. */
static bool
is_word(const char *text, const char *more)
{
	for (const char *p = text; *p != '\0'; p++)
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9') &&
			strchr(more, *p) == NULL)
			return false;
	return text[0] != '\0';
}

static int
read_time(struct reader *r, int64_t *made, struct hw_err *err)
{
	char text[RFC3339_LEN + 1];
	int e = next_line(r, "made", text, sizeof(text), err);

	if (e == 0 && rfc3339_parse(made, text) < 0)
		e = hw_err_set(err, HW_EVALIDATION,
			"the release's manifest: made is a time such as 2026-11-26T22:00:00.000Z");
	return e;
}

static int
check_file(const struct release *r, const struct release_file *f, struct hw_err *err)
{
	if (!is_word(f->name, "-") || f->name[0] == '-')
		return hw_err_set(err, HW_EVALIDATION,
			"a release's file is named by letters, digits and hyphens");
	for (size_t i = 0; i < r->n_files; i++)
		if (strcmp(r->files[i].name, f->name) == 0)
			return hw_err_set(err, HW_EVALIDATION, "%s is twice in the release",
				f->name);
	return 0;
}

/* NAME SIZE HASH */
static int
read_file_line(struct release *ret, struct reader *r, struct hw_err *err)
{
	char text[RELEASE_NAME_MAX + 24 + 2 * RELEASE_HASH_LEN];
	struct release_file f = {.size = 0};
	const char *p;
	int e = next_line(r, "file", text, sizeof(text), err);

	if (e < 0)
		return e;
	size_t n = strcspn(text, " ");
	if (n >= sizeof(f.name) || text[n] == '\0' ||
		(p = read_number(&f.size, text + n + 1, RELEASE_BYTES_MAX)) == NULL || *p != ' ' ||
		strspn(p + 1, "0123456789abcdef") != 2 * RELEASE_HASH_LEN ||
		hex_decode(f.hash, RELEASE_HASH_LEN, p + 1) < 0)
		return hw_err_set(err, HW_EVALIDATION,
			"line %d of the release's manifest is no line \"file NAME SIZE SHA-256\"",
			r->line);
	memcpy(f.name, text, n);
	if ((e = check_file(ret, &f, err)) < 0)
		return e;
	ret->files[ret->n_files++] = f;
	ret->size += f.size;
	return 0;
}

static int
read_files(struct release *ret, struct reader *r, struct hw_err *err)
{
	int e = 0;

	while (e == 0 && r->at < r->end) {
		if (ret->n_files == RELEASE_FILES_MAX)
			return hw_err_set(err, HW_EVALIDATION, "a release has at most %d files",
				RELEASE_FILES_MAX);
		e = read_file_line(ret, r, err);
	}
	if (e == 0 && ret->n_files == 0)
		return hw_err_set(err, HW_EVALIDATION, "the release has no files");
	if (e == 0 && ret->size > RELEASE_BYTES_MAX)
		return hw_err_set(err, HW_EVALIDATION,
			"the release is larger than %" PRIu64 " bytes", RELEASE_BYTES_MAX);
	return e;
}

/* Adds to ret->size. */
static int
read_manifest(struct release *ret, const char *text, size_t n, struct hw_err *err)
{
	struct reader r = {text, text + n, 1};
	size_t first = strlen(FIRST_LINE);
	int e;

	if (n <= first || memcmp(text, FIRST_LINE "\n", first + 1) != 0)
		return hw_err_set(err, HW_EVALIDATION,
			"the release's manifest is of a kind that this version does not know");
	r.at += first + 1;
	if ((e = read_version(&r, "version", ret->version, err)) < 0 ||
		(e = next_line(&r, "architecture", ret->architecture, sizeof(ret->architecture),
			 err)) < 0 ||
		(e = read_version(&r, "follows", ret->follows, err)) < 0 ||
		(e = read_time(&r, &ret->made, err)) < 0)
		return e;
	if (!is_word(ret->architecture, "_-"))
		return hw_err_set(err, HW_EVALIDATION,
			"the release's manifest: architecture is a word such as x86_64");
	return read_files(ret, &r, err);
}

static int
write_manifest(struct buf *out, const struct release *r)
{
	char made[RFC3339_LEN + 1], hash[2 * RELEASE_HASH_LEN + 1];

	rfc3339_format(made, r->made);
	int e = buf_printf(out, FIRST_LINE "\nversion %s\narchitecture %s\nfollows %s\nmade %s\n",
		r->version, r->architecture, r->follows, made);
	for (size_t i = 0; e == 0 && i < r->n_files; i++) {
		hex_encode(hash, r->files[i].hash, RELEASE_HASH_LEN);
		e = buf_printf(out, "file %s %" PRIu64 " %s\n", r->files[i].name, r->files[i].size,
			hash);
	}
	return e;
}

/* --- the signature ---------------------------------------------------------------------------- */

static int
signed_bytes(struct buf *out, const void *manifest, size_t n)
{
	int r = buf_append(out, SIGNED_AS, sizeof(SIGNED_AS));

	return r == 0 ? buf_append(out, manifest, n) : r;
}

static bool
is_signed(const uint8_t *key, const uint8_t *signature, const void *manifest, size_t n)
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, RELEASE_KEY_LEN);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct buf body;

	buf_init(&body, sizeof(SIGNED_AS) + RELEASE_MANIFEST_MAX);
	bool good = pkey != NULL && ctx != NULL && signed_bytes(&body, manifest, n) == 0 &&
		EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) > 0 &&
		EVP_DigestVerify(ctx, signature, RELEASE_SIGNATURE_LEN, buf_data(&body), body.len) >
			0;
	buf_fini(&body);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return good;
}

static int
sign(uint8_t signature[RELEASE_SIGNATURE_LEN], EVP_PKEY *key, const struct buf *manifest,
	struct hw_err *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = RELEASE_SIGNATURE_LEN;
	struct buf body;
	int r = 0;

	buf_init(&body, sizeof(SIGNED_AS) + RELEASE_MANIFEST_MAX);
	if (ctx == NULL || signed_bytes(&body, buf_data(manifest), manifest->len) < 0 ||
		EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) <= 0 ||
		EVP_DigestSign(ctx, signature, &n, buf_data(&body), body.len) <= 0)
		r = ossl_err(err, HW_EINTERNAL, "cannot sign the release");
	buf_fini(&body);
	EVP_MD_CTX_free(ctx);
	return r;
}

/* --- the head --------------------------------------------------------------------------------- */

int
release_head_len(size_t *ret, const uint8_t fixed[RELEASE_FIXED_LEN], struct hw_err *err)
{
	const uint8_t *p = fixed + RELEASE_FIXED_LEN - 4;
	uint32_t n = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];

	if (memcmp(fixed, MAGIC, MAGIC_LEN) != 0)
		return hw_err_set(err, HW_EVALIDATION,
			"that is no release: it does not begin with " MAGIC);
	if (n == 0 || n > RELEASE_MANIFEST_MAX)
		return hw_err_set(err, HW_EVALIDATION,
			"the release's manifest has %" PRIu32 " bytes, where 1 to %d are possible",
			n, RELEASE_MANIFEST_MAX);
	*ret = RELEASE_FIXED_LEN + n;
	return 0;
}

int
release_read(struct release *ret, const void *head, size_t n, struct hw_err *err)
{
	const uint8_t *p = head;
	struct release r = {.n_files = 0};
	size_t len;
	int e;

	if (n < RELEASE_FIXED_LEN)
		return hw_err_set(err, HW_EVALIDATION, "the release is cut off within its head");
	if ((e = release_head_len(&len, p, err)) < 0)
		return e;
	if (n != len)
		return hw_err_set(err, HW_EVALIDATION,
			"the release is cut off within its manifest");
	memcpy(r.key, p + MAGIC_LEN, RELEASE_KEY_LEN);
	if (!is_signed(r.key, p + MAGIC_LEN + RELEASE_KEY_LEN, p + RELEASE_FIXED_LEN,
		    n - RELEASE_FIXED_LEN))
		return hw_err_set(err, HW_EVALIDATION,
			"the release's signature is not that of the key which it names: it was "
			"changed after it was signed");
	r.head = r.size = len;
	if ((e = read_manifest(&r, (const char *)p + RELEASE_FIXED_LEN, n - RELEASE_FIXED_LEN,
		     err)) < 0)
		return e;
	*ret = r;
	return 0;
}

static int
append_head(struct buf *out, const uint8_t *key, const uint8_t *signature,
	const struct buf *manifest)
{
	const size_t n = manifest->len;
	const uint8_t len[4] = {
		(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
	int r;

	if ((r = buf_append(out, MAGIC, MAGIC_LEN)) < 0 ||
		(r = buf_append(out, key, RELEASE_KEY_LEN)) < 0 ||
		(r = buf_append(out, signature, RELEASE_SIGNATURE_LEN)) < 0 ||
		(r = buf_append(out, len, sizeof(len))) < 0)
		return r;
	return buf_append(out, buf_data(manifest), n);
}

/* What was written is read again, so that nothing is signed which no node would take. */
int
release_sign(struct buf *out, struct release *r, EVP_PKEY *key, struct hw_err *err)
{
	uint8_t public[RELEASE_KEY_LEN], signature[RELEASE_SIGNATURE_LEN];
	struct release checked = {.n_files = 0};
	struct buf manifest;
	int e;

	buf_init(&manifest, RELEASE_MANIFEST_MAX);
	if ((e = log_key_public(public, key, err)) == 0 && write_manifest(&manifest, r) < 0)
		e = hw_err_set(err, HW_ELIMIT, "the release's manifest is larger than %d bytes",
			RELEASE_MANIFEST_MAX);
	checked.head = checked.size = RELEASE_FIXED_LEN + manifest.len;
	memcpy(checked.key, public, e == 0 ? sizeof(public) : 0);
	if (e == 0)
		e = read_manifest(&checked, (const char *)buf_data(&manifest), manifest.len, err);
	if (e == 0)
		e = sign(signature, key, &manifest, err);
	if (e == 0 && append_head(out, public, signature, &manifest) < 0)
		e = hw_err_set(err, HW_ENOMEM, "out of memory");
	buf_fini(&manifest);
	if (e == 0)
		*r = checked;
	return e;
}
