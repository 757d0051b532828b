#include "proto/wire/window.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes that wait, of a window of whatever size: what goes on at once is still in the processor's
 * caches, and needs no second queue. */
#define PILED_FEW (256 << 10)
#define PILED_MAX (1 << 20)

/* --- pools ------------------------------------------------------------------------------------ */

static bool
pool_take(struct window_pool *p, uint64_t n)
{
	if (p == NULL)
		return true;
	if (n > p->max || p->taken > p->max - n || !pool_take(p->parent, n))
		return false;
	p->taken += n;
	return true;
}

static void
pool_give(struct window_pool *p, uint64_t n)
{
	for (; p != NULL; p = p->parent)
		p->taken -= n;
}

/* Has the window hold what it needs for `ahead` bytes beyond what has gone on. */
static bool
settle(struct window *w, struct window_pool *pool, uint64_t ahead)
{
	uint64_t needs = ahead > w->first ? ahead - w->first : 0;

	if (needs > w->taken && !pool_take(pool, needs - w->taken))
		return false;
	if (needs < w->taken)
		pool_give(pool, w->taken - needs);
	w->taken = needs;
	return true;
}

/* --- the window ------------------------------------------------------------------------------- */

void
window_init(struct window *w, uint64_t first, int64_t now)
{
	*w = (struct window){
		.first = first, .size = first, .limit = first, .since = now, .last = now};
}

static void
halve(struct window *w)
{
	w->size = w->size / 2 > w->first ? w->size / 2 : w->first;
}

static void
twice(struct window *w)
{
	uint64_t most = w->first > WINDOW_MAX ? w->first : WINDOW_MAX;

	w->size = w->size < most / 2 ? 2 * w->size : most;
}

static void
measure_anew(struct window *w, uint64_t done, int64_t now)
{
	w->mark = done;
	w->since = now;
}

/* Half a window that goes by sooner than its part of what is to be held may be what holds its
 * sender up. */
static void
resize(struct window *w, uint64_t done, uint64_t piled, int64_t now)
{
	uint64_t gone = done - w->mark;
	bool paused = now - w->last > WINDOW_HOLDS;
	bool heap = piled > w->size / 2 || piled > PILED_MAX;

	w->last = now;
	if (!paused && gone < (heap ? w->size / 4 : w->size / 2))
		return;
	if (paused || heap || now - w->since > 2 * WINDOW_HOLDS)
		halve(w);
	else if (piled <= w->size / 8 && piled <= PILED_FEW && now - w->since <= WINDOW_HOLDS / 2)
		twice(w);
	measure_anew(w, done, now);
}

uint64_t
window_move(struct window *w, struct window_pool *pool, uint64_t done, uint64_t piled, int64_t now)
{
	uint64_t told = w->limit > done ? w->limit - done : 0;

	resize(w, done, piled, now);
	if (!settle(w, pool, w->size > told ? w->size : told))
		w->size = w->first + w->taken; /* the pool is empty: as large as it is */
	if (w->size > told)
		w->limit = done + w->size;
	return w->limit;
}

void
window_close(struct window *w, struct window_pool *pool)
{
	pool_give(pool, w->taken);
	w->taken = 0;
}
