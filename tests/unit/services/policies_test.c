#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/policy/managed.h"
#include "relay/store/policies.h"
#include "tests/unit/services/desk.h"

#define DOCUMENT                                                     \
	"{\"Version\": \"2012-10-17\", \"Statement\": {\"Effect\": " \
	"\"Allow\", \"Action\": \"ssm:StartSession\", \"Resource\": \"*\"}}"
#define OTHER                                                        \
	"{\"Version\": \"2012-10-17\", \"Statement\": {\"Effect\": " \
	"\"Deny\", \"Action\": \"*\", \"Resource\": \"*\"}}"
#define LOWER_CASE                                                     \
	"{\"Version\": \"2012-10-17\",\n \"Statement\": {\"Effect\": " \
	"\"allow\", \"Action\": \"*\", \"Resource\": \"*\"}}"

static int
put(struct desk *d, const char *name, const char *document, const char *description,
	struct msg_policy **ret)
{
	struct msg_put_policy_request req = {
		.policy_name = name, .document = document, .description = description};
	struct msg_policy_reply rep;
	int r = CALL(d, put_policy, &req, &rep);

	if (ret != NULL)
		*ret = rep.policy;
	return r;
}

static int
show(struct desk *d, const char *name, struct msg_policy **ret)
{
	struct msg_get_policy_request req = {.policy_name = name};
	struct msg_policy_reply rep;
	int r = CALL(d, get_policy, &req, &rep);

	*ret = rep.policy;
	return r;
}

static int
delete_policy(struct desk *d, const char *name)
{
	struct msg_delete_policy_request req = {.policy_name = name};
	struct msg_empty rep;

	return CALL(d, delete_policy, &req, &rep);
}

