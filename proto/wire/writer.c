#include "proto/wire/writer.h"

#include <stdlib.h>
#include <string.h>

/* --- control frames -------------------------------------------------------------------------- */

/* A message of control frames under way: LINK_HEADROOM bytes, then the frames. */
struct packet {
	TAILQ_ENTRY(packet) next;
	struct buf bytes;
};

static struct packet *
packet_new(void)
{
	static const uint8_t headroom[LINK_HEADROOM];
	struct packet *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	buf_init(&p->bytes, LINK_HEADROOM + WRITER_BATCH_MAX + FRAME_MESSAGE_MAX);
	if (buf_append(&p->bytes, headroom, sizeof(headroom)) < 0) {
		free(p);
		return NULL;
	}
	return p;
}

static void
packet_free(struct packet *p)
{
	if (p == NULL)
		return;
	buf_fini(&p->bytes);
	free(p);
}

static size_t
packet_len(const struct packet *p)
{
	return p->bytes.len - LINK_HEADROOM;
}

static size_t
batch_max(const struct writer *w)
{
	return w->message_max < WRITER_BATCH_MAX ? w->message_max : WRITER_BATCH_MAX;
}

/* The packet that the next control frame goes to. */
static struct packet *
packet_open(struct writer *w)
{
	struct packet *p = TAILQ_LAST(&w->control, packet_queue);

	if (p != NULL && packet_len(p) < batch_max(w))
		return p;
	p = packet_new();
	if (p != NULL)
		TAILQ_INSERT_TAIL(&w->control, p, next);
	return p;
}

/* Moves what was appended to p at `start` into a packet of its own. */
static int
packet_split(struct writer *w, struct packet *p, size_t start)
{
	struct packet *own = packet_new();

	if (own == NULL ||
		buf_append(&own->bytes, buf_data(&p->bytes) + start, p->bytes.len - start) < 0) {
		packet_free(own);
		return HW_ENOMEM;
	}
	p->bytes.len = start;
	TAILQ_INSERT_TAIL(&w->control, own, next);
	return 0;
}

/* Takes back what an append that failed left behind. */
static int
packet_undo(struct writer *w, struct packet *p, size_t start, int code)
{
	p->bytes.len = start;
	p->bytes.failed = false;
	if (packet_len(p) == 0) {
		TAILQ_REMOVE(&w->control, p, next);
		packet_free(p);
	}
	return code;
}

/* Counts a frame that was just appended to the last packet at `start`, with `r` as the outcome. */
static int
packet_settle(struct writer *w, struct packet *p, size_t start, int r)
{
	size_t len = p->bytes.len - start;

	if (r < 0)
		return packet_undo(w, p, start, r);
	if (len > w->message_max)
		return packet_undo(w, p, start, HW_ELIMIT);
	if (w->control_bytes + len > WRITER_CONTROL_MAX)
		return packet_undo(w, p, start, HW_EFULL);
	if (start > LINK_HEADROOM && packet_len(p) > batch_max(w) &&
		(r = packet_split(w, p, start)) < 0)
		return packet_undo(w, p, start, r);
	w->control_bytes += len;
	w->limits->queued += len;
	return 0;
}

int
writer_frame(struct writer *w, const struct frame *f)
{
	struct packet *p = packet_open(w);

	if (p == NULL)
		return HW_ENOMEM;
	size_t start = p->bytes.len;
	return packet_settle(w, p, start, frame_encode(&p->bytes, f));
}

int
writer_message(struct writer *w, enum frame_kind kind, uint32_t channel, const struct msg_row *row,
	const void *msg)
{
	struct packet *p = packet_open(w);

	if (p == NULL)
		return HW_ENOMEM;
	size_t start = p->bytes.len;
	return packet_settle(w, p, start, frame_encode_msg(&p->bytes, kind, channel, row, msg));
}

int
writer_encoded(struct writer *w, const void *bytes, size_t n)
{
	struct packet *p = n > 0 ? packet_open(w) : NULL;

	if (p == NULL)
		return n > 0 ? HW_ENOMEM : 0;
	size_t start = p->bytes.len;
	return packet_settle(w, p, start, buf_append(&p->bytes, bytes, n));
}

