#include "proto/wire/tube.h"

#include <sys/socket.h>

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/file.h"
#include "proto/base/loop.h"
#include "proto/wire/channel.h"
#include "proto/wire/writer.h"

_Static_assert(TUBE_READ_MAX == WRITER_PIECE, "four frames");

#define HOLD_MAX  (17 << 20) /* above every window that is granted */
#define HOLD_KEEP (64 << 10) /* memory that stays while nothing is held */
#define FILLS_MAX 4	     /* reads in a row before others' events are looked at */
#define BULK_MIN  (8 << 10)  /* so much at once is seldom alone */

struct tube {
	struct tube_config config;
	struct channel *ch; /* NULL once it has ended */
	int in, out;	    /* the same for a socket */
	bool in_is_socket, out_is_socket, out_is_tcp;
	struct loop_fd *watch_in, *watch_out; /* the same for a socket */
	struct buf hold;		      /* what is to be written */
	bool read_ended;
	bool ends;	  /* after hold nothing more is written */
	bool write_ended; /* and the descriptor was told */
	bool over;
	bool corked; /* the kernel waits for more before it sends a last small segment */
	uint64_t bytes_read, bytes_written;
	struct loop_task push; /* at the end of the turn, what is corked */
	struct loop_task work; /* frees */
};

static void
finish(struct tube *t, int code, int error)
{
	if (t->over)
		return;
	t->over = true;
	t->config.on_over(t->config.arg, code, error);
}

static int
other(const struct tube *t)
{
	return t->config.stream == STREAM_IN ? STREAM_OUT : STREAM_IN;
}

/* --- what to wait for ------------------------------------------------------------------------- */

static bool
wants_read(const struct tube *t)
{
	return !t->read_ended && t->ch != NULL && channel_room(t->ch, t->config.stream) > 0;
}

static void
watch(struct tube *t)
{
	int read = 0, write = t->hold.len > 0 ? LOOP_WRITE : 0;

	if (t->over || t->watch_in == NULL)
		return;
	if (wants_read(t))
		read = LOOP_READ;
	if (t->watch_in == t->watch_out) {
		loop_fd_want(t->watch_in, read | write);
		return;
	}
	loop_fd_want(t->watch_in, read);
	loop_fd_want(t->watch_out, write);
}

static bool
is_done(const struct tube *t)
{
	bool read = t->read_ended || t->ch == NULL;

	return read && t->write_ended;
}

/* --- from the socket to the channel ----------------------------------------------------------- */

static ssize_t
read_some(const struct tube *t, size_t n)
{
	uint8_t *to = t->config.scratch->bytes;

	return t->in_is_socket ? recv(t->in, to, n, MSG_DONTWAIT) : read(t->in, to, n);
}

static int
code_of(int error)
{
	return error == ECONNRESET || error == EPIPE ? HW_ERESET : HW_EIO;
}

/* True: more may be there. */
static bool
fill(struct tube *t)
{
	size_t room = channel_room(t->ch, t->config.stream);

	if (room > sizeof(t->config.scratch->bytes))
		room = sizeof(t->config.scratch->bytes);
	ssize_t n = room > 0 ? read_some(t, room) : -1;
	if (n > 0) {
		t->bytes_read += (uint64_t)n;
		channel_write(t->ch, t->config.stream, t->config.scratch->bytes, (size_t)n);
	} else if (n == 0) {
		t->read_ended = true;
		channel_end(t->ch, t->config.stream);
	} else if (room > 0 && errno != EAGAIN && errno != EINTR) {
		finish(t, code_of(errno), errno);
	}
	return n > 0 && n == (ssize_t)sizeof(t->config.scratch->bytes);
}

static void
fill_some(struct tube *t)
{
	for (int i = 0; i < FILLS_MAX && !t->over && wants_read(t); i++)
		if (!fill(t) || !t->in_is_socket)
			return;
}

/* --- and back --------------------------------------------------------------------------------- */

