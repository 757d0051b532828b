#include "relay/store/db_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHED	      96   /* statements kept prepared */
#define CACHED_LENGTH 2048 /* longer ones are built for one request and not kept */
#define BUSY_MSEC     10000
#define APPLICATION   1212241746 /* "HAWR", where file(1) looks for it */

struct cached {
	sqlite3_stmt *stmt;
	uint64_t used; /* the connection's tick at its last use */
	bool busy;
};

struct db {
	sqlite3 *sql;
	void *owner;
	uint64_t tick;
	size_t cached;
	struct cached cache[CACHED];
};

/* --- errors ----------------------------------------------------------------------------------- */

/* A write that found no room left what was there as it was, and may be tried again; a failed sync
 * may not. */
static bool
wants_room(int extended, int system)
{
	if ((extended & 0xff) == SQLITE_FULL)
		return true;
	return (extended & 0xff) == SQLITE_IOERR && extended != SQLITE_IOERR_FSYNC &&
		extended != SQLITE_IOERR_DIR_FSYNC && (system == ENOSPC || system == EDQUOT);
}

static int
code_of(int extended, int system)
{
	if (wants_room(extended, system))
		return HW_EFULL;
	switch (extended) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
		return HW_EEXISTS;
	case SQLITE_CONSTRAINT_FOREIGNKEY:
		return HW_ENOTFOUND;
	default:
		break;
	}
	switch (extended & 0xff) {
	case SQLITE_NOMEM:
		return HW_ENOMEM;
	case SQLITE_BUSY:
		return HW_EFULL;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return HW_ECORRUPT;
	case SQLITE_IOERR:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		return HW_EIO;
	default:
		return HW_EINTERNAL;
	}
}

/* SQLite's sentences name tables and columns, never values. */
static int
fail(const struct db *db, struct hw_err *err)
{
	return hw_err_set(err,
		code_of(sqlite3_extended_errcode(db->sql), sqlite3_system_errno(db->sql)),
		"the store: %s", sqlite3_errmsg(db->sql));
}

/* --- connections ------------------------------------------------------------------------------ */

static int
file_make(const char *path, struct hw_err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return hw_err_sys(err, "cannot open the store %s", path);
	close(fd);
	return 0;
}

static int
scalar(int64_t *ret, struct db *db, const char *sql, struct hw_err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db->sql, sql, -1, &stmt, NULL) != SQLITE_OK ||
		sqlite3_step(stmt) != SQLITE_ROW)
		r = fail(db, err);
	else
		*ret = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return r;
}

/* A file that is new gets our mark; one that another program filled is left alone. */
static int
mark(struct db *db, struct hw_err *err)
{
	int64_t application = 0, objects = 0;
	char sql[64];
	int r;

	if ((r = scalar(&application, db, "PRAGMA application_id", err)) < 0 ||
		(r = scalar(&objects, db, "SELECT count(*) FROM sqlite_master", err)) < 0)
		return r;
	if (application == APPLICATION)
		return 0;
	if (application != 0 || objects != 0)
		return hw_err_set(err, HW_ECORRUPT, "the database of another program");
	snprintf(sql, sizeof(sql), "PRAGMA application_id = %d", APPLICATION);
	return db_exec(db, sql, err);
}

static int
prepare_connection(struct db *db, bool writer, struct hw_err *err)
{
	static const char *const each[] = {
		"PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON",
		"PRAGMA trusted_schema = OFF",
		"PRAGMA secure_delete = ON", /* what was sealed with an old key is gone for good */
		"PRAGMA cell_size_check = ON",
		"PRAGMA temp_store = MEMORY", /* no file but its own: the sandbox has no others */
	};
	int r;

	sqlite3_extended_result_codes(db->sql, 1);
	sqlite3_busy_timeout(db->sql, BUSY_MSEC);
	sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	if (writer &&
		((r = mark(db, err)) < 0 ||
			(r = db_exec(db, "PRAGMA journal_mode = WAL", err)) < 0))
		return r;
	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		if ((r = db_exec(db, each[i], err)) < 0)
			return r;
	}
	return writer ? 0 : db_exec(db, "PRAGMA query_only = ON", err);
}

