/* How sessions end: each state a session can be in, met by each thing that can happen to it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "relay/core/broker.h"
#include "relay/core/relay_private.h"
#include "tests/world/world.h"

enum state { REDEEMING, OPENING, LIVE, DRAINING, STATES };
enum event {
	NODE_LOST,
	USER_LOST,
	USER_CLOSES,
	TERMINATED,
	NODE_REMOVED,
	USER_REMOVED,
	NODE_DIALS_ANEW,
	DISK_FULL,
	RELAY_STOPS,
	EVENTS
};

static const char *const state_names[] = {"redeeming", "opening", "live", "draining"};
static const char *const event_names[] = {"node lost", "user lost", "user closes", "terminated",
	"node removed", "user removed", "node dials anew", "disk full", "relay stops"};

struct scene {
	struct world *w;
	struct world_peer *admin, *user, *node;
	struct world_peer twin; /* of the node, when it dials anew */
	struct world_channel *c;
	enum state state;
	enum event event;
};

static void
set_up(struct scene *s)
{
	struct msg_create_user_request req = {.user_name = "alice", .admin = true};
	struct msg_create_user_reply *rep;
	struct hw_err err = HW_ERR_INIT;

	s->w = world_new("grace_seconds = 10\nresume_seconds = 30\ndetached_seconds = 40\n");
	s->admin = world_admin(s->w);
	cr_assert(eq(int, world_call(s->admin, OP_create_user, &req, &rep, NULL), 0));
	s->user = world_user(s->w, rep->invite);
	cr_assert(eq(int, world_connect(s->user, &err), 0));
	s->node = world_node(s->w, s->admin, "web-01");
	cr_assert(eq(int, world_connect(s->node, &err), 0));
}

static void
tear_down(struct scene *s)
{
	if (s->twin.world != NULL) {
		if (s->twin.link != NULL)
			link_close(s->twin.link, HW_ECLOSED, "");
		world_settle(s->w);
		pair_free(s->twin.pair);
	}
	world_peer_free(s->node);
	world_peer_free(s->user);
	world_peer_free(s->admin);
	world_free(s->w);
}

/* --- what happens --------------------------------------------------------------------------------
 */

static void
call_ok(struct world_peer *p, enum op_id op, const void *req)
{
	char why[384];

	cr_assert(eq(int, world_call(p, op, req, NULL, why), 0), "%s", why);
}

static void
dial_anew(struct scene *s)
{
	struct hw_err err = HW_ERR_INIT;

	s->twin = *s->node;
	s->twin.pair = NULL;
	cr_assert(eq(int, world_connect(&s->twin, &err), 0), "%s", err.text);
}

static void
restart(struct scene *s)
{
	struct hw_err err = HW_ERR_INIT;

	s->w->fail_writes = 0;
	cr_assert(eq(int, world_restart(s->w, &err), 0), "%s", err.text);
}

static void
close_by_user(struct scene *s)
{
	struct msg_close close = {.code = ""};

	channel_close(s->c->ch, &close);
	s->c->ch = NULL;
}

static void
happen(struct scene *s)
{
	struct msg_terminate_session_request terminate = {.session_id = s->c->session};
	struct msg_deregister_managed_instance_request deregister = {
		.instance_id = s->node->who.id};
	struct msg_delete_user_request drop = {.user_name = "alice"};
	struct msg_list_users_request list = {.max_results = 1};

	switch (s->event) {
	case NODE_LOST:
		world_drop(s->node);
		break;
	case USER_LOST:
		world_drop(s->user);
		break;
	case USER_CLOSES:
		close_by_user(s);
		break;
	case TERMINATED:
		call_ok(s->admin, OP_terminate_session, &terminate);
		break;
	case NODE_REMOVED:
		call_ok(s->admin, OP_deregister_managed_instance, &deregister);
		break;
	case USER_REMOVED:
		call_ok(s->admin, OP_delete_user, &drop);
		break;
	case NODE_DIALS_ANEW:
		dial_anew(s);
		break;
	case DISK_FULL:
		s->w->fail_writes = ENOSPC;
		cr_assert(eq(int, world_call(s->admin, OP_list_users, &list, NULL, NULL),
			HW_ERECORD));
		break;
	case RELAY_STOPS:
		restart(s);
		break;
	case EVENTS:
		break;
	}
	world_settle(s->w);
}

