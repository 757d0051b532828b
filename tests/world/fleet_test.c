/* Stories of a fleet: real agents and real clients around a real relay. Each ends with nothing left
 * over. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/base/file.h"
#include "proto/wire/enrol.h"
#include "tests/world/fleet.h"

#define MINUTE	 (60 * USEC_PER_SEC)
#define ONE_DIAL (61 * USEC_PER_SEC) /* the longest pause, and a little */

struct story {
	struct world *w;
	struct fleet_user *admin;
	struct fleet_node *node;
};

static struct story
story_new(void)
{
	struct story s = {.w = world_new(NULL)};

	s.admin = fleet_user_new(s.w, s.w->invite);
	s.node = fleet_node_new(s.admin, "web-01");
	fleet_node_on(s.node);
	cr_assert(eq(int, fleet_node_state(s.node), AGENT_CONNECTED), "%s",
		fleet_node_error(s.node));
	return s;
}

static void
story_end(struct story *s)
{
	struct hw_err err = HW_ERR_INIT;

	if (conn_link(s->admin->conn) == NULL)
		cr_assert(eq(int, fleet_user_connect(s->admin, &err), 0), "%s", err.text);
	fleet_check_idle(s->admin, s->node);
	fleet_node_free(s->node);
	fleet_user_free(s->admin);
	world_free(s->w);
}

static bool
is_connected(const void *of)
{
	const struct fleet_node *n = of;

	return fleet_node_state(n) == AGENT_CONNECTED;
}

/* Not for renewal alone. */
static bool
is_online(const void *of)
{
	return is_connected(of) && !((const struct fleet_node *)of)->expired;
}

static bool
is_disconnected(const void *of)
{
	return !is_connected(of);
}

/* However soon it was back. */
static bool
was_disconnected(const void *of)
{
	return ((const struct fleet_node *)of)->downs > 0;
}

static bool
is_over(const void *of)
{
	return ((const struct fleet_program *)of)->over;
}

static bool
waits(const void *of)
{
	return remote_is_waiting(((const struct fleet_program *)of)->remote);
}

static bool
goes_on(const void *of)
{
	return !waits(of);
}

/* All the links that there are in a story, seen from the relay. */
static bool
misses_one(const void *of)
{
	return world_metric((struct world *)of, "links") < 2;
}

static bool
runs_nothing(const void *of)
{
	return fake_programs_count(((const struct fleet_node *)of)->programs)->live == 0;
}

static struct msg_instance_information
describe(const struct story *s)
{
	struct msg_describe_instance_information_request req = {.max_results = 50};
	struct msg_describe_instance_information_reply *rep;

	fleet_call(s->admin, OP_describe_instance_information, &rep, &req);
	cr_assert(eq(sz, rep->instance_information_list.n, 1));
	return rep->instance_information_list.v[0];
}

/* --- joining and reporting -------------------------------------------------------------------- */

Test(fleet, a_node_that_joined_is_online_and_says_what_it_is)
{
	struct story s = story_new();
	struct msg_instance_information i = describe(&s);
	char host[256];

	gethostname(host, sizeof(host));
	cr_assert(eq(int, i.ping_status, PING_STATUS_ONLINE));
	cr_assert_str_eq(i.instance_id, s.node->id);
	cr_assert_str_eq(i.name, "web-01");
	cr_assert_str_eq(i.agent_version, HAWSER_VERSION);
	cr_assert_str_eq(i.kernel, "6.1.0");
	cr_assert_str_eq(i.computer_name, host);
	s.node->kernel = "6.2.0";
	world_advance(s.w, 61 * MINUTE);
	cr_assert_str_eq(describe(&s).kernel, "6.2.0");
	story_end(&s);
}

/* --- programs --------------------------------------------------------------------------------- */

Test(fleet, what_a_shell_was_typed_and_showed_can_be_read_back)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_shell(s.admin, s.node);

	fleet_type(p, "uname\r");
	cr_assert_str_eq(fleet_shown(p, STREAM_OUT), "$ uname\r\n$ ");
	fleet_type(p, "exit 7\r");
	cr_assert(p->over && p->exit.exited);
	cr_assert(eq(int, p->exit.status, 7));

	struct fleet_record r = fleet_record_read(s.admin, p->session);
	cr_assert(r.complete);
	cr_assert_str_eq(buf_str(&r.bytes[STREAM_IN]), "uname\rexit 7\r");
	cr_assert_str_eq(buf_str(&r.bytes[STREAM_OUT]), "$ uname\r\n$ exit 7\r\n");
	fleet_record_fini(&r);
	fleet_program_free(p);
	story_end(&s);
}

