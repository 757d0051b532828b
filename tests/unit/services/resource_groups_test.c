/* Resource groups: what may be saved, and whom it finds. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "relay/core/call.h"
#include "relay/services/node_search.h"
#include "tests/unit/services/desk.h"

static int
put(struct desk *d, const char *name, struct msg_command_target *targets, size_t n)
{
	struct msg_put_resource_group_request req = {.name = name, .description = "why"};
	struct msg_resource_group_reply rep;

	req.targets.v = targets;
	req.targets.n = n;
	return CALL(d, create_resource_group, &req, &rep);
}

static int
put_one(struct desk *d, const char *name, const char *key, const char *value)
{
	struct msg_command_target t = {.key = key};
	const char *values[] = {value};

	if (value != NULL)
		t.values = (struct msg_strs){values, 1};
	return put(d, name, &t, 1);
}

Test(resource_groups, what_is_saved_is_shown_replaced_listed_and_removed)
{
	struct desk *d = desk_new(false);
	const char *values[] = {"web", "db"};
	struct msg_command_target t[] = {
		{.key = "tag:Role", .values = {values, 2}},
		{.key = "tag:Env"		 },
	};
	struct msg_resource_group_request ask = {.name = "web"};
	struct msg_resource_group_reply got;
	struct msg_list_resource_groups_request all = {0};
	struct msg_list_resource_groups_reply list;
	struct msg_empty none;

	CHECK_OK(d, put(d, "web", t, 2));
	CHECK_FAILS(d, put(d, "web", t, 2), HW_EEXISTS, "web already");
	CHECK_OK(d, CALL(d, get_resource_group, &ask, &got));
	cr_assert_str_eq(got.group->name, "web");
	cr_assert_str_eq(got.group->description, "why");
	cr_assert(ne(ptr, strstr(got.group->group_arn, ":group/web"), NULL));
	cr_assert(eq(sz, got.group->targets.n, 2));
	cr_assert_str_eq(got.group->targets.v[0].values.v[1], "db");
	cr_assert(eq(sz, got.group->targets.v[1].values.n, 0));

	struct msg_put_resource_group_request other = {.name = "web"};
	other.targets.v = t + 1;
	other.targets.n = 1;
	CHECK_OK(d, CALL(d, update_resource_group, &other, &got));
	cr_assert(eq(sz, got.group->targets.n, 1));
	other.name = "nothing";
	CHECK_FAILS(d, CALL(d, update_resource_group, &other, &got), HW_ENOTFOUND, "nothing");

	CHECK_OK(d, put(d, "all", t + 1, 1));
	CHECK_OK(d, CALL(d, list_resource_groups, &all, &list));
	cr_assert(eq(sz, list.groups.n, 2));
	cr_assert_str_eq(list.groups.v[0].name, "all");
	d->hidden = "group/all";
	CHECK_OK(d, CALL(d, list_resource_groups, &all, &list));
	cr_assert(eq(sz, list.groups.n, 1));
	CHECK_OK(d, CALL(d, delete_resource_group, &ask, &none));
	CHECK_FAILS(d, CALL(d, delete_resource_group, &ask, &none), HW_ENOTFOUND, "web");
	CHECK_FAILS(d, CALL(d, get_resource_group, &ask, &got), HW_ENOTFOUND, "web");
	desk_free(d);
}

Test(resource_groups, what_cannot_be_saved_says_why)
{
	struct desk *d = desk_new(false);

	CHECK_FAILS(d, put(d, "none", NULL, 0), HW_EVALIDATION, "without any");
	CHECK_FAILS(d, put_one(d, "a b", "Name", "x"), HW_EVALIDATION, "letters");
	CHECK_FAILS(d, put_one(d, "a/b", "Name", "x"), HW_EVALIDATION, "letters");
	CHECK_FAILS(d, put_one(d, "a", "Name", NULL), HW_EVALIDATION, "no values");
	CHECK_FAILS(d, put_one(d, "a", "InstanceIds", NULL), HW_EVALIDATION, "no values");
	CHECK_FAILS(d, put_one(d, "a", "InstanceIds", "web-1"), HW_ENODE, "web-1");
	CHECK_FAILS(d, put_one(d, "a", "colour", "red"), HW_EVALIDATION, "colour");
	CHECK_FAILS(d, put_one(d, "a", "tag:", "red"), HW_EVALIDATION, "no key");
	CHECK_FAILS(d, put_one(d, "a", "resource-groups:Name", "b"), HW_EVALIDATION,
		"no other groups");
	CHECK_FAILS(d, put_one(d, "a", "resource-groups:ResourceTypeFilters", "AWS::AllSupported"),
		HW_EVALIDATION, "leave resource-groups:ResourceTypeFilters out");
	CHECK_FAILS(d, put_one(d, "a", "Name", "x\x1b[2J"), HW_EVALIDATION, "control");
	/* A node that there is not yet, or not any more, may be saved. */
	CHECK_OK(d, put_one(d, "a", "InstanceIds", "mi-0123456789abcdef0"));
	desk_free(d);
}

