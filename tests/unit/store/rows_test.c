/* Nodes, users, activations and tags. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "relay/store/activations.h"
#include "relay/store/nodes.h"
#include "relay/store/tags.h"
#include "relay/store/users.h"
#include "tests/unit/store/rows.h"

static struct node_row
node(int i, const char *name)
{
	struct node_row row = {.registered = NOON};

	snprintf(row.id, sizeof(row.id), "mi-%017x", (unsigned)i);
	snprintf(row.name, sizeof(row.name), "%s", name);
	snprintf(row.serial, sizeof(row.serial), "aa");
	return row;
}

/* --- nodes ------------------------------------------------------------------------------------ */

ROWS_TEST(nodes, what_is_put_in_comes_out)
{
	struct node_row in = node(1, "web-01"), out;

	(void)s;
	snprintf(in.ip_addresses, sizeof(in.ip_addresses), "10.0.0.1 fe80::1");
	snprintf(in.kernel, sizeof(in.kernel), "6.1.0");
	cr_assert(eq(int, node_insert(db, &in, err), 0));
	cr_assert(eq(int, node_get(db, in.id, &out, err), 0));
	cr_assert_str_eq(out.name, "web-01");
	cr_assert_str_eq(out.ip_addresses, "10.0.0.1 fe80::1");
	cr_assert_str_eq(out.kernel, "6.1.0");
	cr_assert(out.registered == NOON);
	cr_assert(eq(int, node_get(db, "mi-99999999999999999", &out, err), HW_ENODE));
}

ROWS_TEST(nodes, an_id_is_never_used_again)
{
	struct node_row row = node(1, "web-01");

	(void)s;
	cr_assert(eq(int, node_insert(db, &row, err), 0));
	cr_assert(eq(int, tag_set(db, TAGS_NODE, row.id, "Env", "prod", err), 0));
	cr_assert(eq(int, node_delete(db, row.id, NOON, err), 0));
	cr_assert(eq(int, node_delete(db, row.id, NOON, err), HW_ENODE));
	cr_assert(eq(int, node_insert(db, &row, err), HW_EEXISTS));
	int64_t n = 7;
	cr_assert(eq(int, tag_count(db, TAGS_NODE, row.id, &n, err), 0));
	cr_assert(n == 0);
}

ROWS_TEST(nodes, a_new_serial_is_kept_with_the_one_that_asked_for_it)
{
	struct node_row row = node(1, "web-01");

	(void)s;
	cr_assert(eq(int, node_insert(db, &row, err), 0));
	cr_assert(eq(int, node_set_serial(db, row.id, "aa", "bb", 1, err), 0));
	cr_assert(eq(int, node_set_serial(db, row.id, "aa", "cc", 1, err), 0));
	cr_assert(eq(int, node_get(db, row.id, &row, err), 0));
	cr_assert_str_eq(row.serial, "cc");
	cr_assert_str_eq(row.serial_before, "aa");
	bool changed = true;
	cr_assert(eq(int, node_forget_serial(db, &changed, row.id, "aa", err), 0));
	cr_assert(not(changed));
	cr_assert(eq(int, node_forget_serial(db, &changed, row.id, "cc", err), 0));
	cr_assert(changed);
	cr_assert(eq(int, node_get(db, row.id, &row, err), 0));
	cr_assert_str_eq(row.serial_before, "");
	cr_assert_str_eq(row.serial, "cc");
	cr_assert(eq(int, node_set_serial(db, "mi-x", "cc", "dd", 1, err), HW_ENODE));
}

