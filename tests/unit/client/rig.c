#include "tests/unit/client/rig.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "proto/wire/frame.h"

/* --- the relay's channel --------------------------------------------------------------------- */

static void
on_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *p, size_t n)
{
	struct rig *r = arg;

	cr_assert(eq(u64, offset, r->input_from + r->input.len));
	buf_append(&r->input, p, n);
	if (!r->hold)
		channel_consume(ch, stream, n, ECHO_SHOWN);
}

static void
on_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	(void)ch;
	(void)stream;
	(void)offset;
	((struct rig *)arg)->input_ended = true;
}

static void
on_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	(void)arg, (void)ch, (void)stream, (void)consumed, (void)limit, (void)echo;
}

static void
on_drained(void *arg, struct channel *ch, int stream)
{
	(void)arg, (void)ch, (void)stream;
}

static void
on_control(void *arg, struct channel *ch, const struct msg_control *c)
{
	struct rig *r = arg;
	size_t n = strlen(r->controls);

	(void)ch;
	snprintf(r->controls + n, sizeof(r->controls) - n, "%s%s%s%s", n > 0 ? " " : "",
		enum_text(&enum_CONTROL, c->type), c->signal != NULL ? ":" : "",
		c->signal != NULL ? c->signal : "");
}

static void
on_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct rig *r = arg;

	(void)close;
	if (r->channel == ch)
		r->channel = NULL;
	r->closed = true;
	r->close_code = code;
}

static void
on_park(void *arg, struct channel *ch, int code, const char *why)
{
	(void)ch, (void)why;
	((struct rig *)arg)->park_code = code;
}

static void
on_resume(void *arg, struct channel *ch, const struct msg_resume *answer)
{
	(void)arg, (void)ch, (void)answer;
}

static const struct channel_events channel_events = {
	.on_data = on_data,
	.on_end = on_end,
	.on_credit = on_credit,
	.on_drained = on_drained,
	.on_control = on_control,
	.on_close = on_close,
	.on_park = on_park,
	.on_resume = on_resume,
};

/* --- the relay's link ------------------------------------------------------------------------ */

static void
on_up(void *arg, struct link *l, const struct msg_hello *peer)
{
	(void)arg, (void)l;
	cr_assert_str_eq(peer->id, "alice");
}

static void
on_down(void *arg, struct link *l, int code, const char *why)
{
	(void)l, (void)code, (void)why;
	((struct rig *)arg)->relay = NULL;
}

/* The next row of the answers is for this request, or the test fails. */
static void
answer(struct rig *r, struct link *l, uint64_t id, const char *op, const void *body, size_t n)
{
	const struct op_row *row = op_find(op);
	const struct rig_answer *a = r->answers++;
	struct hw_err err = HW_ERR_INIT;
	void *msg;

	cr_assert(a->op != NULL, "one request too many: %s", op);
	cr_assert_str_eq(op, a->op);
	cr_assert(eq(int, msg_decode(&msg, r->arena, row->request(), body, n, &err), 0), "%s",
		err.text);
	buf_printf(&r->asked, "%s ", op);
	cr_assert(eq(int, msg_to_json(&r->asked, row->request(), msg, 0), 0));
	buf_append_byte(&r->asked, '\n');
	if (a->code != 0) {
		link_respond(l, id, a->code, a->text, NULL, NULL);
		return;
	}
	cr_assert(eq(int,
			  msg_from_json(&msg, r->arena, row->reply(), a->text, strlen(a->text),
				  &err),
			  0),
		"%s", err.text);
	link_respond(l, id, 0, NULL, row->reply(), msg);
}

static void
give_ticket(struct rig *r, struct link *l, uint64_t id, const char *op)
{
	const struct msg_resume_session_reply ticket = {.session_id = "alice-00000000000000001",
		.token_value = r->has_ended ? NULL : "ticket"};

	snprintf(r->tickets, sizeof(r->tickets), "%s", op);
	link_respond(l, id, 0, NULL, MSG_ROW(resume_session_reply), &ticket);
}

