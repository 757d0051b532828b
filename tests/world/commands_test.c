/* Commands from who sends them to their ends, with nodes that the test scripts. */
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/wire/codec.h"
#include "relay/core/call.h"
#include "relay/core/dispatcher.h"
#include "relay/core/packed.h"
#include "relay/core/relay_private.h"
#include "relay/store/commands.h"
#include "relay/store/invocations.h"
#include "relay/store/nodes.h"
#include "relay/store/store.h"
#include "tests/world/world.h"

#define NODES_MAX	   8
#define HOUR		   (INT64_C(3600) * USEC_PER_SEC)
#define DAY		   (24 * HOUR)
#define POLICY(statements) "{\"Version\":\"2012-10-17\",\"Statement\":[" statements "]}"

struct stage {
	struct world *w;
	struct world_peer *admin, *nodes[NODES_MAX];
	size_t n;
	char id[37]; /* of the last command */
	char why[384];
};

/* --- the stage ---------------------------------------------------------------------------------
 */

static struct stage *
stage_new(size_t n, const char *conf)
{
	static struct stage s;
	struct hw_err err = HW_ERR_INIT;
	char name[32];

	s = (struct stage){.w = world_new(conf), .n = n};
	s.admin = world_admin(s.w);
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "web-%02zu", i);
		s.nodes[i] = world_node(s.w, s.admin, name);
		cr_assert(eq(int, world_connect(s.nodes[i], &err), 0), "%s", err.text);
	}
	/* Commands go by id. */
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n; k++)
			if (strcmp(s.nodes[i]->who.id, s.nodes[k]->who.id) > 0) {
				struct world_peer *p = s.nodes[i];
				s.nodes[i] = s.nodes[k];
				s.nodes[k] = p;
			}
	world_settle(s.w);
	return &s;
}

static void
stage_free(struct stage *s)
{
	for (size_t i = 0; i < s->n; i++)
		world_peer_free(s->nodes[i]);
	world_peer_free(s->admin);
	world_free(s->w);
}

static void
restart(struct stage *s)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_restart(s->w, &err), 0), "%s", err.text);
	cr_assert(eq(int, world_connect(s->admin, &err), 0), "%s", err.text);
	for (size_t i = 0; i < s->n; i++)
		cr_assert(eq(int, world_connect(s->nodes[i], &err), 0), "%s", err.text);
	world_settle(s->w);
}

static void
reconnect(struct stage *s, size_t i)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_connect(s->nodes[i], &err), 0), "%s", err.text);
	world_settle(s->w);
}

/* --- people ------------------------------------------------------------------------------------
 */

static const char *script[] = {"echo hello"};

struct sent {
	struct msg_send_command_request req;
	const char *ids[NODES_MAX];
	struct msg_pair parameter;
};

static struct sent *
to_nodes(struct stage *s)
{
	static struct sent c;

	c = (struct sent){.req.document_name = "AWS-RunShellScript"};
	c.parameter = (struct msg_pair){
		"commands", {script, 1}
	       };
	c.req.parameters = (struct msg_smap){&c.parameter, 1};
	for (size_t i = 0; i < s->n; i++)
		c.ids[i] = s->nodes[i]->who.id;
	c.req.instance_ids = (struct msg_strs){c.ids, s->n};
	return &c;
}

static int
try_send(struct stage *s, struct world_peer *by, const struct sent *c)
{
	struct msg_send_command_reply *rep;
	int r = world_call(by, OP_send_command, &c->req, &rep, s->why);

	if (r == 0) {
		snprintf(s->id, sizeof(s->id), "%s", rep->command->command_id);
		cr_assert(eq(int,
			rep->command->target_count > 0 ? INVOCATION_STATUS_PENDING
						       : INVOCATION_STATUS_FAILED,
			rep->command->status));
	}
	return r;
}

static void
send(struct stage *s, const struct sent *c)
{
	cr_assert(eq(int, try_send(s, s->admin, c), 0), "%s", s->why);
}

static const struct msg_command *
command(struct stage *s)
{
	struct msg_list_commands_request req = {.command_id = s->id};
	struct msg_list_commands_reply *rep;

	cr_assert(eq(int, world_call(s->admin, OP_list_commands, &req, &rep, s->why), 0), "%s",
		s->why);
	cr_assert(eq(sz, rep->commands.n, 1));
	return &rep->commands.v[0];
}

static void
check_command(struct stage *s, const char *words)
{
	const struct msg_command *c = command(s);
	char text[128];

	snprintf(text, sizeof(text), "%s/%s", enum_text(&enum_INVOCATION_STATUS, c->status),
		c->status_details);
	cr_assert_str_eq(text, words);
}

static const struct msg_get_command_invocation_reply *
invocation(struct stage *s, size_t i)
{
	struct msg_get_command_invocation_request req = {
		.command_id = s->id, .instance_id = s->nodes[i]->who.id};
	struct msg_get_command_invocation_reply *rep;

	cr_assert(eq(int, world_call(s->admin, OP_get_command_invocation, &req, &rep, s->why), 0),
		"%s", s->why);
	return rep;
}

static void
check_invocation(struct stage *s, size_t i, const char *words)
{
	const struct msg_get_command_invocation_reply *c = invocation(s, i);
	char text[128];

	snprintf(text, sizeof(text), "%s/%s", enum_text(&enum_INVOCATION_STATUS, c->status),
		c->status_details);
	cr_assert_str_eq(text, words, "node %zu: %s", i, text);
}

static void
cancel(struct stage *s, size_t n, const char **ids)
{
	struct msg_cancel_command_request req = {
		.command_id = s->id, .instance_ids = {ids, n}
	     };

	cr_assert(eq(int, world_call(s->admin, OP_cancel_command, &req, NULL, s->why), 0), "%s",
		s->why);
}

/* --- nodes -------------------------------------------------------------------------------------
 */

static const struct msg_get_pending_invocations_reply *
ask_holding(struct stage *s, size_t i, const char **held, size_t n)
{
	struct msg_get_pending_invocations_request req = {
		.held = {held, n}
	 };
	struct msg_get_pending_invocations_reply *rep;

	cr_assert(eq(int, world_call(s->nodes[i], OP_get_pending_invocations, &req, &rep, s->why),
			  0),
		"%s", s->why);
	return rep;
}

static size_t
ask(struct stage *s, size_t i)
{
	return ask_holding(s, i, NULL, 0)->invocations.n;
}

static struct msg_update_invocation_request
word(struct stage *s, int status)
{
	return (struct msg_update_invocation_request){
		.command_id = s->id,
		.status = status,
		.started = s->w->clock.now_wall,
		.ended = status == INVOCATION_STATUS_IN_PROGRESS ? 0 : s->w->clock.now_wall,
	};
}

static const struct msg_update_invocation_reply *
tell(struct stage *s, size_t i, const struct msg_update_invocation_request *req)
{
	struct msg_update_invocation_reply *rep;

	cr_assert(eq(int, world_call(s->nodes[i], OP_update_invocation, req, &rep, s->why), 0),
		"%s", s->why);
	return rep;
}

static void
begin(struct stage *s, size_t i)
{
	struct msg_update_invocation_request req = word(s, INVOCATION_STATUS_IN_PROGRESS);

	cr_assert(eq(sz, ask(s, i), 1), "node %zu has no order", i);
	cr_assert_not(tell(s, i, &req)->taken);
}

static void
end(struct stage *s, size_t i, int status)
{
	struct msg_update_invocation_request req = word(s, status);

	cr_assert(tell(s, i, &req)->taken);
}

static void
run(struct stage *s, size_t i, int status)
{
	begin(s, i);
	end(s, i, status);
}

/* The one step of a script that wrote this. */
static struct msg_invocation_step
step(size_t out, size_t err)
{
	return (struct msg_invocation_step){
		.name = "runShellScript",
		.action = "aws:runShellScript",
		.status = INVOCATION_STATUS_SUCCESS,
		.status_details = "Success",
		.started = INT64_C(1700000000000000),
		.ended = INT64_C(1700000000091000),
		.stdout_bytes = (int64_t)out,
		.stderr_bytes = (int64_t)err,
	};
}

static struct msg_invocation_output
piece(int stream, size_t offset, const void *p, size_t n)
{
	return (struct msg_invocation_output){
		.stream = stream, .offset = (int64_t)offset, .data = {p, n}
	   };
}

/* --- one node ----------------------------------------------------------------------------------
 */

Test(commands, a_small_command_is_one_word_and_its_output_is_there)
{
	struct stage *s = stage_new(1, NULL);
	struct msg_invocation_step one = step(6, 4);
	struct msg_invocation_output pieces[] = {piece(OUTPUT_STREAM_STDOUT, 0, "hello\n", 6),
		piece(OUTPUT_STREAM_STDERR, 0, "oh!\n", 4)};

	send(s, to_nodes(s));
	cr_assert(eq(int, s->nodes[0]->told, 1));
	check_command(s, "InProgress/InProgress");
	check_invocation(s, 0, "Pending/Pending");
	const struct msg_get_pending_invocations_reply *orders = ask_holding(s, 0, NULL, 0);
	cr_assert(eq(sz, orders->invocations.n, 1));
	const struct msg_invocation_order *o = &orders->invocations.v[0];
	cr_assert_str_eq(o->command_id, s->id);
	cr_assert_str_eq(o->document_name, "AWS-RunShellScript");
	cr_assert_str_eq(o->principal, "admin");
	cr_assert(ne(ptr, strstr(o->content, "aws:runShellScript"), NULL));
	cr_assert(eq(sz, o->parameters.n, 1));
	cr_assert_str_eq(o->parameters.v[0].values.v[0], "echo hello");
	cr_assert(eq(i64, o->output_max, 64 << 20));
	struct msg_update_invocation_request req = word(s, INVOCATION_STATUS_SUCCESS);
	req.steps.v = &one;
	req.steps.n = 1;
	req.outputs.v = pieces;
	req.outputs.n = 2;
	cr_assert(tell(s, 0, &req)->taken);
	cr_assert(tell(s, 0, &req)->taken); /* its answer was lost */
	check_command(s, "Success/Success");
	const struct msg_get_command_invocation_reply *got = invocation(s, 0);
	cr_assert_str_eq(got->stdout_content, "hello\n");
	cr_assert_str_eq(got->stderr_content, "oh!\n");
	cr_assert_str_eq(got->plugin_name, "runShellScript");
	cr_assert_str_eq(got->elapsed, "PT0.091S");
	cr_assert_str_eq(got->started, "2023-11-14T22:13:20.000Z");
	cr_assert(eq(i64, got->response_code, 0));
	cr_assert(eq(sz, world_entries(s->w, "decision", "ssm:SendCommand", OUTCOME_ALLOWED), 1));
	cr_assert(eq(sz, world_entries(s->w, "command.end", "ssm:SendCommand", OUTCOME_OK), 1));
	cr_assert(eq(sz, world_entries_with(s->w, "1 nodes, 0 of them denied"), 1));
	stage_free(s);
}

Test(commands, an_order_comes_again_until_the_node_has_said_that_it_has_it)
{
	struct stage *s = stage_new(1, NULL);
	const char *held[] = {s->id};

	send(s, to_nodes(s));
	cr_assert(eq(sz, ask(s, 0), 1));
	cr_assert(eq(sz, ask(s, 0), 1));
	const struct msg_get_pending_invocations_reply *a = ask_holding(s, 0, held, 1);
	cr_assert(eq(sz, a->invocations.n, 0));
	cr_assert(eq(sz, a->forget.n, 0));
	world_advance(s->w, USEC_PER_SEC);
	check_invocation(s, 0, "InProgress/InProgress");
	end(s, 0, INVOCATION_STATUS_FAILED);
	check_command(s, "Failed/Failed");
	a = ask_holding(s, 0, held, 1);
	cr_assert(eq(sz, a->forget.n, 1));
	cr_assert_str_eq(a->forget.v[0], s->id);
	stage_free(s);
}

Test(commands, a_node_is_told_once_for_many_commands)
{
	struct stage *s = stage_new(1, NULL);

	for (int i = 0; i < 5; i++)
		send(s, to_nodes(s));
	cr_assert(eq(int, s->nodes[0]->told, 1));
	cr_assert(eq(sz, ask(s, 0), 5));
	stage_free(s);
}

