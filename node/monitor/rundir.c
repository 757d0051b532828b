#include "node/monitor/rundir.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/holder/holder.h"

/* -1 and errno: ECONNREFUSED when nobody listens. A path through the descriptor: the directory's
 * own may be too long for a socket's address. */
static int
connect_to(int dir, const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int n = snprintf(sun.sun_path, sizeof(sun.sun_path), "/proc/self/fd/%d/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}

	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

static bool
is_dead(int dir, const char *name)
{
	int fd = connect_to(dir, name);

	if (fd < 0)
		return errno == ECONNREFUSED;
	close(fd);
	return false;
}

static void
each_name(int fd, void (*fn)(void *arg, int fd, const char *name), void *arg)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	struct dirent *entry;

	while (d != NULL && (entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			fn(arg, fd, entry->d_name);
	if (d != NULL)
		closedir(d);
	else if (again >= 0)
		close(again);
}

static void
remove_dead(void *arg, int fd, const char *name)
{
	(void)arg;
	if (is_dead(fd, name))
		unlinkat(fd, name, 0);
}

int
rundir_open(const char *dir, gid_t gid)
{
	struct stat st;
	int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (top < 0)
		return -1;
	int made = mkdirat(top, "run", 0700);
	int fd = made < 0 && errno != EEXIST
		? -1
		: openat(top, "run", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	close(top);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid()) {
		close(fd);
		errno = EPERM;
		return -1;
	}
	bool set = st.st_gid == gid && (st.st_mode & 07777) == 0710;
	if (geteuid() == 0 && !set && (fchown(fd, 0, gid) < 0 || fchmod(fd, 0710) < 0)) {
		close(fd);
		return -1;
	}
	each_name(fd, remove_dead, NULL);
	return fd;
}

struct visit {
	void (*fn)(void *arg, const char *session_id, pid_t holder);
	void *arg;
};

static void
visit(void *arg, int dir, const char *name)
{
	const struct visit *v = arg;
	struct ucred holder;
	socklen_t len = sizeof(holder);
	char id[128], again[128];
	int fd = connect_to(dir, name);

	snprintf(id, sizeof(id), "%.127s", name);
	char *suffix = strrchr(id, '.');
	if (suffix != NULL)
		*suffix = '\0';
	holder_socket_name(again, id);
	if (fd >= 0 && strcmp(again, name) == 0 &&
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &holder, &len) == 0 && holder.pid > 1)
		v->fn(v->arg, id, holder.pid);
	if (fd >= 0)
		close(fd);
}

void
rundir_each(int fd, void (*fn)(void *arg, const char *session_id, pid_t holder), void *arg)
{
	struct visit v = {.fn = fn, .arg = arg};

	each_name(fd, visit, &v);
}

void
rundir_remove(int fd, const char *session_id)
{
	char name[128];

	holder_socket_name(name, session_id);
	if (faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 && is_dead(fd, name))
		unlinkat(fd, name, 0);
}
