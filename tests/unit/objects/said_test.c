/* What a storage answers, well formed and not. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "relay/objects/said.h"

static bool
element(char *out, size_t room, const char *xml)
{
	struct buf b;

	buf_init(&b, 4096);
	buf_append_str(&b, xml);
	bool found = said_element(out, room, &b, "Code");
	buf_fini(&b);
	return found;
}

Test(said, an_element_is_found_or_is_not)
{
	char out[8];

	cr_assert(element(out, sizeof(out), "<?xml?><Error><Code>Busy</Code></Error>"));
	cr_assert_str_eq(out, "Busy");
	cr_assert(element(out, sizeof(out), "<Code></Code>"));
	cr_assert_str_eq(out, "");
	cr_assert_not(element(out, sizeof(out), ""));
	cr_assert_not(element(out, sizeof(out), "<Code>"));
	cr_assert_not(element(out, sizeof(out), "<Code>Busy"));
	cr_assert_not(element(out, sizeof(out), "<code>Busy</code>"));
	cr_assert_str_eq(out, "");
	cr_assert(element(out, sizeof(out), "<Code>much too long</Code>"));
	cr_assert_str_eq(out, "much to");
	cr_assert(element(out, sizeof(out), "<Code>a\x1b[2J\n</Code>"));
	cr_assert_str_eq(out, "a?[2J?");
}

static int
failure(long status, const char *xml, struct hw_err *err)
{
	struct buf b;

	buf_init(&b, 4096);
	buf_append_str(&b, xml);
	int r = said_failure(status, &b, "logs", err);
	buf_fini(&b);
	return r;
}

Test(said, a_status_says_whose_fault_it_is)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, failure(500, "", &err), HW_EUNAVAILABLE));
	cr_assert(eq(int, failure(503, "<Code>SlowDown</Code>", &err), HW_EUNAVAILABLE));
	cr_assert(eq(int, failure(429, "", &err), HW_EUNAVAILABLE));
	cr_assert(eq(int, failure(403, "<Code>AccessDenied</Code><Message>No</Message>", &err),
		HW_EDENIED));
	cr_assert(ne(ptr, strstr(err.text, "403 AccessDenied: No"), NULL), "%s", err.text);
	cr_assert(ne(ptr, strstr(err.text, "logs"), NULL), "%s", err.text);
	cr_assert(eq(int, failure(404, "<Code>NoSuchBucket</Code>", &err), HW_ENOTFOUND));
	cr_assert(eq(int, failure(404, "", &err), HW_EREFUSED));
	cr_assert(eq(int, failure(404, "<Code>NoSuchUpload</Code>", &err), HW_EREFUSED));
	cr_assert(eq(int, failure(404, "<Code>NoSuchKey</Code>", &err), HW_ENOTFOUND));
	cr_assert(eq(ptr, strstr(err.text, "no bucket"), NULL), "%s", err.text);
}

Test(said, only_what_names_the_object_is_final)
{
	static const char *const passing[] = {"", "RequestTimeout", "IncompleteBody", "BadDigest",
		"AuthorizationHeaderMalformed", "OperationAborted"};
	static const char *const final[] = {
		"InvalidBucketName", "KeyTooLongError", "EntityTooLarge", "InvalidArgument"};
	struct hw_err err = HW_ERR_INIT;
	char xml[128];

	for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
		snprintf(xml, sizeof(xml), "<Code>%s</Code>", passing[i]);
		cr_assert(eq(int, failure(400, xml, &err), HW_EREFUSED), "%s", xml);
	}
	for (size_t i = 0; i < sizeof(final) / sizeof(final[0]); i++) {
		snprintf(xml, sizeof(xml), "<Code>%s</Code>", final[i]);
		cr_assert(eq(int, failure(400, xml, &err), HW_EVALIDATION), "%s", xml);
	}
	cr_assert(eq(int, failure(301, "", &err), HW_EREFUSED));
	cr_assert(eq(int, failure(307, "", &err), HW_EREFUSED));
	cr_assert(eq(int, failure(409, "<Code>OperationAborted</Code>", &err), HW_EREFUSED));
}
