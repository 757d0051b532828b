#include "node/holder/program.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "node/holder/account.h"
#include "node/holder/environ.h"
#include "node/holder/sweep.h"
#include "node/monitor/request.h"
#include "proto/base/err.h"

#define DOWNLOADS "downloads" /* as REQUEST_DOWNLOADS has it */

#define MFD_RUNS 0x0010U /* MFD_EXEC, which older headers do not have */

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

/* A script has no input. */
static int
prepare_script(struct program *p, char *why, size_t room)
{
	if (prepare_pipes(p, why, room) < 0)
		return HW_ESPAWN;
	close(p->in);
	close(p->theirs[HOLDER_IN]);
	p->in = -1;
	p->theirs[HOLDER_IN] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return p->theirs[HOLDER_IN] < 0 ? failed(why, room, "/dev/null") : 0;
}

int
program_prepare(struct program *p, const struct monitor_request *r, const struct account *a,
	char *why, size_t room)
{
	p->pty = r->kind == REQUEST_PTY;
	if (r->kind == REQUEST_SCRIPT)
		return prepare_script(p, why, room);
	return p->pty ? prepare_pty(p, r, a, why, room) : prepare_pipes(p, why, room);
}

/* --- the child ------------------------------------------------------------------------------ */

bool
program_lead(void)
{
	umask(022);
	return setsid() >= 0;
}

/* What the holder has changed. */
static void
default_signals(void)
{
	static const int changed[] = {SIGPIPE, SIGHUP, SIGINT};
	sigset_t none;

	sigemptyset(&none);
	for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); i++)
		signal(changed[i], SIG_DFL);
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

/* What could not be done, and why: what the child writes to the pipe that exec closes. */
enum trouble { AT_PROGRAM, AT_DIRECTORY, AT_OWNER };

struct report {
	enum trouble at;
	int error;
};

static void __attribute__((noreturn)) give_up(enum trouble at)
{
	struct report r = {.at = at, .error = errno};

	if (write(PROGRAM_REPORT_FD, &r, sizeof(r)) < 0)
		_exit(126);
	_exit(127);
}

bool
program_descriptors(const struct program *p, int report, int keep)
{
	if (!take_descriptors(p) || dup2(report, PROGRAM_REPORT_FD) != PROGRAM_REPORT_FD ||
		fcntl(PROGRAM_REPORT_FD, F_SETFD, FD_CLOEXEC) < 0)
		return false;
	if (keep < 0)
		return close_range(PROGRAM_REPORT_FD + 1, ~0u, 0) == 0;
	return dup2(keep, PROGRAM_KEPT_FD) == PROGRAM_KEPT_FD &&
		fcntl(PROGRAM_KEPT_FD, F_SETFD, 0) == 0 &&
		close_range(PROGRAM_REPORT_FD + 1, PROGRAM_KEPT_FD - 1, 0) == 0 &&
		close_range(PROGRAM_KEPT_FD + 1, ~0u, 0) == 0;
}

/* Whether its first line names who is to read it. */
static bool
names_interpreter(const char *text)
{
	return text[0] == '#' && text[1] == '!';
}

/* It lies where others may write: whose it is, is asked of what was opened. -1 and errno, and
 * *at says whether it is another's. */
static int
open_own(enum trouble *at, int below, const char *path)
{
	int fd = openat(below, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 022) == 0)
		return fd;
	/* A link, or a file, is nobody's directory. */
	*at = fd >= 0 || errno == ELOOP || errno == ENOTDIR ? AT_OWNER : AT_DIRECTORY;
	return -1;
}

/* Through the command's own directory, of which `work` is the name, and of which nobody else can
 * change a part after it was looked at. */
