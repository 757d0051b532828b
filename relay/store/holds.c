#include "relay/store/holds.h"

#define COLUMNS                                                                       \
	"id, session_id, user_name, node_id, started_after, started_before, reason, " \
	"created_by, created"

int
hold_insert(struct db *db, const struct hold_row *row, struct hw_err *err)
{
	int64_t n = 0;
	int r = db_count(db, &n, err, "SELECT COUNT(*) FROM hold", "");

	if (r == 0 && n >= HOLDS_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"there are %d holds already, and no more are possible: lift some",
			HOLDS_MAX);
	if (r < 0)
		return r;
	return db_run(db, NULL, err,
		"INSERT INTO hold (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		"ssssiissi", row->id, row->session_id, row->user, row->node_id, row->after,
		row->before, row->reason, row->created_by, row->created);
}

int
hold_delete(struct db *db, const char *id, struct hw_err *err)
{
	int64_t n = 0;
	int r = db_run(db, &n, err, "DELETE FROM hold WHERE id = $1", "s", id);

	return r == 0 && n == 0 ? hw_err_set(err, HW_ENOTFOUND, "no hold %s", id) : r;
}

int
hold_list(struct query *q, struct db *db, const char *after_id, struct hw_err *err)
{
	int r = db_query(q, db, "SELECT " COLUMNS " FROM hold WHERE id > $1 ORDER BY id", err);

	query_bind_text(q, 1, after_id);
	return r;
}

int
hold_next(struct query *q, struct hold_row *ret, struct hw_err *err)
{
	int r = query_step(q, err);

	if (r <= 0)
		return r;
	query_copy(q, 0, ret->id, sizeof(ret->id));
	query_copy(q, 1, ret->session_id, sizeof(ret->session_id));
	query_copy(q, 2, ret->user, sizeof(ret->user));
	query_copy(q, 3, ret->node_id, sizeof(ret->node_id));
	ret->after = query_int(q, 4);
	ret->before = query_int(q, 5);
	query_copy(q, 6, ret->reason, sizeof(ret->reason));
	query_copy(q, 7, ret->created_by, sizeof(ret->created_by));
	ret->created = query_int(q, 8);
	return 1;
}

/* --- recordings ------------------------------------------------------------------------------- */

/* All that a hold says must be so. */
#define NOT_HELD                                                     \
	" AND NOT EXISTS (SELECT 1 FROM hold h"                      \
	" WHERE (h.session_id = '' OR h.session_id = s.id)"          \
	" AND (h.user_name = '' OR h.user_name = s.principal)"       \
	" AND (h.node_id = '' OR h.node_id = s.node_id)"             \
	" AND (h.started_after = 0 OR s.started >= h.started_after)" \
	" AND (h.started_before = 0 OR s.started < h.started_before))"

int
kept_next(struct kept_session *ret, struct db *db, const struct kept_session *after, int64_t before,
	struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db,
		"SELECT s.id, s.ended FROM session s WHERE s.live = 0 AND s.recording_gone = 0"
		" AND (s.ended, s.id) > ($1, $2) AND s.ended < $3" NOT_HELD
		" ORDER BY s.ended, s.id LIMIT 1",
		err);
	query_bind_int(&q, 1, after->ended);
	query_bind_text(&q, 2, after->id);
	query_bind_int(&q, 3, before);
	if (r == 0 && (r = query_step(&q, err)) == 1) {
		struct kept_session got;
		query_copy(&q, 0, got.id, sizeof(got.id));
		got.ended = query_int(&q, 1);
		*ret = got;
	}
	query_end(&q);
	return r;
}

int
kept_is_free(bool *ret, struct db *db, const char *session_id, struct hw_err *err)
{
	int64_t n = 0;
	int r = db_count(db, &n, err,
		"SELECT COUNT(*) FROM session s"
		" WHERE s.id = $1 AND s.live = 0 AND s.recording_gone = 0" NOT_HELD,
		"s", session_id);

	if (r == 0)
		*ret = n > 0;
	return r;
}

int
kept_forget(struct db *db, const char *session_id, int64_t now, struct hw_err *err)
{
	return db_run(db, NULL, err, "UPDATE session SET recording_gone = $1 WHERE id = $2", "is",
		now, session_id);
}

int
kept_gone(int64_t *when, struct db *db, const char *session_id, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT recording_gone FROM session WHERE id = $1", err);
	query_bind_text(&q, 1, session_id);
	*when = 0;
	if (r == 0 && (r = query_step(&q, err)) == 1)
		*when = query_int(&q, 0);
	query_end(&q);
	return r < 0 ? r : 0;
}
