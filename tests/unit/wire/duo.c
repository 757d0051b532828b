#include "tests/unit/wire/duo.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/wire/codec.h"
#include "proto/wire/link_private.h"

static void
add(char **to, const char *word)
{
	size_t old = *to != NULL ? strlen(*to) : 0, n = strlen(word);

	*to = realloc(*to, old + n + 2);
	cr_assert(*to != NULL);
	if (old > 0)
		(*to)[old++] = ' ';
	memcpy(*to + old, word, n + 1);
}

static void __attribute__((format(printf, 2, 3))) saw(struct end_of *e, const char *fmt, ...)
{
	char word[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(word, sizeof(word), fmt, ap);
	va_end(ap);
	add(&e->seen, word);
	if (e->on_event != NULL)
		e->on_event(e, word);
}

/* --- links' events --------------------------------------------------------------------------- */

static void
on_up(void *arg, struct link *l, const struct msg_hello *peer)
{
	(void)l;
	saw(arg, "up:%s", peer->id);
}

static void
on_down(void *arg, struct link *l, int code, const char *why)
{
	struct end_of *e = arg;

	(void)why;
	if (l == e->link)
		e->link = NULL;
	saw(e, "down:%s", hw_code_name(code));
}

static void
on_request(void *arg, struct link *l, uint64_t id, const char *op, const void *body, size_t n)
{
	struct end_of *e = arg;

	(void)l;
	(void)body;
	e->request = id;
	saw(e, "request:%s:%zu", op, n);
}

static void
on_open(void *arg, struct link *l, struct channel *ch, const struct msg_open *open)
{
	struct end_of *e = arg;

	(void)l;
	e->ch = ch;
	channel_attach(ch, &e->channel_events, e);
	if (e->keep)
		channel_keep(ch);
	saw(e, "open:%u:%s", channel_id(ch), open->session_id);
	if (!e->hold && e->link != NULL)
		channel_accept(ch, &(struct msg_accept){.window = e->window});
}

static void
on_offer(void *arg, struct link *l, struct channel *ch, const struct msg_resume *resume)
{
	const struct msg_resume who = {.type = resume->type, .session_id = resume->session_id};
	struct end_of *e = arg;
	struct hw_err err = HW_ERR_INIT;
	int r;

	(void)l;
	saw(e, "offer:%u:%s", channel_id(ch), resume->session_id);
	if (e->hold) {
		e->offered = ch;
		channel_attach(ch, &e->channel_events, e);
	} else if (e->keep && e->ch != NULL && (r = channel_rejoin(e->ch, ch, &who, &err)) < 0) {
		channel_reject(ch, r, hw_err_text(&err));
	}
}

static void
on_control(void *arg, struct link *l, const struct msg_control *control)
{
	(void)l;
	saw(arg, "word:%s", enum_text(&enum_CONTROL, control->type));
}

/* --- channels' events ------------------------------------------------------------------------ */

static void
forget(struct end_of *e, const struct channel *ch)
{
	if (e->ch == ch)
		e->ch = NULL;
}

static void
on_accept(void *arg, struct channel *ch, const struct msg_accept *accept)
{
	(void)accept;
	saw(arg, "accept:%u", channel_id(ch));
}

static void
on_reject(void *arg, struct channel *ch, int code, const char *message)
{
	(void)message;
	forget(arg, ch);
	saw(arg, "reject:%u:%s", channel_id(ch), hw_code_name(code));
}

static void
on_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct end_of *e = arg;

	(void)p;
	e->received += n;
	if (e->consume)
		channel_consume(ch, stream, n, ECHO_UNKNOWN);
	saw(e, "data:%u.%d@%llu+%zu", channel_id(ch), stream, (unsigned long long)offset, n);
}

static void
on_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	saw(arg, "end:%u.%d@%llu", channel_id(ch), stream, (unsigned long long)offset);
}

static void
on_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	saw(arg, "credit:%u.%d=%llu<%llu/%d", channel_id(ch), stream, (unsigned long long)consumed,
		(unsigned long long)limit, echo);
}

static void
on_drained(void *arg, struct channel *ch, int stream)
{
	saw(arg, "drained:%u.%d", channel_id(ch), stream);
}

static void
on_channel_control(void *arg, struct channel *ch, const struct msg_control *control)
{
	saw(arg, "control:%u:%s", channel_id(ch), enum_text(&enum_CONTROL, control->type));
}

static void
on_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	forget(arg, ch);
	saw(arg, "close:%u:%s:%d", channel_id(ch), code == 0 ? "" : hw_code_name(code),
		(int)close->exit_status);
}

static void
on_park(void *arg, struct channel *ch, int code, const char *why)
{
	struct end_of *e = arg;

	cr_assert(channel_is_parked(ch) && why != NULL && why[0] != '\0');
	if (e->duo->ending)
		channel_close(ch, &(struct msg_close){0});
	else
		saw(e, "park:%u:%s", channel_id(ch), hw_code_name(code));
}

