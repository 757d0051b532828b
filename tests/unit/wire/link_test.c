/* Links: HELLO, death, requests, and what a peer may not do. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/loop.h"
#include "proto/wire/codec.h"
#include "tests/unit/wire/duo.h"

/* The relay's link against a peer that the test plays. */
static struct duo *
with_raw_node(void)
{
	struct duo *d = duo_new();

	duo_link(d, RELAY);
	duo_raw_hello(d, NODE);
	cr_assert(link_is_up(d->relay.link));
	duo_clear(d);
	return d;
}

static void
expect_protocol_error(struct duo *d, struct end_of *e)
{
	duo_run(d);
	has(e->seen, "down:ProtocolError");
	has(e->sent, "[CLOSE:0]");
	has(d->logged, "link.protocol");
	cr_assert(pair_is_closed(d->pair, e->side));
	duo_free(d);
}

/* --- HELLO ----------------------------------------------------------------------------------- */

Test(link, hello_both_ways_brings_both_up)
{
	struct duo *d = duo_new();

	duo_link(d, RELAY);
	duo_link(d, NODE);
	cr_assert(not(link_is_up(d->relay.link)));
	cr_assert(eq(ptr, (void *)link_peer_id(d->relay.link), NULL));
	duo_run(d);
	same(d->relay.seen, "up:mi-0123456789abcdef0");
	same(d->node.seen, "up:relay-1");
	same(link_peer_id(d->relay.link), "mi-0123456789abcdef0");
	cr_assert(eq(int, link_version(d->relay.link), 1));
	cr_assert(eq(u64, d->limits.links, 2));
	duo_free(d);
}

Test(link, no_hello_in_ten_seconds_ends_it)
{
	struct duo *d = duo_new();

	duo_link(d, RELAY);
	duo_seconds(d, 9);
	same(d->relay.seen, "");
	duo_seconds(d, 2);
	same(d->relay.seen, "down:RequestTimeout");
	cr_assert(pair_is_closed(d->pair, RELAY));
	duo_free(d);
}

Test(link, a_frame_before_hello_is_refused)
{
	struct duo *d = duo_new();

	duo_link(d, RELAY);
	duo_raw(d, NODE,
		&(struct frame){.kind = FRAME_REQUEST, .id = 1, .name = "X", .name_len = 1});
	expect_protocol_error(d, &d->relay);
}

Test(link, a_second_hello_is_refused)
{
	struct duo *d = with_raw_node();

	duo_raw_hello(d, NODE);
	expect_protocol_error(d, &d->relay);
}

static void
hello_that(struct duo *d, int64_t from, int64_t to, int role, const char *id)
{
	struct msg_hello hello = duo_hello(NODE);

	hello.version_min = from;
	hello.version_max = to;
	hello.role = role;
	hello.id = id;
	duo_link(d, RELAY);
	duo_raw_message(d, NODE, FRAME_HELLO, 0, MSG_ROW(hello), &hello);
}

Test(link, no_common_version_is_told_to_the_peer)
{
	struct duo *d = duo_new();

	hello_that(d, 2, 9, ROLE_NODE, "mi-0123456789abcdef0");
	same(d->relay.seen, "down:VersionMismatch");
	same(d->relay.sent, "[HELLO:0] [CLOSE:0]");
	duo_free(d);
}

Test(link, a_newer_peer_that_speaks_ours_is_welcome)
{
	struct duo *d = duo_new();

	hello_that(d, 1, 9, ROLE_NODE, "mi-0123456789abcdef0");
	cr_assert(eq(int, link_version(d->relay.link), 1));
	duo_free(d);
}

Test(link, a_role_other_than_the_certificates_is_refused)
{
	struct duo *d = duo_new();

	hello_that(d, 1, 1, ROLE_USER, "mi-0123456789abcdef0");
	expect_protocol_error(d, &d->relay);
}

