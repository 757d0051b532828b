/* Policies, and to whom they are attached. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/store/groups.h"
#include "relay/store/policies.h"
#include "relay/store/users.h"
#include "tests/unit/store/rows.h"

static void
add_user(struct db *db, const char *name)
{
	struct user_row row = {.created = NOON};

	snprintf(row.name, sizeof(row.name), "%s", name);
	cr_assert(eq(int, user_insert(db, &row, NULL), 0));
}

static void
add_group(struct db *db, const char *name)
{
	struct group_row row = {.created = NOON};

	snprintf(row.name, sizeof(row.name), "%s", name);
	cr_assert(eq(int, group_insert(db, &row, NULL), 0));
}

static int
put(struct db *db, const char *name, const char *description, const char *document, int64_t now,
	struct hw_err *err)
{
	struct policy_row row = {.created = now, .updated = now, .document = document};

	snprintf(row.name, sizeof(row.name), "%s", name);
	snprintf(row.description, sizeof(row.description), "%s", description);
	return policy_put(db, &row, err);
}

ROWS_TEST(policies, putting_again_replaces_the_document_and_keeps_the_rest)
{
	struct policy_row *row;

	cr_assert(eq(int, put(db, "p", "what it is for", "{1}", NOON, err), 0));
	cr_assert(eq(int, put(db, "p", "", "{2}", NOON + 5, err), 0));
	cr_assert(eq(int, policy_get(db, s->arena, "p", &row, err), 0));
	cr_assert_str_eq(row->name, "p");
	cr_assert_str_eq(row->description, "what it is for");
	cr_assert_str_eq(row->document, "{2}");
	cr_assert(row->created == NOON && row->updated == NOON + 5);
	cr_assert(eq(int, put(db, "p", "something else", "{3}", NOON + 6, err), 0));
	cr_assert(eq(int, policy_get(db, s->arena, "p", &row, err), 0));
	cr_assert_str_eq(row->description, "something else");
	cr_assert(eq(int, policy_get(db, s->arena, "P", &row, err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "no policy P");
	cr_assert(eq(int, policy_check(db, "p", err), 0));
	cr_assert(eq(int, policy_check(db, "p ", err), HW_ENOTFOUND));
}

ROWS_TEST(policies, are_listed_by_name_with_or_without_their_documents)
{
	struct policy_row row;
	struct query q;

	cr_assert(eq(int, put(db, "b", "", "{b}", NOON, err), 0));
	cr_assert(eq(int, put(db, "c", "", "{c}", NOON, err), 0));
	cr_assert(eq(int, put(db, "a", "", "{a}", NOON, err), 0));
	cr_assert(eq(int, policy_list(&q, db, "a", err), 0));
	cr_assert(eq(int, policy_next(&q, s->arena, &row, err), 1));
	cr_assert_str_eq(row.name, "b");
	cr_assert_str_eq(row.document, "{b}");
	cr_assert(eq(int, policy_next(&q, NULL, &row, err), 1));
	cr_assert_str_eq(row.name, "c");
	cr_assert(eq(ptr, (void *)(uintptr_t)row.document, NULL));
	cr_assert(eq(int, policy_next(&q, NULL, &row, err), 0));
	query_end(&q);
}

ROWS_TEST(policies, a_document_has_a_bound)
{
	char *big = malloc(POLICY_DOCUMENT_MAX + 2);
	struct policy_row *row;

	memset(big, 'x', POLICY_DOCUMENT_MAX + 1);
	big[POLICY_DOCUMENT_MAX + 1] = '\0';
	cr_assert(eq(int, put(db, "p", "", big, NOON, err), HW_ELIMIT));
	cr_assert(eq(int, policy_get(db, s->arena, "p", &row, err), HW_ENOTFOUND));
	big[POLICY_DOCUMENT_MAX] = '\0';
	cr_assert(eq(int, put(db, "p", "", big, NOON, err), 0));
	cr_assert(eq(int, policy_get(db, s->arena, "p", &row, err), 0));
	cr_assert_str_eq(row->document, big);
	free(big);
}

ROWS_TEST(policies, there_are_so_many)
{
	char name[32];

	(void)s;
	for (int i = 0; i < POLICIES_MAX; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		cr_assert(eq(int, put(db, name, "", "{}", NOON, err), 0));
	}
	cr_assert(eq(int, put(db, "p7", "", "{7}", NOON, err), 0)); /* none is added */
	cr_assert(eq(int, put(db, "another", "", "{}", NOON, err), HW_ELIMIT));
	cr_assert(ne(ptr, strstr(err->text, "there are 1500 policies already"), NULL));
}

