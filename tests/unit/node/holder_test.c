/* Real programs in real holders, started by a real monitor. */
#include "tests/unit/node/rig.h"

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/holder/sweep.h"
#include "proto/base/err.h"

TestSuite(holder, .timeout = 60);

static int
run(struct rig *r, enum request_kind kind, const char *command)
{
	cr_assert_eq(rig_start(r, kind, command), 0, "%s", r->reply.text);
	return rig_until_exit(r);
}

Test(holder, a_shell_echoes_and_obeys)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start(r, REQUEST_PTY, NULL), 0, "%s", r->reply.text);
	rig_type(r, "echo he''llo\n");
	rig_until_shown(r, "hello\r\n");
	rig_type(r, "exit 7\n");
	cr_assert_eq(rig_until_exit(r), 7);
	rig_free(r);
}

Test(holder, exit_statuses_are_exact)
{
	struct rig *r = rig_new();
	static const enum request_kind kinds[] = {REQUEST_PTY, REQUEST_EXEC};

	for (int i = 0; i < 2; i++) {
		cr_assert_eq(run(r, kinds[i], "exit 0"), 0);
		rig_close(r);
		cr_assert_eq(run(r, kinds[i], "exit 7"), 7);
		rig_close(r);
		cr_assert_eq(run(r, kinds[i], "kill -9 $$"), 137);
		cr_assert_eq(r->exit.signal, SIGKILL);
		rig_close(r);
	}
	rig_free(r);
}

/* Whatever the monitor was started with. */
Test(holder, a_program_finds_no_signal_ignored)
{
	static const int ignored[] = {SIGPIPE, SIGQUIT, SIGUSR2};
	const size_t n = sizeof(ignored) / sizeof(ignored[0]);

	for (size_t i = 0; i < n; i++)
		signal(ignored[i], SIG_IGN);
	struct rig *r = rig_new();
	for (size_t i = 0; i < n; i++)
		signal(ignored[i], SIG_DFL);
	cr_assert_eq(run(r, REQUEST_EXEC, "grep 'SigIgn:.*[1-9a-f]' /proc/self/status"), 1, "%s",
		rig_text(r, HOLDER_OUT));
	rig_free(r);
}

/* As after a log daemon that has ended. */
Test(holder, a_monitor_goes_on_when_nobody_reads_its_log)
{
	int log = dup(STDERR_FILENO), fds[2], fd;

	cr_assert_eq(pipe(fds), 0);
	close(fds[0]);
	dup2(fds[1], STDERR_FILENO);
	struct rig *r = rig_new();
	dup2(log, STDERR_FILENO);
	close(log);
	close(fds[1]);
	cr_assert_eq(send(r->monitor_fd, "?", 1, MSG_NOSIGNAL), 1); /* no request, as it logs */
	while (reply_receive(&r->reply, &fd, r->monitor_fd) > 0)
		;
	cr_assert_eq(r->reply.code, HW_EVALIDATION);
	cr_assert_eq(run(r, REQUEST_EXEC, "exit 3"), 3);
	rig_free(r);
}

Test(holder, stdout_and_stderr_come_apart)
{
	struct rig *r = rig_new();

	cr_assert_eq(run(r, REQUEST_EXEC, "echo out; echo err >&2"), 0);
	cr_assert_str_eq(rig_text(r, HOLDER_OUT), "out\n");
	cr_assert_str_eq(rig_text(r, HOLDER_ERR), "err\n");
	rig_free(r);
}

Test(holder, the_end_of_stdin_is_passed_on)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start(r, REQUEST_EXEC, "cat; echo done"), 0);
	rig_type(r, "abc\n");
	rig_until_shown(r, "abc\n");
	rig_send(r, HOLDER_END, HOLDER_IN, 0, r->typed, NULL, 0);
	cr_assert_eq(rig_until_exit(r), 0);
	cr_assert_str_eq(rig_text(r, HOLDER_OUT), "abc\ndone\n");
	rig_free(r);
}

static char *
megabyte(void)
{
	size_t n = 1 << 20;
	char *text = malloc(n + 1);

	for (size_t i = 0; i < n; i++)
		text[i] = i % 64 == 63 ? '\n' : (char)('!' + (i * 7 + i / 64) % 90);
	text[n] = '\0';
	return text;
}

Test(holder, a_megabyte_goes_through_cat_and_back)
{
	struct rig *r = rig_new();
	char *text = megabyte();

	cr_assert_eq(rig_start(r, REQUEST_EXEC, "cat"), 0);
	rig_type(r, text);
	rig_send(r, HOLDER_END, HOLDER_IN, 0, r->typed, NULL, 0);
	cr_assert_eq(rig_until_exit(r), 0);
	cr_assert_eq(r->out[HOLDER_OUT].len, strlen(text));
	cr_assert_str_eq(rig_text(r, HOLDER_OUT), text);
	free(text);
	rig_free(r);
}