ROWS_TEST(nodes, after_a_restore_one_unknown_serial_is_adopted)
{
	struct node_row row = node(1, "web-01");
	bool changed;

	(void)s;
	cr_assert(eq(int, node_insert(db, &row, err), 0));
	cr_assert(eq(int, node_adopt_serial(db, &changed, row.id, "bb", err), 0));
	cr_assert(not(changed)); /* nothing was lost */
	cr_assert(eq(int, node_set_all_lost(db, NOON, err), 0));
	cr_assert(eq(int, node_get(db, row.id, &row, err), 0));
	cr_assert(row.lost_since == NOON);
	cr_assert(eq(int, node_adopt_serial(db, &changed, row.id, "bb", err), 0));
	cr_assert(changed);
	cr_assert(eq(int, node_adopt_serial(db, &changed, row.id, "cc", err), 0));
	cr_assert(not(changed));
	cr_assert(eq(int, node_get(db, row.id, &row, err), 0));
	cr_assert_str_eq(row.serial, "bb");
	cr_assert_str_eq(row.serial_before, "");
	cr_assert(row.lost_since == 0);
	cr_assert(eq(int, node_set_all_lost(db, NOON, err), 0));
	cr_assert(eq(int, node_set_serial(db, row.id, "bb", "dd", 1, err), 0));
	cr_assert(eq(int, node_get(db, row.id, &row, err), 0));
	cr_assert(row.lost_since == 0); /* what comes now is known */
}

ROWS_TEST(nodes, seen_never_goes_back)
{
	struct node_row row = node(1, "web-01");

	(void)s;
	cr_assert(eq(int, node_insert(db, &row, err), 0));
	cr_assert(eq(int, node_set_seen(db, row.id, NOON + 5, err), 0));
	cr_assert(eq(int, node_set_seen(db, row.id, NOON, err), 0));
	cr_assert(eq(int, node_get(db, row.id, &row, err), 0));
	cr_assert(row.seen == NOON + 5);
	cr_assert(eq(int, node_set_seen(db, "mi-x", NOON, err), 0));
}

ROWS_TEST(nodes, facts_leave_the_rest_as_it_was)
{
	struct node_row row = node(1, "web-01"), facts = node(1, "other");

	(void)s;
	cr_assert(eq(int, node_insert(db, &row, err), 0));
	snprintf(facts.agent_version, sizeof(facts.agent_version), "0.1.0");
	facts.seen = NOON + 1;
	cr_assert(eq(int, node_set_facts(db, &facts, err), 0));
	cr_assert(eq(int, node_get(db, row.id, &row, err), 0));
	cr_assert_str_eq(row.name, "web-01");
	cr_assert_str_eq(row.agent_version, "0.1.0");
	cr_assert(row.seen == NOON + 1);
	facts = node(2, "");
	cr_assert(eq(int, node_set_facts(db, &facts, err), HW_ENODE));
}

static size_t
count(struct db *db, const struct node_filter *filters, size_t n, const char *after)
{
	struct node_row row;
	struct query q;
	size_t found = 0;

	int r = node_list(&q, db, filters, n, after, NULL);
	while (r == 0 && (r = node_next(&q, &row, NULL)) > 0) {
		found++;
		r = 0;
	}
	query_end(&q);
	cr_assert(eq(int, r, 0));
	return found;
}

ROWS_TEST(nodes, filters_must_all_hold_and_one_of_their_values)
{
	const char *const env[] = {"prod", "test"}, *const role[] = {"web"},
			  *const keys[] = {"Role"}, *const names[] = {"n1", "n4"};
	const struct node_filter filters[] = {
		{NODE_TAG,	   "Env",  env,   2},
		{NODE_TAG,	   "Role", role,	 1},
		{NODE_TAG_KEY, NULL,   keys,  1},
		{NODE_NAME,    NULL,	  names, 2},
	};
	char name[16];

	(void)s;
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		struct node_row row = node(i, name);
		cr_assert(eq(int, node_insert(db, &row, err), 0));
		cr_assert(eq(int,
			tag_set(db, TAGS_NODE, row.id, "Env", i < 3 ? "prod" : "dev", err), 0));
		if (i % 2 == 1)
			cr_assert(eq(int, tag_set(db, TAGS_NODE, row.id, "Role", "web", err), 0));
	}
	cr_assert(eq(sz, count(db, NULL, 0, ""), 6));
	cr_assert(eq(sz, count(db, filters, 1, ""), 3));
	cr_assert(eq(sz, count(db, filters, 2, ""), 1));
	cr_assert(eq(sz, count(db, &filters[2], 1, ""), 3));
	cr_assert(eq(sz, count(db, &filters[3], 1, ""), 2));
	cr_assert(eq(sz, count(db, filters, 4, ""), 1));
	cr_assert(eq(sz, count(db, NULL, 0, "mi-00000000000000003"), 2));
}

