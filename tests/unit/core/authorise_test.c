/* What dispatch asks the policies, and what it makes of the answer. */
#include "relay/core/authorise.h"

#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "relay/store/groups.h"
#include "relay/store/users.h"
#include "tests/unit/core/court.h"

#define POLICY(statements) "{\"Version\":\"2012-10-17\",\"Statement\":[" statements "]}"
#define ALLOW(action, resource) \
	"{\"Effect\":\"Allow\",\"Action\":\"" action "\",\"Resource\":\"" resource "\"}"
#define DENY(action, resource) \
	"{\"Effect\":\"Deny\",\"Action\":\"" action "\",\"Resource\":\"" resource "\"}"
#define ALLOW_IF(action, resource, condition)                                      \
	"{\"Effect\":\"Allow\",\"Action\":\"" action "\",\"Resource\":\"" resource \
	"\",\"Condition\":{" condition "}}"

#define NODES	  "arn:aws:ssm:*:*:managed-instance/*"
#define DOCUMENTS "arn:aws:ssm:*:*:document/"

/* Whether StartSession gets to its handler. */
static bool
starts(struct court *c, const char *node, const char *document, const char *run_as)
{
	struct msg_start_session_request req = {
		.target = node, .document_name = document, .run_as = run_as};
	int before = court_reached(c);

	court_ask(c, OP_start_session, &req);
	return court_reached(c) > before;
}

/* --- buckets ---------------------------------------------------------------------------------- */

static bool
sends(struct court *c, const char *bucket, const char *prefix)
{
	struct msg_send_command_request req = {.document_name = "AWS-RunShellScript",
		.output_s3_bucket_name = bucket,
		.output_s3_key_prefix = prefix};
	int before = court_reached(c);

	court_ask(c, OP_send_command, &req);
	return court_reached(c) > before;
}

Test(authorise, what_is_denied_of_a_bucket_is_denied_as_it_is_written)
{
	struct court *c = court_new();

	court_policy(c, "all", POLICY(ALLOW("*", "*")));
	court_policy(c, "not-there",
		POLICY(DENY("s3:PutObject", "arn:aws:s3:::logs/a b/*") "," DENY("s3:PutObject",
			"arn:aws:s3:::logs/x,y~(z)%41/*") "," DENY("s3:PutObject",
			"arn:aws:s3:::logs/\xc3\xbc/*") "," DENY("s3:PutObject",
			"arn:aws:s3:::logs/plain/*")));
	cr_assert(sends(c, "logs", "a"));
	cr_assert(sends(c, "logs", NULL));
	cr_assert(sends(c, "logs", "a*b"));
	cr_assert_not(sends(c, "logs", "plain"));
	cr_assert_not(sends(c, "logs", "/plain//deeper"));
	cr_assert_not(sends(c, "logs", "a b"));
	cr_assert_not(sends(c, "logs", "a b/c"));
	cr_assert_not(sends(c, "logs", "x,y~(z)%41"));
	cr_assert_not(sends(c, "logs", "\xc3\xbc/d"));
	court_free(c);
}

/* --- documents -------------------------------------------------------------------------------- */

Test(authorise, a_named_document_needs_an_allow_and_the_default_one_does_not)
{
	struct court *c = court_new();

	court_policy(c, "nodes", POLICY(ALLOW("ssm:StartSession", NODES)));
	cr_assert(starts(c, COURT_IN, NULL, NULL));
	cr_assert(not(starts(c, COURT_IN, "SSM-SessionManagerRunShell", NULL)));
	cr_assert(not(starts(c, COURT_IN, "AWS-StartNonInteractiveCommand", NULL)));
	cr_assert_not_null(strstr(court_message(c), "document/AWS-StartNonInteractiveCommand"));
	court_policy(c, "documents",
		POLICY(ALLOW("ssm:StartSession", DOCUMENTS "AWS-StartNonInteractiveCommand")));
	cr_assert(starts(c, COURT_IN, "AWS-StartNonInteractiveCommand", NULL));
	cr_assert(not(starts(c, COURT_IN, "AWS-StartInteractiveCommand", NULL)));
	court_free(c);
}