Test(link, an_id_other_than_the_certificates_is_refused)
{
	struct duo *d = duo_new();

	hello_that(d, 1, 1, ROLE_NODE, "mi-0123456789abcdef1");
	expect_protocol_error(d, &d->relay);
}

/* --- broken rules ---------------------------------------------------------------------------- */

Test(link, bytes_that_are_no_frame_end_it)
{
	struct duo *d = with_raw_node();

	pair_send(d->pair, NODE, "\xdd\xff\xff\xff\xff", 5);
	expect_protocol_error(d, &d->relay);
}

Test(link, an_empty_message_ends_it)
{
	struct duo *d = with_raw_node();

	pair_send(d->pair, NODE, "", 0);
	expect_protocol_error(d, &d->relay);
}

Test(link, an_unknown_kind_ends_it)
{
	struct duo *d = with_raw_node();

	pair_send(d->pair, NODE, "\x93\x0c\x00\x80", 4);
	expect_protocol_error(d, &d->relay);
}

Test(link, resume_ends_it_until_it_is_agreed_on)
{
	struct duo *d = with_raw_node();

	duo_raw(d, NODE, &(struct frame){.kind = FRAME_RESUME, .channel = 1});
	expect_protocol_error(d, &d->relay);
}

Test(link, open_towards_the_opening_side_ends_it)
{
	struct duo *d = with_raw_node();
	struct msg_open open = {.type = CHANNEL_TYPE_PTY, .session_id = "s"};

	duo_raw_message(d, NODE, FRAME_OPEN, 1, MSG_ROW(open), &open);
	expect_protocol_error(d, &d->relay);
}

Test(link, a_response_to_nothing_ends_it)
{
	struct duo *d = with_raw_node();

	duo_raw(d, NODE, &(struct frame){.kind = FRAME_RESPONSE, .id = 1});
	expect_protocol_error(d, &d->relay);
}

Test(link, a_channel_that_was_never_opened_ends_it)
{
	struct duo *d = with_raw_node();

	duo_raw(d, NODE, &(struct frame){.kind = FRAME_END, .channel = 1});
	expect_protocol_error(d, &d->relay);
}

Test(link, what_follows_a_bad_frame_is_not_read)
{
	struct duo *d = with_raw_node();
	struct buf out;

	buf_init(&out, 4096);
	frame_encode(&out, &(struct frame){.kind = FRAME_END, .channel = 7});
	frame_encode(&out,
		&(struct frame){.kind = FRAME_REQUEST, .id = 1, .name = "X", .name_len = 1});
	pair_send(d->pair, NODE, buf_data(&out), out.len);
	buf_fini(&out);
	duo_run(d);
	has_not(d->relay.seen, "request");
	expect_protocol_error(d, &d->relay);
}

/* --- the end --------------------------------------------------------------------------------- */

Test(link, close_reaches_the_peer_with_its_code)
{
	struct duo *d = duo_new();

	duo_up(d);
	link_close(d->relay.link, HW_EREVOKED, "the node was removed");
	d->relay.link = NULL;
	duo_run(d);
	same(d->node.seen, "down:AccessRevoked");
	same(d->relay.seen, "");
	cr_assert(pair_is_closed(d->pair, RELAY));
	duo_free(d);
}

Test(link, an_orderly_close_is_told_as_closed)
{
	struct duo *d = duo_new();

	duo_up(d);
	link_close(d->node.link, HW_OK, NULL);
	d->node.link = NULL;
	duo_run(d);
	same(d->relay.seen, "down:Closed");
	duo_free(d);
}

Test(link, an_orderly_close_lets_answers_out_first)
{
	struct duo *d = duo_new();

	duo_up(d);
	link_respond(d->relay.link, 5, HW_EDENIED, "no", NULL, NULL);
	link_close(d->relay.link, HW_ECLOSED, "done");
	d->relay.link = NULL;
	duo_run(d);
	has(d->relay.sent, "[RESPONSE:0] [CLOSE:0]");
	duo_free(d);
}

