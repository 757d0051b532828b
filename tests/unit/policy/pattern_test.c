#include "relay/policy/pattern.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/base/arena.h"
#include "tests/unit/policy/ask.h"

struct match_row {
	const char *pattern, *text;
	bool matches;
};

static bool
matches(const char *pattern, const char *text, unsigned flags, const struct policy_request *what)
{
	struct arena *a = arena_new(1 << 20);
	struct pattern_bound bound;
	struct pattern p;

	const char *wrong = pattern_compile(&p, a, pattern, strlen(pattern), flags);
	cr_assert(wrong == NULL, "%s: %s", pattern, wrong);
	bool found =
		pattern_bind(&bound, &p, what) && pattern_match(&p, &bound, text, strlen(text));
	arena_free(a);
	return found;
}

static void
check(const struct match_row *rows, size_t n, unsigned flags, const struct policy_request *what)
{
	for (size_t i = 0; i < n; i++)
		cr_assert(matches(rows[i].pattern, rows[i].text, flags, what) == rows[i].matches,
			"%s against %s", rows[i].text, rows[i].pattern);
}

#define CHECK(rows, flags, what) check(rows, sizeof(rows) / sizeof((rows)[0]), flags, what)

Test(policy_pattern, wildcards)
{
	static const struct match_row rows[] = {
		{"",	     "",			 true },
		{"",	     "a",			  false},
		{"a",	      "a",			   true },
		{"a",	      "A",			   false},
		{"a",	      "ab",		    false},
		{"ab",	       "a",		    false},
		{"*",	      "",			  true },
		{"*",	      "a:b/c\n",		 true },
		{"**",	       "x",		    true },
		{"?",	      "",			  false},
		{"?",	      "a",			   true },
		{"?",	      "ab",		    false},
		{"a*",	       "a",		    true },
		{"*a",	       "ba",		     true },
		{"*a",	       "ab",		     false},
		{"a*b*c",	  "a--b--c",		     true },
		{"a*b*c",	  "a--c--b",		     false},
		{"*ab",	"aab",		       true },
		{"*aab",	 "aaab",		 true },
		{"a*a",	"a",		     false},
		{"*?",	       "",			   false},
		{"*?b",	"aab",		       true },
		{"?*?",	"a",		     false},
		{"?*?",	"ab",		      true },
		{"a.c",	"abc",		       false}, /* no regular expression */
		{"[ab]",	 "a",		      false},
		{"\\*",	"*",		     false},
		{"\xc3\xa9?", "\xc3\xa9\xe2\x82\xac", true }, /* ? is a character */
		{"??",	       "\xe2\x82\xac",	       false},
		{"*??",	"\xe2\x82\xac",		false},
	};

	CHECK(rows, PATTERN_WILDCARDS, ASK_NOTHING);
}

Test(policy_pattern, without_wildcards_is_text)
{
	static const struct match_row rows[] = {
		{"a*",	       "a*",		     true },
		{"a*",	       "ab",		     false},
		{"?",		      "?",		   true },
		{"?",		      "a",		   false},
		{"${aws:username}", "${aws:username}", true },
	};

	CHECK(rows, 0, ASK_NOTHING);
}

Test(policy_pattern, folds_ascii_letters_when_told)
{
	static const struct match_row rows[] = {
		{"SSM:start*", "ssm:StartSession", true },
		{"[",	      "{",		   false},
		{"@",	      "`",		   false},
		{"\xc3\xa9",   "\xc3\x89",	 false},
	};

	CHECK(rows, PATTERN_WILDCARDS | PATTERN_FOLD, ASK_NOTHING);
}

Test(policy_pattern, variables_stand_for_text)
{
	const struct policy_request *what = ASK_KEYS(KEY("aws:username", "ann"),
		KEY("aws:star", "*"), KEY("aws:two", "a", "b"), EMPTY_KEY("aws:none"));
	static const struct match_row rows[] = {
		{"${aws:username}",	    "ann",	   true },
		{"${AWS:UserName}",	    "ann",	   true },
		{"${aws:username}",	    "bob",	   false},
		{"x${aws:username}y*",      "xanny",	true },
		{"*${aws:username}",	     "annann", true },
		{"${aws:star}",		"*",	     true },
		{"${aws:star}",		"x",	     false}, /* what stands for something is no wildcard */
		{"${*}${?}${$}",		 "*?$",	true },
		{"${*}",			 "x",      false},
		{"$",		       "$",	   true },
		{"$x${$}{y}",		      "$x${y}", true },
		{"${aws:nothing}",	   "",       false},
		{"${aws:nothing}*",	    "x",	 false},
		{"${aws:two}",	       "a",	    false}, /* which of them? */
		{"${aws:none}",		"",	    false},
		{"${aws:nothing, 'x'}",	"x",	     true },
		{"${aws:nothing,'x'}",      "x",	    true },
		{"${aws:nothing,  '' }",	 "",	     true },
		{"${aws:nothing, '*'}",	"*",	     true },
		{"${aws:nothing, '*'}",	"x",	     false},
		{"${aws:nothing, 'a}b,c'}", "a}b,c",  true },
		{"${aws:username, 'x'}",	 "ann",	true },
		{"${aws:username, 'x'}",	 "x",      false},
	};

	CHECK(rows, PATTERN_WILDCARDS | PATTERN_VARIABLES, what);
}

