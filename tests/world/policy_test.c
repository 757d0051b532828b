/* What becomes of sessions when what their users may do changes. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "relay/core/relay_private.h"
#include "relay/store/db.h"
#include "relay/store/store.h"
#include "tests/world/world.h"

#define POLICY(statements) "{\"Version\":\"2012-10-17\",\"Statement\":[" statements "]}"

struct stage {
	struct world *w;
	struct world_peer *admin, *ann, *node;
};

static void
tag_node(struct stage *s, const char *key, const char *value)
{
	struct msg_tag tag = {key, value};
	struct msg_add_tags_to_resource_request req = {
		.resource_type = TAG_RESOURCE_MANAGED_INSTANCE,
		.resource_id = s->node->who.id,
		.tags = {.v = &tag, .n = 1}
	   };

	world_do(s->admin, OP_add_tags_to_resource, &req);
}

static void
attach(struct stage *s, const char *policy)
{
	world_do(s->admin, OP_attach_policy,
		&(struct msg_attach_policy_request){.policy_name = policy, .user_name = "ann"});
}

/* Ann, of the team blue, a developer; a node of that team; and an administrator. */
static struct stage
stage_new(void)
{
	struct msg_tag blue = {"Team", "blue"};
	struct msg_create_user_request req = {
		.user_name = "ann", .tags = {.v = &blue, .n = 1}
	};
	struct msg_create_user_reply *made;
	struct hw_err err = HW_ERR_INIT;
	struct stage s = {.w = world_new(NULL)};
	char why[384];

	s.admin = world_admin(s.w);
	s.node = world_node(s.w, s.admin, "web-01");
	cr_assert(eq(int, world_connect(s.node, &err), 0), "%s", err.text);
	cr_assert(eq(int, world_call(s.admin, OP_create_user, &req, &made, why), 0), "%s", why);
	s.ann = world_user(s.w, made->invite);
	cr_assert(eq(int, world_connect(s.ann, &err), 0), "%s", err.text);
	tag_node(&s, "Team", "blue");
	attach(&s, "developer");
	return s;
}

static void
stage_free(struct stage *s)
{
	world_peer_free(s->ann);
	world_peer_free(s->node);
	world_peer_free(s->admin);
	world_free(s->w);
}

static size_t
denials(struct stage *s)
{
	return world_entries(s->w, "decision", "ssm:StartSession", OUTCOME_DENIED);
}

/* The session ended in time, its user was told, and the ledger has it once. */
static void
check_ended(struct stage *s, const struct world_channel *c, int64_t within)
{
	world_advance(s->w, within);
	cr_assert(c->closed);
	cr_assert(eq(int, c->code, HW_EREVOKED));
	cr_assert_not_null(strstr(c->message, "ann may not ssm:StartSession on"), "%s", c->message);
	cr_assert_null(strstr(c->message, "policy"), "%s", c->message);
	cr_assert(s->node->opened->closed, "the node was told too");
	cr_assert(eq(sz, denials(s), 1));
	cr_assert(eq(sz, world_entries(s->w, "session.end", NULL, OUTCOME_FAILED), 1));
	world_advance(s->w, 120 * USEC_PER_SEC);
	cr_assert(eq(sz, denials(s), 1), "once");
}

Test(policy, a_policy_that_is_taken_away_ends_what_it_allowed)
{
	struct stage s = stage_new();
	struct world_channel *c = world_shell(s.ann, s.node);
	struct world_channel *other = world_shell(s.admin, s.node);

	cr_assert(c->accepted);
	struct world_channel *seen = s.node->opened;
	s.node->opened = s.node->channels[0];
	world_do(s.admin, OP_detach_policy,
		&(struct msg_attach_policy_request){
			.policy_name = "developer", .user_name = "ann"});
	check_ended(&s, c, 2 * USEC_PER_SEC);
	cr_assert(not(other->closed), "an administrator's goes on");
	cr_assert(not(seen->closed));
	cr_assert(s.ann->up, "the link stays: its user may ask who it is");
	stage_free(&s);
}

Test(policy, a_tag_that_changes_ends_what_it_allowed)
{
	struct stage s = stage_new();
	struct world_channel *c = world_shell(s.ann, s.node);

	tag_node(&s, "Colour", "green");
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(not(c->closed), "that tag is no policy's");
	tag_node(&s, "Team", "red");
	check_ended(&s, c, 2 * USEC_PER_SEC);
	stage_free(&s);
}

