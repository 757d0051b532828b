/*
 * The access matrix: every operation of users, with every built-in policy, on every kind of thing
 * that it can be about. What is expected stands in one table; an operation without a row fails.
 *
 * A cell is a letter; what a row holds is allowed, all else is denied.
 *
 *   nodes        i tagged for ann   o tagged for bob   n there is none
 *   sessions     s ann's own   x bob's on ann's node   y bob's on his own   l of ann-x, who is not
 *                ann   m of ann, and there is none   n of bob, and there is none
 *   users        u ann herself   v bob   n there is none
 *   others       g it is there   n there is none   a there is only one
 *   lists        what they show: i o, s x y l, u v, g; "-" is a list that is denied
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "relay/policy/managed.h"
#include "tests/unit/core/court.h"

enum role { ADMINISTRATOR, FLEET, OPERATOR, DEVELOPER, AUDITOR, OWNER, NOBODY, ROLES };

static const char *const policies[ROLES] = {POLICY_ADMINISTRATOR, "fleet-administrator", "operator",
	"developer", "auditor", "node-owner", NULL};

#define ALL   "ionsxylmuvga"
#define NONE  "-"
#define OWN_S "sm"
#define IAM(x)                                          \
	{                                               \
		ALL, NONE, NONE, NONE, NONE, NONE, NONE \
	}
#define READ_IAM                                      \
	{                                             \
		ALL, ALL, NONE, NONE, ALL, NONE, NONE \
	}
#define FLEET_ONLY                                     \
	{                                              \
		ALL, ALL, NONE, NONE, NONE, NONE, NONE \
	}

#define READ_DOCUMENTS                             \
	{                                          \
		ALL, ALL, ALL, ALL, ALL, ALL, NONE \
	}

/* By role, in the order of the enum. */
static const char *const expected[OP_COUNT][ROLES] = {
	[OP_create_user] = IAM(),
	[OP_list_users] = READ_IAM,
	[OP_delete_user] = IAM(),
	[OP_create_invite] = IAM(),
	[OP_get_user] = READ_IAM,
	[OP_update_user] = IAM(),
	[OP_tag_user] = IAM(),
	[OP_untag_user] = IAM(),
	[OP_create_group] = IAM(),
	[OP_get_group] = READ_IAM,
	[OP_list_groups] = READ_IAM,
	[OP_delete_group] = IAM(),
	[OP_add_user_to_group] = IAM(),
	[OP_remove_user_from_group] = IAM(),
	[OP_create_access_key] = IAM(),
	[OP_list_access_keys] = READ_IAM,
	[OP_update_access_key] = IAM(),
	[OP_delete_access_key] = IAM(),
	[OP_put_policy] = IAM(),
	[OP_get_policy] = READ_IAM,
	[OP_list_policies] = READ_IAM,
	[OP_delete_policy] = IAM(),
	[OP_attach_policy] = IAM(),
	[OP_detach_policy] = IAM(),
	[OP_simulate_principal_policy] = {ALL, NONE, NONE,  NONE,	 ALL,  NONE,  NONE},
	[OP_list_allowed_principals] = READ_IAM,
	[OP_create_activation] = FLEET_ONLY,
	[OP_describe_activations] = {ALL, ALL,  NONE,  NONE,  ALL,	NONE,  NONE},
	[OP_delete_activation] = FLEET_ONLY,
	[OP_describe_instance_information] = {ALL, ALL,	ALL,   "i",	  ALL,  "i",   NONE},
	[OP_deregister_managed_instance] = FLEET_ONLY,
	[OP_add_tags_to_resource] = FLEET_ONLY,
	[OP_remove_tags_from_resource] = FLEET_ONLY,
	[OP_list_tags_for_resource] = {ALL, ALL,	 ALL,   "i",   ALL,	"i",   NONE},
	[OP_get_connection_status] = {ALL, ALL,	ALL,   "i",	  NONE, "i",   NONE},
	[OP_start_session] = {ALL, ALL,	ALL,   "i",	  NONE, "i",   NONE},
	[OP_describe_sessions] = {ALL, ALL,  ALL,	 "s",   ALL,  "sx",	 NONE},
	[OP_terminate_session] = {ALL, ALL,  ALL,	 OWN_S, NONE, "smx", NONE},
	[OP_resume_session] = {ALL, ALL,	 OWN_S, OWN_S, NONE, OWN_S, NONE},
	[OP_watch_session] = {ALL, NONE, NONE,  NONE,  ALL,  NONE,	NONE},
	[OP_join_session] = {ALL, NONE, NONE,  NONE,  NONE, NONE,	NONE},
	[OP_create_document] = FLEET_ONLY,
	[OP_get_document] = READ_DOCUMENTS,
	[OP_describe_document] = READ_DOCUMENTS,
	[OP_list_documents] = READ_DOCUMENTS,
	[OP_list_document_versions] = READ_DOCUMENTS,
	[OP_update_document] = FLEET_ONLY,
	[OP_update_document_default_version] = FLEET_ONLY,
	[OP_delete_document] = FLEET_ONLY,
	[OP_create_resource_group] = FLEET_ONLY,
	[OP_get_resource_group] = {ALL, ALL,  NONE,  NONE,	 ALL,  NONE,  NONE},
	[OP_update_resource_group] = FLEET_ONLY,
	[OP_list_resource_groups] = {ALL, ALL,  NONE,  NONE,  ALL,	NONE,  NONE},
	[OP_delete_resource_group] = FLEET_ONLY,
	[OP_send_command] = FLEET_ONLY,
	[OP_cancel_command] = FLEET_ONLY,
	[OP_list_commands] = {ALL, ALL,	NONE,  NONE,  ALL,	 NONE,  NONE},
	[OP_list_command_invocations] = {ALL, ALL,  NONE,	 NONE,  ALL,  NONE,  NONE},
	[OP_get_command_invocation] = {ALL, ALL,	 NONE,  NONE,  ALL,  NONE,	NONE},
	[OP_get_command_output] = {ALL, ALL,  NONE,  NONE,	 ALL,  NONE,  NONE},
	[OP_list_command_changes] = {ALL, ALL,  NONE,  NONE,  ALL,	NONE,  NONE},
	[OP_put_agent_release] = FLEET_ONLY,
	[OP_upload_agent_release] = FLEET_ONLY,
	[OP_list_agent_releases] = FLEET_ONLY,
	[OP_delete_agent_release] = FLEET_ONLY,
	[OP_put_hold] = {ALL, NONE, NONE,  NONE,	ALL,  NONE,  NONE},
	[OP_lift_hold] = {ALL, NONE, NONE,  NONE,	 ALL,  NONE,  NONE},
	[OP_list_witnesses] = {ALL, NONE, NONE,	NONE,  ALL,  NONE,	 NONE},
	[OP_list_holds] = {ALL, NONE, NONE,  NONE,  ALL,  NONE,  NONE},
	[OP_get_sealed_input] = {ALL, NONE, NONE,  NONE,	ALL,  NONE,  NONE},
	[OP_get_recording] = {ALL, NONE, OWN_S, OWN_S, ALL,  OWN_S, NONE},
	[OP_search_recordings] = {ALL, NONE, "s",	  "s",   ALL,  "s",	 NONE},
	[OP_search_command_outputs] = {ALL, ALL,	 NONE,  NONE,  ALL,  NONE,	NONE},
	[OP_lookup_events] = {ALL, NONE, NONE,  NONE,  ALL,  NONE,	NONE},
};

