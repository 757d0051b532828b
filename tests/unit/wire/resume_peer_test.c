/* A peer that resumes as it should not: numbers that do not fit, frames out of their turn. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "tests/unit/wire/duo.h"

static uint8_t bytes[20 << 20];

/* --- the peer's limit ------------------------------------------------------------------------ */

static void
raw_credit(struct duo *d, int side, uint32_t id, int stream, uint64_t consumed, uint64_t limit)
{
	duo_raw(d, side,
		&(struct frame){.kind = FRAME_CREDIT,
			.channel = id,
			.stream = (uint8_t)stream,
			.offset = consumed,
			.limit = limit});
}

/* The node keeps its channel, and its next link is with the test. */
static struct duo *
with_raw_relay(int type, size_t sent, size_t consumed)
{
	struct duo *d = duo_kept(type, 4096);

	duo_say(&d->node, STREAM_OUT, sent);
	channel_credit(d->relay.ch, STREAM_OUT, consumed, 4096, ECHO_UNKNOWN);
	duo_run(d);
	duo_cut(d);
	duo_close_parked(&d->relay);
	duo_reconnect(d);
	duo_link(d, NODE);
	duo_raw_hello(d, RELAY);
	duo_clear(d);
	return d;
}

Test(resume_peer, nothing_goes_beyond_a_limit_that_went_back)
{
	static const struct msg_resume_stream at_100 = {
		.stream = STREAM_OUT, .received = 100, .consumed = 100, .limit = 150};
	struct duo *d = with_raw_relay(CHANNEL_TYPE_EXEC, 1000, 0);

	channel_end(d->node.ch, STREAM_OUT);
	duo_raw_resume(d, RELAY, 1, CHANNEL_TYPE_EXEC, &at_100, 1);
	same(d->node.sent, "[RESUME:1 DATA:1.1@100+50]");
	cr_assert(eq(sz, channel_queued(d->node.ch, STREAM_OUT), 0));
	raw_credit(d, RELAY, 1, STREAM_OUT, 120, 160);
	has(d->node.sent, "[DATA:1.1@150+10]");
	raw_credit(d, RELAY, 1, STREAM_OUT, 160, 5000);
	has(d->node.sent, "[DATA:1.1@160+840 END:1.1@1000]");
	cr_assert(eq(sz, d->limits.queued, 0));
	raw_credit(d, RELAY, 1, STREAM_OUT, 1000, 5000);
	cr_assert(duo_keeps_nothing(&d->node, STREAM_OUT));
	duo_free(d);
}

Test(resume_peer, a_limit_at_what_arrived_holds_all_back)
{
	static const struct msg_resume_stream at_100 = {
		.stream = STREAM_OUT, .received = 100, .consumed = 0, .limit = 100};
	struct duo *d = with_raw_relay(CHANNEL_TYPE_PTY, 1000, 0);

	duo_raw_resume(d, RELAY, 1, CHANNEL_TYPE_PTY, &at_100, 1);
	same(d->node.sent, "[RESUME:1]");
	cr_assert(eq(sz, channel_write(d->node.ch, STREAM_OUT, "x", 1), 0));
	raw_credit(d, RELAY, 1, STREAM_OUT, 0, 1001);
	has(d->node.sent, "[DATA:1.1@100+900]");
	cr_assert(eq(sz, channel_write(d->node.ch, STREAM_OUT, "xy", 2), 1));
	duo_run(d);
	has(d->node.sent, "[DATA:1.1@1000+1]");
	duo_free(d);
}

Test(resume_peer, a_small_limit_goes_along_with_control)
{
	static const struct msg_resume_stream at_0 = {
		.stream = STREAM_OUT, .received = 0, .consumed = 0, .limit = 3};
	struct duo *d = with_raw_relay(CHANNEL_TYPE_PTY, 1000, 0);

	d->node.hold = true;
	pair_pause(d->pair, NODE, true);
	duo_raw_resume(d, RELAY, 1, CHANNEL_TYPE_PTY, &at_0, 1);
	const struct msg_resume who = {.type = CHANNEL_TYPE_PTY, .session_id = "s"};
	cr_assert(channel_rejoin(d->node.ch, d->node.offered, &who, NULL) == 0);
	pair_pause(d->pair, NODE, false);
	duo_run(d);
	same(d->node.sent, "[RESUME:1 DATA:1.1@0+3]");
	raw_credit(d, RELAY, 1, STREAM_OUT, 0, 5);
	has(d->node.sent, "[DATA:1.1@3+2]");
	duo_free(d);
}