Test(policy, a_users_tag_that_changes_ends_what_it_allowed)
{
	struct stage s = stage_new();
	struct world_channel *c = world_shell(s.ann, s.node);
	const char *key = "Team";

	world_do(s.admin, OP_untag_user,
		&(struct msg_untag_user_request){
			.user_name = "ann", .tag_keys = {&key, 1}
	 });
	check_ended(&s, c, 2 * USEC_PER_SEC);
	stage_free(&s);
}

Test(policy, a_deny_that_is_put_later_ends_what_was_allowed)
{
	struct stage s = stage_new();

	world_put_policy(s.admin, "rules",
		POLICY("{\"Effect\":\"Deny\",\"Action\":\"ssm:Nothing\",\"Resource\":\"*\"}"));
	attach(&s, "rules");
	struct world_channel *c = world_shell(s.ann, s.node);
	cr_assert(c->accepted);
	world_put_policy(s.admin, "rules",
		POLICY("{\"Effect\":\"Deny\",\"Action\":\"ssm:StartSession\",\"Resource\":\"*\"}"));
	check_ended(&s, c, 2 * USEC_PER_SEC);
	stage_free(&s);
}

Test(policy, a_condition_on_the_time_ends_a_session_within_a_minute_of_it)
{
	struct stage s = stage_new();
	char when[RFC3339_LEN + 1], document[512];
	int64_t end = clock_wall(&s.w->clock.clock) + 300 * USEC_PER_SEC;

	rfc3339_format(when, end);
	snprintf(document, sizeof(document),
		POLICY("{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\",\"Condition\":"
		       "{\"DateGreaterThan\":{\"aws:CurrentTime\":\"%s\"}}}"),
		when);
	world_put_policy(s.admin, "until-then", document);
	attach(&s, "until-then");
	struct world_channel *c = world_shell(s.ann, s.node);
	world_advance(s.w, 299 * USEC_PER_SEC);
	cr_assert(not(c->closed));
	check_ended(&s, c, 62 * USEC_PER_SEC);
	stage_free(&s);
}

Test(policy, a_ticket_is_decided_again_where_it_is_opened)
{
	struct stage s = stage_new();
	struct msg_start_session_request req = {.target = s.node->who.id};
	struct msg_start_session_reply *rep;
	struct hw_err err = HW_ERR_INIT;

	world_put_policy(s.admin, "office",
		POLICY("{\"Effect\":\"Deny\",\"Action\":\"ssm:StartSession\",\"Resource\":\"*\","
		       "\"Condition\":{\"NotIpAddress\":{\"aws:SourceIp\":\"192.0.2.0/24\"}}}"));
	attach(&s, "office");
	cr_assert(eq(int, world_call(s.ann, OP_start_session, &req, &rep, NULL), 0));
	world_drop(s.ann);
	s.ann->source = "198.51.100.9";
	cr_assert(eq(int, world_connect(s.ann, &err), 0), "%s", err.text);
	struct world_channel *c =
		world_open(s.ann, CHANNEL_TYPE_PTY, rep->session_id, rep->token_value);
	cr_assert(c->rejected);
	cr_assert(eq(int, c->code, HW_EDENIED));
	cr_assert_not_null(strstr(c->message, "ann may not ssm:StartSession"), "%s", c->message);
	cr_assert(eq(sz, denials(&s), 1));
	world_drop(s.ann);
	s.ann->source = "192.0.2.200";
	cr_assert(eq(int, world_connect(s.ann, &err), 0), "%s", err.text);
	c = world_open(s.ann, CHANNEL_TYPE_PTY, rep->session_id, rep->token_value);
	cr_assert(c->accepted, "the ticket was not used up: %s", c->message);
	stage_free(&s);
}

Test(policy, a_ticket_is_worth_nothing_once_its_user_may_not_any_more)
{
	struct stage s = stage_new();
	struct msg_start_session_request req = {.target = s.node->who.id};
	struct msg_start_session_reply *rep;

	cr_assert(eq(int, world_call(s.ann, OP_start_session, &req, &rep, NULL), 0));
	tag_node(&s, "Team", "red");
	struct world_channel *c =
		world_open(s.ann, CHANNEL_TYPE_PTY, rep->session_id, rep->token_value);
	cr_assert(c->rejected);
	cr_assert(eq(int, c->code, HW_EDENIED));
	cr_assert(eq(sz, denials(&s), 1));
	cr_assert(eq(sz, world_entries(s.w, "session.start", NULL, 0), 0));
	stage_free(&s);
}

