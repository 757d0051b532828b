/* Groups and memberships. */
#include <stdio.h>
#include <string.h>

#include "relay/store/groups.h"
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
add_group(struct db *db, const char *name, struct hw_err *err)
{
	struct group_row row = {.created = NOON};

	snprintf(row.name, sizeof(row.name), "%s", name);
	return group_insert(db, &row, err);
}

/* "group:user group:user " */
static const char *
members(struct db *db, const char *group, const char *user)
{
	static char text[512];
	struct member_row row;
	struct query q;
	size_t n = 0;

	text[0] = '\0';
	int r = member_list(&q, db, group, user, NULL);
	while (r == 0 && (r = member_next(&q, &row, NULL)) > 0) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s:%s ", row.group, row.user);
		r = 0;
	}
	query_end(&q);
	cr_assert(eq(int, r, 0));
	return text;
}

ROWS_TEST(groups, are_listed_by_name_and_there_once)
{
	struct group_row row;
	struct query q;
	char longest[129];

	(void)s;
	memset(longest, 'z', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	cr_assert(eq(int, add_group(db, longest, err), 0));
	cr_assert(eq(int, add_group(db, "ops", err), 0));
	cr_assert(eq(int, add_group(db, "dev", err), 0));
	cr_assert(eq(int, add_group(db, "ops", err), HW_EEXISTS));
	cr_assert_str_eq(err->text, "there is a group ops already");
	cr_assert(eq(int, group_get(db, "ops", &row, err), 0));
	cr_assert(row.created == NOON);
	cr_assert(eq(int, group_get(db, "op", &row, err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "no group op");
	cr_assert(eq(int, group_list(&q, db, "dev", err), 0));
	cr_assert(eq(int, group_next(&q, &row, err), 1));
	cr_assert_str_eq(row.name, "ops");
	cr_assert(eq(int, group_next(&q, &row, err), 1));
	cr_assert_str_eq(row.name, longest);
	cr_assert(eq(int, group_next(&q, &row, err), 0));
	query_end(&q);
}

ROWS_TEST(groups, members_are_found_from_both_sides)
{
	(void)s;
	add_user(db, "ann");
	add_user(db, "bob");
	cr_assert(eq(int, add_group(db, "ops", err), 0));
	cr_assert(eq(int, add_group(db, "dev", err), 0));
	cr_assert(eq(int, member_add(db, "ops", "bob", err), 0));
	cr_assert(eq(int, member_add(db, "ops", "ann", err), 0));
	cr_assert(eq(int, member_add(db, "dev", "bob", err), 0));
	cr_assert(eq(int, member_add(db, "dev", "bob", err), 0)); /* again is no error */
	cr_assert_str_eq(members(db, NULL, NULL), "dev:bob ops:ann ops:bob ");
	cr_assert_str_eq(members(db, "ops", NULL), "ops:ann ops:bob ");
	cr_assert_str_eq(members(db, NULL, "bob"), "dev:bob ops:bob ");
	cr_assert_str_eq(members(db, "dev", "ann"), "");
	cr_assert_str_eq(members(db, "ops", "ann"), "ops:ann ");
}

ROWS_TEST(groups, who_or_what_is_missing_is_named)
{
	(void)s;
	add_user(db, "ann");
	cr_assert(eq(int, add_group(db, "ops", err), 0));
	cr_assert(eq(int, member_add(db, "opz", "ann", err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "no group opz");
	cr_assert(eq(int, member_add(db, "ops", "anne", err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "no user anne");
	cr_assert(eq(int, member_remove(db, "ops", "ann", err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "ann is not in the group ops");
	cr_assert(eq(int, member_remove(db, "opz", "ann", err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "no group opz");
	cr_assert(eq(int, group_delete(db, "opz", err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "no group opz");
}

ROWS_TEST(groups, memberships_go_with_either_side)
{
	(void)s;
	add_user(db, "ann");
	add_user(db, "bob");
	cr_assert(eq(int, add_group(db, "ops", err), 0));
	cr_assert(eq(int, add_group(db, "dev", err), 0));
	cr_assert(eq(int, member_add(db, "ops", "ann", err), 0));
	cr_assert(eq(int, member_add(db, "ops", "bob", err), 0));
	cr_assert(eq(int, member_add(db, "dev", "bob", err), 0));
	cr_assert(eq(int, group_delete(db, "dev", err), 0));
	cr_assert_str_eq(members(db, NULL, NULL), "ops:ann ops:bob ");
	cr_assert(eq(int, user_delete(db, "ann", NOON, err), 0));
	cr_assert_str_eq(members(db, NULL, NULL), "ops:bob ");
	cr_assert(eq(int, member_remove(db, "ops", "bob", err), 0));
	cr_assert_str_eq(members(db, NULL, NULL), "");
	/* Who has the name next is in none of them. */
	add_user(db, "ann");
	cr_assert_str_eq(members(db, NULL, "ann"), "");
}

ROWS_TEST(groups, a_user_is_in_so_many_and_there_are_so_many)
{
	char name[32];
	int i;

	(void)s;
	add_user(db, "ann");
	for (i = 0; i < GROUPS_MAX; i++) {
		snprintf(name, sizeof(name), "g%d", i);
		cr_assert(eq(int, add_group(db, name, err), 0));
		int r = member_add(db, name, "ann", err);
		cr_assert(eq(int, r, i < GROUPS_OF_A_USER_MAX ? 0 : HW_ELIMIT));
	}
	cr_assert(ne(ptr, strstr(err->text, "ann is in 100 groups already"), NULL), "%s",
		err->text);
	cr_assert(eq(int, add_group(db, "one-more", err), HW_ELIMIT));
	cr_assert(ne(ptr, strstr(err->text, "there are 300 groups already"), NULL));
}

ROWS_TEST(groups, a_group_has_so_many_members)
{
	char name[32];

	(void)s;
	cr_assert(eq(int, add_group(db, "all", err), 0));
	for (int i = 0; i <= GROUP_MEMBERS_MAX; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		add_user(db, name);
		int r = member_add(db, "all", name, err);
		cr_assert(eq(int, r, i < GROUP_MEMBERS_MAX ? 0 : HW_ELIMIT));
	}
	cr_assert(ne(ptr, strstr(err->text, "the group all has 2000 users already"), NULL));
}
