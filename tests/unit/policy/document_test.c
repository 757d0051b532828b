#include "relay/policy/document.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "tests/unit/policy/ask.h"

struct refused_row {
	const char *text, *sentence;
};

#define S(members) "{\"Statement\":{" members "}}"
#define C(block)   ONE(ALLOW_ALL ",\n\"Condition\":" block)

static const struct refused_row syntax[] = {
	{"",				  "line 1, column 1: '[' or '{' expected"				    },
	{"x",				 "line 1, column 1: '[' or '{' expected"			     },
	{"[]",				"line 1, column 1: a policy must be an object"			     },
	{"{}",				"line 1, column 1: the policy has no Statement"		      },
	{"\n  {}",			    "line 2, column 3: the policy has no Statement"			  },
	{"{} x",			      "line 1, column 4: end of file expected"				 },
	{"{\"Statement\":[}",		      "line 1, column 15: unexpected token"				   },
	{"{\n\"Id\": \"a\",\n\"Id\": \"b\"}", "line 3, column 4: duplicate object key"			      },
	{"{\"Id\":\"\\u0000\"}",		 "line 1, column 14: \\u0000 has no place in a policy"		      },
	{"{\"Id\":\"\x01\"}",		      "line 1, column 7: control character 0x1"			       },
	{"{\"Id\":\"\xff\"}",		      "line 1, column 8: the byte 0xff does not belong to a text in UTF-8"},
	{"{\"Id\":\"\xc3\xa9\xc0\x80\"}",
		"line 1, column 9: the byte 0xc0 does not belong to a text in UTF-8"					    },
	{"{\"Id\":[[[[[[[[1]]]]]]]]}",
		"line 1, column 14: braces and brackets stand deeper than 8 in each other"				  },
};

static const struct refused_row heads[] = {
	{"{\"Version\":\"2012-10-18\",\"Statement\":[]}",
		"line 1, column 12: Version is \"2012-10-18\": it must be 2012-10-17 or 2008-10-17"		   },
	{"{\"Version\":2012}",			       "line 1, column 12: Version must be a string"	    },
	{"{\"Id\":7}",				    "line 1, column 7: Id must be a string"	      },
	{"{\n\t\"version\": \"2012-10-17\"}",
		"line 2, column 2: \"version\" is no element of a policy"						 },
	{"{\"\\u00e9\\u0007\":1}",			   "line 1, column 2: \"???\" is no element of a policy"},
	{"{\"Statement\":\"x\"}",
		"line 1, column 14: Statement must be an object or a list of objects"				     },
	{"{\"Statement\":[]}",
		"line 1, column 14: Statement has 0 of them: a policy has 1 to 200 statements"			      },
	{"{\"Statement\":[7]}",				"line 1, column 15: a statement must be an object"	  },
};

