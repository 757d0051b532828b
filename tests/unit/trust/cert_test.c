#include "proto/trust/cert.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

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

TestSuite(cert, .init = setup, .fini = teardown);

/* Takes the certificate; what cert_identity() says, and *why. */
static int
identify(X509 *cert, struct cert_identity *id, struct hw_err *err)
{
	int r = cert_identity(id, cert, ca_fleet(f->ca), err);

	X509_free(cert);
	return r;
}

static void
expect_refused(X509 *cert, const char *why)
{
	struct cert_identity id = {.role = -7};
	struct hw_err err = HW_ERR_INIT;

	cr_expect(eq(int, identify(cert, &id, &err), HW_ECERT), "not refused: %s", why);
	cr_expect(ne(ptr, strstr(err.text, why), NULL), "'%s' lacks '%s'", err.text, why);
	cr_expect(eq(int, id.role, -7));
}

static int
verify(X509 *cert, int64_t now, bool expired_ok)
{
	struct hw_err err = HW_ERR_INIT;
	int r = cert_verify(cert, ca_cert(f->ca), now, expired_ok, &err);

	cr_expect(eq(int, r, err.code));
	return r;
}

/* --- who it is for ---------------------------------------------------------------------------- */

Test(cert, says_who_it_is_for)
{
	static const struct {
		int role;
		const char *id;
	} whom[] = {
		{ROLE_NODE,  NODE			},
		   {ROLE_USER,  "alice"	      },
		 {ROLE_USER,  "a.b+c=d@Example_x-1"},
		{ROLE_RELAY, "relay-1"	      }
	       };
	struct cert_identity id;

	for (size_t i = 0; i < sizeof(whom) / sizeof(whom[0]); i++) {
		X509 *cert = fleet_issue(f, whom[i].role, whom[i].id, f->now - HOUR, f->now + HOUR);
		cr_assert(eq(int, verify(cert, f->now, false), 0));
		cr_assert(eq(int, identify(cert, &id, NULL), 0));
		cr_assert(eq(int, id.role, whom[i].role));
		cr_assert(eq(str, id.id, (char *)whom[i].id));
		cr_assert(eq(str, id.fleet, (char *)ca_fleet(f->ca)));
		cr_assert(eq(i64, id.not_before, (f->now - HOUR) / 1000000 * 1000000));
		cr_assert(eq(i64, id.not_after, (f->now + HOUR) / 1000000 * 1000000));
		cr_assert(eq(sz, strlen(id.serial), CERT_SERIAL_LEN));
	}
}

Test(cert, of_another_fleet_is_refused)
{
	struct cert_identity id;
	X509 *cert = fleet_issue(f, ROLE_USER, "alice", f->now, f->now + HOUR);

	cr_assert(eq(int, cert_identity(&id, cert, "0123456789ab", NULL), HW_ECERT));
	X509_free(cert);
	expect_refused(FORGE(f, .uri = "hawser://0123456789ab/user/alice"), "another fleet");
	expect_refused(FORGE(f, .uri = "hawser:///user/alice"), "another fleet");
	expect_refused(FORGE(f, .uri = "hawser://%s%s/user/alice"), "another fleet");
}

Test(cert, with_no_uri_or_two_is_refused)
{
	expect_refused(FORGE(f, .uri = ""), "no URI");
	expect_refused(FORGE(f, .uri = "", .dns = "alice"), "no URI");
	expect_refused(FORGE(f, .uri2 = "hawser://%s/user/bob"), "more than one URI");
	expect_refused(FORGE(f, .uri2 = "https://example.com/"), "more than one URI");
	expect_refused(FORGE(f, .nid = NID_subject_alt_name, .value = "URI:hawser://x/user/bob"),
		"not one of ours");
}

Test(cert, of_a_user_or_node_names_nothing_else)
{
	expect_refused(FORGE(f, .dns = "relay.example.com"), "other names");
	expect_refused(FORGE(f, .uri = "hawser://%s/node/" NODE, .dns = "x"), "other names");
}

