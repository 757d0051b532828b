#include "proto/trust/log_epoch.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/trust/cert.h"
#include "proto/trust/ossl.h"
#include "proto/trust/secret.h"
#include "proto/trust/succession.h"

#define TITLE "hawser ledger epoch v1"

static const char *const signers[] = {
	[LOG_BY_AUTHORITY] = "authority",
	[LOG_BY_LEDGER] = "ledger",
	[LOG_BY_RECOVERY] = "recovery",
};

/* --- text ------------------------------------------------------------------------------------- */

static void
put_hash(char out[BASE64_LEN(MERKLE_LEN) + 1], bool has, const uint8_t hash[MERKLE_LEN])
{
	strcpy(out, "-");
	if (has)
		base64_encode(out, hash, MERKLE_LEN);
}

/* What is signed. */
static size_t
write_body(char *out, size_t room, const struct log_epoch *e, const char *origin)
{
	char root[BASE64_LEN(MERKLE_LEN) + 1], key[BASE64_LEN(MERKLE_LEN) + 1];
	char recovery[BASE64_LEN(MERKLE_LEN) + 1], previous[BASE64_LEN(MERKLE_LEN) + 1];

	put_hash(root, true, e->root);
	put_hash(key, true, e->key);
	put_hash(recovery, e->has_recovery, e->recovery);
	put_hash(previous, e->has_previous, e->previous);
	return (size_t)snprintf(out, room,
		TITLE "\norigin %s\nepoch %" PRIu32 "\nsize %" PRIu64
		      "\nroot %s\nkey %s\nrecovery %s\ntime %" PRId64 "\nprevious %s\nby %s\n",
		origin, e->epoch, e->size, root, key, recovery, e->time, previous, signers[e->by]);
}

static size_t
write_all(char out[LOG_EPOCH_MAX], const struct log_epoch *e, const char *origin)
{
	char sig[BASE64_LEN(sizeof(e->signature)) + 1];
	size_t n = write_body(out, LOG_EPOCH_MAX, e, origin);

	base64_encode(sig, e->signature, e->signature_len);
	return n + (size_t)snprintf(out + n, LOG_EPOCH_MAX - n, "signature %s\n\n", sig);
}

int
log_epoch_format(struct buf *out, const struct log_epoch *e, const char *origin)
{
	char text[LOG_EPOCH_MAX];
	size_t n = write_all(text, e, origin);

	return buf_append(out, text, n);
}

void
log_epoch_hash(uint8_t out[MERKLE_LEN], const struct log_epoch *e, const char *origin)
{
	char text[LOG_EPOCH_MAX];
	size_t n = write_all(text, e, origin);

	sha256(out, text, n);
}

/* The value of the next line, which has that name; NULL when it has another. */
static char *
take_value(char **at, const char *name)
{
	size_t n = strlen(name);
	char *line = *at, *end = strchr(line, '\n');

	if (end == NULL || strncmp(line, name, n) != 0 || line[n] != ' ')
		return NULL;
	*end = '\0';
	*at = end + 1;
	return line + n + 1;
}

static bool
take_number(uint64_t *ret, char **at, const char *name)
{
	const char *value = take_value(at, name);

	if (value == NULL)
		return false;
	*ret = strtoull(value, NULL, 10);
	return true;
}

static bool
take_hash(bool *has, uint8_t out[MERKLE_LEN], char **at, const char *name)
{
	const char *value = take_value(at, name);
	uint8_t bytes[BASE64_LEN(MERKLE_LEN)];
	size_t n;

	*has = value != NULL && strcmp(value, "-") != 0;
	if (value == NULL || !*has)
		return value != NULL;
	if (strlen(value) != BASE64_LEN(MERKLE_LEN) ||
		base64_decode(bytes, &n, value, BASE64_LEN(MERKLE_LEN)) < 0 || n != MERKLE_LEN)
		return false;
	memcpy(out, bytes, MERKLE_LEN);
	return true;
}

static bool
take_signer(struct log_epoch *e, char **at)
{
	const char *value = take_value(at, "by");

	for (int i = LOG_BY_AUTHORITY; value != NULL && i <= LOG_BY_RECOVERY; i++)
		if (strcmp(signers[i], value) == 0) {
			e->by = (enum log_by)i;
			return true;
		}
	return false;
}

static bool
take_signature(struct log_epoch *e, char **at)
{
	const char *value = take_value(at, "signature");
	uint8_t bytes[BASE64_LEN(sizeof(e->signature))];
	size_t len = value != NULL ? strlen(value) : 0;

	if (len == 0 || len > BASE64_LEN(sizeof(e->signature)) ||
		base64_decode(bytes, &e->signature_len, value, len) < 0 ||
		e->signature_len > sizeof(e->signature))
		return false;
	memcpy(e->signature, bytes, e->signature_len);
	return true;
}

