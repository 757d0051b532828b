#include "node/holder/sweep.h"

#include <sys/pidfd.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct stat_line {
	char state;
	int parent, group, session;
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
			" %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d"
			" %*d %*d %*d %*d %*d %llu",
			&st->state, &st->parent, &st->group, &st->session, &st->start) == 5;
}

static bool
is_member(pid_t pid, const struct sweep *s)
{
	struct stat_line st;

	return stat_read(&st, pid) && st.session == s->sid && st.state != 'Z' && st.state != 'X' &&
		st.start <= s->ticks;
}

/* A number may be another process's by the time it is signalled: the pidfd is held while it is
 * looked at again. */
static void
signal_member(pid_t pid, const struct sweep *s, int signo)
{
	int fd = pidfd_open(pid, 0);

	if (fd < 0)
		return;
	if (is_member(pid, s)) {
		pidfd_send_signal(fd, signo, NULL, 0);
		if (signo == SIGHUP)
			pidfd_send_signal(fd, SIGCONT, NULL, 0);
	}
	close(fd);
}

/* Of a machine's processes nearly all are strangers, and asking the kernel for a session's number
 * takes a hundredth of reading a file of /proc. It may not tell: then the file is read. */
static const struct sweep *
find_session(pid_t pid, const struct sweep *v, size_t n)
{
	pid_t sid = getsid(pid);
	struct stat_line st;

	if (sid < 0 && errno != ESRCH && stat_read(&st, pid))
		sid = st.session;
	for (size_t i = 0; sid > 0 && i < n; i++)
		if (v[i].sid == sid)
			return &v[i];
	return NULL;
}

int
sweep_sessions(const struct sweep *v, size_t n, int signo)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int found = 0;

	while (proc != NULL && (entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)atol(entry->d_name);
		const struct sweep *s = pid > 1 ? find_session(pid, v, n) : NULL;
		if (s == NULL || !is_member(pid, s))
			continue;
		found++;
		if (signo != 0)
			signal_member(pid, s, signo);
	}
	if (proc != NULL)
		closedir(proc);
	return found;
}

int
sweep_session(pid_t sid, int signo, uint64_t ticks)
{
	return sweep_sessions(&(struct sweep){sid, ticks}, 1, signo);
}

/* --- descendants ------------------------------------------------------------------------------ */

struct member {
	pid_t pid, parent;
	bool below; /* the one that is asked about */
};

struct members {
	struct member *v;
	size_t n, room;
};

static bool
add_member(struct members *all, pid_t pid)
{
	struct stat_line st;

	if (!stat_read(&st, pid) || st.state == 'X')
		return true; /* it is gone */
	if (all->n == all->room) {
		size_t room = all->room > 0 ? 2 * all->room : 256;
		struct member *v = realloc(all->v, room * sizeof(*v));
		if (v == NULL)
			return false;
		all->v = v;
		all->room = room;
	}
	all->v[all->n++] = (struct member){.pid = pid, .parent = st.parent};
	return true;
}

static void
find_members(struct members *all)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	bool room = true;

	while (proc != NULL && room && (entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)atol(entry->d_name);
		if (pid > 1)
			room = add_member(all, pid);
	}
	if (proc != NULL)
		closedir(proc);
}

static bool
is_there(const struct members *all, pid_t pid)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i].pid == pid)
			return true;
	return false;
}

/* Whose parent ended while the list was made has another by now. When it has ended as well, nobody
 * can say whose it was, and it may have been one of these. */
static void
find_parents_again(struct members *all, pid_t root)
{
	struct stat_line st;

	for (size_t i = 0; i < all->n; i++) {
		struct member *m = &all->v[i];
		if (m->parent > 1 && m->parent != root && !is_there(all, m->parent))
			m->parent = stat_read(&st, m->pid) ? st.parent : root;
	}
}

static bool
is_below(const struct members *all, pid_t parent, pid_t root)
{
	if (parent == root)
		return true;
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i].pid == parent)
			return all->v[i].below;
	return false;
}

