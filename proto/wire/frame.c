#include "proto/wire/frame.h"

#include <limits.h>
#include <msgpack/pack.h>
#include <string.h>

#include "proto/wire/codec.h"
#include "proto/wire/msgpack_reader.h"

_Static_assert(STREAMS - 1 <= FRAME_STREAM_MAX, "a stream's number takes one byte");

/* Which channels a kind may name. */
static bool
channel_fits(enum frame_kind kind, uint32_t channel)
{
	switch (kind) {
	case FRAME_HELLO:
	case FRAME_REQUEST:
	case FRAME_RESPONSE:
		return channel == 0;
	case FRAME_CLOSE:
	case FRAME_CONTROL:
		return true;
	default:
		return channel != 0;
	}
}

/* --- parsing -------------------------------------------------------------------------------------
 */

struct parse {
	struct mp_reader in;
	struct frame *f;
	const struct frame_row *row;
	struct hw_err *err;
};

static int
wrong(const struct parse *p, const char *what)
{
	return hw_err_set(p->err, HW_EPROTO, "frame %s: %s", p->row->name, what);
}

static int
take_stream(struct parse *p)
{
	uint64_t v;

	if (!mp_uint(&p->in, &v))
		return wrong(p, "the stream is no number");
	if (v > FRAME_STREAM_MAX)
		return wrong(p, "the stream's number is too large");
	p->f->stream = (uint8_t)v;
	return 0;
}

static int
take_offset(struct parse *p, uint64_t *to, const char *refusal)
{
	return mp_uint(&p->in, to) && *to <= OFFSET_MAX ? 0 : wrong(p, refusal);
}

static int
take_data(struct parse *p)
{
	int r;

	if ((r = take_stream(p)) < 0 ||
		(r = take_offset(p, &p->f->offset, "the offset is not within 2^62")) < 0)
		return r;
	if (!mp_bin(&p->in, &p->f->body, &p->f->body_len))
		return wrong(p, "the payload is not bytes, or is cut off");
	if (p->f->body_len > FRAME_DATA_MAX)
		return wrong(p, "the payload is over 65536 bytes");
	if (p->f->body_len > OFFSET_MAX - p->f->offset)
		return wrong(p, "the payload ends past 2^62");
	return 0;
}

static int
take_credit(struct parse *p)
{
	uint64_t echo;
	int r;

	if ((r = take_stream(p)) < 0 ||
		(r = take_offset(p, &p->f->offset, "consumed is not within 2^62")) < 0 ||
		(r = take_offset(p, &p->f->limit, "the limit is not within 2^62")) < 0)
		return r;
	if (!mp_uint(&p->in, &echo) || echo > ECHO_HIDDEN)
		return wrong(p, "echo is not 0, 1 or 2");
	p->f->echo = (int)echo;
	return 0;
}

static int
take_end(struct parse *p)
{
	int r = take_stream(p);

	return r < 0 ? r : take_offset(p, &p->f->offset, "the offset is not within 2^62");
}

static int
take_body(struct parse *p)
{
	struct mp_reader map = p->in;
	size_t pairs;

	if (!mp_map(&map, &pairs))
		return wrong(p, "the body is no map, or is cut off");
	p->f->body = p->in.p;
	if (!mp_skip(&p->in))
		return wrong(p, "the body is cut off or not well formed");
	p->f->body_len = (size_t)(p->in.p - p->f->body);
	return p->f->body_len <= FRAME_BODY_MAX ? 0 : wrong(p, "the body is over 196608 bytes");
}

static int
take_call(struct parse *p)
{
	if (!mp_uint(&p->in, &p->f->id))
		return wrong(p, "the id is no number");
	if (!mp_str(&p->in, &p->f->name, &p->f->name_len))
		return wrong(p, "the name is no text");
	if (p->f->name_len > FRAME_NAME_MAX)
		return wrong(p, "the name is over 64 bytes");
	return take_body(p);
}