ROWS_TEST(nodes, hostile_values_are_only_values)
{
	const char *const values[] = {"' OR 1=1 --", "$1", "\";DROP TABLE node;"};
	const struct node_filter f = {NODE_NAME, NULL, values, 3};
	struct node_row row = node(1, "' OR 1=1 --");

	(void)s;
	cr_assert(eq(int, node_insert(db, &row, err), 0));
	row = node(2, "web");
	cr_assert(eq(int, node_insert(db, &row, err), 0));
	cr_assert(eq(sz, count(db, &f, 1, ""), 1));
}

/* --- users ------------------------------------------------------------------------------------ */

static struct user_row
user(const char *name, int64_t created)
{
	struct user_row row = {.created = created};

	snprintf(row.name, sizeof(row.name), "%s", name);
	return row;
}

ROWS_TEST(users, who_has_a_name_anew_has_none_of_the_old_certificates)
{
	struct user_row old = user("alice", NOON + 7), new = user("alice", NOON + 900000);

	(void)s;
	cr_assert(eq(int, user_insert(db, &old, err), 0));
	cr_assert(old.valid_from == NOON);
	cr_assert(eq(int, user_delete(db, "alice", NOON + 800000, err), 0));
	cr_assert(eq(int, user_insert(db, &new, err), 0));
	/* The latest certificate of the old one counts from NOON, in whole seconds. */
	cr_assert(new.valid_from == NOON + USEC_PER_SEC);
	cr_assert(eq(int, user_get(db, "alice", &old, err), 0));
	cr_assert(old.valid_from == NOON + USEC_PER_SEC);
}

/* By a clock that was ahead, and was set right before it was removed. */
ROWS_TEST(users, who_has_a_name_anew_has_none_of_the_old_certificates_that_are_early)
{
	struct user_row old = user("alice", NOON), new = user("alice", NOON + USEC_PER_SEC);
	const int64_t hour = 3600 * USEC_PER_SEC;

	(void)s;
	cr_assert(eq(int, user_insert(db, &old, err), 0));
	cr_assert(eq(int, user_set_login(db, "alice", NOON + hour, err), 0));
	cr_assert(eq(int, user_delete(db, "alice", NOON, err), 0));
	cr_assert(eq(int, user_insert(db, &new, err), 0));
	cr_assert(new.valid_from == NOON + hour + USEC_PER_SEC);
	/* By years: the name is not lost. */
	cr_assert(eq(int, user_set_used(db, "alice", NOON + 20000 * hour, err), 0));
	cr_assert(eq(int, user_delete(db, "alice", NOON + USEC_PER_SEC, err), 0));
	new = user("alice", NOON + USEC_PER_SEC);
	cr_assert(eq(int, user_insert(db, &new, err), 0));
	cr_assert(new.valid_from <= NOON + 24 * hour + 2 * USEC_PER_SEC);
}

ROWS_TEST(users, an_unknown_one_is_not_found)
{
	struct user_row row;

	(void)s;
	cr_assert(eq(int, user_get(db, "bob", &row, err), HW_ENOTFOUND));
	cr_assert(eq(int, user_delete(db, "bob", NOON, err), HW_ENOTFOUND));
	cr_assert(eq(int, user_set_login(db, "bob", NOON, err), HW_ENOTFOUND));
	cr_assert(eq(int, invite_put(db, "bob", "h", NOON, err), HW_ENOTFOUND));
	cr_assert_str_eq(err->text, "no user bob");
}

