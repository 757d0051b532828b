/* Whatever peers say, in whatever order, and whoever's link goes meanwhile: the relay stands, and
 * nothing is left when all is over. HAWSER_SCHEDULES=N tries more orders; HAWSER_SEED=N begins
 * elsewhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/buf.h"
#include "relay/core/broker_private.h"
#include "relay/core/peer.h"
#include "relay/core/relay_private.h"
#include "tests/world/world.h"

#define SCHEDULES 12
#define STEPS	  250
#define CHANNELS  24
#define POLICY                                                                                    \
	"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"ssm:*\"," \
	"\"hawser:*\"],\"Resource\":\"*\"}]}"

enum { ANN, BOB, NODE, PEERS };

struct chaos {
	uint64_t random;
	struct world *w;
	struct world_peer *admin, *peers[PEERS];
};

/* splitmix64 */
static uint32_t
roll(struct chaos *c, uint32_t n)
{
	uint64_t z = c->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ (z >> 31)) % n);
}

static struct world_peer *
some_peer(struct chaos *c)
{
	return c->peers[roll(c, PEERS)];
}

static struct world_peer *
some_user(struct chaos *c)
{
	return c->peers[roll(c, NODE)];
}

static struct world_channel *
some_channel(struct chaos *c, struct world_peer *p)
{
	return p->n_channels > 0 ? p->channels[roll(c, (uint32_t)p->n_channels)] : NULL;
}

/* One that is there, of the peer's newest. */
static struct world_channel *
live_channel(struct chaos *c, struct world_peer *p)
{
	struct world_channel *ch = NULL;

	for (int i = 0; i < 8 && (ch == NULL || ch->ch == NULL); i++)
		ch = some_channel(c, p);
	return ch != NULL && ch->ch != NULL ? ch : NULL;
}

/* Who asks an operation gets its answer. */
static bool
may_ask(struct chaos *c, struct world_peer *p)
{
	if (!p->up)
		return false;
	pair_pause(p->pair, PAIR_A, false);
	pair_pause(p->pair, PAIR_B, false);
	world_settle(c->w);
	return p->up;
}

/* --- what peers do -----------------------------------------------------------------------------
 */

static void
start(struct chaos *c, struct world_peer *user, int type)
{
	static const char *const documents[] = {[CHANNEL_TYPE_PTY] = NULL,
		[CHANNEL_TYPE_EXEC] = "AWS-StartNonInteractiveCommand",
		[CHANNEL_TYPE_FORWARD] = "AWS-StartPortForwardingSession"};
	struct msg_pair parameters[] = {
		{"command",    {(const char *[]){"cat"}, 1}},
		{"portNumber", {(const char *[]){"80"}, 1} },
	};
	struct msg_start_session_request req = {
		.target = c->peers[NODE]->who.id, .document_name = documents[type]};
	struct msg_start_session_reply *rep;

	if (type != CHANNEL_TYPE_PTY) {
		req.parameters.v = parameters + (type == CHANNEL_TYPE_FORWARD);
		req.parameters.n = 1;
	}
	if (world_call(user, OP_start_session, &req, &rep, NULL) == 0 && user->up)
		world_open(user, type, rep->session_id, rep->token_value);
}

static void
begin(struct chaos *c)
{
	static const int types[] = {CHANNEL_TYPE_PTY, CHANNEL_TYPE_PTY, CHANNEL_TYPE_EXEC,
		CHANNEL_TYPE_FORWARD, CHANNEL_TYPE_CONNECTION};
	struct world_peer *user = some_user(c);
	const struct world_channel *f = live_channel(c, user);
	int type = types[roll(c, 5)];

	if (!may_ask(c, user) || user->n_channels >= CHANNELS)
		return;
	if (type != CHANNEL_TYPE_CONNECTION)
		start(c, user, type);
	else if (f != NULL && f->ch != NULL && f->type == CHANNEL_TYPE_FORWARD)
		world_connection(f, roll(c, 6));
}

static void
write_some(struct chaos *c)
{
	static const uint8_t bytes[64 * 1024];
	struct world_channel *ch = live_channel(c, some_peer(c));

	if (ch != NULL)
		channel_write(ch->ch, (int)roll(c, STREAMS), bytes,
			1 + roll(c, roll(c, 4) == 0 ? sizeof(bytes) : 2000));
}

static void
end_some(struct chaos *c)
{
	struct world_channel *ch = live_channel(c, some_peer(c));

	if (ch != NULL)
		channel_end(ch->ch, (int)roll(c, STREAMS));
}