/* --- attachments ------------------------------------------------------------------------------ */

/* "policy>u:name policy>g:name " */
static const char *
attached(struct db *db, const char *policy, int kind, const char *name)
{
	static char text[1024];
	struct attachment_row row;
	struct query q;
	size_t n = 0;

	text[0] = '\0';
	int r = attachment_list(&q, db, policy, kind, name, NULL);
	while (r == 0 && (r = attachment_next(&q, &row, NULL)) > 0) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s>%c:%s ", row.policy,
			row.kind == HOLDER_USER ? 'u' : 'g', row.name);
		r = 0;
	}
	query_end(&q);
	cr_assert(eq(int, r, 0));
	return text;
}

/* A user and a group of the same name are two. */
static void
some(struct db *db, struct hw_err *err)
{
	add_user(db, "ann");
	add_user(db, "bob");
	add_group(db, "ops");
	add_group(db, "ann");
	cr_assert(eq(int, put(db, "p", "", "{}", NOON, err), 0));
	cr_assert(eq(int, attachment_add(db, "p", HOLDER_GROUP, "ann", err), 0));
	cr_assert(eq(int, attachment_add(db, "p", HOLDER_USER, "bob", err), 0));
	cr_assert(eq(int, attachment_add(db, "p", HOLDER_USER, "ann", err), 0));
	cr_assert(eq(int, attachment_add(db, "p", HOLDER_USER, "ann", err), 0)); /* again */
	cr_assert(eq(int, attachment_add(db, "p", HOLDER_GROUP, "ann", err), 0));
	cr_assert(eq(int, attachment_add(db, "operator", HOLDER_GROUP, "ops", err), 0));
	cr_assert(eq(int, attachment_add(db, "operator", HOLDER_USER, "ann", err), 0));
}

ROWS_TEST(attachments, are_found_by_any_part)
{
	(void)s;
	some(db, err);
	cr_assert_str_eq(attached(db, NULL, -1, NULL),
		"operator>u:ann operator>g:ops p>u:ann p>u:bob p>g:ann ");
	cr_assert_str_eq(attached(db, "p", -1, NULL), "p>u:ann p>u:bob p>g:ann ");
	cr_assert_str_eq(attached(db, "p", HOLDER_GROUP, NULL), "p>g:ann ");
	cr_assert_str_eq(attached(db, NULL, HOLDER_USER, NULL), "operator>u:ann p>u:ann p>u:bob ");
	cr_assert_str_eq(attached(db, NULL, HOLDER_USER, "ann"), "operator>u:ann p>u:ann ");
	cr_assert_str_eq(attached(db, NULL, HOLDER_GROUP, "ann"), "p>g:ann ");
	cr_assert_str_eq(attached(db, NULL, -1, "ann"), "operator>u:ann p>u:ann p>g:ann ");
	cr_assert_str_eq(attached(db, "p", HOLDER_USER, "bob"), "p>u:bob ");
	cr_assert_str_eq(attached(db, "p", -1, "carol"), "");
}

