#include "client/names.h"

#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/home.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"

#define FILE_MODE 0600
#define REFUSED	  600 /* seconds until it is asked for again */
#define LISTING	  120 /* seconds that one listing may take */

/* The listing that names them; its words follow the name of the program. */
static const struct {
	const char *file;
	const char *words[5];
} kinds[NAMES_KINDS] = {
	[NAMES_NODES] = {"nodes",	  {"ls"}				},
	[NAMES_SELECTORS] = {"selectors",	  {"selector", "ls"}		    },
	[NAMES_SESSIONS] = {"sessions",	{"sessions", "ls", "--limit", "200"}},
	[NAMES_LIVE_SESSIONS] = {"live-sessions", {"sessions", "ls", "--live"}	      },
	[NAMES_COMMANDS] = {"commands",	{"runs", "ls", "--limit", "200"}	},
	[NAMES_DOCUMENTS] = {"documents",	  {"document", "ls"}		    },
	[NAMES_USERS] = {"users",	  {"user", "ls"}			},
	[NAMES_GROUPS] = {"groups",	    {"group", "ls"}			   },
	[NAMES_POLICIES] = {"policies",	{"policy", "ls"}			},
	[NAMES_KEYS] = {"keys",		{"key", "ls"}			     },
	[NAMES_ACTIVATIONS] = {"activations",   {"activation", "ls"}		  },
	[NAMES_HOLDS] = {"holds",	  {"audit", "holds"}		    },
};

static int
open_folder(const struct home *h, bool make)
{
	struct hw_err err = HW_ERR_INIT;
	struct stat st;
	int home, folder;

	if (home_open(&home, h, false, &err) < 0)
		return -1;
	if (make)
		mkdirat(home, HOME_NAMES, 0700);
	folder = openat(home, HOME_NAMES, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	fd_close(home);
	/* In a directory that is not private, such as --home /tmp, somebody else may have made it.
	 */
	if (folder >= 0 &&
		(fstat(folder, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022) != 0)) {
		fd_close(folder);
		return -1;
	}
	return folder;
}

/* What was refused now is refused in ten minutes too, and the ledger has it each time. */
static void
leave_alone(int folder, const char *file)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) + REFUSED}};

	utimensat(folder, file, times, AT_SYMLINK_NOFOLLOW);
}

/* Becomes the listing. Its length and its time are the relay's to choose, within these bounds. */
static void __attribute__((noreturn)) list(char **args, int fd)
{
	const struct rlimit size = {NAMES_MAX, NAMES_MAX}, none = {0, 0};

	setrlimit(RLIMIT_FSIZE, &size);
	setrlimit(RLIMIT_CORE, &none);
	alarm(LISTING);
	dup2(fd, 1);
	execv("/proc/self/exe", args);
	_exit(127);
}

/* In a process of its own, which nobody waits for. What it writes counts only once it is whole. */
static void __attribute__((noreturn))
fetch(const struct home *h, const char *proxy, enum names_kind kind, int folder, int lock)
{
	char made[32], *args[14] = {(char *)"hawser", (char *)"--home", (char *)h->path};
	size_t n = 3;
	int status = 0, null = open("/dev/null", O_RDWR | O_CLOEXEC), fd;
	pid_t pid;

	setsid();
	if (proxy != NULL) {
		args[n++] = (char *)"--proxy";
		args[n++] = (char *)proxy;
	}
	for (size_t i = 0; i < 5 && kinds[kind].words[i] != NULL; i++)
		args[n++] = (char *)kinds[kind].words[i];
	args[n++] = (char *)"-o";
	args[n++] = (char *)"name";
	snprintf(made, sizeof(made), ".%s.new", kinds[kind].file);
	fd = openat(folder, made, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (null < 0 || fd < 0)
		_exit(1);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	if ((pid = fork()) == 0)
		list(args, fd);
	if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
		WEXITSTATUS(status) == 0)
		renameat(folder, made, folder, kinds[kind].file);
	else if (unlinkat(folder, made, 0) == 0)
		leave_alone(folder, kinds[kind].file);
	fd_close(lock);
	_exit(0);
}

/* One process a kind at a time: who holds the lock has seen to it. Returns a descriptor that reads
 * as ended once it is done; -1 when nothing was begun. */
static int
refresh(const struct home *h, const char *proxy, enum names_kind kind, int folder)
{
	char name[32];
	int done[2], lock;
	pid_t pid;

	snprintf(name, sizeof(name), ".%s.lock", kinds[kind].file);
	lock = openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0 || pipe2(done, O_CLOEXEC) < 0) {
		fd_close(lock);
		return -1;
	}
	if ((pid = fork()) == 0) {
		if (fork() != 0) /* the shell that asks is to wait for nobody */
			_exit(0);
		fd_close(done[0]);
		fetch(h, proxy, kind, folder, lock);
	}
	fd_close(lock);
	fd_close(done[1]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return done[0];
}

static void
wait_done(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (poll(&p, 1, NAMES_PATIENCE / USEC_PER_MSEC) < 0 && errno == EINTR)
		;
}

/* One from further ahead than leave_alone() puts it is of a clock that was wrong. */
static bool
is_young(time_t made)
{
	time_t age = time(NULL) - made;

	return age <= NAMES_FRESH / USEC_PER_SEC && age >= -REFUSED;
}

/* Whoever asks for a file that is too old makes it young first: the relay is asked at most once in
 * NAMES_FRESH, also when it refuses. */
void
names_read(struct buf *out, const struct home *h, const char *proxy, enum names_kind kind)
{
	struct hw_err err = HW_ERR_INIT;
	int folder = open_folder(h, true), done = -1, fd;
	struct stat st;
	bool first;

	if (folder < 0)
		return;
	first = fstatat(folder, kinds[kind].file, &st, AT_SYMLINK_NOFOLLOW) < 0;
	if (first || !is_young(st.st_mtime)) {
		fd = openat(folder, kinds[kind].file, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
			FILE_MODE);
		if (fd >= 0 && futimens(fd, NULL) == 0)
			done = refresh(h, proxy, kind, folder);
		fd_close(fd);
	}
	if (first && done >= 0)
		wait_done(done);
	fd_close(done);
	(void)file_read(out, folder, kinds[kind].file, &err);
	fd_close(folder);
}

void
names_forget(const struct home *h)
{
	int folder = open_folder(h, false), home;
	struct hw_err err = HW_ERR_INIT;
	const struct dirent *e;
	DIR *d = folder >= 0 ? fdopendir(folder) : NULL;

	if (d == NULL) {
		fd_close(folder);
		return;
	}
	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			unlinkat(folder, e->d_name, 0);
	closedir(d);
	if (home_open(&home, h, false, &err) == 0) {
		unlinkat(home, HOME_NAMES, AT_REMOVEDIR);
		fd_close(home);
	}
}