static int
take_rest(struct parse *p)
{
	switch (p->f->kind) {
	case FRAME_DATA:
		return take_data(p);
	case FRAME_CREDIT:
		return take_credit(p);
	case FRAME_END:
		return take_end(p);
	case FRAME_REQUEST:
	case FRAME_RESPONSE:
		return take_call(p);
	default:
		return take_body(p);
	}
}

/* The array's head, the kind and the channel. *extra: elements after those that we know. */
static int
take_head(struct parse *p, size_t *extra)
{
	uint64_t kind, channel;
	size_t count;

	if (!mp_array(&p->in, &count) || count < 2)
		return hw_err_set(p->err, HW_EPROTO, "frame: no array, or cut off");
	if (!mp_uint(&p->in, &kind))
		return hw_err_set(p->err, HW_EPROTO, "frame: the kind is no number");
	p->row = kind < FRAME_KINDS ? frame_row((int)kind) : NULL;
	if (p->row == NULL)
		return hw_err_set(p->err, HW_EPROTO, "frame: no kind %llu",
			(unsigned long long)kind);
	if (count < (size_t)p->row->length)
		return wrong(p, "elements are missing");
	if (!mp_uint(&p->in, &channel) || channel > UINT32_MAX)
		return wrong(p, "the channel is no number of 32 bits");
	p->f->kind = (enum frame_kind)kind;
	p->f->channel = (uint32_t)channel;
	if (!channel_fits(p->f->kind, p->f->channel))
		return wrong(p, channel == 0 ? "not on channel 0" : "only on channel 0");
	*extra = count - (size_t)p->row->length;
	return 0;
}

int
frame_parse(struct frame *f, const void *p, size_t n, size_t *used, struct hw_err *err)
{
	struct frame found = {0};
	struct parse parse = {
		.in = {.p = p, .end = (const uint8_t *)p + n},
		.f = &found,
		.err = err,
	};
	size_t extra = 0;
	int r;

	if (n == 0)
		return hw_err_set(err, HW_EPROTO, "frame: no bytes");
	if ((r = take_head(&parse, &extra)) < 0 || (r = take_rest(&parse)) < 0)
		return r;
	for (; extra > 0; extra--)
		if (!mp_skip(&parse.in))
			return wrong(&parse, "cut off, or not well formed");
	*f = found;
	*used = (size_t)(parse.in.p - (const uint8_t *)p);
	return 0;
}

/* --- writing -------------------------------------------------------------------------------------
 */

static uint8_t *
put_number(uint8_t *to, uint8_t form, uint64_t v, int width)
{
	*to++ = form;
	while (width-- > 0)
		*to++ = (uint8_t)(v >> (8 * width));
	return to;
}

void
frame_data_head(uint8_t out[FRAME_DATA_HEAD], uint32_t channel, uint8_t stream, uint64_t offset,
	uint32_t len)
{
	uint8_t *to = out;

	hw_assert(stream <= FRAME_STREAM_MAX);
	*to++ = 0x95; /* an array of five */
	*to++ = FRAME_DATA;
	to = put_number(to, 0xce, channel, 4);
	*to++ = stream;
	to = put_number(to, 0xcf, offset, 8);
	to = put_number(to, 0xc6, len, 4);
	hw_assert(to == out + FRAME_DATA_HEAD);
}

static int
encode_data(struct buf *out, const struct frame *f)
{
	uint8_t *to = buf_reserve(out, FRAME_DATA_HEAD + f->body_len);

	if (to == NULL)
		return out->max - out->len < FRAME_DATA_HEAD + f->body_len ? HW_ELIMIT : HW_ENOMEM;
	frame_data_head(to, f->channel, f->stream, f->offset, (uint32_t)f->body_len);
	if (f->body_len > 0)
		memcpy(to + FRAME_DATA_HEAD, f->body, f->body_len);
	buf_commit(out, FRAME_DATA_HEAD + f->body_len);
	return 0;
}

static int
pack_into_buf(void *out, const char *p, size_t n)
{
	return buf_append(out, p, n);
}

static void
pack_head(msgpack_packer *to, struct buf *out, enum frame_kind kind, uint32_t channel)
{
	msgpack_packer_init(to, out, pack_into_buf);
	msgpack_pack_array(to, (size_t)frame_row((int)kind)->length);
	msgpack_pack_uint8(to, (uint8_t)kind);
	msgpack_pack_uint32(to, channel);
}

