/* Policies in the form that AWS's guide has for hybrid nodes, as they are; and those built in. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "relay/policy/managed.h"
#include "tests/unit/policy/ask.h"

#define GUIDE "arn:aws:ssm:us-east-2:123456789012:"

static struct policy *
load(const char *name)
{
	char path[128], text[8192];

	snprintf(path, sizeof(path), "tests/unit/policy/%s", name);
	FILE *f = fopen(path, "re");
	cr_assert(ne(ptr, f, NULL), "no %s", path);
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	return ask_parse(text);
}

static bool
allows(const struct policy *p, const struct policy_request *what)
{
	struct policy_attachment set = {p, "guide"};
	struct policy_decision made;

	policy_decide(&made, &set, 1, what);
	return made.verdict == POLICY_ALLOW;
}

Test(policy_guide, run_command_on_tagged_nodes)
{
	struct policy *p = load("guide-run-command.json");
	struct policy_request what = {
		.action = "ssm:SendCommand", .resource = GUIDE "document/AWS-RunShellScript"};

	cr_assert(allows(p, &what)); /* the document */
	what.resource = GUIDE "managed-instance/mi-0123456789abcdef0";
	cr_assert(not(allows(p, &what))); /* without tags */
	what.resource_tags = TAGS({"finance", "WebServers"});
	cr_assert(allows(p, &what));
	what.resource_tags = TAGS({"finance", "webservers"});
	cr_assert(not(allows(p, &what)));
	what.resource_tags = TAGS({"department", "WebServers"});
	cr_assert(not(allows(p, &what)));
	what.resource_tags = TAGS({"finance", "WebServers"});
	what.action = "ssm:StartSession";
	cr_assert(not(allows(p, &what)));
	policy_free(p);
}

Test(policy_guide, sessions_on_tagged_nodes_and_the_end_of_ones_own)
{
	struct policy *p = load("guide-sessions.json");
	struct policy_request what = *ASK_KEYS(KEY("aws:username", "ann"));

	what.resource = GUIDE "managed-instance/mi-0123456789abcdef0";
	cr_assert(not(allows(p, &what)));
	what.resource_tags = TAGS({"owner", "SystemAdmin"});
	cr_assert(allows(p, &what));
	what.resource = "arn:aws:ssm:us-east-1:123456789012:managed-instance/mi-0123456789abcdef0";
	cr_assert(not(allows(p, &what)));
	what.action = "ssm:TerminateSession";
	what.resource = GUIDE "session/ann-0123456789abcdef0";
	cr_assert(allows(p, &what));
	what.resource = GUIDE "session/bob-0123456789abcdef0";
	cr_assert(not(allows(p, &what)));
	what.resource = GUIDE "session/ann-x-0123456789abcdef0";
	cr_assert(not(allows(p, &what)));
	policy_free(p);
}

Test(policy_guide, end_user)
{
	struct policy *p = load("guide-end-user.json");
	struct policy_request with = *ASK_KEYS(KEY("ssm:sessiondocumentaccesscheck", "true")),
			      without = *ASK_KEYS(KEY("ssm:sessiondocumentaccesscheck", "false")),
			      absent = *ASK_NOTHING;

	with.resource = without.resource = absent.resource =
		GUIDE "managed-instance/mi-0123456789abcdef0";
	cr_assert(allows(p, &with));
	cr_assert(not(allows(p, &without)));
	cr_assert(allows(p, &absent)); /* as BoolIfExists says */
	with.resource = GUIDE "document/SSM-SessionManagerRunShell";
	cr_assert(allows(p, &with));
	with.resource = GUIDE "document/AWS-StartSSHSession";
	cr_assert(not(allows(p, &with)));
	with.action = "ssm:DescribeSessions";
	with.resource = "*";
	cr_assert(allows(p, &with));
	policy_free(p);
}

/* --- built in --------------------------------------------------------------------------------- */

static bool
managed_allows(const char *name, const struct policy_request *what)
{
	const struct managed_policy *found = managed_policy_find(name);

	cr_assert(ne(ptr, (void *)found, NULL), "no %s", name);
	return ask_verdict(found->document, what) == POLICY_ALLOW;
}

Test(policy_managed, all_parse_and_have_different_names)
{
	for (size_t i = 0; i < managed_policy_count; i++) {
		const struct managed_policy *m = &managed_policies[i];
		policy_free(ask_parse(m->document));
		cr_assert(eq(ptr, (void *)managed_policy_find(m->name), (void *)m));
		cr_assert(gt(sz, strlen(m->description), 0));
	}
	cr_assert(eq(ptr, (void *)managed_policy_find("nobody"), NULL));
	cr_assert(eq(ptr, (void *)managed_policy_find(""), NULL));
}

Test(policy_managed, administrators_may_become_root_and_operators_may_not)
{
	struct policy_request what = *ASK_KEYS(KEY("hawser:runas", "root"));

	what.named_key = "hawser:runas";
	what.literal = true;
	cr_assert(managed_allows(POLICY_ADMINISTRATOR, &what));
	cr_assert(managed_allows("fleet-administrator", &what));
	cr_assert(not(managed_allows("operator", &what)));
	what.named_key = NULL;
	cr_assert(managed_allows("operator", &what));
}

Test(policy_managed, auditors_and_fleet_administrators_have_disjoint_duties)
{
	struct policy_request what = {
		.action = "hawser:GetRecording", .resource = ARN "session/ann-0123456789abcdef0"};

	cr_assert(managed_allows("auditor", &what));
	cr_assert(not(managed_allows("fleet-administrator", &what)));
	what.action = "ssm:StartSession";
	what.resource = ARN "managed-instance/mi-01";
	cr_assert(not(managed_allows("auditor", &what)));
	cr_assert(managed_allows("fleet-administrator", &what));
	what.action = "iam:PutPolicy";
	what.resource = "*";
	cr_assert(not(managed_allows("auditor", &what)));
	cr_assert(not(managed_allows("fleet-administrator", &what)));
	what.action = "iam:GetPolicy";
	cr_assert(managed_allows("auditor", &what));
}

Test(policy_managed, developers_have_the_nodes_of_their_team_and_their_own_sessions)
{
	struct policy_request what = *ASK_KEYS(KEY("aws:username", "ann"));

	cr_assert(not(managed_allows("developer", &what))); /* no team, no tag */
	what.resource_tags = TAGS({"team", "red"});
	cr_assert(not(managed_allows("developer", &what)));
	what.principal_tags = TAGS({"team", "red"});
	cr_assert(managed_allows("developer", &what));
	what.principal_tags = TAGS({"team", "blue"});
	cr_assert(not(managed_allows("developer", &what)));
	what.action = "hawser:GetRecording";
	what.resource = ARN "session/ann-0123456789abcdef0";
	cr_assert(managed_allows("developer", &what));
	what.resource = ARN "session/ann-x-0123456789abcdef0";
	cr_assert(not(managed_allows("developer", &what)));
}

Test(policy_managed, owners_have_their_nodes)
{
	struct policy_request what = *ASK_KEYS(KEY("aws:username", "ann"));

	what.resource_tags = TAGS({"owner", "ann"});
	cr_assert(managed_allows("node-owner", &what));
	what.resource_tags = TAGS({"owner", "bob"});
	cr_assert(not(managed_allows("node-owner", &what)));
}
