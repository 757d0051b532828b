#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/unit/client/stage.h"

static const struct rig_answer nothing[] = {
	{"DescribeInstanceInformation",	0, "{\"InstanceInformationList\":[]}"},
	{0}
};

Test(ls, an_empty_fleet_may_be_one_that_is_not_to_be_seen)
{
	struct stage *s =
		stage_ok("ls", nothing, "DescribeInstanceInformation {\"LargePages\":true}\n");

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

/* --- pages ----------------------------------------------------------------------------------- */

#define PAGE(name, id, next)                                                  \
	{                                                                     \
		"DescribeInstanceInformation", 0,                             \
			"{\"InstanceInformationList\":[{\"InstanceId\":\"" id \
			"\",\"Name\":\"" name "\"}]" next "}"                 \
	}

Test(ls, shows_the_nodes_of_all_pages_and_asks_with_each_ones_token)
{
	const struct rig_answer answers[] = {
		PAGE("c", "mi-00000000000000003", ",\"NextToken\":\"2\""),
		PAGE("a", "mi-00000000000000001", ",\"NextToken\":\"3\""),
		PAGE("b", "mi-00000000000000002", ",\"NextToken\":\"\""), {0}};
	struct stage *s = stage_ok("ls -o name", answers,
		"DescribeInstanceInformation {\"LargePages\":true}\n"
		"DescribeInstanceInformation {\"NextToken\":\"2\",\"LargePages\":true}\n"
		"DescribeInstanceInformation {\"NextToken\":\"3\",\"LargePages\":true}\n");

	cr_assert_str_eq(s->out, "a\nb\nc\n");
	stage_free(s);
}

Test(ls, a_page_that_is_refused_ends_it)
{
	const struct rig_answer answers[] = {
		PAGE("a", "mi-00000000000000001", ",\"NextToken\":\"2\""),
		{"DescribeInstanceInformation", HW_EDENIED, "not any more"},
		     {0	       }
	};
	struct stage *s = stage_fails("ls", answers, HW_EDENIED, "not any more");

	cr_assert_str_eq(s->out, "");
	stage_has(s->client.hint, "hawser status");
	stage_free(s);
}