Test(holder, a_megabyte_goes_through_a_raw_terminal_and_back)
{
	struct rig *r = rig_new();
	char *text = megabyte(), command[64];

	snprintf(command, sizeof(command), "stty raw -echo; echo ready; head -c %zu", strlen(text));
	cr_assert_eq(rig_start(r, REQUEST_PTY, command), 0);
	rig_until_shown(r, "ready\n");
	rig_type(r, text);
	cr_assert_eq(rig_until_exit(r), 0);
	cr_assert_str_eq(strchr(rig_text(r, HOLDER_OUT), '\n') + 1, text);
	free(text);
	rig_free(r);
}

Test(holder, much_output_ends_with_its_last_byte)
{
	struct rig *r = rig_new();

	cr_assert_eq(run(r, REQUEST_PTY, "head -c 8000000 /dev/zero; echo end"), 0);
	cr_assert_eq(r->out[HOLDER_OUT].len, 8000000 + 5);
	rig_free(r);
}

Test(holder, a_resize_is_seen)
{
	struct rig *r = rig_new();
	struct holder_size size = {.cols = 123, .rows = 45};

	cr_assert_eq(rig_start(r, REQUEST_PTY, "stty size; read x; stty size"), 0);
	rig_until_shown(r, "24 80\r\n");
	rig_send(r, HOLDER_RESIZE, 0, 0, 0, &size, sizeof(size));
	rig_type(r, "\n");
	cr_assert_eq(rig_until_exit(r), 0);
	cr_assert_not_null(strstr(rig_text(r, HOLDER_OUT), "45 123\r\n"));
	rig_free(r);
}

/* --- its screen ------------------------------------------------------------------------------ */

static bool
paints(const struct rig *r, const char *text)
{
	return memmem(buf_data(&r->screen), r->screen.len, text, strlen(text)) != NULL;
}

Test(holder, a_terminal_has_a_screen)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start(r, REQUEST_PTY,
			     "printf '\\033[31mred\\033[m'; read x; clear; echo $x"),
		0);
	rig_until_shown(r, "red\033[m");
	cr_assert_eq(r->abilities, HOLDER_CAN_REPAINT);
	for (int i = 0; i < 2; i++) {
		rig_repaint(r);
		cr_assert(paints(r, "\033[31mred"));
		cr_assert_eq(r->screen_offset, r->out[HOLDER_OUT].len);
	}
	rig_type(r, "\033[32mgreen\n");
	cr_assert_eq(rig_until_exit(r), 0);
	rig_repaint(r);
	cr_assert(paints(r, "green") && !paints(r, "red"));
	cr_assert_eq(r->screen_offset, r->out[HOLDER_OUT].len);
	rig_free(r);
}

Test(holder, its_screen_is_of_its_size)
{
	struct rig *r = rig_new();
	struct holder_size size = {.cols = 20, .rows = 5}, huge = {.cols = 1000, .rows = 1000};

	cr_assert_eq(rig_start(r, REQUEST_PTY, "read x; seq 9; read x"), 0);
	rig_send(r, HOLDER_RESIZE, 0, 0, 0, &size, sizeof(size));
	rig_type(r, "\n");
	rig_until_shown(r, "9\r\n");
	rig_repaint(r);
	cr_assert(paints(r, "\033[1;1H6\033[2;1H7\033[3;1H8\033[4;1H9\033[0m"));
	cr_assert(paints(r, "\033[17G") && !paints(r, "\033[25G"));
	rig_send(r, HOLDER_RESIZE, 0, 0, 0, &huge, sizeof(huge));
	rig_repaint(r);
	cr_assert_eq(r->screen.len, 0);
	rig_free(r);
}

Test(holder, a_large_screen_comes_in_parts)
{
	struct rig *r = rig_new();
	struct holder_size size = {.cols = 400, .rows = 200};

	cr_assert_eq(
		rig_start(r, REQUEST_PTY,
			"read x; head -c 300000 /dev/zero | tr '\\0' x; echo; echo end; read x"),
		0);
	rig_send(r, HOLDER_RESIZE, 0, 0, 0, &size, sizeof(size));
	rig_type(r, "\n");
	rig_until_shown(r, "end\r\n");
	rig_repaint(r);
	cr_assert_gt(r->screen.len, 75000);
	cr_assert(paints(r, "end"));
	rig_free(r);
}

