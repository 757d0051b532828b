/*
 * What hawser-node-fetch is to get, and where to put it: JSON that the agent writes around the
 * sourceInfo of aws:downloadContent, which a document's author wrote. Pure.
 */
#ifndef HAWSER_FETCH_SPEC_H
#define HAWSER_FETCH_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct hw_err;

#define FETCH_TEXT_MAX 4096 /* bytes of any text, but for a key */
#define FETCH_KEY_MAX  16384

/* As bits, so that a row of a table can name several. */
enum fetch_source {
	FETCH_HTTP = 1,
	FETCH_S3 = 2,
	FETCH_GIT = 4,
	FETCH_GITHUB = 8,
	FETCH_LOCAL = 16,
	FETCH_TEXT = 32 /* the text comes along: a document that the agent got from its relay */
};

enum fetch_auth { FETCH_AUTH_NONE, FETCH_AUTH_BASIC, FETCH_AUTH_DIGEST };

/* Texts are the JSON's; NULL when absent. */
struct fetch_spec {
	json_t *json;
	enum fetch_source source;
	const char *destination; /* as the document has it; "" when it names none */
	const char *work;	 /* the command's own directory, absolute */
	const char *ca, *proxy;	 /* a file of authorities; a proxy's URL */
	const char *s3_host;	 /* besides Amazon's, to which keys may sign */
	int64_t max;		 /* bytes */

	const char *url; /* http, https, for S3 too; Git: a repository's */
	enum fetch_auth auth;
	bool insecure; /* what is not encrypted may be used */
	const char *username, *password;
	const char *owner, *repository; /* GitHub */
	const char *path;		/* Local: absolute; GitHub: below the repository */
	const char *branch, *commit;	/* at most one */
	const char *ssh_key, *token;
	bool any_host_key;
	const char *name; /* FETCH_TEXT: of the file */
};

/* HW_EVALIDATION says which field is wrong. Free it also then. */
int fetch_spec_parse(struct fetch_spec *ret, const char *text, size_t n, struct hw_err *err);
void fetch_spec_free(struct fetch_spec *s);

#endif
