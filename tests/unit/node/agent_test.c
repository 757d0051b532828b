/* The agent against a relay's bare link, on a fake clock. */
#include "node/agent.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/roster.h"
#include "proto/base/arena.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "proto/wire/channel.h"
#include "tests/world/fake_programs.h"
#include "tests/world/pair.h"

#define NODE_ID "mi-0123456789abcdef0"
#define WINDOW	(64 * 1024)
#define ID	"alice-0123456789abcdef0"

struct port {
	struct fake_clock clock;
	struct loop *loop;
	struct log_sink sink;
	struct log_ctx log;
	struct fake_programs *programs;
	struct roster *roster; /* with which programs outlive the agent */
	char dir[64];
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
	bool accepted, rejected, hold;
	int resumes;
	struct channel_stand stand[STREAMS]; /* of the node, when it was resumed */
	char run_as[65], why[256];
	int code;
	struct buf out[STREAMS], typed;
	size_t eaten[STREAMS]; /* consumed */
	bool ended[STREAMS], closed, exited;
	int status, echo;
	char signal[33];
	uint64_t consumed;
	int exits;

	/* Of its screens. */
	struct buf screen;
	int64_t nonce, ask_amid; /* the last one's; what is asked when its first part is there */
	uint64_t screen_offset;
	int screens, parts;

	/* Of the node's HELLO. */
	size_t n_held;
	char held[4][100];
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
	struct port *p = arg;

	(void)l;
	cr_assert_str_eq(peer->id, NODE_ID);
	p->n_held = peer->sessions.n;
	for (size_t i = 0; i < p->n_held && i < 4; i++)
		snprintf(p->held[i], sizeof(p->held[i]), "%s", peer->sessions.v[i]);
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
	p->rejected = true;
	if (p->ch == ch)
		p->ch = NULL;
	snprintf(p->why, sizeof(p->why), "%s", message);
}

static void
ch_data(void *arg, struct channel *ch, int stream, uint64_t offset, const uint8_t *bytes, size_t n)
{
	struct port *p = arg;

	cr_assert_eq(offset, p->out[stream].len);
	cr_assert_eq(buf_append(&p->out[stream], bytes, n), 0);
	if (p->hold)
		return;
	channel_consume(ch, stream, n, ECHO_UNKNOWN);
	p->eaten[stream] += n;
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
	if (p->ch != ch)
		return;
	p->closed = true;
	p->ch = NULL;
	p->code = code;
	snprintf(p->why, sizeof(p->why), "%s", close && close->message ? close->message : "");
}

static void
ch_drained(void *arg, struct channel *ch, int stream)
{
	(void)arg;
	(void)ch;
	(void)stream;
}

static void
ask_screen(struct port *p, int64_t nonce)
{
	const struct msg_control control = {.type = CONTROL_REPAINT, .nonce = nonce};

	channel_control(p->ch, &control);
}

static void
take_screen(struct port *p, const struct msg_control *control)
{
	if (p->parts++ == 0 || p->nonce != control->nonce)
		buf_reset(&p->screen);
	p->nonce = control->nonce;
	p->screen_offset = (uint64_t)control->offset;
	cr_assert_eq(buf_append(&p->screen, control->bytes.p, control->bytes.n), 0);
	if (p->ask_amid != 0)
		ask_screen(p, p->ask_amid);
	p->ask_amid = 0;
	if (control->more)
		return;
	p->screens++;
	p->parts = 0;
}

static void
ch_control(void *arg, struct channel *ch, const struct msg_control *control)
{
	struct port *p = arg;

	(void)ch;
	if (control->type == CONTROL_SCREEN)
		take_screen(p, control);
	if (control->type != CONTROL_EXIT)
		return;
	p->exits++;
	p->exited = true;
	p->status = (int)control->exit_status;
	snprintf(p->signal, sizeof(p->signal), "%s", control->signal ? control->signal : "");
}

