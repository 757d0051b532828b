/* Programs in real holders, under a real monitor, that are taken over by one agent from another. */
#include <sys/socket.h>
#include <sys/un.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/holder/sweep.h"
#include "node/programs.h"
#include "node/programs_monitor.h"
#include "node/roster.h"
#include "proto/base/buf.h"
#include "proto/base/loop.h"
#include "proto/schema/schema.h"
#include "tests/unit/node/rig.h"

TestSuite(adopt, .timeout = 120);

#define PATIENCE (20 * USEC_PER_SEC)
#define LIMIT	 (1 << 20)

/* An agent's programs, and the one of them that a test has. */
struct bench {
	struct rig *rig;
	struct loop *loop;
	struct log_ctx log;
	struct programs *programs;
	struct job *job;
	int dir;
	bool started, adopted, failed, exited;
	int code;
	struct program_state state;
	struct buf out;
	uint64_t from; /* where out begins in the stream */
	uint64_t consumed;
	struct program_exit exit;
	struct buf screen;
	uint64_t screen_offset;
	int screens;
	const char *until; /* the loop stops when it is shown */
	struct loop_timer patience;
};

static struct bench *
bench_from(void *arg)
{
	return arg;
}

static void
on_started(void *arg, const char *run_as, int64_t pid)
{
	struct bench *b = bench_from(arg);

	(void)run_as, (void)pid;
	b->started = true;
	b->programs->ops->credit(b->job, HOLDER_OUT, 0, LIMIT);
	b->programs->ops->credit(b->job, HOLDER_ERR, 0, LIMIT);
	loop_stop(b->loop);
}

static void
on_failed(void *arg, int code, const char *why)
{
	struct bench *b = bench_from(arg);

	cr_assert_neq(why[0], '\0');
	b->failed = true;
	b->code = code;
	loop_stop(b->loop);
}

static void
on_adopted(void *arg, const struct program_state *state)
{
	struct bench *b = bench_from(arg);

	b->adopted = true;
	b->state = *state;
	b->from = state->start[HOLDER_OUT];
	b->consumed = state->consumed;
	loop_stop(b->loop);
}

static size_t
on_output(void *arg, int stream, const uint8_t *p, size_t n)
{
	struct bench *b = bench_from(arg);

	cr_assert_eq(stream, HOLDER_OUT);
	cr_assert_eq(buf_append(&b->out, p, n), 0);
	if (b->until != NULL && strstr(buf_str(&b->out), b->until) != NULL)
		loop_stop(b->loop);
	return n;
}

static void
on_output_end(void *arg, int stream)
{
	(void)arg, (void)stream;
}

static void
on_consumed(void *arg, size_t n, int echo)
{
	(void)echo;
	bench_from(arg)->consumed += n;
}

static void
on_exit_of_program(void *arg, int code, const char *why, const struct program_exit *exit)
{
	struct bench *b = bench_from(arg);

	(void)why;
	b->exited = true;
	b->code = code;
	if (exit != NULL)
		b->exit = *exit;
	loop_stop(b->loop);
}

static void
on_screen(void *arg, uint64_t offset, const uint8_t *p, size_t n, bool more)
{
	struct bench *b = bench_from(arg);

	b->screen_offset = offset;
	cr_assert_eq(buf_append(&b->screen, p, n), 0);
	if (more)
		return;
	b->screens++;
	loop_stop(b->loop);
}

static const struct program_events events = {
	.on_started = on_started,
	.on_adopted = on_adopted,
	.on_failed = on_failed,
	.on_output = on_output,
	.on_output_end = on_output_end,
	.on_consumed = on_consumed,
	.on_screen = on_screen,
	.on_exit = on_exit_of_program,
};

static void
on_gone(void *arg)
{
	(void)arg;
}

static void
on_patience(void *arg)
{
	cr_assert_fail("nothing more happens; so far: %s", buf_str(&bench_from(arg)->out));
}