Test(link, close_gives_up_on_a_full_line)
{
	struct duo *d = duo_new();

	duo_up(d);
	pair_pause(d->pair, RELAY, true);
	link_close(d->relay.link, HW_ECLOSED, "");
	d->relay.link = NULL;
	loop_advance(d->loop, USEC_PER_SEC);
	cr_assert(not(pair_is_closed(d->pair, RELAY)));
	loop_advance(d->loop, 2 * USEC_PER_SEC);
	cr_assert(pair_is_closed(d->pair, RELAY));
	duo_free(d);
}

static void
close_on_up(struct end_of *e, const char *event)
{
	if (strncmp(event, "up:", 3) == 0) {
		link_close(e->link, HW_EREVOKED, "changed my mind");
		e->link = NULL;
	}
}

Test(link, may_be_closed_from_its_first_callback)
{
	struct duo *d = duo_new();

	d->relay.on_event = close_on_up;
	duo_link(d, RELAY);
	duo_link(d, NODE);
	duo_run(d);
	same(d->relay.seen, "up:mi-0123456789abcdef0");
	has(d->node.seen, "down:AccessRevoked");
	duo_free(d);
}

Test(link, a_drop_is_told_once)
{
	struct duo *d = duo_new();

	duo_up(d);
	pair_drop(d->pair, "cable cut");
	duo_run(d);
	same(d->relay.seen, "down:ServiceUnavailable");
	same(d->node.seen, "down:ServiceUnavailable");
	duo_free(d);
}

/* --- life and death -------------------------------------------------------------------------- */

static bool
lose(void *arg, uint8_t *p, size_t n)
{
	(void)arg;
	(void)p;
	(void)n;
	return false;
}

Test(link, quiet_links_stay_up_by_their_pings)
{
	struct duo *d = duo_new();

	duo_up(d);
	duo_seconds(d, 300);
	same(d->relay.seen, "");
	same(d->node.seen, "");
	has(d->relay.sent, "CONTROL:0");
	/* each 20 s a ping and a pong from each side */
	cr_assert(le(sz, pair_messages(d->pair, RELAY), 1 + 2 * 16));
	duo_free(d);
}

Test(link, a_dead_peer_is_noticed_after_28_seconds)
{
	struct duo *d = duo_new();

	duo_up(d);
	pair_tap(d->pair, NODE, lose, NULL);
	duo_seconds(d, 27);
	same(d->relay.seen, "");
	duo_seconds(d, 2);
	same(d->relay.seen, "down:RequestTimeout");
	duo_free(d);
}

Test(link, any_byte_is_a_sign_of_life)
{
	struct duo *d = duo_new();

	duo_up(d);
	pair_tap(d->pair, NODE, lose, NULL);
	for (int i = 0; i < 10; i++) {
		duo_seconds(d, 20);
		link_heard(d->relay.link);
	}
	same(d->relay.seen, "");
	duo_free(d);
}

Test(link, a_process_that_was_stopped_asks_before_it_gives_up)
{
	struct duo *d = duo_new();

	duo_up(d);
	fake_clock_advance(&d->clock, 100 * USEC_PER_SEC);
	duo_seconds(d, 60);
	same(d->relay.seen, "");
	same(d->node.seen, "");
	duo_free(d);
}

Test(link, a_flood_of_pings_queues_one_pong)
{
	struct duo *d = with_raw_node();

	pair_pause(d->pair, RELAY, true);
	for (int i = 1; i <= 1000; i++) {
		struct msg_control ping = {.type = CONTROL_PING, .nonce = i};
		duo_raw_message(d, NODE, FRAME_CONTROL, 0, MSG_ROW(control), &ping);
	}
	pair_pause(d->pair, RELAY, false);
	duo_run(d);
	same(d->relay.sent, "[CONTROL:0]");
	duo_free(d);
}