/* What can happen between two turns of the loop, while a worker has the ticket. */
static void
happen_at_once(struct scene *s)
{
	switch (s->event) {
	case NODE_LOST:
		pair_cut(s->node->pair, "cut");
		break;
	case USER_LOST:
		pair_cut(s->user->pair, "cut");
		break;
	case TERMINATED:
		cr_assert(not(broker_end_session(s->w->relay->broker, s->c->session, HW_ETERMINATED,
			"ended by admin")));
		break;
	case DISK_FULL:
		s->w->fail_writes = ENOSPC;
		relay_before_write(s->w->relay);
		break;
	default:
		break;
	}
}

/* --- states ----------------------------------------------------------------------------------- */

static void
later(void *arg)
{
	happen_at_once(arg);
}

static void
soon(void *arg)
{
	struct scene *s = arg;

	loop_post(s->w->loop, later, s);
}

/* OPEN is on its way: `later` runs after it was delivered, and before the worker has the ticket. */
static bool
on_user_message(void *arg, uint8_t *p, size_t n)
{
	struct scene *s = arg;

	(void)p, (void)n;
	pair_tap(s->user->pair, PAIR_B, NULL, NULL);
	loop_post(s->w->loop, soon, s);
	return true;
}

static void
reach_redeeming(struct scene *s)
{
	struct msg_start_session_request req = {.target = s->node->who.id};
	struct msg_start_session_reply *rep;
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_call(s->user, OP_start_session, &req, &rep, NULL), 0));
	struct msg_open open = {.type = CHANNEL_TYPE_PTY,
		.session_id = rep->session_id,
		.token = rep->token_value,
		.window = 65536};
	s->c = world_open_raw(s->user, &open, &err);
	pair_tap(s->user->pair, PAIR_B, on_user_message, s);
	if (s->event == USER_CLOSES)
		close_by_user(s);
	world_settle(s->w);
	if (s->event == NODE_REMOVED || s->event == USER_REMOVED || s->event == NODE_DIALS_ANEW ||
		s->event == RELAY_STOPS)
		happen(s); /* too late for this state, and met in another one */
}

/* The program has ended, and its terminal takes nothing of what it wrote. */
static void
reach_draining(struct scene *s)
{
	static uint8_t block[64 * 1024];
	struct msg_close close = {.exited = true, .exit_status = 7};
	struct world_channel *n = s->node->opened;

	s->c->hold = true;
	for (int i = 0; i < 10; i++) {
		channel_write(n->ch, STREAM_OUT, block, sizeof(block));
		world_settle(s->w);
	}
	channel_close(n->ch, &close);
	n->ch = NULL;
	world_settle(s->w);
	cr_assert(not(s->c->closed));
}

static void
reach(struct scene *s)
{
	if (s->state == REDEEMING) {
		reach_redeeming(s);
		return;
	}
	s->node->silent = s->state == OPENING;
	s->c = world_shell(s->user, s->node);
	cr_assert(ne(ptr, s->node->opened, NULL));
	cr_assert(eq(int, s->c->accepted, s->state != OPENING));
	if (s->state == DRAINING)
		reach_draining(s);
	happen(s);
}

/* --- what must hold --------------------------------------------------------------------------- */