static bool
take_lines(struct log_epoch *e, char origin[LOG_ORIGIN_MAX], char *at)
{
	uint64_t epoch, time;
	bool has;

	if (strncmp(at, TITLE "\n", strlen(TITLE) + 1) != 0)
		return false;
	at += strlen(TITLE) + 1;
	const char *from = take_value(&at, "origin");
	if (from == NULL || !log_origin_valid(from))
		return false;
	strcpy(origin, from);
	if (!take_number(&epoch, &at, "epoch") || !take_number(&e->size, &at, "size") ||
		!take_hash(&has, e->root, &at, "root") || !has ||
		!take_hash(&has, e->key, &at, "key") || !has ||
		!take_hash(&e->has_recovery, e->recovery, &at, "recovery") ||
		!take_number(&time, &at, "time") ||
		!take_hash(&e->has_previous, e->previous, &at, "previous") ||
		!take_signer(e, &at) || !take_signature(e, &at))
		return false;
	e->epoch = (uint32_t)epoch;
	e->time = (int64_t)time;
	return true;
}

/* The length of the first statement in the text, 0 when it is none. What was read is written anew
 * and compared: a statement has one spelling. */
static size_t
take_statement(struct log_epoch *e, char origin[LOG_ORIGIN_MAX], const char *text, size_t n)
{
	char copy[LOG_EPOCH_MAX], again[LOG_EPOCH_MAX];
	const char *end = memmem(text, n, "\n\n", 2);
	size_t len = end != NULL ? (size_t)(end - text) + 2 : 0;

	*e = (struct log_epoch){.epoch = 0};
	if (len == 0 || len >= sizeof(copy) || memchr(text, '\0', len) != NULL)
		return 0;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (!take_lines(e, origin, copy))
		return 0;
	return write_all(again, e, origin) == len && memcmp(again, text, len) == 0 ? len : 0;
}

/* --- signing ---------------------------------------------------------------------------------- */

int
log_epoch_sign(struct log_epoch *e, const char *origin, EVP_PKEY *key, const struct ca *ca,
	struct hw_err *err)
{
	char body[LOG_EPOCH_MAX];
	size_t len = write_body(body, sizeof(body), e, origin);
	int r = 0;

	e->signature_len = sizeof(e->signature);
	if (e->by == LOG_BY_AUTHORITY)
		return ca_sign(e->signature, &e->signature_len, ca, body, len, err);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) <= 0 ||
		EVP_DigestSign(ctx, e->signature, &e->signature_len, (const uint8_t *)body, len) <=
			0)
		r = ossl_err(err, HW_EINTERNAL, "cannot sign an epoch of the ledger");
	EVP_MD_CTX_free(ctx);
	return r;
}

static bool
is_signed(const struct log_epoch *e, const char *origin, EVP_PKEY *key, const EVP_MD *md)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	char body[LOG_EPOCH_MAX];
	size_t len = write_body(body, sizeof(body), e, origin);

	bool good = key != NULL && ctx != NULL &&
		EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) > 0 &&
		EVP_DigestVerify(ctx, e->signature, e->signature_len, (const uint8_t *)body, len) >
			0;
	EVP_MD_CTX_free(ctx);
	return good;
}

static bool
is_signed_raw(const struct log_epoch *e, const char *origin, const uint8_t key[LOG_KEY_LEN])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, LOG_KEY_LEN);
	bool good = is_signed(e, origin, pkey, NULL);

	EVP_PKEY_free(pkey);
	return good;
}

/* --- the list --------------------------------------------------------------------------------- */

static bool
same_recovery(const struct log_epoch *a, const struct log_epoch *b)
{
	return a->has_recovery == b->has_recovery &&
		(!a->has_recovery || memcmp(a->recovery, b->recovery, LOG_KEY_LEN) == 0);
}

/* Why a statement does not follow the one before it; NULL when it does. */
static const char *
why_not(const struct log_epochs *list, const struct log_epoch *e)
{
	const struct log_epoch *last = log_epochs_last(list);
	uint8_t hash[MERKLE_LEN];

	if (e->epoch != last->epoch + 1 || !e->has_previous)
		return "does not follow the one before";
	log_epoch_hash(hash, last, list->origin);
	if (memcmp(hash, e->previous, MERKLE_LEN) != 0)
		return "follows another than the one before";
	if (e->by == LOG_BY_RECOVERY)
		return last->has_recovery && is_signed_raw(e, list->origin, last->recovery)
			? NULL
			: "is not signed by the recovery key";
	if (e->by != LOG_BY_LEDGER || !is_signed_raw(e, list->origin, last->key))
		return "is not signed by the key before it";
	if (e->size < last->size)
		return "begins before the one before it";
	/* Who has only the relay's key shall not name a recovery key in place of the owner's. */
	if (last->has_recovery && !same_recovery(last, e))
		return "changes the recovery key, and is not signed by it";
	return NULL;
}

