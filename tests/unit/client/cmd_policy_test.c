#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/client/stage.h"

/* --- put and show ---------------------------------------------------------------------------- */

#define POLICY(text)                                                     \
	"{\"Policy\":{\"PolicyName\":\"dev\",\"PolicyDocument\":\"" text \
	"\",\"Users\":[\"ann\"],\"Groups\":[\"ops\",\"dev\"],\"Description\":\"of the team\"}}"

/* Runs `policy put dev -` with this on standard input. */
static struct stage *
put(const char *document, const struct rig_answer *answers)
{
	struct stage *s = stage_new();

	s->input = document;
	stage_run(s, "policy put dev - --description team", answers);
	return s;
}

Test(policy, put_sends_the_document_as_it_is)
{
	static const struct rig_answer answers[] = {
		{"PutPolicy",   0, POLICY("{}")},
		{0}
	   };
	struct stage *s = put("{\n\t\"Version\": \"2012-10-17\"\n}", answers);

	cr_assert(eq(int, s->status, 0), "%s", s->err.text);
	cr_assert_str_eq(s->asked,
		"PutPolicy {\"PolicyName\":\"dev\",\"PolicyDocument\":"
		"\"{\\n\\t\\\"Version\\\": \\\"2012-10-17\\\"\\n}\",\"Description\":\"team\"}\n");
	stage_has(s->said, "in force for 1 user and 2 groups");
	stage_free(s);
}

Test(policy, put_says_when_nobody_has_it)
{
	static const struct rig_answer answers[] = {
		{"PutPolicy",			      0, "{\"Policy\":{\"PolicyName\":\"dev\"}}"},
		   {0}
	      };
	struct stage *s = put("{}", answers);

	stage_has(s->said, "attached to nobody yet");
	stage_free(s);
}

Test(policy, put_points_at_the_mistake)
{
	static const struct rig_answer answers[] = {
		{"PutPolicy",				   HW_EMALFORMED, "line 2, column 12: Effect is Allow or Deny"},
		    {0}
	       };
	struct stage *s = put("{\n\t\"Effect\": \"Permit\"}\n", answers);

	cr_assert(eq(int, s->status, 1));
	cr_assert_str_eq(s->said,
		"hawser: standard input:2:12: Effect is Allow or Deny\n"
		"        \"Effect\": \"Permit\"}\n"
		"                  ^\n");
	cr_assert_str_eq(s->out, "");
	stage_free(s);
}

Test(policy, a_mistake_cannot_steer_the_terminal)
{
	static const struct rig_answer answers[] = {
		{"PutPolicy",		      HW_EMALFORMED, "line 1, column 1: no \033[2J"},
		      {0}
	 };
	struct stage *s = put("\033[2J\n", answers);

	cr_assert_str_eq(s->said, "hawser: standard input:1:1: no \\x1b[2J\n    \\x1b[2J\n    ^\n");
	stage_free(s);
}

Test(policy, a_place_that_is_none_shows_no_line)
{
	static const struct rig_answer far[] = {
		{"PutPolicy",		      HW_EMALFORMED, "line 9, column 1: more"},
		{0}
	   };
	static const struct rig_answer none[] = {
		{"PutPolicy",	      HW_EMALFORMED, "it is too deep"},
		{0}
	   };
	struct stage *s = put("{}", far);

	cr_assert_str_eq(s->said, "hawser: standard input:9:1: more\n");
	stage_free(s);
	s = put("{}", none);
	cr_assert_str_eq(s->said, "hawser: standard input: it is too deep\n");
	cr_assert(eq(int, s->status, 1));
	stage_free(s);
}

