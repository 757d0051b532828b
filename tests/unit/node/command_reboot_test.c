/* A step that asks for the machine to be restarted, with programs that are scripts in memory. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/commands/commands.h"
#include "node/commands/invocation.h"
#include "node/commands/orders.h"
#include "proto/base/arena.h"
#include "proto/base/loop.h"
#include "tests/world/fake_programs.h"

#define ID "01234567-89ab-cdef-0123-456789abcdef"
#define DOC                                                                                              \
	"{\"schemaVersion\":\"2.2\",\"mainSteps\":["                                                     \
	"{\"action\":\"aws:runShellScript\",\"name\":\"one\",\"inputs\":{\"runCommand\":\"exit 194\"}}," \
	"{\"action\":\"aws:runShellScript\",\"name\":\"two\",\"inputs\":{\"runCommand\":\"exit 0\"}}]}"

/* A machine with one invocation; what it was started with counts. */
struct machine {
	struct fake_clock clock;
	struct loop *loop;
	struct log_sink sink;
	struct fake_programs *programs;
	struct orders *journal;
	struct invocation_host host;
	struct invocation *invocation;
	char path[64], boot[32];
	uint64_t spool_left;
	int dir;
};

static void
quiet(void *arg, enum log_level level, const char *line)
{
	(void)arg, (void)level, (void)line;
}

static void
on_change(void *arg, struct invocation *i)
{
	(void)arg, (void)i;
}

static int64_t
now(void *arg)
{
	struct machine *m = arg;

	return clock_wall(&m->clock.clock);
}

static struct machine *
machine_new(const char *reboot)
{
	struct machine *m = calloc(1, sizeof(*m));

	fake_clock_init(&m->clock, INT64_C(1700000000) * USEC_PER_SEC);
	m->loop = loop_new_fake(&m->clock);
	m->sink = (struct log_sink){.clock = &m->clock.clock, .write = quiet};
	m->programs = fake_programs_new(m->loop);
	strcpy(m->path, "/tmp/hawser-reboot-test-XXXXXX");
	cr_assert_not_null(mkdtemp(m->path));
	m->dir = open(m->path, O_RDONLY | O_DIRECTORY);
	cr_assert_eq(orders_open(&m->journal, m->dir, NULL), 0);
	strcpy(m->boot, "first");
	m->spool_left = 1 << 20;
	m->host = (struct invocation_host){
		.loop = m->loop,
		.journal = m->journal,
		.programs = fake_programs_base(m->programs),
		.node_id = "mi-0123456789abcdef0",
		.boot_id = m->boot,
		.reboot = reboot,
		.output_max = 1 << 20,
		.spool_left = &m->spool_left,
		.now = now,
		.on_change = on_change,
		.arg = m,
	};
	log_ctx_init(&m->host.log, &m->sink);
	return m;
}

static void
machine_free(struct machine *m)
{
	invocation_free(m->invocation);
	loop_settle(m->loop);
	orders_remove(m->journal, ID, 2);
	orders_close(m->journal);
	unlinkat(m->dir, "commands/spare", 0);
	unlinkat(m->dir, "commands/slot", 0);
	unlinkat(m->dir, "commands", AT_REMOVEDIR);
	close(m->dir);
	cr_assert_eq(rmdir(m->path), 0);
	fake_programs_free(m->programs);
	loop_free(m->loop);
	free(m);
}

static void
order(struct machine *m)
{
	const struct msg_invocation_order o = {
		.command_id = ID,
		.document_name = "AWS-RunShellScript",
		.content = DOC,
		.deliver_before = now(m) + 3600 * USEC_PER_SEC,
	};

	cr_assert_eq(orders_begin(m->journal, &o, true, NULL), 0);
	m->invocation = invocation_new(&m->host, &o, NULL);
	invocation_start(m->invocation, true);
	loop_settle(m->loop);
}

static void
restore(void *arg, const char *id, const struct orders_entry *e)
{
	struct machine *m = arg;

	cr_assert_str_eq(id, ID);
	m->invocation = invocation_new(&m->host, e->order, e);
}

