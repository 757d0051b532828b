#include "proto/base/id.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>
#include <string.h>

Test(id, what_is_made_passes_its_check)
{
	char uuid[ID_UUID_LEN + 1], node[ID_NODE_LEN + 1], session[ID_SESSION_MAX + 1];

	for (int i = 0; i < 100; i++) {
		id_uuid(uuid);
		id_node(node);
		id_session(session, "al-ice@example.com");
		cr_assert(id_is_uuid(uuid), "%s", uuid);
		cr_assert(id_is_node(node), "%s", node);
		cr_assert(id_is_session(session), "%s", session);
		cr_assert(eq(int, uuid[14], '4'));
		cr_assert(ne(ptr, strchr("89ab", uuid[19]), NULL));
	}
}

Test(id, none_comes_twice)
{
	char a[ID_NODE_LEN + 1], b[ID_NODE_LEN + 1];

	id_node(a);
	id_node(b);
	cr_assert_str_neq(a, b);
	cr_assert(ne(u64, random_u64(), random_u64()));
}

Test(id, the_longest_user_name_fits)
{
	char user[65], session[ID_SESSION_MAX + 1];

	memset(user, 'u', 64);
	user[64] = '\0';
	id_session(session, user);
	cr_assert(eq(sz, strlen(session), ID_SESSION_MAX));
	cr_assert(id_is_session(session));
}

Test(id, node_ids_are_as_ssm_writes_them)
{
	cr_assert(id_is_node("mi-0123456789abcdef0"));
	cr_assert(not(id_is_node("mi-0123456789abcdef")));
	cr_assert(not(id_is_node("mi-0123456789abcdef01")));
	cr_assert(not(id_is_node("mi-0123456789ABCDEF0")));
	cr_assert(not(id_is_node("i-00123456789abcdef0")));
	cr_assert(not(id_is_node("")));
}

Test(id, uuids_have_their_dashes)
{
	cr_assert(id_is_uuid("01234567-89ab-4def-8123-456789abcdef"));
	cr_assert(not(id_is_uuid("0123456789ab-4def-8123-456789abcdef-")));
	cr_assert(not(id_is_uuid("01234567-89ab-4def-8123-456789abcde")));
	cr_assert(not(id_is_uuid("01234567-89ab-4def-8123-456789abcdeg")));
}

Test(id, session_ids_are_a_user_and_a_tail)
{
	cr_assert(id_is_session("a-0123456789abcdef0"));
	cr_assert(not(id_is_session("-0123456789abcdef0")));
	cr_assert(not(id_is_session("0123456789abcdef0")));
	cr_assert(not(id_is_session("a/b-0123456789abcdef0")));
	cr_assert(not(id_is_session("a-0123456789abcdef0\n")));
}

Test(id, user_names_have_their_alphabet_and_length)
{
	char long_name[66];

	memset(long_name, 'u', 65);
	long_name[65] = '\0';
	cr_assert(id_is_user("alice_1.2@b+c=d-e"));
	cr_assert(not(id_is_user("")));
	cr_assert(not(id_is_user("a b")));
	cr_assert(not(id_is_user("a/b")));
	cr_assert(not(id_is_user("\xc3\xa9")));
	cr_assert(not(id_is_user(long_name)));
}

Test(id, names_of_groups_and_policies_are_those_of_users_and_longer)
{
	char long_name[130];

	memset(long_name, 'p', 129);
	long_name[129] = '\0';
	cr_assert(not(id_is_name(long_name)));
	long_name[128] = '\0';
	cr_assert(id_is_name(long_name));
	cr_assert(id_is_name("on-call_1.2@b+c=d"));
	cr_assert(not(id_is_name("")));
	cr_assert(not(id_is_name("a*")));
	cr_assert(not(id_is_name("a/b")));
	cr_assert(not(id_is_name("a\n")));
}

Test(id, a_session_of_no_user_is_a_bug, .signal = SIGABRT)
{
	char session[ID_SESSION_MAX + 1];

	id_session(session, "a/b");
}
