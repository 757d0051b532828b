#include "node/monitor/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX	   "hawser"
#define NAME_ROOM  128
#define KILL_TURNS 20 /* of an older kernel: what forks meanwhile is found in the next one */

/* --- where ------------------------------------------------------------------------------------ */

/* The path within the hierarchy: "0::/system.slice/hawser-node.service". */
static bool
own_path(char out[PATH_MAX])
{
	char line[PATH_MAX + 8];
	FILE *f = fopen("/proc/self/cgroup", "re");
	bool found = false;

	while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		found = strncmp(line, "0::/", 4) == 0;
	}
	if (found)
		snprintf(out, PATH_MAX, "%.*s", PATH_MAX - 1, line + 3);
	if (f != NULL)
		fclose(f);
	return found;
}

/* "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS ... - cgroup2 ...". A path with a blank in it is
 * written otherwise, and is none. */
static bool
take_mount(char out[PATH_MAX], const char *line, const char *path)
{
	char root[1024], point[1024];
	size_t n;

	if (strstr(line, " - cgroup2 ") == NULL ||
		sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) != 2 ||
		strchr(point, '\\') != NULL)
		return false;
	n = strcmp(root, "/") == 0 ? 0 : strlen(root);
	if (strncmp(path, root, n) != 0 || (path[n] != '/' && path[n] != '\0'))
		return false;
	return snprintf(out, PATH_MAX, "%s%s", point, path + n) < PATH_MAX;
}

int
cgroup_open(void)
{
	char path[PATH_MAX], line[4096], whole[PATH_MAX];
	FILE *f = own_path(path) ? fopen("/proc/self/mountinfo", "re") : NULL;
	bool found = false;

	while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL)
		found = take_mount(whole, line, path);
	if (f != NULL)
		fclose(f);
	return found && geteuid() == 0 ? open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

/* --- one of them ------------------------------------------------------------------------------ */

static void
name_of(char out[NAME_ROOM], const char *session_id)
{
	snprintf(out, NAME_ROOM, PREFIX "%.100s", session_id);
}

bool
cgroup_make(int base, const char *session_id)
{
	char name[NAME_ROOM];

	name_of(name, session_id);
	return base >= 0 && (mkdirat(base, name, 0755) == 0 || errno == EEXIST);
}

static bool
write_file(int base, const char *session_id, const char *file, const char *text)
{
	char path[NAME_ROOM + 32];

	name_of(path, session_id);
	strcat(path, file);
	int fd = openat(base, path, O_WRONLY | O_CLOEXEC);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return written;
}

bool
cgroup_enter(int base, const char *session_id)
{
	return write_file(base, session_id, "/cgroup.procs", "0");
}

static int
kill_each(int base, const char *session_id)
{
	char path[NAME_ROOM + 32];
	int found = 0, pid;

	name_of(path, session_id);
	strcat(path, "/cgroup.procs");
	int fd = openat(base, path, O_RDONLY | O_CLOEXEC);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
	while (f != NULL && fscanf(f, "%d", &pid) == 1) {
		if (pid <= 1)
			continue;
		kill(pid, SIGKILL);
		found++; /* also one that is gone by now: it may have left another */
	}
	if (f != NULL)
		fclose(f);
	else if (fd >= 0)
		close(fd);
	return found;
}

void
cgroup_kill(int base, const char *session_id)
{
	if (write_file(base, session_id, "/cgroup.kill", "1"))
		return;
	for (int k = 0; k < KILL_TURNS && kill_each(base, session_id) > 0; k++)
		;
}

bool
cgroup_remove(int base, const char *session_id)
{
	char name[NAME_ROOM];

	name_of(name, session_id);
	return unlinkat(base, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

int
cgroup_tidy(int base, bool (*is_held)(void *arg, const char *session_id), void *arg)
{
	int again = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), left = 0;
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, PREFIX "~", strlen(PREFIX) + 1) != 0 ||
			is_held(arg, e->d_name + strlen(PREFIX)))
			continue;
		left += unlinkat(base, e->d_name, AT_REMOVEDIR) < 0;
	}
	if (d != NULL)
		closedir(d);
	return left;
}