static void
run(struct bench *b)
{
	loop_timer_start(b->loop, &b->patience, PATIENCE);
	cr_assert_eq(loop_run(b->loop, NULL), 0);
	loop_timer_stop(b->loop, &b->patience);
}

static void
new_agent(struct bench *b)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert_eq(programs_monitor_new(&b->programs, b->loop, &b->log, b->dir,
			     b->rig->monitor_fd, on_gone, b, &err),
		0, "%s", hw_err_text(&err));
}

static struct bench *
bench_new(void)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->rig = rig_new();
	b->dir = open(b->rig->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(loop_new(&b->loop, NULL), 0);
	log_ctx_init(&b->log, NULL);
	buf_init(&b->out, 64 << 20);
	buf_init(&b->screen, HOLDER_PAINT_MAX);
	b->patience = (struct loop_timer){.fn = on_patience, .arg = b};
	new_agent(b);
	return b;
}

static void
close_job(struct bench *b)
{
	if (b->job != NULL)
		b->programs->ops->close(b->job);
	b->job = NULL;
	loop_settle(b->loop);
}

static void
bench_free(struct bench *b)
{
	close_job(b);
	programs_monitor_free(b->programs);
	loop_free(b->loop);
	buf_fini(&b->out);
	buf_fini(&b->screen);
	close(b->dir);
	rig_until_no_socket(b->rig);
	rig_free(b->rig);
	free(b);
}

/* The agent is killed, and another one comes. */
static void
replace_agent(struct bench *b)
{
	b->programs->ops->leave(b->job);
	b->job = NULL;
	loop_settle(b->loop);
	programs_monitor_free(b->programs);
	buf_reset(&b->out);
	b->until = NULL;
	new_agent(b);
}

static void
start(struct bench *b, int type, const char *id, const char *command)
{
	const struct program_spec spec = {
		.type = type, .session_id = id, .command = command, .cols = 80, .rows = 24};
	struct hw_err err = HW_ERR_INIT;

	b->started = false;
	cr_assert_eq(b->programs->ops->start(&b->job, b->programs, &spec, &events, b, &err), 0,
		"%s", hw_err_text(&err));
	run(b);
	cr_assert(b->started);
}

static void
adopt(struct bench *b, const char *id)
{
	struct hw_err err = HW_ERR_INIT;

	b->adopted = b->failed = false;
	cr_assert_eq(b->programs->ops->adopt(&b->job, b->programs, id, &events, b, &err), 0, "%s",
		hw_err_text(&err));
	run(b);
}

static void
credit(struct bench *b, uint64_t consumed)
{
	b->programs->ops->credit(b->job, HOLDER_OUT, consumed, consumed + LIMIT);
}

static void
until_shown(struct bench *b, const char *text)
{
	b->until = text;
	if (strstr(buf_str(&b->out), text) == NULL)
		run(b);
	cr_assert_not_null(strstr(buf_str(&b->out), text));
}

static void
until_exit(struct bench *b)
{
	while (!b->exited)
		run(b);
}

static void
type(struct bench *b, const char *text)
{
	b->programs->ops->write(b->job, text, strlen(text));
}

/* --- the tests -------------------------------------------------------------------------------- */

Test(adopt, a_shell_goes_on_under_the_next_agent)
{
	struct bench *b = bench_new();

	start(b, CHANNEL_TYPE_PTY, "alice-1", "read x; echo got $x; read y; echo and $y; exit 4");
	type(b, "one\n");
	until_shown(b, "got one\r\n");
	credit(b, strlen("one\r\n"));
	replace_agent(b);
	adopt(b, "alice-1");
	cr_assert(b->adopted);
	cr_assert_eq(b->state.received, 4);
	cr_assert_eq(b->state.consumed, 4);
	cr_assert_eq(b->state.end[HOLDER_OUT], strlen("one\r\ngot one\r\n"));
	cr_assert_leq(b->from, strlen("one\r\n"));
	credit(b, b->from);
	type(b, "two\n");
	until_shown(b, "and two\r\n");
	until_exit(b);
	cr_assert_eq(b->exit.status, 4);
	/* From where it was, each byte once. */
	static const char whole[] = "one\r\ngot one\r\ntwo\r\nand two\r\n";
	cr_assert_str_eq(buf_str(&b->out), whole + b->from);
	cr_assert_eq(b->consumed, 8);
	bench_free(b);
}

