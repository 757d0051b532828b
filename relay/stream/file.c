/* JSON lines in a file that others may rotate. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/wire/codec.h"
#include "relay/stream/stream.h"

struct stream_file {
	char *path;
	int fd;
	_Atomic bool reopen;
};

int
stream_file_new(struct stream_file **ret, const char *path, struct hw_err *err)
{
	struct stream_file *f = calloc(1, sizeof(*f));

	if (f == NULL || (f->path = strdup(path)) == NULL) {
		free(f);
		return hw_err_set(err, HW_ENOMEM, "no memory for a stream");
	}
	f->fd = -1;
	*ret = f;
	return 0;
}

void
stream_file_reopen(struct stream_file *f)
{
	atomic_store(&f->reopen, true);
}

static void
file_close(void *arg)
{
	struct stream_file *f = arg;

	fd_close(f->fd);
	f->fd = -1;
}

static void
file_free(void *arg)
{
	struct stream_file *f = arg;

	file_close(f);
	free(f->path);
	free(f);
}

static void
file_interrupt(void *arg)
{
	(void)arg;
}

/* Whether the name is still that file's. */
static bool
is_the_file(const struct stream_file *f)
{
	struct stat ours, there;

	return fstat(f->fd, &ours) == 0 && stat(f->path, &there) == 0 &&
		ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* A line that a crash cut is left as it is, and ends: its entry comes again, whole. */
static int
end_last_line(int fd, struct hw_err *err)
{
	struct stat st;
	char last;

	if (fstat(fd, &st) < 0)
		return hw_err_sys(err, "cannot look at the stream's file");
	if (!S_ISREG(st.st_mode))
		return hw_err_set(err, HW_EVALIDATION, "the stream's file is no regular file");
	if (st.st_size == 0 || pread(fd, &last, 1, st.st_size - 1) != 1 || last == '\n')
		return 0;
	return fd_write_all(fd, "\n", 1, err);
}

static int
reach(void *arg, struct hw_err *err)
{
	struct stream_file *f = arg;
	bool asked = atomic_exchange(&f->reopen, false);

	if (f->fd >= 0 && !asked && is_the_file(f))
		return 0;
	file_close(f);
	int fd = open(f->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return hw_err_sys(err, "cannot open %s", f->path);
	int r = end_last_line(fd, err);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	f->fd = fd;
	return 0;
}

static int
file_put(void *arg, const struct msg_ledger_entry *e, struct buf *out, struct hw_err *err)
{
	(void)arg;
	if (msg_to_json(out, MSG_ROW(ledger_entry), e, 0) < 0 || buf_append_byte(out, '\n') < 0)
		return hw_err_set(err, HW_ELIMIT, "an entry is too large for the stream");
	return 0;
}

/* All of it, or nothing: half a line would be nobody's. */
static int
file_send(void *arg, const struct buf *out, struct hw_err *err)
{
	struct stream_file *f = arg;
	struct stat before;

	if (fstat(f->fd, &before) < 0)
		return hw_err_sys(err, "cannot look at %s", f->path);
	int r = fd_write_all(f->fd, buf_data(out), out->len, err);
	if (r < 0) {
		hw_err_prefix(err, "%s", f->path);
		/* Should this fail, too, open() ends the line. */
		if (ftruncate(f->fd, before.st_size) < 0)
			file_close(f);
	}
	return r;
}

static int
file_settle(void *arg, struct hw_err *err)
{
	struct stream_file *f = arg;

	return f->fd < 0 || fdatasync(f->fd) == 0 ? 0 : hw_err_sys(err, "cannot sync %s", f->path);
}

const struct stream_sink stream_file_sink = {
	.name = "file",
	.open = reach,
	.put = file_put,
	.send = file_send,
	.settle = file_settle,
	.close = file_close,
	.interrupt = file_interrupt,
	.free = file_free,
	.settle_entries = 1,
};
