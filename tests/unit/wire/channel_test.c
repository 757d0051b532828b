/* Channels: streams, credit, order, fairness, and what a peer may not do with them. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <malloc.h>
#include <string.h>

#include "tests/unit/wire/duo.h"

static uint8_t bytes[4 << 20];

/* The node's end as a test sees it when it plays the relay: channel 1 is open, each stream may
 * carry `window` bytes each way. */
static struct duo *
with_raw_relay(int64_t window)
{
	struct duo *d = duo_new();
	struct msg_open open = {.type = CHANNEL_TYPE_EXEC, .session_id = "s", .window = window};

	d->node.window = window;
	duo_link(d, NODE);
	duo_raw_hello(d, RELAY);
	duo_raw_message(d, RELAY, FRAME_OPEN, 1, MSG_ROW(open), &open);
	duo_clear(d);
	return d;
}

static void
expect_protocol_error(struct duo *d, struct end_of *e)
{
	duo_run(d);
	has(e->seen, "down:ProtocolError");
	has(e->sent, "CLOSE:0]");
	duo_free(d);
}

static void
raw_data(struct duo *d, uint32_t channel, int stream, uint64_t offset, size_t n)
{
	duo_raw(d, RELAY,
		&(struct frame){.kind = FRAME_DATA,
			.channel = channel,
			.stream = (uint8_t)stream,
			.offset = offset,
			.body = bytes,
			.body_len = n});
}

static void
raw_end(struct duo *d, int stream, uint64_t offset)
{
	duo_raw(d, RELAY,
		&(struct frame){.kind = FRAME_END,
			.channel = 1,
			.stream = (uint8_t)stream,
			.offset = offset});
}

static void
raw_credit(struct duo *d, int stream, uint64_t consumed, uint64_t limit)
{
	duo_raw(d, RELAY,
		&(struct frame){.kind = FRAME_CREDIT,
			.channel = 1,
			.stream = (uint8_t)stream,
			.offset = consumed,
			.limit = limit});
}

/* --- opening --------------------------------------------------------------------------------- */

static struct channel *
ask_to_open(struct duo *d, int type, int64_t window)
{
	struct msg_open open = {.type = type, .session_id = "alice-1", .window = window};
	struct channel *ch;

	cr_assert(channel_open(&ch, d->relay.link, &open, &d->relay.channel_events, &d->relay,
			  NULL) == 0);
	return ch;
}

Test(channel, opens_when_it_is_accepted)
{
	struct duo *d = duo_new();

	duo_up(d);
	struct channel *ch = ask_to_open(d, CHANNEL_TYPE_PTY, 1000);
	cr_assert(eq(u32, channel_id(ch), 1));
	cr_assert(eq(sz, channel_room(ch, STREAM_IN), 0));
	cr_assert(eq(sz, channel_write(ch, STREAM_IN, "x", 1), 0));
	duo_run(d);
	same(d->node.seen, "open:1:alice-1");
	same(d->relay.seen, "accept:1");
	cr_assert(eq(sz, channel_room(ch, STREAM_IN), 1 << 16));
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 1000));
	cr_assert(eq(u64, d->limits.channels, 2));
	duo_free(d);
}

Test(channel, the_accepter_may_send_right_behind_accept)
{
	struct duo *d = duo_new();

	d->node.hold = true;
	duo_up(d);
	ask_to_open(d, CHANNEL_TYPE_EXEC, 1000);
	duo_run(d);
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 0));
	channel_accept(d->node.ch, &(struct msg_accept){.window = 10});
	cr_assert(eq(sz, channel_write(d->node.ch, STREAM_OUT, bytes, 5), 5));
	duo_run(d);
	same(d->relay.seen, "accept:1 data:1.1@0+5");
	duo_free(d);
}

Test(channel, a_rejected_one_is_gone)
{
	struct duo *d = duo_new();

	d->node.hold = true;
	duo_up(d);
	ask_to_open(d, CHANNEL_TYPE_PTY, 1000);
	duo_run(d);
	channel_reject(d->node.ch, HW_ERUNAS, "no user named bob");
	duo_run(d);
	same(d->relay.seen, "reject:1:InvalidRunAs");
	cr_assert(eq(u64, d->limits.channels, 0));
	duo_free(d);
}

static void
take_no_notice(void *arg, struct link *l, struct channel *ch, const struct msg_open *open)
{
	(void)arg;
	(void)l;
	(void)ch;
	(void)open;
}

Test(channel, one_that_nobody_takes_is_rejected)
{
	struct duo *d = duo_new();

	d->node.link_events.on_open = take_no_notice;
	duo_up(d);
	ask_to_open(d, CHANNEL_TYPE_PTY, 1000);
	duo_run(d);
	same(d->relay.seen, "reject:1:InternalServerError");
	duo_free(d);
}

Test(channel, words_and_ends_wait_for_accept)
{
	struct duo *d = duo_new();

	d->node.hold = true;
	duo_up(d);
	struct channel *ch = ask_to_open(d, CHANNEL_TYPE_EXEC, 1000);
	channel_control(ch, &(struct msg_control){.type = CONTROL_RESIZE, .cols = 80});
	channel_end(ch, STREAM_IN);
	duo_run(d);
	same(d->relay.sent, "[OPEN:1]");
	channel_accept(d->node.ch, &(struct msg_accept){.window = 10});
	duo_run(d);
	same(d->node.seen, "open:1:alice-1 control:1:Resize end:1.0@0");
	duo_free(d);
}

Test(channel, one_may_be_closed_before_it_is_accepted)
{
	struct duo *d = duo_new();

	d->node.hold = true;
	duo_up(d);
	struct channel *ch = ask_to_open(d, CHANNEL_TYPE_EXEC, 1000);
	duo_run(d);
	channel_abort(ch, HW_ETIMEOUT, "too slow");
	duo_run(d);
	same(d->node.seen, "open:1:alice-1 close:1:RequestTimeout:0");
	same(d->relay.seen, "");
	duo_free(d);
}

