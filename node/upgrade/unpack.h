/* A release on its way into a slot: each byte counts only when all of its file was what was signed.
 */
#ifndef HAWSER_NODE_UPGRADE_UNPACK_H
#define HAWSER_NODE_UPGRADE_UNPACK_H

#include "proto/trust/release.h"

/* Where bytes come from: gives 1 to `room` of them from `offset` on, waiting as long as it takes. 0
 * is the end. */
struct unpack_source {
	int (*read)(void *arg, uint64_t offset, void *p, size_t room, size_t *n,
		struct hw_err *err);
	void *arg;
};

/* Head and manifest; who signed it is for the caller to judge. */
int unpack_head(struct release *ret, const struct unpack_source *from, struct hw_err *err);

/* Makes the folder of that name in `dir` anew, from a temporary one, with all files of the release,
 * which may be run; all is synced. HW_EVALIDATION names the file that is not what was signed,
 * HW_ESYS what could not be written. Then the folder is not there. */
int unpack_files(int dir, char name, const struct release *r, const struct unpack_source *from,
	struct hw_err *err);

/* Removes the folder and what an unpacking that was cut short left of it. */
int unpack_clear(int dir, char name, struct hw_err *err);

#endif