/* What the node has not got is typed again. */
static void
ch_resume(void *arg, struct channel *ch, const struct msg_resume *answer)
{
	struct port *p = arg;
	uint64_t from = channel_stand(ch)[STREAM_IN].received;

	memcpy(p->stand, channel_stand(ch), sizeof(p->stand));
	p->resumes++;
	snprintf(p->run_as, sizeof(p->run_as), "%s", answer->run_as ? answer->run_as : "");
	cr_assert_leq(from, p->typed.len);
	channel_write(ch, STREAM_IN, buf_data(&p->typed) + from, p->typed.len - from);
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
	.on_resume = ch_resume,
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

static void
new_agent(struct port *p)
{
	struct agent_config c = {
		.loop = p->loop,
		.log = &p->log,
		.node_id = NODE_ID,
		.programs = fake_programs_base(p->programs),
		.roster = p->roster,
		.dial = on_dial,
		.cancel = on_cancel,
		.facts = on_facts,
		.on_up = on_up,
		.on_down = on_down,
		.on_revoked = on_revoked,
		.arg = p,
	};

	p->agent = agent_new(&c);
	agent_start(p->agent);
	loop_settle(p->loop);
	loop_advance(p->loop, 0);
}

static void
open_roster(struct port *p)
{
	struct hw_err err = HW_ERR_INIT;

	strcpy(p->dir, "/tmp/hawser-agent-test-XXXXXX");
	cr_assert_not_null(mkdtemp(p->dir));
	int dir = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(roster_open(&p->roster, dir, &err), 0, "%s", hw_err_text(&err));
	close(dir);
}

static struct port *
port_new_with(bool roster)
{
	struct port *p = calloc(1, sizeof(*p));

	fake_clock_init(&p->clock, 1700000000 * USEC_PER_SEC);
	p->loop = loop_new_fake(&p->clock);
	p->sink = (struct log_sink){
		.level = LOG_LEVEL_ERROR, .clock = &p->clock.clock, .write = quiet};
	log_ctx_init(&p->log, &p->sink);
	p->programs = fake_programs_new(p->loop);
	p->kernel = "6.1";
	for (int s = 0; s < STREAMS; s++)
		buf_init(&p->out[s], 32 << 20);
	buf_init(&p->typed, 32 << 20);
	buf_init(&p->screen, 256 << 10);
	if (roster)
		open_roster(p);
	new_agent(p);
	return p;
}

static struct port *
port_new(void)
{
	return port_new_with(false);
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
	roster_close(p->roster);
	if (p->dir[0] != '\0') {
		char command[160];
		snprintf(command, sizeof(command), "rmdir %s/sessions %s", p->dir, p->dir);
		cr_assert_eq(system(command), 0, "a line of the roster stays");
	}
	for (int s = 0; s < STREAMS; s++)
		buf_fini(&p->out[s]);
	buf_fini(&p->typed);
	buf_fini(&p->screen);
	free(p);
}

static enum agent_state
state(const struct port *p)
{
	struct agent_status st;

	agent_status(p->agent, &st);
	return st.state;
}

static void
open_channel(struct port *p, int type, const char *command)
{
	struct msg_open open = {
		.type = type,
		.session_id = ID,
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
	cr_assert_eq(buf_append(&p->typed, text, strlen(text)), 0);
	cr_assert_eq(channel_write(p->ch, STREAM_IN, text, strlen(text)), strlen(text));
	loop_settle(p->loop);
}

static int
live(const struct port *p)
{
	return fake_programs_count(p->programs)->live;
}

static const char *
shown(struct port *p)
{
	return buf_str(&p->out[STREAM_OUT]);
}

/* The relay has all that it wants. */
static void
close_well(struct port *p)
{
	static const struct msg_close well = {.code = NULL};

	channel_close(p->ch, &well);
	p->ch = NULL;
	loop_settle(p->loop);
}

/* --- a link that goes, and the next ---------------------------------------------------------- */

static void
cut(struct port *p)
{
	p->refuse = true;
	pair_drop(p->pair, "gone");
	loop_settle(p->loop);
	p->closed = false;
	p->code = 0;
}

static void
reconnect(struct port *p)
{
	p->refuse = false;
	for (int i = 0; i < 100 && state(p) != AGENT_CONNECTED; i++)
		loop_advance(p->loop, USEC_PER_SEC);
	cr_assert_eq(state(p), AGENT_CONNECTED);
}

static void
stand_now(const struct port *p, struct channel_stand ours[STREAMS])
{
	memset(ours, 0, STREAMS * sizeof(*ours));
	ours[STREAM_IN].sent = p->typed.len;
	for (int s = STREAM_OUT; s < STREAMS; s++) {
		ours[s].received = p->out[s].len;
		ours[s].consumed = p->eaten[s];
		ours[s].limit = p->eaten[s] + WINDOW;
		ours[s].end_received = p->ended[s];
	}
}

static void
resume_as(struct port *p, int type, const char *id, const struct channel_stand ours[STREAMS])
{
	const struct msg_resume who = {.type = type, .session_id = id};
	struct hw_err err = HW_ERR_INIT;

	p->rejected = p->closed = false;
	p->code = 0;
	cr_assert_eq(channel_open_resumed(&p->ch, p->relay, &who, ours, &relay_channel, p, &err), 0,
		"%s", hw_err_text(&err));
}

static void
resume(struct port *p, int type)
{
	struct channel_stand ours[STREAMS];
	int before = p->resumes;

	stand_now(p, ours);
	resume_as(p, type, ID, ours);
	loop_settle(p->loop);
	cr_assert(!p->rejected, "%s", p->why);
	cr_assert_eq(p->resumes, before + 1);
}

static void
refused(struct port *p, int type, const char *id, const struct channel_stand ours[STREAMS],
	int code)
{
	int before = p->resumes;

	resume_as(p, type, id, ours);
	loop_settle(p->loop);
	cr_assert(p->rejected);
	cr_assert_eq(p->code, code, "%s", p->why);
	cr_assert_neq(p->why[0], '\0');
	cr_assert_eq(p->resumes, before);
	cr_assert(link_is_up(p->relay));
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
	cr_assert(p->exited && !p->closed, "it is the relay's to close");
	cr_assert(p->ended[STREAM_OUT] && p->ended[STREAM_ERR]);
	cr_assert_eq(p->status, 7);
	cr_assert_eq(p->exits, 1);
	cr_assert_eq(live(p), 1);
	close_well(p);
	cr_assert_eq(live(p), 0);
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
	cr_assert(!p->exited);
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

static int
sessions(const struct port *p)
{
	struct agent_status st;

	agent_status(p->agent, &st);
	return st.sessions;
}

/* --- links that are lost ---------------------------------------------------------------------- */

Test(resume, a_shell_goes_on_where_it_was)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	type(p, "ls\n");
	cr_assert_eq(p->n_held, 0);
	for (int i = 0; i < 3; i++) {
		cut(p);
		cr_assert_eq(live(p), 1);
		cr_assert_eq(sessions(p), 1);
		reconnect(p);
		cr_assert_eq(p->n_held, 1);
		cr_assert_str_eq(p->held[0], ID);
		resume(p, CHANNEL_TYPE_PTY);
		cr_assert_str_eq(p->run_as, "bob");
		type(p, "w\n");
	}
	cr_assert_str_eq(shown(p), "$ ls\r\n$ w\r\n$ w\r\n$ w\r\n$ ");
	cr_assert_eq(p->consumed, p->typed.len);
	type(p, "exit 3\n");
	cr_assert(p->exited && p->ended[STREAM_OUT]);
	cr_assert_eq(p->status, 3);
	close_well(p);
	cr_assert_eq(sessions(p), 0);
	port_free(p);
}

static void
check_output(struct port *p, size_t n)
{
	cr_assert_eq(p->out[STREAM_OUT].len, n);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(buf_data(&p->out[STREAM_OUT])[i], fake_program_byte(i), "byte %zu", i);
}

/* The line breaks with bytes on their way, and with bytes that the relay has but has not consumed.
 */
static bool
lose_some(void *arg, uint8_t *bytes, size_t n)
{
	struct port *p = arg;

	(void)bytes, (void)n;
	return p->out[STREAM_OUT].len % 3 != 1;
}

Test(resume, output_that_was_under_way_comes_once)
{
	struct port *p = port_new();

	p->hold = true;
	open_channel(p, CHANNEL_TYPE_EXEC, "print 1000000");
	for (int i = 0; p->out[STREAM_OUT].len < 1000000; i++) {
		cr_assert_lt(i, 200);
		/* Of what came, a part is consumed; then the node's line is full when it breaks. */
		size_t some = (p->out[STREAM_OUT].len - p->eaten[STREAM_OUT]) * 2 / 3 + 1;
		some = some > p->out[STREAM_OUT].len - p->eaten[STREAM_OUT]
			? p->out[STREAM_OUT].len - p->eaten[STREAM_OUT]
			: some;
		if (some > 0)
			channel_consume(p->ch, STREAM_OUT, some, ECHO_UNKNOWN);
		p->eaten[STREAM_OUT] += some;
		if (i % 2 == 0)
			loop_settle(p->loop);
		pair_tap(p->pair, PAIR_B, lose_some, p);
		loop_settle(p->loop);
		cut(p);
		reconnect(p);
		resume(p, CHANNEL_TYPE_EXEC);
	}
	check_output(p, 1000000);
	cr_assert_eq(p->status, 0);
	cr_assert(p->exited);
	port_free(p);
}

Test(resume, input_that_was_under_way_comes_once)
{
	struct port *p = port_new();
	char line[32];
	size_t total = 0;

	open_channel(p, CHANNEL_TYPE_EXEC, "cat");
	for (int i = 0; i < 50; i++) {
		snprintf(line, sizeof(line), "line %d\n", i);
		total += strlen(line);
		cr_assert_eq(buf_append(&p->typed, line, strlen(line)), 0);
		cr_assert_eq(channel_write(p->ch, STREAM_IN, line, strlen(line)), strlen(line));
		if (i % 3 == 0)
			loop_settle(p->loop); /* else it is lost on its way */
		pair_cut(p->pair, "gone");
		cut(p);
		reconnect(p);
		resume(p, CHANNEL_TYPE_EXEC);
	}
	cr_assert_eq(p->typed.len, total);
	cr_assert_eq(p->out[STREAM_OUT].len, total);
	cr_assert_eq(memcmp(shown(p), buf_data(&p->typed), total), 0);
	channel_end(p->ch, STREAM_IN);
	loop_settle(p->loop);
	cr_assert(p->exited);
	port_free(p);
}

Test(resume, what_is_typed_before_the_cut_is_done_during_it)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	type(p, "exit 9\n");
	p->exited = false;
	cut(p);
	reconnect(p);
	resume(p, CHANNEL_TYPE_PTY);
	cr_assert_eq(p->stand[STREAM_IN].received, 7);
	cr_assert_eq(p->stand[STREAM_IN].consumed, 7);
	cr_assert(p->exited);
	cr_assert_eq(p->exits, 2);
	port_free(p);
}

Test(resume, an_exit_that_nobody_heard_is_said_with_all_of_the_output)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	channel_write(p->ch, STREAM_IN, "exit 5\n", 7);
	cr_assert_eq(buf_append(&p->typed, "exit 5\n", 7), 0);
	pair_pause(p->pair, PAIR_B, true);
	loop_settle(p->loop);
	cut(p);
	cr_assert(!p->exited);
	loop_advance(p->loop, 300 * USEC_PER_SEC);
	cr_assert_eq(sessions(p), 1);
	reconnect(p);
	resume(p, CHANNEL_TYPE_PTY);
	cr_assert(p->exited && p->ended[STREAM_OUT] && p->ended[STREAM_ERR]);
	cr_assert_eq(p->exits, 1);
	cr_assert_eq(p->status, 5);
	cr_assert_str_eq(shown(p), "$ exit 5\r\n");
	close_well(p);
	cr_assert_eq(sessions(p), 0);
	port_free(p);
}

