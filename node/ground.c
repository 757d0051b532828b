#include "node/ground.h"

#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/err.h"

bool
ground_user_exists(const char *user)
{
	return getpwnam(user) != NULL;
}

static int
give_files(int dir, const struct passwd *pw, struct hw_err *err)
{
	int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	struct dirent *e;

	if (d == NULL)
		return hw_err_sys(err, "cannot list the directory");
	while (r == 0 && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
			strcmp(e->d_name, "run") == 0) /* the monitor's */
			continue;
		if (fchownat(dir, e->d_name, pw->pw_uid, pw->pw_gid, AT_SYMLINK_NOFOLLOW) < 0)
			r = hw_err_sys(err, "cannot give %s to %s", e->d_name, pw->pw_name);
	}
	closedir(d);
	return r;
}

int
ground_give(int dir, const char *user, struct hw_err *err)
{
	const struct passwd *pw = getpwnam(user);
	struct stat st;
	int r;

	if (pw == NULL)
		return hw_err_set(err, HW_ENOTFOUND,
			"no user %s on this machine for the agent to run as: make it with\n"
			"  useradd --system --no-create-home --shell /usr/sbin/nologin %s\n"
			"or run the agent with --rootless",
			user, user);
	if (fstat(dir, &st) < 0)
		return hw_err_sys(err, "fstat");
	if (st.st_uid != 0)
		return st.st_uid == pw->pw_uid
			? 0
			: hw_err_set(err, HW_EDENIED, "the directory belongs to uid %u, not to %s",
				  (unsigned)st.st_uid, user);
	if ((r = give_files(dir, pw, err)) < 0)
		return r;
	if (fchown(dir, pw->pw_uid, pw->pw_gid) < 0)
		return hw_err_sys(err, "cannot give the directory to %s", user);
	return 0;
}
