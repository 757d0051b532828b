#include "node/fetch/place.h"

#include <sys/random.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/fetch/spec.h"
#include "proto/base/file.h"

#define DOWNLOADS "downloads"
#define DEPTH_MAX 64

/* --- directories ------------------------------------------------------------------------------ */

static int
make_one(const char *path, struct hw_err *err)
{
	if (mkdir(path, 0755) == 0 || errno == EEXIST)
		return 0;
	return hw_err_sys(err, "cannot make the directory %s", path);
}

static int
make_all(const char *path, struct hw_err *err)
{
	char part[PATH_MAX];
	int r = 0;

	snprintf(part, sizeof(part), "%s", path);
	for (char *at = part + 1; r == 0 && (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		r = make_one(part, err);
		*at = '/';
	}
	return r == 0 ? make_one(part, err) : r;
}

/* It lies where others may write: whatever is there by that name must be ours alone. */
static int
open_work(int *ret, const char *path, struct hw_err *err)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return hw_err_sys(err, "cannot make the command's directory %s", path);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int r = hw_err_sys(err, "cannot open the command's directory %s", path);
		fd_close(fd);
		return r;
	}
	if (st.st_uid != geteuid() || (st.st_mode & 077) != 0 ||
		(mkdirat(fd, DOWNLOADS, 0700) < 0 && errno != EEXIST)) {
		close(fd);
		return hw_err_set(err, HW_EDENIED, "the command's directory %s is not its own",
			path);
	}
	*ret = fd;
	return 0;
}

static bool
is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The whole path without slashes at its end; whether it had any, or names nothing, is *directory.
 */
static int
whole_path(char out[PATH_MAX], bool *directory, const struct fetch_spec *s, struct hw_err *err)
{
	bool absolute = s->destination[0] == '/';
	int n = absolute ? snprintf(out, PATH_MAX, "%s", s->destination)
			 : snprintf(out, PATH_MAX, "%s/" DOWNLOADS "/%s", s->work, s->destination);

	if (n < 0 || n >= PATH_MAX)
		return hw_err_set(err, HW_EVALIDATION, "destinationPath is too long");
	*directory = out[n - 1] == '/' || (n > 1 && strcmp(out + n - 2, "/.") == 0);
	while (n > 1 && out[n - 1] == '/')
		out[--n] = '\0';
	*directory = *directory || is_directory(out);
	return 0;
}

/* The last component is the file's name. */
static int
cut_name(struct place *p, struct hw_err *err)
{
	char *slash = strrchr(p->path, '/');

	if (!fetch_name_is_good(slash + 1))
		return hw_err_set(err, HW_EVALIDATION, "destinationPath: %.128s is no file's name",
			slash + 1);
	strcpy(p->name, slash + 1);
	slash[slash == p->path] = '\0';
	return 0;
}

int
place_open(struct place *ret, const struct fetch_spec *s, struct hw_err *err)
{
	bool directory = false;
	int r;

	*ret = (struct place){.dir = -1, .work = -1, .fd = -1, .left = s->max};
	umask(022);
	if ((r = open_work(&ret->work, s->work, err)) < 0 ||
		(r = whole_path(ret->path, &directory, s, err)) < 0 ||
		(!directory && (r = cut_name(ret, err)) < 0) || (r = make_all(ret->path, err)) < 0)
		return r;
	ret->dir = open(ret->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return ret->dir >= 0 ? 0 : hw_err_sys(err, "cannot open the directory %s", ret->path);
}

void
place_close(struct place *p)
{
	if (p->fd >= 0)
		unlinkat(p->dir, p->temporary, 0);
	fd_close(p->fd);
	fd_close(p->dir);
	fd_close(p->work);
	p->fd = p->dir = p->work = -1;
}

/* --- a file ----------------------------------------------------------------------------------- */

int
place_begin(struct place *p, struct hw_err *err)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return hw_err_sys(err, "no random number");
	snprintf(p->temporary, sizeof(p->temporary), ".hawser-%016llx", (unsigned long long)number);
	p->fd = openat(p->dir, p->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		0700);
	return p->fd >= 0 ? 0 : hw_err_sys(err, "cannot make a file in %s", p->path);
}

static int
take_from_bound(struct place *p, size_t n, struct hw_err *err)
{
	if ((uint64_t)n > (uint64_t)p->left)
		return hw_err_set(err, HW_ELIMIT,
			"it is larger than this node downloads: see download_max in its node.conf");
	p->left -= (int64_t)n;
	return 0;
}

int
place_write(struct place *p, const void *bytes, size_t n, struct hw_err *err)
{
	int r = take_from_bound(p, n, err);

	if (r == 0 && (r = fd_write_all(p->fd, bytes, n, err)) < 0)
		hw_err_prefix(err, "cannot write into %s", p->path);
	return r;
}