Test(holder, who_asks_often_is_answered_seldom)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start(r, REQUEST_PTY, "echo begin; read x; echo end; read x"), 0);
	rig_until_shown(r, "begin");
	for (int i = 0; i < 200; i++)
		rig_send(r, HOLDER_REPAINT, 0, 0, 0, NULL, 0);
	rig_until_screens(r, 2);
	rig_type(r, "\n");
	rig_until_shown(r, "end");
	cr_assert_lt(r->screens, 10);
	rig_free(r);
}

Test(holder, pipes_have_no_screen)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start(r, REQUEST_EXEC, "echo out; read x"), 0);
	rig_until_shown(r, "out");
	rig_repaint(r);
	cr_assert_eq(r->screen.len, 0);
	rig_free(r);
}

Test(holder, what_the_terminal_hides_is_said)
{
	struct rig *r = rig_new();

	cr_assert_eq(
		rig_start(r, REQUEST_PTY,
			"echo name; read a; stty -echo; echo word; read b; stty echo; echo [$a/$b]; "
			"stty raw; echo raw; read -n 1 c"),
		0);
	rig_until_shown(r, "name\r\n");
	rig_type(r, "alice\n");
	rig_until_consumed(r, 6);
	cr_assert_eq(r->echo, HOLDER_ECHO_SHOWN);
	rig_until_shown(r, "word\r\n");
	rig_type(r, "secret\n");
	rig_until_consumed(r, 13);
	cr_assert_eq(r->echo, HOLDER_ECHO_HIDDEN);
	rig_until_shown(r, "[alice/secret]");
	rig_until_shown(r, "raw\n");
	rig_type(r, "x");
	rig_until_consumed(r, 14);
	cr_assert_eq(r->echo, HOLDER_ECHO_SHOWN);
	cr_assert_eq(rig_until_exit(r), 0);
	rig_free(r);
}

/* A line editor reads the first line; what it starts hides the second, which lies there already. */
Test(holder, what_is_typed_ahead_of_a_hidden_prompt_is_hidden)
{
	static const char *const pieces[][2] = {
		{"read -s x; echo [$x]\r",	   "secret\n"},
		{"read -s x; echo [$x]\rsecret\n", ""	     },
	};
	struct rig *r = rig_new();

	for (int i = 0; i < 2; i++) {
		cr_assert_eq(rig_start(r, REQUEST_PTY, "PS1='on''> ' exec bash --norc -i"), 0);
		rig_until_shown(r, "on> ");
		rig_type(r, pieces[i][0]);
		rig_type(r, pieces[i][1]);
		rig_until_consumed(r, strlen(pieces[i][0]) + strlen(pieces[i][1]));
		cr_assert_eq(r->echo, HOLDER_ECHO_HIDDEN, "%d", i);
		rig_until_shown(r, "[secret]");
		rig_type(r, "exit\r");
		rig_until_exit(r);
		cr_assert_eq(r->echo, HOLDER_ECHO_SHOWN);
		rig_close(r);
	}
	rig_free(r);
}

/* It has not read the first line, and will not until it goes on. */
Test(holder, what_is_typed_ahead_of_a_line_editor_that_is_held_up_is_not_called_shown)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start(r, REQUEST_PTY,
			     "stty -icanon -echo; echo on; kill -STOP $$; stty icanon; read a; "
			     "read b; echo [$a/$b]; read c"),
		0);
	rig_until_shown(r, "on\r\n");
	rig_type(r, "read -s x\r");
	rig_until_consumed(r, 10);
	rig_type(r, "secret\n");
	rig_until_consumed(r, 17);
	cr_assert_eq(r->echo, HOLDER_ECHO_UNKNOWN);
	rig_send(r, HOLDER_SIGNAL, 0, SIGCONT, 0, NULL, 0);
	rig_until_shown(r, "[read -s x/secret]");
	rig_type(r, "hid");
	rig_until_consumed(r, 20);
	cr_assert_eq(r->echo, HOLDER_ECHO_HIDDEN);
	rig_type(r, "\n");
	rig_until_exit(r);
	rig_free(r);
}

Test(holder, what_a_line_editor_waits_for_is_shown)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start(r, REQUEST_PTY,
			     "stty -icanon -echo; echo on; head -c 8 >&2; stty echo"),
		0);
	rig_until_shown(r, "on\r\n");
	for (int i = 1; i <= 4; i++) {
		rig_type(r, "a\r");
		rig_until_consumed(r, 2 * (uint64_t)i);
		cr_assert_eq(r->echo, HOLDER_ECHO_SHOWN);
	}
	rig_until_exit(r);
	rig_free(r);
}

