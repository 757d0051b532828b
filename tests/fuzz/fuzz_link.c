/*
 * A peer's messages into one end of a link, whose owner makes use of all that it is told.
 *
 * The first byte says which end and how far it is: bit 0 the opening end, bit 1 HELLO has come,
 * bits 2 to 4 after how many events the owner closes the link (0: never), bit 5 that it keeps its
 * channels, bit 6 that it takes them up again as a relay does, which keeps nothing. Then messages,
 * each behind its length in two bytes; the last one takes what is there. A length of 0 says that
 * the connection breaks and another one comes up, where HELLO has come.
 */
#include <stdint.h>
#include <string.h>

#include "proto/wire/channel.h"
#include "tests/world/pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEEPS = 1 << 5, RELAYS = 1 << 6 };

struct owner {
	struct link *link;
	struct channel *ch[2];
	int patience; /* events until it closes the link */
	unsigned style;
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

	hw_assert(consumed == channel_acked(ch, stream) && limit == channel_limit(ch, stream));
	hw_assert(consumed <= channel_sent(ch, stream));
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

static void
on_drained(void *arg, struct channel *ch, int stream)
{
	static const uint8_t some[100];

	channel_write(ch, stream, some, sizeof(some));
	count_event(arg);
}

/* On a link that is still up it is taken up again at once. */
static void
on_park(void *arg, struct channel *ch, int code, const char *why)
{
	const struct msg_resume who = {.type = channel_type(ch), .session_id = "s"};
	struct owner *o = arg;

	hw_assert(channel_is_parked(ch) && code != 0 && strlen(why) > 0);
	hw_assert(channel_write(ch, STREAM_IN, "x", 1) == 0);
	if (code == HW_EINTERRUPTED && o->ch[0] == ch && (o->style & RELAYS) == 0)
		channel_resume(ch, o->link, &who, NULL);
	count_event(o);
}

static void
on_resume(void *arg, struct channel *ch, const struct msg_resume *answer)
{
	const struct channel_stand *peer = channel_stand(ch);

	hw_assert(answer->streams.n <= 8);
	for (int i = 0; i < STREAMS; i++)
		hw_assert(peer[i].consumed <= peer[i].received &&
			peer[i].received <= channel_sent(ch, i));
	channel_consume(ch, STREAM_OUT, 0, ECHO_UNKNOWN);
	channel_write(ch, STREAM_IN, "resumed", 7);
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
	.on_drained = on_drained,
	.on_park = on_park,
	.on_resume = on_resume,
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
		int r = channel_open(&o->ch[i], o->link, &open, &channel_events, o, NULL);
		if (r == 0 && (o->style & KEEPS) != 0)
			channel_keep(o->ch[i]);
	}
}

/* Where a stream may go on that this end neither has nor keeps. */
static const struct channel_stand offsets[STREAMS] = {
	[STREAM_IN] = {.kept_from = 3, .sent = 9	},
	[STREAM_OUT] = { .received = 7, .consumed = 2, .limit = 4000},
};

static void
close_parked(struct owner *o)
{
	for (int i = 0; i < 2; i++) {
		if (o->ch[i] != NULL)
			channel_close(o->ch[i], &(struct msg_close){0});
		o->ch[i] = NULL;
	}
}

