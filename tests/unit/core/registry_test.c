#include "relay/core/registry.h"

#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

Test(registry, the_newest_entry_counts_and_a_dropped_one_is_gone)
{
	struct registry *r = registry_new();
	struct reg_node n = {.id = "mi-0123456789abcdef0", .name = "web-01", .serial = "01"}, out;

	registry_put_node(r, &n);
	memcpy(n.serial, "02", 3);
	memcpy(n.serial_before, "01", 3);
	registry_put_node(r, &n);
	cr_assert(eq(sz, registry_nodes(r), 1));
	cr_assert(registry_node(r, n.id, &out));
	cr_assert_str_eq(out.serial, "02");
	cr_assert_str_eq(out.serial_before, "01");
	registry_drop_node(r, n.id);
	registry_drop_node(r, n.id);
	cr_assert(not(registry_node(r, n.id, &out)));
	registry_free(r);
}

Test(registry, users_are_found_by_their_exact_name)
{
	struct registry *r = registry_new();
	struct reg_user u = {.name = "alice", .admin = true}, out;

	registry_put_user(r, &u);
	cr_assert(registry_user(r, "alice", &out));
	cr_assert(out.admin);
	cr_assert(not(registry_user(r, "Alice", &out)));
	cr_assert(not(registry_user(r, "alic", &out)));
	registry_drop_user(r, "alice");
	cr_assert(not(registry_user(r, "alice", &out)));
	registry_free(r);
}
