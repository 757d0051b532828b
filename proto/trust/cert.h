/*
 * The fleet's certificates. One CA (P-256) per fleet signs the relay's certificate, the nodes' and
 * the users'.
 *
 * Who a certificate is for stands in one URI of its subjectAltName:
 *     hawser://FLEET/relay/NAME   hawser://FLEET/node/mi-...   hawser://FLEET/user/NAME
 * with all but RFC 3986's unreserved characters percent-encoded. The relay's certificate has
 * extended key usage serverAuth alone, the others clientAuth alone: a node can therefore never pass
 * for the relay, and a peer that chains to the pinned CA with serverAuth is the relay, whatever
 * name it was dialled by.
 */
#ifndef HAWSER_TRUST_CERT_H
#define HAWSER_TRUST_CERT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/schema/schema.h"

typedef struct evp_pkey_st EVP_PKEY;
typedef struct x509_st X509;
typedef struct X509_VERIFY_PARAM_st X509_VERIFY_PARAM;

struct ca;

/* A fleet's id: the first hex digits of the SHA-256 of its first CA's public key (the DER of its
 * SubjectPublicKeyInfo). The common name of each CA certificate repeats it: "Hawser fleet <id>". */
#define CERT_FLEET_LEN	12
#define CERT_PIN_LEN	64 /* hex digits of the SHA-256 of a certificate's DER */
#define CERT_ID_MAX	128
#define CERT_SERIAL_LEN 40   /* hex digits of a serial, at most */
#define CERT_DER_MAX	8192 /* bytes of a certificate or a request */

struct cert_identity {
	int role;	      /* ROLE_* */
	char id[CERT_ID_MAX]; /* mi-..., user name, relay name */
	char fleet[64];
	char serial[CERT_SERIAL_LEN + 1]; /* lower case, whole bytes */
	int64_t not_before, not_after;	  /* microseconds since 1970 */
	uint8_t fingerprint[32];	  /* SHA-256 of the DER */
};

#define CERT_DAY	(INT64_C(86400) * 1000000)
#define CERT_RELAY_LIFE (365 * CERT_DAY)
#define CERT_NODE_LIFE	(30 * CERT_DAY)
#define CERT_USER_LIFE	(CERT_DAY / 2)	 /* unless the relay is set otherwise */
#define CERT_NODE_GRACE (365 * CERT_DAY) /* an expired node may still renew for so long */
#define CERT_BACKDATE \
	(INT64_C(300) * 1000000) /* not_before lies so far in the past: clocks differ */
/* A relay takes a peer's certificate so long before it begins: its own clock went back since. */
#define CERT_EARLY CERT_DAY

/* --- the authority: what the relay holds ----------------------------------------------------- */

/* Makes ca.key (0600; not encrypted, the directory is the relay's alone) and ca.crt in dir, and
 * opens it. HW_EEXISTS when there is one; on failure nothing is left behind. */
int ca_create(struct ca **ret, int dir, int64_t now, struct hw_err *err);

/* HW_EDENIED when others may read the key, HW_ECERT when key and certificate are no authority. */
int ca_open(struct ca **ret, int dir, struct hw_err *err);
void ca_free(struct ca *ca);
const char *ca_fleet(const struct ca *ca);
X509 *ca_cert(const struct ca *ca); /* lent */
int ca_cert_der(struct buf *out, const struct ca *ca);
void ca_pin(char out[CERT_PIN_LEN + 1], const struct ca *ca);
/* Signs what cannot be taken for a certificate: text. *len is the room before, the length after. */
int ca_sign(uint8_t *out, size_t *len, const struct ca *ca, const void *text, size_t n,
	struct hw_err *err);

/* The fleet's next authority (succession.h), in the folder `to`: ca.key, ca.crt, ca.vouched.crt
 * (its key, signed over to by this one) and ca.before.crt (this one). `ledger` is the hash of the
 * ledger's first statement. Nobody has it before ca_take(). */
int ca_succeed(const struct ca *ca, int to, const uint8_t ledger[32], int64_t now,
	struct hw_err *err);
/* Puts what ca_succeed() left in `from` in place of what `dir` has. Cut off, or failed, it is to be
 * done again before anybody opens it. */
int ca_take(int dir, int from, struct hw_err *err);

unsigned ca_number(const struct ca *ca); /* from 1 */
/* The authority whose certificates count as this one's do: ca.before.crt; lent, NULL: none. */
X509 *ca_before(const struct ca *ca);
/* The one whose certificates are refused by name: ca.retired.crt; likewise. */
X509 *ca_retired(const struct ca *ca);
#define CA_BEFORE  "ca.before.crt"
#define CA_RETIRED "ca.retired.crt"

