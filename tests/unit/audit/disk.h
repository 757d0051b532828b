/*
 * A disk that a test can cut: everything that this program writes below a directory is noted, in
 * order, and the directory can be made again as a power cut at any point of it may leave it.
 *
 * What was synced is there. Of what a file got since its last sync any part may be there, in
 * sectors of 512 bytes, each as it was at some moment, with zeros where the file became longer and
 * a sector did not make it; of the names that a folder got, lost or changed since its last sync
 * those up to some point.
 *
 * It can also fail: the nth call that changes something, and if it is told so all after it.
 */
#ifndef HAWSER_TESTS_UNIT_AUDIT_DISK_H
#define HAWSER_TESTS_UNIT_AUDIT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_FOLDERS 4

/* From now on; what lies in `dir` and its folders "journal", "recordings" and "ledger" is on disk.
 */
void disk_begin(const char *dir);
void disk_end(void);
size_t disk_ops(void); /* so far */
/* Makes the directory as the cut before operation `at` may have left it; `seed` chooses. Between
 * disk_end() and the next disk_begin(). */
void disk_cut(size_t at, uint64_t seed);
void disk_forget(void); /* frees what was noted */

/* A random number below n. */
uint64_t disk_random(uint64_t *seed, uint64_t n);

enum disk_fault {
	DISK_WORKS,
	DISK_FULL,	/* ENOSPC where room is needed, half of a write done */
	DISK_ERROR,	/* EIO */
	DISK_READ_ONLY, /* EROFS, from then on */
	DISK_SHORT,	/* a write that does a part, and succeeds */
	DISK_NO_SYNC,	/* EIO of a sync */
};
/* The call number `at` from now on fails, and with `stays` all after it. */
void disk_fail(enum disk_fault fault, size_t at, bool stays);
size_t disk_calls(void);    /* that could fail, since then */
bool disk_has_failed(void); /* whether one did */

#endif
