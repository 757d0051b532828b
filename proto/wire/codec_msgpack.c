#include <string.h>

#include <msgpack/pack.h>

#include "proto/wire/codec_io.h"
#include "proto/wire/msgpack_reader.h"

/* --- source: a cursor over bytes that were found well formed as a whole
 * --------------------------- */

struct mp_source {
	struct source source;
	struct mp_reader in;
};

static struct mp_reader *
cursor(struct source *s)
{
	return &((struct mp_source *)s)->in;
}

static bool
take_nil(struct source *s)
{
	return mp_nil(cursor(s));
}

static bool
take_text(struct source *s, const char **p, size_t *n)
{
	return mp_str(cursor(s), p, n);
}

static bool
take_integer(struct source *s, int64_t *v)
{
	return mp_int(cursor(s), v);
}

static bool
take_boolean(struct source *s, bool *v)
{
	return mp_bool(cursor(s), v);
}

static int
take_bin(struct source *s, struct arena *a, const uint8_t **p, size_t *n)
{
	if (!mp_bin(cursor(s), p, n))
		return HW_EVALIDATION;
	*p = arena_dup(a, *p, *n);
	return *p != NULL ? 0 : HW_ELIMIT;
}

static bool
take_list(struct source *s, struct span *items)
{
	return mp_array(cursor(s), &items->left);
}

static bool
take_map(struct source *s, struct span *entries)
{
	return mp_map(cursor(s), &entries->left);
}

/* The cursor stands before the element already. */
static void
take_item(struct source *s, struct span *items)
{
	(void)s;
	items->left--;
}

static bool
take_entry(struct source *s, struct span *entries, const char **key, size_t *n)
{
	entries->left--;
	return mp_str(cursor(s), key, n);
}

static void
take_any(struct source *s)
{
	mp_skip(cursor(s));
}

static const struct source_ops mp_source_ops = {
	.bin_form = "bytes",
	.nil = take_nil,
	.text = take_text,
	.integer = take_integer,
	.boolean = take_boolean,
	.time = take_integer, /* microseconds */
	.bin = take_bin,
	.list = take_list,
	.map = take_map,
	.item = take_item,
	.entry = take_entry,
	.skip = take_any,
};

int
msg_decode(void **ret, struct arena *a, const struct msg_row *row, const void *p, size_t n,
	struct hw_err *err)
{
	struct mp_source s = {
		.source.ops = &mp_source_ops,
		.in = {.p = p, .end = (const uint8_t *)p + n},
	};
	struct mp_reader whole = s.in;

	/* From here on a value that cannot be read is of another type: nothing is cut off. */
	if (!mp_skip(&whole))
		return hw_err_set(err, HW_ESERIAL, "%s is cut off or not well formed", row->wire);
	if (whole.p != whole.end)
		return hw_err_set(err, HW_ESERIAL, "bytes after %s", row->wire);
	return codec_read(ret, &s.source, a, row, err);
}

/* --- sink: msgpack-c's packer, which picks the shortest forms
 * -------------------------------------- */

struct mp_sink {
	struct sink sink;
	msgpack_packer packer;
};

static msgpack_packer *
packer(struct sink *s)
{
	return &((struct mp_sink *)s)->packer;
}

static int
append(void *out, const char *p, size_t n)
{
	return buf_append(out, p, n);
}

/* Most of a message is short texts: such a one goes in as a piece. */
static void
put_text(struct sink *s, const char *p, size_t n)
{
	uint8_t *to;

	if (n >= 32) {
		msgpack_pack_str(packer(s), n);
		msgpack_pack_str_body(packer(s), p, n);
	} else if ((to = buf_reserve(s->out, 1 + n)) != NULL) {
		to[0] = (uint8_t)(0xa0 | n);
		memcpy(to + 1, p, n);
		buf_commit(s->out, 1 + n);
	}
}

static void
put_bin(struct sink *s, const uint8_t *p, size_t n)
{
	msgpack_pack_bin(packer(s), n);
	msgpack_pack_bin_body(packer(s), p, n);
}

static void
put_integer(struct sink *s, int64_t v)
{
	msgpack_pack_int64(packer(s), v);
}

static void
put_boolean(struct sink *s, bool v)
{
	if (v)
		msgpack_pack_true(packer(s));
	else
		msgpack_pack_false(packer(s));
}

static void
put_list(struct sink *s, size_t n)
{
	msgpack_pack_array(packer(s), n);
}

static void
put_map(struct sink *s, size_t n)
{
	msgpack_pack_map(packer(s), n);
}

static void
put_no_end(struct sink *s)
{
	(void)s;
}

static const struct sink_ops mp_sink_ops = {
	.text = put_text,
	.bin = put_bin,
	.integer = put_integer,
	.boolean = put_boolean,
	.time = put_integer, /* microseconds */
	.list = put_list,
	.list_end = put_no_end,
	.map = put_map,
	.key = put_text,
	.map_end = put_no_end,
};

int
msg_encode(struct buf *out, const struct msg_row *row, const void *msg, struct hw_err *err)
{
	struct mp_sink s = {
		.sink = {.ops = &mp_sink_ops, .out = out, .checks = true}
	 };

	msgpack_packer_init(&s.packer, out, append);
	return codec_write(&s.sink, row, msg, err);
}
