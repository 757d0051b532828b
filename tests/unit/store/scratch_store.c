#include "tests/unit/store/scratch_store.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/ground.h"

static void
on_changed(void *arg, enum store_kind kind, const char *id, struct db *db)
{
	struct scratch *s = arg;

	if (s->n_changes < 64) {
		s->changes[s->n_changes].kind = kind;
		snprintf(s->changes[s->n_changes].id, sizeof(s->changes[0].id), "%s", id);
	}
	s->n_changes++;
	if (s->on_change != NULL)
		cr_assert(s->on_change(s, db) == 0);
}

static int
open_store(struct scratch *s, bool threaded, struct hw_err *err)
{
	const struct store_config config = {
		.path = s->path,
		.clock = &s->clock.clock,
		.threaded = threaded,
		.readers = 2,
		.on_changed = on_changed,
		.arg = s,
	};

	return store_open(&s->store, &config, err);
}

struct scratch *
scratch_new(bool threaded)
{
	struct hw_err err = HW_ERR_INIT;
	struct scratch *s = calloc(1, sizeof(*s));

	cr_assert(s != NULL);
	ground_new(s->dir, sizeof(s->dir), "store");
	snprintf(s->path, sizeof(s->path), "%s/relay.db", s->dir);
	fake_clock_init(&s->clock, NOON);
	s->arena = arena_new(16 << 20);
	cr_assert(open_store(s, threaded, &err) == 0, "%s", err.text);
	return s;
}

void
scratch_reopen(struct scratch *s, bool threaded)
{
	struct hw_err err = HW_ERR_INIT;

	store_close(s->store);
	s->store = NULL;
	cr_assert(open_store(s, threaded, &err) == 0, "%s", err.text);
}

int
scratch_try(struct scratch *s, struct hw_err *err)
{
	store_close(s->store);
	s->store = NULL;
	return open_store(s, false, err);
}

void
scratch_free(struct scratch *s)
{
	char name[128];

	store_close(s->store);
	arena_free(s->arena);
	snprintf(name, sizeof(name), "%s-wal", s->path);
	unlink(name);
	snprintf(name, sizeof(name), "%s-shm", s->path);
	unlink(name);
	unlink(s->path);
	cr_assert(rmdir(s->dir) == 0);
	free(s);
}

int
scratch_write(struct scratch *s, store_fn *fn, const void *arg, struct hw_err *err)
{
	return store_write(s->store, fn, (void *)(uintptr_t)arg, err);
}

int
scratch_read(struct scratch *s, store_fn *fn, const void *arg, struct hw_err *err)
{
	return store_read(s->store, fn, (void *)(uintptr_t)arg, err);
}
