#include "proto/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *wire;
	int http;
	const char *meaning;
} rows[] = {
#define HW_ERROR(sym, wire, http, doc) {wire, http, doc},
#include "proto/schema/errors.def"
#undef HW_ERROR
};

static size_t
row_of(int code)
{
	if (code > -2 || code <= -2 - (int)HW_ERROR_ROWS)
		return HW_EINTERNAL_ROW;
	return (size_t)(-2 - code);
}

int
hw_err_vset(struct hw_err *err, int code, const char *fmt, va_list ap)
{
	if (err != NULL) {
		err->code = code;
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
	}
	return code;
}

int
hw_err_set(struct hw_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	hw_err_vset(err, code, fmt, ap);
	va_end(ap);
	return code;
}

static int
code_of_errno(int e)
{
	switch (e) {
	case ENOMEM:
		return HW_ENOMEM;
	case ENOENT:
		return HW_ENOTFOUND;
	case EEXIST:
		return HW_EEXISTS;
	case EIO:
	case ENOSPC:
	case EROFS:
	case EDQUOT:
		return HW_EIO;
	case ETIMEDOUT:
		return HW_ETIMEOUT;
	case ECONNREFUSED:
	case ECONNRESET:
	case EPIPE:
	case ENETUNREACH:
	case EHOSTUNREACH:
		return HW_EUNAVAILABLE;
	default:
		return HW_ESYS;
	}
}

int
hw_err_sys(struct hw_err *err, const char *fmt, ...)
{
	int e = errno;
	va_list ap;

	va_start(ap, fmt);
	hw_err_vset(err, code_of_errno(e), fmt, ap);
	va_end(ap);
	if (err != NULL) {
		size_t n = strlen(err->text);
		snprintf(err->text + n, sizeof(err->text) - n, ": %s", strerror(e));
	}
	return code_of_errno(e);
}

int
hw_err_prefix(struct hw_err *err, const char *fmt, ...)
{
	char was[sizeof(err->text)];
	va_list ap;

	if (err == NULL)
		return HW_EINTERNAL;
	snprintf(was, sizeof(was), "%s", hw_err_text(err));
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	size_t n = strlen(err->text);
	snprintf(err->text + n, sizeof(err->text) - n, ": %s", was);
	return err->code;
}

const char *
hw_err_text(const struct hw_err *err)
{
	return err->text[0] != '\0' ? err->text : hw_code_meaning(err->code);
}

const char *
hw_code_name(int code)
{
	return rows[row_of(code)].wire;
}

int
hw_code_http(int code)
{
	return code == HW_OK ? 200 : rows[row_of(code)].http;
}

const char *
hw_code_meaning(int code)
{
	return code == HW_OK ? "success" : rows[row_of(code)].meaning;
}

int
hw_code_from_name(const char *name)
{
	for (int i = 0; i < (int)HW_ERROR_ROWS; i++)
		if (strcmp(rows[i].wire, name) == 0)
			return -2 - i;
	return HW_EINTERNAL;
}

void
hw_assert_failed(const char *cond, const char *file, int line, const char *func)
{
	fprintf(stderr, "hawser: bug: %s is false in %s (%s:%d)\n", cond, func, file, line);
	abort();
}
