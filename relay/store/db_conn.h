/* The driver's own side of a connection: what store.c needs to open one and to run transactions on
 * it. Everyone else uses db.h. */
#ifndef HAWSER_STORE_DB_CONN_H
#define HAWSER_STORE_DB_CONN_H

#include "relay/store/db.h"

/* Opens the database file, which is made (0600) by a writer when it is missing. HW_ECORRUPT when it
 * is not a database, or not one of Hawser's. */
int db_open(struct db **ret, const char *path, bool writer, struct hw_err *err);
void db_close(struct db *db);

/* Reads the whole file for damage: HW_ECORRUPT with what it found. */
int db_check(struct db *db, const char *path, struct hw_err *err);

/* Copies the whole database into a file, which is made or replaced: as the connection's transaction
 * sees it, while others write. */
int db_copy(struct db *db, const char *path, struct hw_err *err);

/* Begins a transaction that may write: it waits for another process's to end, and then cannot fail
 * for want of the lock. */
int db_begin_write(struct db *db, struct hw_err *err);

/* One statement without parameters or rows: one that comes once is parsed for itself, what begins and
 * ends transactions and their parts is kept prepared. */
int db_exec(struct db *db, const char *sql, struct hw_err *err);
int db_exec_again(struct db *db, const char *sql, struct hw_err *err);

/* False after SQLite has rolled back by itself, as it does when the disk is full. */
bool db_in_transaction(const struct db *db);

/* What belongs to the connection's transaction; the store hangs its list of changes here. */
void db_set_owner(struct db *db, void *owner);
void *db_owner(const struct db *db);

#endif