Test(channel, a_late_accept_is_ignored)
{
	struct duo *d = duo_new();

	d->node.hold = true;
	duo_up(d);
	struct channel *ch = ask_to_open(d, CHANNEL_TYPE_EXEC, 1000);
	duo_run(d);
	pair_pause(d->pair, RELAY, true);
	channel_abort(ch, HW_ETIMEOUT, "too slow");
	channel_accept(d->node.ch, &(struct msg_accept){.window = 10});
	channel_write(d->node.ch, STREAM_OUT, bytes, 10);
	duo_run(d);
	pair_pause(d->pair, RELAY, false);
	duo_run(d);
	same(d->relay.seen, "");
	has(d->node.seen, "close:1");
	duo_free(d);
}

Test(channel, ids_are_not_used_twice)
{
	struct duo *d = duo_new();

	duo_up(d);
	for (uint32_t i = 1; i <= 5; i++) {
		struct channel *ch = duo_open(d, CHANNEL_TYPE_EXEC, 1000);
		cr_assert(eq(u32, channel_id(ch), i));
		channel_abort(ch, HW_ETIMEOUT, "");
		duo_run(d);
	}
	cr_assert(eq(u64, d->limits.channels, 0));
	duo_free(d);
}

Test(channel, a_link_carries_4096_at_most)
{
	struct duo *d = duo_new();
	struct msg_open open = {.type = CHANNEL_TYPE_EXEC, .session_id = "s"};
	struct channel *ch;

	duo_up(d);
	for (int i = 0; i < 4096; i++)
		ask_to_open(d, CHANNEL_TYPE_EXEC, 10);
	cr_assert(eq(int,
		channel_open(&ch, d->relay.link, &open, &d->relay.channel_events, &d->relay, NULL),
		HW_ELIMIT));
	duo_run(d);
	cr_assert(eq(u64, d->limits.channels, 8192));
	duo_free(d);
}

Test(channel, one_more_than_4096_is_rejected)
{
	struct duo *d = with_raw_relay(100);
	struct msg_open open = {.type = CHANNEL_TYPE_EXEC, .session_id = "s"};

	for (uint32_t id = 2; id <= 4096; id++)
		duo_raw_message(d, RELAY, FRAME_OPEN, id, MSG_ROW(open), &open);
	duo_clear(d);
	duo_raw_message(d, RELAY, FRAME_OPEN, 5000, MSG_ROW(open), &open);
	same(d->node.sent, "[REJECT:5000]");
	same(d->node.seen, "");
	raw_data(d, 5000, 0, 0, 1); /* sent before it knew */
	cr_assert(link_is_up(d->node.link));
	duo_free(d);
}

/* --- broken rules: OPEN ---------------------------------------------------------------------- */

Test(channel, an_id_that_does_not_grow_ends_the_link)
{
	struct duo *d = with_raw_relay(100);
	struct msg_open open = {.type = CHANNEL_TYPE_EXEC, .session_id = "s"};

	duo_raw_message(d, RELAY, FRAME_OPEN, 1, MSG_ROW(open), &open);
	expect_protocol_error(d, &d->node);
}

Test(channel, an_open_that_breaks_its_row_is_rejected)
{
	struct duo *d = with_raw_relay(100);
	/* a type of the future: {"Type": "voyage", "SessionId": "s"} */
	static const char frame[] = "\x93\x03\x02\x82\xa4Type\xa6"
				    "voyage\xa9SessionId\xa1s";

	pair_send(d->pair, RELAY, frame, sizeof(frame) - 1);
	duo_run(d);
	same(d->node.sent, "[REJECT:2]");
	cr_assert(link_is_up(d->node.link));
	duo_free(d);
}

Test(channel, bytes_before_accept_end_the_link)
{
	struct duo *d = duo_new();
	struct msg_open open = {.type = CHANNEL_TYPE_EXEC, .session_id = "s"};

	d->node.hold = true;
	duo_link(d, NODE);
	duo_raw_hello(d, RELAY);
	duo_raw_message(d, RELAY, FRAME_OPEN, 1, MSG_ROW(open), &open);
	raw_data(d, 1, 0, 0, 1);
	expect_protocol_error(d, &d->node);
}

/* --- what goes ahead of ACCEPT ---------------------------------------------------------------- */

static struct channel *
open_ahead(struct duo *d, int64_t node_window)
{
	struct msg_open open = {.type = CHANNEL_TYPE_CONNECTION, .session_id = "s", .window = 1000};
	struct channel *ch;

	duo_up(d);
	d->node.hold = true;
	d->node.window = node_window;
	cr_assert(eq(int,
		channel_open(&ch, d->relay.link, &open, &d->relay.channel_events, &d->relay, NULL),
		0));
	return ch;
}

Test(channel, a_connections_first_bytes_and_their_end_wait_for_no_answer)
{
	struct duo *d = duo_new();
	struct channel *ch = open_ahead(d, 100);

	cr_assert(eq(sz, channel_room(ch, STREAM_IN), 65536));
	cr_assert(eq(sz, channel_room(ch, STREAM_OUT), 0));
	cr_assert(eq(sz, channel_write(ch, STREAM_IN, bytes, sizeof(bytes)), 65536));
	channel_end(ch, STREAM_IN);
	duo_run(d);
	cr_assert(eq(sz, d->node.received, 65536));
	has(d->node.seen, "end:1.0@65536");
	cr_assert(link_is_up(d->node.link));
	duo_free(d);
}