static const struct refused_row statements[] = {
	{"{\n \"Statement\": [\n  {" ALLOW_ALL "},\n  {\"Effect\": \"allow\"}]}",
		"line 4, column 14: Effect is \"allow\": it must be Allow or Deny"										  },
	{S("\"Effect\":true"),							      "line 1, column 24: Effect must be a string"			   },
	{S("\"Action\":\"*\",\"Resource\":\"*\""),
		"line 1, column 14: the statement has no Effect: it must be Allow or Deny"									  },
	{S("\"Effect\":\"Deny\",\"Resource\":\"*\""),
		"line 1, column 14: the statement has neither Action nor NotAction"										   },
	{S("\"Effect\":\"Deny\",\"Action\":\"*\""),
		"line 1, column 14: the statement has neither Resource nor NotResource"									       },
	{S(ALLOW_ALL ",\n\"NotAction\":\"iam:*\""),
		"line 2, column 1: NotAction stands beside its opposite: a statement has one of the two"								},
	{S("\"NotAction\":\"iam:*\",\n" ALLOW_ALL),
		"line 2, column 18: Action stands beside its opposite: a statement has one of the two"							      },
	{S(ALLOW_ALL ",\n\"NotResource\":\"*\""),
		"line 2, column 1: NotResource stands beside its opposite: a statement has one of the two"							  },
	{S(ALLOW_ALL ",\n \"Principal\":\"*\""),
		"line 2, column 2: Principal and NotPrincipal have no place here: a policy speaks of "
		"whom it is attached to"														     },
	{S(ALLOW_ALL ",\n \"Actions\":\"*\""),
		"line 2, column 2: \"Actions\" is no element of a statement"											},
	{S(ALLOW_ALL ",\"Sid\":\"\\u001b[2J\""),
		"line 1, column 66: Sid is \"?[2J\": it has letters, digits, blanks, _ . and -, 128 at most"							    },
	{"{\"Statement\":[{" ALLOW_ALL ",\"Sid\":\"A\"},\n{\"Sid\":\"A\"," ALLOW_ALL "}]}",
		"line 2, column 8: Sid \"A\" is that of another statement too"										      },
	{S("\"Action\":[]"),
		"line 1, column 24: Action is an empty list: leave it out, or name something"									     },
	{S("\"Action\":[\"*\",7]"),
		"line 1, column 29: Action must be a string or a list of strings"										   },
	{S("\"Action\":{}"),								"line 1, column 24: Action must be a string or a list of strings"},
	{S("\"Action\":[\"ssm:*\", \"ssm:Start Session\"]"),
		"line 1, column 34: \"ssm:Start Session\" is no action: it must be like ssm:StartSession, "
		"ssm:* or *"																 },
	{S("\"Resource\":\"mi-01\""),
		"line 1, column 26: \"mi-01\" names no resource: an ARN begins with arn:, or is * alone"								},
	{S("\"NotResource\":\"arn:aws:ssm:*\""),
		"line 1, column 29: \"arn:aws:ssm:*\" names no resource: an ARN has six parts: "
		"arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE"												    },
	{S("\"Resource\":\"arn:aws:ssm:::\""),
		"line 1, column 26: \"arn:aws:ssm:::\" names no resource: an ARN ends in the name of a "
		"resource"																   },
	{S("\"Resource\":[]"),
		"line 1, column 26: Resource is an empty list: leave it out, or name something"								       },
	{ONE("\"Resource\":\"" ARN "session/${aws:username-*\""),
		"line 1, column 49: \"arn:aws:ssm:eu:1:session/${aws:username-*\" names no resource: a "
		"variable that begins with ${ has no } at its end"											   },
};

#define VARIABLE_HELP \
	"a variable is ${key}, ${key, 'default'}, ${*}, ${?} or ${$}, and a key is like aws:username"