Test(authorise, a_document_of_aws_is_named_with_the_account_or_without)
{
	struct court *c = court_new();

	court_policy(c, "nodes", POLICY(ALLOW("ssm:StartSession", NODES)));
	court_policy(c, "documents",
		POLICY(ALLOW("ssm:StartSession",
			"arn:aws:ssm:local::document/AWS-StartInteractiveCommand")));
	cr_assert(starts(c, COURT_IN, "AWS-StartInteractiveCommand", NULL));
	court_policy(c, "not-this-one",
		POLICY("{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":"
		       "\"arn:aws:ssm:local:000000000000:document/AWS-StartInteractiveCommand\"}"));
	cr_assert(not(starts(c, COURT_IN, "AWS-StartInteractiveCommand", NULL)));
	court_free(c);
}

Test(authorise, developers_forward_to_their_nodes_and_not_beyond)
{
	struct court *c = court_new();
	const char *port = "5432", *host = "10.0.0.9";
	struct msg_pair parameters[] = {
		{"portNumber", {&port, 1}},
		    {"host",	     {&host, 1}}
	};
	struct msg_start_session_request near = {
		.target = COURT_IN,
		.document_name = "AWS-StartPortForwardingSession",
		.parameters = {parameters, 1}
	     };
	struct msg_start_session_request far = {
		.target = COURT_IN,
		.document_name = "AWS-StartPortForwardingSessionToRemoteHost",
		.parameters = {parameters, 2}
	     };

	court_role(c, "developer");
	court_ask(c, OP_start_session, &near);
	cr_assert(eq(int, court_reached(c), 1), "%s", court_message(c));
	cr_assert(eq(int, court_ask(c, OP_start_session, &far), HW_EDENIED));
	court_role(c, "operator");
	court_ask(c, OP_start_session, &far);
	cr_assert(eq(int, court_reached(c), 2), "%s", court_message(c));
	court_free(c);
}

Test(authorise, the_access_check_makes_a_document_that_must_be_named)
{
	struct court *c = court_new();

	court_policy(c, "guide",
		POLICY(ALLOW_IF("ssm:StartSession", NODES,
			"\"BoolIfExists\":{\"ssm:SessionDocumentAccessCheck\":\"true\"}") "," ALLOW("ssm:StartSession",
			DOCUMENTS "SSM-SessionManagerRunShell")));
	cr_assert(not(starts(c, COURT_IN, NULL, NULL)));
	cr_assert(starts(c, COURT_IN, "SSM-SessionManagerRunShell", NULL));
	cr_assert(not(starts(c, COURT_IN, "AWS-StartInteractiveCommand", NULL)));
	court_free(c);
}

/* --- run-as users ----------------------------------------------------------------------------- */

Test(authorise, another_user_of_the_node_must_be_named_and_root_as_it_is)
{
	struct court *c = court_new();

	court_policy(c, "all", POLICY(ALLOW("*", "*")));
	cr_assert(starts(c, COURT_IN, NULL, NULL));
	cr_assert(starts(c, COURT_IN, NULL, "hawser"));
	cr_assert(not(starts(c, COURT_IN, NULL, "deploy")), "everything does not name anybody");
	cr_assert(not(starts(c, COURT_IN, NULL, "root")));
	court_policy(c, "any",
		POLICY(ALLOW_IF("ssm:StartSession", "*",
			"\"StringLike\":{\"hawser:RunAs\":\"*\"}")));
	cr_assert(starts(c, COURT_IN, NULL, "deploy"));
	cr_assert(not(starts(c, COURT_IN, NULL, "root")), "a wildcard does not name root");
	court_policy(c, "root",
		POLICY(ALLOW_IF("ssm:StartSession", NODES,
			"\"StringEquals\":{\"hawser:RunAs\":\"root\"}")));
	cr_assert(starts(c, COURT_IN, NULL, "root"));
	court_free(c);
}