Test(resume, a_relay_that_takes_less_than_before_is_given_less)
{
	struct port *p = port_new();
	struct channel_stand ours[STREAMS];

	p->hold = true;
	open_channel(p, CHANNEL_TYPE_EXEC, "print 300000");
	cr_assert_eq(p->out[STREAM_OUT].len, WINDOW);
	cut(p);
	reconnect(p);
	stand_now(p, ours);
	buf_reset(&p->out[STREAM_OUT]); /* it had not written them down */
	ours[STREAM_OUT].received = 0;
	ours[STREAM_OUT].limit = 1000;
	resume_as(p, CHANNEL_TYPE_EXEC, ID, ours);
	loop_settle(p->loop);
	cr_assert_eq(p->out[STREAM_OUT].len, 1000, "%zu rejected=%d %s", p->out[STREAM_OUT].len,
		p->rejected, p->why);
	p->hold = false;
	channel_credit(p->ch, STREAM_OUT, 1000, 400000, ECHO_UNKNOWN);
	p->eaten[STREAM_OUT] = 1000;
	loop_settle(p->loop);
	check_output(p, 300000);
	cr_assert(p->exited);
	port_free(p);
}

Test(resume, a_size_that_changed_meanwhile_is_passed_on)
{
	struct port *p = port_new();
	struct channel_stand ours[STREAMS];
	const struct msg_resume who = {
		.type = CHANNEL_TYPE_PTY, .session_id = ID, .cols = 133, .rows = 44};

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	cut(p);
	reconnect(p);
	stand_now(p, ours);
	cr_assert_eq(channel_open_resumed(&p->ch, p->relay, &who, ours, &relay_channel, p, NULL),
		0);
	loop_settle(p->loop);
	cr_assert_eq(fake_programs_count(p->programs)->cols, 133);
	cr_assert_eq(fake_programs_count(p->programs)->rows, 44);
	port_free(p);
}

