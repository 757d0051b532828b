/* TLS as the dialling side has it: 1.3 only, one trust anchor, a client certificate; and what to
 * say when it fails. */
#ifndef HAWSER_WIRE_WS_TLS_H
#define HAWSER_WIRE_WS_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;
typedef struct x509_st X509;
typedef struct x509_store_ctx_st X509_STORE_CTX;

/* A context that trusts ca_file alone and shows cert_file; PEM files. Only certificates for servers
 * verify; names are not looked at. HW_ECERT names the file and what is wrong with it. */
int ws_tls_new(SSL_CTX **ret, const char *ca_file, const char *cert_file, const char *key_file,
	struct hw_err *err);

/* CA, certificate and key of the connections that follow, read again. On failure the old ones stay.
 */
int ws_tls_reload(SSL_CTX *ctx, const char *ca_file, const char *cert_file, const char *key_file,
	struct hw_err *err);

/* After a handshake that verified: the fleet's authority by now, when the one that is known here
 * only vouched for it (succession.h); lent, of the SSL. NULL otherwise. */
X509 *ws_tls_successor(const SSL *ssl, int64_t wall);

/* Certificates are judged as of this time (microseconds since 1970) in connections that follow. */
void ws_tls_set_time(SSL_CTX *ctx, int64_t wall);

/* Likewise: whether our certificate says that it is by another authority than the relay's is. */
bool ws_tls_is_by_another(const SSL *ssl);

/* What is wrong with the relay's certificate, of an X509_V_ERR code: goes after "its certificate ".
 */
const char *ws_tls_verify_text(int verify_error);

/* By how many minutes a certificate that is not of this time misses it. */
int64_t ws_tls_off(X509_STORE_CTX *store);

/* What a TLS alert of the relay says of our certificate; *code is HW_EEXPIRED or HW_ECERT. NULL for
 * alerts about something else. */
const char *ws_tls_alert_text(int *code, int alert);

#endif
