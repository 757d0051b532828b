/*
 * A peer's messages into one end of a link, whose owner makes use of all that it is told.
 *
 * The first byte says which end and how far it is: bit 0 the opening end, bit 1 HELLO has come,
 * bits 2 to 4 after how many events the owner closes the link (0: never). Then messages, each
 * behind its length in two bytes; the last one takes what is there.
 */
#include <stdint.h>
#include <string.h>

#include "proto/wire/channel.h"
#include "tests/world/pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct owner {
	struct link *link;
	struct channel *ch[2];
	int patience; /* events until it closes the link */
};

static void
count_event(struct owner *o)
{
	if (o->patience == 0 || --o->patience > 0 || o->link == NULL)
		return;
	struct link *l = o->link;
	o->link = NULL;
	link_close(l, HW_ETERMINATED, "enough");
}

static void
forget(struct owner *o, const struct channel *ch)
{
	for (int i = 0; i < 2; i++)
		if (o->ch[i] == ch)
			o->ch[i] = NULL;
}

/* --- channels' events --------------------------------------------------------------------------
 */

static void
on_accept(void *arg, struct channel *ch, const struct msg_accept *accept)
{
	(void)accept;
	channel_write(ch, STREAM_IN, "accepted", 8);
	count_event(arg);
}

static void
on_reject(void *arg, struct channel *ch, int code, const char *message)
{
	hw_assert(strlen(message) > 0 && code != 0);
	forget(arg, ch);
	count_event(arg);
}

static void
on_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	hw_assert(offset + n == channel_received(ch, stream));
	channel_consume(ch, stream, n, p[0] % 3);
	channel_write(ch, STREAM_OUT, p, n);
	count_event(arg);
}

static void
on_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	hw_assert(offset == channel_received(ch, stream));
	channel_end(ch, stream);
	count_event(arg);
}

static void
on_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	static const uint8_t some[3000];

	hw_assert(consumed <= channel_sent(ch, stream) && limit >= channel_sent(ch, stream));
	hw_assert(echo >= ECHO_UNKNOWN && echo <= ECHO_HIDDEN);
	channel_write(ch, stream, some, sizeof(some));
	count_event(arg);
}

static void
on_control(void *arg, struct channel *ch, const struct msg_control *control)
{
	channel_control(ch, control);
	count_event(arg);
}

static void
on_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	(void)code;
	(void)close;
	forget(arg, ch);
	count_event(arg);
}

static const struct channel_events channel_events = {
	.on_accept = on_accept,
	.on_reject = on_reject,
	.on_data = on_data,
	.on_end = on_end,
	.on_credit = on_credit,
	.on_control = on_control,
	.on_close = on_close,
};

/* --- the link's events -------------------------------------------------------------------------
 */

static void
on_reply(void *arg, int code, const char *message, const void *body, size_t n)
{
	(void)body;
	hw_assert(code == 0 || (strlen(message) > 0 && n < FRAME_BODY_MAX));
	count_event(arg);
}

static void
open_both(struct owner *o)
{
	struct msg_open open = {.session_id = "s", .window = 5000};

	for (int i = 0; i < 2; i++) {
		open.type = i == 0 ? CHANNEL_TYPE_PTY : CHANNEL_TYPE_EXEC;
		channel_open(&o->ch[i], o->link, &open, &channel_events, o, NULL);
	}
}

static void
on_up(void *arg, struct link *l, const struct msg_hello *peer)
{
	struct owner *o = arg;
	struct msg_renew_certificate_request request = {
		.csr = {(const uint8_t *)"csr", 3}
	  };

	hw_assert(strcmp(peer->id, link_peer_id(l)) == 0);
	link_request(l, op_find("RenewCertificate"), &request, on_reply, o, NULL);
	count_event(o);
}

static void
on_down(void *arg, struct link *l, int code, const char *why)
{
	struct owner *o = arg;

	hw_assert(o->link == l && code != 0 && why != NULL);
	hw_assert(o->ch[0] == NULL && o->ch[1] == NULL);
	o->link = NULL;
}