ROWS_TEST(users, type_and_times_come_out_as_they_went_in)
{
	struct user_row row = user("bot", NOON), out;

	(void)s;
	row.type = USER_TYPE_SERVICE;
	cr_assert(eq(int, user_insert(db, &row, err), 0));
	cr_assert(eq(int, user_set_login(db, "bot", NOON + 1, err), 0));
	cr_assert(eq(int, user_set_used(db, "bot", NOON + 9, err), 0));
	cr_assert(eq(int, user_set_used(db, "bot", NOON + 8, err), 0)); /* only forwards */
	cr_assert(eq(int, user_set_used(db, "nobody", NOON, err), 0));
	cr_assert(eq(int, user_get(db, "bot", &out, err), 0));
	cr_assert(eq(int, out.type, USER_TYPE_SERVICE));
	cr_assert(out.created == NOON && out.last_login == NOON + 1 && out.last_used == NOON + 9);
	cr_assert(not(out.disabled));
}

ROWS_TEST(users, one_without_a_type_is_a_person)
{
	struct user_row row = user("alice", NOON), out;

	(void)s;
	cr_assert(eq(int, user_insert(db, &row, err), 0));
	cr_assert(eq(int, user_get(db, "alice", &out, err), 0));
	cr_assert(eq(int, out.type, USER_TYPE_USER));
}

ROWS_TEST(users, a_disabled_one_does_not_log_in_until_it_is_enabled_again)
{
	struct user_row row = user("alice", NOON), out;
	char name[65] = "";

	(void)s;
	cr_assert(eq(int, user_insert(db, &row, err), 0));
	cr_assert(eq(int, invite_put(db, "alice", "h1", NOON + 10, err), 0));
	cr_assert(eq(int, user_set_disabled(db, "alice", true, err), 0));
	cr_assert(eq(int, user_get(db, "alice", &out, err), 0));
	cr_assert(out.disabled);
	cr_assert(eq(int, invite_check(db, "h1", NOON, err), HW_EINVITE));
	cr_assert_str_eq(err->text, "the user is disabled");
	cr_assert(eq(int, invite_redeem(db, "h1", NOON, name, err), HW_EINVITE));
	cr_assert_str_eq(err->text, "the user is disabled");
	cr_assert(eq(int, user_set_disabled(db, "alice", false, err), 0));
	cr_assert(eq(int, invite_redeem(db, "h1", NOON, name, err), 0));
	cr_assert(eq(int, user_set_disabled(db, "bob", true, err), HW_ENOTFOUND));
}

ROWS_TEST(invites, one_works_once)
{
	struct user_row alice = user("alice", NOON);
	char name[65] = "";

	(void)s;
	cr_assert(eq(int, user_insert(db, &alice, err), 0));
	cr_assert(eq(int, invite_put(db, "alice", "h1", NOON + 10, err), 0));
	cr_assert(eq(int, invite_redeem(db, "h1", NOON, name, err), 0));
	cr_assert_str_eq(name, "alice");
	cr_assert(eq(int, invite_redeem(db, "h1", NOON, name, err), HW_EINVITE));
	cr_assert(ne(ptr, strstr(err->text, "used already"), NULL));
	cr_assert(eq(int, invite_redeem(db, "h2", NOON, name, err), HW_EINVITE));
	cr_assert(ne(ptr, strstr(err->text, "not known"), NULL));
}

ROWS_TEST(invites, a_new_one_ends_the_old_one)
{
	struct user_row alice = user("alice", NOON);
	char name[65] = "";

	(void)s;
	cr_assert(eq(int, user_insert(db, &alice, err), 0));
	cr_assert(eq(int, invite_put(db, "alice", "h1", NOON + 10, err), 0));
	cr_assert(eq(int, invite_put(db, "alice", "h2", NOON + 10, err), 0));
	cr_assert(eq(int, invite_redeem(db, "h1", NOON, name, err), HW_EINVITE));
	cr_assert(eq(int, invite_redeem(db, "h2", NOON + 10, name, err), HW_EINVITE));
	cr_assert(ne(ptr, strstr(err->text, "expired"), NULL));
	cr_assert(eq(int, invite_redeem(db, "h2", NOON + 9, name, err), 0));
	cr_assert(eq(int, invite_put(db, "alice", "h3", NOON + 10, err), 0));
	cr_assert(eq(int, user_delete(db, "alice", NOON, err), 0));
	cr_assert(eq(int, invite_redeem(db, "h3", NOON, name, err), HW_EINVITE));
}

