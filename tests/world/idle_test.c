/* Sessions through which nothing goes, sessions that grow old, and what the store tells of those
 * whose user is away. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/world/world.h"

#define SECOND	  USEC_PER_SEC
#define MINUTE	  (60 * USEC_PER_SEC)
#define HALF_HOUR "idle_seconds = 1800\n"

struct stage {
	struct world *w;
	struct world_peer *admin, *node;
};

static struct stage
stage_new(const char *conf)
{
	struct stage s = {.w = world_new(conf)};

	s.admin = world_admin(s.w);
	s.admin->keeps = true;
	s.node = world_node(s.w, s.admin, "web-01");
	s.node->keeps = true;
	world_dial(s.node);
	return s;
}

static void
stage_free(struct stage *s)
{
	world_peer_free(s->node);
	world_peer_free(s->admin);
	world_free(s->w);
}

static void
say(struct stage *s, struct world_channel *c, int stream, const char *text)
{
	cr_assert(eq(sz, channel_write(c->ch, stream, text, strlen(text)), strlen(text)));
	world_settle(s->w);
}

/* The one live session, as it is listed; NULL when none passes the filter. */
static struct msg_session *
listed(struct stage *s, const char *status)
{
	struct msg_session_filter filter = {.key = SESSION_FILTER_STATUS, .value = status};
	struct msg_describe_sessions_request req = {
		.state = SESSION_STATE_ACTIVE, .filters = {.v = &filter, .n = status != NULL}
	     };
	struct msg_describe_sessions_reply *rep;
	char why[384];

	cr_assert(eq(int, world_call(s->admin, OP_describe_sessions, &req, &rep, why), 0), "%s",
		why);
	cr_assert(le(sz, rep->sessions.n, 1));
	return rep->sessions.n > 0 ? &rep->sessions.v[0] : NULL;
}

/* From where it is now, and from the beginning of what it is shown. */
static struct world_channel *
take_up(struct stage *s, struct world_peer *by, const struct world_channel *c)
{
	const struct msg_resume who = {
		.type = CHANNEL_TYPE_PTY, .session_id = c->session, .token = c->token};
	struct channel_stand ours[STREAMS] = {0};

	for (int i = STREAM_OUT; i < STREAMS; i++) {
		ours[i].received = ours[i].consumed = c->got[i].len;
		ours[i].limit = ours[i].consumed + 65536;
	}
	ours[STREAM_IN].sent = s->node->opened->got[STREAM_IN].len;
	return world_resume_as(by, &who, ours);
}

/* --- a shell ---------------------------------------------------------------------------------- */

Test(idle, a_shell_is_warned_and_detached_and_goes_on)
{
	struct stage s = stage_new(HALF_HOUR);
	struct world_channel *c = world_shell(s.admin, s.node), *n = s.node->opened;

	say(&s, c, STREAM_IN, "vi");
	say(&s, n, STREAM_OUT, "~");
	world_advance(s.w, 29 * MINUTE - 2 * SECOND);
	cr_assert_str_eq(c->notice, "");
	world_advance(s.w, 4 * SECOND);
	cr_assert_str_eq(c->notice,
		"idle: this session is detached in 60 seconds unless something happens");
	world_advance(s.w, 56 * SECOND);
	cr_assert(not(c->closed));
	world_advance(s.w, 4 * SECOND);
	cr_assert(c->closed);
	cr_assert(eq(int, c->code, HW_EDETACHED));
	cr_assert_str_eq(c->message, "idle for 30 minutes");
	cr_assert(not(n->closed), "the shell runs");
	cr_assert(not(n->parked));
	cr_assert(eq(sz, world_entries(s.w, "session.detach", NULL, OUTCOME_OK), 1));
	say(&s, n, STREAM_OUT, "more");
	struct world_channel *again = take_up(&s, s.admin, c);
	cr_assert(again->resumed, "%s", again->message);
	cr_assert(world_got(again, STREAM_OUT, "more"), "what it wrote meanwhile");
	say(&s, again, STREAM_IN, ":q");
	cr_assert(world_got(n, STREAM_IN, "vi:q"));
	world_advance(s.w, 29 * MINUTE - 2 * SECOND);
	cr_assert(not(again->closed), "who comes back has all the time again");
	cr_assert_str_eq(again->notice, "");
	stage_free(&s);
}