Test(fleet, a_password_is_in_no_recording_and_what_was_shown_is)
{
	struct story s = story_new();
	struct hw_err err = HW_ERR_INIT;
	struct fleet_program *p;

	cr_assert(eq(int, fleet_start(&p, s.admin, s.node, CHANNEL_TYPE_PTY, "password", &err), 0),
		"%s", err.text);
	fleet_type(p, "hunter2");
	fleet_type(p, "\r");
	cr_assert(p->over && p->exit.exited);
	cr_assert(eq(int, p->exit.status, 0));

	struct fleet_record r = fleet_record_read(s.admin, p->session);
	cr_assert(r.complete);
	for (size_t i = 0; i < r.bytes[STREAM_IN].len; i++)
		cr_assert(eq(int, buf_data(&r.bytes[STREAM_IN])[i], 0));
	cr_assert(eq(sz, r.hidden, strlen("hunter2\r")));
	cr_assert_str_eq(buf_str(&r.bytes[STREAM_OUT]), "Password: \r\nok\r\n");
	fleet_record_fini(&r);
	fleet_program_free(p);
	story_end(&s);
}

Test(fleet, an_exec_has_its_streams_apart_and_its_status)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_exec(s.admin, s.node, "split");

	cr_assert(p->over && p->exit.exited);
	cr_assert(eq(int, p->exit.status, 3));
	cr_assert_str_eq(fleet_shown(p, STREAM_OUT), "out");
	cr_assert_str_eq(fleet_shown(p, STREAM_ERR), "err");
	fleet_program_free(p);
	story_end(&s);
}

Test(fleet, an_exec_is_given_its_input_and_the_end_of_it)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_exec(s.admin, s.node, "cat");

	fleet_type(p, "one\n");
	cr_assert_str_eq(fleet_shown(p, STREAM_OUT), "one\n");
	remote_end_input(p->remote);
	world_settle(s.w);
	cr_assert(p->over && p->exit.exited);
	cr_assert(eq(int, p->exit.status, 0));
	fleet_program_free(p);
	story_end(&s);
}

Test(fleet, much_output_arrives_whole)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_exec(s.admin, s.node, "print 3000000");

	fleet_wait(s.w, is_over, p, MINUTE);
	cr_assert(eq(sz, p->out[STREAM_OUT].len, 3000000));
	for (size_t i = 0; i < 3000000; i++)
		if (buf_data(&p->out[STREAM_OUT])[i] != fake_program_byte(i))
			cr_fatal("byte %zu is another one", i);
	fleet_program_free(p);
	story_end(&s);
}

Test(fleet, what_cannot_start_is_told_with_the_nodes_own_reason)
{
	struct story s = story_new();
	struct hw_err err = HW_ERR_INIT;
	struct fleet_program *p;

	for (int later = 0; later < 2; later++) {
		fake_programs_refuse(s.node->programs, HW_ERUNAS, "no user bob here", later);
		cr_assert(eq(int, fleet_start(&p, s.admin, s.node, CHANNEL_TYPE_PTY, NULL, &err),
			HW_ERUNAS));
		cr_assert(ne(ptr, strstr(err.text, "no user bob here"), NULL), "%s", err.text);
		fleet_check_idle(s.admin, s.node);
	}
	fake_programs_refuse(s.node->programs, 0, "", 0);
	if (fake_programs_count(s.node->programs)->live == 0)
		fleet_program_free(fleet_shell(s.admin, s.node));
	story_end(&s);
}

Test(fleet, a_user_who_leaves_ends_the_program)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_exec(s.admin, s.node, "sleep");

	cr_assert(eq(int, fake_programs_count(s.node->programs)->live, 1));
	fleet_program_free(p);
	cr_assert(runs_nothing(s.node));
	story_end(&s);
}

/* The line that it types is all that is missing of this. */
static void
check_echo(struct fleet_program *p, const char *line, const char *shown)
{
	fleet_type(p, line);
	cr_assert_str_eq(fleet_shown(p, STREAM_OUT), shown);
}