static void
check_history(struct scene *s)
{
	struct msg_describe_sessions_request active = {.state = SESSION_STATE_ACTIVE},
					     past = {.state = SESSION_STATE_HISTORY};
	struct msg_describe_sessions_reply *rep;
	struct hw_err err = HW_ERR_INIT;

	if (!s->admin->up)
		cr_assert(eq(int, world_connect(s->admin, &err), 0), "%s", err.text);
	cr_assert(eq(int, world_call(s->admin, OP_describe_sessions, &active, &rep, NULL), 0));
	cr_assert(eq(sz, rep->sessions.n, 0));
	cr_assert(eq(int, world_call(s->admin, OP_describe_sessions, &past, &rep, NULL), 0));
	cr_assert(eq(sz, rep->sessions.n, 1));
	cr_assert(ne(i64, rep->sessions.v[0].end_date, 0));
	cr_assert(gt(sz, strlen(rep->sessions.v[0].details), 0));
}

/* A live shell whose link is lost is waited for. The node that dials anew here knows of none. */
static bool
waits(const struct scene *s)
{
	return s->event == NODE_LOST || s->event == USER_LOST || s->event == DISK_FULL ||
		s->event == RELAY_STOPS;
}

static void
check(struct scene *s)
{
	if (s->state == LIVE)
		cr_assert(eq(dbl, world_metric(s->w, "sessions"), waits(s)));
	world_advance(s->w, 60 * USEC_PER_SEC);
	cr_assert(eq(ptr, s->c->ch, NULL), "the user still has a channel");
	if (s->node->opened != NULL)
		cr_assert(eq(ptr, s->node->opened->ch, NULL), "the node still has a channel");
	cr_assert(eq(dbl, world_metric(s->w, "sessions"), 0));
	if (s->event == DISK_FULL)
		restart(s);
	check_history(s);
	size_t started = world_entries(s->w, "session.start", NULL, 0);
	cr_assert(eq(sz, world_entries(s->w, "session.end", NULL, 0), started),
		"each start has one end");
	cr_assert(le(sz, started, 1));
}

static void
play(enum state state)
{
	for (int event = 0; event < EVENTS; event++) {
		struct scene s = {.state = state, .event = (enum event)event};
		cr_log_info("%s: %s", state_names[state], event_names[event]);
		set_up(&s);
		reach(&s);
		check(&s);
		tear_down(&s);
	}
}

Test(ending, while_its_ticket_is_with_a_worker)
{
	play(REDEEMING);
}

Test(ending, while_the_node_has_not_answered)
{
	play(OPENING);
}

Test(ending, while_it_is_live)
{
	play(LIVE);
}

Test(ending, while_its_last_output_waits_for_the_terminal)
{
	play(DRAINING);
}

/* --- and in particular ------------------------------------------------------------------------ */

static struct scene
live_scene(void)
{
	struct scene s = {.state = LIVE};

	set_up(&s);
	return s;
}

Test(ending, a_node_that_never_answers_does_not_keep_its_user_waiting)
{
	struct scene s = live_scene();

	s.node->silent = true;
	s.c = world_shell(s.user, s.node);
	world_advance(s.w, 29 * USEC_PER_SEC);
	cr_assert(not(s.c->rejected));
	world_advance(s.w, 3 * USEC_PER_SEC);
	cr_assert(s.c->rejected);
	cr_assert(eq(int, s.c->code, HW_ETIMEOUT));
	cr_assert(eq(ptr, s.node->opened->ch, NULL));
	tear_down(&s);
}

Test(ending, output_that_could_not_be_recorded_is_not_shown_as_a_program_s_last_words)
{
	struct scene s = live_scene();
	struct msg_close close = {.exited = true};

	s.c = world_shell(s.user, s.node);
	struct channel *ch = s.node->opened->ch;
	s.w->fail_writes = ENOSPC;
	channel_write(ch, STREAM_OUT, "secret", 6);
	channel_close(ch, &close);
	s.node->opened->ch = NULL;
	world_settle(s.w);
	world_advance(s.w, 2 * USEC_PER_SEC);
	cr_assert(eq(sz, s.c->got[STREAM_OUT].len, 0), "unrecorded output was shown");
	cr_assert(eq(int, s.c->code, HW_ERECORD));
	tear_down(&s);
}

