/* Channels that outlive their link: parking, RESUME, and what a peer may not do with them. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <inttypes.h>
#include <string.h>

#include "proto/wire/link_private.h"
#include "tests/unit/wire/duo.h"

static uint8_t bytes[1 << 20];

static void
free_parked(struct duo *d)
{
	duo_close_parked(&d->relay);
	duo_close_parked(&d->node);
	duo_free(d);
}

static void
resume_again(struct duo *d)
{
	duo_cut(d);
	duo_again(d);
	duo_resume(d);
}

/* --- parking --------------------------------------------------------------------------------- */

Test(resume, a_lost_link_parks_what_is_kept_and_closes_the_rest)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);
	struct channel *relay = d->relay.ch, *node = d->node.ch;

	d->relay.keep = d->node.keep = false;
	duo_open(d, CHANNEL_TYPE_EXEC, 1000);
	duo_cut(d);
	same(d->relay.seen,
		"park:1:ServiceUnavailable close:2:ServiceUnavailable:0 down:ServiceUnavailable");
	same(d->node.seen, d->relay.seen);
	cr_assert(eq(u64, d->limits.channels, 0));
	cr_assert(channel_is_parked(relay) && channel_link(relay) == NULL);
	d->relay.ch = relay;
	d->node.ch = node;
	free_parked(d);
}

Test(resume, an_interruption_parks_and_the_link_goes_on)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	d->node.keep = false;
	duo_open(d, CHANNEL_TYPE_EXEC, 1000);
	duo_clear(d);
	channel_interrupt(d->node.ch, "the way to the node was lost");
	duo_run(d);
	same(d->relay.seen, "park:2:Interrupted");
	cr_assert(link_is_up(d->relay.link));
	duo_close_parked(&d->relay);
	duo_free(d);
}

Test(resume, other_closes_end_it)
{
	static const int codes[] = {HW_ETERMINATED, HW_EUNAVAILABLE, HW_ECLOSED, HW_OK};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);
		struct msg_close close = {
			.code = codes[i] != 0 ? hw_code_name(codes[i]) : NULL, .message = "enough"};
		channel_close(d->node.ch, &close);
		duo_run(d);
		has(d->relay.seen, "close:1:");
		has_not(d->relay.seen, "park");
		cr_assert(eq(u64, d->limits.channels, 0));
		duo_free(d);
	}
}

Test(resume, one_that_was_not_accepted_is_closed_with_its_link)
{
	struct duo *d = duo_new();

	d->relay.keep = d->node.keep = d->node.hold = true;
	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1000);
	duo_cut(d);
	has(d->relay.seen, "close:1:ServiceUnavailable");
	has(d->node.seen, "close:1:ServiceUnavailable");
	duo_free(d);
}

Test(resume, a_parked_one_takes_nothing_and_gives_nothing)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	duo_cut(d);
	cr_assert(eq(sz, channel_room(d->relay.ch, STREAM_IN), 0));
	cr_assert(eq(sz, channel_write(d->relay.ch, STREAM_IN, "x", 1), 0));
	channel_control(d->relay.ch, &(struct msg_control){.type = CONTROL_RESIZE, .cols = 80});
	cr_assert(eq(u64, channel_sent(d->relay.ch, STREAM_IN), 0));
	free_parked(d);
}

Test(resume, only_a_link_that_is_up_resumes)
{
	const struct msg_resume who = {.type = CHANNEL_TYPE_EXEC, .session_id = "s"};
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	duo_cut(d);
	duo_reconnect(d);
	duo_link(d, RELAY);
	cr_assert(eq(int, channel_resume(d->relay.ch, d->relay.link, &who, NULL), HW_EUNAVAILABLE));
	duo_link(d, NODE);
	duo_run(d);
	const struct msg_resume nameless = {.type = CHANNEL_TYPE_EXEC, .session_id = ""};
	cr_assert(eq(int, channel_resume(d->relay.ch, d->relay.link, &nameless, NULL),
		HW_EVALIDATION));
	cr_assert(channel_is_parked(d->relay.ch));
	cr_assert(eq(u64, d->limits.channels, 0));
	duo_clear(d);
	duo_resume(d);
	same(d->relay.seen, "resume:1:s");
	duo_free(d);
}

/* --- bytes ----------------------------------------------------------------------------------- */

Test(resume, what_was_lost_is_sent_again_and_nothing_else)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	duo_say(&d->node, STREAM_OUT, 50);
	pair_detach(d->pair, RELAY);
	duo_say(&d->node, STREAM_OUT, 30);
	resume_again(d);
	same(d->node.sent, "[RESUME:1 DATA:1.1@50+30]");
	has(d->relay.seen, "resume:1:s data:1.1@50+30");
	cr_assert(eq(u64, d->limits.channels, 2));
	duo_free(d);
}

Test(resume, input_too_is_sent_again)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	duo_say(&d->relay, STREAM_IN, 20);
	pair_detach(d->pair, NODE);
	duo_say(&d->relay, STREAM_IN, 7);
	resume_again(d);
	same(d->relay.sent, "[RESUME:1] [DATA:1.0@20+7]");
	has(d->node.seen, "data:1.0@20+7");
	duo_free(d);
}

