/* Commands on a node, from the order to the end that the relay takes. */
#include <sys/stat.h>
#include <sys/wait.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/holder/sweep.h"
#include "proto/base/loop.h"
#include "tests/unit/node/desk.h"

TestSuite(commands, .timeout = 120);

/* --- one script
 * ------------------------------------------------------------------------------------ */

Test(commands, ends_are_told_as_they_are)
{
	static const struct {
		const char *lines, *status, *details;
		int code;
	} rows[] = {
		{"\"exit 0\"",			       "Success",  "Success",	     0  },
		{"\"true\"",			     "Success",	"Success",	   0  },
		{"\"exit 1\"",			       "Failed",	 "Failed",		   1  },
		{"\"exit 137\"",			 "TimedOut", "ExecutionTimedOut", 137},
		{"\"sh -c 'kill -9 $$'\", \"exit $?\"", "TimedOut", "ExecutionTimedOut", 137},
		{"\"exit 168\"",			 "Success",  "Success",	       168},
		{"\"exit 169\"",			 "Failed",   "Failed",	     169},
 /* The shell that was told the file's path says so of the one that read it. */
		{"\"kill -9 $$\"",			   "TimedOut", "ExecutionTimedOut", 137},
		{"\"kill -TERM $$\"",		      "Failed",	"Failed",		  143},
		{"\"no-such-command-anywhere\"",	 "Failed",   "Failed",	     127},
		{"\"#!/no/such/shell\", \"true\"",	   "Failed",   "Failed",	       127},
		{"",				    "Success",	"Success",	   0  },
	};
	struct desk *d = desk_new();
	struct desk_record *r[sizeof(rows) / sizeof(rows[0])];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		r[i] = desk_script(d, rows[i].lines, "");
	desk_tell(d);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		desk_until_taken(d, r[i]);
		desk_expect(r[i], rows[i].status, rows[i].details, rows[i].code);
		desk_expect_step(r[i], 0, rows[i].details, rows[i].code);
	}
	desk_free(d);
}

/* Some of the holders die before they have said that the script runs, others after it. */
Test(commands, a_script_that_kills_its_holder_is_lost_however_early_it_does)
{
	struct desk *d = desk_new();
	struct desk_record *r[24];

	for (size_t i = 0; i < sizeof(r) / sizeof(r[0]); i++)
		r[i] = desk_script(d, "\"kill -KILL $PPID\"", "");
	desk_tell(d);
	for (size_t i = 0; i < sizeof(r) / sizeof(r[0]); i++) {
		desk_until_taken(d, r[i]);
		desk_expect(r[i], "Failed", "Failed", -1);
	}
	desk_free(d);
}

Test(commands, a_small_one_is_one_message)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"echo out; echo err >&2; exit 3\"", "");

	desk_run(d, r);
	desk_expect(r, "Failed", "Failed", 3);
	cr_assert_str_eq(desk_out(r, 0, 0), "out\n");
	cr_assert_str_eq(desk_out(r, 0, 1), "err\n");
	cr_assert_leq(r->updates, 2, "a loaded machine may need one for each; %d", r->updates);
	desk_free(d);
}

Test(commands, a_script_is_a_file_of_its_own_interpreter)
{
	struct desk *d = desk_new();
	struct desk_record *sh = desk_script(d, "\"x=1\", \"cd /tmp\", \"echo $x $(pwd)\"", "");
	struct desk_record *perl =
		desk_script(d, "\"#!/usr/bin/perl\", \"print 'from ', 'perl';\"", "");
	struct desk_record *bash = desk_script(d,
		"\"#!/bin/bash\", \"a=(1 2 3); [[ ${#a[@]} == 3 ]] && echo three\"", "");

	desk_run(d, sh);
	desk_until_taken(d, perl);
	desk_until_taken(d, bash);
	cr_assert_str_eq(desk_out(sh, 0, 0), "1 /tmp\n");
	cr_assert_str_eq(desk_out(perl, 0, 0), "from perl");
	cr_assert_str_eq(desk_out(bash, 0, 0), "three\n");
	desk_free(d);
}

