#include "proto/base/clock.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/err.h"

#define NOV_23 INT64_C(1795454456123000) /* 2026-11-23T17:20:56.123Z */

Test(clock, the_systems_goes_forward)
{
	int64_t a = clock_mono(&hw_clock_system), b = clock_mono(&hw_clock_system);

	cr_assert(le(i64, a, b));
	cr_assert(gt(i64, clock_wall(&hw_clock_system), INT64_C(1700000000) * USEC_PER_SEC));
}

Test(clock, a_fake_one_stands_until_it_is_moved)
{
	struct fake_clock f;

	fake_clock_init(&f, NOV_23);
	int64_t mono = clock_mono(&f.clock);
	cr_assert(eq(i64, clock_mono(&f.clock), mono));
	fake_clock_advance(&f, 5);
	cr_assert(eq(i64, clock_mono(&f.clock), mono + 5));
	cr_assert(eq(i64, clock_wall(&f.clock), NOV_23 + 5));
}

static void
check_format(int64_t wall, const char *text)
{
	char out[RFC3339_LEN + 1];

	rfc3339_format(out, wall);
	cr_assert_str_eq(out, text);
}

Test(rfc3339, is_written_to_the_millisecond)
{
	check_format(NOV_23, "2026-11-23T17:20:56.123Z");
	check_format(NOV_23 + 999, "2026-11-23T17:20:56.123Z");
	check_format(0, "1970-01-01T00:00:00.000Z");
	check_format(-1, "1969-12-31T23:59:59.999Z");
}

Test(rfc3339, stays_within_its_years)
{
	check_format(INT64_MAX, "9999-12-31T23:59:59.999Z");
	check_format(INT64_MIN, "0001-01-01T00:00:00.000Z");
}

static void
check_parse(const char *text, int64_t want)
{
	int64_t got = -1;

	cr_assert(eq(int, rfc3339_parse(&got, text), 0), "%s", text);
	cr_assert(eq(i64, got, want), "%s", text);
}

Test(rfc3339, is_read_with_any_fraction_and_offset)
{
	check_parse("2026-11-23T17:20:56.123Z", NOV_23);
	check_parse("2026-11-23t17:20:56.123z", NOV_23);
	check_parse("2026-11-23T17:20:56Z", NOV_23 - 123000);
	check_parse("2026-11-23T17:20:56.123456789Z", NOV_23 + 456);
	check_parse("2026-11-23T18:50:56.123+01:30", NOV_23);
	check_parse("2026-11-23T09:20:56.123-08:00", NOV_23);
	check_parse("1969-12-31T23:59:59.5Z", -500000);
	check_parse("2024-02-29T00:00:00Z", INT64_C(1709164800) * USEC_PER_SEC);
	check_parse("2016-12-31T23:59:60Z", INT64_C(1483228800) * USEC_PER_SEC);
}

Test(rfc3339, what_is_not_one_is_refused)
{
	static const char *const bad[] = {"", "2026", "2026-11-23", "2026-11-23T17:20:56",
		"2026-11-23 17:20:56Z", "2026-11-23T17:20:56.Z", "2026-11-23T17:20:56.1234567890Z",
		"2026-11-23T17:20:56Zx", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
		"2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-11-31T00:00:00Z",
		"2026-11-00T00:00:00Z", "2026-11-23T24:00:00Z", "2026-11-23T00:60:00Z",
		"2026-11-23T00:00:61Z", "2026-11-23T00:00:00+24:00", "2026-11-23T00:00:00+0100",
		"2026-11-23T00:00:00+", "-026-11-23T00:00:00Z", "0000-01-01T00:00:00Z"};
	int64_t got = 77;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert(eq(int, rfc3339_parse(&got, bad[i]), HW_EVALIDATION), "%s", bad[i]);
	cr_assert(eq(i64, got, 77));
}