Test(resume, what_is_consumed_is_not_kept)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	d->relay.consume = true;
	duo_say(&d->node, STREAM_OUT, 600);
	cr_assert(eq(u64, channel_acked(d->node.ch, STREAM_OUT), 600));
	cr_assert(duo_keeps_nothing(&d->node, STREAM_OUT));
	duo_say(&d->node, STREAM_OUT, 100);
	cr_assert(eq(u64, channel_acked(d->node.ch, STREAM_OUT), 600)); /* less than a quarter */
	resume_again(d);
	same(d->node.sent, "[RESUME:1]");
	cr_assert(eq(u64, channel_acked(d->node.ch, STREAM_OUT), 700));
	cr_assert(duo_keeps_nothing(&d->node, STREAM_OUT));
	duo_say(&d->node, STREAM_OUT, 10);
	has(d->relay.seen, "data:1.1@700+10");
	duo_free(d);
}

Test(resume, little_is_kept_of_a_shell_however_long_it_lasts)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 256 << 10);

	d->relay.consume = true;
	for (int second = 0; second < 3600; second++) {
		duo_say(&d->node, STREAM_OUT, 5);
		duo_seconds(d, 1);
		uint64_t kept = channel_sent(d->node.ch, STREAM_OUT) -
			channel_acked(d->node.ch, STREAM_OUT);
		cr_assert(kept <= 1024 + 5, "%" PRIu64 " bytes after %d s", kept, second);
	}
	duo_seconds(d, 2);
	cr_assert(duo_keeps_nothing(&d->node, STREAM_OUT));
	duo_free(d);
}

Test(resume, what_was_queued_and_not_given_follows)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 200000);

	pair_pause(d->pair, NODE, true);
	duo_say(&d->node, STREAM_OUT, 150000);
	channel_end(d->node.ch, STREAM_OUT);
	cr_assert(eq(sz, d->limits.queued, 150000));
	duo_cut(d);
	cr_assert(eq(sz, d->limits.queued, 0));
	duo_again(d);
	duo_resume(d);
	has(d->node.sent, "[RESUME:1] [DATA:1.1@0+16312] [DATA:1.1@16312+16312] ");
	has(d->node.sent, "[DATA:1.1@146808+3192] [END:1.1@150000]");
	cr_assert(eq(sz, d->relay.received, 150000));
	duo_free(d);
}

Test(resume, an_end_that_arrived_is_not_sent_again)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	duo_say(&d->node, STREAM_OUT, 5);
	channel_end(d->node.ch, STREAM_OUT);
	duo_run(d);
	resume_again(d);
	same(d->node.sent, "[RESUME:1]");
	duo_free(d);
}

Test(resume, an_end_that_was_lost_is_sent_again)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	duo_say(&d->node, STREAM_OUT, 5);
	pair_detach(d->pair, RELAY);
	channel_end(d->node.ch, STREAM_OUT);
	duo_run(d);
	resume_again(d);
	same(d->node.sent, "[RESUME:1 END:1.1@5]");
	has(d->relay.seen, "end:1.1@5");
	duo_free(d);
}

Test(resume, an_end_said_while_parked_is_remembered)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	pair_detach(d->pair, NODE);
	duo_say(&d->relay, STREAM_IN, 5);
	duo_cut(d);
	channel_end(d->relay.ch, STREAM_IN);
	duo_again(d);
	duo_resume(d);
	same(d->relay.sent, "[RESUME:1] [DATA:1.0@0+5 END:1.0@5]");
	duo_free(d);
}

Test(resume, a_control_under_way_waits_for_the_answer)
{
	const struct msg_control lost = {.type = CONTROL_SIGNAL, .signal = "INT"};
	const struct msg_control resize = {.type = CONTROL_RESIZE, .cols = 80};
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	duo_cut(d);
	duo_again(d);
	duo_ask(d);
	channel_control(d->relay.ch, &lost); /* with its link */
	duo_cut(d);
	duo_again(d);
	duo_ask(d);
	channel_control(d->relay.ch, &resize);
	duo_run(d);
	same(d->node.seen, "offer:1:s control:1:Resize");
	duo_free(d);
}

/* --- credit ---------------------------------------------------------------------------------- */

Test(resume, what_is_consumed_meanwhile_opens_a_full_window)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	duo_say(&d->node, STREAM_OUT, 1000);
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 0));
	duo_cut(d);
	channel_consume(d->relay.ch, STREAM_OUT, 400, ECHO_UNKNOWN); /* parked */
	duo_again(d);
	duo_ask(d);
	channel_consume(d->relay.ch, STREAM_OUT, 600, ECHO_UNKNOWN); /* under way */
	duo_run(d);
	has(d->relay.sent, "CREDIT:1.1=1000<2000/0");
	cr_assert(eq(u64, channel_acked(d->node.ch, STREAM_OUT), 1000));
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 1000));
	duo_free(d);
}

Test(resume, what_was_consumed_while_parked_travels_with_resume)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	duo_say(&d->relay, STREAM_IN, 1000);
	duo_cut(d);
	channel_consume(d->node.ch, STREAM_IN, 1000, ECHO_SHOWN);
	duo_again(d);
	duo_resume(d);
	has_not(d->node.sent, "CREDIT");
	cr_assert(eq(u64, channel_acked(d->relay.ch, STREAM_IN), 1000));
	cr_assert(eq(sz, channel_room(d->relay.ch, STREAM_IN), 1000));
	duo_free(d);
}

Test(resume, exact_credit_is_told_after_it_too)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	duo_say(&d->node, STREAM_OUT, 100);
	duo_cut(d);
	channel_credit(d->relay.ch, STREAM_OUT, 10, 1500, ECHO_UNKNOWN);
	duo_again(d);
	duo_ask(d);
	channel_credit(d->relay.ch, STREAM_OUT, 20, 1600, ECHO_UNKNOWN);
	duo_run(d);
	has(d->node.seen, "credit:1.1=20<1600/0");
	duo_free(d);
}