ROWS_TEST(attachments, who_or_what_is_missing_is_named)
{
	(void)s;
	some(db, err);
	cr_assert(eq(int, attachment_add(db, "p", HOLDER_USER, "ops", err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "no user ops");
	cr_assert(eq(int, attachment_add(db, "p", HOLDER_GROUP, "bob", err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "no group bob");
	cr_assert(eq(int, attachment_remove(db, "operator", HOLDER_USER, "bob", err),
		HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "operator is not attached to the user bob");
	cr_assert(eq(int, attachment_remove(db, "p", HOLDER_GROUP, "ops", err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "p is not attached to the group ops");
	cr_assert(eq(int, attachment_remove(db, "p", HOLDER_GROUP, "x", err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "no group x");
	cr_assert(eq(int, attachment_remove(db, "p", HOLDER_GROUP, "ann", err), 0));
	cr_assert_str_eq(attached(db, "p", -1, NULL), "p>u:ann p>u:bob ");
}

ROWS_TEST(attachments, go_with_their_holder_and_hold_their_policy)
{
	(void)s;
	some(db, err);
	cr_assert(eq(int, policy_delete(db, "p", err), HW_ECONFLICT));
	cr_assert_str_eq(err->text, "p is attached to the user ann: detach it everywhere first");
	cr_assert(eq(int, user_delete(db, "ann", NOON, err), 0));
	cr_assert_str_eq(attached(db, NULL, -1, NULL), "operator>g:ops p>u:bob p>g:ann ");
	cr_assert(eq(int, user_delete(db, "bob", NOON, err), 0));
	cr_assert(eq(int, policy_delete(db, "p", err), HW_ECONFLICT));
	cr_assert_str_eq(err->text, "p is attached to the group ann: detach it everywhere first");
	cr_assert(eq(int, group_delete(db, "ann", err), 0));
	cr_assert_str_eq(attached(db, NULL, -1, NULL), "operator>g:ops ");
	cr_assert(eq(int, policy_delete(db, "p", err), 0));
	cr_assert(eq(int, policy_delete(db, "p", err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "no policy p");
	/* Who has the name next has none of them. */
	add_user(db, "ann");
	cr_assert_str_eq(attached(db, NULL, -1, "ann"), "");
}

ROWS_TEST(attachments, have_bounds_on_both_sides)
{
	char name[32];

	(void)s;
	add_user(db, "ann");
	add_group(db, "ops");
	for (int i = 0; i <= POLICIES_OF_ONE_MAX; i++) {
		int want = i < POLICIES_OF_ONE_MAX ? 0 : HW_ELIMIT;
		snprintf(name, sizeof(name), "p%d", i);
		cr_assert(eq(int, attachment_add(db, name, HOLDER_GROUP, "ops", err), want));
		cr_assert(eq(int, attachment_add(db, name, HOLDER_USER, "ann", err), want));
	}
	cr_assert(ne(ptr, strstr(err->text, "the user ann has 100 policies already"), NULL));
	for (int i = 0; i <= POLICY_USERS_MAX; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		add_user(db, name);
		cr_assert(eq(int, attachment_add(db, "wide", HOLDER_USER, name, err),
			i < POLICY_USERS_MAX ? 0 : HW_ELIMIT));
	}
	cr_assert(ne(ptr, strstr(err->text, "wide is attached to 1000 users already"), NULL));
}

static bool
reaches(struct db *db, const char *policy, const char *user)
{
	bool yes = false, no = true;

	cr_assert(eq(int, attachment_reaches(db, policy, user, &yes, NULL), 0));
	cr_assert(eq(int, attachment_reaches(db, policy, user, &no, NULL), 0));
	cr_assert(yes == no);
	return yes;
}

ROWS_TEST(attachments, reach_enabled_users_by_themselves_and_by_their_groups)
{
	(void)s;
	add_user(db, "ann");
	add_user(db, "ann-x");
	add_user(db, "ops");
	add_group(db, "ops");
	add_group(db, "empty");
	cr_assert(not(reaches(db, "administrator", NULL)));
	cr_assert(eq(int, attachment_add(db, "administrator", HOLDER_GROUP, "empty", err), 0));
	cr_assert(eq(int, attachment_add(db, "administrator", HOLDER_GROUP, "ops", err), 0));
	cr_assert(not(reaches(db, "administrator", NULL)));  /* nobody is in them */
	cr_assert(not(reaches(db, "administrator", "ops"))); /* a user, not the group */
	cr_assert(eq(int, member_add(db, "ops", "ann-x", err), 0));
	cr_assert(reaches(db, "administrator", NULL));
	cr_assert(reaches(db, "administrator", "ann-x"));
	cr_assert(not(reaches(db, "administrator", "ann")));
	cr_assert(eq(int, user_set_disabled(db, "ann-x", true, err), 0));
	cr_assert(not(reaches(db, "administrator", NULL)));
	cr_assert(eq(int, attachment_add(db, "administrator", HOLDER_USER, "ann", err), 0));
	cr_assert(reaches(db, "administrator", "ann"));
	cr_assert(reaches(db, "administrator", NULL));
	cr_assert(not(reaches(db, "Administrator", NULL)));
	cr_assert(eq(int, user_set_disabled(db, "ann", true, err), 0));
	cr_assert(not(reaches(db, "administrator", NULL)));
}