static void
pack_call(msgpack_packer *to, const struct frame *f)
{
	msgpack_pack_uint64(to, f->id);
	msgpack_pack_str(to, f->name_len);
	if (f->name_len > 0)
		msgpack_pack_str_body(to, f->name, f->name_len);
}

static void
pack_body(struct buf *out, const struct frame *f)
{
	if (f->body_len > 0)
		buf_append(out, f->body, f->body_len);
	else
		buf_append_byte(out, 0x80); /* a message without fields */
}

static void
pack_rest(msgpack_packer *to, struct buf *out, const struct frame *f)
{
	switch (f->kind) {
	case FRAME_CREDIT:
		msgpack_pack_uint8(to, f->stream);
		msgpack_pack_uint64(to, f->offset);
		msgpack_pack_uint64(to, f->limit);
		msgpack_pack_int(to, f->echo);
		break;
	case FRAME_END:
		msgpack_pack_uint8(to, f->stream);
		msgpack_pack_uint64(to, f->offset);
		break;
	case FRAME_REQUEST:
	case FRAME_RESPONSE:
		pack_call(to, f);
		pack_body(out, f);
		break;
	default:
		pack_body(out, f);
	}
}

/* Every append since `start` went well, or none of them counts. */
static int
settle(struct buf *out, size_t start, bool failed_before)
{
	if (!out->failed) {
		out->failed = failed_before;
		return 0;
	}
	out->len = start;
	return HW_ELIMIT;
}

int
frame_encode(struct buf *out, const struct frame *f)
{
	bool failed_before = out->failed;
	size_t start = out->len;
	msgpack_packer to;

	hw_assert(frame_row((int)f->kind) != NULL && channel_fits(f->kind, f->channel));
	hw_assert(f->stream <= FRAME_STREAM_MAX && f->name_len <= FRAME_NAME_MAX);
	if (f->body_len > (f->kind == FRAME_DATA ? FRAME_DATA_MAX : FRAME_BODY_MAX))
		return HW_ELIMIT;
	if (f->kind == FRAME_DATA)
		return encode_data(out, f);
	out->failed = false;
	pack_head(&to, out, f->kind, f->channel);
	pack_rest(&to, out, f);
	return settle(out, start, failed_before);
}

/* The body behind a head that begins at `start`. */
static int
encode_body(struct buf *out, size_t start, bool failed_before, const struct msg_row *row,
	const void *msg, struct hw_err *err)
{
	size_t body = out->len;
	int r = msg_encode(out, row, msg, err);

	if (r == 0 && out->len - body > FRAME_BODY_MAX)
		r = hw_err_set(err, HW_ELIMIT, "%s is over %d bytes", row->wire, FRAME_BODY_MAX);
	if (r < 0)
		out->len = start;
	return r < 0 ? r : settle(out, start, failed_before);
}

int
frame_encode_msg(struct buf *out, enum frame_kind kind, uint32_t channel, const struct msg_row *row,
	const void *msg)
{
	bool failed_before = out->failed;
	size_t start = out->len;
	msgpack_packer to;

	hw_assert(frame_row((int)kind) != NULL && frame_row((int)kind)->length == 3);
	hw_assert(channel_fits(kind, channel));
	out->failed = false;
	pack_head(&to, out, kind, channel);
	return encode_body(out, start, failed_before, row, msg, NULL);
}

int
frame_encode_call(struct buf *out, const struct frame *head, const struct msg_row *row,
	const void *msg, struct hw_err *err)
{
	bool failed_before = out->failed;
	size_t start = out->len;
	msgpack_packer to;

	hw_assert(head->kind == FRAME_REQUEST || head->kind == FRAME_RESPONSE);
	hw_assert(head->channel == 0 && head->name_len <= FRAME_NAME_MAX);
	out->failed = false;
	pack_head(&to, out, head->kind, 0);
	pack_call(&to, head);
	return encode_body(out, start, failed_before, row, msg, err);
}