/* Checks the PKCS#10 request (its signature, a P-256 or Ed25519 key) and issues a certificate for
 * role and id: nothing of the request's names is used. The DER is appended to out; `serial` is set.
 * Thread-safe. HW_EVALIDATION: the request, or an id that its role does not have. */
int ca_issue(struct buf *out, char serial[CERT_SERIAL_LEN + 1], const struct ca *ca,
	const void *csr, size_t n, int role, const char *id, int64_t not_before, int64_t not_after,
	struct hw_err *err);

/* The relay's own key and certificate, as files relay.key (made when missing) and relay.crt (the
 * chain: its certificate, then the CA's, and what lets those know it who trust the one before),
 * from a day before now (who dials may have a clock that is behind) for CERT_RELAY_LIFE. Hosts are
 * DNS names or IP addresses, for the eyes of browsers: our own peers go by the role. */
int ca_issue_relay(const struct ca *ca, int dir, const char *name, const char *const *hosts,
	size_t n_hosts, int64_t now, struct hw_err *err);

/* Whether that certificate, the first in relay.crt, is by this authority, and those that follow it
 * there are what ca_issue_relay() has follow: else it is of before the authority changed. Of a
 * fleet's first authority only the former counts. */
bool ca_shows(const struct ca *ca, X509 *cert, int dir);

/* --- certificates: what everybody checks ------------------------------------------------------ */

/* One certificate in strict DER with nothing after it: HW_ECERT. Free with X509_free(). */
int cert_parse(X509 **ret, const void *der, size_t n, struct hw_err *err);

/* Who a certificate that the CA signed is for. HW_ECERT when it is not one of ours: no URI, two,
 * another fleet, an id that its role does not have, a key usage that its role does not fit, a CA.
 * Does not look at the time, does not check the signature: cert_verify does. */
int cert_identity(struct cert_identity *ret, X509 *cert, const char *fleet, struct hw_err *err);

/* Whether it is for that host, a name or an address, as clients look at it who know no pin. */
bool cert_is_for_host(X509 *cert, const char *host);

/* Whether `ca` signed it and it is good at `now`. HW_EEXPIRED when only the time is over, HW_ECERT
 * otherwise. `expired_ok` lets an expired one pass (the caller then limits what its holder may do,
 * and for how long), but never one that is not good yet, nor an expired CA. */
int cert_verify(X509 *cert, X509 *ca, int64_t now, bool expired_ok, struct hw_err *err);

/* What cert_verify() asks of a chain beside its time and OpenSSL's level of security, for who has
 * OpenSSL verify it within a handshake. */
#define CERT_SECURITY_LEVEL 2 /* 112 bits at least in every key and digest */
void cert_rules(X509_VERIFY_PARAM *param);

/* The fleet that a CA certificate is of, its first or a later one (succession.h). HW_ECERT when it
 * is of none. */
int cert_fleet(char out[CERT_FLEET_LEN + 1], X509 *ca, struct hw_err *err);
void cert_pin(char out[CERT_PIN_LEN + 1], X509 *cert);

/* Writes DER certificates, one after another, as a PEM file (0644), atomically. */
int cert_save(int dir, const char *name, const void *der, size_t n, struct hw_err *err);

int cert_keep(int dir, const char *name, X509 *cert, struct hw_err *err); /* that one alone */

/* The first certificate of a PEM file. */
int cert_load(X509 **ret, int dir, const char *name, struct hw_err *err);

/* --- keys of nodes and users -------------------------------------------------------------------
 */

int key_generate(EVP_PKEY **ret, struct hw_err *err);	      /* P-256, for certificates */
int key_generate_signing(EVP_PKEY **ret, struct hw_err *err); /* Ed25519, for the ledger */
void key_free(EVP_PKEY *key);				      /* NULL is fine */
int key_save(EVP_PKEY *key, int dir, const char *name, struct hw_err *err); /* PEM, 0600 */
/* HW_EDENIED when others may read the file, or when it is locked. */
int key_load(EVP_PKEY **ret, int dir, const char *name, struct hw_err *err);

/* Never replaces a file (HW_EEXISTS). With a passphrase, neither NULL nor empty, the key is locked
 * by it: PKCS#8 with scrypt and AES-256, as other programs have it, too. */
int key_create(EVP_PKEY *key, const char *path, const char *passphrase, struct hw_err *err);

/* Puts the passphrase of the key in file `name` into `out`, of `room` bytes with its end. */
typedef int key_ask_fn(void *arg, char *out, size_t room, const char *name, struct hw_err *err);

/* Like key_load, which refuses a locked key; asks when it is one. HW_EDENIED when the passphrase is
 * another one; what `ask` failed with. */
int key_unlock(EVP_PKEY **ret, int dir, const char *name, key_ask_fn *ask, void *arg,
	struct hw_err *err);

int csr_make(struct buf *out, EVP_PKEY *key, struct hw_err *err); /* PKCS#10, DER, no names */

#endif
