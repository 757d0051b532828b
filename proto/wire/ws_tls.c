#include "proto/wire/ws_tls.h"

#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "proto/base/clock.h"
#include "proto/trust/succession.h"

/* AES-128 first: half again as fast as the others, and as good. */
#define CIPHERS "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

/* The file, and the kernel's or OpenSSL's own reason. */
static int
bad_file(struct hw_err *err, const char *what, const char *file)
{
	unsigned long first = ERR_peek_error();
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	if (ERR_SYSTEM_ERROR(first))
		hw_err_set(err, HW_ECERT, "cannot read %s %s: %s", what, file,
			strerror(ERR_GET_REASON(first)));
	else
		hw_err_set(err, HW_ECERT, "%s %s is not usable: %s", what, file,
			reason != NULL ? reason : "not PEM");
	ERR_clear_error();
	return HW_ECERT;
}

/* OpenSSL would ask at the terminal. */
static int
no_password(char *out, int room, int writing, void *arg)
{
	(void)out;
	(void)room;
	(void)writing;
	(void)arg;
	return -1;
}

static int
load_own(SSL_CTX *ctx, const char *cert_file, const char *key_file, struct hw_err *err)
{
	BIO *cert_in = NULL, *key_in = NULL;
	X509 *cert = NULL;
	EVP_PKEY *key = NULL;
	int r = 0;

	if ((cert_in = BIO_new_file(cert_file, "rbe")) == NULL ||
		(cert = PEM_read_bio_X509(cert_in, NULL, NULL, NULL)) == NULL)
		r = bad_file(err, "the certificate", cert_file);
	else if ((key_in = BIO_new_file(key_file, "rbe")) == NULL ||
		(key = PEM_read_bio_PrivateKey(key_in, NULL, no_password, NULL)) == NULL)
		r = bad_file(err, "the key", key_file);
	/* Both or neither: a certificate that doesn't fit the key would drop it. */
	else if (SSL_CTX_use_cert_and_key(ctx, cert, key, NULL, 1) != 1)
		r = bad_file(err, "the key", key_file);
	BIO_free(cert_in);
	BIO_free(key_in);
	X509_free(cert);
	EVP_PKEY_free(key);
	return r;
}

int
ws_tls_reload(SSL_CTX *ctx, const char *ca_file, const char *cert_file, const char *key_file,
	struct hw_err *err)
{
	X509_STORE *store = X509_STORE_new();
	int r;

	ERR_clear_error();
	if (store == NULL || X509_STORE_load_file(store, ca_file) != 1)
		r = bad_file(err, "the CA", ca_file);
	else if ((r = load_own(ctx, cert_file, key_file, err)) == 0) {
		SSL_CTX_set_cert_store(ctx, store); /* which has it now */
		return 0;
	}
	X509_STORE_free(store);
	return r;
}

static int
set_rules(SSL_CTX *ctx)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);

	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	/* Between the relay's and the CA that we know stands at most the certificate by which that
	 * one vouches for the next. */
	X509_VERIFY_PARAM_set_depth(param, 1);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
		SSL_CTX_set_ciphersuites(ctx, CIPHERS) == 1 &&
		X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER) == 1;
}

int
ws_tls_new(SSL_CTX **ret, const char *ca_file, const char *cert_file, const char *key_file,
	struct hw_err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int r;

	if (ctx == NULL || !set_rules(ctx)) {
		SSL_CTX_free(ctx);
		return hw_err_set(err, HW_EINTERNAL, "cannot set up TLS");
	}
	r = ws_tls_reload(ctx, ca_file, cert_file, key_file, err);
	if (r < 0) {
		SSL_CTX_free(ctx);
		return r;
	}
	*ret = ctx;
	return 0;
}

void
ws_tls_set_time(SSL_CTX *ctx, int64_t wall)
{
	X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(ctx), (time_t)(wall / USEC_PER_SEC));
}

int64_t
ws_tls_off(X509_STORE_CTX *store)
{
	time_t judged = X509_VERIFY_PARAM_get_time(X509_STORE_CTX_get0_param(store));
	X509 *cert = X509_STORE_CTX_get_current_cert(store);
	bool early = X509_STORE_CTX_get_error(store) == X509_V_ERR_CERT_NOT_YET_VALID;
	struct tm tm;

	if (cert == NULL ||
		ASN1_TIME_to_tm(early ? X509_get0_notBefore(cert) : X509_get0_notAfter(cert),
			&tm) != 1)
		return 0;
	int64_t seconds = (int64_t)timegm(&tm) - judged;
	return (early ? seconds : -seconds) / 60;
}

bool
ws_tls_is_by_another(const SSL *ssl)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	X509 *own = SSL_get_certificate(ssl);

	if (own == NULL || chain == NULL || sk_X509_num(chain) < 2)
		return false;
	const ASN1_OCTET_STRING *ours = X509_get0_authority_key_id(own);
	const ASN1_OCTET_STRING *theirs = X509_get0_subject_key_id(sk_X509_value(chain, 1));
	return ours != NULL && theirs != NULL && ASN1_OCTET_STRING_cmp(ours, theirs) != 0;
}

X509 *
ws_tls_successor(const SSL *ssl, int64_t wall)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	int n = chain != NULL ? sk_X509_num(chain) : 0;

	if (n < 3) /* by the very CA that we know */
		return NULL;
	return succession_next(sk_X509_value(chain, n - 1), SSL_get_peer_cert_chain(ssl), wall);
}

const char *
ws_tls_verify_text(int verify_error)
{
	switch (verify_error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return "has expired";
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "is not valid yet, by this machine's clock";
	case X509_V_ERR_INVALID_PURPOSE:
		return "is not one for relays";
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		return "is not signed by this fleet's CA";
	default:
		return "does not verify";
	}
}

const char *
ws_tls_alert_text(int *code, int alert)
{
	*code = HW_ECERT;
	switch (alert) {
	case SSL_AD_CERTIFICATE_EXPIRED:
		*code = HW_EEXPIRED;
		return "it has expired";
	case SSL_AD_CERTIFICATE_REVOKED:
		return "it was revoked";
	case SSL_AD_CERTIFICATE_REQUIRED:
		return "there is none";
	case SSL_AD_UNKNOWN_CA:
		return "it is not signed by the relay's CA";
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_ACCESS_DENIED:
		return "the relay does not accept it";
	default:
		return NULL;
	}
}
