#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/unit/client/stage.h"

#define MADE(id)                                                                               \
	"{\"UserName\":\"alice\",\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"se/cret+\"," \
	"\"Status\":\"Active\"}"

Test(key, create_is_of_the_caller_and_shows_the_secret_once)
{
	static const struct rig_answer answers[] = {
		{"CreateAccessKey", 0, MADE("AKIA1")},
		       {0	 }
	  };
	struct stage *s =
		stage_ok("key create", answers, "CreateAccessKey {\"UserName\":\"alice\"}\n");

	cr_assert_str_eq(s->out, "AccessKeyId      AKIA1\nSecretAccessKey  se/cret+\n");
	stage_has(s->said, "shown only now");
	stage_lacks(s->said, "se/cret+");
	stage_free(s);
}

Test(key, create_as_json_has_both_under_the_names_of_the_API)
{
	static const struct rig_answer answers[] = {
		{"CreateAccessKey", 0, MADE("AKIA1")},
		       {0	 }
	  };
	struct stage *s = stage_ok("key create bob -o json", answers,
		"CreateAccessKey {\"UserName\":\"bob\"}\n");

	stage_has(s->out, "\"AccessKeyId\": \"AKIA1\"");
	stage_has(s->out, "\"SecretAccessKey\": \"se/cret+\"");
	stage_free(s);
}

Test(key, one_that_would_steer_a_terminal_is_not_shown)
{
	static const struct rig_answer answers[] = {
		{"CreateAccessKey",    0, MADE("A\\u001b[2J")},
		     {0}
	};
	struct stage *s = stage_fails("key create", answers, HW_EPROTO, "holds no access key");

	cr_assert_str_eq(s->out, "");
	stage_free(s);
}

Test(key, ls_is_of_the_caller_or_of_a_user)
{
	static const struct rig_answer answers[] = {
		{"ListAccessKeys",			   0,
			"{\"AccessKeyMetadata\":[{\"UserName\":\"bob\",\"AccessKeyId\":\"AKIA1\","
			"\"Status\":\"Inactive\"}]}"},
		{0}
	   };
	struct stage *s = stage_ok("key ls", answers, "ListAccessKeys {\"UserName\":\"alice\"}\n");

	stage_has(s->out, "AKIA1  bob   Inactive  never\n");
	stage_free(s);
	stage_free(stage_ok("key ls bob", answers, "ListAccessKeys {\"UserName\":\"bob\"}\n"));
}

Test(key, rm_disable_and_enable_name_the_owner)
{
	static const struct rig_answer rm[] = {
		{"DeleteAccessKey", 0, "{}"},
		      {0		}
	 };
	static const struct rig_answer update[] = {
		{"UpdateAccessKey", 0, "{}"},
		      {0		}
	 };

	stage_free(stage_ok("key rm AKIA1", rm,
		"DeleteAccessKey {\"UserName\":\"alice\",\"AccessKeyId\":\"AKIA1\"}\n"));
	stage_free(stage_ok("key rm AKIA1 --user bob", rm,
		"DeleteAccessKey {\"UserName\":\"bob\",\"AccessKeyId\":\"AKIA1\"}\n"));
	stage_free(stage_ok("key disable AKIA1 --user bob", update,
		"UpdateAccessKey {\"UserName\":\"bob\",\"AccessKeyId\":\"AKIA1\","
		"\"Status\":\"Inactive\"}\n"));
	stage_free(stage_ok("key enable AKIA1", update,
		"UpdateAccessKey {\"UserName\":\"alice\",\"AccessKeyId\":\"AKIA1\","
		"\"Status\":\"Active\"}\n"));
}

Test(key, one_that_is_not_ours_is_asked_for_with_its_user)
{
	static const struct rig_answer answers[] = {
		{"DeleteAccessKey",		    HW_ENOTFOUND, "alice has no access key AKIA1"},
		    {0}
	       };
	struct stage *s =
		stage_fails("key rm AKIA1", answers, HW_ENOTFOUND, "alice has no access key");

	stage_has(s->client.hint, "hawser key rm AKIA1 --user USER");
	stage_free(s);
	s = stage_fails("key rm AKIA1 --user bob", answers, HW_ENOTFOUND, "no access key");
	cr_assert_str_eq(s->client.hint, "");
	stage_free(s);
}
