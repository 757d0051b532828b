#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/document/paper.h"

#define INPUTS "\"runCommand\":[\"true\"]"

static char *
bound(const char *declared, const char *const *given, const char *name)
{
	char *text = NULL, *shown;

	cr_assert(gt(int, asprintf(&text, PAPER("%s", INPUTS), declared), 0));
	struct document *d = paper(text);
	struct document_values *v = paper_bind(d, given);
	shown = json_dumps(document_value(v, name), JSON_COMPACT | JSON_ENCODE_ANY);
	cr_assert_null(document_value(v, "nobody"));
	document_values_free(v);
	document_free(d);
	free(text);
	return shown;
}

static void
binds(const char *declared, const char *const *given, const char *expected)
{
	char *shown = bound(declared, given, "p");

	cr_expect_str_eq(shown, expected);
	free(shown);
}

static void
refuses(const char *declared, const char *const *given, const char *sentence)
{
	struct hw_err err;
	char *text = NULL;

	cr_assert(gt(int, asprintf(&text, PAPER("%s", INPUTS), declared), 0));
	struct document *d = paper(text);
	cr_expect(eq(int, paper_bind_refused(d, given, &err), HW_EPARAMETERS), "%s", declared);
	cr_expect_str_eq(err.text, sentence);
	document_free(d);
	free(text);
}

/* An empty list is written as a value of one \1. */
#define EMPTY "\1"

Test(document_bind, texts_become_values_of_the_type)
{
	binds("\"p\":{\"type\":\"String\"}", GIVEN("p=a", "p=b"), "\"a\"");
	binds("\"p\":{\"type\":\"String\",\"default\":\"d\"}", NOTHING, "\"d\"");
	binds("\"p\":{\"type\":\"String\",\"default\":\"d\"}", GIVEN("p="), "\"\"");
	binds("\"p\":{\"type\":\"StringList\"}", GIVEN("p=a", "p=b"), "[\"a\",\"b\"]");
	binds("\"p\":{\"type\":\"StringList\",\"default\":[\"d\"]}", NOTHING, "[\"d\"]");
	binds("\"p\":{\"type\":\"StringList\",\"default\":[\"d\"]}", GIVEN("p=" EMPTY), "[]");
	binds("\"p\":{\"type\":\"StringMap\"}", GIVEN("p={\"a\":\"b\"}"), "{\"a\":\"b\"}");
	binds("\"p\":{\"type\":\"Integer\",\"default\":7}", GIVEN("p=7"), "7");
	binds("\"p\":{\"type\":\"Boolean\",\"default\":true}", GIVEN("p=true"), "true");
	binds("\"p\":{\"type\":\"MapList\",\"default\":[{\"a\":1}]}", GIVEN("p=[{\"a\":1}]"),
		"[{\"a\":1}]");
	binds("\"p\":{\"type\":\"MapList\",\"default\":[{\"a\":1},{}]}",
		GIVEN("p={\"a\":1}", "p={}"), "[{\"a\":1},{}]");
}

Test(document_bind, what_is_missing_unknown_or_of_the_wrong_kind)
{
	refuses("\"p\":{\"type\":\"String\"}", NOTHING,
		"parameter p: it must be given, as it has no default");
	refuses("\"p\":{\"type\":\"String\"}", GIVEN("p=" EMPTY),
		"parameter p: a String needs a value");
	refuses("\"p\":{\"type\":\"String\",\"default\":\"\"}", GIVEN("q=1"),
		"the document has no parameter \"q\"");
	refuses("\"p\":{\"type\":\"String\",\"default\":\"\"}", GIVEN("P=1"),
		"the document has no parameter \"P\"");
	refuses("\"p\":{\"type\":\"String\"},\"q\":{\"type\":\"String\"}",
		GIVEN("p=1", "q=2", "p=3"), "the parameter \"p\" is given twice");
	refuses("\"p\":{\"type\":\"String\"}", GIVEN("p=\xff"), "parameter p: it is no UTF-8");
	refuses("\"p\":{\"type\":\"StringList\"}", GIVEN("p=a", "p=\xff"),
		"parameter p: it is no UTF-8");
	refuses("\"p\":{\"type\":\"StringMap\"}", GIVEN("p=[]"),
		"parameter p: a StringMap is given as a JSON object");
	refuses("\"p\":{\"type\":\"StringMap\"}", GIVEN("p={"),
		"parameter p: line 1, column 1: the text ends before its value does");
	refuses("\"p\":{\"type\":\"StringMap\"}", GIVEN("p={\"a\":1,\"a\":2}"),
		"parameter p: line 1, column 10: this member is there twice");
	refuses("\"p\":{\"type\":\"StringMap\"}", GIVEN("p=" EMPTY),
		"parameter p: a StringMap needs a value");
	refuses("\"p\":{\"type\":\"Integer\",\"default\":7}", GIVEN("p=8"),
		"parameter p: it is not equal to default, and its type takes nothing else");
	refuses("\"p\":{\"type\":\"Boolean\",\"default\":true}", GIVEN("p=false"),
		"parameter p: it is not equal to default, and its type takes nothing else");
	refuses("\"p\":{\"type\":\"MapList\",\"default\":[{}]}", GIVEN("p={}", "p={}"),
		"parameter p: it is not equal to default, and its type takes nothing else");
	refuses("\"p\":{\"type\":\"Integer\",\"default\":7}", GIVEN("p=" EMPTY),
		"parameter p: it needs a value");
}