/* Who grants for ever, and is never done with anything, shall not fill our memory. */
Test(resume_peer, what_is_kept_has_a_cap)
{
	static const struct msg_resume_stream at_0 = {
		.stream = STREAM_OUT, .received = 0, .consumed = 0, .limit = INT64_C(1) << 62};
	struct duo *d = with_raw_relay(CHANNEL_TYPE_EXEC, 0, 0);
	size_t done = 0, n;

	duo_raw_resume(d, RELAY, 1, CHANNEL_TYPE_EXEC, &at_0, 1);
	while ((n = channel_write(d->node.ch, STREAM_OUT, bytes, sizeof(bytes))) > 0) {
		done += n;
		duo_run(d);
	}
	cr_assert(eq(sz, done, 16 << 20));
	raw_credit(d, RELAY, 1, STREAM_OUT, 1000, INT64_C(1) << 62);
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 1000));
	duo_free(d);
}

/* It owed CREDIT on the link that it leaves. */
Test(resume_peer, rejoining_on_the_same_link_leaves_nothing_behind)
{
	static const struct msg_resume_stream at_0 = {.stream = STREAM_OUT, .limit = 4096};
	struct duo *d = with_raw_relay(CHANNEL_TYPE_EXEC, 10, 0);

	duo_raw_resume(d, RELAY, 1, CHANNEL_TYPE_EXEC, &at_0, 1);
	channel_credit(d->node.ch, STREAM_IN, 0, 70000, ECHO_UNKNOWN);
	channel_write(d->node.ch, STREAM_OUT, bytes, 10);
	duo_clear(d);
	duo_raw_resume(d, RELAY, 7, CHANNEL_TYPE_EXEC, &at_0, 1);
	has(d->node.sent, "[RESUME:7 DATA:7.1@0+20]");
	cr_assert(eq(u64, d->limits.channels, 1));
	duo_raw(d, RELAY,
		&(struct frame){.kind = FRAME_DATA,
			.channel = 1,
			.body = bytes,
			.body_len = 10}); /* late */
	has_not(d->node.seen, "data");
	duo_free(d);
}

Test(resume_peer, pieces_that_are_kept_may_be_cut_anywhere)
{
	static const struct msg_resume_stream at[] = {
		{.stream = STREAM_OUT, .received = 1,     .limit = 40000},
		{.stream = STREAM_OUT, .received = 16347, .limit = 40000},
		{.stream = STREAM_OUT, .received = 16349, .limit = 40000},
		{.stream = STREAM_OUT, .received = 39999, .limit = 40000},
	};

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 40000);
		duo_say(&d->node, STREAM_OUT, 40000);
		duo_cut(d);
		duo_close_parked(&d->relay);
		duo_reconnect(d);
		duo_link(d, NODE);
		duo_raw_hello(d, RELAY);
		duo_raw_resume(d, RELAY, 1, CHANNEL_TYPE_PTY, &at[i], 1);
		cr_assert(eq(sz, channel_queued(d->node.ch, STREAM_OUT), 0));
		cr_assert(eq(sz, d->limits.queued, 0));
		duo_free(d);
	}
}

/* --- numbers that cannot be served ------------------------------------------------------------ */

struct numbers {
	const char *what;
	struct msg_resume_stream v[8];
	size_t n;
};

#define ONE(what, ...)                   \
	{                                \
		what, {{__VA_ARGS__}}, 1 \
	}
#define OUT_AT .stream = STREAM_OUT, .received

/* Of 1000 bytes that were sent, 600 in one chunk and 400 in another, 700 were consumed. */
static const struct numbers bad_numbers[] = {
	ONE("nothing", .stream = STREAM_IN),
	ONE("below what is kept", OUT_AT = 100, .consumed = 100, .limit = 4096),
	ONE("below what was consumed", OUT_AT = 650, .consumed = 650, .limit = 4096),
	ONE("consumed taken back", OUT_AT = 800, .consumed = 699, .limit = 4096),
	ONE("above what was sent", OUT_AT = 1001, .consumed = 700, .limit = 4096),
	ONE("an end that was not said", OUT_AT = 1000, .consumed = 700, .limit = 4096,
		.end_received = true),
	ONE("consumed above received", OUT_AT = 800, .consumed = 801, .limit = 4096),
	ONE("a limit below received", OUT_AT = 800, .consumed = 700, .limit = 799),
	ONE("an enormous limit", OUT_AT = 800, .consumed = 700, .limit = (INT64_C(1) << 62) + 1),
	ONE("all enormous", OUT_AT = INT64_MAX, .consumed = INT64_MAX, .limit = INT64_MAX),
	ONE("sent below what it keeps", OUT_AT = 800, .consumed = 700, .limit = 4096,
		.kept_from = 6, .sent = 5),
	ONE("an enormous offset", OUT_AT = 800, .consumed = 700, .limit = 4096, .sent = INT64_MAX),
	{"an unknown stream",	      {{OUT_AT = 800, .consumed = 700, .limit = 4096}, {.stream = 200}}, 2},
	{"eight times one",
												 {{OUT_AT = 800, .consumed = 700, .limit = 4096}, {OUT_AT = 800},
			{.stream = STREAM_OUT}, {.stream = STREAM_OUT}, {.stream = STREAM_OUT},
			{.stream = STREAM_OUT}, {.stream = STREAM_OUT}, {.stream = STREAM_OUT}},
												 8												     },
	{"more than was sent, of another",
												 {{OUT_AT = 800, .consumed = 700, .limit = 4096},
			{.stream = STREAM_ERR, .received = 1, .limit = 1}},
												 2												     },
};

