#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/policy/ask.h"

#define NODE	ARN "managed-instance/mi-01"
#define SESSION ARN "session/ann-01"

static const char allow_sessions[] =
	ONE("\"Sid\":\"A\",\"Effect\":\"Allow\",\"Action\":\"ssm:*Session\",\"Resource\":\"" ARN
	    "*\"");
static const char deny_start[] =
	ONE("\"Sid\":\"D\",\"Effect\":\"Deny\",\"Action\":\"ssm:StartSession\",\"Resource\":\"" ARN
	    "managed-instance/*\"");

static struct policy_decision
decide(const char *const *texts, size_t n, const struct policy_request *what)
{
	struct policy_attachment set[8] = {0};
	struct policy_decision made;

	for (size_t i = 0; i < n; i++)
		set[i] = (struct policy_attachment){ask_parse(texts[i]), "p"};
	policy_decide(&made, set, n, what);
	for (size_t i = 0; i < n; i++)
		policy_free((struct policy *)set[i].policy);
	return made;
}

Test(policy_decide, denies_what_nothing_allows)
{
	struct policy_decision made = decide(NULL, 0, ASK_NOTHING);

	cr_assert(eq(int, made.verdict, POLICY_IMPLICIT_DENY));
	cr_assert(not(ask_allows(allow_sessions, "iam:PutPolicy", NODE)));
	cr_assert(not(ask_allows(allow_sessions, "ssm:StartSession", "*")));
	cr_assert(ask_allows(allow_sessions, "ssm:StartSession", NODE));
}

Test(policy_decide, an_explicit_deny_wins_in_any_order)
{
	const char *const before[] = {deny_start, allow_sessions},
			  *const after[] = {allow_sessions, allow_sessions, deny_start};
	struct policy_decision made = decide(before, 2, ASK_NOTHING);

	cr_assert(eq(int, made.verdict, POLICY_EXPLICIT_DENY));
	cr_assert(eq(sz, made.attachment, 0));
	made = decide(after, 3, ASK_NOTHING);
	cr_assert(eq(int, made.verdict, POLICY_EXPLICIT_DENY));
	cr_assert(eq(sz, made.attachment, 2));
}

Test(policy_decide, names_the_first_statement_that_made_it)
{
	const char *const texts[] = {
		"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"iam:*\",\"Resource\":\"*\"},{" ALLOW_ALL
		"},{" ALLOW_ALL "}]}",
		ONE(ALLOW_ALL)};
	struct policy_decision made = decide(texts, 2, ASK_NOTHING);

	cr_assert(eq(int, made.verdict, POLICY_ALLOW));
	cr_assert(eq(sz, made.attachment, 0));
	cr_assert(eq(sz, made.statement, 1));
}

Test(policy_decide, not_action_is_every_other_action)
{
	static const char document[] = ONE(
		"\"Effect\":\"Allow\",\"NotAction\":[\"iam:*\",\"ssm:Start*\"],\"Resource\":\"*\"");

	cr_assert(ask_allows(document, "ssm:TerminateSession", "*"));
	cr_assert(not(ask_allows(document, "IAM:putpolicy", "*")));
	cr_assert(not(ask_allows(document, "ssm:StartSession", "*")));
	cr_assert(not(ask_allows(ONE("\"Effect\":\"Allow\",\"NotAction\":\"*\",\"Resource\":\"*\""),
		"ssm:x", "*")));
}

Test(policy_decide, not_resource_is_every_other_resource)
{
	static const char document[] =
		ONE("\"Effect\":\"Deny\",\"Action\":\"*\",\"NotResource\":[\"" ARN
		    "session/${aws:username}-*\",\"" NODE "\"]");
	struct policy_request what = *ASK_KEYS(KEY("aws:username", "ann"));

	what.resource = SESSION;
	cr_assert(eq(int, ask_verdict(document, &what), POLICY_IMPLICIT_DENY));
	what.resource = NODE;
	cr_assert(eq(int, ask_verdict(document, &what), POLICY_IMPLICIT_DENY));
	what.resource = ARN "session/ann-x-01";
	cr_assert(eq(int, ask_verdict(document, &what), POLICY_EXPLICIT_DENY));
	/* Nobody by name: the statement does not match, a Deny or not. */
	what.n_keys = 0;
	cr_assert(eq(int, ask_verdict(document, &what), POLICY_IMPLICIT_DENY));
}