Test(adopt, an_end_that_nobody_saw_is_told_to_the_next_agent)
{
	struct bench *b = bench_new();

	start(b, CHANNEL_TYPE_EXEC, "alice-2", "read x; echo last; exit 7");
	type(b, "go\n");
	until_shown(b, "last\n");
	for (int i = 0; i < 3; i++) {
		replace_agent(b);
		adopt(b, "alice-2");
		cr_assert_eq(b->from, 0);
		b->exited = false;
		credit(b, 0);
		until_exit(b);
		cr_assert_eq(b->exit.status, 7);
		cr_assert_str_eq(buf_str(&b->out), "last\n");
	}
	bench_free(b);
}

Test(adopt, who_left_nothing_leaves_nothing_to_adopt)
{
	struct bench *b = bench_new();
	struct hw_err err = HW_ERR_INIT;
	static const char *const ids[] = {"alice-3", "../run/x", ""};

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		cr_assert_eq(b->programs->ops->adopt(&b->job, b->programs, ids[i], &events, b,
				     &err),
			HW_ENOSESSION);
	b->job = NULL;
	bench_free(b);
}

Test(adopt, one_that_is_closed_while_it_is_adopted_ends)
{
	struct bench *b = bench_new();
	struct hw_err err = HW_ERR_INIT;

	start(b, CHANNEL_TYPE_PTY, "alice-4", "sleep 1000");
	replace_agent(b);
	cr_assert_eq(b->programs->ops->adopt(&b->job, b->programs, "alice-4", &events, b, &err), 0);
	bench_free(b);
}

/* A socket in the place of a holder's says whatever its user likes. */
static void
lie(struct bench *b, const void *answer, size_t n)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct hw_err err = HW_ERR_INIT;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/run/mallory.sock", b->rig->dir);
	int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(listening, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	cr_assert_eq(listen(listening, 1), 0);
	cr_assert_eq(b->programs->ops->adopt(&b->job, b->programs, "mallory", &events, b, &err), 0);
	int fd = accept(listening, NULL, NULL);
	cr_assert_eq(send(fd, answer, n, MSG_NOSIGNAL), (ssize_t)n);
	shutdown(fd, SHUT_WR);
	b->failed = b->adopted = false;
	run(b);
	cr_assert(b->failed && !b->adopted, "failed=%d adopted=%d n=%zu", b->failed, b->adopted, n);
	cr_assert_eq(b->code, HW_ENOSESSION);
	close_job(b);
	close(fd);
	close(listening);
	unlink(sun.sun_path);
}

