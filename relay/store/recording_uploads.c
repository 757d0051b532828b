#include "relay/store/recording_uploads.h"

#include <stdio.h>
#include <string.h>

int
recording_upload_insert(struct db *db, const char *session_id, int64_t now, struct hw_err *err)
{
	return db_run(db, NULL, err,
		"INSERT INTO recording_upload (session_id, status, since, attempts, next, reason)"
		" VALUES ($1, 'Pending', $2, 0, $2, '') ON CONFLICT (session_id) DO NOTHING",
		"si", session_id, now);
}

int
recording_upload_copied(struct db *db, const struct recording_copy *copy, struct hw_err *err)
{
	return db_run(db, NULL, err,
		"UPDATE recording_upload SET bucket = $2, object = $3, hash = $4, size = $5,"
		" number = $6, start = $7, wrapped = $8 WHERE session_id = $1",
		"ssssisss", copy->session_id, copy->bucket, copy->object, copy->hash, copy->size,
		copy->number, copy->start, copy->wrapped);
}

static int
read_copy(struct recording_copy *ret, struct query *q, struct hw_err *err)
{
	char status[32];
	int r = query_step(q, err);

	if (r <= 0)
		return r;
	query_copy(q, 0, ret->bucket, sizeof(ret->bucket));
	query_copy(q, 1, ret->object, sizeof(ret->object));
	query_copy(q, 2, ret->hash, sizeof(ret->hash));
	ret->size = query_int(q, 3);
	query_copy(q, 4, ret->number, sizeof(ret->number));
	query_copy(q, 5, ret->start, sizeof(ret->start));
	query_copy(q, 6, ret->wrapped, sizeof(ret->wrapped));
	query_copy(q, 7, status, sizeof(status));
	query_copy(q, 8, ret->reason, sizeof(ret->reason));
	ret->fetching = strcmp(status, "Fetch") == 0;
	ret->uploaded = ret->fetching || strcmp(status, "Success") == 0;
	return 1;
}

int
recording_upload_get(struct db *db, const char *session_id, struct recording_copy *ret,
	struct hw_err *err)
{
	struct query q;

	snprintf(ret->session_id, sizeof(ret->session_id), "%s", session_id);
	int r = db_query(&q, db,
		"SELECT bucket, object, hash, size, number, start, wrapped, status, reason"
		" FROM recording_upload WHERE session_id = $1",
		err);
	query_bind_text(&q, 1, session_id);
	if (r == 0 && (r = read_copy(ret, &q, err)) == 0)
		r = hw_err_set(err, HW_ENOTFOUND, "it is in no bucket");
	query_end(&q);
	return r < 0 ? r : 0;
}

int
recording_upload_fetch(struct db *db, const char *session_id, int64_t now, struct hw_err *err)
{
	return db_run(db, NULL, err,
		"UPDATE recording_upload SET status = 'Fetch', attempts = 0, next = $2, since = $2"
		" WHERE session_id = $1 AND status = 'Success'",
		"si", session_id, now);
}

int
recording_upload_fetched(struct db *db, const char *session_id, int64_t now, struct hw_err *err)
{
	int r = db_run(db, NULL, err,
		"UPDATE recording_upload SET fetched = $2 WHERE session_id = $1", "si", session_id,
		now);

	return r < 0 ? r
		     : db_run(db, NULL, err, "UPDATE session SET recording_gone = 0 WHERE id = $1",
			       "s", session_id);
}

int
recording_upload_count(struct db *db, int64_t *ret, struct hw_err *err)
{
	return db_count(db, ret, err,
		"SELECT COUNT(*) FROM recording_upload WHERE status IN ('Pending', 'Failed')", "");
}