/* The line is taken while it is shown, whatever its end brings about. */
Test(holder, a_line_of_a_terminal_is_shown_before_its_end)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start(r, REQUEST_PTY, "echo on; read a; stty -echo; echo [$a]; read b"),
		0);
	rig_until_shown(r, "on\r\n");
	rig_type(r, "alice\nsecret\n");
	rig_until_consumed(r, 5);
	cr_assert_eq(r->echo, HOLDER_ECHO_SHOWN);
	rig_until_shown(r, "[alice]");
	rig_until_exit(r);
	rig_free(r);
}

Test(holder, a_control_character_interrupts)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start(r, REQUEST_PTY, "trap 'echo caught; exit 3' INT; echo on; read x"),
		0);
	rig_until_shown(r, "on\r\n");
	rig_type(r, "\003");
	cr_assert_eq(rig_until_exit(r), 3);
	rig_free(r);
}

Test(holder, signals_reach_the_program)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start(r, REQUEST_PTY, "echo on; exec sleep 100"), 0);
	rig_until_shown(r, "on\r\n");
	rig_send(r, HOLDER_SIGNAL, 0, SIGINT, 0, NULL, 0);
	cr_assert_eq(rig_until_exit(r), 128 + SIGINT);
	rig_close(r);
	cr_assert_eq(rig_start(r, REQUEST_EXEC, "echo on; exec sleep 100"), 0);
	rig_until_shown(r, "on\n");
	rig_send(r, HOLDER_SIGNAL, 0, SIGSEGV, 0, NULL, 0); /* not one that may be sent */
	rig_send(r, HOLDER_SIGNAL, 0, SIGTERM, 0, NULL, 0);
	cr_assert_eq(rig_until_exit(r), 128 + SIGTERM);
	rig_free(r);
}

static pid_t
shown_pid(struct rig *r)
{
	rig_until_shown(r, "]");
	return (pid_t)atoi(strchr(rig_text(r, HOLDER_OUT), '[') + 1);
}

Test(holder, a_hang_up_ends_what_runs_in_the_background)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start(r, REQUEST_PTY, "sleep 1000 & echo [$!]; cat"), 0);
	pid_t sleeper = shown_pid(r);
	cr_assert(rig_alive(sleeper));
	rig_close(r);
	rig_until_dead(sleeper);
	rig_free(r);
}

/* Its sender has gone by the time that the holder fails to send it more output. */
Test(holder, a_close_is_heard_while_output_flows)
{
	struct rig *r = rig_new();

	for (int i = 0; i < 20; i++) {
		cr_assert_eq(rig_start(r, REQUEST_PTY, "exec yes"), 0);
		rig_until_shown(r, "y\r\ny\r\n");
		rig_close(r);
	}
	rig_free(r);
}

Test(holder, what_ignores_the_hang_up_is_killed)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start(r, REQUEST_PTY, "trap '' HUP TERM; sleep 1000 & echo [$!]; wait"),
		0);
	pid_t sleeper = shown_pid(r);
	rig_close(r);
	rig_until_dead(sleeper);
	rig_free(r);
}

Test(holder, a_shell_that_exits_leaves_nothing_behind)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start(r, REQUEST_PTY, "trap '' HUP; sleep 1000 & echo [$!]; exit 5"), 0);
	pid_t sleeper = shown_pid(r);
	cr_assert_eq(rig_until_exit(r), 5);
	rig_until_dead(sleeper);
	rig_free(r);
}

Test(holder, a_command_waits_for_who_holds_its_pipe_until_it_is_closed)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start(r, REQUEST_EXEC, "sleep 1000 & echo [$!]"), 0);
	pid_t sleeper = shown_pid(r);
	cr_assert(rig_alive(sleeper));
	rig_close(r);
	rig_until_dead(sleeper);
	rig_free(r);
}

Test(holder, an_uplink_that_goes_leaves_the_program_for_its_grace)
{
	struct rig *r = rig_new(.grace_seconds = 1);

	cr_assert_eq(rig_start(r, REQUEST_PTY, "sleep 1000 & echo [$!]; cat"), 0);
	pid_t sleeper = shown_pid(r);
	close(r->fd);
	r->fd = -1;
	cr_assert(rig_alive(sleeper));
	rig_until_dead(sleeper);
	rig_free(r);
}

/* By the one socket that there is. */
static void
connect_again(struct rig *r)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	char dir[128];

	close(r->fd);
	snprintf(dir, sizeof(dir), "%s/run", r->dir);
	DIR *d = opendir(dir);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.')
			snprintf(sun.sun_path, sizeof(sun.sun_path), "%.40s/%.60s", dir, e->d_name);
	closedir(d);
	r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(r->fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
}