Test(fleet, a_users_lost_link_is_dialled_again_and_the_shell_goes_on)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_shell(s.admin, s.node);

	check_echo(p, "ls\r", "$ ls\r\n$ ");
	pair_drop(fleet_line(&s.admin->lines), "the cable was cut");
	world_settle(s.w);
	cr_assert(waits(p) && !p->over);
	cr_assert(eq(int, fake_programs_count(s.node->programs)->live, 1));
	fleet_wait(s.w, goes_on, p, ONE_DIAL);
	check_echo(p, "pwd\r", "$ ls\r\n$ pwd\r\n$ ");
	fleet_program_free(p);
	story_end(&s);
}

Test(fleet, a_user_who_does_not_come_back_is_waited_for_as_long_as_was_said)
{
	static const struct {
		int type;
		const char *command;
		int64_t grace;
	} kinds[] = {
		{CHANNEL_TYPE_EXEC, "sleep", 60 * USEC_PER_SEC  },
		{CHANNEL_TYPE_PTY,  NULL,	 3600 * USEC_PER_SEC},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct story s = story_new();
		struct hw_err err = HW_ERR_INIT;
		struct fleet_program *p;

		cr_assert(eq(int,
			fleet_start(&p, s.admin, s.node, kinds[i].type, kinds[i].command, &err),
			0));
		s.admin->unreachable = true;
		pair_drop(fleet_line(&s.admin->lines), "the cable was cut");
		world_advance(s.w, kinds[i].grace - USEC_PER_SEC);
		cr_assert(eq(int, fake_programs_count(s.node->programs)->live, 1));
		cr_assert(not(p->over));
		fleet_wait(s.w, runs_nothing, s.node, 3 * USEC_PER_SEC);
		fleet_wait(s.w, is_over, p, 3 * USEC_PER_SEC);
		cr_assert(eq(int, p->exit.code, HW_EUNAVAILABLE));
		cr_assert(ne(ptr, strstr(p->why, "is not back"), NULL), "%s", p->why);
		s.admin->unreachable = false;
		fleet_program_free(p);
		story_end(&s);
	}
}

Test(fleet, a_node_that_does_not_come_back_is_waited_for_and_its_user_is_told)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_exec(s.admin, s.node, "sleep");

	s.node->unreachable = true;
	pair_drop(fleet_line(&s.node->lines), "the cable was cut");
	world_advance(s.w, 59 * USEC_PER_SEC);
	cr_assert(waits(p) && !p->over);
	fleet_wait(s.w, is_over, p, 3 * USEC_PER_SEC);
	cr_assert(eq(int, p->exit.code, HW_EUNAVAILABLE));
	cr_assert(ne(ptr, strstr(p->why, "the node's link was lost"), NULL), "%s", p->why);
	fleet_wait(s.w, runs_nothing, s.node, 20 * USEC_PER_SEC);
	s.node->unreachable = false;
	fleet_wait(s.w, is_connected, s.node, ONE_DIAL);
	fleet_program_free(p);
	story_end(&s);
}

/* --- links that end --------------------------------------------------------------------------- */

Test(fleet, a_dropped_agent_is_back_soon_and_is_missed_meanwhile)
{
	struct story s = story_new();

	pair_drop(fleet_line(&s.node->lines), "the cable was cut");
	world_settle(s.w);
	cr_assert(eq(int, fleet_node_state(s.node), AGENT_WAITING));
	cr_assert(eq(int, describe(&s).ping_status, PING_STATUS_CONNECTION_LOST));
	fleet_wait(s.w, is_connected, s.node, ONE_DIAL);
	cr_assert(eq(int, describe(&s).ping_status, PING_STATUS_ONLINE));
	cr_assert_str_eq(describe(&s).kernel, "6.1.0");
	story_end(&s);
}

Test(fleet, an_agent_backs_off_while_nobody_answers_and_comes_back_within_a_minute)
{
	struct story s = story_new();

	s.node->unreachable = true;
	pair_drop(fleet_line(&s.node->lines), "the cable was cut");
	int before = s.node->dials;
	world_advance(s.w, MINUTE);
	int first = s.node->dials - before;
	world_advance(s.w, 60 * MINUTE);
	int later = s.node->dials - before - first;
	cr_assert(ge(int, first, 2));
	cr_assert(ge(int, later, 60), "no pause is longer than a minute");
	cr_assert(lt(int, later, 60 * first), "it does not get slower");
	cr_assert_str_eq(fleet_node_error(s.node), "nobody listens");
	s.node->unreachable = false;
	fleet_wait(s.w, is_connected, s.node, ONE_DIAL);
	story_end(&s);
}

