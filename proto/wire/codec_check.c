#include <stdio.h>
#include <string.h>

#include "proto/base/clock.h"
#include "proto/base/enc.h"
#include "proto/wire/codec_io.h"

/* --- the sentence
 * ---------------------------------------------------------------------------------- */

static void
print_path(char *out, size_t room, const struct at *at)
{
	if (at->up != NULL)
		print_path(out, room, at->up);
	size_t n = strlen(out);
	if (at->name == NULL)
		snprintf(out + n, room - n, "[%zu]", at->index);
	else
		snprintf(out + n, room - n, "%s%.*s", n > 0 ? "." : "", (int)at->name_len,
			at->name);
}

int
at_fail(struct hw_err *err, const struct at *at, const char *fmt, ...)
{
	char path[192] = "";
	va_list ap;

	if (err == NULL)
		return HW_EVALIDATION;
	va_start(ap, fmt);
	hw_err_vset(err, HW_EVALIDATION, fmt, ap);
	va_end(ap);
	print_path(path, sizeof(path), at);
	hw_err_prefix(err, "%s", path);
	return HW_EVALIDATION;
}

const char *
quoted(char out[QUOTED_MAX], const char *text, size_t n)
{
	size_t shown = n < 40 ? n : 40;
	char *to = out;

	*to++ = '"';
	for (size_t i = 0; i < shown; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= ' ' && c < 0x7f && c != '"' && c != '\\')
			*to++ = (char)c;
		else
			to += sprintf(to, "\\x%02x", c);
	}
	memcpy(to, shown < n ? "\"..." : "\"", shown < n ? 5 : 2);
	return out;
}

/* --- the bounds
 * -------------------------------------------------------------------------------------- */

int
check_text(struct hw_err *err, const struct at *at, const char *p, size_t n)
{
	if (memchr(p, '\0', n) != NULL)
		return at_fail(err, at, "has a NUL in it");
	if (!utf8_valid(p, n))
		return at_fail(err, at, "is not valid UTF-8");
	return 0;
}

static int
check_size(struct hw_err *err, const struct at *at, const struct field_row *f, size_t n,
	const char *unit)
{
	if (n < (uint64_t)f->min)
		return at_fail(err, at, "%zu %s%s, at least %lld", n, unit, n == 1 ? "" : "s",
			(long long)f->min);
	if (n > (uint64_t)f->max)
		return at_fail(err, at, "%zu %s%s, at most %lld", n, unit, n == 1 ? "" : "s",
			(long long)f->max);
	return 0;
}

int
check_bytes(struct hw_err *err, const struct at *at, const struct field_row *f, size_t n)
{
	return check_size(err, at, f, n, "byte");
}

int
check_items(struct hw_err *err, const struct at *at, const struct field_row *f, size_t n)
{
	return check_size(err, at, f, n, f->kind == FIELD_SMAP ? "key" : "item");
}

int
check_int(struct hw_err *err, const struct at *at, const struct field_row *f, int64_t v)
{
	if (v >= f->min && v <= f->max)
		return 0;
	if (f->flags & FIELD_SECRET)
		return at_fail(err, at, "out of range %lld..%lld", (long long)f->min,
			(long long)f->max);
	return at_fail(err, at, "%lld is out of range %lld..%lld", (long long)v, (long long)f->min,
		(long long)f->max);
}

/* Beyond the years that RFC 3339 can write, sums of times could overflow. */
int
check_time(struct hw_err *err, const struct at *at, int64_t v)
{
	const int64_t year_1 = INT64_C(-62135596800) * USEC_PER_SEC;
	const int64_t year_10000 = INT64_C(253402300800) * USEC_PER_SEC;

	if (v < year_1 || v >= year_10000)
		return at_fail(err, at, "not within the years 1 to 9999");
	return 0;
}
