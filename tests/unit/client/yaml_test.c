#include "client/yaml.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static void
is(const struct msg_row *row, const void *msg, int flags, const char *text)
{
	struct buf out;

	buf_init(&out, 65536);
	cr_assert(eq(int, yaml_append(&out, row, msg, flags), 0));
	cr_assert_str_eq(buf_str(&out), text);
	buf_fini(&out);
}

Test(yaml, lists_of_messages_and_their_texts)
{
	struct msg_tag tags[] = {
		{.key = "Env",  .value = "prod"},
		 {.key = "Note", .value = "a: b"}
	 };
	struct msg_instance_information nodes[] = {
		{.instance_id = "mi-0123456789abcdef0",
			.ping_status = PING_STATUS_ONLINE,
			.name = "yes",
			.tags = {.v = tags, .n = 2}},
		{.name = "12"			     },
	};
	struct msg_describe_instance_information_reply reply = {
		.instance_information_list = {.v = nodes, .n = 2}
	 };

	is(MSG_ROW(describe_instance_information_reply), &reply, 0,
		"InstanceInformationList:\n"
		"- InstanceId: mi-0123456789abcdef0\n"
		"  PingStatus: Online\n"
		"  IsLatestVersion: false\n"
		"  Name: \"yes\"\n"
		"  Tags:\n"
		"  - Key: Env\n"
		"    Value: prod\n"
		"  - Key: Note\n"
		"    Value: \"a: b\"\n"
		"- IsLatestVersion: false\n"
		"  Name: \"12\"\n");
}

Test(yaml, nothing_is_an_empty_map)
{
	struct msg_empty empty = {0};

	is(MSG_ROW(empty), &empty, 0, "{}\n");
}

Test(yaml, texts_that_could_be_read_otherwise_are_quoted)
{
	struct msg_tag tag = {.key = "~", .value = "line\nbreak\033"};

	is(MSG_ROW(tag), &tag, 0, "Key: \"~\"\nValue: \"line\\nbreak\\u001b\"\n");
	tag = (struct msg_tag){.key = "-x", .value = ""};
	is(MSG_ROW(tag), &tag, 0, "Key: \"-x\"\nValue: \"\"\n");
}

Test(yaml, times_are_dates)
{
	struct msg_user user = {.user_name = "alice", .created = 1700000000123456};

	is(MSG_ROW(user), &user, 0, "UserName: alice\nCreateDate: \"2023-11-14T22:13:20.123Z\"\n");
}

Test(yaml, secrets_stay_secret)
{
	struct msg_open open = {.type = CHANNEL_TYPE_PTY, .session_id = "a-1", .token = "hush"};

	is(MSG_ROW(open), &open, 0, "Type: pty\nSessionId: a-1\nTokenValue: \"***\"\n");
}

Test(yaml, maps_of_texts_and_nested_messages)
{
	const char *words[] = {"uptime"};
	struct msg_pair pair = {
		.key = "command", .values = {.v = words, .n = 1}
	};
	struct msg_start_session_request req = {
		.target = "web", .parameters = {.v = &pair, .n = 1}
	   };
	struct msg_create_user_reply reply = {0};
	struct msg_user user = {.user_name = "alice"};

	is(MSG_ROW(start_session_request), &req, 0,
		"Target: web\nParameters:\n  command:\n  - uptime\n");
	reply.user = &user;
	is(MSG_ROW(create_user_reply), &reply, 0, "User:\n  UserName: alice\n");
}

Test(yaml, for_people_nothing_is_quoted_and_nothing_steers)
{
	struct msg_tag tag = {.key = "a b", .value = "\033[2J"};

	is(MSG_ROW(tag), &tag, YAML_FOR_PEOPLE, "Key: a b\nValue: \\x1b[2J\n");
}
