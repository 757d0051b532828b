/* Signature V4: requests as the AWS CLI and Amazon's Go SDK sign them, and everything that is not
 * quite one. */
#include "proto/trust/sigv4.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"

#define SECRET	   "fakesecret"
#define CREDENTIAL "AKIAFAKEFAKEFAKEFAKE/20261123/us-east-1/ssm/aws4_request"
#define SIGNED	   "content-type;host;x-amz-date;x-amz-target"
#define SIGNATURE  "ae2cff41625a6ddf648b6218377a790355296e7a81c5d3eee82ac9fe72bec743"
#define ALGORITHM  "AWS4-HMAC-SHA256 "
#define SIGNED_AT  INT64_C(1795403142) /* 2026-11-23T03:05:42Z */

struct header {
	const char *name, *value;
};

#define HEADERS 8

struct request {
	const char *authorization;
	struct header headers[HEADERS];
};

/* As the AWS CLI 2.9.19 sent it. */
static const struct request by_cli = {
	ALGORITHM "Credential=" CREDENTIAL ", SignedHeaders=" SIGNED ", Signature=" SIGNATURE,
	{
										      {"content-type", "application/x-amz-json-1.1"},
										      {"host", "127.0.0.1:8460"},
										      {"x-amz-date", "20261123T030542Z"},
										      {"x-amz-target", "AmazonSSM.DescribeInstanceInformation"},
										      },
};

/* As aws-sdk-go 1.54.10 in session-manager-plugin did. */
static const struct request by_plugin = {
	ALGORITHM "Credential=" CREDENTIAL ", SignedHeaders=content-length;" SIGNED
		  ", Signature=9630818069cf1a5537775b7184664e6a4419aca99a498034682109ccdec2c47c",
	{
		{"content-length", "54"},
		{"content-type", "application/x-amz-json-1.1"},
		{"host", "127.0.0.1:8462"},
		{"x-amz-date", "20261123T030715Z"},
		{"x-amz-target", "AmazonSSM.ResumeSession"},
	  },
};

static int
find(void *arg, const char *name, char *value, size_t room)
{
	const struct header *found = NULL, *h = arg;

	for (int i = 0; i < HEADERS && h[i].name != NULL; i++) {
		if (strcmp(h[i].name, name) != 0)
			continue;
		if (found != NULL)
			return HW_EEXISTS;
		found = &h[i];
	}
	if (found == NULL)
		return HW_ENOTFOUND;
	if (strlen(found->value) >= room)
		return HW_ELIMIT;
	strcpy(value, found->value);
	return 0;
}

static int
read_it(struct sigv4 **ret, const struct request *r, struct hw_err *err)
{
	*ret = NULL;
	return sigv4_new(ret, r->authorization, find, (void *)(uintptr_t)r->headers, err);
}

static bool
matches(const struct request *r, const char *secret, const char *body)
{
	struct hw_err err = HW_ERR_INIT;
	struct sigv4 *s;

	cr_assert(eq(int, read_it(&s, r, &err), 0), "%s", err.text);
	bool same = sigv4_matches(s, secret, body, strlen(body));
	sigv4_free(s);
	return same;
}

/* --- what is signed ------------------------------------------------------------------------ */

Test(sigv4, the_requests_of_the_aws_cli_and_of_the_go_sdk_verify)
{
	struct hw_err err = HW_ERR_INIT;
	struct sigv4 *s;

	cr_assert(matches(&by_cli, SECRET, "{}"));
	cr_assert(matches(&by_plugin, SECRET,
		"{\"SessionId\":\"akiafakefakefakefake-967cd2c4d6f6da2c0\"}"));
	cr_assert(eq(int, read_it(&s, &by_cli, &err), 0));
	cr_assert_str_eq(sigv4_key_id(s), "AKIAFAKEFAKEFAKEFAKE");
	cr_assert(eq(i64, sigv4_time(s), SIGNED_AT * USEC_PER_SEC));
	sigv4_free(s);
}

Test(sigv4, neither_secret_body_nor_any_signed_header_may_differ)
{
	cr_assert_not(matches(&by_cli, "fakesecreT", "{}"));
	cr_assert_not(matches(&by_cli, "", "{}"));
	cr_assert_not(matches(&by_cli, SECRET, "{ }"));
	cr_assert_not(matches(&by_cli, SECRET, ""));
	for (int i = 0; by_cli.headers[i].name != NULL; i++) {
		struct request r = by_cli;
		char changed[64];
		/* The date's is the only one that must stay of its form. */
		snprintf(changed, sizeof(changed), "%s", r.headers[i].value);
		changed[strlen(changed) - 2] ^= 1;
		r.headers[i].value = changed;
		cr_assert_not(matches(&r, SECRET, "{}"), "%s", r.headers[i].name);
	}
}

