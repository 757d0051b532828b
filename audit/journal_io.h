/* Writing and syncing through what a test may replace. */
#ifndef HAWSER_AUDIT_JOURNAL_IO_H
#define HAWSER_AUDIT_JOURNAL_IO_H

#include "audit/journal.h"

/* All n bytes, whatever number of calls that takes. HW_EIO names errno, HW_EFULL that the disk is
 * full; nothing is retried but EINTR. */
int journal_io_write(const struct journal_io *io, int fd, const void *p, size_t n,
	struct hw_err *err);
/* The same, and *done says how many bytes the file has. */
int journal_io_write_some(const struct journal_io *io, int fd, const void *p, size_t n,
	size_t *done, struct hw_err *err);

/* Sets `size` bytes of the disk aside in the file; 0 gives them back. HW_EFULL as above. */
int journal_io_reserve(const struct journal_io *io, int fd, size_t size, struct hw_err *err);

/* Opens a file that is made with it, 0600: *fd. HW_EFULL as above. */
int journal_io_make(int *fd, const struct journal_io *io, int dir, const char *name, int flags,
	struct hw_err *err);
/* Gives a file another name within its directory. HW_EFULL as above: it has the old one. */
int journal_io_rename(const struct journal_io *io, int dir, const char *from, const char *to,
	struct hw_err *err);

/* fdatasync of a file, fsync of a directory. */
int journal_io_sync(const struct journal_io *io, int fd, struct hw_err *err);
int journal_io_sync_dir(const struct journal_io *io, int fd, struct hw_err *err);

#endif