Test(fleet, a_relay_that_restarts_gets_its_agents_users_and_sessions_back)
{
	struct story s = story_new();
	struct hw_err err = HW_ERR_INIT;
	struct fleet_program *p = fleet_shell(s.admin, s.node);

	fleet_type(p, "ls\r");
	cr_assert(eq(int, world_restart(s.w, &err), 0), "%s", err.text);
	cr_assert(waits(p) && !p->over);
	cr_assert(eq(int, fake_programs_count(s.node->programs)->live, 1));
	fleet_wait(s.w, is_connected, s.node, ONE_DIAL);
	fleet_wait(s.w, goes_on, p, ONE_DIAL);
	cr_assert(eq(int, describe(&s).ping_status, PING_STATUS_ONLINE));
	check_echo(p, "pwd\r", "$ ls\r\n$ pwd\r\n$ ");
	fleet_program_free(p);
	p = fleet_exec(s.admin, s.node, "exit 5");
	cr_assert(eq(int, p->exit.status, 5));
	fleet_program_free(p);
	story_end(&s);
}

static void
kill_relay(struct story *s)
{
	struct pair *const lines[] = {fleet_line(&s->node->lines), fleet_line(&s->admin->lines)};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_kill(s->w, lines, 2, &err), 0), "%s", err.text);
}

Test(fleet, a_relay_that_is_killed_ends_no_shell_and_its_recording_goes_on)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_shell(s.admin, s.node);

	fleet_type(p, "ls\r");
	kill_relay(&s);
	cr_assert(waits(p) && !p->over);
	cr_assert(eq(int, fake_programs_count(s.node->programs)->live, 1));
	fleet_wait(s.w, goes_on, p, ONE_DIAL);
	fleet_wait(s.w, is_connected, s.node, ONE_DIAL);
	fleet_type(p, "exit 7\r");
	fleet_wait(s.w, is_over, p, USEC_PER_SEC);
	cr_assert(p->exit.exited, "%s", p->why);
	cr_assert(eq(int, p->exit.status, 7));
	struct fleet_record r = fleet_record_read(s.admin, p->session);
	cr_assert(r.complete);
	cr_assert_str_eq(buf_str(&r.bytes[STREAM_IN]), "ls\rexit 7\r");
	cr_assert_str_eq(buf_str(&r.bytes[STREAM_OUT]), "$ ls\r\n$ exit 7\r\n");
	fleet_record_fini(&r);
	fleet_program_free(p);
	story_end(&s);
}

/* Nothing was shown that is not in it. */
static void
check_recorded(struct story *s, const struct fleet_program *p)
{
	struct fleet_record r = fleet_record_read(s->admin, p->session);

	cr_assert(r.complete);
	cr_assert(ge(sz, r.bytes[STREAM_OUT].len, p->out[STREAM_OUT].len));
	cr_assert(eq(int,
		memcmp(buf_data(&r.bytes[STREAM_OUT]), buf_data(&p->out[STREAM_OUT]),
			p->out[STREAM_OUT].len),
		0));
	if (p->exit.exited)
		cr_assert(eq(sz, r.bytes[STREAM_OUT].len, p->out[STREAM_OUT].len));
	fleet_record_fini(&r);
}

/* At whatever point of its output an exec is when the relay goes, and whether anybody comes back
 * for it or not. */
Test(fleet, a_relay_that_is_killed_while_output_flows_leaves_a_whole_recording)
{
	for (int turns = 0; turns < 8; turns++) {
		struct story s = story_new();
		struct hw_err err = HW_ERR_INIT;
		struct fleet_program *p = fleet_exec(s.admin, s.node, "cat");

		for (int i = 0; i < turns / 2; i++)
			fleet_type(p, "line\n");
		cr_assert(eq(sz, remote_send(p->remote, "last\n", 5), 5)); /* on its way */
		s.admin->unreachable = turns % 2 == 1;
		kill_relay(&s);
		if (s.admin->unreachable) {
			fleet_wait(s.w, is_over, p, 2 * MINUTE);
			fleet_wait(s.w, runs_nothing, s.node, 2 * MINUTE);
			s.admin->unreachable = false;
		} else {
			remote_end_input(p->remote);
			fleet_wait(s.w, is_over, p, ONE_DIAL);
			cr_assert(p->exit.exited, "%s", p->why);
		}
		fleet_program_end(p);
		if (conn_link(s.admin->conn) == NULL)
			cr_assert(eq(int, fleet_user_connect(s.admin, &err), 0), "%s", err.text);
		check_recorded(&s, p);
		fleet_program_free(p);
		story_end(&s);
	}
}

