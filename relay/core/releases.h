/*
 * Releases of the node's programs that the relay keeps: files in DIR/releases, each named by its
 * SHA-256, and with ".part" behind it until all of it has come and was found to be a release. Whose
 * signature it has is no matter of the relay's: nodes judge that. For workers; each call stands by
 * itself, and those that write or remove the same release take turns.
 */
#ifndef HAWSER_CORE_RELEASES_H
#define HAWSER_CORE_RELEASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/trust/release.h"

#define RELEASES_MAX	16 /* whole and in part */
#define RELEASES_ID_LEN 64

struct release_kept {
	char id[RELEASES_ID_LEN + 1];
	struct release release;
};

/* Opens the directory below the relay's, making it. */
int releases_open(int *ret, const char *relay_dir, struct hw_err *err);

/* One is to come, or to go on: *have bytes of it are there, and *whole says that nothing is
 * missing. HW_ELIMIT: there are RELEASES_MAX already. `id` is 64 hex digits, as everywhere below,
 * or HW_EVALIDATION. */
int releases_begin(int dir, const char *id, uint64_t size, uint64_t *have, bool *whole,
	struct hw_err *err);
/* The bytes from `offset` on; those that do not continue what is there change nothing, and *have
 * says from where to go on. The last ones are synced, with all before them. HW_ECORRUPT: together
 * they are not the file of that name; HW_EVALIDATION: it is no release. Then nothing of it is kept.
 * HW_ENOTFOUND: it was not begun, which is what the ledger tells of. */
int releases_append(int dir, const char *id, uint64_t size, uint64_t offset, const void *p,
	size_t n, uint64_t *have, bool *whole, struct hw_err *err);

/* Those that are whole, the newest version first; returns how many. */
int releases_list(struct release_kept ret[RELEASES_MAX], int dir, struct hw_err *err);
/* The newest one that fits; version "": any. HW_ENOTFOUND. */
int releases_find(struct release_kept *ret, int dir, const char *version, const char *architecture,
	struct hw_err *err);
/* *n bytes at most from `offset` on, and the size of the whole. HW_ENOTFOUND. */
int releases_read(int dir, const char *id, uint64_t offset, void *p, size_t *n, uint64_t *size,
	struct hw_err *err);
int releases_remove(int dir, const char *id, struct hw_err *err); /* HW_ENOTFOUND */

#endif