Test(authorise, a_deny_on_a_run_as_user_wins)
{
	struct court *c = court_new();

	court_role(c, "administrator");
	cr_assert(starts(c, COURT_IN, NULL, "root"));
	court_policy(c, "no-root",
		POLICY("{\"Effect\":\"Deny\",\"Action\":\"ssm:StartSession\",\"Resource\":\"*\","
		       "\"Condition\":{\"StringEquals\":{\"hawser:RunAs\":\"root\"}}}"));
	cr_assert(not(starts(c, COURT_IN, NULL, "root")));
	cr_assert(starts(c, COURT_IN, NULL, "deploy"));
	court_free(c);
}

/* --- who and from where ----------------------------------------------------------------------- */

Test(authorise, the_address_that_a_request_comes_from_counts)
{
	struct court *c = court_new();
	struct msg_list_users_request req = {.max_results = 10};

	court_policy(c, "office",
		POLICY(ALLOW_IF("iam:ListUsers", "*",
			"\"IpAddress\":{\"aws:SourceIp\":\"192.0.2.0/24\"}")));
	court_ask_from(c, "ann", "192.0.2.77", OP_list_users, &req);
	cr_assert_str_eq(court_shown(c), " ann bob");
	cr_assert(eq(int, court_ask_from(c, "ann", "198.51.100.1", OP_list_users, &req),
		HW_EDENIED));
	cr_assert(eq(int, court_ask_from(c, "bob", "192.0.2.77", OP_list_users, &req), HW_EDENIED));
	court_free(c);
}

static int
write_group(void *arg, struct db *db, struct hw_err *err)
{
	const struct group_row dba = {.name = "dba"};
	int r;

	(void)arg;
	if ((r = group_insert(db, &dba, err)) < 0 || (r = member_add(db, "dba", "ann", err)) < 0)
		return r;
	return attachment_add(db, "operator", HOLDER_GROUP, "dba", err);
}

static int
write_leave(void *arg, struct db *db, struct hw_err *err)
{
	(void)arg;
	return member_remove(db, "dba", "ann", err);
}

Test(authorise, a_group_gives_what_is_attached_to_it_as_long_as_one_is_in_it)
{
	struct court *c = court_new();

	cr_assert(not(starts(c, COURT_IN, NULL, NULL)));
	court_write(c, write_group, NULL);
	cr_assert(starts(c, COURT_IN, NULL, NULL));
	court_write(c, write_leave, NULL);
	cr_assert(not(starts(c, COURT_IN, NULL, NULL)));
	court_free(c);
}

static int
write_disabled(void *arg, struct db *db, struct hw_err *err)
{
	return user_set_disabled(db, "ann", *(const bool *)arg, err);
}

Test(authorise, a_disabled_user_may_nothing_not_even_ask_who_it_is)
{
	struct court *c = court_new();
	const struct msg_ledger_entry *e;
	bool yes = true, no = false;
	const struct msg_empty nothing = {.unused = false};

	court_role(c, "administrator");
	court_write(c, write_disabled, &yes);
	court_entries(c, NULL);
	cr_assert(not(starts(c, COURT_IN, NULL, NULL)));
	cr_assert(eq(sz, court_entries(c, &e), 1));
	cr_assert_str_eq(e->reason, "it is disabled");
	cr_assert(eq(int, court_ask(c, OP_get_caller_identity, &nothing), HW_EDENIED));
	court_write(c, write_disabled, &no);
	cr_assert(starts(c, COURT_IN, NULL, NULL));
	court_free(c);
}

/* A policy of another version of this program, say, that denies something. */
static int
write_unreadable(void *arg, struct db *db, struct hw_err *err)
{
	const struct policy_row row = {
		.name = "strange", .document = "{\"Version\":\"2099-01-01\",\"Statement\":[]}"};
	int r = policy_put(db, &row, err);

	(void)arg;
	return r < 0 ? r : attachment_add(db, "strange", HOLDER_USER, "ann", err);
}

