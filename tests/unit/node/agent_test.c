/* The agent against a relay's bare link, on a fake clock. */
#include "node/agent.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/channel.h"
#include "tests/world/fake_programs.h"
#include "tests/world/pair.h"

#define NODE_ID "mi-0123456789abcdef0"
#define WINDOW	(64 * 1024)

struct port {
	struct fake_clock clock;
	struct loop *loop;
	struct log_sink sink;
	struct log_ctx log;
	struct fake_programs *programs;
	struct agent *agent;
	struct pair *pair; /* the present connection */
	struct pair *old;
	struct link *relay;
	bool refuse; /* dials fail */
	int dials, ups, downs, revoked, facts;
	int facts_reply; /* code */
	const char *kernel;
	char version[33];

	/* Of the one channel. */
	struct channel *ch;
	bool accepted, hold;
	char run_as[65], why[256];
	int code;
	struct buf out[STREAMS];
	bool ended[STREAMS], closed, exited;
	int status, echo;
	char signal[33];
	uint64_t consumed;
};

static void
quiet(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)level;
	(void)line;
}

/* --- the relay's side ----------------------------------------------------------------------- */

static void
relay_down(void *arg, struct link *l, int code, const char *why)
{
	struct port *p = arg;

	(void)code;
	(void)why;
	if (p->relay == l)
		p->relay = NULL;
}

static void
relay_up(void *arg, struct link *l, const struct msg_hello *peer)
{
	(void)arg;
	(void)l;
	cr_assert_str_eq(peer->id, NODE_ID);
}

static void
relay_request(void *arg, struct link *l, uint64_t id, const char *op, const void *body, size_t n)
{
	struct port *p = arg;
	struct msg_empty empty = {.unused = false};

	(void)body;
	(void)n;
	cr_assert_str_eq(op, "UpdateInstanceInformation");
	p->facts++;
	link_respond(l, id, p->facts_reply, "no", MSG_ROW(empty), &empty);
}

static const struct link_events relay_events = {.on_up = relay_up,
	.on_down = relay_down,
	.on_request = relay_request};

static void
ch_accept(void *arg, struct channel *ch, const struct msg_accept *accept)
{
	struct port *p = arg;

	(void)ch;
	p->accepted = true;
	snprintf(p->run_as, sizeof(p->run_as), "%s", accept->run_as);
}

static void
ch_reject(void *arg, struct channel *ch, int code, const char *message)
{
	struct port *p = arg;

	(void)ch;
	p->code = code;
	p->ch = NULL;
	snprintf(p->why, sizeof(p->why), "%s", message);
}

static void
ch_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *bytes, size_t n)
{
	struct port *p = arg;

	cr_assert_eq(offset, p->out[stream].len);
	cr_assert_eq(buf_append(&p->out[stream], bytes, n), 0);
	if (!p->hold)
		channel_consume(ch, stream, n, ECHO_UNKNOWN);
}

static void
ch_end(void *arg, struct channel *ch, int stream, uint64_t offset)
{
	struct port *p = arg;

	(void)ch;
	cr_assert_eq(offset, p->out[stream].len);
	p->ended[stream] = true;
}

static void
ch_credit(void *arg, struct channel *ch, int stream, uint64_t consumed, uint64_t limit, int echo)
{
	struct port *p = arg;

	(void)ch;
	(void)limit;
	cr_assert_eq(stream, STREAM_IN);
	p->consumed = consumed;
	p->echo = echo;
}

static void
ch_close(void *arg, struct channel *ch, int code, const struct msg_close *close)
{
	struct port *p = arg;

	(void)ch;
	p->closed = true;
	p->ch = NULL;
	p->code = code;
	p->exited = close != NULL && close->exited;
	p->status = close != NULL ? (int)close->exit_status : -1;
	snprintf(p->signal, sizeof(p->signal), "%s", close && close->signal ? close->signal : "");
}

static void
ch_drained(void *arg, struct channel *ch, int stream)
{
	(void)arg;
	(void)ch;
	(void)stream;
}

static void
ch_control(void *arg, struct channel *ch, const struct msg_control *control)
{
	(void)arg;
	(void)ch;
	(void)control;
}

static const struct channel_events relay_channel = {
	.on_accept = ch_accept,
	.on_reject = ch_reject,
	.on_data = ch_data,
	.on_end = ch_end,
	.on_credit = ch_credit,
	.on_drained = ch_drained,
	.on_control = ch_control,
	.on_close = ch_close,
};

/* --- the agent's surroundings --------------------------------------------------------------- */