Test(adopt, a_state_that_cannot_be_is_not_believed)
{
	static const struct holder_state states[] = {
		{.received = 3,			.consumed = 4	     },
		{.received = UINT64_MAX,		 .consumed = UINT64_MAX},
		{.received = HOLDER_INPUT_MAX + 1	 },
		{.start = {0, 2, 0},		     .end = {0, 1, 0}			     },
		{.start = {0, 0, 0}, .end = {0, 0, HOLDER_RING_MAX + 1}},
		{.start = {0, UINT64_MAX, 0},	      .end = {0, UINT64_MAX, 0}		       },
	};
	struct {
		struct holder_head head;
		struct holder_state state;
	} m = {
		.head = {.type = HOLDER_STATE, .len = sizeof(m.state)}
	      };
	struct bench *b = bench_new();

	start(b, CHANNEL_TYPE_EXEC, "alice-5", "true"); /* by now DIR/run is there */
	until_exit(b);
	close_job(b);
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		m.state = states[i];
		lie(b, &m, sizeof(m));
	}
	m.head.type = HOLDER_EXIT;
	m.head.len = sizeof(struct holder_exit);
	lie(b, &m, sizeof(m.head) + m.head.len);
	m.head = (struct holder_head){.type = HOLDER_STATE};
	lie(b, &m, sizeof(m.head));
	m.state = (struct holder_state){.received = 3, .consumed = 4};
	m.head.len = HOLDER_STATE_OLD;
	lie(b, &m, sizeof(m.head) + HOLDER_STATE_OLD);
	lie(b, "x", 1);
	lie(b, "", 0);
	bench_free(b);
}

/* --- the monitor ------------------------------------------------------------------------------ */

Test(adopt, a_new_monitor_knows_the_holders_of_the_last)
{
	struct rig *r = rig_new();
	char id[128];

	cr_assert_eq(rig_start(r, REQUEST_EXEC, "trap '' HUP; echo on; sleep 1000"), 0);
	rig_until_shown(r, "on\n");
	pid_t program = (pid_t)r->reply.pid, holder = sweep_parent(program);
	rig_kill_monitor(r);
	cr_assert(rig_alive(program));
	rig_new_monitor(r);
	rig_only_session(r, id);
	cr_assert_eq(rig_try(r, REQUEST_EXEC, "true", id), HW_EEXISTS);
	cr_assert_eq(kill(holder, SIGKILL), 0);
	close(r->fd);
	r->fd = -1;
	rig_until_no_socket(r);
	rig_until_dead(program);
	rig_free(r);
}

/* --- the roster ------------------------------------------------------------------------------- */

struct seen {
	int n;
	char ids[8][100];
	struct roster_line lines[8];
};

static void
see(void *arg, const char *id, const struct roster_line *line)
{
	struct seen *s = arg;

	snprintf(s->ids[s->n], sizeof(s->ids[0]), "%s", id);
	s->lines[s->n++] = *line;
}

Test(roster, has_what_was_added_and_not_removed)
{
	char path[] = "/tmp/hawser-roster-XXXXXX", command[64];
	struct roster_line line = {.type = CHANNEL_TYPE_PTY, .run_as = "alice"};
	struct hw_err err = HW_ERR_INIT;
	struct seen seen = {0};
	struct roster *r;

	cr_assert_not_null(mkdtemp(path));
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(roster_open(&r, dir, &err), 0);
	cr_assert_eq(roster_add(r, "bob-2", &line, &err), 0);
	cr_assert_eq(roster_add(r, "bob-1", &line, &err), 0);
	roster_remove(r, "bob-2");
	roster_close(r);
	cr_assert_eq(roster_open(&r, dir, &err), 0);
	roster_each(r, see, &seen);
	cr_assert_eq(seen.n, 1);
	cr_assert_str_eq(seen.ids[0], "bob-1");
	cr_assert_eq(seen.lines[0].type, CHANNEL_TYPE_PTY);
	cr_assert_str_eq(seen.lines[0].run_as, "alice");
	roster_close(r);
	close(dir);
	snprintf(command, sizeof(command), "rm -r %s", path);
	cr_assert_eq(system(command), 0);
}