Test(idle, a_byte_in_either_direction_keeps_a_shell)
{
	static const int streams[] = {STREAM_IN, STREAM_OUT};

	for (size_t i = 0; i < 2; i++) {
		struct stage s = stage_new(HALF_HOUR);
		struct world_channel *c = world_shell(s.admin, s.node);

		for (int k = 0; k < 5; k++) {
			world_advance(s.w, 29 * MINUTE + 30 * SECOND);
			cr_assert(ne(int, c->notice[0], '\0'));
			c->notice[0] = '\0';
			say(&s, streams[i] == STREAM_IN ? c : s.node->opened, streams[i], ".");
			world_advance(s.w, 10 * MINUTE);
			cr_assert(not(c->closed), "%d", k);
			cr_assert_str_eq(c->notice, "");
			say(&s, streams[i] == STREAM_IN ? c : s.node->opened, streams[i], ".");
		}
		world_advance(s.w, 31 * MINUTE);
		cr_assert(eq(int, c->code, HW_EDETACHED));
		stage_free(&s);
	}
}

Test(idle, a_short_limit_warns_at_its_half)
{
	struct stage s = stage_new("idle_seconds = 90\n");
	struct world_channel *c = world_shell(s.admin, s.node);

	world_advance(s.w, 43 * SECOND);
	cr_assert_str_eq(c->notice, "");
	world_advance(s.w, 4 * SECOND);
	cr_assert_str_eq(c->notice,
		"idle: this session is detached in 45 seconds unless something happens");
	world_advance(s.w, 45 * SECOND);
	cr_assert(eq(int, c->code, HW_EDETACHED));
	cr_assert_str_eq(c->message, "idle for 90 seconds");
	stage_free(&s);
}

Test(idle, without_a_limit_nothing_happens)
{
	struct stage s = stage_new("idle_seconds = 0\nmax_session_seconds = 0\n");
	struct world_channel *c = world_shell(s.admin, s.node), *f = world_forward(s.admin, s.node);

	for (int hour = 0; hour < 30; hour++)
		world_advance(s.w, 60 * MINUTE);
	cr_assert(not(c->closed || f->closed));
	cr_assert_str_eq(c->notice, "");
	stage_free(&s);
}

Test(idle, a_detached_shell_lives_for_its_time_and_its_end_says_so)
{
	struct stage s = stage_new("idle_seconds = 120\ndetached_seconds = 300\n");
	struct world_channel *c = world_shell(s.admin, s.node);

	world_advance(s.w, 122 * SECOND);
	cr_assert(eq(int, c->code, HW_EDETACHED));
	world_advance(s.w, 297 * SECOND);
	cr_assert(not(s.node->opened->closed));
	world_advance(s.w, 4 * SECOND);
	cr_assert(s.node->opened->closed);
	cr_assert(eq(int, s.node->opened->code, HW_ETERMINATED));
	struct world_channel *late = take_up(&s, s.admin, c);
	cr_assert(eq(int, late->code, HW_ETERMINATED));
	cr_assert_str_eq(late->message,
		"it was detached, and nobody attached to it within 300 seconds");
	stage_free(&s);
}

/* It waits for its node, which may be away for longer than a shell may be idle. */
Test(idle, a_shell_whose_node_is_away_is_not_idle)
{
	struct stage s = stage_new("idle_seconds = 120\n");
	struct world_channel *c = world_shell(s.admin, s.node);

	world_drop(s.node);
	cr_assert(c->parked);
	world_advance(s.w, 10 * MINUTE);
	world_dial(s.node);
	world_resume(c, s.admin);
	world_advance(s.w, 5 * SECOND);
	cr_assert(c->resumed && !c->closed, "%s", c->message);
	cr_assert_str_eq(c->notice, "");
	stage_free(&s);
}

/* --- others ----------------------------------------------------------------------------------- */