static const struct refused_row conditions[] = {
	{C("[]"),					       "line 2, column 13: Condition must be an object of operators"},
	{C("{\"StringEqual\":{}}"),				    "line 2, column 14: \"StringEqual\" is no condition operator"},
	{C("{\"stringequals\":{}}"),
		"line 2, column 14: \"stringequals\" is no condition operator"						      },
	{C("{\"NullIfExists\":{}}"),
		"line 2, column 14: \"NullIfExists\" is no condition operator"						      },
	{C("{\"ForAnyValue:Null\":{}}"),
		"line 2, column 14: \"ForAnyValue:Null\" is no condition operator"						  },
	{C("{\"ForAnyValues:Bool\":{}}"),
		"line 2, column 14: \"ForAnyValues:Bool\" is no condition operator"						   },
	{C("{\"IfExists\":{}}"),				 "line 2, column 14: \"IfExists\" is no condition operator"   },
	{C("{\"Bool\":{}}"),
		"line 2, column 21: Bool must be an object of condition keys and their values"				      },
	{C("{\"Bool\":\"x\"}"),
		"line 2, column 21: Bool must be an object of condition keys and their values"				      },
	{C("{\"Bool\":{\"username\":\"true\"}}"),
		"line 2, column 22: \"username\" is no condition key: it must be like aws:username"				   },
	{C("{\"Bool\":{\"a:b\":[]}}"),
		"line 2, column 28: the value of a condition is an empty list: leave it out, or name "
		"something"												  },
	{C("{\"Bool\":{\"a:b\":null}}"),
		"line 2, column 28: the value of a condition must be a string or a list of strings"				   },
	{C("{\"Bool\":{\"a:b\":true,\"a:c\":[true,\"yes\"]}}"),
		"line 2, column 45: \"yes\" can't be compared: it must be true or false"						},
	{C("{\"NumericEquals\":{\"a:b\":1e3}}"),
		"line 2, column 37: \"1e3\" can't be compared: a number has up to 18 digits and, with a "
		"point, up to 9 more"											},
	{C("{\"DateLessThan\":{\"a:b\":\"2026-02-29\"}}"),
		"line 2, column 36: \"2026-02-29\" can't be compared: a date is like 2026-01-31, "
		"2026-01-31T08:15:00Z or seconds since 1970"								 },
	{C("{\"IpAddress\":{\"a:b\":\"10.0.0.0/33\"}}"),
		"line 2, column 33: \"10.0.0.0/33\" can't be compared: a network is an address of IPv4 "
		"or IPv6, and may have a prefix as in 10.0.0.0/8"								 },
	{C("{\"BinaryEquals\":{\"a:b\":\"YQ=\"}}"),
		"line 2, column 36: \"YQ=\" can't be compared: bytes are written in base64"					   },
	{C("{\"ArnLike\":{\"a:b\":\"arn:aws:iam\"}}"),
		"line 2, column 31: \"arn:aws:iam\" can't be compared: an ARN has six parts: "
		"arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE"								    },
	{C("{\"StringLike\":{\"a:b\":\"${aws:username\"}}"),
		"line 2, column 34: \"${aws:username\" can't be compared: a variable that begins with ${ "
		"has no } at its end"											},
	{C("{\"StringLike\":{\"a:b\":\"${username}\"}}"),
		"line 2, column 34: \"${username}\" can't be compared: " VARIABLE_HELP					      },
	{C("{\"StringLike\":{\"a:b\":\"${}\"}}"),
		"line 2, column 34: \"${}\" can't be compared: " VARIABLE_HELP						      },
	{C("{\"StringLike\":{\"a:b\":\"${a:b, x}\"}}"),
		"line 2, column 34: \"${a:b, x}\" can't be compared: " VARIABLE_HELP						    },
	{C("{\"StringLike\":{\"a:b\":\"${a:b, 'x'y}\"}}"),
		"line 2, column 34: \"${a:b, 'x'y}\" can't be compared: " VARIABLE_HELP					       },
};

static void
check_rows(const struct refused_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cr_assert(eq(str, (char *)ask_refusal(rows[i].text), (char *)rows[i].sentence),
			"%s", rows[i].text);
}

#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

Test(policy_document, that_is_no_json_is_refused_with_its_place)
{
	CHECK(syntax);
}

Test(policy_document, with_a_wrong_head_is_refused_with_its_place)
{
	CHECK(heads);
}

Test(policy_document, with_a_wrong_statement_is_refused_with_its_place)
{
	CHECK(statements);
}

Test(policy_document, with_a_wrong_condition_is_refused_with_its_place)
{
	CHECK(conditions);
}

Test(policy_document, column_counts_characters_and_names_may_be_escaped)
{
	cr_assert(eq(str,
		(char *)ask_refusal(
			"{\"Id\": \"\xc3\xa9\xe2\x82\xac\", \"State\\u006dent\": {\"Effe\\u0063t\": \"x\"}}"),
		(char *)"line 1, column 48: Effect is \"x\": it must be Allow or Deny"));
}

Test(policy_document, with_a_nul_is_refused)
{
	static const char text[] = "{\"Id\":\"a\0b\"}";

	cr_assert(eq(str, (char *)ask_refusal_n(text, sizeof(text) - 1),
		(char *)"line 1, column 9: the byte 0x00 does not belong to a text in UTF-8"));
}

