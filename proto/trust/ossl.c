#include "proto/trust/ossl.h"

#include <openssl/err.h>

#include <stdio.h>
#include <string.h>

/* The first error is the cause; those after it only say who passed it on. */
static const char *
first_reason(void)
{
	unsigned long e = ERR_get_error();

	ERR_clear_error();
	if (e == 0)
		return NULL;
	if (ERR_SYSTEM_ERROR(e))
		return strerror(ERR_GET_REASON(e));
	return ERR_reason_error_string(e);
}

int
ossl_err(struct hw_err *err, int code, const char *fmt, ...)
{
	const char *reason = first_reason();
	va_list ap;

	va_start(ap, fmt);
	hw_err_vset(err, code, fmt, ap);
	va_end(ap);
	if (err != NULL && reason != NULL) {
		size_t n = strlen(err->text);
		snprintf(err->text + n, sizeof(err->text) - n, ": %s", reason);
	}
	return code;
}
