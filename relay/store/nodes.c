#include "relay/store/nodes.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/buf.h"

#define COLUMNS                                                                       \
	"id, name, serial, serial_before, activation_id, iam_role, registered, seen," \
	" agent_version, computer_name, ip_address, ip_addresses, platform_name,"     \
	" platform_version, kernel, architecture, lost_since, authority"

#define SQL_MAX (1024 * 1024)

static int
no_such_node(const char *id, struct hw_err *err)
{
	return hw_err_set(err, HW_ENODE, "no node %s", id);
}

int
node_insert(struct db *db, const struct node_row *row, struct hw_err *err)
{
	int r;

	if ((r = db_run(db, NULL, err, "INSERT INTO node_id (id, removed) VALUES ($1, $2)", "si",
		     row->id, INT64_C(0))) < 0)
		return r;
	return db_run(db, NULL, err,
		"INSERT INTO node (" COLUMNS ") VALUES"
		" ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
		" $18)",
		"ssssssiissssssssii", row->id, row->name, row->serial, row->serial_before,
		row->activation_id, row->iam_role, row->registered, row->seen, row->agent_version,
		row->computer_name, row->ip_address, row->ip_addresses, row->platform_name,
		row->platform_version, row->kernel, row->architecture, row->lost_since,
		row->authority);
}

static void
node_read(struct node_row *ret, struct query *q)
{
	query_copy(q, 0, ret->id, sizeof(ret->id));
	query_copy(q, 1, ret->name, sizeof(ret->name));
	query_copy(q, 2, ret->serial, sizeof(ret->serial));
	query_copy(q, 3, ret->serial_before, sizeof(ret->serial_before));
	query_copy(q, 4, ret->activation_id, sizeof(ret->activation_id));
	query_copy(q, 5, ret->iam_role, sizeof(ret->iam_role));
	ret->registered = query_int(q, 6);
	ret->seen = query_int(q, 7);
	query_copy(q, 8, ret->agent_version, sizeof(ret->agent_version));
	query_copy(q, 9, ret->computer_name, sizeof(ret->computer_name));
	query_copy(q, 10, ret->ip_address, sizeof(ret->ip_address));
	query_copy(q, 11, ret->ip_addresses, sizeof(ret->ip_addresses));
	query_copy(q, 12, ret->platform_name, sizeof(ret->platform_name));
	query_copy(q, 13, ret->platform_version, sizeof(ret->platform_version));
	query_copy(q, 14, ret->kernel, sizeof(ret->kernel));
	query_copy(q, 15, ret->architecture, sizeof(ret->architecture));
	ret->lost_since = query_int(q, 16);
	ret->authority = query_int(q, 17);
}

int
node_next(struct query *q, struct node_row *ret, struct hw_err *err)
{
	int r = query_step(q, err);

	if (r > 0)
		node_read(ret, q);
	return r;
}

int
node_get(struct db *db, const char *id, struct node_row *ret, struct hw_err *err)
{
	struct query q;

	int r = db_query(&q, db, "SELECT " COLUMNS " FROM node WHERE id = $1", err);
	query_bind_text(&q, 1, id);
	if (r == 0)
		r = node_next(&q, ret, err);
	query_end(&q);
	if (r == 0)
		return no_such_node(id, err);
	return r < 0 ? r : 0;
}

/* A change of one node by its id: HW_ENODE when it changed none. */
static int
one(int r, int64_t changes, const char *id, struct hw_err *err)
{
	return r == 0 && changes == 0 ? no_such_node(id, err) : r;
}

int
node_delete(struct db *db, const char *id, int64_t now, struct hw_err *err)
{
	int64_t n = 0;

	int r = db_run(db, &n, err, "DELETE FROM node WHERE id = $1", "s", id);
	if ((r = one(r, n, id, err)) < 0)
		return r;
	return db_run(db, NULL, err, "UPDATE node_id SET removed = $2 WHERE id = $1", "si", id,
		now);
}

int
node_set_facts(struct db *db, const struct node_row *row, struct hw_err *err)
{
	int64_t n = 0;

	int r = db_run(db, &n, err,
		"UPDATE node SET agent_version = $2, computer_name = $3, ip_address = $4,"
		" ip_addresses = $5, platform_name = $6, platform_version = $7, kernel = $8,"
		" architecture = $9, seen = $10 WHERE id = $1",
		"sssssssssi", row->id, row->agent_version, row->computer_name, row->ip_address,
		row->ip_addresses, row->platform_name, row->platform_version, row->kernel,
		row->architecture, row->seen);
	return one(r, n, row->id, err);
}