Test(holder, a_new_uplink_adopts_it)
{
	struct rig *r = rig_new();
	struct holder_state state;
	struct {
		struct holder_head head;
		struct holder_state state;
	} got;

	cr_assert_eq(rig_start(r, REQUEST_PTY, "read x; echo got $x; read y; exit 4"), 0);
	rig_type(r, "one\n");
	rig_until_shown(r, "got one\r\n");
	connect_again(r);
	rig_send(r, HOLDER_STATE, 0, 0, 0, NULL, 0);
	cr_assert_eq(recv(r->fd, &got, sizeof(got), MSG_WAITALL), (ssize_t)sizeof(got));
	state = got.state;
	cr_assert_eq(got.head.type, HOLDER_STATE);
	cr_assert_eq(state.received, 4);
	cr_assert_eq(state.consumed, 4);
	cr_assert_eq(state.echo, HOLDER_ECHO_SHOWN);
	cr_assert_eq(state.echo_from, 0);
	cr_assert_eq(state.pid, (int)r->reply.pid);
	cr_assert_eq(state.exited, 0);
	cr_assert_eq(state.end[HOLDER_OUT], strlen("one\r\ngot one\r\n"));
	rig_credit(r, HOLDER_OUT, state.start[HOLDER_OUT], HOLDER_RING_MAX);
	rig_type(r, "two\n");
	rig_until_consumed(r, 8);
	cr_assert_eq(rig_until_exit(r), 4);
	rig_free(r);
}

Test(holder, the_environment_is_a_logins)
{
	struct rig *r = rig_new();

	cr_assert_eq(
		run(r, REQUEST_EXEC,
			"echo $HOME:$USER:$LOGNAME:$SHELL:$(printenv TERM || echo none):$(umask); pwd; "
			"ls /proc/self/fd; ps -o sid=,pid= -p $$ | awk '{print $1==$2}'; "
			"grep NoNewPrivs /proc/self/status; ulimit -c"),
		0);
	if (getuid() == 0)
		cr_assert_eq(strncmp(rig_text(r, HOLDER_OUT), "/root:root:root:", 16), 0, "%s",
			rig_text(r, HOLDER_OUT));
	cr_assert_not_null(strstr(rig_text(r, HOLDER_OUT), ":none:0022\n"), "%s",
		rig_text(r, HOLDER_OUT));
	cr_assert_not_null(strstr(rig_text(r, HOLDER_OUT), "\n0\n1\n2\n3\n1\n"), "%s",
		rig_text(r, HOLDER_OUT));
	cr_assert_not_null(strstr(rig_text(r, HOLDER_OUT), "NoNewPrivs:\t0\n"));
	rig_close(r);
	cr_assert_eq(run(r, REQUEST_PTY, "echo $TERM; tty; stty -a | grep -o iutf8"), 0);
	cr_assert_not_null(strstr(rig_text(r, HOLDER_OUT), "xterm\r\n/dev/pts/"));
	cr_assert_not_null(strstr(rig_text(r, HOLDER_OUT), "iutf8\r\n"));
	rig_free(r);
}

Test(holder, rootless_runs_as_itself_only)
{
	struct rig *r = rig_new();

	cr_assert_eq(rig_start_as(r, REQUEST_EXEC, "true", "no-such-user"), HW_ERUNAS);
	cr_assert_not_null(strstr(r->reply.text, "no user no-such-user on this node"), "%s",
		r->reply.text);
	rig_free(r);
}

Test(holder, a_long_command_arrives_whole)
{
	struct rig *r = rig_new();
	char *command = calloc(1, REQUEST_COMMAND_MAX);

	/* One argument of a program may have 128 KiB with its NUL. */
	memset(command, ' ', REQUEST_COMMAND_MAX - 1);
	memcpy(command + REQUEST_COMMAND_MAX - 8, "exit 33", 7);
	cr_assert_eq(run(r, REQUEST_EXEC, command), 33);
	free(command);
	rig_free(r);
}

Test(holder, a_malformed_request_is_answered_and_harms_nobody)
{
	struct rig *r = rig_new();
	struct monitor_request q = {.magic = REQUEST_MAGIC, .version = 9, .id = 77};
	int fd;

	cr_assert_eq(send(r->monitor_fd, &q, sizeof(q), 0), (ssize_t)sizeof(q));
	while (reply_receive(&r->reply, &fd, r->monitor_fd) > 0)
		;
	cr_assert_eq(r->reply.code, HW_EVALIDATION);
	cr_assert_eq(r->reply.id, 77);
	cr_assert_eq(run(r, REQUEST_EXEC, "exit 2"), 2);
	rig_free(r);
}

/* --- the monitor's log ------------------------------------------------------------------------ */

