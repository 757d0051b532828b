#include "proto/trust/cert.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <sys/stat.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "tests/unit/trust/fleet.h"

static struct fleet *f;

static void
setup(void)
{
	f = fleet_new();
}

static void
teardown(void)
{
	fleet_free(f);
}

TestSuite(ca, .init = setup, .fini = teardown);
TestSuite(key, .init = setup, .fini = teardown);

static unsigned
mode_of(const char *name)
{
	struct stat st;

	cr_assert(eq(int, fstatat(f->dir, name, &st, 0), 0));
	return st.st_mode & 07777;
}

/* What ca_issue() says to a request; the certificate is dropped. */
static int
issue_for(const void *csr, size_t n, int role, const char *id)
{
	char serial[CERT_SERIAL_LEN + 1] = "none";
	struct hw_err err = HW_ERR_INIT;
	struct buf der;

	buf_init(&der, CERT_DER_MAX);
	int r = ca_issue(&der, serial, f->ca, csr, n, role, id, f->now, f->now + HOUR, &err);
	cr_expect(eq(int, r == 0, der.len > 0));
	cr_expect(eq(int, r == 0, strcmp(serial, "none") != 0));
	buf_fini(&der);
	return r;
}

static int
issue_to_key(EVP_PKEY *key)
{
	struct buf csr;

	buf_init(&csr, CERT_DER_MAX);
	cr_assert(eq(int, csr_make(&csr, key, NULL), 0));
	int r = issue_for(buf_data(&csr), csr.len, ROLE_USER, "alice");
	buf_fini(&csr);
	EVP_PKEY_free(key);
	return r;
}

Test(ca, opens_again_as_the_same)
{
	char pin[CERT_PIN_LEN + 1], pin2[CERT_PIN_LEN + 1];
	struct ca *again;

	cr_assert(eq(int, ca_open(&again, f->dir, NULL), 0));
	ca_pin(pin, f->ca);
	ca_pin(pin2, again);
	cr_assert(eq(str, pin, pin2));
	cr_assert(eq(str, (char *)ca_fleet(f->ca), (char *)ca_fleet(again)));
	cr_assert(eq(uint, mode_of("ca.key"), 0600));
	ca_free(again);
	ca_free(NULL);
}

Test(ca, is_never_replaced)
{
	struct hw_err err = HW_ERR_INIT;
	struct ca *again = NULL;

	cr_assert(eq(int, ca_create(&again, f->dir, f->now, &err), HW_EEXISTS));
	unlinkat(f->dir, "ca.crt", 0);
	cr_assert(eq(int, ca_create(&again, f->dir, f->now, &err), HW_EEXISTS));
	cr_assert(eq(ptr, again, NULL));
}

Test(ca, whose_key_is_anothers_or_readable_is_refused)
{
	EVP_PKEY *other;
	struct ca *again;

	cr_assert(eq(int, fchmodat(f->dir, "ca.key", 0640, 0), 0));
	cr_assert(eq(int, ca_open(&again, f->dir, NULL), HW_EDENIED));
	cr_assert(eq(int, key_generate(&other, NULL), 0));
	cr_assert(eq(int, key_save(other, f->dir, "ca.key", NULL), 0));
	cr_assert(eq(int, ca_open(&again, f->dir, NULL), HW_ECERT));
	EVP_PKEY_free(other);
}

Test(ca, that_is_a_peers_certificate_is_refused)
{
	X509 *cert = fleet_issue(f, ROLE_NODE, NODE, f->now, f->now + HOUR);
	uint8_t *der = NULL;
	struct ca *again;

	int n = i2d_X509(cert, &der);
	cr_assert(eq(int, cert_save(f->dir, "ca.crt", der, (size_t)n, NULL), 0));
	cr_assert(eq(int, key_save(f->key, f->dir, "ca.key", NULL), 0));
	cr_assert(eq(int, ca_open(&again, f->dir, NULL), HW_ECERT));
	X509_free(cert);
	OPENSSL_free(der);
}

