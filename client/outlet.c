#include "client/outlet.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"
#include "proto/base/loop.h"

#define OUTLET_MAX (32u << 20) /* above every window that we grant */

struct outlet {
	struct loop *loop;
	struct loop_fd *watch;
	int fd;
	int own_fd; /* -1, or our own opening of the same pipe or terminal */
	enum { OUTLET_FILE, OUTLET_OWN, OUTLET_SOCKET, OUTLET_SMALL } kind;
	int stream;
	bool failed, corked;
	struct buf queue;
	const struct outlet_events *events;
	void *arg;
};

/* O_NONBLOCK belongs to the open file, which our shell and the programs beside us share. An opening
 * of our own is ours alone. A regular file must not be opened again, its offset would be lost; it
 * never makes anybody wait. Where it fails (another user's terminal), pieces that always fit must
 * do. */
static void
outlet_choose(struct outlet *o)
{
	char path[40];
	struct stat st;

	o->own_fd = -1;
	if (fstat(o->fd, &st) < 0 || S_ISREG(st.st_mode)) {
		o->kind = OUTLET_FILE;
	} else if (S_ISSOCK(st.st_mode)) {
		o->kind = OUTLET_SOCKET;
	} else if (S_ISFIFO(st.st_mode) || isatty(o->fd)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", o->fd);
		o->own_fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		o->kind = o->own_fd >= 0 ? OUTLET_OWN : OUTLET_SMALL;
	} else {
		o->kind = OUTLET_FILE;
	}
}

static ssize_t
write_small(int fd, const void *p, size_t n)
{
	struct pollfd ready = {.fd = fd, .events = POLLOUT};

	if (poll(&ready, 1, 0) <= 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(fd, p, n < PIPE_BUF ? n : PIPE_BUF);
}

static ssize_t
write_some(const struct outlet *o, const void *p, size_t n)
{
	switch (o->kind) {
	case OUTLET_FILE:
		return write(o->fd, p, n);
	case OUTLET_OWN:
		return write(o->own_fd, p, n);
	case OUTLET_SOCKET:
		return send(o->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	case OUTLET_SMALL:
		return write_small(o->fd, p, n);
	}
	return -1;
}

/* How many went out before it would have waited; the outlet fails for good otherwise. */
static size_t
write_now(struct outlet *o, const uint8_t *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t some = write_some(o, p + done, n - done);
		if (some < 0 && errno == EINTR)
			continue;
		if (some < 0 && errno == EAGAIN)
			break;
		if (some < 0) {
			o->failed = true;
			break;
		}
		done += (size_t)some;
	}
	return done;
}

static void
outlet_fail(struct outlet *o)
{
	int error = errno;

	buf_reset(&o->queue);
	loop_fd_want(o->watch, 0);
	o->events->on_failed(o->arg, o->stream, error);
}

static void
on_writable(void *arg, int what)
{
	struct outlet *o = arg;
	size_t done = write_now(o, buf_data(&o->queue), o->queue.len);

	(void)what;
	if (o->failed) {
		outlet_fail(o);
		return;
	}
	buf_consume(&o->queue, done);
	if (o->queue.len == 0)
		loop_fd_want(o->watch, 0);
	if (done > 0)
		o->events->on_written(o->arg, o->stream, done);
}

int
outlet_new(struct outlet **ret, struct loop *l, int fd, int stream,
	const struct outlet_events *events, void *arg, struct hw_err *err)
{
	struct outlet *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	*o = (struct outlet){.loop = l, .fd = fd, .stream = stream, .events = events, .arg = arg};
	outlet_choose(o);
	buf_init(&o->queue, OUTLET_MAX);
	if (loop_fd_new(&o->watch, l, o->own_fd >= 0 ? o->own_fd : fd, on_writable, o) < 0) {
		outlet_free(o);
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	*ret = o;
	return 0;
}

void
outlet_free(struct outlet *o)
{
	if (o == NULL)
		return;
	loop_fd_free(o->watch);
	fd_close(o->own_fd);
	buf_fini(&o->queue);
	free(o);
}

void
outlet_write(struct outlet *o, const void *p, size_t n)
{
	size_t done;

	if (o->failed)
		return;
	done = o->queue.len == 0 && !o->corked ? write_now(o, p, n) : 0;
	if (!o->failed && done < n) {
		if (buf_append(&o->queue, (const uint8_t *)p + done, n - done) < 0) {
			errno = ENOMEM;
			o->failed = true;
		} else if (!o->corked) {
			loop_fd_want(o->watch, LOOP_WRITE);
		}
	}
	if (o->failed)
		outlet_fail(o);
	else if (done > 0)
		o->events->on_written(o->arg, o->stream, done);
}

void
outlet_cork(struct outlet *o)
{
	o->corked = true;
	loop_fd_want(o->watch, 0);
}

void
outlet_uncork(struct outlet *o)
{
	o->corked = false;
	if (o->queue.len > 0)
		loop_fd_want(o->watch, LOOP_WRITE);
}

/* False once the time is over. */
static bool
wait_for_room(const struct outlet *o, int64_t until)
{
	struct pollfd ready = {.fd = o->own_fd >= 0 ? o->own_fd : o->fd, .events = POLLOUT};
	int64_t left = until - clock_mono(loop_clock(o->loop));

	if (left <= 0)
		return false;
	int r = poll(&ready, 1, (int)((left + USEC_PER_MSEC - 1) / USEC_PER_MSEC));
	return r > 0 || (r < 0 && errno == EINTR);
}

void
outlet_end(struct outlet *o, const void *p, size_t n, int64_t usec)
{
	int64_t until = clock_mono(loop_clock(o->loop)) + usec;
	size_t done = 0;

	buf_reset(&o->queue);
	loop_fd_want(o->watch, 0);
	while (!o->failed && done < n) {
		done += write_now(o, (const uint8_t *)p + done, n - done);
		if (done < n && !wait_for_room(o, until))
			break;
	}
	o->failed = true;
}

bool
outlet_is_empty(const struct outlet *o)
{
	return o->queue.len == 0;
}
