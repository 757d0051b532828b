#include "proto/trust/cert.h"

#include <inttypes.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/base/clock.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"
#include "proto/trust/identity.h"
#include "proto/trust/ossl.h"
#include "proto/trust/secret.h"
#include "proto/trust/succession.h"

#define CERT_PEM_MAX 65536
#define SERIAL_BYTES (CERT_SERIAL_LEN / 2)

/* --- parsing --------------------------------------------------------------------------------- */

/* Whether OpenSSL, which also reads BER, writes the same bytes: else one certificate would have
 * several fingerprints. */
static bool
is_der_of(X509 *cert, const void *der, size_t n)
{
	uint8_t *again = NULL;
	int m = i2d_X509(cert, &again);
	bool same = m >= 0 && (size_t)m == n && memcmp(again, der, n) == 0;

	OPENSSL_free(again);
	return same;
}

int
cert_parse(X509 **ret, const void *der, size_t n, struct hw_err *err)
{
	const uint8_t *at = der;

	if (n == 0 || n > CERT_DER_MAX)
		return hw_err_set(err, HW_ECERT, "a certificate cannot have %zu bytes", n);
	X509 *cert = d2i_X509(NULL, &at, (long)n);
	if (cert == NULL)
		return ossl_err(err, HW_ECERT, "this is no X.509 certificate");
	if (!is_der_of(cert, der, n)) {
		X509_free(cert);
		ERR_clear_error();
		return hw_err_set(err, HW_ECERT, "the certificate's encoding is not strict DER");
	}
	*ret = cert;
	return 0;
}

/* --- who it is for ---------------------------------------------------------------------------- */

static int
read_serial(char out[CERT_SERIAL_LEN + 1], X509 *cert, struct hw_err *err)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
	const uint8_t *bytes = ASN1_STRING_get0_data(serial);
	int n = ASN1_STRING_length(serial);

	if (ASN1_STRING_type(serial) != V_ASN1_INTEGER || n < 1 || n > SERIAL_BYTES)
		return hw_err_set(err, HW_ECERT, "its serial number is negative or too long");
	hex_encode(out, bytes, (size_t)n);
	return 0;
}

static bool
read_time(int64_t *ret, const ASN1_TIME *t)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) <= 0)
		return false;
	*ret = (int64_t)timegm(&tm) * USEC_PER_SEC;
	return true;
}

static int
read_validity(struct cert_identity *id, X509 *cert, struct hw_err *err)
{
	if (read_time(&id->not_before, X509_get0_notBefore(cert)) &&
		read_time(&id->not_after, X509_get0_notAfter(cert)))
		return 0;
	return ossl_err(err, HW_ECERT, "its times are malformed");
}

/* The one URI. Those of nodes and users name nothing else; a relay's also has its hosts. */
static int
read_names(struct cert_identity *id, const GENERAL_NAMES *names, const char *fleet,
	struct hw_err *err)
{
	const ASN1_IA5STRING *uri = NULL;
	int others = 0, r;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_URI) {
			others++;
			continue;
		}
		if (uri != NULL)
			return hw_err_set(err, HW_ECERT, "it has more than one URI");
		uri = name->d.uniformResourceIdentifier;
	}
	if (uri == NULL)
		return hw_err_set(err, HW_ECERT, "it has no URI that says who it is for");
	r = identity_parse(id, (const char *)ASN1_STRING_get0_data(uri),
		(size_t)ASN1_STRING_length(uri), fleet, err);
	if (r == 0 && others > 0 && id->role != ROLE_RELAY)
		r = hw_err_set(err, HW_ECERT, "it has other names beside %s", id->id);
	return r;
}

/* The extension of that kind; NULL when there is none, or more than one. */
static void *
only_extension(X509 *cert, int nid)
{
	int critical;
	void *ext = X509_get_ext_d2i(cert, nid, &critical, NULL);

	ERR_clear_error();
	return ext;
}