static const struct msg_resume_stream good_numbers = {OUT_AT = 800, .consumed = 700, .limit = 4096};

#define BAD_COUNT (sizeof(bad_numbers) / sizeof(bad_numbers[0]))

/* As of bad_numbers, at the end that keeps. */
static void
send_1000(struct end_of *from, struct end_of *to)
{
	duo_say(from, STREAM_OUT, 600);
	duo_say(from, STREAM_OUT, 400);
	channel_credit(to->ch, STREAM_OUT, 700, 4096, ECHO_UNKNOWN);
	duo_run(from->duo);
	cr_assert(eq(u64, channel_acked(from->ch, STREAM_OUT), 700));
}

Test(resume_peer, an_offer_with_bad_numbers_is_rejected_and_changes_nothing)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 4096);
	uint32_t id = 1;

	send_1000(&d->node, &d->relay);
	duo_cut(d);
	duo_close_parked(&d->relay);
	duo_reconnect(d);
	duo_link(d, NODE);
	duo_raw_hello(d, RELAY);
	for (size_t i = 0; i < BAD_COUNT; i++) {
		const struct numbers *bad = &bad_numbers[i];
		duo_clear(d);
		duo_raw_resume(d, RELAY, id++, CHANNEL_TYPE_EXEC, bad->v, bad->n);
		cr_assert(strncmp(d->node.sent, "[REJECT:", 8) == 0, "%s: %s", bad->what,
			d->node.sent);
		cr_assert(link_is_up(d->node.link) && channel_is_parked(d->node.ch));
		cr_assert(eq(u64, d->limits.channels, 0));
	}
	duo_raw_resume(d, RELAY, id, CHANNEL_TYPE_PTY, &good_numbers, 1);
	has(d->node.sent, "REJECT");
	duo_clear(d);
	duo_raw_resume(d, RELAY, id + 1, CHANNEL_TYPE_EXEC, &good_numbers, 1);
	has(d->node.sent, "@800+200]");
	duo_free(d);
}

