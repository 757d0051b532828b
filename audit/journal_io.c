#include "audit/journal_io.h"

#include <errno.h>
#include <unistd.h>

int
journal_io_write(const struct journal_io *io, int fd, const void *p, size_t n, struct hw_err *err)
{
	const uint8_t *at = p;

	while (n > 0) {
		ssize_t done = io != NULL && io->write != NULL ? io->write(io->arg, fd, at, n)
							       : write(fd, at, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done == 0)
			errno = ENOSPC;
		if (done <= 0) {
			hw_err_sys(err, "cannot write");
			return HW_EIO;
		}
		at += done;
		n -= (size_t)done;
	}
	return 0;
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