Test(commands, what_surrounds_a_script)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d,
		"\"pwd\", \"cat\", \"echo $SSM_COMMAND_ID $AWS_SSM_INSTANCE_ID $MINE\", \"ps -o sid= $$ | "
		"tr -d ' '\", \"echo $$\", \"echo ${HAWSER_SESSION:-none} ${TERM:-none}\"",
		",\"environment\":{\"MINE\":\"a b\"}");
	char expected[256], *rest;

	desk_run(d, r);
	desk_expect(r, "Success", "Success", 0);
	snprintf(expected, sizeof(expected), "/\n%s mi-0123456789abcdef0 a b\n", r->id);
	cr_assert_eq(strncmp(desk_out(r, 0, 0), expected, strlen(expected)), 0, "%s",
		desk_out(r, 0, 0));
	long sid = strtol(desk_out(r, 0, 0) + strlen(expected), &rest, 10);
	long pid = strtol(rest, &rest, 10);
	cr_assert(sid > 1, "it has a session of its own");
	cr_assert_eq(pid, sid, "no other shell waits for the one that reads it");
	cr_assert_str_eq(rest, "\nnone none\n");
	desk_free(d);
}

Test(commands, directories)
{
	struct desk *d = desk_new();
	struct desk_record *there = desk_script(d, "\"pwd\"", ",\"workingDirectory\":\"/usr/lib\"");
	struct desk_record *relative = desk_script(d, "\"pwd\"", ",\"workingDirectory\":\"usr\"");
	struct desk_record *none = desk_script(d, "\"pwd\"", ",\"workingDirectory\":\"/no/such\"");

	desk_run(d, there);
	desk_until_taken(d, relative);
	desk_until_taken(d, none);
	cr_assert_str_eq(desk_out(there, 0, 0), "/usr/lib\n");
	cr_assert_str_eq(desk_out(relative, 0, 0), "/\n");
	desk_expect(none, "Failed", "Failed", 1);
	cr_assert_str_eq(desk_out(none, 0, 1),
		"failed to run commands: cannot change to the directory /no/such: No such file or "
		"directory\n");
	desk_free(d);
}

Test(commands, any_bytes_come_out_as_they_are)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d,
		"\"i=0; while [ $i -lt 256 ]; do printf \\\"\\\\\\\\$(printf %03o $i)\\\"; i=$((i+1)); done\"",
		"");

	desk_run(d, r);
	cr_assert_eq(r->steps[0].out[0].len, 256);
	for (int i = 0; i < 256; i++)
		cr_assert_eq(buf_data(&r->steps[0].out[0])[i], i);
	desk_free(d);
}

Test(commands, much_output_comes_whole_and_in_order)
{
	struct desk *d = desk_new_with((struct commands_config){.output_max = 64 << 20},
		(struct rig_options){.grace_seconds = 60});
	struct desk_record *r = desk_script(d, "\"seq 1 600000\", \"seq 1 100000 >&2\"", "");
	size_t n = 0;

	desk_run(d, r);
	desk_expect(r, "Success", "Success", 0);
	const char *at = desk_out(r, 0, 0);
	for (unsigned long i = 1; i <= 600000; i++, n++) {
		char *end;
		cr_assert_eq(strtoul(at, &end, 10), i);
		cr_assert_eq(*end, '\n');
		at = end + 1;
	}
	cr_assert_eq(*at, '\0');
	cr_assert_eq(r->steps[0].out[1].len, 588895);
	cr_assert_eq(r->steps[0].dropped[0], 0);
	desk_free(d);
}

Test(commands, what_is_over_the_cap_is_counted)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"head -c 3000000 /dev/zero\", \"echo x >&2\"", "");
	struct desk_record *less = desk_script(d, "\"printf 0123456789\"", "");

	less->output_max = 4;
	desk_run(d, r);
	desk_until_taken(d, less);
	desk_expect(r, "Success", "Success", 0);
	cr_assert_eq(r->steps[0].out[0].len + r->steps[0].out[1].len, 1 << 20);
	cr_assert_eq(r->steps[0].dropped[0] + r->steps[0].dropped[1], 3000002 - (1 << 20));
	cr_assert_str_eq(desk_out(less, 0, 0), "0123");
	cr_assert_eq(less->steps[0].dropped[0], 6);
	desk_free(d);
}