/* Of input that is not told at once, the part that was hidden must not be told as shown. */
Test(resume, echoes_that_were_not_told_apart_are_unknown)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	duo_say(&d->node, STREAM_OUT, 30);
	duo_cut(d);
	duo_again(d);
	duo_ask(d);
	channel_credit(d->relay.ch, STREAM_OUT, 10, 1000, ECHO_HIDDEN);
	channel_credit(d->relay.ch, STREAM_OUT, 20, 1000, ECHO_SHOWN);
	duo_run(d);
	has(d->node.seen, "credit:1.1=20<1000/0");
	duo_free(d);
}

/* CREDIT that was owed when the link went is for no channel that is not open. */
Test(resume, credit_that_was_owed_goes_with_the_link)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	duo_say(&d->node, STREAM_OUT, 800);
	channel_consume(d->relay.ch, STREAM_OUT, 800, ECHO_UNKNOWN);
	pair_cut(d->pair, "the line broke");
	duo_run(d);
	duo_again(d);
	d->node.hold = true;
	duo_ask(d);
	channel_abort(d->relay.ch, HW_ETERMINATED, "never mind");
	duo_run(d);
	same(d->relay.sent, "[RESUME:1 CLOSE:1]");
	same(d->node.seen, "offer:1:s close:1:SessionTerminated:0");
	cr_assert(link_is_up(d->node.link));
	duo_close_parked(&d->node);
	duo_free(d);
}

/* --- room ------------------------------------------------------------------------------------ */

Test(resume, who_was_refused_room_is_told)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	duo_say(&d->relay, STREAM_IN, 1000);
	cr_assert(eq(sz, channel_room(d->relay.ch, STREAM_IN), 0)); /* by the window */
	duo_cut(d);
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 0)); /* by the lack of a link */
	channel_consume(d->node.ch, STREAM_IN, 1000, ECHO_UNKNOWN);
	duo_again(d);
	duo_ask(d);
	cr_assert(eq(sz, channel_write(d->relay.ch, STREAM_ERR, "x", 1), 0)); /* by no answer */
	duo_run(d);
	same(d->node.seen, "offer:1:s drained:1.1");
	same(d->relay.seen, "resume:1:s drained:1.0 drained:1.2");
	resume_again(d);
	same(d->relay.seen, "resume:1:s"); /* nobody was refused since */
	duo_free(d);
}

/* Less than was wanted is a refusal too, and what was promised before a loss holds after it. */
Test(resume, a_promise_of_room_outlives_the_link)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	d->limits.stream = 100;
	pair_pause(d->pair, NODE, true);
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 100));
	duo_say(&d->node, STREAM_OUT, 100);
	resume_again(d);
	has(d->node.seen, "drained:1.1");
	duo_free(d);
}

Test(resume, room_on_a_crowded_link_is_told_when_it_is_there)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 4000);
	struct channel *relay = d->relay.ch, *node = d->node.ch;

	d->limits.link = 1000;
	duo_cut(d);
	cr_assert(eq(sz, channel_room(node, STREAM_OUT), 0));
	duo_again(d);
	d->relay.keep = d->node.keep = false;
	duo_open(d, CHANNEL_TYPE_EXEC, 4000);
	cr_assert(eq(sz, channel_write(d->node.ch, STREAM_OUT, bytes, 600), 600));
	d->relay.ch = relay;
	d->node.ch = node;
	d->node.keep = true;
	pair_pause(d->pair, NODE, true);
	duo_resume(d);
	has_not(d->node.seen, "drained:2.1");
	pair_pause(d->pair, NODE, false);
	duo_run(d);
	has(d->node.seen, "drained:2.1");
	duo_free(d);
}

/* --- one after the other --------------------------------------------------------------------- */

Test(resume, a_link_may_go_before_the_answer)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	duo_say(&d->node, STREAM_OUT, 10);
	duo_cut(d);
	duo_again(d);
	d->node.hold = true;
	duo_ask(d);
	duo_run(d);
	duo_cut(d);
	has(d->relay.seen, "park:1:ServiceUnavailable");
	has(d->node.seen, "close:1:ServiceUnavailable"); /* of the offer */
	d->node.hold = false;
	duo_again(d);
	duo_resume(d);
	same(d->relay.seen, "resume:1:s");
	duo_say(&d->node, STREAM_OUT, 10);
	has(d->relay.seen, "data:1.1@10+10");
	cr_assert(eq(u64, d->limits.channels, 2));
	duo_free(d);
}

Test(resume, an_answer_may_be_lost)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	duo_say(&d->relay, STREAM_IN, 10);
	duo_cut(d);
	duo_again(d);
	pair_pause(d->pair, NODE, true);
	duo_ask(d);
	duo_run(d);
	duo_say(&d->node, STREAM_OUT, 10); /* it goes on, as far as it knows */
	resume_again(d);
	has(d->relay.seen, "resume:1:s data:1.1@0+10");
	duo_free(d);
}

Test(resume, a_rejected_one_is_gone)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	duo_say(&d->relay, STREAM_IN, 10);
	duo_cut(d);
	d->node.keep = false; /* it leaves the offer to nobody */
	duo_again(d);
	duo_resume(d);
	same(d->relay.seen, "reject:1:DoesNotExistException");
	cr_assert(eq(u64, d->limits.channels, 0));
	cr_assert(eq(u32, d->relay.link->writer.interactive, 0));
	duo_close_parked(&d->node);
	duo_free(d);
}