Test(commands, a_node_that_does_not_ask_is_told_again_and_others_get_its_turn)
{
	struct stage *s = stage_new(2, NULL);
	struct sent *c = to_nodes(s);

	c->req.max_concurrency = "1";
	send(s, c);
	cr_assert(eq(int, s->nodes[0]->told, 1));
	cr_assert(eq(int, s->nodes[1]->told, 0));
	world_advance(s->w, 7 * USEC_PER_SEC);
	cr_assert(eq(int, s->nodes[0]->told, 2));
	world_advance(s->w, 25 * USEC_PER_SEC);
	cr_assert(eq(int, s->nodes[1]->told, 1));
	check_invocation(s, 0, "Delayed/Delayed");
	run(s, 1, INVOCATION_STATUS_SUCCESS);
	cr_assert(eq(sz, ask(s, 0), 0)); /* there it is again, and has its turn */
	cr_assert(ge(int, s->nodes[0]->told, 3));
	run(s, 0, INVOCATION_STATUS_SUCCESS);
	check_command(s, "Success/Success");
	stage_free(s);
}

static int
break_store(void *arg, struct db *db, struct hw_err *err)
{
	(void)arg;
	return db_run(db, NULL, err,
		"CREATE TRIGGER broken BEFORE UPDATE ON invocation"
		" BEGIN SELECT RAISE(ABORT, 'broken'); END",
		"");
}

static int
mend_store(void *arg, struct db *db, struct hw_err *err)
{
	(void)arg;
	return db_run(db, NULL, err, "DROP TRIGGER broken", "");
}

Test(commands, a_node_is_not_waited_for_while_its_turn_cannot_be_saved)
{
	struct stage *s = stage_new(2, NULL);
	struct sent *c = to_nodes(s);
	struct hw_err err = HW_ERR_INIT;

	c->req.max_concurrency = "1";
	cr_assert(eq(int, store_write(s->w->relay->store, break_store, NULL, &err), 0), "%s",
		err.text);
	send(s, c);
	world_advance(s->w, 40 * USEC_PER_SEC);
	cr_assert(eq(int, s->nodes[0]->told, 0));
	cr_assert(eq(sz, ask(s, 0), 0));
	cr_assert(eq(int, store_write(s->w->relay->store, mend_store, NULL, &err), 0), "%s",
		err.text);
	world_advance(s->w, 3 * USEC_PER_SEC);
	cr_assert(eq(int, s->nodes[0]->told, 1));
	cr_assert(eq(int, s->nodes[1]->told, 0));
	run(s, 0, INVOCATION_STATUS_SUCCESS);
	run(s, 1, INVOCATION_STATUS_SUCCESS);
	check_command(s, "Success/Success");
	stage_free(s);
}

/* --- many --------------------------------------------------------------------------------------
 */

Test(commands, it_stops_when_too_many_have_failed)
{
	struct stage *s = stage_new(4, NULL);
	struct sent *c = to_nodes(s);

	c->req.max_concurrency = "1";
	c->req.max_errors = "1";
	send(s, c);
	run(s, 0, INVOCATION_STATUS_FAILED);
	run(s, 1, INVOCATION_STATUS_TIMED_OUT);
	cr_assert(eq(sz, ask(s, 2), 0));
	check_command(s, "Failed/Failed");
	check_invocation(s, 1, "TimedOut/ExecutionTimedOut");
	check_invocation(s, 3, "Cancelled/Terminated");
	const struct msg_command *got = command(s);
	cr_assert(eq(i64, got->target_count, 4));
	cr_assert(eq(i64, got->completed_count, 4));
	cr_assert(eq(i64, got->error_count, 2));
	stage_free(s);
}

Test(commands, a_node_that_is_away_gets_it_when_it_is_back)
{
	struct stage *s = stage_new(2, NULL);

	world_drop(s->nodes[0]);
	world_settle(s->w);
	send(s, to_nodes(s));
	check_invocation(s, 0, "Delayed/Delayed");
	run(s, 1, INVOCATION_STATUS_SUCCESS);
	world_advance(s->w, 600 * USEC_PER_SEC);
	reconnect(s, 0);
	run(s, 0, INVOCATION_STATUS_SUCCESS);
	check_command(s, "Success/Success");
	stage_free(s);
}

Test(commands, a_node_that_comes_back_too_late_gets_nothing)
{
	struct stage *s = stage_new(1, NULL);
	struct sent *c = to_nodes(s);

	c->req.timeout_seconds = 30;
	world_drop(s->nodes[0]);
	world_settle(s->w);
	send(s, c);
	world_advance(s->w, 31 * USEC_PER_SEC);
	reconnect(s, 0);
	cr_assert(eq(sz, ask(s, 0), 0));
	check_invocation(s, 0, "TimedOut/DeliveryTimedOut");
	check_command(s, "TimedOut/DeliveryTimedOut");
	cr_assert(eq(i64, command(s)->delivery_timed_out_count, 1));
	stage_free(s);
}

Test(commands, what_never_answers_is_given_up_and_what_it_says_later_is_not_wanted)
{
	struct stage *s = stage_new(1, NULL);

	send(s, to_nodes(s));
	begin(s, 0);
	world_advance(s->w, (3600 + 3600 + 2) * USEC_PER_SEC);
	check_invocation(s, 0, "TimedOut/DeliveryTimedOut");
	cr_assert_str_eq(invocation(s, 0)->stderr_content,
		"it ran, and its end did not come in time");
	struct msg_update_invocation_request req = word(s, INVOCATION_STATUS_IN_PROGRESS);
	cr_assert(tell(s, 0, &req)->cancel);
	req.status = INVOCATION_STATUS_SUCCESS;
	cr_assert(tell(s, 0, &req)->taken);
	check_invocation(s, 0, "TimedOut/DeliveryTimedOut");
	stage_free(s);
}

Test(commands, one_node_that_just_speaks_does_not_keep_the_others_from_being_given_up)
{
	struct stage *s = stage_new(2, NULL);
	struct dispatcher *d = s->w->relay->dispatcher;
	struct dispatch_claim claim;

	send(s, to_nodes(s));
	begin(s, 0);
	begin(s, 1);
	cr_assert(eq(int, dispatcher_claim(d, s->id, s->nodes[0]->who.id, true, &claim),
		DISPATCH_LIVE));
	world_advance(s->w, (3600 + 3600 + 2) * USEC_PER_SEC);
	check_invocation(s, 0, "InProgress/InProgress");
	check_invocation(s, 1, "TimedOut/DeliveryTimedOut");
	check_command(s, "InProgress/InProgress");
	dispatch_release(d, &claim);
	world_advance(s->w, USEC_PER_SEC);
	check_invocation(s, 0, "TimedOut/DeliveryTimedOut");
	check_command(s, "TimedOut/DeliveryTimedOut");
	stage_free(s);
}

Test(commands, a_clock_that_jumps_ahead_ends_nothing)
{
	struct stage *s = stage_new(2, NULL);
	struct sent *c = to_nodes(s);

	c->req.max_concurrency = "1";
	send(s, c);
	begin(s, 0);
	s->w->clock.now_wall += 8 * HOUR;
	world_advance(s->w, USEC_PER_SEC);
	check_invocation(s, 0, "InProgress/InProgress");
	check_invocation(s, 1, "Pending/Pending");
	end(s, 0, INVOCATION_STATUS_SUCCESS);
	cr_assert(eq(sz, ask(s, 1), 1));
	cr_assert(eq(sz, ask(s, 1), 1)); /* the answer was lost */
	s->w->clock.now_wall -= 8 * HOUR;
	world_advance(s->w, 3600 * USEC_PER_SEC);
	cr_assert(eq(sz, ask(s, 1), 0)); /* its time is over, as it would have been */
	stage_free(s);
}

Test(commands, others_have_their_turn_at_a_nodes_good_word_before_it_is_stored)
{
	struct stage *s = stage_new(2, NULL);
	struct dispatcher *d = s->w->relay->dispatcher;
	struct dispatch_claim claim;

	send(s, to_nodes(s));
	cr_assert(eq(sz, ask(s, 0), 1));
	cr_assert(eq(int, dispatcher_claim(d, s->id, s->nodes[0]->who.id, true, &claim),
		DISPATCH_LIVE));
	world_settle(s->w);
	cr_assert(eq(sz, ask(s, 1), 1));
	check_invocation(s, 0, "Pending/Pending");
	dispatch_release(d, &claim);
	world_settle(s->w);
	check_invocation(s, 0, "InProgress/InProgress");
	end(s, 0, INVOCATION_STATUS_SUCCESS);
	end(s, 1, INVOCATION_STATUS_SUCCESS);
	check_command(s, "Success/Success");
	stage_free(s);
}

Test(commands, a_failure_that_is_on_its_way_lets_nobody_begin)
{
	struct stage *s = stage_new(2, NULL);
	struct dispatcher *d = s->w->relay->dispatcher;
	struct dispatch_claim claim;

	send(s, to_nodes(s));
	cr_assert(eq(sz, ask(s, 0), 1));
	cr_assert(eq(int, dispatcher_claim(d, s->id, s->nodes[0]->who.id, false, &claim),
		DISPATCH_LIVE));
	world_settle(s->w);
	cr_assert(eq(sz, ask(s, 1), 0));
	dispatch_end(d, &claim, FANOUT_FAILED);
	world_settle(s->w);
	cr_assert(eq(sz, ask(s, 1), 0));
	check_invocation(s, 1, "Cancelled/Terminated");
	stage_free(s);
}

Test(commands, a_cancel_while_a_word_is_taken_is_stored)
{
	struct stage *s = stage_new(1, NULL);
	struct dispatcher *d = s->w->relay->dispatcher;
	struct dispatch_claim claim;
	struct hw_err err = HW_ERR_INIT;

	send(s, to_nodes(s));
	cr_assert(eq(sz, ask(s, 0), 1));
	cr_assert(eq(int, dispatcher_claim(d, s->id, s->nodes[0]->who.id, true, &claim),
		DISPATCH_LIVE));
	cr_assert(eq(int, dispatcher_cancel(d, s->id, NULL, 0, &err), 0), "%s", err.text);
	check_invocation(s, 0, "Cancelling/Cancelling");
	dispatch_release(d, &claim);
	end(s, 0, INVOCATION_STATUS_CANCELLED);
	check_invocation(s, 0, "Cancelled/Cancelled");
	stage_free(s);
}

Test(commands, a_removed_node_will_not_answer)
{
	struct stage *s = stage_new(2, NULL);
	struct msg_deregister_managed_instance_request req = {.instance_id = s->nodes[0]->who.id};

	send(s, to_nodes(s));
	begin(s, 0);
	cr_assert(eq(int, world_call(s->admin, OP_deregister_managed_instance, &req, NULL, s->why),
		0));
	world_advance(s->w, USEC_PER_SEC);
	run(s, 1, INVOCATION_STATUS_SUCCESS);
	check_invocation(s, 0, "Failed/Undeliverable");
	check_command(s, "Success/Success");
	stage_free(s);
}

Test(commands, a_node_that_was_removed_just_before_a_start_will_not_answer_either)
{
	struct stage *s = stage_new(2, NULL);
	struct msg_deregister_managed_instance_request req = {.instance_id = s->nodes[0]->who.id};
	struct hw_err err = HW_ERR_INIT;

	send(s, to_nodes(s));
	begin(s, 0);
	begin(s, 1);
	cr_assert(eq(int, world_call(s->admin, OP_deregister_managed_instance, &req, NULL, s->why),
		0));
	cr_assert(eq(int, world_restart(s->w, &err), 0), "%s", err.text);
	cr_assert(eq(int, world_connect(s->admin, &err), 0), "%s", err.text);
	reconnect(s, 1);
	check_invocation(s, 0, "InProgress/InProgress");
	world_advance(s->w, USEC_PER_SEC);
	check_invocation(s, 0, "Failed/Undeliverable");
	end(s, 1, INVOCATION_STATUS_SUCCESS);
	check_command(s, "Success/Success");
	stage_free(s);
}

/* --- a relay that starts again -----------------------------------------------------------------
 */