Test(policy, put_refuses_what_can_be_no_document)
{
	char *large = malloc(65538);
	struct stage *s = put("", NULL);

	stage_has(s->err.text, "standard input is empty");
	cr_assert(eq(int, s->status, HW_EUSAGE));
	stage_free(s);

	memset(large, ' ', 65537);
	large[65537] = '\0';
	s = put(large, NULL);
	cr_assert(eq(int, s->status, HW_EUSAGE));
	stage_has(s->err.text, "larger than 64 KiB");
	stage_free(s);
	free(large);

	stage_free(stage_fails("policy put dev /nonexistent/p.json", NULL, HW_ENOTFOUND,
		"cannot open /nonexistent/p.json"));
	stage_free(stage_fails("policy put dev", NULL, HW_EUSAGE, "wants NAME FILE"));
}

Test(policy, put_refuses_a_file_with_a_nul_byte)
{
	static const char utf16[] = "{\0}\0";
	char path[] = "/tmp/hawser-policy-XXXXXX", line[64];
	int fd = mkstemp(path);

	cr_assert(eq(int, (int)write(fd, utf16, sizeof(utf16)), (int)sizeof(utf16)));
	close(fd);
	snprintf(line, sizeof(line), "policy put dev %s", path);
	stage_free(stage_fails(line, NULL, HW_EUSAGE, "NUL byte"));
	unlink(path);
}

Test(policy, show_gives_the_document_byte_for_byte_and_the_rest_on_stderr)
{
	static const struct rig_answer answers[] = {
		{"GetPolicy",				       0, POLICY("{\\n\\t\\\"a\\\": \\\"\xc2\x9b\\\"}\\n")},
		    {0}
	       };
	struct stage *s =
		stage_ok("policy show dev", answers, "GetPolicy {\"PolicyName\":\"dev\"}\n");

	cr_assert_str_eq(s->out, "{\n\t\"a\": \"\xc2\x9b\"}\n");
	cr_assert_str_eq(s->said,
		"hawser: policy dev: of the team\n"
		"hawser: attached to users: ann\n"
		"hawser: attached to groups: ops,dev\n");
	stage_free(s);
}

Test(policy, show_as_json_has_everything)
{
	static const struct rig_answer answers[] = {
		{"GetPolicy",   0, POLICY("{}")},
		{0}
	   };
	struct stage *s = stage_ok("policy show dev -o json", answers,
		"GetPolicy {\"PolicyName\":\"dev\"}\n");

	stage_has(s->out, "{\n  \"PolicyName\": \"dev\"");
	stage_has(s->out, "\"PolicyDocument\": \"{}\"");
	cr_assert_str_eq(s->said, "");
	stage_free(s);
}

/* --- ls, rm, attach, detach ------------------------------------------------------------------ */

Test(policy, ls_tells_built_in_ones_from_others)
{
	static const struct rig_answer answers[] = {
		{"ListPolicies",								0,
			"{\"Policies\":[{\"PolicyName\":\"auditor\",\"Managed\":true,\"Description\":"
			"\"reads recordings\"},{\"PolicyName\":\"dev\",\"Users\":[\"ann\"]}]}"},
		{0}
	   };
	struct stage *s = stage_ok("policy ls", answers, "ListPolicies {}\n");

	cr_assert_str_eq(s->out,
		"NAME     KIND      USERS  GROUPS  DESCRIPTION\n"
		"auditor  built in  0      0       reads recordings\n"
		"dev      own       1      0\n");
	stage_free(s);
}

Test(policy, rm_of_one_that_is_attached_says_how_to_find_out_to_whom)
{
	static const struct rig_answer answers[] = {
		{"DeletePolicy", 0, "{}"},
		{"DeletePolicy",		 HW_ECONFLICT, "dev is attached to 1 user"},
		     {0}
	};
	struct stage *s = stage_fails("policy rm old dev", answers, HW_ECONFLICT,
		"dev is attached to 1 user (1 of 2 were done)");

	stage_has(s->client.hint, "hawser policy show dev");
	stage_free(s);
}

