/* Another authority: what it says, who is led to it, and who is not. */
#include "proto/trust/succession.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/enc.h"
#include "proto/base/file.h"
#include "proto/trust/log_epoch.h"
#include "tests/unit/trust/fleet.h"

static struct fleet *f;
static const uint8_t ledger[MERKLE_LEN] = {1, 2, 3};
static struct hw_err err;

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

TestSuite(succession, .init = setup, .fini = teardown);

/* The directory's next authority, opened. */
static struct ca *
succeed(const struct ca *before)
{
	struct ca *next = NULL;
	int to;

	cr_assert(eq(int, mkdirat(f->dir, "next", 0700), 0));
	to = openat(f->dir, "next", O_RDONLY | O_DIRECTORY);
	cr_assert(to >= 0);
	cr_assert(eq(int, ca_succeed(before, to, ledger, f->now, &err), 0), "%s", err.text);
	cr_assert(eq(int, ca_take(f->dir, to, &err), 0), "%s", err.text);
	close(to);
	folder_drop(f->dir, "next");
	cr_assert(eq(int, ca_open(&next, f->dir, &err), 0), "%s", err.text);
	return next;
}

static X509 *
in_file(const char *name)
{
	X509 *cert = NULL;

	cr_assert(eq(int, cert_load(&cert, f->dir, name, &err), 0), "%s", err.text);
	return cert;
}

/* What the relay shows, without its own certificate. */
static STACK_OF(X509) * shown(const struct ca *ca)
{
	STACK_OF(X509) *all = sk_X509_new_null();
	FILE *in;

	cr_assert(eq(int, ca_issue_relay(ca, f->dir, "relay", NULL, 0, f->now, &err), 0), "%s",
		err.text);
	in = fopen(fleet_file(f, "relay.crt"), "re");
	cr_assert(ne(ptr, in, NULL));
	for (X509 *cert; (cert = PEM_read_X509(in, NULL, NULL, NULL)) != NULL;)
		sk_X509_push(all, cert);
	fclose(in);
	X509_free(sk_X509_shift(all));
	return all;
}

static void
drop(STACK_OF(X509) * all)
{
	sk_X509_pop_free(all, X509_free);
}

Test(succession, the_next_one_keeps_the_fleet_and_names_what_its_ledger_begins_with)
{
	struct succession first, second;
	struct ca *next = succeed(f->ca);
	char fleet[CERT_FLEET_LEN + 1];

	cr_assert(eq(int, succession_read(&first, ca_cert(f->ca), &err), 0), "%s", err.text);
	cr_assert(eq(int, succession_read(&second, ca_cert(next), &err), 0), "%s", err.text);
	cr_assert(eq(int, (int)first.number, 1));
	cr_assert(eq(int, (int)second.number, 2));
	cr_assert(eq(int, (int)ca_number(next), 2));
	cr_assert(eq(str, second.fleet, first.fleet));
	cr_assert(eq(int, memcmp(second.ledger, ledger, sizeof(ledger)), 0));
	cr_assert(eq(int, cert_fleet(fleet, ca_cert(next), &err), 0));
	cr_assert(eq(str, fleet, (char *)ca_fleet(f->ca)));
	cr_assert(eq(int, X509_cmp(ca_before(next), ca_cert(f->ca)), 0));
	cr_assert(eq(ptr, ca_retired(next), NULL));
	ca_free(next);
}

