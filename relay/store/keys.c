#include "relay/store/keys.h"

#define COLUMNS "id, user_name, sealed, status, created, last_used"

static int
no_such_key(const char *id, struct hw_err *err)
{
	return hw_err_set(err, HW_ENOTFOUND, "no access key %s", id);
}

int
key_insert(struct db *db, const struct key_row *row, struct hw_err *err)
{
	int64_t n = 0;

	int r = db_run(db, NULL, err,
		"INSERT INTO access_key (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6)", "ssssii",
		row->id, row->user, row->sealed, enum_text(&enum_KEY_STATUS, row->status),
		row->created, row->last_used);
	if (r == HW_EEXISTS)
		return hw_err_set(err, r, "there is an access key %s already", row->id);
	if (r == HW_ENOTFOUND)
		return hw_err_set(err, r, "no user %s", row->user);
	if (r < 0 ||
		(r = db_count(db, &n, err, "SELECT COUNT(*) FROM access_key WHERE user_name = $1",
			 "s", row->user)) < 0)
		return r;
	if (n > KEYS_OF_A_USER_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"%s has %d access keys already, and no more are allowed: remove one",
			row->user, KEYS_OF_A_USER_MAX);
	return 0;
}

int
key_next(struct query *q, struct key_row *ret, struct hw_err *err)
{
	char status[32];
	int r = query_step(q, err);

	if (r <= 0)
		return r;
	query_copy(q, 0, ret->id, sizeof(ret->id));
	query_copy(q, 1, ret->user, sizeof(ret->user));
	query_copy(q, 2, ret->sealed, sizeof(ret->sealed));
	query_copy(q, 3, status, sizeof(status));
	ret->status = enum_value(&enum_KEY_STATUS, status);
	ret->created = query_int(q, 4);
	ret->last_used = query_int(q, 5);
	return 1;
}

int
key_get(struct db *db, const char *id, struct key_row *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT " COLUMNS " FROM access_key WHERE id = $1", err);
	query_bind_text(&q, 1, id);
	if (r == 0)
		r = key_next(&q, ret, err);
	query_end(&q);
	if (r == 0)
		return no_such_key(id, err);
	return r < 0 ? r : 0;
}

int
key_list(struct query *q, struct db *db, const char *user, struct hw_err *err)
{
	int r = db_query(q, db,
		"SELECT " COLUMNS " FROM access_key WHERE user_name = $1 ORDER BY created, id",
		err);

	query_bind_text(q, 1, user);
	return r;
}

int
key_delete(struct db *db, const char *id, struct hw_err *err)
{
	int64_t n = 0;

	int r = db_run(db, &n, err, "DELETE FROM access_key WHERE id = $1", "s", id);
	return r == 0 && n == 0 ? no_such_key(id, err) : r;
}

int
key_set_status(struct db *db, const char *id, int status, struct hw_err *err)
{
	int64_t n = 0;

	int r = db_run(db, &n, err, "UPDATE access_key SET status = $2 WHERE id = $1", "ss", id,
		enum_text(&enum_KEY_STATUS, status));
	return r == 0 && n == 0 ? no_such_key(id, err) : r;
}

int
key_set_used(struct db *db, const char *id, int64_t when, struct hw_err *err)
{
	return db_run(db, NULL, err,
		"UPDATE access_key SET last_used = $2 WHERE id = $1 AND last_used < $2", "si", id,
		when);
}
