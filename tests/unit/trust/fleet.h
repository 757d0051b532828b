/* A fleet's authority in a temporary directory, and certificates that it would never issue. */
#ifndef HAWSER_TESTS_TRUST_FLEET_H
#define HAWSER_TESTS_TRUST_FLEET_H

#include <openssl/x509.h>

#include "proto/trust/cert.h"

#define MINUTE (INT64_C(60) * 1000000)
#define HOUR   (60 * MINUTE)
#define NODE   "mi-0123456789abcdef0"

struct fleet {
	char path[64];
	int dir;
	int64_t now; /* the system's clock when it was made */
	struct ca *ca;
	EVP_PKEY *ca_key, *key; /* `key` is that of the certificates that it gives */
};

struct fleet *fleet_new(void);
void fleet_free(struct fleet *f);

/* As the relay issues them. Free with X509_free(). */
X509 *fleet_issue(const struct fleet *f, int role, const char *id, int64_t from, int64_t to);

/* What is NULL or 0 is as in a user's certificate; "" leaves an extension out. */
struct forgery {
	const char *uri, *uri2; /* in the first one %s is the fleet's id */
	size_t uri_len;		/* of a uri that has zero bytes in it */
	const char *dns;
	const char *usage;	 /* "clientAuth" */
	const char *constraints; /* "critical,CA:FALSE" */
	const char *key_usage;	 /* "critical,digitalSignature" */
	X509 *issuer;		 /* NULL: the fleet's CA */
	EVP_PKEY *issuer_key;	 /* NULL: the CA's */
	int nid;		 /* one extension more, with `value` */
	const char *value;
};
#define FORGE(f, ...) fleet_forge(f, &(struct forgery){__VA_ARGS__})
X509 *fleet_forge(const struct fleet *f, const struct forgery *what);

/* The file's path, in memory that the next call uses again. */
const char *fleet_file(const struct fleet *f, const char *name);
bool fleet_has(const struct fleet *f, const char *name);

/* Everything that lies in a directory, sorted, "a b c". */
const char *directory_names(const char *path);

#endif
