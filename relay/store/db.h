/*
 * A thin layer over one SQLite connection: cached statements, parameters by number, columns into an
 * arena. The SQL that goes through it keeps to the subset that SQLite and PostgreSQL share:
 * parameters are $1, $2, ... and are bound by their number.
 *
 *	struct query q;
 *	int r = db_query(&q, db, "SELECT name, seen FROM node WHERE id = $1", err);
 *	query_bind_text(&q, 1, id);
 *	while (r == 0 && (r = query_step(&q, err)) > 0)
 *		... query_text(&q, 0, arena), query_int(&q, 1) ...
 *	query_end(&q);
 *
 * A connection belongs to one thread at a time.
 */
#ifndef HAWSER_STORE_DB_H
#define HAWSER_STORE_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/arena.h"

struct db;
struct query {
	struct db *db;
	void *stmt;
	int failed; /* a bind's error, reported by the next step */
};

int db_query(struct query *q, struct db *db, const char *sql, struct hw_err *err);
void query_bind_text(struct query *q, int n, const char *v); /* NULL is SQL's NULL; copied */
void query_bind_int(struct query *q, int n, int64_t v);
void query_bind_blob(struct query *q, int n, const void *p, size_t len);
/* 1: a row; 0: done; an error otherwise. HW_EEXISTS for a broken unique constraint. */
int query_step(struct query *q, struct hw_err *err);
/* Columns from 0, of the row that query_step() gave. A NULL text reads as "" (query_is_null tells).
 * NULL is returned only without memory. */
const char *query_text(struct query *q, int col, struct arena *a);
int64_t query_int(struct query *q, int col);
/* Copies a text and its NUL; one that does not fit is cut (the schema's bounds are checked before
 * anything is stored). */
void query_copy(struct query *q, int col, char *out, size_t room);
bool query_is_null(struct query *q, int col);
void query_end(struct query *q);

/* Runs a statement that gives no rows; *changes (may be NULL) is the rows that it changed. The
 * arguments follow `types`: one character each, s const char *, i int64_t. */
int db_run(struct db *db, int64_t *changes, struct hw_err *err, const char *sql, const char *types,
	...);

/* Runs a query that gives one number, as SELECT COUNT(*) does; arguments as of db_run(). */
int db_count(struct db *db, int64_t *ret, struct hw_err *err, const char *sql, const char *types,
	...);

#endif
