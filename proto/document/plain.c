#include "proto/document/plain.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t
digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* -?(0|[1-9][0-9]*) at the front: its length, or 0. */
static size_t
integer_length(const char *s)
{
	size_t sign = s[0] == '-';
	size_t n = digits(s + sign);

	return n == 0 || (n > 1 && s[sign] == '0') ? 0 : sign + n;
}

static bool
is_real(const char *s)
{
	size_t n = integer_length(s), more;

	if (n == 0)
		return false;
	if (s[n] == '.') {
		if ((more = digits(s + n + 1)) == 0)
			return false;
		n += 1 + more;
	}
	if (s[n] == 'e' || s[n] == 'E') {
		n += 1 + (s[n + 1] == '+' || s[n + 1] == '-');
		if ((more = digits(s + n)) == 0)
			return false;
		n += more;
	}
	return s[n] == '\0';
}

bool
plain_integer(json_int_t *ret, const char *text)
{
	size_t n = integer_length(text);

	if (n == 0 || text[n] != '\0')
		return false;
	errno = 0;
	long long v = strtoll(text, NULL, 10);
	if (errno != 0)
		return false;
	*ret = v;
	return true;
}

static bool
is_one_of(const char *text, const char *a, const char *b, const char *c)
{
	return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

int
plain_boolean(const char *text)
{
	if (is_one_of(text, "true", "True", "TRUE"))
		return 1;
	return is_one_of(text, "false", "False", "FALSE") ? 0 : -1;
}

static bool
is_null(const char *text)
{
	return text[0] == '\0' || strcmp(text, "~") == 0 || is_one_of(text, "null", "Null", "NULL");
}

json_t *
plain_value(const char *text)
{
	json_int_t number;
	int boolean = plain_boolean(text);

	if (is_null(text))
		return json_null();
	if (boolean >= 0)
		return json_boolean(boolean);
	if (plain_integer(&number, text))
		return json_integer(number);
	if (!is_real(text))
		return json_string(text);
	double real = strtod(text, NULL);
	return isfinite(real) ? json_real(real) : json_string(text);
}

bool
plain_is_special(const char *text)
{
	return is_null(text) || plain_boolean(text) >= 0 || is_real(text);
}