/* The window of ACCEPT may be smaller than what has gone by then. */
Test(channel, a_small_window_takes_nothing_back_of_what_went_ahead)
{
	struct duo *d = duo_new();
	struct channel *ch = open_ahead(d, 100);
	struct msg_accept accept = {.window = 100};

	cr_assert(eq(sz, channel_write(ch, STREAM_IN, bytes, 5000), 5000));
	duo_run(d);
	channel_accept(d->node.ch, &accept);
	duo_run(d);
	cr_assert(eq(sz, channel_room(ch, STREAM_IN), 65536 - 5000));
	cr_assert(eq(sz, channel_write(ch, STREAM_IN, bytes, sizeof(bytes)), 65536 - 5000));
	duo_run(d);
	cr_assert(eq(sz, d->node.received, 65536));
	channel_consume(d->node.ch, STREAM_IN, 65536, ECHO_UNKNOWN);
	duo_run(d);
	cr_assert(eq(u64, channel_acked(ch, STREAM_IN), 65536));
	cr_assert(eq(sz, channel_room(ch, STREAM_IN), 200)); /* it has grown */
	duo_free(d);
}

Test(channel, what_went_ahead_of_a_rejection_is_nobodys)
{
	struct duo *d = duo_new();
	struct channel *ch = open_ahead(d, 100);

	channel_write(ch, STREAM_IN, bytes, 5000);
	duo_run(d);
	channel_reject(d->node.ch, HW_EREFUSED, "nobody listens there");
	channel_write(ch, STREAM_IN, bytes, 5000);
	duo_run(d);
	has(d->relay.seen, "reject:1:ConnectionRefused");
	cr_assert(link_is_up(d->relay.link));
	cr_assert(eq(u64, d->limits.queued, 0));
	duo_free(d);
}

static void
offer_connection(struct duo *d)
{
	struct msg_open open = {.type = CHANNEL_TYPE_CONNECTION, .session_id = "s"};

	d->node.hold = true;
	duo_link(d, NODE);
	duo_raw_hello(d, RELAY);
	duo_raw_message(d, RELAY, FRAME_OPEN, 1, MSG_ROW(open), &open);
}

Test(channel, more_than_goes_ahead_ends_the_link)
{
	struct duo *d = duo_new();

	offer_connection(d);
	raw_data(d, 1, STREAM_IN, 0, 65536);
	cr_assert(link_is_up(d->node.link));
	raw_data(d, 1, STREAM_IN, 65536, 1);
	expect_protocol_error(d, &d->node);
}

Test(channel, only_input_goes_ahead)
{
	struct duo *d = duo_new();

	offer_connection(d);
	raw_data(d, 1, STREAM_OUT, 0, 1);
	expect_protocol_error(d, &d->node);
}

Test(channel, accept_of_an_accepted_one_ends_the_link)
{
	struct duo *d = duo_new();
	struct msg_accept accept = {.window = 5};

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 100);
	duo_raw_message(d, NODE, FRAME_ACCEPT, 1, MSG_ROW(accept), &accept);
	expect_protocol_error(d, &d->relay);
}

/* --- broken rules: streams ------------------------------------------------------------------- */

Test(channel, a_gap_ends_the_link)
{
	struct duo *d = with_raw_relay(100);

	raw_data(d, 1, 0, 0, 5);
	raw_data(d, 1, 0, 6, 5);
	expect_protocol_error(d, &d->node);
}

Test(channel, bytes_sent_twice_end_the_link)
{
	struct duo *d = with_raw_relay(100);

	raw_data(d, 1, 0, 0, 5);
	raw_data(d, 1, 0, 0, 5);
	expect_protocol_error(d, &d->node);
}

Test(channel, the_window_may_be_filled)
{
	struct duo *d = with_raw_relay(100);

	raw_data(d, 1, 0, 0, 100);
	same(d->node.seen, "data:1.0@0+100");
	duo_free(d);
}

Test(channel, a_byte_past_the_limit_ends_the_link)
{
	struct duo *d = with_raw_relay(100);

	raw_data(d, 1, 0, 0, 101);
	has_not(d->node.seen, "data");
	expect_protocol_error(d, &d->node);
}

Test(channel, an_enormous_offset_ends_the_link)
{
	struct duo *d = with_raw_relay(100);

	raw_data(d, 1, 0, UINT64_MAX - 1, 1);
	expect_protocol_error(d, &d->node);
}

Test(channel, bytes_after_the_end_end_the_link)
{
	struct duo *d = with_raw_relay(100);

	raw_data(d, 1, 0, 0, 5);
	raw_end(d, 0, 5);
	same(d->node.seen, "data:1.0@0+5 end:1.0@5");
	raw_data(d, 1, 0, 5, 1);
	expect_protocol_error(d, &d->node);
}

Test(channel, an_end_elsewhere_ends_the_link)
{
	struct duo *d = with_raw_relay(100);

	raw_end(d, 0, 5);
	expect_protocol_error(d, &d->node);
}

Test(channel, a_second_end_ends_the_link)
{
	struct duo *d = with_raw_relay(100);

	raw_end(d, 0, 0);
	raw_end(d, 0, 0);
	expect_protocol_error(d, &d->node);
}

Test(channel, a_stream_that_is_not_there_ends_the_link)
{
	struct duo *d = with_raw_relay(100);

	raw_data(d, 1, 3, 0, 1);
	expect_protocol_error(d, &d->node);
}

Test(channel, a_limit_that_shrinks_ends_the_link)
{
	struct duo *d = with_raw_relay(100);

	raw_credit(d, STREAM_OUT, 0, 99);
	expect_protocol_error(d, &d->node);
}

Test(channel, consumed_that_shrinks_ends_the_link)
{
	struct duo *d = with_raw_relay(100);

	channel_write(d->node.ch, STREAM_OUT, bytes, 50);
	duo_run(d);
	raw_credit(d, STREAM_OUT, 50, 150);
	cr_assert(eq(u64, channel_acked(d->node.ch, STREAM_OUT), 50));
	cr_assert(eq(u64, channel_limit(d->node.ch, STREAM_OUT), 150));
	raw_credit(d, STREAM_OUT, 49, 150);
	expect_protocol_error(d, &d->node);
}