/* The node has not heard that the relay lost the channel, or the relay asks twice. */
Test(resume, a_session_that_is_not_parked_moves_to_its_newest_channel)
{
	struct port *p = port_new();
	struct channel_stand ours[STREAMS];

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	type(p, "a");
	resume(p, CHANNEL_TYPE_PTY);
	type(p, "b");
	stand_now(p, ours);
	resume_as(p, CHANNEL_TYPE_PTY, ID, ours);
	resume_as(p, CHANNEL_TYPE_PTY, ID, ours);
	loop_settle(p->loop);
	type(p, "c\n");
	cr_assert_str_eq(shown(p), "$ abc\r\n$ ");
	cr_assert_eq(sessions(p), 1);
	cr_assert_eq(live(p), 1);
	cr_assert(link_is_up(p->relay));
	port_free(p);
}

Test(resume, an_interrupted_channel_is_parked_and_taken_up_on_the_same_link)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	channel_interrupt(p->ch, "the user's link was lost");
	p->ch = NULL;
	loop_settle(p->loop);
	cr_assert_eq(live(p), 1);
	resume(p, CHANNEL_TYPE_PTY);
	type(p, "x");
	cr_assert_str_eq(shown(p), "$ x");
	port_free(p);
}

Test(resume, what_does_not_fit_is_refused_and_harms_nothing)
{
	struct port *p = port_new();
	struct channel_stand good[STREAMS], ours[STREAMS];

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	type(p, "some of it\n");
	cut(p);
	reconnect(p);
	stand_now(p, good);
	refused(p, CHANNEL_TYPE_PTY, "alice-00000000000000000", good, HW_ENOSESSION);
	refused(p, CHANNEL_TYPE_PTY, "../x", good, HW_ENOSESSION);
	refused(p, CHANNEL_TYPE_EXEC, ID, good, HW_ENOSESSION);
	refused(p, CHANNEL_TYPE_FORWARD, ID, good, HW_ENOSESSION);
	refused(p, CHANNEL_TYPE_CONNECTION, ID, good, HW_ENOSESSION);

	const uint64_t wrong[] = {good[STREAM_OUT].received + 1, 1 << 20, OFFSET_MAX};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memcpy(ours, good, sizeof(ours));
		ours[STREAM_OUT].received = wrong[i];
		ours[STREAM_OUT].limit = OFFSET_MAX;
		refused(p, CHANNEL_TYPE_PTY, ID, ours, HW_EVALIDATION);
	}
	memcpy(ours, good, sizeof(ours));
	ours[STREAM_OUT].end_received = true;
	refused(p, CHANNEL_TYPE_PTY, ID, ours, HW_EVALIDATION);
	memcpy(ours, good, sizeof(ours));
	ours[STREAM_OUT].consumed = ours[STREAM_OUT].received + 1;
	refused(p, CHANNEL_TYPE_PTY, ID, ours, HW_EVALIDATION);
	resume(p, CHANNEL_TYPE_PTY);
	type(p, "x");
	cr_assert_str_eq(shown(p), "$ some of it\r\n$ x");
	port_free(p);
}