Test(link, other_words_reach_the_owner)
{
	struct duo *d = duo_new();

	duo_up(d);
	link_send_control(d->relay.link, 0, &(struct msg_control){.type = CONTROL_RENEW});
	duo_run(d);
	same(d->node.seen, "word:Renew");
	duo_free(d);
}

static void
note_time(void *arg, int64_t wall)
{
	struct end_of *e = arg;

	e->received = (size_t)(wall / USEC_PER_SEC);
}

Test(link, pongs_tell_the_peers_clock)
{
	struct duo *d = duo_new();

	d->node.link_events.on_peer_time = note_time;
	duo_up(d);
	cr_assert(eq(sz, d->node.received, 1764000000));
	duo_seconds(d, 30);
	cr_assert(ge(sz, d->node.received, 1764000020));
	duo_free(d);
}

/* --- requests -------------------------------------------------------------------------------- */

struct answer {
	int calls, code;
	char message[256];
	size_t n;
};

static void
on_reply(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct answer *a = arg;

	(void)body;
	a->calls++;
	a->code = code;
	a->n = n;
	snprintf(a->message, sizeof(a->message), "%s", message);
}

static int
ask(struct duo *d, struct answer *a)
{
	struct msg_renew_certificate_request req = {
		.csr = {(const uint8_t *)"csr", 3}
	  };

	return link_request(d->node.link, op_find("RenewCertificate"), &req, on_reply, a, NULL);
}

Test(link, a_request_is_answered)
{
	struct duo *d = duo_new();
	struct answer a = {0};
	struct msg_error reply = {.message = "any message will do"};

	duo_up(d);
	cr_assert(eq(int, ask(d, &a), 0));
	duo_run(d);
	has(d->relay.seen, "request:RenewCertificate");
	link_respond(d->relay.link, d->relay.request, 0, NULL, MSG_ROW(error), &reply);
	duo_run(d);
	cr_assert(eq(int, a.calls, 1));
	cr_assert(eq(int, a.code, 0));
	cr_assert(gt(sz, a.n, 10));
	duo_free(d);
}

Test(link, an_error_comes_with_code_and_sentence)
{
	struct duo *d = duo_new();
	struct answer a = {0};

	duo_up(d);
	ask(d, &a);
	duo_run(d);
	link_respond(d->relay.link, d->relay.request, HW_EDENIED, "alice lacks ssm:StartSession",
		NULL, NULL);
	duo_run(d);
	cr_assert(eq(int, a.code, HW_EDENIED));
	same(a.message, "alice lacks ssm:StartSession");
	duo_free(d);
}

Test(link, a_sentence_that_is_no_text_is_made_one)
{
	struct duo *d = duo_new();
	struct answer a = {0};

	duo_up(d);
	ask(d, &a);
	duo_run(d);
	link_respond(d->relay.link, d->relay.request, HW_EDENIED, "bad \xff byte", NULL, NULL);
	duo_run(d);
	same(a.message, "bad ? byte");
	duo_free(d);
}

Test(link, a_request_without_its_field_is_not_sent)
{
	struct duo *d = duo_new();
	struct answer a = {0};
	struct msg_renew_certificate_request req = {0};
	struct hw_err err = HW_ERR_INIT;

	duo_up(d);
	cr_assert(eq(int,
		link_request(d->node.link, op_find("RenewCertificate"), &req, on_reply, &a, &err),
		HW_EVALIDATION));
	cr_assert(eq(int, ask(d, &a), 0));
	duo_run(d);
	has(d->relay.seen, "request:");
	duo_free(d);
}

Test(link, a_drop_answers_what_waits)
{
	struct duo *d = duo_new();
	struct answer a = {0};

	duo_up(d);
	ask(d, &a);
	duo_run(d);
	pair_drop(d->pair, "cable cut");
	duo_run(d);
	cr_assert(eq(int, a.calls, 1));
	cr_assert(eq(int, a.code, HW_EUNAVAILABLE));
	duo_free(d);
}

