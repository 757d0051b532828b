/*
 * TLS as the relay's port speaks it: 1.3 only, no resumption, and client certificates of the
 * fleet's CA asked for but not required. OpenSSL alone; libwebsockets owns the SSL_CTX and every
 * SSL.
 */
#ifndef HAWSER_EDGE_TLS_H
#define HAWSER_EDGE_TLS_H

#include "proto/base/loop.h"
#include "proto/trust/cert.h"

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;

struct tls {
	/* Lent. Certificates of the one before count, too; those of a retired one are refused by
	 * name. NULL: there is none. */
	X509 *ca, *before, *retired;
	SSL_CTX *ctx; /* libwebsockets', once it is set up */
	char fleet[CERT_FLEET_LEN + 1];
	struct loop *loop;
	uint64_t *refused; /* counts certificates that did not verify */
	/* ClientHellos of this turn of the loop. Those that start a handshake are rationed before
	 * they get here; this bounds those that come late (a second one after a retry). */
	unsigned hellos, hellos_max;
	struct loop_task turn_end;
};

/* The authority outlives it. */
void tls_init(struct tls *t, struct loop *loop, const struct ca *ca, unsigned hellos_max,
	uint64_t *refused);
void tls_fini(struct tls *t);

/* Sets all that libwebsockets does not. The tls outlives the SSL_CTX. */
int tls_setup(SSL_CTX *ctx, struct tls *t, struct hw_err *err);

/* Shows another certificate to those who connect from now on; whoever is connected stays. Both are
 * PEM files. HW_ECERT: they do not belong together, and the one before is shown on. */
int tls_show(struct tls *t, const char *cert, const char *key, struct hw_err *err);

/* Who the peer is, once more from the start: HW_ECERT without a certificate or with a bad one,
 * HW_EEXPIRED for a user's. A node's is fine for a year after it, and *expired says so. */
int tls_identify(struct cert_identity *ret, bool *expired, SSL *ssl, const struct tls *t,
	int64_t now, struct hw_err *err);

#endif
