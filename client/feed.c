#include "client/feed.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/remote.h"
#include "proto/base/loop.h"

#define FEED_CHUNK (64 << 10)

struct feed {
	struct loop_fd *watch;
	struct remote *remote;
	struct escape escape;
	struct buf typed; /* read, not yet sent */
	int fd;
	bool ended, told;
	const struct feed_events *events;
	void *arg;
	uint8_t chunk[FEED_CHUNK];
};

/* Sends what was read; true when there is room for more. */
static bool
feed_flush(struct feed *f)
{
	size_t sent = remote_send(f->remote, buf_data(&f->typed), f->typed.len);

	buf_consume(&f->typed, sent);
	return f->typed.len == 0 && remote_room(f->remote) > 0;
}

static void
feed_take(struct feed *f, const uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t used;
		enum escape_action action = escape_feed(&f->escape, &f->typed, p, n, &used);

		p += used;
		n -= used;
		if (action != ESCAPE_NONE)
			f->events->on_action(f->arg, action);
	}
}

static void
on_readable(void *arg, int what)
{
	struct feed *f = arg;
	size_t room = remote_room(f->remote);
	ssize_t n;

	(void)what;
	if (room == 0 || f->typed.len > 0) {
		loop_fd_want(f->watch, 0);
		return;
	}
	n = read(f->fd, f->chunk, room < FEED_CHUNK ? room : FEED_CHUNK);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		feed_take(f, f->chunk, (size_t)n);
	else
		f->ended = true; /* a terminal that hung up reads as EIO */
	feed_go(f);
}

void
feed_go(struct feed *f)
{
	bool room = feed_flush(f);

	if (f->ended && f->typed.len == 0) {
		loop_fd_want(f->watch, 0);
		if (!f->told) {
			f->told = true;
			f->events->on_end(f->arg);
		}
		return;
	}
	loop_fd_want(f->watch, room && !f->ended ? LOOP_READ : 0);
}

int
feed_new(struct feed **ret, struct loop *l, int fd, struct remote *remote, int escape,
	const struct feed_events *events, void *arg, struct hw_err *err)
{
	struct feed *f = calloc(1, sizeof(*f));

	if (f == NULL || loop_fd_new(&f->watch, l, fd, on_readable, f) < 0) {
		free(f);
		return hw_err_set(err, HW_ENOMEM, "out of memory");
	}
	f->fd = fd;
	f->remote = remote;
	f->events = events;
	f->arg = arg;
	escape_init(&f->escape, escape);
	buf_init(&f->typed, 2 * FEED_CHUNK);
	feed_go(f);
	*ret = f;
	return 0;
}

void
feed_free(struct feed *f)
{
	if (f == NULL)
		return;
	loop_fd_free(f->watch);
	buf_fini(&f->typed);
	free(f);
}
