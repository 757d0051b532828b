#include "client/duration.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/clock.h"
#include "proto/base/err.h"

static int64_t
parsed(const char *text)
{
	int64_t usec = -1;

	return duration_parse_clock(&usec, text) == 0 ? usec : -1;
}

Test(duration, units)
{
	cr_assert(eq(i64, parsed("90"), 90 * USEC_PER_SEC));
	cr_assert(eq(i64, parsed("1.5s"), 1500000));
	cr_assert(eq(i64, parsed("15m"), 900 * USEC_PER_SEC));
	cr_assert(eq(i64, parsed("24h"), 86400 * USEC_PER_SEC));
	cr_assert(eq(i64, parsed("7d"), 7 * 86400 * USEC_PER_SEC));
	cr_assert(eq(i64, parsed("0"), 0));
}

Test(duration, clocks)
{
	cr_assert(eq(i64, parsed("01:02"), 62 * USEC_PER_SEC));
	cr_assert(eq(i64, parsed("01:02:03"), 3723 * USEC_PER_SEC));
	cr_assert(eq(i64, parsed("1:2:3:4"), -1));
	cr_assert(eq(i64, parsed("1:"), -1));
	cr_assert(eq(i64, parsed(":1"), -1));
}

Test(duration, what_is_none)
{
	static const char *const bad[] = {
		"", "s", "-1", "1x", "1hm", "inf", "nan", "0x10", "1e9d", " 1", "1 "};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(eq(i64, parsed(bad[i]), -1), "%s", bad[i]);
}

static const char *
age(int64_t seconds)
{
	static char text[DURATION_TEXT];

	duration_format(text, seconds * USEC_PER_SEC);
	return text;
}

Test(duration, ages_have_one_unit)
{
	cr_assert_str_eq(age(-5), "now");
	cr_assert_str_eq(age(1), "now");
	cr_assert_str_eq(age(45), "45s");
	cr_assert_str_eq(age(240), "4m");
	cr_assert_str_eq(age(3 * 3600), "3h");
	cr_assert_str_eq(age(3 * 86400), "3d");
}
