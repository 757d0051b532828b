#include "relay/store/activations.h"

#include <string.h>

#define COLUMNS "id, description, default_name, iam_role, uses, used, created, expires, created_by"

static int
no_such_activation(const char *id, struct hw_err *err)
{
	return hw_err_set(err, HW_EACTIVATIONID, "no activation %s", id);
}

int
activation_insert(struct db *db, const struct activation_row *row, const char *code_hash,
	struct hw_err *err)
{
	return db_run(db, NULL, err,
		"INSERT INTO activation (" COLUMNS ", code_hash) VALUES"
		" ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		"ssssiiiiss", row->id, row->description, row->default_name, row->iam_role,
		row->limit, row->used, row->created, row->expires, row->created_by, code_hash);
}

int
activation_next(struct query *q, struct activation_row *ret, struct hw_err *err)
{
	int r = query_step(q, err);

	if (r <= 0)
		return r;
	query_copy(q, 0, ret->id, sizeof(ret->id));
	query_copy(q, 1, ret->description, sizeof(ret->description));
	query_copy(q, 2, ret->default_name, sizeof(ret->default_name));
	query_copy(q, 3, ret->iam_role, sizeof(ret->iam_role));
	ret->limit = query_int(q, 4);
	ret->used = query_int(q, 5);
	ret->created = query_int(q, 6);
	ret->expires = query_int(q, 7);
	query_copy(q, 8, ret->created_by, sizeof(ret->created_by));
	return 1;
}

int
activation_get(struct db *db, const char *id, struct activation_row *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT " COLUMNS " FROM activation WHERE id = $1", err);
	query_bind_text(&q, 1, id);
	if (r == 0)
		r = activation_next(&q, ret, err);
	query_end(&q);
	if (r == 0)
		return no_such_activation(id, err);
	return r < 0 ? r : 0;
}

int
activation_delete(struct db *db, const char *id, struct hw_err *err)
{
	int64_t n = 0;

	int r = db_run(db, &n, err, "DELETE FROM activation WHERE id = $1", "s", id);
	return r == 0 && n == 0 ? no_such_activation(id, err) : r;
}

int
activation_list(struct query *q, struct db *db, int64_t created_below, const char *id_below,
	struct hw_err *err)
{
	int r = db_query(q, db,
		"SELECT " COLUMNS " FROM activation WHERE (created, id) < ($1, $2)"
		" ORDER BY created DESC, id DESC",
		err);

	query_bind_int(q, 1, created_below != 0 ? created_below : INT64_MAX);
	query_bind_text(q, 2, id_below);
	return r;
}

static int
refusal(struct db *db, const char *id, const char *code_hash, int64_t now, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT expires FROM activation WHERE id = $1 AND code_hash = $2",
		err);
	query_bind_text(&q, 1, id);
	query_bind_text(&q, 2, code_hash);
	if (r == 0 && (r = query_step(&q, err)) >= 0) {
		const char *why = r == 0	  ? "there is no activation with this id and code"
			: query_int(&q, 0) <= now ? "the activation has expired"
						  : "the activation is used up";
		r = hw_err_set(err, HW_EACTIVATION, "%s", why);
	}
	query_end(&q);
	return r;
}

int
activation_check(struct db *db, const char *id, const char *code_hash, int64_t now,
	struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db,
		"SELECT id FROM activation WHERE id = $1 AND code_hash = $2 AND used < uses"
		" AND expires > $3",
		err);
	query_bind_text(&q, 1, id);
	query_bind_text(&q, 2, code_hash);
	query_bind_int(&q, 3, now);
	if (r == 0)
		r = query_step(&q, err);
	query_end(&q);
	if (r == 0)
		return refusal(db, id, code_hash, now, err);
	return r < 0 ? r : 0;
}

int
activation_redeem(struct db *db, const char *id, const char *code_hash, int64_t now,
	struct activation_row *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db,
		"UPDATE activation SET used = used + 1 WHERE id = $1 AND code_hash = $2"
		" AND used < uses AND expires > $3 RETURNING " COLUMNS,
		err);
	query_bind_text(&q, 1, id);
	query_bind_text(&q, 2, code_hash);
	query_bind_int(&q, 3, now);
	if (r == 0)
		r = activation_next(&q, ret, err);
	query_end(&q);
	if (r == 0)
		return refusal(db, id, code_hash, now, err);
	return r < 0 ? r : 0;
}
