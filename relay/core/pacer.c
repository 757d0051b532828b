#include "relay/core/pacer.h"

#include "proto/wire/link.h"

#define SERVE_EVERY (1 * USEC_PER_MSEC) /* those that wait */

static int64_t
now(const struct pacer *p)
{
	return clock_mono(loop_clock(p->loop));
}

static bool
is_waited_for(const struct pacer *p)
{
	return !TAILQ_EMPTY(&p->waiting[PACE_TO_NODE]) || !TAILQ_EMPTY(&p->waiting[PACE_FROM_NODE]);
}

/* --- the link's way --------------------------------------------------------------------------- */

static void
run_again(struct pacer *p)
{
	int64_t every = is_waited_for(p) ? SERVE_EVERY : pace_measure_every(&p->pace, now(p));

	if (every != 0 && (p->timer.slot == 0 || p->timer.due > now(p) + every))
		loop_timer_start(p->loop, &p->timer, every);
}

static void
measure(struct pacer *p)
{
	int64_t t = now(p), every = pace_measure_every(&p->pace, t);

	if (every == 0)
		return;
	int64_t out = t - p->measured >= every || t - p->measured < 0 ? link_probe(p->link) : 0;
	if (out == 0 && t - p->measured >= every)
		p->measured = t;
	else if (out > 0)
		pace_waits(&p->pace, out, t);
}

/* As long as they get something. */
static void
serve(struct pacer *p, enum pace_way way)
{
	struct paced *d, *last = TAILQ_LAST(&p->waiting[way], paced_list);

	while (last != NULL && (d = TAILQ_FIRST(&p->waiting[way])) != NULL) {
		uint64_t before = d->allowed;
		TAILQ_REMOVE(&p->waiting[way], d, entry);
		d->waits = false;
		d->again(d->arg, d);
		if (d == last || (d->waits && d->allowed == before))
			return;
	}
}

static void
on_timer(void *arg)
{
	struct pacer *p = arg;

	measure(p);
	serve(p, PACE_TO_NODE);
	serve(p, PACE_FROM_NODE);
	run_again(p);
}

void
pacer_init(struct pacer *p, struct loop *loop, struct link *link)
{
	*p = (struct pacer){.loop = loop, .link = link};
	p->timer = (struct loop_timer){.fn = on_timer, .arg = p};
	for (int i = 0; i < PACE_WAYS; i++)
		TAILQ_INIT(&p->waiting[i]);
	link_probe(link);
}

void
pacer_fini(struct pacer *p)
{
	struct paced *d;

	if (p->loop == NULL)
		return;
	loop_timer_stop(p->loop, &p->timer);
	for (int i = 0; i < PACE_WAYS; i++) {
		while ((d = TAILQ_FIRST(&p->waiting[i])) != NULL) {
			TAILQ_REMOVE(&p->waiting[i], d, entry);
			d->waits = false;
		}
	}
}

void
pacer_typed(struct pacer *p)
{
	pace_typed(&p->pace, now(p));
	run_again(p);
}

void
pacer_passed(struct pacer *p, enum pace_way way, size_t n)
{
	pace_passed(&p->pace, way, n, now(p));
}

uint64_t
pacer_first(const struct pacer *p, uint64_t window)
{
	return pace_first(&p->pace, window, now(p));
}

void
pacer_measured(struct pacer *p, int64_t usec)
{
	pace_measured(&p->pace, usec, now(p));
}

/* --- a stream --------------------------------------------------------------------------------- */

void
paced_open(struct paced *d, struct pacer *p, enum pace_way way, uint64_t allowed)
{
	d->pacer = p;
	d->way = way;
	d->allowed = allowed;
	d->waits = false;
}

void
paced_close(struct paced *d)
{
	if (d->waits)
		TAILQ_REMOVE(&d->pacer->waiting[d->way], d, entry);
	d->waits = false;
	d->pacer = NULL;
}

uint64_t
paced_allow(struct paced *d, uint64_t limit)
{
	struct pacer *p = d->pacer;

	if (p == NULL)
		return limit;
	if (limit > d->allowed)
		d->allowed += pace_take(&p->pace, d->way, limit - d->allowed, now(p));
	if (limit > d->allowed && !d->waits) {
		d->waits = true;
		TAILQ_INSERT_TAIL(&p->waiting[d->way], d, entry);
		run_again(p);
	}
	return limit < d->allowed ? limit : d->allowed;
}
