#include "client/terminal.h"

#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "proto/base/file.h"

struct terminal {
	int fd;
	struct termios before, mode;
	pid_t guard;	/* 0: none */
	int guard_pipe; /* its end tells the guard that we are gone */
};

/* --- the guard ------------------------------------------------------------------------------- */

#define GUARD_BYE 'b' /* we go in order: leave the terminal alone */

/* Other programs may have set the terminal since, above all the shell that started us: then what
 * they want holds. */
static void
guard_restore(const struct terminal *t)
{
	struct termios now;

	if (tcgetattr(t->fd, &now) < 0)
		return;
	if (now.c_lflag == t->mode.c_lflag && now.c_iflag == t->mode.c_iflag &&
		now.c_oflag == t->mode.c_oflag)
		tcsetattr(t->fd, TCSANOW, &t->before);
}

static void
close_between(unsigned from, unsigned to)
{
	if (from <= to)
		close_range(from, to, 0);
}

/* In a session of its own it gets none of the terminal's signals, and may still set its modes. It
 * keeps nothing open but its pipe and the terminal, above all not the link. */
static void
guard_run(const struct terminal *t, int pipe_fd)
{
	unsigned low = (unsigned)(t->fd < pipe_fd ? t->fd : pipe_fd);
	unsigned high = (unsigned)(t->fd < pipe_fd ? pipe_fd : t->fd);
	char word = 0;
	ssize_t n;

	for (int signo = 1; signo < NSIG; signo++)
		signal(signo, SIG_IGN);
	setsid();
	prctl(PR_SET_NAME, "hawser-guard");
	if (low > 0)
		close_between(0, low - 1);
	close_between(low + 1, high - 1);
	close_between(high + 1, ~0u);
	do
		n = read(pipe_fd, &word, 1);
	while (n < 0 && errno == EINTR);
	if (n <= 0 || word != GUARD_BYE)
		guard_restore(t);
	_exit(0);
}

/* Without a guard the terminal is still restored by us; so this fails in silence. */
static void
guard_start(struct terminal *t)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	t->guard = fork();
	if (t->guard == 0)
		guard_run(t, ends[0]);
	close(ends[0]);
	if (t->guard < 0) {
		t->guard = 0;
		close(ends[1]);
		return;
	}
	t->guard_pipe = ends[1];
}

static void
guard_stop(struct terminal *t)
{
	const char bye = GUARD_BYE;

	if (t->guard <= 0)
		return;
	if (write(t->guard_pipe, &bye, 1) == 1)
		while (waitpid(t->guard, NULL, 0) < 0 && errno == EINTR)
			;
	fd_close(t->guard_pipe);
	t->guard = 0;
}

/* --- modes ----------------------------------------------------------------------------------- */

static void
set_mode(struct termios *m, enum terminal_mode mode)
{
	if (mode == TERMINAL_SECRET) {
		m->c_lflag &= ~(tcflag_t)ECHO;
		return;
	}
	m->c_cc[VMIN] = 1;
	m->c_cc[VTIME] = 0;
	if (mode == TERMINAL_KEYS) {
		m->c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		return;
	}
	m->c_iflag |= IGNPAR;
	m->c_iflag &= ~(tcflag_t)(ISTRIP | INLCR | IGNCR | ICRNL | IXON | IXANY | IXOFF | IUCLC);
	m->c_lflag &= ~(tcflag_t)(ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHONL | IEXTEN);
	m->c_oflag &= ~(tcflag_t)OPOST;
}

static int
set_attributes(int fd, const struct termios *m)
{
	int r;

	do
		r = tcsetattr(fd, TCSADRAIN, m);
	while (r < 0 && errno == EINTR);
	return r;
}

int
terminal_open(struct terminal **ret, int fd, enum terminal_mode mode, struct hw_err *err)
{
	struct terminal *t = calloc(1, sizeof(*t));
	int r;

	if (t == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	t->fd = fd;
	if (tcgetattr(fd, &t->before) < 0) {
		r = hw_err_sys(err, "cannot read the terminal's modes");
		free(t);
		return r;
	}
	t->mode = t->before;
	set_mode(&t->mode, mode);
	guard_start(t); /* before there is something to put right */
	*ret = t;
	return 0;
}

void
terminal_close(struct terminal *t)
{
	if (t == NULL)
		return;
	terminal_leave(t);
	guard_stop(t);
	free(t);
}

void
terminal_leave(struct terminal *t)
{
	set_attributes(t->fd, &t->before);
}

void
terminal_enter(struct terminal *t)
{
	set_attributes(t->fd, &t->mode);
}

bool
terminal_size(int *cols, int *rows)
{
	struct winsize size;

	*cols = 80;
	*rows = 24;
	for (int fd = 0; fd <= 2; fd++) {
		if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
			*cols = size.ws_col;
			*rows = size.ws_row;
			return true;
		}
	}
	return false;
}
