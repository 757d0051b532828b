#include "audit/builder.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit/sealed.h"
#include "proto/base/arena.h"
#include "proto/wire/codec.h"
#include "proto/wire/frame.h"

#define BLOCK_TARGET (256 * 1024)	  /* a block is closed before it grows past this */
#define SYNC_EVERY   (2 * 1024 * 1024)	  /* events written, and not yet synced */
#define UNKNOWN_MAX  (4 * 1024 * 1024)	  /* what waits for an echo mark, and behind what does */
#define PIECE_MAX    (64 * 1024)	  /* bytes of one event */
#define LINE_STILL   (10 * USEC_PER_SEC)  /* after which a line goes on no more, for masks */
#define LINE_WAIT    (120 * USEC_PER_SEC) /* that a block waits for the end of one at most */
#define PARTS_MAX    32 /* of a record that echo marks cut up: a node may send any */
#define BOX_ROOM     BOX_OVERHEAD(BOX_READERS_MAX)
#define PARTS_ROOM   (PARTS_MAX * 2 * (EVENT_HEAD_MAX + BOX_ROOM))

_Static_assert(JOURNAL_RECORD_MAX + JOURNAL_RECORD_MAX / PIECE_MAX * EVENT_HEAD_MAX + PARTS_ROOM <
		RECORDING_BLOCK_MAX,
	"a record of full size must fit in a block of its own");

/* A record that waits, or a part of one: an echo mark may lie in the middle of its bytes. */
struct item {
	TAILQ_ENTRY(item) next;
	enum event_type type;
	enum { ITEM_PLAIN, ITEM_UNKNOWN, ITEM_SHOWN, ITEM_HIDDEN } state;
	bool is_last;	/* of its record's parts */
	bool is_mixed;	/* a mark was passed over, as there are too many parts */
	unsigned parts; /* of its record before it */
	jpos begin, end;
	int64_t time;
	uint8_t stream;
	uint32_t author;
	uint64_t offset;
	uint16_t cols, rows;
	size_t len;
	uint8_t bytes[];
};

/* Readable bytes in the block. Screens are a text of their own. */
#define SPAN_SCREEN 255
struct span {
	uint8_t stream;
	size_t at, len;
};

struct builder {
	struct builder_env *env;
	struct recording_writer *file;
	int64_t start;
	uint64_t session;
	bool no_echo;	  /* pipes: what goes into them is readable */
	jpos start_begin; /* where the session's first record lies, until the file is made */

	TAILQ_HEAD(, item) items;
	size_t queued; /* bytes in items */

	struct buf block; /* encoded events */
	struct span *spans;
	size_t n_spans, spans_room;
	int64_t text_begin, text_time; /* of the first span and the last, by the wall's clock */
	jpos from, to;		       /* what the block covers; from is UINT64_MAX when nothing */
	jpos unsynced;	   /* from which position on the file is not on disk; UINT64_MAX: it is */
	size_t unsynced_n; /* bytes of events */

	struct buf secret;   /* hidden input that is not yet an event */
	struct event hidden; /* its head; `hidden` is 0 when there is none */
};

/* --- life ------------------------------------------------------------------------------------- */

static struct builder *
allocate(struct builder_env *env)
{
	struct builder *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->env = env;
	b->from = b->unsynced = b->start_begin = UINT64_MAX;
	TAILQ_INIT(&b->items);
	buf_init(&b->block, RECORDING_BLOCK_MAX);
	buf_init(&b->secret, PIECE_MAX);
	return b;
}

void
builder_free(struct builder *b)
{
	struct item *it;

	if (b == NULL)
		return;
	while ((it = TAILQ_FIRST(&b->items)) != NULL) {
		TAILQ_REMOVE(&b->items, it, next);
		free(it);
	}
	buf_fini(&b->block);
	buf_wipe(&b->secret);
	buf_fini(&b->secret);
	free(b->spans);
	recording_writer_close(b->file);
	free(b);
}

