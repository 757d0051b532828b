#include "relay/objects/said.h"

#include <stdio.h>
#include <string.h>

bool
said_element(char *out, size_t room, const struct buf *xml, const char *name)
{
	const char *text = (const char *)buf_data(xml), *from, *to;
	char tag[64];

	out[0] = '\0';
	int n = snprintf(tag, sizeof(tag), "<%s>", name);
	from = memmem(text, xml->len, tag, (size_t)n);
	if (from == NULL)
		return false;
	from += n;
	size_t left = xml->len - (size_t)(from - text);
	if ((to = memchr(from, '<', left)) == NULL)
		return false;
	size_t len = (size_t)(to - from) < room ? (size_t)(to - from) : room - 1;
	for (size_t i = 0; i < len; i++)
		out[i] = from[i] >= 0x20 && from[i] < 0x7f ? from[i] : '?';
	out[len] = '\0';
	return true;
}

/* What may be better in a while, and not for this object alone. */
static bool
is_trouble(long status)
{
	return status >= 500 || status == 429 || status == 408;
}

/* What this object will meet each time. All else may pass: a redirect, a clash with another
 * request, bytes that were lost, a region that is being set right. */
static bool
is_final(const char *code)
{
	static const char *const final[] = {
		"InvalidBucketName", "KeyTooLongError", "EntityTooLarge", "InvalidArgument"};

	for (size_t i = 0; i < sizeof(final) / sizeof(final[0]); i++)
		if (strcmp(code, final[i]) == 0)
			return true;
	return false;
}

int
said_failure(long status, const struct buf *xml, const char *bucket, struct hw_err *err)
{
	char code[65], message[201], what[300];

	said_element(code, sizeof(code), xml, "Code");
	said_element(message, sizeof(message), xml, "Message");
	snprintf(what, sizeof(what), "%ld%s%s%s%s", status, code[0] != '\0' ? " " : "", code,
		message[0] != '\0' ? ": " : "", message);
	if (is_trouble(status))
		return hw_err_set(err, HW_EUNAVAILABLE, "the storage is in trouble: %s", what);
	if (status == 401 || status == 403)
		return hw_err_set(err, HW_EDENIED,
			"the storage does not let the relay write to the bucket %s: %s", bucket,
			what);
	if (strcmp(code, "NoSuchBucket") == 0)
		return hw_err_set(err, HW_ENOTFOUND, "the storage has no bucket %s: %s", bucket,
			what);
	if (strcmp(code, "NoSuchKey") == 0)
		return hw_err_set(err, HW_ENOTFOUND, "the storage does not have it: %s", what);
	return hw_err_set(err, is_final(code) ? HW_EVALIDATION : HW_EREFUSED,
		"the storage refuses it: %s", what);
}
