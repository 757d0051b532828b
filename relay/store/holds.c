#include "relay/store/holds.h"

#define COLUMNS                                                                       \
	"id, session_id, user_name, node_id, started_after, started_before, reason, " \
	"created_by, created"

static int
check_name(struct db *db, const char *what, const char *name, const char *known, struct hw_err *err)
{
	int64_t n = 0;
	int r = name[0] != '\0' ? db_count(db, &n, err, known, "s", name) : 0;

	if (r < 0 || name[0] == '\0' || n > 0)
		return r;
	return hw_err_set(err, HW_ENOTFOUND,
		"there is no %s %s, and never was: a hold of it would keep nothing", what, name);
}

/* Names stay known when who had them is removed. */
int
hold_check(struct db *db, const struct hold_row *row, struct hw_err *err)
{
	int r = check_name(db, "session", row->session_id,
		"SELECT COUNT(*) FROM session WHERE id = $1", err);

	if (r == 0)
		r = check_name(db, "user", row->user,
			"SELECT COUNT(*) FROM user_name WHERE name = $1", err);
	return r < 0 ? r
		     : check_name(db, "node", row->node_id,
			       "SELECT COUNT(*) FROM node_id WHERE id = $1", err);
}

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

/* $4, $5: the rule. */
#define NOT_NEEDED                                                           \
	" AND NOT EXISTS (SELECT 1 FROM recording_upload u"                  \
	" WHERE u.session_id = s.id AND ((u.status <> 'Success' AND $4 = 1)" \
	" OR u.fetched >= $5))"

int
kept_next(struct kept_session *ret, struct db *db, const struct kept_session *after, int64_t before,
	const struct kept_rule *rule, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db,
		"SELECT s.id, s.ended FROM session s WHERE s.live = 0 AND s.recording_gone = 0"
		" AND (s.ended, s.id) > ($1, $2) AND s.ended < $3" NOT_HELD NOT_NEEDED
		" ORDER BY s.ended, s.id LIMIT 1",
		err);
	query_bind_int(&q, 1, after->ended);
	query_bind_text(&q, 2, after->id);
	query_bind_int(&q, 3, before);
	query_bind_int(&q, 4, rule->uploaded);
	query_bind_int(&q, 5, rule->fetched_after);
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
kept_is_free(bool *ret, bool *uploaded, struct db *db, const char *session_id,
	const struct kept_rule *rule, struct hw_err *err)
{
	int64_t n = 0, there = 0;
	int r = db_count(db, &n, err,
		"SELECT COUNT(*) FROM session s WHERE s.id = $1 AND s.live = $2"
		" AND s.recording_gone = $3" NOT_HELD NOT_NEEDED,
		"siiii", session_id, INT64_C(0), INT64_C(0), (int64_t)rule->uploaded,
		rule->fetched_after);

	if (r == 0)
		r = db_count(db, &there, err,
			"SELECT COUNT(*) FROM recording_upload"
			" WHERE session_id = $1 AND status = 'Success'",
			"s", session_id);
	if (r == 0) {
		*ret = n > 0;
		*uploaded = there > 0;
	}
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