/* The session's id, into `id`, when it began, and what it is. */
static int
read_meta(char id[RECORDING_ID_MAX + 1], struct builder *b, const void *p, size_t n,
	struct hw_err *err)
{
	struct arena *a = arena_new(2 * RECORDING_META_MAX);
	void *msg;
	int r;

	if (a == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a recording");
	if ((r = msg_decode(&msg, a, MSG_ROW(recording_meta), p, n, err)) == 0) {
		const struct msg_recording_meta *meta = msg;
		if (recording_id_valid(meta->session_id)) {
			strcpy(id, meta->session_id);
			b->start = meta->start;
			b->no_echo = meta->type == CHANNEL_TYPE_EXEC;
		} else {
			r = hw_err_set(err, HW_EVALIDATION, "a session has an impossible id");
		}
	}
	arena_free(a);
	return r < 0 && r != HW_ENOMEM ? HW_EVALIDATION : r;
}

int
builder_new(struct builder **ret, struct builder_env *env, const struct journal_record *rec,
	jpos begin, jpos end, struct hw_err *err)
{
	const struct recording_head head = {rec->session, end};
	char id[RECORDING_ID_MAX + 1];
	struct builder *b;
	int r;

	if ((b = allocate(env)) == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a recording");
	if ((r = read_meta(id, b, rec->bytes, rec->len, err)) < 0) {
		builder_free(b);
		return r;
	}
	b->session = rec->session;
	b->start_begin = begin;
	b->to = end;
	r = recording_writer_new(&b->file, &env->store, id, &head, rec->bytes, rec->len, err);
	if (r < 0)
		builder_free(b);
	else
		*ret = b;
	return r;
}

int
builder_resume(struct builder **ret, struct builder_env *env, const char *id, jpos kept_from,
	struct hw_err *err)
{
	char said[RECORDING_ID_MAX + 1];
	struct buf meta;
	int r;

	struct builder *b = allocate(env);
	if (b == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a recording");
	buf_init(&meta, RECORDING_META_MAX);
	r = recording_writer_resume(&b->file, &env->store, id, kept_from, &meta, err);
	if (r == 0)
		r = read_meta(said, b, buf_data(&meta), meta.len, err);
	if (r == 0 && strcmp(said, id) != 0)
		r = hw_err_set(err, HW_ECORRUPT, "%s.part is the recording of %s", id, said);
	buf_fini(&meta);
	if (r < 0) {
		builder_free(b);
		return r;
	}
	b->session = recording_writer_session(b->file);
	b->to = recording_writer_covered(b->file);
	*ret = b;
	return 0;
}

/* --- blocks ----------------------------------------------------------------------------------- */

static int
add_span(struct builder *b, uint8_t stream, size_t at, size_t len, struct hw_err *err)
{
	if (b->n_spans == b->spans_room) {
		size_t room = 2 * b->spans_room + 64;
		struct span *more = realloc(b->spans, room * sizeof(*more));
		if (more == NULL)
			return hw_err_set(err, HW_ENOMEM, "no memory for a recording");
		b->spans = more;
		b->spans_room = room;
	}
	b->spans[b->n_spans++] = (struct span){stream, at, len};
	return 0;
}

static int
encode(struct builder *b, const struct event *ev, struct hw_err *err)
{
	int r = event_encode(&b->block, ev);

	if (r < 0)
		return hw_err_set(err, r, "an event does not fit in its block");
	bool readable = ev->type == EVENT_DATA || ev->type == EVENT_SCREEN;
	if (!readable || b->env->masks == NULL || ev->len == 0)
		return 0;
	uint8_t text = ev->type == EVENT_SCREEN ? SPAN_SCREEN : ev->stream;
	b->text_time = b->start + ev->time;
	if (b->n_spans == 0)
		b->text_begin = b->text_time;
	return add_span(b, text, b->block.len - ev->len, ev->len, err);
}

/* Makes one event of the hidden input so far. */
static int
close_hidden(struct builder *b, struct hw_err *err)
{
	struct event ev = b->hidden;
	char aad[BOX_AAD_MAX];
	struct buf box;
	int r = 0;

	if (ev.hidden == 0)
		return 0;
	buf_init(&box, PIECE_MAX + BOX_ROOM);
	sealed_aad(aad, b->env->relay, recording_writer_id(b->file), &ev);
	if (b->env->auditors.n > 0 &&
		(r = box_seal(&box, &b->env->auditors, aad, buf_data(&b->secret), b->secret.len)) <
			0)
		hw_err_set(err, r, "cannot seal input to the auditors");
	ev.bytes = buf_data(&box);
	ev.len = box.len;
	if (r == 0)
		r = encode(b, &ev, err);
	buf_wipe(&b->secret);
	b->hidden.hidden = 0;
	buf_fini(&box);
	return r;
}

/* Lines go over the ends of events: the bytes of one stream are looked at as one text. */
static int
mask_stream(struct builder *b, uint8_t stream, struct hw_err *err)
{
	uint8_t *mem = b->block.mem + b->block.head;
	struct buf text;

	buf_init(&text, RECORDING_BLOCK_MAX);
	for (size_t i = 0; i < b->n_spans; i++)
		if (b->spans[i].stream == stream)
			buf_append(&text, mem + b->spans[i].at, b->spans[i].len);
	if (text.failed)
		return hw_err_set(err, HW_ENOMEM, "no memory for masks");
	masks_apply(b->env->masks, text.mem, text.len);
	for (size_t i = 0; i < b->n_spans; i++)
		if (b->spans[i].stream == stream) {
			memcpy(mem + b->spans[i].at, buf_data(&text), b->spans[i].len);
			buf_consume(&text, b->spans[i].len);
		}
	buf_wipe(&text);
	buf_fini(&text);
	return 0;
}

static int
mask_block(struct builder *b, struct hw_err *err)
{
	bool seen[256] = {false};
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->n_spans; i++)
		if (!seen[b->spans[i].stream]) {
			seen[b->spans[i].stream] = true;
			r = mask_stream(b, b->spans[i].stream, err);
		}
	b->n_spans = 0;
	return r;
}

/* Writes the block, if there is anything in it, or the file is not yet there. */
static int
close_block(struct builder *b, bool last, struct hw_err *err)
{
	int r;

	if (b->from == UINT64_MAX && b->start_begin == UINT64_MAX && !last)
		return 0;
	if ((r = close_hidden(b, err)) < 0 || (r = mask_block(b, err)) < 0)
		return r;
	size_t n = b->block.len;
	r = recording_writer_append(b->file, buf_data(&b->block), n, b->to, last, err);
	if (r < 0)
		return r;
	jpos from = b->start_begin != UINT64_MAX ? b->start_begin : b->from;
	if (b->unsynced == UINT64_MAX)
		b->unsynced = from;
	b->from = b->start_begin = UINT64_MAX;
	b->unsynced_n += n;
	buf_wipe(&b->block);
	buf_fini(&b->block); /* idle sessions hold nothing */
	return 0;
}

static int
sync_file(struct builder *b, struct hw_err *err)
{
	int r = recording_writer_sync(b->file, err);

	if (r == 0) {
		b->unsynced = UINT64_MAX;
		b->unsynced_n = 0;
	}
	return r;
}

/* --- events ----------------------------------------------------------------------------------- */

static int64_t
since_start(const struct builder *b, int64_t time)
{
	return time > b->start ? time - b->start : 0;
}

/* Hidden input is gathered as long as nothing else comes: when each key of a password was pressed
 * is nobody's business. */
static int
add_hidden(struct builder *b, const struct item *it, struct hw_err *err)
{
	const uint8_t *p = it->bytes;
	uint64_t offset = it->offset;
	int r;

	for (size_t left = it->len; left > 0;) {
		struct event *h = &b->hidden;
		bool follows = h->hidden > 0 && h->hidden < PIECE_MAX && h->stream == it->stream &&
			h->author == it->author && h->offset + h->hidden == offset;
		if (!follows && (r = close_hidden(b, err)) < 0)
			return r;
		if (h->hidden == 0)
			*h = (struct event){.type = EVENT_HIDDEN,
				.time = since_start(b, it->time),
				.stream = it->stream,
				.author = it->author,
				.offset = offset};
		size_t n = PIECE_MAX - h->hidden < left ? PIECE_MAX - h->hidden : left;
		if (b->env->auditors.n > 0 && buf_append(&b->secret, p, n) < 0)
			return hw_err_set(err, HW_ENOMEM, "no memory for a recording");
		h->hidden += (uint32_t)n;
		p += n;
		offset += n;
		left -= n;
	}
	return 0;
}

/* Of a screen the offset is that of the output, and the parts are counted down. */
static void
place(struct event *ev, const struct item *it, size_t done)
{
	bool screen = it->type == EVENT_SCREEN;

	ev->offset = screen ? it->offset : it->offset + done;
	ev->hidden = screen ? (uint32_t)(it->len - done - ev->len) : 0;
}

static int
add_plain(struct builder *b, const struct item *it, struct hw_err *err)
{
	struct event ev = {.type = it->type,
		.time = since_start(b, it->time),
		.stream = it->stream,
		.author = it->author,
		.offset = it->offset,
		.cols = it->cols,
		.rows = it->rows};
	size_t done = 0;
	int r;

	if ((r = close_hidden(b, err)) < 0)
		return r;
	do {
		ev.bytes = it->bytes + done;
		ev.len = it->len - done < PIECE_MAX ? it->len - done : PIECE_MAX;
		place(&ev, it, done);
		if ((r = encode(b, &ev, err)) < 0)
			return r;
		done += ev.len;
	} while (done < it->len);
	return 0;
}

/* Puts a record, all of whose parts are known, into the block. */
static int
emit(struct builder *b, struct item *first, struct hw_err *err)
{
	size_t need = EVENT_HEAD_MAX + BOX_ROOM; /* hidden input that must be closed before */
	struct item *it = first, *next;
	bool is_last = false;
	int r = 0;

	for (struct item *part = first; part != NULL; part = TAILQ_NEXT(part, next)) {
		need += part->len + (2 + part->len / PIECE_MAX) * (EVENT_HEAD_MAX + BOX_ROOM);
		if (part->is_last)
			break;
	}
	if (b->from != UINT64_MAX && b->block.len + b->secret.len + need > BLOCK_TARGET &&
		(r = close_block(b, false, err)) < 0)
		return r;
	if (b->from == UINT64_MAX)
		b->from = first->begin;
	for (; r == 0 && !is_last; it = next) {
		next = TAILQ_NEXT(it, next);
		is_last = it->is_last;
		r = it->state == ITEM_HIDDEN ? add_hidden(b, it, err) : add_plain(b, it, err);
		b->to = it->end;
		b->queued -= it->len;
		TAILQ_REMOVE(&b->items, it, next);
		explicit_bzero(it->bytes, it->len);
		free(it);
	}
	return r;
}

/* In the journal's order, up to the first record that is not wholly known. */
static int
drain(struct builder *b, struct hw_err *err)
{
	struct item *first, *it;
	int r = 0;

	while (r == 0 && (first = TAILQ_FIRST(&b->items)) != NULL) {
		for (it = first; it->state != ITEM_UNKNOWN && !it->is_last;)
			it = TAILQ_NEXT(it, next);
		if (it->state == ITEM_UNKNOWN)
			return 0;
		r = emit(b, first, err);
	}
	return r;
}

/* --- echo ------------------------------------------------------------------------------------- */

/* Cuts an item in two; the first keeps `keep` bytes. NULL without memory. */
static struct item *
split(struct builder *b, struct item *it, size_t keep)
{
	struct item *rest = malloc(sizeof(*rest) + it->len - keep);

	if (rest == NULL)
		return NULL;
	*rest = *it;
	rest->len = it->len - keep;
	rest->offset = it->offset + keep;
	rest->parts = it->parts + 1;
	memcpy(rest->bytes, it->bytes + keep, rest->len);
	it->len = keep;
	it->is_last = false;
	TAILQ_INSERT_AFTER(&b->items, it, rest, next);
	return rest;
}

/* Settles what of an unknown item lies in [from, to), which it overlaps. */
static int
settle_item(struct builder *b, struct item *it, uint64_t from, uint64_t to, bool shown)
{
	bool inside = from > it->offset || to < it->offset + it->len;

	if (inside && it->parts >= PARTS_MAX) {
		it->is_mixed = true;
		return 0;
	}
	if (from > it->offset && (it = split(b, it, (size_t)(from - it->offset))) == NULL)
		return HW_ENOMEM;
	if (to < it->offset + it->len && split(b, it, (size_t)(to - it->offset)) == NULL)
		return HW_ENOMEM;
	it->state = shown && !it->is_mixed ? ITEM_SHOWN : ITEM_HIDDEN;
	return 0;
}

/* Settles the unknown input whose offset is in [from, to). */
static int
settle(struct builder *b, uint64_t from, uint64_t to, bool shown, struct hw_err *err)
{
	struct item *it, *next;

	for (it = TAILQ_FIRST(&b->items); it != NULL; it = next) {
		next = TAILQ_NEXT(it, next); /* a part that is split off is not looked at again */
		if (it->state != ITEM_UNKNOWN || it->offset >= to || it->offset + it->len <= from)
			continue;
		if (settle_item(b, it, from, to, shown) < 0)
			return hw_err_set(err, HW_ENOMEM, "no memory for a recording");
	}
	return 0;
}

/* What is settled for good, because nobody will say more. */
static int
give_up(struct builder *b, struct hw_err *err)
{
	return settle(b, 0, UINT64_MAX, false, err);
}

/* --- records ---------------------------------------------------------------------------------- */

static struct item *
item_of(const struct journal_record *rec, jpos begin, jpos end)
{
	struct item *it = malloc(sizeof(*it) + rec->len);

	if (it == NULL)
		return NULL;
	*it = (struct item){.is_last = true,
		.begin = begin,
		.end = end,
		.time = rec->time,
		.stream = rec->stream,
		.author = rec->author,
		.offset = rec->offset,
		.len = rec->len};
	if (rec->len > 0)
		memcpy(it->bytes, rec->bytes, rec->len);
	return it;
}

static int
enqueue(struct builder *b, enum event_type type, const struct journal_record *rec, jpos begin,
	jpos end, struct hw_err *err)
{
	struct item *it = item_of(rec, begin, end);

	if (it == NULL)
		return hw_err_set(err, HW_ENOMEM, "no memory for a recording");
	it->type = type;
	it->state = ITEM_PLAIN;
	if (type == EVENT_DATA && rec->stream == STREAM_IN && rec->len > 0 && !b->no_echo)
		it->state = rec->offset < OFFSET_MAX ? ITEM_UNKNOWN : ITEM_HIDDEN;
	if (type == EVENT_RESIZE) {
		it->cols = (uint16_t)(rec->offset >> 32);
		it->rows = (uint16_t)rec->offset;
		it->offset = 0;
	}
	TAILQ_INSERT_TAIL(&b->items, it, next);
	b->queued += it->len;
	return 0;
}

/* Input that never reached the terminal was not shown; marks to come mean other bytes. */
static int
take_rewind(struct builder *b, const struct journal_record *rec, jpos begin, jpos end,
	struct hw_err *err)
{
	int r = rec->stream == STREAM_IN ? settle(b, rec->offset, UINT64_MAX, false, err) : 0;

	return r == 0 ? enqueue(b, EVENT_REWIND, rec, begin, end, err) : r;
}

static int
take_end(struct builder *b, const struct journal_record *rec, jpos begin, jpos end,
	struct hw_err *err)
{
	int r;

	if ((r = give_up(b, err)) < 0 || (r = enqueue(b, EVENT_CLOSE, rec, begin, end, err)) < 0 ||
		(r = drain(b, err)) < 0 || (r = close_block(b, true, err)) < 0)
		return r;
	return sync_file(b, err);
}

int
builder_take(struct builder *b, const struct journal_record *rec, jpos begin, jpos end,
	struct hw_err *err)
{
	int r = 0;

	if (end <= recording_writer_covered(b->file) || recording_writer_complete(b->file))
		return 0;
	switch (rec->type) {
	case JOURNAL_LEDGER:
	case JOURNAL_SESSION_START:
		return 0;
	case JOURNAL_SESSION_END:
		return take_end(b, rec, begin, end, err);
	case JOURNAL_ECHO:
		r = settle(b, 0, rec->offset, rec->flags == ECHO_SHOWN, err);
		break;
	case JOURNAL_REWIND:
		r = take_rewind(b, rec, begin, end, err);
		break;
	case JOURNAL_DATA:
		r = enqueue(b, EVENT_DATA, rec, begin, end, err);
		break;
	case JOURNAL_RESIZE:
		r = enqueue(b, EVENT_RESIZE, rec, begin, end, err);
		break;
	case JOURNAL_STREAM_END:
		r = enqueue(b, EVENT_END_STREAM, rec, begin, end, err);
		break;
	case JOURNAL_NOTE:
		r = enqueue(b, EVENT_NOTE, rec, begin, end, err);
		break;
	case JOURNAL_AUTHOR:
		r = enqueue(b, EVENT_AUTHOR, rec, begin, end, err);
		break;
	case JOURNAL_SCREEN:
		r = enqueue(b, EVENT_SCREEN, rec, begin, end, err);
		break;
	}
	if (r == 0 && b->queued > UNKNOWN_MAX)
		r = give_up(b, err);
	if (r == 0)
		r = drain(b, err);
	return r == 0 && b->unsynced_n > SYNC_EVERY ? sync_file(b, err) : r;
}

/* Whether a line of what the block has may go on: what of it came later would be in the next one,
 * and half of a secret behind no mask. Without masks there are no spans. */
static bool
is_mid_line(const struct builder *b, int64_t now)
{
	bool seen[256] = {false};

	if (now < b->text_time || now - b->text_time >= LINE_STILL ||
		now - b->text_begin >= LINE_WAIT)
		return false;
	for (size_t i = b->n_spans; i-- > 0;) {
		const struct span *s = &b->spans[i];
		uint8_t last = b->block.mem[b->block.head + s->at + s->len - 1];
		if (!seen[s->stream] && s->stream != SPAN_SCREEN && last != '\n' && last != '\r')
			return true;
		seen[s->stream] = true;
	}
	return false;
}

int
builder_flush(struct builder *b, bool force, int64_t now, struct hw_err *err)
{
	int r;

	/* Before there is a file, who looks for the session would find none. */
	if (recording_writer_complete(b->file) ||
		(!force && b->start_begin == UINT64_MAX && is_mid_line(b, now)))
		return 0;
	if (force && ((r = give_up(b, err)) < 0 || (r = drain(b, err)) < 0))
		return r;
	if ((r = close_block(b, false, err)) < 0 || b->unsynced == UINT64_MAX)
		return r;
	return sync_file(b, err);
}

/* --- asking ----------------------------------------------------------------------------------- */

const char *
builder_id(const struct builder *b)
{
	return recording_writer_id(b->file);
}

uint64_t
builder_session(const struct builder *b)
{
	return b->session;
}

size_t
builder_held(const struct builder *b)
{
	return b->queued + b->block.room + b->secret.room + b->spans_room * sizeof(*b->spans);
}

jpos
builder_waiting(const struct builder *b)
{
	const struct item *first = TAILQ_FIRST(&b->items);

	/* In the order in which they come to be. */
	if (b->unsynced != UINT64_MAX)
		return b->unsynced;
	if (b->start_begin != UINT64_MAX)
		return b->start_begin;
	if (b->from != UINT64_MAX)
		return b->from;
	return first != NULL ? first->begin : UINT64_MAX;
}

struct recording_writer *
builder_file(struct builder *b)
{
	return b->file;
}
