#include "proto/trust/cert.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/enc.h"
#include "proto/base/file.h"
#include "proto/base/id.h"
#include "proto/trust/identity.h"
#include "proto/trust/ossl.h"
#include "proto/trust/succession.h"

#define CA_CERT	      "ca.crt"
#define CA_KEY	      "ca.key"
#define CA_VOUCHED    "ca.vouched.crt" /* ours, by the one before */
#define RELAY_CERT    "relay.crt"
#define RELAY_KEY     "relay.key"
#define CA_LIFE	      (20 * 365 * CERT_DAY)
#define SERIAL_BYTES  (CERT_SERIAL_LEN / 2)
#define CHAIN_MAX     (4 * CERT_DER_MAX)
#define CHAIN_PEM_MAX 65536

/* Immutable once opened, so that threads share it. */
struct ca {
	X509 *cert;
	EVP_PKEY *key;
	X509 *vouched, *before, *retired; /* NULL: there is none */
	char fleet[CERT_FLEET_LEN + 1];
	unsigned number;
};

/* --- building certificates -------------------------------------------------------------------- */

/* 159 random bits: the first must stay 0, lest the number be negative. */
static bool
set_serial(char text[CERT_SERIAL_LEN + 1], X509 *cert)
{
	uint8_t bytes[SERIAL_BYTES];

	do {
		random_bytes(bytes, sizeof(bytes));
		bytes[0] &= 0x7f;
	} while (bytes[0] == 0); /* one length; costs nothing of note of the 159 bits */
	hex_encode(text, bytes, sizeof(bytes));
	return ASN1_STRING_set(X509_get_serialNumber(cert), bytes, sizeof(bytes)) > 0;
}

static bool
set_times(X509 *cert, int64_t not_before, int64_t not_after)
{
	return ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(not_before / USEC_PER_SEC)) &&
		ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(not_after / USEC_PER_SEC));
}

/* The name is for people who look at the certificate; nothing of ours reads a peer's. */
static bool
set_common_name(X509_NAME *name, const char *text)
{
	return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC,
		       (const unsigned char *)text, -1, -1, 0) > 0;
}

struct extension {
	int nid;
	const char *value;
};

/* The key identifiers come first: the authority's is copied from the issuer's. */
static bool
add_extensions(X509 *cert, X509 *issuer, const struct extension *ext, size_t n)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	for (size_t i = 0; i < n; i++) {
		X509_EXTENSION *made = X509V3_EXT_conf_nid(NULL, &ctx, ext[i].nid, ext[i].value);
		bool ok = made != NULL && X509_add_ext(cert, made, -1) > 0;
		X509_EXTENSION_free(made);
		if (!ok)
			return false;
	}
	return true;
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What an authority's certificate is made of. Its own, or one by which another vouches for it. */
struct root {
	EVP_PKEY *key, *signer;
	X509 *issuer; /* NULL: itself */
	const char *fleet;
	const char *names; /* NULL: none */
};

static bool
fill_root(X509 *cert, const struct root *root, int64_t now)
{
	const struct extension extensions[] = {
		{NID_subject_key_identifier,   "hash"			   },
		{NID_authority_key_identifier, "keyid:always"		     },
		{NID_basic_constraints,	"critical,CA:TRUE,pathlen:0"  },
		{NID_key_usage,		"critical,keyCertSign,cRLSign"},
		{NID_subject_alt_name,	       root->names			  },
	};
	char serial[CERT_SERIAL_LEN + 1], name[64];

	snprintf(name, sizeof(name), IDENTITY_CA_NAME, root->fleet);
	return X509_set_version(cert, X509_VERSION_3) > 0 && set_serial(serial, cert) &&
		set_times(cert, now - CERT_DAY, now + CA_LIFE) &&
		set_common_name(X509_get_subject_name(cert), name) &&
		X509_set_issuer_name(cert, X509_get_subject_name(cert)) > 0 &&
		X509_set_pubkey(cert, root->key) > 0 &&
		add_extensions(cert, root->issuer != NULL ? root->issuer : cert, extensions,
			COUNT(extensions) - (root->names == NULL ? 1 : 0)) &&
		X509_sign(cert, root->signer, EVP_sha256()) > 0;
}

static int
make_root(X509 **ret, const struct root *root, int64_t now, struct hw_err *err)
{
	X509 *cert = X509_new();

	if (cert == NULL || !fill_root(cert, root, now)) {
		X509_free(cert);
		return ossl_err(err, HW_EINTERNAL, "cannot make the CA certificate");
	}
	*ret = cert;
	return 0;
}

/* --- opening ---------------------------------------------------------------------------------- */

