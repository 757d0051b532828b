/*
 * What a decision costs: a user with 50 attached statements, beside the verification of a P-256
 * signature, which each request over HTTPS has cost before anybody asks what it may do.
 *
 *   bench_policy    fails when a decision costs two verifications or more
 */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "relay/policy/managed.h"
#include "relay/policy/policy.h"

#define STATEMENTS 50
#define ROUNDS	   31
#define DECISIONS  2000 /* in a round */
#define VERIFIES   100
#define AIM_USEC   20.0

#define ARN "arn:aws:ssm:eu-central-1:000000000000:"

static void
must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s failed\n", what);
	exit(1);
}

static double
now_usec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int
by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double
median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

/* --- the signature ---------------------------------------------------------------------------- */

static double
verify_usec(void)
{
	static const unsigned char text[256] = "a request";
	EVP_PKEY *key = EVP_EC_gen("P-256");
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char signature[128];
	size_t len = sizeof(signature);
	double rounds[ROUNDS];

	must(key != NULL && ctx != NULL, "making a key");
	must(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
			EVP_DigestSign(ctx, signature, &len, text, sizeof(text)) == 1,
		"signing");
	for (size_t r = 0; r < ROUNDS; r++) {
		double begin = now_usec();
		for (size_t i = 0; i < VERIFIES; i++) {
			EVP_MD_CTX_reset(ctx);
			must(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
					EVP_DigestVerify(ctx, signature, len, text, sizeof(text)) ==
						1,
				"verifying");
		}
		rounds[r] = (now_usec() - begin) / VERIFIES;
	}
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return median(rounds, ROUNDS);
}

/* --- the decisions ---------------------------------------------------------------------------- */

/* Each applies to nearly everything that is asked and fails at its last condition: nothing is
 * cheaper to say no to. */
static const char worst[] =
	"{\"Version\": \"2012-10-17\", \"Statement\": {\"Effect\": \"Allow\","
	" \"Action\": [\"ssm:Describe*\", \"ssm:TerminateSession\", \"ssm:ResumeSession\","
	"              \"ssm:*Session\"],"
	" \"Resource\": [\"arn:aws:ssm:*:*:document/AWS-*\","
	"                \"arn:aws:ssm:*:*:session/${aws:username}-*\","
	"                \"arn:aws:ssm:*:*:managed-instance/*\"],"
	" \"Condition\": {"
	"  \"StringLike\": {\"ssm:resourceTag/Environment\": [\"prod-*\", \"stage-*\"]},"
	"  \"IpAddress\": {\"aws:SourceIp\": [\"192.168.0.0/16\", \"10.0.0.0/8\"]},"
	"  \"DateLessThan\": {\"aws:CurrentTime\": \"2030-01-01T00:00:00Z\"},"
	"  \"StringEquals\": {\"ssm:resourceTag/Team\": \"${aws:PrincipalTag/Team}\"}}}}";

static const char usual[] =
	"{\"Version\": \"2012-10-17\", \"Statement\": {\"Effect\": \"Allow\","
	" \"Action\": [\"ssm:StartSession\", \"ssm:TerminateSession\"],"
	" \"Resource\": \"arn:aws:ssm:*:*:managed-instance/*\","
	" \"Condition\": {\"StringEquals\": {\"ssm:resourceTag/Team\": \"${aws:PrincipalTag/Team}\"}}}}";

#define VALUE(name, text)                            \
	{                                            \
		name, (const char *const[]){text}, 1 \
	}

static const struct policy_key keys[] = {
	VALUE("aws:username", "ann"),
	VALUE("aws:userid", "AIDA0123456789ABCDEF0"),
	VALUE("aws:principalarn", "arn:aws:iam::000000000000:user/ann"),
	VALUE("aws:principaltype", "User"),
	VALUE("aws:securetransport", "true"),
	VALUE("aws:multifactorauthpresent", "false"),
	VALUE("aws:epochtime", "1795663290"),
	VALUE("ssm:sessiondocumentaccesscheck", "false"),
	VALUE("hawser:runas", "hawser"),
	VALUE("aws:sourceip", "10.20.30.40"),
	VALUE("aws:currenttime", "2026-11-26T03:21:30Z"),
};
static const struct policy_tag node_tags[] = {
	{"environment", "prod-eu"},
	    {"owner",	      "bob"	   },
	      {"role",	       "web"    },
	       {"team",	"red"    }
};
static const struct policy_tag user_tags[] = {
	{"team", "blue"}
};
static const struct policy_tags of_node = {node_tags, 4}, of_user = {user_tags, 1};

static const struct policy_request request = {
	.action = "ssm:StartSession",
	.resource = ARN "managed-instance/mi-0123456789abcdef0",
	.keys = keys,
	.n_keys = sizeof(keys) / sizeof(keys[0]),
	.resource_tags = &of_node,
	.principal_tags = &of_user,
};

static double
decide_usec(const struct policy_attachment *set, size_t n)
{
	double rounds[ROUNDS];
	struct policy_decision made;

	for (size_t r = 0; r < ROUNDS; r++) {
		double begin = now_usec();
		for (size_t i = 0; i < DECISIONS; i++) {
			policy_decide(&made, set, n, &request);
			must(made.verdict == POLICY_IMPLICIT_DENY, "denying");
		}
		rounds[r] = (now_usec() - begin) / DECISIONS;
	}
	return median(rounds, ROUNDS);
}

/* Fifty policies of one statement each, as they would lie in memory. */
static double
attached_usec(const char *text)
{
	struct policy_attachment set[STATEMENTS] = {0};

	for (size_t i = 0; i < STATEMENTS; i++) {
		struct policy *p = NULL;
		must(policy_parse(&p, text, strlen(text), NULL) == 0, "parsing");
		set[i] = (struct policy_attachment){p, "bench"};
	}
	double usec = decide_usec(set, STATEMENTS);
	for (size_t i = 0; i < STATEMENTS; i++)
		policy_free((struct policy *)set[i].policy);
	return usec;
}

static double
parse_usec(const char *text)
{
	double rounds[ROUNDS];

	for (size_t r = 0; r < ROUNDS; r++) {
		double begin = now_usec();
		for (size_t i = 0; i < VERIFIES; i++) {
			struct policy *p = NULL;
			must(policy_parse(&p, text, strlen(text), NULL) == 0, "parsing");
			policy_free(p);
		}
		rounds[r] = (now_usec() - begin) / VERIFIES;
	}
	return median(rounds, ROUNDS);
}

static bool
print_row(const char *what, double usec, double limit)
{
	printf("%-44s %8.2f us   must %6.1f   aim %5.1f   %s\n", what, usec, limit, AIM_USEC,
		usec >= limit		  ? "MISSED"
			: usec > AIM_USEC ? "met, not the aim"
					  : "met, and the aim");
	return usec < limit;
}

int
main(void)
{
	double verify = verify_usec();

	printf("%-44s %8.2f us\n", "one P-256 verification", verify);
	bool met = print_row("50 statements that name nodes by a tag", attached_usec(usual),
		2 * verify);
	met &= print_row("50 statements, each fails at its last word", attached_usec(worst),
		2 * verify);
	printf("%-44s %8.2f us\n", "parsing one of these", parse_usec(worst));
	return met ? 0 : 1;
}