static void
on_request(void *arg, struct link *l, uint64_t id, const char *op, const void *body, size_t n)
{
	struct rig *r = arg;
	struct msg_get_caller_identity_reply me = {.arn = "arn",
		.fleet = "f",
		.relay = "r",
		.relay_version = "1",
		.user_name = "alice"};
	struct msg_start_session_reply ticket = {
		.session_id = "alice-00000000000000001", .token_value = "t"};

	(void)body, (void)n;
	r->requests++;
	if (r->mute)
		return;
	if (r->requested != NULL)
		r->requested(r, l, id, op, body, n);
	else if (r->answers != NULL)
		answer(r, l, id, op, body, n);
	else if (r->refusal != 0)
		link_respond(l, id, r->refusal, "not today", NULL, NULL);
	else if (strcmp(op, "GetCallerIdentity") == 0)
		link_respond(l, id, 0, NULL, MSG_ROW(get_caller_identity_reply), &me);
	else if (strstr("ResumeSession JoinSession WatchSession", op) != NULL)
		give_ticket(r, l, id, op);
	else if (strcmp(op, "StartSession") == 0)
		link_respond(l, id, 0, NULL, MSG_ROW(start_session_reply), &ticket);
	else
		link_respond(l, id, HW_EUNKNOWNOP, op, NULL, NULL);
}

static void
on_open(void *arg, struct link *l, struct channel *ch, const struct msg_open *open)
{
	struct rig *r = arg;
	struct msg_accept accept = {.window = 4096,
		.session_id = open->session_id,
		.token = r->resume_seconds > 0 ? "again" : NULL,
		.resume_seconds = r->resume_seconds};

	(void)l;
	if (r->opens != NULL) {
		r->opens(r, ch, open);
		return;
	}
	cr_assert_str_eq(open->token, "t");
	channel_attach(ch, &channel_events, r);
	if (r->mute)
		return;
	if (r->reject != 0) {
		channel_reject(ch, r->reject, "no such user");
		return;
	}
	r->channel = ch;
	channel_keep(ch);
	channel_accept(ch, &accept);
}

void
rig_interrupt(struct rig *r)
{
	channel_interrupt(r->channel, "the node's link was lost");
}

static void
attach(struct rig *r, struct channel *ch, const struct msg_resume *who)
{
	const struct msg_resume answer = {.type = who->type,
		.session_id = who->session_id,
		.token = r->next_token,
		.resume_seconds = r->resume_seconds};
	const struct channel_stand ours[STREAMS] = {
		[STREAM_IN] = {.received = r->input_from,
			       .consumed = r->input_from,
			       .limit = r->input_from + 4096},
		[STREAM_OUT] = {.kept_from = r->output_from,			     .sent = r->output_from},
	};

	for (int i = 0; i < STREAMS; i++)
		cr_assert(eq(u64, channel_stand(ch)[i].sent + channel_stand(ch)[i].received, 0));
	r->channel = ch;
	channel_keep(ch);
	channel_accept_resumed(ch, &answer, ours);
}

static void
on_resume_offer(void *arg, struct link *l, struct channel *ch, const struct msg_resume *resume)
{
	struct rig *r = arg;
	struct hw_err err = HW_ERR_INIT;
	struct msg_resume who = {.type = resume->type, .session_id = resume->session_id};

	(void)l;
	cr_assert_str_eq(resume->session_id, "alice-00000000000000001");
	bool attaches = strcmp(resume->token, "ticket") == 0;
	if (!attaches)
		cr_assert_str_eq(resume->token, r->next_token != NULL ? r->next_token : "again");
	if (r->resumes_one != NULL) {
		r->resumes_one(r, ch, resume);
		return;
	}
	r->resumes++;
	r->cols = resume->cols;
	r->rows = resume->rows;
	channel_attach(ch, &channel_events, r);
	if (r->mute_resume)
		return;
	if (r->reject_resume != 0)
		channel_reject(ch, r->reject_resume, "its time is over");
	else if (attaches)
		attach(r, ch, resume);
	else
		cr_assert(eq(int, channel_rejoin(r->channel, ch, &who, &err), 0), "%s", err.text);
	if (r->interrupts_resume)
		rig_interrupt(r);
}

static const struct link_events link_events = {
	.on_up = on_up,
	.on_down = on_down,
	.on_request = on_request,
	.on_open = on_open,
	.on_resume = on_resume_offer,
};

