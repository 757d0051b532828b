/*
 * What the terminal benches measure with: a program that types and reads at the near end of a pty.
 *
 *   pty_probe echo [-e FILE] -- COMMAND...    COMMAND's far end runs `pty_probe reply`, or
 * `echo-reply`. Says
 * "ready" once that has answered; then each number on stdin types so many bytes, one at a time,
 * each after the one before has come back, and prints as many nanoseconds on one line. pty_probe
 * drain [-e FILE] [-s FILE] -- COMMAND...    reads all that COMMAND writes and prints what that
 * took as JSON; -s compares it with FILE as a terminal shows it. pty_probe reply    the far end: a
 * raw terminal that sends back what it gets, until a ^D. pty_probe echo-reply    the same, with a
 * terminal that echoes by itself.
 *
 * -e sends COMMAND's stderr to FILE, so that the pty carries the far end's bytes alone.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define READY	   "HAWSER-BENCH-READY"
#define END	   '\004'
#define PATIENCE   30 /* seconds without any progress */
#define MOST_TYPED 100000

struct options {
	const char *errors, *same_as;
	char **command;
};

static void
die(const char *what)
{
	fprintf(stderr, "pty_probe: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The default action of SIGALRM ends us, and the pty's end the command. */
static void
be_patient(void)
{
	alarm(PATIENCE);
}

/* --- the pty -----------------------------------------------------------------------------------
 */

static void
become_command(const char *slave, const struct options *o)
{
	setsid();
	int fd = open(slave, O_RDWR);
	if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) < 0)
		die(slave);
	dup2(fd, 0);
	dup2(fd, 1);
	if (o->errors != NULL && (fd = open(o->errors, O_WRONLY | O_CREAT | O_APPEND, 0600)) < 0)
		die(o->errors);
	dup2(fd, 2);
	execvp(o->command[0], o->command);
	die(o->command[0]);
}

/* Starts the command on a new terminal of 24 lines; returns the terminal's near end. */
static int
start(pid_t *pid, const struct options *o)
{
	const struct winsize size = {.ws_row = 24, .ws_col = 80};
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		die("no pty");
	ioctl(master, TIOCSWINSZ, &size);
	const char *slave = ptsname(master);
	if ((*pid = fork()) < 0)
		die("fork");
	if (*pid == 0)
		become_command(slave, o);
	return master;
}

/* Bytes that came; 0 once every program has closed the terminal. */
static size_t
take(int fd, char *p, size_t room)
{
	ssize_t n;

	do
		n = read(fd, p, room);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EIO)
		die("read from the pty");
	return n > 0 ? (size_t)n : 0;
}

/* --- echo --------------------------------------------------------------------------------------
 */

/* What a shell or a banner says before the marker is of no interest. */
static void
wait_for_reply(int fd)
{
	char seen[65536];
	size_t n = 0, got;

	while (n < sizeof(seen) && (got = take(fd, seen + n, sizeof(seen) - n)) > 0) {
		n += got;
		if (memmem(seen, n, READY, strlen(READY)) != NULL)
			return;
	}
	fprintf(stderr, "pty_probe: the far end did not answer; it said: %.*s\n", (int)n, seen);
	exit(1);
}

static int64_t
type_one(int fd, char key)
{
	char back;
	int64_t begin = now();

	if (write(fd, &key, 1) != 1)
		die("typing");
	if (take(fd, &back, 1) != 1 || back != key) {
		fprintf(stderr, "pty_probe: another byte came back than was typed\n");
		exit(1);
	}
	return now() - begin;
}

static void
type_round(int fd, int64_t *took, long count)
{
	be_patient();
	for (long i = 0; i < count; i++)
		took[i] = type_one(fd, (char)('a' + i % 26));
	alarm(0);
	for (long i = 0; i < count; i++)
		printf("%" PRId64 "%c", took[i], i + 1 < count ? ' ' : '\n');
	fflush(stdout);
}

static int
echo_main(const struct options *o)
{
	static int64_t took[MOST_TYPED];
	char line[32], rest[256];
	int status = 0;
	pid_t pid;

	be_patient();
	int fd = start(&pid, o);
	wait_for_reply(fd);
	alarm(0);
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		long count = strtol(line, NULL, 10);
		if (count < 1 || count > MOST_TYPED)
			return 2;
		type_round(fd, took, count);
	}
	be_patient();
	if (write(fd, (char[]){END}, 1) != 1)
		die("typing");
	while (take(fd, rest, sizeof(rest)) > 0)
		;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* Sends back what it gets, or leaves that to the terminal. */
