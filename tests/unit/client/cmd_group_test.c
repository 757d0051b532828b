#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/unit/client/stage.h"

#define OPS \
	"{\"GroupName\":\"ops\",\"Users\":[\"ann\",\"bob\"],\"AttachedPolicies\":[\"operator\"]}"

Test(group, create_and_rm_take_several)
{
	static const struct rig_answer make[] = {
		{"CreateGroup",		0, "{\"Group\":" OPS "}"},
		{"CreateGroup", 0, "{\"Group\":{\"GroupName\":\"dev\"}}"},
		   {0	     }
	      };
	static const struct rig_answer rm[] = {
		{"DeleteGroup", 0, "{}"},
		  {0	    }
	     };

	stage_free(stage_ok("group create ops dev", make,
		"CreateGroup {\"GroupName\":\"ops\"}\nCreateGroup {\"GroupName\":\"dev\"}\n"));
	stage_free(stage_ok("group rm ops", rm, "DeleteGroup {\"GroupName\":\"ops\"}\n"));
}

Test(group, add_and_remove_name_the_group_first)
{
	static const struct rig_answer add[] = {
		{"AddUserToGroup", 0, "{}"},
		     {"AddUserToGroup",		0, "{}"},
		  {0}
	     };
	static const struct rig_answer remove[] = {
		{"RemoveUserFromGroup", 0, "{}"},
		  {0		    }
	     };

	stage_free(stage_ok("group add ops ann bob", add,
		"AddUserToGroup {\"GroupName\":\"ops\",\"UserName\":\"ann\"}\n"
		"AddUserToGroup {\"GroupName\":\"ops\",\"UserName\":\"bob\"}\n"));
	stage_free(stage_ok("group remove ops ann", remove,
		"RemoveUserFromGroup {\"GroupName\":\"ops\",\"UserName\":\"ann\"}\n"));
	stage_free(stage_fails("group add ops", NULL, HW_EUSAGE, "wants GROUP USER..."));
}

Test(group, show_and_ls)
{
	static const struct rig_answer show[] = {
		{"GetGroup",	     0, "{\"Group\":" OPS "}"},
		{0}
	   };
	static const struct rig_answer ls[] = {
		{"ListGroups",	       0, "{\"Groups\":[" OPS "]}"},
		     {0}
	};
	struct stage *s =
		stage_ok("group show ops -o json", show, "GetGroup {\"GroupName\":\"ops\"}\n");

	stage_has(s->out, "{\n  \"GroupName\": \"ops\"");
	stage_free(s);
	s = stage_ok("group ls", ls, "ListGroups {}\n");
	cr_assert_str_eq(s->out, "NAME  POLICIES  USERS\nops   operator  ann,bob\n");
	stage_free(s);
}

Test(group, one_that_is_not_there_is_said)
{
	static const struct rig_answer answers[] = {
		{"GetGroup",		     HW_ENOTFOUND, "no group is named opps"},
		      {0}
	 };

	stage_free(stage_fails("group show opps", answers, HW_ENOTFOUND, "no group is named opps"));
}