static void
on_resume(void *arg, struct channel *ch, const struct msg_resume *answer)
{
	saw(arg, "resume:%u:%s", channel_id(ch), answer->session_id);
}

/* --- what goes over the line ----------------------------------------------------------------- */

static void
describe(char *out, size_t room, const struct frame *f)
{
	const char *name = frame_row((int)f->kind)->name;
	unsigned long long offset = f->offset;

	switch (f->kind) {
	case FRAME_DATA:
		snprintf(out, room, "%s:%u.%d@%llu+%zu", name, f->channel, f->stream, offset,
			f->body_len);
		break;
	case FRAME_CREDIT:
		snprintf(out, room, "%s:%u.%d=%llu<%llu/%d", name, f->channel, f->stream, offset,
			(unsigned long long)f->limit, f->echo);
		break;
	case FRAME_END:
		snprintf(out, room, "%s:%u.%d@%llu", name, f->channel, f->stream, offset);
		break;
	default:
		snprintf(out, room, "%s:%u", name, f->channel);
	}
}

static bool
on_sent(void *arg, uint8_t *p, size_t n)
{
	struct end_of *e = arg;
	struct frame f;
	size_t used;
	char word[128] = "[";

	for (bool first = true; n > 0; p += used, n -= used, first = false) {
		struct hw_err err = HW_ERR_INIT;
		int r = frame_parse(&f, p, n, &used, &err);
		cr_assert(r == 0, "a link sent what cannot be parsed: %s", err.text);
		describe(word + first, sizeof(word) - 2, &f);
		if (used == n)
			strcat(word, "]");
		add(&e->sent, word);
	}
	return true;
}

static void
on_log(void *arg, enum log_level level, const char *line)
{
	struct duo *d = arg;

	if (level <= LOG_LEVEL_WARN)
		add(&d->logged, line);
}

/* --- life ------------------------------------------------------------------------------------ */

static void
end_init(struct duo *d, struct end_of *e, int side)
{
	e->duo = d;
	e->side = side;
	e->window = 1 << 16;
	e->link_events = (struct link_events){.on_up = on_up,
		.on_down = on_down,
		.on_request = on_request,
		.on_control = on_control};
	if (side == NODE) {
		e->link_events.on_open = on_open;
		e->link_events.on_resume = on_offer;
	}
	e->channel_events = (struct channel_events){.on_accept = on_accept,
		.on_reject = on_reject,
		.on_data = on_data,
		.on_end = on_end,
		.on_credit = on_credit,
		.on_drained = on_drained,
		.on_control = on_channel_control,
		.on_close = on_close,
		.on_park = on_park,
		.on_resume = on_resume};
	pair_tap(d->pair, side, on_sent, e);
	add(&e->seen, "");
	add(&e->sent, "");
}

struct duo *
duo_new(void)
{
	struct duo *d = calloc(1, sizeof(*d));

	cr_assert(d != NULL);
	fake_clock_init(&d->clock, INT64_C(1764000000) * USEC_PER_SEC);
	d->loop = loop_new_fake(&d->clock);
	d->pair = pair_new(d->loop);
	d->limits = (struct link_limits)LINK_LIMITS_DEFAULT;
	d->sink = (struct log_sink){
		.level = LOG_LEVEL_DEBUG, .clock = &d->clock.clock, .write = on_log, .arg = d};
	log_ctx_init(&d->log, &d->sink);
	end_init(d, &d->relay, RELAY);
	end_init(d, &d->node, NODE);
	add(&d->logged, "");
	return d;
}

struct msg_hello
duo_hello(int side)
{
	return (struct msg_hello){.version_min = 1,
		.version_max = 1,
		.role = side == RELAY ? ROLE_RELAY : ROLE_NODE,
		.id = side == RELAY ? "relay-1" : "mi-0123456789abcdef0",
		.software = "test/1",
		.frame_max = FRAME_MESSAGE_MAX};
}

void
duo_link(struct duo *d, int side)
{
	struct end_of *e = side == RELAY ? &d->relay : &d->node;
	struct link_config config = {.loop = d->loop,
		.log = &d->log,
		.events = &e->link_events,
		.arg = e,
		.transport = pair_transport(d->pair, side),
		.hello = duo_hello(side),
		.peer_role = side == RELAY ? ROLE_NODE : ROLE_RELAY,
		.peer_id = side == RELAY ? "mi-0123456789abcdef0" : NULL,
		.opens = side == RELAY,
		.limits = &d->limits};

	e->link = link_new(&config);
	cr_assert(e->link != NULL);
	pair_attach(d->pair, side, e->link);
}

void
duo_up(struct duo *d)
{
	duo_link(d, RELAY);
	duo_link(d, NODE);
	duo_run(d);
	cr_assert(link_is_up(d->relay.link) && link_is_up(d->node.link));
	duo_clear(d);
}