Test(resume, where_nobody_resumes_all_are_rejected)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	duo_cut(d);
	d->node.link_events.on_resume = NULL;
	duo_again(d);
	duo_resume(d);
	same(d->relay.seen, "reject:1:DoesNotExistException");
	cr_assert(link_is_up(d->node.link));
	duo_close_parked(&d->node);
	duo_free(d);
}

Test(resume, one_that_is_closed_while_parked_is_told_to_nobody)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	duo_say(&d->relay, STREAM_IN, 10);
	duo_cut(d);
	duo_again(d);
	duo_close_parked(&d->relay);
	duo_close_parked(&d->node);
	duo_run(d);
	same(d->relay.sent, "");
	duo_free(d);
}

Test(resume, one_closed_before_the_answer_is_told)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_CONNECTION, 1000);

	duo_cut(d);
	duo_again(d);
	pair_pause(d->pair, NODE, true);
	duo_ask(d);
	duo_run(d);
	channel_close(d->relay.ch, &(struct msg_close){0});
	duo_run(d);
	same(d->relay.sent, "[RESUME:1] [CLOSE:1]");
	has(d->node.seen, "close:1:");
	pair_pause(d->pair, NODE, false);
	duo_run(d);
	same(d->relay.seen, ""); /* an answer that comes late is nobody's */
	cr_assert(link_is_up(d->relay.link) && link_is_up(d->node.link));
	cr_assert(eq(u64, d->limits.channels, 0));
	duo_free(d);
}

Test(resume, a_late_frame_of_an_interrupted_one_is_ignored)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	pair_pause(d->pair, RELAY, true);
	channel_write(d->relay.ch, STREAM_IN, bytes, 10);
	channel_interrupt(d->relay.ch, "the user's link was lost");
	duo_run(d);
	channel_write(d->node.ch, STREAM_OUT, bytes, 10);
	pair_pause(d->pair, RELAY, false);
	duo_run(d);
	same(d->relay.seen, "");
	same(d->node.seen, "park:1:Interrupted");
	duo_close_parked(&d->relay);
	duo_close_parked(&d->node);
	duo_free(d);
}

/* The relay's new link came before the node noticed that the older one is dead. */
Test(resume, rejoining_takes_it_off_an_older_link)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);
	struct link *old = d->node.link;

	pair_detach(d->pair, RELAY);
	duo_say(&d->node, STREAM_OUT, 30);
	cr_assert(eq(sz, channel_queued(d->node.ch, STREAM_OUT), 0));
	pair_pause(d->pair, NODE, true);
	channel_write(d->node.ch, STREAM_OUT, bytes, 12);
	channel_consume(d->node.ch, STREAM_IN, 0, ECHO_UNKNOWN);
	duo_again(d);
	cr_assert(link_is_up(old));
	duo_resume(d);
	same(d->node.seen, "offer:1:s");
	has(d->relay.seen, "data:1.1@0+42");
	cr_assert(channel_link(d->node.ch) == d->node.link);
	cr_assert(eq(sz, link_channels(old), 0));
	cr_assert(eq(u32, old->writer.interactive, 0));
	pair_cut(d->older, "at last");
	duo_run(d);
	has_not(d->node.seen, "park");
	duo_say(&d->node, STREAM_OUT, 5);
	has(d->relay.seen, "data:1.1@42+5");
	duo_free(d);
}

/* --- what a relay does ----------------------------------------------------------------------- */

Test(resume, a_relay_joins_a_new_channel_of_its_own_at_offsets)
{
	static const struct channel_stand ours[STREAMS] = {
		[STREAM_IN] = {.sent = 20	 },
		[STREAM_OUT] = { .received = 30, .consumed = 10, .limit = 500}
	     };
	const struct msg_resume who = {.type = CHANNEL_TYPE_EXEC, .session_id = "s"};
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);
	struct channel *ch;

	duo_say(&d->relay, STREAM_IN, 20);
	duo_say(&d->node, STREAM_OUT, 40);
	duo_cut(d);
	duo_close_parked(&d->relay);
	duo_again(d);
	cr_assert(channel_open_resumed(&ch, d->relay.link, &who, ours, &d->relay.channel_events,
			  &d->relay, NULL) == 0);
	cr_assert(eq(sz, channel_write(ch, STREAM_IN, "x", 1), 0));
	duo_run(d);
	has(d->relay.seen, "resume:1:s");
	has(d->relay.seen, "data:1.1@30+10");
	cr_assert(eq(u64, channel_stand(ch)[STREAM_IN].received, 20));
	cr_assert(eq(u64, channel_sent(ch, STREAM_IN), 20));
	cr_assert(eq(sz, channel_write(ch, STREAM_IN, bytes, 5), 5));
	duo_run(d);
	has(d->node.seen, "data:1.0@20+5");
	cr_assert(eq(u64, channel_limit(d->node.ch, STREAM_OUT), 500));
	cr_assert(eq(u64, channel_acked(d->node.ch, STREAM_OUT), 10));
	pair_cut(d->pair, "gone");
	duo_run(d);
	has(d->relay.seen, "close:1:ServiceUnavailable"); /* it keeps nothing */
	duo_close_parked(&d->node);
	duo_free(d);
}