Test(fleet, an_agent_that_is_stopped_ends_its_programs_and_says_so)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_shell(s.admin, s.node);
	struct hw_err err = HW_ERR_INIT;

	agent_stop(s.node->agent, "the agent was stopped");
	world_settle(s.w);
	cr_assert(runs_nothing(s.node));
	cr_assert(p->over && !p->exit.exited);
	cr_assert(gt(sz, strlen(p->why), 0));
	int dials = s.node->dials;
	world_advance(s.w, 60 * MINUTE);
	cr_assert(eq(int, s.node->dials, dials));
	fleet_program_free(p);
	cr_assert(eq(int, fleet_start(&p, s.admin, s.node, CHANNEL_TYPE_PTY, NULL, &err),
		HW_EOFFLINE));
	story_end(&s);
}

Test(fleet, an_agent_that_is_replaced_leaves_its_programs_to_the_next)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_shell(s.admin, s.node);

	fleet_type(p, "one\r");
	for (int i = 0; i < 3; i++) {
		fleet_node_restart(s.node);
		world_advance(s.w, 5 * USEC_PER_SEC);
		fleet_type(p, "two\r");
	}
	fleet_type(p, "exit 7\r");
	cr_assert(p->over && p->exit.exited, "%s", p->why);
	cr_assert(eq(int, p->exit.status, 7));
	cr_assert_str_eq(fleet_shown(p, STREAM_OUT),
		"$ one\r\n$ two\r\n$ two\r\n$ two\r\n$ exit 7\r\n");

	struct fleet_record r = fleet_record_read(s.admin, p->session);
	cr_assert(r.complete);
	cr_assert_str_eq(buf_str(&r.bytes[STREAM_IN]), "one\rtwo\rtwo\rtwo\rexit 7\r");
	cr_assert_str_eq(buf_str(&r.bytes[STREAM_OUT]),
		"$ one\r\n$ two\r\n$ two\r\n$ two\r\n$ exit 7\r\n");
	fleet_record_fini(&r);
	fleet_program_free(p);
	story_end(&s);
}

Test(fleet, a_session_that_is_terminated_is_the_only_one_that_ends)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_shell(s.admin, s.node), *q = fleet_shell(s.admin, s.node);
	struct msg_terminate_session_request req = {.session_id = p->session};

	fleet_call(s.admin, OP_terminate_session, &(void *){NULL}, &req);
	world_advance(s.w, USEC_PER_SEC);
	cr_assert(p->over && !p->exit.exited);
	cr_assert(eq(int, p->exit.code, HW_ETERMINATED));
	cr_assert(not(q->over));
	cr_assert(eq(int, fake_programs_count(s.node->programs)->live, 1));
	fleet_type(q, "exit 1\r");
	cr_assert(q->over && q->exit.exited);
	fleet_program_free(p);
	fleet_program_free(q);
	story_end(&s);
}

/* --- the dead --------------------------------------------------------------------------------- */

/* Neither end can send; nobody is told. */
static void
silence(struct pair *line, bool silent)
{
	pair_pause(line, PAIR_A, silent);
	pair_pause(line, PAIR_B, silent);
}

Test(fleet, a_dead_line_to_a_node_is_noticed_at_both_ends_within_30_seconds)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_shell(s.admin, s.node);

	world_advance(s.w, 7 * USEC_PER_SEC);
	s.node->unreachable = true;
	silence(fleet_line(&s.node->lines), true);
	int64_t took = fleet_wait(s.w, is_disconnected, s.node, 30 * USEC_PER_SEC);
	cr_assert(ne(ptr, strstr(s.node->down_why, "nothing was heard"), NULL), "%s",
		s.node->down_why);
	world_advance(s.w, 30 * USEC_PER_SEC - took);
	cr_assert(waits(p) && !p->over, "the relay goes on as if the node were there");
	cr_assert(eq(int, describe(&s).ping_status, PING_STATUS_CONNECTION_LOST));
	s.node->unreachable = false;
	fleet_wait(s.w, is_connected, s.node, ONE_DIAL);
	fleet_wait(s.w, goes_on, p, ONE_DIAL);
	check_echo(p, "ls\r", "$ ls\r\n$ ");
	fleet_program_free(p);
	story_end(&s);
}

