#include "tests/unit/policy/ask.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

struct policy *
ask_parse(const char *text)
{
	struct hw_err err = HW_ERR_INIT;
	struct policy *p = NULL;

	cr_assert(policy_parse(&p, text, strlen(text), &err) == 0, "%s\n%s", err.text, text);
	return p;
}

const char *
ask_refusal_n(const char *text, size_t n)
{
	static struct hw_err err;
	struct policy *p = NULL;

	err = (struct hw_err)HW_ERR_INIT;
	int r = policy_parse(&p, text, n, &err);
	cr_assert(r == HW_EMALFORMED && err.code == r, "taken: %.200s", text);
	cr_assert(eq(ptr, p, NULL));
	for (const char *c = err.text; *c != '\0'; c++) {
		bool printable = *c >= ' ' && *c <= '~';
		cr_assert(printable, "a sentence with the byte 0x%02x", (unsigned)*c & 0xff);
	}
	return err.text;
}

const char *
ask_refusal(const char *text)
{
	return ask_refusal_n(text, strlen(text));
}

enum policy_verdict
ask_verdict(const char *text, const struct policy_request *what)
{
	struct policy_attachment set = {ask_parse(text), "the policy"};
	struct policy_decision made;

	policy_decide(&made, &set, 1, what);
	policy_free((struct policy *)set.policy);
	return made.verdict;
}

bool
ask_may_ever(const char *text, const struct policy_request *what)
{
	struct policy_attachment set = {ask_parse(text), "the policy"};
	bool may = policy_may_ever(&set, 1, what);

	policy_free((struct policy *)set.policy);
	return may;
}

bool
ask_allows(const char *text, const char *action, const char *resource)
{
	struct policy_request what = {.action = action, .resource = resource};

	return ask_verdict(text, &what) == POLICY_ALLOW;
}

bool
ask_holds(const char *block, const struct policy_request *what)
{
	char text[2048];

	int n = snprintf(text, sizeof(text), ONE(ALLOW_ALL ",\"Condition\":%s"), block);
	cr_assert(n > 0 && (size_t)n < sizeof(text));
	return ask_verdict(text, what) == POLICY_ALLOW;
}
