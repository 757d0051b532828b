#include "proto/trust/private.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"

static int
check_owner(const struct stat *st, const char *name, struct hw_err *err)
{
	if (!S_ISREG(st->st_mode))
		return hw_err_set(err, HW_EVALIDATION, "%s is not a regular file", name);
	if ((st->st_mode & 077) != 0)
		return hw_err_set(err, HW_EDENIED,
			"%s has mode %03o: others may use the key in it; chmod 600 it, and replace the "
			"key if that was so for long",
			name, st->st_mode & 0777);
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return hw_err_set(err, HW_EDENIED,
			"%s belongs to user id %u, not to the one that runs this", name,
			st->st_uid);
	return 0;
}

int
private_read(struct buf *out, int dir, const char *name, struct hw_err *err)
{
	struct stat st;
	int r;

	/* Not blocking: a FIFO of that name must not hold us. */
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return hw_err_sys(err, "cannot open %s", name);
	if (fstat(fd, &st) < 0) {
		r = hw_err_sys(err, "cannot look at %s", name);
		goto out;
	}
	if ((r = check_owner(&st, name, err)) < 0)
		goto out;
	size_t n = (size_t)st.st_size;
	uint8_t *to = buf_reserve(out, n);
	if (to == NULL) {
		r = hw_err_set(err, HW_ELIMIT, "%s is too long for a key", name);
		goto out;
	}
	if ((r = fd_read_all(fd, to, n, err)) == 0)
		buf_commit(out, n);
out:
	fd_close(fd);
	return r;
}

/* The new name must be on disk as well as the bytes. */
static int
sync_parent(int dir, const char *name, struct hw_err *err)
{
	const char *slash = strrchr(name, '/');
	char parent[4096] = ".";

	if (slash != NULL)
		snprintf(parent, sizeof(parent), "%.*s", slash == name ? 1 : (int)(slash - name),
			name);
	int fd = openat(dir, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? hw_err_sys(err, "cannot sync the folder of %s", name) : 0;
	fd_close(fd);
	return r;
}

int
private_create(int dir, const char *name, const void *p, size_t n, struct hw_err *err)
{
	int r;

	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return hw_err_set(err, HW_EEXISTS, "%s exists already and is not replaced", name);
	if (fd < 0)
		return hw_err_sys(err, "cannot make %s", name);
	if ((r = fd_write_all(fd, p, n, err)) == 0 && fsync(fd) < 0)
		r = hw_err_sys(err, "cannot sync %s", name);
	if (r == 0)
		r = sync_parent(dir, name, err);
	if (r < 0)
		unlinkat(dir, name, 0);
	fd_close(fd);
	return r;
}