Test(fleet, a_line_that_is_dead_in_one_direction_is_noticed_too)
{
	for (int side = PAIR_A; side <= PAIR_B; side++) {
		struct story s = story_new();
		struct fleet_program *p = fleet_shell(s.admin, s.node);

		pair_pause(fleet_line(&s.node->lines), side, true);
		cr_assert(eq(sz, remote_send(p->remote, "ls\r", 3), 3));
		fleet_wait(s.w, was_disconnected, s.node, 30 * USEC_PER_SEC);
		fleet_wait(s.w, goes_on, p, ONE_DIAL);
		world_settle(s.w);
		cr_assert_str_eq(fleet_shown(p, STREAM_OUT), "$ ls\r\n$ ");
		cr_assert(is_connected(s.node));
		fleet_program_free(p);
		story_end(&s);
	}
}

Test(fleet, a_dead_line_to_a_user_is_noticed_at_both_ends_within_30_seconds)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_shell(s.admin, s.node);

	s.admin->unreachable = true;
	silence(fleet_line(&s.admin->lines), true);
	int64_t took = fleet_wait(s.w, waits, p, 30 * USEC_PER_SEC);
	fleet_wait(s.w, misses_one, s.w, 30 * USEC_PER_SEC - took);
	cr_assert(eq(int, fake_programs_count(s.node->programs)->live, 1));
	s.admin->unreachable = false;
	fleet_wait(s.w, goes_on, p, ONE_DIAL);
	check_echo(p, "ls\r", "$ ls\r\n$ ");
	fleet_program_free(p);
	story_end(&s);
}

/* Whenever in the rhythm of pings it happens. */
Test(fleet, a_dead_line_is_noticed_in_time_at_any_moment)
{
	struct story s = story_new();

	for (int i = 0; i < 50; i++) {
		world_advance(s.w, i * 430 * USEC_PER_MSEC);
		s.node->unreachable = true;
		silence(fleet_line(&s.node->lines), true);
		int64_t took = fleet_wait(s.w, is_disconnected, s.node, 30 * USEC_PER_SEC);
		world_advance(s.w, 30 * USEC_PER_SEC - took);
		cr_assert(eq(int, describe(&s).ping_status, PING_STATUS_CONNECTION_LOST),
			"at moment %d", i);
		s.node->unreachable = false;
		fleet_wait(s.w, is_connected, s.node, ONE_DIAL);
	}
	story_end(&s);
}

/* Its machine was reset, and is there again before the old line is known to be dead: what ran on it
 * is no more. */
Test(fleet, a_node_that_was_reset_takes_the_place_of_its_old_link)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_shell(s.admin, s.node);

	fleet_node_off(s.node);
	cr_assert(not(p->over));
	fleet_node_on(s.node);
	cr_assert(is_connected(s.node));
	fleet_wait(s.w, is_over, p, USEC_PER_SEC);
	cr_assert(not(p->exit.exited));
	cr_assert(ne(ptr, strstr(p->why, "its agent was started anew"), NULL), "%s", p->why);
	fleet_program_free(p);
	p = fleet_exec(s.admin, s.node, "exit 4");
	cr_assert(eq(int, p->exit.status, 4));
	fleet_program_free(p);
	story_end(&s);
}

/* --- certificates ----------------------------------------------------------------------------- */

/* The administrator stays logged in, and comes as often as its certificate asks for: a link that
 * nobody looks at would cost more than all else of a month. */
static void
go_on(struct story *s, int64_t usec, void (*pass)(struct world *w, int64_t usec))
{
	struct hw_err err = HW_ERR_INIT;

	for (int64_t step = CERT_USER_LIFE / 2; usec > 0; usec -= step) {
		fleet_user_off(s->admin);
		pass(s->w, usec < step ? usec : step);
		cr_assert(eq(int, fleet_user_connect(s->admin, &err), 0), "%s", err.text);
		fleet_user_renew(s->admin);
	}
}