Test(resume, a_relay_raises_no_limit_of_its_own)
{
	static const struct channel_stand ours[STREAMS] = {
		[STREAM_OUT] = {.limit = 1000}, [STREAM_ERR] = {.limit = 10}};
	const struct msg_resume who = {.type = CHANNEL_TYPE_EXEC, .session_id = "s"};
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);
	struct channel *ch;

	duo_cut(d);
	duo_close_parked(&d->relay);
	duo_again(d);
	cr_assert(channel_open_resumed(&ch, d->relay.link, &who, ours, &d->relay.channel_events,
			  &d->relay, NULL) == 0);
	duo_run(d);
	same(d->relay.sent, "[RESUME:1]");
	cr_assert(eq(u64, channel_limit(d->node.ch, STREAM_ERR), 10));
	duo_free(d);
}

Test(resume, a_relay_answers_at_offsets)
{
	static const struct channel_stand ours[STREAMS] = {
		[STREAM_IN] = {.received = 7, .consumed = 7, .limit = 300, .end_received = false},
		[STREAM_OUT] = {.sent = 40}
	   };
	const struct msg_resume who = {.type = CHANNEL_TYPE_CONNECTION, .session_id = "s"};
	struct duo *d = duo_kept(CHANNEL_TYPE_CONNECTION, 1000);

	duo_say(&d->relay, STREAM_IN, 20);
	duo_say(&d->node, STREAM_OUT, 40);
	duo_cut(d);
	duo_close_parked(&d->node);
	duo_again(d);
	d->node.hold = true;
	duo_ask(d);
	duo_run(d);
	cr_assert(eq(sz, channel_write(d->node.offered, STREAM_OUT, "x", 1), 0));
	channel_accept_resumed(d->node.offered, &who, ours);
	cr_assert(eq(sz, channel_write(d->node.offered, STREAM_OUT, bytes, 3), 3));
	duo_run(d);
	has(d->node.seen, "data:1.0@7+13");
	has(d->relay.seen, "resume:1:s data:1.1@40+3");
	cr_assert(eq(u64, channel_acked(d->relay.ch, STREAM_IN), 7));
	cr_assert(eq(u64, channel_limit(d->relay.ch, STREAM_IN), 300));
	duo_free(d);
}

Test(resume, what_a_relay_dropped_is_not_sent_by_later_credit)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_open(d, CHANNEL_TYPE_EXEC, 1000);
	pair_pause(d->pair, NODE, true);
	channel_write(d->node.ch, STREAM_OUT, bytes, 500);
	duo_run(d);
	channel_discard(d->node.ch, STREAM_OUT);
	channel_credit(d->relay.ch, STREAM_OUT, 0, 2000, ECHO_UNKNOWN);
	pair_pause(d->pair, NODE, false);
	duo_run(d);
	same(d->node.sent, "");
	cr_assert(eq(sz, d->limits.queued, 0));
	duo_free(d);
}

Test(resume, what_was_dropped_of_a_kept_one_is_not_sent_again)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_EXEC, 1000);

	duo_say(&d->node, STREAM_OUT, 50);
	pair_detach(d->pair, RELAY);
	duo_say(&d->node, STREAM_OUT, 50);
	duo_cut(d);
	channel_discard(d->node.ch, STREAM_OUT);
	channel_end(d->node.ch, STREAM_OUT);
	duo_again(d);
	duo_resume(d);
	channel_credit(d->relay.ch, STREAM_OUT, 50, 5000, ECHO_UNKNOWN);
	duo_run(d);
	same(d->node.sent, "[RESUME:1]"); /* nor an end: nobody shall take a part for the whole */
	cr_assert(eq(sz, d->limits.queued, 0));
	duo_free(d);
}

Test(resume, input_that_may_go_ahead_of_accept_does_not_go_ahead_of_resume)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_CONNECTION, 1000);

	duo_say(&d->relay, STREAM_IN, 10);
	duo_cut(d);
	duo_again(d);
	duo_ask(d);
	cr_assert(eq(sz, channel_room(d->relay.ch, STREAM_IN), 0));
	cr_assert(eq(sz, channel_write(d->relay.ch, STREAM_IN, "x", 1), 0));
	channel_end(d->relay.ch, STREAM_IN);
	duo_run(d);
	same(d->relay.sent, "[RESUME:1] [END:1.0@10]");
	same(d->node.seen, "offer:1:s end:1.0@10");
	duo_free(d);
}

Test(resume, input_that_went_ahead_is_kept_too)
{
	struct msg_open open = {.type = CHANNEL_TYPE_CONNECTION, .session_id = "s", .window = 1000};
	struct duo *d = duo_new();

	d->node.keep = true;
	d->node.window = 1000;
	duo_up(d);
	cr_assert(channel_open(&d->relay.ch, d->relay.link, &open, &d->relay.channel_events,
			  &d->relay, NULL) == 0);
	channel_keep(d->relay.ch);
	cr_assert(eq(sz, channel_write(d->relay.ch, STREAM_IN, bytes, 60), 60));
	duo_run(d);
	pair_detach(d->pair, NODE);
	duo_say(&d->relay, STREAM_IN, 4);
	resume_again(d);
	same(d->relay.sent, "[RESUME:1] [DATA:1.0@60+4]");
	duo_free(d);
}

/* --- jumps ----------------------------------------------------------------------------------- */

/* A terminal's other end stood at `sent`, and goes on at `to`. */
static struct duo *
duo_jumped(size_t sent, size_t lost, uint64_t to)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	duo_say(&d->node, STREAM_OUT, sent);
	if (lost > 0) {
		pair_detach(d->pair, RELAY);
		duo_say(&d->node, STREAM_OUT, lost);
	}
	duo_cut(d);
	channel_jump(d->node.ch, STREAM_OUT, to);
	duo_again(d);
	duo_resume(d);
	return d;
}