Test(cert, of_a_node_never_passes_for_another_role)
{
	expect_refused(FORGE(f, .uri = "hawser://%s/user/alice", .usage = "serverAuth"),
		"key usage");
	expect_refused(FORGE(f, .uri = "hawser://%s/node/" NODE, .usage = "serverAuth"),
		"key usage");
	expect_refused(FORGE(f, .uri = "hawser://%s/relay/r1", .usage = "clientAuth"), "key usage");
	expect_refused(FORGE(f, .uri = "hawser://%s/user/" NODE, .usage = "clientAuth,serverAuth"),
		"key usage");
	expect_refused(FORGE(f, .usage = ""), "key usage");
	expect_refused(FORGE(f, .usage = "clientAuth,codeSigning"), "key usage");
	expect_refused(FORGE(f, .usage = "clientAuth,1.2.3.4"), "key usage");
	expect_refused(FORGE(f, .usage = "anyExtendedKeyUsage"), "key usage");
	expect_refused(FORGE(f, .nid = NID_ext_key_usage, .value = "serverAuth"),
		"not one of ours");
}

Test(cert, with_an_id_that_its_role_does_not_have_is_refused)
{
	static const char *const uris[] = {
		"hawser://%s/node/alice",
		"hawser://%s/node/mi-0123456789ABCDEF0",
		"hawser://%s/node/mi-0123456789abcdef",
		"hawser://%s/node/mi-0123456789abcdef0%20",
		"hawser://%s/user/",
		"hawser://%s/user/a%20b",
		"hawser://%s/user/a%2Fb",
		"hawser://%s/user/..%2F..",
		"hawser://%s/user/a%0Ab",
		"hawser://%s/user/%C3%A9",
		"hawser://%s/user/"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"hawser://%s/admin/alice",
		"hawser://%s/USER/alice",
		"hawser://%s//alice",
	};

	for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++)
		expect_refused(FORGE(f, .uri = uris[i]), "nobody can have");
}

Test(cert, has_one_spelling_for_each_holder)
{
	expect_refused(FORGE(f, .uri = "hawser://%s/user/%61lice"), "unusual");
	expect_refused(FORGE(f, .uri = "hawser://%s/user/al@x"), "unusual");
	expect_refused(FORGE(f, .uri = "hawser://%s/user/al%2bx"), "unusual");
	expect_refused(FORGE(f, .uri = "hawser://%s/node/%6Di-0123456789abcdef0"), "unusual");
	/* decoded once: %2540 is "%40", not "@" */
	expect_refused(FORGE(f, .uri = "hawser://%s/user/al%2540x"), "nobody can have");
	expect_refused(FORGE(f, .uri = "hawser://%s/user/al%"), "nobody can have");
	expect_refused(FORGE(f, .uri = "hawser://%s/user/al%4"), "nobody can have");
	expect_refused(FORGE(f, .uri = "hawser://%s/user/al%zz"), "nobody can have");
	expect_refused(FORGE(f, .uri = "hawser://%s/user/al%00x"), "nobody can have");
	expect_refused(FORGE(f, .uri = "HAWSER://%s/user/alice"), "does not name");
	expect_refused(FORGE(f, .uri = "http://%s/user/alice"), "does not name");
	expect_refused(FORGE(f, .uri = "hawser://%s/user/alice/"), "not hawser://");
	expect_refused(FORGE(f, .uri = "hawser://%s/user"), "not hawser://");
	expect_refused(FORGE(f, .uri = "hawser://%s/user/alice?role=relay"), "nobody can have");
	expect_refused(FORGE(f, .uri = "hawser://%s/user/alice#x"), "nobody can have");
}

Test(cert, with_a_zero_byte_in_its_uri_is_refused)
{
	char uri[256];

	int n = snprintf(uri, sizeof(uri), "hawser://%s/user/alice", ca_fleet(f->ca));
	memcpy(uri + n, "\0.evil", 6);
	expect_refused(FORGE(f, .uri = uri, .uri_len = (size_t)n + 6), "does not name");
	expect_refused(FORGE(f, .uri = uri, .uri_len = (size_t)n + 1), "does not name");
}