int
node_set_seen(struct db *db, const char *id, int64_t when, struct hw_err *err)
{
	return db_run(db, NULL, err, "UPDATE node SET seen = $2 WHERE id = $1 AND seen < $2", "si",
		id, when);
}

int
node_set_serial(struct db *db, const char *id, const char *asker, const char *serial,
	int64_t authority, struct hw_err *err)
{
	int64_t n = 0;

	int r = db_run(db, &n, err,
		"UPDATE node SET serial_before = $2, serial = $3, authority = $4, lost_since = 0"
		" WHERE id = $1",
		"sssi", id, asker, serial, authority);
	return one(r, n, id, err);
}

int
node_adopt_serial(struct db *db, bool *changed, const char *id, const char *serial,
	struct hw_err *err)
{
	int64_t n = 0;

	int r = db_run(db, &n, err,
		"UPDATE node SET serial_before = '', serial = $2, lost_since = 0"
		" WHERE id = $1 AND lost_since <> 0",
		"ss", id, serial);
	*changed = r == 0 && n > 0;
	return r;
}

int
node_set_all_lost(struct db *db, int64_t since, struct hw_err *err)
{
	return db_run(db, NULL, err, "UPDATE node SET lost_since = $1", "i", since);
}

int
node_forget_serial(struct db *db, bool *changed, const char *id, const char *newest,
	struct hw_err *err)
{
	int64_t n = 0;

	int r = db_run(db, &n, err,
		"UPDATE node SET serial_before = ''"
		" WHERE id = $1 AND serial = $2 AND serial_before <> ''",
		"ss", id, newest);
	*changed = r == 0 && n > 0;
	return r;
}

/* --- lists ------------------------------------------------------------------------------------ */

static const char *const columns[] = {
	[NODE_ID] = "id",
	[NODE_NAME] = "name",
	[NODE_AGENT_VERSION] = "agent_version",
	[NODE_ACTIVATION_ID] = "activation_id",
	[NODE_IAM_ROLE] = "iam_role",
	[NODE_PLATFORM_NAME] = "platform_name",
};

/* " IN ($4, $5, $6)", counting on from *next. */
static void
append_in(struct buf *sql, size_t n, int *next)
{
	buf_append_str(sql, " IN (");
	for (size_t i = 0; i < n; i++)
		buf_printf(sql, "%s$%d", i > 0 ? ", " : "", (*next)++);
	buf_append_str(sql, ")");
}

static void
append_filter(struct buf *sql, const struct node_filter *f, int *next)
{
	hw_assert(f->n > 0);
	if (f->field == NODE_TAG) {
		buf_printf(sql,
			" AND EXISTS (SELECT 1 FROM node_tag WHERE owner = node.id"
			" AND node_tag.name = $%d AND content",
			(*next)++);
		append_in(sql, f->n, next);
		buf_append_str(sql, ")");
	} else if (f->field == NODE_TAG_KEY) {
		buf_append_str(sql,
			" AND EXISTS (SELECT 1 FROM node_tag WHERE owner = node.id"
			" AND node_tag.name");
		append_in(sql, f->n, next);
		buf_append_str(sql, ")");
	} else {
		buf_printf(sql, " AND %s", columns[f->field]);
		append_in(sql, f->n, next);
	}
}

static void
bind_filters(struct query *q, const struct node_filter *filters, size_t n)
{
	int next = 2;

	for (size_t i = 0; i < n; i++) {
		if (filters[i].field == NODE_TAG)
			query_bind_text(q, next++, filters[i].key);
		for (size_t v = 0; v < filters[i].n; v++)
			query_bind_text(q, next++, filters[i].values[v]);
	}
}

int
node_list(struct query *q, struct db *db, const struct node_filter *filters, size_t n,
	const char *after, struct hw_err *err)
{
	struct buf sql;
	int next = 2, r;

	*q = (struct query){.db = db};
	buf_init(&sql, SQL_MAX);
	buf_append_str(&sql, "SELECT " COLUMNS " FROM node WHERE id > $1");
	for (size_t i = 0; i < n; i++)
		append_filter(&sql, &filters[i], &next);
	buf_append_str(&sql, " ORDER BY id");
	const char *text = buf_str(&sql);
	if (sql.failed || text == NULL)
		r = hw_err_set(err, HW_ELIMIT, "the filters are too many");
	else
		r = db_query(q, db, text, err);
	query_bind_text(q, 1, after);
	if (r == 0)
		bind_filters(q, filters, n);
	buf_fini(&sql);
	return r;
}