static void
live_on(struct story *s, int64_t usec)
{
	go_on(s, usec, world_advance);
}

static void
sleep_on(struct story *s, int64_t usec)
{
	go_on(s, usec, world_sleep);
}

static struct cert_identity
certificate(const struct story *s)
{
	struct cert_identity who;

	cr_assert(eq(int, credentials_identity(&who, s->node->fd, NULL), 0));
	return who;
}

static bool
is_good(const struct cert_identity *who, const struct story *s)
{
	int64_t left = who->not_after - clock_wall(&s->w->clock.clock);

	return left > CERT_NODE_LIFE / 2 && left <= CERT_NODE_LIFE;
}

static void
check_exec(struct story *s)
{
	struct fleet_program *p = fleet_exec(s->admin, s->node, "exit 9");

	cr_assert(p->exit.exited);
	cr_assert(eq(int, p->exit.status, 9));
	fleet_program_free(p);
}

Test(fleet, a_certificate_is_renewed_at_half_of_its_life_and_the_link_stays)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_exec(s.admin, s.node, "sleep");
	struct cert_identity first = certificate(&s), second;

	fleet_program_free(p);
	live_on(&s, 14 * CERT_DAY);
	cr_assert(eq(int, s.node->renewals, 0));
	live_on(&s, 2 * CERT_DAY);
	cr_assert(eq(int, s.node->renewals, 1));
	second = certificate(&s);
	cr_assert_str_neq(first.serial, second.serial);
	cr_assert(is_good(&second, &s));
	cr_assert(eq(int, s.node->ups, 1), "the link went down: %s", fleet_node_error(s.node));
	check_exec(&s);

	pair_drop(fleet_line(&s.node->lines), "the cable was cut");
	fleet_wait(s.w, is_connected, s.node, ONE_DIAL);
	check_exec(&s);
	story_end(&s);
}

Test(fleet, a_node_that_was_away_past_half_of_its_certificates_life_renews_at_once)
{
	struct story s = story_new();

	fleet_node_off(s.node);
	sleep_on(&s, 20 * CERT_DAY);
	fleet_node_on(s.node);
	struct cert_identity who = certificate(&s);
	cr_assert(eq(int, s.node->renewals, 1));
	cr_assert(is_good(&who, &s));
	cr_assert(eq(int, s.node->ups, 2), "its certificate was good all the time");
	check_exec(&s);
	story_end(&s);
}

Test(fleet, a_node_that_was_away_for_a_month_renews_and_comes_back_by_itself)
{
	struct story s = story_new();
	struct hw_err err = HW_ERR_INIT;
	struct fleet_program *p;

	fleet_node_off(s.node);
	sleep_on(&s, 35 * CERT_DAY);
	fleet_node_on(s.node);
	s.node->unreachable = true; /* it dials again by chance, perhaps at once */
	cr_assert(eq(int, s.node->renewals, 1));
	sleep_on(&s, USEC_PER_SEC); /* until it is kept when it was seen */
	cr_assert(eq(int, describe(&s).ping_status, PING_STATUS_CONNECTION_LOST),
		"a link for renewal alone is none that is online");
	cr_assert(eq(int, fleet_start(&p, s.admin, s.node, CHANNEL_TYPE_PTY, NULL, &err),
		HW_EOFFLINE));
	s.node->unreachable = false;
	fleet_wait(s.w, is_online, s.node, 2 * ONE_DIAL);
	struct cert_identity who = certificate(&s);
	cr_assert(is_good(&who, &s));
	cr_assert(eq(int, s.node->ups, 3));
	cr_assert(eq(int, describe(&s).ping_status, PING_STATUS_ONLINE));
	check_exec(&s);
	story_end(&s);
}

Test(fleet, an_agent_without_its_relay_for_a_month_comes_back_by_itself)
{
	struct story s = story_new();

	s.node->unreachable = true;
	pair_drop(fleet_line(&s.node->lines), "the cable was cut");
	live_on(&s, 35 * CERT_DAY);
	s.node->unreachable = false;
	fleet_wait(s.w, is_online, s.node, 2 * ONE_DIAL);
	cr_assert(eq(int, s.node->renewals, 1));
	cr_assert(eq(int, describe(&s).ping_status, PING_STATUS_ONLINE));
	check_exec(&s);
	story_end(&s);
}