Test(idle, a_forward_is_warned_and_closed)
{
	struct stage s = stage_new(HALF_HOUR);
	struct world_channel *f = world_forward(s.admin, s.node), *c = world_connection(f, 1);

	cr_assert(c->accepted, "%s", c->message);
	say(&s, c, STREAM_IN, "select 1");
	world_advance(s.w, 29 * MINUTE - 2 * SECOND);
	cr_assert_str_eq(f->notice, "");
	world_advance(s.w, 4 * SECOND);
	cr_assert_str_eq(f->notice,
		"idle: this forward is closed in 60 seconds unless something happens");
	world_advance(s.w, MINUTE);
	cr_assert(f->closed);
	cr_assert(eq(int, f->code, HW_ETERMINATED));
	cr_assert_str_eq(f->message, "idle for 30 minutes");
	cr_assert(c->closed);
	cr_assert(eq(sz, world_entries_with(s.w, "\"idle for 30 minutes\""), 0));
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, 0), 1));
	cr_assert(ge(sz, world_entries_with(s.w, "idle for 30 minutes"), 1));
	stage_free(&s);
}

Test(idle, bytes_of_its_connections_keep_a_forward)
{
	struct stage s = stage_new("idle_seconds = 120\n");
	struct world_channel *f = world_forward(s.admin, s.node), *c = world_connection(f, 1);

	cr_assert(c->accepted, "%s", c->message);
	for (int i = 0; i < 5; i++) {
		world_advance(s.w, 110 * SECOND);
		say(&s, i % 2 == 0 ? c : s.node->opened, i % 2 == 0 ? STREAM_IN : STREAM_OUT, "x");
	}
	cr_assert(not(f->closed));
	world_advance(s.w, 122 * SECOND);
	cr_assert(f->closed);
	stage_free(&s);
}

Test(idle, a_command_may_be_silent)
{
	struct stage s = stage_new("idle_seconds = 60\n");
	struct world_channel *c = world_exec(s.admin, s.node, "sleep 86400");

	world_advance(s.w, 600 * MINUTE);
	cr_assert(not(c->closed));
	cr_assert_str_eq(c->notice, "");
	stage_free(&s);
}

/* --- age -------------------------------------------------------------------------------------- */

/* Whatever goes through it. */
static void
grow_old(struct stage *s, struct world_channel *c)
{
	for (int i = 0; i < 118; i++) {
		world_advance(s->w, MINUTE);
		cr_assert(not(c->closed), "%d", i);
		if (c->type == CHANNEL_TYPE_PTY)
			say(s, c, STREAM_IN, ".");
	}
	world_advance(s->w, 58 * SECOND);
	cr_assert_str_eq(c->notice, "");
	world_advance(s->w, 4 * SECOND);
	cr_assert_str_eq(c->notice, "this session ends in 60 seconds: it may be no older");
	world_advance(s->w, MINUTE);
	cr_assert(c->closed);
	cr_assert(eq(int, c->code, HW_ETERMINATED));
	cr_assert_str_eq(c->message, "no session may be older than 2 hours");
}

Test(idle, a_session_of_any_kind_ends_at_its_age)
{
	struct stage s = stage_new("max_session_seconds = 7200\n");

	grow_old(&s, world_shell(s.admin, s.node));
	grow_old(&s, world_exec(s.admin, s.node, "tail -f log"));
	grow_old(&s, world_forward(s.admin, s.node));
	stage_free(&s);
}

Test(idle, a_restart_makes_no_session_younger)
{
	struct stage s = stage_new("max_session_seconds = 7200\n");
	struct hw_err err = HW_ERR_INIT;

	world_shell(s.admin, s.node);
	world_advance(s.w, 100 * MINUTE);
	cr_assert(eq(int, world_restart(s.w, &err), 0), "%s", err.text);
	world_dial(s.node);
	world_advance(s.w, 19 * MINUTE);
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, 0), 0));
	world_advance(s.w, 2 * MINUTE);
	cr_assert(eq(sz, world_entries(s.w, "session.end", NULL, 0), 1));
	cr_assert(ge(sz, world_entries_with(s.w, "no session may be older than 2 hours"), 1));
	world_dial(s.admin);
	stage_free(&s);
}

/* --- whose user is away ----------------------------------------------------------------------- */

static void
let_go(struct world_channel *c)
{
	channel_interrupt(c->ch, "detached by its user");
	c->parked = true;
	world_settle(c->peer->world);
}