static void
connect_both(void *arg)
{
	struct port *p = arg;
	struct link_config c = {
		.loop = p->loop,
		.log = &p->log,
		.events = &relay_events,
		.arg = p,
		.hello = {.version_min = 1,
			  .version_max = 1,
			  .role = ROLE_RELAY,
			  .id = "relay",
			  .software = "test",
			  .frame_max = FRAME_MESSAGE_MAX},
		.peer_role = ROLE_NODE,
		.peer_id = NODE_ID,
		.opens = true,
	};

	if (p->refuse) {
		agent_dial_failed(p->agent, HW_EUNAVAILABLE, "nobody listens");
		return;
	}
	if (p->pair != NULL)
		pair_free(p->pair);
	p->pair = pair_new(p->loop);
	c.transport = pair_transport(p->pair, PAIR_A);
	p->relay = link_new(&c);
	pair_attach(p->pair, PAIR_A, p->relay);
	struct link *node = agent_connected(p->agent, pair_transport(p->pair, PAIR_B));
	cr_assert_not_null(node);
	pair_attach(p->pair, PAIR_B, node);
}

static void
on_dial(void *arg)
{
	struct port *p = arg;

	p->dials++;
	loop_post(p->loop, connect_both, p);
}

static void
on_cancel(void *arg)
{
	(void)arg;
}

static void
on_facts(void *arg, struct arena *a, struct msg_update_instance_information_request *f)
{
	struct port *p = arg;

	f->kernel = arena_strdup(a, p->kernel);
}

static void
on_up(void *arg, struct link *l)
{
	(void)l;
	((struct port *)arg)->ups++;
}

static void
on_down(void *arg)
{
	((struct port *)arg)->downs++;
}

static void
on_revoked(void *arg)
{
	((struct port *)arg)->revoked++;
}

static struct port *
port_new(void)
{
	struct port *p = calloc(1, sizeof(*p));

	fake_clock_init(&p->clock, 1700000000 * USEC_PER_SEC);
	p->loop = loop_new_fake(&p->clock);
	p->sink = (struct log_sink){
		.level = LOG_LEVEL_ERROR, .clock = &p->clock.clock, .write = quiet};
	log_ctx_init(&p->log, &p->sink);
	p->programs = fake_programs_new(p->loop);
	p->kernel = "6.1";
	struct agent_config c = {
		.loop = p->loop,
		.log = &p->log,
		.node_id = NODE_ID,
		.programs = fake_programs_base(p->programs),
		.dial = on_dial,
		.cancel = on_cancel,
		.facts = on_facts,
		.on_up = on_up,
		.on_down = on_down,
		.on_revoked = on_revoked,
		.arg = p,
	};
	p->agent = agent_new(&c);
	for (int s = 0; s < STREAMS; s++)
		buf_init(&p->out[s], 32 << 20);
	agent_start(p->agent);
	loop_settle(p->loop);
	loop_advance(p->loop, 0);
	return p;
}

static void
port_free(struct port *p)
{
	agent_free(p->agent);
	loop_settle(p->loop);
	if (p->pair != NULL)
		pair_free(p->pair);
	loop_settle(p->loop);
	cr_assert_eq(fake_programs_count(p->programs)->live, 0);
	loop_free(p->loop);
	fake_programs_free(p->programs);
	for (int s = 0; s < STREAMS; s++)
		buf_fini(&p->out[s]);
	free(p);
}

static void
open_channel(struct port *p, int type, const char *command)
{
	struct msg_open open = {
		.type = type,
		.session_id = "alice-0123456789abcdef0",
		.run_as = "bob",
		.document = "SSM-SessionManagerRunShell",
		.command = command,
		.term = "xterm",
		.cols = 90,
		.rows = 30,
		.window = WINDOW,
	};
	struct hw_err err = HW_ERR_INIT;

	p->accepted = p->closed = p->exited = false;
	p->code = 0;
	cr_assert_eq(channel_open(&p->ch, p->relay, &open, &relay_channel, p, &err), 0, "%s",
		hw_err_text(&err));
	loop_settle(p->loop);
}

static void
type(struct port *p, const char *text)
{
	cr_assert_eq(channel_write(p->ch, STREAM_IN, text, strlen(text)), strlen(text));
	loop_settle(p->loop);
}

static enum agent_state
state(const struct port *p)
{
	struct agent_status st;

	agent_status(p->agent, &st);
	return st.state;
}

/* --- the link ------------------------------------------------------------------------------- */

Test(agent, connects_and_reports_its_facts)
{
	struct port *p = port_new();

	cr_assert_eq(state(p), AGENT_CONNECTED);
	cr_assert_eq(p->dials, 1);
	cr_assert_eq(p->ups, 1);
	cr_assert_eq(p->facts, 1);
	port_free(p);
}

