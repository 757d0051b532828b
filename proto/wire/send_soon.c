#include "proto/wire/send_soon.h"

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

void
send_soon_init(struct send_soon *s, struct loop *loop, void (*write)(void *arg), void *arg)
{
	*s = (struct send_soon){.loop = loop, .write = write, .arg = arg};
	s->task = (struct loop_task){.fn = on_turn_end, .arg = s};
}

void
send_soon_fini(struct send_soon *s)
{
	if (s->loop != NULL)
		loop_undefer(s->loop, &s->task);
}

bool
send_soon(struct send_soon *s)
{
	if (s->unasked >= SEND_UNASKED_MAX)
		return false;
	loop_defer(s->loop, &s->task);
	return true;
}

void
send_soon_wrote(struct send_soon *s, size_t n)
{
	s->unasked += n;
}

void
send_soon_asked(struct send_soon *s)
{
	s->unasked = 0;
}
