#include "proto/wire/send_soon.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define CORK_MIN 8192 /* what a message has that is one of bulk: others are too few to wait for */

/* The first call is in the middle of the turn's end: what was queued behind it may have more to
 * send. */
static void
on_turn_end(void *arg)
{
	struct send_soon *s = arg;

	s->waited = !s->waited;
	if (s->waited)
		loop_defer(s->loop, &s->task);
	else
		s->write(s->arg);
}

/* All that are set make things better, not right. */
static void
set_option(const struct send_soon *s, int name, int value)
{
	(void)setsockopt(s->fd, IPPROTO_TCP, name, &value, sizeof(value));
}

void
send_soon_init(struct send_soon *s, struct loop *loop, int fd, void (*write)(void *arg), void *arg)
{
	*s = (struct send_soon){.loop = loop, .fd = fd, .write = write, .arg = arg};
	s->task = (struct loop_task){.fn = on_turn_end, .arg = s};
	set_option(s, TCP_NODELAY, 1);
	set_option(s, TCP_NOTSENT_LOWAT, SEND_UNSENT_MAX);
}

void
send_soon_fini(struct send_soon *s)
{
	if (s->loop != NULL)
		loop_undefer(s->loop, &s->task);
}

/* The socket itself takes no more than SEND_UNSENT_MAX and a segment. Where somebody types that
 * segment is too much already, and only the poller knows of less. */
bool
send_soon(struct send_soon *s)
{
	if (s->interactive && s->unasked >= SEND_BATCH_INTERACTIVE)
		return false;
	loop_defer(s->loop, &s->task);
	return true;
}

void
send_soon_asked(struct send_soon *s)
{
	s->unasked = 0;
}

void
send_soon_begin(struct send_soon *s, bool interactive)
{
	s->batch = 0;
	if (interactive == s->interactive)
		return;
	s->interactive = interactive;
	set_option(s, TCP_NOTSENT_LOWAT, interactive ? SEND_UNSENT_INTERACTIVE : SEND_UNSENT_MAX);
}

bool
send_soon_may(const struct send_soon *s)
{
	if (s->interactive)
		return s->batch < SEND_BATCH_INTERACTIVE && s->unasked < SEND_BATCH_INTERACTIVE;
	return s->batch < SEND_BATCH_MAX;
}

void
send_soon_wrote(struct send_soon *s, size_t n, bool more)
{
	s->batch += n;
	s->unasked += n;
	if (!more || n < CORK_MIN || s->corked || !send_soon_may(s))
		return;
	s->corked = true;
	set_option(s, TCP_CORK, 1);
}

void
send_soon_end(struct send_soon *s)
{
	if (s->corked)
		set_option(s, TCP_CORK, 0);
	s->corked = false;
}