Test(resume, a_jump_takes_the_peer_along)
{
	struct duo *d = duo_jumped(50, 0, 5000);

	same(d->relay.seen, "resume:1:s");
	cr_assert(eq(u64, channel_received(d->relay.ch, STREAM_OUT), 5000));
	has(d->relay.sent, "CREDIT:1.1=4950<5950/0");
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 950));
	duo_say(&d->node, STREAM_OUT, 300);
	has(d->relay.seen, "data:1.1@5000+300");
	channel_consume(d->relay.ch, STREAM_OUT, 50, ECHO_UNKNOWN); /* of before the jump */
	channel_consume(d->relay.ch, STREAM_OUT, 300, ECHO_UNKNOWN);
	duo_run(d);
	has(d->node.seen, "credit:1.1=5300<6300/0");
	cr_assert(duo_keeps_nothing(&d->node, STREAM_OUT));
	duo_free(d);
}

Test(resume, what_was_on_its_way_before_a_jump_is_not_sent_again)
{
	struct duo *d = duo_jumped(50, 30, 80);

	same(d->node.sent, "[RESUME:1]");
	cr_assert(eq(u64, channel_received(d->relay.ch, STREAM_OUT), 80));
	resume_again(d);
	same(d->node.sent, "[RESUME:1]");
	duo_say(&d->node, STREAM_OUT, 5);
	has(d->relay.seen, "data:1.1@80+5");
	duo_free(d);
}

Test(resume, a_peer_that_stands_where_a_jump_ends_stays_there)
{
	struct duo *d = duo_jumped(50, 0, 50);

	same(d->relay.sent, "[RESUME:1]"); /* nothing new to tell */
	cr_assert(eq(u64, channel_received(d->relay.ch, STREAM_OUT), 50));
	cr_assert(eq(u64, channel_limit(d->node.ch, STREAM_OUT), 1000));
	duo_free(d);
}

/* A window that was full is full behind the jump, until what came before is consumed. */
Test(resume, a_jump_opens_no_window)
{
	struct duo *d = duo_jumped(1000, 0, 3000);

	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 0));
	channel_consume(d->relay.ch, STREAM_OUT, 1000, ECHO_UNKNOWN);
	duo_run(d);
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 1000));
	duo_say(&d->node, STREAM_OUT, 1000);
	has(d->relay.seen, "data:1.1@3000+1000");
	duo_free(d);
}

Test(resume, a_jump_is_made_once_more_when_its_answer_is_lost)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	duo_say(&d->node, STREAM_OUT, 50);
	duo_cut(d);
	channel_jump(d->node.ch, STREAM_OUT, 5000);
	duo_again(d);
	pair_pause(d->pair, NODE, true);
	duo_ask(d);
	duo_run(d);
	same(d->node.seen, "offer:1:s");
	cr_assert(eq(u64, channel_received(d->relay.ch, STREAM_OUT), 50));
	resume_again(d);
	same(d->relay.seen, "resume:1:s");
	duo_say(&d->node, STREAM_OUT, 10);
	has(d->relay.seen, "data:1.1@5000+10");
	channel_end(d->node.ch, STREAM_OUT);
	duo_run(d);
	has(d->relay.seen, "end:1.1@5010");
	duo_free(d);
}

/* Nothing that a peer says of an offset may carry the limit beyond the largest there is. */
Test(resume, a_jump_to_the_largest_offset_is_survived)
{
	struct duo *d = duo_jumped(50, 0, OFFSET_MAX);

	same(d->relay.seen, "resume:1:s");
	cr_assert(eq(u64, channel_limit(d->node.ch, STREAM_OUT), OFFSET_MAX));
	cr_assert(eq(sz, channel_room(d->node.ch, STREAM_OUT), 0));
	cr_assert(link_is_up(d->relay.link) && link_is_up(d->node.link));
	duo_free(d);
}

/* --- what a relay takes up from the process before it ---------------------------------------- */

static struct duo *
duo_offered(size_t in, size_t out)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	duo_say(&d->relay, STREAM_IN, in);
	duo_say(&d->node, STREAM_OUT, out);
	duo_cut(d);
	duo_close_parked(&d->node);
	duo_again(d);
	d->node.hold = true;
	duo_ask(d);
	duo_run(d);
	return d;
}

static void
accept_kept(struct duo *d, uint64_t kept_from, uint64_t sent)
{
	const struct channel_stand ours[STREAMS] = {
		[STREAM_IN] = {.received = 20, .consumed = 20, .limit = 1020},
		[STREAM_OUT] = {.kept_from = kept_from,		.sent = sent	    },
	};
	const struct msg_resume who = {.type = CHANNEL_TYPE_PTY, .session_id = "s"};

	d->node.ch = d->node.offered;
	channel_keep(d->node.ch);
	channel_accept_resumed(d->node.ch, &who, ours);
	d->node.hold = false;
	duo_run(d);
}

Test(resume, one_that_is_taken_up_and_kept_sends_from_where_the_peer_stands)
{
	struct duo *d = duo_offered(20, 40);

	accept_kept(d, 10, 60);
	cr_assert(eq(u64, channel_sent(d->node.ch, STREAM_OUT), 40));
	pair_detach(d->pair, RELAY);
	duo_say(&d->node, STREAM_OUT, 20);
	resume_again(d);
	has(d->relay.seen, "data:1.1@40+20");
	cr_assert(eq(sz, d->relay.received, 60));
	duo_free(d);
}

