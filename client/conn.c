#include "client/conn.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/id.h"
#include "proto/trust/log_head.h"
#include "proto/wire/backoff.h"
#include "proto/wire/codec.h"
#include "proto/wire/frame.h"

#define SWEEP_EVERY	USEC_PER_SEC
#define FLUSH_WITHIN	USEC_PER_SEC
#define FLUSH_REPLY_MAX 16384
#define ANSWER_MAX	FRAME_BODY_MAX
#define DIAL_EVERY	(2 * USEC_PER_SEC) /* at the latest: somebody sits and waits */
#define STEADY		(10 * USEC_PER_SEC)

struct conn {
	struct conn_config config;
	struct link *link;
	struct loop_timer sweep;
	bool settled; /* up, or failed for good */
	bool up;
	struct hw_err why; /* when not up */

	LIST_HEAD(, conn_watch) watches;
	struct conn_watch *next; /* that is told */
	struct hw_err lost;	 /* why, of a link that is dialled again */
	int64_t up_since;
	struct backoff backoff;
	struct loop_timer again; /* dials */
	struct loop_timer limit; /* gives up */

	char head[LOG_HEAD_MAX];
	void (*on_head)(void *arg);
	void *on_head_arg;
	int64_t ahead, round_trip;
	bool probed;
};

/* --- running the loop until something happens ------------------------------------------------ */

struct deadline {
	struct loop_timer timer;
	struct conn *conn;
	bool passed;
};

static void
on_deadline(void *arg)
{
	struct deadline *d = arg;

	d->passed = true;
	conn_wake(d->conn);
}

void
conn_wake(struct conn *c)
{
	if (c->config.turn == NULL)
		loop_stop(c->config.loop);
}

bool
conn_wait(struct conn *c, const bool *done, int64_t usec)
{
	struct deadline d = {
		.timer = {.fn = on_deadline, .arg = &d},
			 .conn = c
	  };

	if (usec >= 0)
		loop_timer_start(c->config.loop, &d.timer, usec);
	while (!*done && !d.passed) {
		if (c->config.turn != NULL)
			c->config.turn(c->config.arg);
		else if (loop_run(c->config.loop, NULL) < 0)
			break;
	}
	loop_timer_stop(c->config.loop, &d.timer);
	return *done;
}

static int64_t
conn_now(const struct conn *c)
{
	return clock_mono(loop_clock(c->config.loop));
}

static void
conn_settle(struct conn *c)
{
	c->settled = true;
	conn_wake(c);
}

/* --- dialling again ----------------------------------------------------------------------------
 */

/* A watch may go, and take others along, while it is told. */
static struct conn_watch *
next_watch(struct conn *c)
{
	struct conn_watch *w = c->next;

	if (w != NULL)
		c->next = LIST_NEXT(w, entry);
	return w;
}

static void
tell_lost(struct conn *c)
{
	struct conn_watch *w;

	for (c->next = LIST_FIRST(&c->watches); (w = next_watch(c)) != NULL;)
		w->events->on_lost(w->arg, hw_err_text(&c->lost));
}

static void
tell_back(struct conn *c)
{
	struct conn_watch *w;

	loop_timer_stop(c->config.loop, &c->limit);
	c->lost = c->why = (struct hw_err)HW_ERR_INIT;
	for (c->next = LIST_FIRST(&c->watches); (w = next_watch(c)) != NULL;)
		w->events->on_back(w->arg);
}

/* From here on it is as one that nothing keeps. */
static void
give_up(struct conn *c)
{
	struct conn_watch *w;
	struct link *l = c->link;

	loop_timer_stop(c->config.loop, &c->again);
	loop_timer_stop(c->config.loop, &c->limit);
	loop_timer_stop(c->config.loop, &c->sweep);
	c->lost = (struct hw_err)HW_ERR_INIT;
	c->link = NULL;
	if (l != NULL)
		link_close(l, HW_OK, "");
	conn_settle(c);
	for (c->next = LIST_FIRST(&c->watches); (w = next_watch(c)) != NULL;)
		w->events->on_gone(w->arg, c->why.code, hw_err_text(&c->why));
}

static void
dial_soon(struct conn *c)
{
	int64_t delay = backoff_below(&c->backoff, DIAL_EVERY, random_u64());

	loop_timer_start(c->config.loop, &c->again, delay);
}

