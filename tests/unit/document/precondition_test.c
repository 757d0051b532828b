#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/document/paper.h"

#define DOC(version, precondition)                                                                                \
	"{\"schemaVersion\":\"" version                                                                           \
	"\",\"parameters\":{\"x\":{\"type\":\"String\",\"default\":\"v\"},"                                       \
	"\"l\":{\"type\":\"StringList\",\"default\":[\"a\"]}},\"mainSteps\":[{\"action\":\"a\",\"name\":\"run\"," \
	"\"inputs\":{},\"precondition\":" precondition "}]}"
#define EQ(a, b) "{\"StringEquals\":[\"" a "\",\"" b "\"]}"
#define SKIPPED(a, b)                                                                            \
	"Step execution skipped due to unsatisfied preconditions: '\"StringEquals\": [" a ", " b \
	"]'. Step name: run"
#define UNKNOWN(a, b)                                                 \
	"Unrecognized precondition(s): '\"StringEquals\": [" a ", " b \
	"]', please update agent to latest version"

static const struct {
	const char *precondition;
	enum document_verdict verdict;
	const char *why;
} rows[] = {
	{"{}",		    DOCUMENT_RUN,		     ""},
	{EQ("platformType",	    "Linux"),		      DOCUMENT_RUN,""},
	{EQ("linux",		       "platformType"),					  DOCUMENT_RUN,""},
	{EQ("platformType",			    "LINUX"),						 DOCUMENT_RUN,				    ""},
	{EQ("platformType",	    "Windows"),DOCUMENT_SKIP,SKIPPED("platformType", "Windows")},
	{EQ("platformtype",   "Linux"),			      DOCUMENT_FAIL,						     UNKNOWN("platformtype", "Linux")},
	{EQ("platformType",			    "platformType"),				     DOCUMENT_FAIL,
		UNKNOWN("platformType", "platformType")},
	{EQ("platformType", "{{ x }}"),			DOCUMENT_FAIL,UNKNOWN("platformType", "{{ x }}")},
	{EQ("{{ x }}","v"),DOCUMENT_RUN,""},
	{EQ("v",		       "{{x}}"),				   DOCUMENT_RUN,""},
	{EQ("-{{ x }}", "-v"),		       DOCUMENT_RUN,					      ""},
	{EQ("{{ x }}",				  "V"),										    DOCUMENT_SKIP,						 SKIPPED("{{ x }}", "V")},
	{EQ("{{ x }}",		       "{{x}}"),		 DOCUMENT_RUN,""},
	{EQ("{{ x }}",		       "{{ x }}"),				       DOCUMENT_FAIL,UNKNOWN("{{ x }}", "{{ x }}")},
	{EQ("a",		     "b"),						 DOCUMENT_FAIL,UNKNOWN("a", "b")},
	{EQ("{{ y }}",	       "b"),DOCUMENT_FAIL,UNKNOWN("{{ y }}", "b")},
	{EQ("{{ l }}",	       "[\\\"a\\\"]"),	       DOCUMENT_RUN,""},
	{EQ("{{ssm:p}}",			 "{{ x }}"),					DOCUMENT_FAIL,UNKNOWN("{{ssm:p}}", "{{ x }}")},
	{EQ("{{ssm-secure:p}}",	"{{ x }}"),			    DOCUMENT_FAIL,UNKNOWN("{{ssm-secure:p}}", "{{ x }}")},
	{"{\"StringEquals\":[\"platformType\"]}",DOCUMENT_FAIL,
		"Unrecognized precondition(s): '\"StringEquals\": [platformType]', please update agent to latest version"},
	{"{\"StringEquals\":[\"platformType\",\"Linux\",\"x\"]}",			  DOCUMENT_FAIL,
		"Unrecognized precondition(s): '\"StringEquals\": [platformType, Linux, x]', please update agent to latest version"},
	{"{\"StringNotEquals\":[\"platformType\",\"Linux\"]}",      DOCUMENT_FAIL,
		"Unrecognized precondition(s): '\"StringNotEquals\": [platformType, Linux]', please update agent to latest version"																		},
	{"{\"Odd\":[\"a\",\"b\"],\"StringEquals\":[\"platformType\",\"Windows\"]}",DOCUMENT_SKIP,
		SKIPPED("platformType",		"Windows")},
	{"{\"StringEquals\":[\"platformType\",\"Linux\"],\"Odd\":[]}",	       DOCUMENT_FAIL,
		"Unrecognized precondition(s): '\"Odd\": []', please update agent to latest version"},
};

static void
decides(const char *text, enum document_verdict verdict, const char *expected)
{
	char why[512] = "?";
	struct document *d = paper(text);
	struct document_values *v = paper_bind(d, NOTHING);

	cr_expect(eq(int, (int)document_precondition(d, v, 0, "linux", why, sizeof(why)),
			  (int)verdict),
		"%s", text);
	cr_expect_str_eq(why, expected);
	document_values_free(v);
	document_free(d);
}

Test(document_precondition, each_rule)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = NULL;
		cr_assert(gt(int, asprintf(&text, DOC("2.2", "%s"), rows[i].precondition), 0));
		decides(text, rows[i].verdict, rows[i].why);
		free(text);
	}
}

Test(document_precondition, a_step_without_one_runs)
{
	decides(PAPER("", ""), DOCUMENT_RUN, "");
}

Test(document_precondition, older_schemas_have_none)
{
	decides(DOC("2.0", EQ("platformType", "Linux")), DOCUMENT_FAIL,
		"A document of schema 2.0 has no preconditions");
}

Test(document_precondition, a_sentence_that_does_not_fit_is_cut)
{
	char why[20];
	struct document *d = paper(DOC("2.2", EQ("platformType", "Windows")));
	struct document_values *v = paper_bind(d, NOTHING);

	cr_assert(eq(int, (int)document_precondition(d, v, 0, "linux", why, sizeof(why)),
		(int)DOCUMENT_SKIP));
	cr_assert_str_eq(why, "Step execution skip");
	document_values_free(v);
	document_free(d);
}
