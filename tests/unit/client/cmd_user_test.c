#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/unit/client/stage.h"

#define ADDED                                                                               \
	"{\"User\":{\"UserName\":\"ann\",\"Status\":\"Invited\"},\"Invite\":\"word-word\"," \
	"\"InviteExpires\":1700086400}"

Test(user, add_sends_everything_in_one_request_and_shows_the_invite)
{
	static const struct rig_answer answers[] = {
		{"CreateUser", 0, ADDED},
		  {0	    }
	     };
	struct stage *s = stage_ok("user add ann --admin --group ops --group dev --tag Team=blue "
				   "--tag Cost= --expires 1h",
		answers,
		"CreateUser {\"UserName\":\"ann\",\"Administrator\":true,\"ExpiresSeconds\":3600,"
		"\"Tags\":[{\"Key\":\"Team\",\"Value\":\"blue\"},{\"Key\":\"Cost\",\"Value\":\"\"}],"
		"\"Groups\":[\"ops\",\"dev\"]}\n");

	cr_assert_str_eq(s->out, "https://relay.example:8443 word-word\n");
	stage_has(s->said, "ann logs in with");
	stage_free(s);
}

Test(user, add_attaches_policies_once_the_user_is_there)
{
	static const struct rig_answer answers[] = {
		{"CreateUser",   0, ADDED},
		  {"AttachPolicy",	   0, "{}"},
		     {"AttachPolicy", 0, "{}"},
		{0	  }
	   };
	struct stage *s =
		stage_ok("user add ann --policy developer --policy auditor -o json", answers,
			"CreateUser {\"UserName\":\"ann\"}\n"
			"AttachPolicy {\"PolicyName\":\"developer\",\"UserName\":\"ann\"}\n"
			"AttachPolicy {\"PolicyName\":\"auditor\",\"UserName\":\"ann\"}\n");

	stage_has(s->out, "\"Invite\": \"word-word\"");
	stage_free(s);
}

Test(user, add_says_that_the_user_was_made_when_a_policy_cannot_be_attached)
{
	static const struct rig_answer answers[] = {
		{"CreateUser",   0, ADDED},
		{"AttachPolicy",	 HW_ENOTFOUND, "no policy is named developr"},
		       {0}
	  };
	struct stage *s = stage_fails("user add ann --policy developr", answers, HW_ENOTFOUND,
		"ann was made all the same, but without the policy developr: "
		"no policy is named developr");

	stage_has(s->out, "word-word");
	cr_assert_str_eq(s->client.hint, "hawser policy attach developr --user ann");
	stage_free(s);
}

Test(user, add_attaches_nothing_to_a_user_who_was_not_made)
{
	static const struct rig_answer answers[] = {
		{"CreateUser",		       HW_EEXISTS, "there is a user ann already"},
		   {0}
	      };

	stage_free(stage_fails("user add ann --policy developer", answers, HW_EEXISTS,
		"there is a user ann already"));
}

Test(user, a_service_needs_no_invite)
{
	static const struct rig_answer answers[] = {
		{"CreateUser",						 0, "{\"User\":{\"UserName\":\"deploy\",\"Type\":\"Service\"}}"},
		{0}
	   };
	struct stage *s = stage_ok("user add --service deploy", answers,
		"CreateUser {\"UserName\":\"deploy\",\"Type\":\"Service\"}\n");

	cr_assert_str_eq(s->out, "");
	stage_has(s->said, "hawser key create deploy");
	stage_free(s);
}

Test(user, an_invite_that_would_steer_a_terminal_is_not_shown)
{
	static const struct rig_answer answers[] = {
		{"CreateInvite",							  0,
			"{\"UserName\":\"ann\",\"Invite\":\"a\\u001b[2J\",\"InviteExpires\":1}"},
		{0}
	   };
	struct stage *s =
		stage_fails("user invite ann", answers, HW_EPROTO, "the relay's invite is none");

	cr_assert_str_eq(s->out, "");
	stage_free(s);
}

Test(user, tags_are_checked_before_anything_is_asked)
{
	stage_free(stage_fails("user add ann --tag Team", NULL, HW_EUSAGE, "'Team'"));
	stage_free(stage_fails("user tag ann Team", NULL, HW_EUSAGE, "'Team'"));
	stage_free(stage_fails("user tag ann", NULL, HW_EUSAGE, "NAME KEY=VALUE..."));
	stage_free(stage_fails("user untag ann", NULL, HW_EUSAGE, "NAME KEY..."));
}

