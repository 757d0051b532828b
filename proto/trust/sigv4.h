/*
 * AWS Signature Version 4 in a request's headers, with HMAC-SHA256. Pure functions.
 *
 * The verifier's side, over what a stranger sent, is for the one kind of request that is served:
 * POST /, without a query, for the service `ssm`. The path and the query are not looked at: whoever
 * calls knows that they are "/" and none.
 *
 * The signer's side is for any request to a storage, sigv4_sign().
 */
#ifndef HAWSER_TRUST_SIGV4_H
#define HAWSER_TRUST_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

#define SIGV4_AUTHORIZATION_MAX 2048 /* bytes of the header */
#define SIGV4_KEY_ID_MAX	128
#define SIGV4_HEADERS_MAX	32   /* that are signed */
#define SIGV4_VALUE_MAX		4096 /* bytes of a signed header */
#define SIGV4_CANONICAL_MAX	(16 * 1024)

/* What a request's Authorization says, and all of its canonical form but the body's hash. */
struct sigv4;

/* Writes the value of the header of that name (lower case), as sent, with a NUL. HW_ENOTFOUND when
 * there is none, HW_EEXISTS when it is there twice, HW_ELIMIT when it has no room. */
typedef int sigv4_header_fn(void *arg, const char *name, char *value, size_t room);

/*
 * Reads what can be known without the secret. `authorization` is the header's value, NULL when
 * there is none; each header that is signed is asked for once. `host`, `x-amz-date` and
 * `x-amz-target` must be among them. The caller owns *ret.
 *
 * HW_EMISSINGTOKEN without the header; HW_EINCOMPLETESIGNATURE when it is not whole, or not of this
 * kind; HW_ESIGNATURE for another service, or a scope of another day; HW_ENOMEM.
 */
int sigv4_new(struct sigv4 **ret, const char *authorization, sigv4_header_fn *header, void *arg,
	struct hw_err *err);
void sigv4_free(struct sigv4 *s); /* NULL is fine */

/* Letters, digits, "-", "_" and "." only. */
const char *sigv4_key_id(const struct sigv4 *s);

/* When it was signed, as it says: microseconds since 1970. */
int64_t sigv4_time(const struct sigv4 *s);

/* Whether that secret made the signature, for this body: in constant time. */
bool sigv4_matches(const struct sigv4 *s, const char *secret, const void *body, size_t n);

/* HW_ESIGNATURE when it was signed more than `window` microseconds before `now`, or after it. */
int sigv4_in_time(const struct sigv4 *s, int64_t now, int64_t window, struct hw_err *err);

/* --- the signer's side ------------------------------------------------------------------------ */

#define SIGV4_SECRET_MAX 256
#define SIGV4_DATE_LEN	 16 /* 20261123T030542Z */

/* What is signed: with the headers host, x-amz-content-sha256 and x-amz-date, and no other. */
struct sigv4_request {
	const char *method;
	const char *path;  /* as it is sent, percent-encoded; encoded no further, as S3 has it */
	const char *query; /* as it is sent: sorted, names and values percent-encoded, each name
			      with its "="; "": none */
	const char *host;
	const char *hash;	      /* of the body, the value of x-amz-content-sha256 */
	const char *region, *service; /* as us-east-1 and s3 */
	int64_t time;		      /* wall clock, microseconds since 1970 */
};

/* The values of the headers x-amz-date and Authorization. HW_ELIMIT: the request, the secret or the
 * key's id has no room; HW_ENOMEM. */
int sigv4_sign(char date[SIGV4_DATE_LEN + 1], char authorization[SIGV4_AUTHORIZATION_MAX + 1],
	const struct sigv4_request *q, const char *key_id, const char *secret, struct hw_err *err);

#endif