/* --- time and cancelling
 * ---------------------------------------------------------------------------- */

Test(commands, a_script_has_its_time_and_all_of_it_is_killed)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d,
		"\"trap '' TERM HUP INT\", \"(trap '' HUP; sleep 300) &\", \"echo $!\", \"sleep 300\"",
		",\"timeoutSeconds\":\"5\"");

	desk_run(d, r);
	desk_expect(r, "TimedOut", "ExecutionTimedOut", 137);
	rig_until_dead((pid_t)atol(desk_out(r, 0, 0)));
	desk_free(d);
}

Test(commands, what_runs_is_cancelled)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"sleep 300 &\", \"echo $!\", \"wait\"", "");

	desk_tell(d);
	desk_until_out(d, r, "\n");
	r->cancel = true;
	desk_run(d, r);
	desk_expect(r, "Cancelled", "Cancelled", 137);
	rig_until_dead((pid_t)atol(desk_out(r, 0, 0)));
	desk_free(d);
}

static bool
both_heard(struct desk *d, struct desk_record *r)
{
	(void)r;
	return d->records[0]->heard && d->records[1]->heard;
}

Test(commands, what_waits_is_cancelled_and_never_runs)
{
	struct desk *d = desk_new_with((struct commands_config){.running_max = 1},
		(struct rig_options){.grace_seconds = 60});
	struct desk_record *first = desk_script(d, "\"sleep 300\"", "");
	struct desk_record *second = desk_script(d, "\"echo ran\"", "");

	desk_tell(d);
	desk_until(d, both_heard, NULL);
	cr_assert_eq(commands_count(d->commands).running, 1);
	cr_assert_eq(commands_count(d->commands).waiting, 1);
	second->cancel = true;
	desk_run(d, second);
	desk_expect(second, "Cancelled", "Cancelled", -1);
	cr_assert_eq(second->n, 0);
	first->cancel = true;
	desk_run(d, first);
	desk_free(d);
}

Test(commands, what_has_ended_stays_as_it_is)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"exit 5\"", "");

	d->deaf = true; /* the end is not taken yet */
	desk_tell(d);
	desk_until_heard(d, r);
	while (r->status != INVOCATION_STATUS_FAILED)
		cr_assert_eq(loop_run(d->loop, NULL), 0);
	r->cancel = true;
	d->deaf = false;
	desk_run(d, r);
	desk_expect(r, "Failed", "Failed", 5);
	desk_free(d);
}

Test(commands, one_that_is_cancelled_between_the_order_and_the_answer_does_not_go_on)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"sleep 300\"", "");

	r->cancel = true; /* the first answer says it */
	desk_run(d, r);
	desk_expect(r, "Cancelled", "Cancelled", 137);
	desk_free(d);
}

/* --- what a script leaves behind
 * ---------------------------------------------------------------------- */

Test(commands, a_daemon_that_holds_nothing_outlives_its_script)
{
	struct desk *d = desk_new();
	struct desk_record *r =
		desk_script(d, "\"nohup sleep 300 >/dev/null 2>&1 &\", \"echo $!\"", "");

	desk_run(d, r);
	desk_expect(r, "Success", "Success", 0);
	pid_t pid = (pid_t)atol(desk_out(r, 0, 0));
	rig_until_no_socket(d->rig);
	cr_assert(rig_alive(pid), "it was meant to stay");
	kill(pid, SIGKILL);
	desk_free(d);
}

Test(commands, a_child_that_holds_the_output_keeps_the_step_open)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"(sleep 2; echo late) &\", \"echo early\"", "");

	desk_run(d, r);
	desk_expect(r, "Success", "Success", 0);
	cr_assert_str_eq(desk_out(r, 0, 0), "early\nlate\n");
	desk_free(d);
}

Test(commands, and_is_killed_with_it_when_its_time_is_over)
{
	struct desk *d = desk_new();
	struct desk_record *r =
		desk_script(d, "\"sleep 300 &\", \"echo $!\"", ",\"timeoutSeconds\":5");

	desk_run(d, r);
	desk_expect(r, "TimedOut", "ExecutionTimedOut", 137);
	rig_until_dead((pid_t)atol(desk_out(r, 0, 0)));
	desk_free(d);
}

