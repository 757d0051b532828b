#include "relay/store/policies.h"

#include <stdio.h>
#include <string.h>

#include "relay/store/groups.h"
#include "relay/store/users.h"

#define COLUMNS "name, description, created, updated, document"
#define SQL_MAX 512

static int
no_such_policy(const char *name, struct hw_err *err)
{
	return hw_err_set(err, HW_ENOTFOUND, "no policy %s", name);
}

int
policy_put(struct db *db, const struct policy_row *row, struct hw_err *err)
{
	int64_t n = 0;
	int r;

	if (strlen(row->document) > POLICY_DOCUMENT_MAX)
		return hw_err_set(err, HW_ELIMIT, "a policy has %d bytes at most, and %s has more",
			POLICY_DOCUMENT_MAX, row->name);
	if ((r = db_run(db, NULL, err,
		     "INSERT INTO policy (" COLUMNS ") VALUES ($1, $2, $3, $4, $5)"
		     " ON CONFLICT (name) DO UPDATE SET"
		     " description = CASE excluded.description WHEN '' THEN policy.description"
		     " ELSE excluded.description END,"
		     " updated = excluded.updated, document = excluded.document",
		     "ssiis", row->name, row->description, row->created, row->updated,
		     row->document)) < 0 ||
		(r = db_count(db, &n, err, "SELECT COUNT(*) FROM policy", "")) < 0)
		return r;
	if (n > POLICIES_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"there are %d policies already, and no more are allowed: remove one",
			POLICIES_MAX);
	return 0;
}

int
policy_next(struct query *q, struct arena *arena, struct policy_row *ret, struct hw_err *err)
{
	int r = query_step(q, err);

	if (r <= 0)
		return r;
	query_copy(q, 0, ret->name, sizeof(ret->name));
	query_copy(q, 1, ret->description, sizeof(ret->description));
	ret->created = query_int(q, 2);
	ret->updated = query_int(q, 3);
	ret->document = arena != NULL ? query_text(q, 4, arena) : NULL;
	if (arena != NULL && ret->document == NULL)
		return hw_err_set(err, HW_ELIMIT, "no memory for a policy");
	return 1;
}

int
policy_get(struct db *db, struct arena *arena, const char *name, struct policy_row **ret,
	struct hw_err *err)
{
	struct policy_row *row = arena_alloc(arena, sizeof(*row));
	struct query q;

	if (row == NULL)
		return hw_err_set(err, HW_ELIMIT, "no memory for a policy");
	int r = db_query(&q, db, "SELECT " COLUMNS " FROM policy WHERE name = $1", err);
	query_bind_text(&q, 1, name);
	if (r == 0)
		r = policy_next(&q, arena, row, err);
	query_end(&q);
	if (r == 0)
		return no_such_policy(name, err);
	if (r > 0)
		*ret = row;
	return r < 0 ? r : 0;
}

int
policy_check(struct db *db, const char *name, struct hw_err *err)
{
	int64_t n = 0;

	int r = db_count(db, &n, err, "SELECT COUNT(*) FROM policy WHERE name = $1", "s", name);
	return r == 0 && n == 0 ? no_such_policy(name, err) : r;
}

int
policy_list(struct query *q, struct db *db, const char *after, struct hw_err *err)
{
	int r = db_query(q, db, "SELECT " COLUMNS " FROM policy WHERE name > $1 ORDER BY name",
		err);

	query_bind_text(q, 1, after);
	return r;
}

static const char *
holder_text(enum holder_kind kind)
{
	return kind == HOLDER_USER ? "user" : "group";
}

int
policy_delete(struct db *db, const char *name, struct hw_err *err)
{
	struct attachment_row held;
	struct query q;
	int64_t n = 0;

	int r = attachment_list(&q, db, name, -1, NULL, err);
	if (r == 0)
		r = attachment_next(&q, &held, err);
	query_end(&q);
	if (r > 0)
		return hw_err_set(err, HW_ECONFLICT,
			"%s is attached to the %s %s: detach it everywhere first", name,
			holder_text(held.kind), held.name);
	if (r < 0 || (r = db_run(db, &n, err, "DELETE FROM policy WHERE name = $1", "s", name)) < 0)
		return r;
	return n > 0 ? 0 : no_such_policy(name, err);
}

/* --- attachments ------------------------------------------------------------------------------ */

/* One column of the two has the holder's name, the other is NULL: the database checks that the
 * holder is there, and takes the attachment away with it. */
struct holder_sql {
	const char *add, *remove, *count;
};

static const struct holder_sql sql_of[] = {
	[HOLDER_USER] =
		{
			       "INSERT INTO attachment (policy, user_name) VALUES ($1, $2)"
			" ON CONFLICT (policy, user_name) DO NOTHING", "DELETE FROM attachment WHERE policy = $1 AND user_name = $2",
			       "SELECT COUNT(*) FROM attachment WHERE user_name = $1", },
	[HOLDER_GROUP] =
		{
			       "INSERT INTO attachment (policy, group_name) VALUES ($1, $2)"
			" ON CONFLICT (policy, group_name) DO NOTHING",				     "DELETE FROM attachment WHERE policy = $1 AND group_name = $2",
			       "SELECT COUNT(*) FROM attachment WHERE group_name = $1", },
};