/* Setting it, though it is set, sends what was held back. */
static void
push(void *arg)
{
	struct tube *t = arg;
	const int yes = 1;

	t->corked = false;
	if (t->out >= 0)
		(void)setsockopt(t->out, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

/* What comes in bulk comes in pieces, each of which would be segments, and wake the reader, by
 * itself. */
static ssize_t
send_some(struct tube *t, const uint8_t *p, size_t n)
{
	bool more = t->out_is_tcp && n >= BULK_MIN && !t->ends;

	if (more && !t->corked)
		loop_defer(t->config.loop, &t->push);
	t->corked = t->corked || more;
	return send(t->out, p, n, MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0));
}

/* A pipe of others' may block; so much of it never does when it is ready. */
static ssize_t
write_some(struct tube *t, const uint8_t *p, size_t n)
{
	if (t->out_is_socket)
		return send_some(t, p, n);
	return write(t->out, p, n < PIPE_BUF ? n : PIPE_BUF);
}

static void
credit(struct tube *t, size_t n)
{
	t->bytes_written += n;
	if (t->ch != NULL && n > 0)
		channel_consume(t->ch, other(t), n, ECHO_UNKNOWN);
}

/* Writes what goes; -1 when it has failed, and it is over. */
static ssize_t
put(struct tube *t, const uint8_t *p, size_t n)
{
	ssize_t done = write_some(t, p, n);

	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		done = 0;
	if (done < 0)
		finish(t, code_of(errno), errno);
	else
		credit(t, (size_t)done);
	return done;
}

static void
end_writing(struct tube *t)
{
	t->write_ended = true;
	if (t->out_is_socket) {
		shutdown(t->out, SHUT_WR);
	} else {
		loop_fd_free(t->watch_out);
		t->watch_out = NULL;
		close(t->out);
		t->out = -1;
	}
}

static void
drain(struct tube *t)
{
	ssize_t n = t->hold.len > 0 ? put(t, buf_data(&t->hold), t->hold.len) : 0;

	if (n < 0)
		return;
	buf_consume(&t->hold, (size_t)n);
	if (t->hold.len > 0)
		return;
	if (t->hold.room > HOLD_KEEP)
		buf_fini(&t->hold);
	if (t->ends && !t->write_ended)
		end_writing(t);
}

static void
settle(struct tube *t)
{
	if (!t->over && is_done(t))
		finish(t, 0, 0);
	else
		watch(t);
}

static void
on_ready(void *arg, int what)
{
	struct tube *t = arg;

	if ((what & LOOP_WRITE) != 0 && !t->over)
		drain(t);
	if ((what & LOOP_READ) != 0)
		fill_some(t);
	settle(t);
}

/* --- the channel's events --------------------------------------------------------------------- */

void
tube_data(struct tube *t, const uint8_t *p, size_t n)
{
	ssize_t done = 0;

	if (t->over)
		return;
	if (t->watch_in != NULL && t->hold.len == 0 && t->out_is_socket)
		done = put(t, p, n);
	if (done < 0)
		return;
	if ((size_t)done < n && buf_append(&t->hold, p + done, n - (size_t)done) < 0)
		finish(t, HW_ELIMIT, 0);
	else if ((size_t)done < n)
		watch(t);
}

void
tube_end(struct tube *t)
{
	t->ends = true;
	if (t->over || t->watch_in == NULL)
		return;
	if (t->hold.len == 0 && !t->write_ended)
		end_writing(t);
	settle(t);
}

void
tube_room(struct tube *t)
{
	watch(t);
}

void
tube_finish(struct tube *t)
{
	t->ch = NULL;
	tube_end(t);
}

/* --- life ------------------------------------------------------------------------------------- */

/* -1: it is no socket. */
static int
socket_protocol(int fd)
{
	int value;
	socklen_t n = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &n) == 0 ? value : -1;
}

/* With nothing to linger for, closing sends RST: also when a signal ends this program, or whoever
 * is at the other end would take a part for the whole. */
static void
close_resets(int fd, bool yes)
{
	const struct linger l = {.l_onoff = yes, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

int
tube_new(struct tube **ret, struct channel *ch, const struct tube_config *config,
	struct hw_err *err)
{
	struct tube *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a connection");
	t->config = *config;
	t->ch = ch;
	t->in = t->out = -1;
	t->push = (struct loop_task){.fn = push, .arg = t};
	buf_init(&t->hold, HOLD_MAX);
	*ret = t;
	return 0;
}

int
tube_start(struct tube *t, int in, int out, struct hw_err *err)
{
	struct loop_fd *a = NULL, *b = NULL;

	if (loop_fd_new(&a, t->config.loop, in, on_ready, t) < 0 ||
		(in != out && loop_fd_new(&b, t->config.loop, out, on_ready, t) < 0)) {
		loop_fd_free(a);
		return hw_err_set(err, HW_ENOMEM, "no memory for a connection");
	}
	t->in = in;
	t->out = out;
	int protocol = socket_protocol(out);
	t->out_is_socket = protocol >= 0;
	t->out_is_tcp = protocol == IPPROTO_TCP;
	t->in_is_socket = in == out ? t->out_is_socket : socket_protocol(in) >= 0;
	if (t->out_is_tcp && in == out)
		close_resets(in, true);
	t->watch_in = a;
	t->watch_out = in == out ? a : b;
	if (t->out_is_socket || t->hold.len == 0)
		drain(t);
	if (t->in_is_socket && !t->over && wants_read(t))
		fill(t); /* who connects often has written already: it goes along with OPEN */
	settle(t);
	return 0;
}

static void
release(void *arg)
{
	struct tube *t = arg;

	buf_fini(&t->hold);
	free(t);
}

void
tube_free(struct tube *t, bool reset)
{
	if (t == NULL)
		return;
	t->over = true;
	t->ch = NULL;
	loop_undefer(t->config.loop, &t->push);
	if (t->watch_out != t->watch_in)
		loop_fd_free(t->watch_out);
	loop_fd_free(t->watch_in);
	t->watch_in = t->watch_out = NULL;
	if (t->in_is_socket && (reset || t->in == t->out))
		close_resets(t->in, reset);
	if (t->out != t->in)
		fd_close(t->out);
	fd_close(t->in);
	t->work = (struct loop_task){.fn = release, .arg = t};
	loop_defer(t->config.loop, &t->work);
}

bool
tube_read_ended(const struct tube *t)
{
	return t->read_ended;
}

uint64_t
tube_bytes_read(const struct tube *t)
{
	return t->bytes_read;
}

uint64_t
tube_bytes_written(const struct tube *t)
{
	return t->bytes_written;
}