/* --- several steps
 * ------------------------------------------------------------------------------------- */

#define STEP(name, line, more)                                \
	"{\"action\":\"aws:runShellScript\",\"name\":\"" name \
	"\",\"inputs\":{\"runCommand\":[\"" line "\"]" more "}}"
#define DOC(steps) "{\"schemaVersion\":\"2.2\",\"mainSteps\":[" steps "]}"

Test(commands, a_failed_step_stops_nothing)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_order(d,
		DOC(STEP("one", "exit 4", "") "," STEP("two", "echo two", "") "," STEP("three",
			"exit 137", "")));

	desk_run(d, r);
	desk_expect(r, "Failed", "Failed", 4);
	desk_expect_step(r, 0, "Failed", 4);
	desk_expect_step(r, 1, "Success", 0);
	desk_expect_step(r, 2, "ExecutionTimedOut", 137);
	cr_assert_str_eq(desk_out(r, 1, 0), "two\n");
	desk_free(d);
}

Test(commands, an_exit_skips_the_rest_but_for_the_last_that_is_always_run)
{
	static const struct {
		const char *content, *status;
		int code;
		bool skips; /* the second step */
	} rows[] = {
		{DOC(STEP("one", "echo x; exit 168", "") "," STEP("two",					 "echo two", "")),
			"Success",													   168, true },
		{DOC(STEP("one", "exit 169",	     "") "," STEP("two",					 "echo two", "")), "Failed", 169,
			true															   },
		{DOC(STEP("one", "exit 1",	   ",\"onFailure\":\"exit\"") "," STEP("two",	      "echo two",
		 "")),
			"Failed",													    1,   true },
		{DOC(STEP("one", "exit 1",	   ",\"onFailure\":\"successAndExit\"") "," STEP("two",
		 "echo two",											  "")),
			"Success",													   168, true },
		{DOC(STEP("one", "exit 0",	   ",\"onSuccess\":\"exit\"") "," STEP("two",	      "echo two",
		 "")),
			"Success",													   0,   true },
		{DOC(STEP("one", "exit 169",	     "") "," STEP("two",					 "echo two",
		 ",\"finallyStep\":true")),
			"Failed",													    169, false},
	};
	struct desk *d = desk_new();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct desk_record *r = desk_order(d, rows[i].content);
		desk_run(d, r);
		desk_expect(r, rows[i].status, rows[i].status, rows[i].code);
		desk_expect_step(r, 1, rows[i].skips ? "Skipped" : "Success", 0);
		cr_assert_str_eq(desk_out(r, 1, 0),
			rows[i].skips
				? "Plugin with name aws:runShellScript and id two skipped due to prior "
				  "step with an exit condition"
				: "two\n");
	}
	cr_assert_not_null(strstr(desk_out(d->records[0], 0, 0),
		"x\n\nStep exited with code 168."));
	desk_free(d);
}

Test(commands, steps_that_cannot_run_here)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_order(d,
		"{\"schemaVersion\":\"2.2\",\"mainSteps\":["
		"{\"action\":\"aws:runPowerShellScript\",\"name\":\"shell\",\"inputs\":{\"runCommand\":[\"x\"]}},"
		"{\"action\":\"aws:noSuch\",\"name\":\"unknown\",\"inputs\":{}},"
		"{\"action\":\"aws:runShellScript\",\"name\":\"windows\",\"precondition\":{\"StringEquals\":"
		"[\"platformType\",\"Windows\"]},\"inputs\":{\"runCommand\":[\"x\"]}},"
		"{\"action\":\"aws:runShellScript\",\"name\":\"wrong\",\"inputs\":{\"runCommand\":7}},"
		"{\"action\":\"aws:runShellScript\",\"name\":\"linux\",\"precondition\":{\"StringEquals\":"
		"[\"platformType\",\"Linux\"]},\"inputs\":{\"runCommand\":[\"echo here\"]}}]}");

	desk_run(d, r);
	cr_assert_str_eq(r->reason, "");
	desk_expect(r, "Failed", "Failed", 1);
	desk_expect_step(r, 0, "Skipped", 0);
	desk_expect_step(r, 1, "Failed", 1);
	desk_expect_step(r, 2, "Skipped", 0);
	desk_expect_step(r, 3, "Failed", 1);
	desk_expect_step(r, 4, "Success", 0);
	cr_assert_str_eq(desk_out(r, 4, 0), "here\n");
	cr_assert_str_neq(desk_out(r, 1, 1), "");
	cr_assert_str_neq(desk_out(r, 3, 1), "");
	desk_free(d);
}