Test(agent, repeats_its_facts_only_when_they_changed)
{
	struct port *p = port_new();

	loop_advance(p->loop, 2 * 3600 * USEC_PER_SEC);
	cr_assert_eq(p->facts, 1);
	p->kernel = "6.2";
	loop_advance(p->loop, 3601 * USEC_PER_SEC);
	cr_assert_eq(p->facts, 2);
	port_free(p);
}

Test(agent, refused_facts_are_said_again)
{
	struct port *p = port_new();

	p->facts_reply = HW_EFULL;
	p->kernel = "6.2";
	loop_advance(p->loop, 3601 * USEC_PER_SEC);
	int before = p->facts;
	p->facts_reply = 0;
	loop_advance(p->loop, 121 * USEC_PER_SEC);
	cr_assert_geq(p->facts, before + 1);
	before = p->facts;
	loop_advance(p->loop, 600 * USEC_PER_SEC);
	cr_assert_eq(p->facts, before);
	port_free(p);
}

Test(agent, dials_again_for_ever_and_ever_slower)
{
	struct port *p = port_new();
	struct agent_status st;

	p->refuse = true;
	pair_drop(p->pair, "gone");
	loop_settle(p->loop);
	cr_assert_eq(p->downs, 1);
	agent_status(p->agent, &st);
	cr_assert_eq(st.state, AGENT_WAITING);
	loop_advance(p->loop, 3600 * USEC_PER_SEC);
	cr_assert_gt(p->dials, 60); /* a minute's delay at most */
	cr_assert_lt(p->dials, 400);
	agent_status(p->agent, &st);
	cr_assert_str_eq(st.error, "nobody listens");
	p->refuse = false;
	loop_advance(p->loop, 61 * USEC_PER_SEC);
	cr_assert_eq(state(p), AGENT_CONNECTED);
	cr_assert_eq(p->ups, 2);
	cr_assert_eq(p->facts, 2);
	port_free(p);
}

Test(agent, a_deregistered_node_dials_no_more)
{
	struct port *p = port_new();

	link_close(p->relay, HW_EREVOKED, "the node was removed");
	p->relay = NULL;
	loop_settle(p->loop);
	cr_assert_eq(state(p), AGENT_REVOKED);
	cr_assert_eq(p->revoked, 1);
	loop_advance(p->loop, 3600 * USEC_PER_SEC);
	cr_assert_eq(p->dials, 1);
	port_free(p);
}

Test(agent, a_stopped_one_dials_no_more)
{
	struct port *p = port_new();

	agent_stop(p->agent, "test");
	loop_advance(p->loop, 3600 * USEC_PER_SEC);
	cr_assert_eq(p->dials, 1);
	cr_assert_eq(state(p), AGENT_STOPPED);
	port_free(p);
}

Test(agent, a_redial_makes_a_new_link)
{
	struct port *p = port_new();

	agent_redial(p->agent, "the certificate was renewed");
	loop_advance(p->loop, USEC_PER_SEC);
	cr_assert_eq(state(p), AGENT_CONNECTED);
	cr_assert_eq(p->dials, 2);
	cr_assert_eq(p->ups, 2);
	port_free(p);
}

/* --- sessions ------------------------------------------------------------------------------- */

Test(session, a_shell_from_prompt_to_exit)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	cr_assert(p->accepted);
	cr_assert_str_eq(p->run_as, "bob");
	cr_assert_str_eq(fake_programs_count(p->programs)->session_id, "alice-0123456789abcdef0");
	cr_assert_str_eq(fake_programs_count(p->programs)->document, "SSM-SessionManagerRunShell");
	cr_assert_str_eq(fake_programs_count(p->programs)->term, "xterm");
	cr_assert_eq(fake_programs_count(p->programs)->cols, 90);
	type(p, "ls\nexit 7\n");
	cr_assert_str_eq(buf_str(&p->out[STREAM_OUT]), "$ ls\r\n$ exit 7\r\n");
	cr_assert_eq(p->consumed, 10);
	cr_assert_eq(p->echo, ECHO_SHOWN);
	cr_assert(p->closed && p->exited);
	cr_assert(p->ended[STREAM_OUT]);
	cr_assert_eq(p->status, 7);
	port_free(p);
}

Test(session, streams_of_a_command_come_apart)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_EXEC, "split");
	cr_assert_str_eq(buf_str(&p->out[STREAM_OUT]), "out");
	cr_assert_str_eq(buf_str(&p->out[STREAM_ERR]), "err");
	cr_assert(p->ended[STREAM_OUT] && p->ended[STREAM_ERR] && p->exited);
	cr_assert_eq(p->status, 3);
	port_free(p);
}

Test(session, the_end_of_input_is_passed_on)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_EXEC, "cat");
	type(p, "abc");
	channel_end(p->ch, STREAM_IN);
	loop_settle(p->loop);
	cr_assert(p->exited);
	cr_assert_str_eq(buf_str(&p->out[STREAM_OUT]), "abc");
	port_free(p);
}