Test(resume, bytes_that_the_node_keeps_no_more_cannot_be_asked_for)
{
	struct port *p = port_new();
	struct channel_stand ours[STREAMS] = {0};

	open_channel(p, CHANNEL_TYPE_EXEC, "print 1000000");
	check_output(p, 1000000);
	cut(p);
	reconnect(p);
	ours[STREAM_OUT].limit = WINDOW;
	refused(p, CHANNEL_TYPE_EXEC, ID, ours, HW_EVALIDATION);
	resume(p, CHANNEL_TYPE_EXEC);
	cr_assert(p->exited);
	check_output(p, 1000000);
	port_free(p);
}

/* --- ends ------------------------------------------------------------------------------------- */

static void
grace_of(int type, const char *command, int64_t seconds)
{
	struct port *p = port_new();

	open_channel(p, type, command);
	cr_assert(p->accepted);
	cut(p);
	loop_advance(p->loop, (seconds - 2) * USEC_PER_SEC);
	cr_assert_eq(live(p), 1);
	loop_advance(p->loop, 4 * USEC_PER_SEC);
	cr_assert_eq(live(p), 0);
	cr_assert_eq(sessions(p), 0);
	reconnect(p);
	cr_assert_eq(p->n_held, 0);
	struct channel_stand ours[STREAMS] = {0};
	refused(p, type, ID, ours, HW_ENOSESSION);
	port_free(p);
}

Test(grace, of_a_command)
{
	grace_of(CHANNEL_TYPE_EXEC, "sleep", 75);
}

Test(grace, of_a_forward)
{
	grace_of(CHANNEL_TYPE_FORWARD, "sleep", 75);
}

Test(grace, of_a_shell)
{
	grace_of(CHANNEL_TYPE_PTY, NULL, 24 * 3600);
}

Test(grace, of_what_has_exited)
{
	grace_of(CHANNEL_TYPE_PTY, "exit 3", 600);
	grace_of(CHANNEL_TYPE_EXEC, "exit 3", 600);
}

Test(grace, begins_anew_with_each_link_and_is_none_on_one)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_EXEC, "sleep");
	for (int i = 0; i < 3; i++) {
		cut(p);
		loop_advance(p->loop, 10 * USEC_PER_SEC);
		reconnect(p);
		resume(p, CHANNEL_TYPE_EXEC);
		loop_advance(p->loop, 200 * USEC_PER_SEC);
		cr_assert_eq(live(p), 1);
	}
	channel_interrupt(p->ch, "the user's link was lost");
	p->ch = NULL;
	loop_advance(p->loop, 77 * USEC_PER_SEC);
	cr_assert_eq(live(p), 0);
	port_free(p);
}

static void
say_end(struct port *p, const char *id)
{
	struct msg_control control = {.type = CONTROL_END, .session_id = id};

	link_send_control(p->relay, 0, &control);
	loop_settle(p->loop);
}

Test(grace, the_relays_end_is_at_once)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, "sleep");
	cut(p);
	reconnect(p);
	say_end(p, "alice-00000000000000000");
	say_end(p, NULL);
	cr_assert_eq(live(p), 1);
	say_end(p, ID);
	cr_assert_eq(live(p), 0);
	say_end(p, ID);
	struct channel_stand ours[STREAMS] = {0};
	refused(p, CHANNEL_TYPE_PTY, ID, ours, HW_ENOSESSION);

	open_channel(p, CHANNEL_TYPE_PTY, "sleep");
	say_end(p, ID);
	cr_assert_eq(live(p), 0);
	cr_assert(p->closed);
	cr_assert_eq(p->code, HW_ENOSESSION);
	port_free(p);
}

Test(grace, an_agent_that_stops_ends_all_and_says_why)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, "sleep");
	agent_stop(p->agent, "it was stopped");
	loop_settle(p->loop);
	cr_assert_eq(live(p), 0);
	cr_assert(p->closed);
	cr_assert_str_eq(p->why, "it was stopped");
	port_free(p);
}

Test(grace, a_deregistered_node_ends_all)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, "sleep");
	link_close(p->relay, HW_EREVOKED, "the node was removed");
	p->relay = NULL;
	loop_settle(p->loop);
	cr_assert_eq(state(p), AGENT_REVOKED);
	cr_assert_eq(live(p), 0);
	port_free(p);
}

Test(grace, a_redial_ends_nothing)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	agent_redial(p->agent, "the certificate was renewed");
	loop_settle(p->loop);
	reconnect(p);
	resume(p, CHANNEL_TYPE_PTY);
	type(p, "x");
	cr_assert_str_eq(shown(p), "$ x");
	port_free(p);
}

