#include "proto/base/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/base/err.h"

static int64_t
read_clock(clockid_t id)
{
	struct timespec ts;

	int r = clock_gettime(id, &ts);
	hw_assert(r == 0);
	return (int64_t)ts.tv_sec * USEC_PER_SEC + ts.tv_nsec / 1000;
}

static int64_t
system_mono(const struct hw_clock *c)
{
	(void)c;
	return read_clock(CLOCK_MONOTONIC);
}

static int64_t
system_wall(const struct hw_clock *c)
{
	(void)c;
	return read_clock(CLOCK_REALTIME);
}

const struct hw_clock hw_clock_system = {.mono = system_mono, .wall = system_wall};

/* --- a clock that stands still --------------------------------------------------------------- */

static const struct fake_clock *
fake_from(const struct hw_clock *c)
{
	return (const void *)((const char *)c - offsetof(struct fake_clock, clock));
}

static int64_t
fake_mono(const struct hw_clock *c)
{
	return fake_from(c)->now_mono;
}

static int64_t
fake_wall(const struct hw_clock *c)
{
	return fake_from(c)->now_wall;
}

void
fake_clock_init(struct fake_clock *f, int64_t wall)
{
	*f = (struct fake_clock){
		.clock = {.mono = fake_mono, .wall = fake_wall},
		.now_mono = USEC_PER_SEC, /* not 0, which a forgotten field would also be */
		.now_wall = wall,
	};
}

void
fake_clock_advance(struct fake_clock *f, int64_t usec)
{
	hw_assert(usec >= 0);
	f->now_mono += usec;
	f->now_wall += usec;
}

/* --- RFC 3339 -------------------------------------------------------------------------------- */

#define YEAR_1	   INT64_C(-62135596800) /* seconds since 1970 */
#define YEAR_10000 INT64_C(253402300800)

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

void
rfc3339_format(char out[RFC3339_LEN + 1], int64_t wall)
{
	struct tm tm;
	char text[64];

	if (wall < YEAR_1 * USEC_PER_SEC)
		wall = YEAR_1 * USEC_PER_SEC;
	if (wall >= YEAR_10000 * USEC_PER_SEC)
		wall = YEAR_10000 * USEC_PER_SEC - 1;
	time_t sec = (time_t)floor_div(wall, USEC_PER_SEC);
	int msec = (int)((wall - (int64_t)sec * USEC_PER_SEC) / USEC_PER_MSEC);
	gmtime_r(&sec, &tm);
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
		tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, msec);
	memcpy(out, text, RFC3339_LEN + 1);
}

/* Takes exactly n digits. */
static bool
take_number(const char **at, int n, int *ret)
{
	int value = 0;

	for (; n > 0; n--, (*at)++) {
		if (**at < '0' || **at > '9')
			return false;
		value = value * 10 + (**at - '0');
	}
	*ret = value;
	return true;
}

static bool
take_char(const char **at, const char *any)
{
	if (**at == '\0' || strchr(any, **at) == NULL)
		return false;
	(*at)++;
	return true;
}

static bool
take_fraction(const char **at, int64_t *usec)
{
	int64_t scale = USEC_PER_SEC;
	int digits = 0;

	*usec = 0;
	if (!take_char(at, "."))
		return true;
	for (; **at >= '0' && **at <= '9'; (*at)++, digits++) {
		scale /= 10; /* 0 from the seventh digit on */
		*usec += (**at - '0') * scale;
	}
	return digits >= 1 && digits <= 9;
}

static bool
take_offset(const char **at, int64_t *sec)
{
	int hour, min;

	*sec = 0;
	if (take_char(at, "Zz"))
		return true;
	bool west = **at == '-';
	if (!take_char(at, "+-") || !take_number(at, 2, &hour) || !take_char(at, ":") ||
		!take_number(at, 2, &min) || hour > 23 || min > 59)
		return false;
	*sec = (hour * 60 + min) * (west ? -60 : 60);
	return true;
}

static int
days_in(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

static bool
in_bounds(int year, const struct tm *tm)
{
	return year >= 1 && tm->tm_mon >= 1 && tm->tm_mon <= 12 && tm->tm_mday >= 1 &&
		tm->tm_mday <= days_in(year, tm->tm_mon) && tm->tm_hour <= 23 && tm->tm_min <= 59 &&
		tm->tm_sec <= 60; /* a leap second becomes the next second */
}

int
rfc3339_parse(int64_t *wall, const char *text)
{
	struct tm tm = {0};
	const char *at = text;
	int64_t usec, offset;
	int year;

	if (!take_number(&at, 4, &year) || !take_char(&at, "-") ||
		!take_number(&at, 2, &tm.tm_mon) || !take_char(&at, "-") ||
		!take_number(&at, 2, &tm.tm_mday) || !take_char(&at, "Tt") ||
		!take_number(&at, 2, &tm.tm_hour) || !take_char(&at, ":") ||
		!take_number(&at, 2, &tm.tm_min) || !take_char(&at, ":") ||
		!take_number(&at, 2, &tm.tm_sec) || !take_fraction(&at, &usec) ||
		!take_offset(&at, &offset) || *at != '\0' || !in_bounds(year, &tm))
		return HW_EVALIDATION;
	tm.tm_year = year - 1900;
	tm.tm_mon--;
	*wall = ((int64_t)timegm(&tm) - offset) * USEC_PER_SEC + usec;
	return 0;
}