Test(sigv4, every_digit_of_the_signature_counts)
{
	char text[512];
	struct request r = by_cli;
	size_t end = strlen(r.authorization);

	r.authorization = text;
	for (size_t i = 1; i <= 64; i++) {
		strcpy(text, by_cli.authorization);
		text[end - i] = text[end - i] == '0' ? '1' : '0';
		cr_assert_not(matches(&r, SECRET, "{}"), "digit %zu", i);
	}
}

Test(sigv4, the_region_and_key_are_the_signer_s_own)
{
	struct request r = by_cli;

	r.authorization = ALGORITHM
		"Credential=HWAK1/20261123/eu-hawser-1/ssm/aws4_request,SignedHeaders=" SIGNED
		",Signature=34aa5b9eb6d442fd93db26fcaeaba0e447ff4b711214f426ae74d4ddb28f4f20";
	cr_assert(matches(&r, SECRET, ""));
	r.authorization = ALGORITHM
		"Credential=HWAK1/20261123/eu-hawser-2/ssm/aws4_request,SignedHeaders=" SIGNED
		",Signature=34aa5b9eb6d442fd93db26fcaeaba0e447ff4b711214f426ae74d4ddb28f4f20";
	cr_assert_not(matches(&r, SECRET, ""));
}

Test(sigv4, blanks_in_values_are_as_signers_reduce_them)
{
	struct request r = by_cli;

	r.authorization = ALGORITHM
		"Credential=" CREDENTIAL ", SignedHeaders=" SIGNED ";x-note"
		", Signature=ae06babb5d008ea582108054fc391bf5ac724da840fbd91fb65f0d81a6d16915";
	r.headers[4] = (struct header){"x-note", "  a   b \t c  "};
	cr_assert(matches(&r, SECRET, "{}"));
	r.headers[4].value = "a b c";
	cr_assert(matches(&r, SECRET, "{}"));
	r.headers[4].value = "a bc";
	cr_assert_not(matches(&r, SECRET, "{}"));
	r.headers[5] = (struct header){"x-unsigned", "whatever"};
	r.headers[4].value = "a b c";
	cr_assert(matches(&r, SECRET, "{}"));
}

Test(sigv4, parts_come_in_any_order_with_or_without_blanks)
{
	struct request r = by_cli;

	r.authorization = "  " ALGORITHM " Signature=" SIGNATURE " ,  Credential=" CREDENTIAL
			  ",SignedHeaders=" SIGNED "  ";
	cr_assert(matches(&r, SECRET, "{}"));
}

/* --- what is not quite one ----------------------------------------------------------------- */

static void
refuse_as(const struct request *r, int code, const char *why)
{
	struct hw_err err = HW_ERR_INIT;
	struct sigv4 *s;

	cr_expect(eq(int, read_it(&s, r, &err), code), "%s: %s", r->authorization, err.text);
	cr_expect(s == NULL);
	cr_expect(strstr(err.text, why) != NULL, "%s: '%s' lacks '%s'", r->authorization, err.text,
		why);
}

static void
refuse(const char *authorization, int code, const char *why)
{
	struct request r = by_cli;

	r.authorization = authorization;
	refuse_as(&r, code, why);
}

Test(sigv4, without_a_signature_the_request_is_told_so)
{
	refuse(NULL, HW_EMISSINGTOKEN, "no Authorization header");
	refuse("", HW_EMISSINGTOKEN, "no Authorization header");
}