Test(policy_document, need_not_end_in_nul)
{
	static const char text[] = ONE(ALLOW_ALL);
	char *copy = malloc(sizeof(text) - 1);
	struct policy *p;

	cr_assert(ne(ptr, copy, NULL));
	memcpy(copy, text, sizeof(text) - 1);
	cr_assert(eq(int, policy_parse(&p, copy, sizeof(text) - 1, NULL), 0));
	free(copy); /* and it is not kept */
	cr_assert(eq(sz, policy_statements(p), 1));
	cr_assert(policy_statement_allows(p, 0));
	cr_assert(eq(str, (char *)policy_sid(p, 0), (char *)""));
	policy_free(p);
}

Test(policy_document, of_a_megabyte_is_refused_unread)
{
	size_t n = 1 << 20;
	char *text = malloc(n + 1);

	cr_assert(ne(ptr, text, NULL));
	memset(text, '[', n);
	text[n] = '\0';
	cr_assert(eq(str, (char *)ask_refusal(text),
		(char *)"line 1, column 1: the policy has 1048576 bytes: 65536 are the most"));
	free(text);
}

Test(policy_document, of_exactly_the_most_bytes_is_taken_and_of_one_more_is_not)
{
	char *text = malloc(POLICY_TEXT_MAX + 2);
	struct policy *p;

	cr_assert(ne(ptr, text, NULL));
	memset(text, ' ', POLICY_TEXT_MAX + 2);
	memcpy(text, ONE(ALLOW_ALL), strlen(ONE(ALLOW_ALL)));
	cr_assert(eq(int, policy_parse(&p, text, POLICY_TEXT_MAX, NULL), 0));
	cr_assert(eq(int, policy_parse(&p, text, POLICY_TEXT_MAX + 1, NULL), HW_EMALFORMED));
	policy_free(p);
	free(text);
}

/* Nested as deep as the text allows, and cut off: neither the stack nor the time is at stake. */
Test(policy_document, nested_without_end_is_refused)
{
	char *text = malloc(POLICY_TEXT_MAX + 1);

	cr_assert(ne(ptr, text, NULL));
	for (size_t i = 0; i < POLICY_TEXT_MAX; i++)
		text[i] = "{\"a\":"[i % 5];
	text[POLICY_TEXT_MAX] = '\0';
	cr_assert(eq(str, (char *)ask_refusal(text),
		(char *)"line 1, column 41: braces and brackets stand deeper than 8 in each other"));
	free(text);
}

static const char *
repeat(struct buf *b, const char *before, const char *unit, size_t n, const char *after)
{
	buf_init(b, 1 << 20);
	buf_append_str(b, before);
	for (size_t i = 0; i < n; i++) {
		buf_append_str(b, i > 0 ? "," : "");
		buf_append_str(b, unit);
	}
	buf_append_str(b, after);
	return buf_str(b);
}

Test(policy_document, has_a_cap_on_statements)
{
	struct buf most, more;

	policy_free(ask_parse(repeat(&most, "{\"Statement\":[", "{" ALLOW_ALL "}",
		DOCUMENT_STATEMENTS_MAX, "]}")));
	cr_assert(eq(str,
		(char *)ask_refusal(repeat(&more, "{\"Statement\":[", "{" ALLOW_ALL "}",
			DOCUMENT_STATEMENTS_MAX + 1, "]}")),
		(char *)"line 1, column 14: Statement has 201 of them: a policy has 1 to 200 statements"));
	buf_fini(&most);
	buf_fini(&more);
}