int
db_open(struct db **ret, const char *path, bool writer, struct hw_err *err)
{
	int r;

	if (writer && (r = file_make(path, err)) < 0)
		return r;
	struct db *db = calloc(1, sizeof(*db));
	if (db == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a store connection");
	if (sqlite3_open_v2(path, &db->sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
		SQLITE_OK)
		r = fail(db, err);
	else
		r = prepare_connection(db, writer, err);
	if (r < 0) {
		hw_err_prefix(err, "cannot open the store %s", path);
		db_close(db);
		return r;
	}
	*ret = db;
	return 0;
}

void
db_close(struct db *db)
{
	if (db == NULL)
		return;
	for (size_t i = 0; i < db->cached; i++) {
		hw_assert(!db->cache[i].busy);
		sqlite3_finalize(db->cache[i].stmt);
	}
	hw_assert(sqlite3_close(db->sql) == SQLITE_OK);
	free(db);
}

int
db_check(struct db *db, const char *path, struct hw_err *err)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db->sql, "PRAGMA quick_check(1)", -1, &stmt, NULL) != SQLITE_OK ||
		sqlite3_step(stmt) != SQLITE_ROW)
		r = fail(db, err);
	else if (strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0)
		r = hw_err_set(err, HW_ECORRUPT, "%s", sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	if (r < 0)
		hw_err_prefix(err, "the store %s is damaged, restore it from a backup", path);
	return r;
}

int
db_exec(struct db *db, const char *sql, struct hw_err *err)
{
	return sqlite3_exec(db->sql, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(db, err);
}

int
db_exec_again(struct db *db, const char *sql, struct hw_err *err)
{
	return db_run(db, NULL, err, sql, "");
}

int
db_copy(struct db *db, const char *path, struct hw_err *err)
{
	sqlite3 *to = NULL;
	int r, rc = SQLITE_NOMEM;

	if ((r = file_make(path, err)) < 0)
		return r;
	if (sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK) {
		sqlite3_backup *copy = sqlite3_backup_init(to, "main", db->sql, "main");
		if (copy != NULL)
			(void)sqlite3_backup_step(copy, -1);
		rc = copy != NULL ? sqlite3_backup_finish(copy) : sqlite3_extended_errcode(to);
	}
	if (rc != SQLITE_OK)
		r = hw_err_set(err, code_of(rc, to != NULL ? sqlite3_system_errno(to) : 0),
			"cannot copy the store to %s: %s", path,
			to != NULL ? sqlite3_errmsg(to) : "no memory");
	sqlite3_close(to);
	return r;
}

int
db_begin_write(struct db *db, struct hw_err *err)
{
	return db_exec_again(db, "BEGIN IMMEDIATE", err);
}

bool
db_in_transaction(const struct db *db)
{
	return !sqlite3_get_autocommit(db->sql);
}

void
db_set_owner(struct db *db, void *owner)
{
	db->owner = owner;
}

void *
db_owner(const struct db *db)
{
	return db->owner;
}

/* --- the cache of statements ------------------------------------------------------------------ */

static struct cached *
cache_find(struct db *db, const char *sql)
{
	for (size_t i = 0; i < db->cached; i++) {
		if (!db->cache[i].busy && strcmp(sqlite3_sql(db->cache[i].stmt), sql) == 0)
			return &db->cache[i];
	}
	return NULL;
}

static struct cached *
cache_of(struct db *db, const void *stmt)
{
	for (size_t i = 0; i < db->cached; i++) {
		if (db->cache[i].stmt == stmt)
			return &db->cache[i];
	}
	return NULL;
}

/* Keeps it where there is room, or in the place of the one that was idle longest. */
static void
cache_add(struct db *db, sqlite3_stmt *stmt)
{
	struct cached *place = NULL;

	if (strlen(sqlite3_sql(stmt)) > CACHED_LENGTH)
		return;
	if (db->cached < CACHED) {
		place = &db->cache[db->cached++];
	} else {
		for (size_t i = 0; i < CACHED; i++) {
			struct cached *c = &db->cache[i];
			if (!c->busy && (place == NULL || c->used < place->used))
				place = c;
		}
		if (place == NULL)
			return;
		sqlite3_finalize(place->stmt);
	}
	*place = (struct cached){.stmt = stmt, .used = ++db->tick, .busy = true};
}

/* --- queries ---------------------------------------------------------------------------------- */

int
db_query(struct query *q, struct db *db, const char *sql, struct hw_err *err)
{
	sqlite3_stmt *stmt;

	*q = (struct query){.db = db};
	struct cached *c = cache_find(db, sql);
	if (c != NULL) {
		c->busy = true;
		c->used = ++db->tick;
		q->stmt = c->stmt;
		return 0;
	}
	if (sqlite3_prepare_v3(db->sql, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) !=
		SQLITE_OK)
		return fail(db, err);
	hw_assert(stmt != NULL);
	cache_add(db, stmt);
	q->stmt = stmt;
	return 0;
}

/* SQLite counts parameters by their first appearance in the text, so "$2" may be its first: only
 * the name says which is meant. */
static int
parameter(const struct query *q, int n)
{
	char name[16];

	snprintf(name, sizeof(name), "$%d", n);
	int index = sqlite3_bind_parameter_index(q->stmt, name);
	hw_assert(index > 0);
	return index;
}

static void
bound(struct query *q, int r)
{
	if (r != SQLITE_OK)
		q->failed = r == SQLITE_TOOBIG ? HW_ELIMIT : HW_ENOMEM;
}

/* After a failed db_query() there is no statement, and the caller has its error. */
void
query_bind_text(struct query *q, int n, const char *v)
{
	if (q->stmt == NULL)
		return;
	bound(q,
		v == NULL ? sqlite3_bind_null(q->stmt, parameter(q, n))
			  : sqlite3_bind_text(q->stmt, parameter(q, n), v, -1, SQLITE_TRANSIENT));
}

void
query_bind_int(struct query *q, int n, int64_t v)
{
	if (q->stmt != NULL)
		bound(q, sqlite3_bind_int64(q->stmt, parameter(q, n), v));
}

void
query_bind_blob(struct query *q, int n, const void *p, size_t len)
{
	if (q->stmt != NULL)
		bound(q,
			sqlite3_bind_blob64(q->stmt, parameter(q, n), len > 0 ? p : "", len,
				SQLITE_TRANSIENT));
}

int
query_step(struct query *q, struct hw_err *err)
{
	if (q->failed != 0)
		return hw_err_set(err, q->failed, "the store: a value could not be bound");
	switch (sqlite3_step(q->stmt)) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		return 0;
	default:
		return fail(q->db, err);
	}
}