Test(roster, what_is_no_line_is_removed_and_no_name_leads_out)
{
	static const char *const bad[] = {"", "pty", "pty alice", "pty alice\nx\n", "tcp alice\n",
		"forward alice\n", "pty a b\n", "pty \n"};
	static const char *const names[] = {"../x", "a/b", ".x", ""};
	char path[] = "/tmp/hawser-roster-XXXXXX", command[64], file[96];
	struct roster_line line = {.type = CHANNEL_TYPE_EXEC, .run_as = "alice"};
	struct hw_err err = HW_ERR_INIT;
	struct seen seen = {0};
	struct roster *r;

	cr_assert_not_null(mkdtemp(path));
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(roster_open(&r, dir, &err), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		cr_assert_eq(roster_add(r, names[i], &line, &err), HW_EVALIDATION);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(file, sizeof(file), "%s/sessions/bad-%zu", path, i);
		FILE *f = fopen(file, "we");
		cr_assert(f != NULL && fputs(bad[i], f) >= 0 && fclose(f) == 0);
		roster_each(r, see, &seen);
		cr_assert_eq(seen.n, 0, "%zu", i);
		cr_assert_eq(access(file, F_OK), -1, "%zu", i);
	}
	roster_close(r);
	close(dir);
	snprintf(command, sizeof(command), "rm -r %s", path);
	cr_assert_eq(system(command), 0);
}

/* --- screens -----------------------------------------------------------------------------------
 */

static void
repaint(struct bench *b, const char *text)
{
	int before = b->screens;

	buf_reset(&b->screen);
	cr_assert(b->programs->ops->repaint(b->job));
	while (b->screens == before)
		run(b);
	cr_assert_not_null(memmem(buf_data(&b->screen), b->screen.len, text, strlen(text)));
	cr_assert_eq(b->screen_offset, b->from + b->out.len);
}

Test(adopt, a_screen_outlives_the_agent_and_the_program)
{
	struct bench *b = bench_new();

	start(b, CHANNEL_TYPE_PTY, "alice-4", "printf '\\033[7mhere'; read x; printf again");
	until_shown(b, "here");
	repaint(b, "\033[0;7mhere");
	credit(b, strlen("\033[7m"));
	replace_agent(b);
	adopt(b, "alice-4");
	credit(b, b->from);
	until_shown(b, "here");
	repaint(b, "\033[0;7mhere");
	type(b, "\n");
	until_exit(b);
	repaint(b, "again");
	replace_agent(b);
	adopt(b, "alice-4");
	b->exited = false;
	credit(b, b->from);
	until_exit(b);
	repaint(b, "again");
	bench_free(b);
}

/* A holder of an older version, which ends a connection that says what it does not know. */
struct old_holder {
	struct loop *loop;
	int listening, fd;
	struct loop_fd *on_listening, *on_conn;
	int unknown;
};

static void
on_word(void *arg, int what)
{
	struct old_holder *o = arg;
	struct holder_state st = {
		.received = 5, .consumed = 4, .end = {0, 7},
			     .pid = 1
	     };
	struct holder_head head, answer = {.type = HOLDER_STATE, .len = HOLDER_STATE_OLD};

	(void)what;
	if (recv(o->fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head)) {
		loop_fd_want(o->on_conn, 0);
		return;
	}
	o->unknown += head.type > HOLDER_CLOSE;
	if (head.type != HOLDER_STATE)
		return;
	cr_assert_eq(send(o->fd, &answer, sizeof(answer), 0), (ssize_t)sizeof(answer));
	cr_assert_eq(send(o->fd, &st, HOLDER_STATE_OLD, 0), (ssize_t)HOLDER_STATE_OLD);
}

static void
on_caller(void *arg, int what)
{
	struct old_holder *o = arg;

	(void)what;
	loop_fd_want(o->on_listening, 0);
	o->fd = accept(o->listening, NULL, NULL);
	cr_assert_eq(loop_fd_new(&o->on_conn, o->loop, o->fd, on_word, o), 0);
	loop_fd_want(o->on_conn, LOOP_READ);
}