static int
reply_main(bool echoes)
{
	struct termios tio;
	char bytes[4096];
	ssize_t n;

	if (tcgetattr(0, &tio) < 0)
		die("not a terminal");
	cfmakeraw(&tio);
	if (echoes)
		tio.c_lflag |= ECHO;
	tcsetattr(0, TCSANOW, &tio);
	if (write(1, READY, strlen(READY)) < 0)
		return 1;
	while ((n = read(0, bytes, sizeof(bytes))) > 0 && bytes[n - 1] != END)
		if (!echoes && write(1, bytes, (size_t)n) != n)
			return 1;
	return 0;
}

/* --- drain -------------------------------------------------------------------------------------
 */

/* A file as its terminal shows it: a carriage return before each newline. */
struct wanted {
	const char *at, *end;
	bool returned; /* the carriage return has been seen, its newline not yet */
	bool differs;
};

static void
wanted_open(struct wanted *w, const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		die(path);
	w->at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (w->at == MAP_FAILED)
		die(path);
	w->end = w->at + st.st_size;
	close(fd);
}

static bool
wanted_byte(struct wanted *w, char c)
{
	if (w->at == w->end)
		return false;
	if (*w->at == '\n' && !w->returned) {
		w->returned = true;
		return c == '\r';
	}
	w->returned = false;
	return c == *w->at++;
}

static void
wanted_compare(struct wanted *w, const char *p, size_t n)
{
	for (size_t i = 0; i < n && !w->differs; i++)
		w->differs = !wanted_byte(w, p[i]);
}

static double
seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static int
drain_main(const struct options *o)
{
	static char chunk[1 << 16];
	struct wanted wanted = {0};
	uint64_t bytes = 0, reads = 0;
	int64_t first = 0, last = 0;
	struct rusage used;
	int status = 0;
	pid_t pid;
	size_t n;

	if (o->same_as != NULL)
		wanted_open(&wanted, o->same_as);
	int64_t begin = now();
	int fd = start(&pid, o);
	for (be_patient(); (n = take(fd, chunk, sizeof(chunk))) > 0; bytes += n) {
		if (bytes == 0)
			first = now();
		if (reads++ % 4096 == 0)
			be_patient();
		if (o->same_as != NULL)
			wanted_compare(&wanted, chunk, n);
	}
	last = now();
	wait4(pid, &status, 0, &used);
	alarm(0);
	bool same = o->same_as != NULL && !wanted.differs && wanted.at == wanted.end;
	printf("{\"bytes\": %" PRIu64 ", \"seconds\": %.6f, \"to_first_byte\": %.6f, "
	       "\"reads\": %" PRIu64
	       ", \"same\": %s, \"status\": %d, \"user\": %.3f, \"sys\": %.3f}\n",
		bytes, (double)(last - first) / 1e9, (double)(first - begin) / 1e9, reads,
		o->same_as == NULL ? "null"
			: same	   ? "true"
				   : "false",
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
		seconds(used.ru_utime), seconds(used.ru_stime));
	return 0;
}

/* -----------------------------------------------------------------------------------------------
 */

static int
usage(void)
{
	fprintf(stderr,
		"usage: pty_probe echo|drain [-e FILE] [-s FILE] -- COMMAND...\n"
		"       pty_probe reply|echo-reply\n");
	return 2;
}

int
main(int argc, char **argv)
{
	struct options o = {0};
	int c;

	if (argc == 2 && strcmp(argv[1], "reply") == 0)
		return reply_main(false);
	if (argc == 2 && strcmp(argv[1], "echo-reply") == 0)
		return reply_main(true);
	if (argc < 3)
		return usage();
	const char *mode = argv[1];
	optind = 2;
	while ((c = getopt(argc, argv, "+e:s:")) != -1) {
		if (c == 'e')
			o.errors = optarg;
		else if (c == 's')
			o.same_as = optarg;
		else
			return usage();
	}
	if (optind >= argc)
		return usage();
	o.command = argv + optind;
	if (strcmp(mode, "echo") == 0)
		return echo_main(&o);
	return strcmp(mode, "drain") == 0 ? drain_main(&o) : usage();
}