Test(succession, who_knows_the_one_before_is_led_to_the_next)
{
	struct ca *next = succeed(f->ca);
	STACK_OF(X509) *all = shown(next);

	cr_assert(eq(int, sk_X509_num(all), 3)); /* what vouches, the new one, the old one */
	X509 *root = succession_next(ca_cert(f->ca), all, f->now);
	cr_assert(ne(ptr, root, NULL));
	cr_assert(eq(int, X509_cmp(root, ca_cert(next)), 0));
	cr_assert(eq(ptr, succession_next(ca_cert(next), all, f->now),
		NULL)); /* nobody is led back */
	cr_assert(eq(ptr, succession_next(ca_cert(f->ca), all, f->now + 21 * 365 * CERT_DAY),
		NULL));
	cr_assert(eq(ptr, succession_next(ca_cert(f->ca), NULL, f->now), NULL));
	drop(all);

	/* Without what vouches, and where it vouches for nothing that is there. */
	for (int left_out = 0; left_out < 2; left_out++) {
		all = shown(next);
		X509_free(sk_X509_delete(all, left_out));
		cr_assert(eq(ptr, succession_next(ca_cert(f->ca), all, f->now), NULL));
		drop(all);
	}
	ca_free(next);
}

/* Of an own fleet, of whose authority the test has the key. */
static struct ca *
strangers(void)
{
	struct ca *ca = NULL;
	int dir;

	cr_assert(eq(int, mkdirat(f->dir, "other", 0700), 0));
	dir = openat(f->dir, "other", O_RDONLY | O_DIRECTORY);
	cr_assert(eq(int, ca_create(&ca, dir, f->now, &err), 0));
	close(dir);
	folder_drop(f->dir, "other");
	return ca;
}

Test(succession, another_fleets_authorities_lead_nowhere)
{
	struct ca *other = strangers(), *theirs;
	STACK_OF(X509) * all;

	theirs = succeed(other);
	all = shown(theirs);
	cr_assert(eq(ptr, succession_next(ca_cert(f->ca), all, f->now), NULL));
	cr_assert(ne(ptr, succession_next(ca_cert(other), all, f->now), NULL));
	drop(all);
	ca_free(theirs);
	ca_free(other);
}

Test(succession, what_the_authority_issued_to_others_vouches_for_nothing)
{
	struct ca *next = succeed(f->ca);
	STACK_OF(X509) *all = sk_X509_new_null();

	/* For the very key of the next authority, but a user's. */
	X509 *leaf = fleet_issue(f, ROLE_USER, "alice", f->now, f->now + HOUR);
	cr_assert(X509_up_ref(ca_cert(next)));
	sk_X509_push(all, leaf);
	sk_X509_push(all, ca_cert(next));
	cr_assert(eq(ptr, succession_next(ca_cert(f->ca), all, f->now), NULL));
	drop(all);
	ca_free(next);
}

/* A root that signs itself, with such names. */
static X509 *
self_made(const char *common_name, const char *names)
{
	X509 *cert = X509_new();
	X509V3_CTX ctx;

	X509_set_version(cert, X509_VERSION_3);
	X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_ASC,
		(const unsigned char *)common_name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_set_pubkey(cert, f->key);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	if (names != NULL) {
		X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, names);
		cr_assert(ne(ptr, ext, NULL), "%s", names);
		X509_add_ext(cert, ext, -1);
		X509_EXTENSION_free(ext);
	}
	cr_assert(X509_sign(cert, f->key, EVP_sha256()) > 0);
	return cert;
}

#define HASH  "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define FLEET "0123456789ab"
#define NAME  "Hawser fleet " FLEET
#define A(n)  "URI:hawser://" FLEET "/authority/" n
#define L(h)  "URI:hawser://" FLEET "/ledger/" h