Test(policy, attach_and_detach_take_users_and_groups)
{
	static const struct rig_answer attach[] = {
		{"AttachPolicy", 0, "{}"},
		   {"AttachPolicy",	    0, "{}"},
		      {"AttachPolicy", 0, "{}"},
		{0	  }
	   };
	static const struct rig_answer detach[] = {
		{"DetachPolicy", 0, "{}"},
		   {0	     }
	      };

	stage_free(stage_ok("policy attach dev --user ann --group ops --user bob", attach,
		"AttachPolicy {\"PolicyName\":\"dev\",\"UserName\":\"ann\"}\n"
		"AttachPolicy {\"PolicyName\":\"dev\",\"UserName\":\"bob\"}\n"
		"AttachPolicy {\"PolicyName\":\"dev\",\"GroupName\":\"ops\"}\n"));
	stage_free(stage_ok("policy detach dev --group ops", detach,
		"DetachPolicy {\"PolicyName\":\"dev\",\"GroupName\":\"ops\"}\n"));
	stage_free(stage_fails("policy attach dev", NULL, HW_EUSAGE,
		"policy attach wants --user USER or --group GROUP"));
	stage_free(stage_fails("policy detach dev", NULL, HW_EUSAGE, "policy detach wants"));
}

Test(policy, attach_says_what_was_done_when_a_group_is_not_there)
{
	static const struct rig_answer answers[] = {
		{"AttachPolicy", 0, "{}"},
		   {"AttachPolicy",	    HW_ENOTFOUND, "no group is named opps"},
		{0}
	   };

	stage_free(stage_fails("policy attach dev --user ann --group opps", answers, HW_ENOTFOUND,
		"the users were done, not the group opps: no group is named opps"));
}

/* --- test ------------------------------------------------------------------------------------ */

#define NODE "mi-0123456789abcdef0"
#define SIMULATE(principal, action, resource)                       \
	"SimulatePrincipalPolicy {\"PolicySourceArn\":\"" principal \
	"\",\"ActionNames\":[\"" action "\"],\"ResourceArns\":[\"" resource "\"]}\n"
#define RESULT(rest) "{\"EvaluationResults\":[{\"EvalActionName\":\"ssm:StartSession\"," rest "}]}"
#define ALLOWED	     RESULT("\"EvalDecision\":\"allowed\"")

static const struct rig_answer web_01 = {"DescribeInstanceInformation", 0,
	"{\"InstanceInformationList\":[{\"InstanceId\":\"" NODE "\",\"Name\":\"web-01\"}]}"};

Test(policy_test, a_denial_says_why_and_what_would_allow_it)
{
	const struct rig_answer answers[] = {
		web_01,
		{"SimulatePrincipalPolicy",							      0,
			RESULT("\"EvalDecision\":\"implicitDeny\",\"Reason\":\"no statement allows it\","
			       "\"Hints\":[\"policy developer, statement 1: Team must be blue\","
			       "\"policy operator would\"],\"MissingContextValues\":[\"aws:SourceIp\"]")},
		{0}
	   };
	struct stage *s = stage_new();

	stage_run(s, "policy test ann StartSession web-01", answers);
	cr_assert(eq(int, s->status, 1), "%s", s->err.text);
	stage_has(s->asked, SIMULATE("ann", "ssm:StartSession", NODE));
	cr_assert_str_eq(s->out,
		"denied   ssm:StartSession on web-01 by ann\n"
		"because  no statement allows it\n"
		"would    policy developer, statement 1: Team must be blue\n"
		"         policy operator would\n"
		"missing  aws:SourceIp (--context KEY=VALUE)\n");
	stage_free(s);
}

