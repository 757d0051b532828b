#include "node/ground.h"

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/config.h"
#include "proto/base/file.h"
#include "proto/wire/enrol.h"

bool
ground_user_exists(const char *user)
{
	return getpwnam(user) != NULL;
}

/* --- giving ---------------------------------------------------------------------------------- */

static bool
stays_roots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, NODE_CONF) == 0 ||
		strcmp(name, "run") == 0; /* the monitor's */
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
		if (stays_roots(e->d_name))
			continue;
		if (fchownat(dir, e->d_name, pw->pw_uid, pw->pw_gid, AT_SYMLINK_NOFOLLOW) < 0)
			r = hw_err_sys(err, "cannot give %s to %s", e->d_name, pw->pw_name);
	}
	closedir(d);
	return r;
}

/* A join writes as root. By descriptor, and never a file of several names: the directory's owner
 * may have made one of them a link to something else. */
static int
give_credentials(int dir, const struct passwd *pw, struct hw_err *err)
{
	static const char *const names[] = {ENROL_NODE_KEY, ENROL_NODE_CERT, ENROL_CA};
	struct stat st;
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(names) / sizeof(names[0]); i++) {
		int fd = openat(dir, names[i], O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 &&
			st.st_nlink == 1 && fchown(fd, pw->pw_uid, pw->pw_gid) < 0)
			r = hw_err_sys(err, "cannot give %s to %s", names[i], pw->pw_name);
		fd_close(fd);
	}
	return r;
}

/* Settings with a proxy's password are not for everybody, but the agent reads them. */
static int
give_settings(int dir, const struct passwd *pw, struct hw_err *err)
{
	struct stat st;
	int fd = openat(dir, NODE_CONF, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), r = 0;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 && st.st_nlink == 1 &&
		(st.st_mode & 0777) == 0640 && st.st_gid != pw->pw_gid &&
		fchown(fd, 0, pw->pw_gid) < 0)
		r = hw_err_sys(err, "cannot let %s read " NODE_CONF, pw->pw_name);
	fd_close(fd);
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
	if (pw->pw_uid == 0)
		return hw_err_set(err, HW_EDENIED,
			"the agent's network process must not be root: name another user with "
			"--agent-user or as agent_user in " NODE_CONF);
	if ((r = give_settings(dir, pw, err)) < 0)
		return r;
	if (fstat(dir, &st) < 0)
		return hw_err_sys(err, "fstat");
	if (st.st_uid != 0)
		return st.st_uid == pw->pw_uid
			? give_credentials(dir, pw, err)
			: hw_err_set(err, HW_EDENIED, "the directory belongs to uid %u, not to %s",
				  (unsigned)st.st_uid, user);
	if ((r = give_files(dir, pw, err)) < 0)
		return r;
	if (fchown(dir, pw->pw_uid, pw->pw_gid) < 0)
		return hw_err_sys(err, "cannot give the directory to %s", user);
	return 0;
}

/* --- settings -------------------------------------------------------------------------------- */

/* Nobody but root decides what is in it. */
static bool
is_roots(char *why, size_t room, const struct stat *st)
{
	if (S_ISREG(st->st_mode) && st->st_uid == 0 && st->st_nlink == 1 &&
		(st->st_mode & 022) == 0)
		return true;
	snprintf(why, room,
		st->st_uid == 0 ? NODE_CONF " can be written by others than root"
				: NODE_CONF " belongs to uid %u",
		(unsigned)st->st_uid);
	return false;
}

int
ground_settings(struct node_config *ret, int dir, char *why, size_t room, struct hw_err *err)
{
	struct node_config c = {
		.run_as = "hawser", .command_run_as = "root", .agent_user = "hawser-node"};
	char path[64];
	struct stat st;
	struct buf text;
	int r = 0;

	why[0] = '\0';
	int fd = openat(dir, NODE_CONF, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno != ELOOP)
		return hw_err_sys(err, "cannot open " NODE_CONF);
	if (fd < 0) {
		snprintf(why, room, NODE_CONF " is a link");
	} else if (fstat(fd, &st) == 0 && is_roots(why, room, &st)) {
		buf_init(&text, 16384);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if ((r = file_read(&text, dir, path, err)) == 0)
			r = node_config_parse(&c, buf_str(&text) ? buf_str(&text) : "", err);
		buf_fini(&text);
	}
	fd_close(fd);
	if (why[0] != '\0') { /* perhaps it named somebody lesser than root, and a service of PAM */
		snprintf(c.command_run_as, sizeof(c.command_run_as), "%s", c.run_as);
		node_config_pam(&c);
	}
	if (r == 0)
		*ret = c;
	return r;
}