Test(cert, of_an_authority_is_nobodys)
{
	X509_up_ref(ca_cert(f->ca));
	expect_refused(ca_cert(f->ca), "authority");
	expect_refused(FORGE(f, .constraints = "critical,CA:TRUE"), "authority");
	expect_refused(FORGE(f, .key_usage = "critical,keyCertSign"), "other uses");
	expect_refused(FORGE(f, .key_usage = "critical,digitalSignature,keyCertSign"),
		"other uses");
	expect_refused(FORGE(f, .key_usage = ""), "other uses");
}

/* --- whether it is good ----------------------------------------------------------------------- */

Test(cert, is_good_from_its_first_second_to_its_last)
{
	int64_t from = f->now - HOUR, to = f->now + HOUR;
	X509 *cert = fleet_issue(f, ROLE_USER, "alice", from, to);

	cr_assert(eq(int, verify(cert, f->now, false), 0));
	cr_assert(eq(int, verify(cert, from, false), 0));
	cr_assert(eq(int, verify(cert, to - 2000000, false), 0));
	cr_assert(eq(int, verify(cert, from - MINUTE, false), HW_ECERT));
	cr_assert(eq(int, verify(cert, to + MINUTE, false), HW_EEXPIRED));
	X509_free(cert);
}

Test(cert, that_is_over_passes_when_asked_but_an_early_one_never)
{
	X509 *cert = fleet_issue(f, ROLE_NODE, NODE, f->now - HOUR, f->now + HOUR);

	cr_assert(eq(int, verify(cert, f->now + CERT_NODE_GRACE, true), 0));
	cr_assert(eq(int, verify(cert, f->now - 2 * HOUR, true), HW_ECERT));
	/* when the CA's own time is over, nothing helps */
	cr_assert(eq(int, verify(cert, f->now + 21 * 365 * CERT_DAY, true), HW_ECERT));
	X509_free(cert);
}

Test(cert, of_a_foreign_authority_does_not_verify)
{
	struct fleet *other = fleet_new();
	X509 *cert = fleet_issue(other, ROLE_USER, "alice", f->now - HOUR, f->now + HOUR);

	cr_assert(eq(int, verify(cert, f->now, false), HW_ECERT));
	cr_assert(eq(int, verify(cert, f->now, true), HW_ECERT));
	X509_free(cert);
	/* one that claims our CA's name and key id, signed by theirs */
	cert = FORGE(f, .issuer_key = other->ca_key);
	cr_assert(eq(int, verify(cert, f->now, true), HW_ECERT));
	X509_free(cert);
	/* and one that is expired as well: that must not hide the signature */
	cert = FORGE(f, .issuer_key = other->ca_key);
	cr_assert(eq(int, verify(cert, f->now + 2 * HOUR, true), HW_ECERT));
	X509_free(cert);
	fleet_free(other);
}

Test(cert, issued_by_a_peer_does_not_verify)
{
	X509 *node = fleet_issue(f, ROLE_NODE, NODE, f->now - HOUR, f->now + HOUR);
	X509 *cert = FORGE(f, .issuer = node, .issuer_key = f->key);

	cr_assert(eq(int, verify(cert, f->now, false), HW_ECERT));
	/* nor may it be the authority that we are given */
	cr_assert(eq(int, cert_verify(cert, node, f->now, false, NULL), HW_ECERT));
	X509_free(cert);
	X509_free(node);
}

Test(cert, of_the_authority_itself_does_not_verify_as_a_peers)
{
	cr_assert(eq(int, verify(ca_cert(f->ca), f->now, false), HW_ECERT));
}

Test(cert, signed_by_itself_does_not_verify)
{
	X509 *seed = fleet_issue(f, ROLE_RELAY, "r", f->now - HOUR, f->now + HOUR);
	X509 *cert = FORGE(f, .issuer_key = f->key, .issuer = seed);

	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_sign(cert, f->key, EVP_sha256());
	cr_assert(eq(int, verify(cert, f->now, false), HW_ECERT));
	X509_free(cert);
	X509_free(seed);
}

