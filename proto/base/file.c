#include "proto/base/file.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/id.h"

/* --- descriptors ----------------------------------------------------------------------------- */

void
fd_close(int fd)
{
	int keep = errno;

	if (fd >= 0)
		close(fd);
	errno = keep;
}

int
fd_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return HW_ESYS;
	return 0;
}

int
fd_write_all(int fd, const void *p, size_t n, struct hw_err *err)
{
	const char *at = p;

	while (n > 0) {
		ssize_t done = write(fd, at, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return hw_err_sys(err, "cannot write");
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int
fd_read_all(int fd, void *p, size_t n, struct hw_err *err)
{
	char *at = p;

	while (n > 0) {
		ssize_t done = read(fd, at, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return hw_err_sys(err, "cannot read");
		if (done == 0)
			return hw_err_set(err, HW_ECORRUPT, "ends %zu bytes too early", n);
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

/* --- directories ----------------------------------------------------------------------------- */

/* Makes what is missing of path, from the top down. Leaves errno; the open that follows judges. */
static void
make_path(char *path)
{
	for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	mkdir(path, 0700);
}

int
dir_open(int *fd, const char *path, bool make, struct hw_err *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	char copy[PATH_MAX];

	int got = open(path, flags);
	if (got < 0 && errno == ENOENT && make && path[0] != '\0') {
		if ((size_t)snprintf(copy, sizeof(copy), "%s", path) >= sizeof(copy))
			return hw_err_set(err, HW_EVALIDATION,
				"the path of a directory is too long");
		make_path(copy);
		got = open(path, flags);
	}
	if (got < 0)
		return hw_err_sys(err, "cannot open directory %s", path);
	*fd = got;
	return 0;
}

/* The directory that `name` lies in, seen from `dir`; *base is the last part of the name. */
static int
parent_open(int *fd, const char **base, int dir, const char *name, struct hw_err *err)
{
	char parent[PATH_MAX] = ".";
	const char *slash = strrchr(name, '/');

	if (slash != NULL) {
		size_t n = slash == name ? 1 : (size_t)(slash - name);
		if (n >= sizeof(parent))
			return hw_err_set(err, HW_EVALIDATION, "the path of a file is too long");
		memcpy(parent, name, n);
		parent[n] = '\0';
	}
	int got = openat(dir, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (got < 0)
		return hw_err_sys(err, "cannot open the directory of %s", name);
	*fd = got;
	*base = slash != NULL ? slash + 1 : name;
	return 0;
}

/* --- whole files ----------------------------------------------------------------------------- */

static int
read_to_end(struct buf *out, int fd, size_t hint, const char *name, struct hw_err *err)
{
	for (;;) {
		/* One byte more than fits tells a full buffer from a file that is too long. */
		size_t left = out->max - out->len, want = hint > 4096 ? hint : 4096;
		uint8_t over;
		if (want > left)
			want = left;
		uint8_t *to = want > 0 ? buf_reserve(out, want) : &over;
		if (to == NULL)
			return hw_err_set(err, HW_ENOMEM, "no memory to read %s", name);
		ssize_t n = read(fd, to, want > 0 ? want : 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return hw_err_sys(err, "cannot read %s", name);
		if (n == 0)
			return 0;
		if (want == 0)
			return hw_err_set(err, HW_ELIMIT, "%s is longer than %zu bytes", name,
				out->max);
		buf_commit(out, (size_t)n);
	}
}

void
folder_drop(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	if (d == NULL) {
		fd_close(fd);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, e->d_name, 0) < 0 && (errno == EISDIR || errno == EPERM))
			folder_drop(fd, e->d_name);
	}
	closedir(d);
	(void)unlinkat(at, name, AT_REMOVEDIR);
}

int
file_open(int *fd, const char *path, struct hw_err *err)
{
	struct stat st;

	/* Not blocking: a FIFO of that name must not hold us. */
	int got = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (got < 0)
		return hw_err_sys(err, "cannot open %s", path);
	if (fstat(got, &st) < 0 || !S_ISREG(st.st_mode)) {
		fd_close(got);
		return hw_err_set(err, HW_EVALIDATION, "%s is not a regular file", path);
	}
	*fd = got;
	return 0;
}

int
file_read(struct buf *out, int dir, const char *name, struct hw_err *err)
{
	size_t before = out->len;
	struct stat st;
	int r;

	/* Not blocking: a FIFO of that name must not hold us. */
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return hw_err_sys(err, "cannot open %s", name);
	if (fstat(fd, &st) < 0)
		r = hw_err_sys(err, "cannot look at %s", name);
	else if (!S_ISREG(st.st_mode))
		r = hw_err_set(err, HW_EVALIDATION, "%s is not a regular file", name);
	else if ((uint64_t)st.st_size > out->max - out->len)
		r = hw_err_set(err, HW_ELIMIT, "%s is longer than %zu bytes", name, out->max);
	else
		r = read_to_end(out, fd, (size_t)st.st_size, name, err);
	if (r < 0)
		out->len = before;
	fd_close(fd);
	return r;
}

/* A new file under a name that nobody has. */
static int
temp_open(int *fd, char name[32], int dir, mode_t mode, struct hw_err *err)
{
	int got;

	do {
		snprintf(name, 32, ".tmp-%016llx", (unsigned long long)random_u64());
		got = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	} while (got < 0 && errno == EEXIST);
	if (got < 0)
		return hw_err_sys(err, "cannot make a temporary file");
	*fd = got;
	/* After the open, as the umask would take bits away. */
	return fchmod(got, mode) < 0 ? hw_err_sys(err, "cannot set the mode") : 0;
}

int
file_write(int dir, const char *name, const void *p, size_t n, mode_t mode, struct hw_err *err)
{
	int parent = -1, fd = -1, r;
	const char *base;
	char temp[32] = "";

	if ((r = parent_open(&parent, &base, dir, name, err)) < 0)
		return r;
	if ((r = temp_open(&fd, temp, parent, mode, err)) < 0 ||
		(r = fd_write_all(fd, p, n, err)) < 0)
		goto out;
	if (fsync(fd) < 0 || renameat(parent, temp, parent, base) < 0) {
		r = hw_err_sys(err, "cannot replace");
		goto out;
	}
	temp[0] = '\0'; /* it has its name now */
	if (fsync(parent) < 0)
		r = hw_err_sys(err, "cannot sync the directory");
out:
	if (fd >= 0 && temp[0] != '\0')
		unlinkat(parent, temp, 0);
	fd_close(fd);
	fd_close(parent);
	return r < 0 && err != NULL ? hw_err_prefix(err, "%s", name) : r;
}

int
file_lock(int *fd, int dir, const char *name, struct hw_err *err)
{
	int got = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (got < 0 && errno == EROFS) /* one that is there is locked all the same */
		got = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (got < 0)
		return hw_err_sys(err, "cannot open lock %s", name);
	if (flock(got, LOCK_EX | LOCK_NB) < 0) {
		int r = errno == EWOULDBLOCK
			? hw_err_set(err, HW_EEXISTS, "%s is locked by another process", name)
			: hw_err_sys(err, "cannot lock %s", name);
		fd_close(got);
		return r;
	}
	*fd = got;
	return 0;
}