Test(resume, one_that_is_taken_up_and_kept_jumps_when_its_owner_has_no_more)
{
	struct duo *d = duo_offered(20, 40);

	accept_kept(d, 60, 60);
	cr_assert(eq(u64, channel_sent(d->node.ch, STREAM_OUT), 60));
	cr_assert(eq(u64, channel_received(d->relay.ch, STREAM_OUT), 60));
	duo_say(&d->node, STREAM_OUT, 5);
	has(d->relay.seen, "data:1.1@60+5");
	resume_again(d);
	same(d->node.sent, "[RESUME:1]");
	duo_free(d);
}

/* Another program of the same user presents its ticket: what the first one kept is not its own. */
static void
take_over(struct duo *d, int64_t window)
{
	const struct msg_resume who = {.type = CHANNEL_TYPE_PTY, .session_id = "s"};

	duo_close_parked(&d->relay);
	duo_again(d);
	d->node.hold = true;
	cr_assert(channel_open_taking_over(&d->relay.ch, d->relay.link, &who, window,
			  &d->relay.channel_events, &d->relay, NULL) == 0);
	duo_run(d);
}

Test(resume, who_takes_over_begins_where_the_answer_says)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	duo_say(&d->relay, STREAM_IN, 20);
	duo_say(&d->node, STREAM_OUT, 40);
	duo_cut(d);
	duo_close_parked(&d->node);
	take_over(d, 500);
	accept_kept(d, 60, 60);
	cr_assert(eq(u64, channel_received(d->relay.ch, STREAM_OUT), 60));
	cr_assert(eq(u64, channel_sent(d->relay.ch, STREAM_IN), 20));
	cr_assert(eq(u64, channel_limit(d->node.ch, STREAM_OUT), 560));
	duo_say(&d->relay, STREAM_IN, 5);
	duo_say(&d->node, STREAM_OUT, 7);
	has(d->node.seen, "data:1.0@20+5");
	has(d->relay.seen, "data:1.1@60+7");
	duo_free(d);
}

Test(resume, who_took_over_keeps_what_it_sends)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	duo_say(&d->relay, STREAM_IN, 20);
	duo_cut(d);
	duo_close_parked(&d->node);
	take_over(d, 500);
	accept_kept(d, 0, 0);
	pair_detach(d->pair, NODE);
	duo_say(&d->relay, STREAM_IN, 9);
	resume_again(d);
	has(d->node.seen, "data:1.0@20+9");
	duo_free(d);
}

Test(resume, who_takes_over_survives_the_largest_offset)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	duo_cut(d);
	duo_close_parked(&d->node);
	take_over(d, 500);
	accept_kept(d, OFFSET_MAX, OFFSET_MAX);
	cr_assert(link_is_up(d->relay.link) && link_is_up(d->node.link));
	cr_assert(eq(u64, channel_received(d->relay.ch, STREAM_OUT), OFFSET_MAX));
	duo_free(d);
}

Test(resume, what_is_received_may_be_set_back)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	duo_say(&d->relay, STREAM_IN, 20);
	channel_end(d->relay.ch, STREAM_IN);
	duo_run(d);
	duo_cut(d);
	channel_set_received(d->node.ch, STREAM_IN, 7, 7, 300);
	duo_again(d);
	duo_resume(d);
	same(d->relay.sent, "[RESUME:1] [DATA:1.0@7+13 END:1.0@20]");
	has(d->node.seen, "data:1.0@7+13");
	has(d->node.seen, "end:1.0@20");
	cr_assert(eq(u64, channel_acked(d->relay.ch, STREAM_IN), 7));
	cr_assert(eq(u64, channel_limit(d->relay.ch, STREAM_IN), 300));
	duo_free(d);
}

/* And forward, where the peer has more than was thought: its next bytes fit. */
Test(resume, what_is_received_may_be_set_to_all_that_was_sent)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	pair_detach(d->pair, NODE);
	duo_say(&d->relay, STREAM_IN, 20);
	duo_cut(d);
	channel_set_received(d->node.ch, STREAM_IN, 20, 20, 1020);
	duo_again(d);
	duo_resume(d);
	same(d->relay.sent, "[RESUME:1]");
	duo_say(&d->relay, STREAM_IN, 3);
	has(d->node.seen, "data:1.0@20+3");
	duo_free(d);
}

/* --- ends ------------------------------------------------------------------------------------ */

Test(resume, an_end_is_acknowledged_with_all_that_came_before_it)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_CONNECTION, 1000);

	d->node.consume = true;
	duo_say(&d->relay, STREAM_IN, 5);
	cr_assert(eq(u64, channel_acked(d->relay.ch, STREAM_IN), 0)); /* less than a quarter */
	channel_end(d->relay.ch, STREAM_IN);
	channel_end(d->node.ch, STREAM_OUT);
	duo_run(d);
	cr_assert(eq(u64, channel_acked(d->relay.ch, STREAM_IN), 5));
	duo_free(d);
}

/* --- counting -------------------------------------------------------------------------------- */

