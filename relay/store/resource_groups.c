#include "relay/store/resource_groups.h"

#define COLUMNS "name, description, created, updated, targets"

static int
no_such_group(const char *name, struct hw_err *err)
{
	return hw_err_set(err, HW_ENOTFOUND, "no resource group is named %.128s", name);
}

int
resource_group_insert(struct db *db, const struct resource_group_row *row, struct hw_err *err)
{
	int64_t n = 0;
	int r = db_run(db, NULL, err,
		"INSERT INTO resource_group (" COLUMNS ") VALUES ($1, $2, $3, $4, $5)", "ssiis",
		row->name, row->description, row->created, row->updated, row->targets);

	if (r == HW_EEXISTS)
		return hw_err_set(err, r, "there is a resource group %s already", row->name);
	if (r < 0 || (r = db_count(db, &n, err, "SELECT COUNT(*) FROM resource_group", "")) < 0)
		return r;
	if (n > RESOURCE_GROUPS_MAX)
		return hw_err_set(err, HW_ELIMIT,
			"there are %d resource groups already, and no more are allowed: remove one",
			RESOURCE_GROUPS_MAX);
	return 0;
}

int
resource_group_set(struct db *db, const struct resource_group_row *row, struct hw_err *err)
{
	int64_t n = 0;
	int r = db_run(db, &n, err,
		"UPDATE resource_group SET description = $2, updated = $3, targets = $4"
		" WHERE name = $1",
		"ssis", row->name, row->description, row->updated, row->targets);

	return r == 0 && n == 0 ? no_such_group(row->name, err) : r;
}

int
resource_group_next(struct query *q, struct arena *arena, struct resource_group_row *ret,
	struct hw_err *err)
{
	int r = query_step(q, err);

	if (r <= 0)
		return r;
	query_copy(q, 0, ret->name, sizeof(ret->name));
	query_copy(q, 1, ret->description, sizeof(ret->description));
	ret->created = query_int(q, 2);
	ret->updated = query_int(q, 3);
	ret->targets = query_text(q, 4, arena);
	return ret->targets != NULL ? 1 : hw_err_set(err, HW_ELIMIT, "no memory for a group");
}

int
resource_group_get(struct db *db, struct arena *arena, const char *name,
	struct resource_group_row *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT " COLUMNS " FROM resource_group WHERE name = $1", err);
	query_bind_text(&q, 1, name);
	if (r == 0 && (r = resource_group_next(&q, arena, ret, err)) == 0)
		r = no_such_group(name, err);
	query_end(&q);
	return r < 0 ? r : 0;
}

int
resource_group_delete(struct db *db, const char *name, struct hw_err *err)
{
	int64_t n = 0;
	int r = db_run(db, &n, err, "DELETE FROM resource_group WHERE name = $1", "s", name);

	return r == 0 && n == 0 ? no_such_group(name, err) : r;
}

int
resource_group_list(struct query *q, struct db *db, const char *after, struct hw_err *err)
{
	int r = db_query(q, db,
		"SELECT " COLUMNS " FROM resource_group WHERE name > $1 ORDER BY name", err);

	query_bind_text(q, 1, after);
	return r;
}
