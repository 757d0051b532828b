/*
 * The fleet's certificates. One CA (P-256) per fleet signs the relay's certificate, the nodes' and the users'.
 *
 * Who a certificate is for stands in one URI of its subjectAltName:
 *     hawser://FLEET/relay/NAME   hawser://FLEET/node/mi-...   hawser://FLEET/user/NAME
 * User names are percent-encoded there where a URI needs it. The relay's certificate has extended key usage
 * serverAuth alone, the others clientAuth alone: a node can therefore never pass for the relay, and a peer that
 * chains to the pinned CA with serverAuth is the relay, whatever name it was dialled by.
 */
#ifndef HAWSER_TRUST_CERT_H
#define HAWSER_TRUST_CERT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/schema/schema.h"

typedef struct evp_pkey_st EVP_PKEY;
typedef struct x509_st X509;

struct ca;

#define CERT_FLEET_LEN 12 /* hex digits of a fleet's id: the start of the CA certificate's SHA-256... of its key */
#define CERT_ID_MAX 128
#define CERT_SERIAL_LEN 40 /* hex digits of a serial, at most */

struct cert_identity {
	int role;		    /* ROLE_* */
	char id[CERT_ID_MAX];	    /* mi-..., user name, relay name */
	char fleet[64];
	char serial[CERT_SERIAL_LEN + 1];
	int64_t not_before, not_after; /* microseconds since 1970 */
	uint8_t fingerprint[32];       /* SHA-256 of the DER */
};

#define CERT_NODE_LIFE (30 * INT64_C(86400000000))
#define CERT_USER_LIFE (12 * INT64_C(3600000000))
#define CERT_NODE_GRACE (365 * INT64_C(86400000000)) /* an expired node may still renew for so long */

/* Makes DIR/ca.crt and DIR/ca.key (0600, sealed is not needed: the directory is the relay's alone) and opens it. */
int ca_create(struct ca **ret, int dir, int64_t now, struct hw_err *err);
int ca_open(struct ca **ret, int dir, struct hw_err *err);
void ca_free(struct ca *ca);
const char *ca_fleet(const struct ca *ca);
X509 *ca_cert(const struct ca *ca);
int ca_cert_der(struct buf *out, const struct ca *ca);
void ca_pin(char out[65], const struct ca *ca); /* hex SHA-256 of the certificate's DER */

/* Checks the PKCS#10 request (its signature, a P-256 or Ed25519 key) and issues a certificate for role and id: nothing
 * of the request's names is used. The DER is appended to out; `serial` is set. Thread-safe. HW_EVALIDATION: the CSR. */
int ca_issue(struct buf *out, char serial[CERT_SERIAL_LEN + 1], const struct ca *ca, const void *csr, size_t n, int role,
	const char *id, int64_t not_before, int64_t not_after, struct hw_err *err);

/* The relay's own key and certificate, as files relay.key and relay.crt (the chain: its certificate, then the CA's). */
int ca_issue_relay(const struct ca *ca, int dir, const char *name, const char *const *hosts, size_t n_hosts, int64_t now,
	struct hw_err *err);

/* Who a certificate that the CA signed is for. HW_ECERT when it is not one of ours: no URI, two, another fleet, a role
 * that its key usage does not fit. Does not look at the time, does not check the signature: cert_verify does. */
int cert_identity(struct cert_identity *ret, X509 *cert, const char *fleet, struct hw_err *err);

/* Whether `ca` signed it and it is good at `now`. `expired_ok` lets an expired one pass (the caller then limits what its
 * holder may do) but never one that is not good yet by more than an hour. */
int cert_verify(X509 *cert, X509 *ca, int64_t now, bool expired_ok, struct hw_err *err);
int cert_parse(X509 **ret, const void *der, size_t n, struct hw_err *err);

/* --- keys of nodes and users ------------------------------------------------------------------------------------- */

int key_generate(EVP_PKEY **ret, struct hw_err *err); /* P-256 */
int key_save(EVP_PKEY *key, int dir, const char *name, struct hw_err *err); /* PEM, 0600 */
int key_load(EVP_PKEY **ret, int dir, const char *name, struct hw_err *err);
int csr_make(struct buf *out, EVP_PKEY *key, struct hw_err *err); /* DER */

/* Writes DER certificates as a PEM file, atomically. */
int cert_save(int dir, const char *name, const void *der, size_t n, struct hw_err *err);
int cert_load(X509 **ret, int dir, const char *name, struct hw_err *err);

#endif