Test(policy_test, an_allow_and_a_deny_name_their_statement)
{
	static const struct rig_answer allow[] = {
		{"SimulatePrincipalPolicy",							    0,
			RESULT("\"EvalDecision\":\"allowed\",\"MatchedStatements\":[{"
			       "\"SourcePolicyId\":\"dev\",\"Sid\":\"Nodes\",\"StatementIndex\":2}]")},
		{0}
	   };
	static const struct rig_answer deny[] = {
		{"SimulatePrincipalPolicy",					    0,
			RESULT("\"EvalDecision\":\"explicitDeny\",\"MatchedStatements\":[{"
			       "\"SourcePolicyId\":\"fence\",\"StatementIndex\":1}]")},
		{0}
	   };
	struct stage *s = stage_ok("policy test ann ssm:StartSession " NODE, allow,
		SIMULATE("ann", "ssm:StartSession", NODE));

	cr_assert_str_eq(s->out,
		"allowed  ssm:StartSession on " NODE " by ann\n"
		"because  allowed by policy dev, statement 2 (Nodes)\n");
	stage_free(s);
	s = stage_new();
	stage_run(s, "policy test ann ssm:StartSession " NODE, deny);
	cr_assert(eq(int, s->status, 1));
	stage_has(s->out, "because  denied by policy fence, statement 1\n");
	stage_free(s);
}

Test(policy_test, resources_that_are_no_node_go_as_they_are)
{
	static const struct rig_answer answers[] = {
		{"SimulatePrincipalPolicy", 0, ALLOWED},
		 {0		   }
	    };

	stage_free(stage_ok("policy test ann iam:PutPolicy *", answers,
		SIMULATE("ann", "iam:PutPolicy", "*")));
	stage_free(stage_ok("policy test ann PutPolicy policy/dev", answers,
		SIMULATE("ann", "iam:PutPolicy", "policy/dev")));
	stage_free(stage_ok("policy test ann SendCommand arn:aws:ssm:*:*:document/x", answers,
		SIMULATE("ann", "ssm:SendCommand", "arn:aws:ssm:*:*:document/x")));
}

Test(policy_test, a_group_is_named_by_its_kind)
{
	static const struct rig_answer answers[] = {
		{"SimulatePrincipalPolicy", 0, ALLOWED},
		 {0		   }
	    };

	stage_free(stage_ok("policy test group:ops StartSession *", answers,
		SIMULATE("group/ops", "ssm:StartSession", "*")));
	stage_free(stage_fails("policy test group: StartSession *", NULL, HW_EUSAGE, "group:"));
}

Test(policy_test, a_context_key_that_is_given_twice_has_two_values)
{
	static const struct rig_answer answers[] = {
		{"SimulatePrincipalPolicy", 0, ALLOWED},
		 {0		   }
	    };
	struct stage *s = stage_new();

	stage_run(s, "policy test ann X * -c aws:TagKeys=a -c k= --context aws:TagKeys=b=c",
		answers);
	stage_has(s->asked,
		"\"ContextEntries\":[{\"ContextKeyName\":\"aws:TagKeys\",\"ContextKeyValues\":"
		"[\"a\",\"b=c\"]},{\"ContextKeyName\":\"k\",\"ContextKeyValues\":[\"\"]}]");
	stage_free(s);
	stage_free(stage_fails("policy test ann X * -c k", NULL, HW_EUSAGE, "KEY=VALUE"));
	stage_free(stage_fails("policy test ann X * -c =v", NULL, HW_EUSAGE, "KEY=VALUE"));
	stage_free(stage_fails("policy test ann X", NULL, HW_EUSAGE, "PRINCIPAL ACTION RESOURCE"));
}

Test(policy_test, json_is_the_reply_and_the_status_the_decision)
{
	static const struct rig_answer answers[] = {
		{"SimulatePrincipalPolicy",		    0, RESULT("\"EvalDecision\":\"implicitDeny\"")},
		     {0}
	};
	struct stage *s = stage_new();

	stage_run(s, "policy test ann X * -o json", answers);
	cr_assert(eq(int, s->status, 1));
	stage_has(s->out, "{\n  \"EvaluationResults\": [");
	stage_has(s->out, "\"EvalDecision\": \"implicitDeny\"");
	stage_free(s);
	s = stage_new();
	stage_run(s, "policy test ann X * -o name", answers);
	cr_assert_str_eq(s->out, "implicitDeny\n");
	stage_free(s);
}

