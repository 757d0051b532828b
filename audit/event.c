#include <string.h>

#include "audit/recording.h"

/* Which fields follow: those that are not zero. */
enum {
	HAS_STREAM = 1,
	HAS_AUTHOR = 2,
	HAS_OFFSET = 4,
	HAS_HIDDEN = 8,
	HAS_SIZE = 16,
	HAS_BYTES = 32,
	HAS_ALL = 63,
};

#define VARINT_MAX 10 /* bytes of a 64-bit number in groups of seven bits */

static uint8_t *
put_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)v | 0x80;
	*p++ = (uint8_t)v;
	return p;
}

static uint8_t
fields_of(const struct event *ev)
{
	return (uint8_t)((ev->stream != 0 ? HAS_STREAM : 0) | (ev->author != 0 ? HAS_AUTHOR : 0) |
		(ev->offset != 0 ? HAS_OFFSET : 0) | (ev->hidden != 0 ? HAS_HIDDEN : 0) |
		(ev->cols != 0 || ev->rows != 0 ? HAS_SIZE : 0) | (ev->len != 0 ? HAS_BYTES : 0));
}

int
event_encode(struct buf *out, const struct event *ev)
{
	uint8_t head[2 + 7 * VARINT_MAX], *p = head;
	uint8_t has = fields_of(ev);

	*p++ = (uint8_t)ev->type;
	*p++ = has;
	p = put_varint(p, ev->time > 0 ? (uint64_t)ev->time : 0);
	if (has & HAS_STREAM)
		*p++ = ev->stream;
	if (has & HAS_AUTHOR)
		p = put_varint(p, ev->author);
	if (has & HAS_OFFSET)
		p = put_varint(p, ev->offset);
	if (has & HAS_HIDDEN)
		p = put_varint(p, ev->hidden);
	if (has & HAS_SIZE) {
		p = put_varint(p, ev->cols);
		p = put_varint(p, ev->rows);
	}
	if (has & HAS_BYTES)
		p = put_varint(p, ev->len);
	size_t n = (size_t)(p - head);
	uint8_t *to = buf_reserve(out, n + ev->len);
	if (to == NULL)
		return HW_ELIMIT;
	memcpy(to, head, n);
	if (ev->len > 0)
		memcpy(to + n, ev->bytes, ev->len);
	buf_commit(out, n + ev->len);
	return 0;
}

struct cursor {
	const uint8_t *p, *end;
	bool bad;
};

/* At most `max`; numbers have one spelling: no zero group at the end. */
static uint64_t
get_varint(struct cursor *c, uint64_t max)
{
	uint64_t v = 0;

	for (int shift = 0; shift < 64 && c->p < c->end; shift += 7) {
		uint64_t group = *c->p & 0x7f;
		bool last = (*c->p++ & 0x80) == 0;
		if (group << shift >> shift != group || (last && group == 0 && shift > 0))
			break;
		v |= group << shift;
		if (last && v <= max)
			return v;
		if (last)
			break;
	}
	c->bad = true;
	return 0;
}

static uint64_t
get_if(struct cursor *c, bool there, uint64_t max)
{
	return there && !c->bad ? get_varint(c, max) : 0;
}

int
event_decode(struct event *ev, const void *p, size_t n, size_t *used)
{
	const uint8_t *at = p;
	struct event got = {0};

	if (n < 3 || at[0] < EVENT_DATA || at[0] > EVENT_SCREEN || (at[1] & ~HAS_ALL) != 0)
		return HW_ECORRUPT;
	struct cursor c = {at + 2, at + n, false};
	uint8_t has = at[1];
	got.type = at[0];
	got.time = (int64_t)get_varint(&c, INT64_MAX);
	if ((has & HAS_STREAM) != 0 && !c.bad) {
		if (c.p == c.end)
			return HW_ECORRUPT;
		got.stream = *c.p++;
	}
	got.author = (uint32_t)get_if(&c, has & HAS_AUTHOR, UINT32_MAX);
	got.offset = get_if(&c, has & HAS_OFFSET, UINT64_MAX);
	got.hidden = (uint32_t)get_if(&c, has & HAS_HIDDEN, UINT32_MAX);
	got.cols = (uint16_t)get_if(&c, has & HAS_SIZE, UINT16_MAX);
	got.rows = (uint16_t)get_if(&c, has & HAS_SIZE, UINT16_MAX);
	got.len = (size_t)get_if(&c, has & HAS_BYTES, EVENT_BYTES_MAX);
	/* A field that says nothing must not be there: an event has one encoding. */
	if (c.bad || got.len > (size_t)(c.end - c.p) || fields_of(&got) != has)
		return HW_ECORRUPT;
	got.bytes = c.p;
	*ev = got;
	*used = (size_t)(c.p - at) + got.len;
	return 0;
}