void
writer_drop_control(struct writer *w)
{
	struct packet *p;

	while ((p = TAILQ_FIRST(&w->control)) != NULL) {
		TAILQ_REMOVE(&w->control, p, next);
		packet_free(p);
	}
	w->limits->queued -= w->control_bytes;
	w->control_bytes = 0;
}

/* --- streams --------------------------------------------------------------------------------- */

/* Payload with room before it for its frame's head and the transport's. Once a front part has been
 * given away, the next part's head is written over it: it is never read again, and is longer than a
 * head. */
#define CHUNK_HEAD (LINK_HEADROOM + FRAME_DATA_HEAD)
#define CHUNK_MIN  512

struct chunk {
	TAILQ_ENTRY(chunk) next;
	uint32_t start, end, room; /* of the payload */
	bool queued;
	uint8_t mem[];
};

static uint8_t *
chunk_payload(struct chunk *c, size_t at)
{
	return c->mem + CHUNK_HEAD + at;
}

/* Queues double their chunks, so that bytes written one by one need few. */
static struct chunk *
chunk_with_room(struct outflow *f, size_t n)
{
	struct chunk *last = TAILQ_LAST(&f->chunks, chunk_queue);
	size_t room = last != NULL ? 2 * (size_t)last->room : CHUNK_MIN;

	if (last != NULL && last->end < last->room)
		return last;
	if (room < n)
		room = n;
	if (room > WRITER_PIECE)
		room = WRITER_PIECE;
	struct chunk *c = malloc(sizeof(*c) + CHUNK_HEAD + room);
	if (c == NULL)
		return NULL;
	*c = (struct chunk){.room = (uint32_t)room, .queued = true};
	TAILQ_INSERT_TAIL(&f->chunks, c, next);
	return c;
}

static void
chunk_unqueue(struct writer *w, struct outflow *f, struct chunk *c)
{
	TAILQ_REMOVE(&f->chunks, c, next);
	c->queued = false;
	if (c != w->lent_chunk)
		free(c);
}

void
outflow_init(struct outflow *f, uint32_t channel, uint8_t stream, bool interactive)
{
	*f = (struct outflow){.channel = channel, .stream = stream, .interactive = interactive};
	TAILQ_INIT(&f->chunks);
}

static struct outflow_list *
list_of(struct writer *w, const struct outflow *f)
{
	return &w->ready[f->interactive ? CLASS_INTERACTIVE : CLASS_BULK];
}

static void
count(struct writer *w, struct outflow *f, size_t n, int sign)
{
	size_t delta = sign < 0 ? (size_t)0 - n : n;

	f->queued += delta;
	w->queued += delta;
	w->limits->queued += delta;
}

void
outflow_drop(struct writer *w, struct outflow *f)
{
	struct chunk *c;

	if (f->queued > 0)
		TAILQ_REMOVE(list_of(w, f), f, turn);
	while ((c = TAILQ_FIRST(&f->chunks)) != NULL)
		chunk_unqueue(w, f, c);
	count(w, f, f->queued, -1);
}

size_t
outflow_write(struct writer *w, struct outflow *f, const void *p, size_t n)
{
	bool was_empty = f->queued == 0;
	size_t done = 0;
	struct chunk *c;

	while (done < n && (c = chunk_with_room(f, n - done)) != NULL) {
		size_t part = c->room - c->end;
		if (part > n - done)
			part = n - done;
		memcpy(chunk_payload(c, c->end), (const uint8_t *)p + done, part);
		c->end += (uint32_t)part;
		done += part;
	}
	count(w, f, done, 1);
	if (was_empty && done > 0)
		TAILQ_INSERT_TAIL(list_of(w, f), f, turn);
	return done;
}

/* Bytes at the front of f have gone: its next turn comes after the others'. */
static void
outflow_went(struct writer *w, struct outflow *f, struct chunk *c, size_t n)
{
	f->given += n;
	c->start += (uint32_t)n;
	count(w, f, n, -1);
	TAILQ_REMOVE(list_of(w, f), f, turn);
	if (f->queued > 0)
		TAILQ_INSERT_TAIL(list_of(w, f), f, turn);
	if (c->start == c->end)
		chunk_unqueue(w, f, c);
}

