#include "node/holder/sweep.h"

#include <sys/pidfd.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct stat_line {
	char state;
	int parent, session;
	unsigned long long start;
};

static bool
stat_read(struct stat_line *st, pid_t pid)
{
	char path[64], line[1024];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (n <= 0)
		return false;
	line[n] = '\0';
	/* The name is in parentheses and may hold any byte, also ')'. */
	char *rest = strrchr(line, ')');
	return rest != NULL &&
		sscanf(rest + 1,
			" %c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d"
			" %*d %*d %*d %*d %*d %llu",
			&st->state, &st->parent, &st->session, &st->start) == 4;
}

static bool
is_member(pid_t pid, pid_t sid, uint64_t ticks)
{
	struct stat_line st;

	return stat_read(&st, pid) && st.session == sid && st.state != 'Z' && st.state != 'X' &&
		st.start <= ticks;
}

/* A number may be another process's by the time it is signalled: the pidfd is held while it is
 * looked at again. */
static void
signal_member(pid_t pid, pid_t sid, uint64_t ticks, int signo)
{
	int fd = pidfd_open(pid, 0);

	if (fd < 0)
		return;
	if (is_member(pid, sid, ticks))
		pidfd_send_signal(fd, signo, NULL, 0);
	close(fd);
}

int
sweep_session(pid_t sid, int signo, uint64_t ticks)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int found = 0;

	while (proc != NULL && (entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)atol(entry->d_name);
		if (pid <= 1 || !is_member(pid, sid, ticks))
			continue;
		found++;
		if (signo != 0)
			signal_member(pid, sid, ticks, signo);
	}
	if (proc != NULL)
		closedir(proc);
	return found;
}

pid_t
sweep_parent(pid_t pid)
{
	struct stat_line st;

	return stat_read(&st, pid) ? st.parent : -1;
}

pid_t
sweep_child(pid_t parent)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	pid_t child = 0;

	while (proc != NULL && child == 0 && (entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)atol(entry->d_name);
		if (pid > 1 && sweep_parent(pid) == parent)
			child = pid;
	}
	if (proc != NULL)
		closedir(proc);
	return child;
}

uint64_t
sweep_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return ((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000) *
		(uint64_t)sysconf(_SC_CLK_TCK) / 1000;
}