Test(adopt, an_older_holder_is_taken_over_and_not_asked_for_its_screen)
{
	struct bench *b = bench_new();
	struct old_holder o = {.loop = b->loop, .fd = -1};
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	start(b, CHANNEL_TYPE_EXEC, "alice-6",
		"true"); /* the monitor is there then, and its folder */
	until_exit(b);
	close_job(b);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/run/alice-5.sock", b->rig->dir);
	o.listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(o.listening, (struct sockaddr *)&sun, sizeof(sun)), 0);
	cr_assert_eq(listen(o.listening, 1), 0);
	cr_assert_eq(loop_fd_new(&o.on_listening, b->loop, o.listening, on_caller, &o), 0);
	loop_fd_want(o.on_listening, LOOP_READ);
	adopt(b, "alice-5");
	cr_assert(b->adopted);
	cr_assert_eq(b->state.received, 5);
	cr_assert_eq(b->state.consumed, 4);
	cr_assert_eq(b->state.end[HOLDER_OUT], 7);
	cr_assert_eq(b->state.echo, HOLDER_ECHO_UNKNOWN);
	cr_assert_eq(b->state.echo_from, 0);
	cr_assert_not(b->programs->ops->repaint(b->job));
	cr_assert_eq(o.unknown, 0);
	close_job(b);
	loop_fd_free(o.on_conn);
	loop_fd_free(o.on_listening);
	close(o.fd);
	close(o.listening);
	unlink(sun.sun_path);
	bench_free(b);
}

/* --- a holder that takes nothing ---------------------------------------------------------------
 */

#define OVERFLOW 150000 /* words, which are more than the agent keeps for a holder */

static void
on_tick(void *arg)
{
	loop_stop(bench_from(arg)->loop);
}

/* With the agent at work, which has to tell it what waits. */
static void
until_gone(struct bench *b, pid_t holder)
{
	struct loop_timer tick = {.fn = on_tick, .arg = b};

	for (int i = 0; rig_alive(holder); i++) {
		cr_assert_lt(i, 2000, "it waits for another agent");
		loop_timer_start(b->loop, &tick, 10 * USEC_PER_MSEC);
		cr_assert_eq(loop_run(b->loop, NULL), 0);
	}
}

/* What does not fit is left out whole, however much room there is at last. */
Test(adopt, a_holder_that_is_behind_hears_whole_words_or_none)
{
	struct bench *b = bench_new();
	const struct programs_ops *ops = b->programs->ops;
	char *input = calloc(1, HOLDER_INPUT_MAX), id[16];

	for (int shift = 0; shift < 5; shift++) {
		snprintf(id, sizeof(id), "alice-%d", shift);
		b->exited = false;
		buf_reset(&b->out);
		start(b, CHANNEL_TYPE_EXEC, id, "wc -c");
		pid_t holder = sweep_child(b->rig->monitor);
		cr_assert_gt(holder, 1);
		cr_assert_eq(kill(holder, SIGSTOP), 0);
		ops->write(b->job, input, HOLDER_INPUT_MAX);
		ops->end_input(b->job);
		for (int i = 0; i < shift; i++)
			ops->signal(b->job, SIGWINCH);
		for (int i = 0; i < OVERFLOW; i++)
			ops->resize(b->job, 80, 24);
		cr_assert_eq(kill(holder, SIGCONT), 0);
		until_exit(b);
		cr_assert_eq(b->code, 0);
		cr_assert_str_eq(buf_str(&b->out), "1048576\n");
		close_job(b);
		until_gone(b, holder);
	}
	free(input);
	bench_free(b);
}

Test(adopt, a_holder_that_is_behind_hears_that_it_is_to_end)
{
	struct bench *b = bench_new();

	start(b, CHANNEL_TYPE_EXEC, "alice-1", "cat");
	pid_t holder = sweep_child(b->rig->monitor);
	cr_assert_eq(kill(holder, SIGSTOP), 0);
	for (int i = 0; i < OVERFLOW; i++)
		b->programs->ops->signal(b->job, SIGWINCH);
	close_job(b);
	cr_assert_eq(kill(holder, SIGCONT), 0);
	until_gone(b, holder);
	bench_free(b);
}