/* A number that the row does not allow: the message cannot be read, the link goes on. */
Test(resume_peer, an_offer_with_a_negative_number_is_rejected)
{
	static const uint8_t marked[] = {0xcf, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
	struct msg_resume_stream stream = {OUT_AT = INT64_C(0x1122334455667788)};
	struct msg_resume resume = {
		.type = CHANNEL_TYPE_EXEC, .session_id = "s", .streams = {&stream, 1}
	     };
	struct duo *d = with_raw_relay(CHANNEL_TYPE_EXEC, 10, 0);
	struct buf out;

	buf_init(&out, FRAME_MESSAGE_MAX);
	cr_assert(frame_encode_msg(&out, FRAME_RESUME, 1, MSG_ROW(resume), &resume) == 0);
	uint8_t *at = memmem(buf_data(&out), out.len, marked, sizeof(marked));
	cr_assert(at != NULL);
	at[0] = 0xd3;
	memset(at + 1, 0xff, 8);
	pair_send(d->pair, RELAY, buf_data(&out), out.len);
	duo_run(d);
	same(d->node.sent, "[REJECT:1]");
	cr_assert(link_is_up(d->node.link));
	buf_fini(&out);
	duo_close_parked(&d->node);
	duo_free(d);
}

/* The relay's end keeps its channel, and the node is with the test. */
static struct duo *
with_raw_node(int type)
{
	struct duo *d = duo_kept(type, 4096);

	send_1000(&d->relay, &d->node);
	duo_cut(d);
	duo_close_parked(&d->node);
	duo_reconnect(d);
	duo_link(d, RELAY);
	duo_raw_hello(d, NODE);
	duo_resume(d);
	duo_clear(d);
	return d;
}

Test(resume_peer, an_answer_with_bad_numbers_ends_the_channel)
{
	for (size_t i = 0; i < BAD_COUNT; i++) {
		const struct numbers *bad = &bad_numbers[i];
		struct duo *d = with_raw_node(CHANNEL_TYPE_CONNECTION);
		duo_raw_resume(d, NODE, 1, CHANNEL_TYPE_CONNECTION, bad->v, bad->n);
		cr_assert(strcmp(d->relay.seen, "reject:1:ValidationException") == 0, "%s: %s",
			bad->what, d->relay.seen);
		same(d->relay.sent, "[CLOSE:1]");
		cr_assert(link_is_up(d->relay.link));
		cr_assert(eq(u64, d->limits.channels, 0));
		duo_free(d);
	}
}

Test(resume_peer, an_answer_with_good_numbers_goes_on)
{
	struct duo *d = with_raw_node(CHANNEL_TYPE_CONNECTION);

	duo_raw_resume(d, NODE, 1, CHANNEL_TYPE_CONNECTION, &good_numbers, 1);
	same(d->relay.sent, "[DATA:1.1@800+200]");
	duo_free(d);
}

/* --- frames that may not come ----------------------------------------------------------------- */

static void
expect_protocol_error(struct duo *d, struct end_of *e)
{
	duo_run(d);
	has(e->seen, "down:ProtocolError");
	has(e->sent, "CLOSE:0]");
	if (e->ch != NULL && channel_is_parked(e->ch))
		duo_close_parked(e);
	duo_free(d);
}

Test(resume_peer, resume_on_an_open_channel_ends_the_link)
{
	struct duo *d = with_raw_relay(CHANNEL_TYPE_EXEC, 1000, 700);

	duo_raw_resume(d, RELAY, 5, CHANNEL_TYPE_EXEC, &good_numbers, 1);
	has(d->node.sent, "RESUME:5");
	duo_raw_resume(d, RELAY, 5, CHANNEL_TYPE_EXEC, &good_numbers, 1);
	has(d->node.seen, "park:5");
	expect_protocol_error(d, &d->node);
}

Test(resume_peer, resume_on_an_id_that_was_used_ends_the_link)
{
	struct duo *d = with_raw_relay(CHANNEL_TYPE_EXEC, 1000, 700);

	duo_raw_resume(d, RELAY, 5, CHANNEL_TYPE_PTY, &good_numbers, 1);
	has(d->node.sent, "REJECT:5");
	duo_raw_resume(d, RELAY, 4, CHANNEL_TYPE_EXEC, &good_numbers, 1);
	expect_protocol_error(d, &d->node);
}

Test(resume_peer, resume_on_channel_0_ends_the_link)
{
	/* [RESUME, channel 0, {}] */
	static const uint8_t frame[] = {0x93, FRAME_RESUME, 0x00, 0x80};
	struct duo *d = with_raw_relay(CHANNEL_TYPE_EXEC, 10, 0);

	pair_send(d->pair, RELAY, frame, sizeof(frame));
	expect_protocol_error(d, &d->node);
}

Test(resume_peer, resume_by_the_side_that_does_not_open_ends_the_link)
{
	struct duo *d = with_raw_node(CHANNEL_TYPE_EXEC);

	duo_raw_resume(d, NODE, 2, CHANNEL_TYPE_EXEC, &good_numbers, 1);
	expect_protocol_error(d, &d->relay);
}

Test(resume_peer, a_second_answer_ends_the_link)
{
	struct duo *d = with_raw_node(CHANNEL_TYPE_EXEC);

	duo_raw_resume(d, NODE, 1, CHANNEL_TYPE_EXEC, &good_numbers, 1);
	duo_raw_resume(d, NODE, 1, CHANNEL_TYPE_EXEC, &good_numbers, 1);
	expect_protocol_error(d, &d->relay);
}

Test(resume_peer, resume_is_not_answered_by_accept)
{
	struct duo *d = with_raw_node(CHANNEL_TYPE_EXEC);
	struct msg_accept accept = {.window = 10000};

	duo_raw_message(d, NODE, FRAME_ACCEPT, 1, MSG_ROW(accept), &accept);
	expect_protocol_error(d, &d->relay);
}

Test(resume_peer, open_is_not_answered_by_resume)
{
	struct msg_open open = {.type = CHANNEL_TYPE_EXEC, .session_id = "s", .window = 1000};
	struct duo *d = duo_new();

	duo_link(d, RELAY);
	duo_raw_hello(d, NODE);
	cr_assert(channel_open(&d->relay.ch, d->relay.link, &open, &d->relay.channel_events,
			  &d->relay, NULL) == 0);
	channel_keep(d->relay.ch);
	duo_run(d);
	duo_raw_resume(d, NODE, 1, CHANNEL_TYPE_EXEC, &good_numbers, 1);
	d->relay.ch = NULL;
	expect_protocol_error(d, &d->relay);
}

/* Nothing goes ahead of an answer to RESUME, not even what may go ahead of ACCEPT. */
Test(resume_peer, an_end_ahead_of_the_answer_ends_the_link)
{
	struct duo *d = with_raw_relay(CHANNEL_TYPE_CONNECTION, 10, 0);

	d->node.hold = true;
	duo_raw_resume(d, RELAY, 1, CHANNEL_TYPE_CONNECTION, &good_numbers, 1);
	has(d->node.seen, "offer:1:s");
	duo_raw(d, RELAY, &(struct frame){.kind = FRAME_END, .channel = 1});
	has_not(d->node.seen, "end:");
	expect_protocol_error(d, &d->node);
}

/* Bytes that come again are as wrong after RESUME as before. */
Test(resume_peer, bytes_from_elsewhere_end_the_link)
{
	struct duo *d = with_raw_node(CHANNEL_TYPE_EXEC);

	duo_raw_resume(d, NODE, 1, CHANNEL_TYPE_EXEC, &good_numbers, 1);
	duo_raw(d, NODE,
		&(struct frame){.kind = FRAME_DATA,
			.channel = 1,
			.stream = STREAM_IN,
			.offset = 1,
			.body = bytes,
			.body_len = 1});
	expect_protocol_error(d, &d->relay);
}

Test(resume_peer, consumed_beyond_what_was_sent_again_ends_the_link)
{
	static const struct msg_resume_stream held = {OUT_AT = 800, .consumed = 700, .limit = 800};
	struct duo *d = with_raw_node(CHANNEL_TYPE_EXEC);

	duo_raw_resume(d, NODE, 1, CHANNEL_TYPE_EXEC, &held, 1);
	raw_credit(d, NODE, 1, STREAM_OUT, 801, 2000);
	expect_protocol_error(d, &d->relay);
}

/* Whoever asks for a session that is being opened: it is opened first. */
Test(resume_peer, one_that_is_not_accepted_yet_cannot_be_rejoined)
{
	struct msg_open open = {.type = CHANNEL_TYPE_EXEC, .session_id = "s", .window = 1000};
	struct duo *d = duo_new();

	d->node.keep = d->node.hold = true;
	duo_link(d, NODE);
	duo_raw_hello(d, RELAY);
	duo_raw_message(d, RELAY, FRAME_OPEN, 1, MSG_ROW(open), &open);
	d->node.hold = false;
	duo_raw_resume(d, RELAY, 2, CHANNEL_TYPE_EXEC, &(struct msg_resume_stream){0}, 1);
	same(d->node.sent, "[HELLO:0] [REJECT:2]");
	channel_accept(d->node.ch, &(struct msg_accept){.window = 10});
	duo_run(d);
	has(d->node.sent, "[ACCEPT:1]");
	duo_free(d);
}

/* Perhaps one of a newer version. */
Test(resume_peer, a_type_that_is_not_known_is_rejected)
{
	struct msg_resume resume = {.type = CHANNEL_TYPE_EXEC, .session_id = "s"};
	const char *name = enum_text(&enum_CHANNEL_TYPE, CHANNEL_TYPE_EXEC);
	struct duo *d = with_raw_relay(CHANNEL_TYPE_EXEC, 10, 0);
	struct buf out;

	buf_init(&out, FRAME_MESSAGE_MAX);
	cr_assert(frame_encode_msg(&out, FRAME_RESUME, 1, MSG_ROW(resume), &resume) == 0);
	char *at = memmem(buf_data(&out), out.len, name, strlen(name));
	cr_assert(at != NULL);
	at[0] = '!';
	pair_send(d->pair, RELAY, buf_data(&out), out.len);
	duo_run(d);
	same(d->node.sent, "[REJECT:1]");
	cr_assert(link_is_up(d->node.link));
	buf_fini(&out);
	duo_close_parked(&d->node);
	duo_free(d);
}

Test(resume_peer, who_says_nothing_of_its_streams_stands_at_0)
{
	struct duo *d = with_raw_relay(CHANNEL_TYPE_EXEC, 10, 0);

	duo_raw_resume(d, RELAY, 1, CHANNEL_TYPE_EXEC, &good_numbers, 0);
	same(d->node.sent, "[RESUME:1]");
	has(d->node.seen, "offer:1:s");
	duo_free(d);
}
