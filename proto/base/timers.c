#include "proto/base/timers.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/loop.h"

void
timers_fini(struct timers *ts)
{
	free(ts->heap);
	*ts = (struct timers){0};
}

static bool
before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void
put(struct timers *ts, size_t slot, struct loop_timer *t)
{
	ts->heap[slot - 1] = t;
	t->slot = slot;
}

static void
sift_up(struct timers *ts, size_t slot, struct loop_timer *t)
{
	for (; slot > 1 && before(t, ts->heap[slot / 2 - 1]); slot /= 2)
		put(ts, slot, ts->heap[slot / 2 - 1]);
	put(ts, slot, t);
}

static void
sift_down(struct timers *ts, size_t slot, struct loop_timer *t)
{
	for (size_t child; (child = slot * 2) <= ts->count; slot = child) {
		if (child < ts->count && before(ts->heap[child], ts->heap[child - 1]))
			child++;
		if (!before(ts->heap[child - 1], t))
			break;
		put(ts, slot, ts->heap[child - 1]);
	}
	put(ts, slot, t);
}

static void
grow(struct timers *ts)
{
	size_t room = ts->room != 0 ? ts->room * 2 : 64;
	struct loop_timer **heap = reallocarray(ts->heap, room, sizeof(*heap));

	if (heap == NULL) {
		fputs("hawser: out of memory for timers\n", stderr);
		abort();
	}
	ts->heap = heap;
	ts->room = room;
}

void
timers_add(struct timers *ts, struct loop_timer *t)
{
	hw_assert(t->slot == 0);
	if (ts->count == ts->room)
		grow(ts);
	t->order = ts->order++;
	sift_up(ts, ++ts->count, t);
}

void
timers_remove(struct timers *ts, struct loop_timer *t)
{
	size_t slot = t->slot;

	if (slot == 0)
		return;
	hw_assert(slot <= ts->count && ts->heap[slot - 1] == t);
	struct loop_timer *last = ts->heap[--ts->count];
	t->slot = 0;
	if (last == t)
		return;
	if (slot > 1 && before(last, ts->heap[slot / 2 - 1]))
		sift_up(ts, slot, last);
	else
		sift_down(ts, slot, last);
}

struct loop_timer *
timers_first(const struct timers *ts)
{
	return ts->count > 0 ? ts->heap[0] : NULL;
}
