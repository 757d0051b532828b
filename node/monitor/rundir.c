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

/* A path through the descriptor: the directory's own may be too long for a socket's address. */
static bool
is_dead(int dir, const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int n = snprintf(sun.sun_path, sizeof(sun.sun_path), "/proc/self/fd/%d/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path))
		return false;

	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	bool dead = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 && errno == ECONNREFUSED;
	close(fd);
	return dead;
}

static void
remove_dead(int fd)
{
	int again = dup(fd);
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	struct dirent *entry;

	while (d != NULL && (entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.' && is_dead(fd, entry->d_name))
			unlinkat(fd, entry->d_name, 0);
	if (d != NULL)
		closedir(d);
	else if (again >= 0)
		close(again);
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
	if (geteuid() == 0 && (fchown(fd, 0, gid) < 0 || fchmod(fd, 0710) < 0)) {
		close(fd);
		return -1;
	}
	remove_dead(fd);
	return fd;
}

void
rundir_remove(int fd, const char *session_id)
{
	char name[128];

	holder_socket_name(name, session_id);
	if (is_dead(fd, name))
		unlinkat(fd, name, 0);
}