/* --- what goes next -------------------------------------------------------------------------- */

static struct outflow *
next_ready(struct writer *w)
{
	struct outflow *f = TAILQ_FIRST(&w->ready[CLASS_INTERACTIVE]);

	return f != NULL ? f : TAILQ_FIRST(&w->ready[CLASS_BULK]);
}

static uint8_t *
give_piece(struct writer *w, struct outflow *f, size_t *n)
{
	struct chunk *c = TAILQ_FIRST(&f->chunks);
	size_t len = c->end - c->start, most = w->message_max - FRAME_DATA_HEAD;

	if (w->interactive > 0 && most > WRITER_SLICE)
		most = WRITER_SLICE;
	if (len > most)
		len = most;
	hw_assert(len == c->end - c->start || len >= CHUNK_HEAD);
	uint8_t *frame = chunk_payload(c, c->start) - FRAME_DATA_HEAD;
	frame_data_head(frame, f->channel, f->stream, f->given, (uint32_t)len);
	w->lent_chunk = c;
	outflow_went(w, f, c, len);
	*n = FRAME_DATA_HEAD + len;
	return frame;
}

/* A keystroke need not wait for a message of its own. */
static struct outflow *
add_small_piece(struct writer *w, struct packet *p)
{
	struct outflow *f = TAILQ_FIRST(&w->ready[CLASS_INTERACTIVE]);

	if (f == NULL || f->queued > WRITER_SMALL ||
		packet_len(p) + FRAME_DATA_HEAD + f->queued > batch_max(w))
		return NULL;
	struct chunk *c = TAILQ_FIRST(&f->chunks);
	size_t len = c->end - c->start;
	uint8_t *to = buf_reserve(&p->bytes, FRAME_DATA_HEAD + len);
	if (to == NULL)
		return NULL;
	frame_data_head(to, f->channel, f->stream, f->given, (uint32_t)len);
	memcpy(to + FRAME_DATA_HEAD, chunk_payload(c, c->start), len);
	buf_commit(&p->bytes, FRAME_DATA_HEAD + len);
	outflow_went(w, f, c, len);
	return f;
}

static uint8_t *
give_packet(struct writer *w, struct packet *p, size_t *n, struct outflow **from)
{
	TAILQ_REMOVE(&w->control, p, next);
	w->control_bytes -= packet_len(p);
	w->limits->queued -= packet_len(p);
	w->lent_packet = p;
	*from = TAILQ_EMPTY(&w->control) ? add_small_piece(w, p) : NULL;
	*n = packet_len(p);
	return p->bytes.mem + p->bytes.head + LINK_HEADROOM;
}

uint8_t *
writer_next(struct writer *w, size_t *n, struct outflow **from)
{
	writer_release(w);
	struct packet *p = TAILQ_FIRST(&w->control);
	if (p != NULL)
		return give_packet(w, p, n, from);
	struct outflow *f = next_ready(w);
	*from = f;
	*n = 0;
	return f != NULL ? give_piece(w, f, n) : NULL;
}

void
writer_release(struct writer *w)
{
	packet_free(w->lent_packet);
	w->lent_packet = NULL;
	if (w->lent_chunk != NULL && !w->lent_chunk->queued)
		free(w->lent_chunk);
	w->lent_chunk = NULL;
}

bool
writer_idle(const struct writer *w)
{
	return TAILQ_EMPTY(&w->control) && w->queued == 0;
}

void
writer_init(struct writer *w, struct link_limits *limits)
{
	*w = (struct writer){.message_max = FRAME_MESSAGE_MAX, .limits = limits};
	TAILQ_INIT(&w->control);
	TAILQ_INIT(&w->ready[CLASS_INTERACTIVE]);
	TAILQ_INIT(&w->ready[CLASS_BULK]);
}

void
writer_fini(struct writer *w)
{
	writer_drop_control(w);
	writer_release(w);
	hw_assert(w->queued == 0);
}