/* --- things, by their letters ----------------------------------------------------------------- */

struct thing {
	char letter;
	const char *id;
};

static const struct thing nodes[] = {
	{'i', COURT_IN     },
	 {'o', COURT_OUT	},
	   {'n', COURT_NO_NODE},
	 {0,   NULL	 }
};
static const struct thing sessions[] = {
	{'s', "ann" COURT_HEX	     },
	{'x', "bob" COURT_HEX	     },
	{'y', "bob-fedcba98765432100"},
	{'l', "ann-x" COURT_HEX      },
	{'m', "ann-00000000000000000"},
	{'n', "bob-00000000000000000"},
	{0,   NULL		   },
};
static const struct thing users[] = {
	{'u', "ann"   },
	      {'v', "bob"	 },
	    {'n', "nobody"},
	     {0,	 NULL    }
};
static const struct thing others[] = {
	{'g', "11111111-2222-4333-8444-555555555555"},
	{'n', "00000000-0000-4000-8000-000000000000"},
	       {0,   NULL				       }
};
static const struct thing anything[] = {
	{'a', ""	},
	   {0,   NULL}
};

static const struct thing *const things[] = {
	[RESOURCE_ANY] = anything,
	[RESOURCE_INSTANCE] = nodes,
	[RESOURCE_TAGGED] = nodes,
	[RESOURCE_SESSION] = sessions,
	[RESOURCE_USER] = users,
	[RESOURCE_GROUP] = others,
	[RESOURCE_POLICY] = others,
	[RESOURCE_ACTIVATION] = others,
	[RESOURCE_DOCUMENT] = others,
	[RESOURCE_RESOURCE_GROUP] = others,
};