/* Whom the relay does not want by now it will not want in a moment. */
static bool
is_final(int code)
{
	static const int codes[] = {
		HW_EREVOKED, HW_EDENIED, HW_EUNAUTH, HW_ECERT, HW_EEXPIRED, HW_EVERSION, HW_EPROTO};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (code == codes[i])
			return true;
	return false;
}

/* Of a dial that came to nothing fewer are: what answers where the relay was may be the gate of the
 * hotel, or a proxy whose relay has not started yet. */
static bool
is_final_dial(int code)
{
	return code == HW_EDENIED || code == HW_EUNAUTH || code == HW_EEXPIRED ||
		code == HW_EREVOKED;
}

static void
attempt_failed(struct conn *c, bool final, int code, const char *why)
{
	hw_err_set(&c->why, code, "%s", why);
	if (final)
		give_up(c);
	else
		dial_soon(c);
}

static void
on_again(void *arg)
{
	struct conn *c = arg;
	struct hw_err err = HW_ERR_INIT;
	int r = c->config.dial(c->config.arg, c, &err);

	if (r < 0)
		attempt_failed(c, is_final_dial(r), r, hw_err_text(&err));
}

static void
on_limit(void *arg)
{
	struct conn *c = arg;
	struct hw_err last = c->why;

	if (last.code == 0)
		hw_err_set(&c->why, HW_EUNAVAILABLE,
			"the link to the relay was lost (%.120s), and is not back",
			hw_err_text(&c->lost));
	else
		hw_err_set(&c->why, HW_EUNAVAILABLE,
			"the link to the relay was lost (%.120s), and is not back: %.180s",
			hw_err_text(&c->lost), last.text);
	give_up(c);
}

static void
lose(struct conn *c, int code, const char *why)
{
	const struct conn_watch *w;
	int64_t within = 0;

	if (is_final(code)) {
		hw_err_set(&c->why, code, "%s", why);
		give_up(c);
		return;
	}
	LIST_FOREACH(w, &c->watches, entry)
		if (w->within > within)
			within = w->within;
	c->settled = false;
	hw_err_set(&c->lost, HW_EUNAVAILABLE, "%s", why);
	if (conn_now(c) - c->up_since >= STEADY)
		backoff_reset(&c->backoff);
	loop_timer_start(c->config.loop, &c->limit, within);
	dial_soon(c);
	tell_lost(c);
}

void
conn_keep(struct conn *c, struct conn_watch *w)
{
	if (w->kept)
		return;
	w->kept = true;
	LIST_INSERT_HEAD(&c->watches, w, entry);
}

void
conn_release(struct conn *c, struct conn_watch *w)
{
	if (!w->kept)
		return;
	w->kept = false;
	if (c->next == w)
		c->next = LIST_NEXT(w, entry);
	LIST_REMOVE(w, entry);
}

bool
conn_is_waiting(const struct conn *c)
{
	return c->lost.code != 0;
}

/* --- the link -------------------------------------------------------------------------------- */

static void
on_sweep(void *arg)
{
	struct conn *c = arg;

	if (c->link == NULL)
		return;
	loop_timer_start(c->config.loop, &c->sweep, SWEEP_EVERY);
	link_sweep(c->link); /* may end the link */
}

/* One that does not fit is none. */
static void
take_head(struct conn *c, const char *text)
{
	size_t n = text != NULL ? strlen(text) : 0;

	if (n == 0 || n >= sizeof(c->head) || strcmp(text, c->head) == 0)
		return;
	memcpy(c->head, text, n + 1);
	if (c->on_head != NULL)
		c->on_head(c->on_head_arg);
}

static void
on_link_head(void *arg, struct link *l, const char *head)
{
	(void)l;
	take_head(arg, head);
}

static void
on_link_probed(void *arg, int64_t usec)
{
	struct conn *c = arg;

	c->round_trip = usec;
	c->probed = true;
	conn_wake(c);
}

static void
on_link_up(void *arg, struct link *l, const struct msg_hello *peer)
{
	struct conn *c = arg;

	(void)l;
	c->up = true;
	c->up_since = conn_now(c);
	c->ahead = peer->time - clock_wall(loop_clock(c->config.loop));
	take_head(c, peer->head);
	conn_settle(c);
	if (c->lost.code != 0)
		tell_back(c);
}

