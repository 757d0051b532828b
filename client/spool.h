/*
 * Output that is kept until it is shown: in one temporary file without a name, so that memory stays
 * small whatever is written. Pieces of many streams lie in it mixed; each stream knows its own.
 */
#ifndef HAWSER_CLIENT_SPOOL_H
#define HAWSER_CLIENT_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct spool;

/* The bytes of one stream. Zeroed is an empty one. */
struct spooled {
	struct spooled_piece *pieces;
	size_t n, room;
	int64_t bytes;	/* that are kept */
	int64_t beyond; /* that came past the cap, and are not */
};

/* In TMPDIR, or /tmp. At most `keep` bytes of each stream are kept. HW_EIO, ... */
int spool_new(struct spool **ret, int64_t keep, struct hw_err *err);
void spool_free(struct spool *s); /* NULL is fine */

/* HW_ENOMEM, HW_EIO or what else a full disk gives. */
int spool_append(struct spool *s, struct spooled *to, const void *p, size_t n, struct hw_err *err);
/* Forgets it, and gives its place on the disk back. */
void spool_drop(struct spool *s, struct spooled *of);

/* Hands its bytes over in order, in pieces; one that is not 0 ends it, and is returned. */
int spool_read(struct spool *s, const struct spooled *of,
	int (*each)(void *arg, const uint8_t *p, size_t n, struct hw_err *err), void *arg,
	struct hw_err *err);

#endif