Test(link, close_drops_what_waits)
{
	struct duo *d = duo_new();
	struct answer a = {0};

	duo_up(d);
	ask(d, &a);
	link_close(d->node.link, HW_ECLOSED, "");
	d->node.link = NULL;
	duo_run(d);
	cr_assert(eq(int, a.calls, 0));
	duo_free(d);
}

Test(link, a_forgotten_request_may_be_answered)
{
	struct duo *d = duo_new();
	struct answer a = {0}, b = {0};

	duo_up(d);
	ask(d, &a);
	ask(d, &b);
	link_forget(d->node.link, &a);
	duo_run(d);
	for (uint64_t id = 1; id <= 2; id++)
		link_respond(d->relay.link, id, HW_EDENIED, "no", NULL, NULL);
	duo_run(d);
	cr_assert(eq(int, a.calls, 0));
	cr_assert(eq(int, b.calls, 1));
	same(d->node.seen, "");
	duo_free(d);
}

Test(link, a_thousand_and_24_requests_may_wait)
{
	struct duo *d = duo_new();
	struct answer a = {0};

	duo_up(d);
	for (int i = 0; i < 1024; i++)
		cr_assert(eq(int, ask(d, &a), 0));
	cr_assert(eq(int, ask(d, &a), HW_EFULL));
	duo_run(d);
	link_respond(d->relay.link, 7, HW_EDENIED, "no", NULL, NULL);
	duo_run(d);
	cr_assert(eq(int, a.calls, 1));
	cr_assert(eq(int, ask(d, &a), 0));
	duo_free(d);
}

Test(link, nothing_is_asked_before_it_is_up)
{
	struct duo *d = duo_new();
	struct answer a = {0};

	duo_link(d, NODE);
	cr_assert(eq(int, ask(d, &a), HW_EUNAVAILABLE));
	duo_free(d);
}

Test(link, a_side_without_operations_says_so)
{
	struct duo *d = duo_new();
	struct answer a = {0};

	d->relay.link_events.on_request = NULL;
	duo_up(d);
	ask(d, &a);
	duo_run(d);
	cr_assert(eq(int, a.code, HW_EUNKNOWNOP));
	duo_free(d);
}

/* --- queues ---------------------------------------------------------------------------------- */

Test(link, a_peer_that_takes_no_answers_loses_its_link)
{
	struct duo *d = duo_new();
	static uint8_t body[150000];

	body[0] = 0xc6; /* bytes, as good as a map here */
	body[2] = sizeof(body) >> 16;
	body[3] = (sizeof(body) >> 8) & 0xff;
	body[4] = sizeof(body) & 0xff;
	duo_up(d);
	pair_pause(d->pair, RELAY, true);
	for (int i = 0; i < 100; i++)
		link_respond_raw(d->relay.link, (uint64_t)i, body, sizeof(body));
	cr_assert(le(sz, d->limits.queued, 4 << 20));
	duo_run(d);
	same(d->relay.seen, "down:ThrottlingException");
	duo_free(d);
}

Test(link, small_frames_share_a_message)
{
	struct duo *d = duo_new();

	duo_up(d);
	for (uint64_t i = 0; i < 50; i++)
		link_respond(d->relay.link, i, HW_EDENIED, "no", NULL, NULL);
	size_t before = pair_messages(d->pair, RELAY);
	pair_tap(d->pair, RELAY, lose, NULL);
	duo_run(d);
	cr_assert(eq(sz, pair_messages(d->pair, RELAY) - before, 1));
	duo_free(d);
}

struct sizes {
	size_t largest, messages;
};

static bool
measure(void *arg, uint8_t *p, size_t n)
{
	struct sizes *s = arg;

	(void)p;
	s->messages++;
	if (n > s->largest)
		s->largest = n;
	return false;
}

