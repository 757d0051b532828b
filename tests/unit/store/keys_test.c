/* Access keys. */
#include <stdio.h>
#include <string.h>

#include "relay/store/keys.h"
#include "relay/store/users.h"
#include "tests/unit/store/rows.h"

static void
add_user(struct db *db, const char *name)
{
	struct user_row row = {.created = NOON};

	snprintf(row.name, sizeof(row.name), "%s", name);
	cr_assert(eq(int, user_insert(db, &row, NULL), 0));
}

static int
add_key(struct db *db, const char *id, const char *user, int64_t created, struct hw_err *err)
{
	struct key_row row = {
		.status = KEY_STATUS_ACTIVE, .created = created, .sealed = "c2VhbGVk"};

	snprintf(row.id, sizeof(row.id), "%s", id);
	snprintf(row.user, sizeof(row.user), "%s", user);
	return key_insert(db, &row, err);
}

ROWS_TEST(keys, what_is_put_in_comes_out)
{
	struct key_row row;

	(void)s;
	add_user(db, "ann");
	cr_assert(eq(int, add_key(db, "HWAKA", "ann", NOON, err), 0));
	cr_assert(eq(int, key_get(db, "HWAKA", &row, err), 0));
	cr_assert_str_eq(row.user, "ann");
	cr_assert_str_eq(row.sealed, "c2VhbGVk");
	cr_assert(eq(int, row.status, KEY_STATUS_ACTIVE));
	cr_assert(row.created == NOON && row.last_used == 0);
	cr_assert(eq(int, key_set_status(db, "HWAKA", KEY_STATUS_INACTIVE, err), 0));
	cr_assert(eq(int, key_set_used(db, "HWAKA", NOON + 9, err), 0));
	cr_assert(eq(int, key_set_used(db, "HWAKA", NOON + 8, err), 0)); /* only forwards */
	cr_assert(eq(int, key_get(db, "HWAKA", &row, err), 0));
	cr_assert(eq(int, row.status, KEY_STATUS_INACTIVE));
	cr_assert(row.last_used == NOON + 9);
}

ROWS_TEST(keys, what_is_missing_is_named)
{
	struct key_row row;

	(void)s;
	add_user(db, "ann");
	cr_assert(eq(int, add_key(db, "HWAKA", "bob", NOON, err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "no user bob");
	cr_assert(eq(int, add_key(db, "HWAKA", "ann", NOON, err), 0));
	cr_assert(eq(int, add_key(db, "HWAKA", "ann", NOON, err), HW_EEXISTS));
	cr_assert_str_eq(err->text, "there is an access key HWAKA already");
	cr_assert(eq(int, key_get(db, "hwaka", &row, err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "no access key hwaka");
	cr_assert(eq(int, key_set_status(db, "X", KEY_STATUS_ACTIVE, err), HW_ENOTFOUND));
	cr_assert(eq(int, key_delete(db, "X", err), HW_ENOTFOUND));
	cr_assert(eq(int, key_set_used(db, "X", NOON, err), 0));
}

ROWS_TEST(keys, are_listed_by_age_bounded_and_gone_with_their_user)
{
	struct key_row row;
	struct query q;
	char id[32];

	(void)s;
	add_user(db, "ann");
	add_user(db, "ann-x");
	cr_assert(eq(int, add_key(db, "OTHER", "ann-x", NOON, err), 0));
	for (int i = 0; i < KEYS_OF_A_USER_MAX; i++) {
		snprintf(id, sizeof(id), "K%d", i);
		cr_assert(eq(int, add_key(db, id, "ann", NOON - i, err), 0));
	}
	cr_assert(eq(int, add_key(db, "MORE", "ann", NOON, err), HW_ELIMIT));
	cr_assert(ne(ptr, strstr(err->text, "ann has 10 access keys already"), NULL));
	cr_assert(eq(int, key_delete(db, "MORE", err),
		0)); /* a caller's write is taken back whole */
	cr_assert(eq(int, key_list(&q, db, "ann", err), 0));
	for (int i = KEYS_OF_A_USER_MAX - 1; i >= 0; i--) {
		snprintf(id, sizeof(id), "K%d", i);
		cr_assert(eq(int, key_next(&q, &row, err), 1));
		cr_assert_str_eq(row.id, id);
	}
	cr_assert(eq(int, key_next(&q, &row, err), 0));
	query_end(&q);
	cr_assert(eq(int, user_delete(db, "ann", NOON, err), 0));
	cr_assert(eq(int, key_get(db, "K0", &row, err), HW_ENOTFOUND));
	cr_assert(eq(int, key_get(db, "OTHER", &row, err), 0));
}
