#include "tests/world/pair.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/list.h"

struct end {
	struct link_transport transport;
	struct pair *pair;
	struct link *link;
	bool asked, paused, closed;
	pair_tap_fn *tap;
	void *tap_arg;
	size_t messages;
};

struct pair {
	struct loop *loop;
	struct end ends[2];
	unsigned refs; /* the owner's, and one for each thing that is posted */
	bool dropped;
	char why[128];
};

/* A message under way. */
struct parcel {
	struct end *to;
	size_t n;
	uint8_t bytes[];
};

static struct end *
other(struct end *e)
{
	return &e->pair->ends[e == &e->pair->ends[0]];
}

static void
unref(struct pair *p)
{
	if (--p->refs == 0)
		free(p);
}

static void
post(struct pair *p, void (*fn)(void *), void *arg)
{
	p->refs++;
	loop_post(p->loop, fn, arg);
}

static void
deliver(void *arg)
{
	struct parcel *parcel = arg;
	struct end *to = parcel->to;

	if (!to->pair->dropped && to->link != NULL)
		link_input(to->link, parcel->bytes, parcel->n);
	unref(to->pair);
	free(parcel);
}

static struct parcel *
pack(struct end *from, const void *bytes, size_t n)
{
	struct parcel *parcel = malloc(sizeof(*parcel) + n);

	hw_assert(parcel != NULL);
	parcel->to = other(from);
	parcel->n = n;
	if (n > 0)
		memcpy(parcel->bytes, bytes, n);
	return parcel;
}

static void
send_from(struct end *from, const void *bytes, size_t n)
{
	struct parcel *parcel = pack(from, bytes, n);

	if (from->tap != NULL && !from->tap(from->tap_arg, parcel->bytes, n))
		free(parcel);
	else
		post(from->pair, deliver, parcel);
}

static void
write_one(void *arg)
{
	struct end *e = arg;
	bool more = true;
	size_t n;

	if (!e->pair->dropped && e->link != NULL && !e->paused) {
		e->asked = false;
		uint8_t *bytes = link_writable(e->link, &n, &more);
		if (bytes != NULL) {
			e->messages++;
			send_from(e, bytes, n);
			memset(bytes - LINK_HEADROOM, 0xa5, LINK_HEADROOM + n);
		}
		if (more)
			e->transport.want_write(&e->transport);
	}
	unref(e->pair);
}

static void
want_write(struct link_transport *t)
{
	struct end *e = container_of(t, struct end, transport);

	if (e->asked)
		return;
	e->asked = true;
	if (!e->paused)
		post(e->pair, write_one, e);
}

static void
hang_up(void *arg)
{
	struct end *e = arg;
	struct link *l = e->link;

	e->link = NULL;
	if (!e->pair->dropped && l != NULL)
		link_lost(l, "the other end hung up");
	unref(e->pair);
}

static void
close_end(struct link_transport *t)
{
	struct end *e = container_of(t, struct end, transport);

	e->closed = true;
	e->link = NULL;
	post(e->pair, hang_up, other(e));
}

struct pair *
pair_new(struct loop *loop)
{
	struct pair *p = calloc(1, sizeof(*p));

	hw_assert(p != NULL);
	p->loop = loop;
	p->refs = 1;
	for (int i = 0; i < 2; i++) {
		p->ends[i].pair = p;
		p->ends[i].transport =
			(struct link_transport){.want_write = want_write, .close = close_end};
	}
	return p;
}

static void
lose_both(struct pair *p)
{
	p->dropped = true;
	for (int i = 0; i < 2; i++) {
		struct link *l = p->ends[i].link;
		p->ends[i].link = NULL;
		if (l != NULL)
			link_lost(l, p->why);
	}
}

static void
drop(void *arg)
{
	struct pair *p = arg;

	lose_both(p);
	unref(p);
}

void
pair_drop(struct pair *p, const char *why)
{
	strncpy(p->why, why, sizeof(p->why) - 1);
	post(p, drop, p);
}

void
pair_cut(struct pair *p, const char *why)
{
	strncpy(p->why, why, sizeof(p->why) - 1);
	lose_both(p);
}

void
pair_detach(struct pair *p, int side)
{
	struct link *l = p->ends[side].link;

	p->ends[side].link = NULL;
	if (l != NULL)
		link_lost(l, "this machine is gone");
}

void
pair_free(struct pair *p)
{
	if (p == NULL)
		return;
	lose_both(p);
	unref(p);
}

struct link_transport *
pair_transport(struct pair *p, int side)
{
	return &p->ends[side].transport;
}

void
pair_attach(struct pair *p, int side, struct link *l)
{
	p->ends[side].link = l;
}

void
pair_pause(struct pair *p, int side, bool paused)
{
	struct end *e = &p->ends[side];

	if (e->paused && !paused && e->asked)
		post(p, write_one, e);
	e->paused = paused;
}

void
pair_tap(struct pair *p, int side, pair_tap_fn *tap, void *arg)
{
	p->ends[side].tap = tap;
	p->ends[side].tap_arg = arg;
}

void
pair_send(struct pair *p, int side, const void *bytes, size_t n)
{
	post(p, deliver, pack(&p->ends[side], bytes, n));
}

bool
pair_is_closed(const struct pair *p, int side)
{
	return p->ends[side].closed;
}

size_t
pair_messages(const struct pair *p, int side)
{
	return p->ends[side].messages;
}