/* Returns what stderr was. From here on nobody reads it, and it takes nothing more. */
static int
hang_stderr(int fds[2])
{
	static const char fill[4096];
	int kept = dup(STDERR_FILENO);

	cr_assert_geq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	cr_assert_geq(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	for (size_t n = sizeof(fill); n > 0; n = n > 1 ? n / 2 : 0)
		while (write(fds[1], fill, n) > 0)
			;
	cr_assert_geq(fcntl(fds[1], F_SETFL, 0), 0);
	cr_assert_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	close(fds[1]);
	return kept;
}

static bool
read_until(int fd, struct buf *said, const char *text)
{
	struct pollfd p = {fd, POLLIN, 0};
	uint8_t part[4096];
	ssize_t n;

	while (strstr(buf_str(said), text) == NULL) {
		if (poll(&p, 1, 20000) != 1 || (n = read(fd, part, sizeof(part))) <= 0)
			return false;
		for (ssize_t i = 0; i < n; i++)
			if (part[i] != 0)
				buf_append_byte(said, part[i]);
	}
	return true;
}

/* What it says at its start, for a policy that cannot be read, is dropped; that a session is denied
 * is said after its answer, and may be. Then somebody reads again. */
static void
check_hung_log(int fds[2])
{
	uint8_t part[4096];
	int kept = hang_stderr(fds);
	struct rig *r = rig_new(.policy = "nonsense\n");
	struct buf said;

	dup2(kept, STDERR_FILENO);
	close(kept);
	cr_assert_eq(rig_start(r, REQUEST_EXEC, "true"), HW_ELOCAL);
	while (read(fds[0], part, sizeof(part)) > 0)
		;
	cr_assert_eq(send(r->monitor_fd, "?", 1, 0), 1);
	buf_init(&said, 65536);
	cr_assert(read_until(fds[0], &said, "monitor.bad_request bytes=1 times=1\n"), "%s",
		buf_str(&said));
	cr_assert_not_null(strstr(buf_str(&said), " warn monitor.log_lost lines="), "%s",
		buf_str(&said));
	buf_fini(&said);
	close(fds[0]);
	rig_free(r);
}

Test(holder, a_monitor_whose_log_hangs_in_a_pipe_goes_on, .timeout = 60)
{
	int fds[2];

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	check_hung_log(fds);
}

Test(holder, a_monitor_whose_log_hangs_in_a_socket_goes_on, .timeout = 60)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	check_hung_log(fds);
}

/* --- what a script leaves --------------------------------------------------------------------- */

/* Lives on in children, and each is gone sooner than all processes are looked at. */
static void __attribute__((noreturn)) run_away(const int *over)
{
	while (__atomic_load_n(over, __ATOMIC_SEQ_CST) == 0)
		if (_Fork() > 0)
			_exit(0);
	_exit(0);
}

static void
reap_all(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

Test(sweep, what_runs_away_is_seen_though_it_cannot_be_signalled)
{
	int *over = mmap(NULL, sizeof(*over), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		-1, 0);
	int seen = 0;

	cr_assert_neq((void *)over, MAP_FAILED);
	cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	pid_t pid = _Fork();
	if (pid == 0)
		run_away(over);
	for (int k = 0; k < 50; k++) {
		seen += sweep_descendants(getpid(), 0, 0) > 0;
		reap_all();
	}
	__atomic_store_n(over, 1, __ATOMIC_SEQ_CST);
	while (waitpid(-1, NULL, 0) > 0)
		;
	cr_assert_geq(seen, 49, "%d", seen); /* numbers begin anew once in a while */
	cr_assert_eq(sweep_descendants(getpid(), 0, 0), 0);
	munmap(over, sizeof(*over));
}

/* How often this process has read anything. */
static long
reads_so_far(void)
{
	char line[64];
	long n = -1;
	FILE *f = fopen("/proc/self/io", "re");

	while (f != NULL && n < 0 && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "syscr: %ld", &n) != 1)
			n = -1;
	if (f != NULL)
		fclose(f);
	return n;
}

static pid_t
start_waiting(bool of_its_own)
{
	int fds[2];
	char c;

	cr_assert_eq(pipe(fds), 0);
	pid_t pid = _Fork();
	if (pid == 0) {
		if (of_its_own && setsid() < 0)
			_exit(1);
		close(fds[1]);
		close(fds[0]);
		for (;;)
			pause();
	}
	close(fds[1]);
	cr_assert_eq(read(fds[0], &c, 1), 0); /* by now it is in its session */
	close(fds[0]);
	return pid;
}

