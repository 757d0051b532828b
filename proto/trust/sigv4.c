#include "proto/trust/sigv4.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/enc.h"
#include "proto/trust/secret.h"

#define ALGORITHM	"AWS4-HMAC-SHA256"
#define SERVICE		"ssm"
#define TERMINATOR	"aws4_request"
#define DAY_LEN		8 /* 20261123 */
#define REGION_MAX	64
#define SIGNED_MAX	1024 /* bytes of the list of signed headers */
#define HEADER_NAME_MAX 64   /* of one of them */

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

struct sigv4 {
	char key_id[SIGV4_KEY_ID_MAX + 1];
	char day[DAY_LEN + 1], region[REGION_MAX + 1];
	char date[SIGV4_DATE_LEN + 1];
	int64_t time;
	uint8_t signature[SHA256_LEN];
	struct buf canonical; /* up to the body's hash */
};

const char *
sigv4_key_id(const struct sigv4 *s)
{
	return s->key_id;
}

int64_t
sigv4_time(const struct sigv4 *s)
{
	return s->time;
}

/* --- pieces of text -------------------------------------------------------------------------- */

struct piece {
	const char *p;
	size_t n;
};

static bool
piece_is(struct piece a, const char *text)
{
	return a.n == strlen(text) && memcmp(a.p, text, a.n) == 0;
}

static bool
piece_has_only(struct piece a, const char *set)
{
	for (size_t i = 0; i < a.n; i++)
		if (a.p[i] == '\0' || strchr(set, a.p[i]) == NULL)
			return false;
	return true;
}

static bool
piece_copy(char *out, size_t room, struct piece a)
{
	if (a.n >= room)
		return false;
	memcpy(out, a.p, a.n);
	out[a.n] = '\0';
	return true;
}

/* Takes what is behind the last '/' off the end; false without one. */
static bool
take_last(struct piece *rest, struct piece *last)
{
	for (size_t i = rest->n; i > 0; i--) {
		if (rest->p[i - 1] != '/')
			continue;
		*last = (struct piece){rest->p + i, rest->n - i};
		rest->n = i - 1;
		return true;
	}
	return false;
}

/* Takes what is before the next `sep`, or all; false when nothing is left. */
static bool
take_next(struct piece *rest, struct piece *next, char sep)
{
	if (rest->p == NULL)
		return false;
	const char *at = memchr(rest->p, sep, rest->n);
	*next = (struct piece){rest->p, at != NULL ? (size_t)(at - rest->p) : rest->n};
	if (at != NULL)
		*rest = (struct piece){at + 1, rest->n - next->n - 1};
	else
		*rest = (struct piece){NULL, 0};
	return true;
}

static struct piece
trim(struct piece a)
{
	while (a.n > 0 && (*a.p == ' ' || *a.p == '\t'))
		a.p++, a.n--;
	while (a.n > 0 && (a.p[a.n - 1] == ' ' || a.p[a.n - 1] == '\t'))
		a.n--;
	return a;
}

/* --- the Authorization header ---------------------------------------------------------------- */

/* Its three parts, by their names. */
enum part { CREDENTIAL, SIGNED_HEADERS, SIGNATURE, PARTS };

static const char *const part_names[PARTS] = {"Credential", "SignedHeaders", "Signature"};

static int
incomplete(struct hw_err *err, const char *what)
{
	return hw_err_set(err, HW_EINCOMPLETESIGNATURE,
		"%s: the Authorization header must be \"" ALGORITHM
		" Credential=..., SignedHeaders=..., Signature=...\"",
		what);
}

static int
take_part(struct piece parts[PARTS], struct piece text, struct hw_err *err)
{
	struct piece name;

	text = trim(text);
	const char *at = memchr(text.p, '=', text.n);
	if (at == NULL)
		return incomplete(err, "a part has no \"=\"");
	name = (struct piece){text.p, (size_t)(at - text.p)};
	for (int i = 0; i < PARTS; i++) {
		if (!piece_is(name, part_names[i]))
			continue;
		if (parts[i].p != NULL)
			return incomplete(err, "a part is there twice");
		parts[i] = (struct piece){at + 1, text.n - name.n - 1};
		return 0;
	}
	return incomplete(err, "a part is unknown");
}

