#include "audit/standing.h"

#include "audit/recording.h"
#include "proto/base/arena.h"
#include "proto/wire/codec.h"

#define AUTHOR_ARENA (16 * 1024)

void
standing_turn(struct reached_streams *at, uint32_t author, uint64_t offset, const void *p, size_t n)
{
	struct arena *arena = arena_new(AUTHOR_ARENA);
	void *msg;

	at->author = author;
	at->author_from = at->author_base = offset;
	if (author > at->authors)
		at->authors = author;
	if (arena != NULL && msg_decode(&msg, arena, MSG_ROW(recording_author), p, n, NULL) == 0)
		at->author_base = (uint64_t)((struct msg_recording_author *)msg)->base;
	arena_free(arena);
}

void
standing_size(struct reached_streams *at, uint64_t cols, uint64_t rows)
{
	at->cols = (int)(cols & UINT16_MAX);
	at->rows = (int)(rows & UINT16_MAX);
}

static void
take_event(struct reached_streams *at, const struct event *ev)
{
	if (ev->stream >= STREAMS)
		return;
	if (ev->type == EVENT_AUTHOR)
		standing_turn(at, ev->author, ev->offset, ev->bytes, ev->len);
	if (ev->type == EVENT_RESIZE)
		standing_size(at, ev->cols, ev->rows);
	if (ev->type == EVENT_DATA)
		at->offset[ev->stream] = ev->offset + ev->len;
	else if (ev->type == EVENT_HIDDEN)
		at->offset[ev->stream] = ev->offset + ev->hidden;
	else if (ev->type == EVENT_REWIND)
		at->offset[ev->stream] = ev->offset;
}

int
standing_take(struct reached_streams *at, const void *events, size_t n, struct hw_err *err)
{
	const uint8_t *p = events;
	struct event ev;
	size_t used;
	int r;

	for (; n > 0; p += used, n -= used) {
		if ((r = event_decode(&ev, p, n, &used)) < 0)
			return hw_err_set(err, r, "a recording has an event that is none");
		take_event(at, &ev);
	}
	return 0;
}