Test(channel, consumed_beyond_what_was_sent_ends_the_link)
{
	struct duo *d = with_raw_relay(100);

	pair_pause(d->pair, NODE, true);
	channel_write(d->node.ch, STREAM_OUT, bytes, 50); /* queued is not sent */
	raw_credit(d, STREAM_OUT, 1, 100);
	pair_pause(d->pair, NODE, false);
	expect_protocol_error(d, &d->node);
}

Test(channel, frames_for_a_closed_one_are_ignored)
{
	struct duo *d = with_raw_relay(100);

	channel_abort(d->node.ch, HW_ETERMINATED, "");
	duo_run(d);
	duo_clear(d);
	raw_data(d, 1, 0, 77, 50);
	raw_credit(d, 0, 7, 3);
	raw_end(d, 0, 3);
	cr_assert(link_is_up(d->node.link));
	same(d->node.seen, "");
	same(d->node.sent, "");
	duo_free(d);
}

/* --- credit ---------------------------------------------------------------------------------- */

Test(channel, a_full_window_waits_for_credit)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1000);
	cr_assert(eq(sz, channel_write(d->node.ch, STREAM_OUT, bytes, 5000), 1000));
	duo_run(d);
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 0));
	channel_consume(d->relay.ch, STREAM_OUT, 600, ECHO_UNKNOWN);
	duo_run(d);
	has(d->node.seen, "credit:1.1=600<1600/0");
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 600));
	cr_assert(eq(u64, channel_sent(d->node.ch, STREAM_OUT), 1000));
	duo_free(d);
}

Test(channel, credit_is_merged_in_a_turn)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1000);
	channel_write(d->node.ch, STREAM_OUT, bytes, 1000);
	duo_run(d);
	for (int i = 0; i < 500; i++)
		channel_consume(d->relay.ch, STREAM_OUT, 1, ECHO_UNKNOWN);
	duo_run(d);
	same(d->relay.sent, "[CREDIT:1.1=500<1500/0]");
	duo_free(d);
}

Test(channel, credit_for_output_goes_by_quarters_of_the_window)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1000);
	channel_write(d->node.ch, STREAM_OUT, bytes, 1000);
	duo_run(d);
	channel_consume(d->relay.ch, STREAM_OUT, 100, ECHO_UNKNOWN);
	duo_run(d);
	same(d->relay.sent, "");
	channel_consume(d->relay.ch, STREAM_OUT, 150, ECHO_UNKNOWN);
	duo_run(d);
	same(d->relay.sent, "[CREDIT:1.1=250<1250/0]");
	duo_free(d);
}

static void
show(struct duo *d, size_t n)
{
	cr_assert(eq(sz, channel_write(d->node.ch, STREAM_OUT, bytes, n), n));
	duo_run(d);
	channel_consume(d->relay.ch, STREAM_OUT, n, ECHO_UNKNOWN);
	duo_run(d);
}

Test(channel, recorded_output_is_acknowledged_by_the_kilobyte_though_its_limit_stays)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_PTY, 65536);
	show(d, 1000);
	duo_seconds(d, 1);
	same(d->relay.sent, "");
	show(d, 24);
	same(d->relay.sent, "");
	duo_seconds(d, 1);
	same(d->relay.sent, "[CREDIT:1.1=1024<65536/0]");
	duo_free(d);
}

Test(channel, recorded_output_is_acknowledged_once_in_a_pause)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_PTY, 65536);
	for (int i = 0; i < 3; i++) {
		show(d, 1);
		duo_seconds(d, 1);
	}
	same(d->relay.sent, "");
	duo_seconds(d, 3);
	same(d->relay.sent, "[CREDIT:1.1=3<65536/0]");
	duo_free(d);
}

Test(channel, what_nobody_records_and_keeps_is_not_acknowledged_by_the_sweep)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_CONNECTION, 65536);
	show(d, 2000);
	duo_seconds(d, 3);
	same(d->relay.sent, "");
	duo_free(d);
}

Test(channel, input_is_acknowledged_at_once)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1000);
	channel_write(d->relay.ch, STREAM_IN, bytes, 1000);
	duo_run(d);
	duo_clear(d);
	channel_consume(d->node.ch, STREAM_IN, 100, ECHO_UNKNOWN);
	duo_run(d);
	channel_consume(d->node.ch, STREAM_IN, 150, ECHO_UNKNOWN);
	duo_run(d);
	same(d->node.sent, "[CREDIT:1.0=100<1000/0] [CREDIT:1.0=250<1250/0]");
	duo_free(d);
}

Test(channel, consumed_input_that_nobody_records_waits_for_the_limit)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_CONNECTION, 1000);
	channel_write(d->relay.ch, STREAM_IN, bytes, 1000);
	duo_run(d);
	duo_clear(d);
	channel_consume(d->node.ch, STREAM_IN, 800, ECHO_UNKNOWN);
	duo_run(d);
	same(d->node.sent, "");
	duo_free(d);
}

/* Who sent it may wait to hear of that before it closes, which it does when both directions have
 * ended. */
Test(channel, all_that_was_consumed_is_told_along_with_the_end_of_the_other_direction)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_CONNECTION, 1000);
	channel_write(d->relay.ch, STREAM_IN, bytes, 10);
	duo_run(d);
	channel_consume(d->node.ch, STREAM_IN, 10, ECHO_UNKNOWN);
	channel_end(d->relay.ch, STREAM_IN);
	duo_run(d);
	cr_assert(eq(u64, channel_acked(d->relay.ch, STREAM_IN), 0));
	duo_clear(d);
	channel_end(d->node.ch, STREAM_OUT);
	duo_run(d);
	same(d->node.sent, "[END:1.1@0] [CREDIT:1.0=10<65536/0]");
	cr_assert(eq(u64, channel_acked(d->relay.ch, STREAM_IN), 10));
	duo_free(d);
}

