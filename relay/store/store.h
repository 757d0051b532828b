/*
 * The relay's state: SQLite in WAL mode, synchronous=FULL, versioned migrations. Reads run on the
 * calling worker's own connection; all writes go through one writer thread that batches them into
 * transactions (BEGIN IMMEDIATE, a savepoint each) and answers each after its commit. Never called
 * on the loop's thread, except inline (tests, init).
 *
 * What the rows are is said beside the functions of nodes.h, users.h, groups.h, policies.h, keys.h,
 * sessions.h, activations.h and tags.h.
 */
#ifndef HAWSER_STORE_STORE_H
#define HAWSER_STORE_STORE_H

#include "proto/base/log.h"
#include "relay/store/db.h"

struct store;

enum store_kind {
	STORE_NODE,
	STORE_USER,
	STORE_DOCUMENT, /* its tags */
	STORE_GRANTS,	/* groups, memberships, attachments, policies; the id is "" */
};

struct store_config {
	const char *path; /* of the database file; its directory exists */
	const struct log_ctx *log;
	const struct hw_clock *clock;
	bool threaded; /* false: writes run inline */
	int readers;   /* connections for reading; more callers wait for one */
	/* After a commit in which store_changed() was called, before the writes are answered; on
	 * the writer's thread, once for each kind and id, with a connection for reading. */
	void (*on_changed)(void *arg, enum store_kind kind, const char *id, struct db *db);
	/* Once after all of these, before the writes are answered: for what is read anew as a
	 * whole.
	 */
	void (*on_committed)(void *arg, struct db *db);
	void *arg;
};

int store_open(struct store **ret, const struct store_config *config, struct hw_err *err);
void store_close(struct store *s);

typedef int store_fn(void *arg, struct db *db, struct hw_err *err);

/* Runs fn with a connection inside a read transaction. */
int store_read(struct store *s, store_fn *fn, void *arg, struct hw_err *err);

/* Runs fn on the writer and returns after the commit; an error of fn rolls back what fn did, and is
 * returned. fn may run on another thread than the caller's, while the caller waits. */
int store_write(struct store *s, store_fn *fn, void *arg, struct hw_err *err);

/* Whether a commit failed on disk: nothing is written before the next start. From any thread. */
#define STORE_FAILED "the store failed and takes nothing until the relay starts again"
bool store_failed(const struct store *s);

/* The store as it is at one moment, however long it is looked at: for copies. `meanwhile` (may be
 * NULL) runs within that moment: nothing is committed before it returns, so that what else belongs
 * to it can be fixed. Its error is returned. The copy is a database file of its own. */
struct store_moment;
int store_moment_open(struct store_moment **ret, struct store *s, store_fn *meanwhile, void *arg,
	struct hw_err *err);
int store_moment_copy(const struct store_moment *m, const char *path, struct hw_err *err);
void store_moment_close(struct store_moment *m); /* NULL is fine */

/* From a write's fn: this node or user, or what users are granted, is not what it was. */
void store_changed(struct db *db, enum store_kind kind, const char *id);

#endif
