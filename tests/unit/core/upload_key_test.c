/* Keys of objects: what a node says goes into no other place. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/schema/schema.h"
#include "relay/core/readers.h"
#include "relay/core/upload.h"

#define COMMAND "11111111-2222-4333-8444-555555555555"
#define NODE	"mi-00000000000000001"

static void
has_key(const char *prefix, struct msg_invocation_step *all, size_t n, size_t step, int stream,
	const char *wanted)
{
	struct msg_invocation_steps steps = {0};
	struct command_row command = {.id = COMMAND};
	char key[S3_KEY_MAX + 1];

	steps.steps.v = all;
	steps.steps.n = n;
	snprintf(command.s3_prefix, sizeof(command.s3_prefix), "%s", prefix);
	upload_key(key, &command, NODE, &steps, step, stream);
	cr_assert_str_eq(key, wanted);
}

Test(upload_key, names_command_node_plugin_and_step)
{
	struct msg_invocation_step s[] = {
		{.name = "runIt",		  .action = "aws:runShellScript"},
		{.name = "0.aws:runShellScript", .action = "aws:runShellScript"}
	};

	has_key("", s, 2, 0, OUTPUT_STREAM_STDOUT,
		COMMAND "/" NODE "/awsrunShellScript/runIt/stdout");
	has_key("a/b", s, 2, 1, OUTPUT_STREAM_STDERR,
		"a/b/" COMMAND "/" NODE "/awsrunShellScript/0.awsrunShellScript/stderr");
}

Test(upload_key, what_a_node_says_leads_nowhere_else)
{
	struct msg_invocation_step s[] = {
		{.name = "../../../x", .action = "../y"},
		  {.name = ".."	       },
		{.name = "a b\x01/c",	      .action = ""		  },
		     {.name = "::",	    .action = ":"}
	  };

	has_key("p", s, 4, 0, OUTPUT_STREAM_STDOUT,
		"p/" COMMAND "/" NODE "/_._y/_._.._.._x/stdout");
	has_key("p", s, 4, 1, OUTPUT_STREAM_STDOUT, "p/" COMMAND "/" NODE "/_/_./stdout");
	has_key("p", s, 4, 2, OUTPUT_STREAM_STDOUT, "p/" COMMAND "/" NODE "/_/a_b__c/stdout");
	has_key("p", s, 4, 3, OUTPUT_STREAM_STDOUT, "p/" COMMAND "/" NODE "/_/_/stdout");
}

Test(upload_key, two_steps_of_one_name_have_two_keys)
{
	struct msg_invocation_step s[] = {
		{.name = "x", .action = "aws:a"},
		  {.name = "x", .action = "aws:a"}
	  };

	has_key("", s, 2, 0, OUTPUT_STREAM_STDOUT, COMMAND "/" NODE "/awsa/x/stdout");
	has_key("", s, 2, 1, OUTPUT_STREAM_STDOUT, COMMAND "/" NODE "/awsa/x/1/stdout");
}

Test(upload_key, no_names_of_steps_come_to_the_same)
{
	struct msg_invocation_step s[] = {
		{.name = "x y",	.action = "aws:a"},
		{.name = "x_y",	.action = "aws:a"},
		{.name = "x:_y",	 .action = "awsa" },
		{.name = "x_y",	.action = "aws:b"},
		{.name = "x_y.1", .action = "aws:a"},
		{.name = ":"    },
		{.name = "_",   .action = ""		  },
	};

	has_key("", s, 7, 0, OUTPUT_STREAM_STDOUT, COMMAND "/" NODE "/awsa/x_y/stdout");
	has_key("", s, 7, 1, OUTPUT_STREAM_STDOUT, COMMAND "/" NODE "/awsa/x_y/1/stdout");
	has_key("", s, 7, 2, OUTPUT_STREAM_STDOUT, COMMAND "/" NODE "/awsa/x_y/2/stdout");
	has_key("", s, 7, 3, OUTPUT_STREAM_STDOUT, COMMAND "/" NODE "/awsb/x_y/stdout");
	has_key("", s, 7, 4, OUTPUT_STREAM_STDOUT, COMMAND "/" NODE "/awsa/x_y.1/stdout");
	has_key("", s, 7, 5, OUTPUT_STREAM_STDOUT, COMMAND "/" NODE "/_/_/stdout");
	has_key("", s, 7, 6, OUTPUT_STREAM_STDOUT, COMMAND "/" NODE "/_/_/6/stdout");
}

Test(readers, are_known_for_an_hour_by_whom_and_what)
{
	struct readers *r = readers_new();

	cr_assert_not(readers_know(r, "ann", "x", 5));
	readers_note(r, "ann", "x", 5);
	cr_assert(readers_know(r, "ann", "x", 5));
	cr_assert(readers_know(r, "ann", "x", 5 + READERS_FOR - 1));
	cr_assert_not(readers_know(r, "ann", "x", 5 + READERS_FOR));
	cr_assert_not(readers_know(r, "bob", "x", 5));
	cr_assert_not(readers_know(r, "ann", "y", 5));
	cr_assert_not(readers_know(r, "an", "nx", 5));
	readers_free(r);
	readers_free(NULL);
}
