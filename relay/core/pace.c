#include "relay/core/pace.h"

#define SEEN_EVERY  (100 * INT64_C(1000)) /* bytes are counted for so long */
#define BEST_EVERY  (60 * INT64_C(1000000))
#define BUSY	    (8 * 1024)		  /* bytes a second: less keeps nobody waiting */
#define EVERY_BUSY  (20 * INT64_C(1000))  /* between two measurements while bulk flows */
#define EVERY_QUIET (500 * INT64_C(1000)) /* and while none does */

/* Microseconds that any way is longer by, now and then. */
#define UNREST_MIN INT64_C(300)

/* What a frame or two of bulk take on a line that is no faster than the rate. */
#define FRAMES	   (24 * 1024)
#define CUT_EVERY  (40 * INT64_C(1000)) /* what was cut shows no sooner */
#define PURSE_TIME (2 * INT64_C(1000))	/* bytes that may go at once */
#define PART_TIME  INT64_C(500)		/* and at least, as frames and wakes cost */
#define PART_MIN   4096
#define PART_MAX   (64 * 1024)
/* What a new stream begins with. */
#define FIRST_TIME (20 * INT64_C(1000))
#define FIRST_MIN  (8 * 1024)
#define PURSE_MIN  (16 * 1024)

static int64_t
larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static bool
types(const struct pace *p, int64_t now)
{
	return p->typed != 0 && now - p->typed < PACE_TYPES;
}

void
pace_typed(struct pace *p, int64_t now)
{
	p->typed = now;
}

static uint64_t
per_second(uint64_t bytes, int64_t usec)
{
	return bytes * 1000000 / (uint64_t)usec;
}

/* Bytes a second of the busier direction. */
static uint64_t
seen(const struct pace *p)
{
	uint64_t to = p->ways[PACE_TO_NODE].seen, from = p->ways[PACE_FROM_NODE].seen;

	return to > from ? to : from;
}

static void
count(struct pace *p, int64_t now)
{
	int64_t took = now - p->since;

	if (took < SEEN_EVERY)
		return;
	for (int i = 0; i < PACE_WAYS; i++) {
		p->ways[i].seen = per_second(p->ways[i].passed, took);
		p->ways[i].passed = 0;
	}
	p->peak -= p->peak / 512;
	if (seen(p) > p->peak)
		p->peak = seen(p);
	p->since = now;
}

void
pace_passed(struct pace *p, enum pace_way way, size_t n, int64_t now)
{
	p->ways[way].passed += n;
	count(p, now);
}

/* --- what may go ------------------------------------------------------------------------------ */

static int64_t
purse_max(const struct pace *p)
{
	return larger(PURSE_MIN, (int64_t)p->rate * PURSE_TIME / 1000000);
}

static int64_t
part(const struct pace *p)
{
	int64_t n = (int64_t)p->rate * PART_TIME / 1000000;

	return n < PART_MIN ? PART_MIN : n > PART_MAX ? PART_MAX : n;
}

static void
fill(struct pace *p, enum pace_way way, int64_t now)
{
	int64_t *purse = &p->ways[way].purse, most = purse_max(p);
	int64_t took = now - p->ways[way].filled;

	if (took > 1000000)
		took = 1000000;
	int64_t more = (int64_t)p->rate * took / 1000000;
	if (more == 0)
		return; /* nor is the time lost */
	p->ways[way].filled = now;
	*purse = *purse + more < most ? *purse + more : most;
}

uint64_t
pace_take(struct pace *p, enum pace_way way, uint64_t want, int64_t now)
{
	int64_t *purse = &p->ways[way].purse;

	if (p->rate == 0 || !types(p, now))
		return want;
	fill(p, way, now);
	if (*purse < part(p) && *purse < (int64_t)want)
		return 0;
	if ((int64_t)want > *purse)
		want = (uint64_t)*purse;
	*purse -= (int64_t)want;
	return want;
}

uint64_t
pace_first(const struct pace *p, uint64_t window, int64_t now)
{
	int64_t first = larger(FIRST_MIN, (int64_t)p->rate * FIRST_TIME / 1000000);

	return p->rate == 0 || !types(p, now) || window < (uint64_t)first ? window
									  : (uint64_t)first;
}

/* --- how fast --------------------------------------------------------------------------------- */

int64_t
pace_measure_every(const struct pace *p, int64_t now)
{
	if (!types(p, now))
		return 0;
	return seen(p) >= BUSY ? EVERY_BUSY : EVERY_QUIET;
}

static void
keep_best(struct pace *p, int64_t usec, int64_t now)
{
	if (now - p->best_since >= BEST_EVERY) {
		p->best = p->next_best;
		p->next_best = 0;
		p->best_since = now;
	}
	if (p->next_best == 0 || usec < p->next_best)
		p->next_best = usec;
	if (p->best == 0 || usec < p->best)
		p->best = usec;
}

/* Longer is too long. */
static int64_t
bound(const struct pace *p)
{
	uint64_t rate = p->rate != 0 ? p->rate : seen(p);
	int64_t frames = FRAMES * INT64_C(1000000) / (int64_t)(rate + 1);

	return p->best + larger(UNREST_MIN, p->unrest + p->unrest / 4) + frames;
}

/* To less than what passed lately, if that is less than what may: now may be a moment in which
 * nothing does. What is on its way already comes before it shows. */
static void
cut(struct pace *p, int64_t usec, int64_t now)
{
	uint64_t from = p->rate == 0 || p->peak < p->rate ? p->peak : p->rate;

	if (now - p->cut < larger(CUT_EVERY, usec))
		return;
	p->cut = now;
	p->rate = from - from / 4;
	if (p->rate < PACE_FLOOR)
		p->rate = PACE_FLOOR;
}

void
pace_waits(struct pace *p, int64_t usec, int64_t now)
{
	count(p, now);
	if (p->best != 0 && usec > bound(p) && seen(p) >= BUSY)
		cut(p, usec, now);
}

/* So little goes that it cannot be bulk that makes others wait. */
static bool
is_quiet(const struct pace *p)
{
	return seen(p) < BUSY || seen(p) < p->peak / 4;
}

/* What most stay below. */
static void
keep_unrest(struct pace *p, int64_t usec)
{
	int64_t more = usec - p->best - p->unrest;

	p->unrest += more > 0 ? more / 4 : more / 32;
}

static int64_t
median(const int64_t v[3])
{
	int64_t low = v[0] < v[1] ? v[0] : v[1], high = v[0] < v[1] ? v[1] : v[0];

	return v[2] < low ? low : v[2] > high ? high : v[2];
}

void
pace_measured(struct pace *p, int64_t usec, int64_t now)
{
	usec = larger(usec, 1);
	keep_best(p, usec, now);
	p->last[p->measured++ % PACE_LAST] = usec;
	if (is_quiet(p))
		keep_unrest(p, usec);
	usec = median(p->last);
	pace_waits(p, usec, now);
	if (usec > bound(p) || p->rate == 0 || seen(p) < p->rate / 2)
		return;
	p->rate += p->rate / 32;
	if (p->rate > PACE_CEILING)
		p->rate = 0;
}