static void
on_link_down(void *arg, struct link *l, int code, const char *why)
{
	struct conn *c = arg;
	bool was_up = c->up;

	(void)l;
	c->link = NULL;
	c->up = false;
	loop_timer_stop(c->config.loop, &c->sweep);
	if (c->lost.code != 0) {
		attempt_failed(c, is_final(code), code, why);
	} else if (was_up && !LIST_EMPTY(&c->watches)) {
		lose(c, code, why);
	} else {
		if (!was_up && (code == HW_ECLOSED || code == HW_EUNAVAILABLE))
			hw_err_set(&c->why, HW_EUNAUTH,
				"the relay ended the connection at once: %s", why);
		else
			hw_err_set(&c->why, code, "%s", why);
		conn_settle(c);
	}
}

static const struct link_events conn_link_events = {
	.on_up = on_link_up,
	.on_down = on_link_down,
	.on_head = on_link_head,
	.on_probed = on_link_probed,
};

struct link *
conn_connected(struct conn *c, struct link_transport *transport)
{
	struct link_config config = {
		.loop = c->config.loop,
		.log = c->config.log,
		.events = &conn_link_events,
		.arg = c,
		.transport = transport,
		.hello =
			{
				.version_min = PROTO_VERSION,
				.version_max = PROTO_VERSION,
				.role = ROLE_USER,
				.id = c->config.user,
				.software = "hawser/" HAWSER_VERSION,
				.frame_max = FRAME_MESSAGE_MAX,
				},
		.peer_role = ROLE_RELAY,
		.opens = true,
	};

	if (c->settled && !c->up)
		return NULL; /* it was given up meanwhile */
	c->link = link_new(&config);
	if (c->link == NULL) {
		conn_failed(c, HW_ENOMEM, "out of memory");
		return NULL;
	}
	loop_timer_start(c->config.loop, &c->sweep, SWEEP_EVERY);
	return c->link;
}

void
conn_failed(struct conn *c, int code, const char *why)
{
	if (c->lost.code != 0) {
		attempt_failed(c, is_final_dial(code), code, why);
		return;
	}
	hw_err_set(&c->why, code, "%s", why);
	conn_settle(c);
}