Test(resource_groups, one_that_is_too_large_is_refused)
{
	struct desk *d = desk_new(false);
	static const char *ids[5000];
	struct msg_command_target t = {.key = "InstanceIds"};

	for (size_t i = 0; i < 5000; i++)
		ids[i] = "mi-0123456789abcdef0";
	t.values = (struct msg_strs){ids, 2500};
	CHECK_OK(d, put(d, "fits", &t, 1));
	t.values.n = 5000;
	CHECK_FAILS(d, put(d, "large", &t, 1), HW_ELIMIT, "64 KiB");
	desk_free(d);
}

/* The names of the nodes that a filter finds: "a b". */
static const char *
found(struct desk *d, const char **groups, size_t n)
{
	static char text[256];
	struct msg_instance_string_filter f = {
		.key = "resource-groups:Name", .values = {groups, n}
	    };
	struct msg_describe_instance_information_request req = {
		.filters = {.v = &f, .n = 1}
	    };
	struct msg_describe_instance_information_reply rep;

	text[0] = '\0';
	CHECK_OK(d, CALL(d, describe_instance_information, &req, &rep));
	for (size_t i = 0; i < rep.instance_information_list.n; i++) {
		strcat(text, rep.instance_information_list.v[i].name);
		strcat(text, " ");
	}
	return text;
}

Test(resource_groups, lists_of_nodes_take_them)
{
	struct desk *d = desk_new(false);
	const char *both[] = {"a", "b"}, *none[] = {"nothing"};
	const char *x = desk_join(d, "x");

	desk_join(d, "yes");
	CHECK_OK(d, put_one(d, "a", "InstanceIds", x));
	CHECK_OK(d, put_one(d, "b", "Name", "y*"));
	CHECK_OK(d, put_one(d, "nobody", "Name", "z"));
	cr_assert_str_eq(found(d, both, 1), "x ");
	cr_assert_str_eq(found(d, both + 1, 1), "yes ");
	cr_assert(eq(sz, strlen(found(d, both, 2)), strlen("x yes ")));
	both[0] = "nobody";
	cr_assert_str_eq(found(d, both, 1), "");
	cr_assert_str_eq(found(d, both, 2), "yes ");
	struct msg_instance_string_filter f = {
		.key = "resource-groups:Name", .values = {none, 1}
	  };
	struct msg_describe_instance_information_request req = {
		.filters = {.v = &f, .n = 1}
	    };
	struct msg_describe_instance_information_reply rep;
	CHECK_FAILS(d, CALL(d, describe_instance_information, &req, &rep), HW_ENOTFOUND, "nothing");
	desk_free(d);
}

/* What is read to know whom it holds takes none of the page's room. */
Test(resource_groups, a_large_one_leaves_room_for_its_nodes)
{
	struct desk *d = desk_new(false);
	static const char *ids[2800];
	struct msg_command_target t = {.key = "InstanceIds"};
	const char *large = "large";

	ids[0] = desk_join(d, "x");
	for (size_t i = 1; i < 2800; i++)
		ids[i] = "mi-0123456789abcdef0";
	t.values = (struct msg_strs){ids, 2800};
	CHECK_OK(d, put(d, large, &t, 1));
	cr_assert_str_eq(found(d, &large, 1), "x ");
	desk_free(d);
}

/* Those that the caller may not see must not use up what there is for the list. */
Test(resource_groups, many_that_are_hidden_keep_nobody_from_the_others)
{
	struct desk *d = desk_new(false);
	static const char *ids[2500];
	struct msg_command_target t = {.key = "InstanceIds"};
	struct msg_list_resource_groups_request all = {0};
	struct msg_list_resource_groups_reply list;
	struct arena *large = d->arena;
	char name[32];

	for (size_t i = 0; i < 2500; i++)
		ids[i] = "mi-0123456789abcdef0";
	t.values = (struct msg_strs){ids, 2500};
	for (int i = 0; i < 80; i++) {
		snprintf(name, sizeof(name), "secret-%02d", i);
		CHECK_OK(d, put(d, name, &t, 1));
	}
	CHECK_OK(d, put_one(d, "web", "Name", "web-*"));
	d->hidden = "group/secret";
	d->arena = arena_new(CALL_ARENA_MAX);
	CHECK_OK(d, CALL(d, list_resource_groups, &all, &list));
	cr_assert(eq(sz, list.groups.n, 1));
	cr_assert_str_eq(list.groups.v[0].name, "web");
	arena_free(d->arena);
	d->arena = large;
	desk_free(d);
}