static void
make_relay(struct rig *r)
{
	struct link_config config = {
		.loop = r->loop,
		.log = &r->log,
		.events = &link_events,
		.arg = r,
		.transport = pair_transport(r->pair, PAIR_B),
		.hello = {.version_min = PROTO_VERSION,
			  .version_max = PROTO_VERSION,
			  .role = ROLE_RELAY,
			  .id = "relay",
			  .software = "test",
			  .frame_max = FRAME_MESSAGE_MAX},
		.peer_role = ROLE_USER,
		.peer_id = "alice",
	};

	r->relay = link_new(&config);
	pair_attach(r->pair, PAIR_B, r->relay);
}

/* --- the client ------------------------------------------------------------------------------ */

static void
keep_old(struct rig *r)
{
	for (size_t i = 0; i < sizeof(r->old) / sizeof(r->old[0]); i++) {
		if (r->old[i] != NULL)
			continue;
		r->old[i] = r->pair;
		return;
	}
	cr_assert(false, "more lines than the rig has room for");
}

static int
dial(void *arg, struct conn *c, struct hw_err *err)
{
	struct rig *r = arg;

	(void)err;
	r->dials++;
	if (r->refuses != 0) {
		conn_failed(c, r->refuses, "nobody listens");
		return 0;
	}
	if (r->dials > 1) {
		if (r->relay != NULL) /* it has not heard of the old line's end */
			link_close(r->relay, HW_OK, "");
		keep_old(r);
		r->pair = pair_new(r->loop);
	}
	if (r->silent)
		pair_pause(r->pair, PAIR_B, true);
	make_relay(r);
	pair_attach(r->pair, PAIR_A, conn_connected(c, pair_transport(r->pair, PAIR_A)));
	return 0;
}

static void
turn(void *arg)
{
	struct rig *r = arg;

	loop_settle(r->loop);
	r->turn++;
	if (r->script != NULL)
		r->script(r);
	loop_advance(r->loop, 10 * USEC_PER_MSEC);
}

void
rig_run(struct rig *r, int64_t usec)
{
	bool never = false;

	conn_wait(r->conn, &never, usec);
}

void
rig_until(struct rig *r, bool (*done)(void *arg), void *arg)
{
	for (int i = 0; !done(arg); i++) {
		cr_assert(lt(int, i, 20000), "it did not happen");
		rig_run(r, USEC_PER_MSEC);
	}
}

static struct rig *
make(struct loop *loop)
{
	struct rig *r = calloc(1, sizeof(*r));

	fake_clock_init(&r->clock, INT64_C(1700000000) * USEC_PER_SEC);
	r->is_real = loop != NULL;
	r->loop = loop != NULL ? loop : loop_new_fake(&r->clock);
	r->pair = pair_new(r->loop);
	r->arena = arena_new(1 << 20);
	buf_init(&r->input, 4u << 20);
	buf_init(&r->asked, 1 << 20);
	return r;
}

struct rig *
rig_new_unconnected(void)
{
	return make(NULL);
}

struct rig *
rig_new_real(void)
{
	struct loop *loop = NULL;
	struct rig *r;

	cr_assert(eq(int, loop_new(&loop, NULL), 0));
	r = make(loop);
	cr_assert(eq(int, rig_connect(r, NULL), 0));
	return r;
}

int
rig_connect(struct rig *r, struct hw_err *err)
{
	struct conn_config config = {
		.loop = r->loop,
		.log = &r->log,
		.user = "alice",
		.timeout = 5 * USEC_PER_SEC,
		.dial = dial,
		.turn = r->is_real ? NULL : turn,
		.arg = r,
	};

	return conn_open(&r->conn, &config, err);
}

struct rig *
rig_new(void)
{
	struct rig *r = rig_new_unconnected();

	cr_assert(eq(int, rig_connect(r, NULL), 0));
	return r;
}

void
rig_free(struct rig *r)
{
	conn_free(r->conn);
	loop_settle(r->loop);
	if (r->channel != NULL)
		channel_abort(r->channel, HW_ECLOSED, "the test is over");
	if (r->relay != NULL)
		link_close(r->relay, HW_OK, "");
	loop_settle(r->loop);
	pair_free(r->pair);
	for (size_t i = 0; i < sizeof(r->old) / sizeof(r->old[0]); i++)
		pair_free(r->old[i]);
	loop_settle(r->loop);
	loop_free(r->loop);
	arena_free(r->arena);
	buf_fini(&r->input);
	buf_fini(&r->asked);
	free(r);
}