Test(sweep, of_strangers_nothing_is_read)
{
	enum { STRANGERS = 200 };
	pid_t strangers[STRANGERS], one = start_waiting(true);

	for (int k = 0; k < STRANGERS; k++)
		strangers[k] = start_waiting(false);
	long before = reads_so_far();
	if (before < 0)
		cr_skip_test("this kernel does not count reads");
	cr_assert_eq(sweep_session(one, SIGKILL, UINT64_MAX), 1);
	cr_assert_eq(waitpid(one, NULL, 0), one);
	cr_assert_eq(sweep_session(one, 0, UINT64_MAX), 0);
	cr_assert_lt(reads_so_far() - before, STRANGERS / 2);
	for (int k = 0; k < STRANGERS; k++) {
		cr_assert_eq(kill(strangers[k], SIGKILL), 0);
		cr_assert_eq(waitpid(strangers[k], NULL, 0), strangers[k]);
	}
}

Test(sweep, several_sessions_are_swept_at_once_and_no_other)
{
	pid_t a = start_waiting(true), b = start_waiting(true), later = start_waiting(true),
	      other = start_waiting(true);
	struct sweep ended[] = {
		{a,	    UINT64_MAX},
		 {b,     UINT64_MAX},
		{later, 0	 }, /* its number was another's once, and that one's session ended */
	};

	cr_assert_eq(sweep_sessions(ended, 3, SIGKILL), 2);
	cr_assert_eq(waitpid(a, NULL, 0), a);
	cr_assert_eq(waitpid(b, NULL, 0), b);
	cr_assert_eq(waitpid(later, NULL, WNOHANG), 0);
	cr_assert_eq(waitpid(other, NULL, WNOHANG), 0);
	ended[2].ticks = UINT64_MAX;
	cr_assert_eq(sweep_sessions(ended, 3, SIGKILL), 1);
	cr_assert_eq(waitpid(later, NULL, 0), later);
	cr_assert_eq(sweep_session(other, SIGKILL, UINT64_MAX), 1);
	cr_assert_eq(waitpid(other, NULL, 0), other);
}

Test(sweep, what_is_hung_up_goes_on_to_hear_it)
{
	pid_t pid = start_waiting(true);
	int status;

	cr_assert_eq(kill(pid, SIGSTOP), 0);
	cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
	cr_assert_eq(sweep_session(pid, SIGHUP, UINT64_MAX), 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP);
}

Test(sweep, a_child_is_found)
{
	pid_t pid = start_waiting(false);

	cr_assert_eq(sweep_child(getpid()), pid);
	cr_assert_eq(sweep_child(pid), 0);
	cr_assert_eq(kill(pid, SIGKILL), 0);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert_eq(sweep_child(getpid()), 0);
}

/* --- with root, as others ------------------------------------------------------------------- */

Test(holder_root, runs_as_the_default_user_with_its_groups)
{
	if (geteuid() != 0)
		return;
	struct rig *r = rig_new(.run_as = "root");

	cr_assert_eq(run(r, REQUEST_EXEC, "id -un; test -w /usr && echo can write"), 0);
	cr_assert_str_eq(rig_text(r, HOLDER_OUT), "root\ncan write\n");
	rig_close(r);
	cr_assert_eq(rig_start_as(r, REQUEST_PTY, "x", "nobody"), 0);
	rig_until_exit(r);
	cr_assert_not_null(strstr(rig_text(r, HOLDER_OUT), "not available"), "%s",
		rig_text(r, HOLDER_OUT));
	rig_free(r);
}

/* It could read the agent's key, and adopt what runs as root. */
Test(holder_root, nothing_runs_as_the_agent_s_user)
{
	if (geteuid() != 0)
		return;
	struct rig *r = rig_new(.run_as = "daemon");

	cr_assert_eq(rig_start(r, REQUEST_EXEC, "x"), HW_ERUNAS);
	cr_assert_eq(rig_start_as(r, REQUEST_PTY, "x", "daemon"), HW_ERUNAS);
	cr_assert_not_null(strstr(r->reply.text, "daemon"), "%s", r->reply.text);
	rig_free(r);
}

Test(holder_root, the_terminal_is_the_users)
{
	if (geteuid() != 0)
		return;
	struct rig *r = rig_new(.run_as = "hawser-no-such");

	cr_assert_eq(rig_start(r, REQUEST_PTY, "x"), HW_ERUNAS);
	cr_assert_eq(rig_start_as(r, REQUEST_PTY, "stat -c '%U %G %a' $(tty)", "root"), 0);
	cr_assert_eq(rig_until_exit(r), 0);
	cr_assert_str_eq(rig_text(r, HOLDER_OUT), "root tty 620\r\n");
	rig_free(r);
}

/* --- what never answers ----------------------------------------------------------------------- */

/* A mount of which nobody takes the questions, seen by this test and what it starts alone. False:
 * the machine has none. */
static bool
mount_silent(int *fd, const char *dir)
{
	char options[64];

	*fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", *fd);
	return *fd >= 0 && mount("silent", dir, "fuse", MS_NOSUID | MS_NODEV, options) == 0;
}