Test(sigv4, other_kinds_of_authorization_are_not_taken)
{
	static const char *const kinds[] = {"Basic YTpi", "Bearer abc", "AWS4-HMAC-SHA256",
		"AWS4-ECDSA-P256-SHA256 Credential=" CREDENTIAL ", SignedHeaders=" SIGNED
		", Signature=" SIGNATURE,
		"AWS4-HMAC-SHA256-PAYLOAD Credential=" CREDENTIAL ", SignedHeaders=" SIGNED
		", Signature=" SIGNATURE,
		"aws4-hmac-sha256 Credential=" CREDENTIAL ", SignedHeaders=" SIGNED
		", Signature=" SIGNATURE,
		"AWS AKIAFAKEFAKEFAKEFAKE:c2ln"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		refuse(kinds[i], HW_EINCOMPLETESIGNATURE, "only AWS4-HMAC-SHA256 is served");
}

Test(sigv4, each_part_is_there_once)
{
	refuse(ALGORITHM "SignedHeaders=" SIGNED ", Signature=" SIGNATURE, HW_EINCOMPLETESIGNATURE,
		"missing");
	refuse(ALGORITHM "Credential=" CREDENTIAL ", Signature=" SIGNATURE, HW_EINCOMPLETESIGNATURE,
		"missing");
	refuse(ALGORITHM "Credential=" CREDENTIAL ", SignedHeaders=" SIGNED,
		HW_EINCOMPLETESIGNATURE, "missing");
	refuse(ALGORITHM "Credential=, SignedHeaders=" SIGNED ", Signature=" SIGNATURE,
		HW_EINCOMPLETESIGNATURE, "missing");
	refuse(ALGORITHM "Credential=" CREDENTIAL ", Credential=" CREDENTIAL
			 ", SignedHeaders=" SIGNED ", Signature=" SIGNATURE,
		HW_EINCOMPLETESIGNATURE, "twice");
	refuse(ALGORITHM "Credential=" CREDENTIAL ", SignedHeaders=" SIGNED ", Signature=" SIGNATURE
			 ", Extra=1",
		HW_EINCOMPLETESIGNATURE, "unknown");
	refuse(ALGORITHM "Credential=" CREDENTIAL " SignedHeaders=" SIGNED ", Signature=" SIGNATURE,
		HW_EINCOMPLETESIGNATURE, "Authorization header must be");
	refuse(ALGORITHM ",,,", HW_EINCOMPLETESIGNATURE, "no \"=\"");
	refuse(ALGORITHM "   ", HW_EINCOMPLETESIGNATURE, "only");
}

static void
refuse_credential(const char *credential, int code, const char *why)
{
	char text[1024];

	snprintf(text, sizeof(text),
		ALGORITHM "Credential=%s, SignedHeaders=" SIGNED ", Signature=" SIGNATURE,
		credential);
	refuse(text, code, why);
}

Test(sigv4, a_credential_has_five_good_parts)
{
	char longest[300] = "";

	refuse_credential("AKIA", HW_EINCOMPLETESIGNATURE, "KEY/DATE/REGION");
	refuse_credential("20261123/us-east-1/ssm/aws4_request", HW_EINCOMPLETESIGNATURE,
		"KEY/DATE/REGION");
	refuse_credential("/20261123/us-east-1/ssm/aws4_request", HW_EINCOMPLETESIGNATURE,
		"key id");
	refuse_credential("A/B/20261123/us-east-1/ssm/aws4_request", HW_EINCOMPLETESIGNATURE,
		"key id");
	refuse_credential("A\x1b[2J/20261123/us-east-1/ssm/aws4_request", HW_EINCOMPLETESIGNATURE,
		"key id");
	memset(longest, 'A', SIGV4_KEY_ID_MAX + 1);
	strcat(longest, "/20261123/us-east-1/ssm/aws4_request");
	refuse_credential(longest, HW_EINCOMPLETESIGNATURE, "key id");
	refuse_credential("A/20261123//ssm/aws4_request", HW_EINCOMPLETESIGNATURE, "region");
	refuse_credential("A/20261123/us\xc3\xa9/ssm/aws4_request", HW_EINCOMPLETESIGNATURE,
		"region");
	refuse_credential("A/2026112/us-east-1/ssm/aws4_request", HW_EINCOMPLETESIGNATURE, "date");
	refuse_credential("A/2026112x/us-east-1/ssm/aws4_request", HW_EINCOMPLETESIGNATURE, "date");
	refuse_credential("A/20261124/us-east-1/ssm/aws4_request", HW_ESIGNATURE,
		"not that of X-Amz-Date");
	refuse_credential("A/20261123/us-east-1/ssmmessages/aws4_request", HW_ESIGNATURE,
		"for the service ssm");
	refuse_credential("A/20261123/us-east-1/s3/aws4_request", HW_ESIGNATURE,
		"for the service ssm");
	refuse_credential("A/20261123/us-east-1/ssm/aws5_request", HW_ESIGNATURE, "aws4_request");
}

Test(sigv4, a_signature_is_sixty_four_digits)
{
	static const char *const bad[] = {"00", SIGNATURE "0",
		"AE2CFF41625A6DDF648B6218377A790355296E7A81C5D3EEE82AC9FE72BEC743",
		"ge2cff41625a6ddf648b6218377a790355296e7a81c5d3eee82ac9fe72bec743"};
	char text[512];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text),
			ALGORITHM "Credential=" CREDENTIAL ", SignedHeaders=" SIGNED
				  ", Signature=%s",
			bad[i]);
		refuse(text, HW_EINCOMPLETESIGNATURE, "64 hex digits");
	}
}

