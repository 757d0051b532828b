#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "relay/store/groups.h"
#include "relay/store/users.h"
#include "tests/unit/services/desk.h"

static struct msg_group *
make_group(struct desk *d, const char *name)
{
	struct msg_create_group_request req = {.group_name = name};
	struct msg_group_reply rep;

	CHECK_OK(d, CALL(d, create_group, &req, &rep));
	return rep.group;
}

static int
add(struct desk *d, const char *group, const char *user)
{
	struct msg_group_member_request req = {.group_name = group, .user_name = user};
	struct msg_empty rep;

	return CALL(d, add_user_to_group, &req, &rep);
}

static int
take_out(struct desk *d, const char *group, const char *user)
{
	struct msg_group_member_request req = {.group_name = group, .user_name = user};
	struct msg_empty rep;

	return CALL(d, remove_user_from_group, &req, &rep);
}

static int
attach(struct desk *d, const char *policy, const char *group)
{
	struct msg_attach_policy_request req = {.policy_name = policy, .group_name = group};
	struct msg_empty rep;

	return CALL(d, attach_policy, &req, &rep);
}

static int
detach(struct desk *d, const char *policy, const char *user, const char *group)
{
	struct msg_attach_policy_request req = {
		.policy_name = policy, .user_name = user, .group_name = group};
	struct msg_empty rep;

	return CALL(d, detach_policy, &req, &rep);
}

static int
delete_group(struct desk *d, const char *name)
{
	struct msg_delete_group_request req = {.group_name = name};
	struct msg_empty rep;

	return CALL(d, delete_group, &req, &rep);
}

static int
show(struct desk *d, const char *name, struct msg_group **ret)
{
	struct msg_get_group_request req = {.group_name = name};
	struct msg_group_reply rep;
	int r = CALL(d, get_group, &req, &rep);

	*ret = rep.group;
	return r;
}

Test(groups, show_their_users_and_policies)
{
	struct desk *d = desk_new(false);
	struct msg_group *g = make_group(d, "ops");

	cr_assert_str_eq(g->group_name, "ops");
	cr_assert(ne(ptr, strstr(g->arn, ":group/ops"), NULL), "%s", g->arn);
	cr_assert(g->created == NOON && g->users.n == 0 && g->policies.n == 0);
	desk_user(d, "bob", false);
	CHECK_OK(d, add(d, "ops", "bob"));
	CHECK_OK(d, add(d, "ops", "bob")); /* again is no error */
	CHECK_OK(d, add(d, "ops", "alice"));
	CHECK_OK(d, attach(d, "operator", "ops"));
	CHECK_OK(d, show(d, "ops", &g));
	cr_assert(eq(sz, g->users.n, 2));
	cr_assert_str_eq(g->users.v[0], "alice");
	cr_assert_str_eq(g->users.v[1], "bob");
	cr_assert(eq(sz, g->policies.n, 1));
	cr_assert_str_eq(g->policies.v[0], "operator");
	CHECK_OK(d, take_out(d, "ops", "alice"));
	CHECK_OK(d, show(d, "ops", &g));
	cr_assert(eq(sz, g->users.n, 1));
	desk_free(d);
}

Test(groups, each_change_is_told_and_no_failure_is)
{
	struct desk *d = desk_new(false);

	d->n_changed = 0;
	make_group(d, "ops");
	cr_assert(eq(sz, d->n_changed, 1));
	cr_assert(eq(int, d->kinds[0], STORE_GRANTS));
	CHECK_OK(d, add(d, "ops", "alice"));
	CHECK_OK(d, attach(d, "operator", "ops"));
	CHECK_OK(d, detach(d, "operator", NULL, "ops"));
	CHECK_OK(d, take_out(d, "ops", "alice"));
	CHECK_OK(d, delete_group(d, "ops"));
	cr_assert(eq(sz, d->n_changed, 6));
	CHECK_FAILS(d, delete_group(d, "ops"), HW_ENOTFOUND, "no group ops");
	CHECK_FAILS(d, add(d, "ops", "alice"), HW_ENOTFOUND, "no group ops");
	CHECK_FAILS(d, take_out(d, "ops", "alice"), HW_ENOTFOUND, "no group ops");
	cr_assert(eq(sz, d->n_changed, 6));
	desk_free(d);
}

