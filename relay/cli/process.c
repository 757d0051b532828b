#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/descriptors.h"
#include "proto/base/file.h"
#include "relay/cli/cli.h"

void
process_harden(void)
{
	const struct rlimit none = {0};

	umask(077);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* its search for leaks is a debugger's work */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
	descriptors_raise(); /* `check` tells when they are few */
}

static int
become(uid_t uid, gid_t gid, struct hw_err *err)
{
	const struct passwd *pw = getpwuid(uid);

	if ((pw != NULL ? initgroups(pw->pw_name, gid) : setgroups(0, NULL)) < 0 ||
		setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return hw_err_sys(err, "cannot become user %u", (unsigned)uid);
	hw_assert(setuid(0) < 0);
	return 0;
}

int
process_become_owner(const char *dir, bool *still_root, struct hw_err *err)
{
	struct stat st;
	int r = 0;

	if (geteuid() == 0 && stat(dir, &st) == 0 && st.st_uid != 0)
		r = become(st.st_uid, st.st_gid, err);
	*still_root = geteuid() == 0;
	return r;
}

int
process_notify_open(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");

	if (path == NULL || strlen(path) >= sizeof(to.sun_path) ||
		(path[0] != '/' && path[0] != '@'))
		return -1;
	size_t n = strlen(path);
	memcpy(to.sun_path, path, n);
	if (path[0] == '@') /* an abstract one */
		to.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
		connect(fd, (const struct sockaddr *)&to,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0) {
		fd_close(fd);
		fd = -1;
	}
	return fd;
}

void
process_notify(int fd, const char *state)
{
	if (fd >= 0)
		(void)!send(fd, state, strlen(state), MSG_NOSIGNAL);
}

void
process_user(char out[65])
{
	const struct passwd *pw = getpwuid(getuid());

	if (pw != NULL)
		snprintf(out, 65, "%.64s", pw->pw_name);
	else
		snprintf(out, 65, "user %u", (unsigned)getuid());
}
