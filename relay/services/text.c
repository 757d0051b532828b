#include "relay/services/text.h"

#include <string.h>

#include "proto/base/enc.h"
#include "relay/core/op.h"

const char *
text_or_empty(const char *s)
{
	return s != NULL ? s : "";
}

const char *
text_or_absent(const char *s)
{
	return s != NULL && s[0] != '\0' ? s : NULL;
}

bool
text_is_plain(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	if (!utf8_valid(s, strlen(s)))
		return false;
	for (; *p != '\0'; p++) {
		bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f;
		if (*p < 0x20 || *p == 0x7f || c1)
			return false;
	}
	return true;
}

bool
text_is_os_user(const char *s)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyz_";
	static const char rest[] = "abcdefghijklmnopqrstuvwxyz_0123456789.-";

	if (s[0] == '\0' || strchr(first, s[0]) == NULL)
		return false;
	size_t n = strspn(s, rest);
	return n <= 32 && (s[n] == '\0' || strcmp(s + n, "$") == 0);
}

int
text_check(struct op *op, const struct text_field *fields)
{
	for (const struct text_field *f = fields; f->name != NULL; f++) {
		if (f->value != NULL && !text_is_plain(f->value))
			return op_fail(op, HW_EVALIDATION, "%s: control characters are not allowed",
				f->name);
	}
	return 0;
}

int
text_check_tags(struct op *op, const struct msg_tag *tags, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!text_is_plain(tags[i].key) || !text_is_plain(tags[i].value))
			return op_fail(op, HW_EVALIDATION,
				"Tags[%zu]: control characters are not allowed", i);
	}
	return 0;
}

/* The last * is all that ever needs another try. */
bool
text_matches(const char *pattern, const char *s)
{
	const char *star = NULL, *retry = NULL;

	while (*s != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			retry = s;
		} else if (*pattern == *s) {
			pattern++;
			s++;
		} else if (star != NULL) {
			pattern = star + 1;
			s = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

int
text_keep(const char **ret, struct op *op, const char *s)
{
	if (s[0] == '\0') {
		*ret = NULL;
		return 0;
	}
	*ret = arena_strdup(op->arena, s);
	return *ret != NULL ? 0 : op_fail(op, HW_ELIMIT, "the reply is too large");
}