Test(commands, a_relay_that_starts_again_goes_on_where_it_stood)
{
	struct stage *s = stage_new(4, NULL);
	struct sent *c = to_nodes(s);
	const char *held[] = {s->id};

	c->req.max_concurrency = "2";
	c->req.max_errors = "1";
	send(s, c);
	run(s, 0, INVOCATION_STATUS_FAILED);
	begin(s, 1);
	cr_assert(eq(sz, ask(s, 2), 1)); /* it has it, and could not say so */
	world_advance(s->w, USEC_PER_SEC);
	restart(s);
	check_command(s, "InProgress/InProgress");
	check_invocation(s, 0, "Failed/Failed");
	check_invocation(s, 1, "InProgress/InProgress");
	cr_assert(eq(sz, ask(s, 3), 0)); /* two are under way */
	cr_assert(eq(sz, ask_holding(s, 2, held, 1)->invocations.n, 0));
	end(s, 2, INVOCATION_STATUS_SUCCESS);
	run(s, 3, INVOCATION_STATUS_FAILED);
	end(s, 1, INVOCATION_STATUS_SUCCESS);
	check_command(s, "Failed/Failed");
	cr_assert(eq(i64, command(s)->error_count, 2));
	cr_assert(eq(sz, world_entries(s->w, "command.end", NULL, OUTCOME_FAILED), 1));
	stage_free(s);
}

Test(commands, a_relay_that_is_killed_forgets_no_command_that_it_has_answered)
{
	struct stage *s = stage_new(1, NULL);
	struct hw_err err = HW_ERR_INIT;

	world_drop(s->nodes[0]);
	world_settle(s->w);
	send(s, to_nodes(s));
	struct pair *lines[] = {s->admin->pair};
	cr_assert(eq(int, world_kill(s->w, lines, 1, &err), 0), "%s", err.text);
	cr_assert(eq(int, world_connect(s->admin, &err), 0), "%s", err.text);
	reconnect(s, 0);
	run(s, 0, INVOCATION_STATUS_SUCCESS);
	check_command(s, "Success/Success");
	stage_free(s);
}

/* The second has its turn, as the first has answered, which the store does not say yet. */
Test(commands, a_relay_that_is_killed_while_it_takes_a_word_hears_it_again_and_gives_nothing_twice)
{
	struct stage *s = stage_new(2, NULL);
	const char *held[] = {s->id};
	struct dispatch_claim claim;
	struct hw_err err = HW_ERR_INIT;

	send(s, to_nodes(s));
	cr_assert(eq(sz, ask(s, 0), 1));
	cr_assert(eq(int,
		dispatcher_claim(s->w->relay->dispatcher, s->id, s->nodes[0]->who.id, true, &claim),
		DISPATCH_LIVE));
	world_settle(s->w);
	cr_assert(eq(sz, ask(s, 1), 1));
	struct pair *lines[] = {s->admin->pair, s->nodes[0]->pair, s->nodes[1]->pair};
	cr_assert(eq(int, world_kill(s->w, lines, 3, &err), 0), "%s", err.text);
	cr_assert(eq(int, world_connect(s->admin, &err), 0), "%s", err.text);
	reconnect(s, 0);
	reconnect(s, 1);
	check_invocation(s, 0, "Pending/Pending");
	cr_assert(eq(sz, ask_holding(s, 1, held, 1)->invocations.n, 0));
	end(s, 0, INVOCATION_STATUS_SUCCESS);
	end(s, 1, INVOCATION_STATUS_SUCCESS);
	cr_assert(eq(sz, ask_holding(s, 0, held, 1)->invocations.n, 0));
	check_command(s, "Success/Success");
	cr_assert(eq(sz, world_entries(s->w, "command.end", NULL, OUTCOME_OK), 1));
	stage_free(s);
}

/* --- cancelling --------------------------------------------------------------------------------
 */

Test(commands, a_cancel_ends_what_waits_and_tells_what_runs)
{
	struct stage *s = stage_new(3, NULL);
	struct sent *c = to_nodes(s);
	const char *held[] = {s->id};

	c->req.max_concurrency = "1";
	send(s, c);
	begin(s, 0);
	int told = s->nodes[0]->told;
	cancel(s, 0, NULL);
	cr_assert(eq(int, s->nodes[0]->told, told + 1));
	check_command(s, "Cancelling/Cancelling");
	check_invocation(s, 0, "Cancelling/Cancelling");
	check_invocation(s, 1, "Cancelled/Cancelled");
	const struct msg_get_pending_invocations_reply *a = ask_holding(s, 0, held, 1);
	cr_assert(eq(sz, a->cancel.n, 1));
	cr_assert_str_eq(a->cancel.v[0], s->id);
	struct msg_update_invocation_request req = word(s, INVOCATION_STATUS_IN_PROGRESS);
	cr_assert(tell(s, 0, &req)->cancel);
	restart(s);
	check_command(s, "Cancelling/Cancelling");
	cr_assert(eq(sz, ask_holding(s, 0, held, 1)->cancel.n, 1));
	end(s, 0, INVOCATION_STATUS_CANCELLED);
	check_command(s, "Cancelled/Cancelled");
	cancel(s, 0, NULL); /* it has ended: nothing to do */
	check_command(s, "Cancelled/Cancelled");
	stage_free(s);
}

Test(commands, a_cancel_whose_question_never_came_is_told_again)
{
	struct stage *s = stage_new(1, NULL);
	const char *held[] = {s->id};

	send(s, to_nodes(s));
	begin(s, 0);
	cancel(s, 0, NULL);
	int told = s->nodes[0]->told;
	world_advance(s->w, 61 * USEC_PER_SEC);
	cr_assert(gt(int, s->nodes[0]->told, told));
	cr_assert(eq(sz, ask_holding(s, 0, held, 1)->cancel.n, 1));
	end(s, 0, INVOCATION_STATUS_CANCELLED);
	check_command(s, "Cancelled/Cancelled");
	told = s->nodes[0]->told;
	send(s, to_nodes(s));
	begin(s, 0);
	world_advance(s->w, 61 * USEC_PER_SEC);
	cr_assert(eq(int, s->nodes[0]->told, told + 1)); /* what runs has nothing to ask */
	stage_free(s);
}

Test(commands, a_cancel_of_one_node_leaves_the_others)
{
	struct stage *s = stage_new(2, NULL);
	const char *ids[] = {s->nodes[1]->who.id};

	world_drop(s->nodes[1]);
	world_settle(s->w);
	send(s, to_nodes(s));
	cancel(s, 1, ids);
	check_invocation(s, 1, "Cancelled/Cancelled");
	run(s, 0, INVOCATION_STATUS_SUCCESS);
	check_command(s, "Failed/Incomplete");
	stage_free(s);
}

Test(commands, a_cancel_of_what_there_is_not_is_refused)
{
	struct stage *s = stage_new(2, NULL);
	struct sent *c = to_nodes(s);
	const char *twice[] = {s->nodes[0]->who.id, s->nodes[0]->who.id};
	const char *other[] = {s->nodes[1]->who.id};
	struct msg_cancel_command_request req = {
		.command_id = "11111111-2222-4333-8444-555555555555"};

	cr_assert(eq(int, world_call(s->admin, OP_cancel_command, &req, NULL, NULL), HW_ECOMMAND));
	c->req.instance_ids.n = 1;
	send(s, c);
	req.command_id = s->id;
	req.instance_ids = (struct msg_strs){twice, 2};
	cr_assert(eq(int, world_call(s->admin, OP_cancel_command, &req, NULL, NULL),
		HW_EDUPLICATEID));
	req.instance_ids = (struct msg_strs){other, 1};
	cr_assert(eq(int, world_call(s->admin, OP_cancel_command, &req, NULL, NULL), HW_ENODE));
	stage_free(s);
}

struct beginning {
	struct dispatcher *dispatcher;
	struct dispatch *dispatch;
	struct command_row row;
	struct invocation_row invocation;
	atomic_bool asked;
};

static int
write_beginning(void *arg, struct db *db, struct hw_err *err)
{
	const struct beginning *b = arg;
	const struct command_body body = {"{}", "", ""};
	int r = command_insert(db, &b->row, &body, err);

	return r < 0 ? r : invocation_insert(db, &b->invocation, err);
}

static int
read_beginning(void *arg, struct db *db, struct hw_err *err)
{
	struct beginning *b = arg;
	int r = command_get(db, b->row.id, &b->row, err);

	return r < 0 ? r
		     : invocation_get(db, b->row.id, b->invocation.node_id, &b->invocation, err);
}

/* As far as SendCommand is when its command is in the store, and not yet the dispatcher's. */
static void
begin_halfway(struct beginning *b, struct stage *s, const char *sender)
{
	struct dispatch_target target = {.denied = false};
	struct hw_err err = HW_ERR_INIT;
	const int64_t now = s->w->clock.now_wall;

	*b = (struct beginning){.dispatcher = s->w->relay->dispatcher};
	b->row = (struct command_row){
		.live = true,
		.targets = 1,
		.concurrency = 1,
		.status = INVOCATION_STATUS_PENDING,
		.requested = now,
		.deliver_before = now + 3600 * USEC_PER_SEC,
		.expires = now + 7200 * USEC_PER_SEC,
	};
	b->invocation = (struct invocation_row){
		.live = true, .status = INVOCATION_STATUS_PENDING, .response_code = -1};
	id_uuid(b->row.id);
	snprintf(b->row.principal, sizeof(b->row.principal), "%s", sender);
	snprintf(b->invocation.command_id, sizeof(b->invocation.command_id), "%s", b->row.id);
	memcpy(b->invocation.node_id, s->nodes[0]->who.id, sizeof(b->invocation.node_id));
	memcpy(target.node, s->nodes[0]->who.id, sizeof(target.node));
	cr_assert(eq(int, dispatch_new(&b->dispatch, b->dispatcher, &b->row, &target, 1, &err), 0),
		"%s", err.text);
	cr_assert(eq(int, store_write(s->w->relay->store, write_beginning, b, &err), 0), "%s",
		err.text);
}

static void *
begin_when_asked(void *arg)
{
	struct beginning *b = arg;

	while (!atomic_load(&b->asked))
		sched_yield();
	for (int i = 0; i < 1000; i++)
		sched_yield();
	dispatch_begin(b->dispatch);
	return NULL;
}

Test(commands, a_cancel_of_what_is_just_beginning_is_one_of_what_has_begun)
{
	struct stage *s = stage_new(1, NULL);
	struct hw_err err = HW_ERR_INIT;
	struct beginning b;
	pthread_t thread;

	for (size_t n = 0; n < 2; n++) {
		const char *id = s->nodes[0]->who.id;
		begin_halfway(&b, s, s->admin->who.id);
		memcpy(s->id, b.row.id, sizeof(s->id));
		cr_assert(eq(int, pthread_create(&thread, NULL, begin_when_asked, &b), 0));
		atomic_store(&b.asked, true);
		cancel(s, n, &id);
		pthread_join(thread, NULL);
		world_advance(s->w, USEC_PER_SEC);
		cr_assert(eq(int, store_read(s->w->relay->store, read_beginning, &b, &err), 0));
		cr_assert_not(b.row.live);
		cr_assert_str_eq(b.invocation.details, "Cancelled");
		cr_assert(eq(sz, ask(s, 0), 0));
	}
	stage_free(s);
}

/* --- output ------------------------------------------------------------------------------------
 */

static void
fill(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 251);
}

static size_t
read_all(struct stage *s, int stream, uint8_t *out, size_t room)
{
	struct msg_get_command_output_request req = {.command_id = s->id,
		.instance_id = s->nodes[0]->who.id,
		.stream = stream,
		.max_bytes = 100000};
	struct msg_get_command_output_reply *rep;
	size_t n = 0;

	do {
		req.offset = (int64_t)n;
		cr_assert(eq(int, world_call(s->admin, OP_get_command_output, &req, &rep, s->why),
				  0),
			"%s", s->why);
		cr_assert(le(sz, n + rep->data.n, room));
		if (rep->data.n > 0)
			memcpy(out + n, rep->data.p, rep->data.n);
		n += rep->data.n;
	} while (rep->data.n > 0);
	cr_assert(eq(i64, rep->size, (int64_t)n));
	return n;
}

