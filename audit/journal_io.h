/* Writing and syncing through what a test may replace. */
#ifndef HAWSER_AUDIT_JOURNAL_IO_H
#define HAWSER_AUDIT_JOURNAL_IO_H

#include "audit/journal.h"

/* All n bytes, whatever number of calls that takes. HW_EIO names errno; nothing is retried but
 * EINTR. */
int journal_io_write(const struct journal_io *io, int fd, const void *p, size_t n,
	struct hw_err *err);

/* fdatasync of a file, fsync of a directory. */
int journal_io_sync(const struct journal_io *io, int fd, struct hw_err *err);
int journal_io_sync_dir(const struct journal_io *io, int fd, struct hw_err *err);

#endif
