#include "relay/policy/condition.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/policy/ask.h"

/* One value in a document against one of a request. */
struct operator_case {
	const char *operator, * want, *have;
	bool holds;
};

static bool
compare(const char *operator, const char * want, const struct policy_request *what)
{
	char block[512];

	snprintf(block, sizeof(block), "{\"%s\":{\"a:b\":%s}}", operator, want);
	return ask_holds(block, what);
}

static void
check(const struct operator_case *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct policy_request *what = ASK_KEYS(KEY("a:b", rows[i].have));
		cr_assert(compare(rows[i].operator, rows[i].want, what) == rows[i].holds,
			"%s %s against %s", rows[i].operator, rows[i].want, rows[i].have);
	}
}

#define CHECK(rows) check(rows, sizeof(rows) / sizeof((rows)[0]))

Test(policy_condition, strings)
{
	static const struct operator_case rows[] = {
		{"StringEquals",		 "\"x\"",		  "x",	       true },
		{"StringEquals",		 "\"x\"",		  "X",	       false},
		{"StringEquals",		 "\"x*\"",	   "xy",	 false},
		{"StringEquals",		 "\"x*\"",	   "x*",	 true },
		{"StringEquals",		 "[\"a\",\"x\"]",	  "x",	       true },
		{"StringEquals",		 "\"\"",		 "",	     true },
		{"StringEquals",		 "5",		      "5",	   true },
		{"StringEquals",		 "1.50",		 "1.50",	 true },
		{"StringEquals",		 "true",		 "true",	 true },
		{"StringNotEquals",	    "\"x\"",	     "x",	  false},
		{"StringNotEquals",	    "\"x\"",	     "y",	  true },
		{"StringNotEquals",	    "[\"a\",\"x\"]",   "x",	  false},
		{"StringNotEquals",	    "[\"a\",\"x\"]",   "y",	  true },
		{"StringEqualsIgnoreCase",	   "\"WebServers\"",  "webSERVERS", true },
		{"StringEqualsIgnoreCase",	   "\"w*\"",	     "web",	    false},
		{"StringNotEqualsIgnoreCase", "\"x\"",	       "X",	    false},
		{"StringNotEqualsIgnoreCase", "\"x\"",	       "y",	    true },
		{"StringLike",		       "\"w?b*\"",	   "webservers", true },
		{"StringLike",		       "\"w?b*\"",	   "Webservers", false},
		{"StringLike",		       "[\"a*\",\"w*\"]", "web",	 true },
		{"StringNotLike",		  "\"w*\"",	    "web",	   false},
		{"StringNotLike",		  "\"w*\"",	    "db",	  true },
		{"StringNotLike",		  "[\"a*\",\"w*\"]", "web",	    false},
	};

	CHECK(rows);
}

Test(policy_condition, numbers)
{
	static const struct operator_case rows[] = {
		{"NumericEquals",		  "\"5\"",		   "5.0",		  true },
		{"NumericEquals",		  "5",		       "6",		    false},
		{"NumericEquals",		  "[4,5]",		   "5",			true },
		{"NumericEquals",		  "5",		       "five",	       false},
		{"NumericNotEquals",	     "5",		  "6",		       true },
		{"NumericNotEquals",	     "5",		  "5",		       false},
		{"NumericNotEquals",	     "5",		  "five",		  true },
		{"NumericLessThan",	    "5",			 "4.999999999",	true },
		{"NumericLessThan",	    "5",			 "5",		      false},
		{"NumericLessThan",	    "5",			 "five",		 false},
		{"NumericLessThanEquals",	  "5",		       "5",		    true },
		{"NumericLessThanEquals",	  "5",		       "5.1",		      false},
		{"NumericGreaterThan",       "-5",		     "-4",		   true },
		{"NumericGreaterThan",       "-5",		     "-5",		   false},
		{"NumericGreaterThanEquals", "5",		  "5",		       true },
		{"NumericGreaterThanEquals", "5",		  "4",		       false},
		{"NumericGreaterThanEquals", "999999999999999999", "999999999999999998", false},
	};

	CHECK(rows);
}