Test(grace, a_session_that_has_not_started_ends_with_its_link)
{
	struct port *p = port_new();
	struct msg_open open = {.type = CHANNEL_TYPE_PTY, .session_id = ID, .window = WINDOW};

	cr_assert_eq(channel_open(&p->ch, p->relay, &open, &relay_channel, p, NULL), 0);
	cut(p);
	cr_assert_eq(live(p), 0);
	reconnect(p);
	cr_assert_eq(p->n_held, 0);
	port_free(p);
}

Test(grace, an_id_that_runs_is_not_opened_again)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	p->ch = NULL;
	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	cr_assert(p->rejected);
	cr_assert_eq(p->code, HW_EEXISTS);
	cr_assert_eq(live(p), 1);
	port_free(p);
}

/* --- another agent ---------------------------------------------------------------------------- */

/* It is restarted: what it held goes on without it. */
static void
restart(struct port *p)
{
	agent_leave(p->agent, "the agent was restarted");
	loop_settle(p->loop);
	agent_free(p->agent);
	loop_settle(p->loop);
	p->closed = false;
	p->code = 0;
	new_agent(p);
	reconnect(p);
}

Test(adoption, a_shell_goes_on_under_the_next_agent)
{
	struct port *p = port_new_with(true);

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	type(p, "ls\n");
	for (int i = 0; i < 3; i++) {
		restart(p);
		cr_assert_eq(p->n_held, 1);
		cr_assert_str_eq(p->held[0], ID);
		cr_assert_eq(sessions(p), 1);
		resume(p, CHANNEL_TYPE_PTY);
		cr_assert_str_eq(p->run_as, "bob");
		type(p, "w\n");
		cut(p);
		reconnect(p);
		resume(p, CHANNEL_TYPE_PTY);
		type(p, "x\n");
	}
	cr_assert_str_eq(shown(p), "$ ls\r\n$ w\r\n$ x\r\n$ w\r\n$ x\r\n$ w\r\n$ x\r\n$ ");
	type(p, "exit 3\n");
	cr_assert(p->exited && p->ended[STREAM_OUT]);
	cr_assert_eq(p->status, 3);
	close_well(p);
	port_free(p);
}

/* Of what it has, the relay has consumed a part: that is all that the holder knows of. */
Test(adoption, output_that_the_relay_has_does_not_come_twice)
{
	struct port *p = port_new_with(true);

	p->hold = true;
	open_channel(p, CHANNEL_TYPE_EXEC, "print 500000");
	for (int i = 0; !p->exited; i++) {
		cr_assert_lt(i, 100);
		size_t some = (p->out[STREAM_OUT].len - p->eaten[STREAM_OUT]) * 2 / 3;
		channel_consume(p->ch, STREAM_OUT, some, ECHO_UNKNOWN);
		p->eaten[STREAM_OUT] += some;
		if (i % 2 == 0)
			loop_settle(p->loop);
		restart(p);
		resume(p, CHANNEL_TYPE_EXEC);
	}
	check_output(p, 500000);
	cr_assert_eq(p->status, 0);
	/* It has ended, and not all is consumed. */
	for (int i = 0; i < 3; i++) {
		restart(p);
		p->exited = false;
		resume(p, CHANNEL_TYPE_EXEC);
		cr_assert(p->exited && p->ended[STREAM_OUT] && p->ended[STREAM_ERR]);
		check_output(p, 500000);
	}
	close_well(p);
	port_free(p);
}

Test(adoption, input_comes_once)
{
	struct port *p = port_new_with(true);
	char line[32];

	open_channel(p, CHANNEL_TYPE_EXEC, "cat");
	for (int i = 0; i < 30; i++) {
		snprintf(line, sizeof(line), "line %d\n", i);
		cr_assert_eq(buf_append(&p->typed, line, strlen(line)), 0);
		cr_assert_eq(channel_write(p->ch, STREAM_IN, line, strlen(line)), strlen(line));
		if (i % 3 == 0)
			loop_settle(p->loop);
		restart(p);
		resume(p, CHANNEL_TYPE_EXEC);
	}
	cr_assert_eq(p->out[STREAM_OUT].len, p->typed.len);
	cr_assert_eq(memcmp(shown(p), buf_data(&p->typed), p->typed.len), 0);
	cr_assert_eq(p->consumed, p->typed.len);
	channel_end(p->ch, STREAM_IN);
	loop_settle(p->loop);
	cr_assert(p->exited);
	close_well(p);
	port_free(p);
}

Test(adoption, an_exit_between_two_agents_is_told_by_the_second)
{
	struct port *p = port_new_with(true);

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	cr_assert_eq(channel_write(p->ch, STREAM_IN, "exit 6\n", 7), 7);
	cr_assert_eq(buf_append(&p->typed, "exit 6\n", 7), 0);
	pair_pause(p->pair, PAIR_B, true);
	loop_settle(p->loop);
	restart(p);
	cr_assert(!p->exited);
	resume(p, CHANNEL_TYPE_PTY);
	cr_assert(p->exited && p->ended[STREAM_OUT] && p->ended[STREAM_ERR]);
	cr_assert_eq(p->status, 6);
	cr_assert_str_eq(shown(p), "$ exit 6\r\n");
	close_well(p);
	port_free(p);
}