static void
expect_away(struct stage *s, int64_t since)
{
	struct msg_session *m = listed(s, "Disconnected");

	cr_assert(ne(ptr, m, NULL));
	cr_assert(eq(int, m->status, SESSION_STATUS_DISCONNECTED));
	cr_assert(eq(i64, m->away, since));
	cr_assert(eq(ptr, listed(s, "Connected"), NULL));
	cr_assert(ne(ptr, listed(s, NULL), NULL));
}

static void
expect_there(struct stage *s)
{
	struct msg_session *m = listed(s, "Connected");

	cr_assert(ne(ptr, m, NULL));
	cr_assert(eq(i64, m->away, 0));
	cr_assert(eq(ptr, listed(s, "Disconnected"), NULL));
}

static int64_t
wall(const struct stage *s)
{
	return clock_wall(loop_clock(s->w->loop));
}

Test(presence, the_store_tells_whose_user_is_away_and_since_when)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = world_shell(s.admin, s.node);

	expect_there(&s);
	int64_t lost = wall(&s);
	world_drop(s.admin);
	world_advance(s.w, MINUTE);
	world_dial(s.admin);
	expect_away(&s, lost);
	world_resume(c, s.admin);
	cr_assert(c->resumed);
	expect_there(&s);
	cr_assert(eq(sz, world_entries(s.w, "session.detach", NULL, OUTCOME_OK), 1));
	cr_assert(eq(sz, world_entries_with(s.w, "the user's link was lost"), 1));
	stage_free(&s);
}

Test(presence, who_lets_go_is_away)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = world_shell(s.admin, s.node);
	int64_t since = wall(&s);

	let_go(c);
	expect_away(&s, since);
	cr_assert(eq(sz, world_entries_with(s.w, "the user let go of it"), 1));
	cr_assert(not(s.node->opened->closed));
	stage_free(&s);
}

Test(presence, a_lost_node_and_another_link_make_nobody_absent)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = world_shell(s.admin, s.node);
	struct world_peer *twin = world_twin(s.admin);

	world_drop(s.node);
	cr_assert(c->parked);
	expect_there(&s);
	world_dial(s.node);
	world_resume(c, s.admin);
	world_dial(twin);
	struct world_channel *there = take_up(&s, twin, c);
	cr_assert(there->resumed, "%s", there->message);
	cr_assert(c->parked);
	expect_there(&s);
	world_peer_free(twin);
	stage_free(&s);
}

Test(presence, nobody_is_there_when_a_relay_starts)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = world_shell(s.admin, s.node);
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_restart(s.w, &err), 0), "%s", err.text);
	int64_t since = wall(&s);
	world_dial(s.node);
	world_dial(s.admin);
	world_advance(s.w, 10 * SECOND);
	expect_away(&s, since);
	cr_assert(eq(int, world_restart(s.w, &err), 0), "%s", err.text);
	world_dial(s.node);
	world_dial(s.admin);
	expect_away(&s, since);
	world_resume(c, s.admin);
	cr_assert(c->resumed, "%s", c->message);
	expect_there(&s);
	stage_free(&s);
}

/* Each change is noted while the one before is being saved; the last one counts. */
Test(presence, who_comes_and_goes_is_what_it_was_last)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = world_shell(s.admin, s.node);

	for (int i = 0; i < 20; i++) {
		world_drop(s.admin);
		world_dial(s.admin);
		world_resume(c, s.admin);
	}
	expect_there(&s);
	world_drop(s.admin);
	int64_t since = wall(&s);
	world_dial(s.admin);
	expect_away(&s, since);
	stage_free(&s);
}

Test(presence, one_that_has_ended_is_nothing_else)
{
	struct stage s = stage_new(NULL);
	struct world_channel *c = world_shell(s.admin, s.node);
	struct msg_describe_sessions_request past = {.state = SESSION_STATE_HISTORY};
	struct msg_describe_sessions_reply *rep;

	let_go(c);
	world_exit(s.node->opened, 3, NULL);
	world_advance(s.w, 120 * SECOND);
	cr_assert(eq(ptr, listed(&s, NULL), NULL));
	cr_assert(eq(int, world_call(s.admin, OP_describe_sessions, &past, &rep, NULL), 0));
	cr_assert(eq(int, rep->sessions.v[0].status, SESSION_STATUS_TERMINATED));
	cr_assert(eq(i64, rep->sessions.v[0].away, 0));
	stage_free(&s);
}
