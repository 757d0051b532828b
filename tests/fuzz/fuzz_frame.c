/* A WebSocket message of frames: what parses is written again, and must read the same. */
#include <string.h>

#include "proto/wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_same(const struct frame *a, const struct frame *b)
{
	hw_assert(a->kind == b->kind && a->channel == b->channel && a->stream == b->stream);
	hw_assert(a->offset == b->offset && a->limit == b->limit && a->echo == b->echo);
	hw_assert(a->id == b->id && a->name_len == b->name_len && a->body_len == b->body_len);
	hw_assert(a->name_len == 0 || memcmp(a->name, b->name, a->name_len) == 0);
	hw_assert(a->body_len == 0 || memcmp(a->body, b->body, a->body_len) == 0);
}

static void
check_again(const struct frame *f)
{
	struct hw_err err = HW_ERR_INIT;
	struct frame again;
	struct buf out;
	size_t used;

	buf_init(&out, FRAME_MESSAGE_MAX);
	hw_assert(frame_encode(&out, f) == 0);
	hw_assert(frame_parse(&again, buf_data(&out), out.len, &used, &err) == 0);
	hw_assert(used == out.len);
	check_same(f, &again);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = 0;

	while (at < size) {
		struct hw_err err = HW_ERR_INIT;
		struct frame f;
		size_t used = 0;

		int r = frame_parse(&f, data + at, size - at, &used, &err);
		if (r < 0) {
			hw_assert(r == HW_EPROTO && err.text[0] != '\0');
			break;
		}
		hw_assert(used > 0 && used <= size - at);
		check_again(&f);
		at += used;
	}
	return 0;
}
