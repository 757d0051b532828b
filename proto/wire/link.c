#include "proto/wire/link_private.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/enc.h"
#include "proto/base/list.h"
#include "proto/wire/codec.h"

#define DECODED_MAX (1 << 20) /* of one frame's body, in memory */

static int64_t
now(const struct link *l)
{
	return clock_mono(loop_clock(l->loop));
}

static int64_t
wall(const struct link *l)
{
	return clock_wall(loop_clock(l->loop));
}

static void
set_state(struct link *l, enum link_state to)
{
	static const char *const names[] = {"greeting", "up", "ending", "over"};

	hw_assert(to > l->state);
	if (l->log != NULL)
		log_event(l->log, LOG_LEVEL_DEBUG, "link.state", "from=%s to=%s", names[l->state],
			names[to]);
	l->state = to;
}

static bool
is_live(const struct link *l)
{
	return l->state < LINK_ENDING;
}

static void
log_text(const struct link *l, enum log_level level, const char *event, const char *why)
{
	if (l->log == NULL)
		return;
	log_event(l->log, level, event, "why=%s", log_value(why));
}

/* --- sending --------------------------------------------------------------------------------- */

void
link_want_write(struct link *l)
{
	if (l->asked || l->transport == NULL)
		return;
	l->asked = true;
	l->transport->want_write(l->transport);
}

void
link_at_turn_end(struct link *l)
{
	loop_defer(l->loop, &l->turn_end);
}

/* Not at once: who sends something does not expect to be called back from there. */
void
link_break(struct link *l, int code, const char *why)
{
	if (l->broken != 0)
		return;
	l->broken = code;
	l->broken_why = why;
	link_at_turn_end(l);
}

static int
queued(struct link *l, int r)
{
	if (r == HW_EFULL)
		link_break(l, HW_EFULL, "the peer does not take what it is sent");
	else if (r == HW_ENOMEM)
		link_break(l, HW_ENOMEM, "no memory for what is to be sent");
	else if (r == 0)
		link_want_write(l);
	return r;
}

static bool
can_send(const struct link *l)
{
	return l->state == LINK_UP || l->state == LINK_ENDING;
}

int
link_send(struct link *l, const struct frame *f)
{
	return can_send(l) ? queued(l, writer_frame(&l->writer, f)) : HW_EUNAVAILABLE;
}

int
link_send_message(struct link *l, enum frame_kind kind, uint32_t channel, const struct msg_row *row,
	const void *msg)
{
	if (!can_send(l))
		return HW_EUNAVAILABLE;
	return queued(l, writer_message(&l->writer, kind, channel, row, msg));
}

int
link_send_call(struct link *l, const struct frame *head, const struct msg_row *row, const void *msg,
	struct hw_err *err)
{
	if (!can_send(l))
		return HW_EUNAVAILABLE;
	return queued(l, writer_call(&l->writer, head, row, msg, err));
}

int
link_send_encoded(struct link *l, const void *p, size_t n)
{
	return can_send(l) ? queued(l, writer_encoded(&l->writer, p, n)) : HW_EUNAVAILABLE;
}

void
link_send_control(struct link *l, uint32_t channel, const struct msg_control *control)
{
	int r;

	if (!link_is_up(l))
		return;
	r = link_send_message(l, FRAME_CONTROL, channel, MSG_ROW(control), control);
	if (r < 0)
		log_text(l, LOG_LEVEL_ERROR, "link.unsent_control", hw_code_meaning(r));
}

static void
send_pong(struct link *l)
{
	struct msg_control pong = {.type = CONTROL_PONG, .nonce = l->pong_nonce, .time = wall(l)};

	l->pong_due = false;
	link_send_control(l, 0, &pong);
}

/* The last words come after all else that is to be flushed. */
static void
send_farewell(struct link *l)
{
	link_send_encoded(l, buf_data(&l->farewell), l->farewell.len);
	buf_fini(&l->farewell);
}

static bool
has_more(const struct link *l)
{
	return !writer_idle(&l->writer) || l->pong_due || l->farewell.len > 0;
}