Test(commands, much_output_comes_in_pieces_and_the_end_is_taken_when_all_is_there)
{
	enum { SIZE = 300000 };
	static uint8_t bytes[SIZE], got[SIZE];
	struct stage *s = stage_new(1, NULL);
	struct msg_update_invocation_request req;
	struct msg_invocation_step one = step(SIZE, 0);
	struct msg_invocation_output out;
	const struct msg_update_invocation_reply *a;

	fill(bytes, SIZE);
	send(s, to_nodes(s));
	begin(s, 0);
	req = word(s, INVOCATION_STATUS_IN_PROGRESS);
	req.outputs.v = &out;
	req.outputs.n = 1;
	for (size_t at = 0; at < 200000; at += 50000) {
		out = piece(OUTPUT_STREAM_STDOUT, at, bytes + at, 50000);
		a = tell(s, 0, &req);
		cr_assert(eq(sz, a->offsets.n, 1));
		cr_assert(eq(i64, a->offsets.v[0].offset, (int64_t)at + 50000));
	}
	out = piece(OUTPUT_STREAM_STDOUT, 220000, bytes + 220000, 50000); /* a gap */
	cr_assert(eq(i64, tell(s, 0, &req)->offsets.v[0].offset, 200000));
	out = piece(OUTPUT_STREAM_STDOUT, 170000, bytes + 170000, 60000); /* an overlap */
	cr_assert(eq(i64, tell(s, 0, &req)->offsets.v[0].offset, 230000));
	restart(s);
	req = word(s, INVOCATION_STATUS_SUCCESS); /* the end overtook the rest */
	req.steps.v = &one;
	req.steps.n = 1;
	a = tell(s, 0, &req);
	cr_assert_not(a->taken);
	cr_assert(eq(sz, a->offsets.n, 1));
	cr_assert(eq(i64, a->offsets.v[0].offset, 230000));
	req.outputs.v = &out;
	req.outputs.n = 1;
	out = piece(OUTPUT_STREAM_STDOUT, 230000, bytes + 230000, 60000);
	cr_assert_not(tell(s, 0, &req)->taken);
	out = piece(OUTPUT_STREAM_STDOUT, 290000, bytes + 290000, 10000);
	cr_assert(tell(s, 0, &req)->taken);
	cr_assert(eq(sz, read_all(s, OUTPUT_STREAM_STDOUT, got, SIZE), SIZE));
	cr_assert(eq(int, memcmp(got, bytes, SIZE), 0));
	cr_assert(eq(sz, read_all(s, OUTPUT_STREAM_STDERR, got, SIZE), 0));
	/* Reading it in pieces is one entry, which says what was read. */
	cr_assert(eq(sz, world_entries_with(s->w, "output of "), 1));
	stage_free(s);
}

Test(commands, nothing_that_was_written_is_on_disk_in_clear)
{
	static char text[20000];
	struct stage *s = stage_new(1, NULL);
	struct msg_invocation_output out;
	char find[256];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = "the-secret "[i % 11];
	send(s, to_nodes(s));
	begin(s, 0);
	struct msg_update_invocation_request req = word(s, INVOCATION_STATUS_IN_PROGRESS);
	out = piece(OUTPUT_STREAM_STDOUT, 0, text, sizeof(text));
	req.outputs.v = &out;
	req.outputs.n = 1;
	tell(s, 0, &req);
	snprintf(find, sizeof(find), "grep -rqa the-secret %s", s->w->dir);
	cr_assert(ne(int, system(find), 0));
	snprintf(find, sizeof(find), "test -s %s/commands/%s/%s.0.out", s->w->dir, s->id,
		s->nodes[0]->who.id);
	cr_assert(eq(int, system(find), 0));
	stage_free(s);
}

Test(commands, output_beyond_the_cap_is_refused_and_what_was_dropped_is_told)
{
	static uint8_t bytes[65536];
	struct stage *s = stage_new(1, "command_output_mib = 1\n");
	struct msg_update_invocation_request req;
	struct msg_update_invocation_reply *rep;
	struct msg_invocation_step one = step(1 << 20, 1 << 20);
	struct msg_invocation_output out;

	send(s, to_nodes(s));
	cr_assert(eq(i64, ask_holding(s, 0, NULL, 0)->invocations.v[0].output_max, 1 << 20));
	req = word(s, INVOCATION_STATUS_IN_PROGRESS);
	req.outputs.v = &out;
	req.outputs.n = 1;
	for (size_t i = 0; i < 16; i++) {
		out = piece(OUTPUT_STREAM_STDOUT, i * 65536, bytes, 65536);
		tell(s, 0, &req);
	}
	for (size_t i = 0; i < 16; i++) { /* what the node itself says comes on top */
		out = piece(OUTPUT_STREAM_STDERR, i * 65536, bytes, 65536);
		tell(s, 0, &req);
	}
	out = piece(OUTPUT_STREAM_STDERR, 16 * 65536, bytes, 1);
	cr_assert(eq(int, world_call(s->nodes[0], OP_update_invocation, &req, &rep, s->why),
		HW_ELIMIT));
	one.stderr_dropped = 1;
	req = word(s, INVOCATION_STATUS_SUCCESS);
	req.steps.v = &one;
	req.steps.n = 1;
	cr_assert(tell(s, 0, &req)->taken);
	struct msg_get_command_output_request get = {.command_id = s->id,
		.instance_id = s->nodes[0]->who.id,
		.stream = OUTPUT_STREAM_STDERR};
	struct msg_get_command_output_reply *got;
	cr_assert(eq(int, world_call(s->admin, OP_get_command_output, &get, &got, s->why), 0));
	cr_assert(eq(i64, got->dropped, 1));
	cr_assert(got->complete);
	stage_free(s);
}

Test(commands, a_torn_block_is_the_end_of_what_there_is_while_it_runs)
{
	static char text[20000];
	struct stage *s = stage_new(1, NULL);
	struct msg_list_command_invocations_request list = {.details = true};
	struct msg_list_command_invocations_reply *got;
	struct msg_invocation_step one = step(0, 0);
	struct msg_invocation_output out = piece(OUTPUT_STREAM_STDOUT, 0, text, sizeof(text));
	uint8_t bytes[20000];
	char find[512];

	memset(text, 'x', sizeof(text));
	send(s, to_nodes(s));
	begin(s, 0);
	struct msg_update_invocation_request req = word(s, INVOCATION_STATUS_IN_PROGRESS);
	req.steps.v = &one;
	req.steps.n = 1;
	req.outputs.v = &out;
	req.outputs.n = 1;
	tell(s, 0, &req);
	for (int cut = 0; cut < 2; cut++) { /* in the second block, then in the first */
		snprintf(find, sizeof(find), "truncate -s %d %s/commands/%s/%s.0.out",
			cut == 0 ? 18000 : 9000, s->w->dir, s->id, s->nodes[0]->who.id);
		cr_assert(eq(int, system(find), 0));
		cr_assert(eq(sz, strlen(invocation(s, 0)->stdout_content) > 0, cut == 0));
		cr_assert(eq(int,
				  world_call(s->admin, OP_list_command_invocations, &list, &got,
					  s->why),
				  0),
			"%s", s->why);
		cr_assert(eq(sz, got->command_invocations.n, 1));
	}
	cr_assert(eq(i64, tell(s, 0, &req)->offsets.v[0].offset, 0)); /* where it is torn */
	tell(s, 0, &req);
	cr_assert(eq(sz, read_all(s, OUTPUT_STREAM_STDOUT, bytes, sizeof(bytes)), sizeof(bytes)));
	stage_free(s);
}

Test(commands, output_above_what_all_may_have_waits_until_the_oldest_has_gone)
{
	static uint8_t bytes[60000];
	struct stage *s = stage_new(1, "command_outputs_mib = 1\n");
	struct msg_invocation_step one = step(10 * sizeof(bytes), 0);
	struct msg_list_command_invocations_request list = {.details = true};
	struct msg_list_command_invocations_reply *got;
	struct msg_update_invocation_reply *rep;
	struct msg_update_invocation_request req;
	struct msg_invocation_output out;
	char first[37];
	size_t at = 0;

	send(s, to_nodes(s));
	begin(s, 0);
	snprintf(first, sizeof(first), "%s", s->id);
	req = word(s, INVOCATION_STATUS_IN_PROGRESS);
	req.outputs.v = &out;
	req.outputs.n = 1;
	for (; at < 10 * sizeof(bytes); at += sizeof(bytes)) {
		out = piece(OUTPUT_STREAM_STDOUT, at, bytes, sizeof(bytes));
		tell(s, 0, &req);
	}
	req = word(s, INVOCATION_STATUS_SUCCESS);
	req.steps.v = &one;
	req.steps.n = 1;
	cr_assert(tell(s, 0, &req)->taken);
	send(s, to_nodes(s));
	begin(s, 0);
	req = word(s, INVOCATION_STATUS_IN_PROGRESS);
	req.outputs.v = &out;
	req.outputs.n = 1;
	for (at = 0; at < 7 * sizeof(bytes); at += sizeof(bytes)) {
		out = piece(OUTPUT_STREAM_STDOUT, at, bytes, sizeof(bytes));
		tell(s, 0, &req);
	}
	out = piece(OUTPUT_STREAM_STDOUT, at, bytes, sizeof(bytes));
	cr_assert(eq(int, world_call(s->nodes[0], OP_update_invocation, &req, &rep, s->why),
		HW_EUNAVAILABLE));
	cr_assert(ne(ptr, strstr(s->why, "command_outputs_mib"), NULL), "%s", s->why);
	for (int minute = 0; minute < 62; minute++)
		world_advance(s->w, 60 * USEC_PER_SEC);
	int r = world_call(s->nodes[0], OP_update_invocation, &req, &rep, s->why);
	for (int minute = 0; r == HW_EUNAVAILABLE && minute < 15; minute++) {
		world_advance(s->w, 60 * USEC_PER_SEC);
		r = world_call(s->nodes[0], OP_update_invocation, &req, &rep, s->why);
	}
	cr_assert(eq(int, r, 0), "%s", s->why);
	list.command_id = first;
	cr_assert(eq(int, world_call(s->admin, OP_list_command_invocations, &list, &got, s->why),
		0));
	cr_assert_str_eq(got->command_invocations.v[0].command_plugins.v[0].output,
		"the output is not kept any more");
	snprintf(s->id, sizeof(s->id), "%s", first);
	cr_assert_str_eq(invocation(s, 0)->stdout_content, "the output is not kept any more");
	cr_assert_str_eq(invocation(s, 0)->stderr_content, "");
	stage_free(s);
}

/* --- what a node may not say -------------------------------------------------------------------
 */

Test(commands, a_node_speaks_of_its_own_alone_and_an_operator_hears_of_it)
{
	struct stage *s = stage_new(2, NULL);
	struct sent *c = to_nodes(s);
	struct msg_update_invocation_reply *rep;

	c->req.instance_ids.n = 1;
	send(s, c);
	struct msg_update_invocation_request req = word(s, INVOCATION_STATUS_SUCCESS);
	cr_assert(eq(int, world_call(s->nodes[1], OP_update_invocation, &req, &rep, s->why),
		HW_EINVOCATION));
	cr_assert(eq(sz, world_entries(s->w, "alarm", "UpdateInvocation", OUTCOME_DENIED), 1));
	cr_assert(eq(int, world_call(s->nodes[0], OP_update_invocation, &req, &rep, s->why),
		HW_EINVOCATION)); /* it was not given to it yet */
	req.command_id = "11111111-2222-4333-8444-555555555555";
	cr_assert(eq(int, world_call(s->nodes[0], OP_update_invocation, &req, &rep, s->why),
		HW_EINVOCATION));
	req.status = INVOCATION_STATUS_PENDING;
	cr_assert(eq(int, world_call(s->nodes[0], OP_update_invocation, &req, &rep, s->why),
		HW_EVALIDATION));
	run(s, 0, INVOCATION_STATUS_SUCCESS);
	stage_free(s);
}

Test(commands, what_a_node_calls_its_steps_is_shown_without_control_characters)
{
	struct stage *s = stage_new(1, NULL);
	struct msg_invocation_step one = step(0, 0);

	one.name = "run\x1b[2J\ttwo";
	send(s, to_nodes(s));
	begin(s, 0);
	struct msg_update_invocation_request req = word(s, INVOCATION_STATUS_FAILED);
	req.steps.v = &one;
	req.steps.n = 1;
	req.reason = "a\nb";
	cr_assert(tell(s, 0, &req)->taken);
	cr_assert_str_eq(invocation(s, 0)->plugin_name, "run [2J two");
	stage_free(s);
}