void
ca_free(struct ca *ca)
{
	if (ca == NULL)
		return;
	X509_free(ca->cert);
	X509_free(ca->vouched);
	X509_free(ca->before);
	X509_free(ca->retired);
	EVP_PKEY_free(ca->key); /* wipes it */
	free(ca);
}

static int
check_root(struct ca *ca, struct hw_err *err)
{
	struct succession own;
	int r;

	if (X509_check_ca(ca->cert) != 1 || X509_self_signed(ca->cert, 1) != 1)
		return ossl_err(err, HW_ECERT, "%s is not a certificate authority", CA_CERT);
	if (X509_check_private_key(ca->cert, ca->key) != 1)
		return ossl_err(err, HW_ECERT, "%s is not the key of %s", CA_KEY, CA_CERT);
	if ((r = succession_read(&own, ca->cert, err)) < 0)
		return r;
	memcpy(ca->fleet, own.fleet, sizeof(own.fleet));
	ca->number = own.number;
	return 0;
}

static int
load_if_there(X509 **ret, int dir, const char *name, struct hw_err *err)
{
	if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	return cert_load(ret, dir, name, err);
}

/* One of the fleet's that came before this one. */
static int
check_before(const struct ca *ca, X509 *before, const char *name, struct hw_err *err)
{
	struct succession s;

	if (before == NULL)
		return 0;
	if (succession_read(&s, before, NULL) < 0 || strcmp(s.fleet, ca->fleet) != 0 ||
		s.number >= ca->number)
		return hw_err_set(err, HW_ECERT, "%s is no earlier authority of the fleet %s", name,
			ca->fleet);
	return 0;
}

static int
load_before(struct ca *ca, int dir, struct hw_err *err)
{
	int r;

	if ((r = load_if_there(&ca->vouched, dir, CA_VOUCHED, err)) < 0 ||
		(r = load_if_there(&ca->before, dir, CA_BEFORE, err)) < 0 ||
		(r = load_if_there(&ca->retired, dir, CA_RETIRED, err)) < 0 ||
		(r = check_before(ca, ca->before, CA_BEFORE, err)) < 0)
		return r;
	if (ca->vouched != NULL &&
		EVP_PKEY_eq(X509_get0_pubkey(ca->vouched), X509_get0_pubkey(ca->cert)) != 1)
		return ossl_err(err, HW_ECERT, "%s does not vouch for %s", CA_VOUCHED, CA_CERT);
	return check_before(ca, ca->retired, CA_RETIRED, err);
}