Test(groups, names_are_checked_and_what_is_missing_is_named)
{
	static const char *const bad[] = {"", "a b", "../x", "a/b", "\xc3\xa9", "a\n", "a*"};
	struct desk *d = desk_new(false);
	struct msg_create_group_request req = {.group_name = NULL};
	struct msg_group_reply rep;
	struct msg_group *g;
	char longest[130];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		req.group_name = bad[i];
		CHECK_FAILS(d, CALL(d, create_group, &req, &rep), HW_EVALIDATION, "GroupName");
	}
	memset(longest, 'g', sizeof(longest) - 1);
	longest[129] = '\0';
	req.group_name = longest;
	CHECK_FAILS(d, CALL(d, create_group, &req, &rep), HW_EVALIDATION, "GroupName");
	longest[128] = '\0';
	CHECK_OK(d, CALL(d, create_group, &req, &rep));
	CHECK_OK(d, show(d, longest, &g));
	CHECK_FAILS(d, CALL(d, create_group, &req, &rep), HW_EEXISTS, "already");
	CHECK_FAILS(d, show(d, "ops", &g), HW_ENOTFOUND, "no group ops");
	make_group(d, "ops");
	CHECK_FAILS(d, add(d, "ops", "bob"), HW_ENOTFOUND, "no user bob");
	CHECK_FAILS(d, take_out(d, "ops", "alice"), HW_ENOTFOUND, "alice is not in the group ops");
	CHECK_FAILS(d, attach(d, "operator", "opz"), HW_ENOTFOUND, "no group opz");
	desk_free(d);
}

Test(groups, the_way_of_the_last_administrator_cannot_be_cut)
{
	struct desk *d = desk_new(false);
	struct msg_update_user_request disable = {
		.user_name = "bob", .status = USER_STATUS_DISABLED};
	struct msg_delete_user_request gone = {.user_name = "bob"};
	struct msg_group *g;
	struct msg_empty rep;

	make_group(d, "admins");
	desk_user(d, "bob", false);
	CHECK_OK(d, add(d, "admins", "bob"));
	CHECK_OK(d, attach(d, "administrator", "admins"));
	CHECK_OK(d, detach(d, "administrator", "alice", NULL));
	/* bob is it now, by the group alone. */
	CHECK_FAILS(d, take_out(d, "admins", "bob"), HW_EVALIDATION,
		"bob is the last administrator");
	CHECK_FAILS(d, delete_group(d, "admins"), HW_EVALIDATION, "last administrator");
	CHECK_FAILS(d, detach(d, "administrator", NULL, "admins"), HW_EVALIDATION,
		"the group admins has the last administrator");
	CHECK_FAILS(d, CALL(d, update_user, &disable, &rep), HW_EVALIDATION,
		"bob is the last administrator");
	CHECK_FAILS(d, CALL(d, delete_user, &gone, &rep), HW_EVALIDATION,
		"bob is the last administrator");
	/* None of it happened. */
	CHECK_OK(d, show(d, "admins", &g));
	cr_assert(eq(sz, g->users.n, 1));
	cr_assert(eq(sz, g->policies.n, 1));
	CHECK_OK(d, add(d, "admins", "alice"));
	CHECK_OK(d, take_out(d, "admins", "bob"));
	CHECK_FAILS(d, take_out(d, "admins", "alice"), HW_EVALIDATION,
		"alice is the last administrator");
	desk_free(d);
}