static int
attach(struct desk *d, const char *policy, const char *user, const char *group)
{
	struct msg_attach_policy_request req = {
		.policy_name = policy, .user_name = user, .group_name = group};
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

static void
make_group(struct desk *d, const char *name)
{
	struct msg_create_group_request req = {.group_name = name};
	struct msg_group_reply rep;

	CHECK_OK(d, CALL(d, create_group, &req, &rep));
}

Test(policies, what_is_put_is_shown_and_can_be_replaced)
{
	struct desk *d = desk_new(false);
	struct msg_policy *p;

	d->n_changed = 0;
	CHECK_OK(d, put(d, "shells", DOCUMENT, "who may open shells", &p));
	cr_assert(eq(sz, d->n_changed, 1));
	cr_assert(eq(int, d->kinds[0], STORE_GRANTS));
	cr_assert_str_eq(p->policy_name, "shells");
	cr_assert(ne(ptr, strstr(p->arn, ":policy/shells"), NULL), "%s", p->arn);
	cr_assert_str_eq(p->document, DOCUMENT);
	cr_assert(p->created == NOON && p->updated == NOON && !p->managed);
	fake_clock_advance(&d->clock, DAY);
	CHECK_OK(d, put(d, "shells", OTHER, NULL, &p));
	cr_assert_str_eq(p->description, "who may open shells");
	CHECK_OK(d, show(d, "shells", &p));
	cr_assert_str_eq(p->document, OTHER);
	cr_assert_str_eq(p->description, "who may open shells");
	cr_assert(p->created == NOON && p->updated == NOON + DAY);
	CHECK_FAILS(d, show(d, "Shells", &p), HW_ENOTFOUND, "no policy Shells");
	desk_free(d);
}

Test(policies, what_is_not_well_formed_is_refused_as_the_parser_says_it)
{
	struct desk *d = desk_new(false);
	struct msg_policy *p;

	CHECK_OK(d, put(d, "p", DOCUMENT, NULL, NULL));
	d->n_changed = 0;
	CHECK_FAILS(d, put(d, "p", "all of it", NULL, NULL), HW_EMALFORMED, "line 1, column ");
	CHECK_FAILS(d, put(d, "p", LOWER_CASE, NULL, NULL), HW_EMALFORMED, "line 2, column ");
	CHECK_FAILS(d, put(d, "q", "", NULL, NULL), HW_EMALFORMED, "line 1");
	CHECK_FAILS(d, put(d, "p", DOCUMENT, "a\x1b[2J", NULL), HW_EVALIDATION, "Description");
	cr_assert(eq(sz, d->n_changed, 0));
	CHECK_OK(d, show(d, "p", &p));
	cr_assert_str_eq(p->document, DOCUMENT);
	CHECK_FAILS(d, show(d, "q", &p), HW_ENOTFOUND, "no policy q");
	desk_free(d);
}

Test(policies, names_are_checked)
{
	static const char *const bad[] = {"", "a b", "../x", "a/b", "\xc3\xa9", "a\n", "*"};
	struct desk *d = desk_new(false);
	char longest[130];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_FAILS(d, put(d, bad[i], DOCUMENT, NULL, NULL), HW_EVALIDATION, "PolicyName");
	memset(longest, 'p', sizeof(longest) - 1);
	longest[129] = '\0';
	CHECK_FAILS(d, put(d, longest, DOCUMENT, NULL, NULL), HW_EVALIDATION, "PolicyName");
	longest[128] = '\0';
	CHECK_OK(d, put(d, longest, DOCUMENT, NULL, NULL));
	CHECK_OK(d, attach(d, longest, "alice", NULL));
	desk_free(d);
}

Test(policies, built_in_ones_can_be_seen_and_attached_and_not_changed)
{
	struct desk *d = desk_new(false);
	struct msg_policy *p;

	for (size_t i = 0; i < managed_policy_count; i++) {
		const struct managed_policy *m = &managed_policies[i];
		CHECK_OK(d, show(d, m->name, &p));
		cr_assert(p->managed && p->created == 0 && p->updated == 0);
		cr_assert_str_eq(p->document, m->document);
		cr_assert_str_eq(p->description, m->description);
		cr_assert(ne(ptr, strstr(p->arn, "::aws:policy/"), NULL), "%s", p->arn);
		CHECK_FAILS(d, put(d, m->name, DOCUMENT, NULL, NULL), HW_EVALIDATION,
			"is built in: put it under another name");
		CHECK_FAILS(d, delete_policy(d, m->name), HW_EVALIDATION, "is built in");
	}
	CHECK_OK(d, show(d, "administrator", &p));
	cr_assert(eq(sz, p->users.n, 1));
	cr_assert_str_eq(p->users.v[0], "alice");
	desk_free(d);
}

Test(policies, an_attached_one_stays)
{
	struct desk *d = desk_new(false);
	struct msg_policy *p;

	make_group(d, "ops");
	CHECK_OK(d, put(d, "p", DOCUMENT, NULL, NULL));
	CHECK_OK(d, attach(d, "p", "alice", NULL));
	CHECK_OK(d, attach(d, "p", NULL, "ops"));
	CHECK_OK(d, show(d, "p", &p));
	cr_assert(eq(sz, p->users.n, 1));
	cr_assert(eq(sz, p->groups.n, 1));
	cr_assert_str_eq(p->users.v[0], "alice");
	cr_assert_str_eq(p->groups.v[0], "ops");
	CHECK_FAILS(d, delete_policy(d, "p"), HW_ECONFLICT, "attached to the user alice");
	CHECK_OK(d, detach(d, "p", "alice", NULL));
	CHECK_FAILS(d, delete_policy(d, "p"), HW_ECONFLICT, "attached to the group ops");
	CHECK_OK(d, detach(d, "p", NULL, "ops"));
	d->n_changed = 0;
	CHECK_OK(d, delete_policy(d, "p"));
	cr_assert(eq(sz, d->n_changed, 1));
	CHECK_FAILS(d, delete_policy(d, "p"), HW_ENOTFOUND, "no policy p");
	cr_assert(eq(sz, d->n_changed, 1));
	desk_free(d);
}

Test(policies, attaching_says_what_is_missing)
{
	struct desk *d = desk_new(false);

	make_group(d, "ops");
	d->n_changed = 0;
	CHECK_FAILS(d, attach(d, "operator", NULL, NULL), HW_EVALIDATION, "UserName and GroupName");
	CHECK_FAILS(d, attach(d, "operator", "", ""), HW_EVALIDATION, "UserName and GroupName");
	CHECK_FAILS(d, attach(d, "operator", "alice", "ops"), HW_EVALIDATION, "one of");
	CHECK_FAILS(d, detach(d, "operator", "alice", "ops"), HW_EVALIDATION, "one of");
	CHECK_FAILS(d, attach(d, "p", "alice", NULL), HW_ENOTFOUND, "no policy p");
	CHECK_FAILS(d, detach(d, "p", "alice", NULL), HW_ENOTFOUND, "no policy p");
	CHECK_FAILS(d, attach(d, "operator", "bob", NULL), HW_ENOTFOUND, "no user bob");
	CHECK_FAILS(d, detach(d, "operator", "bob", NULL), HW_ENOTFOUND, "no user bob");
	CHECK_FAILS(d, attach(d, "operator", NULL, "opz"), HW_ENOTFOUND, "no group opz");
	CHECK_FAILS(d, detach(d, "operator", NULL, "ops"), HW_ENOTFOUND,
		"operator is not attached to the group ops");
	cr_assert(eq(sz, d->n_changed, 0));
	CHECK_OK(d, attach(d, "operator", "alice", NULL));
	CHECK_OK(d, attach(d, "operator", "alice", "")); /* again is no error */
	CHECK_OK(d, detach(d, "operator", "alice", NULL));
	CHECK_FAILS(d, detach(d, "operator", "alice", NULL), HW_ENOTFOUND,
		"operator is not attached to the user alice");
	desk_free(d);
}

static int
attach_gone(void *arg, struct db *db, struct hw_err *err)
{
	(void)arg;
	return attachment_add(db, "once-built-in", HOLDER_USER, "alice", err);
}

Test(policies, what_names_a_policy_that_is_gone_can_be_detached)
{
	struct desk *d = desk_new(false);

	CHECK_OK(d, store_write(d->env.store, attach_gone, NULL, &d->err));
	CHECK_OK(d, detach(d, "once-built-in", "alice", NULL));
	CHECK_FAILS(d, detach(d, "once-built-in", "alice", NULL), HW_ENOTFOUND,
		"no policy once-built-in");
	desk_free(d);
}

Test(policies, the_last_administrator_s_stays)
{
	struct desk *d = desk_new(false);

	CHECK_FAILS(d, detach(d, "administrator", "alice", NULL), HW_EVALIDATION,
		"alice is the last administrator");
	desk_user(d, "bob", false);
	CHECK_OK(d, attach(d, "administrator", "bob", NULL));
	CHECK_OK(d, detach(d, "administrator", "alice", NULL));
	CHECK_FAILS(d, detach(d, "administrator", "bob", NULL), HW_EVALIDATION,
		"bob is the last administrator");
	desk_free(d);
}

/* Follows the pages, and gives all names as "a b c ". */
static const char *
list(struct desk *d, int64_t page, char *out, size_t room)
{
	struct msg_list_policies_request req = {.max_results = page};
	struct msg_list_policies_reply rep;
	size_t n = 0;

	out[0] = '\0';
	do {
		CHECK_OK(d, CALL(d, list_policies, &req, &rep));
		cr_assert(page == 0 || rep.policies.n <= (size_t)page);
		for (size_t i = 0; i < rep.policies.n; i++) {
			const struct msg_policy *p = &rep.policies.v[i];
			cr_assert(eq(ptr, (void *)(uintptr_t)p->document, NULL));
			cr_assert(p->managed == (managed_policy_find(p->policy_name) != NULL));
			n += (size_t)snprintf(out + n, room - n, "%s ", p->policy_name);
		}
		req.next_token = rep.next_token;
	} while (req.next_token != NULL);
	return out;
}

Test(policies, lists_have_the_built_in_ones_first_however_they_are_paged)
{
	struct desk *d = desk_new(false);
	char all[512], paged[512], want[512];
	size_t n = 0;

	for (size_t i = 0; i < managed_policy_count; i++)
		n += (size_t)snprintf(want + n, sizeof(want) - n, "%s ", managed_policies[i].name);
	cr_assert_str_eq(list(d, 0, all, sizeof(all)), want);
	CHECK_OK(d, put(d, "zz", DOCUMENT, NULL, NULL));
	CHECK_OK(d, put(d, "aa", DOCUMENT, NULL, NULL));
	CHECK_OK(d, put(d, "mm", DOCUMENT, NULL, NULL));
	snprintf(want + n, sizeof(want) - n, "aa mm zz ");
	cr_assert_str_eq(list(d, 0, all, sizeof(all)), want);
	for (int64_t page = 1; page < 12; page++)
		cr_assert_str_eq(list(d, page, paged, sizeof(paged)), want);
	d->hidden = "policy/a"; /* administrator, auditor, aa */
	list(d, 0, all, sizeof(all));
	cr_assert(eq(ptr, strstr(all, " a"), NULL), "%s", all);
	cr_assert(ne(int, all[0], 'a'));
	cr_assert(ne(ptr, strstr(all, "developer"), NULL));
	cr_assert(ne(ptr, strstr(all, "mm zz "), NULL));
	for (int64_t page = 1; page < 12; page++)
		cr_assert_str_eq(list(d, page, paged, sizeof(paged)), all);
	d->hidden = "policy/";
	cr_assert_str_eq(list(d, 1, all, sizeof(all)), "");
	desk_free(d);
}
