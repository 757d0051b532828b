/*
 * Recordings that go to a bucket: their rows of the queue (relay/store/uploads.h), and what has to
 * be known of a copy to check it and to open it. All functions run inside store_read() or
 * store_write().
 */
#ifndef HAWSER_STORE_RECORDING_UPLOADS_H
#define HAWSER_STORE_RECORDING_UPLOADS_H

#include "relay/store/db.h"

/* A recording in its bucket. The key that seals it is wrapped by the relay's master key as it is
 * now, which may be another one than that of the copy's own head. */
struct recording_copy {
	char session_id[97];
	char bucket[64], object[1025]; /* the object's key */
	char hash[65];		       /* hex: the recording's, which the ledger has */
	int64_t size;
	char number[17], start[17]; /* hex: of its head */
	char wrapped[81];	    /* base64 */
	/* Not written by recording_upload_copied(). */
	bool uploaded, fetching;
	char reason[385]; /* why it could not be fetched, or uploaded, the last time */
};

/* It waits from now on, unless it is known. */
int recording_upload_insert(struct db *db, const char *session_id, int64_t now, struct hw_err *err);
/* It is in its bucket: what is known of that. Its status is upload_set()'s. */
int recording_upload_copied(struct db *db, const struct recording_copy *copy, struct hw_err *err);
/* HW_ENOTFOUND: it has no row. */
int recording_upload_get(struct db *db, const char *session_id, struct recording_copy *ret,
	struct hw_err *err);
/* It is to come back, if it is there. */
int recording_upload_fetch(struct db *db, const char *session_id, int64_t now, struct hw_err *err);
/* It is back, and can be deleted again. */
int recording_upload_fetched(struct db *db, const char *session_id, int64_t now,
	struct hw_err *err);
/* How many are not in their bucket: wait, or were given up. */
int recording_upload_count(struct db *db, int64_t *ret, struct hw_err *err);

#endif