Test(commands, parameters_are_put_in)
{
	static const char *texts[] = {"a; echo b"}, *lines[] = {"echo one", "echo two"};
	static struct msg_pair given[] = {
		{"name",	 {texts, 1}},
		{"lines", {lines, 2}},
	};
	struct desk *d = desk_new();
	struct desk_record *r = desk_order(d,
		"schemaVersion: '2.2'\n"
		"parameters:\n"
		"  name: {type: String, interpolationType: ENV_VAR}\n"
		"  lines: {type: StringList}\n"
		"mainSteps:\n"
		"- action: aws:runShellScript\n"
		"  name: first\n"
		"  inputs: {runCommand: ['echo \"{{ name }}\"']}\n"
		"- action: aws:runShellScript\n"
		"  name: second\n"
		"  inputs: {runCommand: '{{ lines }}'}\n");

	r->parameters = (struct msg_smap){given, 2};
	desk_run(d, r);
	cr_assert_str_eq(desk_out(r, 0, 0), "a; echo b\n");
	cr_assert_str_eq(desk_out(r, 1, 0), "one\ntwo\n");
	desk_free(d);
}

Test(commands, of_an_older_schema_each_element_is_a_step)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_order(d,
		"{\"schemaVersion\":\"1.2\",\"runtimeConfig\":{\"aws:runShellScript\":{\"properties\":["
		"{\"id\":\"0.aws:runShellScript\",\"runCommand\":[\"echo a; exit 1\"],\"onFailure\":\"exit\"},"
		"{\"id\":\"1.aws:runShellScript\",\"runCommand\":[\"echo b\"],\"timeoutSeconds\":\"60\"}]}}}");

	desk_run(d, r);
	desk_expect(r, "Failed", "Failed", 1);
	cr_assert_str_eq(desk_out(r, 0, 0), "a\n");
	cr_assert_str_eq(desk_out(r, 1, 0), "b\n");
	desk_free(d);
}

Test(commands, documents_that_are_none_fail_before_any_step)
{
	static const char *const bad[] = {
		"{\"schemaVersion\":\"9.9\",\"mainSteps\":[]}",
		"{",
		DOC(STEP("one", "echo {{ssm:name}}", "")),
		"{\"schemaVersion\":\"2.2\",\"parameters\":{\"a\":{\"type\":\"String\"}},\"mainSteps\":[" STEP(
			"one", "echo", "") "]}",
	};
	struct desk *d = desk_new();

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct desk_record *r = desk_order(d, bad[i]);
		desk_run(d, r);
		desk_expect(r, "Failed", "Failed", -1);
		cr_assert_str_neq(r->reason, "");
	}
	desk_free(d);
}

/* --- links, agents, orders
 * ------------------------------------------------------------------------------- */

static bool
nothing_held(struct desk *d, struct desk_record *r)
{
	struct commands_count n = commands_count(d->commands);

	(void)r;
	return n.running + n.waiting + n.ended == 0;
}

Test(commands, an_order_that_comes_again_is_not_run_again)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"echo once; sleep 1\"", "");

	desk_tell(d);
	desk_until_heard(d, r);
	r->says_again = true;
	desk_tell(d);
	desk_until_taken(d, r);
	cr_assert_str_eq(desk_out(r, 0, 0), "once\n");
	cr_assert_geq(r->orders, 2);

	/* Also when all that is left of it is that it was. */
	desk_until(d, nothing_held, r);
	r->says_again = true;
	r->taken = false;
	desk_kill_agent(d);
	desk_new_agent(d);
	desk_new_link(d);
	desk_until_taken(d, r);
	desk_expect(r, "Failed", "Failed", -1);
	cr_assert_str_neq(r->reason, "");
	cr_assert_str_eq(desk_out(r, 0, 0), "once\n");
	desk_free(d);
}

