/*
 * A release of the node's programs: one file, signed by a key that no relay has.
 *
 *   "HWSRREL1"           8 bytes
 *   public key           32, Ed25519: whose signature it is; a node decides whether it takes it
 *   signature            64, over "hawser release 1" and a NUL, then the manifest
 *   manifest's length    4, big-endian
 *   manifest             text:
 *     hawser release 1
 *     version 0.2.0
 *     architecture x86_64          as uname(2) says it
 *     follows 0.1.0                the oldest version that it may replace
 *     made 2026-11-26T22:00:00.000Z
 *     file hawser-node 1234567 <SHA-256, 64 hex digits>
 *     file ...                     in the order in which their bytes follow
 *   the files            one after the other, nothing between them and nothing behind
 *
 * Pure, and safe on hostile input.
 */
#ifndef HAWSER_TRUST_RELEASE_H
#define HAWSER_TRUST_RELEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

typedef struct evp_pkey_st EVP_PKEY;

#define RELEASE_KEY_LEN	      32
#define RELEASE_SIGNATURE_LEN 64
#define RELEASE_HASH_LEN      32
#define RELEASE_FIXED_LEN     (8 + RELEASE_KEY_LEN + RELEASE_SIGNATURE_LEN + 4)
#define RELEASE_MANIFEST_MAX  4096
#define RELEASE_HEAD_MAX      (RELEASE_FIXED_LEN + RELEASE_MANIFEST_MAX)
#define RELEASE_FILES_MAX     8
#define RELEASE_BYTES_MAX     (UINT64_C(256) << 20) /* of the whole file */
#define RELEASE_VERSION_MAX   33		    /* with its NUL, as all below */
#define RELEASE_NAME_MAX      33
#define RELEASE_ARCH_MAX      17

struct release_file {
	char name[RELEASE_NAME_MAX]; /* [a-z0-9-], no two the same */
	uint64_t size;
	uint8_t hash[RELEASE_HASH_LEN];
};

struct release {
	char version[RELEASE_VERSION_MAX], follows[RELEASE_VERSION_MAX];
	char architecture[RELEASE_ARCH_MAX];
	int64_t made; /* microseconds since 1970, whole milliseconds */
	struct release_file files[RELEASE_FILES_MAX];
	size_t n_files;		      /* one at least */
	uint8_t key[RELEASE_KEY_LEN]; /* that signed it */
	size_t head;		      /* bytes before the first file */
	uint64_t size;		      /* of the whole file */
};

/* How many bytes head and manifest are, from the first RELEASE_FIXED_LEN; HW_EVALIDATION when that
 * is no release. */
int release_head_len(size_t *ret, const uint8_t fixed[RELEASE_FIXED_LEN], struct hw_err *err);
/* From exactly so many bytes. HW_EVALIDATION: they break the rules above, or the signature is not
 * that of the key which they name. Whether that key is to be trusted is another matter. */
int release_read(struct release *ret, const void *head, size_t n, struct hw_err *err);
/* The head of a release of files[] that are to follow; sets its key, head and size. HW_EVALIDATION
 * says what of it breaks the rules. */
int release_sign(struct buf *out, struct release *r, EVP_PKEY *key, struct hw_err *err);

/* N.N.N, and possibly a hyphen and what distinguishes a version before that: 0.2.0-rc1. */
bool release_version_valid(const char *version);
/* Of valid ones: below, at or above 0 as `a` is older than, the same as, or newer than `b`. */
int release_version_compare(const char *a, const char *b);

#endif
