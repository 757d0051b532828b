/* Where objects are: an S3-compatible endpoint, buckets and keys in it, and the URLs of these.
 * Pure. */
#ifndef HAWSER_OBJECTS_PLACE_H
#define HAWSER_OBJECTS_PLACE_H

#include <stdbool.h>

#include "proto/base/buf.h"

#define S3_BUCKET_MAX 63
#define S3_PREFIX_MAX 500
#define S3_KEY_MAX    1024 /* bytes, as S3 has it */

struct s3_place {
	bool tls;
	char host[300];	 /* with its port when it has one */
	bool path_style; /* HOST/BUCKET/KEY; else BUCKET.HOST/KEY */
};

/* "https://s3.example.org:9000". Without TLS only on this machine's own addresses, and only
 * with path_style, which addresses need, too. HW_EVALIDATION. */
int s3_place_parse(struct s3_place *ret, const char *endpoint, bool path_style, struct hw_err *err);

/* Of 3 to 63 small letters, digits, dots, dashes and underscores. HW_EOUTPUTFOLDER: it is none, or
 * none that can be reached there. */
int s3_bucket_check(const struct s3_place *place, const char *bucket, struct hw_err *err);
/* What stands before the keys of some objects, "a/b"; "" is none. No part of it is empty, "." or
 * "..". HW_EOUTPUTFOLDER. */
int s3_prefix_check(const char *prefix, struct hw_err *err);
/* The name of a region: it goes into signatures. HW_EOUTPUTFOLDER. */
int s3_region_check(const char *region, struct hw_err *err);

/* Appends the URL of an object, its key percent-encoded; or its host, with the port if it has one,
 * or its path, which are the same in the URL. */
void s3_url(struct buf *out, const struct s3_place *place, const char *bucket, const char *key);
void s3_host(struct buf *out, const struct s3_place *place, const char *bucket);
void s3_path(struct buf *out, const struct s3_place *place, const char *bucket, const char *key);
/* Appends text as a query's value has it. */
void s3_encode(struct buf *out, const char *text);

#endif