/* The agent is gone and comes again, perhaps with the machine. */
static void
again(struct machine *m, const char *boot)
{
	invocation_leave(m->invocation);
	invocation_free(m->invocation);
	loop_settle(m->loop);
	strcpy(m->boot, boot);
	orders_each(m->journal, restore, m);
	if (invocation_state(m->invocation) == INVOCATION_HELD)
		invocation_start(m->invocation, true);
	loop_settle(m->loop);
}

static const char *
command(const struct machine *m)
{
	return fake_programs_count(m->programs)->command;
}

static void
say(struct machine *m, struct msg_update_invocation_request *said)
{
	static struct arena *a;

	arena_free(a);
	a = arena_new(1 << 20);
	cr_assert(invocation_say(said, a, m->invocation, true));
}

Test(command_reboot, the_step_runs_again_when_the_machine_is_back)
{
	struct machine *m = machine_new("restart");
	struct msg_update_invocation_request said;

	order(m);
	cr_assert_str_eq(command(m), "restart");
	cr_assert_eq(fake_programs_count(m->programs)->started, 2);
	say(m, &said);
	cr_assert_eq(said.status, INVOCATION_STATUS_IN_PROGRESS);
	/* Only the agent came again: the machine is still to go. */
	again(m, "first");
	cr_assert_eq(fake_programs_count(m->programs)->started, 2);
	again(m, "second");
	cr_assert_eq(fake_programs_count(m->programs)->started, 4, "the step, and what restarts");
	cr_assert_str_eq(command(m), "restart");
	for (int i = 3; i <= 8; i++) {
		char boot[32];
		snprintf(boot, sizeof(boot), "boot %d", i);
		again(m, boot);
	}
	cr_assert_eq(invocation_state(m->invocation), INVOCATION_RUNNING);
	again(m, "the last");
	/* It never comes to an end: that is not gone along with for ever. */
	say(m, &said);
	cr_assert_eq(invocation_state(m->invocation), INVOCATION_ENDED);
	cr_assert_eq(said.status, INVOCATION_STATUS_FAILED);
	cr_assert_eq(said.steps.v[0].response_code, 194);
	cr_assert_eq(said.steps.v[1].status, INVOCATION_STATUS_SUCCESS,
		"a failed step stops nothing");
	machine_free(m);
}

Test(command_reboot, a_machine_that_stays_is_waited_for_ten_minutes)
{
	struct machine *m = machine_new("restart");
	struct msg_update_invocation_request said;

	order(m);
	loop_advance(m->loop, 599 * USEC_PER_SEC);
	cr_assert_eq(invocation_state(m->invocation), INVOCATION_RUNNING);
	loop_advance(m->loop, 2 * USEC_PER_SEC);
	cr_assert_eq(invocation_state(m->invocation), INVOCATION_ENDED);
	say(m, &said);
	cr_assert_eq(said.status, INVOCATION_STATUS_FAILED);
	cr_assert_eq(said.response_code, 194);
	machine_free(m);
}

Test(command_reboot, what_cannot_restart_it_says_so)
{
	struct machine *m = machine_new("exit 1");
	struct msg_update_invocation_request said;

	order(m);
	say(m, &said);
	cr_assert_eq(said.status, INVOCATION_STATUS_FAILED);
	machine_free(m);

	m = machine_new("no such script");
	order(m);
	say(m, &said);
	cr_assert_eq(said.status, INVOCATION_STATUS_FAILED);
	machine_free(m);
}

Test(command_reboot, a_cancel_before_it_is_back_ends_it_then)
{
	struct machine *m = machine_new("restart");
	struct msg_update_invocation_request said;

	order(m);
	invocation_cancel(m->invocation);
	again(m, "second");
	cr_assert_eq(invocation_state(m->invocation), INVOCATION_ENDED);
	say(m, &said);
	cr_assert_eq(said.status, INVOCATION_STATUS_CANCELLED);
	cr_assert_eq(fake_programs_count(m->programs)->started, 2);
	machine_free(m);
}

Test(command_reboot, an_agent_that_is_stopped_by_it_fails_nothing)
{
	struct machine *m = machine_new("restart");

	order(m);
	invocation_stop(m->invocation);
	again(m, "second");
	cr_assert_eq(invocation_state(m->invocation), INVOCATION_RUNNING);
	cr_assert_eq(fake_programs_count(m->programs)->started, 4);
	machine_free(m);
}