Test(policy, a_disabled_user_is_cut_and_stays_out_until_it_is_enabled)
{
	struct stage s = stage_new();
	struct world_channel *c = world_shell(s.ann, s.node);
	struct msg_update_user_request req = {.user_name = "ann", .status = USER_STATUS_DISABLED};
	struct hw_err err = HW_ERR_INIT;

	world_do(s.admin, OP_update_user, &req);
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(not(s.ann->up));
	cr_assert_not_null(strstr(s.ann->down_why, "disabled"), "%s", s.ann->down_why);
	cr_assert(c->closed);
	cr_assert(s.node->opened->closed);
	cr_assert(eq(int, world_connect(s.ann, &err), HW_EREVOKED));
	cr_assert_not_null(strstr(err.text, "disabled"), "%s", err.text);
	req.status = USER_STATUS_ACTIVE;
	world_do(s.admin, OP_update_user, &req);
	cr_assert(eq(int, world_connect(s.ann, &err), 0), "%s", err.text);
	cr_assert(world_shell(s.ann, s.node)->accepted);
	stage_free(&s);
}

Test(policy, others_sessions_need_their_own_permission)
{
	struct stage s = stage_new();
	struct world_channel *mine = world_shell(s.ann, s.node);
	struct world_channel *other = world_shell(s.admin, s.node);
	struct msg_terminate_session_request req = {.session_id = other->session};
	struct msg_describe_sessions_request list = {.state = SESSION_STATE_ACTIVE};
	struct msg_describe_sessions_reply *rep;
	char why[384];

	cr_assert(eq(int, world_call(s.ann, OP_terminate_session, &req, NULL, why), HW_EDENIED));
	cr_assert(eq(int, world_call(s.ann, OP_describe_sessions, &list, &rep, NULL), 0));
	cr_assert(eq(sz, rep->sessions.n, 1));
	cr_assert_str_eq(rep->sessions.v[0].session_id, mine->session);
	req.session_id = mine->session;
	world_do(s.ann, OP_terminate_session, &req);
	cr_assert(mine->closed);
	cr_assert(not(other->closed));
	stage_free(&s);
}

Test(policy, a_list_shows_what_may_be_seen_and_its_entry_counts_the_rest)
{
	struct stage s = stage_new();
	struct world_peer *hidden = world_node(s.w, s.admin, "db-01");
	struct msg_describe_instance_information_request req = {.max_results = 50};
	struct msg_describe_instance_information_reply *rep;

	cr_assert(eq(int, world_call(s.ann, OP_describe_instance_information, &req, &rep, NULL),
		0));
	cr_assert(eq(sz, rep->instance_information_list.n, 1));
	cr_assert_str_eq(rep->instance_information_list.v[0].name, "web-01");
	cr_assert(eq(sz,
		world_entries(s.w, "decision", "ssm:DescribeInstanceInformation", OUTCOME_ALLOWED),
		1));
	world_peer_free(hidden);
	stage_free(&s);
}

#define MANY 150 /* more than are decided in two turns of the loop */

/* All of them are looked at within the two seconds, however many there are. */
Test(policy, a_change_reaches_many_sessions_in_time, .timeout = 60)
{
	struct stage s = stage_new();
	struct msg_start_session_request req = {.target = s.node->who.id};
	struct msg_start_session_reply *rep;

	s.node->n_channels = 0;
	for (int i = 0; i < MANY; i++) {
		cr_assert(eq(int, world_call(s.ann, OP_start_session, &req, &rep, NULL), 0));
		cr_assert(world_open(s.ann, CHANNEL_TYPE_PTY, rep->session_id, rep->token_value)
				  ->accepted);
	}
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), (double)MANY));
	tag_node(&s, "Team", "red");
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(eq(dbl, world_metric(s.w, "sessions"), 0.0));
	cr_assert(eq(sz, denials(&s), MANY));
	stage_free(&s);
}

/* --- when it cannot be read --------------------------------------------------------------------
 */

