#include "relay/cli/anchor.h"

#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "relay/core/anchors.h"

struct runner {
	int relay; /* heads come from there, answers go there */
	int children;
	const char *command;
	int seconds;
};

/* A command that runs. */
struct child {
	pid_t pid;
	int words;		   /* what it says on stdout and stderr */
	char said[ANCHOR_WHY_MAX]; /* the beginning of it */
	size_t n;
	int status;
	bool ended, late, orphaned;
};

/* --- starting it ------------------------------------------------------------------------------ */

static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE};

static void
handle(void (*handler)(int))
{
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], handler);
}

/* Never returns. Its standard files are the two pipes; all others are closed by exec. */
static void
become_command(const char *command, int note, int words)
{
	sigset_t none;

	setpgid(0, 0);
	handle(SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	unsetenv("NOTIFY_SOCKET");
	if (dup2(note, STDIN_FILENO) >= 0 && dup2(words, STDOUT_FILENO) >= 0 &&
		dup2(words, STDERR_FILENO) >= 0)
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* A head is smaller than what a pipe holds, so writing it waits for nobody. */
static bool
begin(struct child *c, const struct runner *r, const char *note, size_t n)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1};

	*c = (struct child){.pid = -1, .words = -1};
	if (pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC | O_NONBLOCK) == 0 &&
		fd_write_all(in[1], note, n, NULL) == 0)
		c->pid = fork();
	if (c->pid == 0) {
		(void)fcntl(out[1], F_SETFL, 0);
		become_command(r->command, in[0], out[1]);
	}
	fd_close(in[0]);
	fd_close(in[1]);
	fd_close(out[1]);
	if (c->pid < 0) {
		fd_close(out[0]);
		return false;
	}
	setpgid(c->pid, c->pid); /* whoever of the two comes first */
	c->words = out[0];
	return true;
}

/* --- waiting for it --------------------------------------------------------------------------- */

#define PIECES_MAX 16 /* at once: one that never stops talking is ended in time as well */

/* What it says is read, and its beginning kept. */
static void
listen_to(struct child *c)
{
	char piece[4096];
	ssize_t n = 1;

	for (int i = 0; i < PIECES_MAX && (n = read(c->words, piece, sizeof(piece))) > 0; i++) {
		size_t room = sizeof(c->said) - 1 - c->n,
		       take = (size_t)n < room ? (size_t)n : room;
		memcpy(c->said + c->n, piece, take);
		c->n += take;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		fd_close(c->words);
		c->words = -1;
	}
}

static void
look(struct child *c, const struct runner *r, int timeout)
{
	struct signalfd_siginfo drop;
	struct pollfd fds[] = {
		{.fd = r->children, .events = POLLIN},
		       {.fd = c->words,	.events = POLLIN},
		{.fd = r->relay,	 .events = 0	    }, /* its end alone */
	};

	if (poll(fds, 3, timeout) < 0)
		return;
	if (fds[0].revents != 0)
		(void)!read(r->children, &drop, sizeof(drop));
	if (fds[1].revents != 0)
		listen_to(c);
	c->orphaned = fds[2].revents != 0;
	/* It is left to be waited for, so that its number stays its own until all are killed. */
	siginfo_t info = {.si_pid = 0};
	c->ended = waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		info.si_pid == c->pid;
}

/* Nothing of its process group is left when this returns. */
static void
await(struct child *c, const struct runner *r)
{
	int64_t until = clock_mono(&hw_clock_system) + r->seconds * USEC_PER_SEC, left;

	while (!c->ended && !c->orphaned && (left = until - clock_mono(&hw_clock_system)) > 0)
		look(c, r, (int)(left / USEC_PER_MSEC) + 1);
	c->late = !c->ended;
	kill(-c->pid, SIGKILL);
	while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR)
		;
	if (c->words >= 0)
		listen_to(c);
	fd_close(c->words);
}

/* --- what became of it ------------------------------------------------------------------------ */

/* Its first line, of which only what is plain ASCII is passed on. */
static void
tidy(struct child *c)
{
	c->said[c->n] = '\0';
	c->said[strcspn(c->said, "\r\n")] = '\0';
	for (char *p = c->said; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

static void
tell(struct anchor_said *said, struct child *c, const struct runner *r)
{
	const char *sep = "";
	char how[64];

	tidy(c);
	if (!c->late && WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0)
		return;
	said->failed = 1;
	if (c->late)
		snprintf(how, sizeof(how), "it was ended after %d s", r->seconds);
	else if (WIFEXITED(c->status))
		snprintf(how, sizeof(how), "it ended with status %d", WEXITSTATUS(c->status));
	else
		snprintf(how, sizeof(how), "it was ended by signal %d", WTERMSIG(c->status));
	if (c->said[0] != '\0')
		sep = ": ";
	snprintf(said->why, sizeof(said->why), "%s%s%.120s", how, sep, c->said);
}

static void
run(struct anchor_said *said, const struct runner *r, const char *note, size_t n)
{
	struct child c;

	memset(said, 0, sizeof(*said));
	if (!begin(&c, r, note, n)) {
		said->failed = 1;
		snprintf(said->why, sizeof(said->why), "it cannot be started: %s", strerror(errno));
		return;
	}
	await(&c, r);
	tell(said, &c, r);
}

static void
serve(const struct runner *r)
{
	char note[LOG_HEAD_MAX];
	struct anchor_said said;
	ssize_t n;

	while ((n = recv(r->relay, note, sizeof(note), 0)) > 0 || (n < 0 && errno == EINTR)) {
		if (n < 0)
			continue;
		run(&said, r, note, (size_t)n);
		if (send(r->relay, &said, sizeof(said), MSG_NOSIGNAL) < 0)
			return;
	}
}

/* A signal to all of the service's processes ends the relay, which then ends this one: it is not to
 * be missed before. */
static void
live(int relay, const char *command, int seconds)
{
	struct runner r = {.relay = relay, .command = command, .seconds = seconds};
	sigset_t child;

	prctl(PR_SET_NAME, "hawser-anchor");
	handle(SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	if (relay > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned)relay - 1, 0);
	close_range((unsigned)relay + 1, ~0U, 0);
	if ((r.children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK)) >= 0)
		serve(&r);
}

int
anchor_start(int *fd, const char *command, int seconds, struct hw_err *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return hw_err_sys(err, "cannot make a socket for anchor_command");
	pid_t pid = fork();
	if (pid == 0) {
		live(pair[1], command, seconds);
		_exit(0);
	}
	fd_close(pair[1]);
	if (pid < 0) {
		fd_close(pair[0]);
		return hw_err_sys(err, "cannot start the process for anchor_command");
	}
	*fd = pair[0];
	return 0;
}