Test(commands, one_that_comes_too_late_is_not_begun)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"echo late\"", "");

	r->deliver_before = 1;
	desk_run(d, r);
	desk_expect(r, "TimedOut", "DeliveryTimedOut", -1);
	cr_assert_eq(r->n, 0);
	desk_free(d);
}

Test(commands, nor_one_that_waited_for_too_long)
{
	struct desk *d = desk_new_with((struct commands_config){.running_max = 1},
		(struct rig_options){.grace_seconds = 60});
	struct desk_record *first = desk_script(d, "\"sleep 3\"", "");
	struct desk_record *second = desk_script(d, "\"echo late\"", "");

	second->deliver_before = clock_wall(&hw_clock_system) + USEC_PER_SEC;
	desk_run(d, first);
	desk_until_taken(d, second);
	desk_expect(second, "TimedOut", "DeliveryTimedOut", -1);
	desk_free(d);
}

Test(commands, there_are_never_more_than_may_run_or_be_held)
{
	struct desk *d = desk_new_with((struct commands_config){.running_max = 3, .held_max = 5},
		(struct rig_options){.grace_seconds = 60});

	for (int i = 0; i < 30; i++)
		desk_script(d, "\"echo x\"", "");
	desk_tell(d);
	for (int i = 0; i < 30; i++) {
		while (!d->records[i]->taken) {
			struct commands_count n = commands_count(d->commands);
			cr_assert_leq(n.running, 3);
			cr_assert_leq(n.running + n.waiting + n.ended, 5);
			desk_until_taken(d, d->records[i]);
		}
		desk_expect(d->records[i], "Success", "Success", 0);
	}
	desk_free(d);
}

static bool
nothing_runs(struct desk *d, struct desk_record *r)
{
	(void)r;
	return commands_count(d->commands).running == 0;
}

Test(commands, it_runs_to_its_end_without_a_link_and_is_told_on_the_next)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d,
		"\"echo begun; sleep 1; head -c 300000 /dev/zero | tr '\\\\0' x\"", "");

	desk_tell(d);
	desk_until_out(d, r, "begun\n");
	desk_cut_link(d);
	desk_until(d, nothing_runs, r);
	desk_new_link(d);
	desk_until_taken(d, r);
	desk_expect(r, "Success", "Success", 0);
	cr_assert_eq(r->steps[0].out[0].len, 300006);
	desk_free(d);
}

Test(commands, links_may_go_at_any_time)
{
	struct desk *d = desk_new_with((struct commands_config){.output_max = 64 << 20},
		(struct rig_options){.grace_seconds = 60});
	struct desk_record *r =
		desk_script(d, "\"for i in 1 2 3 4 5 6 7 8; do seq 1 60000; sleep 0.1; done\"", "");

	desk_tell(d);
	for (int i = 0; i < 12 && !r->taken; i++) {
		for (int turns = 0; turns < 1 + i && !r->taken; turns++)
			cr_assert_eq(loop_run(d->loop, NULL), 0);
		desk_cut_link(d);
		desk_new_link(d);
	}
	desk_until_taken(d, r);
	desk_expect(r, "Success", "Success", 0);
	cr_assert_eq(r->steps[0].out[0].len, 8 * 348894);
	desk_free(d);
}

Test(commands, a_report_that_is_refused_is_made_again)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"echo x\"", "");

	d->refuse_code = HW_EIO;
	desk_tell(d);
	while (r->updates < 2)
		cr_assert_eq(loop_run(d->loop, NULL), 0);
	d->refuse_code = 0;
	desk_until_taken(d, r);
	cr_assert_str_eq(desk_out(r, 0, 0), "x\n");
	desk_free(d);
}

Test(commands, what_the_relay_never_knew_is_forgotten_when_it_has_ended)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"sleep 1\"", "");
	struct desk_record *other;

	desk_tell(d);
	desk_until_heard(d, r);
	r->unknown = true;
	desk_cut_link(d);
	desk_new_link(d);
	other = desk_script(d, "\"sleep 2\"", "");
	desk_run(d, other);
	desk_free(d); /* which waits until nothing is held */
}