Test(channel, all_that_was_consumed_is_told_at_its_end_where_the_other_direction_has_ended)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_CONNECTION, 1000);
	channel_end(d->node.ch, STREAM_OUT);
	channel_write(d->relay.ch, STREAM_IN, bytes, 10);
	duo_run(d);
	channel_consume(d->node.ch, STREAM_IN, 10, ECHO_UNKNOWN);
	duo_run(d);
	cr_assert(eq(u64, channel_acked(d->relay.ch, STREAM_IN), 0));
	channel_end(d->relay.ch, STREAM_IN);
	duo_run(d);
	cr_assert(eq(u64, channel_acked(d->relay.ch, STREAM_IN), 10));
	duo_free(d);
}

Test(channel, what_is_not_consumed_yet_is_not_told_when_the_end_comes)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_CONNECTION, 1000);
	channel_write(d->relay.ch, STREAM_IN, bytes, 10);
	channel_end(d->relay.ch, STREAM_IN);
	channel_end(d->node.ch, STREAM_OUT);
	duo_run(d);
	duo_clear(d);
	channel_consume(d->node.ch, STREAM_IN, 9, ECHO_UNKNOWN);
	duo_run(d);
	same(d->node.sent, "");
	channel_consume(d->node.ch, STREAM_IN, 1, ECHO_UNKNOWN);
	duo_run(d);
	cr_assert(eq(u64, channel_acked(d->relay.ch, STREAM_IN), 10));
	duo_free(d);
}

Test(channel, different_echoes_are_told_apart)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_PTY, 1000);
	channel_write(d->relay.ch, STREAM_IN, bytes, 30);
	duo_run(d);
	duo_clear(d);
	channel_consume(d->node.ch, STREAM_IN, 5, ECHO_SHOWN);
	channel_consume(d->node.ch, STREAM_IN, 5, ECHO_SHOWN);
	channel_consume(d->node.ch, STREAM_IN, 10, ECHO_HIDDEN);
	channel_consume(d->node.ch, STREAM_IN, 10, ECHO_SHOWN);
	duo_run(d);
	same(d->relay.seen, "credit:1.0=10<1000/1 credit:1.0=20<1000/2 credit:1.0=30<1000/1");
	duo_free(d);
}

Test(channel, exact_credit_goes_as_it_is)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1000);
	channel_write(d->node.ch, STREAM_OUT, bytes, 1000);
	duo_run(d);
	channel_credit(d->relay.ch, STREAM_OUT, 10, 1001, ECHO_UNKNOWN);
	channel_credit(d->relay.ch, STREAM_OUT, 20, 1007, ECHO_UNKNOWN);
	duo_run(d);
	channel_credit(d->relay.ch, STREAM_OUT, 5, 900, ECHO_UNKNOWN);
	channel_credit(d->relay.ch, STREAM_OUT, 99999, 1007, ECHO_UNKNOWN);
	duo_run(d);
	same(d->relay.sent, "[CREDIT:1.1=20<1007/0] [CREDIT:1.1=1000<1007/0]");
	duo_free(d);
}

Test(channel, a_long_stream_flows_through_a_small_window)
{
	struct duo *d = duo_new();
	size_t done = 0;

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 10000);
	d->relay.consume = true;
	for (int turns = 0; done < sizeof(bytes) && turns < 10000; turns++) {
		done += channel_write(d->node.ch, STREAM_OUT, bytes + done, sizeof(bytes) - done);
		duo_run(d);
	}
	cr_assert(eq(sz, done, sizeof(bytes)));
	cr_assert(eq(sz, d->relay.received, sizeof(bytes)));
	cr_assert(eq(u64, channel_acked(d->node.ch, STREAM_OUT), sizeof(bytes)));
	duo_free(d);
}

/* --- order ----------------------------------------------------------------------------------- */

Test(channel, an_end_comes_after_the_bytes)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	channel_write(d->node.ch, STREAM_OUT, bytes, 20000);
	channel_end(d->node.ch, STREAM_OUT);
	channel_end(d->node.ch, STREAM_ERR);
	duo_run(d);
	same(d->relay.seen, "end:1.2@0 data:1.1@0+16312 data:1.1@16312+3688 end:1.1@20000");
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 0));
	duo_free(d);
}

Test(channel, an_orderly_close_comes_after_the_bytes)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	channel_write(d->node.ch, STREAM_OUT, bytes, 20000);
	channel_write(d->node.ch, STREAM_ERR, bytes, 10);
	channel_end(d->node.ch, STREAM_OUT);
	channel_close(d->node.ch, &(struct msg_close){.exited = true, .exit_status = 3});
	duo_run(d);
	has(d->relay.seen, "data:1.1@16312+3688 end:1.1@20000 close:1::3");
	has(d->relay.seen, "data:1.2@0+10");
	cr_assert(eq(u64, d->limits.channels, 0));
	duo_free(d);
}

Test(channel, an_abort_drops_what_is_queued)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	channel_write(d->node.ch, STREAM_OUT, bytes, 100000);
	channel_abort(d->node.ch, HW_ETERMINATED, "ended by request");
	duo_run(d);
	same(d->relay.seen, "close:1:SessionTerminated:0");
	duo_free(d);
}

Test(channel, a_link_closed_in_order_lets_closed_channels_finish)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	channel_write(d->node.ch, STREAM_OUT, bytes, 100000);
	channel_close(d->node.ch, &(struct msg_close){.exited = true, .exit_status = 3});
	link_close(d->node.link, HW_ECLOSED, "");
	d->node.link = NULL;
	duo_run(d);
	has(d->relay.seen, "data:1.1@97872+2128 close:1::3 down:Closed");
	duo_free(d);
}