Test(cert, with_a_critical_extension_that_nobody_knows_does_not_verify)
{
	int nid = OBJ_create("1.2.3.4.5", "unknown", "unknown extension");
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	X509 *cert = FORGE(f, .dns = NULL);

	ASN1_OCTET_STRING_set(value, (const unsigned char *)"\x05\x00", 2);
	X509_EXTENSION *ext = X509_EXTENSION_create_by_NID(NULL, nid, 1, value);
	X509_add_ext(cert, ext, -1);
	X509_sign(cert, f->ca_key, EVP_sha256());
	cr_assert(eq(int, verify(cert, f->now, false), HW_ECERT));
	X509_EXTENSION_free(ext);
	ASN1_OCTET_STRING_free(value);
	X509_free(cert);
}

/* --- bytes and files -------------------------------------------------------------------------- */

Test(cert, parses_only_when_nothing_follows_it_and_no_byte_is_odd)
{
	X509 *cert = fleet_issue(f, ROLE_USER, "alice", f->now, f->now + HOUR), *again = NULL;
	uint8_t *der = NULL;
	int n = i2d_X509(cert, &der);

	uint8_t *longer = calloc(1, (size_t)n + 8);
	memcpy(longer, der, (size_t)n);
	cr_assert(eq(int, cert_parse(&again, longer, (size_t)n + 1, NULL), HW_ECERT));
	for (int cut = 0; cut < n; cut++)
		cr_assert(eq(int, cert_parse(&again, der, (size_t)cut, NULL), HW_ECERT));

	/* the same in BER: the outermost length is indefinite, and zeroes end it */
	longer[1] = 0x80;
	memmove(longer + 2, longer + 4, (size_t)n - 4);
	memset(longer + n - 2, 0, 2);
	cr_assert(eq(int, cert_parse(&again, longer, (size_t)n, NULL), HW_ECERT));
	cr_assert(eq(ptr, again, NULL));

	cr_assert(eq(int, cert_parse(&again, der, (size_t)n, NULL), 0));
	X509_free(again);
	X509_free(cert);
	OPENSSL_free(der);
	free(longer);
}

Test(cert, is_saved_as_pem_and_loaded)
{
	X509 *cert = fleet_issue(f, ROLE_USER, "alice", f->now, f->now + HOUR), *again;
	uint8_t *der = NULL;
	int n = i2d_X509(cert, &der);

	cr_assert(eq(int, cert_save(f->dir, "user.crt", der, (size_t)n, NULL), 0));
	cr_assert(eq(int, cert_load(&again, f->dir, "user.crt", NULL), 0));
	cr_assert(eq(int, X509_cmp(cert, again), 0));
	X509_free(again);
	cr_assert(eq(int, cert_save(f->dir, "user.crt", "junk", 4, NULL), HW_ECERT));
	cr_assert(eq(int, cert_save(f->dir, "user.crt", "", 0, NULL), HW_ECERT));
	cr_assert(eq(int, cert_load(&again, f->dir, "ca.key", NULL), HW_ECORRUPT));
	cr_assert(eq(int, cert_load(&again, f->dir, "nothing", NULL), HW_ENOTFOUND));
	X509_free(cert);
	OPENSSL_free(der);
}

Test(cert, fleet_and_pin_are_read_from_the_authoritys)
{
	char fleet[CERT_FLEET_LEN + 1], pin[CERT_PIN_LEN + 1], pin2[CERT_PIN_LEN + 1];
	X509 *user = fleet_issue(f, ROLE_USER, "alice", f->now, f->now + HOUR);

	cr_assert(eq(int, cert_fleet(fleet, ca_cert(f->ca), NULL), 0));
	cr_assert(eq(str, fleet, (char *)ca_fleet(f->ca)));
	cr_assert(eq(sz, strlen(fleet), CERT_FLEET_LEN));
	cr_assert(eq(int, cert_fleet(fleet, user, NULL), HW_ECERT));
	cert_pin(pin, ca_cert(f->ca));
	ca_pin(pin2, f->ca);
	cr_assert(eq(str, pin, pin2));
	cr_assert(eq(sz, strlen(pin), CERT_PIN_LEN));
	X509_free(user);
}
