#include "relay/core/lane.h"

#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/wire/window.h"
#include "tests/unit/wire/duo.h"

struct stage {
	struct duo *d;
	struct channel *ch;
	struct lane lane;
};

static struct stage
stage_new(int64_t window)
{
	struct stage s = {.d = duo_new()};

	duo_up(s.d);
	s.ch = duo_open(s.d, CHANNEL_TYPE_EXEC, window);
	lane_init(&s.lane, STREAM_IN);
	return s;
}

static void
stage_free(struct stage *s)
{
	lane_fini(&s->lane);
	duo_free(s->d);
}

Test(lane, what_need_not_wait_goes_on_at_once)
{
	struct stage s = stage_new(1000);
	size_t moved;

	cr_assert(eq(int, lane_put(&s.lane, s.ch, "abc", 3, 0, &moved), 0));
	cr_assert(eq(sz, moved, 3));
	cr_assert(eq(sz, s.lane.hold.len, 0));
	stage_free(&s);
}

Test(lane, what_waits_for_the_disk_goes_on_in_order_when_it_is_there)
{
	struct stage s = stage_new(1000);
	size_t moved;

	cr_assert(eq(int, lane_put(&s.lane, s.ch, "abc", 3, 100, &moved), 0));
	cr_assert(eq(int, lane_put(&s.lane, s.ch, "de", 2, 200, &moved), 0));
	cr_assert(eq(sz, moved, 0));
	cr_assert(eq(sz, lane_pump(&s.lane, s.ch), 0));
	lane_synced(&s.lane, 150);
	cr_assert(eq(sz, lane_pump(&s.lane, s.ch), 3));
	lane_synced(&s.lane, 200);
	cr_assert(eq(sz, lane_pump(&s.lane, s.ch), 2));
	cr_assert(eq(u64, channel_sent(s.ch, STREAM_IN), 5));
	stage_free(&s);
}

Test(lane, bytes_without_a_mark_never_overtake_those_that_wait)
{
	struct stage s = stage_new(1000);
	size_t moved;

	lane_put(&s.lane, s.ch, "abc", 3, 100, &moved);
	lane_put(&s.lane, s.ch, "de", 2, 0, &moved);
	cr_assert(eq(sz, moved, 0));
	cr_assert(eq(sz, lane_pump(&s.lane, s.ch), 0));
	lane_synced(&s.lane, 100);
	cr_assert(eq(sz, lane_pump(&s.lane, s.ch), 5));
	stage_free(&s);
}

Test(lane, a_full_window_keeps_the_rest_until_there_is_room)
{
	struct stage s = stage_new(4);
	size_t moved;

	s.d->node.consume = false;
	cr_assert(eq(int, lane_put(&s.lane, s.ch, "abcdefg", 7, 0, &moved), 0));
	cr_assert(eq(sz, moved, 4));
	cr_assert(eq(sz, lane_pump(&s.lane, s.ch), 0));
	duo_run(s.d);
	channel_consume(s.d->node.ch, STREAM_IN, 4, ECHO_UNKNOWN);
	duo_run(s.d);
	cr_assert(eq(sz, lane_pump(&s.lane, s.ch), 3));
	stage_free(&s);
}

Test(lane, the_stream_ends_after_what_it_holds)
{
	struct stage s = stage_new(1000);
	size_t moved;

	lane_put(&s.lane, s.ch, "abc", 3, 100, &moved);
	s.lane.ends = true;
	lane_pump(&s.lane, s.ch);
	duo_run(s.d);
	cr_assert(not(s.lane.ended));
	lane_synced(&s.lane, 100);
	lane_pump(&s.lane, s.ch);
	cr_assert(s.lane.ended);
	stage_free(&s);
}

Test(lane, more_than_any_window_lets_in_is_refused)
{
	static uint8_t block[1024 * 1024];
	struct stage s = stage_new(1);
	size_t moved;

	cr_assert(gt(sz, LANE_MAX, WINDOW_MAX));
	cr_assert(eq(sz, LANE_MAX % sizeof(block), 0));
	for (size_t n = 0; n < LANE_MAX; n += sizeof(block))
		cr_assert(eq(int, lane_put(&s.lane, s.ch, block, sizeof(block), 1, &moved), 0));
	cr_assert(eq(int, lane_put(&s.lane, s.ch, block, 1, 1, &moved), HW_ELIMIT));
	cr_assert(eq(sz, lane_drop(&s.lane), LANE_MAX));
	stage_free(&s);
}

Test(lane, bytes_typed_one_by_one_on_a_slow_disk_are_all_kept)
{
	struct stage s = stage_new(1000000);
	size_t moved;

	for (jpos at = 1; at <= 100000; at++)
		cr_assert(eq(int, lane_put(&s.lane, s.ch, "x", 1, at, &moved), 0));
	lane_synced(&s.lane, 10);
	cr_assert(eq(sz, lane_pump(&s.lane, s.ch), 10));
	lane_synced(&s.lane, 99999);
	cr_assert(lt(sz, lane_pump(&s.lane, s.ch), 99990), "the last one is not on disk");
	lane_synced(&s.lane, 100000);
	lane_pump(&s.lane, s.ch);
	cr_assert(eq(u64, channel_sent(s.ch, STREAM_IN), 100000));
	stage_free(&s);
}