Test(groups, a_disabled_administrator_is_nobody_s_successor)
{
	struct desk *d = desk_new(false);
	struct msg_update_user_request bob = {.user_name = "bob", .status = USER_STATUS_DISABLED};
	struct msg_empty rep;

	desk_user(d, "bob", true);
	CHECK_OK(d, CALL(d, update_user, &bob, &rep));
	CHECK_FAILS(d, detach(d, "administrator", "alice", NULL), HW_EVALIDATION,
		"alice is the last administrator");
	bob.status = USER_STATUS_ACTIVE;
	CHECK_OK(d, CALL(d, update_user, &bob, &rep));
	CHECK_OK(d, detach(d, "administrator", "alice", NULL));
	desk_free(d);
}

Test(groups, lists_page_by_name_and_leave_out_what_may_not_be_seen)
{
	struct desk *d = desk_new(false);
	struct msg_list_groups_request req = {.max_results = 2};
	struct msg_list_groups_reply rep;

	static const char *const names[] = {"a", "secret-1", "b", "c", "secret-2", "d", "secret-3"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		make_group(d, names[i]);
	d->hidden = "secret";
	CHECK_OK(d, CALL(d, list_groups, &req, &rep));
	cr_assert(eq(sz, rep.groups.n, 2));
	cr_assert_str_eq(rep.groups.v[1].group_name, "b");
	req.next_token = rep.next_token;
	CHECK_OK(d, CALL(d, list_groups, &req, &rep));
	cr_assert(eq(sz, rep.groups.n, 2));
	cr_assert_str_eq(rep.groups.v[0].group_name, "c");
	cr_assert_str_eq(rep.groups.v[1].group_name, "d");
	/* Nothing that may be seen is after these: nothing says that there is more. */
	cr_assert(eq(ptr, (void *)(uintptr_t)rep.next_token, NULL));
	d->hidden = NULL;
	req.max_results = 0;
	req.next_token = NULL;
	CHECK_OK(d, CALL(d, list_groups, &req, &rep));
	cr_assert(eq(sz, rep.groups.n, 7));
	desk_free(d);
}

struct crowd {
	const char *group;
	size_t n;
};

static int
fill(void *arg, struct db *db, struct hw_err *err)
{
	const struct crowd *c = arg;
	char name[65];

	for (size_t i = 0; i < c->n; i++) {
		snprintf(name, sizeof(name), "%060zu", i);
		struct user_row row = {.created = NOON};
		snprintf(row.name, sizeof(row.name), "%s", name);
		struct user_row there;
		if (user_get(db, name, &there, NULL) < 0 && user_insert(db, &row, err) < 0)
			return -1;
		if (member_add(db, c->group, name, err) < 0)
			return -1;
	}
	return 0;
}

/* Large groups: a page ends early rather than outgrow a frame, and nothing is lost between. */
Test(groups, a_list_of_large_ones_has_more_pages)
{
	struct desk *d = desk_new(false);
	struct msg_list_groups_request req = {.max_results = 100};
	struct msg_list_groups_reply rep;
	char name[32];
	size_t seen = 0, pages = 0;

	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "g%d", i);
		make_group(d, name);
		struct crowd c = {name, 900};
		CHECK_OK(d, store_write(d->env.store, fill, &c, &d->err));
	}
	do {
		CHECK_OK(d, CALL(d, list_groups, &req, &rep));
		cr_assert(le(sz, rep.groups.n, 2));
		for (size_t i = 0; i < rep.groups.n; i++) {
			snprintf(name, sizeof(name), "g%zu", seen++);
			cr_assert_str_eq(rep.groups.v[i].group_name, name);
			cr_assert(eq(sz, rep.groups.v[i].users.n, 900));
		}
		pages++;
		req.next_token = rep.next_token;
	} while (req.next_token != NULL);
	cr_assert(eq(sz, seen, 6));
	cr_assert(ge(sz, pages, 3));
	desk_free(d);
}