Test(adoption, what_does_not_fit_is_refused_and_harms_nothing)
{
	struct port *p = port_new_with(true);
	struct channel_stand good[STREAMS], ours[STREAMS];

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	type(p, "some of it\n");
	restart(p);
	stand_now(p, good);
	const uint64_t wrong[] = {good[STREAM_OUT].received + 1, 1 << 20, OFFSET_MAX};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memcpy(ours, good, sizeof(ours));
		ours[STREAM_OUT].received = wrong[i];
		ours[STREAM_OUT].consumed = 0;
		ours[STREAM_OUT].limit = OFFSET_MAX;
		refused(p, CHANNEL_TYPE_PTY, ID, ours, HW_EVALIDATION);
	}
	refused(p, CHANNEL_TYPE_EXEC, ID, good, HW_ENOSESSION);
	resume(p, CHANNEL_TYPE_PTY);
	type(p, "x");
	cr_assert_str_eq(shown(p), "$ some of it\r\n$ x");
	port_free(p);
}

Test(adoption, bytes_that_the_holder_keeps_no_more_cannot_be_asked_for)
{
	struct port *p = port_new_with(true);
	struct channel_stand ours[STREAMS] = {0};

	open_channel(p, CHANNEL_TYPE_EXEC, "print 1000000");
	restart(p);
	ours[STREAM_OUT].limit = WINDOW;
	refused(p, CHANNEL_TYPE_EXEC, ID, ours, HW_EVALIDATION);
	resume(p, CHANNEL_TYPE_EXEC);
	cr_assert(p->exited);
	check_output(p, 1000000);
	port_free(p);
}

Test(adoption, a_forward_ends_and_says_why)
{
	struct port *p = port_new_with(true);

	open_channel(p, CHANNEL_TYPE_FORWARD, "sleep");
	cr_assert(p->accepted);
	restart(p);
	cr_assert_eq(p->n_held, 0);
	cr_assert_eq(live(p), 0);
	port_free(p);
}

Test(adoption, grace_begins_when_the_agent_is_back)
{
	struct port *p = port_new_with(true);

	open_channel(p, CHANNEL_TYPE_EXEC, "sleep");
	restart(p);
	loop_advance(p->loop, 70 * USEC_PER_SEC);
	cr_assert_eq(live(p), 1);
	loop_advance(p->loop, 7 * USEC_PER_SEC);
	cr_assert_eq(live(p), 0);
	cr_assert_eq(sessions(p), 0);
	port_free(p);
}

Test(adoption, what_is_gone_is_forgotten)
{
	struct port *p = port_new_with(true);
	const struct roster_line line = {.type = CHANNEL_TYPE_PTY, .run_as = "bob"};
	struct hw_err err = HW_ERR_INIT;

	cr_assert_eq(roster_add(p->roster, "alice-00000000000000000", &line, &err), 0);
	restart(p);
	cr_assert_eq(p->n_held, 0);
	cr_assert_eq(sessions(p), 0);
	port_free(p); /* and the roster is empty */
}

Test(adoption, an_agent_that_is_restarted_twice_in_a_moment_leaves_them)
{
	struct port *p = port_new_with(true);

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	agent_leave(p->agent, "restarted");
	agent_free(p->agent);
	for (int i = 0; i < 3; i++) {
		struct agent_config c = {
			.loop = p->loop,
			.log = &p->log,
			.node_id = NODE_ID,
			.programs = fake_programs_base(p->programs),
			.roster = p->roster,
			.dial = on_dial,
			.cancel = on_cancel,
			.arg = p,
		};
		p->agent = agent_new(&c);
		agent_start(p->agent);
		agent_leave(p->agent, "restarted");
		agent_free(p->agent);
		loop_settle(p->loop);
	}
	cr_assert_eq(live(p), 1);
	new_agent(p);
	reconnect(p);
	resume(p, CHANNEL_TYPE_PTY);
	type(p, "x");
	cr_assert_str_eq(shown(p), "$ x");
	port_free(p);
}

Test(adoption, an_agent_that_is_stopped_leaves_nothing)
{
	struct port *p = port_new_with(true);

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	agent_stop(p->agent, "it was stopped");
	loop_settle(p->loop);
	cr_assert(p->closed);
	cr_assert_eq(live(p), 0);
	port_free(p);
}

/* --- screens ---------------------------------------------------------------------------------- */

static int
repaints(const struct port *p)
{
	return fake_programs_count(p->programs)->repaints;
}

/* The one screen that was asked for is that of all output so far. */
static void
check_screen(struct port *p, int64_t nonce)
{
	size_t n = p->out[STREAM_OUT].len < 1000 ? p->out[STREAM_OUT].len : 1000;

	cr_assert_eq(p->nonce, nonce);
	cr_assert_eq(p->screen_offset, p->out[STREAM_OUT].len);
	cr_assert_eq(p->screen.len, n + 2);
	cr_assert_eq(memcmp(buf_data(&p->screen), "\033c", 2), 0);
	cr_assert_eq(memcmp(buf_data(&p->screen) + 2,
			     buf_data(&p->out[STREAM_OUT]) + p->out[STREAM_OUT].len - n, n),
		0);
}

