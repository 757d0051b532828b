#include "audit/journal_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static int
failed(const char *what, const char *name, struct hw_err *err)
{
	bool full = errno == ENOSPC || errno == EDQUOT;

	hw_err_sys(err, "%s%s", what, name);
	return full ? HW_EFULL : HW_EIO;
}

int
journal_io_write_some(const struct journal_io *io, int fd, const void *p, size_t n, size_t *done,
	struct hw_err *err)
{
	const uint8_t *at = p;

	*done = 0;
	while (*done < n) {
		ssize_t did = io != NULL && io->write != NULL
			? io->write(io->arg, fd, at + *done, n - *done)
			: write(fd, at + *done, n - *done);
		if (did < 0 && errno == EINTR)
			continue;
		if (did == 0)
			errno = ENOSPC;
		if (did <= 0)
			return failed("cannot write", "", err);
		*done += (size_t)did;
	}
	return 0;
}

int
journal_io_write(const struct journal_io *io, int fd, const void *p, size_t n, struct hw_err *err)
{
	size_t done;

	return journal_io_write_some(io, fd, p, n, &done, err);
}

int
journal_io_reserve(const struct journal_io *io, int fd, size_t size, struct hw_err *err)
{
	int e = 0;

	if (io != NULL && io->reserve != NULL)
		e = io->reserve(io->arg, fd, size);
	else if (ftruncate(fd, (off_t)size) < 0)
		e = errno;
	else if (size > 0)
		e = posix_fallocate(fd, 0, (off_t)size);
	errno = e;
	return e == 0 ? 0 : failed("cannot set room aside for a full disk (reserve_mib)", "", err);
}

/* An errno, if a test wants one. */
static int
refused(const struct journal_io *io, const char *name)
{
	return io != NULL && io->make != NULL ? io->make(io->arg, name) : 0;
}

int
journal_io_make(int *fd, const struct journal_io *io, int dir, const char *name, int flags,
	struct hw_err *err)
{
	int e = refused(io, name);
	int got = e == 0 ? openat(dir, name, flags | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;

	if (e != 0)
		errno = e;
	if (got < 0)
		return failed("cannot make ", name, err);
	*fd = got;
	return 0;
}

int
journal_io_rename(const struct journal_io *io, int dir, const char *from, const char *to,
	struct hw_err *err)
{
	int e = refused(io, to);
	int r = e == 0 ? renameat(dir, from, dir, to) : -1;

	if (e != 0)
		errno = e;
	return r == 0 ? 0 : failed("cannot name ", to, err);
}

static int
sync_with(const struct journal_io *io, int fd, int (*system)(int), struct hw_err *err)
{
	int r = io != NULL && io->sync != NULL ? io->sync(io->arg, fd) : system(fd);

	if (r == 0)
		return 0;
	/* Not even EINTR: what the kernel did with the pages is not known. */
	hw_err_sys(err, "cannot sync");
	return HW_EIO;
}

int
journal_io_sync(const struct journal_io *io, int fd, struct hw_err *err)
{
	return sync_with(io, fd, fdatasync, err);
}

int
journal_io_sync_dir(const struct journal_io *io, int fd, struct hw_err *err)
{
	return sync_with(io, fd, fsync, err);
}