static int
split(struct piece parts[PARTS], const char *authorization, struct hw_err *err)
{
	struct piece rest = trim((struct piece){authorization, strlen(authorization)}), part;
	size_t n = sizeof(ALGORITHM) - 1;
	int r;

	if (rest.n > SIGV4_AUTHORIZATION_MAX)
		return incomplete(err, "it is too long");
	if (rest.n <= n || memcmp(rest.p, ALGORITHM, n) != 0 ||
		(rest.p[n] != ' ' && rest.p[n] != '\t'))
		return incomplete(err, "only " ALGORITHM " is served");
	rest = (struct piece){rest.p + n, rest.n - n};
	while (take_next(&rest, &part, ','))
		if ((r = take_part(parts, part, err)) < 0)
			return r;
	for (int i = 0; i < PARTS; i++)
		if (parts[i].p == NULL || parts[i].n == 0)
			return incomplete(err, "a part is missing");
	return 0;
}

/* From the right: a key's id might have a '/' anywhere else. */
static int
read_credential(struct sigv4 *s, struct piece text, struct hw_err *err)
{
	struct piece terminator, service, region, day;

	if (!take_last(&text, &terminator) || !take_last(&text, &service) ||
		!take_last(&text, &region) || !take_last(&text, &day))
		return incomplete(err,
			"the credential is not KEY/DATE/REGION/" SERVICE "/" TERMINATOR);
	if (text.n == 0 || !piece_has_only(text, LOWER UPPER DIGITS "-_.") ||
		!piece_copy(s->key_id, sizeof(s->key_id), text))
		return incomplete(err, "the credential has no good key id");
	if (region.n == 0 || !piece_has_only(region, LOWER UPPER DIGITS "-_.") ||
		!piece_copy(s->region, sizeof(s->region), region))
		return incomplete(err, "the credential has no good region");
	if (day.n != DAY_LEN || !piece_has_only(day, DIGITS) ||
		!piece_copy(s->day, sizeof(s->day), day))
		return incomplete(err, "the credential has no good date");
	if (!piece_is(terminator, TERMINATOR))
		return hw_err_set(err, HW_ESIGNATURE, "the credential must end with " TERMINATOR);
	if (!piece_is(service, SERVICE))
		return hw_err_set(err, HW_ESIGNATURE,
			"the credential must be for the service " SERVICE);
	return 0;
}

static int
read_signature(struct sigv4 *s, struct piece text, struct hw_err *err)
{
	char hex[2 * SHA256_LEN + 1];

	if (text.n != 2 * SHA256_LEN || !piece_has_only(text, "abcdef" DIGITS) ||
		!piece_copy(hex, sizeof(hex), text) ||
		hex_decode(s->signature, SHA256_LEN, hex) < 0)
		return incomplete(err, "the signature is not 64 hex digits");
	return 0;
}

/* --- the canonical request ------------------------------------------------------------------- */

struct reader {
	struct sigv4 *s;
	sigv4_header_fn *header;
	void *arg;
	unsigned seen; /* bits, of required[] */
};

/* Without these a signature could be moved to another relay, time or operation. */
static const char *const required[] = {"host", "x-amz-date", "x-amz-target"};
#define REQUIRED (sizeof(required) / sizeof(required[0]))

/* Trimmed, and each run of blanks as one. */
static int
append_value(struct buf *out, const char *value)
{
	struct piece text = trim((struct piece){value, strlen(value)});
	bool blank = false;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool was = blank;
		blank = c == ' ' || c == '\t';
		if (blank && was)
			continue;
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return HW_EVALIDATION;
		buf_append_byte(out, blank ? ' ' : c);
	}
	return 0;
}