Test(authorise, whoever_has_a_policy_that_cannot_be_read_may_nothing)
{
	struct court *c = court_new();

	court_role(c, "administrator");
	court_write(c, write_unreadable, NULL);
	cr_assert(not(starts(c, COURT_IN, NULL, NULL)));
	court_free(c);
}

/* --- tags ------------------------------------------------------------------------------------- */

Test(authorise, a_nodes_tags_are_those_of_the_moment)
{
	struct court *c = court_new();

	court_role(c, "developer");
	cr_assert(starts(c, COURT_IN, NULL, NULL));
	cr_assert(not(starts(c, COURT_OUT, NULL, NULL)));
	court_tag_node(c, COURT_OUT, "TEAM", "blue");
	cr_assert(starts(c, COURT_OUT, NULL, NULL), "tag keys have no case");
	court_tag_node(c, COURT_IN, "Team", "Blue");
	cr_assert(not(starts(c, COURT_IN, NULL, NULL)), "tag values have");
	court_free(c);
}

Test(authorise, tags_that_a_request_brings_can_be_bounded)
{
	struct court *c = court_new();
	struct msg_tag tag = {"Env", "dev"};
	struct msg_create_activation_request req = {
		.tags = {.v = &tag, .n = 1}
	   };
	int before = court_reached(c);

	court_policy(c, "dev",
		POLICY(ALLOW_IF("ssm:CreateActivation", "*",
			"\"StringEquals\":{\"aws:RequestTag/Env\":\"dev\"},"
			"\"ForAllValues:StringEquals\":{\"aws:TagKeys\":[\"Env\"]}")));
	court_ask(c, OP_create_activation, &req);
	cr_assert(eq(int, court_reached(c), before + 1), "%s", court_message(c));
	tag.value = "prod";
	cr_assert(eq(int, court_ask(c, OP_create_activation, &req), HW_EDENIED));
	struct msg_tag two[] = {
		{"Env",	"dev"},
		{"Owner", "ann"}
	};
	req.tags.v = two;
	req.tags.n = 2;
	cr_assert(eq(int, court_ask(c, OP_create_activation, &req), HW_EDENIED));
	court_free(c);
}

/* Policies read tags without regard to the case of their keys, so a rule about who may set one has
 * to as well. aws:TagKeys has values, which have case. */
Test(authorise, a_tag_that_may_not_be_set_may_not_be_set_in_capitals)
{
	static const char *const keys[] = {"Team", "TEAM", "team"};
	struct court *c = court_new();
	struct msg_tag tag = {"Colour", "red"};
	struct msg_add_tags_to_resource_request req = {
		.resource_type = TAG_RESOURCE_MANAGED_INSTANCE,
		.resource_id = COURT_OUT,
		.tags = {.v = &tag, .n = 1},
	};

	court_policy(c, "tags", POLICY(ALLOW("ssm:AddTagsToResource", "*")));
	court_policy(c, "not-the-team",
		POLICY("{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\","
		       "\"Condition\":{\"Null\":{\"aws:RequestTag/Team\":\"false\"}}}"));
	court_ask(c, OP_add_tags_to_resource, &req);
	cr_assert(eq(int, court_reached(c), 1), "%s", court_message(c));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		tag.key = keys[i];
		cr_assert(eq(int, court_ask(c, OP_add_tags_to_resource, &req), HW_EDENIED), "%s",
			keys[i]);
	}
	court_free(c);
}

/* --- nobody makes themselves more than they are ------------------------------------------------
 */