/* The field's bound; what a node says may add up to more than a number holds otherwise. */
static int64_t
most_of(const struct msg_row *row, const char *name)
{
	size_t i = 0;

	while (i < row->count && strcmp(row->fields[i].wire, name) != 0)
		i++;
	cr_assert(lt(sz, i, row->count), "%s", name);
	return row->fields[i].max;
}

Test(commands, what_a_node_counts_adds_up_whatever_it_says)
{
	static struct msg_invocation_step steps[1000];
	const int64_t most = most_of(MSG_ROW(invocation_step), "StdoutDropped");
	struct stage *s = stage_new(1, NULL);
	struct msg_update_invocation_request req;
	struct msg_list_command_changes_request ask_for = {.command_id = s->id};
	struct msg_list_command_changes_reply *got;

	send(s, to_nodes(s));
	begin(s, 0);
	for (size_t i = 0; i < 1000; i++)
		steps[i] = (struct msg_invocation_step){
			.name = "s", .status = INVOCATION_STATUS_SUCCESS, .stdout_dropped = most};
	req = word(s, INVOCATION_STATUS_IN_PROGRESS);
	req.steps.v = steps;
	req.steps.n = 1000;
	tell(s, 0, &req);
	cr_assert(eq(int, world_call(s->admin, OP_list_command_changes, &ask_for, &got, s->why), 0),
		"%s", s->why);
	cr_assert(eq(i64, got->invocations.v[0].stdout_dropped, 1000 * most));
	stage_free(s);
}

/* A piece from beyond what its step wrote is none of the output. */
Test(commands, a_piece_that_hangs_in_the_air_is_not_kept)
{
	struct stage *s = stage_new(1, NULL);
	struct msg_invocation_step one = step(1, 0);
	struct msg_invocation_output out[] = {
		piece(OUTPUT_STREAM_STDOUT, 0, "x", 1), piece(OUTPUT_STREAM_STDOUT, 1000, "y", 1)};
	struct msg_update_invocation_request req;
	uint8_t got[8];

	send(s, to_nodes(s));
	begin(s, 0);
	req = word(s, INVOCATION_STATUS_SUCCESS);
	req.steps.v = &one;
	req.steps.n = 1;
	req.outputs.v = out;
	req.outputs.n = 2;
	cr_assert(tell(s, 0, &req)->taken);
	cr_assert(eq(sz, read_all(s, OUTPUT_STREAM_STDOUT, got, sizeof(got)), 1));
	stage_free(s);
}

/* --- lines -------------------------------------------------------------------------------------
 */

/* What a request may hold in memory is less than what it looks through. */
Test(commands, a_search_looks_through_more_than_it_holds)
{
	static char bulk[8000];
	struct stage *s = stage_new(1, NULL);
	struct msg_search_command_outputs_request req = {.pattern = "needle"};
	struct msg_search_command_outputs_reply *got;
	struct msg_invocation_step one = step(sizeof(bulk), 0);
	struct msg_invocation_output out = piece(OUTPUT_STREAM_STDOUT, 0, bulk, sizeof(bulk));
	struct msg_update_invocation_request over;
	size_t hits = 0;
	int64_t searched = 0;

	memset(bulk, '-', sizeof(bulk));
	memcpy(bulk, "needle\n", 7); /* in the oldest, which is looked at last */
	for (int i = 0; i < 200; i++) {
		send(s, to_nodes(s));
		begin(s, 0);
		over = word(s, INVOCATION_STATUS_SUCCESS);
		over.steps.v = &one;
		over.steps.n = 1;
		over.outputs.v = &out;
		over.outputs.n = 1;
		cr_assert(tell(s, 0, &over)->taken);
		world_advance(s->w, USEC_PER_SEC);
		memset(bulk, '-', 7);
	}
	do {
		cr_assert(eq(int,
				  world_call(s->admin, OP_search_command_outputs, &req, &got,
					  s->why),
				  0),
			"%s", s->why);
		cr_assert(eq(i64, got->unreadable, 0));
		hits += got->hits.n;
		searched += got->searched;
		req.next_token = got->next_token;
	} while (got->next_token != NULL);
	cr_assert(eq(i64, searched, 200));
	cr_assert(eq(sz, hits, 1));
	stage_free(s);
}

static int
forget_command(void *arg, struct db *db, struct hw_err *err)
{
	bool more = true;
	int r = 0;

	while (r == 0 && more)
		r = command_delete(db, arg, 100, &more, err);
	return r;
}

/* Where a page stopped is a place in one invocation, and in no other. */
Test(commands, a_search_goes_on_behind_an_invocation_that_was_forgotten_meanwhile)
{
	static const char text[] = "needle\nneedle\n";
	struct stage *s = stage_new(1, NULL);
	struct msg_search_command_outputs_request req = {.pattern = "needle", .max_results = 1};
	struct msg_search_command_outputs_reply *got;
	struct msg_invocation_step one = step(sizeof(text) - 1, 0);
	struct msg_invocation_output out = piece(OUTPUT_STREAM_STDOUT, 0, text, sizeof(text) - 1);
	struct msg_update_invocation_request over;
	struct hw_err err = HW_ERR_INIT;
	char newest[ID_UUID_LEN + 1];
	size_t hits = 0;

	for (int i = 0; i < 3; i++) {
		send(s, to_nodes(s));
		begin(s, 0);
		over = word(s, INVOCATION_STATUS_SUCCESS);
		over.steps.v = &one;
		over.steps.n = 1;
		over.outputs.v = &out;
		over.outputs.n = 1;
		cr_assert(tell(s, 0, &over)->taken);
		world_advance(s->w, USEC_PER_SEC);
	}
	snprintf(newest, sizeof(newest), "%s", s->id);
	do {
		cr_assert(eq(int,
				  world_call(s->admin, OP_search_command_outputs, &req, &got,
					  s->why),
				  0),
			"%s", s->why);
		if (req.next_token == NULL) {
			cr_assert(eq(sz, got->hits.n, 1));
			cr_assert_str_eq(got->hits.v[0].command_id, newest);
			cr_assert(eq(int,
				store_write(s->w->relay->store, forget_command, newest, &err), 0));
		}
		hits += got->hits.n;
		req.next_token = got->next_token;
	} while (got->next_token != NULL);
	cr_assert(eq(sz, hits, 1 + 2 * 2));
	stage_free(s);
}

/* --- who may -----------------------------------------------------------------------------------
 */

static struct world_peer *
user_with(struct stage *s, const char *name, const char *policy)
{
	struct msg_create_user_request make = {.user_name = name};
	struct msg_create_user_reply *made;
	struct msg_put_policy_request put = {.policy_name = name, .document = policy};
	struct msg_attach_policy_request attach = {.policy_name = name, .user_name = name};
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_call(s->admin, OP_create_user, &make, &made, s->why), 0));
	cr_assert(eq(int, world_call(s->admin, OP_put_policy, &put, NULL, s->why), 0), "%s",
		s->why);
	cr_assert(eq(int, world_call(s->admin, OP_attach_policy, &attach, NULL, s->why), 0));
	struct world_peer *p = world_user(s->w, made->invite);
	cr_assert(eq(int, world_connect(p, &err), 0), "%s", err.text);
	return p;
}

static void
tag(struct stage *s, size_t i, const char *key, const char *value)
{
	struct msg_tag t = {key, value};
	struct msg_add_tags_to_resource_request req = {
		.resource_type = TAG_RESOURCE_MANAGED_INSTANCE,
		.resource_id = s->nodes[i]->who.id,
		.tags = {.v = &t, .n = 1}
	 };

	cr_assert(eq(int, world_call(s->admin, OP_add_tags_to_resource, &req, NULL, s->why), 0));
}

#define TEAM_STATEMENTS                                                                          \
	"{\"Effect\":\"Allow\",\"Action\":\"ssm:SendCommand\","                                  \
	"\"Resource\":\"arn:aws:ssm:*:*:document/AWS-RunShellScript\"},"                         \
	"{\"Effect\":\"Allow\",\"Action\":[\"ssm:SendCommand\",\"ssm:ListCommandInvocations\"]," \
	"\"Resource\":\"arn:aws:ssm:*:*:managed-instance/*\","                                   \
	"\"Condition\":{\"StringEquals\":{\"ssm:resourceTag/Team\":\"blue\"}}}"
#define TEAM_ONLY POLICY(TEAM_STATEMENTS)
/* The other nodes can be listed. */
#define TEAM_AND_LIST                                               \
	POLICY(TEAM_STATEMENTS ",{\"Effect\":\"Allow\",\"Action\":" \
			       "\"ssm:DescribeInstanceInformation\",\"Resource\":\"*\"}")

Test(commands, one_denied_node_of_those_that_were_named_denies_the_call)
{
	struct stage *s = stage_new(2, NULL);

	tag(s, 0, "Team", "blue");
	struct world_peer *ann = user_with(s, "ann", TEAM_ONLY);
	cr_assert(eq(int, try_send(s, ann, to_nodes(s)), HW_EDENIED));
	struct sent *c = to_nodes(s);
	c->req.instance_ids.n = 1;
	cr_assert(eq(int, try_send(s, ann, c), 0), "%s", s->why);
	c->req.document_name = "AWS-Other";
	cr_assert(eq(int, try_send(s, ann, c), HW_EDENIED));
	cr_assert(eq(sz, world_entries(s->w, "decision", "ssm:SendCommand", OUTCOME_DENIED), 2));
	world_peer_free(ann);
	stage_free(s);
}

Test(commands, denied_nodes_among_those_that_were_found_have_failed_and_the_rest_goes_on)
{
	struct stage *s = stage_new(3, NULL);
	struct sent *c = to_nodes(s);
	const char *any[] = {"web-*"};
	struct msg_command_target target = {
		"Name", {any, 1}
	};

	tag(s, 1, "Team", "blue");
	struct world_peer *ann = user_with(s, "ann", TEAM_AND_LIST);
	c->req.instance_ids.n = 0;
	c->req.targets.v = &target;
	c->req.targets.n = 1;
	cr_assert(eq(int, try_send(s, ann, c), 0), "%s", s->why);
	cr_assert(eq(sz, ask(s, 0), 0));
	check_invocation(s, 0, "Failed/AccessDenied");
	run(s, 1, INVOCATION_STATUS_SUCCESS);
	check_invocation(s, 2, "Failed/AccessDenied");
	check_command(s, "Success/Success");
	cr_assert(eq(sz, world_entries_with(s->w, "3 nodes, 2 of them denied, 0 hidden"), 1));

	struct msg_list_command_invocations_request list = {.command_id = s->id};
	struct msg_list_command_invocations_reply *got;
	cr_assert(eq(int, world_call(ann, OP_list_command_invocations, &list, &got, s->why), 0));
	cr_assert(eq(sz, got->command_invocations.n, 1));
	cr_assert_str_eq(got->command_invocations.v[0].instance_id, s->nodes[1]->who.id);
	cr_assert(eq(sz, world_entries_with(s->w, "1 shown, 2 not"), 1));
	world_peer_free(ann);
	stage_free(s);
}

/* Web-00 may be listed, web-02 not even that. */
#define TEAM_SEES                                                                        \
	TEAM_STATEMENTS                                                                  \
		",{\"Effect\":\"Allow\",\"Action\":\"ssm:DescribeInstanceInformation\"," \
		"\"Resource\":\"*\",\"Condition\":{\"StringEquals\":{\"ssm:resourceTag/Team\":\"red\"}}}"