static int
no_value(struct hw_err *err, const char *name, int why)
{
	const char *what = why == HW_ENOTFOUND ? "is signed, and is not there"
		: why == HW_EEXISTS	       ? "is there twice"
		: why == HW_ELIMIT	       ? "is too long"
					       : "has a control character in it";

	return hw_err_set(err, HW_EINCOMPLETESIGNATURE, "the header %s %s", name, what);
}

static int
add_header(struct reader *r, const char *name, struct hw_err *err)
{
	char value[SIGV4_VALUE_MAX + 1];
	struct buf *out = &r->s->canonical;
	int rc = r->header(r->arg, name, value, sizeof(value));

	if (rc < 0)
		return no_value(err, name, rc);
	buf_printf(out, "%s:", name);
	if ((rc = append_value(out, value)) < 0)
		return no_value(err, name, rc);
	buf_append_byte(out, '\n');
	for (size_t i = 0; i < REQUIRED; i++)
		if (strcmp(name, required[i]) == 0)
			r->seen |= 1U << i;
	if (strcmp(name, "x-amz-date") == 0) {
		struct piece date = trim((struct piece){value, strlen(value)});
		if (!piece_copy(r->s->date, sizeof(r->s->date), date))
			return incomplete(err, "X-Amz-Date is too long");
	}
	return 0;
}

/* Names ascend, as signers sort them: so none is there twice. */
static int
add_headers(struct reader *r, struct piece list, struct hw_err *err)
{
	char name[HEADER_NAME_MAX + 1], before[HEADER_NAME_MAX + 1] = "";
	struct piece next, rest = list;
	int rc;

	if (list.n > SIGNED_MAX)
		return incomplete(err, "too many headers are signed");
	for (int n = 0; take_next(&rest, &next, ';'); n++) {
		if (n == SIGV4_HEADERS_MAX)
			return incomplete(err, "too many headers are signed");
		if (next.n == 0 || !piece_has_only(next, LOWER DIGITS "-_.") ||
			!piece_copy(name, sizeof(name), next))
			return incomplete(err, "the name of a signed header is not good");
		if (strcmp(before, name) >= 0)
			return incomplete(err, "the signed headers are not sorted");
		if ((rc = add_header(r, name, err)) < 0)
			return rc;
		strcpy(before, name);
	}
	for (size_t i = 0; i < REQUIRED; i++)
		if (!(r->seen & 1U << i))
			return hw_err_set(err, HW_EINCOMPLETESIGNATURE,
				"the header %s must be signed", required[i]);
	return 0;
}

/* 20261123T030542Z */
static int
read_date(struct sigv4 *s, struct hw_err *err)
{
	const char *d = s->date;
	char text[32];

	if (strlen(d) != SIGV4_DATE_LEN || d[8] != 'T' || d[15] != 'Z' || strspn(d, DIGITS) != 8 ||
		strspn(d + 9, DIGITS) != 6)
		return hw_err_set(err, HW_EINCOMPLETESIGNATURE,
			"X-Amz-Date is not a time like 20261123T030542Z");
	snprintf(text, sizeof(text), "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", d, d + 4, d + 6, d + 9,
		d + 11, d + 13);
	if (rfc3339_parse(&s->time, text) < 0)
		return hw_err_set(err, HW_EINCOMPLETESIGNATURE,
			"X-Amz-Date is no time that there is");
	if (memcmp(d, s->day, DAY_LEN) != 0)
		return hw_err_set(err, HW_ESIGNATURE,
			"the credential's date is not that of X-Amz-Date");
	return 0;
}

static int
read_headers(struct sigv4 *s, struct piece list, sigv4_header_fn *header, void *arg,
	struct hw_err *err)
{
	struct reader reader = {s, header, arg, 0};
	struct buf *out = &s->canonical;
	int r;