Test(policy_pattern, variables_may_be_tags)
{
	struct policy_request what = *ASK_NOTHING;
	static const struct match_row rows[] = {
		{"${aws:PrincipalTag/Team}",	     "p", true },
		{"${ssm:ResourceTag/Team}",		    "r", true },
		{"${aws:resourcetag/TEAM}",		    "r", true },
		{"${aws:RequestTag/Cost Centre}",	  "q", true },
		{"${aws:RequestTag/Team}",		   "q", false},
		{"${aws:PrincipalTag/Cost Centre, 'x'}", "x", true },
	};

	what.principal_tags = TAGS({"team", "p"});
	what.resource_tags = TAGS({"a", "1"}, {"owner", "2"}, {"team", "r"}, {"z", "3"});
	what.request_tags = TAGS({"cost centre", "q"});
	CHECK(rows, PATTERN_WILDCARDS | PATTERN_VARIABLES, &what);
}

Test(policy_pattern, own_sessions_are_not_those_of_who_is_called_alike)
{
	const struct policy_request *what =
		ASK_KEYS(KEY("aws:username", "ann"), KEY("aws:userid", "ann"));
	static const struct match_row rows[] = {
		{"session/${aws:username}-*",	      "session/ann-0123456789abcdef0",   true },
		{"session/${aws:username}-*",	      "session/ann-x-0123456789abcdef0", false},
		{"session/${aws:userid}-*",		    "session/ann-x-0123456789abcdef0", false},
		{"session/${AWS:Username}-*",	      "session/ann-x-0123456789abcdef0", false},
		{"session/${aws:username, 'x'}-*",	   "session/ann-x-0123456789abcdef0", false},
		{"session/${aws:username}-**",	       "session/ann-x-0123456789abcdef0", false},
		{"*/${aws:username}-*",			"a/ann-x/ann-1",			 true },
		{"session/${aws:username}-*",	      "session/ann-",		      true },
 /* Nowhere else. */
		{"session/${aws:username}-*x",	       "session/ann-b-x",		  true },
		{"session/${aws:username}*",	     "session/ann-x-0",			true },
		{"session/${aws:username}-a*",	       "session/ann-a-x",		  true },
		{"session/${aws:username}-?*",	       "session/ann-x-0",		  true },
		{"session/${aws:PrincipalArn, 'ann'}-*", "session/ann-x-0",		    true },
		{"session/ann-*",			  "session/ann-x-0",		     true },
	};

	CHECK(rows, PATTERN_WILDCARDS | PATTERN_VARIABLES, what);
}

/* Regular expressions would take longer than anyone lives. */
Test(policy_pattern, full_of_stars_is_matched_in_time)
{
	struct timespec begin, end;
	char pattern[2001], text[2001];

	for (size_t i = 0; i < sizeof(pattern) - 1; i += 2)
		memcpy(pattern + i, "*a", 2);
	memset(text, 'a', sizeof(text) - 1);
	pattern[sizeof(pattern) - 1] = text[sizeof(text) - 1] = '\0';
	pattern[sizeof(pattern) - 2] = 'b';
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	cr_assert(not(matches(pattern, text, PATTERN_WILDCARDS, ASK_NOTHING)));
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	cr_assert(lt(long, (long)(end.tv_sec - begin.tv_sec), 2));
}

Test(policy_pattern, arns_are_matched_as_a_whole)
{
	static const char document[] = ONE(
		"\"Effect\":\"Allow\",\"Action\":\"ssm:*\",\"Resource\":[\"arn:aws:ssm:*:*:parameter/my*\","
		"\"arn:aws:ssm:eu::document/AWS-*\"]");

	cr_assert(ask_allows(document, "ssm:x", ARN "parameter/my/x/y"));
	cr_assert(ask_allows(document, "ssm:x", "arn:aws:ssm:a:b:c:parameter/my:x"));
	cr_assert(not(ask_allows(document, "ssm:x", ARN "Parameter/my")));
	cr_assert(not(ask_allows(document, "ssm:x", ARN "parameter/m")));
	cr_assert(ask_allows(document, "ssm:x", "arn:aws:ssm:eu::document/AWS-StartSSHSession"));
	cr_assert(not(ask_allows(document, "ssm:x", ARN "document/AWS-StartSSHSession")));
	cr_assert(not(ask_allows(document, "ssm:x", "*")));
}

Test(policy_pattern, actions_have_no_case_and_a_service)
{
	static const char document[] =
		ONE("\"Effect\":\"Allow\",\"Action\":[\"SSM:startsession\","
		    "\"iam:Get*\",\"hawser:???Recording\"],\"Resource\":\"*\"");

	cr_assert(ask_allows(document, "ssm:StartSession", "*"));
	cr_assert(ask_allows(document, "IAM:GETUser", "*"));
	cr_assert(ask_allows(document, "hawser:GetRecording", "*"));
	cr_assert(not(ask_allows(document, "iam:StartSession", "*")));
	cr_assert(not(ask_allows(document, "ssm:StartSessions", "*")));
	cr_assert(not(ask_allows(document, "hawser:GettRecording", "*")));
}