Test(resume, bulk_goes_in_records_whatever_is_on_the_link)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1 << 20);
	struct channel *relay = d->relay.ch, *node = d->node.ch;

	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	struct end_of bulk = d->node;
	duo_say(&bulk, STREAM_OUT, 20000);
	same(d->node.sent, "[DATA:2.1@0+16312] [DATA:2.1@16312+3688]");
	duo_cut(d);
	duo_again(d);
	duo_resume(d);
	duo_say(&bulk, STREAM_OUT, 20000);
	has(d->node.sent, "[DATA:1.1@20000+16312] [DATA:1.1@36312+3688]");
	d->relay.ch = relay;
	d->node.ch = node;
	duo_resume(d);
	duo_say(&bulk, STREAM_OUT, 20000);
	has(d->node.sent, "[DATA:1.1@40000+16312] [DATA:1.1@56312+3688]");
	cr_assert(eq(u64, d->limits.channels, 4));
	duo_free(d);
}

Test(resume, a_link_is_interactive_only_while_a_terminal_is_on_it)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1 << 20);
	struct channel *relay = d->relay.ch, *node = d->node.ch;

	duo_open(d, CHANNEL_TYPE_EXEC, 1 << 20);
	cr_assert(link_is_interactive(d->node.link));
	duo_cut(d);
	duo_again(d);
	duo_resume(d);
	cr_assert(not(link_is_interactive(d->node.link) || link_is_interactive(d->relay.link)));
	d->relay.ch = relay;
	d->node.ch = node;
	duo_resume(d);
	cr_assert(link_is_interactive(d->node.link) && link_is_interactive(d->relay.link));
	duo_free(d);
}

/* --- owners that do something when they are told ---------------------------------------------- */

struct deed {
	const char *when; /* how the event begins */
	void (*what)(struct end_of *e);
	bool done;
};

static void
close_it(struct end_of *e)
{
	if (e->ch != NULL)
		channel_close(e->ch, &(struct msg_close){0});
	e->ch = NULL;
}

static void
close_the_link(struct end_of *e)
{
	link_close(e->link, HW_EUNAVAILABLE, "it shall park");
	e->link = NULL;
}

static void
close_both(struct end_of *e)
{
	close_the_link(e);
	close_it(e);
}

static void
act(struct end_of *e, const char *event)
{
	struct deed *deed = e->own;

	if (deed == NULL || deed->done || strncmp(event, deed->when, strlen(deed->when)) != 0)
		return;
	deed->done = true;
	deed->what(e);
}

static void
arm(struct end_of *e, struct deed *deed)
{
	e->own = deed;
	e->on_event = act;
}

/* Bytes wait at both ends, and both were refused room for more. */
static void
live_through(struct deed *relay, struct deed *node)
{
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	arm(&d->relay, relay);
	arm(&d->node, node);
	duo_say(&d->node, STREAM_OUT, 1000);
	duo_say(&d->relay, STREAM_IN, 1000);
	channel_write(d->node.ch, STREAM_OUT, "x", 1);
	channel_write(d->relay.ch, STREAM_IN, "x", 1);
	channel_write(d->relay.ch, STREAM_ERR, bytes, 1001);
	pair_cut(d->pair, "the line broke");
	duo_run(d);
	duo_again(d);
	if (d->relay.ch != NULL && channel_is_parked(d->relay.ch))
		duo_resume(d);
	duo_run(d);
	for (int side = 0; side < 2; side++) {
		struct end_of *e = side == RELAY ? &d->relay : &d->node;
		const struct deed *deed = e->own;
		cr_assert(deed == NULL || deed->done, "no %s in %s", deed->when, e->seen);
		e->on_event = NULL;
		if (e->ch != NULL && channel_is_parked(e->ch))
			duo_close_parked(e);
	}
	duo_free(d);
}

Test(resume, an_owner_may_do_anything_when_it_is_told)
{
	static void (*const whats[])(struct end_of *) = {close_it, close_the_link, close_both};
	static const char *const relays[] = {"resume:", "drained:1.0", "drained:1.2"};

	for (size_t i = 0; i < 3; i++) {
		for (size_t k = 0; k < 3; k++)
			live_through(&(struct deed){.when = relays[k], .what = whats[i]}, NULL);
		live_through(NULL, &(struct deed){.when = "drained:1.1", .what = whats[i]});
	}
	live_through(&(struct deed){.when = "park:", .what = close_it}, NULL);
	live_through(NULL, &(struct deed){.when = "park:", .what = close_it});
	live_through(&(struct deed){.when = "park:", .what = close_it},
		&(struct deed){.when = "park:", .what = close_it});
}

static void
resume_it(struct end_of *e)
{
	duo_ask(e->duo);
}

Test(resume, an_interrupted_one_may_be_resumed_at_once)
{
	struct msg_close close = {.code = "Interrupted"};
	struct deed deed = {.when = "park:", .what = resume_it};
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	duo_say(&d->node, STREAM_OUT, 10);
	arm(&d->relay, &deed);
	duo_clear(d);
	duo_raw_message(d, NODE, FRAME_CLOSE, 1, MSG_ROW(close), &close);
	same(d->relay.seen, "park:1:Interrupted resume:2:s");
	duo_say(&d->node, STREAM_OUT, 10);
	has(d->relay.seen, "data:2.1@10+10");
	duo_free(d);
}

Test(resume, a_rejected_one_may_end_its_link)
{
	struct deed deed = {.when = "reject:", .what = close_the_link};
	struct duo *d = duo_kept(CHANNEL_TYPE_PTY, 1000);

	duo_cut(d);
	d->node.keep = false;
	duo_again(d);
	arm(&d->relay, &deed);
	duo_resume(d);
	cr_assert(deed.done);
	duo_close_parked(&d->node);
	duo_free(d);
}
