/* A store in a folder of its own, with a clock that stands still. */
#ifndef HAWSER_TESTS_SCRATCH_STORE_H
#define HAWSER_TESTS_SCRATCH_STORE_H

#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "relay/store/store.h"

#define NOON (INT64_C(1800000000) * USEC_PER_SEC)

struct change_seen {
	enum store_kind kind;
	char id[65];
};

struct scratch {
	char dir[64], path[96];
	struct fake_clock clock;
	struct store *store;
	struct arena *arena;
	struct change_seen changes[64]; /* the first ones */
	size_t n_changes;
	int (*on_change)(struct scratch *s, struct db *db); /* NULL: only noted */
};

struct scratch *scratch_new(bool threaded);
void scratch_reopen(struct scratch *s, bool threaded);
/* Closes the store; what store_open() then says. */
int scratch_try(struct scratch *s, struct hw_err *err);
void scratch_free(struct scratch *s);

/* store_write() and store_read(), for arguments that may be constant. */
int scratch_write(struct scratch *s, store_fn *fn, const void *arg, struct hw_err *err);
int scratch_read(struct scratch *s, store_fn *fn, const void *arg, struct hw_err *err);

#endif