static void
see(struct port *p, int64_t nonce)
{
	int before = p->screens;

	ask_screen(p, nonce);
	loop_settle(p->loop);
	cr_assert_eq(p->screens, before + 1);
	check_screen(p, nonce);
}

Test(screens, show_what_a_program_wrote)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	see(p, 7);
	type(p, "ls\n");
	see(p, INT64_MAX);
	type(p, "exit 0\n");
	cr_assert(p->exited);
	see(p, 0);
	close_well(p);
	port_free(p);
}

Test(screens, come_in_parts)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, "print 5000");
	cr_assert(p->exited);
	see(p, 1);
	cr_assert_eq(repaints(p), 1);
	close_well(p);
	port_free(p);
}

Test(screens, many_requests_are_answered_once)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	for (int i = 1; i <= 100; i++)
		ask_screen(p, i);
	loop_settle(p->loop);
	cr_assert_eq(p->screens, 1);
	cr_assert_eq(repaints(p), 1);
	check_screen(p, 100);
	port_free(p);
}

Test(screens, who_asks_amid_one_gets_another)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, "print 5000");
	p->ask_amid = 2;
	ask_screen(p, 1);
	loop_settle(p->loop);
	cr_assert_eq(p->screens, 2);
	cr_assert_eq(repaints(p), 2);
	check_screen(p, 2);
	close_well(p);
	port_free(p);
}

Test(screens, a_program_that_does_not_answer_is_asked_once)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, "stall");
	for (int i = 1; i <= 100; i++) {
		ask_screen(p, i);
		loop_settle(p->loop);
	}
	cr_assert_eq(p->screens, 0);
	cr_assert_eq(repaints(p), 1);
	port_free(p);
}

Test(screens, are_there_after_lost_links_and_agents)
{
	struct port *p = port_new_with(true);

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	type(p, "ls\n");
	for (int i = 0; i < 3; i++) {
		ask_screen(p, 1); /* its answer finds no link */
		cut(p);
		reconnect(p);
		p->parts = 0;
		resume(p, CHANNEL_TYPE_PTY);
		see(p, 10 + i);
		restart(p);
		resume(p, CHANNEL_TYPE_PTY);
		see(p, 20 + i);
	}
	port_free(p);
}

Test(screens, where_there_are_none_the_relay_hears_it)
{
	struct port *p = port_new_with(true);

	open_channel(p, CHANNEL_TYPE_PTY, NULL);
	type(p, "ls\n");
	fake_programs_grow_old(p->programs);
	restart(p);
	resume(p, CHANNEL_TYPE_PTY);
	for (int i = 1; i <= 3; i++) {
		ask_screen(p, i);
		loop_settle(p->loop);
		cr_assert_eq(p->screens, i);
		cr_assert_eq(p->nonce, i);
		cr_assert_eq(p->screen.len, 0);
		cr_assert_eq(p->screen_offset, p->out[STREAM_OUT].len);
	}
	cr_assert_eq(repaints(p), 0);
	port_free(p);
}

Test(screens, do_not_break_a_link_that_takes_nothing)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, "print 5000");
	pair_pause(p->pair, PAIR_B, true);
	for (int i = 1; i <= 6000; i++) {
		ask_screen(p, i);
		loop_settle(p->loop);
	}
	cr_assert(link_is_up(p->relay));
	pair_pause(p->pair, PAIR_B, false);
	loop_settle(p->loop);
	cr_assert(link_is_up(p->relay));
	cr_assert(p->screens > 0 && p->screens < 6000);
	p->parts = 0;
	see(p, 6001);
	close_well(p);
	port_free(p);
}

Test(screens, one_that_is_too_long_is_cut_and_has_no_end)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, "paint 262142");
	ask_screen(p, 1);
	loop_settle(p->loop);
	cr_assert_eq(p->screens, 1);
	cr_assert_eq(p->screen.len, 256 << 10);
	close_well(p);
	open_channel(p, CHANNEL_TYPE_PTY, "paint 262143");
	for (int i = 1; i <= 2; i++) {
		p->parts = 0;
		ask_screen(p, i);
		loop_settle(p->loop);
		cr_assert_eq(p->screens, 1);
		cr_assert_gt(p->parts, 2000);
		cr_assert_eq(repaints(p), 1 + i);
	}
	port_free(p);
}

Test(screens, parts_with_nothing_in_them_do_not_pass)
{
	struct port *p = port_new();

	open_channel(p, CHANNEL_TYPE_PTY, "blank 3000");
	for (int i = 1; i <= 2; i++) {
		ask_screen(p, i);
		loop_settle(p->loop);
		cr_assert_eq(p->screens, 0);
		cr_assert_eq(p->parts, 0);
		cr_assert_eq(repaints(p), i);
	}
	close_well(p);
	open_channel(p, CHANNEL_TYPE_PTY, "blank 1"); /* none is kept */
	ask_screen(p, 3);
	loop_settle(p->loop);
	cr_assert_eq(p->screens, 1);
	cr_assert_eq(p->screen.len, 0);
	close_well(p);
	port_free(p);
}