static int
hide_members(void *arg, struct db *db, struct hw_err *err)
{
	(void)arg;
	store_changed(db, STORE_GRANTS, "");
	return db_run(db, NULL, err, "ALTER TABLE group_member RENAME TO elsewhere", "");
}

static int
bring_members_back(void *arg, struct db *db, struct hw_err *err)
{
	(void)arg;
	return db_run(db, NULL, err, "ALTER TABLE elsewhere RENAME TO group_member", "");
}

Test(policy, what_could_not_be_read_lets_nobody_in_until_it_can_be)
{
	struct stage s = stage_new();
	struct world_channel *c = world_shell(s.ann, s.node);
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, store_write(s.w->relay->store, hide_members, NULL, &err), 0), "%s",
		err.text);
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(c->closed);
	cr_assert(not(s.ann->up));
	cr_assert(s.node->up);
	world_advance(s.w, 120 * USEC_PER_SEC);
	cr_assert(eq(int, world_connect(s.ann, &err), HW_EREVOKED));
	cr_assert(eq(int, store_write(s.w->relay->store, bring_members_back, NULL, &err), 0), "%s",
		err.text);
	world_advance(s.w, 60 * USEC_PER_SEC);
	cr_assert(eq(int, world_connect(s.ann, &err), 0), "%s", err.text);
	cr_assert(world_shell(s.ann, s.node)->accepted);
	stage_free(&s);
}

/* --- asking about policies ---------------------------------------------------------------------
 */

static struct msg_evaluation_result *
simulate(struct stage *s, const char *who, const char *action, const char *resource)
{
	struct msg_simulate_principal_policy_request req = {
		.policy_source_arn = who,
		.action_names = {&action,	  1},
		.resource_arns = {&resource, 1},
	};
	struct msg_simulate_principal_policy_reply *rep;
	char why[384];

	cr_assert(eq(int, world_call(s->admin, OP_simulate_principal_policy, &req, &rep, why), 0),
		"%s", why);
	cr_assert(eq(sz, rep->results.n, 1));
	return rep->results.v;
}

Test(policy, a_trial_says_what_would_be_decided_and_what_would_change_it)
{
	struct stage s = stage_new();
	struct msg_evaluation_result *r = simulate(&s, "ann", "ssm:StartSession", s.node->who.id);

	cr_assert(eq(int, r->decision, POLICY_DECISION_ALLOWED));
	cr_assert_str_eq(r->matched.v[0].policy, "developer");
	cr_assert_str_eq(r->matched.v[0].sid, "NodesOfTheTeam");
	tag_node(&s, "Team", "red");
	r = simulate(&s, "ann", "ssm:StartSession", s.node->who.id);
	cr_assert(eq(int, r->decision, POLICY_DECISION_IMPLICIT_DENY));
	cr_assert(gt(sz, r->hints.n, 0));
	cr_assert_not_null(strstr(r->hints.v[0], "ssm:resourceTag/Team"), "%s", r->hints.v[0]);
	cr_assert_not_null(strstr(r->hints.v[0], "\"red\""), "%s", r->hints.v[0]);
	r = simulate(&s, "ann", "ssm:StartSession", "document/AWS-StartInteractiveCommand");
	cr_assert(eq(int, r->decision, POLICY_DECISION_ALLOWED));
	r = simulate(&s, "ann", "ssm:TerminateSession", "session/ann-0123456789abcdef0");
	cr_assert(eq(int, r->decision, POLICY_DECISION_ALLOWED));
	r = simulate(&s, "ann", "ssm:TerminateSession", "session/ann-x-0123456789abcdef0");
	cr_assert(eq(int, r->decision, POLICY_DECISION_IMPLICIT_DENY));
	stage_free(&s);
}

static void
tag_own_shell(struct stage *s, const char *level)
{
	struct msg_tag tag = {"Level", level};

	world_do(s->admin, OP_add_tags_to_resource,
		&(struct msg_add_tags_to_resource_request){
			.resource_type = TAG_RESOURCE_DOCUMENT,
			.resource_id = "own-shell",
			.tags = {.v = &tag, .n = 1}
	   });
}

