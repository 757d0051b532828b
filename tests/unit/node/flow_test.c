/* The course of a document's steps, rule by rule. */
#include "node/commands/flow.h"

#include <criterion/criterion.h>
#include <string.h>

#include "node/programs.h"

Test(flow, a_programs_end_means_what_ssm_says)
{
	static const struct {
		int status, signal;
		enum flow_killer killer;
		struct flow_end end;
	} rows[] = {
		{0,   0,  FLOW_NOBODY,   {FLOW_SUCCESS, 0}    },
		{1,   0,  FLOW_NOBODY,   {FLOW_FAILED, 1}	    },
		{127, 0,	 FLOW_NOBODY,   {FLOW_FAILED, 127}	},
		{194, 0,	 FLOW_NOBODY,   {FLOW_REBOOT, 194}	},
		{168, 0,	 FLOW_NOBODY,   {FLOW_FAILED, 168}	},
		{169, 0,	 FLOW_NOBODY,   {FLOW_FAILED, 169}	},
		{137, 0,	 FLOW_NOBODY,   {FLOW_TIMED_OUT, 137}},
		{137, 0,	 FLOW_CANCEL,   {FLOW_CANCELLED, 137}},
		{137, 0,	 FLOW_SHUTDOWN, {FLOW_FAILED, 137}	  },
 /* The program itself was killed, and not by us. */
		{137, 9,	 FLOW_NOBODY,   {FLOW_FAILED, -1}    },
		{143, 15, FLOW_NOBODY,   {FLOW_FAILED, -1}	},
		{137, 9,	 FLOW_TIMEOUT,  {FLOW_TIMED_OUT, 137}},
		{0,   0,  FLOW_TIMEOUT,  {FLOW_TIMED_OUT, 137}},
		{194, 0,	 FLOW_CANCEL,   {FLOW_CANCELLED, 137}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct program_exit x = {.status = rows[i].status, .signal = rows[i].signal};
		struct flow_end end = flow_program_end(&x, rows[i].killer);
		cr_assert_eq(end.status, rows[i].end.status, "row %zu", i);
		cr_assert_eq(end.code, rows[i].end.code, "row %zu", i);
	}
}

Test(flow, rules_are_read_from_inputs)
{
	static const struct {
		const char *inputs;
		struct flow_rules rules;
	} rows[] = {
		{"{}",				 {FLOW_GO_ON, FLOW_GO_ON, false}	      },
		{"{\"onFailure\":\"exit\"}",	     {FLOW_EXIT, FLOW_GO_ON, false}		   },
		{"{\"onFailure\":\"successAndExit\"}", {FLOW_SUCCESS_AND_EXIT, FLOW_GO_ON, false}},
		{"{\"onFailure\":\"Exit\"}",	     {FLOW_GO_ON, FLOW_GO_ON, false}	    },
		{"{\"onFailure\":[\"exit\"]}",	       {FLOW_GO_ON, FLOW_GO_ON, false}	      },
		{"{\"onSuccess\":\"exit\"}",	     {FLOW_GO_ON, FLOW_EXIT, false}		   },
		{"{\"finallyStep\":true}",		   {FLOW_GO_ON, FLOW_GO_ON, true}		 },
		{"{\"finallyStep\":\"true\"}",	       {FLOW_GO_ON, FLOW_GO_ON, true}	     },
		{"{\"finallyStep\":false}",	    {FLOW_GO_ON, FLOW_GO_ON, false}	   },
		{"{\"finallyStep\":\"yes\"}",	      {FLOW_GO_ON, FLOW_GO_ON, false}	     },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *inputs = json_loads(rows[i].inputs, 0, NULL);
		struct flow_rules r = flow_rules_read(inputs);
		cr_assert_eq(r.on_failure, rows[i].rules.on_failure, "%s", rows[i].inputs);
		cr_assert_eq(r.on_success, rows[i].rules.on_success, "%s", rows[i].inputs);
		cr_assert_eq(r.finally, rows[i].rules.finally, "%s", rows[i].inputs);
		json_decref(inputs);
	}
	cr_assert_eq(flow_rules_read(NULL).on_failure, FLOW_GO_ON);
}

Test(flow, a_steps_end_is_judged)
{
	static const struct {
		struct flow_rules rules;
		struct flow_end end, made;
		bool stops;
		const char *out, *err; /* what its text begins with, after the line's end */
	} rows[] = {
		{{0},				   {FLOW_SUCCESS, 0},	 {FLOW_SUCCESS, 0},	    false, "",			       ""},
		{{0},				   {FLOW_FAILED, 3},	{FLOW_FAILED, 3},	  false, "",			     ""},
		{{0},				   {FLOW_FAILED, 0},	{FLOW_FAILED, 1},	  false, "",			     ""},
		{{0},				   {FLOW_FAILED, 168},	  {FLOW_SUCCESS, 168},   true,  "Step exited with code 168",
			""															 },
		{{0},				   {FLOW_FAILED, 169},	  {FLOW_FAILED, 169},    true,  "Step exited with code 169",
			"Step exited with code 169"												},
		{{.on_failure = FLOW_EXIT},		    {FLOW_FAILED, 1},      {FLOW_FAILED, 1},	true,
			"Step was found to have onFailure",										      ""},
		{{.on_failure = FLOW_SUCCESS_AND_EXIT}, {FLOW_FAILED, 1},	  {FLOW_SUCCESS, 168},   true,
			"Step was found to have onFailure",										      ""},
 /* Only what failed, not what ran out of time or was cancelled. */
		{{.on_failure = FLOW_EXIT},		    {FLOW_TIMED_OUT, 137}, {FLOW_TIMED_OUT, 137}, false, "",
			""															 },
		{{.on_failure = FLOW_EXIT},		    {FLOW_CANCELLED, 137}, {FLOW_CANCELLED, 137}, false, "",
			""															 },
		{{.on_failure = FLOW_EXIT},		    {FLOW_SUCCESS, 0},     {FLOW_SUCCESS, 0},	  false, "",			     ""},
		{{.on_success = FLOW_EXIT},		    {FLOW_SUCCESS, 0},     {FLOW_SUCCESS, 0},	  true,
			"Step was found to have onSuccess",										      ""},
		{{.on_success = FLOW_EXIT},		    {FLOW_FAILED, 1},      {FLOW_FAILED, 1},	false, "",			   ""},
		{{.on_success = FLOW_EXIT},		    {FLOW_SKIPPED, 0},     {FLOW_SKIPPED, 0},	  false, "",			     ""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct flow_verdict v = flow_judge(&rows[i].rules, rows[i].end);
		cr_assert_eq(v.end.status, rows[i].made.status, "row %zu", i);
		cr_assert_eq(v.end.code, rows[i].made.code, "row %zu", i);
		cr_assert_eq(flow_stops(&rows[i].rules, v.end), rows[i].stops, "row %zu", i);
		cr_assert_eq(strlen(v.out) > 0, strlen(rows[i].out) > 0, "row %zu", i);
		cr_assert_eq(strlen(v.err) > 0, strlen(rows[i].err) > 0, "row %zu", i);
		cr_assert_eq(strncmp(v.out + (*v.out == '\n'), rows[i].out, strlen(rows[i].out)),
			0);
		cr_assert_eq(strncmp(v.err + (*v.err == '\n'), rows[i].err, strlen(rows[i].err)),
			0);
	}
}

Test(flow, what_comes_next)
{
	static const struct {
		size_t n, done;
		bool stopped, cancelled, finally;
		enum flow_next next;
	} rows[] = {
		{0, 0, false, false, false, FLOW_OVER},
		{2, 0, false, false, false, FLOW_RUN },
		{2, 2, false, false, true,  FLOW_OVER},
		{3, 1, true,  false, false, FLOW_SKIP},
		{3, 2, true,  false, false, FLOW_SKIP},
		{3, 1, true,  false, true,  FLOW_SKIP},
		{3, 2, true,  false, true,  FLOW_RUN },
		{3, 3, true,  false, true,  FLOW_OVER},
		{3, 1, false, true,  false, FLOW_OVER},
		{3, 2, true,  true,  true,	 FLOW_OVER},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert_eq(flow_next(rows[i].n, rows[i].done, rows[i].stopped, rows[i].cancelled,
				     rows[i].finally),
			rows[i].next, "row %zu", i);
}

Test(flow, the_whole_goes_by_precedence)
{
	static const struct {
		enum flow_status steps[4];
		size_t n;
		enum flow_status whole;
	} rows[] = {
		{{0},					 0, FLOW_SUCCESS  },
		{{FLOW_SUCCESS, FLOW_SUCCESS},		       2, FLOW_SUCCESS  },
		{{FLOW_SKIPPED, FLOW_SKIPPED},		       2, FLOW_SUCCESS  },
		{{FLOW_SKIPPED, FLOW_SUCCESS},		       2, FLOW_SUCCESS  },
		{{FLOW_SUCCESS, FLOW_WAITING},		       2, FLOW_WAITING  },
		{{FLOW_TIMED_OUT, FLOW_FAILED},		4, FLOW_FAILED   },
		{{FLOW_CANCELLED, FLOW_FAILED, FLOW_SUCCESS}, 3, FLOW_FAILED   },
		{{FLOW_CANCELLED, FLOW_TIMED_OUT},		   2, FLOW_TIMED_OUT},
		{{FLOW_SUCCESS, FLOW_CANCELLED},		 2, FLOW_CANCELLED},
		{{FLOW_REBOOT, FLOW_FAILED, FLOW_WAITING},	   3, FLOW_REBOOT	 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_assert_eq(flow_whole(rows[i].steps, rows[i].n), rows[i].whole, "row %zu", i);
}

Test(flow, a_skipped_step_says_why)
{
	char text[256];

	flow_skipped_text(text, sizeof(text), "aws:runShellScript", "two");
	cr_assert_str_eq(text,
		"Plugin with name aws:runShellScript and id two skipped due to prior step with an exit "
		"condition");
}