Test(commands, nodes_that_the_caller_may_not_see_leave_no_trace_of_themselves)
{
	struct stage *s = stage_new(3, NULL);
	struct sent *c = to_nodes(s);
	const char *any[] = {"web-*"}, *hidden[] = {s->nodes[2]->who.id},
		   *none[] = {"mi-00000000000000000"};
	struct msg_command_target target = {
		"Name", {any, 1}
	};
	char why[384];

	tag(s, 0, "Team", "red");
	tag(s, 1, "Team", "blue");
	struct world_peer *ann = user_with(s, "ann", POLICY(TEAM_SEES));
	c->req.instance_ids.n = 0;
	c->req.targets.v = &target;
	c->req.targets.n = 1;
	c->req.max_concurrency = "50%";
	cr_assert(eq(int, try_send(s, ann, c), 0), "%s", s->why);
	cr_assert(eq(i64, command(s)->target_count, 2));
	check_invocation(s, 0, "Failed/AccessDenied");
	run(s, 1, INVOCATION_STATUS_SUCCESS);
	check_command(s, "Success/Success");
	cr_assert(eq(sz, world_entries_with(s->w, "2 nodes, 1 of them denied, 1 hidden"), 1));

	/* By its id it is as one that there is not. */
	target = (struct msg_command_target){
		"InstanceIds", {none, 1}
	};
	cr_assert(eq(int, try_send(s, ann, c), HW_ENODE));
	memcpy(why, s->why, sizeof(why));
	target.values.v = hidden;
	cr_assert(eq(int, try_send(s, ann, c), HW_ENODE));
	memcpy(strstr(why, none[0]), hidden[0], strlen(hidden[0]));
	cr_assert_str_eq(s->why, why);

	/* And all that are hidden are none. */
	const char *third[] = {"web-02"};
	tag(s, 0, "Team", "green");
	tag(s, 1, "Team", "green");
	target = (struct msg_command_target){
		"Name", {any, 1}
	};
	cr_assert(eq(int, try_send(s, ann, c), 0), "%s", s->why);
	check_command(s, "Failed/NoInstancesInTag");
	target.values.v = third;
	cr_assert(eq(int, try_send(s, ann, c), 0), "%s", s->why);
	check_command(s, "Failed/NoInstancesInTag");
	cr_assert(eq(i64, command(s)->target_count, 0));
	world_peer_free(ann);
	stage_free(s);
}

/* --- who sent it -------------------------------------------------------------------------------
 */

#define EVERYTHING POLICY("{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}")

static void
set_status(struct stage *s, const char *user, int status)
{
	struct msg_update_user_request req = {.user_name = user, .status = status};

	cr_assert(eq(int, world_call(s->admin, OP_update_user, &req, NULL, s->why), 0), "%s",
		s->why);
}

static void
remove_user(struct stage *s, const char *user)
{
	struct msg_delete_user_request req = {.user_name = user};

	cr_assert(eq(int, world_call(s->admin, OP_delete_user, &req, NULL, s->why), 0), "%s",
		s->why);
}

Test(commands, what_a_user_sent_that_is_removed_goes_to_nobody_any_more_and_ends)
{
	struct stage *s = stage_new(3, NULL);
	struct sent *c = to_nodes(s);
	const char *held[] = {s->id};

	struct world_peer *ann = user_with(s, "ann", EVERYTHING);
	c->req.max_concurrency = "1";
	cr_assert(eq(int, try_send(s, ann, c), 0), "%s", s->why);
	begin(s, 0);
	remove_user(s, "ann");
	check_command(s, "Cancelling/Cancelling");
	check_invocation(s, 0, "Cancelling/Cancelling");
	check_invocation(s, 1, "Cancelled/Cancelled");
	cr_assert_str_eq(invocation(s, 1)->stderr_content, "its sender was removed");
	cr_assert(eq(sz, world_entries(s->w, "decision", "ssm:SendCommand", OUTCOME_DENIED), 1));
	restart(s);
	cr_assert(eq(sz, ask(s, 1), 0));
	cr_assert(eq(sz, ask_holding(s, 0, held, 1)->cancel.n, 1));
	end(s, 0, INVOCATION_STATUS_CANCELLED);
	check_command(s, "Cancelled/Cancelled");
	cr_assert(eq(sz, world_entries(s->w, "decision", "ssm:SendCommand", OUTCOME_DENIED), 1));
	world_peer_free(ann);
	stage_free(s);
}

Test(commands, what_a_disabled_user_sent_ends_and_others_goes_on)
{
	struct stage *s = stage_new(2, NULL);
	struct sent *c = to_nodes(s);
	char others[37];

	struct world_peer *ann = user_with(s, "ann", EVERYTHING);
	c->req.max_concurrency = "1";
	send(s, c);
	memcpy(others, s->id, sizeof(others));
	cr_assert(eq(int, try_send(s, ann, c), 0), "%s", s->why);
	set_status(s, "ann", USER_STATUS_DISABLED);
	check_command(s, "Cancelled/Cancelled"); /* nothing of it was given to a node */
	cr_assert(eq(sz, world_entries_with(s->w, "Cancelled, its sender is disabled"), 1));
	cr_assert_str_eq(invocation(s, 0)->stderr_content, "its sender is disabled");
	memcpy(s->id, others, sizeof(others));
	run(s, 0, INVOCATION_STATUS_SUCCESS);
	run(s, 1, INVOCATION_STATUS_SUCCESS);
	check_command(s, "Success/Success");
	world_peer_free(ann);
	stage_free(s);
}

/* It was let in before, and its command comes into the store after that. */
Test(commands, what_is_just_beginning_when_its_sender_is_removed_ends_as_it_begins)
{
	struct stage *s = stage_new(1, NULL);
	struct hw_err err = HW_ERR_INIT;
	struct beginning b;

	struct world_peer *ann = user_with(s, "ann", EVERYTHING);
	begin_halfway(&b, s, "ann");
	remove_user(s, "ann");
	dispatch_begin(b.dispatch);
	world_advance(s->w, USEC_PER_SEC);
	cr_assert(eq(sz, ask(s, 0), 0));
	cr_assert(eq(int, store_read(s->w->relay->store, read_beginning, &b, &err), 0));
	cr_assert_not(b.row.live);
	cr_assert_str_eq(b.invocation.reason, "its sender was removed");
	world_peer_free(ann);
	stage_free(s);
}

/* --- what cannot be sent -----------------------------------------------------------------------
 */

static void
check_refused(struct stage *s, const struct sent *c, int code, const char *part)
{
	cr_assert(eq(int, try_send(s, s->admin, c), code), "%s: %s", part, s->why);
	cr_assert(ne(ptr, strstr(s->why, part), NULL), "%s", s->why);
}

Test(commands, what_does_not_make_sense_is_refused_by_its_name)
{
	struct stage *s = stage_new(2, NULL);
	const char *one[] = {"x"}, *twice[] = {s->nodes[0]->who.id, s->nodes[0]->who.id};
	const char *nobody[] = {"mi-00000000000000000"};
	struct msg_command_target target = {
		"resource-groups:Name", {one, 1}
	};
	struct msg_cloud_watch_output_config watch = {.cloud_watch_output_enabled = true};
	struct msg_notification_config notify = {.notification_arn = "arn:x"};
	struct sent *c = to_nodes(s);

	c->req.targets.v = &target;
	c->req.targets.n = 1;
	check_refused(s, c, HW_EVALIDATION, "not both");
	c->req.instance_ids.n = 0;
	check_refused(s, c, HW_ENOTFOUND, "no resource group is named x");
	target.key = "InstanceIds";
	check_refused(s, c, HW_ENODE, "id x");
	target.values.v = nobody;
	check_refused(s, c, HW_ENODE, nobody[0]);
	target.values.n = 0;
	check_refused(s, c, HW_EVALIDATION, "no values");
	c->req.targets.n = 0;
	check_refused(s, c, HW_EVALIDATION, "InstanceIds or Targets");
	c = to_nodes(s);
	c->req.instance_ids = (struct msg_strs){twice, 2};
	check_refused(s, c, HW_EDUPLICATEID, twice[0]);
	c->req.instance_ids = (struct msg_strs){nobody, 1};
	check_refused(s, c, HW_ENODE, nobody[0]);
	c = to_nodes(s);
	c->req.max_concurrency = "0";
	check_refused(s, c, HW_EVALIDATION, "MaxConcurrency");
	c->req.max_concurrency = "101%";
	check_refused(s, c, HW_EVALIDATION, "MaxConcurrency");
	c->req.max_concurrency = "1";
	c->req.max_errors = "-1";
	check_refused(s, c, HW_EVALIDATION, "MaxErrors");
	c = to_nodes(s);
	c->req.document_name = "AWS-Nothing";
	check_refused(s, c, HW_EDOCUMENT, "AWS-Nothing");
	c = to_nodes(s);
	c->req.document_version = "77";
	check_refused(s, c, HW_EDOCUMENTVERSION, "77");
	c = to_nodes(s);
	c->req.document_hash = "abc";
	check_refused(s, c, HW_EDOCUMENT, "DocumentHash");
	c->req.document_hash_type = "Sha1";
	check_refused(s, c, HW_EVALIDATION, "Sha1");
	c = to_nodes(s);
	c->parameter.key = "nothing";
	check_refused(s, c, HW_EPARAMETERS, "nothing");
	c = to_nodes(s);
	c->req.output_s3_bucket_name = "bucket";
	check_refused(s, c, HW_EOUTPUTFOLDER, "OutputS3BucketName");
	c = to_nodes(s);
	c->req.cloud_watch_output_config = &watch;
	check_refused(s, c, HW_EVALIDATION, "CloudWatchOutputConfig");
	watch.cloud_watch_output_enabled = false;
	c->req.notification_config = &notify;
	check_refused(s, c, HW_EVALIDATION, "NotificationConfig");
	c = to_nodes(s);
	c->req.comment = "a\x1b[2Jb";
	check_refused(s, c, HW_EVALIDATION, "Comment");
	cr_assert(eq(sz, world_entries(s->w, "command.end", NULL, 0), 0));
	stage_free(s);
}

static int
read_row(void *arg, struct db *db, struct hw_err *err)
{
	return command_get(db, arg, &(struct command_row){.live = false}, err);
}

static bool
is_kept(struct stage *s)
{
	return store_read(s->w->relay->store, read_row, s->id, NULL) == 0;
}

/* What it would have forgotten comes never back. */
Test(commands, a_clock_that_jumps_ahead_is_believed_after_an_hour_before_any_are_forgotten)
{
	const int64_t minute = 60 * USEC_PER_SEC;
	struct stage *s = stage_new(1, "command_days = 1\n");

	send(s, to_nodes(s));
	run(s, 0, INVOCATION_STATUS_SUCCESS);
	world_advance(s->w, 62 * minute);
	s->w->clock.now_wall += 365 * DAY;
	world_advance(s->w, 10 * minute);
	cr_assert(is_kept(s));
	s->w->clock.now_wall -= 365 * DAY;
	world_advance(s->w, 10 * minute);
	cr_assert(is_kept(s));
	s->w->clock.now_wall += 2 * DAY;
	world_advance(s->w, 59 * minute);
	cr_assert(is_kept(s));
	world_advance(s->w, 3 * minute);
	cr_assert_not(is_kept(s));
	stage_free(s);
}

Test(commands, no_more_than_so_many_are_live)
{
	struct stage *s = stage_new(1, "max_commands = 2\n");

	send(s, to_nodes(s));
	send(s, to_nodes(s));
	check_refused(s, to_nodes(s), HW_EFULL, "2 commands");
	cr_assert(eq(sz, ask(s, 0), 2));
	end(s, 0, INVOCATION_STATUS_SUCCESS); /* of the newest */
	send(s, to_nodes(s));
	stage_free(s);
}

Test(commands, targets_that_no_node_fits_are_a_command_that_has_failed)
{
	struct stage *s = stage_new(1, NULL);
	struct sent *c = to_nodes(s);
	const char *value[] = {"db"};
	struct msg_command_target target = {
		"tag:Role", {value, 1}
	      };

	c->req.instance_ids.n = 0;
	c->req.targets.v = &target;
	c->req.targets.n = 1;
	send(s, c);
	check_command(s, "Failed/NoInstancesInTag");
	cr_assert(eq(i64, command(s)->target_count, 0));
	cr_assert(eq(sz, world_entries(s->w, "command.end", NULL, OUTCOME_FAILED), 1));
	tag(s, 0, "Role", "db");
	target.key = "TAG:Role";
	send(s, c);
	run(s, 0, INVOCATION_STATUS_SUCCESS);
	target.key = "tag-key";
	value[0] = "Role";
	send(s, c);
	run(s, 0, INVOCATION_STATUS_SUCCESS);
	target.key = "tag:Role";
	target.values.n = 0;
	send(s, c);
	run(s, 0, INVOCATION_STATUS_SUCCESS);
	stage_free(s);
}