Test(succession, names_have_one_spelling)
{
	static const struct {
		const char *name, *names;
		bool good;
	} rows[] = {
		{NAME,			A("2") "," L(HASH),					   true },
		{NAME,			A("9999") "," L(HASH),				      true },
		{NAME,			NULL,						  false}, /* a first one's key gives the id */
		{NAME,			A("1") "," L(HASH),					   false},
		{NAME,			A("0") "," L(HASH),					   false},
		{NAME,			A("02") "," L(HASH),				    false},
		{NAME,			A("+2") "," L(HASH),				    false},
		{NAME,			A("-2") "," L(HASH),				    false},
		{NAME,			A("10000") "," L(HASH),				       false},
		{NAME,			A("2"),						false},
		{NAME,			L(HASH) "," A("2"),					   false},
		{NAME,			A("2") "," L(HASH) "," A("3"),			      false},
		{NAME,			A("2") "," L("00112233"),				 false},
		{NAME,
			A("2") "," L(
				"AA112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"),
			false										    },
		{NAME,			"DNS:" FLEET "," L(HASH),				 false},
		{"Hawser fleet 0123456789ac", A("2") "," L(HASH),					  false},
		{"Hawser fleet 0123456789AB", A("2") "," L(HASH),					  false},
		{"hawser fleet " FLEET,	A("2") "," L(HASH),				    false},
		{FLEET,			A("2") "," L(HASH),				    false},
		{"b",			 A("2") "," L(HASH),					  false},
	};
	struct succession s;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		X509 *root = self_made(rows[i].name, rows[i].names);
		cr_expect(eq(int, succession_read(&s, root, NULL), rows[i].good ? 0 : HW_ECERT),
			"row %zu", i);
		X509_free(root);
	}
}

Test(succession, the_relays_chain_is_right_only_after_a_change)
{
	struct ca *next = succeed(f->ca);
	X509 *cert;

	drop(shown(f->ca));
	cert = in_file("relay.crt");
	cr_assert(ca_shows(f->ca, cert, f->dir));
	cr_assert(not(ca_shows(next, cert, f->dir)));
	X509_free(cert);
	drop(shown(next));
	cert = in_file("relay.crt");
	cr_assert(ca_shows(next, cert, f->dir));
	/* Retired, it is not shown any more. */
	cr_assert(eq(int, renameat(f->dir, CA_BEFORE, f->dir, CA_RETIRED), 0));
	struct ca *alone = NULL;
	cr_assert(eq(int, ca_open(&alone, f->dir, &err), 0));
	cr_assert(eq(ptr, ca_before(alone), NULL));
	cr_assert(ne(ptr, ca_retired(alone), NULL));
	cr_assert(not(ca_shows(alone, cert, f->dir)));
	X509_free(cert);
	STACK_OF(X509) *all = shown(alone);
	cr_assert(eq(int, sk_X509_num(all), 2));
	cr_assert(ne(ptr, succession_next(ca_cert(f->ca), all, f->now), NULL)); /* still told of */
	drop(all);
	ca_free(alone);
	ca_free(next);
}

Test(succession, files_of_another_fleet_are_refused)
{
	struct ca *next = succeed(f->ca), *other = strangers(), *again = NULL;

	cr_assert(eq(int, cert_keep(f->dir, CA_BEFORE, ca_cert(other), &err), 0));
	cr_assert(eq(int, ca_open(&again, f->dir, &err), HW_ECERT));
	cr_assert(ne(ptr, strstr(err.text, CA_BEFORE), NULL));
	cr_assert(eq(int, cert_keep(f->dir, CA_BEFORE, ca_cert(f->ca), &err), 0));
	cr_assert(eq(int, cert_keep(f->dir, "ca.vouched.crt", ca_cert(other), &err), 0));
	cr_assert(eq(int, ca_open(&again, f->dir, &err), HW_ECERT));
	ca_free(other);
	ca_free(next);
}

Test(succession, a_third_knows_the_second_alone)
{
	struct ca *second = succeed(f->ca), *third = succeed(second);
	struct succession s;

	cr_assert(eq(int, succession_read(&s, ca_cert(third), &err), 0));
	cr_assert(eq(int, (int)s.number, 3));
	cr_assert(eq(str, s.fleet, (char *)ca_fleet(f->ca)));
	STACK_OF(X509) *all = shown(third);
	cr_assert(ne(ptr, succession_next(ca_cert(second), all, f->now), NULL));
	cr_assert(eq(ptr, succession_next(ca_cert(f->ca), all, f->now), NULL));
	drop(all);
	ca_free(third);
	ca_free(second);
}