Test(channel, a_flushing_one_ends_with_the_peers_close)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	pair_pause(d->pair, NODE, true);
	channel_write(d->node.ch, STREAM_OUT, bytes, 100000);
	channel_close(d->node.ch, &(struct msg_close){.exited = true});
	channel_abort(d->relay.ch, HW_EREVOKED, "");
	duo_run(d);
	cr_assert(eq(sz, d->limits.queued, 0));
	pair_pause(d->pair, NODE, false);
	duo_run(d);
	same(d->relay.seen, "");
	same(d->node.seen, "");
	duo_free(d);
}

Test(channel, credit_goes_before_close)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1000);
	channel_write(d->relay.ch, STREAM_IN, bytes, 100);
	duo_run(d);
	duo_clear(d);
	channel_consume(d->node.ch, STREAM_IN, 100, ECHO_UNKNOWN);
	channel_abort(d->node.ch, HW_ETERMINATED, "");
	duo_run(d);
	same(d->relay.seen, "credit:1.0=100<1000/0 close:1:SessionTerminated:0");
	duo_free(d);
}

Test(channel, a_dropped_link_closes_all_before_it_is_down)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1000);
	duo_open(d, CHANNEL_TYPE_PTY, 1000);
	pair_drop(d->pair, "cable cut");
	duo_run(d);
	same(d->relay.seen,
		"close:1:ServiceUnavailable:0 close:2:ServiceUnavailable:0 down:ServiceUnavailable");
	duo_free(d);
}

static void
close_the_link(struct end_of *e, const char *event)
{
	(void)event;
	if (e->link != NULL)
		link_close(e->link, HW_EREVOKED, "enough");
	e->link = NULL;
}

Test(channel, any_event_may_close_the_link)
{
	static const int last = 6;

	for (int which = 0; which <= last; which++) {
		struct duo *d = duo_new();
		duo_up(d);
		struct channel *ch = duo_open(d, CHANNEL_TYPE_EXEC, 1000);
		d->node.on_event = close_the_link;
		if (which == 0)
			channel_write(ch, STREAM_IN, bytes, 10);
		else if (which == 1)
			channel_end(ch, STREAM_IN);
		else if (which == 2)
			channel_control(ch, &(struct msg_control){.type = CONTROL_RESIZE});
		else if (which == 3)
			channel_abort(ch, HW_EREVOKED, "");
		else if (which == 4)
			channel_credit(ch, STREAM_OUT, 0, 5000, 0);
		else if (which == 5)
			ask_to_open(d, CHANNEL_TYPE_PTY, 100);
		else
			pair_drop(d->pair, "cable cut");
		channel_write(ch, STREAM_ERR, bytes, 10);
		duo_run(d);
		cr_assert(d->node.link == NULL);
		has_not(d->node.seen, "down:");
		duo_free(d);
	}
}

Test(channel, a_drained_event_may_close_what_is_being_sent)
{
	struct duo *d = duo_new();

	d->limits.stream = 100000;
	duo_up(d);
	duo_open(d, CHANNEL_TYPE_PTY, 1 << 20);
	channel_write(d->node.ch, STREAM_OUT, bytes,
		60000); /* over half, one chunk, several pieces */
	d->node.on_event = close_the_link;
	duo_run(d);
	has(d->node.seen, "drained:1.1");
	has(d->relay.seen, "data:1.1@0+16312");
	duo_free(d);
}

/* --- what is small shares a message ----------------------------------------------------------- */

Test(channel, first_bytes_travel_with_open)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_CONNECTION, 1000);
	duo_clear(d);
	struct channel *ch = ask_to_open(d, CHANNEL_TYPE_CONNECTION, 1000);
	channel_write(ch, STREAM_IN, bytes, 5);
	duo_run(d);
	same(d->relay.sent, "[OPEN:2 DATA:2.0@0+5]");
	duo_free(d);
}

Test(channel, few_bytes_of_many_and_their_ends_are_one_message)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_CONNECTION, 1000);
	struct channel *first = d->node.ch;
	duo_open(d, CHANNEL_TYPE_CONNECTION, 1000);
	duo_clear(d);
	channel_write(first, STREAM_OUT, bytes, 5);
	channel_write(d->node.ch, STREAM_OUT, bytes, 7);
	channel_end(first, STREAM_OUT);
	duo_run(d);
	same(d->node.sent, "[DATA:1.1@0+5 END:1.1@5 DATA:2.1@0+7]");
	same(d->relay.seen, "data:1.1@0+5 end:1.1@5 data:2.1@0+7");
	duo_free(d);
}

Test(channel, what_is_small_is_no_longer_together_than_a_record)
{
	struct duo *d = duo_new();
	struct channel *all[20];

	duo_up(d);
	for (size_t i = 0; i < 20; i++) {
		duo_open(d, CHANNEL_TYPE_CONNECTION, 2000);
		all[i] = d->node.ch;
	}
	duo_clear(d);
	for (size_t i = 0; i < 20; i++)
		channel_write(all[i], STREAM_OUT, bytes, 1024);
	duo_run(d);
	has(d->node.sent, "DATA:15.1@0+1024] [DATA:16.1@0+1024");
	has(d->relay.seen, "data:20.1@0+1024");
	duo_free(d);
}

Test(channel, few_bytes_wait_for_their_turn_behind_many)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_CONNECTION, 1 << 20);
	struct channel *bulk = d->node.ch;
	duo_open(d, CHANNEL_TYPE_CONNECTION, 1000);
	duo_clear(d);
	channel_write(bulk, STREAM_OUT, bytes, 20000);
	channel_write(d->node.ch, STREAM_OUT, bytes, 5);
	duo_run(d);
	same(d->node.sent, "[DATA:1.1@0+16312] [DATA:2.1@0+5] [DATA:1.1@16312+3688]");
	duo_free(d);
}

