#include "relay/store/uploads.h"

#include "proto/schema/schema.h"

#define COLUMNS "command_id, node_id, status, since, attempts, next, reason"

int
upload_insert(struct db *db, const char *command_id, const char *node_id, int64_t since,
	struct hw_err *err)
{
	return db_run(db, NULL, err,
		"INSERT INTO upload (" COLUMNS ") VALUES ($1, $2, $3, $4, 0, $4, '')"
		" ON CONFLICT (command_id, node_id) DO NOTHING",
		"sssi", command_id, node_id, enum_text(&enum_UPLOAD_STATUS, UPLOAD_STATUS_PENDING),
		since);
}

int
upload_set(struct db *db, const struct upload_row *row, struct hw_err *err)
{
	return db_run(db, NULL, err,
		"UPDATE upload SET status = $3, attempts = $4, next = $5, reason = $6"
		" WHERE command_id = $1 AND node_id = $2",
		"sssiis", row->command_id, row->node_id,
		enum_text(&enum_UPLOAD_STATUS, row->status), row->attempts, row->next, row->reason);
}

int
upload_next(struct query *q, struct upload_row *ret, struct hw_err *err)
{
	char word[32];
	int r = query_step(q, err);

	if (r <= 0)
		return r;
	query_copy(q, 0, ret->command_id, sizeof(ret->command_id));
	query_copy(q, 1, ret->node_id, sizeof(ret->node_id));
	query_copy(q, 2, word, sizeof(word));
	ret->status = enum_value(&enum_UPLOAD_STATUS, word);
	ret->since = query_int(q, 3);
	ret->attempts = query_int(q, 4);
	ret->next = query_int(q, 5);
	query_copy(q, 6, ret->reason, sizeof(ret->reason));
	return 1;
}

int
upload_get(struct db *db, const char *command_id, const char *node_id, struct upload_row *ret,
	struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db,
		"SELECT " COLUMNS " FROM upload WHERE command_id = $1 AND node_id = $2", err);
	query_bind_text(&q, 1, command_id);
	query_bind_text(&q, 2, node_id);
	if (r == 0 && (r = upload_next(&q, ret, err)) == 0)
		r = hw_err_set(err, HW_EINVOCATION, "nothing of it is uploaded");
	query_end(&q);
	return r < 0 ? r : 0;
}

int
upload_list_due(struct query *q, struct db *db, int64_t now, size_t max, struct hw_err *err)
{
	int r = db_query(q, db,
		"SELECT " COLUMNS " FROM upload WHERE status = 'Pending' AND next <= $1"
		" ORDER BY next LIMIT $2",
		err);

	query_bind_int(q, 1, now);
	query_bind_int(q, 2, (int64_t)max);
	return r;
}

int
upload_count(struct db *db, int status, int64_t *ret, struct hw_err *err)
{
	return db_count(db, ret, err, "SELECT COUNT(*) FROM upload WHERE status = $1", "s",
		enum_text(&enum_UPLOAD_STATUS, status));
}