Test(ca, issues_to_p256_and_ed25519_alone)
{
	cr_assert(eq(int, issue_to_key(EVP_EC_gen("P-256")), 0));
	cr_assert(eq(int, issue_to_key(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")), 0));
	cr_assert(eq(int, issue_to_key(EVP_EC_gen("P-384")), HW_EVALIDATION));
	cr_assert(eq(int, issue_to_key(EVP_EC_gen("secp256k1")), HW_EVALIDATION));
	cr_assert(eq(int, issue_to_key(EVP_RSA_gen(2048)), HW_EVALIDATION));
}

Test(ca, refuses_a_curve_that_is_spelled_out)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, "explicit");
	cr_assert(eq(int, issue_to_key(key), HW_EVALIDATION));
}

Test(ca, refuses_a_request_that_its_key_did_not_sign)
{
	X509_REQ *req = X509_REQ_new();
	EVP_PKEY *other = EVP_EC_gen("P-256");
	uint8_t *der = NULL;

	X509_REQ_set_pubkey(req, f->key);
	X509_REQ_sign(req, other, EVP_sha256());
	int n = i2d_X509_REQ(req, &der);
	cr_assert(eq(int, issue_for(der, (size_t)n, ROLE_USER, "alice"), HW_EVALIDATION));
	OPENSSL_free(der);
	EVP_PKEY_free(other);
	X509_REQ_free(req);
}

Test(ca, refuses_requests_that_are_cut_changed_or_too_long)
{
	static const uint8_t huge[CERT_DER_MAX + 1];
	struct buf csr;

	buf_init(&csr, CERT_DER_MAX);
	cr_assert(eq(int, csr_make(&csr, f->key, NULL), 0));
	for (size_t n = 0; n < csr.len; n++)
		cr_assert(eq(int, issue_for(buf_data(&csr), n, ROLE_USER, "alice"),
			HW_EVALIDATION));
	for (size_t i = 4; i < csr.len; i++) {
		csr.mem[csr.head + i] ^= 1;
		cr_assert(eq(int, issue_for(buf_data(&csr), csr.len, ROLE_USER, "alice"),
				  HW_EVALIDATION),
			"byte %zu", i);
		csr.mem[csr.head + i] ^= 1;
	}
	buf_append_byte(&csr, 0);
	cr_assert(eq(int, issue_for(buf_data(&csr), csr.len, ROLE_USER, "alice"), HW_EVALIDATION));
	cr_assert(eq(int, issue_for(huge, sizeof(huge), ROLE_USER, "alice"), HW_EVALIDATION));
	buf_fini(&csr);
}

Test(ca, refuses_ids_that_a_role_cannot_have)
{
	struct buf csr;

	buf_init(&csr, CERT_DER_MAX);
	cr_assert(eq(int, csr_make(&csr, f->key, NULL), 0));
	const uint8_t *der = buf_data(&csr);
	cr_assert(eq(int, issue_for(der, csr.len, ROLE_NODE, "alice"), HW_EVALIDATION));
	cr_assert(eq(int, issue_for(der, csr.len, ROLE_USER, "a,URI:x"), HW_EVALIDATION));
	cr_assert(eq(int, issue_for(der, csr.len, ROLE_USER, ""), HW_EVALIDATION));
	cr_assert(eq(int, issue_for(der, csr.len, 0, "alice"), HW_EVALIDATION));
	cr_assert(eq(int, issue_for(der, csr.len, 99, "alice"), HW_EVALIDATION));
	buf_fini(&csr);
}

Test(ca, uses_nothing_of_the_requests_names)
{
	X509_REQ *req = X509_REQ_new();
	char serial[CERT_SERIAL_LEN + 1], name[256];
	uint8_t *csr = NULL;
	struct buf der;
	X509 *cert;

	X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_ASC,
		(const unsigned char *)"root", -1, -1, 0);
	X509_REQ_set_pubkey(req, f->key);
	X509_REQ_sign(req, f->key, EVP_sha256());
	int n = i2d_X509_REQ(req, &csr);
	buf_init(&der, CERT_DER_MAX);
	cr_assert(eq(int,
		ca_issue(&der, serial, f->ca, csr, (size_t)n, ROLE_USER, "alice", f->now,
			f->now + HOUR, NULL),
		0));
	cr_assert(eq(int, cert_parse(&cert, buf_data(&der), der.len, NULL), 0));
	X509_NAME_oneline(X509_get_subject_name(cert), name, sizeof(name));
	cr_assert(eq(str, name, (char *)"/CN=alice"));
	buf_fini(&der);
	OPENSSL_free(csr);
	X509_REQ_free(req);
	X509_free(cert);
}

static void *
issue_many(void *arg)
{
	(void)arg;
	for (int i = 0; i < 50; i++)
		X509_free(fleet_issue(f, ROLE_NODE, NODE, f->now, f->now + HOUR));
	return NULL;
}