static bool
is_alone(void)
{
	return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void
put_script(const struct rig *r, uint32_t id, const char *dir)
{
	static const char text[] = "exit 0\n";
	struct {
		struct monitor_request q;
		char rest[128];
	} m = {
		.q = {.magic = REQUEST_MAGIC,
			.version = REQUEST_VERSION,
			.kind = REQUEST_SCRIPT,
			.id = id,
			.seconds = 60,
			.directory_len = (uint32_t)strlen(dir) + 1,
			.command_len = sizeof(text) - 1},
	};
	size_t n = sizeof(m.q) + m.q.directory_len + m.q.command_len;

	/* Other tests run beside this one, and control groups are the machine's. */
	snprintf(m.q.session_id, sizeof(m.q.session_id), "~silent-%d.%u", (int)getpid(), id);
	snprintf(m.rest, sizeof(m.rest), "%s%c%s", dir, 0, text);
	cr_assert_eq(send(r->monitor_fd, &m, n, MSG_NOSIGNAL), (ssize_t)n);
}

static struct monitor_reply
next_answer(const struct rig *r)
{
	struct pollfd p = {r->monitor_fd, POLLIN, 0};
	struct monitor_reply reply;
	int fd;

	cr_assert_gt(poll(&p, 1, 20000), 0, "no answer");
	cr_assert_eq(reply_receive(&reply, &fd, r->monitor_fd), 0);
	cr_assert_lt(fd, 0);
	return reply;
}

#define MANY 40 /* more than the monitor starts at once */

Test(holder_root, those_that_wait_for_a_directory_keep_no_others_from_starting, .timeout = 60)
{
	char dir[] = "/tmp/hawser-silent-XXXXXX";
	int fd;

	if (!is_alone())
		return;
	cr_assert_not_null(mkdtemp(dir));
	struct rig *r = rig_new(.run_as = "root");
	if (mount_silent(&fd, dir)) {
		for (uint32_t i = 0; i < MANY; i++)
			put_script(r, 1000 + i, dir);
		cr_assert_eq(run(r, REQUEST_EXEC, "exit 9"), 9);
		close(fd);
		for (uint32_t i = 0; i < MANY; i++)
			cr_assert_eq(next_answer(r).code, HW_ESPAWN);
		umount2(dir, MNT_DETACH);
	}
	rig_free(r);
	rmdir(dir);
}

Test(holder_root, one_that_does_not_answer_in_time_is_given_up, .timeout = 60)
{
	char dir[] = "/tmp/hawser-silent-XXXXXX";
	int fd;

	if (!is_alone())
		return;
	cr_assert_not_null(mkdtemp(dir));
	struct rig *r = rig_new(.run_as = "root", .holders_max = 1, .answers_in_ms = 100);
	if (mount_silent(&fd, dir)) {
		put_script(r, 1000, dir);
		struct monitor_reply reply = next_answer(r);
		cr_assert_eq(reply.id, 1000);
		cr_assert_eq(reply.code, HW_ENOSESSION);
		/* Its place is free once it is dead; and a slow machine's next one may be late,
		 * too. */
		while (rig_start(r, REQUEST_EXEC, "exit 9") != 0)
			cr_assert(r->reply.code == HW_ELIMIT || r->reply.code == HW_ENOSESSION);
		cr_assert_eq(rig_until_exit(r), 9);
		close(fd);
		umount2(dir, MNT_DETACH);
	}
	rig_free(r);
	rmdir(dir);
}

/* Somebody may come to see to that disk. */
Test(holder_root, a_disk_without_room_for_a_socket_keeps_nobody_out)
{
	char path[64];

	if (!is_alone() || mount("small", "/tmp", "tmpfs", 0, "nr_inodes=64") < 0)
		return;
	struct rig *r = rig_new(.run_as = "root", .grace_seconds = 1);
	cr_assert_eq(run(r, REQUEST_EXEC, "exit 7"), 7);
	rig_close(r);
	for (int n = 0, fd = 0; fd >= 0; n++) {
		snprintf(path, sizeof(path), "/tmp/%d", n);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd >= 0)
			close(fd);
	}
	for (int k = 0; k < 2; k++) {
		cr_assert_eq(rig_start(r, k ? REQUEST_PTY : REQUEST_EXEC, "read x; exit 8"), 0,
			"%s", r->reply.text);
		rig_type(r, "go\n");
		cr_assert_eq(rig_until_exit(r), 8);
		rig_close(r);
	}
	cr_assert_eq(rig_start(r, REQUEST_PTY, "sleep 1000"), 0);
	close(r->fd);
	r->fd = -1;
	rig_until_dead((pid_t)r->reply.pid);
	rig_free(r);
}
