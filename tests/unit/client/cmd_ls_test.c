#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/unit/client/stage.h"

static const struct rig_answer nothing[] = {
	{"DescribeInstanceInformation",	0, "{\"InstanceInformationList\":[]}"},
	{0}
};

Test(ls, an_empty_fleet_may_be_one_that_is_not_to_be_seen)
{
	struct stage *s = stage_ok("ls", nothing, "DescribeInstanceInformation {\"LargePages\":true}\n");

	cr_assert_str_eq(s->out, "");
	stage_has(s->said, "none has joined, or none that you may see");
	stage_free(s);
	s = stage_ok("ls -o json", nothing, "DescribeInstanceInformation {\"LargePages\":true}\n");
	stage_has(s->out, "\"InstanceInformationList\": []");
	cr_assert_str_eq(s->said, "");
	stage_free(s);
}

Test(ls, a_selector_without_a_node_is_not_called_wrong)
{
	struct stage *s = stage_new();

	stage_run(s, "ls tag:Env=prod", nothing);
	cr_assert(eq(int, s->status, HW_ENODE));
	stage_has(s->err.text, "no node that you may see is 'tag:Env=prod'");
	cr_assert(eq(int, s->client.exit_status, 4));
	stage_free(s);
	s = stage_new();
	stage_run(s, "node show web-9", nothing);
	stage_has(s->err.text, "no node that you may see is named web-9");
	stage_free(s);
}