static bool
enter_work(enum trouble *at, const char *directory, size_t work)
{
	char name[REQUEST_DIRECTORY_MAX];
	int own, downloads;

	memcpy(name, directory, work);
	name[work] = '\0';
	if ((own = open_own(at, AT_FDCWD, name)) < 0 ||
		(downloads = open_own(at, own, DOWNLOADS)) < 0)
		return false;
	*at = AT_DIRECTORY;
	const char *rest = directory + work + strlen(REQUEST_DOWNLOADS);
	rest += strspn(rest, "/");
	return fchdir(downloads) == 0 && (*rest == '\0' || chdir(rest) == 0);
}

/* In the child; where it cannot, it gives up. */
static void
enter_directory(const struct monitor_request *r, const char *directory)
{
	enum trouble at = AT_DIRECTORY;

	if (r->work_len > 0 ? enter_work(&at, directory, r->work_len)
			    : chdir(directory != NULL ? directory : "/") == 0)
		return;
	if (at == AT_OWNER || !r->directory_optional || errno != ENOENT || chdir("/") < 0)
		give_up(at);
}

/* Never returns, and changes nothing of the process that it shares its memory with until then. A
 * shell is told the file's path, not its text. When the first line names another interpreter it is
 * the shell that starts that, and says what it thinks of it when it cannot; else the shell reads
 * the file itself, as one that had tried to start it would do in a process more. */
static void
become_script(const struct program *p, const struct monitor_request *r, const char *command,
	const struct environ *env, int report)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", PROGRAM_KEPT_FD);
	char *const run[] = {(char *)"sh", (char *)"-c", path, NULL};
	char *const read_it[] = {(char *)"sh", path, NULL};
	if (!program_descriptors(p, report, p->script))
		_exit(127);
	enter_directory(r, request_directory(r, command));
	default_signals();
	execve("/bin/sh", names_interpreter(command) ? run : read_it, env->vars);
	give_up(AT_PROGRAM);
}

/* A script's process is many machines' most frequent one, and most of what a fork costs is a copy
 * of memory that the exec throws away. */
static pid_t __attribute__((noinline)) fork_script(const struct program *p,
	const struct monitor_request *r, const char *command, const struct environ *env, int report)
{
	pid_t pid = vfork();

	if (pid == 0) {
		if (!program_lead())
			_exit(127);
		become_script(p, r, command, env, report);
	}
	return pid;
}

static pid_t
start_script(const struct program *p, const struct monitor_request *r, const char *command,
	const struct account *a, int report)
{
	struct environ env = {.n = 0};

	environ_script(&env, "", a, NULL, request_environment(r, command), r->environment_len);
	pid_t pid = fork_script(p, r, command, &env, report);
	int failure = errno;
	environ_fini(&env);
	errno = failure;
	return pid;
}

/* Never returns. */
static void
become_program(const struct program *p, const struct monitor_request *r, const char *command,
	const struct account *a, char *const *given, int report)
{
	struct environ env = {.n = 0};
	char name[300];

	snprintf(name, sizeof(name), "%s%s", r->command_len ? "" : "-", base_name(a->shell));
	char *const login[] = {name, NULL};
	char *const run[] = {name, (char *)"-c", (char *)command, NULL};

	environ_login(&env, "", a, given, r);
	if (program_descriptors(p, report, -1) && (!p->pty || ioctl(0, TIOCSCTTY, 0) == 0)) {
		go_home(a);
		default_signals();
		execve(a->shell, r->command_len ? run : login, env.vars);
	}
	give_up(AT_PROGRAM);
}

static pid_t
start_other(const struct program *p, const struct monitor_request *r, const char *command,
	const struct account *a, int report)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (!program_lead())
			_exit(127);
		become_program(p, r, command, a, NULL, report);
	}
	return pid;
}

/* The script's text in a file that has no name: nobody else can open or change it, it is gone with
 * its last reader, and no mount keeps it from being run. */
