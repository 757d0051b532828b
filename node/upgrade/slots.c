#include "node/upgrade/slots.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/file.h"

#define LINE_MAX_BYTES	  128
#define VERSION_TEXT_MAX  256
#define VERSION_WITHIN_MS 10000 /* for a program to say its version */

/* --- the folder ------------------------------------------------------------------------------- */

static bool
is_ours(const struct stat *st)
{
	return st->st_uid == 0 || st->st_uid == geteuid();
}

/* Whoever may write the folder above may put another in its place. */
static int
check_folder(int fd, const char *path, struct hw_err *err)
{
	struct stat st, above;

	if (fstat(fd, &st) < 0 || fstatat(fd, "..", &above, 0) < 0)
		return hw_err_sys(err, "cannot look at %s", path);
	if (!is_ours(&st) || (st.st_mode & 022) != 0)
		return hw_err_set(err, HW_EDENIED,
			"others than its owner may write %s, and programs of root's would lie there: "
			"chown root:root and chmod 755 it",
			path);
	if (!is_ours(&above) || ((above.st_mode & 022) != 0 && (above.st_mode & S_ISVTX) == 0))
		return hw_err_set(err, HW_EDENIED,
			"others may write the folder above %s, and put another in its place", path);
	return 0;
}

int
slots_open(int *ret, const char *path, bool make, struct hw_err *err)
{
	int fd, r;

	if (make && mkdir(path, 0755) < 0 && errno != EEXIST)
		return hw_err_sys(err, "cannot make %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return hw_err_sys(err, "cannot open %s", path);
	/* A umask is not to keep the agent's own process from its program. What others could write
	 * until now stays refused: nobody knows what they have put there. */
	if ((r = check_folder(fd, path, err)) == 0 && make && geteuid() == 0 &&
		fchmod(fd, 0755) < 0)
		r = hw_err_sys(err, "cannot open %s to everybody", path);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	*ret = fd;
	return 0;
}

/* --- its files -------------------------------------------------------------------------------- */

static bool
parse(struct slot *ret, const char *line)
{
	char version[LINE_MAX_BYTES], over[LINE_MAX_BYTES], name, end;

	if (sscanf(line, "%c %127s over %127s%c", &name, version, over, &end) != 4 || end != '\n' ||
		(name != 'a' && name != 'b') || !release_version_valid(version) ||
		!release_version_valid(over))
		return false;
	ret->name = name;
	strcpy(ret->version, version);
	strcpy(ret->over, over);
	return true;
}

struct slot
slots_read(int dir, const char *file)
{
	struct slot s = {.name = 0};
	struct buf text;
	const char *line;

	buf_init(&text, LINE_MAX_BYTES - 1);
	if (file_read(&text, dir, file, NULL) == 0 && (line = buf_str(&text)) != NULL &&
		!parse(&s, line))
		s = (struct slot){.name = 0};
	buf_fini(&text);
	return s;
}

int
slots_write(int dir, const char *file, const struct slot *s, struct hw_err *err)
{
	char line[LINE_MAX_BYTES];
	int n = snprintf(line, sizeof(line), "%c %s over %s\n", s->name, s->version, s->over);

	return file_write(dir, file, line, (size_t)n, 0644, err);
}

static int
sync_folder(int dir, struct hw_err *err)
{
	return fsync(dir) == 0 ? 0 : hw_err_sys(err, "cannot sync the folder of the slots");
}

int
slots_drop(int dir, const char *file, struct hw_err *err)
{
	if (unlinkat(dir, file, 0) < 0)
		return errno == ENOENT ? 0 : hw_err_sys(err, "cannot remove the file %s", file);
	return sync_folder(dir, err);
}

int
slots_take(int dir, struct hw_err *err)
{
	if (renameat(dir, SLOTS_TRIAL, dir, SLOTS_CURRENT) < 0)
		return hw_err_sys(err, "cannot make the slot the current one");
	return sync_folder(dir, err);
}

static bool
is_watched(int dir)
{
	int fd = -1, r = file_lock(&fd, dir, SLOTS_LOCK, NULL);

	fd_close(fd);
	return r == HW_EEXISTS;
}

/* In the order in which whoever watches lets go: last of the lock, before that the trial becomes
 * current. */
struct slots_seen
slots_look(int dir)
{
	struct slots_seen s = {.watched = is_watched(dir)};

	s.trial = slots_read(dir, SLOTS_TRIAL);
	s.current = slots_read(dir, SLOTS_CURRENT);
	return s;
}

/* --- whether its program starts --------------------------------------------------------------- */

static void
exec_version(const char *path, int out)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	alarm(VERSION_WITHIN_MS / 1000); /* for one that says it and does not end */
	if (null >= 0 && dup2(null, 0) >= 0 && dup2(out, 1) >= 0)
		execl(path, "hawser-node", "--version", (char *)NULL);
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	_exit(127);
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Up to its end; false when that does not come in time. */
static bool
read_version(char text[VERSION_TEXT_MAX], int fd, int64_t until)
{
	struct pollfd p = {fd, POLLIN, 0};
	ssize_t more = 1;
	size_t n = 0;

	while (n < VERSION_TEXT_MAX - 1 && more != 0) {
		int64_t left = until - now_ms();
		if (left <= 0)
			return false;
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		if ((more = read(fd, text + n, VERSION_TEXT_MAX - 1 - n)) > 0)
			n += (size_t)more;
	}
	text[n] = '\0';
	return true;
}

static int
judge(const char *text, int status, const struct slot *s, struct hw_err *err)
{
	char wanted[VERSION_TEXT_MAX];

	snprintf(wanted, sizeof(wanted), "hawser-node %s\n", s->version);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return hw_err_set(err, HW_ESPAWN,
			"the hawser-node of %s does not run on this machine: --version ended with %d",
			s->version,
			WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return strcmp(text, wanted) == 0
		? 0
		: hw_err_set(err, HW_EVALIDATION,
			  "the hawser-node of %s says that it is another version", s->version);
}

int
slots_starts(const char *path, const struct slot *s, struct hw_err *err)
{
	char program[PATH_MAX], text[VERSION_TEXT_MAX] = "";
	int out[2], status = 0;

	snprintf(program, sizeof(program), "%s/%c/hawser-node", path, s->name);
	if (pipe2(out, O_CLOEXEC) < 0)
		return hw_err_sys(err, "cannot make a pipe");
	pid_t pid = fork();
	if (pid == 0)
		exec_version(program, out[1]);
	close(out[1]);
	bool said = pid > 0 && read_version(text, out[0], now_ms() + VERSION_WITHIN_MS);
	close(out[0]);
	if (pid < 0)
		return hw_err_sys(err, "cannot start %s", program);
	if (!said)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return said ? judge(text, status, s, err)
		    : hw_err_set(err, HW_ETIMEOUT,
			      "the hawser-node of %s does not say its version within %d seconds",
			      s->version, VERSION_WITHIN_MS / 1000);
}

/* --- what follows ----------------------------------------------------------------------------- */

static bool
package_wins(const struct slot *s, const char *package)
{
	return strcmp(s->over, package) != 0 && release_version_compare(package, s->version) > 0;
}

enum slots_verdict
slots_choose(struct slot *ret, const struct slot *current, const struct slot *trial, bool watched,
	const char *package)
{
	if (trial->name != 0 && watched) {
		*ret = *trial;
		return SLOTS_TRY;
	}
	if (current->name == 0 || package_wins(current, package))
		return SLOTS_PACKAGE;
	*ret = *current;
	return SLOTS_SLOT;
}

static bool
is_same(const struct slot *a, const struct slot *b)
{
	return a->name == b->name && strcmp(a->version, b->version) == 0;
}

enum slots_fate
slots_fate(const struct slot *tried, const struct slot *current, const struct slot *trial,
	bool watched)
{
	if (trial->name != 0 && is_same(tried, trial))
		return watched ? SLOTS_UNDECIDED : SLOTS_ENDED;
	return is_same(tried, current) ? SLOTS_TAKEN : SLOTS_ENDED;
}