Test(policy_condition, dates)
{
	static const struct operator_case rows[] = {
		{"DateEquals",	       "\"1970-01-02\"",		 "86400",			  true },
		{"DateEquals",	       "86400",			"1970-01-02T00:00:00Z",	true },
		{"DateEquals",	       "86400",			"today",			 false},
		{"DateNotEquals",	  "\"1970-01-02\"",	    "86400",		     false},
		{"DateNotEquals",	  "\"1970-01-02\"",	    "86401",		     true },
		{"DateLessThan",		 "\"2026-08-01T12:00:00Z\"", "2026-08-01T11:59:59Z",	     true },
		{"DateLessThan",		 "\"2026-08-01T12:00:00Z\"", "2026-08-01T12:00:00Z",	     false},
		{"DateLessThan",		 "\"2026-08-01T12:00:00Z\"", "2026-08-01T12:30:00+01:00", true },
		{"DateLessThanEquals",    "\"2026-08-01T12:00:00Z\"", "2026-08-01T12:00:00Z",	   true },
		{"DateGreaterThan",	    "\"2026-08-01\"",	      "2026-08-01T00:00:01Z",      true },
		{"DateGreaterThan",	    "\"2026-08-01\"",	      "2026-08-01T00:00:00Z",      false},
		{"DateGreaterThanEquals", "\"2026-08-01\"",	    "2026-08-01T00:00:00Z",	    true },
		{"DateGreaterThanEquals", "\"2026-08-01\"",	    "2026-07-31T23:59:59Z",	    false},
	};

	CHECK(rows);
}

Test(policy_condition, truth_addresses_and_bytes)
{
	static const struct operator_case rows[] = {
		{"Bool",	 "\"true\"",			     "true",	     true },
		    {"Bool",	     "true",			     "TRUE",	     true },
		{"Bool",	 "\"False\"",			      "false",	       true },
		      {"Bool",	       "\"true\"",			   "false",	    false},
		{"Bool",	 "\"false\"",			      "no",		    false},
		{"IpAddress",    "\"10.0.0.0/8\"",			"10.1.2.3",	    true },
		{"IpAddress",    "[\"192.168.0.1\",\"10.0.0.0/8\"]", "::ffff:10.1.2.3", true },
		{"IpAddress",    "\"10.0.0.0/8\"",			"11.0.0.1",	    false},
		{"IpAddress",    "\"10.0.0.0/8\"",			"localhost",	     false},
		{"IpAddress",    "\"2001:db8::/32\"",		   "2001:db8:1::1",   true },
		{"NotIpAddress", "\"10.0.0.0/8\"",		   "10.1.2.3",	       false},
		{"NotIpAddress", "[\"10.0.0.0/8\",\"11.0.0.0/8\"]",  "11.1.2.3",	false},
		{"NotIpAddress", "\"10.0.0.0/8\"",		   "::1",		  true },
		{"BinaryEquals", "\"YW5u\"",			     "ann",		    true },
		{"BinaryEquals", "\"YW5u\"",			     "YW5u",	     false},
		     {"BinaryEquals", "\"\"",			      "",		  true },
		{"BinaryEquals", "\"YQBi\"",			     "a",		  false}, /* a NUL is a byte */
	};

	CHECK(rows);
}