static void
refuse_signed(const char *list, const char *why)
{
	char text[8192];

	snprintf(text, sizeof(text),
		ALGORITHM "Credential=" CREDENTIAL ", SignedHeaders=%s, Signature=" SIGNATURE,
		list);
	refuse(text, HW_EINCOMPLETESIGNATURE, why);
}

Test(sigv4, host_date_and_target_must_be_signed)
{
	refuse_signed("content-type;x-amz-date;x-amz-target", "host must be signed");
	refuse_signed("content-type;host;x-amz-target", "x-amz-date must be signed");
	refuse_signed("content-type;host;x-amz-date", "x-amz-target must be signed");
}

Test(sigv4, the_list_of_signed_headers_is_sorted_and_of_good_names)
{
	char many[4096] = "a00";

	refuse_signed("host;content-type;x-amz-date;x-amz-target", "not sorted");
	refuse_signed("content-type;host;host;x-amz-date;x-amz-target", "not sorted");
	refuse_signed("content-type;host;x-amz-date;x-amz-target;", "name of a signed header");
	refuse_signed(";content-type;host;x-amz-date;x-amz-target", "name of a signed header");
	refuse_signed("Content-Type;host;x-amz-date;x-amz-target", "name of a signed header");
	refuse_signed("content type;host;x-amz-date;x-amz-target", "name of a signed header");
	refuse_signed("content-type:;host;x-amz-date;x-amz-target", "name of a signed header");
	refuse_signed("absent;content-type;host;x-amz-date;x-amz-target",
		"absent is signed, and is not there");
	for (int i = 1; i < 300; i++)
		sprintf(many + strlen(many), ";a%02d", i);
	refuse_signed(many, "too many headers are signed");
	memset(many, 'a', sizeof(many) - 1);
	refuse_signed(many, "too long");
}

Test(sigv4, no_more_headers_are_signed_than_may_be)
{
	struct request r = by_cli;
	char text[1024] = ALGORITHM "Credential=" CREDENTIAL ", SignedHeaders=host";
	static struct header headers[HEADERS] = {
		{"host", "h"}
	     };

	for (int i = 0; i < SIGV4_HEADERS_MAX; i++)
		sprintf(text + strlen(text), ";host%02d", i);
	strcat(text, ", Signature=" SIGNATURE);
	r.authorization = text;
	memcpy(r.headers, headers, sizeof(headers));
	refuse_as(&r, HW_EINCOMPLETESIGNATURE, "host00 is signed, and is not there");
}

Test(sigv4, a_header_that_is_there_twice_has_no_value)
{
	struct request r = by_cli;

	r.headers[4] = r.headers[3];
	refuse_as(&r, HW_EINCOMPLETESIGNATURE, "x-amz-target is there twice");
}

Test(sigv4, a_header_with_a_control_character_has_no_value)
{
	struct request r = by_cli;

	r.headers[3].value = "AmazonSSM.\x01";
	refuse_as(&r, HW_EINCOMPLETESIGNATURE, "control character");
	r.headers[3].value = "AmazonSSM.\nx";
	refuse_as(&r, HW_EINCOMPLETESIGNATURE, "control character");
	r.headers[3].value = "AmazonSSM.\x7f";
	refuse_as(&r, HW_EINCOMPLETESIGNATURE, "control character");
}

Test(sigv4, signed_headers_have_a_bound_in_all)
{
	static char value[SIGV4_VALUE_MAX + 2];
	struct request r = by_cli;

	memset(value, 'v', SIGV4_VALUE_MAX);
	r.authorization =
		ALGORITHM "Credential=" CREDENTIAL
			  ", SignedHeaders=a;b;c;content-type;d;host;x-amz-date;x-amz-target"
			  ", Signature=" SIGNATURE;
	for (int i = 0; i < 4; i++)
		r.headers[4 + i] = (struct header){
			(const char *[]){"a", "b", "c", "d"}
			    [i], value
		      };
	refuse_as(&r, HW_EINCOMPLETESIGNATURE, "bytes in all");
	value[SIGV4_VALUE_MAX] = 'v';
	refuse_as(&r, HW_EINCOMPLETESIGNATURE, "a is too long");
}