/* --- activations ------------------------------------------------------------------------------ */

static struct activation_row
activation(const char *id, int64_t limit)
{
	struct activation_row row = {.limit = limit, .created = NOON, .expires = NOON + 100};

	snprintf(row.id, sizeof(row.id), "%s", id);
	return row;
}

#define ID "01234567-89ab-4def-8123-456789abcdef"

ROWS_TEST(activations, each_refusal_has_its_sentence_and_guessing_learns_nothing)
{
	struct activation_row row = activation(ID, 2), out;
	char unknown[384];

	(void)s;
	cr_assert(eq(int, activation_insert(db, &row, "good", err), 0));
	cr_assert(eq(int, activation_redeem(db, "no", "good", NOON, &out, err), HW_EACTIVATION));
	snprintf(unknown, sizeof(unknown), "%s", err->text);
	cr_assert(eq(int, activation_redeem(db, ID, "bad", NOON, &out, err), HW_EACTIVATION));
	cr_assert_str_eq(unknown, err->text);
	cr_assert(eq(int, activation_redeem(db, ID, "bad", NOON + 100, &out, err), HW_EACTIVATION));
	cr_assert_str_eq(unknown, err->text);
	cr_assert(eq(int, activation_redeem(db, ID, "good", NOON + 100, &out, err),
		HW_EACTIVATION));
	cr_assert(ne(ptr, strstr(err->text, "expired"), NULL));
	for (int i = 1; i <= 2; i++) {
		cr_assert(eq(int, activation_redeem(db, ID, "good", NOON, &out, err), 0));
		cr_assert(out.used == i);
	}
	cr_assert(eq(int, activation_redeem(db, ID, "good", NOON, &out, err), HW_EACTIVATION));
	cr_assert(ne(ptr, strstr(err->text, "used up"), NULL));
	cr_assert(eq(int, activation_delete(db, ID, err), 0));
	cr_assert(eq(int, activation_delete(db, ID, err), HW_EACTIVATIONID));
}

struct joiner {
	struct scratch *s;
	int result;
};

static int
join(void *arg, struct db *db, struct hw_err *err)
{
	struct activation_row row;

	(void)arg;
	return activation_redeem(db, ID, "good", NOON, &row, err);
}

static void *
join_main(void *arg)
{
	struct joiner *j = arg;

	j->result = store_write(j->s->store, join, NULL, NULL);
	return NULL;
}

static int
one_use(void *arg, struct db *db, struct hw_err *err)
{
	struct activation_row row = activation(ID, 1);

	(void)arg;
	return activation_insert(db, &row, "good", err);
}

Test(activations, of_a_hundred_at_once_one_wins)
{
	struct scratch *s = scratch_new(true);
	struct joiner joiners[100];
	pthread_t threads[100];
	int won = 0;

	cr_assert(eq(int, store_write(s->store, one_use, NULL, NULL), 0));
	for (int i = 0; i < 100; i++) {
		joiners[i] = (struct joiner){s, 1};
		cr_assert(eq(int, pthread_create(&threads[i], NULL, join_main, &joiners[i]), 0));
	}
	for (int i = 0; i < 100; i++) {
		pthread_join(threads[i], NULL);
		cr_assert(joiners[i].result == 0 || joiners[i].result == HW_EACTIVATION);
		won += joiners[i].result == 0;
	}
	cr_assert(eq(int, won, 1));
	scratch_free(s);
}

/* --- tags ------------------------------------------------------------------------------------- */

