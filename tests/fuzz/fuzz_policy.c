/* A policy document: what parses decides some requests, the same each time, and what it allows may
 * ever be allowed; what does not says where. */
#include <string.h>

#include "relay/policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARN "arn:aws:ssm:eu:1:"

static const char *const ann[] = {"ann"}, *const root[] = {"root"}, *const ip[] = {"10.0.0.1"},
			 *const now[] = {"2026-11-26T03:21:30Z"}, *const yes[] = {"true"},
			 *const keys[] = {"Team", "Owner"},
			 *const user[] = {"arn:aws:iam::1:user/ann"}, *const age[] = {"300"};

static const struct policy_key context[] = {
	{"aws:username",		 ann,  1},
	{"aws:userid",	       ann,  1},
	{"aws:principalarn",	     user, 1},
	{"aws:sourceip",		 ip,   1},
	{"aws:currenttime",	    now,	 1},
	{"aws:multifactorauthage", age,	1},
	{"aws:securetransport",	yes,  1},
	{"aws:tagkeys",		keys, 2},
	{"hawser:runas",		 root, 1},
	{"hawser:sessionowner",	NULL, 0},
};
static const struct policy_tag tag_list[] = {
	{"owner", "ann"},
	  {"team",  "red"}
};
static const struct policy_tags tags = {tag_list, 2};

static const struct policy_request requests[] = {
	{.action = "ssm:StartSession",
		.resource = ARN "managed-instance/mi-01",
		.keys = context,
		.n_keys = sizeof(context) / sizeof(context[0]),
		.resource_tags = &tags,
		.principal_tags = &tags,
		.request_tags = &tags},
	{.action = "ssm:StartSession",
		.resource = ARN "document/AWS-StartSSHSession",
		.alias = "arn:aws:ssm:eu::document/AWS-StartSSHSession",
		.keys = context,
		.n_keys = sizeof(context) / sizeof(context[0]),
		.named_key = "hawser:runas",
		.literal = true},
	{.action = "ssm:TerminateSession",
		.resource = ARN "session/ann-x-01",
		.keys = context,
		.n_keys = 1,
		.named_key = "hawser:runas"},
	{.action = "hawser:GetRecording", .resource = "*"},
	{.action = "iam:putpolicy", .resource = ""				  },
};

static void
check_request(const struct policy *p, const struct policy_request *what)
{
	const struct policy_attachment set[] = {
		{p, "a"},
		  {p, "b"}
	  };
	struct policy_decision first, again;
	const char *key, *wants;

	policy_decide(&first, set, 2, what);
	policy_decide(&again, set, 2, what);
	hw_assert(first.verdict == again.verdict && first.statement == again.statement &&
		first.attachment == again.attachment);
	if (first.verdict == POLICY_ALLOW)
		hw_assert(policy_may_ever(set, 2, what));
	for (size_t i = 0; i < policy_statements(p); i++) {
		enum policy_miss miss = policy_explain(p, i, what, &key, &wants);
		hw_assert((miss == POLICY_MISS_CONDITION) == (key != NULL));
		hw_assert((key != NULL) == (wants != NULL));
		hw_assert(policy_sid(p, i) != NULL);
		/* What applies made it, or something stronger or earlier did. */
		if (miss == POLICY_APPLIES)
			hw_assert(first.verdict != POLICY_IMPLICIT_DENY &&
				(policy_statement_allows(p, i) ||
					first.verdict == POLICY_EXPLICIT_DENY));
	}
}

static void
check_sentence(const struct hw_err *err)
{
	hw_assert(err->code == HW_EMALFORMED && strncmp(err->text, "line ", 5) == 0);
	for (const char *c = err->text; *c != '\0'; c++)
		hw_assert(*c >= ' ' && *c <= '~');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hw_err err = HW_ERR_INIT;
	struct policy *p;

	if (policy_parse(&p, (const char *)data, size, &err) < 0) {
		check_sentence(&err);
		return 0;
	}
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		check_request(p, &requests[i]);
	policy_free(p);
	return 0;
}
