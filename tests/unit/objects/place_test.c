/* Endpoints, buckets, prefixes, regions and URLs. */
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "relay/objects/place.h"

static int
parse(struct s3_place *ret, const char *endpoint)
{
	struct hw_err err = HW_ERR_INIT;
	int r = s3_place_parse(ret, endpoint, true, &err);

	cr_assert(eq(int, r == 0, err.text[0] == '\0'), "%s: %s", endpoint, err.text);
	return r;
}

Test(place, an_endpoint_is_a_host_and_perhaps_a_port)
{
	struct s3_place p;

	cr_assert(eq(int, parse(&p, "https://s3.example.org"), 0));
	cr_assert(p.tls);
	cr_assert_str_eq(p.host, "s3.example.org");
	cr_assert(eq(int, parse(&p, "https://s3.example.org:9000/"), 0));
	cr_assert_str_eq(p.host, "s3.example.org:9000");
	cr_assert(eq(int, parse(&p, "https://[2001:db8::1]:9000"), 0));
	cr_assert(eq(int, parse(&p, "http://127.0.0.1:9000"), 0));
	cr_assert_not(p.tls);
	cr_assert(eq(int, parse(&p, "http://localhost"), 0));
	cr_assert(eq(int, parse(&p, "http://[::1]:1"), 0));
}

Test(place, what_is_no_endpoint_is_refused)
{
	static const char *const bad[] = {"", "s3.example.org", "ftp://s3", "https://", "https:///",
		"https://a/b", "https://a?b", "https://a#b", "https://user@a",
		"https://a:", "https://a:x", "https://a:123456", "https://[::1", "https://a b",
		"https://a\r\nHost: b", "https://a%2f", "http://s3.example.org",
		"http://127.0.0.1.example.org", "http://localhosts"};
	struct s3_place p;
	char longest[400] = "https://";

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(eq(int, parse(&p, bad[i]), HW_EVALIDATION), "%s", bad[i]);
	memset(longest + 8, 'a', sizeof(longest) - 9);
	longest[sizeof(longest) - 1] = '\0';
	cr_assert(eq(int, parse(&p, longest), HW_EVALIDATION));
}

Test(place, only_names_with_tls_can_have_a_bucket_before_them)
{
	static const char *const bad[] = {"http://localhost", "http://localhost:9000",
		"http://127.0.0.1:9000", "http://[::1]", "https://127.0.0.1",
		"https://192.0.2.1:9000", "https://[2001:db8::1]", "https://[2001:db8::1]:9000"};
	struct hw_err err = HW_ERR_INIT;
	struct s3_place p;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert(eq(int, s3_place_parse(&p, bad[i], false, &err), HW_EVALIDATION), "%s",
			bad[i]);
		cr_assert(eq(int, s3_place_parse(&p, bad[i], true, &err), 0), "%s", bad[i]);
	}
	cr_assert(eq(int, s3_place_parse(&p, "https://s3.example.org:9000", false, &err), 0));
	cr_assert(eq(int, s3_place_parse(&p, "https://localhost:9000", false, &err), 0));
	cr_assert(eq(int, s3_place_parse(&p, "https://7.example.org", false, &err), 0));
}

Test(place, buckets_and_regions_are_plain_words)
{
	static const char *const bad[] = {"", "ab", "a..b", "-ab", "ab-", ".ab", "a/b", "a b",
		"a%b", "a:b", "Logs", "logS", "loGs", "a@b.c", "\xc3\xa4\xc3\xa4\xc3\xa4",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	const struct s3_place paths = {.tls = true, .path_style = true}, hosts = {.tls = true};
	struct hw_err err = HW_ERR_INIT;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(eq(int, s3_bucket_check(&paths, bad[i], &err), HW_EOUTPUTFOLDER), "%s",
			bad[i]);
	cr_assert(eq(int, s3_bucket_check(&paths, "abc", &err), 0));
	cr_assert(eq(int, s3_bucket_check(&paths, "my.bucket-1_x", &err), 0));
	cr_assert(eq(int, s3_bucket_check(&hosts, "my-bucket-1", &err), 0));
	cr_assert(eq(int, s3_bucket_check(&hosts, "my.bucket", &err), HW_EOUTPUTFOLDER));
	cr_assert(ne(ptr, strstr(err.text, "s3_path_style"), NULL), "%s", err.text);
	cr_assert(eq(int, s3_region_check("us-east-1", &err), 0));
	cr_assert(eq(int, s3_region_check("x", &err), HW_EOUTPUTFOLDER));
	cr_assert(eq(int, s3_region_check("us:east", &err), HW_EOUTPUTFOLDER));
	cr_assert(eq(int, s3_region_check("us/east/1", &err), HW_EOUTPUTFOLDER));
	cr_assert(eq(int, s3_region_check("123456789012345678901", &err), HW_EOUTPUTFOLDER));
}

Test(place, a_prefix_leads_nowhere_else)
{
	static const char *const bad[] = {
		"/", "/a", "a/", "a//b", ".", "..", "a/.", "a/../b", "a\nb", "a/\x7f"};
	struct hw_err err = HW_ERR_INIT;
	char longest[S3_PREFIX_MAX + 2];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(eq(int, s3_prefix_check(bad[i], &err), HW_EOUTPUTFOLDER), "%s", bad[i]);
	cr_assert(eq(int, s3_prefix_check("", &err), 0));
	cr_assert(eq(int, s3_prefix_check("a", &err), 0));
	cr_assert(eq(int, s3_prefix_check("a/..b/c d", &err), 0));
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	cr_assert(eq(int, s3_prefix_check(longest, &err), HW_EOUTPUTFOLDER));
	longest[S3_PREFIX_MAX] = '\0';
	cr_assert(eq(int, s3_prefix_check(longest, &err), 0));
}

static void
has_url(bool path_style, const char *key, const char *wanted)
{
	struct s3_place p = {.tls = true, .host = "s3.example.org:1", .path_style = path_style};
	struct buf url;

	buf_init(&url, 4096);
	s3_url(&url, &p, "logs", key);
	cr_assert_str_eq(buf_str(&url), wanted);
	buf_fini(&url);
}

Test(place, urls_are_encoded_as_signatures_want_them)
{
	has_url(true, "a/b-c_d.e~f", "https://s3.example.org:1/logs/a/b-c_d.e~f");
	has_url(false, "a", "https://logs.s3.example.org:1/a");
	has_url(true, "a b+c%?#&=:@\xc3\xbc",
		"https://s3.example.org:1/logs/a%20b%2Bc%25%3F%23%26%3D%3A%40%C3%BC");
}