/* --- fairness -------------------------------------------------------------------------------- */

Test(channel, bulk_goes_in_records_and_in_turn)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	struct channel *first = d->node.ch;
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	channel_write(first, STREAM_OUT, bytes, 40000);
	channel_write(d->node.ch, STREAM_OUT, bytes, 40000);
	channel_write(d->node.ch, STREAM_ERR, bytes, 10);
	duo_run(d);
	same(d->node.sent,
		"[DATA:1.1@0+16312] [DATA:2.1@0+16312] [DATA:2.2@0+10] [DATA:1.1@16312+16312] "
		"[DATA:2.1@16312+16312] [DATA:1.1@32624+7376] [DATA:2.1@32624+7376]");
	duo_free(d);
}

Test(channel, who_types_goes_before_bulk)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	struct channel *bulk = d->node.ch;
	duo_open(d, CHANNEL_TYPE_PTY, 1 << 20);
	channel_write(bulk, STREAM_OUT, bytes, 40000);
	channel_write(d->node.ch, STREAM_OUT, bytes, 20000);
	duo_run(d);
	same(d->node.sent,
		"[DATA:2.1@0+16312] [DATA:2.1@16312+3688] "
		"[DATA:1.1@0+16312] [DATA:1.1@16312+16312] [DATA:1.1@32624+7376]");
	cr_assert(link_is_interactive(d->node.link));
	channel_abort(d->relay.ch, HW_ETERMINATED, "");
	duo_run(d);
	cr_assert(not(link_is_interactive(d->node.link)));
	duo_free(d);
}

/* Split chunks are put together by offset and content: a head that was written over bytes not sent
 * yet, or bytes spoiled by the transport and sent again, would show here. */
static void
check_bytes(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct end_of *e = arg;

	(void)ch;
	(void)stream;
	e->received += n;
	for (size_t i = 0; i < n; i++)
		cr_assert(p[i] == (uint8_t)((offset + i) * 31 >> 3), "at %zu", (size_t)offset + i);
}

Test(channel, bytes_arrive_as_they_were_written)
{
	struct duo *d = duo_new();
	static const size_t steps[] = {1, 511, 2, 513, 70000, 3, 16384, 38, 37, 65536, 100000};
	size_t at = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 >> 3);
	d->relay.channel_events.on_data = check_bytes;
	duo_up(d);
	duo_open(d, CHANNEL_TYPE_PTY, 1 << 24);
	for (size_t i = 0; at + 200000 < sizeof(bytes); i++) {
		size_t n = steps[i % (sizeof(steps) / sizeof(steps[0]))];
		cr_assert(eq(sz, channel_write(d->node.ch, STREAM_OUT, bytes + at, n), n));
		at += n;
		if (i % 5 == 4)
			duo_run(d);
	}
	duo_run(d);
	cr_assert(eq(sz, d->relay.received, at));
	duo_free(d);
}

Test(channel, control_goes_first)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	channel_write(d->node.ch, STREAM_OUT, bytes, 20000);
	channel_control(d->node.ch, &(struct msg_control){.type = CONTROL_NOTICE, .text = "hi"});
	duo_run(d);
	same(d->node.sent, "[CONTROL:1] [DATA:1.1@0+16312] [DATA:1.1@16312+3688]");
	duo_free(d);
}

Test(channel, a_keystroke_rides_with_control)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_PTY, 1 << 20);
	channel_write(d->node.ch, STREAM_OUT, "x", 1);
	channel_control(d->node.ch, &(struct msg_control){.type = CONTROL_NOTICE, .text = "hi"});
	duo_run(d);
	same(d->node.sent, "[CONTROL:1 DATA:1.1@0+1]");
	duo_free(d);
}

Test(channel, small_writes_coalesce)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	struct mallinfo2 before = mallinfo2();
	for (int i = 0; i < 100000; i++)
		cr_assert(channel_write(d->node.ch, STREAM_OUT, "x", 1) == 1);
	struct mallinfo2 after = mallinfo2();
	cr_assert(lt(sz, after.uordblks - before.uordblks, 300000));
	size_t messages = pair_messages(d->pair, NODE);
	duo_run(d);
	cr_assert(lt(sz, pair_messages(d->pair, NODE) - messages, 16));
	cr_assert(eq(sz, d->relay.received, 100000));
	duo_free(d);
}

/* --- queues' caps ---------------------------------------------------------------------------- */

Test(channel, a_streams_queue_has_a_cap)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 24);
	pair_pause(d->pair, NODE, true);
	cr_assert(eq(sz, channel_write(d->node.ch, STREAM_OUT, bytes, sizeof(bytes)), 1 << 20));
	cr_assert(eq(sz, channel_queued(d->node.ch, STREAM_OUT), 1 << 20));
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 0));
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_ERR), 1 << 20));
	cr_assert(eq(sz, d->limits.queued, 1 << 20));
	duo_run(d);
	same(d->node.seen, "");
	pair_pause(d->pair, NODE, false);
	duo_run(d);
	same(d->node.seen, "drained:1.1");
	cr_assert(eq(sz, d->limits.queued, 0));
	duo_free(d);
}

Test(channel, a_links_queues_have_a_cap_and_wake_who_was_refused)
{
	struct duo *d = duo_new();

	d->limits.link = 1000;
	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	struct channel *first = d->node.ch;
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	cr_assert(eq(sz, channel_write(first, STREAM_OUT, bytes, 1000), 1000));
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 0)); /* it never wrote a byte */
	duo_run(d);
	same(d->node.seen, "drained:2.1");
	duo_free(d);
}

enum { REFUSED = 5 };

static struct channel *refused[REFUSED + 1]; /* by id */