uint8_t *
link_writable(struct link *l, size_t *n, bool *more)
{
	struct outflow *from;

	l->asked = true; /* no need to ask from inside of this */
	if (l->pong_due)
		send_pong(l);
	if (l->farewell.len > 0 && writer_idle(&l->writer))
		send_farewell(l);
	uint8_t *message = writer_next(&l->writer, n, &from);
	if (from != NULL && message == NULL)
		link_break(l, HW_ENOMEM, "no memory for what is to be sent");
	while (from != NULL) {
		channel_bytes_went(l, from);
		message = writer_add(&l->writer, message, n, &from);
	}
	l->limits->bytes_out += *n;
	l->asked = *more = has_more(l);
	if (message != NULL || !*more)
		link_at_turn_end(l);
	return message;
}

/* --- the end --------------------------------------------------------------------------------- */

static void
hang_up(struct link *l)
{
	struct link_transport *t = l->transport;

	l->transport = NULL;
	loop_timer_stop(l->loop, &l->timer);
	set_state(l, LINK_OVER);
	if (t != NULL)
		t->close(t);
	link_at_turn_end(l);
}

/* Lets what is queued go to the peer, and CLOSE after it, for a while. */
static void
linger(struct link *l, int code, const char *why)
{
	char text[SENTENCE_MAX + 1];
	struct msg_close close = {
		.code = hw_code_name(code), .message = link_sentence(text, code, why)};

	frame_encode_msg(&l->farewell, FRAME_CLOSE, 0, MSG_ROW(close), &close);
	loop_timer_start(l->loop, &l->timer, LINK_LINGER);
	link_want_write(l);
}

/* The owner is gone, and with it may be all that it lent: what is left of the link counts for
 * itself. */
static void
keep_own_limits(struct link *l)
{
	size_t queued = l->writer.queued + l->writer.control_bytes;

	if (l->limits == &l->own_limits)
		return;
	l->own_limits.queued = queued;
	l->own_limits.channels = l->channels.count;
	l->limits->queued -= queued;
	l->limits->channels -= l->channels.count;
	l->limits->windows.taken -= l->windows.taken;
	l->windows.parent = NULL;
	l->limits = l->writer.limits = &l->own_limits;
}

/* Called once, when the state says already that nothing goes any more. */
static void
stop_traffic(struct link *l, int code, const char *why, bool flush)
{
	l->pong_due = false;
	l->limits->links--;
	if (!flush && l->version != 0) /* before that it is our HELLO, which the peer should see */
		writer_drop_control(&l->writer);
	channel_end_all(l, code, why, flush);
}

static void
tell_owner(struct link *l, int code, const char *why)
{
	link_fail_calls(l, why);
	if (l->released)
		return;
	l->released = true;
	l->log = NULL;
	keep_own_limits(l);
	if (l->events->on_down != NULL)
		l->events->on_down(l->arg, l, code, why);
}

/* The peer is told why, then the owner. */
static void
fail(struct link *l, int code, const char *why)
{
	set_state(l, LINK_ENDING);
	linger(l, code, why);
	stop_traffic(l, HW_EUNAVAILABLE, why, false);
	tell_owner(l, code, why);
}

void
link_close(struct link *l, int code, const char *why)
{
	bool was_live = is_live(l), orderly = code == HW_OK || code == HW_ECLOSED;

	if (l->released)
		return;
	if (was_live)
		set_state(l, LINK_ENDING);
	l->released = true;
	l->log = NULL;
	link_drop_calls(l);
	if (!was_live)
		return;
	linger(l, orderly ? HW_ECLOSED : code, why);
	stop_traffic(l, code == HW_EUNAVAILABLE ? code : HW_ECLOSED, why, orderly);
	keep_own_limits(l);
}

void
link_lost(struct link *l, const char *why)
{
	bool was_live = is_live(l);

	l->transport = NULL;
	if (l->state == LINK_OVER)
		return;
	loop_timer_stop(l->loop, &l->timer);
	set_state(l, LINK_OVER);
	if (was_live) {
		why = text_or(why, "the connection is gone");
		log_text(l, LOG_LEVEL_INFO, "link.lost", why);
		stop_traffic(l, HW_EUNAVAILABLE, why, false);
		tell_owner(l, HW_EUNAVAILABLE, why);
	}
	link_at_turn_end(l);
}

static void
destroy(struct link *l)
{
	loop_timer_stop(l->loop, &l->timer);
	while (l->channels.count > 0)
		channel_bury(l->channels.slots[0].value);
	loop_undefer(l->loop, &l->turn_end);
	channel_free_buried(l);
	link_drop_calls(l);
	writer_fini(&l->writer);
	buf_fini(&l->farewell);
	free(l->want_id);
	free(l->peer_id);
	free(l);
}

