#include "proto/trust/succession.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/clock.h"
#include "proto/base/enc.h"
#include "proto/trust/identity.h"

static int
no_authority(struct hw_err *err)
{
	return hw_err_set(err, HW_ECERT, "the CA certificate is not of a Hawser fleet");
}

/* "Hawser fleet 0123456789ab". */
static bool
read_fleet(char out[CERT_FLEET_LEN + 1], X509 *root)
{
	static const char digits[] = "0123456789abcdef";
	char name[64], want[64];
	int n = X509_NAME_get_text_by_NID(X509_get_subject_name(root), NID_commonName, name,
		sizeof(name));

	ERR_clear_error();
	if (n < CERT_FLEET_LEN || memchr(name, '\0', (size_t)n) != NULL)
		return false;
	memcpy(out, name + n - CERT_FLEET_LEN, CERT_FLEET_LEN + 1);
	snprintf(want, sizeof(want), IDENTITY_CA_NAME, out);
	return strspn(out, digits) == CERT_FLEET_LEN && strcmp(want, name) == 0;
}

/* Its text, when that is what the format makes of the fleet and what follows. */
static const char *
read_uri(const GENERAL_NAME *name, const char *what, const char *fleet)
{
	char head[64];

	int n = snprintf(head, sizeof(head), IDENTITY_CA_URI, fleet, what);
	if (name == NULL || name->type != GEN_URI)
		return NULL;
	const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
	const char *text = (const char *)ASN1_STRING_get0_data(uri);
	if (ASN1_STRING_length(uri) <= n || strlen(text) != (size_t)ASN1_STRING_length(uri) ||
		memcmp(text, head, (size_t)n) != 0)
		return NULL;
	return text + n;
}

/* One spelling: no sign, no zeros before it. */
static bool
read_number(unsigned *ret, const char *text)
{
	char again[16];

	if (text == NULL || strlen(text) > 4)
		return false;
	*ret = (unsigned)strtoul(text, NULL, 10);
	snprintf(again, sizeof(again), "%u", *ret);
	return *ret >= 2 && *ret <= SUCCESSION_MAX && strcmp(again, text) == 0;
}

static bool
read_names(struct succession *s, const GENERAL_NAMES *names)
{
	char again[2 * MERKLE_LEN + 1];

	if (sk_GENERAL_NAME_num(names) != 2 ||
		!read_number(&s->number,
			read_uri(sk_GENERAL_NAME_value(names, 0), "authority", s->fleet)))
		return false;
	const char *hash = read_uri(sk_GENERAL_NAME_value(names, 1), "ledger", s->fleet);
	if (hash == NULL || hex_decode(s->ledger, MERKLE_LEN, hash) < 0)
		return false;
	hex_encode(again, s->ledger, MERKLE_LEN);
	return strcmp(again, hash) == 0;
}

int
succession_read(struct succession *ret, X509 *root, struct hw_err *err)
{
	struct succession s = {.number = 1};
	char founded[CERT_FLEET_LEN + 1];
	int critical, r;

	if (!read_fleet(s.fleet, root))
		return no_authority(err);
	GENERAL_NAMES *names = X509_get_ext_d2i(root, NID_subject_alt_name, &critical, NULL);
	ERR_clear_error();
	if (names != NULL) {
		bool good = read_names(&s, names);
		GENERAL_NAMES_free(names);
		if (!good)
			return no_authority(err);
	} else if (critical != -1) /* malformed, or several */
		return no_authority(err);
	else if ((r = identity_fleet(founded, X509_get0_pubkey(root), err)) < 0)
		return r;
	else if (strcmp(founded, s.fleet) != 0)
		return no_authority(err);
	*ret = s;
	return 0;
}

bool
succession_signed(X509 *cert, X509 *root)
{
	bool is = X509_verify(cert, X509_get0_pubkey(root)) == 1;

	ERR_clear_error();
	return is;
}

static bool
is_of_time(X509 *cert, int64_t now)
{
	time_t at = (time_t)(now / USEC_PER_SEC);

	return X509_cmp_time(X509_get0_notBefore(cert), &at) < 0 &&
		X509_cmp_time(X509_get0_notAfter(cert), &at) > 0;
}

/* An authority of that name, for another key, by the one that is known. */
static bool
is_vouched(X509 *cert, X509 *known, int64_t now)
{
	X509_NAME *name = X509_get_subject_name(known);

	return X509_NAME_cmp(X509_get_subject_name(cert), name) == 0 &&
		X509_NAME_cmp(X509_get_issuer_name(cert), name) == 0 && X509_check_ca(cert) == 1 &&
		EVP_PKEY_eq(X509_get0_pubkey(cert), X509_get0_pubkey(known)) != 1 &&
		is_of_time(cert, now) && succession_signed(cert, known);
}

static bool
is_root_of(X509 *root, X509 *vouched, X509 *known, int64_t now)
{
	struct succession next, before;

	return EVP_PKEY_eq(X509_get0_pubkey(root), X509_get0_pubkey(vouched)) == 1 &&
		X509_check_ca(root) == 1 && X509_self_signed(root, 1) == 1 &&
		is_of_time(root, now) && succession_read(&next, root, NULL) == 0 &&
		succession_read(&before, known, NULL) == 0 &&
		strcmp(next.fleet, before.fleet) == 0 && next.number > before.number;
}

X509 *
succession_next(X509 *known, const struct stack_st_X509 *shown, int64_t now)
{
	int n = shown != NULL ? sk_X509_num(shown) : 0;

	if (n > SUCCESSION_SHOWN)
		n = SUCCESSION_SHOWN;
	for (int i = 0; i < n; i++) {
		X509 *vouched = sk_X509_value(shown, i);
		if (!is_vouched(vouched, known, now))
			continue;
		for (int j = 0; j < n; j++) {
			X509 *root = sk_X509_value(shown, j);
			if (is_root_of(root, vouched, known, now)) {
				ERR_clear_error();
				return root;
			}
		}
	}
	ERR_clear_error();
	return NULL;
}