static void
on_request(void *arg, struct link *l, uint64_t id, const char *op, const void *body, size_t n)
{
	if (strlen(op) % 2 == 0)
		link_respond(l, id, HW_EDENIED, op, NULL, NULL);
	else
		link_respond_raw(l, id, body, n);
	count_event(arg);
}

static void
on_open(void *arg, struct link *l, struct channel *ch, const struct msg_open *open)
{
	struct owner *o = arg;

	(void)l;
	channel_attach(ch, &channel_events, o);
	if (strlen(open->session_id) % 4 == 0)
		channel_reject(ch, HW_EDENIED, open->session_id);
	else
		channel_accept(ch, &(struct msg_accept){.window = 10000});
	count_event(o);
}

static void
on_word(void *arg, struct link *l, const struct msg_control *control)
{
	link_send_control(l, 0, control);
	count_event(arg);
}

static const struct link_events node_events = {
	.on_up = on_up,
	.on_down = on_down,
	.on_request = on_request,
	.on_open = on_open,
	.on_control = on_word,
};

static const struct link_events relay_events = {
	.on_up = on_up,
	.on_down = on_down,
	.on_request = on_request,
	.on_control = on_word,
};

/* --- the run -----------------------------------------------------------------------------------
 */

static const uint8_t hello[] = "\x93\x00\x00\x87\xaaVersionMin\x01\xaaVersionMax\x01\xa4Role\xa4"
			       "node\xa2Id\xa1n\xa8Software\xa1x\xa4Time\x00\xa8"
			       "FrameMax\xce\x00\x04\x00\x00";

static void
feed(struct loop *loop, struct pair *pair, const uint8_t *p, size_t n)
{
	while (n >= 2) {
		size_t len = (size_t)p[0] << 8 | p[1];
		p += 2;
		n -= 2;
		if (len > n)
			len = n;
		pair_send(pair, PAIR_B, p, len);
		loop_settle(loop);
		p += len;
		n -= len;
	}
}

static void
run(struct loop *loop, struct pair *pair, struct owner *o, const uint8_t *data, size_t size)
{
	bool up = size > 0 && (data[0] & 2) != 0;

	if (up)
		pair_send(pair, PAIR_B, hello, sizeof(hello) - 1);
	loop_settle(loop);
	hw_assert(!up || o->link == NULL || link_is_up(o->link));
	if (size > 0 && (data[0] & 1) != 0 && o->link != NULL)
		open_both(o);
	loop_settle(loop);
	if (size > 1)
		feed(loop, pair, data + 1, size - 1);
	loop_advance(loop, 5 * USEC_PER_SEC);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool opens = size > 0 && (data[0] & 1) != 0;
	struct link_limits limits = LINK_LIMITS_DEFAULT;
	struct owner o = {.patience = size > 0 ? data[0] >> 2 & 7 : 0};
	struct log_ctx log = {.sink = NULL};
	struct fake_clock clock;

	fake_clock_init(&clock, 0);
	struct loop *loop = loop_new_fake(&clock);
	struct pair *pair = pair_new(loop);
	struct link_config config = {
		.loop = loop,
		.log = &log,
		.events = opens ? &relay_events : &node_events,
		.arg = &o,
		.transport = pair_transport(pair, PAIR_A),
		.hello = {.role = ROLE_RELAY, .id = "r", .software = "fuzz"},
		.peer_role = ROLE_NODE,
		.opens = opens,
		.limits = &limits,
	};
	o.link = link_new(&config);
	hw_assert(o.link != NULL);
	pair_attach(pair, PAIR_A, o.link);
	run(loop, pair, &o, data, size);
	pair_free(pair);
	loop_free(loop);
	hw_assert(o.link == NULL && limits.queued == 0 && limits.links == 0 &&
		limits.channels == 0);
	return 0;
}
