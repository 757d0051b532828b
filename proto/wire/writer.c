#include "proto/wire/writer.h"

#include <stdlib.h>
#include <string.h>

#define PACKET_KEEP (256 << 10) /* memory of a packet that is kept for the next one */

/* --- control frames -------------------------------------------------------------------------- */

/* A message of control frames under way: LINK_HEADROOM bytes, then the frames. */
struct packet {
	TAILQ_ENTRY(packet) next;
	struct buf bytes;
};

static struct packet *
packet_alloc(void)
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

/* Most turns send one: it is used again. */
static struct packet *
packet_new(struct writer *w)
{
	struct packet *p = w->spare_packet;

	if (p == NULL)
		return packet_alloc();
	w->spare_packet = NULL;
	w->spared = true;
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

static void
packet_drop(struct writer *w, struct packet *p)
{
	if (w->spare_packet != NULL || p->bytes.room > PACKET_KEEP || p->bytes.failed) {
		packet_free(p);
		return;
	}
	p->bytes.len = LINK_HEADROOM;
	w->spare_packet = p;
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
	p = packet_new(w);
	if (p != NULL)
		TAILQ_INSERT_TAIL(&w->control, p, next);
	return p;
}

/* Moves what was appended to p at `start` into a packet of its own. */
static int
packet_split(struct writer *w, struct packet *p, size_t start)
{
	struct packet *own = packet_new(w);

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
		packet_drop(w, p);
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

/* Takes it off the queue. */
static void
take_control(struct writer *w, struct packet *p)
{
	TAILQ_REMOVE(&w->control, p, next);
	w->control_bytes -= packet_len(p);
	w->limits->queued -= packet_len(p);
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
writer_call(struct writer *w, const struct frame *head, const struct msg_row *row, const void *msg,
	struct hw_err *err)
{
	struct packet *p = packet_open(w);

	if (p == NULL)
		return HW_ENOMEM;
	size_t start = p->bytes.len;
	return packet_settle(w, p, start, frame_encode_call(&p->bytes, head, row, msg, err));
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
#define SPARES_MAX \
	8 /* that are kept while bytes flow: the heap's end would come and go with each */

struct chunk {
	union {
		TAILQ_ENTRY(chunk) next;
		SLIST_ENTRY(chunk) spare;
	};
	uint32_t start, end, room; /* of the payload */
	bool queued;
	uint8_t mem[];
};

static uint8_t *
chunk_payload(struct chunk *c, size_t at)
{
	return c->mem + CHUNK_HEAD + at;
}

static struct chunk *
chunk_new(struct writer *w, size_t room)
{
	struct chunk *c = room == WRITER_PIECE ? SLIST_FIRST(&w->spare) : NULL;

	if (c != NULL) {
		SLIST_REMOVE_HEAD(&w->spare, spare);
		w->spares--;
		w->spared = true;
	} else if ((c = malloc(sizeof(*c) + CHUNK_HEAD + room)) == NULL) {
		return NULL;
	}
	*c = (struct chunk){.room = (uint32_t)room, .queued = true};
	return c;
}

static void
chunk_free(struct writer *w, struct chunk *c)
{
	if (c->room < WRITER_PIECE || w->spares == SPARES_MAX) {
		free(c);
		return;
	}
	SLIST_INSERT_HEAD(&w->spare, c, spare);
	w->spares++;
}

static void
drop_spares(struct writer *w)
{
	struct chunk *c;

	while ((c = SLIST_FIRST(&w->spare)) != NULL) {
		SLIST_REMOVE_HEAD(&w->spare, spare);
		free(c);
	}
	w->spares = 0;
	packet_free(w->spare_packet);
	w->spare_packet = NULL;
}

/* Queues double their chunks, so that bytes written one by one need few. */
static struct chunk *
chunk_with_room(struct writer *w, struct outflow *f, size_t n)
{
	struct chunk *last = TAILQ_LAST(&f->chunks, chunk_queue);
	size_t room = last != NULL ? 2 * (size_t)last->room : CHUNK_MIN;

	if (last != NULL && last->end < last->room)
		return last;
	if (room < n)
		room = n;
	if (room > WRITER_PIECE)
		room = WRITER_PIECE;
	struct chunk *c = chunk_new(w, room);
	if (c != NULL)
		TAILQ_INSERT_TAIL(&f->chunks, c, next);
	return c;
}

static void
chunk_unqueue(struct writer *w, struct outflow *f, struct chunk *c)
{
	TAILQ_REMOVE(&f->chunks, c, next);
	c->queued = false;
	if (w == NULL)
		free(c);
	else if (c != w->lent_chunk)
		chunk_free(w, c);
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

static void
list_if_queued(struct writer *w, struct outflow *f, size_t before)
{
	if (before == 0 && f->queued > 0)
		TAILQ_INSERT_TAIL(list_of(w, f), f, turn);
}

static void
unlist(struct writer *w, struct outflow *f)
{
	if (f->queued > 0)
		TAILQ_REMOVE(list_of(w, f), f, turn);
	count(w, f, f->queued, -1);
}

void
outflow_drop(struct writer *w, struct outflow *f)
{
	struct chunk *c;

	if (w != NULL)
		unlist(w, f);
	while ((c = TAILQ_FIRST(&f->chunks)) != NULL)
		chunk_unqueue(w, f, c);
	f->next = NULL;
}

size_t
outflow_write(struct writer *w, struct outflow *f, const void *p, size_t n)
{
	size_t before = f->queued, done = 0;
	struct chunk *c;

	while (done < n && (c = chunk_with_room(w, f, n - done)) != NULL) {
		size_t part = c->room - c->end;
		if (part > n - done)
			part = n - done;
		memcpy(chunk_payload(c, c->end), (const uint8_t *)p + done, part);
		if (f->next == NULL)
			f->next = c;
		c->end += (uint32_t)part;
		done += part;
	}
	f->sent += done;
	count(w, f, done, 1);
	list_if_queued(w, f, before);
	return done;
}

/* --- bytes that are kept ---------------------------------------------------------------------- */

void
outflow_acked(struct writer *w, struct outflow *f, uint64_t offset)
{
	struct chunk *c;

	while ((c = TAILQ_FIRST(&f->chunks)) != NULL && c->start == c->end &&
		f->kept_from + c->end <= offset) {
		f->kept_from += c->end;
		TAILQ_REMOVE(&f->chunks, c, next);
		chunk_free(w, c);
	}
}

void
outflow_detach(struct writer *w, struct outflow *f)
{
	struct chunk *c;

	unlist(w, f);
	f->given = f->sent;
	f->next = NULL;
	TAILQ_FOREACH(c, &f->chunks, next)
	c->start = c->end;
}

void
outflow_let_go(struct writer *w, struct outflow *f, uint64_t limit)
{
	uint64_t until = limit < f->sent ? limit : f->sent, now = f->given + f->queued;
	size_t before = f->queued;

	if (until <= now || f->next == NULL) /* what was dropped goes nowhere */
		return;
	count(w, f, (size_t)(until - now), 1);
	list_if_queued(w, f, before);
}

void
outflow_rewind(struct writer *w, struct outflow *f, uint64_t offset, uint64_t limit)
{
	uint64_t base = f->kept_from;
	struct chunk *c;

	hw_assert(f->queued == 0 && offset >= base && offset <= f->sent);
	f->given = offset;
	f->next = NULL;
	TAILQ_FOREACH(c, &f->chunks, next)
	{
		c->start = offset <= base	  ? 0
			: offset - base >= c->end ? c->end
						  : (uint32_t)(offset - base);
		if (f->next == NULL && c->start < c->end)
			f->next = c;
		base += c->end;
	}
	outflow_let_go(w, f, limit);
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
	if (c->start < c->end)
		return;
	f->next = TAILQ_NEXT(c, next);
	if (!f->keeps)
		chunk_unqueue(w, f, c);
}

/* --- what goes next -------------------------------------------------------------------------- */

static struct outflow *
next_ready(struct writer *w)
{
	struct outflow *f = TAILQ_FIRST(&w->ready[CLASS_INTERACTIVE]);

	return f != NULL ? f : TAILQ_FIRST(&w->ready[CLASS_BULK]);
}

static struct chunk *
copy_with_room(struct writer *w, size_t len)
{
	if (w->copy != NULL && w->copy->room >= len)
		return w->copy;
	free(w->copy);
	w->copy = malloc(sizeof(*w->copy) + CHUNK_HEAD + len);
	if (w->copy != NULL)
		*w->copy = (struct chunk){.room = (uint32_t)len};
	return w->copy;
}

/* Transports write over what they are given, so kept bytes are given as a copy. */
static uint8_t *
give_copy(struct writer *w, struct outflow *f, struct chunk *c, size_t len, size_t *n)
{
	if (copy_with_room(w, len) == NULL)
		return NULL;
	memcpy(chunk_payload(w->copy, 0), chunk_payload(c, c->start), len);
	uint8_t *frame = chunk_payload(w->copy, 0) - FRAME_DATA_HEAD;
	frame_data_head(frame, f->channel, f->stream, f->given, (uint32_t)len);
	outflow_went(w, f, c, len);
	*n = FRAME_DATA_HEAD + len;
	return frame;
}

static uint8_t *
give_piece(struct writer *w, struct outflow *f, size_t *n)
{
	struct chunk *c = f->next;
	size_t len = c->end - c->start, most = w->message_max - FRAME_DATA_HEAD;

	if (most > WRITER_SLICE)
		most = WRITER_SLICE;
	if (most > f->queued)
		most = f->queued;
	if (len > most)
		len = most;
	if (f->keeps)
		return give_copy(w, f, c, len, n);
	hw_assert(len == c->end - c->start || len >= CHUNK_HEAD);
	uint8_t *frame = chunk_payload(c, c->start) - FRAME_DATA_HEAD;
	frame_data_head(frame, f->channel, f->stream, f->given, (uint32_t)len);
	w->lent_chunk = c;
	outflow_went(w, f, c, len);
	*n = FRAME_DATA_HEAD + len;
	return frame;
}

/* --- messages of what is small -----------------------------------------------------------------
 */

/* So that it is one TLS record. */
static size_t
mixed_max(const struct writer *w)
{
	return w->message_max < WRITER_SLICE ? w->message_max : WRITER_SLICE;
}

/* Control frames that were queued meanwhile, such as a stream's END: they come after what the
 * packet has. */
static bool
add_control(struct writer *w, struct packet *p)
{
	struct packet *next = TAILQ_FIRST(&w->control);
	size_t len = next != NULL ? packet_len(next) : 0;

	if (next == NULL || packet_len(p) + len > mixed_max(w) ||
		buf_append(&p->bytes, buf_data(&next->bytes) + LINK_HEADROOM, len) < 0)
		return false;
	take_control(w, next);
	packet_drop(w, next);
	return true;
}

/* A few bytes need not wait for a message of their own. */
static struct outflow *
add_small_piece(struct writer *w, struct packet *p)
{
	struct outflow *f = next_ready(w);

	if (f == NULL || f->queued > WRITER_SMALL ||
		packet_len(p) + FRAME_DATA_HEAD + f->queued > mixed_max(w))
		return NULL;
	struct chunk *c = f->next;
	size_t len = c->end - c->start;
	if (len > f->queued)
		len = f->queued;
	uint8_t *to = buf_reserve(&p->bytes, FRAME_DATA_HEAD + len);
	if (to == NULL)
		return NULL;
	frame_data_head(to, f->channel, f->stream, f->given, (uint32_t)len);
	memcpy(to + FRAME_DATA_HEAD, chunk_payload(c, c->start), len);
	buf_commit(&p->bytes, FRAME_DATA_HEAD + len);
	outflow_went(w, f, c, len);
	return f;
}

/* Bytes go behind all control frames: these may be what opens their channel. */
static struct outflow *
add_small(struct writer *w, struct packet *p)
{
	while (add_control(w, p))
		;
	return TAILQ_EMPTY(&w->control) ? add_small_piece(w, p) : NULL;
}

static uint8_t *
lend_packet(struct writer *w, struct packet *p, size_t *n)
{
	w->lent_packet = p;
	*n = packet_len(p);
	return p->bytes.mem + p->bytes.head + LINK_HEADROOM;
}

static uint8_t *
give_packet(struct writer *w, struct packet *p, size_t *n, struct outflow **from)
{
	take_control(w, p);
	*from = TAILQ_EMPTY(&w->control) ? add_small_piece(w, p) : NULL;
	return lend_packet(w, p, n);
}

/* NULL: it is not small, or there is no memory to copy it. */
static uint8_t *
give_small(struct writer *w, size_t *n, struct outflow **from)
{
	struct packet *p = packet_new(w);

	if (p == NULL)
		return NULL;
	if ((*from = add_small_piece(w, p)) != NULL)
		return lend_packet(w, p, n);
	packet_drop(w, p);
	return NULL;
}

uint8_t *
writer_next(struct writer *w, size_t *n, struct outflow **from)
{
	uint8_t *message = NULL;

	writer_release(w);
	*from = NULL;
	*n = 0;
	struct packet *p = TAILQ_FIRST(&w->control);
	if (p != NULL)
		return give_packet(w, p, n, from);
	struct outflow *f = next_ready(w);
	if (f != NULL && f->queued <= WRITER_SMALL)
		message = give_small(w, n, from);
	if (f != NULL && message == NULL) {
		*from = f;
		message = give_piece(w, f, n);
	}
	return message;
}

uint8_t *
writer_add(struct writer *w, uint8_t *message, size_t *n, struct outflow **from)
{
	struct packet *p = w->lent_packet;

	*from = NULL;
	if (p == NULL)
		return message;
	*from = add_small(w, p);
	return lend_packet(w, p, n);
}

void
writer_release(struct writer *w)
{
	if (w->lent_packet != NULL)
		packet_drop(w, w->lent_packet);
	w->lent_packet = NULL;
	if (w->lent_chunk != NULL && !w->lent_chunk->queued)
		chunk_free(w, w->lent_chunk);
	w->lent_chunk = NULL;
	if (w->queued == 0) {
		free(w->copy);
		w->copy = NULL;
	}
}

void
writer_sweep(struct writer *w)
{
	if (!w->spared)
		drop_spares(w);
	w->spared = false;
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
	drop_spares(w);
	hw_assert(w->queued == 0);
}