static void
say(struct chaos *c)
{
	static const uint8_t bytes[4096];
	static const int types[] = {
		CONTROL_RESIZE, CONTROL_SIGNAL, CONTROL_EXIT, CONTROL_SCREEN, CONTROL_NOTICE};
	struct world_channel *ch = live_channel(c, some_peer(c));
	const struct msg_control control = {
		.type = types[roll(c, 5)],
		.cols = roll(c, 3) * 40,
		.rows = roll(c, 3) * 12,
		.signal = roll(c, 2) ? "INT" : NULL,
		.exit_status = roll(c, 3),
		.text = "x",
		.nonce = ch != NULL && roll(c, 3) > 0 ? ch->nonce : roll(c, 5),
		.offset = ch != NULL && roll(c, 3) > 0 ? (int64_t)channel_sent(ch->ch, STREAM_OUT)
						       : roll(c, 100000),
		.bytes = {bytes, roll(c, sizeof(bytes))},
		.more = roll(c, 3) == 0,
	};

	if (ch != NULL)
		channel_control(ch->ch, &control);
}

static void
close_some(struct chaos *c)
{
	static const char *const codes[] = {
		"", "Interrupted", "Unavailable", "Nonsense", "Detached"};
	struct world_peer *p = some_peer(c);
	struct world_channel *ch = live_channel(c, p);
	const struct msg_close close = {.code = codes[roll(c, 5)],
		.message = "chaos",
		.exited = roll(c, 2),
		.exit_status = 3};

	if (ch == NULL)
		return;
	bool kept = p == c->peers[NODE] || ch->token[0] != '\0';
	if (roll(c, 3) == 0 && kept && !channel_is_parked(ch->ch)) {
		channel_interrupt(ch->ch, "chaos");
		ch->parked = channel_is_parked(ch->ch);
		return;
	}
	channel_close(ch->ch, &close);
	ch->ch = NULL;
}

static void
cut(struct chaos *c)
{
	struct world_peer *p = some_peer(c);

	if (p->up)
		pair_cut(p->pair, "chaos");
}

static void
dial(struct chaos *c)
{
	struct world_peer *p = some_peer(c);
	struct hw_err err = HW_ERR_INIT;

	if (!p->up)
		(void)world_connect(p, &err);
	else if (p == c->peers[NODE] && p->before == NULL && roll(c, 4) == 0)
		(void)world_dial_anew(p, &err);
}

static void
resume(struct chaos *c)
{
	struct world_peer *p = some_user(c);
	struct world_channel *ch = live_channel(c, p);

	if (p->up && ch != NULL && channel_is_parked(ch->ch))
		world_resume(ch, p);
}

static void
resume_oddly(struct chaos *c)
{
	struct world_peer *p = some_user(c);
	const struct world_channel *ch = some_channel(c, c->peers[roll(c, NODE)]);
	struct channel_stand ours[STREAMS] = {0};

	if (!p->up || ch == NULL || ch->type == 0 || p->n_channels >= 2 * CHANNELS)
		return;
	for (int i = 0; i < STREAMS; i++) {
		ours[i].consumed = roll(c, 3000);
		ours[i].received = ours[i].consumed + roll(c, 3000);
		ours[i].limit = ours[i].received + roll(c, 100000);
		ours[i].kept_from = roll(c, 3000);
		ours[i].sent = ours[i].kept_from + roll(c, 3000);
		ours[i].end_received = roll(c, 8) == 0;
	}
	struct world_channel *odd = world_resume_as(p,
		&(struct msg_resume){.type = ch->type,
			.session_id = ch->session,
			.token = ch->token,
			.connection = roll(c, 6),
			.cols = 80,
			.rows = 24},
		ours);
	odd->type = ch->type;
}

static void
attach(struct chaos *c)
{
	static const enum op_id ops[] = {OP_resume_session, OP_watch_session, OP_join_session};
	struct world_peer *p = some_user(c);
	const struct world_channel *ch = some_channel(c, c->peers[roll(c, NODE)]);
	struct msg_resume_session_request req = {.session_id = ch != NULL ? ch->session : ""};
	struct msg_resume_session_reply *rep;

	if (!may_ask(c, p) || ch == NULL || p->n_channels >= 2 * CHANNELS ||
		world_call(p, ops[roll(c, 3)], &req, &rep, NULL) != 0 || !p->up)
		return;
	world_attach(p, ch->session, rep->token_value, 100, 40);
}

static void
finish(struct chaos *c)
{
	const struct world_channel *ch = some_channel(c, c->peers[roll(c, NODE)]);
	struct msg_terminate_session_request req = {.session_id = ch != NULL ? ch->session : ""};
	void *rep;

	if (may_ask(c, c->admin) && ch != NULL)
		(void)world_call(c->admin, OP_terminate_session, &req, &rep, NULL);
}

static void
change_manners(struct chaos *c)
{
	struct world_peer *node = c->peers[NODE];
	struct world_channel *ch = live_channel(c, some_peer(c));

	node->echoes = roll(c, 3) == 0;
	node->paints = roll(c, 2);
	node->silent = roll(c, 6) == 0;
	node->refuses = roll(c, 10) == 0;
	node->forgets = roll(c, 20) == 0;
	if (ch != NULL)
		ch->hold = roll(c, 2);
}

