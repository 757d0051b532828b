#include "relay/store/users.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/clock.h"

#define COLUMNS "name, type, disabled, created, valid_from, last_login, last_used"

static int
no_such_user(const char *name, struct hw_err *err)
{
	return hw_err_set(err, HW_ENOTFOUND, "no user %s", name);
}

static int64_t
whole_seconds(int64_t t)
{
	return t - t % USEC_PER_SEC;
}

/* When the name was last given up; 0 for never. */
static int
name_removed(struct db *db, const char *name, int64_t *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT removed FROM user_name WHERE name = $1", err);
	query_bind_text(&q, 1, name);
	if (r == 0 && (r = query_step(&q, err)) >= 0) {
		*ret = r > 0 ? query_int(&q, 0) : 0;
		r = 0;
	}
	query_end(&q);
	return r;
}

int
user_insert(struct db *db, struct user_row *row, struct hw_err *err)
{
	int64_t removed = 0;
	int r;

	if (row->type == USER_TYPE_NONE)
		row->type = USER_TYPE_USER;
	if ((r = name_removed(db, row->name, &removed, err)) < 0)
		return r;
	row->valid_from = whole_seconds(row->created);
	/* Certificates count in seconds: one of the second in which the earlier user went must not
	 * fit. */
	if (removed != 0 && row->valid_from <= whole_seconds(removed))
		row->valid_from = whole_seconds(removed) + USEC_PER_SEC;
	if ((r = db_run(db, NULL, err,
		     "INSERT INTO user_name (name, removed) VALUES ($1, 0)"
		     " ON CONFLICT (name) DO NOTHING",
		     "s", row->name)) < 0)
		return r;
	r = db_run(db, NULL, err,
		"INSERT INTO user_account (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7)",
		"ssiiiii", row->name, enum_text(&enum_USER_TYPE, row->type), (int64_t)row->disabled,
		row->created, row->valid_from, row->last_login, row->last_used);
	return r == HW_EEXISTS ? hw_err_set(err, r, "there is a user %s already", row->name) : r;
}

int
user_next(struct query *q, struct user_row *ret, struct hw_err *err)
{
	char type[32];
	int r = query_step(q, err);

	if (r <= 0)
		return r;
	query_copy(q, 0, ret->name, sizeof(ret->name));
	query_copy(q, 1, type, sizeof(type));
	ret->type = enum_value(&enum_USER_TYPE, type);
	ret->disabled = query_int(q, 2) != 0;
	ret->created = query_int(q, 3);
	ret->valid_from = query_int(q, 4);
	ret->last_login = query_int(q, 5);
	ret->last_used = query_int(q, 6);
	return 1;
}

int
user_get(struct db *db, const char *name, struct user_row *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT " COLUMNS " FROM user_account WHERE name = $1", err);
	query_bind_text(&q, 1, name);
	if (r == 0)
		r = user_next(&q, ret, err);
	query_end(&q);
	if (r == 0)
		return no_such_user(name, err);
	return r < 0 ? r : 0;
}

int
user_list(struct query *q, struct db *db, const char *after, struct hw_err *err)
{
	int r = db_query(q, db,
		"SELECT " COLUMNS " FROM user_account WHERE name > $1 ORDER BY name", err);

	query_bind_text(q, 1, after);
	return r;
}

/* A certificate of when the relay's clock was ahead begins later than now, and counts already; one
 * that begins later than AHEAD_MAX from now does not. */
#define AHEAD_MAX (24 * 3600 * USEC_PER_SEC)

static int64_t
last_known(const struct user_row *row, int64_t now)
{
	int64_t last = row->last_login > row->last_used ? row->last_login : row->last_used;

	if (last <= now)
		return now;
	return last - now < AHEAD_MAX ? last : now + AHEAD_MAX;
}

int
user_delete(struct db *db, const char *name, int64_t now, struct hw_err *err)
{
	struct user_row row;
	int r;

	if ((r = user_get(db, name, &row, err)) < 0 ||
		(r = db_run(db, NULL, err, "DELETE FROM user_account WHERE name = $1", "s", name)) <
			0)
		return r;
	return db_run(db, NULL, err, "UPDATE user_name SET removed = $2 WHERE name = $1", "si",
		name, last_known(&row, now));
}

int
user_set_login(struct db *db, const char *name, int64_t when, struct hw_err *err)
{
	int64_t n = 0;

	int r = db_run(db, &n, err, "UPDATE user_account SET last_login = $2 WHERE name = $1", "si",
		name, when);
	return r == 0 && n == 0 ? no_such_user(name, err) : r;
}

int
user_set_disabled(struct db *db, const char *name, bool disabled, struct hw_err *err)
{
	int64_t n = 0;

	int r = db_run(db, &n, err, "UPDATE user_account SET disabled = $2 WHERE name = $1", "si",
		name, (int64_t)disabled);
	return r == 0 && n == 0 ? no_such_user(name, err) : r;
}

int
user_set_used(struct db *db, const char *name, int64_t when, struct hw_err *err)
{
	return db_run(db, NULL, err,
		"UPDATE user_account SET last_used = $2 WHERE name = $1 AND last_used < $2", "si",
		name, when);
}

/* --- invites ---------------------------------------------------------------------------------- */

int
invite_put(struct db *db, const char *user, const char *hash, int64_t expires, struct hw_err *err)
{
	int r = db_run(db, NULL, err,
		"INSERT INTO invite (user_name, hash, expires, used) VALUES ($1, $2, $3, 0)"
		" ON CONFLICT (user_name) DO UPDATE SET"
		" hash = excluded.hash, expires = excluded.expires, used = 0",
		"ssi", user, hash, expires);

	return r == HW_ENOTFOUND ? no_such_user(user, err) : r;
}

#define ENABLED " AND user_name IN (SELECT name FROM user_account WHERE disabled = 0)"

/* Only who holds the invite learns which it was. */
static int
invite_refusal(struct db *db, const char *hash, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db,
		"SELECT i.used, u.disabled FROM invite i"
		" JOIN user_account u ON u.name = i.user_name WHERE i.hash = $1",
		err);
	query_bind_text(&q, 1, hash);
	if (r == 0 && (r = query_step(&q, err)) >= 0) {
		const char *why = r == 0	? "the invite is not known; ask for a new one"
			: query_int(&q, 0) != 0 ? "the invite was used already; ask for a new one"
			: query_int(&q, 1) != 0 ? "the user is disabled"
						: "the invite has expired; ask for a new one";
		r = hw_err_set(err, HW_EINVITE, "%s", why);
	}
	query_end(&q);
	return r;
}

int
invite_check(struct db *db, const char *hash, int64_t now, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db,
		"SELECT user_name FROM invite WHERE hash = $1 AND used = 0 AND expires > $2" ENABLED,
		err);
	query_bind_text(&q, 1, hash);
	query_bind_int(&q, 2, now);
	if (r == 0)
		r = query_step(&q, err);
	query_end(&q);
	if (r == 0)
		return invite_refusal(db, hash, err);
	return r < 0 ? r : 0;
}

int
invite_redeem(struct db *db, const char *hash, int64_t now, char user[65], struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db,
		"UPDATE invite SET used = $2 WHERE hash = $1 AND used = 0 AND expires > $2" ENABLED
		" RETURNING user_name",
		err);
	query_bind_text(&q, 1, hash);
	query_bind_int(&q, 2, now);
	if (r == 0 && (r = query_step(&q, err)) > 0)
		query_copy(&q, 0, user, 65);
	query_end(&q);
	if (r == 0)
		return invite_refusal(db, hash, err);
	return r < 0 ? r : 0;
}