Test(sigv4, the_date_is_one_that_there_is)
{
	static const char *const bad[] = {"", "20261123", "20261123T030542", "20261123T030542z",
		"2026-11-23T03:05:42Z", "20261123 030542Z", "20261123T036042Z", "20261123T030561Z",
		"20261123T240000Z", "Mon, 23 Nov 2026 03:05:42 GMT", "20261123T03054-Z"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct request r = by_cli;
		r.headers[2].value = bad[i];
		refuse_as(&r, HW_EINCOMPLETESIGNATURE, "X-Amz-Date");
	}
	struct request r = by_cli;
	r.authorization = ALGORITHM "Credential=A/20260231/us-east-1/ssm/aws4_request"
				    ", SignedHeaders=" SIGNED ", Signature=" SIGNATURE;
	r.headers[2].value = "20260231T030542Z";
	refuse_as(&r, HW_EINCOMPLETESIGNATURE, "no time that there is");
}

/* --- the window ---------------------------------------------------------------------------- */

Test(sigv4, the_clock_may_be_off_by_the_window_and_no_more)
{
	const int64_t at = SIGNED_AT * USEC_PER_SEC, window = 300 * USEC_PER_SEC;
	struct hw_err err = HW_ERR_INIT;
	struct sigv4 *s;

	cr_assert(eq(int, read_it(&s, &by_cli, &err), 0));
	cr_assert(eq(int, sigv4_in_time(s, at, window, &err), 0));
	cr_assert(eq(int, sigv4_in_time(s, at + window, window, &err), 0));
	cr_assert(eq(int, sigv4_in_time(s, at - window, window, &err), 0));
	cr_assert(eq(int, sigv4_in_time(s, at + window + 1, window, &err), HW_ESIGNATURE));
	cr_assert(strstr(err.text, "Signature expired") != NULL);
	cr_assert(strstr(err.text, "2026-11-23T03:05:42.000Z") != NULL);
	cr_assert(eq(int, sigv4_in_time(s, at - window - 1, window, &err), HW_ESIGNATURE));
	cr_assert(strstr(err.text, "not yet current") != NULL);
	sigv4_free(s);
}

/* --- the signer's side ------------------------------------------------------------------------ */

/* The requests of Amazon's description of S3's signatures, with its key. */
#define S3_KEY	  "AKIAIOSFODNN7EXAMPLE"
#define S3_SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define NOTHING	  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct sigv4_request described = {
	.method = "GET",
	.path = "/",
	.query = "lifecycle=",
	.host = "examplebucket.s3.amazonaws.com",
	.hash = NOTHING,
	.region = "us-east-1",
	.service = "s3",
	.time = INT64_C(1369353600) * USEC_PER_SEC, /* 2013-05-24 */
};

static void
assert_signed(const struct sigv4_request *q, const char *signature)
{
	char date[SIGV4_DATE_LEN + 1], said[SIGV4_AUTHORIZATION_MAX + 1], wanted[512];
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, sigv4_sign(date, said, q, S3_KEY, S3_SECRET, &err), 0), "%s",
		hw_err_text(&err));
	cr_assert_str_eq(date, "20130524T000000Z");
	snprintf(wanted, sizeof(wanted),
		ALGORITHM "Credential=" S3_KEY "/20130524/us-east-1/s3/aws4_request, "
			  "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=%s",
		signature);
	cr_assert_str_eq(said, wanted);
}

Test(sigv4_sign, signs_as_amazon_describes_it)
{
	struct sigv4_request q = described;

	assert_signed(&q, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	q.query = "max-keys=2&prefix=J";
	assert_signed(&q, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

Test(sigv4_sign, what_has_no_room_is_refused)
{
	char date[SIGV4_DATE_LEN + 1], said[SIGV4_AUTHORIZATION_MAX + 1];
	static char path[SIGV4_CANONICAL_MAX], secret[SIGV4_SECRET_MAX + 2];
	struct sigv4_request q = described;
	struct hw_err err = HW_ERR_INIT;

	memset(secret, 's', sizeof(secret) - 1);
	cr_assert(eq(int, sigv4_sign(date, said, &q, S3_KEY, secret, &err), HW_ELIMIT));
	secret[SIGV4_SECRET_MAX] = '\0';
	cr_assert(eq(int, sigv4_sign(date, said, &q, S3_KEY, secret, &err), 0));
	memset(path, '/', sizeof(path) - 1);
	q.path = path;
	cr_assert(eq(int, sigv4_sign(date, said, &q, S3_KEY, S3_SECRET, &err), HW_ELIMIT));
}