int
ca_open(struct ca **ret, int dir, struct hw_err *err)
{
	struct ca *ca = calloc(1, sizeof(*ca));
	int r;

	if (ca == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for the certificate authority");
	if ((r = cert_load(&ca->cert, dir, CA_CERT, err)) < 0 ||
		(r = key_load(&ca->key, dir, CA_KEY, err)) < 0 || (r = check_root(ca, err)) < 0 ||
		(r = load_before(ca, dir, err)) < 0) {
		ca_free(ca);
		return r;
	}
	*ret = ca;
	return 0;
}

static int
save_root(X509 *cert, EVP_PKEY *key, int dir, struct hw_err *err)
{
	int r;

	if ((r = key_save(key, dir, CA_KEY, err)) == 0)
		r = cert_keep(dir, CA_CERT, cert, err);
	if (r < 0) {
		unlinkat(dir, CA_CERT, 0);
		unlinkat(dir, CA_KEY, 0);
	}
	return r;
}

int
ca_create(struct ca **ret, int dir, int64_t now, struct hw_err *err)
{
	char fleet[CERT_FLEET_LEN + 1];
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	int r;

	if (faccessat(dir, CA_CERT, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
		faccessat(dir, CA_KEY, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return hw_err_set(err, HW_EEXISTS, "there is a certificate authority here already");
	if ((r = key_generate(&key, err)) == 0 && (r = identity_fleet(fleet, key, err)) == 0) {
		const struct root root = {.key = key, .signer = key, .fleet = fleet};
		if ((r = make_root(&cert, &root, now, err)) == 0)
			r = save_root(cert, key, dir, err);
	}
	X509_free(cert);
	EVP_PKEY_free(key);
	return r < 0 ? r : ca_open(ret, dir, err);
}

/* --- another one ------------------------------------------------------------------------------ */

static void
successor_names(char *out, size_t room, const struct ca *ca, const uint8_t ledger[MERKLE_LEN])
{
	char hash[2 * MERKLE_LEN + 1];

	hex_encode(hash, ledger, MERKLE_LEN);
	snprintf(out, room, "URI:" IDENTITY_CA_URI "%u,URI:" IDENTITY_CA_URI "%s", ca->fleet,
		"authority", ca->number + 1, ca->fleet, "ledger", hash);
}

static int
save_successor(int to, const struct ca *ca, EVP_PKEY *key, const char *names, int64_t now,
	struct hw_err *err)
{
	const struct root own = {.key = key, .signer = key, .fleet = ca->fleet, .names = names};
	const struct root vouched = {
		.key = key, .signer = ca->key, .issuer = ca->cert, .fleet = ca->fleet};
	X509 *root = NULL, *by_us = NULL;
	int r;

	if ((r = make_root(&root, &own, now, err)) == 0 &&
		(r = make_root(&by_us, &vouched, now, err)) == 0 &&
		(r = cert_keep(to, CA_BEFORE, ca->cert, err)) == 0 &&
		(r = cert_keep(to, CA_VOUCHED, by_us, err)) == 0)
		r = save_root(root, key, to, err);
	X509_free(root);
	X509_free(by_us);
	return r;
}

int
ca_succeed(const struct ca *ca, int to, const uint8_t ledger[MERKLE_LEN], int64_t now,
	struct hw_err *err)
{
	char names[2 * IDENTITY_URI_MAX];
	EVP_PKEY *key = NULL;
	int r;

	if (ca->number == SUCCESSION_MAX)
		return hw_err_set(err, HW_ELIMIT, "a fleet cannot have more than %d authorities",
			SUCCESSION_MAX);
	if ((r = key_generate(&key, err)) < 0)
		return r;
	successor_names(names, sizeof(names), ca, ledger);
	r = save_successor(to, ca, key, names, now, err);
	EVP_PKEY_free(key);
	return r;
}

unsigned
ca_number(const struct ca *ca)
{
	return ca->number;
}

X509 *
ca_before(const struct ca *ca)
{
	return ca->before;
}

X509 *
ca_retired(const struct ca *ca)
{
	return ca->retired;
}

int
ca_take(int dir, int from, struct hw_err *err)
{
	static const char *const certs[] = {CA_BEFORE, CA_VOUCHED, CA_CERT};
	EVP_PKEY *key = NULL;
	X509 *cert;
	int r;

	for (size_t i = 0; i < COUNT(certs); i++) {
		if ((r = cert_load(&cert, from, certs[i], err)) < 0)
			return r;
		r = cert_keep(dir, certs[i], cert, err);
		X509_free(cert);
		if (r < 0)
			return r;
	}
	if ((r = key_load(&key, from, CA_KEY, err)) == 0)
		r = key_save(key, dir, CA_KEY, err);
	EVP_PKEY_free(key);
	return r;
}

const char *
ca_fleet(const struct ca *ca)
{
	return ca->fleet;
}

X509 *
ca_cert(const struct ca *ca)
{
	return ca->cert;
}

int
ca_sign(uint8_t *out, size_t *len, const struct ca *ca, const void *text, size_t n,
	struct hw_err *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int r = 0;

	/* A certificate's signed part begins with the DER of a sequence. */
	hw_assert(n > 0 && *(const uint8_t *)text != 0x30);
	if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, ca->key) <= 0 ||
		EVP_DigestSign(ctx, out, len, text, n) <= 0)
		r = ossl_err(err, HW_EINTERNAL, "cannot sign as the fleet's authority");
	EVP_MD_CTX_free(ctx);
	return r;
}

void
ca_pin(char out[CERT_PIN_LEN + 1], const struct ca *ca)
{
	cert_pin(out, ca->cert);
}

static int
append_der(struct buf *out, X509 *cert, struct hw_err *err)
{
	uint8_t *der = NULL;
	int n, r;

	if ((n = i2d_X509(cert, &der)) < 0)
		return ossl_err(err, HW_EINTERNAL, "cannot encode a certificate");
	if ((r = buf_append(out, der, (size_t)n)) < 0)
		r = hw_err_set(err, r, "no room for a certificate of %d bytes", n);
	OPENSSL_free(der);
	return r;
}

int
ca_cert_der(struct buf *out, const struct ca *ca)
{
	return append_der(out, ca->cert, NULL);
}

/* --- issuing ---------------------------------------------------------------------------------- */

/* By the algorithm's bytes rather than by what OpenSSL makes of them: a curve that is spelled out
 * in parameters is none, whatever it equals. */
static bool
is_good_key(const X509_PUBKEY *pub)
{
	X509_ALGOR *algorithm = NULL;
	const ASN1_OBJECT *oid;
	const void *value;
	int type;

	if (X509_PUBKEY_get0_param(NULL, NULL, NULL, &algorithm, pub) <= 0)
		return false;
	X509_ALGOR_get0(&oid, &type, &value, algorithm);
	if (OBJ_obj2nid(oid) == NID_ED25519)
		return true;
	return OBJ_obj2nid(oid) == NID_X9_62_id_ecPublicKey && type == V_ASN1_OBJECT &&
		OBJ_obj2nid(value) == NID_X9_62_prime256v1;
}

/* *key is the request's, proven to be its sender's by the signature. */
static int
parse_csr(EVP_PKEY **key, const void *csr, size_t n, struct hw_err *err)
{
	const uint8_t *at = csr, *end = at + n;
	EVP_PKEY *pub;
	int r;

	if (n == 0 || n > CERT_DER_MAX)
		return hw_err_set(err, HW_EVALIDATION, "a request cannot have %zu bytes", n);
	X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)n);
	if (req == NULL || at != end)
		r = ossl_err(err, HW_EVALIDATION, "the certificate request is malformed");
	else if (!is_good_key(X509_REQ_get_X509_PUBKEY(req)) ||
		(pub = X509_REQ_get0_pubkey(req)) == NULL)
		r = ossl_err(err, HW_EVALIDATION,
			"the certificate request's key is neither P-256 nor Ed25519");
	else if (X509_REQ_verify(req, pub) <= 0)
		r = ossl_err(err, HW_EVALIDATION,
			"the certificate request is not signed with its own key");
	else {
		EVP_PKEY_up_ref(pub);
		*key = pub;
		r = 0;
	}
	X509_REQ_free(req);
	return r;
}