static int
check_holder(struct db *db, enum holder_kind kind, const char *name, struct hw_err *err)
{
	struct user_row user;
	struct group_row group;

	return kind == HOLDER_USER ? user_get(db, name, &user, err)
				   : group_get(db, name, &group, err);
}

static int
check_bounds(struct db *db, const char *policy, enum holder_kind kind, const char *name,
	struct hw_err *err)
{
	int64_t n = 0;
	int r;

	if ((r = db_count(db, &n, err, sql_of[kind].count, "s", name)) < 0)
		return r;
	if (n > POLICIES_OF_ONE_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"the %s %s has %d policies already, and no more are allowed: detach one",
			holder_text(kind), name, POLICIES_OF_ONE_MAX);
	if ((r = db_count(db, &n, err, "SELECT COUNT(user_name) FROM attachment WHERE policy = $1",
		     "s", policy)) < 0)
		return r;
	if (n > POLICY_USERS_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"%s is attached to %d users already, and no more are allowed: attach it to a group",
			policy, POLICY_USERS_MAX);
	return 0;
}

int
attachment_add(struct db *db, const char *policy, enum holder_kind kind, const char *name,
	struct hw_err *err)
{
	int r;

	if ((r = check_holder(db, kind, name, err)) < 0 ||
		(r = db_run(db, NULL, err, sql_of[kind].add, "ss", policy, name)) < 0)
		return r;
	return check_bounds(db, policy, kind, name, err);
}

int
attachment_remove(struct db *db, const char *policy, enum holder_kind kind, const char *name,
	struct hw_err *err)
{
	int64_t n = 0;
	int r;

	if ((r = check_holder(db, kind, name, err)) < 0 ||
		(r = db_run(db, &n, err, sql_of[kind].remove, "ss", policy, name)) < 0)
		return r;
	return n > 0 ? 0
		     : hw_err_set(err, HW_ENOTFOUND, "%s is not attached to the %s %s", policy,
			       holder_text(kind), name);
}

int
attachment_list(struct query *q, struct db *db, const char *policy, int kind, const char *name,
	struct hw_err *err)
{
	static const char *const by_name[] = {
		" AND (user_name = $2 OR group_name = $2)",
		" AND user_name = $2",
		" AND group_name = $2",
	};
	static const char *const by_kind[] = {
		"", " AND user_name IS NOT NULL", " AND group_name IS NOT NULL"};
	char sql[SQL_MAX];

	hw_assert(kind >= -1 && kind <= HOLDER_GROUP);
	snprintf(sql, sizeof(sql),
		"SELECT policy, user_name, group_name FROM attachment WHERE 1 = 1%s%s"
		" ORDER BY policy, CASE WHEN user_name IS NULL THEN 1 ELSE 0 END, user_name,"
		" group_name",
		policy != NULL ? " AND policy = $1" : "",
		name != NULL ? by_name[kind + 1] : by_kind[kind + 1]);
	int r = db_query(q, db, sql, err);
	if (policy != NULL)
		query_bind_text(q, 1, policy);
	if (name != NULL)
		query_bind_text(q, 2, name);
	return r;
}

int
attachment_next(struct query *q, struct attachment_row *ret, struct hw_err *err)
{
	int r = query_step(q, err);

	if (r <= 0)
		return r;
	query_copy(q, 0, ret->policy, sizeof(ret->policy));
	ret->kind = query_is_null(q, 1) ? HOLDER_GROUP : HOLDER_USER;
	query_copy(q, ret->kind == HOLDER_USER ? 1 : 2, ret->name, sizeof(ret->name));
	return 1;
}

/* The way of the first begins at the user, that of the second at the policy. */
static const char reaches_one[] =
	"SELECT u.name FROM user_account u WHERE u.name = $2 AND u.disabled = 0 AND ("
	"EXISTS (SELECT 1 FROM attachment a WHERE a.policy = $1 AND a.user_name = u.name)"
	" OR EXISTS (SELECT 1 FROM group_member m JOIN attachment a"
	" ON a.group_name = m.group_name WHERE m.user_name = u.name AND a.policy = $1))";
static const char reaches_any[] =
	"SELECT u.name FROM user_account u WHERE u.disabled = 0 AND ("
	"u.name IN (SELECT a.user_name FROM attachment a WHERE a.policy = $1"
	" AND a.user_name IS NOT NULL)"
	" OR u.name IN (SELECT m.user_name FROM attachment a JOIN group_member m"
	" ON m.group_name = a.group_name WHERE a.policy = $1)) LIMIT 1";

int
attachment_reaches(struct db *db, const char *policy, const char *user, bool *ret,
	struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, user != NULL ? reaches_one : reaches_any, err);
	query_bind_text(&q, 1, policy);
	if (user != NULL)
		query_bind_text(&q, 2, user);
	if (r == 0 && (r = query_step(&q, err)) >= 0) {
		*ret = r > 0;
		r = 0;
	}
	query_end(&q);
	return r;
}
