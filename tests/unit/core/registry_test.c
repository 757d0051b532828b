#include "relay/core/registry.h"

#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "relay/core/tagset.h"

Test(registry, the_newest_entry_counts_and_a_dropped_one_is_gone)
{
	struct registry *r = registry_new();
	struct reg_node n = {.id = "mi-0123456789abcdef0", .name = "web-01", .serial = "01"}, out;

	registry_put_node(r, &n, NULL);
	memcpy(n.serial, "02", 3);
	memcpy(n.serial_before, "01", 3);
	registry_put_node(r, &n, NULL);
	cr_assert(eq(sz, registry_nodes(r), 1));
	cr_assert(registry_node(r, n.id, &out));
	cr_assert_str_eq(out.serial, "02");
	cr_assert_str_eq(out.serial_before, "01");
	registry_drop_node(r, n.id);
	registry_drop_node(r, n.id);
	cr_assert(not(registry_node(r, n.id, &out)));
	registry_free(r);
}

Test(registry, tags_are_kept_by_whoever_looks_at_them)
{
	struct registry *r = registry_new();
	const struct reg_node n = {.id = "mi-0123456789abcdef0"};
	const struct msg_tag blue = {"Team", "blue"}, red = {"Team", "red"};

	registry_put_node(r, &n, tagset_new(&blue, 1));
	struct tagset *seen = registry_tags(r, n.id);
	registry_put_node(r, &n, tagset_new(&red, 1));
	cr_assert_str_eq(tagset_tags(seen)->v[0].value, "blue");
	tagset_unref(seen);
	seen = registry_tags(r, n.id);
	cr_assert_str_eq(tagset_tags(seen)->v[0].value, "red");
	registry_drop_node(r, n.id);
	cr_assert_null(registry_tags(r, n.id));
	tagset_unref(seen);
	registry_free(r);
}

Test(tagset, keys_are_in_lower_case_and_sorted_and_values_as_they_are)
{
	const struct msg_tag tags[] = {
		{"Team", "Blue"},
		  {"Env",  "Prod"},
		   {"env",  "dev" },
		   {"Zoo",  ""    },
		{"TEAM", "red" }
	       };
	struct tagset *t = tagset_new(tags, 5);
	const struct policy_tags *v = tagset_tags(t);

	cr_assert(eq(sz, v->n, 3));
	cr_assert_str_eq(v->v[0].key, "env");
	cr_assert_str_eq(v->v[0].value, "Prod", "of two that differ in case the first counts");
	cr_assert_str_eq(v->v[1].key, "team");
	cr_assert_str_eq(v->v[1].value, "Blue");
	cr_assert_str_eq(v->v[2].key, "zoo");
	tagset_unref(t);
	cr_assert_null(tagset_tags(NULL));
}
