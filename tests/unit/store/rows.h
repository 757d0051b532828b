/* Tests of rows: each body runs in one write of a fresh store, as `db`. */
#ifndef HAWSER_TESTS_ROWS_H
#define HAWSER_TESTS_ROWS_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/unit/store/scratch_store.h"

#define ROWS_TEST(suite, name)                                                         \
	static void name##_body(struct scratch *s, struct db *db, struct hw_err *err); \
	static int name##_fn(void *arg, struct db *db, struct hw_err *err)             \
	{                                                                              \
		name##_body(arg, db, err);                                             \
		return 0;                                                              \
	}                                                                              \
	Test(suite, name)                                                              \
	{                                                                              \
		struct scratch *s = scratch_new(false);                                \
		struct hw_err err = HW_ERR_INIT;                                       \
		cr_assert(eq(int, store_write(s->store, name##_fn, s, &err), 0));      \
		scratch_free(s);                                                       \
	}                                                                              \
	static void name##_body(struct scratch *s, struct db *db, struct hw_err *err)

#endif
