/* Files and descriptors, with the care that state on disk needs. */
#ifndef HAWSER_BASE_FILE_H
#define HAWSER_BASE_FILE_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"

void fd_close(int fd); /* -1 is fine; keeps errno */
int fd_nonblock(int fd);

/* All n bytes or an error; EINTR is retried. */
int fd_write_all(int fd, const void *p, size_t n, struct hw_err *err);
int fd_read_all(int fd, void *p, size_t n, struct hw_err *err); /* HW_ECORRUPT at an early end */

/* Opens a directory, making it and what is missing above it (0700) when asked;
 * O_DIRECTORY|O_CLOEXEC. */
int dir_open(int *fd, const char *path, bool make, struct hw_err *err);

/* Takes a folder away with all that is in it, as far as that can be done; follows no link. */
void folder_drop(int at, const char *name);

/* Opens a regular file to read from; HW_EVALIDATION when it is something else. */
int file_open(int *fd, const char *path, struct hw_err *err);

/* Appends the whole of a regular file; HW_ELIMIT when it doesn't fit under out->max, HW_ENOTFOUND,
 * HW_EVALIDATION when it is something else. Nothing is appended on failure. */
int file_read(struct buf *out, int dir, const char *name, struct hw_err *err);

/* Replaces `name` in one step that survives a power cut: temporary file, fsync, rename, fsync of
 * the directory. The mode is exactly `mode`. A crash may leave a .tmp-<hex> file behind. */
int file_write(int dir, const char *name, const void *p, size_t n, mode_t mode, struct hw_err *err);

/* Takes an exclusive lock on `name` (made when missing) for the life of *fd. HW_EEXISTS when
 * another process, or another *fd of this one, holds it. A fork without exec holds it too. */
int file_lock(int *fd, int dir, const char *name, struct hw_err *err);

#endif