Test(policy_condition, arns_part_by_part)
{
	static const struct operator_case rows[] = {
		{"ArnLike",	    "\"arn:aws:iam::1:user/*\"",	 "arn:aws:iam::1:user/a/b",  true },
		{"ArnLike",	    "\"arn:aws:iam::*:user/ann\"", "arn:aws:iam::1:user/ann",  true },
		{"ArnLike",	    "\"arn:aws:*:user/ann:x:y\"",  "arn:aws:iam::1:user/ann",  false},
 /* In StringLike the star passes the colons. */
		{"StringLike",   "\"arn:aws:*:user/ann\"",	 "arn:aws:iam::1:user/ann",  true },
		{"ArnLike",	    "\"arn:aws:i?m::1:*\"",	    "arn:aws:iam::1:group/a:b", true },
		{"ArnLike",	    "\"arn:*:*:*:*:*\"",		 "arn:aws:iam::1:user/ann",  true },
		{"ArnLike",	    "\"arn:*:*:*:*:*\"",		 "arn:aws:iam",		false},
		{"ArnLike",	    "\"*\"",			     "arn:aws:iam::1:user/ann",	true },
		{"ArnLike",	    "\"*\"",			     "ann",			    false},
		{"ArnLike",	    "\"arn:aws:iam::1:user/ann\"", "arn:aws:iam::1:user/Ann",  false},
		{"ArnEquals",    "\"arn:aws:iam::1:user/*\"",   "arn:aws:iam::1:user/ann",  true },
		{"ArnNotEquals", "\"arn:aws:iam::1:user/*\"",   "arn:aws:iam::1:user/ann",	 false},
		{"ArnNotEquals", "\"arn:aws:iam::1:user/*\"",   "arn:aws:iam::2:user/ann",	 true },
		{"ArnNotLike",   "\"arn:aws:iam::1:user/*\"",   "arn:aws:iam::1:user/ann",  false},
		{"ArnNotLike",   "\"arn:aws:iam::1:user/*\"",   "ann",			   true },
	};

	CHECK(rows);
}

Test(policy_condition, values_may_have_variables)
{
	const struct policy_request *what = ASK_KEYS(KEY("a:b", "arn:aws:iam::1:user/ann"),
		KEY("a:c", "ann"), KEY("aws:username", "ann"), KEY("a:d", "1:user/ann"));

	cr_assert(ask_holds("{\"StringEquals\":{\"a:c\":\"${aws:username}\"}}", what));
	cr_assert(ask_holds("{\"StringEqualsIgnoreCase\":{\"a:c\":\"${aws:username}\"}}", what));
	cr_assert(ask_holds("{\"StringLike\":{\"a:b\":\"*/${aws:username}\"}}", what));
	cr_assert(ask_holds("{\"ArnEquals\":{\"a:b\":\"arn:aws:iam::1:user/${aws:username}\"}}",
		what));
	cr_assert(ask_holds("{\"ArnLike\":{\"a:b\":\"arn:aws:iam::${a:x, '1'}:*\"}}", what));
	/* A colon that a variable brings along divides nothing. */
	cr_assert(not(ask_holds("{\"ArnLike\":{\"a:b\":\"arn:aws:iam:${a:d}:x:*\"}}", what)));
}

/* A variable that stands for nothing: the statement does not match, whatever else it says. */
Test(policy_condition, a_variable_for_nothing_makes_the_statement_fail)
{
	static const char *const blocks[] = {
		"{\"StringEquals\":{\"a:b\":[\"x\",\"${aws:nothing}\"]}}",
		"{\"StringNotEquals\":{\"a:b\":\"${aws:nothing}\"}}",
		"{\"StringEqualsIfExists\":{\"a:missing\":\"${aws:nothing}\"}}",
		"{\"ForAllValues:StringLike\":{\"a:missing\":\"${aws:nothing}\"}}",
		"{\"ArnNotLike\":{\"a:b\":\"arn:aws:iam::${aws:nothing}:*\"}}",
		"{\"StringEquals\":{\"a:b\":\"x\"},\"StringNotLike\":{\"a:b\":\"${aws:nothing}\"}}",
	};

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		cr_assert(not(ask_holds(blocks[i], ASK_KEYS(KEY("a:b", "x")))), "%s", blocks[i]);
	cr_assert(ask_holds("{\"StringNotEquals\":{\"a:b\":\"${aws:nothing, 'y'}\"}}",
		ASK_KEYS(KEY("a:b", "x"))));
}

/* --- keys that are not there ------------------------------------------------------------------ */

static const char *const positive[] = {"StringEquals", "StringEqualsIgnoreCase", "StringLike",
	"ArnEquals", "ArnLike", "NumericEquals", "NumericLessThan", "NumericLessThanEquals",
	"NumericGreaterThan", "NumericGreaterThanEquals", "DateEquals", "DateLessThan",
	"DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals", "Bool", "IpAddress",
	"BinaryEquals"};