int
conn_open(struct conn **ret, const struct conn_config *config, struct hw_err *err)
{
	struct conn *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	c->config = *config;
	c->sweep = (struct loop_timer){.fn = on_sweep, .arg = c};
	c->again = (struct loop_timer){.fn = on_again, .arg = c};
	c->limit = (struct loop_timer){.fn = on_limit, .arg = c};
	LIST_INIT(&c->watches);
	if ((r = config->dial(config->arg, c, err)) < 0) {
		conn_free(c);
		return r;
	}
	if (!conn_wait(c, &c->settled, config->timeout))
		hw_err_set(&c->why, HW_ETIMEOUT, "the relay does not answer");
	if (!c->up) {
		r = hw_err_set(err, c->why.code, "%s", c->why.text);
		conn_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void
conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	loop_timer_stop(c->config.loop, &c->sweep);
	loop_timer_stop(c->config.loop, &c->again);
	loop_timer_stop(c->config.loop, &c->limit);
	if (c->link != NULL)
		link_close(c->link, HW_OK, "");
	free(c);
}

struct link *
conn_link(const struct conn *c)
{
	return c->up ? c->link : NULL;
}

const char *
conn_head(const struct conn *c)
{
	return c->head;
}

void
conn_watch_head(struct conn *c, void (*fn)(void *arg), void *arg)
{
	c->on_head = fn;
	c->on_head_arg = arg;
}

int64_t
conn_ahead(const struct conn *c)
{
	return c->ahead;
}

struct loop *
conn_loop(const struct conn *c)
{
	return c->config.loop;
}

int64_t
conn_timeout(const struct conn *c)
{
	return c->config.timeout;
}

/* --- calls ----------------------------------------------------------------------------------- */

struct conn_asked {
	struct conn *conn;
	const struct op_row *op;
	int64_t until;
	struct buf answer;
	struct hw_err err;
	bool done;
};

static void
on_reply(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct conn_asked *asked = arg;

	if (code != 0)
		hw_err_set(&asked->err, code, "%s",
			message != NULL && message[0] != '\0' ? message : hw_code_meaning(code));
	else if (buf_append(&asked->answer, body, n) < 0)
		hw_err_set(&asked->err, HW_ENOMEM, "no memory for the relay's answer to %s",
			asked->op->name);
	asked->done = true;
	conn_wake(asked->conn);
}

static int
ask(struct conn_asked *asked, struct conn *c, enum op_id op, const void *request,
	struct hw_err *err)
{
	*asked = (struct conn_asked){
		.conn = c, .op = &op_rows[op], .until = conn_now(c) + c->config.timeout};
	buf_init(&asked->answer, ANSWER_MAX);
	conn_wait(c, &c->settled, c->config.timeout);
	if (!c->up)
		return hw_err_set(err, HW_EUNAVAILABLE, "the link to the relay was lost: %s",
			hw_err_text(c->lost.code != 0 ? &c->lost : &c->why));
	return link_request(c->link, asked->op, request, on_reply, asked, err);
}

int
conn_ask(struct conn_asked **ret, struct conn *c, enum op_id op, const void *request,
	struct hw_err *err)
{
	struct conn_asked *asked = malloc(sizeof(*asked));
	int r;

	if (asked == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	if ((r = ask(asked, c, op, request, err)) < 0) {
		conn_asked_free(asked);
		return r;
	}
	conn_wait(c, &asked->done, 0); /* a link writes at the end of a turn */
	*ret = asked;
	return 0;
}

int
conn_await(struct conn_asked *asked, struct hw_err *err)
{
	struct conn *c = asked->conn;

	if (!conn_wait(c, &asked->done, asked->until - conn_now(c)))
		return hw_err_set(err, HW_ETIMEOUT, "the relay did not answer %s in time",
			asked->op->name);
	if (asked->err.code != 0)
		return hw_err_set(err, asked->err.code, "%s", asked->err.text);
	return 0;
}

int
conn_decode(void *ret, const struct conn_asked *asked, const struct msg_row *row, struct arena *a,
	struct hw_err *err)
{
	void *reply;
	int r = msg_decode(&reply, a, row, buf_data(&asked->answer), asked->answer.len, err);

	if (r < 0) {
		hw_err_prefix(err, "the relay's answer to %s", asked->op->name);
		return r;
	}
	memcpy(ret, &reply, sizeof(reply));
	return 0;
}

static void
forget(struct conn_asked *asked)
{
	if (!asked->done && asked->conn->link != NULL)
		link_forget(asked->conn->link, asked);
	buf_fini(&asked->answer);
}

void
conn_asked_free(struct conn_asked *asked)
{
	if (asked == NULL)
		return;
	forget(asked);
	free(asked);
}

int
conn_call(void *ret, struct conn *c, enum op_id op, const void *request, struct arena *a,
	struct hw_err *err)
{
	struct conn_asked asked;
	int r;

	if ((r = ask(&asked, c, op, request, err)) == 0 && (r = conn_await(&asked, err)) == 0)
		r = conn_decode(ret, &asked, asked.op->reply(), a, err);
	forget(&asked);
	return r;
}

/* Frames keep their order, so an answer to the last one is the proof. */
void
conn_flush(struct conn *c)
{
	static const struct msg_empty nothing;
	struct arena *a = arena_new(FLUSH_REPLY_MAX);
	int64_t timeout = c->config.timeout;
	void *reply;

	if (a == NULL || !c->up) {
		arena_free(a);
		return;
	}
	if (c->config.timeout > FLUSH_WITHIN)
		c->config.timeout = FLUSH_WITHIN;
	conn_call(&reply, c, OP_get_caller_identity, &nothing, a, NULL);
	c->config.timeout = timeout;
	arena_free(a);
}

int
conn_round_trip(int64_t *usec, struct conn *c, struct hw_err *err)
{
	if (!c->up)
		return hw_err_set(err, HW_EUNAVAILABLE, "there is no link to the relay");
	c->probed = false;
	(void)link_probe(c->link);
	if (!conn_wait(c, &c->probed, c->config.timeout))
		return hw_err_set(err, HW_ETIMEOUT, "the relay did not answer a ping in time");
	*usec = c->round_trip;
	return 0;
}
