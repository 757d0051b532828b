#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/client/stage.h"

#define ME(rest)                                                                                    \
	"{\"Arn\":\"arn:aws:iam::000000000000:user/alice\",\"UserName\":\"alice\",\"Fleet\":\"f\"," \
	"\"Relay\":\"main\",\"RelayVersion\":\"1\",\"Expires\":1700000000,\"Nodes\":3" rest "}"

Test(status, says_who_from_where_and_what_they_may_do)
{
	static const struct rig_answer answers[] = {
		{"GetCallerIdentity",							       0,
			ME(",\"Groups\":[\"ops\",\"dev\"],\"AttachedPolicies\":[\"operator\"],"
			   "\"AllowedActions\":[\"StartSession\"],\"SourceAddress\":\"10.0.0.7\"")},
		{0}
	   };
	struct stage *s = stage_ok("status", answers, "GetCallerIdentity {}\n");

	stage_has(s->out, "user      alice\n");
	stage_has(s->out, "from      10.0.0.7\n");
	stage_has(s->out, "groups    ops, dev\n");
	stage_has(s->out, "policies  operator\n");
	stage_has(s->out, "may       sessions: StartSession\n");
	stage_has(s->out, "nodes     3, 0 online\n");
	stage_free(s);
}

Test(status, of_nobody_in_particular_is_whole)
{
	static const struct rig_answer answers[] = {
		{"GetCallerIdentity", 0, ME("")},
		  {0	    }
	     };
	struct stage *s = stage_ok("status", answers, "GetCallerIdentity {}\n");

	stage_has(s->out, "groups    -\n");
	stage_has(s->out, "may       nothing, until a policy allows it\n");
	stage_lacks(s->out, "from ");
	stage_free(s);
}

Test(status, a_fleet_that_may_not_be_seen_has_no_size)
{
	static const struct rig_answer answers[] = {
		{"GetCallerIdentity",							     0,
			"{\"Arn\":\"arn:aws:iam::000000000000:user/alice\",\"UserName\":\"alice\","
			"\"Fleet\":\"f\",\"Relay\":\"main\",\"RelayVersion\":\"1\",\"Nodes\":0}"},
		{0},
	};
	struct stage *s = stage_ok("status", answers, "GetCallerIdentity {}\n");

	stage_has(s->out, "nodes     -\n");
	stage_has(s->out, "sessions  -\n");
	stage_free(s);
}

Test(status, is_the_reply_as_json)
{
	static const struct rig_answer answers[] = {
		{"GetCallerIdentity",			      0, ME(",\"AllowedActions\":[\"StartSession\"]")},
		{0}
	   };
	struct stage *s = stage_ok("status -o json", answers, "GetCallerIdentity {}\n");

	stage_has(s->out, "\"AllowedActions\": [\n    \"StartSession\"\n  ]");
	stage_free(s);
}

/* The reply of somebody with as many groups, policies and actions as one can have. */
static char *
crowded(void)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	fprintf(f,
		"{\"Arn\":\"a\",\"UserName\":\"alice\",\"Fleet\":\"f\",\"Relay\":\"r\","
		"\"RelayVersion\":\"1\",\"SourceAddress\":\"::1\",\"Groups\":[");
	for (int i = 0; i < 100; i++)
		fprintf(f, "%s\"group-number-%d\"", i > 0 ? "," : "", i);
	fprintf(f, "],\"AttachedPolicies\":[");
	for (int i = 0; i < 1000; i++)
		fprintf(f, "%s\"%0*d\"", i > 0 ? "," : "", i == 1 ? 120 : 20, i);
	fprintf(f, "],\"AllowedActions\":[");
	for (int i = 0; i < 1000; i++)
		fprintf(f, "%s\"hawser:SomethingNew%d\"", i > 0 ? "," : "", i);
	fprintf(f, "]}");
	fclose(f);
	return text;
}

Test(status, fits_a_screen_whoever_asks)
{
	char *reply = crowded(), *rest, *line;
	struct rig_answer answers[] = {
		{"GetCallerIdentity", 0, reply},
		 {0		   }
	    };
	struct stage *s = stage_ok("status", answers, "GetCallerIdentity {}\n");
	int lines = 0;

	stage_has(s->out, ", and 97 more\n");
	stage_has(s->out, "and more: hawser status -o json\n");
	for (rest = s->out; (line = strsep(&rest, "\n")) != NULL; lines++)
		cr_expect(le(sz, strlen(line), 79), "%s", line);
	cr_assert(le(int, lines - 1, 24));
	stage_free(s);
	free(reply);
}