	buf_append_str(out, "POST\n/\n\n");
	if ((r = add_headers(&reader, list, err)) < 0)
		return r;
	buf_append_byte(out, '\n');
	buf_append(out, list.p, list.n);
	buf_append_byte(out, '\n');
	if (out->failed)
		return hw_err_set(err, HW_EINCOMPLETESIGNATURE,
			"the signed headers have more than %d bytes in all", SIGV4_CANONICAL_MAX);
	return read_date(s, err);
}

/* --- life ------------------------------------------------------------------------------------ */

void
sigv4_free(struct sigv4 *s)
{
	if (s == NULL)
		return;
	buf_fini(&s->canonical);
	free(s);
}

int
sigv4_new(struct sigv4 **ret, const char *authorization, sigv4_header_fn *header, void *arg,
	struct hw_err *err)
{
	struct piece parts[PARTS] = {
		{NULL, 0}
	 };
	int r;

	if (authorization == NULL || *authorization == '\0')
		return hw_err_set(err, HW_EMISSINGTOKEN,
			"the request has no Authorization header: sign it with an access key");
	if ((r = split(parts, authorization, err)) < 0)
		return r;
	struct sigv4 *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a signature");
	buf_init(&s->canonical, SIGV4_CANONICAL_MAX);
	if ((r = read_credential(s, parts[CREDENTIAL], err)) < 0 ||
		(r = read_signature(s, parts[SIGNATURE], err)) < 0 ||
		(r = read_headers(s, parts[SIGNED_HEADERS], header, arg, err)) < 0) {
		sigv4_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

/* --- the signature --------------------------------------------------------------------------- */

static void
hmac(uint8_t out[SHA256_LEN], const void *key, size_t n, const char *text)
{
	hw_assert(HMAC(EVP_sha256(), key, (int)n, (const uint8_t *)text, strlen(text), out, NULL) !=
		NULL);
}

/* For requests of that scope: "20261123", a region, a service. */
static void
signing_key(uint8_t key[SHA256_LEN], const char *secret, const char *day, const char *region,
	const char *service)
{
	char first[4 + SIGV4_SECRET_MAX + 1];
	int n = snprintf(first, sizeof(first), "AWS4%s", secret);

	hw_assert(n < (int)sizeof(first)); /* ours are short */
	hmac(key, first, (size_t)n, day);
	hmac(key, key, SHA256_LEN, region);
	hmac(key, key, SHA256_LEN, service);
	hmac(key, key, SHA256_LEN, TERMINATOR);
	OPENSSL_cleanse(first, sizeof(first));
}

static void
hash_request(char out[2 * SHA256_LEN + 1], const struct sigv4 *s, const void *body, size_t n)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	char hex[2 * SHA256_LEN + 1];
	uint8_t hash[SHA256_LEN];

	sha256(hash, body, n);
	hex_encode(hex, hash, sizeof(hash));
	hw_assert(md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) > 0 &&
		EVP_DigestUpdate(md, buf_data(&s->canonical), s->canonical.len) > 0 &&
		EVP_DigestUpdate(md, hex, sizeof(hex) - 1) > 0 &&
		EVP_DigestFinal_ex(md, hash, NULL) > 0);
	EVP_MD_CTX_free(md);
	hex_encode(out, hash, sizeof(hash));
}

bool
sigv4_matches(const struct sigv4 *s, const char *secret, const void *body, size_t n)
{
	char request[2 * SHA256_LEN + 1], text[256];
	uint8_t key[SHA256_LEN], made[SHA256_LEN];

	hash_request(request, s, body, n);
	snprintf(text, sizeof(text), ALGORITHM "\n%s\n%s/%s/" SERVICE "/" TERMINATOR "\n%s",
		s->date, s->day, s->region, request);
	signing_key(key, secret, s->day, s->region, SERVICE);
	hmac(made, key, sizeof(key), text);
	OPENSSL_cleanse(key, sizeof(key));
	bool same = bytes_equal(made, s->signature, SHA256_LEN);
	OPENSSL_cleanse(made, sizeof(made));
	return same;
}