static bool
lose(void *arg, uint8_t *p, size_t n)
{
	(void)arg, (void)p, (void)n;
	return false;
}

/* The relay has issued a new certificate each time, and the node has none of them. */
Test(fleet, a_node_whose_renewals_answers_are_lost_is_not_locked_out)
{
	struct story s = story_new();
	struct cert_identity first = certificate(&s), last;

	for (int i = 0; i < 5; i++) {
		pair_tap(fleet_line(&s.node->lines), PAIR_A, lose, NULL);
		credentials_renew(s.node->credentials);
		world_settle(s.w);
		pair_drop(fleet_line(&s.node->lines), "the cable was cut");
		fleet_wait(s.w, is_connected, s.node, ONE_DIAL);
	}
	last = certificate(&s);
	cr_assert_str_eq(first.serial, last.serial);
	credentials_renew(s.node->credentials);
	world_settle(s.w);
	cr_assert(eq(int, s.node->renewals, 1));
	pair_drop(fleet_line(&s.node->lines), "the cable was cut");
	fleet_wait(s.w, is_connected, s.node, ONE_DIAL);
	check_exec(&s);
	cr_assert(eq(sz, world_entries(s.w, "alarm", NULL, 0), 0));
	story_end(&s);
}

Test(fleet, a_copy_of_a_node_is_refused_once_the_node_has_renewed_twice)
{
	struct story s = story_new();
	struct fleet_node *n = s.node;
	struct hw_err err = HW_ERR_INIT;
	struct buf old;

	buf_init(&old, 65536);
	cr_assert(eq(int, file_read(&old, n->fd, ENROL_NODE_CERT, &err), 0));
	for (int i = 0; i < 2; i++) {
		credentials_renew(n->credentials);
		world_settle(s.w);
	}
	cr_assert(eq(int, n->renewals, 2));
	cr_assert(is_connected(n));
	fleet_node_off(n);
	cr_assert(eq(int, file_write(n->fd, ENROL_NODE_CERT, buf_data(&old), old.len, 0644, &err),
		0));
	fleet_node_on(n);
	cr_assert(not(is_connected(n)));
	cr_assert(ne(ptr, strstr(fleet_node_error(n), "outdated"), NULL), "%s",
		fleet_node_error(n));
	cr_assert(eq(sz, world_entries(s.w, "alarm", NULL, 0), 1));
	buf_fini(&old);
	world_advance(s.w, 31 * USEC_PER_SEC);
	story_end(&s);
}

/* --- deregistration --------------------------------------------------------------------------- */

Test(fleet, a_deregistered_node_ends_its_programs_and_dials_no_more)
{
	struct story s = story_new();
	struct fleet_program *p = fleet_shell(s.admin, s.node);
	struct msg_deregister_managed_instance_request req = {.instance_id = s.node->id};

	int dials = s.node->dials;
	fleet_call(s.admin, OP_deregister_managed_instance, &(void *){NULL}, &req);
	world_advance(s.w, 3 * USEC_PER_SEC);
	cr_assert(eq(int, fleet_node_state(s.node), AGENT_REVOKED));
	cr_assert(s.node->revoked);
	cr_assert(runs_nothing(s.node));
	cr_assert(p->over && !p->exit.exited);
	cr_assert(gt(sz, strlen(p->why), 0));
	cr_assert(ne(int, faccessat(s.node->fd, ENROL_NODE_KEY, F_OK, 0), 0));
	world_advance(s.w, 60 * MINUTE);
	cr_assert(eq(int, s.node->dials, dials));
	fleet_program_free(p);
	story_end(&s);
}

Test(fleet, a_node_that_was_deregistered_while_away_is_not_let_in)
{
	struct story s = story_new();
	struct msg_deregister_managed_instance_request req = {.instance_id = s.node->id};

	fleet_node_off(s.node);
	fleet_call(s.admin, OP_deregister_managed_instance, &(void *){NULL}, &req);
	fleet_node_on(s.node);
	world_advance(s.w, 10 * MINUTE);
	cr_assert(eq(int, s.node->ups, 1));
	cr_assert(ne(ptr, strstr(fleet_node_error(s.node), "not registered"), NULL), "%s",
		fleet_node_error(s.node));
	story_end(&s);
}