static int
check_usage(X509 *cert, int role, struct hw_err *err)
{
	int wanted = role == ROLE_RELAY ? NID_server_auth : NID_client_auth;
	EXTENDED_KEY_USAGE *usage = only_extension(cert, NID_ext_key_usage);
	bool fits = usage != NULL && sk_ASN1_OBJECT_num(usage) == 1 &&
		OBJ_obj2nid(sk_ASN1_OBJECT_value(usage, 0)) == wanted;

	EXTENDED_KEY_USAGE_free(usage);
	if (!fits)
		return hw_err_set(err, HW_ECERT,
			"its extended key usage is not %s alone, as of a %s", OBJ_nid2sn(wanted),
			enum_text(&enum_ROLE, role));
	if (X509_get_key_usage(cert) != KU_DIGITAL_SIGNATURE)
		return hw_err_set(err, HW_ECERT,
			"its key is for other uses than signing handshakes");
	return 0;
}

/* Version 3, nothing malformed or twice, and no authority. */
static int
check_form(X509 *cert, struct hw_err *err)
{
	uint32_t flags = X509_get_extension_flags(cert);

	ERR_clear_error();
	if (X509_get_version(cert) != X509_VERSION_3 || (flags & EXFLAG_INVALID) != 0)
		return hw_err_set(err, HW_ECERT, "it is malformed");
	if ((flags & (EXFLAG_CA | EXFLAG_SS)) != 0)
		return hw_err_set(err, HW_ECERT, "it is of an authority, not of a peer");
	return 0;
}

bool
cert_is_for_host(X509 *cert, const char *host)
{
	bool is = X509_check_ip_asc(cert, host, 0) == 1 ||
		X509_check_host(cert, host, 0,
			X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
			NULL) == 1;

	ERR_clear_error();
	return is;
}

int
cert_identity(struct cert_identity *ret, X509 *cert, const char *fleet, struct hw_err *err)
{
	struct cert_identity id = {0};
	int r;

	if ((r = check_form(cert, err)) < 0 || (r = read_serial(id.serial, cert, err)) < 0 ||
		(r = read_validity(&id, cert, err)) < 0)
		goto out;
	GENERAL_NAMES *names = only_extension(cert, NID_subject_alt_name);
	r = read_names(&id, names, fleet, err);
	GENERAL_NAMES_free(names);
	if (r < 0 || (r = check_usage(cert, id.role, err)) < 0)
		goto out;
	hw_assert(X509_digest(cert, EVP_sha256(), id.fingerprint, NULL) > 0);
	*ret = id;
out:
	return r < 0 && err != NULL ? hw_err_prefix(err, "the certificate is not one of ours") : r;
}

int
cert_fleet(char out[CERT_FLEET_LEN + 1], X509 *ca, struct hw_err *err)
{
	struct succession s;
	int r = succession_read(&s, ca, err);

	if (r == 0)
		memcpy(out, s.fleet, sizeof(s.fleet));
	return r;
}

void
cert_pin(char out[CERT_PIN_LEN + 1], X509 *cert)
{
	uint8_t hash[SHA256_LEN];

	hw_assert(X509_digest(cert, EVP_sha256(), hash, NULL) > 0);
	hex_encode(out, hash, sizeof(hash));
}

/* --- whether it is good ----------------------------------------------------------------------- */

/* Forgives the leaf, and nobody else, that its time is over. */
static int
on_verify_expired_ok(int ok, X509_STORE_CTX *ctx)
{
	if (!ok && X509_STORE_CTX_get_error(ctx) == X509_V_ERR_CERT_HAS_EXPIRED &&
		X509_STORE_CTX_get_error_depth(ctx) == 0) {
		X509_STORE_CTX_set_error(ctx, X509_V_OK);
		return 1;
	}
	return ok;
}

void
cert_rules(X509_VERIFY_PARAM *param)
{
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	X509_VERIFY_PARAM_set_depth(param, 0); /* nothing between the leaf and the CA */
}

/* The purpose is any: which one it must be depends on the role, which cert_identity() knows. */
static void
set_rules(X509_STORE_CTX *ctx, int64_t now, bool expired_ok)
{
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);

	cert_rules(param);
	X509_VERIFY_PARAM_set_time(param, (time_t)(now / USEC_PER_SEC));
	X509_VERIFY_PARAM_set_auth_level(param, CERT_SECURITY_LEVEL);
	X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_ANY);
	if (expired_ok)
		X509_STORE_CTX_set_verify_cb(ctx, on_verify_expired_ok);
}

static int64_t
minutes_apart(int64_t a, int64_t b)
{
	return (a < b ? b - a : a - b) / (60 * USEC_PER_SEC);
}