void
duo_cut(struct duo *d)
{
	pair_cut(d->pair, "the line broke");
	duo_run(d);
}

void
duo_reconnect(struct duo *d)
{
	pair_free(d->older);
	d->older = d->pair;
	d->pair = pair_new(d->loop);
	pair_tap(d->pair, RELAY, on_sent, &d->relay);
	pair_tap(d->pair, NODE, on_sent, &d->node);
}

void
duo_again(struct duo *d)
{
	duo_reconnect(d);
	duo_up(d);
}

void
duo_free(struct duo *d)
{
	d->relay.on_event = d->node.on_event = NULL;
	d->ending = true;
	pair_free(d->older);
	pair_free(d->pair);
	loop_free(d->loop);
	cr_assert(d->limits.queued == 0, "%zu bytes are still counted", d->limits.queued);
	cr_assert(d->limits.links == 0 && d->limits.channels == 0);
	free(d->relay.seen);
	free(d->relay.sent);
	free(d->node.seen);
	free(d->node.sent);
	free(d->logged);
	free(d);
}

void
duo_run(struct duo *d)
{
	loop_settle(d->loop);
}

void
duo_seconds(struct duo *d, int seconds)
{
	for (; seconds > 0; seconds--) {
		loop_advance(d->loop, USEC_PER_SEC);
		if (d->relay.link != NULL)
			link_sweep(d->relay.link);
		if (d->node.link != NULL)
			link_sweep(d->node.link);
		loop_settle(d->loop);
	}
}

void
duo_clear(struct duo *d)
{
	d->relay.seen[0] = d->relay.sent[0] = d->node.seen[0] = d->node.sent[0] = '\0';
}

struct channel *
duo_open(struct duo *d, int type, int64_t window)
{
	struct msg_open open = {.type = type, .session_id = "s", .window = window};
	struct channel *ch;

	d->node.window = window;
	cr_assert(channel_open(&ch, d->relay.link, &open, &d->relay.channel_events, &d->relay,
			  NULL) == 0);
	if (d->relay.keep)
		channel_keep(ch);
	duo_run(d);
	duo_clear(d);
	d->relay.ch = ch;
	return ch;
}

void
duo_raw(struct duo *d, int side, const struct frame *f)
{
	struct buf out;

	buf_init(&out, FRAME_MESSAGE_MAX);
	cr_assert(frame_encode(&out, f) == 0);
	pair_send(d->pair, side, buf_data(&out), out.len);
	buf_fini(&out);
	duo_run(d);
}

void
duo_raw_message(struct duo *d, int side, enum frame_kind kind, uint32_t channel,
	const struct msg_row *row, const void *msg)
{
	struct buf out;

	buf_init(&out, FRAME_MESSAGE_MAX);
	cr_assert(frame_encode_msg(&out, kind, channel, row, msg) == 0);
	pair_send(d->pair, side, buf_data(&out), out.len);
	buf_fini(&out);
	duo_run(d);
}

void
duo_raw_hello(struct duo *d, int side)
{
	struct msg_hello hello = duo_hello(side);

	duo_raw_message(d, side, FRAME_HELLO, 0, MSG_ROW(hello), &hello);
}

/* --- channels that are kept ------------------------------------------------------------------- */

struct duo *
duo_kept(int type, int64_t window)
{
	struct duo *d = duo_new();

	d->relay.keep = d->node.keep = true;
	duo_up(d);
	duo_open(d, type, window);
	return d;
}

void
duo_say(struct end_of *e, int stream, size_t n)
{
	uint8_t *some = calloc(1, n);

	cr_assert(some != NULL && channel_write(e->ch, stream, some, n) == n);
	free(some);
	duo_run(e->duo);
}

void
duo_ask(struct duo *d)
{
	const struct msg_resume who = {.type = channel_type(d->relay.ch), .session_id = "s"};

	cr_assert(channel_resume(d->relay.ch, d->relay.link, &who, NULL) == 0);
}

void
duo_resume(struct duo *d)
{
	duo_ask(d);
	duo_run(d);
}

void
duo_raw_resume(struct duo *d, int side, uint32_t id, int type, const struct msg_resume_stream *v,
	size_t n)
{
	struct msg_resume_stream streams[8];
	struct msg_resume resume = {
		.type = type, .session_id = "s", .streams = {streams, n}
	};

	memcpy(streams, v, n * sizeof(*v));
	duo_raw_message(d, side, FRAME_RESUME, id, MSG_ROW(resume), &resume);
}

void
duo_close_parked(struct end_of *e)
{
	cr_assert(channel_is_parked(e->ch));
	channel_close(e->ch, &(struct msg_close){0});
	e->ch = NULL;
}

bool
duo_keeps_nothing(const struct end_of *e, int stream)
{
	return TAILQ_EMPTY(&e->ch->out[stream].flow.chunks);
}
