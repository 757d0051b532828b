#include "client/meter.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"

static void
is(const char *what, uint64_t bytes, int64_t seconds, int cols, const char *text)
{
	struct buf out;

	buf_init(&out, 4096);
	meter_append(&out, what, bytes, seconds * USEC_PER_SEC, cols);
	cr_assert_str_eq(buf_str(&out), text);
	buf_fini(&out);
}

Test(meter, what_its_size_its_rate_and_the_time)
{
	is("41 sessions", 12300000, 3, 80, "41 sessions  12.3 MB  4.1 MB/s  0:03");
	is("1 entry", 0, 61, 80, "1 entry  1:01");
	is("x", 999, 1, 80, "x  999 B  999 B/s  0:01");
	is("x", UINT64_C(2500000000000), 1000, 80, "x  2.5 TB  2.5 GB/s  16:40");
	is("x", 1000, 0, 80, "x  1.0 kB  0:00");
}

Test(meter, it_never_reaches_the_last_column)
{
	is("41 sessions", 12300000, 3, 20, "41 sessions  12.3 M");
	is("41 sessions", 12300000, 3, 1, "");
	is("41 sessions", 12300000, 3, 0, "");
}

Test(meter, what_is_named_steers_nothing)
{
	is("\033[2J", 0, 1, 80, "\\x1b[2J  0:01");
}

static size_t
drawn(const int fds[2], char *into, size_t room)
{
	ssize_t n = read(fds[0], into, room - 1);

	into[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

Test(meter, it_shows_after_a_second_and_goes_without_a_trace)
{
	char text[512];
	int fds[2];
	struct meter m;

	cr_assert(eq(int, pipe2(fds, O_NONBLOCK), 0));
	meter_init(&m, false);
	cr_assert(not(m.live), "stderr of a test is no terminal");
	meter_show(&m, 1, "one");
	m = (struct meter){.fd = fds[1], .live = true, .began = clock_mono(&hw_clock_system)};
	meter_show(&m, 1, "one");
	meter_hide(&m);
	cr_assert(eq(sz, drawn(fds, text, sizeof(text)), 0));

	m.began -= 2 * METER_AFTER;
	meter_show(&m, 0, "%d things", 2);
	cr_assert(gt(sz, drawn(fds, text, sizeof(text)), 0));
	cr_assert_str_eq(text, "\r\x1b[K2 things  0:02");
	meter_show(&m, 0, "three"); /* not yet */
	meter_hide(&m);
	meter_hide(&m);
	drawn(fds, text, sizeof(text));
	cr_assert_str_eq(text, "\r\x1b[K");
	close(fds[0]);
	close(fds[1]);
}
