/*
 * How long recordings are kept. Those that are older than the configuration says are deleted, and
 * the oldest while all together have too much; never what a hold keeps, nor, when they go to a
 * bucket and the configuration says so, what is not there yet. The ledger has an entry for
 * each, with its hash and size, that is on disk and under a signed head before anything is removed:
 * that it was there, and what it was, can still be proven, and nobody who verifies misses it.
 */
#ifndef HAWSER_CORE_KEEPING_H
#define HAWSER_CORE_KEEPING_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"

struct ledger;
struct ledger_heads;
struct relay_config;
struct secret_key;
struct store;

struct keeping_env {
	struct store *store;
	struct ledger *ledger;
	struct ledger_heads *heads; /* NULL: none are signed */
	const struct relay_config *config;
	const struct secret_key *master;
	const char *dir; /* the relay's */
	int64_t now;
	bool is_doubtful; /* now: none goes for its age */
};

/* Some at a time, so that it is called again and again, and soon when these were as many as that.
 * Never on the loop's thread. *deleted: how many recordings. */
#define KEEPING_AT_ONCE 100
int keeping_run(int *deleted, const struct keeping_env *env, struct hw_err *err);

#endif