static void
resume_both(struct owner *o)
{
	struct msg_resume who = {.type = CHANNEL_TYPE_EXEC, .session_id = "s"};

	if ((o->style & RELAYS) != 0)
		close_parked(o);
	for (int i = 0; i < 2 && o->link != NULL; i++) {
		if ((o->style & RELAYS) != 0) {
			channel_open_resumed(&o->ch[i], o->link, &who, offsets, &channel_events, o,
				NULL);
		} else if (o->ch[i] != NULL && channel_is_parked(o->ch[i])) {
			who.type = channel_type(o->ch[i]);
			channel_resume(o->ch[i], o->link, &who, NULL);
		}
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
	for (int i = 0; i < 2; i++)
		hw_assert(o->ch[i] == NULL || channel_is_parked(o->ch[i]));
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
keep(struct owner *o, struct channel *ch)
{
	struct channel **free = o->ch[0] == NULL ? &o->ch[0] : &o->ch[1];

	if ((o->style & KEEPS) == 0 || *free != NULL)
		return;
	*free = ch;
	channel_keep(ch);
}

static void
on_open(void *arg, struct link *l, struct channel *ch, const struct msg_open *open)
{
	struct owner *o = arg;

	(void)l;
	channel_attach(ch, &channel_events, o);
	if (strlen(open->session_id) % 4 == 0) {
		channel_reject(ch, HW_EDENIED, open->session_id);
	} else {
		keep(o, ch);
		channel_accept(ch, &(struct msg_accept){.window = 10000});
	}
	count_event(o);
}

/* The session's name says which channel it is of. */
static void
on_offer(void *arg, struct link *l, struct channel *ch, const struct msg_resume *resume)
{
	const struct msg_resume who = {.type = resume->type, .session_id = resume->session_id};
	struct owner *o = arg;
	struct channel *ours = o->ch[strlen(resume->session_id) % 2];
	struct hw_err err = HW_ERR_INIT;
	int r;

	(void)l;
	if ((o->style & RELAYS) != 0) {
		channel_attach(ch, &channel_events, o);
		if (resume->connection == 0)
			channel_accept_resumed(ch, &who, offsets);
	} else if (ours != NULL && (r = channel_rejoin(ours, ch, &who, &err)) < 0) {
		channel_reject(ch, r, hw_err_text(&err));
	}
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
	.on_resume = on_offer,
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

struct run {
	struct loop *loop;
	struct pair *pair;
	struct log_ctx log;
	struct link_limits limits;
	struct owner owner;
	bool opens, up;
};

static void
connect(struct run *r)
{
	struct link_config config = {
		.loop = r->loop,
		.log = &r->log,
		.events = r->opens ? &relay_events : &node_events,
		.arg = &r->owner,
		.transport = pair_transport(r->pair, PAIR_A),
		.hello = {.role = ROLE_RELAY, .id = "r", .software = "fuzz"},
		.peer_role = ROLE_NODE,
		.opens = r->opens,
		.limits = &r->limits,
	};

	r->owner.link = link_new(&config);
	hw_assert(r->owner.link != NULL);
	pair_attach(r->pair, PAIR_A, r->owner.link);
	if (r->up)
		pair_send(r->pair, PAIR_B, hello, sizeof(hello) - 1);
	loop_settle(r->loop);
	hw_assert(!r->up || r->owner.link == NULL || link_is_up(r->owner.link));
}

static void
reconnect(struct run *r)
{
	pair_free(r->pair);
	loop_settle(r->loop);
	hw_assert(r->owner.link == NULL && r->limits.queued == 0 && r->limits.channels == 0);
	r->pair = pair_new(r->loop);
	connect(r);
	if (r->opens && r->owner.link != NULL)
		resume_both(&r->owner);
	loop_settle(r->loop);
}

static void
feed(struct run *r, const uint8_t *p, size_t n)
{
	while (n >= 2) {
		size_t len = (size_t)p[0] << 8 | p[1];
		p += 2;
		n -= 2;
		if (len > n)
			len = n;
		if (len == 0 && r->up) {
			reconnect(r);
			continue;
		}
		pair_send(r->pair, PAIR_B, p, len);
		loop_settle(r->loop);
		p += len;
		n -= len;
	}
}

static void
run(struct run *r, const uint8_t *data, size_t size)
{
	connect(r);
	if (r->opens && r->owner.link != NULL)
		open_both(&r->owner);
	loop_settle(r->loop);
	if (size > 1)
		feed(r, data + 1, size - 1);
	loop_advance(r->loop, 5 * USEC_PER_SEC);
	pair_free(r->pair);
	close_parked(&r->owner);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t first = size > 0 ? data[0] : 0;
	struct run r = {
		.opens = (first & 1) != 0,
		.up = (first & 2) != 0,
		.limits = LINK_LIMITS_DEFAULT,
		.owner = {.patience = first >> 2 & 7, .style = first & (KEEPS | RELAYS)}
	};
	struct fake_clock clock;

	fake_clock_init(&clock, 0);
	r.loop = loop_new_fake(&clock);
	r.pair = pair_new(r.loop);
	run(&r, data, size);
	loop_free(r.loop);
	hw_assert(r.owner.link == NULL && r.limits.queued == 0 && r.limits.links == 0 &&
		r.limits.channels == 0);
	return 0;
}