Test(link, messages_are_not_larger_than_the_peer_takes)
{
	struct duo *d = duo_new();
	struct msg_hello hello = duo_hello(NODE);
	struct sizes sizes = {0};
	static uint8_t body[12000];

	hello.frame_max = 16384;
	duo_link(d, RELAY);
	duo_raw_message(d, NODE, FRAME_HELLO, 0, MSG_ROW(hello), &hello);
	memset(body, 0xc0, sizeof(body));
	pair_tap(d->pair, RELAY, measure, &sizes);
	for (uint64_t i = 0; i < 20; i++)
		link_respond_raw(d->relay.link, i, body, sizeof(body));
	duo_run(d);
	cr_assert(eq(sz, sizes.messages, 20));
	cr_assert(le(sz, sizes.largest, 16384));
	duo_free(d);
}

/* A relay that stops frees what it lent while its links' last words are still on their way. */
Test(link, once_closed_it_leaves_what_its_owner_lent_alone)
{
	struct duo *d = duo_new();
	static uint8_t body[12000];

	duo_up(d);
	pair_pause(d->pair, RELAY, true);
	memcpy(body, "\x81\xa1x\xc5\x2e\xda", 6); /* {"x": 11,994 bytes} */
	link_respond_raw(d->relay.link, 1, body, sizeof(body));
	cr_assert(ge(sz, d->limits.queued, sizeof(body)));
	link_close(d->relay.link, HW_ECLOSED, "done");
	d->relay.link = NULL;
	cr_assert(eq(sz, d->limits.queued, 0));
	uint64_t sent = d->limits.bytes_out;
	pair_pause(d->pair, RELAY, false);
	duo_run(d);
	cr_assert(ge(u64, sent + 1000, d->limits.bytes_out), "the last words were counted");
	duo_free(d);
}

/* --- heads in pings --------------------------------------------------------------------------- */

struct heads {
	int n;
	char last[32];
};

static void
on_head(void *arg, struct link *l, const char *head)
{
	struct heads *h = ((struct end_of *)arg)->own;

	(void)l;
	h->n++;
	snprintf(h->last, sizeof(h->last), "%s", head);
}

/* A second each, in which the relay has that head, or ever another one. */
static void
seconds_with(struct duo *d, int seconds, uint64_t number, bool grows)
{
	char head[32];

	for (; seconds > 0; seconds--) {
		loop_advance(d->loop, USEC_PER_SEC);
		snprintf(head, sizeof(head), "head %u", (unsigned)number);
		link_sweep_with(d->relay.link, head, number);
		link_sweep(d->node.link);
		loop_settle(d->loop);
		number += grows;
	}
}

Test(link, a_ping_carries_a_head_that_is_new_to_the_link_and_no_more_often_than_pings_go)
{
	struct heads h = {.n = 0};
	struct duo *d = duo_new();

	d->node.own = &h;
	d->node.link_events.on_head = on_head;
	duo_up(d);
	seconds_with(d, 60, 0, false); /* that of HELLO */
	cr_assert(eq(int, h.n, 0));
	seconds_with(d, 1, 1, false);
	cr_assert(eq(int, h.n, 1));
	same(h.last, "head 1");
	seconds_with(d, 60, 1, false);
	cr_assert(eq(int, h.n, 1));
	seconds_with(d, 60, 2, true);
	cr_assert(ge(int, h.n, 4));
	cr_assert(le(int, h.n, 5));
	seconds_with(d, 20, 62, false);
	same(h.last, "head 62"); /* the newest always comes */
	has_not(d->node.seen, "down");
	duo_free(d);
}

Test(link, a_head_for_a_side_that_looks_at_none_is_a_ping_like_any_other)
{
	struct msg_control ping = {.type = CONTROL_PING, .nonce = 7, .head = "x"};
	struct duo *d = with_raw_node();

	duo_raw_message(d, NODE, FRAME_CONTROL, 0, MSG_ROW(control), &ping);
	duo_run(d);
	has(d->relay.sent, "CONTROL:0");
	has_not(d->relay.seen, "down");
	duo_free(d);
}