const char *
query_text(struct query *q, int col, struct arena *a)
{
	const char *text = (const char *)sqlite3_column_text(q->stmt, col);

	return arena_strndup(a, text, (size_t)sqlite3_column_bytes(q->stmt, col));
}

int64_t
query_int(struct query *q, int col)
{
	return sqlite3_column_int64(q->stmt, col);
}

void
query_copy(struct query *q, int col, char *out, size_t room)
{
	const char *text = (const char *)sqlite3_column_text(q->stmt, col);
	size_t n = text != NULL ? strnlen(text, room - 1) : 0;

	/* A list has ten thousands of these: not by printf(). */
	memcpy(out, text != NULL ? text : "", n);
	out[n] = '\0';
}

bool
query_is_null(struct query *q, int col)
{
	return sqlite3_column_type(q->stmt, col) == SQLITE_NULL;
}

void
query_end(struct query *q)
{
	if (q->stmt == NULL)
		return;
	struct cached *c = cache_of(q->db, q->stmt);
	if (c == NULL) {
		sqlite3_finalize(q->stmt);
	} else {
		sqlite3_reset(c->stmt);
		sqlite3_clear_bindings(c->stmt);
		c->busy = false;
	}
	q->stmt = NULL;
}

static void
bind_all(struct query *q, const char *types, va_list ap)
{
	for (int i = 0; types[i] != '\0'; i++) {
		hw_assert(types[i] == 's' || types[i] == 'i');
		if (types[i] == 's')
			query_bind_text(q, i + 1, va_arg(ap, const char *));
		else
			query_bind_int(q, i + 1, va_arg(ap, int64_t));
	}
}

/* As query_step(); query_end() is due either way. */
static int
first_step(struct query *q, struct db *db, struct hw_err *err, const char *sql, const char *types,
	va_list ap)
{
	int r = db_query(q, db, sql, err);

	if (r < 0)
		return r;
	bind_all(q, types, ap);
	return query_step(q, err);
}

int
db_run(struct db *db, int64_t *changes, struct hw_err *err, const char *sql, const char *types, ...)
{
	struct query q;
	va_list ap;

	va_start(ap, types);
	int r = first_step(&q, db, err, sql, types, ap);
	va_end(ap);
	hw_assert(r <= 0);
	if (r == 0 && changes != NULL)
		*changes = sqlite3_changes64(db->sql);
	query_end(&q);
	return r;
}

int
db_count(struct db *db, int64_t *ret, struct hw_err *err, const char *sql, const char *types, ...)
{
	struct query q;
	va_list ap;

	va_start(ap, types);
	int r = first_step(&q, db, err, sql, types, ap);
	va_end(ap);
	hw_assert(r != 0);
	if (r > 0)
		*ret = query_int(&q, 0);
	query_end(&q);
	return r < 0 ? r : 0;
}