/* A document for shells, and what says by its tag who may. */
static void
write_own_shell(struct stage *s, const char *level)
{
	struct msg_tag tag = {"Level", level};
	struct msg_create_document_request req = {
		.name = "own-shell",
		.content = "schemaVersion: '1.0'\nsessionType: Standard_Stream\n",
		.document_format = DOCUMENT_FORMAT_YAML,
		.document_type = DOCUMENT_TYPE_SESSION,
		.tags = {.v = &tag, .n = 1},
	};

	world_do(s->admin, OP_create_document, &req);
	world_put_policy(s->admin, "rules",
		POLICY("{\"Effect\":\"Allow\",\"Action\":[\"ssm:StartSession\",\"ssm:GetDocument\"],"
		       "\"Resource\":\"arn:aws:ssm:*:*:document/*\"},"
		       "{\"Effect\":\"Deny\",\"Action\":[\"ssm:StartSession\",\"ssm:GetDocument\"],"
		       "\"Resource\":\"*\",\"Condition\":{\"StringEquals\":"
		       "{\"ssm:resourceTag/Level\":\"high\"}}}"));
	attach(s, "rules");
}

static int
start_own_shell(struct stage *s, struct msg_start_session_reply **rep)
{
	struct msg_start_session_request req = {
		.target = s->node->who.id, .document_name = "own-shell"};
	char why[384];

	return world_call(s->ann, OP_start_session, &req, rep, why);
}

Test(policy, a_trial_of_a_session_goes_by_the_tags_of_its_document_too)
{
	struct stage s = stage_new();

	write_own_shell(&s, "high");
	cr_assert(eq(int, simulate(&s, "ann", "ssm:GetDocument", "document/own-shell")->decision,
		POLICY_DECISION_EXPLICIT_DENY));
	cr_assert(eq(int, simulate(&s, "ann", "ssm:StartSession", "document/own-shell")->decision,
		POLICY_DECISION_EXPLICIT_DENY));
	stage_free(&s);
}

Test(policy, a_session_is_decided_by_the_tags_of_its_document_as_long_as_it_lives)
{
	struct stage s = stage_new();
	struct msg_start_session_reply *rep;
	struct hw_err err = HW_ERR_INIT;

	write_own_shell(&s, "high");
	cr_assert(eq(int, start_own_shell(&s, &rep), HW_EDENIED));
	tag_own_shell(&s, "low");
	cr_assert(eq(int, start_own_shell(&s, &rep), 0));
	struct world_channel *c =
		world_open(s.ann, CHANNEL_TYPE_PTY, rep->session_id, rep->token_value);
	cr_assert(c->accepted);
	tag_own_shell(&s, "high");
	world_settle(s.w);
	cr_assert(c->closed);
	cr_assert(eq(int, c->code, HW_EREVOKED));

	/* Also of a relay that has just begun, and not of another document of that name. */
	cr_assert(eq(int, world_restart(s.w, &err), 0), "%s", err.text);
	cr_assert(eq(int, world_connect(s.admin, &err), 0), "%s", err.text);
	cr_assert(eq(int, world_connect(s.node, &err), 0), "%s", err.text);
	cr_assert(eq(int, world_connect(s.ann, &err), 0), "%s", err.text);
	cr_assert(eq(int, start_own_shell(&s, &rep), HW_EDENIED));
	world_do(s.admin, OP_delete_document,
		&(struct msg_delete_document_request){.name = "own-shell"});
	cr_assert(eq(int, start_own_shell(&s, &rep), HW_EDOCUMENT));
	stage_free(&s);
}

#define E20 \
	"\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"

/* It is shown cut, and between two characters. */
Test(policy, a_trial_shows_long_values_of_any_language)
{
	struct stage s = stage_new();
	struct msg_evaluation_result *r;

	world_put_policy(s.admin, "long",
		POLICY("{\"Effect\":\"Allow\",\"Action\":\"ssm:DescribeActivations\",\"Resource\":\"*\","
		       "\"Condition\":{\"StringEquals\":{\"aws:PrincipalTag/Team\":\"x" E20 E20 E20
		       "\"}}}"));
	attach(&s, "long");
	r = simulate(&s, "ann", "ssm:DescribeActivations", "*");
	cr_assert(eq(int, r->decision, POLICY_DECISION_IMPLICIT_DENY));
	cr_assert(eq(sz, r->hints.n, 1));
	cr_assert_not_null(strstr(r->hints.v[0], "\"x" E20 E20), "%s", r->hints.v[0]);
	stage_free(&s);
}