Test(ca, issues_from_several_threads)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		cr_assert(eq(int, pthread_create(&threads[i], NULL, issue_many, NULL), 0));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

Test(ca, serials_are_long_and_differ)
{
	struct cert_identity a, b;
	X509 *one = fleet_issue(f, ROLE_NODE, NODE, f->now, f->now + HOUR);
	X509 *two = fleet_issue(f, ROLE_NODE, NODE, f->now, f->now + HOUR);

	cr_assert(eq(int, cert_identity(&a, one, ca_fleet(f->ca), NULL), 0));
	cr_assert(eq(int, cert_identity(&b, two, ca_fleet(f->ca), NULL), 0));
	cr_assert(ne(str, a.serial, b.serial));
	cr_assert(eq(sz, strlen(a.serial), CERT_SERIAL_LEN));
	cr_assert(a.serial[0] < '8');
	X509_free(one);
	X509_free(two);
}

Test(ca, gives_the_relay_a_key_and_a_chain_that_it_keeps)
{
	static const char *const hosts[] = {"relay.example.com", "127.0.0.1", "::1"};
	struct hw_err err = HW_ERR_INIT;
	struct cert_identity id;
	EVP_PKEY *first, *second;
	X509 *cert;

	cr_assert(eq(int, ca_issue_relay(f->ca, f->dir, "relay-1", hosts, 3, f->now, &err), 0),
		"%s", err.text);
	cr_assert(eq(uint, mode_of("relay.key"), 0600));
	cr_assert(eq(int, key_load(&first, f->dir, "relay.key", NULL), 0));
	cr_assert(eq(int, cert_load(&cert, f->dir, "relay.crt", NULL), 0));
	cr_assert(eq(int, cert_verify(cert, ca_cert(f->ca), f->now, false, &err), 0), "%s",
		err.text);
	cr_assert(eq(int, cert_identity(&id, cert, ca_fleet(f->ca), &err), 0), "%s", err.text);
	cr_assert(eq(int, id.role, ROLE_RELAY));
	cr_assert(eq(int, X509_check_private_key(cert, first), 1));
	for (size_t i = 0; i < 3; i++)
		cr_assert(cert_is_for_host(cert, hosts[i]), "%s", hosts[i]);
	cr_assert(not(cert_is_for_host(cert, "relay-1"))); /* which is only its common name */
	cr_assert(not(cert_is_for_host(cert, "127.0.0.2")));
	cr_assert(not(cert_is_for_host(cert, "")));
	cr_assert(eq(int, X509_check_host(cert, hosts[0], 0, 0, NULL), 1));
	cr_assert(eq(int, X509_check_ip_asc(cert, hosts[2], 0), 1));

	cr_assert(eq(int, ca_issue_relay(f->ca, f->dir, "relay-1", hosts, 3, f->now, &err), 0));
	cr_assert(eq(int, key_load(&second, f->dir, "relay.key", NULL), 0));
	cr_assert(eq(int, EVP_PKEY_eq(first, second), 1));
	EVP_PKEY_free(first);
	EVP_PKEY_free(second);
	X509_free(cert);
}