Test(ending, an_end_of_input_that_is_not_recorded_does_not_reach_the_program)
{
	struct scene s = live_scene();

	s.c = world_exec(s.user, s.node, "sh");
	s.w->fail_writes = ENOSPC;
	relay_before_write(s.w->relay);
	channel_control(s.c->ch,
		&(struct msg_control){.type = CONTROL_RESIZE, .cols = 1, .rows = 1});
	world_settle(s.w);
	channel_write(s.c->ch, STREAM_IN, "rm -rf /tmp/x", 7);
	channel_end(s.c->ch, STREAM_IN);
	channel_control(s.c->ch, &(struct msg_control){.type = CONTROL_SIGNAL, .signal = "KILL"});
	world_settle(s.w);
	cr_assert(eq(sz, s.node->opened->got[STREAM_IN].len, 0));
	cr_assert(not(s.node->opened->ended[STREAM_IN]));
	cr_assert(ne(int, s.node->opened->control.type, CONTROL_SIGNAL));
	tear_down(&s);
}

Test(ending, what_a_stalled_terminal_missed_is_told_before_the_end)
{
	struct scene s = live_scene();

	s.c = world_shell(s.user, s.node);
	s.state = DRAINING;
	reach_draining(&s);
	world_advance(s.w, 7 * USEC_PER_SEC);
	cr_assert(s.c->closed);
	cr_assert(ne(ptr, strstr(s.c->notice, "not shown"), NULL), "%s", s.c->notice);
	cr_assert(eq(int, s.c->exit_status, 7));
	tear_down(&s);
}

/* And has more for its user than that takes: its streams have no end yet. */
static void
exec_that_has_ended(struct scene *s)
{
	static uint8_t block[64 * 1024];
	const struct msg_control exit = {.type = CONTROL_EXIT, .exit_status = 7};
	struct world_channel *n;

	s->c = world_exec(s->user, s->node, "cat");
	s->c->hold = true;
	n = s->node->opened;
	for (int i = 0; i < 10; i++) {
		channel_write(n->ch, STREAM_OUT, block, sizeof(block));
		world_settle(s->w);
	}
	channel_control(n->ch, &exit);
	world_settle(s->w);
}

/* Its link answers pings, so it is there. */
Test(ending, what_nobody_takes_of_an_exec_that_has_ended_is_waited_for_for_an_hour)
{
	const int64_t minute = 60 * USEC_PER_SEC;
	struct scene s = live_scene();

	exec_that_has_ended(&s);
	cr_assert_not(s.c->closed);
	for (int i = 0; i < 58; i++)
		world_advance(s.w, minute);
	cr_assert_not(s.c->closed);
	for (int i = 0; i < 4; i++)
		world_advance(s.w, minute);
	cr_assert(s.c->closed);
	cr_assert(eq(int, s.c->code, HW_ETIMEOUT));
	cr_assert(ne(ptr, strstr(s.c->message, "nobody took its output"), NULL), "%s",
		s.c->message);
	tear_down(&s);
}

/* 600 bytes, of characters of three. */
static void
long_words(char out[601])
{
	for (int i = 0; i < 600; i += 3)
		memcpy(out + i, "\xe2\x82\xac", 3);
	out[600] = '\0';
}

Test(ending, a_reason_of_any_length_and_script_is_recorded)
{
	struct scene s = live_scene();
	char words[601];

	long_words(words);
	for (int cut = 0; cut < 3; cut++) {
		s.c = world_shell(s.user, s.node);
		channel_abort(s.node->opened->ch, HW_EIO, words);
		s.node->opened->ch = NULL;
		world_settle(s.w);
		cr_assert(s.c->closed);
		cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, OUTCOME_FAILED),
			(size_t)cut + 1));
		words[600 - 3 * (cut + 1)] = '\0';
	}
	tear_down(&s);
}

