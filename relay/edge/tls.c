#include "relay/edge/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#define CERT_LIST_MAX (16 * 1024) /* bytes of a peer's chain, before anybody knows it */

static void
on_turn_end(void *arg)
{
	struct tls *t = arg;

	t->hellos = 0;
}

void
tls_init(struct tls *t, struct loop *loop, const struct ca *ca, unsigned hellos_max,
	uint64_t *refused)
{
	*t = (struct tls){.ca = ca_cert(ca),
		.before = ca_before(ca),
		.retired = ca_retired(ca),
		.loop = loop,
		.hellos_max = hellos_max,
		.refused = refused};
	t->turn_end = (struct loop_task){.fn = on_turn_end, .arg = t};
	hw_assert(strlen(ca_fleet(ca)) < sizeof(t->fleet));
	strcpy(t->fleet, ca_fleet(ca));
}

void
tls_fini(struct tls *t)
{
	if (t->loop != NULL)
		loop_undefer(t->loop, &t->turn_end);
}

/* --- the handshake ------------------------------------------------------------------------- */

/* What tls_identify() judges: a node may renew an expired certificate, a user is told in words, and
 * one that this relay issued while its clock was ahead is good. */
static bool
is_of_time(int error)
{
	return error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID;
}

/* OpenSSL's verdict stands, but for one thing: that the peer's own certificate is not of this time
 * does not end the handshake. */
static int
on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (ok)
		return 1;
	if (is_of_time(X509_STORE_CTX_get_error(store)) &&
		X509_STORE_CTX_get_error_depth(store) == 0)
		return 1;
	++*t->refused;
	return 0;
}

static int
on_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls *t = arg;

	(void)ssl;
	loop_defer(t->loop, &t->turn_end);
	if (++t->hellos <= t->hellos_max)
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_INTERNAL_ERROR;
	return SSL_CLIENT_HELLO_ERROR;
}

static bool
add_root(X509_STORE *store, X509 *root)
{
	return root == NULL || X509_STORE_add_cert(store, root) == 1;
}

/* The rules are those of cert_verify(), and the fleet's authorities are all that is trusted: what
 * the handshake found good tls_identify() need not verify again. It lets those of a retired one
 * through, too, to say whose they are. */
static int
trust_the_fleet(SSL_CTX *ctx, struct tls *t)
{
	X509_STORE *store = X509_STORE_new();

	if (store == NULL)
		return 0;
	SSL_CTX_set_cert_store(ctx, store); /* which has it now */
	if (!add_root(store, t->ca) || !add_root(store, t->before) ||
		!add_root(store, t->retired) || SSL_CTX_add_client_CA(ctx, t->ca) != 1)
		return 0;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
	cert_rules(SSL_CTX_get0_param(ctx));
	SSL_CTX_set_security_level(ctx, CERT_SECURITY_LEVEL); /* that of the chain, too */
	SSL_CTX_set_max_cert_list(ctx, CERT_LIST_MAX);
	return 1;
}

/* Each handshake shows its certificate: no tickets, no cached sessions. */
static void
forget_sessions(SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx,
		SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
}

int
tls_setup(SSL_CTX *ctx, struct tls *t, struct hw_err *err)
{
	static const unsigned char session_context[] = "hawser";

	t->ctx = ctx;
	SSL_CTX_set_app_data(ctx, t);
	forget_sessions(ctx);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_client_hello_cb(ctx, on_hello, t);
	/* libwebsockets' own would choose another vhost by the name that the peer asks for. */
	SSL_CTX_set_tlsext_servername_callback(ctx, NULL);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_ciphersuites(ctx,
			"TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384") !=
			1 ||
		/* libwebsockets leaves P-256 alone, which costs X25519's friends a round trip. */
		SSL_CTX_set1_groups_list(ctx, "X25519:P-256") != 1 ||
		SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) !=
			1 ||
		!trust_the_fleet(ctx, t))
		return hw_err_set(err, HW_EINTERNAL, "cannot set up TLS");
	return 0;
}