#define PATTERN(p) "\"p\":{\"type\":\"String\",\"allowedPattern\":\"" p "\"}"
#define UNMATCHED  "parameter p: it does not match allowedPattern"

Test(document_bind, allowedPattern_is_searched_for)
{
	binds(PATTERN("b"), GIVEN("p=abc"), "\"abc\"");
	refuses(PATTERN("b"), GIVEN("p=ac"), UNMATCHED);
	binds(PATTERN("^a|b$"), GIVEN("p=ax"), "\"ax\"");
	binds(PATTERN("^a|b$"), GIVEN("p=xb"), "\"xb\"");
	refuses(PATTERN("^(a|b)$"), GIVEN("p=ax"), UNMATCHED);
	binds(PATTERN("(^$)|^x$"), GIVEN("p="), "\"\"");
	refuses(PATTERN("^[a-z]+$"), GIVEN("p=abc\n"), UNMATCHED);
	binds(PATTERN("(?i)^ABC\\\\d{2,3}?\\\\b"), GIVEN("p=abc12"), "\"abc12\"");
	refuses(PATTERN("^\\\\d$"), GIVEN("p=\xd9\xa3"), UNMATCHED); /* another script's digit */
	binds("\"p\":{\"type\":\"StringList\",\"allowedPattern\":\"^a\"}", GIVEN("p=a", "p=ab"),
		"[\"a\",\"ab\"]");
	refuses("\"p\":{\"type\":\"StringList\",\"allowedPattern\":\"^a\"}", GIVEN("p=a", "p=b"),
		UNMATCHED);
	binds("\"p\":{\"type\":\"StringMap\",\"allowedPattern\":\"^.\\\"a\\\":\"}",
		GIVEN("p={ \"a\" : \"b\" }"), "{\"a\":\"b\"}");
}

Test(document_bind, a_pattern_that_costs_too_much_is_refused_in_time)
{
	refuses(PATTERN("^(a+)+$"), GIVEN("p=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"),
		"parameter p: looking for allowedPattern in it takes too long");
}

Test(document_bind, the_other_rules)
{
	binds("\"p\":{\"type\":\"String\",\"allowedValues\":[\"a\",\"B\"]}", GIVEN("p=B"), "\"B\"");
	refuses("\"p\":{\"type\":\"String\",\"allowedValues\":[\"a\",\"B\"]}", GIVEN("p=b"),
		"parameter p: it is not one of allowedValues");
	refuses("\"p\":{\"type\":\"StringList\",\"allowedValues\":[\"a\"]}", GIVEN("p=a", "p=b"),
		"parameter p: it is not one of allowedValues");
	binds("\"p\":{\"type\":\"Integer\",\"default\":7,\"allowedValues\":[7]}", NOTHING, "7");
	binds("\"p\":{\"type\":\"String\",\"minChars\":2,\"maxChars\":2}", GIVEN("p=\xc3\xa9"),
		"\"\xc3\xa9\"");
	refuses("\"p\":{\"type\":\"String\",\"minChars\":2}", GIVEN("p=a"),
		"parameter p: it is shorter than minChars, 2");
	refuses("\"p\":{\"type\":\"String\",\"maxChars\":2}", GIVEN("p=abc"),
		"parameter p: it is longer than maxChars, 2");
	refuses("\"p\":{\"type\":\"StringList\",\"maxChars\":1}", GIVEN("p=a", "p=ab"),
		"parameter p: it is longer than maxChars, 1");
	refuses("\"p\":{\"type\":\"StringMap\",\"maxChars\":8}", GIVEN("p={\"a\":\"b\"}"),
		"parameter p: it is longer than maxChars, 8");
	binds("\"p\":{\"type\":\"Integer\",\"default\":7,\"minChars\":9}", NOTHING, "7");
	refuses("\"p\":{\"type\":\"StringList\",\"minItems\":1}", GIVEN("p=" EMPTY),
		"parameter p: it has fewer items than minItems, 1");
	refuses("\"p\":{\"type\":\"StringList\",\"maxItems\":1}", GIVEN("p=a", "p=b"),
		"parameter p: it has more items than maxItems, 1");
	refuses("\"p\":{\"type\":\"StringMap\",\"minItems\":2}", GIVEN("p={\"a\":\"b\"}"),
		"parameter p: it has fewer items than minItems, 2");
	binds("\"p\":{\"type\":\"String\",\"minItems\":9}", GIVEN("p=a"), "\"a\"");
}