/* --- agents
 * --------------------------------------------------------------------------------------------------
 */

Test(commands, the_next_agent_takes_over_what_runs)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_order(d,
		DOC(STEP("one", "echo begun; sleep 2; echo done; exit 3", "") "," STEP("two",
			"echo two", "")));

	desk_tell(d);
	desk_until_out(d, r, "begun\n");
	desk_kill_agent(d);
	desk_new_agent(d);
	desk_new_link(d);
	desk_until_taken(d, r);
	desk_expect(r, "Failed", "Failed", 3);
	desk_expect_step(r, 0, "Failed", 3);
	desk_expect_step(r, 1, "Success", 0);
	cr_assert_str_eq(desk_out(r, 0, 0), "begun\ndone\n");
	desk_free(d);
}

Test(commands, also_what_ended_while_there_was_none)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"echo begun; sleep 0.5; seq 1 20000\"", "");

	desk_tell(d);
	desk_until_out(d, r, "begun\n");
	desk_kill_agent(d);
	poll(NULL, 0, 1500);
	desk_new_agent(d);
	desk_new_link(d);
	desk_until_taken(d, r);
	desk_expect(r, "Success", "Success", 0);
	cr_assert_eq(r->steps[0].out[0].len, 6 + 108894);
	desk_free(d);
}

Test(commands, an_agent_killed_again_and_again_costs_no_byte_and_runs_nothing_twice)
{
	struct desk *d = desk_new_with((struct commands_config){.output_max = 64 << 20},
		(struct rig_options){.grace_seconds = 60});
	struct desk_record *r = desk_order(d,
		DOC(STEP("one", "for i in 1 2 3 4 5; do seq 1 30000; sleep 0.1; done",
			"") "," STEP("two", "echo two; exit 9", "") "," STEP("three",
			"seq 1 30000; exit 168", "") "," STEP("four", "echo four", "")));

	desk_tell(d);
	for (int i = 0; i < 20 && !r->taken; i++) {
		for (int turns = 0; turns < 1 + i && !r->taken; turns++)
			cr_assert_eq(loop_run(d->loop, NULL), 0);
		desk_kill_agent(d);
		desk_new_agent(d);
		desk_new_link(d);
	}
	desk_until_taken(d, r);
	desk_expect(r, "Failed", "Failed", 9);
	cr_assert_eq(r->steps[0].out[0].len, 5 * 168894);
	cr_assert_str_eq(desk_out(r, 1, 0), "two\n");
	desk_expect_step(r, 2, "Success", 168);
	desk_expect_step(r, 3, "Skipped", 0);
	desk_free(d);
}

Test(commands, what_is_gone_with_its_end_is_not_run_again)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_order(d,
		DOC(STEP("one", "echo $$; sleep 300", "") "," STEP("two", "echo two", "")));

	desk_tell(d);
	desk_until_out(d, r, "\n");
	desk_kill_agent(d);
	/* As a power cut would have it, but for the monitor. */
	pid_t script = (pid_t)atol(desk_out(r, 0, 0));
	cr_assert_eq(kill(sweep_parent(getsid(script)), SIGKILL), 0);
	rig_until_no_socket(d->rig);
	desk_new_agent(d);
	desk_new_link(d);
	desk_until_taken(d, r);
	desk_expect(r, "Failed", "Failed", -1);
	cr_assert_not_null(strstr(r->reason, "nobody knows how the step one ended"));
	desk_expect_step(r, 1, "Cancelled", 0);
	cr_assert_str_eq(desk_out(r, 1, 0), "");
	desk_free(d);
}

Test(commands, a_time_that_ran_out_without_an_agent_is_over)
{
	struct desk *d = desk_new();
	struct desk_record *r =
		desk_script(d, "\"echo begun; sleep 300\"", ",\"timeoutSeconds\":\"5\"");

	desk_tell(d);
	desk_until_out(d, r, "begun\n");
	desk_kill_agent(d);
	poll(NULL, 0, 5500);
	desk_new_agent(d);
	desk_new_link(d);
	desk_until_taken(d, r);
	desk_expect(r, "TimedOut", "ExecutionTimedOut", 137);
	desk_free(d);
}