Test(authorise, making_users_is_not_making_administrators)
{
	struct court *c = court_new();
	const char *group = "dba";
	struct msg_create_user_request plain =
					       {
						       .user_name = "eve"
	 },
				       admin = {.user_name = "eve", .admin = true},
				       grouped = {.user_name = "eve", .groups = {&group, 1}};

	court_policy(c, "hr", POLICY(ALLOW("iam:CreateUser", "*")));
	court_ask(c, OP_create_user, &plain);
	cr_assert(eq(int, court_reached(c), 1), "%s", court_message(c));
	cr_assert(eq(int, court_ask(c, OP_create_user, &admin), HW_EDENIED));
	cr_assert_not_null(strstr(court_message(c), "iam:AttachPolicy"), "%s", court_message(c));
	cr_assert(eq(int, court_ask(c, OP_create_user, &grouped), HW_EDENIED));
	cr_assert_not_null(strstr(court_message(c), "iam:AddUserToGroup"), "%s", court_message(c));
	court_free(c);
}

/* As AttachPolicy, it is about the policy and about whoever gets it. */
Test(authorise, who_may_make_some_administrators_may_not_make_others)
{
	struct court *c = court_new();
	struct msg_create_user_request req = {.user_name = "eve", .admin = true};

	court_policy(c, "lead",
		POLICY(ALLOW("iam:CreateUser", "*") "," ALLOW("iam:AttachPolicy",
			"arn:aws:iam::aws:policy/*") "," ALLOW("iam:AttachPolicy",
			"arn:aws:iam::*:user/lead-*")));
	cr_assert(eq(int, court_ask(c, OP_create_user, &req), HW_EDENIED));
	cr_assert_not_null(strstr(court_message(c), "iam:AttachPolicy on arn:aws:iam::"), "%s",
		court_message(c));
	cr_assert_not_null(strstr(court_message(c), "user/eve"), "%s", court_message(c));
	req.user_name = "lead-eve";
	court_ask(c, OP_create_user, &req);
	cr_assert(eq(int, court_reached(c), 1), "%s", court_message(c));
	court_free(c);
}

/* Policies go by the tags of who asks: who gives them gives what those allow. */
Test(authorise, making_users_is_not_tagging_them)
{
	struct court *c = court_new();
	struct msg_tag tag = {"Team", "blue"};
	struct msg_create_user_request req = {
		.user_name = "eve", .tags = {.v = &tag, .n = 1}
	       };
	const struct msg_ledger_entry *e;

	court_policy(c, "hr", POLICY(ALLOW("iam:CreateUser", "*")));
	court_entries(c, NULL);
	cr_assert(eq(int, court_ask(c, OP_create_user, &req), HW_EDENIED));
	cr_assert_not_null(strstr(court_message(c), "ann may not iam:TagUser on"), "%s",
		court_message(c));
	cr_assert(eq(sz, court_entries(c, &e), 1));
	cr_assert_str_eq(e->action, "iam:TagUser");
	court_policy(c, "green",
		POLICY(ALLOW_IF("iam:TagUser", "*",
			"\"StringEquals\":{\"aws:RequestTag/Team\":\"green\"}")));
	cr_assert(eq(int, court_ask(c, OP_create_user, &req), HW_EDENIED));
	tag.value = "green";
	court_ask(c, OP_create_user, &req);
	cr_assert(eq(int, court_reached(c), 1), "%s", court_message(c));
	court_free(c);
}

Test(authorise, who_may_attach_one_policy_may_not_attach_another)
{
	struct court *c = court_new();
	struct msg_attach_policy_request req = {.policy_name = "developer", .user_name = "bob"};

	court_policy(c, "lead",
		POLICY(ALLOW_IF("iam:AttachPolicy", "*",
			"\"ArnEquals\":{\"iam:PolicyARN\":\"arn:aws:iam::aws:policy/developer\"}")));
	court_ask(c, OP_attach_policy, &req);
	cr_assert(eq(int, court_reached(c), 1), "%s", court_message(c));
	req.policy_name = "administrator";
	cr_assert(eq(int, court_ask(c, OP_attach_policy, &req), HW_EDENIED));
	court_free(c);
}

/* --- lists ------------------------------------------------------------------------------------ */