/* --- lists -------------------------------------------------------------------------------------
 */

Test(commands, lists_go_page_by_page_and_are_filtered)
{
	struct stage *s = stage_new(3, NULL);
	struct msg_list_commands_request list = {.max_results = 2};
	struct msg_list_commands_reply *got;
	struct msg_command_filter filter = {COMMAND_FILTER_EXECUTION_STAGE, "Complete"};
	size_t n = 0;
	char first[37];

	for (int i = 0; i < 5; i++) {
		send(s, to_nodes(s));
		world_advance(s->w, USEC_PER_SEC);
	}
	snprintf(first, sizeof(first), "%s", s->id);
	do {
		cr_assert(eq(int, world_call(s->admin, OP_list_commands, &list, &got, s->why), 0));
		if (n == 0)
			cr_assert_str_eq(got->commands.v[0].command_id, first);
		n += got->commands.n;
		list.next_token = got->next_token;
	} while (list.next_token != NULL);
	cr_assert(eq(sz, n, 5));
	list = (struct msg_list_commands_request){
		.filters = {.v = &filter, .n = 1}
	 };
	cr_assert(eq(int, world_call(s->admin, OP_list_commands, &list, &got, s->why), 0));
	cr_assert(eq(sz, got->commands.n, 0));
	filter.value = "Executing";
	cr_assert(eq(int, world_call(s->admin, OP_list_commands, &list, &got, s->why), 0));
	cr_assert(eq(sz, got->commands.n, 5));
	filter.value = "Never";
	cr_assert(eq(int, world_call(s->admin, OP_list_commands, &list, &got, s->why),
		HW_EVALIDATION));

	struct msg_list_command_invocations_request parts = {.max_results = 4};
	struct msg_list_command_invocations_reply *part;
	n = 0;
	do {
		cr_assert(eq(int,
			world_call(s->admin, OP_list_command_invocations, &parts, &part, s->why),
			0));
		n += part->command_invocations.n;
		parts.next_token = part->next_token;
	} while (parts.next_token != NULL);
	cr_assert(eq(sz, n, 15));
	stage_free(s);
}

Test(commands, the_details_of_a_list_have_the_steps_with_what_they_wrote)
{
	struct stage *s = stage_new(1, NULL);
	struct msg_invocation_step one = step(4, 0);
	struct msg_invocation_output out = piece(OUTPUT_STREAM_STDOUT, 0, "\xff\x00ok", 4);
	struct msg_list_command_invocations_request list = {.details = true};
	struct msg_list_command_invocations_reply *got;

	send(s, to_nodes(s));
	begin(s, 0);
	struct msg_update_invocation_request req = word(s, INVOCATION_STATUS_SUCCESS);
	req.steps.v = &one;
	req.steps.n = 1;
	req.outputs.v = &out;
	req.outputs.n = 1;
	cr_assert(tell(s, 0, &req)->taken);
	cr_assert(eq(int, world_call(s->admin, OP_list_command_invocations, &list, &got, s->why),
			  0),
		"%s", s->why);
	cr_assert(eq(sz, got->command_invocations.n, 1));
	cr_assert_str_eq(got->command_invocations.v[0].instance_name, "web-00");
	cr_assert(eq(sz, got->command_invocations.v[0].command_plugins.n, 1));
	cr_assert_str_eq(got->command_invocations.v[0].command_plugins.v[0].output,
		"\xef\xbf\xbd\xef\xbf\xbdok");
	stage_free(s);
}

/* Each is written once when its turn comes and once when it ends, and that costs what it costs on
 * ten thousand nodes. */
Test(commands, what_says_nothing_new_is_no_change)
{
	struct stage *s = stage_new(1, NULL);
	struct msg_list_command_changes_request req = {.command_id = s->id};
	struct msg_list_command_changes_reply *got;
	struct msg_update_invocation_request over = word(s, INVOCATION_STATUS_SUCCESS);

	send(s, to_nodes(s));
	cr_assert(eq(int, world_call(s->admin, OP_list_command_changes, &req, &got, s->why), 0));
	int64_t before = got->next;
	cr_assert(eq(sz, ask(s, 0), 1));
	world_advance(s->w, USEC_PER_SEC);
	cr_assert(eq(int, world_call(s->admin, OP_list_command_changes, &req, &got, s->why), 0));
	cr_assert(eq(i64, got->next, before));
	cr_assert(tell(s, 0, &over)->taken);
	world_advance(s->w, USEC_PER_SEC);
	cr_assert(eq(int, world_call(s->admin, OP_list_command_changes, &req, &got, s->why), 0));
	cr_assert(eq(i64, got->next, before + 1));
	stage_free(s);
}

Test(commands, changes_are_told_each_once_in_their_order)
{
	struct stage *s = stage_new(3, NULL);
	struct msg_list_command_changes_request req = {.command_id = s->id};
	struct msg_list_command_changes_reply *got;

	send(s, to_nodes(s));
	cr_assert(eq(int, world_call(s->admin, OP_list_command_changes, &req, &got, s->why), 0));
	cr_assert(eq(sz, got->invocations.n, 3));
	cr_assert_not(got->more);
	req.after = got->next;
	cr_assert(eq(int, world_call(s->admin, OP_list_command_changes, &req, &got, s->why), 0));
	cr_assert(eq(sz, got->invocations.n, 0));
	cr_assert(eq(i64, got->next, req.after));
	run(s, 0, INVOCATION_STATUS_SUCCESS);
	world_advance(s->w, USEC_PER_SEC);
	req.max_results = 1;
	cr_assert(eq(int, world_call(s->admin, OP_list_command_changes, &req, &got, s->why), 0));
	cr_assert(eq(sz, got->invocations.n, 1));
	cr_assert(eq(i64, got->completed_count, 1));
	cr_assert(eq(i64, got->concurrency, 50));
	req.command_id = "11111111-2222-4333-8444-555555555555";
	cr_assert(eq(int, world_call(s->admin, OP_list_command_changes, &req, &got, s->why),
		HW_ECOMMAND));
	stage_free(s);
}

#define WAITING 900

/* That many which wait, and one whose node has spoken at length. */
#define OF_MANY "11111111-2222-4333-8444-555555555555"

static int
add_waiting(void *arg, struct db *db, struct hw_err *err)
{
	static struct msg_invocation_step steps[1000];
	static char names[1000][129];
	const struct command_body body = {"{}", "", ""};
	struct command_row command = {
		.live = true, .targets = WAITING + 1, .status = INVOCATION_STATUS_PENDING};
	struct invocation_row row = {.live = true, .status = INVOCATION_STATUS_PENDING};
	struct msg_invocation_steps said = {
		.steps = {steps, 1000}
	      };
	const char *text;
	int r;

	for (int i = 0; i < 1000; i++) {
		snprintf(names[i], sizeof(names[i]), "%0128d", i);
		steps[i] = (struct msg_invocation_step){
			.name = names[i], .status = INVOCATION_STATUS_SUCCESS};
	}
	snprintf(command.id, sizeof(command.id), "%s", OF_MANY);
	snprintf(row.command_id, sizeof(row.command_id), "%s", OF_MANY);
	snprintf(row.details, sizeof(row.details), "Pending");
	r = command_insert(db, &command, &body, err);
	for (int i = 0; r == 0 && i <= WAITING; i++) {
		snprintf(row.node_id, sizeof(row.node_id), "mi-%017x", i);
		row.change = i + 1;
		r = invocation_insert(db, &row, err);
	}
	if (r < 0 ||
		(r = packed_write(&text, arg, NULL, MSG_ROW(invocation_steps), &said, NULL, err)) <
			0)
		return r;
	return invocation_set_steps(db, OF_MANY, row.node_id, text, 0, err);
}

Test(commands, changes_fit_frames_whatever_a_node_says_of_its_steps)
{
	struct stage *s = stage_new(0, NULL);
	struct msg_list_command_changes_request req = {.command_id = OF_MANY};
	struct msg_list_command_changes_reply *got;
	struct arena *arena = arena_new(4 << 20);
	struct hw_err err = HW_ERR_INIT;
	size_t n = 0, steps = 0;

	cr_assert(eq(int, store_write(s->w->relay->store, add_waiting, arena, &err), 0), "%s",
		err.text);
	do {
		cr_assert(eq(int, world_call(s->admin, OP_list_command_changes, &req, &got, s->why),
				  0),
			"%s", s->why);
		n += got->invocations.n;
		for (size_t i = 0; i < got->invocations.n; i++)
			steps += got->invocations.v[i].steps.n;
		req.after = got->next;
	} while (got->more);
	cr_assert(eq(sz, n, WAITING + 1));
	cr_assert(eq(sz, steps, 1000));
	arena_free(arena);
	stage_free(s);
}

Test(commands, what_runs_shows_its_output_as_it_comes)
{
	struct stage *s = stage_new(1, NULL);
	struct msg_list_command_changes_request req = {.command_id = s->id};
	struct msg_list_command_changes_reply *got;
	struct msg_invocation_step one = step(0, 0);
	struct msg_invocation_output out = piece(OUTPUT_STREAM_STDOUT, 0, "so far", 6);
	uint8_t bytes[16];

	one.status = INVOCATION_STATUS_IN_PROGRESS;
	send(s, to_nodes(s));
	begin(s, 0);
	struct msg_update_invocation_request up = word(s, INVOCATION_STATUS_IN_PROGRESS);
	up.steps.v = &one;
	up.steps.n = 1;
	tell(s, 0, &up);
	world_advance(s->w, USEC_PER_SEC);
	cr_assert(eq(int, world_call(s->admin, OP_list_command_changes, &req, &got, s->why), 0));
	req.after = got->next;
	up = word(s, INVOCATION_STATUS_IN_PROGRESS);
	up.outputs.v = &out;
	up.outputs.n = 1;
	tell(s, 0, &up);
	world_advance(s->w, USEC_PER_SEC);
	cr_assert(eq(int, world_call(s->admin, OP_list_command_changes, &req, &got, s->why), 0));
	cr_assert(eq(sz, got->invocations.n, 1));
	cr_assert(eq(i64, got->invocations.v[0].stdout_bytes, 6));
	cr_assert(eq(sz, got->invocations.v[0].steps.n, 1));
	cr_assert(eq(sz, read_all(s, OUTPUT_STREAM_STDOUT, bytes, sizeof(bytes)), 6));
	cr_assert(eq(int, memcmp(bytes, "so far", 6), 0));
	stage_free(s);
}

/* --- many nodes ---------------------------------------------------------------------------------
 */

struct crowd {
	struct world *w;
	struct arena *arena;
	int n;
};

static void
crowd_id(char out[ID_NODE_LEN + 1], int i)
{
	snprintf(out, ID_NODE_LEN + 1, "mi-%017x", (unsigned)i);
}

static int
add_crowd(void *arg, struct db *db, struct hw_err *err)
{
	struct crowd *c = arg;
	int r = 0;

	for (int i = 0; r == 0 && i < c->n; i++) {
		struct node_row row = {.registered = 1};
		crowd_id(row.id, i);
		snprintf(row.name, sizeof(row.name), "crowd-%d", i);
		if ((r = node_insert(db, &row, err)) == 0)
			store_changed(db, STORE_NODE, row.id);
	}
	return r;
}

/* One operation of a node, as its link would bring it: the decoded reply. */
static void *
as_node(struct crowd *c, int i, enum op_id op, const void *request)
{
	const struct op_row *row = &op_rows[op];
	struct hw_err err = HW_ERR_INIT;
	struct call call;
	struct buf body;
	void *reply;

	buf_init(&body, CALL_BODY_MAX);
	cr_assert(eq(int, msg_encode(&body, row->request(), request, &err), 0), "%s", err.text);
	cr_assert(eq(int,
		call_init(&call, &c->w->relay->env, CALL_MSGPACK, row->name, buf_data(&body),
			body.len),
		0));
	call.who.role = ROLE_NODE;
	crowd_id(call.who.id, i);
	call_execute(&call);
	cr_assert(eq(int, call.code, 0), "%s", call.message);
	cr_assert(eq(int,
			  msg_decode(&reply, c->arena, row->reply(), buf_data(&call.reply),
				  call.reply.len, &err),
			  0),
		"%s", err.text);
	call_fini(&call);
	buf_fini(&body);
	return reply;
}