ROWS_TEST(tags, a_key_has_one_value)
{
	struct node_row row = node(1, "web-01");
	struct msg_tag *tags;
	size_t n;

	cr_assert(eq(int, node_insert(db, &row, err), 0));
	cr_assert(eq(int, tag_set(db, TAGS_NODE, row.id, "Env", "prod", err), 0));
	cr_assert(eq(int, tag_set(db, TAGS_NODE, row.id, "App", "", err), 0));
	cr_assert(eq(int, tag_set(db, TAGS_NODE, row.id, "Env", "test", err), 0));
	cr_assert(eq(int, tag_unset(db, TAGS_NODE, row.id, "None", err), 0));
	cr_assert(eq(int, tag_list(db, s->arena, TAGS_NODE, row.id, &tags, &n, err), 0));
	cr_assert(eq(sz, n, 2));
	cr_assert_str_eq(tags[0].key, "App");
	cr_assert_str_eq(tags[1].value, "test");
	cr_assert(eq(int, tag_set(db, TAGS_NODE, "mi-x", "Env", "prod", err), HW_ENOTFOUND));
}

static void
check_walk(struct tag_walk *w, struct arena *arena, int i, struct hw_err *err)
{
	struct node_row row = node(i, "");
	struct msg_tag *tags;
	char number[16];
	size_t n;

	snprintf(number, sizeof(number), "%d", i);
	cr_assert(eq(int, tag_walk_list(w, arena, row.id, &tags, &n, err), 0));
	cr_assert(eq(sz, n, i % 3 == 0 ? 0 : 2));
	if (n == 0)
		return;
	cr_assert_str_eq(tags[0].key, "App");
	cr_assert_str_eq(tags[0].value, number);
	cr_assert_str_eq(tags[1].key, "Env");
}

/* A third have none; neighbours, a gap that is gone over, one that is not, and past the last. */
ROWS_TEST(tags, of_many_owners_are_those_of_each)
{
	static const int asked[] = {0, 1, 2, 3, 8, 9, 58, 59, 70};
	struct tag_walk w;

	for (int i = 0; i < 60; i++) {
		struct node_row row = node(i, "n");
		char number[16];
		snprintf(number, sizeof(number), "%d", i);
		cr_assert(eq(int, node_insert(db, &row, err), 0));
		if (i % 3 == 0)
			continue;
		cr_assert(eq(int, tag_set(db, TAGS_NODE, row.id, "Env", "prod", err), 0));
		cr_assert(eq(int, tag_set(db, TAGS_NODE, row.id, "App", number, err), 0));
	}
	tag_walk_begin(&w, db, TAGS_NODE);
	for (size_t i = 0; i + 1 < sizeof(asked) / sizeof(asked[0]); i++)
		check_walk(&w, s->arena, asked[i], err);
	struct node_row none = node(asked[8], "");
	struct msg_tag *tags;
	size_t n = 1;
	cr_assert(eq(int, tag_walk_list(&w, s->arena, none.id, &tags, &n, err), 0));
	cr_assert(eq(sz, n, 0));
	tag_walk_end(&w);
}

ROWS_TEST(tags, those_of_a_user_go_with_it)
{
	struct user_row row = user("alice", NOON);
	struct msg_tag *tags;
	int64_t n = 7;
	size_t count;

	cr_assert(eq(int, tag_set(db, TAGS_USER, "alice", "Team", "blue", err), HW_ENOTFOUND));
	cr_assert(eq(int, user_insert(db, &row, err), 0));
	cr_assert(eq(int, tag_set(db, TAGS_USER, "alice", "Team", "blue", err), 0));
	cr_assert(eq(int, tag_list(db, s->arena, TAGS_USER, "alice", &tags, &count, err), 0));
	cr_assert(eq(sz, count, 1));
	cr_assert_str_eq(tags[0].value, "blue");
	cr_assert(eq(int, user_delete(db, "alice", NOON, err), 0));
	cr_assert(eq(int, tag_count(db, TAGS_USER, "alice", &n, err), 0));
	cr_assert(n == 0);
}