Test(authorise, a_list_is_one_entry_with_its_counts)
{
	struct court *c = court_new();
	const struct msg_ledger_entry *e;
	struct msg_describe_instance_information_request req = {.max_results = 5};

	court_role(c, "developer");
	court_entries(c, NULL);
	court_ask(c, OP_describe_instance_information, &req);
	cr_assert_str_eq(court_shown(c), " " COURT_IN);
	cr_assert(eq(sz, court_entries(c, &e), 1));
	cr_assert_str_eq(e->kind, "decision");
	cr_assert(eq(int, e->outcome, OUTCOME_ALLOWED));
	court_free(c);
}

Test(authorise, a_list_without_anything_in_it_is_still_a_list)
{
	struct court *c = court_new();
	struct msg_describe_instance_information_request req = {.max_results = 5};

	court_policy(c, "green",
		POLICY(ALLOW_IF("ssm:DescribeInstanceInformation", "*",
			"\"StringEquals\":{\"ssm:resourceTag/Team\":\"green\"}")));
	cr_assert(ne(int, court_ask(c, OP_describe_instance_information, &req), HW_EDENIED));
	cr_assert_str_eq(court_shown(c), "");
	court_free(c);
}

/* --- scopes ----------------------------------------------------------------------------------- */

/* An item of a list is decided as everything is. */
static void
judge(struct verdict *ret, const struct asker *asker, const struct scope *scope)
{
	authorise(ret, asker, "ssm:SendCommand", scope);
	cr_assert(eq(int, authorise_item(asker, "ssm:SendCommand", scope), ret->allow));
}

Test(authorise, a_disabled_user_is_shown_no_item)
{
	struct court *c = court_new();
	struct arena *arena = arena_new(1 << 16);
	struct scope scope;
	struct asker asker;
	struct verdict v;
	bool yes = true;

	court_role(c, "administrator");
	court_write(c, write_disabled, &yes);
	asker_init(&asker, court_env(c), "ann", INT64_MAX, "", 0);
	scope_init(&scope, arena);
	scope_add(&scope, "*");
	judge(&v, &asker, &scope);
	cr_assert(not(v.allow));
	scope_fini(&scope);
	asker_fini(&asker);
	arena_free(arena);
	court_free(c);
}

Test(authorise, a_scope_without_targets_is_denied_to_everybody)
{
	struct court *c = court_new();
	struct arena *arena = arena_new(1 << 16);
	struct scope scope;
	struct asker asker;
	struct verdict v;

	court_role(c, "administrator");
	asker_init(&asker, court_env(c), "ann", INT64_MAX, "", 0);
	scope_init(&scope, arena);
	judge(&v, &asker, &scope);
	cr_assert(not(v.allow));
	scope_add(&scope, "*");
	judge(&v, &asker, &scope);
	cr_assert(v.allow);
	scope_fini(&scope);
	asker_fini(&asker);
	arena_free(arena);
	court_free(c);
}

Test(authorise, every_target_needs_an_allow_of_its_own)
{
	struct court *c = court_new();
	struct arena *arena = arena_new(1 << 16);
	struct scope scope;
	struct asker asker;
	struct verdict v;

	court_policy(c, "some", POLICY(ALLOW("ssm:SendCommand", "arn:aws:ssm:*:*:*/1")));
	asker_init(&asker, court_env(c), "ann", INT64_MAX, "", 0);
	scope_init(&scope, arena);
	scope_add(&scope, "arn:aws:ssm:r:1:a/1");
	scope_add(&scope, "arn:aws:ssm:r:1:b/1");
	judge(&v, &asker, &scope);
	cr_assert(v.allow);
	for (int i = 0; i < 20; i++)
		scope_add(&scope, "arn:aws:ssm:r:1:c/1");
	scope_add(&scope, "arn:aws:ssm:r:1:b/2");
	judge(&v, &asker, &scope);
	cr_assert(not(v.allow));
	cr_assert_str_eq(v.target->resource, "arn:aws:ssm:r:1:b/2");
	scope_fini(&scope);
	asker_fini(&asker);
	arena_free(arena);
	court_free(c);
}