Test(commands, a_cancel_is_remembered_by_the_next_agent)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"echo begun; sleep 300\"", "");

	desk_tell(d);
	desk_until_out(d, r, "begun\n");
	r->cancel = true;
	desk_kill_agent(d);
	desk_new_agent(d);
	desk_new_link(d);
	desk_until_taken(d, r);
	desk_expect(r, "Cancelled", "Cancelled", 137);
	desk_free(d);
}

Test(commands, an_agent_that_is_stopped_ends_what_runs_and_says_so)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"echo $$; sleep 300\"", "");

	desk_tell(d);
	desk_until_out(d, r, "\n");
	commands_stop(d->commands);
	desk_until_taken(d, r);
	desk_expect(r, "Failed", "Failed", 137);
	cr_assert_str_neq(r->reason, "");
	rig_until_dead((pid_t)atol(desk_out(r, 0, 0)));
	desk_free(d);
}

Test(commands, what_waits_is_begun_by_the_next_agent)
{
	struct desk *d = desk_new_with((struct commands_config){.running_max = 1},
		(struct rig_options){.grace_seconds = 60});
	struct desk_record *first = desk_script(d, "\"sleep 300\"", "");
	struct desk_record *second = desk_script(d, "\"echo second\"", "");

	desk_tell(d);
	desk_until(d, both_heard, NULL);
	desk_kill_agent(d);
	desk_new_agent(d);
	first->cancel = true;
	desk_new_link(d);
	desk_until_taken(d, first);
	desk_until_taken(d, second);
	desk_expect(second, "Success", "Success", 0);
	cr_assert_str_eq(desk_out(second, 0, 0), "second\n");
	desk_free(d);
}

/* --- this machine's own rules
 * ---------------------------------------------------------------------------------- */

Test(commands, the_machine_may_refuse_documents_and_whom_they_run_as)
{
	struct desk *d = desk_new(.policy = "deny document My-*\ndeny user root\n");
	struct desk_record *mine = desk_script(d, "\"echo x\"", "");

	mine->document = "My-Document";
	desk_run(d, mine);
	desk_expect(mine, "Failed", "Failed", 1);
	cr_assert_not_null(strstr(desk_out(mine, 0, 1), "this machine does not allow"));
	desk_free(d);
}

Test(commands, a_policy_that_denies_shell_scripts_denies_them_by_any_name)
{
	struct desk *d = desk_new(.policy = "deny document AWS-RunShellScript\n");
	struct desk_record *r = desk_script(d, "\"echo x\"", "");

	r->document = "Something-Else";
	desk_run(d, r);
	desk_expect(r, "Failed", "Failed", 1);
	cr_assert_str_eq(desk_out(r, 0, 0), "");
	desk_free(d);
}

Test(commands, they_run_as_whom_the_order_names)
{
	if (geteuid() != 0)
		cr_skip_test("needs root");
	struct desk *d = desk_new(.run_as = "root");
	struct desk_record *root = desk_script(d, "\"id -un; echo $HOME\"", "");
	struct desk_record *other = desk_script(d, "\"#!/bin/sh\", \"id -un\"", "");
	struct desk_record *nobody = desk_script(d, "\"id -un\"", "");

	other->run_as = "bin";
	nobody->run_as = "no-such-user-here";
	desk_run(d, root);
	desk_until_taken(d, other);
	desk_until_taken(d, nobody);
	cr_assert_str_eq(desk_out(root, 0, 0), "root\n/root\n");
	cr_assert_str_eq(desk_out(other, 0, 0), "bin\n");
	desk_expect(nobody, "Failed", "Failed", 1);
	desk_free(d);
}

/* Nobody tells it twice. */
Test(commands, a_question_that_was_refused_is_asked_again)
{
	struct desk *d = desk_new();
	struct desk_record *r = desk_script(d, "\"echo hi\"", "");

	d->asks_to_fail = 1;
	desk_run(d, r);
	desk_expect(r, "Success", "Success", 0);
	desk_free(d);
}