/* A parent may come after its child in the list. */
static void
mark_descendants(struct members *all, pid_t root)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < all->n; i++) {
			struct member *m = &all->v[i];
			if (!m->below && is_below(all, m->parent, root))
				more = m->below = true;
		}
	}
}

/* As signal_member(): the number must still be that process's. */
static void
signal_descendant(const struct member *m, int signo)
{
	struct stat_line st;
	int fd = pidfd_open(m->pid, 0);
	bool lives = fd >= 0 && stat_read(&st, m->pid) && st.parent == m->parent &&
		st.state != 'Z' && st.state != 'X';

	if (lives)
		pidfd_send_signal(fd, signo, NULL, 0);
	if (fd >= 0)
		close(fd);
}

int
sweep_descendants(pid_t root, pid_t except, int signo)
{
	struct members all = {.v = NULL};
	int found = 0;

	find_members(&all);
	find_parents_again(&all, root);
	mark_descendants(&all, root);
	for (size_t i = 0; i < all.n; i++) {
		if (!all.v[i].below || all.v[i].pid == except)
			continue;
		found++; /* also one that has ended by now: it may have left another */
		if (signo != 0)
			signal_descendant(&all.v[i], signo);
	}
	free(all.v);
	return found;
}

/* The one that is to stay may hide the others from waitid(). */
void
sweep_reap(pid_t except)
{
	struct members all = {.v = NULL};
	siginfo_t si = {.si_pid = 0};
	pid_t self = getpid();

	while (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_pid != 0 &&
		si.si_pid != except) {
		waitpid(si.si_pid, NULL, WNOHANG);
		si.si_pid = 0;
	}
	if (si.si_pid != except)
		return;
	find_members(&all);
	for (size_t i = 0; i < all.n; i++)
		if (all.v[i].parent == self && all.v[i].pid != except)
			waitpid(all.v[i].pid, NULL, WNOHANG);
	free(all.v);
}

/* --- families --------------------------------------------------------------------------------- */

bool
sweep_is_stopped(pid_t pid)
{
	struct stat_line st;

	return stat_read(&st, pid) && st.state == 'T';
}

pid_t
sweep_parent(pid_t pid)
{
	struct stat_line st;

	return stat_read(&st, pid) ? st.parent : -1;
}

static pid_t
find_child(pid_t parent)
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

/* The oldest; -1 where the kernel does not tell. */
static pid_t
first_child(pid_t parent)
{
	char path[64], text[32] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n < 0 ? -1 : (pid_t)atol(text);
}

pid_t
sweep_child(pid_t parent)
{
	pid_t first = first_child(parent);

	return first >= 0 ? first : find_child(parent);
}

/* False also where the kernel does not tell. */
static bool
has_no_children(pid_t pid)
{
	return first_child(pid) == 0;
}

static bool
works(const struct stat_line *st, pid_t group)
{
	return st->group == group && st->state != 'S' && st->state != 'Z' && st->state != 'X';
}

/* As with sessions, strangers cost little. */
static bool
may_be_in(pid_t pid, pid_t group)
{
	pid_t other = getpgid(pid);

	return other == group || (other < 0 && errno != ESRCH);
}

static bool
anyone_works(pid_t group)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	struct stat_line st;
	bool found = proc == NULL;

	while (proc != NULL && !found && (entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)atol(entry->d_name);
		found = pid > 1 && may_be_in(pid, group) && stat_read(&st, pid) &&
			works(&st, group);
	}
	if (proc != NULL)
		closedir(proc);
	return found;
}

/* A shell that waits for a line has mostly nobody with it, so that /proc is not walked through. */
bool
sweep_group_sleeps(pid_t group)
{
	struct stat_line st;

	if (group <= 1)
		return false;
	bool leads = stat_read(&st, group);
	if (leads && works(&st, group))
		return false;
	return (leads && st.state == 'S' && has_no_children(group)) || !anyone_works(group);
}

uint64_t
sweep_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return ((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000) *
		(uint64_t)sysconf(_SC_CLK_TCK) / 1000;
}