/* --- requests --------------------------------------------------------------------------------- */

static struct msg_tag some_tag = {"Colour", "green"};
static const char *some_key = "Colour";
static const char some_command[] = "11111111-2222-4333-8444-555555555555";
static const char some_release[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
static struct msg_command_target some_target = {
	.key = "tag-key",
	.values = {&some_key, 1}
};

/* What requests must have beside the name of their resource: bytes, and the member they are for. */
struct filling {
	enum op_id op;
	size_t offset;
	const void *bytes;
	size_t size;
};

#define MEMBER(type, member) (((struct msg_##type##_request *)0)->member)
#define FILLING(op, type, member, ...)                                    \
	{                                                                 \
		OP_##op, offsetof(struct msg_##type##_request, member),   \
			&(__typeof__(MEMBER(type, member))){__VA_ARGS__}, \
			sizeof(MEMBER(type, member))                      \
	}

/* clang-format off */
static const struct filling fillings[] = {
	FILLING(update_user, update_user, status, USER_STATUS_DISABLED),
	FILLING(tag_user, tag_user, tags, &some_tag, 1),
	FILLING(untag_user, untag_user, tag_keys, &some_key, 1),
	FILLING(add_user_to_group, group_member, user_name, "bob"),
	FILLING(remove_user_from_group, group_member, user_name, "bob"),
	FILLING(update_access_key, update_access_key, access_key_id, "HWAK"),
	FILLING(update_access_key, update_access_key, status, KEY_STATUS_INACTIVE),
	FILLING(delete_access_key, delete_access_key, access_key_id, "HWAK"),
	FILLING(put_policy, put_policy, document, "{}"),
	FILLING(attach_policy, attach_policy, user_name, "bob"),
	FILLING(detach_policy, attach_policy, user_name, "bob"),
	FILLING(simulate_principal_policy, simulate_principal_policy, policy_source_arn, "bob"),
	FILLING(simulate_principal_policy, simulate_principal_policy, action_names, &some_key, 1),
	FILLING(list_allowed_principals, list_allowed_principals, action, "ssm:StartSession"),
	FILLING(add_tags_to_resource, add_tags_to_resource, resource_type, TAG_RESOURCE_MANAGED_INSTANCE),
	FILLING(add_tags_to_resource, add_tags_to_resource, tags, &some_tag, 1),
	FILLING(remove_tags_from_resource, remove_tags_from_resource, resource_type, TAG_RESOURCE_MANAGED_INSTANCE),
	FILLING(remove_tags_from_resource, remove_tags_from_resource, tag_keys, &some_key, 1),
	FILLING(list_tags_for_resource, list_tags_for_resource, resource_type, TAG_RESOURCE_MANAGED_INSTANCE),
	FILLING(put_hold, put_hold, reason, "case"),
	FILLING(put_hold, put_hold, user_name, "bob"),
	FILLING(lift_hold, lift_hold, hold_id, some_command),
	FILLING(put_agent_release, put_agent_release, release, some_release),
	FILLING(put_agent_release, put_agent_release, size, 1000),
	FILLING(upload_agent_release, upload_agent_release, release, some_release),
	FILLING(upload_agent_release, upload_agent_release, size, 1000),
	FILLING(upload_agent_release, upload_agent_release, data, (const uint8_t *)"x", 1),
	FILLING(delete_agent_release, delete_agent_release, release, some_release),
	FILLING(create_resource_group, put_resource_group, targets, &some_target, 1),
	FILLING(update_resource_group, put_resource_group, targets, &some_target, 1),
	FILLING(send_command, send_command, document_name, "AWS-RunShellScript"),
	FILLING(cancel_command, cancel_command, command_id, some_command),
	FILLING(get_command_invocation, get_command_invocation, command_id, some_command),
	FILLING(get_command_invocation, get_command_invocation, instance_id, COURT_IN),
	FILLING(create_document, create_document, content, "{}"),
	FILLING(update_document, update_document, content, "{}"),
	FILLING(update_document_default_version, update_document_default_version, document_version, "1"),
	FILLING(get_command_output, get_command_output, command_id, some_command),
	FILLING(get_command_output, get_command_output, instance_id, COURT_IN),
	FILLING(get_command_output, get_command_output, stream, OUTPUT_STREAM_STDOUT),
	FILLING(list_command_changes, list_command_changes, command_id, some_command),
	FILLING(search_recordings, search_recordings, pattern, "x"),
	FILLING(search_command_outputs, search_command_outputs, pattern, "x"),
	FILLING(describe_sessions, describe_sessions, state, SESSION_STATE_ACTIVE),
};
/* clang-format on */

static void
fill(enum op_id op, void *request)
{
	for (size_t i = 0; i < sizeof(fillings) / sizeof(fillings[0]); i++)
		if (fillings[i].op == op)
			memcpy((char *)request + fillings[i].offset, fillings[i].bytes,
				fillings[i].size);
}

static void *
make_request(const struct op_row *row, const char *id)
{
	static uint64_t space[512];
	const struct msg_row *msg = row->request();

	cr_assert(le(sz, msg->size, sizeof(space)));
	memset(space, 0, sizeof(space));
	fill(row->id, space);
	for (size_t i = 0; i < msg->count; i++)
		if (strcmp(msg->fields[i].member, row->field) == 0)
			memcpy((char *)space + msg->fields[i].offset, &id, sizeof(id));
	return space;
}

/* --- the cells -------------------------------------------------------------------------------- */

static int cells;

/* A denial leaves one entry and reaches nothing. */
static void
try_one(struct court *c, const struct op_row *row, const struct thing *of, const char *want)
{
	int before = court_reached(c);
	const struct msg_ledger_entry *e;
	char cell[128];

	snprintf(cell, sizeof(cell), "%s on %c (%s), expected on \"%s\"", row->name, of->letter,
		of->id, want);
	int code = court_ask(c, row->id, make_request(row, of->id));
	size_t entries = court_entries(c, &e);
	bool allowed = strcmp(want, NONE) != 0 && strchr(want, of->letter) != NULL;

	cells++;
	cr_assert(eq(int, court_reached(c) - before, allowed), "%s: %s", cell, court_message(c));
	if (allowed)
		return;
	cr_assert(eq(int, code, HW_EDENIED), "%s: %s", cell, court_message(c));
	cr_assert(eq(sz, entries, 1), "%s", cell);
	cr_assert(eq(int, e->outcome, OUTCOME_DENIED), "%s", cell);
	cr_assert_str_eq(e->action, row->action, "%s", cell);
	cr_assert_not_null(strstr(court_message(c), row->action), "%s", court_message(c));
	cr_assert_null(strstr(court_message(c), "statement"), "%s", court_message(c));
	cr_assert_null(strstr(court_message(c), "no policy"), "%s", court_message(c));
}

/* What a list shows, as letters. */
static void
read_shown(char out[16], const char *shown)
{
	static const struct thing *const kinds[] = {nodes, sessions, users};
	char word[64];
	size_t n = 0;

	for (size_t k = 0; k < 3; k++)
		for (const struct thing *t = kinds[k]; t->id != NULL; t++) {
			snprintf(word, sizeof(word), " %s", t->id);
			const char *at = strstr(shown, word);
			size_t len = strlen(word);
			if (at != NULL && (at[len] == ' ' || at[len] == '\0'))
				out[n++] = t->letter;
		}
	if (strstr(shown, " one") != NULL)
		out[n++] = 'g';
	out[n] = '\0';
}

static void
try_list(struct court *c, const struct op_row *row, const char *want)
{
	int before = court_reached(c);
	const struct msg_ledger_entry *e;
	char got[16];

	int code = court_ask(c, row->id, make_request(row, ""));
	cells++;
	cr_assert(eq(sz, court_entries(c, &e), 1), "%s", row->name);
	if (strcmp(want, NONE) == 0) {
		cr_assert(eq(int, code, HW_EDENIED), "%s", row->name);
		cr_assert(eq(int, e->outcome, OUTCOME_DENIED), "%s", row->name);
		cr_assert(eq(int, court_reached(c), before), "%s", row->name);
		return;
	}
	cr_assert(eq(int, court_reached(c), before + 1), "%s: %s", row->name, court_message(c));
	cr_assert(eq(int, e->outcome, OUTCOME_ALLOWED), "%s", row->name);
	read_shown(got, court_shown(c));
	cr_assert(gt(sz, strlen(got), 0), "%s", row->name);
	if (strcmp(want, ALL) == 0) {
		static const char *const whole[] = {"io", "sxyl", "uv", "g"};
		bool any = false;
		for (size_t i = 0; i < 4; i++)
			any |= strcmp(got, whole[i]) == 0;
		cr_assert(any, "%s shows \"%s\"", row->name, got);
	} else {
		cr_assert_str_eq(got, want, "%s", row->name);
	}
}

static void
try_row(struct court *c, const struct op_row *row, enum role role)
{
	const char *want = expected[row->id][role];

	cr_assert_not_null(want, "%s has no row in the access matrix: say who may do it",
		row->name);
	if (row->resource == RESOURCE_LISTED) {
		try_list(c, row, want);
		return;
	}
	for (const struct thing *t = things[row->resource]; t->id != NULL; t++)
		try_one(c, row, t, want);
}

Test(matrix, every_operation_on_every_thing_is_as_every_role_says, .timeout = 60)
{
	struct court *c = court_new();

	for (enum role role = 0; role < ROLES; role++) {
		court_role(c, policies[role]);
		for (size_t i = 0; i < OP_COUNT; i++)
			if (op_rows[i].door == DOOR_USER)
				try_row(c, &op_rows[i], role);
	}
	cr_assert(gt(int, cells, 600));
	court_free(c);
}

Test(matrix, every_built_in_policy_has_a_column)
{
	size_t found = 0;

	for (size_t i = 0; i < managed_policy_count; i++)
		for (size_t r = 0; r < ROLES; r++)
			found += policies[r] != NULL &&
				strcmp(policies[r], managed_policies[i].name) == 0;
	cr_assert(eq(sz, found, managed_policy_count));
}