Test(ending, an_attempt_with_any_session_id_is_in_the_ledger)
{
	struct scene s = live_scene();
	char id[97];

	for (int n = 80; n <= 83; n++) { /* a character lies across the longest id's end */
		memset(id, 'a', (size_t)n);
		strcpy(id + n, "\xe2\x82\xac");
		s.c = world_open(s.user, CHANNEL_TYPE_PTY, id, "guess");
		cr_assert(eq(int, s.c->code, HW_ETICKET), "%s", s.c->message);
		cr_assert(eq(sz, world_entries(s.w, "decision", "ssm:StartSession", OUTCOME_DENIED),
			(size_t)n - 79));
	}
	tear_down(&s);
}

Test(ending, a_link_that_has_said_nothing_yet_ends_with_the_relay)
{
	struct scene s = live_scene();
	struct pair *mute = pair_new(s.w->loop);
	struct hw_err err = HW_ERR_INIT;

	pair_attach(mute, PAIR_A,
		relay_link(s.w->relay, &s.user->who, false, "192.0.2.1",
			pair_transport(mute, PAIR_A)));
	cr_assert(eq(dbl, world_metric(s.w, "links"), 4));
	cr_assert(eq(int, world_restart(s.w, &err), 0), "%s", err.text);
	world_advance(s.w, 20 * USEC_PER_SEC);
	cr_assert(pair_is_closed(mute, PAIR_A));
	pair_free(mute);
	tear_down(&s);
}

/* --- what is bounded -------------------------------------------------------------------------- */

Test(bounds, sessions_of_a_user_and_on_a_node_are_counted_and_given_back)
{
	struct world *w = world_new("max_sessions_per_user = 2\nmax_sessions_per_node = 1\n");
	struct world_peer *admin = world_admin(w);
	struct world_peer *one = world_node(w, admin, "one"), *two = world_node(w, admin, "two");
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_connect(one, &err), 0));
	cr_assert(eq(int, world_connect(two, &err), 0));
	struct world_channel *a = world_shell(admin, one), *b = world_shell(admin, one),
			     *c = world_shell(admin, two);
	struct world_channel *d = world_shell(admin, two);
	cr_assert(a->accepted);
	cr_assert(eq(int, b->code, HW_ELIMIT));
	cr_assert(ne(ptr, strstr(b->message, "on this node"), NULL), "%s", b->message);
	cr_assert(c->accepted);
	cr_assert(eq(int, d->code, HW_ELIMIT));
	cr_assert(ne(ptr, strstr(d->message, "admin has 2 sessions"), NULL), "%s", d->message);

	struct msg_close close = {.exited = true};
	channel_close(one->opened->ch, &close);
	one->opened->ch = NULL;
	world_settle(w);
	cr_assert(a->closed);
	cr_assert(world_shell(admin, one)->accepted);
	world_peer_free(one);
	world_peer_free(two);
	world_peer_free(admin);
	world_free(w);
}

Test(bounds, links_of_a_user_are_counted_and_given_back)
{
	struct world *w = world_new("max_links_per_user = 2\n");
	struct world_peer *admin = world_admin(w), second = *admin, third = *admin;
	struct hw_err err = HW_ERR_INIT;

	second.pair = third.pair = NULL;
	cr_assert(eq(int, world_connect(&second, &err), 0));
	cr_assert(eq(int, world_connect(&third, &err), HW_EFULL));
	cr_assert(ne(ptr, strstr(err.text, "admin has 2 links"), NULL), "%s", err.text);
	world_drop(admin);
	cr_assert(eq(int, world_connect(&third, &err), 0), "%s", err.text);
	cr_assert(eq(dbl, world_metric(w, "links"), 2));
	link_close(second.link, HW_ECLOSED, "");
	link_close(third.link, HW_ECLOSED, "");
	world_settle(w);
	cr_assert(eq(dbl, world_metric(w, "links"), 0));
	pair_free(second.pair);
	pair_free(third.pair);
	world_peer_free(admin);
	world_free(w);
}
