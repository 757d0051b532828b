#include "relay/store/groups.h"

#include "relay/store/users.h"

static int
no_such_group(const char *name, struct hw_err *err)
{
	return hw_err_set(err, HW_ENOTFOUND, "no group %s", name);
}

int
group_next(struct query *q, struct group_row *ret, struct hw_err *err)
{
	int r = query_step(q, err);

	if (r <= 0)
		return r;
	query_copy(q, 0, ret->name, sizeof(ret->name));
	ret->created = query_int(q, 1);
	return 1;
}

int
group_get(struct db *db, const char *name, struct group_row *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT name, created FROM user_group WHERE name = $1", err);
	query_bind_text(&q, 1, name);
	if (r == 0)
		r = group_next(&q, ret, err);
	query_end(&q);
	if (r == 0)
		return no_such_group(name, err);
	return r < 0 ? r : 0;
}

int
group_insert(struct db *db, const struct group_row *row, struct hw_err *err)
{
	int64_t n = 0;
	int r;

	if ((r = db_run(db, NULL, err, "INSERT INTO user_group (name, created) VALUES ($1, $2)",
		     "si", row->name, row->created)) == HW_EEXISTS)
		return hw_err_set(err, r, "there is a group %s already", row->name);
	if (r < 0 || (r = db_count(db, &n, err, "SELECT COUNT(*) FROM user_group", "")) < 0)
		return r;
	if (n > GROUPS_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"there are %d groups already, and no more are allowed: remove one",
			GROUPS_MAX);
	return 0;
}

int
group_delete(struct db *db, const char *name, struct hw_err *err)
{
	int64_t n = 0;

	int r = db_run(db, &n, err, "DELETE FROM user_group WHERE name = $1", "s", name);
	return r == 0 && n == 0 ? no_such_group(name, err) : r;
}

int
group_list(struct query *q, struct db *db, const char *after, struct hw_err *err)
{
	int r = db_query(q, db,
		"SELECT name, created FROM user_group WHERE name > $1 ORDER BY name", err);

	query_bind_text(q, 1, after);
	return r;
}

/* --- members ---------------------------------------------------------------------------------- */

static int
check_both(struct db *db, const char *group, const char *user, struct hw_err *err)
{
	struct group_row g;
	struct user_row u;
	int r = group_get(db, group, &g, err);

	return r < 0 ? r : user_get(db, user, &u, err);
}

static int
check_bounds(struct db *db, const char *group, const char *user, struct hw_err *err)
{
	int64_t n = 0;
	int r;

	if ((r = db_count(db, &n, err, "SELECT COUNT(*) FROM group_member WHERE group_name = $1",
		     "s", group)) < 0)
		return r;
	if (n > GROUP_MEMBERS_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"the group %s has %d users already, and no more are allowed: make another",
			group, GROUP_MEMBERS_MAX);
	if ((r = db_count(db, &n, err, "SELECT COUNT(*) FROM group_member WHERE user_name = $1",
		     "s", user)) < 0)
		return r;
	if (n > GROUPS_OF_A_USER_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"%s is in %d groups already, and no more are allowed: take it out of one",
			user, GROUPS_OF_A_USER_MAX);
	return 0;
}

int
member_add(struct db *db, const char *group, const char *user, struct hw_err *err)
{
	int r;

	if ((r = check_both(db, group, user, err)) < 0 ||
		(r = db_run(db, NULL, err,
			 "INSERT INTO group_member (group_name, user_name) VALUES ($1, $2)"
			 " ON CONFLICT (group_name, user_name) DO NOTHING",
			 "ss", group, user)) < 0)
		return r;
	return check_bounds(db, group, user, err);
}

int
member_remove(struct db *db, const char *group, const char *user, struct hw_err *err)
{
	int64_t n = 0;
	int r;

	if ((r = check_both(db, group, user, err)) < 0 ||
		(r = db_run(db, &n, err,
			 "DELETE FROM group_member WHERE group_name = $1 AND user_name = $2", "ss",
			 group, user)) < 0)
		return r;
	return n > 0 ? 0 : hw_err_set(err, HW_ENOTFOUND, "%s is not in the group %s", user, group);
}

#define MEMBERS "SELECT group_name, user_name FROM group_member"
#define ORDER	" ORDER BY group_name, user_name"

int
member_list(struct query *q, struct db *db, const char *group, const char *user, struct hw_err *err)
{
	static const char *const sql[2][2] = {
		{MEMBERS ORDER,				MEMBERS " WHERE user_name = $2" ORDER},
		{MEMBERS " WHERE group_name = $1" ORDER,
			MEMBERS " WHERE group_name = $1 AND user_name = $2" ORDER			 },
	};
	int r = db_query(q, db, sql[group != NULL][user != NULL], err);

	if (group != NULL)
		query_bind_text(q, 1, group);
	if (user != NULL)
		query_bind_text(q, 2, user);
	return r;
}

int
member_next(struct query *q, struct member_row *ret, struct hw_err *err)
{
	int r = query_step(q, err);

	if (r <= 0)
		return r;
	query_copy(q, 0, ret->group, sizeof(ret->group));
	query_copy(q, 1, ret->user, sizeof(ret->user));
	return 1;
}
