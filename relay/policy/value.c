#include "relay/policy/value.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define WHOLE_DIGITS 18
#define NANO_DIGITS  9
#define DAY	     86400

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads `min` to `max` digits; false with fewer or more of them. */
static bool
read_digits(int64_t *ret, const char **text, int min, int max)
{
	int64_t value = 0;
	int n = 0;

	for (; is_digit(**text); (*text)++) {
		if (++n > max)
			return false;
		value = value * 10 + (**text - '0');
	}
	*ret = value;
	return n >= min;
}

/* What follows the point, as billionths; nothing without one. */
static bool
read_fraction(int32_t *ret, const char **text)
{
	const char *begin;
	int64_t value;

	*ret = 0;
	if (**text != '.')
		return true;
	begin = ++*text;
	if (!read_digits(&value, text, 1, NANO_DIGITS))
		return false;
	for (int n = (int)(*text - begin); n < NANO_DIGITS; n++)
		value *= 10;
	*ret = (int32_t)value;
	return true;
}

bool
value_decimal(struct value_decimal *ret, const char *text)
{
	bool negative = *text == '-';
	int64_t whole;
	int32_t nano;

	if (*text == '-' || *text == '+')
		text++;
	if (!read_digits(&whole, &text, 1, WHOLE_DIGITS) || !read_fraction(&nano, &text) ||
		*text != '\0')
		return false;
	if (negative) {
		whole = -whole - (nano > 0);
		nano = nano > 0 ? 1000000000 - nano : 0;
	}
	*ret = (struct value_decimal){whole, nano};
	return true;
}

int
value_compare(const struct value_decimal *a, const struct value_decimal *b)
{
	if (a->whole != b->whole)
		return a->whole < b->whole ? -1 : 1;
	return (a->nano > b->nano) - (a->nano < b->nano);
}

/* --- dates ------------------------------------------------------------------------------------ */

static bool
is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t
month_length(int64_t year, int64_t month)
{
	static const int8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return lengths[month - 1] + (month == 2 && is_leap(year));
}

static int64_t
days_since_1970(int64_t year, int64_t month, int64_t day)
{
	int64_t past = year - 1;
	int64_t days = past * 365 + past / 4 - past / 100 + past / 400 + day - 1;

	for (int64_t m = 1; m < month; m++)
		days += month_length(year, m);
	return days - 719162; /* from the year 1 to 1970 */
}

static bool
take(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

static bool
read_two(int64_t *ret, const char **text, int64_t below)
{
	return read_digits(ret, text, 2, 2) && *ret < below;
}

static bool
read_day(int64_t *seconds, const char **text)
{
	int64_t year, month, day;

	if (!read_digits(&year, text, 4, 4) || year == 0 || !take(text, '-') ||
		!read_two(&month, text, 13) || month == 0 || !take(text, '-') ||
		!read_two(&day, text, 32) || day == 0 || day > month_length(year, month))
		return false;
	*seconds = days_since_1970(year, month, day) * DAY;
	return true;
}

static bool
read_zone(int64_t *seconds, const char **text)
{
	int64_t hours, minutes;

	if (take(text, 'Z')) {
		*seconds = 0;
		return true;
	}
	bool west = **text == '-';
	if (!take(text, '-') && !take(text, '+'))
		return false;
	if (!read_two(&hours, text, 24) || !take(text, ':') || !read_two(&minutes, text, 60))
		return false;
	*seconds = (hours * 60 + minutes) * (west ? -60 : 60);
	return true;
}

static bool
read_time(int64_t *seconds, int32_t *nano, const char **text)
{
	int64_t hours, minutes, rest = 0, zone;

	*nano = 0;
	if (!read_two(&hours, text, 24) || !take(text, ':') || !read_two(&minutes, text, 60))
		return false;
	if (take(text, ':') && (!read_two(&rest, text, 60) || !read_fraction(nano, text)))
		return false;
	if (!read_zone(&zone, text))
		return false;
	*seconds = (hours * 60 + minutes) * 60 + rest - zone;
	return true;
}

bool
value_date(struct value_decimal *ret, const char *text)
{
	int64_t day, time = 0;
	int32_t nano = 0;

	if (value_decimal(ret, text))
		return true;
	if (!read_day(&day, &text) || (take(&text, 'T') && !read_time(&time, &nano, &text)) ||
		*text != '\0')
		return false;
	*ret = (struct value_decimal){day + time, nano};
	return true;
}

/* --- truth and networks ----------------------------------------------------------------------- */

bool
value_bool(bool *ret, const char *text)
{
	*ret = strcasecmp(text, "true") == 0;
	return *ret || strcasecmp(text, "false") == 0;
}

/* What is IPv4-mapped becomes IPv4. */
static void
unmap(struct value_net *net)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (net->bits < 96 || memcmp(net->bytes, mapped, sizeof(mapped)) != 0)
		return;
	memmove(net->bytes, net->bytes + 12, 4);
	net->family = 4;
	net->bits -= 96;
}

bool
value_address(struct value_net *ret, const char *text)
{
	struct value_net net = {.family = 4, .bits = 32};

	if (inet_pton(AF_INET, text, net.bytes) != 1) {
		net.family = 6;
		net.bits = 128;
		if (inet_pton(AF_INET6, text, net.bytes) != 1)
			return false;
		unmap(&net);
	}
	*ret = net;
	return true;
}

static bool
read_prefix(int64_t *ret, const char *text, int64_t most)
{
	if (text[0] == '0' && text[1] != '\0')
		return false;
	return read_digits(ret, &text, 1, 3) && *text == '\0' && *ret <= most;
}

bool
value_net(struct value_net *ret, const char *text)
{
	const char *slash = strchr(text, '/');
	struct value_net net = {.family = 4};
	char address[INET6_ADDRSTRLEN];
	int64_t bits;

	if (slash == NULL)
		return value_address(ret, text);
	if ((size_t)(slash - text) >= sizeof(address))
		return false;
	snprintf(address, sizeof(address), "%.*s", (int)(slash - text), text);
	if (inet_pton(AF_INET, address, net.bytes) != 1) {
		net.family = 6;
		if (inet_pton(AF_INET6, address, net.bytes) != 1)
			return false;
	}
	if (!read_prefix(&bits, slash + 1, net.family == 4 ? 32 : 128))
		return false;
	net.bits = (uint8_t)bits;
	if (net.family == 6)
		unmap(&net);
	*ret = net;
	return true;
}

bool
value_net_has(const struct value_net *net, const struct value_net *address)
{
	size_t whole = net->bits / 8;

	if (net->family != address->family || memcmp(net->bytes, address->bytes, whole) != 0)
		return false;
	if (net->bits % 8 == 0)
		return true;
	uint8_t mask = (uint8_t)(0xff << (8 - net->bits % 8));
	return ((net->bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}