static const char *const negated[] = {"StringNotEquals", "StringNotEqualsIgnoreCase",
	"StringNotLike", "ArnNotEquals", "ArnNotLike", "NumericNotEquals", "DateNotEquals",
	"NotIpAddress"};

/* A value that the operator takes. */
static const char *
value_for(const char *name)
{
	if (strncmp(name, "Arn", 3) == 0)
		return "\"arn:aws:iam::1:user/ann\"";
	if (strncmp(name, "Numeric", 7) == 0 || strncmp(name, "Date", 4) == 0)
		return "1";
	if (strncmp(name, "Bool", 4) == 0)
		return "true";
	return strstr(name, "Ip") != NULL ? "\"10.0.0.1\"" : "\"YW5u\"";
}

static bool
holds_with(const char *prefix, const char *name, const char *suffix,
	const struct policy_request *what)
{
	char operator[64];

	snprintf(operator, sizeof(operator), "%s%s%s", prefix, name, suffix);
	return compare(operator, value_for(name), what);
}

static void
check_absent(const char *name, bool is_negated)
{
	const struct policy_request *empty = ASK_KEYS(EMPTY_KEY("a:b"));

	cr_assert(holds_with("", name, "", ASK_NOTHING) == is_negated, "%s", name);
	cr_assert(holds_with("", name, "", empty) == is_negated, "%s", name);
	cr_assert(holds_with("", name, "IfExists", ASK_NOTHING), "%s", name);
	cr_assert(holds_with("", name, "IfExists", empty) == is_negated, "%s", name);
	cr_assert(holds_with("ForAllValues:", name, "", ASK_NOTHING), "%s", name);
	cr_assert(holds_with("ForAllValues:", name, "", empty), "%s", name);
	cr_assert(not(holds_with("ForAnyValue:", name, "", ASK_NOTHING)), "%s", name);
	cr_assert(not(holds_with("ForAnyValue:", name, "", empty)), "%s", name);
	cr_assert(holds_with("ForAllValues:", name, "IfExists", ASK_NOTHING), "%s", name);
	cr_assert(holds_with("ForAnyValue:", name, "IfExists", ASK_NOTHING), "%s", name);
	cr_assert(not(holds_with("ForAnyValue:", name, "IfExists", empty)), "%s", name);
}

Test(policy_condition, absent_and_empty_keys)
{
	for (size_t i = 0; i < sizeof(positive) / sizeof(positive[0]); i++)
		check_absent(positive[i], false);
	for (size_t i = 0; i < sizeof(negated) / sizeof(negated[0]); i++)
		check_absent(negated[i], true);
}

Test(policy_condition, null_asks_whether_the_key_is_there)
{
	const struct policy_request *there = ASK_KEYS(KEY("a:b", "x")),
				    *empty = ASK_KEYS(EMPTY_KEY("a:b"));

	cr_assert(compare("Null", "\"true\"", ASK_NOTHING));
	cr_assert(not(compare("Null", "\"true\"", there)));
	cr_assert(not(compare("Null", "true", empty)));
	cr_assert(compare("Null", "false", there));
	cr_assert(compare("Null", "\"FALSE\"", empty));
	cr_assert(not(compare("Null", "false", ASK_NOTHING)));
	cr_assert(compare("Null", "[true,false]", ASK_NOTHING));
	cr_assert(ask_holds("{\"Null\":{\"ssm:resourceTag/Team\":true}}", ASK_NOTHING));
}

Test(policy_condition, if_exists_changes_nothing_where_the_key_is)
{
	const struct policy_request *what = ASK_KEYS(KEY("a:b", "x"));

	cr_assert(compare("StringEqualsIfExists", "\"x\"", what));
	cr_assert(not(compare("StringEqualsIfExists", "\"y\"", what)));
	cr_assert(not(compare("StringNotEqualsIfExists", "\"x\"", what)));
	cr_assert(compare("ForAnyValue:StringLikeIfExists", "\"?\"", what));
	/* As a Deny catches who has no second factor at all. */
	cr_assert(compare("BoolIfExists", "false", ASK_NOTHING));
	cr_assert(not(compare("Bool", "false", ASK_NOTHING)));
}