static const char *
why_not_first(const struct log_epochs *list, const struct log_epoch *e, X509 *ca)
{
	struct succession of;
	uint8_t hash[MERKLE_LEN];

	if (e->epoch != 1 || e->has_previous || e->by != LOG_BY_AUTHORITY)
		return "is not a ledger's first";
	if (succession_read(&of, ca, NULL) < 0)
		return "is held against a certificate that is no fleet's authority";
	if (of.number > 1) {
		log_epoch_hash(hash, e, list->origin);
		return memcmp(hash, of.ledger, MERKLE_LEN) == 0
			? NULL
			: "is not the one that the fleet's authority names";
	}
	return is_signed(e, list->origin, X509_get0_pubkey(ca), EVP_sha256())
		? NULL
		: "is not signed by the fleet's authority";
}

static const char *
take_next(struct log_epochs *list, const struct log_epoch *e, const char *origin, X509 *ca)
{
	const char *why;

	if (list->n == 0)
		strcpy(list->origin, origin);
	if (list->n == LOG_EPOCHS_MAX)
		return "is one more than there can be";
	if (strcmp(list->origin, origin) != 0)
		return "is of another ledger";
	why = list->n == 0 ? why_not_first(list, e, ca) : why_not(list, e);
	if (why == NULL)
		list->all[list->n++] = *e;
	return why;
}

int
log_epochs_read(struct log_epochs *ret, const void *text, size_t n, X509 *ca, struct hw_err *err)
{
	struct log_epochs list = {.n = 0};
	const char *at = text, *why = NULL;
	char origin[LOG_ORIGIN_MAX];
	struct log_epoch e;

	list.all = calloc(LOG_EPOCHS_MAX, sizeof(*list.all));
	if (list.all == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the ledger's epochs");
	for (size_t used; why == NULL && (n > 0 || list.n == 0); at += used, n -= used) {
		used = take_statement(&e, origin, at, n);
		why = used == 0 ? "is no statement" : take_next(&list, &e, origin, ca);
	}
	if (why != NULL) {
		hw_err_set(err, HW_ECORRUPT, "epoch %zu of the ledger %s", list.n + 1, why);
		log_epochs_fini(&list);
		return HW_ECORRUPT;
	}
	*ret = list;
	return 0;
}

void
log_epochs_fini(struct log_epochs *e)
{
	free(e->all);
	*e = (struct log_epochs){.n = 0};
}

const struct log_epoch *
log_epochs_last(const struct log_epochs *e)
{
	return &e->all[e->n - 1];
}

const struct log_epoch *
log_epochs_find(const struct log_epochs *e, uint32_t number)
{
	return number >= 1 && number <= e->n ? &e->all[number - 1] : NULL;
}

/* The first epoch after that of the head which began with less; NULL: there is none. */
static const struct log_epoch *
first_below(const struct log_epochs *e, const struct log_head *head)
{
	for (size_t i = head->epoch; i < e->n; i++)
		if (e->all[i].size < head->size)
			return &e->all[i];
	return NULL;
}

bool
log_epochs_gave_up(const struct log_epochs *e, const struct log_head *head)
{
	const struct log_epoch *of = log_epochs_find(e, head->epoch);

	if (of == NULL || !log_head_signed(head, e->origin, of->key))
		return false;
	const struct log_epoch *below = first_below(e, head);
	return below != NULL && below->by == LOG_BY_RECOVERY;
}

int
log_epochs_allow(const struct log_epochs *e, const struct log_head *head, struct hw_err *err)
{
	const struct log_epoch *of = log_epochs_find(e, head->epoch);

	if (of == NULL)
		return hw_err_set(err, HW_ECORRUPT, "the ledger has no epoch %" PRIu32,
			head->epoch);
	if (!log_head_signed(head, e->origin, of->key))
		return hw_err_set(err, HW_ECORRUPT,
			"the head of size %" PRIu64 " is not signed by the key of epoch %" PRIu32,
			head->size, head->epoch);
	if (head->size < of->size || first_below(e, head) != NULL)
		return hw_err_set(err, HW_ECORRUPT,
			"the head of size %" PRIu64 " is not in epoch %" PRIu32
			", whose key signed it",
			head->size, head->epoch);
	return 0;
}

bool
log_epochs_follow(const struct log_epochs *known, const struct log_epochs *next,
	const struct log_epoch **recovered)
{
	uint8_t a[MERKLE_LEN], b[MERKLE_LEN];
	size_t same = 0;

	*recovered = NULL;
	if (strcmp(known->origin, next->origin) != 0)
		return false;
	while (same < known->n && same < next->n) {
		log_epoch_hash(a, &known->all[same], known->origin);
		log_epoch_hash(b, &next->all[same], next->origin);
		if (memcmp(a, b, MERKLE_LEN) != 0)
			break;
		same++;
	}
	for (size_t i = same; i < next->n && *recovered == NULL; i++)
		if (next->all[i].by == LOG_BY_RECOVERY)
			*recovered = &next->all[i];
	if (same == known->n)
		return true;
	return same > 0 && same < next->n && *recovered == &next->all[same];
}