Test(policy_decide, a_variable_for_nothing_makes_the_statement_fail)
{
	static const char allow[] =
		ONE("\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":[\"*\",\"" ARN
		    "session/${aws:username}\"]");
	static const char deny[] =
		ONE("\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":[\"*\",\"" ARN
		    "session/${aws:username}\"]");

	cr_assert(eq(int, ask_verdict(allow, ASK_NOTHING), POLICY_IMPLICIT_DENY));
	cr_assert(eq(int, ask_verdict(deny, ASK_NOTHING), POLICY_IMPLICIT_DENY));
	cr_assert(eq(int, ask_verdict(allow, ASK_KEYS(KEY("aws:username", "x"))), POLICY_ALLOW));
	cr_assert(eq(int, ask_verdict(deny, ASK_KEYS(KEY("aws:username", "x"))),
		POLICY_EXPLICIT_DENY));
}

Test(policy_decide, either_name_of_a_resource_is_its_name)
{
	static const char by_alias[] = ONE("\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":"
					   "\"arn:aws:ssm:eu::document/AWS-*\"");
	static const char others[] = ONE("\"Effect\":\"Allow\",\"Action\":\"*\",\"NotResource\":"
					 "\"arn:aws:ssm:eu::document/AWS-*\"");
	struct policy_request what = {.action = "ssm:StartSession",
		.resource = ARN "document/AWS-StartSSHSession",
		.alias = "arn:aws:ssm:eu::document/AWS-StartSSHSession"};

	cr_assert(eq(int, ask_verdict(by_alias, &what), POLICY_ALLOW));
	cr_assert(eq(int, ask_verdict(others, &what), POLICY_IMPLICIT_DENY));
	what.alias = NULL;
	cr_assert(eq(int, ask_verdict(by_alias, &what), POLICY_IMPLICIT_DENY));
	cr_assert(eq(int, ask_verdict(others, &what), POLICY_ALLOW));
}

/* --- what must be named ----------------------------------------------------------------------- */

static enum policy_verdict
as_user(const char *statement, const char *user, bool literal)
{
	struct policy_request what = *ASK_KEYS(KEY("hawser:runas", user),
		KEY("aws:username", "ann"), KEY("a:root", "root"));

	what.named_key = "hawser:runas";
	what.literal = literal;
	return ask_verdict(statement, &what);
}

#define AS(block) ONE(ALLOW_ALL ",\"Condition\":" block)

Test(policy_named, an_allow_counts_only_if_it_names_the_value)
{
	cr_assert(eq(int, as_user(ONE(ALLOW_ALL), "web", false), POLICY_IMPLICIT_DENY));
	cr_assert(eq(int,
		as_user(AS("{\"StringEquals\":{\"hawser:RunAs\":\"web\"}}"), "web", false),
		POLICY_ALLOW));
	cr_assert(eq(int, as_user(AS("{\"StringEquals\":{\"hawser:RunAs\":\"web\"}}"), "db", false),
		POLICY_IMPLICIT_DENY));
	cr_assert(eq(int, as_user(AS("{\"StringLike\":{\"HAWSER:runas\":\"*\"}}"), "db", false),
		POLICY_ALLOW));
	cr_assert(eq(int,
		as_user(AS("{\"StringEquals\":{\"hawser:RunAs\":\"${aws:username}\"}}"), "ann",
			false),
		POLICY_ALLOW));
	cr_assert(eq(int,
		as_user(AS("{\"StringLike\":{\"hawser:RunAs\":\"*\"},\"Bool\":{\"a:b\":true}}"),
			"db", false),
		POLICY_IMPLICIT_DENY));
}

Test(policy_named, other_operators_do_not_name)
{
	static const char *const blocks[] = {
		"{\"StringEqualsIfExists\":{\"hawser:RunAs\":\"web\"}}",
		"{\"StringLikeIfExists\":{\"hawser:RunAs\":\"web\"}}",
		"{\"ForAnyValue:StringEquals\":{\"hawser:RunAs\":\"web\"}}",
		"{\"ForAllValues:StringLike\":{\"hawser:RunAs\":\"web\"}}",
		"{\"StringNotEquals\":{\"hawser:RunAs\":\"root\"}}",
		"{\"StringEqualsIgnoreCase\":{\"hawser:RunAs\":\"web\"}}",
		"{\"Null\":{\"hawser:RunAs\":\"false\"}}",
		"{\"StringEquals\":{\"aws:username\":\"ann\"}}",
	};
	char text[512];

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		snprintf(text, sizeof(text), AS("%s"), blocks[i]);
		cr_assert(eq(int, as_user(text, "web", false), POLICY_IMPLICIT_DENY), "%s", text);
	}
}

Test(policy_named, literally_means_without_wildcards_and_variables)
{
	static const char *const not_enough[] = {
		"{\"StringLike\":{\"hawser:RunAs\":\"*\"}}",
		"{\"StringLike\":{\"hawser:RunAs\":[\"roo?\",\"r*\",\"root*\"]}}",
		"{\"StringEquals\":{\"hawser:RunAs\":\"${a:root}\"}}",
		"{\"StringEquals\":{\"hawser:RunAs\":\"${a:none, 'root'}\"}}",
		"{\"StringEquals\":{\"hawser:RunAs\":\"Root\"}}",
	};
	char text[512];

	for (size_t i = 0; i < sizeof(not_enough) / sizeof(not_enough[0]); i++) {
		snprintf(text, sizeof(text), AS("%s"), not_enough[i]);
		cr_assert(eq(int, as_user(text, "root", true), POLICY_IMPLICIT_DENY), "%s", text);
	}
	cr_assert(eq(int,
		as_user(AS("{\"StringLike\":{\"hawser:RunAs\":[\"*\",\"root\"]}}"), "root", true),
		POLICY_ALLOW));
	cr_assert(eq(int,
		as_user(AS("{\"StringEquals\":{\"hawser:RunAs\":\"root\"}}"), "root", true),
		POLICY_ALLOW));
	/* One condition that names it is enough; all must hold. */
	cr_assert(eq(int,
		as_user(AS("{\"StringEquals\":{\"hawser:RunAs\":\"root\"},"
			   "\"StringLike\":{\"hawser:RunAs\":\"r*\"}}"),
			"root", true),
		POLICY_ALLOW));
}

Test(policy_named, a_deny_need_not_name)
{
	cr_assert(eq(int, as_user(ONE(DENY_ALL), "root", true), POLICY_EXPLICIT_DENY));
}

Test(policy_named, needs_the_value_once)
{
	struct policy_request none = *ASK_NOTHING,
			      two = *ASK_KEYS(KEY("hawser:runas", "root", "x"));
	static const char document[] = AS("{\"StringLike\":{\"hawser:RunAs\":[\"root\",\"*\"]}}");

	none.named_key = two.named_key = "hawser:runas";
	cr_assert(eq(int, ask_verdict(document, &none), POLICY_IMPLICIT_DENY));
	cr_assert(eq(int, ask_verdict(document, &two), POLICY_IMPLICIT_DENY));
	two.literal = true;
	cr_assert(eq(int, ask_verdict(document, &two), POLICY_IMPLICIT_DENY));
}

/* --- lists ------------------------------------------------------------------------------------ */

#define FOR(effect, resource, block)                                            \
	ONE("\"Effect\":\"" effect "\",\"Action\":\"*\",\"Resource\":" resource \
	    ",\"Condition\":" block)
#define BOTH(deny)                                                                              \
	"{\"Version\":\"2012-10-17\",\"Statement\":[{" ALLOW_ALL "},{\"Effect\":\"Deny\"," deny \
	"}]}"

Test(policy_may_ever, an_allow_has_the_benefit_of_the_doubt)
{
	const struct policy_request *ann = ASK_KEYS(KEY("aws:username", "ann"));

	cr_assert(ask_may_ever(FOR("Allow", "\"" NODE "\"", "{}"), ASK_NOTHING));
	cr_assert(ask_may_ever(FOR("Allow", "\"*\"",
				       "{\"StringEquals\":{\"ssm:resourceTag/Team\":\"x\"}}"),
		ASK_NOTHING));
	cr_assert(ask_may_ever(
		FOR("Allow", "\"*\"",
			"{\"StringEquals\":{\"aws:username\":\"${aws:ResourceTag/Owner}\"}}"),
		ann));
	cr_assert(ask_may_ever(FOR("Allow", "\"*\"",
				       "{\"StringEquals\":{\"hawser:SessionOwner\":\"x\"}}"),
		ann));
	cr_assert(not(ask_may_ever(FOR("Allow", "\"*\"",
					   "{\"StringEquals\":{\"aws:username\":\"bob\"}}"),
		ann)));
	cr_assert(not(ask_may_ever(
		ONE("\"Effect\":\"Allow\",\"Action\":\"iam:*\",\"Resource\":\"*\""), ann)));
	cr_assert(not(ask_may_ever(ONE(DENY_ALL), ann)));
}

Test(policy_may_ever, a_deny_counts_only_without_any_doubt)
{
	static const char *const counts[] = {
		BOTH("\"Action\":\"*\",\"Resource\":\"*\""),
		BOTH("\"Action\":\"*\",\"Resource\":[\"" NODE "\",\"*\"]"),
		BOTH("\"Action\":\"ssm:*\",\"Resource\":\"*\",\"Condition\":{\"StringEquals\":"
		     "{\"aws:username\":\"ann\"}}"),
	};
	static const char *const does_not[] = {
		BOTH("\"Action\":\"*\",\"Resource\":\"" ARN "*\""),
		BOTH("\"Action\":\"*\",\"NotResource\":\"" NODE "\""),
		BOTH("\"Action\":\"iam:*\",\"Resource\":\"*\""),
		BOTH("\"Action\":\"*\",\"Resource\":[\"*\",\"" ARN "${aws:nothing}\"]"),
		BOTH("\"Action\":\"*\",\"Resource\":[\"*\",\"" ARN "${ssm:resourceTag/x, 'y'}\"]"),
		BOTH("\"Action\":\"*\",\"Resource\":\"*\",\"Condition\":{\"StringNotEquals\":"
		     "{\"ssm:resourceTag/Team\":\"x\"}}"),
		BOTH("\"Action\":\"*\",\"Resource\":\"*\",\"Condition\":{\"StringNotEquals\":"
		     "{\"aws:username\":\"${aws:ResourceTag/Owner, 'x'}\"}}"),
		BOTH("\"Action\":\"*\",\"Resource\":\"*\",\"Condition\":{\"StringEquals\":"
		     "{\"aws:username\":\"bob\"}}"),
	};
	const struct policy_request *ann = ASK_KEYS(KEY("aws:username", "ann"));

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		cr_assert(not(ask_may_ever(counts[i], ann)), "%s", counts[i]);
	for (size_t i = 0; i < sizeof(does_not) / sizeof(does_not[0]); i++)
		cr_assert(ask_may_ever(does_not[i], ann), "%s", does_not[i]);
}

/* --- why not ---------------------------------------------------------------------------------- */

static enum policy_miss
explain(const struct policy *p, size_t statement, const struct policy_request *what,
	const char *want_key, const char *want_value)
{
	const char *key = "unset", *wants = "unset";
	enum policy_miss miss = policy_explain(p, statement, what, &key, &wants);

	if (want_key == NULL) {
		cr_assert(eq(ptr, (void *)key, NULL));
		cr_assert(eq(ptr, (void *)wants, NULL));
	} else {
		cr_assert(eq(str, (char *)key, (char *)want_key));
		cr_assert(eq(str, (char *)wants, (char *)want_value));
	}
	return miss;
}

Test(policy_explain, says_what_did_not_apply)
{
	struct policy *p =
		ask_parse("{\"Statement\":[{" ALLOW_ALL "},"
			  "{\"Effect\":\"Allow\",\"Action\":\"iam:*\",\"Resource\":\"*\"},"
			  "{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"" SESSION "\"},"
			  "{" ALLOW_ALL ",\"Condition\":{\"Null\":{\"a:b\":true},"
			  "\"NumericLessThan\":{\"AWS:MultiFactorAuthAge\":[300,1]}}},"
			  "{" DENY_ALL
			  ",\"Condition\":{\"StringLike\":{\"ssm:ResourceTag/Owner\":\"x*\"}}}]}");
	struct policy_request what = *ASK_KEYS(KEY("hawser:runas", "web"));

	cr_assert(eq(int, explain(p, 0, &what, NULL, NULL), POLICY_APPLIES));
	cr_assert(eq(int, explain(p, 1, &what, NULL, NULL), POLICY_MISS_ACTION));
	cr_assert(eq(int, explain(p, 2, &what, NULL, NULL), POLICY_MISS_RESOURCE));
	cr_assert(eq(int, explain(p, 3, &what, "AWS:MultiFactorAuthAge", "300"),
		POLICY_MISS_CONDITION));
	cr_assert(eq(int, explain(p, 4, &what, "ssm:ResourceTag/Owner", "x*"),
		POLICY_MISS_CONDITION));
	what.named_key = "hawser:runas";
	cr_assert(eq(int, explain(p, 0, &what, NULL, NULL), POLICY_MISS_NAMED));
	policy_free(p);
}

Test(policy_free, of_nothing_is_fine)
{
	policy_free(NULL);
}
