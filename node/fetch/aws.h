/* The S3 credentials of who runs the command: of its environment, else of ~/.aws/credentials. */
#ifndef HAWSER_FETCH_AWS_H
#define HAWSER_FETCH_AWS_H

#include <stdbool.h>

#define AWS_TEXT_MAX 4096

struct aws_keys {
	char id[256], secret[256];
	char session[AWS_TEXT_MAX]; /* "": none */
	char region[64];
};

/* False when there are none. The region is what the host of the URL says, then the environment,
 * then us-east-1, which stores that know no regions take. */
bool aws_keys_find(struct aws_keys *ret, const char *url);

/* The same of the text of a credentials file: its default profile. */
bool aws_keys_parse(struct aws_keys *ret, char *text);
/* s3.REGION.amazonaws.com, BUCKET.s3.REGION.amazonaws.com, s3-REGION.amazonaws.com. */
bool aws_region_of(char out[64], const char *url);

/* Whether keys sign for the host of a URL: one of Amazon's, or `own` (HOST or HOST:PORT; NULL:
 * none) or below it, by https. What they sign tells any other who they are, and what they may. */
bool aws_may_sign(const char *url, const char *own);

#endif