int
sigv4_in_time(const struct sigv4 *s, int64_t now, int64_t window, struct hw_err *err)
{
	char theirs[RFC3339_LEN + 1], ours[RFC3339_LEN + 1];
	bool early = s->time > now + window;

	if (!early && s->time >= now - window)
		return 0;
	rfc3339_format(theirs, s->time);
	rfc3339_format(ours, now);
	return hw_err_set(err, HW_ESIGNATURE,
		"%s: it is of %s, and the relay's clock says %s; set the clock right",
		early ? "Signature not yet current" : "Signature expired", theirs, ours);
}

/* --- the signer's side ------------------------------------------------------------------------ */

#define SIGNED_BY_US "host;x-amz-content-sha256;x-amz-date"

static void
format_date(char date[SIGV4_DATE_LEN + 1], int64_t time)
{
	char text[RFC3339_LEN + 1];

	rfc3339_format(text, time);
	snprintf(date, SIGV4_DATE_LEN + 1, "%.4s%.2s%.2sT%.2s%.2s%.2sZ", text, text + 5, text + 8,
		text + 11, text + 14, text + 17);
}

static int
hash_canonical(char hex[2 * SHA256_LEN + 1], const struct sigv4_request *q, const char *date,
	struct hw_err *err)
{
	uint8_t hash[SHA256_LEN];
	struct buf text;

	buf_init(&text, SIGV4_CANONICAL_MAX);
	buf_printf(&text,
		"%s\n%s\n%s\nhost:%s\nx-amz-content-sha256:%s\nx-amz-date:%s\n\n" SIGNED_BY_US
		"\n%s",
		q->method, q->path, q->query, q->host, q->hash, date, q->hash);
	int r = text.failed ? hw_err_set(err, HW_ELIMIT, "no room for a request that is signed")
			    : 0;
	sha256(hash, buf_data(&text), text.len);
	hex_encode(hex, hash, sizeof(hash));
	buf_fini(&text);
	return r;
}

int
sigv4_sign(char date[SIGV4_DATE_LEN + 1], char authorization[SIGV4_AUTHORIZATION_MAX + 1],
	const struct sigv4_request *q, const char *key_id, const char *secret, struct hw_err *err)
{
	char request[2 * SHA256_LEN + 1], signature[2 * SHA256_LEN + 1], day[DAY_LEN + 1];
	char scope[DAY_LEN + 2 * REGION_MAX + 32], text[sizeof(scope) + 128];
	uint8_t key[SHA256_LEN], made[SHA256_LEN];

	if (strlen(secret) > SIGV4_SECRET_MAX || strlen(key_id) > SIGV4_KEY_ID_MAX ||
		strlen(q->region) > REGION_MAX || strlen(q->service) > REGION_MAX)
		return hw_err_set(err, HW_ELIMIT, "no room for what a request is signed with");
	format_date(date, q->time);
	int r = hash_canonical(request, q, date, err);
	if (r < 0)
		return r;
	snprintf(day, sizeof(day), "%.8s", date);
	snprintf(scope, sizeof(scope), "%s/%s/%s/" TERMINATOR, day, q->region, q->service);
	snprintf(text, sizeof(text), ALGORITHM "\n%s\n%s\n%s", date, scope, request);
	signing_key(key, secret, day, q->region, q->service);
	hmac(made, key, sizeof(key), text);
	OPENSSL_cleanse(key, sizeof(key));
	hex_encode(signature, made, sizeof(made));
	snprintf(authorization, SIGV4_AUTHORIZATION_MAX + 1,
		ALGORITHM " Credential=%s/%s, SignedHeaders=" SIGNED_BY_US ", Signature=%s", key_id,
		scope, signature);
	return 0;
}