/* --- several values --------------------------------------------------------------------------- */

Test(policy_condition, sets)
{
	const struct policy_request *two = ASK_KEYS(KEY("a:b", "x", "y"));

	cr_assert(compare("StringEquals", "\"y\"", two));
	cr_assert(not(compare("StringNotEquals", "\"y\"", two)));
	cr_assert(compare("StringNotEquals", "\"z\"", two));
	cr_assert(compare("ForAllValues:StringEquals", "[\"x\",\"y\",\"z\"]", two));
	cr_assert(not(compare("ForAllValues:StringEquals", "\"x\"", two)));
	cr_assert(compare("ForAllValues:StringLike", "\"?\"", two));
	cr_assert(compare("ForAllValues:StringNotEquals", "\"z\"", two));
	cr_assert(not(compare("ForAllValues:StringNotEquals", "\"y\"", two)));
	cr_assert(compare("ForAnyValue:StringEquals", "[\"y\",\"z\"]", two));
	cr_assert(not(compare("ForAnyValue:StringEquals", "\"z\"", two)));
	cr_assert(compare("ForAnyValue:StringNotEquals", "\"y\"", two));
	cr_assert(not(compare("ForAnyValue:StringNotEquals", "[\"x\",\"y\"]", two)));
	cr_assert(compare("ForAnyValue:NumericLessThan", "2", ASK_KEYS(KEY("a:b", "5", "1"))));
	cr_assert(not(compare("ForAllValues:NumericLessThan", "2",
		ASK_KEYS(KEY("a:b", "5", "1")))));
	cr_assert(compare("ForAllValues:IpAddress", "\"10.0.0.0/8\"",
		ASK_KEYS(KEY("a:b", "10.0.0.1", "10.9.9.9"))));
}

Test(policy_condition, all_operators_and_all_keys_must_hold)
{
	const struct policy_request *what = ASK_KEYS(KEY("a:b", "x"), KEY("a:c", "y"));

	cr_assert(ask_holds("{\"StringEquals\":{\"a:b\":\"x\",\"a:c\":\"y\"}}", what));
	cr_assert(not(ask_holds("{\"StringEquals\":{\"a:b\":\"x\",\"a:c\":\"x\"}}", what)));
	cr_assert(not(ask_holds(
		"{\"StringEquals\":{\"a:b\":\"x\"},\"StringLike\":{\"a:c\":\"z*\"}}", what)));
	cr_assert(not(ask_holds("{\"StringEquals\":{\"a:b\":\"x\",\"A:B\":\"y\"}}", what)));
	cr_assert(ask_holds("{}", what));
}

/* --- keys ------------------------------------------------------------------------------------- */

Test(policy_condition, keys_have_no_case_and_values_have)
{
	struct policy_request what = *ASK_KEYS(KEY("aws:username", "ann"));
	static const char *const same[] = {"ssm:resourceTag/Owner", "ssm:ResourceTag/Owner",
		"SSM:RESOURCETAG/OWNER", "aws:ResourceTag/owner"};
	char block[128];

	what.resource_tags = TAGS({"finance", "WebServers"}, {"owner", "Ann"});
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		snprintf(block, sizeof(block), "{\"StringEquals\":{\"%s\":\"Ann\"}}", same[i]);
		cr_assert(ask_holds(block, &what), "%s", block);
		snprintf(block, sizeof(block), "{\"StringEquals\":{\"%s\":\"ann\"}}", same[i]);
		cr_assert(not(ask_holds(block, &what)), "%s", block);
	}
	cr_assert(ask_holds("{\"StringEquals\":{\"AWS:UserName\":\"ann\"}}", &what));
	cr_assert(not(ask_holds("{\"StringEquals\":{\"ssm:resourceTag/Own\":\"Ann\"}}", &what)));
	cr_assert(not(ask_holds("{\"StringEquals\":{\"aws:PrincipalTag/Owner\":\"Ann\"}}", &what)));
	cr_assert(not(ask_holds("{\"StringEquals\":{\"aws:RequestTag/Owner\":\"Ann\"}}", &what)));
}