Test(user, tag_and_untag)
{
	static const struct rig_answer tag[] =
		{
			{"TagUser", 0, "{}"},
			      {0	}
	 },
				       untag[] = {{"UntagUser", 0, "{}"}, {0}};

	stage_free(stage_ok("user tag ann Team=blue", tag,
		"TagUser {\"UserName\":\"ann\",\"Tags\":[{\"Key\":\"Team\",\"Value\":\"blue\"}]}\n"));
	stage_free(stage_ok("user untag ann Team OnCall", untag,
		"UntagUser {\"UserName\":\"ann\",\"TagKeys\":[\"Team\",\"OnCall\"]}\n"));
}

Test(user, disable_and_enable_take_several)
{
	static const struct rig_answer two[] = {
		{"UpdateUser", 0, "{}"},
		 {"UpdateUser",	0, "{}"},
		  {0}
	     };
	static const struct rig_answer one[] = {
		{"UpdateUser", 0, "{}"},
		 {0	   }
	    };

	stage_free(stage_ok("user disable ann bob", two,
		"UpdateUser {\"UserName\":\"ann\",\"Status\":\"Disabled\"}\n"
		"UpdateUser {\"UserName\":\"bob\",\"Status\":\"Disabled\"}\n"));
	stage_free(stage_ok("user enable ann", one,
		"UpdateUser {\"UserName\":\"ann\",\"Status\":\"Active\"}\n"));
}

Test(user, of_several_the_first_failure_ends_it_and_says_how_many_were_done)
{
	static const struct rig_answer answers[] = {
		{"DeleteUser", 0, "{}"},
		 {"DeleteUser",	HW_ENOTFOUND, "no user is named bbo"},
		       {0}
	  };

	stage_free(stage_fails("user rm ann bbo cid", answers, HW_ENOTFOUND,
		"no user is named bbo (1 of 3 were done)"));
}

Test(user, show_gives_the_user_itself)
{
	static const struct rig_answer answers[] = {
		{"GetUser",							  0,
			"{\"User\":{\"UserName\":\"ann\",\"Type\":\"User\",\"Status\":\"Active\","
			"\"Groups\":[\"ops\"],\"AttachedPolicies\":[\"auditor\"]}}"},
		{0}
	   };
	struct stage *s =
		stage_ok("user show ann -o json", answers, "GetUser {\"UserName\":\"ann\"}\n");

	stage_has(s->out, "{\n  \"UserName\": \"ann\"");
	stage_free(s);
}

Test(user, ls_follows_pages_and_shows_no_control_bytes)
{
	static const struct rig_answer answers[] = {
		{"ListUsers",						   0,
			"{\"Users\":[{\"UserName\":\"ann\",\"Status\":\"Active\",\"Groups\":[\"ops\","
			"\"dev\"],\"AttachedPolicies\":[\"auditor\"],\"Tags\":[{\"Key\":\"Team\","
			"\"Value\":\"\\u001b[2J\"}]}],\"NextToken\":\"more\"}"},
		{"ListUsers", 0, "{\"Users\":[{\"UserName\":\"bob\",\"Status\":\"Disabled\"}]}"},
		{0						  }
	   };
	struct stage *s =
		stage_ok("user ls", answers, "ListUsers {}\nListUsers {\"NextToken\":\"more\"}\n");

	stage_has(s->out, "NAME  STATUS    GROUPS   POLICIES  TAGS          LOGGED IN\n");
	stage_has(s->out, "ann   Active    ops,dev  auditor   Team=\\x1b[2J  never\n");
	stage_has(s->out, "bob   Disabled");
	stage_free(s);
}

Test(user, a_denial_passes_through_with_the_next_thing_to_try)
{
	static const struct rig_answer answers[] = {
		{"DeleteUser",				HW_EDENIED, "alice may not iam:DeleteUser on user/ann"},
		{0}
	   };
	struct stage *s = stage_fails("user rm ann", answers, HW_EDENIED,
		"alice may not iam:DeleteUser on user/ann");

	stage_has(s->client.hint, "hawser status says what alice may do");
	stage_free(s);
}

Test(activation, what_is_no_id_is_said_to_be_none_and_nobody_is_asked)
{
	static const struct rig_answer none[] = {{0}};
	struct stage *s =
		stage_fails("activation rm nope", none, HW_ENOTFOUND, "no activation nope");

	cr_assert_str_eq(s->client.hint, "hawser activation ls");
	stage_free(s);
}