static int
hold_script(struct program *p, const char *text, size_t n, char *why, size_t room)
{
	p->script = memfd_create("hawser-script", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_RUNS);
	if (p->script < 0 && errno == EINVAL) /* a kernel to which all may be run */
		p->script = memfd_create("hawser-script", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (p->script < 0 || write(p->script, text, n) != (ssize_t)n ||
		fcntl(p->script, F_ADD_SEALS,
			F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return failed(why, room, "cannot hold the script");
	return 0;
}

void
program_become(struct program *p, const struct monitor_request *r, const char *command,
	const struct account *a, char *const *given)
{
	struct environ env = {.n = 0};
	char why[192];

	if (r->kind != REQUEST_SCRIPT)
		become_program(p, r, command, a, given, PROGRAM_REPORT_FD);
	environ_script(&env, "", a, given, request_environment(r, command), r->environment_len);
	if (hold_script(p, command, r->command_len, why, sizeof(why)) == 0)
		become_script(p, r, command, &env, PROGRAM_REPORT_FD);
	give_up(AT_PROGRAM);
}

static int
not_started(const struct monitor_request *r, const char *command, const struct account *a,
	const struct report *got, char *why, size_t room)
{
	if (got->at == AT_OWNER)
		snprintf(why, room, "the command's directory %.120s is not its own",
			request_directory(r, command));
	else if (got->at == AT_DIRECTORY)
		snprintf(why, room, "cannot change to the directory %.120s: %s",
			request_directory(r, command), strerror(got->error));
	else if (r->kind == REQUEST_SCRIPT)
		snprintf(why, room, "cannot run /bin/sh: %s", strerror(got->error));
	else
		snprintf(why, room, "cannot run %s, the shell of %s: %s", a->shell, a->name,
			strerror(got->error));
	return HW_ESPAWN;
}

void
program_close_theirs(struct program *p)
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
	int report[2];

	if (r->kind == REQUEST_SCRIPT && hold_script(p, command, r->command_len, why, room) < 0)
		return HW_ESPAWN;
	/* 3 is where the child wants it: nothing that it still needs may lie there. */
	if (pipe2(report, O_CLOEXEC) < 0 ||
		(p->pid = (r->kind == REQUEST_SCRIPT ? start_script : start_other)(p, r, command, a,
			 report[1])) < 0)
		return failed(why, room, "cannot start a process");
	close(report[1]);
	program_close_theirs(p);
	if (p->script >= 0)
		close(p->script);
	p->script = -1;
	return program_await(p, r, command, a, report[0], why, room);
}

int
program_await(struct program *p, const struct monitor_request *r, const char *command,
	const struct account *a, int report, char *why, size_t room)
{
	struct report got = {0};

	ssize_t n = read(report, &got, sizeof(got));
	close(report);
	if (n == (ssize_t)sizeof(got)) {
		waitpid(p->pid, NULL, 0);
		return not_started(r, command, a, &got, why, room);
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

/* Its other end is opened for that moment. Polling an empty one is what makes the kernel finish. */
bool
program_input_is_read(const struct program *p)
{
	int slave = ioctl(p->in, TIOCGPTPEER, O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	struct pollfd pfd = {slave, POLLIN, 0};
	int left = 1;

	if (slave < 0)
		return false;
	if (poll(&pfd, 1, 0) < 0 || ioctl(slave, FIONREAD, &left) < 0)
		left = 1;
	close(slave);
	return left == 0;
}

/* That it sleeps is looked at after its input was found to be read: whoever is woken by input
 * counts as running from then on. One that cannot write sleeps too. */
bool
program_waits(const struct program *p)
{
	struct pollfd pfd = {p->out[HOLDER_OUT], POLLIN, 0};
	pid_t front;

	if (program_takes_keys(p) && !program_input_is_read(p))
		return false;
	return poll(&pfd, 1, 0) == 0 && ioctl(p->in, TIOCGPGRP, &front) == 0 &&
		sweep_group_sleeps(front);
}

int
program_eof_byte(const struct program *p)
{
	struct termios t;

	if (tcgetattr(p->in, &t) < 0 || (t.c_lflag & (ICANON | ISIG)) == 0)
		return -1;
	return t.c_cc[VEOF] != _POSIX_VDISABLE ? t.c_cc[VEOF] : -1;
}
