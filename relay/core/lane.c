#include "relay/core/lane.h"

#include <string.h>

struct lane_mark {
	jpos at;
	size_t n;
};

#define MARKS_MAX (1024 * sizeof(struct lane_mark))

void
lane_init(struct lane *l, int stream)
{
	*l = (struct lane){.stream = stream};
	buf_init(&l->hold, LANE_MAX);
	buf_init(&l->marks, MARKS_MAX);
}

void
lane_fini(struct lane *l)
{
	buf_fini(&l->hold);
	buf_fini(&l->marks);
}

/* When there are many marks the last one takes more bytes: these wait a little longer than they
 * must. */
static int
mark(struct lane *l, size_t n, jpos at)
{
	struct lane_mark m = {at, n};

	if (l->marks.len + sizeof(m) <= MARKS_MAX)
		return buf_append(&l->marks, &m, sizeof(m));
	uint8_t *last = l->marks.mem + l->marks.head + l->marks.len - sizeof(m);
	memcpy(&m, last, sizeof(m));
	m.n += n;
	m.at = at > m.at ? at : m.at;
	memcpy(last, &m, sizeof(m));
	return 0;
}

static int
hold(struct lane *l, const void *p, size_t n, jpos at)
{
	int r = buf_append(&l->hold, p, n);

	if (r < 0)
		return r;
	if (at == 0 && l->marks.len == 0) {
		l->ready += n;
		return 0;
	}
	return mark(l, n, at);
}

int
lane_put(struct lane *l, struct channel *to, const void *p, size_t n, jpos at, size_t *moved)
{
	*moved = 0;
	if (at == 0 && l->hold.len == 0 && to != NULL)
		*moved = channel_write(to, l->stream, p, n);
	return *moved < n ? hold(l, (const uint8_t *)p + *moved, n - *moved, at) : 0;
}

void
lane_synced(struct lane *l, jpos pos)
{
	struct lane_mark mark;

	while (l->marks.len >= sizeof(mark)) {
		memcpy(&mark, buf_data(&l->marks), sizeof(mark));
		if (mark.at > pos)
			return;
		l->ready += mark.n;
		buf_consume(&l->marks, sizeof(mark));
	}
}

size_t
lane_pump(struct lane *l, struct channel *to)
{
	if (to == NULL)
		return 0;
	size_t n = l->ready > 0 ? channel_write(to, l->stream, buf_data(&l->hold), l->ready) : 0;

	buf_consume(&l->hold, n);
	l->ready -= n;
	if (l->hold.len == 0) {
		buf_fini(&l->hold); /* most sessions never hold anything: give the memory back */
		if (l->ends && !l->ended) {
			l->ended = true;
			channel_end(to, l->stream);
		}
	}
	return n;
}

size_t
lane_drop(struct lane *l)
{
	size_t n = l->hold.len;

	buf_fini(&l->hold);
	buf_fini(&l->marks);
	l->ready = 0;
	return n;
}