int
place_commit(struct place *p, const char *name, struct hw_err *err)
{
	if (p->name[0] != '\0')
		name = p->name;
	if (name == NULL || !fetch_name_is_good(name))
		return hw_err_set(err, HW_EVALIDATION,
			"nothing says what the file is called: name it in destinationPath");
	if (fchmod(p->fd, 0700) < 0 || renameat(p->dir, p->temporary, p->dir, name) < 0)
		return hw_err_sys(err, "cannot write %s/%s", p->path, name);
	close(p->fd);
	p->fd = -1;
	printf("Content downloaded to %s%s%s\n", p->path, p->path[1] == '\0' ? "" : "/", name);
	return 0;
}

static int
pour(struct place *p, int from, int to, struct hw_err *err)
{
	char bytes[65536];
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = read(from, bytes, sizeof(bytes))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return hw_err_sys(err, "cannot read it");
		if ((r = take_from_bound(p, (size_t)n, err)) == 0)
			r = fd_write_all(to, bytes, (size_t)n, err);
	}
	return r;
}

int
place_copy(struct place *p, int fd, const char *name, struct hw_err *err)
{
	int r = place_begin(p, err);

	if (r == 0 && (r = pour(p, fd, p->fd, err)) == 0)
		r = place_commit(p, name, err);
	return r;
}

/* --- a tree ----------------------------------------------------------------------------------- */

static int copy_below(struct place *p, int from, int to, int depth, struct hw_err *err);

static int
copy_file(struct place *p, int from, int to, const char *name, struct hw_err *err)
{
	int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int out = openat(to, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0700);
	int r = in < 0 || out < 0 || fchmod(out, 0700) < 0
		? hw_err_sys(err, "cannot copy %.255s", name)
		: pour(p, in, out, err);

	fd_close(in);
	fd_close(out);
	return r;
}

static int
copy_link(int from, int to, const char *name, struct hw_err *err)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

	if (n >= 0) {
		target[n] = '\0';
		if (fstatat(to, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
			unlinkat(to, name, 0);
	}
	return n >= 0 && symlinkat(target, to, name) == 0
		? 0
		: hw_err_sys(err, "cannot copy the link %.255s", name);
}

static int
copy_directory(struct place *p, int from, int to, const char *name, int depth, struct hw_err *err)
{
	bool made = mkdirat(to, name, 0700) == 0 || errno == EEXIST;
	int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int out = made ? openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	int r = in < 0 || out < 0 ? hw_err_sys(err, "cannot copy the directory %.255s", name)
				  : copy_below(p, in, out, depth + 1, err);

	fd_close(in);
	fd_close(out);
	return r;
}

static int
copy_one(struct place *p, int from, int to, const char *name, int depth, struct hw_err *err)
{
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return hw_err_sys(err, "cannot look at %.255s", name);
	if (S_ISDIR(st.st_mode))
		return copy_directory(p, from, to, name, depth, err);
	if (S_ISLNK(st.st_mode))
		return copy_link(from, to, name, err);
	return S_ISREG(st.st_mode) ? copy_file(p, from, to, name, err) : 0;
}

static bool
is_left_out(const char *name, int depth)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		(depth == 0 && strcmp(name, ".git") == 0);
}

static int
copy_below(struct place *p, int from, int to, int depth, struct hw_err *err)
{
	int again = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = again >= 0 ? fdopendir(again) : NULL;
	struct dirent *e;

	if (depth > DEPTH_MAX)
		r = hw_err_set(err, HW_ELIMIT, "directories lie deeper than %d", DEPTH_MAX);
	else if (d == NULL)
		r = hw_err_sys(err, "cannot list a directory");
	while (r == 0 && (e = readdir(d)) != NULL)
		if (!is_left_out(e->d_name, depth))
			r = copy_one(p, from, to, e->d_name, depth, err);
	if (d != NULL)
		closedir(d);
	else
		fd_close(again);
	return r;
}

int
place_copy_tree(struct place *p, int dir, struct hw_err *err)
{
	int to = p->dir, r = 0;

	/* What was taken for a file's name is a directory's. */
	if (p->name[0] != '\0') {
		if (mkdirat(p->dir, p->name, 0755) < 0 && errno != EEXIST)
			return hw_err_sys(err, "cannot make %s/%s", p->path, p->name);
		to = openat(p->dir, p->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (to < 0)
			return hw_err_sys(err, "cannot open %s/%s", p->path, p->name);
	}
	if ((r = copy_below(p, dir, to, 0, err)) == 0)
		printf("Content downloaded to %s%s%s\n", p->path, p->name[0] ? "/" : "", p->name);
	if (to != p->dir)
		close(to);
	return r;
}