Test(session, much_output_waits_for_credit_and_arrives_whole)
{
	struct port *p = port_new();

	p->hold = true;
	open_channel(p, CHANNEL_TYPE_EXEC, "print 3000000");
	cr_assert_eq(p->out[STREAM_OUT].len, WINDOW);
	loop_advance(p->loop, 10 * USEC_PER_SEC);
	cr_assert_eq(p->out[STREAM_OUT].len, WINDOW);
	cr_assert(!p->closed);
	p->hold = false;
	channel_consume(p->ch, STREAM_OUT, WINDOW, ECHO_UNKNOWN);
	loop_settle(p->loop);
	cr_assert(p->exited);
	cr_assert_eq(p->out[STREAM_OUT].len, 3000000);
	for (size_t i = 0; i < 3000000; i++)
		cr_assert_eq(buf_data(&p->out[STREAM_OUT])[i], fake_program_byte(i));
	port_free(p);
}

Test(session, hidden_input_is_said_to_be_hidden)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, "password");
	type(p, "secret\n");
	cr_assert_eq(p->echo, ECHO_HIDDEN);
	cr_assert_eq(p->consumed, 7);
	cr_assert(p->exited);
	port_free(p);
}

Test(session, input_stops_at_the_window_of_a_program_that_takes_none)
{
	struct port *p = port_new();
	static const uint8_t much[1 << 20];
	size_t total = 0, n;

	open_channel(p, CHANNEL_TYPE_EXEC, "stall");
	for (int i = 0; i < 100 && (n = channel_write(p->ch, STREAM_IN, much, sizeof(much))) > 0;
		i++) {
		total += n;
		loop_settle(p->loop);
	}
	cr_assert_gt(total, 0);
	cr_assert_leq(total, 256 * 1024);
	cr_assert_eq(p->consumed, 0);
	port_free(p);
}

Test(session, resizes_and_signals_reach_the_program)
{
	struct port *p = port_new();
	struct msg_control resize = {.type = CONTROL_RESIZE, .cols = 11, .rows = 22};
	struct msg_control unknown = {.type = CONTROL_SIGNAL, .signal = "NOPE"};
	struct msg_control term = {.type = CONTROL_SIGNAL, .signal = "TERM"};

	open_channel(p, CHANNEL_TYPE_PTY, "sleep");
	channel_control(p->ch, &resize);
	channel_control(p->ch, &unknown);
	loop_settle(p->loop);
	cr_assert_eq(fake_programs_count(p->programs)->cols, 11);
	cr_assert_eq(fake_programs_count(p->programs)->rows, 22);
	cr_assert_eq(fake_programs_count(p->programs)->signals, 0);
	channel_control(p->ch, &term);
	loop_settle(p->loop);
	cr_assert(p->exited);
	cr_assert_eq(p->status, 128 + 15);
	cr_assert_str_eq(p->signal, "TERM");
	port_free(p);
}

Test(session, what_cannot_start_is_rejected_with_the_reason)
{
	struct port *p = port_new();

	for (int later = 0; later < 2; later++) {
		fake_programs_refuse(p->programs, HW_ERUNAS, "no user bob on this node", later);
		open_channel(p, CHANNEL_TYPE_PTY, NULL);
		cr_assert(!p->accepted);
		cr_assert_eq(p->code, HW_ERUNAS);
		cr_assert_str_eq(p->why, "no user bob on this node");
	}
	fake_programs_refuse(p->programs, 0, "", 0);
	open_channel(p, CHANNEL_TYPE_EXEC, NULL);
	cr_assert_eq(p->code, HW_EVALIDATION);
	cr_assert(link_is_up(p->relay));
	port_free(p);
}

Test(session, closing_the_channel_ends_the_program)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, "sleep");
	cr_assert_eq(fake_programs_count(p->programs)->live, 1);
	channel_abort(p->ch, HW_ETERMINATED, "enough");
	loop_settle(p->loop);
	cr_assert_eq(fake_programs_count(p->programs)->live, 0);
	port_free(p);
}

Test(session, a_lost_link_ends_its_sessions)
{
	struct port *p = port_new();
	struct agent_status st;

	open_channel(p, CHANNEL_TYPE_PTY, "sleep");
	agent_status(p->agent, &st);
	cr_assert_eq(st.sessions, 1);
	pair_drop(p->pair, "gone");
	loop_settle(p->loop);
	cr_assert_eq(fake_programs_count(p->programs)->live, 0);
	agent_status(p->agent, &st);
	cr_assert_eq(st.sessions, 0);
	port_free(p);
}