Test(policy, who_may_do_it_is_a_list)
{
	struct stage s = stage_new();
	struct msg_list_allowed_principals_request req = {
		.action = "ssm:StartSession", .resource = s.node->who.id};
	struct msg_list_allowed_principals_reply *rep;
	char why[384];

	cr_assert(eq(int, world_call(s.admin, OP_list_allowed_principals, &req, &rep, why), 0),
		"%s", why);
	cr_assert(eq(sz, rep->principals.n, 2));
	cr_assert_str_eq(rep->principals.v[0].user_name, "admin");
	cr_assert_str_eq(rep->principals.v[1].user_name, "ann");
	cr_assert_str_eq(rep->principals.v[1].statement->policy, "developer");
	tag_node(&s, "Team", "red");
	cr_assert(eq(int, world_call(s.admin, OP_list_allowed_principals, &req, &rep, NULL), 0));
	cr_assert(eq(sz, rep->principals.n, 1));
	stage_free(&s);
}

Test(policy, a_caller_hears_what_it_may)
{
	struct stage s = stage_new();
	struct msg_get_caller_identity_reply *rep;
	const struct msg_empty nothing = {.unused = false};

	cr_assert(eq(int, world_call(s.ann, OP_get_caller_identity, &nothing, &rep, NULL), 0));
	cr_assert(eq(sz, rep->policies.n, 1));
	cr_assert_str_eq(rep->policies.v[0], "developer");
	cr_assert_str_eq(rep->source, "192.0.2.1");
	bool starts = false, lists_users = false;
	for (size_t i = 0; i < rep->actions.n; i++) {
		starts |= strcmp(rep->actions.v[i], "StartSession") == 0;
		lists_users |= strcmp(rep->actions.v[i], "ListUsers") == 0;
	}
	cr_assert(starts);
	cr_assert(not(lists_users));
	stage_free(&s);
}

Test(policy, how_large_the_fleet_is_hears_who_may_see_all_of_it)
{
	struct stage s = stage_new();
	struct msg_get_caller_identity_reply *rep;
	const struct msg_empty nothing = {.unused = false};

	cr_assert(world_shell(s.admin, s.node)->accepted);
	cr_assert(eq(int, world_call(s.ann, OP_get_caller_identity, &nothing, &rep, NULL), 0));
	cr_assert(eq(i64, rep->nodes, 0));
	cr_assert(eq(i64, rep->nodes_online, 0));
	cr_assert(eq(i64, rep->sessions, 0), "another's");
	attach(&s, "operator");
	cr_assert(eq(int, world_call(s.ann, OP_get_caller_identity, &nothing, &rep, NULL), 0));
	cr_assert(eq(i64, rep->nodes, 1));
	cr_assert(eq(i64, rep->nodes_online, 1));
	cr_assert(eq(i64, rep->sessions, 1));
	stage_free(&s);
}

/* As many keys as there may be, a tag that the request brings, and what StartSession adds itself.
 */
Test(policy, a_trial_takes_all_the_keys_that_it_may_and_no_more)
{
	static const char *const names[] = {
		"k:0", "k:1", "k:2", "k:3", "k:4", "k:5", "k:6", "k:7", "k:8", "k:9", "k:10"};
	enum { MOST = 10 };
	struct stage s = stage_new();
	const char *action = "ssm:StartSession", *value = "x";
	struct msg_context_entry entries[MOST + 2] = {
		{.name = "aws:RequestTag/Env", .values = {&value, 1}},
	};
	struct msg_simulate_principal_policy_request req = {
		.policy_source_arn = "ann",
		.action_names = {&action,	  1		   },
		.context_entries = {.v = entries, .n = MOST + 1},
	};
	struct msg_simulate_principal_policy_reply *rep;
	char why[384];

	for (size_t i = 0; i <= MOST; i++)
		entries[i + 1] = (struct msg_context_entry){
			.name = names[i], .values = {&value, 1}
		       };
	cr_assert(eq(int, world_call(s.admin, OP_simulate_principal_policy, &req, &rep, why), 0),
		"%s", why);
	req.context_entries.n++;
	cr_assert(eq(int, world_call(s.admin, OP_simulate_principal_policy, &req, NULL, why),
		HW_EVALIDATION));
	cr_assert_not_null(strstr(why, "at most 10 keys"), "%s", why);
	stage_free(&s);
}