struct leaf {
	EVP_PKEY *key;
	int role;
	const char *id, *names; /* of subjectAltName, as OpenSSL's configuration has them */
	int64_t not_before, not_after;
};

static bool
fill_leaf(X509 *cert, char serial[CERT_SERIAL_LEN + 1], const struct ca *ca,
	const struct leaf *leaf)
{
	const struct extension extensions[] = {
		{NID_subject_key_identifier,   "hash"						   },
		{NID_authority_key_identifier, "keyid:always"					     },
		{NID_basic_constraints,	"critical,CA:FALSE"				   },
		{NID_key_usage,		"critical,digitalSignature"			   },
		{NID_ext_key_usage,	    leaf->role == ROLE_RELAY ? "serverAuth" : "clientAuth"},
		{NID_subject_alt_name,	       leaf->names						  },
	};

	return X509_set_version(cert, X509_VERSION_3) > 0 && set_serial(serial, cert) &&
		set_times(cert, leaf->not_before, leaf->not_after) &&
		set_common_name(X509_get_subject_name(cert), leaf->id) &&
		X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) > 0 &&
		X509_set_pubkey(cert, leaf->key) > 0 &&
		add_extensions(cert, ca->cert, extensions, COUNT(extensions)) &&
		X509_sign(cert, ca->key, EVP_sha256()) > 0;
}

static int
issue(struct buf *out, char serial[CERT_SERIAL_LEN + 1], const struct ca *ca,
	const struct leaf *leaf, struct hw_err *err)
{
	char made[CERT_SERIAL_LEN + 1];
	X509 *cert = X509_new();
	int r;

	if (cert == NULL || !fill_leaf(cert, made, ca, leaf))
		r = ossl_err(err, HW_EINTERNAL, "cannot make a certificate for %s", leaf->id);
	else if ((r = append_der(out, cert, err)) == 0)
		memcpy(serial, made, sizeof(made));
	X509_free(cert);
	return r;
}

int
ca_issue(struct buf *out, char serial[CERT_SERIAL_LEN + 1], const struct ca *ca, const void *csr,
	size_t n, int role, const char *id, int64_t not_before, int64_t not_after,
	struct hw_err *err)
{
	char names[IDENTITY_URI_MAX + 8], uri[IDENTITY_URI_MAX];
	EVP_PKEY *key = NULL;
	int r;

	hw_assert(not_before < not_after);
	if (!identity_fits(role, id))
		return hw_err_set(err, HW_EVALIDATION, "a %s cannot have the id %s",
			enum_text(&enum_ROLE, role), id);
	if ((r = parse_csr(&key, csr, n, err)) < 0)
		return r;
	identity_uri(uri, ca->fleet, role, id);
	snprintf(names, sizeof(names), "URI:%s", uri);
	const struct leaf leaf = {.key = key,
		.role = role,
		.id = id,
		.names = names,
		.not_before = not_before,
		.not_after = not_after};
	r = issue(out, serial, ca, &leaf, err);
	EVP_PKEY_free(key);
	return r;
}

/* --- the relay's own ----------------------------------------------------------------------------
 */