Test(policy_test, an_action_that_nothing_asks_for_is_noted)
{
	static const struct rig_answer typo[] = {
		{"SimulatePrincipalPolicy",		    0,
			"{\"EvaluationResults\":[{\"EvalActionName\":\"ssm:StartSesion\","
			"\"EvalDecision\":\"allowed\"}]}"},
		{0}
	   };
	static const struct rig_answer good[] = {
		{"SimulatePrincipalPolicy", 0, ALLOWED},
		 {0		   }
	    };
	struct stage *s = stage_ok("policy test ann StartSesion *", typo,
		SIMULATE("ann", "ssm:StartSesion", "*"));

	stage_has(s->said, "ssm:StartSesion is the action of no operation");
	stage_free(s);
	s = stage_ok("policy test ann StartSession *", good,
		SIMULATE("ann", "ssm:StartSession", "*"));
	cr_assert_str_eq(s->said, "");
	stage_free(s);
}

Test(policy_test, no_answer_is_no_decision)
{
	static const struct rig_answer answers[] = {
		{"SimulatePrincipalPolicy",	    0, "{\"EvaluationResults\":[]}"},
		      {0}
	 };

	stage_free(stage_fails("policy test ann X *", answers, HW_EPROTO, "0 answers"));
}

/* --- who-can --------------------------------------------------------------------------------- */

Test(policy_who_can, lists_users_and_statements_over_pages)
{
	const struct rig_answer answers[] = {
		web_01,
		{"ListAllowedPrincipals",	  0,
			"{\"Principals\":[{\"UserName\":\"ann\",\"MatchedStatement\":{"
			"\"SourcePolicyId\":\"dev\",\"StatementIndex\":1,\"Sid\":\"Nodes\"}}],"
			"\"NextToken\":\"2\"}"},
		{"ListAllowedPrincipals", 0, "{\"Principals\":[{\"UserName\":\"root\"}]}"},
		    {0     }
	       };
	struct stage *s = stage_new();

	stage_run(s, "policy who-can StartSession web-01 -c aws:SourceIp=10.0.0.1", answers);
	cr_assert(eq(int, s->status, 0), "%s", s->err.text);
	stage_has(s->asked,
		"ListAllowedPrincipals {\"ActionName\":\"ssm:StartSession\",\"ResourceArn\":\"" NODE
		"\",\"ContextEntries\":[{\"ContextKeyName\":\"aws:SourceIp\",\"ContextKeyValues\":"
		"[\"10.0.0.1\"]}]}\n");
	stage_has(s->asked, "\"NextToken\":\"2\"");
	cr_assert_str_eq(s->out,
		"NAME  BY\n"
		"ann   policy dev, statement 1 (Nodes)\n"
		"root\n");
	stage_free(s);
}

Test(policy_who_can, nobody_is_an_answer_too)
{
	static const struct rig_answer answers[] = {
		{"ListAllowedPrincipals", 0, "{\"Principals\":[]}"},
		     {0 }
	};
	struct stage *s = stage_ok("policy who-can iam:PutPolicy *", answers,
		"ListAllowedPrincipals {\"ActionName\":\"iam:PutPolicy\",\"ResourceArn\":\"*\"}\n");

	cr_assert_str_eq(s->said, "hawser: nobody may iam:PutPolicy on *\n");
	stage_free(s);
	s = stage_ok("policy who-can iam:PutPolicy * -o json", answers,
		"ListAllowedPrincipals {\"ActionName\":\"iam:PutPolicy\",\"ResourceArn\":\"*\"}\n");
	stage_has(s->out, "\"Principals\": []");
	stage_free(s);
}