/* Says by how much: an hour is a clock's fault, a year is not. */
static int
refuse(X509_STORE_CTX *ctx, int64_t now, struct hw_err *err)
{
	int why = X509_STORE_CTX_get_error(ctx);
	bool leaf = X509_STORE_CTX_get_error_depth(ctx) == 0;
	bool over = why == X509_V_ERR_CERT_HAS_EXPIRED && leaf;
	bool early = why == X509_V_ERR_CERT_NOT_YET_VALID && leaf;
	struct cert_identity id = {0};
	char text[RFC3339_LEN + 1], bound[RFC3339_LEN + 1];

	ERR_clear_error();
	rfc3339_format(text, now);
	if ((!over && !early) || read_validity(&id, X509_STORE_CTX_get0_cert(ctx), NULL) < 0)
		return hw_err_set(err, over ? HW_EEXPIRED : HW_ECERT,
			"the certificate does not verify: %s (at %s)",
			X509_verify_cert_error_string(why), text);
	rfc3339_format(bound, early ? id.not_before : id.not_after);
	return hw_err_set(err, over ? HW_EEXPIRED : HW_ECERT,
		early ? "the certificate does not verify: it is good from %s on, and by the clock "
			"here it is %s, %" PRId64 " minutes before that: one of the clocks is "
			"wrong"
		      : "the certificate does not verify: it has expired at %s, and by the clock "
			"here it is %s, %" PRId64 " minutes later",
		bound, text, minutes_apart(now, early ? id.not_before : id.not_after));
}

int
cert_verify(X509 *cert, X509 *ca, int64_t now, bool expired_ok, struct hw_err *err)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int r;

	if (store == NULL || ctx == NULL || X509_STORE_add_cert(store, ca) <= 0 ||
		X509_STORE_CTX_init(ctx, store, cert, NULL) <= 0) {
		r = ossl_err(err, HW_ENOMEM, "cannot verify the certificate");
		goto out;
	}
	set_rules(ctx, now, expired_ok);
	if (X509_cmp(cert, ca) == 0) /* a trusted root verifies, with itself */
		r = hw_err_set(err, HW_ECERT, "the certificate is the authority's own");
	else if (X509_verify_cert(ctx) <= 0)
		r = refuse(ctx, now, err);
	else
		r = 0;
out:
	ERR_clear_error();
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return r;
}

/* --- files ------------------------------------------------------------------------------------ */

static int
write_pems(BIO *out, const uint8_t *der, size_t n)
{
	const uint8_t *end = der + n;
	int r = n > 0 ? 1 : 0;

	while (r > 0 && der < end) {
		X509 *cert = d2i_X509(NULL, &der, end - der);
		r = cert != NULL ? PEM_write_bio_X509(out, cert) : 0;
		X509_free(cert);
	}
	return r;
}

int
cert_save(int dir, const char *name, const void *der, size_t n, struct hw_err *err)
{
	BIO *mem = BIO_new(BIO_s_mem());
	char *pem;
	int r;

	if (mem == NULL || write_pems(mem, der, n) <= 0)
		r = ossl_err(err, HW_ECERT, "what %s should hold are no certificates", name);
	else {
		long len = BIO_get_mem_data(mem, &pem);
		r = file_write(dir, name, pem, (size_t)len, 0644, err);
	}
	BIO_free(mem);
	return r;
}

int
cert_keep(int dir, const char *name, X509 *cert, struct hw_err *err)
{
	uint8_t *der = NULL;
	int n = i2d_X509(cert, &der), r;

	if (n < 0)
		return ossl_err(err, HW_EINTERNAL, "cannot encode a certificate for %s", name);
	r = cert_save(dir, name, der, (size_t)n, err);
	OPENSSL_free(der);
	return r;
}

int
cert_load(X509 **ret, int dir, const char *name, struct hw_err *err)
{
	X509 *cert = NULL;
	struct buf pem;
	int r;

	buf_init(&pem, CERT_PEM_MAX);
	if ((r = file_read(&pem, dir, name, err)) == 0) {
		BIO *mem = BIO_new_mem_buf(buf_data(&pem), (int)pem.len);
		if (mem != NULL)
			cert = PEM_read_bio_X509(mem, NULL, NULL, NULL);
		if (cert == NULL)
			r = ossl_err(err, HW_ECORRUPT, "%s does not hold a certificate", name);
		else
			*ret = cert;
		BIO_free(mem);
	}
	buf_fini(&pem);
	ERR_clear_error();
	return r;
}