/* Whether it had an order, which it has ended. */
static bool
serve(struct crowd *c, int i, const char *id)
{
	struct arena_mark mark = arena_mark(c->arena);
	struct msg_get_pending_invocations_request question = {
		.held = {NULL, 0}
	 };
	const struct msg_get_pending_invocations_reply *orders =
		as_node(c, i, OP_get_pending_invocations, &question);
	struct msg_invocation_step one = step(0, 0);
	struct msg_update_invocation_request req = {
		.command_id = id, .status = INVOCATION_STATUS_SUCCESS, .started = 1, .ended = 2};
	bool had = orders->invocations.n > 0;

	req.steps.v = &one;
	req.steps.n = 1;
	if (had) {
		const struct msg_update_invocation_reply *a =
			as_node(c, i, OP_update_invocation, &req);
		cr_assert(a->taken);
	}
	arena_release(c->arena, &mark);
	return had;
}

static long
resident_kib(void)
{
	long pages = 0, all;
	FILE *f = fopen("/proc/self/statm", "r");

	cr_assert(ne(ptr, f, NULL));
	cr_assert(eq(int, fscanf(f, "%ld %ld", &all, &pages), 2));
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static double
cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* HAWSER_INVOCATIONS=10000 says what each of them costs. */
Test(commands, a_crowd_of_nodes_is_served_to_the_last, .timeout = 600)
{
	const char *wanted = getenv("HAWSER_INVOCATIONS");
	struct stage *s = stage_new(0, NULL);
	struct crowd c = {
		.w = s->w, .arena = arena_new(1 << 20), .n = wanted != NULL ? atoi(wanted) : 300};
	const char *any[] = {"crowd-*"};
	struct msg_command_target target = {
		"Name", {any, 1}
	};
	struct hw_err err = HW_ERR_INIT;
	struct sent *to = to_nodes(s);
	char id[ID_NODE_LEN + 1];
	bool *done = calloc((size_t)c.n, sizeof(*done));
	int left = c.n;

	cr_assert(eq(int, store_write(s->w->relay->store, add_crowd, &c, &err), 0), "%s", err.text);
	world_settle(s->w);
	to->req.targets.v = &target;
	to->req.targets.n = 1;
	to->req.max_concurrency = "500";
	long before = resident_kib();
	double began = cpu_seconds();
	send(s, to);
	double sent = cpu_seconds();
	for (int i = 0; i < c.n; i++) {
		crowd_id(id, i);
		dispatcher_node_up(s->w->relay->dispatcher, id);
	}
	long live = resident_kib();
	for (int round = 0; left > 0 && round < 10000; round++) {
		world_settle(s->w);
		for (int i = 0, served = 0; i < c.n && served < 500; i++) {
			if (done[i] || !serve(&c, i, s->id)) {
				served += !done[i];
				continue;
			}
			done[i] = true;
			left--;
			served++;
		}
	}
	double ended = cpu_seconds();
	cr_assert(eq(int, left, 0));
	world_settle(s->w);
	check_command(s, "Success/Success");
	if (wanted != NULL)
		fprintf(stderr,
			"%d invocations: %.1f us each to send, %.1f us each to serve; %ld bytes "
			"each while live, %ld at the end\n",
			c.n, (sent - began) * 1e6 / c.n, (ended - sent) * 1e6 / c.n,
			(live - before) * 1024 / c.n, (resident_kib() - before) * 1024 / c.n);
	free(done);
	arena_free(c.arena);
	stage_free(s);
}

/* --- documents for steps ------------------------------------------------------------------------
 */

static void
make_document(struct stage *s, const char *name)
{
	struct msg_create_document_request req = {
		.name = name,
		.document_type = DOCUMENT_TYPE_COMMAND,
		.document_format = DOCUMENT_FORMAT_JSON,
		.content = "{\"schemaVersion\":\"2.2\",\"mainSteps\":[{\"name\":\"one\",\"action\":"
			   "\"aws:runShellScript\",\"inputs\":{\"runCommand\":[\"true\"]}}]}",
	};

	cr_assert(eq(int, world_call(s->admin, OP_create_document, &req, NULL, s->why), 0), "%s",
		s->why);
}

static int
want(struct stage *s, size_t i, const char *name, const char *version,
	struct msg_get_invocation_document_reply **rep)
{
	struct msg_get_invocation_document_request req = {
		.command_id = s->id, .name = name, .document_version = version};

	return world_call(s->nodes[i], OP_get_invocation_document, &req, rep, s->why);
}

Test(commands, a_node_gets_documents_for_the_command_that_it_runs_and_no_longer)
{
	struct stage *s = stage_new(2, NULL);
	struct msg_get_invocation_document_reply *rep;

	make_document(s, "Inner");
	struct sent *c = to_nodes(s);
	c->req.instance_ids.n = 1;
	send(s, c);
	cr_assert(eq(int, want(s, 0, "Inner", NULL, &rep), HW_EINVOCATION), "before it has it");
	begin(s, 0);
	cr_assert(eq(int, want(s, 0, "Inner", NULL, &rep), 0), "%s", s->why);
	cr_assert_str_eq(rep->name, "Inner");
	cr_assert_str_eq(rep->document_version, "1");
	cr_assert(eq(int, rep->document_format, DOCUMENT_FORMAT_JSON));
	cr_assert_not_null(strstr(rep->content, "runCommand"));
	cr_assert(eq(int, want(s, 0, "Inner", "$LATEST", &rep), 0), "%s", s->why);
	cr_assert(eq(int, want(s, 0, "AWS-RunShellScript", "1", &rep), 0), "%s", s->why);
	cr_assert(eq(int, want(s, 0, "Inner", "7", &rep), HW_EDOCUMENTVERSION));
	cr_assert(eq(int, want(s, 0, "NoSuch", NULL, &rep), HW_EDOCUMENT));
	cr_assert(eq(int, want(s, 1, "Inner", NULL, &rep), HW_EINVOCATION), "another node");
	cr_assert(eq(sz, world_entries(s->w, "decision", "ssm:GetDocument", OUTCOME_ALLOWED), 5));
	cr_assert(eq(sz, world_entries_with(s->w, "for a step on mi-"), 5));
	end(s, 0, INVOCATION_STATUS_SUCCESS);
	cr_assert(eq(int, want(s, 0, "Inner", NULL, &rep), HW_EINVOCATION), "it is over");
	stage_free(s);
}

/* A name that is longer in an ARN than what an entry has room for. */
Test(commands, a_document_that_nobody_has_is_an_entry_whatever_its_name)
{
	struct stage *s = stage_new(1, NULL);
	struct msg_get_invocation_document_reply *rep;
	char name[257];

	memset(name, '/', 256);
	name[256] = '\0';
	send(s, to_nodes(s));
	begin(s, 0);
	cr_assert(eq(int, want(s, 0, name, NULL, &rep), HW_EDOCUMENT), "%s", s->why);
	cr_assert(eq(sz, world_entries(s->w, "decision", "ssm:GetDocument", OUTCOME_ALLOWED), 1));
	stage_free(s);
}

#define SENDS_AND_READS_ONE                                                                \
	POLICY("{\"Effect\":\"Allow\",\"Action\":\"ssm:SendCommand\",\"Resource\":\"*\"}," \
	       "{\"Effect\":\"Allow\",\"Action\":\"ssm:GetDocument\","                     \
	       "\"Resource\":\"arn:aws:ssm:*:*:document/Open\"}")

Test(commands, a_node_reads_no_document_that_who_sent_the_command_may_not)
{
	struct stage *s = stage_new(1, NULL);
	struct msg_get_invocation_document_reply *rep;
	struct world_peer *ann = user_with(s, "ann", SENDS_AND_READS_ONE);

	make_document(s, "Open");
	make_document(s, "Closed");
	cr_assert(eq(int, try_send(s, ann, to_nodes(s)), 0), "%s", s->why);
	begin(s, 0);
	cr_assert(eq(int, want(s, 0, "Open", NULL, &rep), 0), "%s", s->why);
	cr_assert(eq(int, want(s, 0, "Closed", NULL, &rep), HW_EDENIED));
	cr_assert(eq(int, want(s, 0, "NoSuch", NULL, &rep), HW_EDENIED), "nor whether it exists");
	cr_assert(eq(sz, world_entries(s->w, "decision", "ssm:GetDocument", OUTCOME_DENIED), 2));
	cr_assert(eq(sz, world_entries(s->w, "decision", "ssm:GetDocument", OUTCOME_ALLOWED), 1));

	/* Who is no user any more may read nothing. */
	struct msg_delete_user_request gone = {.user_name = "ann"};
	cr_assert(eq(int, world_call(s->admin, OP_delete_user, &gone, NULL, s->why), 0), "%s",
		s->why);
	cr_assert(eq(int, want(s, 0, "Open", NULL, &rep), HW_EDENIED));
	world_peer_free(ann);
	stage_free(s);
}

#define SENDS_FROM_THE_OFFICE                                                                \
	POLICY("{\"Effect\":\"Allow\",\"Action\":[\"ssm:SendCommand\",\"ssm:GetDocument\"]," \
	       "\"Resource\":\"*\"},"                                                        \
	       "{\"Effect\":\"Deny\",\"Action\":\"ssm:GetDocument\",\"Resource\":"           \
	       "\"arn:aws:ssm:*:*:document/NotHere\","                                       \
	       "\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":\"198.51.100.0/24\"}}},"      \
	       "{\"Effect\":\"Deny\",\"Action\":\"ssm:GetDocument\",\"Resource\":"           \
	       "\"arn:aws:ssm:*:*:document/Factor\","                                        \
	       "\"Condition\":{\"Bool\":{\"aws:MultiFactorAuthPresent\":\"false\"}}}")

static int
by_key(void *arg, struct db *db, struct hw_err *err)
{
	return db_run(db, NULL, err, "UPDATE command SET by_key = 1 WHERE id = $1", "s", arg);
}

/* As if who sent the command asked, from where and with what it was sent. */
Test(commands, a_node_s_document_is_asked_for_as_its_command_was_sent)
{
	struct stage *s = stage_new(1, NULL);
	struct msg_get_invocation_document_reply *rep;
	struct world_peer *ann = user_with(s, "ann", SENDS_FROM_THE_OFFICE);
	struct hw_err err = HW_ERR_INIT;

	make_document(s, "NotHere");
	make_document(s, "Factor");
	world_drop(ann);
	ann->source = "198.51.100.9";
	cr_assert(eq(int, world_connect(ann, &err), 0), "%s", err.text);
	cr_assert(eq(int, try_send(s, ann, to_nodes(s)), 0), "%s", s->why);
	begin(s, 0);
	cr_assert(eq(int, want(s, 0, "NotHere", NULL, &rep), HW_EDENIED));
	cr_assert(eq(int, want(s, 0, "Factor", NULL, &rep), HW_EDENIED));
	cr_assert(eq(int, want(s, 0, "AWS-RunShellScript", NULL, &rep), 0), "%s", s->why);

	/* A key says nothing of a second factor, so the same policy denies nothing. */
	cr_assert(eq(int, store_write(s->w->relay->store, by_key, s->id, &err), 0), "%s", err.text);
	cr_assert(eq(int, want(s, 0, "Factor", NULL, &rep), 0), "%s", s->why);
	cr_assert(eq(int, want(s, 0, "NotHere", NULL, &rep), HW_EDENIED));
	world_peer_free(ann);
	stage_free(s);
}

Test(commands, a_node_does_not_ask_for_documents_without_end)
{
	struct stage *s = stage_new(1, NULL);
	struct msg_get_invocation_document_reply *rep;
	int r = 0, n = 0;

	send(s, to_nodes(s));
	begin(s, 0);
	while (r == 0 && n <= 1000) {
		r = want(s, 0, "AWS-RunShellScript", NULL, &rep);
		n += r == 0;
	}
	cr_assert(eq(int, r, HW_ELIMIT));
	cr_assert(eq(int, n, 1000));
	stage_free(s);
}