static void
on_turn_end(void *arg)
{
	struct link *l = arg;

	channel_send_credit(l);
	writer_release(&l->writer);
	channel_free_buried(l);
	if (l->broken != 0 && is_live(l)) {
		log_text(l, LOG_LEVEL_WARN, "link.broken", l->broken_why);
		fail(l, l->broken, l->broken_why);
	}
	if (l->state == LINK_ENDING && !has_more(l))
		hang_up(l);
	if (l->state == LINK_OVER)
		destroy(l);
}

static void
on_timer(void *arg)
{
	struct link *l = arg;

	if (is_live(l))
		fail(l, HW_ETIMEOUT, "the peer did not say HELLO in time");
	else
		hang_up(l);
}

/* --- receiving ------------------------------------------------------------------------------- */

int
link_decode(void **ret, struct arena **arena, const struct msg_row *row, const struct frame *f,
	struct hw_err *err)
{
	struct arena *a = arena_new(DECODED_MAX);
	int r;

	if (a == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a frame");
	if ((r = msg_decode(ret, a, row, f->body, f->body_len, err)) < 0) {
		arena_free(a);
		hw_err_prefix(err, "frame %s", frame_row((int)f->kind)->name);
		return r;
	}
	*arena = a;
	return 0;
}

const char *
link_sentence(char out[SENTENCE_MAX + 1], int code, const char *text)
{
	size_t n, used = 0;

	if (text == NULL || text[0] == '\0')
		text = hw_code_meaning(code);
	for (n = strlen(text); n > 0;) {
		int len = utf8_next((const uint8_t *)text, n);
		size_t step = len > 0 ? (size_t)len : 1;
		if (used + step > SENTENCE_MAX)
			break;
		memcpy(out + used, len > 0 ? text : "?", step);
		used += step;
		text += step;
		n -= step;
	}
	out[used] = '\0';
	return out;
}

static int
check_hello(const struct link *l, const struct msg_hello *peer, int *version, struct hw_err *err)
{
	int64_t newest = peer->version_max < l->version_max ? peer->version_max : l->version_max;

	if (newest < peer->version_min || newest < l->version_min)
		return hw_err_set(err, HW_EVERSION,
			"no common version: this side speaks %d to %d, the peer %lld to %lld",
			l->version_min, l->version_max, (long long)peer->version_min,
			(long long)peer->version_max);
	if (peer->role != l->want_role)
		return hw_err_set(err, HW_EPROTO, "the peer says it is a %s, and must be a %s",
			enum_text(&enum_ROLE, peer->role), enum_text(&enum_ROLE, l->want_role));
	if (l->want_id != NULL && strcmp(peer->id, l->want_id) != 0)
		return hw_err_set(err, HW_EPROTO, "the peer says it is %.128s, its certificate %s",
			peer->id, l->want_id);
	*version = (int)newest;
	return 0;
}

static int
come_up(struct link *l, const struct msg_hello *peer, struct hw_err *err)
{
	int r, version;

	if ((r = check_hello(l, peer, &version, err)) < 0)
		return r;
	if ((l->peer_id = strdup(peer->id)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a peer's name");
	if (peer->frame_max < FRAME_MESSAGE_MAX)
		l->writer.message_max = (size_t)peer->frame_max;
	l->version = version;
	l->pinged = now(l) - 1;
	loop_timer_stop(l->loop, &l->timer);
	set_state(l, LINK_UP);
	if (l->events->on_peer_time != NULL)
		l->events->on_peer_time(l->arg, peer->time);
	if (l->state == LINK_UP && l->events->on_up != NULL)
		l->events->on_up(l->arg, l, peer);
	return 0;
}

static int
take_hello(struct link *l, const struct frame *f, struct hw_err *err)
{
	struct arena *arena;
	void *hello;
	int r;

	if (f->kind != FRAME_HELLO)
		return hw_err_set(err, HW_EPROTO, "%s came before HELLO",
			frame_row((int)f->kind)->name);
	if ((r = link_decode(&hello, &arena, MSG_ROW(hello), f, err)) < 0)
		return r;
	r = come_up(l, hello, err);
	arena_free(arena);
	return r;
}

/* Only the last of several pings is answered. */
static void
take_pong(struct link *l, const struct msg_control *control)
{
	int64_t since = l->probed;

	if (l->events->on_peer_time != NULL)
		l->events->on_peer_time(l->arg, control->time);
	if (since == 0 || control->nonce < l->probe_nonce)
		return;
	l->probed = 0;
	if (l->events->on_probed != NULL)
		l->events->on_probed(l->arg, now(l) - since);
}

static void
take_word(struct link *l, const struct msg_control *control)
{
	switch (control->type) {
	case CONTROL_PING:
		l->pong_due = true; /* one, for the last ping: a flood of pings gains nothing */
		l->pong_nonce = control->nonce;
		link_want_write(l);
		if (control->head != NULL && l->events->on_head != NULL)
			l->events->on_head(l->arg, l, control->head);
		break;
	case CONTROL_PONG:
		take_pong(l, control);
		break;
	default:
		if (l->events->on_control != NULL)
			l->events->on_control(l->arg, l, control);
	}
}

static int
take_control(struct link *l, const struct frame *f, struct hw_err *err)
{
	struct arena *arena;
	void *control;
	int r;

	if ((r = link_decode(&control, &arena, MSG_ROW(control), f, err)) < 0)
		return r;
	take_word(l, control);
	arena_free(arena);
	return 0;
}

static int
take_farewell(struct link *l, const struct frame *f, struct hw_err *err)
{
	struct msg_close *close;
	struct arena *arena;
	void *body;
	int r;

	if ((r = link_decode(&body, &arena, MSG_ROW(close), f, err)) < 0)
		return r;
	close = body;
	int code = code_or(close->code, HW_ECLOSED);
	const char *why = text_or(close->message, "the peer closed the link");
	log_text(l, LOG_LEVEL_INFO, "link.closed", why);
	loop_timer_stop(l->loop, &l->timer);
	set_state(l, LINK_ENDING);
	stop_traffic(l, HW_EUNAVAILABLE, why, false);
	writer_drop_control(&l->writer);
	link_at_turn_end(l);
	tell_owner(l, code, why);
	arena_free(arena);
	return 0;
}

static int
take_frame(struct link *l, const struct frame *f, struct hw_err *err)
{
	if (f->kind == FRAME_CLOSE && f->channel == 0)
		return take_farewell(l, f, err);
	if (l->state == LINK_GREETING)
		return take_hello(l, f, err);
	switch (f->kind) {
	case FRAME_HELLO:
		return hw_err_set(err, HW_EPROTO, "a second HELLO");
	case FRAME_REQUEST:
		return link_take_request(l, f, err);
	case FRAME_RESPONSE:
		return link_take_response(l, f, err);
	default:
		return f->channel == 0 ? take_control(l, f, err) : channel_input(l, f, err);
	}
}

static int
take_message(struct link *l, const uint8_t *p, size_t n, struct hw_err *err)
{
	size_t used;
	int r;

	if (n == 0 || n > FRAME_MESSAGE_MAX)
		return hw_err_set(err, HW_EPROTO, "a message of %zu bytes", n);
	for (; n > 0 && is_live(l); p += used, n -= used) {
		struct frame f;
		if ((r = frame_parse(&f, p, n, &used, err)) < 0 || (r = take_frame(l, &f, err)) < 0)
			return r;
	}
	return 0;
}

/* Whatever a decoder called it: on a link it is the protocol that the peer broke. */
static int
protocol_code(int code)
{
	return code == HW_EVERSION || code == HW_ENOMEM ? code : HW_EPROTO;
}

void
link_input(struct link *l, const void *p, size_t n)
{
	struct hw_err err = HW_ERR_INIT;
	int r;

	if (!is_live(l))
		return;
	l->limits->bytes_in += n;
	link_heard(l);
	r = take_message(l, p, n, &err);
	if (r < 0 && is_live(l)) {
		log_text(l, LOG_LEVEL_WARN, "link.protocol", hw_err_text(&err));
		fail(l, protocol_code(r), hw_err_text(&err));
	}
}

/* --- life ------------------------------------------------------------------------------------ */

static int
say_hello(struct link *l, const struct link_config *config)
{
	struct msg_hello hello = config->hello;

	hello.time = wall(l);
	if (hello.frame_max == 0)
		hello.frame_max = FRAME_MESSAGE_MAX;
	if (hello.version_max == 0)
		hello.version_min = hello.version_max = PROTO_VERSION;
	l->version_min = (int)hello.version_min;
	l->version_max = (int)hello.version_max;
	int r = writer_message(&l->writer, FRAME_HELLO, 0, MSG_ROW(hello), &hello);
	hw_assert(r == 0 || r == HW_ENOMEM);
	return r;
}

static struct link *
alloc(const struct link_config *config)
{
	struct link *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->events = config->events;
	l->arg = config->arg;
	l->loop = config->loop;
	l->log = config->log;
	l->transport = config->transport;
	l->opens = config->opens;
	l->want_role = config->peer_role;
	l->own_limits = (struct link_limits)LINK_LIMITS_DEFAULT;
	l->limits = config->limits != NULL ? config->limits : &l->own_limits;
	l->windows = (struct window_pool){.max = LINK_WINDOWS_MAX, .parent = &l->limits->windows};
	l->turn_end = (struct loop_task){.fn = on_turn_end, .arg = l};
	l->timer = (struct loop_timer){.fn = on_timer, .arg = l};
	TAILQ_INIT(&l->owing);
	SLIST_INIT(&l->buried);
	buf_init(&l->farewell, FRAME_BODY_MAX);
	writer_init(&l->writer, l->limits);
	return l;
}

struct link *
link_new(const struct link_config *config)
{
	struct link *l = alloc(config);

	if (l == NULL)
		return NULL;
	if (config->peer_id != NULL && (l->want_id = strdup(config->peer_id)) == NULL)
		goto out;
	if (say_hello(l, config) < 0)
		goto out;
	l->limits->links++;
	l->heard = l->told = now(l);
	l->head = config->head;
	loop_timer_start(l->loop, &l->timer, LINK_HELLO_WITHIN);
	link_want_write(l);
	return l;
out:
	destroy(l);
	return NULL;
}

bool
link_is_up(const struct link *l)
{
	return l->state == LINK_UP;
}

const char *
link_peer_id(const struct link *l)
{
	return l->peer_id;
}

size_t
link_words_queued(const struct link *l)
{
	return l->writer.control_bytes;
}

size_t
link_channels(const struct link *l)
{
	return l->channels.count;
}

bool
link_is_interactive(const struct link *l)
{
	return l->writer.interactive > 0;
}

struct window_pool *
link_windows(struct link *l)
{
	return &l->windows;
}

int
link_version(const struct link *l)
{
	return l->version;
}

void *
link_arg(const struct link *l)
{
	return l->arg;
}

void
link_set_arg(struct link *l, void *arg)
{
	l->arg = arg;
}

void
link_heard(struct link *l)
{
	l->heard = now(l);
}

static void
ping(struct link *l, const char *head)
{
	struct msg_control control = {
		.type = CONTROL_PING, .nonce = ++l->ping_nonce, .time = wall(l), .head = head};

	l->pinged = now(l);
	link_send_control(l, 0, &control);
}

int64_t
link_probe(struct link *l)
{
	if (l->probed != 0)
		return now(l) - l->probed;
	if (l->state != LINK_UP)
		return 0;
	ping(l, NULL);
	l->probe_nonce = l->ping_nonce;
	l->probed = l->pinged;
	return 0;
}

/* Silence alone proves nothing: this process may have been stopped. A ping must have gone
 * unanswered. */
static bool
is_dead(const struct link *l)
{
	return l->pinged >= l->heard && now(l) - l->pinged >= LINK_PONG_WITHIN &&
		now(l) - l->heard >= LINK_DEAD_AFTER;
}

void
link_sweep(struct link *l)
{
	link_sweep_with(l, NULL, l->head);
}

void
link_sweep_with(struct link *l, const char *head, uint64_t number)
{
	if (l->state != LINK_UP)
		return;
	if (is_dead(l)) {
		link_break(l, HW_ETIMEOUT, "nothing was heard from the peer for 28 seconds");
		return;
	}
	bool tells = number != l->head && now(l) - l->told >= LINK_PING_EVERY;
	if (tells || now(l) - l->pinged >= LINK_PING_EVERY)
		ping(l, tells ? head : NULL);
	if (tells) {
		l->head = number;
		l->told = now(l);
	}
	writer_sweep(&l->writer);
	channel_sweep_credit(l);
	channel_look_for_room(l);
}
