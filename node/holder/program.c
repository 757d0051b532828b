#include "node/holder/program.h"

#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "node/holder/account.h"
#include "node/holder/environ.h"
#include "node/monitor/request.h"
#include "proto/base/err.h"

static int
failed(char *why, size_t room, const char *what)
{
	snprintf(why, room, "%s: %s", what, strerror(errno));
	return HW_ESPAWN;
}

static bool
nonblock(int fd)
{
	return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0;
}

/* The opener of /dev/ptmx owns the terminal: root, and it is to be the user. */
static bool
give_tty(int slave, const struct account *a)
{
	struct stat st;

	if (geteuid() != 0)
		return true;
	const struct group *tty = getgrnam("tty");
	if (fchown(slave, a->uid, tty != NULL ? tty->gr_gid : a->gid) < 0 ||
		fchmod(slave, tty != NULL ? 0620 : 0600) < 0)
		return false;
	return fstat(slave, &st) == 0 && st.st_uid == a->uid;
}

static int
prepare_pty(struct program *p, const struct monitor_request *r, const struct account *a, char *why,
	size_t room)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	p->in = p->out[HOLDER_OUT] = master;
	if (master < 0 || unlockpt(master) < 0 || !nonblock(master))
		return failed(why, room, "no terminal");
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	p->theirs[HOLDER_IN] = slave;
	if (slave < 0 || !give_tty(slave, a))
		return failed(why, room, "no terminal");

	struct termios t;
	if (tcgetattr(slave, &t) < 0)
		return failed(why, room, "no terminal");
	t.c_iflag |= IUTF8;
	tcsetattr(slave, TCSANOW, &t);
	program_resize(p, r->cols, r->rows);
	return 0;
}

static int
prepare_pipes(struct program *p, char *why, size_t room)
{
	int fds[2];

	for (int s = HOLDER_IN; s < HOLDER_STREAMS; s++) {
		if (pipe2(fds, O_CLOEXEC) < 0)
			return failed(why, room, "no pipe");
		int mine = s == HOLDER_IN ? fds[1] : fds[0];
		*(s == HOLDER_IN ? &p->in : &p->out[s]) = mine;
		p->theirs[s] = s == HOLDER_IN ? fds[0] : fds[1];
		if (!nonblock(mine))
			return failed(why, room, "no pipe");
	}
	return 0;
}

int
program_prepare(struct program *p, const struct monitor_request *r, const struct account *a,
	char *why, size_t room)
{
	p->pty = r->kind == REQUEST_PTY;
	return p->pty ? prepare_pty(p, r, a, why, room) : prepare_pipes(p, why, room);
}

/* --- the child ------------------------------------------------------------------------------ */

static void
default_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool
take_descriptors(const struct program *p)
{
	for (int fd = 0; fd < 3; fd++)
		if (dup2(p->pty ? p->theirs[HOLDER_IN] : p->theirs[fd], fd) < 0)
			return false;
	return true;
}

static void
go_home(const struct account *a)
{
	if (chdir(a->home) == 0)
		return;
	dprintf(STDERR_FILENO, "Could not chdir to home directory %s: %s\r\n", a->home,
		strerror(errno));
	if (chdir("/") < 0)
		_exit(127);
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* Never returns. What it cannot do it writes as an errno to `report`, which exec closes. */
static void
become_program(const struct program *p, const struct monitor_request *r, const char *command,
	const struct account *a, int report)
{
	struct environ env = {.n = 0};
	char name[300];

	snprintf(name, sizeof(name), "%s%s", r->command_len ? "" : "-", base_name(a->shell));
	char *const login[] = {name, NULL};
	char *const run[] = {name, (char *)"-c", (char *)command, NULL};

	environ_login(&env, "", a, r);
	if (setsid() >= 0 && take_descriptors(p) && (!p->pty || ioctl(0, TIOCSCTTY, 0) == 0) &&
		dup2(report, 3) == 3 && fcntl(3, F_SETFD, FD_CLOEXEC) == 0 &&
		close_range(4, ~0u, 0) == 0) {
		umask(022);
		go_home(a);
		default_signals();
		execve(a->shell, r->command_len ? run : login, env.vars);
	}
	int err = errno;
	if (write(3, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

static void
close_theirs(struct program *p)
{
	for (int s = 0; s < HOLDER_STREAMS; s++) {
		if (p->theirs[s] >= 0)
			close(p->theirs[s]);
		p->theirs[s] = -1;
	}
}

int
program_start(struct program *p, const struct monitor_request *r, const char *command,
	const struct account *a, char *why, size_t room)
{
	int report[2], err = 0;

	/* 3 is where the child wants it: nothing that it still needs may lie there. */
	if (pipe2(report, O_CLOEXEC) < 0 || (p->pid = fork()) < 0)
		return failed(why, room, "cannot start a process");
	if (p->pid == 0)
		become_program(p, r, command, a, report[1]);
	close(report[1]);
	close_theirs(p);
	ssize_t n = read(report[0], &err, sizeof(err));
	close(report[0]);
	if (n == (ssize_t)sizeof(err)) {
		waitpid(p->pid, NULL, 0);
		snprintf(why, room, "cannot run %s, the shell of %s: %s", a->shell, a->name,
			strerror(err));
		return HW_ESPAWN;
	}
	p->pidfd = pidfd_open(p->pid, 0);
	return p->pidfd < 0 ? failed(why, room, "pidfd_open") : 0;
}

/* --- while it runs -------------------------------------------------------------------------- */

void
program_resize(const struct program *p, uint16_t cols, uint16_t rows)
{
	struct winsize w = {.ws_col = cols ? cols : 80, .ws_row = rows ? rows : 24};

	if (p->pty)
		ioctl(p->in, TIOCSWINSZ, &w);
}

bool
program_signal(const struct program *p, int signo)
{
	static const int allowed[] = {SIGINT, SIGTERM, SIGHUP, SIGKILL, SIGQUIT, SIGUSR1, SIGUSR2,
		SIGTSTP, SIGCONT, SIGWINCH};
	bool ok = false;
	pid_t group = p->pid;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		ok = ok || allowed[i] == signo;
	if (!ok)
		return false;
	/* The terminal itself may signal a group that is another user's: a sudo in front. */
	if (p->pty && (signo == SIGINT || signo == SIGQUIT || signo == SIGTSTP))
		return ioctl(p->in, TIOCSIG, signo) == 0;
	if (p->pty && ioctl(p->in, TIOCGPGRP, &group) < 0)
		group = p->pid;
	return group > 1 && kill(-group, signo) == 0;
}

int
program_echo(const struct program *p)
{
	struct termios t;

	if (!p->pty)
		return HOLDER_ECHO_SHOWN;
	if (tcgetattr(p->in, &t) < 0)
		return HOLDER_ECHO_UNKNOWN;
	/* Without ICANON the program is a line editor, which echoes by itself. */
	return (t.c_lflag & ICANON) != 0 && (t.c_lflag & ECHO) == 0 ? HOLDER_ECHO_HIDDEN
								    : HOLDER_ECHO_SHOWN;
}

bool
program_takes_keys(const struct program *p)
{
	struct termios t;

	return p->pty && tcgetattr(p->in, &t) == 0 && (t.c_lflag & ICANON) == 0;
}

int
program_eof_byte(const struct program *p)
{
	struct termios t;

	if (tcgetattr(p->in, &t) < 0 || (t.c_lflag & (ICANON | ISIG)) == 0)
		return -1;
	return t.c_cc[VEOF] != _POSIX_VDISABLE ? t.c_cc[VEOF] : -1;
}
