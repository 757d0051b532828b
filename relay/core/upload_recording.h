/*
 * Recordings in a bucket: complete ones are put there as they lie on the disk, sealed, as
 * PREFIX/recordings/SESSION.rec, and can be fetched back when they were deleted here. Each of both
 * is an entry of the ledger. Blocks.
 */
#ifndef HAWSER_CORE_UPLOAD_RECORDING_H
#define HAWSER_CORE_UPLOAD_RECORDING_H

#include "proto/base/err.h"

struct s3;
struct store;
struct upload_row;
struct upload_source;

/* HW_ENOSESSION: there is none any more. HW_ECORRUPT: it is damaged. HW_EINTERRUPTED: it is being
 * completed. Else as s3_put(). */
int upload_recording_run(struct s3 *s3, const struct upload_source *from, struct upload_row *row,
	struct hw_err *err);

/* Back into its place; one that is there is left. HW_ECORRUPT: what the storage has is not what was
 * put there. Else as s3_get(). */
int upload_recording_fetch(struct s3 *s3, const struct upload_source *from, struct upload_row *row,
	struct hw_err *err);

/* Puts all complete recordings into the queue that are not in it, and removes what a fetch that was
 * killed has left. */
int upload_recordings_scan(const struct upload_source *from, struct hw_err *err);

/* Those sessions' recordings. */
int upload_recordings_insert(const struct upload_source *from, char (*ids)[97], size_t n,
	struct hw_err *err);

#endif