Test(policy_document, has_a_cap_on_values)
{
	static const char before[] = S("\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":[");
	struct buf most, more;
	char head[sizeof(before)];

	snprintf(head, sizeof(head), "%.*s", (int)(sizeof(before) - 3), before);
	policy_free(ask_parse(repeat(&most, head, "\"*\"", DOCUMENT_VALUES_MAX - 1, "]}}")));
	cr_assert(ne(ptr,
		strstr(ask_refusal(repeat(&more, head, "\"*\"", DOCUMENT_VALUES_MAX, "]}}")),
			"a policy has at most 4000 actions, resources and values in all"),
		NULL));
	buf_fini(&most);
	buf_fini(&more);
}

/* The largest form that a text can grow to. */
Test(policy_document, full_of_wildcards_is_within_the_memory_of_a_policy)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	buf_append_str(&b,
		"{\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"arn:a:b:c:d:");
	while (b.len < POLICY_TEXT_MAX - 10)
		buf_append_str(&b, "*?");
	buf_append_str(&b, "\"}}");
	policy_free(ask_parse(buf_str(&b)));
	buf_fini(&b);
}

Test(policy_document, has_a_cap_on_variables_in_one_text)
{
	char text[1024] = "{\"Version\":\"2012-10-17\",\"Statement\":{" ALLOW_ALL
			  ",\"Condition\":{\"StringLike\":{\"a:b\":\"";

	for (int i = 0; i < PATTERN_VARIABLES_MAX + 1; i++)
		strcat(text, "${a:b}");
	strcat(text, "\"}}}}");
	cr_assert(ne(ptr, strstr(ask_refusal(text), "16 are the most in one text"), NULL));
}

Test(policy_document, takes_strings_or_lists_everywhere_and_an_empty_condition)
{
	static const char *const fine[] = {
		"{\"Statement\":[{" ALLOW_ALL "}]}",
		"{\"Id\":\"x\",\"Version\":\"2008-10-17\",\"Statement\":{" ALLOW_ALL "}}",
		ONE(ALLOW_ALL ",\"Condition\":{}"),
		ONE("\"Effect\":\"Allow\",\"Action\":[\"*\"],\"Resource\":[\"*\"]"),
		C("{\"Bool\":{\"a:b\":[true,\"FALSE\"]}}"),
		C("{\"NumericEquals\":{\"a:b\":[1,-1.5,\"2\"]}}"),
		C("{\"StringEquals\":{\"a:b\":7}}"),
		/* one key under two spellings is two conditions */
		C("{\"StringEquals\":{\"a:b\":\"x\",\"A:B\":\"x\"}}"),
	};

	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		policy_free(ask_parse(fine[i]));
}

Test(policy_document, text_that_is_no_variable_is_text)
{
	struct policy_request what = {.action = "ssm:x", .resource = ARN "a$b${aws:username}"};

	/* Version 2008-10-17, or none: variables did not exist. */
	cr_assert(eq(int,
		ask_verdict("{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\","
			    "\"Resource\":\"" ARN "a$b${aws:username}\"}}",
			&what),
		POLICY_ALLOW));
	cr_assert(eq(int,
		ask_verdict("{\"Version\":\"2008-10-17\",\"Statement\":{\"Effect\":\"Allow\","
			    "\"Action\":\"*\",\"Resource\":\"" ARN "a$b${*}\"}}",
			&what),
		POLICY_ALLOW));
	cr_assert(eq(int,
		ask_verdict(ONE("\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"" ARN
				"a$b${$}{aws:username}\""),
			&what),
		POLICY_ALLOW));
}

Test(policy_action, is_service_and_name)
{
	static const char *const valid[] = {"*", "*:*", "ssm:*", "ssm:StartSession", "s?m:Start*",
		"aws-portal:View", "SSM:startsession"};
	static const char *const invalid[] = {"", "**", "ssm", "ssm:", ":x", "ssm:a:b", "ssm:a-b",
		"ssm:a b", "ssm:\xc3\xa9", "ssm.x:y", " ssm:x", "ssm:x\n", "ssm:${aws:username}"};
	char longest[DOCUMENT_ACTION_MAX + 2] = "ssm:";

	for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
		cr_assert(policy_action_valid(valid[i]), "%s", valid[i]);
	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
		cr_assert(not(policy_action_valid(invalid[i])), "%s", invalid[i]);
	memset(longest + 4, 'x', DOCUMENT_ACTION_MAX - 4);
	cr_assert(policy_action_valid(longest));
	longest[DOCUMENT_ACTION_MAX] = 'x';
	cr_assert(not(policy_action_valid(longest)));
}
