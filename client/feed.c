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
	bool held;
	size_t room; /* while it is held: bytes that may still be kept */
	size_t kept, dropped;
	struct buf more; /* what was read while it is held */
	const struct feed_events *events;
	void *arg;
	uint8_t chunk[FEED_CHUNK];
};

/* Nothing of it is sent: no room is needed, and it has no lines. */
static bool
is_mute(const struct feed *f)
{
	return f->events->on_typed != NULL;
}

/* Sends what was read; true when there is room for more. */
static bool
feed_flush(struct feed *f)
{
	if (is_mute(f)) {
		if (f->typed.len > 0)
			f->events->on_typed(f->arg, buf_data(&f->typed), f->typed.len);
		buf_reset(&f->typed);
		f->escape.line_start = true;
		return true;
	}
	size_t sent = remote_send(f->remote, buf_data(&f->typed), f->typed.len);

	buf_consume(&f->typed, sent);
	return f->typed.len == 0 && remote_room(f->remote) > 0;
}

/* Of a character of UTF-8 only the first byte counts. */
static size_t
keys_of(const struct buf *b)
{
	const uint8_t *p = buf_data(b);
	size_t n = 0;

	for (size_t i = 0; i < b->len; i++)
		n += (p[i] & 0xc0) != 0x80;
	return n;
}

static void
keep_or_drop(struct feed *f)
{
	if (f->more.len > f->room)
		f->room = 0;
	if (f->more.len <= f->room) {
		f->room -= f->more.len;
		f->kept += keys_of(&f->more);
		buf_append(&f->typed, buf_data(&f->more), f->more.len);
	} else {
		f->dropped += keys_of(&f->more);
	}
	f->events->on_held(f->arg, f->kept, f->dropped);
}

static void
feed_take(struct feed *f, const uint8_t *p, size_t n)
{
	struct buf *to = f->held ? &f->more : &f->typed;

	while (n > 0) {
		size_t used;
		enum escape_action action = escape_feed(&f->escape, to, p, n, &used);

		p += used;
		n -= used;
		if (action == ESCAPE_NONE)
			continue;
		if (!f->held)
			feed_flush(f); /* it was typed before */
		f->events->on_action(f->arg, action);
	}
	if (f->more.len > 0)
		keep_or_drop(f);
	buf_reset(&f->more);
}

static void
on_readable(void *arg, int what)
{
	struct feed *f = arg;
	size_t room = remote_room(f->remote);
	ssize_t n;

	(void)what;
	if (is_mute(f))
		room = FEED_CHUNK;
	else if (f->held)
		room = FEED_HELD_MAX;
	else if (f->typed.len > 0)
		room = 0;
	if (room == 0) {
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
	bool room = feed_flush(f) || f->held;

	if (f->ended && (f->typed.len == 0 || f->held)) {
		loop_fd_want(f->watch, 0);
		if (!f->told) {
			f->told = true;
			f->events->on_end(f->arg);
		}
		return;
	}
	loop_fd_want(f->watch, room && !f->ended ? LOOP_READ : 0);
}

void
feed_hold(struct feed *f)
{
	if (f->held || is_mute(f))
		return;
	f->held = true;
	f->room = FEED_HELD_MAX;
	f->kept = f->dropped = 0;
	f->escape.line_start = true; /* who is told that ~. ends it presses just that */
	feed_go(f);
}

void
feed_release(struct feed *f)
{
	f->held = false;
	feed_go(f);
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
	buf_init(&f->more, 2 * FEED_HELD_MAX);
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
	buf_fini(&f->more);
	free(f);
}