/* --- another certificate ------------------------------------------------------------------- */

static bool
load(SSL_CTX *ctx, const char *cert, const char *key)
{
	bool good = SSL_CTX_use_certificate_chain_file(ctx, cert) == 1 &&
		SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1 &&
		SSL_CTX_check_private_key(ctx) == 1;

	ERR_clear_error();
	return good;
}

int
tls_show(struct tls *t, const char *cert, const char *key, struct hw_err *err)
{
	SSL_CTX *trial = SSL_CTX_new(TLS_server_method());
	bool good = trial != NULL && load(trial, cert, key);

	SSL_CTX_free(trial);
	if (!good || t->ctx == NULL || !load(t->ctx, cert, key))
		return hw_err_set(err, HW_ECERT, "%s and %s are no certificate and its key", cert,
			key);
	return 0;
}

/* --- the peer ------------------------------------------------------------------------------ */

/* The authority that the handshake found it to be by; NULL when it found none. */
static X509 *
issuer_of(SSL *ssl)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	int n = chain != NULL ? sk_X509_num(chain) : 0;

	return n > 1 ? sk_X509_value(chain, n - 1) : NULL;
}

/* The one of ours that it is by; the one in use, for who shows one of nobody's. */
static X509 *
authority_of(SSL *ssl, const struct tls *t)
{
	X509 *issuer = issuer_of(ssl);

	if (issuer != NULL && t->retired != NULL && X509_cmp(issuer, t->retired) == 0)
		return t->retired;
	return issuer != NULL && t->before != NULL && X509_cmp(issuer, t->before) == 0 ? t->before
										       : t->ca;
}

/* The handshake has looked at the signature by this very CA; it did not look at this clock. */
static bool
is_proven(X509 *cert, long verdict, const struct cert_identity *who, X509 *ca, int64_t now)
{
	return verdict == X509_V_OK && X509_cmp(cert, ca) != 0 && now >= who->not_before &&
		now < who->not_after;
}

static int
is_retired(const struct cert_identity *who, struct hw_err *err)
{
	return hw_err_set(err, HW_ECERT,
		"the certificate of %s %s is by an authority that this fleet has retired: %s",
		enum_text(&enum_ROLE, who->role), who->id,
		who->role == ROLE_NODE ? "it has to join again" : "log in with a new invite");
}

int
tls_identify(struct cert_identity *ret, bool *expired, SSL *ssl, const struct tls *t, int64_t now,
	struct hw_err *err)
{
	struct cert_identity who;
	X509 *cert = SSL_get0_peer_certificate(ssl), *ca = authority_of(ssl, t);
	long verdict = SSL_get_verify_result(ssl);
	int r;

	if (cert == NULL)
		return hw_err_set(err, HW_ECERT,
			"a link needs a certificate of this fleet: log in, or join, first");
	if (verdict != X509_V_OK && !is_of_time((int)verdict))
		return hw_err_set(err, HW_ECERT, "the certificate did not verify: %s",
			X509_verify_cert_error_string(verdict));
	if ((r = cert_identity(&who, cert, t->fleet, err)) < 0)
		return r;
	if (who.role != ROLE_NODE && who.role != ROLE_USER)
		return hw_err_set(err, HW_ECERT, "links are for nodes and users");
	if (ca == t->retired)
		return is_retired(&who, err);
	if (now < who.not_before && who.not_before - now <= CERT_EARLY)
		now = who.not_before;
	r = is_proven(cert, verdict, &who, ca, now) ? 0 : cert_verify(cert, ca, now, false, err);
	bool late = r == HW_EEXPIRED && who.role == ROLE_NODE;
	if (late)
		r = cert_verify(cert, ca, now, true, err);
	if (r < 0)
		return r;
	if (late && now - who.not_after > CERT_NODE_GRACE)
		return hw_err_set(err, HW_EEXPIRED,
			"the certificate of node %s has expired too long ago to renew it: join again",
			who.id);
	*ret = who;
	*expired = late;
	return 0;
}