Test(ca, refuses_hosts_that_would_add_names)
{
	static const char *const bad[] = {"a,URI:hawser://x/relay/y", "", "a b", "email:copy", "*"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(eq(int,
			ca_issue_relay(f->ca, f->dir, "relay-1", &bad[i], 1, f->now, NULL),
			HW_EVALIDATION));
	cr_assert(eq(int, ca_issue_relay(f->ca, f->dir, "re/lay", NULL, 0, f->now, NULL),
		HW_EVALIDATION));
	cr_assert(not(fleet_has(f, "relay.crt")));
}

/* --- keys ------------------------------------------------------------------------------------ */

Test(key, is_saved_for_its_owner_alone_and_loaded)
{
	EVP_PKEY *again;

	umask(0);
	cr_assert(eq(int, key_save(f->key, f->dir, "node.key", NULL), 0));
	cr_assert(eq(uint, mode_of("node.key"), 0600));
	cr_assert(eq(int, key_load(&again, f->dir, "node.key", NULL), 0));
	cr_assert(eq(int, EVP_PKEY_eq(f->key, again), 1));
	EVP_PKEY_free(again);
}

Test(key, that_others_may_read_or_that_is_none_is_refused)
{
	EVP_PKEY *again = NULL;

	cr_assert(eq(int, key_save(f->key, f->dir, "node.key", NULL), 0));
	cr_assert(eq(int, fchmodat(f->dir, "node.key", 0604, 0), 0));
	cr_assert(eq(int, key_load(&again, f->dir, "node.key", NULL), HW_EDENIED));
	cr_assert(eq(int, key_load(&again, f->dir, "nothing", NULL), HW_ENOTFOUND));
	cr_assert(eq(int, fchmodat(f->dir, "ca.crt", 0600, 0), 0));
	cr_assert(eq(int, key_load(&again, f->dir, "ca.crt", NULL), HW_ECORRUPT));
	cr_assert(eq(int, mkdirat(f->dir, "folder", 0700), 0));
	cr_assert(eq(int, key_load(&again, f->dir, "folder", NULL), HW_EVALIDATION));
	unlinkat(f->dir, "folder", AT_REMOVEDIR);
	cr_assert(eq(ptr, again, NULL));
}

/* What is typed when a key is locked. */
struct typist {
	const char *types;
	int asked;
};

static int
type(void *arg, char *out, size_t room, const char *name, struct hw_err *err)
{
	struct typist *t = arg;

	cr_assert_str_eq(name, "locked.key");
	t->asked++;
	if (t->types == NULL)
		return hw_err_set(err, HW_EUSAGE, "nobody is there");
	cr_assert(lt(sz, strlen(t->types), room));
	strcpy(out, t->types);
	return 0;
}

Test(key, is_locked_by_a_passphrase)
{
	struct typist right = {.types = "a phrase"}, wrong = {.types = "another"};
	struct typist empty = {.types = ""}, absent = {.types = NULL};
	struct hw_err err = HW_ERR_INIT;
	EVP_PKEY *again = NULL;
	struct buf text;

	cr_assert(eq(int, fchdir(f->dir), 0));
	cr_assert(eq(int, key_create(f->key, "locked.key", "a phrase", &err), 0), "%s", err.text);
	cr_assert(eq(uint, mode_of("locked.key"), 0600));
	buf_init(&text, 16384);
	cr_assert(eq(int, file_read(&text, f->dir, "locked.key", NULL), 0));
	cr_assert(eq(int, strncmp(buf_str(&text), "-----BEGIN ENCRYPTED PRIVATE KEY-----", 37), 0));
	buf_fini(&text);

	cr_assert(eq(int, key_load(&again, f->dir, "locked.key", &err), HW_EDENIED));
	cr_assert_str_eq(err.text,
		"the key in locked.key is locked by a passphrase, which nobody is asked for here");
	cr_assert(eq(int, key_unlock(&again, f->dir, "locked.key", type, &wrong, &err),
		HW_EDENIED));
	cr_assert_str_eq(err.text, "that is not the passphrase of locked.key");
	cr_assert(eq(int, key_unlock(&again, f->dir, "locked.key", type, &empty, NULL),
		HW_EDENIED));
	cr_assert(eq(int, key_unlock(&again, f->dir, "locked.key", type, &absent, NULL),
		HW_EUSAGE));
	cr_assert(eq(ptr, again, NULL));
	err = (struct hw_err)HW_ERR_INIT;
	cr_assert(eq(int, key_unlock(&again, f->dir, "locked.key", type, &right, &err), 0), "%s",
		err.text);
	cr_assert(eq(int, err.code, 0));
	cr_assert(eq(int, EVP_PKEY_eq(f->key, again), 1));
	cr_assert(eq(int, right.asked, 1));
	EVP_PKEY_free(again);
}

Test(key, without_a_passphrase_asks_nobody_and_replaces_nothing)
{
	struct typist nobody = {.types = NULL};
	EVP_PKEY *again = NULL;

	cr_assert(eq(int, fchdir(f->dir), 0));
	cr_assert(eq(int, key_create(f->key, "open.key", "", NULL), 0));
	cr_assert(eq(int, key_create(f->key, "open.key", "more", NULL), HW_EEXISTS));
	cr_assert(eq(int, key_unlock(&again, f->dir, "open.key", type, &nobody, NULL), 0));
	cr_assert(eq(int, nobody.asked, 0));
	cr_assert(eq(int, EVP_PKEY_eq(f->key, again), 1));
	EVP_PKEY_free(again);
}