static void
pause_some(struct chaos *c)
{
	struct world_peer *p = some_peer(c);

	if (p->up)
		pair_pause(p->pair, (int)roll(c, 2), roll(c, 3) == 0);
}

/* A frame that no peer of ours would send now. */
static void
send_raw(struct chaos *c)
{
	static const enum frame_kind kinds[] = {FRAME_DATA, FRAME_CREDIT, FRAME_END, FRAME_CREDIT};
	static const uint8_t bytes[100];
	struct world_peer *p = some_peer(c);
	struct world_channel *ch = live_channel(c, p);
	struct buf out;

	if (!p->up || ch == NULL || channel_is_parked(ch->ch))
		return;
	int stream = (int)roll(c, STREAMS);
	struct frame f = {.kind = kinds[roll(c, 4)],
		.channel = channel_id(ch->ch),
		.stream = (uint8_t)stream,
		.offset = channel_sent(ch->ch, stream),
		.echo = (int)roll(c, 3)};
	if (f.kind == FRAME_DATA) {
		f.body = bytes;
		f.body_len = roll(c, sizeof(bytes));
	}
	if (f.kind == FRAME_CREDIT) {
		f.offset = channel_received(ch->ch, stream);
		f.limit = f.offset + ((uint64_t)roll(c, 2) << (10 + roll(c, 40)));
	}
	buf_init(&out, 4096);
	if (frame_encode(&out, &f) == 0)
		pair_send(p->pair, PAIR_B, buf_data(&out), out.len);
	buf_fini(&out);
}

static void
restart(struct chaos *c)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_restart(c->w, &err), 0), "%s", err.text);
	world_dial(c->admin);
}

static void
step(struct chaos *c)
{
	static void (*const rare[])(struct chaos *) = {
		cut, cut, finish, change_manners, pause_some, send_raw, restart, resume_oddly};
	static void (*const often[])(struct chaos *) = {begin, write_some, write_some, write_some,
		end_some, say, say, close_some, dial, dial, dial, resume, resume, attach, attach};

	c->peers[NODE]->n_ends = 0;
	if (roll(c, 4) == 0)
		rare[roll(c, sizeof(rare) / sizeof(rare[0]))](c);
	else
		often[roll(c, sizeof(often) / sizeof(often[0]))](c);
	if (roll(c, 3) > 0)
		world_settle(c->w);
	if (roll(c, 12) == 0)
		world_advance(c->w, 1 + roll(c, roll(c, 4) == 0 ? 40000000 : 3000000));
}

/* --- and afterwards ----------------------------------------------------------------------------
 */

static void
expect_nothing_left(struct chaos *c, uint64_t seed)
{
	const struct broker *b = c->w->relay->broker;

	for (int i = 0; i < PEERS; i++)
		if (c->peers[i]->up)
			pair_cut(c->peers[i]->pair, "over");
	for (int i = 0; i < 12; i++)
		world_advance(c->w, 10 * USEC_PER_SEC);
	cr_assert(eq(int, b->sessions_live, 0), "seed %lu", (unsigned long)seed);
	cr_assert(eq(sz, b->forward_held, 0), "seed %lu", (unsigned long)seed);
	cr_assert(eq(sz, world_entries(c->w, "session.end", NULL, 0),
			  world_entries(c->w, "session.start", NULL, 0)),
		"seed %lu", (unsigned long)seed);
}

static void
run(uint64_t seed)
{
	struct chaos c = {.random = seed,
		.w = world_new("resume_seconds = 10\ndetached_seconds = 30\ngrace_seconds = 5\n")};

	c.admin = world_admin(c.w);
	c.peers[NODE] = world_node(c.w, c.admin, "web-01");
	world_dial(c.peers[NODE]);
	world_put_policy(c.admin, "rules", POLICY);
	c.peers[ANN] = world_new_user(c.admin, "ann", "rules");
	c.peers[BOB] = world_new_user(c.admin, "bob", "rules");
	for (int i = 0; i < PEERS; i++)
		c.peers[i]->keeps = true;
	for (int i = 0; i < STEPS; i++)
		step(&c);
	expect_nothing_left(&c, seed);
	for (int i = 0; i < PEERS; i++)
		world_peer_free(c.peers[i]);
	world_peer_free(c.admin);
	world_free(c.w);
}

static uint64_t
number(const char *name, uint64_t plain)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : plain;
}

Test(chaos, whatever_comes_in_whatever_order_the_relay_stands, .timeout = 3600)
{
	uint64_t first = number("HAWSER_SEED", 1), n = number("HAWSER_SCHEDULES", SCHEDULES);

	for (uint64_t k = 0; k < n; k++) {
		if (getenv("HAWSER_SCHEDULES") != NULL)
			fprintf(stderr, "seed %lu\n", (unsigned long)(first + k));
		run(first + k);
	}
}
