#include "tests/unit/trust/fleet.h"

#include <openssl/x509v3.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "tests/unit/ground.h"

struct fleet *
fleet_new(void)
{
	struct fleet *f = calloc(1, sizeof(*f));
	struct hw_err err = HW_ERR_INIT;

	signal(SIGPIPE, SIG_IGN);
	ground_new(f->path, sizeof(f->path), "fleet");
	cr_assert(eq(int, dir_open(&f->dir, f->path, false, &err), 0), "%s", err.text);
	f->now = clock_wall(&hw_clock_system);
	cr_assert(eq(int, ca_create(&f->ca, f->dir, f->now, &err), 0), "%s", err.text);
	cr_assert(eq(int, key_load(&f->ca_key, f->dir, "ca.key", &err), 0), "%s", err.text);
	cr_assert(eq(int, key_generate(&f->key, &err), 0), "%s", err.text);
	return f;
}

void
fleet_free(struct fleet *f)
{
	char names[4096], *save = NULL;

	snprintf(names, sizeof(names), "%s", directory_names(f->path));
	for (char *at = strtok_r(names, " ", &save); at != NULL; at = strtok_r(NULL, " ", &save))
		unlinkat(f->dir, at, 0);
	rmdir(f->path);
	close(f->dir);
	ca_free(f->ca);
	EVP_PKEY_free(f->ca_key);
	EVP_PKEY_free(f->key);
	free(f);
}

X509 *
fleet_issue(const struct fleet *f, int role, const char *id, int64_t from, int64_t to)
{
	struct hw_err err = HW_ERR_INIT;
	char serial[CERT_SERIAL_LEN + 1];
	struct buf csr, der;
	X509 *cert = NULL;

	buf_init(&csr, CERT_DER_MAX);
	buf_init(&der, CERT_DER_MAX);
	cr_assert(eq(int, csr_make(&csr, f->key, &err), 0), "%s", err.text);
	cr_assert(eq(int,
			  ca_issue(&der, serial, f->ca, buf_data(&csr), csr.len, role, id, from, to,
				  &err),
			  0),
		"%s", err.text);
	cr_assert(eq(int, cert_parse(&cert, buf_data(&der), der.len, &err), 0), "%s", err.text);
	buf_fini(&csr);
	buf_fini(&der);
	return cert;
}

static void
add_uri(GENERAL_NAMES *names, const struct fleet *f, const char *format, size_t len)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	char uri[512];

	if (len > 0)
		memcpy(uri, format, len);
	else {
		const char *hole = strstr(format, "%s");
		len = hole == NULL
			? (size_t)snprintf(uri, sizeof(uri), "%s", format)
			: (size_t)snprintf(uri, sizeof(uri), "%.*s%s%s", (int)(hole - format),
				  format, ca_fleet(f->ca), hole + 2);
	}
	ASN1_STRING_set(text, uri, (int)len);
	GENERAL_NAME_set0_value(name, GEN_URI, text);
	sk_GENERAL_NAME_push(names, name);
}

static void
add_names(X509 *cert, const struct fleet *f, const struct forgery *what)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();

	if (what->dns != NULL) {
		GENERAL_NAME *name = GENERAL_NAME_new();
		ASN1_IA5STRING *text = ASN1_IA5STRING_new();
		ASN1_STRING_set(text, what->dns, -1);
		GENERAL_NAME_set0_value(name, GEN_DNS, text);
		sk_GENERAL_NAME_push(names, name);
	}
	if (what->uri == NULL)
		add_uri(names, f, "hawser://%s/user/alice", 0);
	else if (what->uri[0] != '\0')
		add_uri(names, f, what->uri, what->uri_len);
	if (what->uri2 != NULL)
		add_uri(names, f, what->uri2, 0);
	if (sk_GENERAL_NAME_num(names) > 0)
		cr_assert(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) > 0);
	GENERAL_NAMES_free(names);
}

static void
add(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;

	if (value[0] == '\0')
		return;
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	cr_assert(ne(ptr, ext, NULL));
	cr_assert(X509_add_ext(cert, ext, -1) > 0);
	X509_EXTENSION_free(ext);
}

static const char *
or_else(const char *text, const char *otherwise)
{
	return text != NULL ? text : otherwise;
}

X509 *
fleet_forge(const struct fleet *f, const struct forgery *what)
{
	X509 *issuer = what->issuer != NULL ? what->issuer : ca_cert(f->ca);
	EVP_PKEY *signer = what->issuer_key != NULL ? what->issuer_key : f->ca_key;
	X509 *cert = X509_new();

	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 4711);
	ASN1_TIME_set(X509_getm_notBefore(cert), f->now / 1000000 - 60);
	ASN1_TIME_set(X509_getm_notAfter(cert), f->now / 1000000 + 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
		(const unsigned char *)"forged", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(issuer));
	X509_set_pubkey(cert, f->key);
	add(cert, issuer, NID_subject_key_identifier, "hash");
	add(cert, issuer, NID_authority_key_identifier, "keyid:always");
	add(cert, issuer, NID_basic_constraints, or_else(what->constraints, "critical,CA:FALSE"));
	add(cert, issuer, NID_key_usage, or_else(what->key_usage, "critical,digitalSignature"));
	add(cert, issuer, NID_ext_key_usage, or_else(what->usage, "clientAuth"));
	add_names(cert, f, what);
	add(cert, issuer, what->nid, or_else(what->value, ""));
	cr_assert(X509_sign(cert, signer, EVP_sha256()) > 0);
	return cert;
}

const char *
fleet_file(const struct fleet *f, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	return path;
}

bool
fleet_has(const struct fleet *f, const char *name)
{
	return faccessat(f->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
not_dots(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

const char *
directory_names(const char *path)
{
	static char names[4096];
	struct dirent **entries = NULL;
	size_t n = 0;
	int count = scandir(path, &entries, not_dots, alphasort);

	names[0] = '\0';
	for (int i = 0; i < count; i++) {
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", i > 0 ? " " : "",
			entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return names;
}