/* Appends ",IP:..." or ",DNS:..."; a name may not hold what OpenSSL's configuration would cut. */
static int
add_host(struct buf *names, const char *host, struct hw_err *err)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
	ASN1_OCTET_STRING *address = a2i_IPADDRESS(host);

	ERR_clear_error();
	bool is_address = address != NULL;
	ASN1_OCTET_STRING_free(address);
	if (!is_address && (*host == '\0' || host[strspn(host, allowed)] != '\0'))
		return hw_err_set(err, HW_EVALIDATION, "%s is neither a host name nor an address",
			host);
	return buf_printf(names, ",%s:%s", is_address ? "IP" : "DNS", host);
}

static int
relay_names(struct buf *names, const struct ca *ca, const char *name, const char *const *hosts,
	size_t n_hosts, struct hw_err *err)
{
	char uri[IDENTITY_URI_MAX];
	int r;

	if (!identity_fits(ROLE_RELAY, name))
		return hw_err_set(err, HW_EVALIDATION, "a relay cannot have the name %s", name);
	identity_uri(uri, ca->fleet, ROLE_RELAY, name);
	r = buf_printf(names, "URI:%s", uri);
	for (size_t i = 0; r == 0 && i < n_hosts; i++)
		r = add_host(names, hosts[i], err);
	if (r == HW_ELIMIT)
		r = hw_err_set(err, r, "too many host names for a certificate");
	return r;
}

/* The same key as long as the file is there: a crash between two files can't part the pair. */
static int
relay_key(EVP_PKEY **key, int dir, struct hw_err *err)
{
	int r;

	if (faccessat(dir, RELAY_KEY, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return key_load(key, dir, RELAY_KEY, err);
	if ((r = key_generate(key, err)) < 0)
		return r;
	return key_save(*key, dir, RELAY_KEY, err);
}

int
ca_issue_relay(const struct ca *ca, int dir, const char *name, const char *const *hosts,
	size_t n_hosts, int64_t now, struct hw_err *err)
{
	char serial[CERT_SERIAL_LEN + 1];
	EVP_PKEY *key = NULL;
	struct buf names, chain;
	int r;

	buf_init(&names, 4096);
	buf_init(&chain, CHAIN_MAX);
	if ((r = relay_names(&names, ca, name, hosts, n_hosts, err)) < 0 ||
		(r = relay_key(&key, dir, err)) < 0)
		goto out;
	const struct leaf leaf = {.key = key,
		.role = ROLE_RELAY,
		.id = name,
		.names = buf_str(&names),
		.not_before = now - CERT_DAY,
		.not_after = now + CERT_RELAY_LIFE};
	if ((r = issue(&chain, serial, ca, &leaf, err)) < 0 ||
		(ca->vouched != NULL && (r = append_der(&chain, ca->vouched, err)) < 0) ||
		(r = append_der(&chain, ca->cert, err)) < 0 ||
		(ca->before != NULL && (r = append_der(&chain, ca->before, err)) < 0))
		goto out;
	r = cert_save(dir, RELAY_CERT, buf_data(&chain), chain.len, err);
out:
	EVP_PKEY_free(key);
	buf_fini(&names);
	buf_fini(&chain);
	return r;
}

/* NULL ends it, as it ends the file. */
static X509 *
next_shown(BIO *in)
{
	X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);

	ERR_clear_error();
	return cert;
}

static bool
shows_in_turn(const struct ca *ca, BIO *in)
{
	X509 *const wanted[] = {ca->vouched, ca->cert, ca->before};
	X509 *shown = next_shown(in);
	bool good = shown != NULL;

	X509_free(shown);
	for (size_t i = 0; good && i < COUNT(wanted); i++) {
		if (wanted[i] == NULL)
			continue;
		shown = next_shown(in);
		good = shown != NULL && X509_cmp(shown, wanted[i]) == 0;
		X509_free(shown);
	}
	shown = next_shown(in);
	good = good && shown == NULL;
	X509_free(shown);
	return good;
}

bool
ca_shows(const struct ca *ca, X509 *cert, int dir)
{
	struct buf pem;
	BIO *in = NULL;

	if (ca->number == 1)
		return succession_signed(cert, ca->cert);
	buf_init(&pem, CHAIN_PEM_MAX);
	bool good = succession_signed(cert, ca->cert) &&
		file_read(&pem, dir, RELAY_CERT, NULL) == 0 &&
		(in = BIO_new_mem_buf(buf_data(&pem), (int)pem.len)) != NULL &&
		shows_in_turn(ca, in);
	BIO_free(in);
	buf_fini(&pem);
	return good;
}
