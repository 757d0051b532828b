#include "client/conn.h"

#include <stdlib.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "proto/wire/frame.h"

#define SWEEP_EVERY	USEC_PER_SEC
#define FLUSH_WITHIN	USEC_PER_SEC
#define FLUSH_REPLY_MAX 16384

struct conn {
	struct conn_config config;
	struct link *link;
	struct loop_timer sweep;
	bool settled; /* up, or failed for good */
	bool up;
	struct hw_err why; /* when not up */
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

/* --- the link -------------------------------------------------------------------------------- */

static void
conn_settle(struct conn *c)
{
	c->settled = true;
	conn_wake(c);
}

static void
on_sweep(void *arg)
{
	struct conn *c = arg;

	if (c->link == NULL)
		return;
	loop_timer_start(c->config.loop, &c->sweep, SWEEP_EVERY);
	link_sweep(c->link); /* may end the link */
}

static void
on_link_up(void *arg, struct link *l, const struct msg_hello *peer)
{
	struct conn *c = arg;

	(void)l;
	(void)peer;
	c->up = true;
	conn_settle(c);
}

static void
on_link_down(void *arg, struct link *l, int code, const char *why)
{
	struct conn *c = arg;

	(void)l;
	c->link = NULL;
	loop_timer_stop(c->config.loop, &c->sweep);
	if (!c->up && (code == HW_ECLOSED || code == HW_EUNAVAILABLE))
		hw_err_set(&c->why, HW_EUNAUTH, "the relay ended the connection at once: %s", why);
	else
		hw_err_set(&c->why, code, "%s", why);
	conn_settle(c);
}

static const struct link_events conn_link_events = {
	.on_up = on_link_up,
	.on_down = on_link_down,
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
	if (c->link != NULL)
		link_close(c->link, HW_OK, "");
	free(c);
}

struct link *
conn_link(const struct conn *c)
{
	return c->link;
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

struct call {
	struct conn *conn;
	const struct op_row *op;
	struct arena *arena;
	void *reply;
	struct hw_err err;
	bool done;
};

static void
on_reply(void *arg, int code, const char *message, const void *body, size_t n)
{
	struct call *call = arg;

	if (code != 0)
		hw_err_set(&call->err, code, "%s",
			message != NULL && message[0] != '\0' ? message : hw_code_meaning(code));
	else if (msg_decode(&call->reply, call->arena, call->op->reply(), body, n, &call->err) < 0)
		hw_err_prefix(&call->err, "the relay's answer to %s", call->op->name);
	call->done = true;
	conn_wake(call->conn);
}

int
conn_call(void *ret, struct conn *c, enum op_id op, const void *request, struct arena *a,
	struct hw_err *err)
{
	struct call call = {.conn = c, .op = &op_rows[op], .arena = a};
	int r;

	if (c->link == NULL)
		return hw_err_set(err, HW_EUNAVAILABLE, "the link to the relay was lost: %s",
			hw_err_text(&c->why));
	if ((r = link_request(c->link, call.op, request, on_reply, &call, err)) < 0)
		return r;
	if (!conn_wait(c, &call.done, c->config.timeout)) {
		if (c->link != NULL)
			link_forget(c->link, &call);
		return hw_err_set(err, HW_ETIMEOUT, "the relay did not answer %s in time",
			call.op->name);
	}
	if (call.err.code != 0)
		return hw_err_set(err, call.err.code, "%s", call.err.text);
	memcpy(ret, &call.reply, sizeof(call.reply));
	return 0;
}

/* Frames keep their order, so an answer to the last one is the proof. */
void
conn_flush(struct conn *c)
{
	static const struct msg_empty nothing;
	struct arena *a = arena_new(FLUSH_REPLY_MAX);
	int64_t timeout = c->config.timeout;
	void *reply;

	if (a == NULL)
		return;
	if (c->config.timeout > FLUSH_WITHIN)
		c->config.timeout = FLUSH_WITHIN;
	conn_call(&reply, c, OP_get_caller_identity, &nothing, a, NULL);
	c->config.timeout = timeout;
	arena_free(a);
}