/* Each that is woken leaves less room to those after it, and asks for no more itself. */
static void
write_a_part(struct end_of *e, const char *event)
{
	unsigned id;

	(void)e;
	if (sscanf(event, "drained:%u", &id) == 1)
		cr_assert(eq(sz, channel_write(refused[id], STREAM_OUT, bytes, 300), 300));
}

Test(channel, all_whom_a_links_cap_refused_are_woken_however_much_the_first_of_them_write)
{
	struct duo *d = duo_new();

	d->limits.link = 1000;
	duo_up(d);
	for (int id = 1; id <= REFUSED; id++) {
		duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
		refused[id] = d->node.ch;
	}
	cr_assert(eq(sz, channel_write(refused[1], STREAM_OUT, bytes, 1000), 1000));
	for (int id = 2; id <= REFUSED; id++)
		cr_assert(eq(sz, channel_room(refused[id], STREAM_OUT), 0));
	d->node.on_event = write_a_part;
	duo_run(d);
	same(d->node.seen, "drained:2.1 drained:3.1 drained:4.1 drained:5.1");
	cr_assert(eq(sz, d->relay.received, 1000 + 4 * 300));
	duo_free(d);
}

/* Each that is woken fills the link by itself, and wants more. */
static void
write_all_there_is(struct end_of *e, const char *event)
{
	unsigned id;

	if (sscanf(event, "drained:%u", &id) != 1 || strlen(e->seen) > 150)
		return;
	cr_assert(eq(sz, channel_write(refused[id], STREAM_OUT, bytes, 600), 600));
	cr_assert(lt(sz, channel_room(refused[id], STREAM_OUT), 1000));
}

Test(channel, whom_a_links_cap_refused_are_woken_in_turn)
{
	struct duo *d = duo_new();

	d->limits.link = 1000;
	duo_up(d);
	for (int id = 1; id <= 3; id++) {
		duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
		refused[id] = d->node.ch;
	}
	cr_assert(eq(sz, channel_write(refused[1], STREAM_OUT, bytes, 1000), 1000));
	for (int id = 2; id <= 3; id++)
		cr_assert(eq(sz, channel_room(refused[id], STREAM_OUT), 0));
	d->node.on_event = write_all_there_is;
	duo_run(d);
	has(d->node.seen, "drained:2.1 drained:3.1 drained:2.1 drained:3.1 drained:2.1");
	duo_free(d);
}

Test(channel, one_that_its_own_cap_refused_is_woken_though_others_crowded_the_link_by_then)
{
	struct duo *d = duo_new();

	d->limits.stream = 400;
	d->limits.link = 1000;
	duo_up(d);
	for (int id = 1; id <= 4; id++) {
		duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
		refused[id] = d->node.ch;
	}
	cr_assert(eq(sz, channel_write(refused[1], STREAM_OUT, bytes, 250), 250));
	for (int id = 2; id <= 4; id++) /* all that they want */
		cr_assert(eq(sz, channel_write(refused[id], STREAM_OUT, bytes, 199), 199));
	duo_run(d);
	same(d->node.seen, "drained:1.1");
	duo_free(d);
}

Test(channel, a_programs_queues_have_a_cap_and_the_sweep_wakes)
{
	struct duo *d = duo_new();

	d->limits.all = 1000;
	d->limits.each = 0;
	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	pair_pause(d->pair, RELAY, true);
	cr_assert(eq(sz, channel_write(d->relay.ch, STREAM_IN, bytes, 5000), 1000));
	cr_assert(eq(sz, channel_write(d->node.ch, STREAM_OUT, bytes, 10), 0));
	pair_pause(d->pair, RELAY, false);
	duo_seconds(d, 1);
	same(d->node.seen, "data:1.0@0+1000 drained:1.1");
	duo_free(d);
}

/* Somebody has many links, and reads nothing: nobody else's key waits for that. */
Test(channel, a_link_goes_on_whatever_the_others_have_queued)
{
	struct duo *d = duo_new();
	size_t done = 0;

	d->limits.all = 100000;
	d->limits.each = 1000;
	duo_up(d);
	duo_open(d, CHANNEL_TYPE_PTY, 1 << 20);
	d->limits.queued += 1 << 20; /* by others */
	cr_assert(eq(sz, channel_write(d->relay.ch, STREAM_IN, bytes, 5000), 1000));
	while (done < 50000) {
		duo_clear(d);
		cr_assert(eq(sz, channel_write(d->node.ch, STREAM_OUT, bytes, 5000), 1000));
		done += 1000;
		duo_run(d);
		has(d->node.seen, "drained:1.1");
	}
	cr_assert(eq(sz, d->relay.received, done));
	d->limits.queued -= 1 << 20;
	duo_free(d);
}

Test(channel, a_drained_stream_may_write_at_once)
{
	struct duo *d = duo_new();

	d->limits.stream = 10000;
	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	size_t done = 0;
	while (done < 500000) {
		size_t n = channel_write(d->node.ch, STREAM_OUT, bytes, 500000 - done);
		done += n;
		if (n == 0) {
			duo_run(d);
			has(d->node.seen, "drained:1.1");
			duo_clear(d);
		}
	}
	duo_run(d);
	cr_assert(eq(sz, d->relay.received, 500000));
	duo_free(d);
}

Test(channel, an_idle_link_costs_little)
{
	struct duo *d = duo_new();
	struct mallinfo2 before = mallinfo2();

	duo_up(d);
	struct mallinfo2 after = mallinfo2();
	cr_assert(lt(sz, (after.uordblks - before.uordblks) / 2, 1400)); /* timers' heap included */
	struct channel *ch = duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	channel_write(ch, STREAM_IN, bytes, 65536);
	duo_run(d);
	channel_abort(ch, HW_ETERMINATED, "");
	duo_run(d);
	struct mallinfo2 later = mallinfo2();
	cr_assert(le(sz, later.uordblks, after.uordblks + 2048));
	duo_free(d);
}
